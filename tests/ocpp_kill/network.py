"""The network of a station that may end at any operation: dialling, sending, receiving, pinging, closing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from evse.domain.base import DeviceError
from evse.sim.csms import SimCsms
from evse.transports.base import ByteStream, CanBus, SerialSettings, WebSocket
from evse.transports.memory import MemoryWebSocket
from tests.ocpp_kill.fuse import Fuse


class FusedSocket:
    """The station's end of a WebSocket."""

    def __init__(self, inner: MemoryWebSocket, fuse: Fuse) -> None:
        self.inner = inner
        self.subprotocol = inner.subprotocol
        self.remote = inner.remote
        self._fuse = fuse

    async def recv(self) -> str:
        """The message is taken from the network, then the process may end before it looks at it."""
        text = await self.inner.recv()
        self._fuse.step("net recv")
        self._fuse.stepped("net recv")
        return text

    async def send(self, text: str) -> None:
        """Ends before anything, or when the kernel has the message."""
        self._fuse.step("net send")
        await self.inner.send(text)
        self._fuse.stepped("net send")

    async def ping(self, timeout_s: float) -> None:
        """Ends before or after."""
        self._fuse.step("net ping")
        await self.inner.ping(timeout_s)
        self._fuse.stepped("net ping")

    async def close(self) -> None:
        """A dead process says no goodbye."""
        self._fuse.step("net close")
        await self.inner.close()
        self._fuse.stepped("net close")


class FusedNetwork:
    """`Openers` to one `SimCsms`, for one life."""

    def __init__(self, csms: SimCsms, fuse: Fuse) -> None:
        self._csms = csms
        self._fuse = fuse
        self._sockets: list[MemoryWebSocket] = []

    async def open_websocket(
        self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float, *_: Any, **__: Any
    ) -> WebSocket:
        """Dial."""
        self._fuse.step("net dial")
        ws = await self._csms.connect(url, subprotocols, headers)
        assert isinstance(ws, MemoryWebSocket)
        self._sockets.append(ws)
        self._fuse.stepped("net dial")
        return FusedSocket(ws, self._fuse)

    def killed(self) -> None:
        """The kernel closes what a process had open; what it had sent arrives."""
        for ws in self._sockets:
            ws.end(clean=False, detail="the process of the station has ended")

    def powerless(self, rng: Random) -> None:
        """No goodbye: the CSMS believes in the link; what was on its way may arrive or not."""
        for ws in self._sockets:
            ws.answers_ping = False
            if ws.peer is not None and ws.peer._queue:
                for _ in range(rng.randint(0, len(ws.peer._queue))):
                    ws.peer._queue.pop()

    async def open_serial(self, settings: SerialSettings) -> ByteStream:
        """None here."""
        raise DeviceError("no serial ports here")

    async def open_can(self, interface: str, channel: str, bitrate: int) -> CanBus:
        """None here."""
        raise DeviceError("no CAN here")

    async def open_tcp(self, host: str, port: int) -> ByteStream:
        """None here."""
        raise DeviceError("no TCP here")

    def list_serial(self) -> list[str]:
        """None here."""
        return []


__all__ = ["FusedNetwork", "FusedSocket"]
