"""The station's own list of cards and vehicles: who may charge without asking a back end.

An entry is a card (4, 7 or 10 byte UID as hex, an optional ``_1`` or ``_2`` limits it to that connector) or a vehicle
(EVCC ID = MAC address, 6 bytes). Ids are kept as upper-case hex without separators and compared as such; readers apply
their order switches before. `Whitelist` is pure and in memory; `WhitelistKeeper` changes it through a storage port, the
medium first, so that what is in force is never more than what survives a power cut.
"""

from __future__ import annotations

import asyncio
import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from evse.domain.whitelist import Entry as Entry
from evse.domain.whitelist import Kind as Kind
from evse.units import WallNs

ENTRIES_MAX: Final = 10_000
NAME_MAX: Final = 64
"""Longest name, characters."""
PROBLEMS_MAX: Final = 50
"""Problems that an error text lists; more are counted."""

RANDOM_UID: Final = re.compile(r"08[0-9A-F]{6}")
"""A 4 byte UID beginning with 08 is another one at each presentation (ISO 14443-3)."""

CARD: Final = re.compile(r"((?:[0-9A-F]{8}|[0-9A-F]{14}|[0-9A-F]{20}))(?:_([12]))?")
VEHICLE: Final = re.compile(r"[0-9A-F]{12}")
SEPARATED: Final = re.compile(r"[0-9A-F]{2}(?:([:\- ])[0-9A-F]{2})(?:\1[0-9A-F]{2})*(?:_[12])?")
FORMULA_STARTS: Final = "=+-@"


class Verdict(enum.Enum):
    """Answer to "may this id charge here, now?". Only ALLOWED is a yes."""

    ALLOWED = "allowed"
    UNKNOWN = "unknown"  # not on the list: somebody else may know it
    BLOCKED = "blocked"  # on the list without permission
    EXPIRED = "expired"
    NO_CLOCK = "no_clock"  # the entry ends some day and the station does not know the time


