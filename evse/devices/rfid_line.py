"""Driver of a serial reader that says each card as a line of text and listens to nothing."""

from __future__ import annotations

from typing import Final

from evse.devices.rfid_base import CardReader
from evse.protocols import rfid_line as line_reader
from evse.protocols.errors import ProtocolError
from evse.transports.base import ByteStream
from evse.units import Instant, ms

OPENED_NS: Final = ms(50)
"""What comes so soon after the port was opened may be the end of a line that began before."""

GAP_NS: Final = ms(200)
"""A line comes in one go (20 digits take 23 ms at 9600 baud); after a longer pause its beginning was noise."""


class LineDriver(CardReader):
    """One reader; serial, 8N1. Hex (8, 14 or 20 digits) or decimal (10 digits), told apart by their length.

    Such a reader never says that it lives: it counts as online while its port can be opened, and a cut wire behind a
    built-in port is not noticed. There is no checksum either: a line counts only with an exact number of digits.
    """

    def _prepare(self) -> None:
        self._lines = line_reader.LineReader()

    def _decoder_errors(self) -> int:
        return self._lines.errors

    async def _serve(self, stream: ByteStream) -> None:
        self._alive()
        self._lines.reset()
        opened: Instant | None = self._clock.now()
        last: Instant = 0
        torn = False
        while True:
            data = await stream.read()
            now = self._clock.now()
            if opened is not None:
                torn = now - opened < OPENED_NS
                opened = None
            elif self._lines.waiting and now - last > GAP_NS:
                self._lines.reset()
                self._timeouts += 1
                torn = False
            last = now
            for line in self._lines.feed(data):
                if not torn:
                    self._line(line, now)
                torn = False

    def _line(self, line: bytes, now: Instant) -> None:
        self._frames_in += 1
        self._alive()
        try:
            self._report(line_reader.parse_uid(line), now)
        except ProtocolError as error:
            self._refused(error)
