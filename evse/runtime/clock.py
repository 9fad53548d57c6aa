"""The real clocks. Everything else gets a `Clock` passed in."""

from __future__ import annotations

import time

from evse.units import NS_PER_S, Instant, WallNs

WALL_VALID_FROM = 1_704_067_200 * NS_PER_S
"""2024-01-01: a wall clock before this has never been set (no battery, no time source yet)."""


class RealClock:
    """Monotonic and calendar time of the machine."""

    def now(self) -> Instant:
        """Monotonic ns."""
        return time.monotonic_ns()

    def wall(self) -> WallNs:
        """UTC ns."""
        return time.time_ns()

    def wall_valid(self) -> bool:
        """Return whether the calendar is plausible."""
        return time.time_ns() >= WALL_VALID_FROM
