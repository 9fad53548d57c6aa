"""Where database work runs: in one writer thread (device), or inline (virtual time, tests)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from evse.domain.base import DeviceError

T = TypeVar("T")

WAITING_MAX = 1000
"""Jobs that may wait for the writer thread; beyond it the caller gets `StorageError` (the disk has stopped)."""


class StorageError(DeviceError):
    """The database did not do what it was asked; nothing of the failed call is stored (or its answer got lost).

    ``code``: a name of `evse.domain.fault_table.PERSISTENCE_CODES`, "" = not known.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Executor(Protocol):
    """Runs blocking functions one after the other, in the order of the calls."""

    async def run(self, job: Callable[[], T]) -> T:
        """Return what ``job`` returns."""
        ...

    async def close(self) -> None:
        """Finish what waits, then refuse more."""
        ...


class InlineExecutor:
    """Runs the job in the caller, for virtual time and tests."""

    async def run(self, job: Callable[[], T]) -> T:
        """Return what ``job`` returns, at once."""
        return job()

    async def close(self) -> None:
        """Nothing to end."""


class ThreadExecutor:
    """One thread, so that an fsync never holds up the control loop and there is one writer only."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="storage")
        self._waiting = 0

    async def run(self, job: Callable[[], T]) -> T:
        """Return what ``job`` returns; raise `StorageError` when `WAITING_MAX` jobs wait already."""
        if self._waiting >= WAITING_MAX:
            raise StorageError(f"storage: {WAITING_MAX} writes are waiting; the disk does not follow: check the medium")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, job)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Wait for the running job and end the thread."""
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
