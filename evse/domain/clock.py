"""The two clocks as a port. Implemented by the runtime (real) and by the lab (virtual)."""

from __future__ import annotations

from typing import Protocol

from evse.units import Instant, WallNs


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
