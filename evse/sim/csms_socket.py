"""The server's end of a real WebSocket, for the CSMS of the simulator."""

from __future__ import annotations

import asyncio
from typing import Any

from evse.transports.base import WsClosed


class RealSocket:
    """`WebSocket` on a connection of the ``websockets`` server."""

    def __init__(self, connection: Any) -> None:
        self.subprotocol = str(connection.subprotocol or "")
        self.remote = str(connection.remote_address)
        self._connection = connection

    async def recv(self) -> str:
        from websockets.exceptions import ConnectionClosed

        try:
            message = await self._connection.recv()
        except ConnectionClosed as error:
            raise WsClosed(clean=error.rcvd is not None, detail=str(error)) from error
        return message if isinstance(message, str) else message.decode("utf-8", "replace")

    async def send(self, text: str) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise WsClosed(clean=False, detail=str(error)) from error

    async def ping(self, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            await (await self._connection.ping())

    async def close(self) -> None:
        await self._connection.close()

    def abort(self) -> None:
        """Break TCP."""
        self._connection.transport.abort()

    def freeze(self) -> None:
        """Read nothing more: TCP stays open, pings stay unanswered."""
        self._connection.transport.pause_reading()
