"""The calendar and who keeps it: the CSMS, a time daemon of the operating system, or nobody yet.

Every answer to BootNotification and Heartbeat carries the time of the CSMS. It moves the calendar when
``useAsTimeSource`` is true and no time daemon keeps the system clock: two sources that set one clock in turns are a
clock that jumps for ever (Tinkerforge/esp32-firmware#317). A calendar that was valid is moved by more than `JUMP_NS`
only when a second answer says the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from evse.domain.base import DeviceError
from evse.domain.clock import Clock, ClockPort
from evse.ocpp.messages import parse_timestamp, timestamp
from evse.ocpp.ports import SecurityNote
from evse.units import NS_PER_MS, NS_PER_S, DurationNs, Instant, WallNs

log = logging.getLogger(__name__)

TOLERANCE_NS: DurationNs = 2 * NS_PER_S
"""A difference up to this is network and rounding: many back ends tell full seconds."""

JUMP_NS: DurationNs = 60 * NS_PER_S
"""A change above this is an event, and a security event (whitepaper: SettingSystemTime, "more than 60 seconds")."""

VALID_FROM: WallNs = 1_704_067_200 * NS_PER_S
VALID_TO: WallNs = 4_102_444_800 * NS_PER_S
"""2024 to 2100: the time of a CSMS outside of this is a mistake."""

LOOK_S = 1.0
"""Period of the look for a calendar that somebody else has moved."""

Arrived = Callable[[DurationNs], Awaitable[None]]


class ClockJump(msgspec.Struct, frozen=True, kw_only=True):
    """The calendar has moved against monotonic time. ``source``: csms, ntp or system."""

    by: DurationNs
    source: str
    first: bool  # it was not valid before


class TimeSource:
    """Keeps the calendar of one station. ``port`` None = nobody may move it; ``wanted`` = useAsTimeSource.

    ``arrived`` are called with the ns to add to what was recorded before the first valid time, in their order, before
    anything else is sent. ``jumped`` is told of every change above `JUMP_NS` and of the first valid time.
    """

    def __init__(
        self, clock: Clock, port: ClockPort | None, *, wanted: Callable[[], bool], security: SecurityNote,
        jumped: Callable[[ClockJump], None], note: Callable[[str], None],
    ) -> None:
        self.arrived: list[Arrived] = []
        self.offset_ms: int | None = None  # time of the CSMS minus ours, at the last answer and before a change
        self.heard: WallNs | None = None  # when the CSMS told the time last
        self.again = False  # another answer is needed before the calendar is moved
        self._clock = clock
        self._port = port
        self._wanted = wanted
        self._security = security
        self._jumped = jumped
        self._note = note
        self._by_csms = False
        self._suspect: DurationNs | None = None
        self._was_valid = clock.wall_valid()
        self._delta: DurationNs = clock.wall() - clock.now()
        self._told = False  # that CSMS and time daemon disagree

    @property
    def source(self) -> str:
        """Who keeps the calendar: ntp, csms, system (set by hand or by its battery), or "" (not valid)."""
        if not self._clock.wall_valid():
            return ""
        if self._port is not None and self._port.synchronised():
            return "ntp"
        return "csms" if self._by_csms else "system"

    async def learn(self, text: str, sent: Instant) -> None:
        """Take ``currentTime`` of an answer to a request of ``sent``: its time lies half way between."""
        await self.look()
        theirs = parse_timestamp(text)
        self.heard = self._clock.wall()
        self.again = False
        if theirs is None:
            self._note(f"the CSMS tells no readable time: {text[:40]!r}")
            return
        offset = theirs + (self._clock.now() - sent) // 2 - self._clock.wall()
        self.offset_ms = offset // NS_PER_MS
        if self._port is None or not self._wanted() or not self._believable(theirs) or self._by_daemon(offset):
            self._suspect = None
            return
        valid = self._clock.wall_valid()
        if valid and abs(offset) <= TOLERANCE_NS:
            self._suspect, self._by_csms = None, True
            return
        suspect, self._suspect = self._suspect, None
        if valid and abs(offset) > JUMP_NS and (suspect is None or abs(offset - suspect) > TOLERANCE_NS):
            self._suspect, self.again = offset, suspect is None
            return
        before = self._clock.wall()
        where = self._port.move(offset)
        self._by_csms = True
        log.info("ocpp: the CSMS sets the calendar by %+.3f s (%s clock)", offset / NS_PER_S, where)
        if abs(offset) > JUMP_NS:
            self._security("SettingSystemTime", f"{timestamp(before)} to {timestamp(before + offset)} by the CSMS")
        await self._moved("csms")

    def _believable(self, theirs: WallNs) -> bool:
        if VALID_FROM <= theirs < VALID_TO:
            return True
        self._note(f"the CSMS tells an impossible time ({timestamp(theirs)}); it is not taken")
        return False

    def _by_daemon(self, offset: DurationNs) -> bool:
        if self._port is None or not self._port.synchronised():
            self._told = False
            return False
        far = abs(offset) > JUMP_NS
        if far and not self._told:
            self._note(f"the clock of the CSMS is off by {offset / NS_PER_S:+.0f} s; the station keeps its NTP time")
        self._told = far
        return True

    async def run(self) -> None:
        """Notice what others do to the calendar, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Notice a calendar that was moved, and a time daemon that has taken over from us."""
        port = self._port
        if port is not None and self._by_csms and port.synchronised():
            self._by_csms = False
            port.follow_system()
            await self._moved("ntp")
            return
        await self._moved("ntp" if port is not None and port.synchronised() else "system")

    async def _moved(self, source: str) -> None:
        delta = self._clock.wall() - self._clock.now()
        by, self._delta = delta - self._delta, delta
        valid = self._clock.wall_valid()
        first, self._was_valid = valid and not self._was_valid, valid
        if abs(by) <= JUMP_NS and not first:
            return
        if source == "system":
            self._by_csms = False
        log.warning("ocpp: the calendar has moved by %+.3f s (%s)", by / NS_PER_S, source)
        if first:
            for callback in self.arrived:
                try:
                    await callback(by)
                except DeviceError as error:
                    self._note(f"what was recorded without time cannot be corrected now: {error}")
        self._jumped(ClockJump(by=by, source=source, first=first))
