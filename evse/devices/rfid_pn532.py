"""Driver of a PN532 on a UART (HSU): wakes the chip, limits its search, and asks for a card again and again."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from evse.devices.rfid_base import PollingReader
from evse.protocols import rfid_pn532 as pn532
from evse.protocols.errors import ProtocolError
from evse.transports.base import ByteStream

SETUP: Final = (
    (pn532.WAKE_UP + pn532.SAM_NORMAL, pn532.SAM_CONFIGURATION),
    (pn532.FEW_RETRIES, pn532.RF_CONFIGURATION),
)
"""What a chip needs after power-up, with the number of each command."""


class Pn532Driver(PollingReader):
    """One chip; serial, 8N1, 115200 baud.

    After each missing answer the chip is set up again: it may have lost its supply, and with it its settings.
    """

    question: ClassVar[str] = "InListPassiveTarget (D4 4A 01 00)"
    answer_timeout_ms: ClassVar[int] = 300  # two searches for a card and 30 bytes take below 100 ms

    def _prepare(self) -> None:
        self._frames = pn532.FrameReader()
        self._set_up = False

    def _decoder_errors(self) -> int:
        return self._frames.errors

    async def _serve(self, stream: ByteStream) -> None:
        self._set_up = False
        await super()._serve(stream)

    async def _ask(self, stream: ByteStream) -> bytes | None:
        if not self._set_up:
            for request, number in SETUP:
                if await self._exchange(stream, request, number) is None:
                    return None
            self._set_up = True
        message = await self._exchange(stream, pn532.LIST_ONE_TYPE_A, pn532.IN_LIST_PASSIVE_TARGET)
        if message is None:
            self._set_up = False
            return None
        target = pn532.listed_target(message)
        return b"" if target is None else target.uid

    async def _exchange(self, stream: ByteStream, request: bytes, number: int) -> pn532.Message | None:
        """Send a command; return its answer, None when none came in time. `ProtocolError` for an error frame."""
        self._frames.reset()
        await self._send(stream, request)
        try:
            async with asyncio.timeout(self.answer_timeout_ms / 1000):
                return await self._answer(stream, number)
        except TimeoutError:
            return None

    async def _answer(self, stream: ByteStream, number: int) -> pn532.Message | None:
        """Return the answer behind the acknowledgement, None when the chip did not get the command (NACK)."""
        acknowledged = False
        while True:
            for frame in self._frames.feed(await stream.read()):
                if isinstance(frame, pn532.Ack):
                    acknowledged = True
                elif isinstance(frame, pn532.Nack):
                    return None
                elif not acknowledged:
                    continue  # the late answer to an earlier command
                elif frame.tfi == pn532.TFI_ERROR:
                    self._set_up = False
                    raise ProtocolError(f"PN532: the chip refused command 0x{number:02X} (error frame 7F)")
                elif (frame.tfi, frame.command) == (pn532.TFI_FROM_CHIP, number + 1):
                    return frame
