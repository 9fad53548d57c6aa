"""Learning: the next card at a reader, or the next vehicle at an EVSE, goes on the white list.

One window at a time. What comes in it is not used for authorisation, whatever becomes of it: a technician who learns a card
starts nothing. The window ends with what came, with its deadline, or when somebody cancels it. An id that is on the list
already stays as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Callable
from typing import Final

import msgspec

from evse.access.whitelist import EntryExists, WhitelistError, WhitelistKeeper, check_name, parse_id
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.view import Event
from evse.domain.whitelist import Entry
from evse.units import NS_PER_S, WallNs

SECONDS_MIN: Final = 5
SECONDS_MAX: Final = 300

Announce = Callable[[str, int, dict[str, str | int | bool | None]], Event]


class Stage(enum.Enum):
    """Where learning stands."""

    IDLE = "idle"  # nobody has learned since the daemon started
    WAITING = "waiting"
    LEARNED = "learned"
    KNOWN = "known"  # it is on the list already, unchanged
    FAILED = "failed"  # it cannot be on the list, or the medium did not take it
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One window. ``number`` grows by one; either ``reader`` or ``evse_id`` (0 = none) says where."""

    number: int = 0
    stage: Stage = Stage.IDLE
    reader: str = ""
    evse_id: int = 0
    until: WallNs = 0
    name: str = ""
    allow: bool = True
    expires_at: WallNs | None = None
    entry: Entry | None = None  # of LEARNED and KNOWN
    why: str = ""  # of FAILED


class Learner:
    """The window of one station. ``announce`` publishes an event (kind, EVSE, data)."""

    def __init__(self, keeper: WhitelistKeeper, clock: Clock, announce: Announce) -> None:
        self.window = Window()
        self._keeper = keeper
        self._clock = clock
        self._announce = announce
        self._deadline = 0
        self._found = ""
        self._news = asyncio.Event()
        self._watchers: set[asyncio.Event] = set()

    @property
    def waiting(self) -> bool:
        """True while a window is open."""
        return self.window.stage is Stage.WAITING

    def begin(
        self, *, reader: str = "", evse_id: int = 0, seconds: int, name: str, allow: bool, expires_at: WallNs | None
    ) -> Window:
        """Open a window for ``seconds``; the caller has looked that none is open. Raises `WhitelistError` for the name."""
        window = Window(
            number=self.window.number + 1, stage=Stage.WAITING, reader=reader, evse_id=evse_id, name=check_name(name),
            until=self._clock.wall() + seconds * NS_PER_S, allow=allow, expires_at=expires_at,
        )  # fmt: skip
        self._deadline = self._clock.now() + seconds * NS_PER_S
        self._found = ""
        self._turn(window)
        self._announce("whitelist.learning", evse_id, {"reader": reader, "seconds": seconds})
        return window

    def cancel(self) -> bool:
        """Close the window; False when none is open, or something has come already."""
        if not self.waiting or self._found:
            return False
        self._end(Stage.CANCELLED)
        return True

    def card(self, reader: str, id_token: str) -> bool:
        """Take a card when the window is for its reader; True = it is not to be used for anything else."""
        if not self.waiting or self.window.reader != reader:
            return False
        self._take(id_token)
        return True

    def vehicle(self, evse_id: int, evcc_id: str) -> bool:
        """Take a vehicle when the window is for its EVSE; True = it is not to be used for anything else."""
        if not self.waiting or self.window.evse_id != evse_id:
            return False
        self._take(evcc_id)
        return True

    def _take(self, found: str) -> None:
        if not self._found:
            self._found = found
            self._news.set()

    async def wait(self, number: int, seconds: float) -> Window:
        """Return the window when ``number`` is not open (any more), at the latest after ``seconds``."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self.waiting and self.window.number == number:
                        changed.clear()
                        await changed.wait()
        finally:
            self._watchers.discard(changed)
        return self.window

    async def run(self) -> None:
        """Keep what comes, end what is over; for ever."""
        while True:
            if not self.waiting:
                await self._news.wait()
                self._news.clear()
            elif self._found:
                await self._keep()
            elif self._clock.now() >= self._deadline:
                self._end(Stage.EXPIRED)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout((self._deadline - self._clock.now()) / NS_PER_S):
                        await self._news.wait()
                self._news.clear()

    async def _keep(self) -> None:
        """Put what was found on the list; the window ends when that is on the medium (or has failed)."""
        window, found = self.window, self._found
        try:
            kind, entry_id = parse_id(found)
            entry = Entry(kind=kind, id=entry_id, name=window.name, allow=window.allow, expires_at=window.expires_at)
            entry = await self._keeper.add(entry)
        except EntryExists:
            self._end(Stage.KNOWN, entry=self._keeper.list.get(entry_id))
        except (WhitelistError, DeviceError) as error:
            self._end(Stage.FAILED, why=str(error))
        else:
            self._end(Stage.LEARNED, entry=entry)

    def _end(self, stage: Stage, *, entry: Entry | None = None, why: str = "") -> None:
        window = msgspec.structs.replace(self.window, stage=stage, entry=entry, why=why)
        self._turn(window)
        data: dict[str, str | int | bool | None] = {"result": stage.value, "reader": window.reader}
        if entry is not None:
            data |= {"id": entry.id, "type": entry.kind.value}
        if why:
            data["why"] = why
        self._announce("whitelist.learn_ended", window.evse_id, data)

    def _turn(self, window: Window) -> None:
        self.window = window
        self._news.set()
        for watcher in self._watchers:
            watcher.set()
