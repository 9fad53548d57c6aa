"""A file that arrives in pieces, over several attempts and perhaps several lives of the process.

After a power cut only what was synced counts: the length of a file may be there without its content. So the length that
is surely on the medium is saved every `SYNC_BYTES` and the rest is cut off when the file is opened again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from evse.ocpp.transfers.errors import TransferError, Why

T = TypeVar("T")

SYNC_BYTES: Final = 4 << 20
RESERVE_BYTES: Final = 16 << 20
"""Left free on the medium: the database goes before a download."""

MIB: Final = 1 << 20


class _Offload(Protocol):
    def __call__(self, job: Callable[[], T]) -> Coroutine[Any, Any, T]: ...


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a file that has not arrived yet. ``validator`` tells whether the server still has the same one."""

    synced: int = 0
    total: int | None = None
    validator: str = ""


class PartFile:
    """The file at ``path`` as far as it has arrived. ``save`` makes a change of `saved` durable."""

    def __init__(
        self, path: Path, saved: Saved, *, size_max: int, offload: _Offload,
        save: Callable[[Saved], Awaitable[None]],
    ) -> None:
        self.path = path
        self.saved = saved
        self.size = 0
        self._size_max = size_max
        self._offload = offload
        self._save = save
        self._fresh = True

    async def open(self) -> None:
        """Look at what is there. What a former process did not sync is cut off; raises `TransferError`."""
        if self._fresh:
            self.size = await self._disk(self._cut_to_synced)
            self._fresh = False

    def _cut_to_synced(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            length = file.tell()
            kept = self.saved.synced if self.saved.synced <= length else 0
            file.truncate(kept)
        return kept

    async def begin(self, offset: int, total: int | None, validator: str) -> None:
        """The server will send from ``offset`` (0 or `size`) on; raise `TransferError` when the file does not fit."""
        if total is not None:
            self._check_size(total)
        elif offset:
            total = self.saved.total
        wanted = offset

        def job() -> int:
            with self.path.open("r+b") as file:
                file.truncate(wanted)
            return shutil.disk_usage(self.path.parent).free

        free = await self._disk(job)
        self.size = offset
        if total is not None and total - offset > free - RESERVE_BYTES:
            need = (total - offset) // MIB + 1
            text = f"{self.path.parent}: {need} MiB are needed, {free // MIB} MiB are free; make room on the medium"
            raise TransferError(Why.SIZE, text)
        saved = Saved(synced=min(self.saved.synced, offset), total=total, validator=validator)
        if saved != self.saved:
            await self._set(saved)

    def _check_size(self, size: int) -> None:
        if size > self._size_max:
            text = f"the file has more than {self._size_max // MIB} MiB ({size} bytes); raise firmware.max_mib if it is right"
            raise TransferError(Why.SIZE, text)

    async def write(self, data: bytes) -> None:
        """Append; sync now and then. Raises `TransferError`."""
        self._check_size(self.size + len(data))
        sync = self.size + len(data) - self.saved.synced >= SYNC_BYTES

        def job() -> None:
            with self.path.open("ab") as file:
                file.write(data)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            self.size += len(data)

        await self._disk(job)
        if sync:
            await self._set(msgspec.structs.replace(self.saved, synced=self.size))

    async def finish(self) -> None:
        """Everything has arrived: sync it. Raises `TransferError` when the length is not what the server had said."""
        total, size = self.saved.total, self.size
        if total is not None and size != total:
            if size > total:
                await self.forget()
            raise TransferError(Why.LINE, f"the transfer ended after {size} of {total} bytes")

        def job() -> None:
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

        await self._disk(job)
        await self._set(msgspec.structs.replace(self.saved, synced=self.size, total=self.size))

    async def forget(self) -> None:
        """Begin again at 0 with the next attempt."""
        self.size = 0
        await self._set(Saved())

    async def _set(self, saved: Saved) -> None:
        self.saved = saved
        await self._save(saved)

    async def _disk(self, job: Callable[[], T]) -> T:
        """Do ``job`` on the medium; a cancellation waits for its end, so that nothing writes afterwards."""
        work = asyncio.ensure_future(self._offload(job))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()  # seen
            raise
        except OSError as error:
            text = f"{self.path}: cannot be written: {error.strerror}; check free space and rights"
            raise TransferError(Why.MEDIUM, text) from error
