"""Owner tasks under watch: one that fails is logged by name and started again, with growing pauses.

Drivers never end by themselves; if one does, that is our bug and it must not take the others with it. The control
loop is not restarted silently: its failure leaves everything in the safe levels and the fault INTERNAL on the screens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

PAUSE_MIN_S = 0.5
PAUSE_MAX_S = 30.0


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
        while True:
            try:
                await run()
                self.failures[name] = "ended"
                log.error("task %s ended by itself; starting it again in %.1f s", name, pause)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self.failures[name] = f"{type(error).__name__}: {error}"
                log.exception("task %s failed; starting it again in %.1f s", name, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_MAX_S)

    async def stop(self) -> None:
        """Cancel all tasks in reverse order and wait for them."""
        for task in reversed(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
