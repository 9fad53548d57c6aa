"""StrongLink SL032 RFID reader on a UART: frames of both directions, after the reader's protocol.

Host to reader ``BA length command data.. checksum``, reader to host ``BD length command status data.. checksum``.
``length`` counts the bytes after itself, the checksum is the XOR of all bytes before it. The length of the UID follows
from the frame, not from the card type: the type numbers differ between sister modules.
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import Final

import msgspec

from evse.protocols.errors import ProtocolError
from evse.protocols.rfid_uid import check_uid

REQUEST_START: Final = 0xBA
ANSWER_START: Final = 0xBD
SELECT: Final = 0x01
STATUS_OK: Final = 0x00
STATUS_NO_TAG: Final = 0x01
STATUS_COLLISION: Final = 0x0A

LENGTH_MIN: Final = 2  # request: command, checksum
ANSWER_LENGTH_MIN: Final = 3  # command, status, checksum
LENGTH_MAX: Final = 64
"""Longest plausible ``length``: a block read has 19 bytes; more means that the start byte was noise."""

STATUS_TEXTS: Final = {
    0x00: "ok",
    0x01: "no tag",
    0x02: "login ok",
    0x03: "login failed",
    0x04: "read failed",
    0x05: "write failed",
    0x06: "cannot read after write",
    0x0A: "collision: more than one card",
    0x0D: "not authenticated",
    0x0E: "not a value block",
    0xF0: "checksum error",
}
CARD_TYPES: Final = {
    0x00: "other", 0x01: "Mini 4", 0x02: "Mini 7", 0x03: "Classic 1K 4", 0x04: "Classic 1K 7", 0x05: "Classic 4K 4",
    0x06: "Classic 4K 7", 0x07: "Ultralight/NTAG", 0x09: "DESFire", 0x0B: "ProX",
    0x21: "Plus SL2", 0x22: "Plus SL2", 0x23: "Plus SL2", 0x24: "Plus SL2",
    0x31: "Plus SL0/SL3", 0x32: "Plus SL0/SL3", 0x33: "Plus SL0/SL3", 0x34: "Plus SL0/SL3",
}


class Request(msgspec.Struct, frozen=True):
    """Host to reader."""

    command: int
    data: bytes = b""


class Answer(msgspec.Struct, frozen=True):
    """Reader to host."""

    command: int
    status: int
    data: bytes = b""


class Card(msgspec.Struct, frozen=True):
    """A selected card: its UID in the order of the air interface, and the reader's type number."""

    uid: bytes
    card_type: int


def checksum(data: bytes | bytearray) -> int:
    """Return the XOR of all bytes (0xB9 for ``BA 02 01``)."""
    return reduce(xor, data, 0)


def encode_request(request: Request) -> bytes:
    """Return the bytes of a request."""
    return _close(bytes((REQUEST_START, len(request.data) + 2, request.command)) + request.data)


def encode_answer(answer: Answer) -> bytes:
    """Return the bytes of an answer (the simulated reader's side)."""
    return _close(bytes((ANSWER_START, len(answer.data) + 3, answer.command, answer.status)) + answer.data)


def _close(head: bytes) -> bytes:
    if head[1] > LENGTH_MAX:
        raise ProtocolError(f"SL032: length {head[1]} is more than {LENGTH_MAX}")
    return head + bytes((checksum(head),))


SELECT_REQUEST: Final = encode_request(Request(SELECT))
"""``BA 02 01 B9``"""


class FrameReader:
    """Incremental decoder of one direction. Resynchronises on its start byte; holds at most one frame.

    ``errors`` counts frames with a wrong checksum or an impossible length; ``skipped`` the bytes between frames. The
    result does not depend on how the bytes are cut.
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self._length_min = ANSWER_LENGTH_MIN if start == ANSWER_START else LENGTH_MIN
        self._buffer = bytearray()
        self.errors = 0
        self.skipped = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the complete valid frames, without start, length and checksum."""
        buffer = self._buffer
        buffer += data
        frames = []
        while buffer:
            at = buffer.find(self._start)
            if at:
                drop = len(buffer) if at < 0 else at
                self.skipped += drop
                del buffer[:drop]
                continue
            if len(buffer) < 2:
                break
            size = buffer[1] + 2
            if not self._length_min <= buffer[1] <= LENGTH_MAX:
                self._reject()
                continue
            if len(buffer) < size:
                break
            if checksum(buffer[:size]):  # XOR over everything, checksum included, is 0
                self._reject()
                continue
            frames.append(bytes(buffer[2 : size - 1]))
            del buffer[:size]
        return frames

    def _reject(self) -> None:
        """The start byte was not one: look for the next."""
        self.errors += 1
        del self._buffer[0]

    def reset(self) -> None:
        """Forget a half-received frame."""
        self._buffer.clear()


class AnswerReader(FrameReader):
    """Decoder of what the reader says (the host's side)."""

    def __init__(self) -> None:
        super().__init__(ANSWER_START)

    def answers(self, data: bytes) -> list[Answer]:
        """Return the complete answers."""
        return [Answer(frame[0], frame[1], frame[2:]) for frame in self.feed(data)]


class RequestReader(FrameReader):
    """Decoder of what the host says (the simulated reader's side)."""

    def __init__(self) -> None:
        super().__init__(REQUEST_START)

    def requests(self, data: bytes) -> list[Request]:
        """Return the complete requests."""
        return [Request(frame[0], frame[1:]) for frame in self.feed(data)]


def selected_card(answer: Answer) -> Card | None:
    """Return the card of an answer to SELECT, None when there is no tag; `ProtocolError` for every other status."""
    if answer.command != SELECT:
        raise ProtocolError(f"SL032: answer to command 0x{answer.command:02X} instead of 0x{SELECT:02X}")
    if answer.status == STATUS_NO_TAG:
        return None
    if answer.status != STATUS_OK:
        text = STATUS_TEXTS.get(answer.status, "unknown status")
        raise ProtocolError(f"SL032: select: status 0x{answer.status:02X} ({text})")
    uid = check_uid(answer.data[:-1], "SL032: select")
    return Card(uid=uid, card_type=answer.data[-1])
