"""Virtual time for asyncio: sleeping costs nothing, a deadlock is an error, an hour is exact.

The selector never waits; when no callback is ready it moves an integer clock to the next timer. Threads and real
sockets break this (time would run past pending I/O): code under it uses in-memory transports and the inline executor.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from evse.units import NS_PER_S, Instant, WallNs

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Nothing is ready and no timer is set: the code under test waits for ever."""


class _VirtualSelector(selectors.SelectSelector):
    """Never waits: tells the loop how far to move its clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("no callback is ready and no timer is set")
        if timeout > 0 and self.loop is not None:
            self.loop.advance(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose ``time()`` is an integer that only sleeping moves."""

    def __init__(self) -> None:
        selector = _VirtualSelector()
        super().__init__(selector)
        selector.loop = self
        self.now_ns: Instant = NS_PER_S

    def time(self) -> float:
        """Virtual seconds."""
        return self.now_ns / NS_PER_S

    def advance(self, seconds: float) -> None:
        """Move the clock; at least 1 ns, so that a rounding error cannot spin."""
        self.now_ns += max(1, round(seconds * NS_PER_S))


class VirtualClock:
    """`evse.domain.clock.Clock` on a `VirtualLoop`. ``jump_wall`` moves the calendar without moving monotonic time."""

    def __init__(self, loop: VirtualLoop, wall_at_start: WallNs = 1_767_225_600 * NS_PER_S) -> None:
        self._loop = loop
        self._offset = wall_at_start - loop.now_ns
        self.valid = True

    def now(self) -> Instant:
        """Monotonic ns."""
        return self._loop.now_ns

    def wall(self) -> WallNs:
        """UTC ns; starts at 2026-01-01 unless told otherwise."""
        return self._loop.now_ns + self._offset

    def wall_valid(self) -> bool:
        """As set by the test."""
        return self.valid

    def jump_wall(self, to: WallNs) -> None:
        """Set the calendar; monotonic time and all deadlines stay."""
        self._offset = to - self._loop.now_ns


def run_virtual(main: Coroutine[Any, Any, T], loop: VirtualLoop | None = None) -> T:
    """Run ``main`` on a virtual loop to its end, cancel what it left behind, close the loop."""
    loop = loop or VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
