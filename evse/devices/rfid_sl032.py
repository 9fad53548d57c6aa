"""Driver of a StrongLink SL032 reader: polls for a card and hands each presentation up once."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from evse.devices.rfid_base import PollingReader
from evse.protocols import rfid_sl032 as sl032
from evse.transports.base import ByteStream


class Sl032Driver(PollingReader):
    """One reader; serial, 8N1, 9600 to 115200 baud by the resistors on its board."""

    question: ClassVar[str] = "select (BA 02 01 B9)"
    answer_timeout_ms: ClassVar[int] = 200  # the reader answers a select below 100 ms at 9600 baud; twice that

    def _prepare(self) -> None:
        self._answers = sl032.AnswerReader()

    def _decoder_errors(self) -> int:
        return self._answers.errors

    async def _ask(self, stream: ByteStream) -> bytes | None:
        self._answers.reset()
        await self._send(stream, sl032.SELECT_REQUEST)
        try:
            async with asyncio.timeout(self.answer_timeout_ms / 1000):
                answer = await self._answer(stream)
        except TimeoutError:
            return None
        card = sl032.selected_card(answer)
        return b"" if card is None else card.uid

    async def _answer(self, stream: ByteStream) -> sl032.Answer:
        """Return the first answer to SELECT."""
        while True:
            for answer in self._answers.answers(await stream.read()):
                if answer.command == sl032.SELECT:
                    return answer
