"""Driver of a reader that is a keyboard: types each card as hex or decimal digits and Enter."""

from __future__ import annotations

from typing import Final

from evse.devices.rfid_base import CardReader
from evse.protocols.errors import ProtocolError
from evse.protocols.rfid_hid import HidLines
from evse.protocols.rfid_line import parse_uid
from evse.transports.base import ByteStream
from evse.units import Instant, ms

GAP_NS: Final = ms(500)
"""Longest pause between two keys of a card (readers type a key every 2 ms to 20 ms)."""


class HidDriver(CardReader):
    """One reader; ``settings.port`` is a path below ``/dev/input`` or ``input:<name>``, baud and parity mean nothing.

    Hex (8, 14 or 20 digits) or decimal (10 digits), told apart by their length. The device is grabbed, so that the
    digits reach nobody else. It counts as online while it is plugged in.
    """

    def _prepare(self) -> None:
        self._lines = HidLines()

    def _decoder_errors(self) -> int:
        return self._lines.errors

    async def _serve(self, stream: ByteStream) -> None:
        self._alive()
        self._lines.restart()
        last: Instant = self._clock.now()
        while True:
            data = await stream.read()
            now = self._clock.now()
            if self._lines.waiting and now - last > GAP_NS:
                self._lines.reset()
                self._timeouts += 1
            last = now
            for line in self._lines.feed(data):
                self._line(line, now)

    def _line(self, line: str, now: Instant) -> None:
        self._frames_in += 1
        self._alive()
        try:
            self._report(parse_uid(line.encode("ascii")), now)
        except ProtocolError as error:
            self._refused(error)
