"""`Carrier` on the real network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evse.ocpp.transfers.fetch import fetch
from evse.ocpp.transfers.partial import PartFile
from evse.ocpp.transfers.ports import Net, Progress
from evse.ocpp.transfers.send import send
from evse.ocpp.transfers.target import Target


class NetCarrier:
    """Moves files over the network as ``net`` says at the begin of each attempt."""

    def __init__(self, net: Callable[[], Net]) -> None:
        self._net = net

    async def fetch(self, target: Target, into: PartFile, progress: Progress) -> None:
        """See `Carrier.fetch`."""
        await fetch(self._net(), target, into, progress)

    async def send(self, target: Target, path: Path, name: str, progress: Progress) -> None:
        """See `Carrier.send`."""
        await send(self._net(), target, path, name, progress)
