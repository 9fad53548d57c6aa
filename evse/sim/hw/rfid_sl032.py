"""A simulated StrongLink SL032: answers select requests over real bytes; a card is laid on it with `present`."""

from __future__ import annotations

import asyncio
from typing import Final

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.protocols import rfid_sl032 as sl032
from evse.sim.hw.rfid_base import SimReader
from evse.transports.base import ByteStream

CARD_TYPE_OF_SIZE: Final = {4: 0x03, 7: 0x04, 10: 0x00}
ANSWER_MS: Final = 20
"""Time that the reader needs for a select (below 100 ms at 9600 baud)."""


class SimSl032(SimReader):
    """One reader. Fault switches: ``silent`` = does not answer, ``broken_checksum`` = every answer is wrong,
    ``collision`` = two cards at once, ``delay_ms`` = time to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = False
        self.broken_checksum = False
        self.collision = False
        self.delay_ms = ANSWER_MS
        self.selects = 0
        self._requests = sl032.RequestReader()

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the host, return the answer bytes (may be empty)."""
        out = b""
        for request in self._requests.requests(data):
            answer = sl032.encode_answer(self._answer(request))
            if self.broken_checksum:
                answer = answer[:-1] + bytes((answer[-1] ^ 0x55,))
            if not self.silent:
                out += answer
        return out

    def _answer(self, request: sl032.Request) -> sl032.Answer:
        if request.command != sl032.SELECT:
            return sl032.Answer(request.command, 0x0D)  # no sector login is simulated: not authenticated
        self.selects += 1
        if self.collision:
            return sl032.Answer(sl032.SELECT, sl032.STATUS_COLLISION)
        if self.card is None:
            return sl032.Answer(sl032.SELECT, sl032.STATUS_NO_TAG)
        return sl032.Answer(
            sl032.SELECT, sl032.STATUS_OK, self.card + bytes((CARD_TYPE_OF_SIZE[len(self.card)],))
        )

    async def serve(self, stream: ByteStream, clock: Clock | None = None) -> None:
        """Answer on ``stream`` until it is gone."""
        self._requests.reset()
        try:
            while True:
                answer = self.feed(await stream.read())
                if answer:
                    await asyncio.sleep(self.delay_ms / 1000)
                    await stream.write(answer)
        except DeviceError:
            pass
        finally:
            await stream.close()
