"""Virtual time for asyncio: sleeping costs nothing, a deadlock is an error, an hour is exact.

Nothing waits: when no callback is ready the loop moves an integer clock to the next timer. Threads and real
sockets break this (time would run past pending I/O): code under it uses in-memory transports and the inline executor.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
from typing import Any, NoReturn, TypeVar

import msgspec

from evse.units import NS_PER_S, Instant, WallNs

T = TypeVar("T")

CANCELLED_MAX = 100
"""So many cancelled timers may lie in the queue before they are swept out, as soon as they are the greater part."""


class Deadlock(RuntimeError):
    """Nothing is ready and no timer is set: the code under test waits for ever."""


class _NoSelector(selectors.SelectSelector):
    """Watches nothing: `VirtualLoop` never asks it."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        raise RuntimeError("virtual time has no I/O")


class _Call(msgspec.Struct, eq=False):
    """What `call_soon` and `call_at` return: a handle as asyncio knows it, made in a third of the time."""

    loop: VirtualLoop
    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: Context
    due_ns: Instant = 0
    waits: bool = False
    """In the queue of timers."""
    dropped: bool = False

    def cancel(self) -> None:
        """Do not run it; a timer is taken out of the queue later."""
        if self.waits and not self.dropped:
            self.loop.cancelled_timers += 1
        self.dropped = True
        self.callback, self.args = _nothing, ()

    def cancelled(self) -> bool:
        """Whether it will never run."""
        return self.dropped

    def when(self) -> float:
        """Virtual seconds."""
        return self.due_ns / NS_PER_S


def _nothing() -> None: ...


_SLEPT: Callable[..., object] = asyncio.futures._set_result_unless_cancelled  # type: ignore[attr-defined]
"""What `asyncio.sleep` calls at its end."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose ``time()`` is an integer that only sleeping moves.

    Ready callbacks run in the order in which they were made; timers in the order of their instants and, for one
    instant, in the order in which they were set. `_run_once` takes the place of asyncio's own: without sockets and
    signals a pass runs what is ready, else moves the clock, and a day of a station takes thirteen million passes.
    """

    _stopping: bool

    def __init__(self) -> None:
        super().__init__(_NoSelector())
        self.get_debug = False.__bool__  # type: ignore[method-assign]  # each future asks; without a frame of its own
        self.now_ns: Instant = NS_PER_S
        self.cancelled_timers = 0
        self._soon: deque[_Call] = deque()
        self._timers: list[tuple[Instant, int, _Call]] = []
        self._number = 0

    def time(self) -> float:
        """Virtual seconds."""
        return self.now_ns / NS_PER_S

    @property
    def timers(self) -> int:
        """Timers in the queue, cancelled ones too."""
        return len(self._timers)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Call:
        """Run ``callback`` in the next pass."""
        call = _Call(self, callback, args, copy_context() if context is None else context)
        self._soon.append(call)
        return call

    def call_soon_threadsafe(self, *_: object, **__: object) -> NoReturn:
        """Refuse: time would run past whatever a thread does."""
        raise RuntimeError("virtual time has no threads; use the inline executor")

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Call:
        """Run ``callback`` in ``delay`` virtual seconds; 1 ns at least, so that a rounding error cannot spin."""
        due = self.now_ns + (round(delay * NS_PER_S) or 1) if delay > 0 else self.now_ns + 1
        call = _Call(self, callback, args, copy_context() if context is None else context, due, True)
        self._number += 1
        heappush(self._timers, (due, self._number, call))
        return call

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Call:
        """Run ``callback`` when ``time()`` is ``when``."""
        due = round(when * NS_PER_S)
        call = _Call(self, callback, args, copy_context() if context is None else context, due, True)
        self._number += 1
        heappush(self._timers, (due, self._number, call))
        return call

    def close(self) -> None:
        """Forget what is waiting."""
        super().close()
        self._soon.clear()
        self._timers.clear()

    def _run_once(self) -> None:
        soon, timers = self._soon, self._timers
        if self.cancelled_timers and (timers[0][2].dropped or self.cancelled_timers > CANCELLED_MAX):
            self._sweep()
        if not soon and not self._stopping:
            if not timers:
                raise Deadlock("no callback is ready and no timer is set")
            self.now_ns = max(self.now_ns, timers[0][0])
        while timers and timers[0][0] <= self.now_ns:
            call = heappop(timers)[2]
            call.waits = False
            if call.dropped:
                self.cancelled_timers -= 1
            else:
                soon.append(call)
        for _ in range(len(soon)):
            call = soon.popleft()
            if not call.dropped:
                try:
                    if call.callback is _SLEPT:  # it needs no context, and there are many
                        future, result = call.args
                        if not future.cancelled():
                            future.set_result(result)
                    else:
                        call.context.run(call.callback, *call.args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as asyncio: the handler of the loop tells it
                    self.call_exception_handler(
                        {"message": f"Exception in callback {call.callback}", "exception": error}
                    )

    def _sweep(self) -> None:
        """Take cancelled timers from the head of the queue; from all of it when they are many."""
        timers = self._timers
        if self.cancelled_timers > CANCELLED_MAX and self.cancelled_timers * 2 > len(timers):
            timers[:] = [timer for timer in timers if not timer[2].dropped]
            heapify(timers)
            self.cancelled_timers = 0
        while timers and timers[0][2].dropped:
            heappop(timers)
            self.cancelled_timers -= 1


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
