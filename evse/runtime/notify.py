"""What the daemon tells its service manager: ready, and alive only as long as the control loop ticks.

A process whose event loop answers but whose control loop stands still is not alive: boards drop their leases after
300 ms, and the only repair is a new process. So a ping needs ticks since the one before it.
"""

from __future__ import annotations

from typing import Protocol

from evse.api.sd_notify import ServiceManager
from evse.units import NS_PER_S

POLL_MAX_S = 1.0
POLL_MIN_S = 0.1


class Ticks(Protocol):
    """What the control loop counts (`evse.runtime.loop.LoopStats`)."""

    count: int


class DaemonNotice:
    """Joins the loop's counter and the service manager."""

    def __init__(self, manager: ServiceManager, ticks: Ticks) -> None:
        self._manager = manager
        self._ticks = ticks
        self._seen = ticks.count

    @property
    def poll_s(self) -> float:
        """Seconds between two calls of `alive` that keep the watchdog content."""
        if not self._manager.watchdog_ns:
            return POLL_MAX_S
        return max(POLL_MIN_S, min(POLL_MAX_S, self._manager.watchdog_ns / NS_PER_S / 4))

    def ready(self, where: str) -> None:
        """The API listens at ``where`` and the control loop runs."""
        self._manager.ready(f"API at {where}")
        self._manager.alive()

    def alive(self) -> bool:
        """Ping if the control loop ticked since the last call; returns whether it did."""
        count = self._ticks.count
        moved = count != self._seen
        self._seen = count
        if moved:
            self._manager.alive()
        return moved

    def stopping(self) -> None:
        """The daemon ends: energy off first, then what is left is written."""
        self._manager.stopping()
