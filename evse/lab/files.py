"""A `Carrier` without a network: the simulator's file store under virtual time, with the same faults as its servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.partial import PartFile
from evse.ocpp.transfers.ports import Progress
from evse.ocpp.transfers.target import Target
from evse.sim.files import FileStore

PIECE: Final = 64 * 1024


class MemoryCarrier:
    """Moves files between ``store`` and the station, ``piece_s`` virtual seconds for each 64 KiB."""

    def __init__(self, store: FileStore, *, piece_s: float = 0.1) -> None:
        self.store = store
        self.piece_s = piece_s
        self.fetches = 0
        self.sends = 0

    def _enter(self, target: Target) -> str:
        if not self.store.admits(target.user, target.password):
            raise TransferError(Why.CREDENTIALS, f"{target.netloc}: refuses user {target.user}")
        if self.store.is_busy():
            raise TransferError(Why.SERVER, f"{target.netloc}: the server answers 503 Service Unavailable")
        return "/" + target.path.lstrip("/")

    async def fetch(self, target: Target, into: PartFile, progress: Progress) -> None:
        """See `Carrier.fetch`."""
        self.fetches += 1
        await into.open()
        path = self._enter(target)
        content = self.store.files.get(path)
        if content is None:
            raise TransferError(Why.SERVER, f"{target.shown()}: is not there")
        validator = f"v{self.store.changed[path]}"
        offset = into.size if validator == into.saved.validator and into.size <= len(content) else 0
        self.store.offsets.append(offset)
        await into.begin(offset, len(content), validator)
        drop = self.store.next_drop()
        sent = 0
        while offset < len(content):
            await asyncio.sleep(self.piece_s)
            piece = content[offset : offset + PIECE]
            if 0 <= drop < sent + len(piece):
                await into.write(piece[: drop - sent])
                raise TransferError(Why.LINE, f"{target.netloc}: the server has broken the connection off")
            await into.write(piece)
            offset, sent = offset + len(piece), sent + len(piece)
            progress(offset, len(content))
        await into.finish()

    async def send(self, target: Target, path: Path, name: str, progress: Progress) -> None:
        """See `Carrier.send`."""
        self.sends += 1
        folder = self._enter(target).rstrip("/")
        if self.store.readonly:
            raise TransferError(Why.CREDENTIALS, f"{target.netloc}: {name} may not be stored there")
        content = _content(path)
        drop = self.store.next_drop()
        for at in range(0, len(content), PIECE):
            await asyncio.sleep(self.piece_s)
            if 0 <= drop < at + PIECE:
                raise TransferError(Why.LINE, f"{target.netloc}: the server has broken the connection off")
            progress(min(at + PIECE, len(content)), len(content))
        self.store.put(f"{folder}/{name}", content)


def _content(path: Path) -> bytes:
    return path.read_bytes()
