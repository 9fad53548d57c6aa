"""Driver of an ELATEC TWN4: asks for a card with the simple protocol, or listens to the factory application."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from evse.devices.rfid_base import PollingReader
from evse.protocols import rfid_twn4 as twn4
from evse.protocols.errors import ProtocolError
from evse.protocols.rfid_line import LineReader, parse_uid
from evse.transports.base import ByteStream


class Twn4Driver(PollingReader):
    """One reader on USB (CDC) or a UART.

    Which application the reader runs is learnt from what it says. One that has answered a request is believed only
    answers from then on (a mutilated answer could look like a card). One that says a card unasked has the factory
    application, which never answers: it counts as online while its port can be opened. Until its first card it cannot
    be told from a dead one and is reported as lost; for such readers the driver ``line`` is the better choice.
    """

    question: ClassVar[str] = "SearchTag (050010)"
    answer_timeout_ms: ClassVar[int] = 250  # one search over all configured card types

    def _prepare(self) -> None:
        self._lines = LineReader()
        self._answers = False  # the reader has answered since the port was opened
        self._unasked = False  # the reader says cards by itself

    def _decoder_errors(self) -> int:
        return self._lines.errors

    async def _serve(self, stream: ByteStream) -> None:
        self._lines.reset()
        self._answers = False
        await super()._serve(stream)

    def _missed(self) -> None:
        if not self._unasked:
            super()._missed()

    async def _ask(self, stream: ByteStream) -> bytes | None:
        await self._send(stream, twn4.SEARCH_REQUEST)
        try:
            async with asyncio.timeout(self.answer_timeout_ms / 1000):
                while True:
                    for line in self._lines.feed(await stream.read()):
                        uid = self._line(line)
                        if uid is not None:
                            return uid
        except TimeoutError:
            return None

    def _line(self, line: bytes) -> bytes | None:
        """Return the UID of an answer, b"" for none; None when the line was no answer (a card said unasked is reported).

        Raises `ProtocolError` for an error that the reader reports and for a card that is none of ours.
        """
        try:
            tag = twn4.parse_answer(line)
        except twn4.ReaderError:
            self._answered_once()
            raise
        except ProtocolError:
            self._no_answer(line)
            return None
        self._answered_once()
        return b"" if tag is None else twn4.card_uid(tag)

    def _answered_once(self) -> None:
        self._answers = True
        self._unasked = False

    def _no_answer(self, line: bytes) -> None:
        """A line that is no answer: a card of the factory application, or noise."""
        try:
            uid = parse_uid(line)
        except ProtocolError:
            self._refusals += 1
            return
        if self._answers:
            self._refusals += 1
            return
        self._unasked = True
        self._answered()
        self._report(uid, self._clock.now())
