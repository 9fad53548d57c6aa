"""The two clocks as a port. Implemented by the runtime (real) and by the lab (virtual)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from evse.units import DurationNs, Instant, WallNs


class Clock(Protocol):
    """Time is injected, never read from a module."""

    def now(self) -> Instant:
        """Monotonic nanoseconds; for deadlines and ages."""
        ...

    def wall(self) -> WallNs:
        """UTC nanoseconds since the epoch; for records only."""
        ...

    def wall_valid(self) -> bool:
        """Return False until a time source has set the clock (year before 2024 counts as not set)."""
        ...


@runtime_checkable
class ClockPort(Protocol):
    """How the calendar is moved. A clock that nobody may move has no such port."""

    def synchronised(self) -> bool:
        """Tell whether the operating system keeps its calendar by a time source of its own (NTP, PTP, GNSS)."""
        ...

    def move(self, by: DurationNs) -> str:
        """Move `Clock.wall` by ``by`` ns; return "system" when the system clock was set, "own" when only ours was."""
        ...

    def follow_system(self) -> DurationNs:
        """Give up an offset of our own; return by how many ns `Clock.wall` has moved."""
        ...
