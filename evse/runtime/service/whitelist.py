"""Operations on the station's own list of cards and vehicles. Every change is on the medium before the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

from msgspec import UNSET, UnsetType

from evse.access import whitelist_csv as csv
from evse.access.whitelist import EntryExists, EntryMissing, WhitelistError, parse_id, verdict_of
from evse.api import models as m
from evse.api import models_whitelist as w
from evse.api.caller import Caller
from evse.api.errors import ApiError, ErrorCode
from evse.api.operation import Empty
from evse.domain.whitelist import Entry, Kind
from evse.runtime.learning import Window
from evse.runtime.station import Station
from evse.units import WallNs

T = TypeVar("T")


class WhitelistOperations:
    """``whitelist.*``."""

    _station: Station

    async def whitelist_list(self, request: w.WhitelistQuery, caller: Caller) -> w.Whitelist:
        """A page of the list, in order of ids."""
        found = self._station.whitelist.list.search(request.text)
        page = found[request.offset : request.offset + request.limit]
        return w.Whitelist(items=tuple(self._entry(entry) for entry in page), total=len(found))

    async def whitelist_get(self, request: w.WhitelistRef, caller: Caller) -> w.WhitelistEntry:
        """One entry."""
        entry = self._station.whitelist.list.get(_id(request.id))
        if entry is None:
            raise _missing(request.id)
        return self._entry(entry)

    async def whitelist_add(self, request: w.WhitelistAdd, caller: Caller) -> w.WhitelistEntry:
        """Add one."""
        caller.note.target = request.id
        try:
            kind, entry_id = parse_id(request.id)
            entry = Entry(
                kind=kind, id=entry_id, name=request.name, allow=request.allow, expires_at=_expires(request.expires)
            )
            entry = await self._station.whitelist.add(entry)
        except EntryExists as error:
            raise ApiError(
                ErrorCode.CONFLICT, str(error), f"to change it: evsectl whitelist edit {request.id}"
            ) from None
        except WhitelistError as error:
            raise ApiError(ErrorCode.INVALID, str(error), "nothing was changed") from None
        return self._entry(entry)

    async def whitelist_edit(self, request: w.WhitelistEdit, caller: Caller) -> w.WhitelistEntry:
        """Change one; the audit row has the entry before and after."""
        expires = request.expires
        try:
            before, after = await self._station.whitelist.edit(
                request.id,
                name=None if isinstance(request.name, UnsetType) else request.name,
                allow=None if isinstance(request.allow, UnsetType) else request.allow,
                expires_at=UNSET if isinstance(expires, UnsetType) else _expires(expires),
            )
        except EntryMissing:
            raise _missing(request.id) from None
        except WhitelistError as error:
            raise ApiError(ErrorCode.INVALID, str(error), "nothing was changed") from None
        caller.note.target, caller.note.old, caller.note.new = after.id, _line(before), _line(after)
        return self._entry(after)

    async def whitelist_remove(self, request: w.WhitelistRef, caller: Caller) -> m.Done:
        """Remove one; one that is not there is success without change."""
        entry = await self._station.whitelist.remove(_id(request.id))
        caller.note.target = request.id
        if entry is None:
            return m.Done(changed=False, detail=f"{request.id} is not on the list")
        caller.note.old = _line(entry)
        if entry.kind is Kind.RFID:
            self._station.note_forgotten()
        return m.Done(detail=f"{entry.id} removed")

    async def whitelist_clear(self, request: Empty, caller: Caller) -> m.Done:
        """Remove all."""
        count = await self._station.whitelist.clear()
        caller.note.old = f"{count} entries"
        return m.Done(changed=count > 0, detail=f"{count} entries removed" if count else "the list is empty")

    async def whitelist_import(self, request: w.WhitelistImport, caller: Caller) -> w.WhitelistCounts:
        """Take a whole file or nothing of it."""
        try:
            entries = await _between_ticks(csv.parse_in_portions(request.text))
            counts = await self._station.whitelist.take_over(entries, replace=request.replace, dry_run=request.dry_run)
        except WhitelistError as error:
            raise ApiError(ErrorCode.INVALID, "\n".join(error.problems), "nothing was imported") from None
        caller.note.target = "replace" if request.replace else "add"
        caller.note.new = f"{counts.added} added, {counts.changed} changed, {counts.removed} removed" + (
            " (dry run)" if request.dry_run else ""
        )
        return w.WhitelistCounts(
            added=counts.added, changed=counts.changed, unchanged=counts.unchanged, removed=counts.removed,
            dry_run=request.dry_run,
        )  # fmt: skip

    async def whitelist_export(self, request: Empty, caller: Caller) -> w.WhitelistFile:
        """Everything, in the form that an import takes."""
        entries = list(self._station.whitelist.list)
        return w.WhitelistFile(text=await _between_ticks(csv.write_in_portions(entries)), entries=len(entries))

    async def whitelist_learn(self, request: w.WhitelistLearn, caller: Caller) -> w.WhitelistWindow:
        """Open the window: exactly one reader or one connector."""
        station = self._station
        if bool(request.reader) is bool(request.evse_id):
            raise ApiError(ErrorCode.INVALID, "a reader (for a card) or a connector (for a vehicle), one of both", "")
        if request.reader and request.reader not in station.devices.readers:
            have = ", ".join(station.devices.readers) or "none"
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no reader {request.reader!r}", f"readers: {have}")
        if request.evse_id and request.evse_id not in station.devices.boards:
            have = ", ".join(map(str, station.devices.boards))
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no connector {request.evse_id}", f"connectors: {have}")
        if station.learner.waiting:
            where = station.learner.window.reader or f"connector {station.learner.window.evse_id}"
            raise ApiError(
                ErrorCode.CONFLICT, f"somebody learns at {where} already", "stop it with: evsectl whitelist learn --cancel"
            )
        try:
            window = station.learner.begin(
                reader=request.reader, evse_id=request.evse_id, seconds=request.seconds, name=request.name,
                allow=request.allow, expires_at=_expires(request.expires),
            )  # fmt: skip
        except WhitelistError as error:
            raise ApiError(ErrorCode.INVALID, str(error), "") from None
        caller.note.target = request.reader or f"connector {request.evse_id}"
        return self._learning(window)

    async def whitelist_window(self, request: w.WhitelistWait, caller: Caller) -> w.WhitelistWindow:
        """State of learning."""
        learner = self._station.learner
        if request.seconds:
            return self._learning(await learner.wait(request.number, request.seconds))
        return self._learning(learner.window)

    async def whitelist_cancel(self, request: Empty, caller: Caller) -> m.Done:
        """Close the window."""
        done = self._station.learner.cancel()
        return m.Done(changed=done, detail="" if done else "nobody learns")

    def _entry(self, entry: Entry) -> w.WhitelistEntry:
        clock = self._station.clock
        return w.WhitelistEntry(
            id=entry.id,
            type=entry.kind.value,
            name=entry.name,
            allow=entry.allow,
            says=verdict_of(entry, clock.wall() if clock.wall_valid() else None).value,
            expires_at=entry.expires_at,
            created_at=entry.created_at,
            used_at=entry.used_at,
        )

    def _learning(self, window: Window) -> w.WhitelistWindow:
        return w.WhitelistWindow(
            number=window.number,
            stage=window.stage.value,
            reader=window.reader,
            evse_id=window.evse_id,
            until=window.until,
            entry=None if window.entry is None else self._entry(window.entry),
            why=window.why,
        )


async def _between_ticks(steps: Generator[None, None, T]) -> T:
    """Do long work in steps, with the control loop in between; return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            done: T = end.value
            return done
        await asyncio.sleep(0)


def _id(text: str) -> str:
    try:
        return parse_id(text)[1]
    except WhitelistError as error:
        raise ApiError(ErrorCode.INVALID, str(error), "see the ids: evsectl whitelist list") from None


def _expires(text: str) -> WallNs | None:
    if not text:
        return None
    try:
        return csv.parse_time(text)
    except WhitelistError as error:
        raise ApiError(ErrorCode.INVALID, str(error), "nothing was changed") from None


def _missing(text: str) -> ApiError:
    return ApiError(ErrorCode.NOT_FOUND, f"{text} is not on the list", "see what is: evsectl whitelist list")


def _line(entry: Entry) -> str:
    return csv.write([entry]).splitlines()[1]
