"""The client of the screens: finds the socket anew at every connection, so that a daemon may come later or move.

A kiosk starts at boot, often before the daemon has made its socket; `AsyncClient` decides its path once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from evse.api.aclient import AsyncClient
from evse.api.models import Model, StreamItem


class Dialer:
    """`tui.state.store.Api` over Unix sockets. ``host`` as for `AsyncClient`; "" = where evsectl looks."""

    def __init__(self, host: str = "") -> None:
        self._host = host or None
        self._client: AsyncClient | None = None
        self.token = ""

    async def call(self, name: str, request: Model | None = None) -> Any:
        """One operation. Raises ApiError."""
        client = self._client or self._dial()
        client.token = self.token
        return await client.call(name, request)

    async def stream(self, name: str, since: int | None = None) -> AsyncIterator[StreamItem]:
        """Items until the connection ends. Raises ApiError."""
        async for item in self._dial().stream(name, since):
            yield item

    def _dial(self) -> AsyncClient:
        self._client = AsyncClient(self._host, token=self.token)
        return self._client
