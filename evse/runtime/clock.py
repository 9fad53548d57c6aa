"""The real clocks. Everything else gets a `Clock` passed in."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from evse.units import NS_PER_S, DurationNs, Instant, WallNs

WALL_VALID_FROM = 1_704_067_200 * NS_PER_S
"""2024-01-01: a wall clock before this has never been set (no battery, no time source yet)."""

_TIMEX_BYTES: Final = 512
"""Room for ``struct timex`` of any Linux; all zero = read only."""

_TIME_ERROR: Final = 5
"""adjtimex(2): the clock is not synchronised."""

TIMESYNC_MARK: Final = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd makes it when it has set the clock (systemd-timesyncd.service(8))."""


@cache
def _libc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None)
    except OSError:
        return None


def kernel_state() -> int:
    """Return the state of the kernel's clock (adjtimex(2)); -1 where it is not told."""
    adjtimex = getattr(_libc(), "adjtimex", None)
    return -1 if adjtimex is None else int(adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))


def synchronised(state: Callable[[], int] = kernel_state, mark: Path = TIMESYNC_MARK) -> bool:
    """Tell whether a time daemon keeps the system clock: by the kernel, or where it is not told by timesyncd's mark."""
    found = state()
    return mark.exists() if found < 0 else found < _TIME_ERROR


class RealClock:
    """Monotonic and calendar time of the machine; the calendar may carry an offset of our own. Also a `ClockPort`.

    ``set_system`` False, or no permission (CAP_SYS_TIME): `move` leaves the system clock alone.
    """

    def __init__(
        self, *, set_system: bool = False, daemon: Callable[[], bool] = synchronised,
        system_ns: Callable[[], WallNs] = time.time_ns,
        set_ns: Callable[[int, int], object] = time.clock_settime_ns,
    ) -> None:
        self._set_system = set_system
        self._daemon = daemon
        self._system_ns = system_ns
        self._set_ns = set_ns
        self._offset: DurationNs = 0

    def now(self) -> Instant:
        """Monotonic ns."""
        return time.monotonic_ns()

    def wall(self) -> WallNs:
        """UTC ns."""
        return self._system_ns() + self._offset

    def wall_valid(self) -> bool:
        """Return whether the calendar is plausible."""
        return self.wall() >= WALL_VALID_FROM

    def synchronised(self) -> bool:
        """Tell whether a time daemon keeps the system clock."""
        return self._daemon()

    def move(self, by: DurationNs) -> str:
        """Move the calendar; see `ClockPort.move`."""
        if self._set_system:
            with contextlib.suppress(OSError):
                self._set_ns(time.CLOCK_REALTIME, self.wall() + by)
                self._offset = 0
                return "system"
        self._offset += by
        return "own"

    def follow_system(self) -> DurationNs:
        """Drop our own offset; see `ClockPort.follow_system`."""
        moved, self._offset = -self._offset, 0
        return moved