class WhitelistError(Exception):
    """The list was not changed. ``problems``: one text each, with line or id, value and reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        texts = list(self.problems[:PROBLEMS_MAX])
        if len(self.problems) > PROBLEMS_MAX:
            texts.append(f"and {len(self.problems) - PROBLEMS_MAX} more")
        super().__init__("\n".join(texts))


class EntryExists(WhitelistError):
    """The id to add is on the list."""


class EntryMissing(WhitelistError):
    """The id to change is not on the list."""


def parse_id(text: str) -> tuple[Kind, str]:
    """Return kind and id of what a person or a file wrote: either case, bytes separated by ``:``, ``-``, blank or nothing.

    Raises `WhitelistError` with the reason.
    """
    plain = text.strip().upper()
    if SEPARATED.fullmatch(plain):
        plain = plain.replace(":", "").replace("-", "").replace(" ", "")
    if VEHICLE.fullmatch(plain):
        return Kind.EVCC, plain
    if CARD.fullmatch(plain) is None:
        text = (
            f"id '{text[:40]}': accepted: a card of 4, 7 or 10 bytes as hex (04A1B2C3, with _1 or _2 for one connector "
            "only) or a vehicle's MAC address of 6 bytes (02:00:00:00:00:01)"
        )
        raise WhitelistError([text])
    if RANDOM_UID.fullmatch(plain.partition("_")[0]):
        text = (
            f"id '{text[:40]}': a 4 byte number that begins with 08 is another one at each presentation (phones and "
            "some cards do that); it cannot be on a list"
        )
        raise WhitelistError([text])
    return Kind.RFID, plain


def check_name(name: str) -> str:
    """Return ``name`` without blanks around it; `WhitelistError` when it is too long, unprintable or a formula."""
    name = name.strip()
    if len(name) > NAME_MAX:
        raise WhitelistError([f"name '{name[:20]}..': {len(name)} characters, must be at most {NAME_MAX}"])
    if not name.isprintable():
        raise WhitelistError([f"name {name[:20]!r}: holds characters that cannot be printed"])
    if name[:1] and name[0] in FORMULA_STARTS:
        raise WhitelistError([f"name '{name[:20]}': begins with '{name[0]}', a spreadsheet would run it as a formula"])
    return name


def verdict_of(entry: Entry, now: WallNs | None) -> Verdict:
    """Return what ``entry`` says to its id at the wall time ``now`` (None = not known)."""
    if not entry.allow:
        return Verdict.BLOCKED
    if entry.expires_at is None:
        return Verdict.ALLOWED
    if now is None:
        return Verdict.NO_CLOCK
    return Verdict.EXPIRED if now >= entry.expires_at else Verdict.ALLOWED


class Whitelist:
    """The list in memory; a lookup costs two dictionary reads at 10 000 entries as at one."""

    __slots__ = ("_by_id",)

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._by_id: dict[str, Entry] = {entry.id: entry for entry in entries}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Entry]:
        """All entries in the order of their ids."""
        return iter(sorted(self._by_id.values(), key=lambda entry: entry.id))

    def get(self, entry_id: str) -> Entry | None:
        """Return an entry by its id (upper-case hex, with its suffix if it has one)."""
        return self._by_id.get(entry_id)

    def match(self, id_token: str, connector: int) -> Entry | None:
        """Return the entry that speaks for ``id_token`` at ``connector``; one for this connector goes before one for all."""
        key = id_token.upper()
        return None if "_" in key else self._by_id.get(f"{key}_{connector}") or self._by_id.get(key)

    def decide(self, id_token: str, connector: int, now: WallNs | None) -> Verdict:
        """Return whether ``id_token`` may charge at ``connector``. ``now`` None = the station does not know the time."""
        entry = self.match(id_token, connector)
        if entry is None:
            return Verdict.UNKNOWN
        return verdict_of(entry, now)

    def search(self, text: str) -> list[Entry]:
        """Return the entries whose id or name holds ``text``, without regard to case, in order of ids."""
        needle = text.casefold()
        found = [e for e in self._by_id.values() if needle in e.id.casefold() or needle in e.name.casefold()]
        return sorted(found, key=lambda entry: entry.id)

    def with_changes(self, put: Iterable[Entry], remove: Iterable[str] = ()) -> Whitelist:
        """Return a changed copy; `WhitelistError` when it would have more than 10 000 entries."""
        copy = Whitelist()
        copy._by_id = dict(self._by_id)
        for entry_id in remove:
            copy._by_id.pop(entry_id, None)
        for entry in put:
            copy._by_id[entry.id] = entry
        if len(copy) > ENTRIES_MAX:
            raise WhitelistError([f"the list would have {len(copy)} entries, at most {ENTRIES_MAX} are possible"])
        return copy


class WhitelistStore(Protocol):
    """Durable home of the list. Each call is one transaction and returns when it is on the medium."""

    async def load_whitelist(self) -> Sequence[Entry]:
        """Return all entries."""
        ...

    async def change_whitelist(self, put: Sequence[Entry], remove: Sequence[str], *, clear: bool) -> None:
        """Remove everything (``clear``) or the ids ``remove``, then insert or replace ``put``: all of it or nothing."""
        ...

    async def whitelist_used(self, entry_id: str, at: WallNs) -> None:
        """Note when an entry last gave permission; nothing when it is gone meanwhile."""
        ...


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did, in entries."""

    added: int
    changed: int
    unchanged: int
    removed: int


