"""The fuse: counts every operation on disk and network, and ends the process at the n-th one.

`Cut` passes through the product's code like the end of the process: it is no `Exception`, and every operation after it
raises it again, so whatever the abandoned objects still do reaches neither disk nor network.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable


class Cut(BaseException):
    """The process has ended here."""


class Fuse:
    """One life of a process. ``at`` = the operation at which it ends, 0 = never by itself; ``late`` = after carrying it out."""

    def __init__(self, at: int = 0, *, late: bool = False) -> None:
        self.at = at
        self.late = late
        self.blown = False
        self.where = ""
        self.count = 0
        self.kinds: Counter[str] = Counter()
        self.on_blow: list[Callable[[], None]] = []
        self._event: asyncio.Event | None = None

    def step(self, kind: str) -> None:
        """Call before an operation; raises `Cut` when it is the last one, or when there is no process any more."""
        self._alive()
        self.count += 1
        self.kinds[kind] += 1
        if self.count == self.at and not self.late:
            self.blow(f"before {kind}")
            raise Cut

    def stepped(self, kind: str) -> None:
        """Call after the operation that the last `step` announced."""
        self._alive()
        if self.late and self.count == self.at:
            self.blow(f"after {kind}")
            raise Cut

    def _alive(self) -> None:
        if self.blown:
            raise Cut

    def blow(self, where: str) -> None:
        """End the process now."""
        if self.blown:
            return
        self.blown, self.where = True, where
        for tell in self.on_blow:
            tell()
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        """Return when the process has ended."""
        self._event = self._event or asyncio.Event()
        if not self.blown:
            await self._event.wait()
