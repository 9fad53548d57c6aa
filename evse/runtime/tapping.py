"""A card at a reader that is only looked at: the test of a reader, which starts and stops nothing."""

from __future__ import annotations

import asyncio


class Taps:
    """Who waits for a card at which reader; one per reader."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[str]] = {}

    def busy(self, reader: str) -> bool:
        """Whether somebody waits at ``reader`` already."""
        return reader in self._waiting

    def card(self, reader: str, id_token: str) -> bool:
        """Give a card to who waits for it; True = it is not to be used for anything else."""
        waiting = self._waiting.get(reader)
        if waiting is None:
            return False
        if not waiting.done():
            waiting.set_result(id_token)
        return True

    async def wait(self, reader: str, seconds: float) -> str:
        """Return the next card at ``reader``, "" when none came within ``seconds``. The caller has looked at `busy`."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[reader] = future
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return ""
        finally:
            self._waiting.pop(reader, None)
