"""Owner tasks under watch: one that fails is logged by name and started again, with growing pauses.

Drivers never end by themselves; if one does, that is our bug and it must not take the others with it. The control
loop keeps itself alive: after a bug it sends the safe levels on every tick and shows the fault INTERNAL.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

PAUSE_MIN_S = 0.5
PAUSE_MAX_S = 30.0
HEALTHY_S = 60.0
"""A task that ran for so long had recovered: its next failure is paused for as short as the first one."""


class Supervisor:
    """Runs named tasks until cancelled."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Start ``run`` as an owner task."""
        self._tasks.append(asyncio.get_running_loop().create_task(self._keep(name, run), name=name))

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        pause = PAUSE_MIN_S
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await run()
                self.failures[name] = "ended"
                log.error("task %s ended by itself; starting it again soon", name)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self.failures[name] = f"{type(error).__name__}: {error}"
                log.exception("task %s failed; starting it again soon", name)
            if loop.time() - began >= HEALTHY_S:
                pause = PAUSE_MIN_S
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_MAX_S)

    async def stop(self) -> None:
        """Cancel all tasks in reverse order and wait for them."""
        for task in reversed(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
