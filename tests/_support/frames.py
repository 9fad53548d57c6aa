"""A back end of a test that is no `SimCsms`: its frames go through the official schemas too."""

from __future__ import annotations

from collections.abc import AsyncIterator

from websockets.asyncio.server import ServerConnection

from evse.sim.csms import SimCsms
from evse.sim.csms_frames import LinkFrames
from evse.transports.memory import MemoryWebSocket


def frames_of_a_link() -> LinkFrames:
    """Frames of another link, in the book of this test."""
    assert SimCsms.frames is not None, "tests/conftest.py opens a book for each test"
    return LinkFrames(SimCsms.frames)


class Watched:
    """The server's end of a real WebSocket."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._frames = frames_of_a_link()

    async def __aiter__(self) -> AsyncIterator[str]:
        async for text in self._connection:
            assert isinstance(text, str)
            self._frames.heard(text)
            yield text

    async def send(self, text: str, *, on_purpose: bool = False) -> None:
        """Send; ``on_purpose`` = it may be wrong."""
        self._frames.said(text, on_purpose=on_purpose)
        await self._connection.send(text)


class FarEnd(MemoryWebSocket):
    """The back end's end of a link in memory; whatever it sends may be wrong, what it gets may not."""

    def __init__(self, near: MemoryWebSocket) -> None:
        super().__init__(near.subprotocol)
        self.peer, near.peer = near, self
        self._frames = frames_of_a_link()

    async def recv(self) -> str:
        text = await super().recv()
        self._frames.heard(text)
        return text

    async def send(self, text: str) -> None:
        self._frames.said(text, on_purpose=True)
        await super().send(text)


__all__ = ["FarEnd", "Watched", "frames_of_a_link"]
