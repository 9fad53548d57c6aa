"""A simulated ELATEC TWN4 with the simple protocol; a card is laid on it with `present`.

The same reader with its factory application is `evse.sim.hw.rfid_line.SimLine`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.protocols import rfid_twn4 as twn4
from evse.protocols.rfid_line import LineReader, hex_bytes
from evse.sim.hw.rfid_base import SimReader
from evse.transports.base import ByteStream

ANSWER_MS: Final = 40
UNKNOWN_FUNCTION, MISSING_PARAMETER, TOO_MANY_PARAMETERS, PARSER_ERROR = 1, 2, 3, 5


class SimTwn4(SimReader):
    """One reader. Fault switches: ``silent`` = does not answer, ``locked`` = refuses SearchTag as unknown,
    ``tag`` = what lies on it instead of ``card`` (other card types), ``delay_ms`` = time to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = False
        self.locked = False
        self.tag: twn4.Tag | None = None
        self.delay_ms = ANSWER_MS
        self.searches = 0
        self._lines = LineReader()

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the host, return the answer bytes (may be empty)."""
        answers = [self._answer(line) for line in self._lines.feed(data)]
        return b"" if self.silent else b"".join(answers)

    def _answer(self, line: bytes) -> bytes:
        request = hex_bytes(line)
        if request is None or len(request) < 2:
            return twn4.error_line(PARSER_ERROR)
        if self.locked or request[:2] != b"\x05\x00":
            return twn4.error_line(UNKNOWN_FUNCTION)
        if len(request) != 3:
            return twn4.error_line(MISSING_PARAMETER if len(request) < 3 else TOO_MANY_PARAMETERS)
        self.searches += 1
        tag = self.tag
        if tag is None and self.card is not None:
            tag = twn4.Tag(twn4.TYPE_ISO14443A, 8 * len(self.card), self.card)
        if tag is None or len(tag.uid) > request[2]:
            return twn4.NOT_FOUND_LINE
        return twn4.found_line(tag)

    async def serve(self, stream: ByteStream, clock: Clock | None = None) -> None:
        """Answer on ``stream`` until it is gone."""
        self._lines.reset()
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