class WhitelistKeeper:
    """The list in force and its changes, made one after another. One instance per station; ``now`` = wall time."""

    def __init__(self, store: WhitelistStore, now: Callable[[], WallNs]) -> None:
        self._store = store
        self._now = now
        self._lock = asyncio.Lock()
        self.list = Whitelist()

    async def load(self) -> None:
        """Take what is stored."""
        self.list = Whitelist(await self._store.load_whitelist())

    async def add(self, entry: Entry) -> Entry:
        """Add an entry and return it as it is kept. Raises `EntryExists`, or `WhitelistError`: wrong, or the list is full."""
        kind, entry_id = parse_id(entry.id)
        if kind is not entry.kind:
            raise WhitelistError([f"id '{entry.id}': is of type {kind.value}, not {entry.kind.value}"])
        async with self._lock:
            if self.list.get(entry_id) is not None:
                raise EntryExists([f"{entry_id} is on the list already"])
            return await self._put(
                msgspec.structs.replace(
                    entry, id=entry_id, name=check_name(entry.name), created_at=self._now(), used_at=None
                )
            )

    async def edit(
        self,
        entry_id: str,
        *,
        name: str | None = None,
        allow: bool | None = None,
        expires_at: WallNs | UnsetType | None = UNSET,
    ) -> tuple[Entry, Entry]:
        """Change what is given and return the entry before and after. Raises `EntryMissing`, `WhitelistError`."""
        _, key = parse_id(entry_id)
        async with self._lock:
            before = self.list.get(key)
            if before is None:
                raise EntryMissing([f"{key} is not on the list"])
            after = msgspec.structs.replace(
                before,
                name=before.name if name is None else check_name(name),
                allow=before.allow if allow is None else allow,
                expires_at=before.expires_at if isinstance(expires_at, UnsetType) else expires_at,
            )
            return before, before if after == before else await self._put(after)

    async def _put(self, entry: Entry) -> Entry:
        changed = self.list.with_changes([entry])
        await self._store.change_whitelist([entry], [], clear=False)
        self.list = changed
        return entry

    async def remove(self, entry_id: str) -> Entry | None:
        """Remove one entry and return it; None when there was none."""
        key = entry_id.strip().upper()
        async with self._lock:
            entry = self.list.get(key)
            if entry is None:
                return None
            changed = self.list.with_changes([], [key])
            await self._store.change_whitelist([], [key], clear=False)
            self.list = changed
        return entry

    async def clear(self) -> int:
        """Remove everything; return how many entries went."""
        async with self._lock:
            count = len(self.list)
            if count:
                await self._store.change_whitelist([], [], clear=True)
                self.list = Whitelist()
        return count

    async def take_over(self, entries: Mapping[str, Entry], *, replace: bool, dry_run: bool = False) -> Counts:
        """Add ``entries`` (by id, as `evse.access.whitelist_csv.parse` gives them) to the list or put them in its place.

        An entry that was there keeps when it came and was used. ``dry_run`` only counts. Raises `WhitelistError` when
        they do not fit, and what the store raises; the list is the old one then.
        """
        async with self._lock:
            before = self.list
            merged = [self._merged(entry) for entry in entries.values()]
            after = (Whitelist() if replace else before).with_changes(merged)
            added = sum(1 for entry in merged if before.get(entry.id) is None)
            unchanged = sum(1 for entry in merged if before.get(entry.id) == entry)
            if not dry_run:
                await self._store.change_whitelist(merged, [], clear=replace)
                self.list = after
        return Counts(
            added=added,
            changed=len(merged) - added - unchanged,
            unchanged=unchanged,
            removed=len(before) + added - len(after),
        )

    def _merged(self, entry: Entry) -> Entry:
        before = self.list.get(entry.id)
        if before is None:
            return msgspec.structs.replace(entry, created_at=self._now(), used_at=None)
        return msgspec.structs.replace(entry, created_at=before.created_at, used_at=before.used_at)

    async def used(self, entry_id: str, at: WallNs) -> None:
        """Note when an entry gave permission (in memory also when the store raises)."""
        async with self._lock:
            entry = self.list.get(entry_id)
            if entry is None:
                return
            self.list = self.list.with_changes([msgspec.structs.replace(entry, used_at=at)])
            await self._store.whitelist_used(entry_id, at)
