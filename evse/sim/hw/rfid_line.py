"""Simulated readers that say a card as one line: no-name serial readers, and the factory application of a TWN4."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.protocols.rfid_line import decimal_line, hex_line
from evse.sim.hw.rfid_base import SimReader
from evse.transports.base import ByteStream

SAID_MAX: Final = 8
"""Lines that wait for their way out; the oldest is dropped."""


class SimLine(SimReader):
    """One reader. ``decimal`` = 4 byte UIDs as a number, ``lower`` = small hex digits, ``end`` = what ends a line."""

    def __init__(self, *, decimal: bool = False, end: bytes = b"\r") -> None:
        super().__init__()
        self.decimal = decimal
        self.lower = False
        self.end = end
        self._said: deque[bytes] = deque(maxlen=SAID_MAX)
        self._wake = asyncio.Event()

    def present(self, uid: bytes | None) -> None:
        """Lay a card on the reader, which says it once; None = take it away."""
        super().present(uid)
        if uid is None:
            return
        line = decimal_line(uid, self.end) if self.decimal and len(uid) == 4 else hex_line(uid, self.end)
        self.say(line.lower() if self.lower else line)

    def say(self, data: bytes) -> None:
        """Send any bytes."""
        self._said.append(data)
        self._wake.set()

    async def serve(self, stream: ByteStream, clock: Clock | None = None) -> None:
        """Say the cards on ``stream`` until it is gone; what comes in is not understood."""
        self._said.clear()
        mouth = asyncio.create_task(self._speak(stream))
        try:
            while True:
                await stream.read()
        except DeviceError:
            pass
        finally:
            mouth.cancel()
            with contextlib.suppress(asyncio.CancelledError, DeviceError):
                await mouth
            await stream.close()

    async def _speak(self, stream: ByteStream) -> None:
        while True:
            self._wake.clear()
            while self._said:
                await stream.write(self._said.popleft())
            await self._wake.wait()
