"""The storage thread under virtual time: work is done later, in order, even when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


class LaggingExecutor:
    """`evse.storage.executor.ThreadExecutor` without a thread: each job takes ``lag_s`` at most.

    As with a thread, a caller that is cancelled takes a job back only while it has not begun; one that has begun is
    carried out and its result is told to nobody.
    """

    def __init__(self, rng: Random, lag_s: float) -> None:
        self._rng = rng
        self._lag_s = lag_s
        self._jobs: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._busy = False

    async def run(self, job: Callable[[], T]) -> T:
        """Return what ``job`` returns."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.append((job, future))
        self._begin()
        return await future

    def _begin(self) -> None:
        while self._jobs and not self._busy:
            job, future = self._jobs.popleft()
            if future.cancelled():
                continue
            self._busy = True
            asyncio.get_running_loop().call_later(self._rng.uniform(0, self._lag_s), self._end, job, future)

    def _end(self, job: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self._busy = False
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001 - `Cut` too: it goes to whoever waits
            if not future.cancelled():
                future.set_exception(error)
        else:
            if not future.cancelled():
                future.set_result(result)
        self._begin()

    async def close(self) -> None:
        """Nothing waits: the store closes last."""
