"""In-memory twins of the pipes: the same driver code runs on them under virtual time.

Faults are wrappers around these (`evse.transports.faulty`), so any protocol test runs through any fault.
"""

from __future__ import annotations

import asyncio
from collections import deque

from evse.domain.base import DeviceError
from evse.transports.base import CanFrame, WsClosed

BUFFER_MAX = 256 * 1024
"""Unread bytes per direction; the writer gets `DeviceError` beyond it (a peer that never reads is broken)."""


class MemoryStream:
    """One end of a byte pipe. Create both with `stream_pair`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.peer: MemoryStream | None = None
        self._unread: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def read(self) -> bytes:
        """Return what has arrived, waiting for the first byte; `DeviceError` when either end closed."""
        while not self._unread:
            if self._closed:
                raise DeviceError(f"{self.name}: closed")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        unread, self._unread, self._size = self._unread, [], 0
        return unread[0] if len(unread) == 1 else b"".join(unread)

    async def write(self, data: bytes) -> None:
        """Append to the peer's buffer at once."""
        self.write_now(data)

    def write_now(self, data: bytes) -> bool:
        """`write` without a coroutine; always True (taken). Drivers and the simulator probe for it once."""
        peer = self.peer
        if self._closed or peer is None or peer._closed:
            raise DeviceError(f"{self.name}: closed")
        if peer._size + len(data) > BUFFER_MAX:
            raise DeviceError(f"{self.name}: peer does not read ({BUFFER_MAX} bytes waiting)")
        if data:
            peer._unread.append(bytes(data))
            peer._size += len(data)
        peer._wake()
        return True

    async def close(self) -> None:
        """Close both directions."""
        self.close_now()

    def close_now(self) -> None:
        """`close` without a coroutine."""
        for end in (self, self.peer):
            if end is not None:
                end._closed = True
                end._wake()


def stream_pair(name: str) -> tuple[MemoryStream, MemoryStream]:
    """Return two connected ends."""
    a, b = MemoryStream(f"{name}/a"), MemoryStream(f"{name}/b")
    a.peer, b.peer = b, a
    return a, b


class MemoryCan:
    """One node on a `MemoryCanBus`."""

    def __init__(self, bus: MemoryCanBus) -> None:
        self._bus = bus
        self._queue: deque[CanFrame] = deque(maxlen=4096)
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def _deliver(self, frame: CanFrame) -> None:
        self._queue.append(frame)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None

    async def recv(self) -> CanFrame:
        """Return the next frame of another node."""
        while not self._queue:
            if self._closed:
                raise DeviceError("memory CAN: closed")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._queue.popleft()

    async def send(self, frame: CanFrame) -> None:
        """Deliver to all other nodes at once."""
        self.send_now(frame)

    def send_now(self, frame: CanFrame) -> None:
        """`send` without a coroutine."""
        if self._closed:
            raise DeviceError("memory CAN: closed")
        for node in self._bus.nodes:
            if node is not self:
                node._deliver(frame)

    async def close(self) -> None:
        """Leave the bus."""
        self._closed = True
        if self in self._bus.nodes:
            self._bus.nodes.remove(self)
        self._wake()


class MemoryCanBus:
    """A CAN bus in memory: every frame reaches every other node, in order."""

    def __init__(self) -> None:
        self.nodes: list[MemoryCan] = []

    def node(self) -> MemoryCan:
        """Attach a new node."""
        node = MemoryCan(self)
        self.nodes.append(node)
        return node


class MemoryWebSocket:
    """One end of a WebSocket in memory. Create both with `websocket_pair`."""

    def __init__(self, subprotocol: str) -> None:
        self.subprotocol = subprotocol
        self.remote = "memory"
        self.peer: MemoryWebSocket | None = None
        self.answers_ping = True  # False = half-open: messages vanish, pings time out
        self._queue: deque[str] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._closed: WsClosed | None = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None

    async def recv(self) -> str:
        """Return the next message."""
        while not self._queue:
            if self._closed is not None:
                raise self._closed
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._queue.popleft()

    async def send(self, text: str) -> None:
        """Deliver to the peer, unless the link is half-open."""
        if self._closed is not None:
            raise self._closed
        peer = self.peer
        if peer is None or not peer.answers_ping:
            return
        peer._queue.append(text)
        peer._wake()

    async def ping(self, timeout_s: float) -> None:
        """Return when the peer answers; close and raise `WsClosed` after ``timeout_s`` otherwise."""
        if self._closed is not None:
            raise self._closed
        if self.peer is not None and self.peer.answers_ping:
            return
        await asyncio.sleep(timeout_s)
        error = WsClosed(clean=False, detail=f"no pong within {timeout_s:g} s")
        self._closed = error
        self._wake()
        raise error

    async def close(self) -> None:
        """Close both ends cleanly."""
        self.end(clean=True, detail="closed")

    def end(self, *, clean: bool, detail: str) -> None:
        """End both directions now."""
        for end in (self, self.peer):
            if end is not None and end._closed is None:
                end._closed = WsClosed(clean=clean, detail=detail)
                end._wake()


def websocket_pair(subprotocol: str) -> tuple[MemoryWebSocket, MemoryWebSocket]:
    """Return two connected ends (client, server)."""
    a, b = MemoryWebSocket(subprotocol), MemoryWebSocket(subprotocol)
    a.peer, b.peer = b, a
    return a, b
