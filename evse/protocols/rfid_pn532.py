"""NXP PN532 on a UART (HSU, 115200 8N1): frames of both directions, after the chip's user manual (UM0701-02).

``00 00 FF LEN LCS TFI data.. DCS 00``: LEN counts TFI and data, LCS is its two's complement, DCS that of the sum of TFI
and data. TFI is D4 to the chip and D5 from it. The chip acknowledges each command (``00 00 FF 00 FF 00``) before it
answers with the command number plus one. Extended frames (LEN = LCS = FF) are not needed for cards and count as errors.
"""

from __future__ import annotations

from typing import Final

import msgspec

from evse.protocols.errors import ProtocolError
from evse.protocols.rfid_uid import check_uid

START: Final = b"\x00\xff"
TFI_TO_CHIP: Final = 0xD4
TFI_FROM_CHIP: Final = 0xD5
TFI_ERROR: Final = 0x7F
"""A frame of this one byte: the chip did not understand the command ("application level error")."""

GET_FIRMWARE_VERSION: Final = 0x02
SAM_CONFIGURATION: Final = 0x14
RF_CONFIGURATION: Final = 0x32
IN_LIST_PASSIVE_TARGET: Final = 0x4A

LEN_MAX: Final = 254
"""TFI and data of a normal frame; 255 announces an extended one."""
OVERHEAD: Final = 5
"""Start code (2), LEN, LCS and DCS; preamble and postamble are optional."""

ACK_BYTES: Final = bytes.fromhex("0000FF00FF00")
NACK_BYTES: Final = bytes.fromhex("0000FFFF0000")
WAKE_UP: Final = b"\x55\x55" + bytes(14)
"""16 bytes that bring the chip out of power-down; they precede SAMConfiguration."""


class Ack(msgspec.Struct, frozen=True):
    """The other side has the frame."""


class Nack(msgspec.Struct, frozen=True):
    """The other side asks for the frame again."""


class Message(msgspec.Struct, frozen=True):
    """A command (TFI D4), an answer (TFI D5), or the error frame (TFI 7F, no command)."""

    tfi: int
    command: int
    data: bytes = b""


AnyFrame = Ack | Nack | Message


class Target(msgspec.Struct, frozen=True):
    """A listed ISO 14443 A card; ``uid`` in the order of the air interface."""

    number: int
    sens_res: int
    sel_res: int
    uid: bytes


def encode(message: Message) -> bytes:
    """Return the bytes of a message with preamble and postamble; `ProtocolError` when it is too long."""
    body = bytes((message.tfi,)) if message.tfi == TFI_ERROR else bytes((message.tfi, message.command)) + message.data
    size = len(body)
    if size > LEN_MAX:
        raise ProtocolError(f"PN532: frame of {size} bytes, must be 1..{LEN_MAX}")
    return b"\x00" + START + bytes((size, -size & 0xFF)) + body + bytes((-sum(body) & 0xFF, 0))


def command(number: int, data: bytes = b"") -> bytes:
    """Return the bytes of a command to the chip."""
    return encode(Message(TFI_TO_CHIP, number, data))


SAM_NORMAL: Final = command(SAM_CONFIGURATION, bytes((1, 0, 1)))
"""Normal mode, no timeout, IRQ on: ``00 00 FF 05 FB D4 14 01 00 01 16 00``"""

FIRMWARE_REQUEST: Final = command(GET_FIRMWARE_VERSION)
"""``00 00 FF 02 FE D4 02 2A 00``"""

LIST_ONE_TYPE_A: Final = command(IN_LIST_PASSIVE_TARGET, bytes((1, 0)))
"""One card, 106 kbit/s type A: ``00 00 FF 04 FC D4 4A 01 00 E1 00``"""

FEW_RETRIES: Final = command(RF_CONFIGURATION, bytes((5, 0xFF, 0x01, 0x01)))
"""Item 5, retries: those of ATR and PSL as after reset (FF, 01), those of the search for a card 1, so that the answer
"no card" comes soon. Without it the chip answers only when a card comes."""


class FrameReader:
    """Incremental decoder of one direction. Resynchronises on the start code ``00 FF``; holds at most one frame.

    ``errors`` counts frames with wrong checksums or lengths. The result does not depend on how the bytes are cut.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.errors = 0

    def feed(self, data: bytes) -> list[AnyFrame]:
        """Return the complete valid frames."""
        buffer = self._buffer
        buffer += data
        frames: list[AnyFrame] = []
        while True:
            at = buffer.find(START)
            if at < 0:
                del buffer[: len(buffer) - buffer.endswith(b"\x00")]
                return frames
            del buffer[:at]
            if len(buffer) < 4:
                return frames
            size, complement = buffer[2], buffer[3]
            if (size, complement) == (0x00, 0xFF):
                frames.append(Ack())
                del buffer[:4]
            elif (size, complement) == (0xFF, 0x00):
                frames.append(Nack())
                del buffer[:3]  # its last 00 may begin the next start code
            elif (size + complement) & 0xFF or not 1 <= size <= LEN_MAX:
                self._reject()
            elif len(buffer) < size + OVERHEAD:
                return frames
            elif (message := self._message(size)) is None:
                self._reject()
            else:
                frames.append(message)
                del buffer[: size + OVERHEAD]

    def _message(self, size: int) -> Message | None:
        """Return the frame at the start of the buffer, None when it is broken."""
        body = bytes(self._buffer[4 : 4 + size])
        if (sum(body) + self._buffer[4 + size]) & 0xFF:
            return None
        if size == 1:
            return Message(TFI_ERROR, 0) if body[0] == TFI_ERROR else None
        if body[0] not in (TFI_TO_CHIP, TFI_FROM_CHIP):
            return None
        return Message(body[0], body[1], body[2:])

    def _reject(self) -> None:
        """The start code was none: look for the next."""
        self.errors += 1
        del self._buffer[0]

    def reset(self) -> None:
        """Forget a half-received frame."""
        self._buffer.clear()


def listed_target(message: Message) -> Target | None:
    """Return the card of an answer to InListPassiveTarget, None when there is none; `ProtocolError` for other messages.

    An ATS behind the UID (cards with ISO 14443-4) is not looked at.
    """
    if message.tfi == TFI_ERROR:
        raise ProtocolError("PN532: the chip refused the command (error frame 7F)")
    if (message.tfi, message.command) != (TFI_FROM_CHIP, IN_LIST_PASSIVE_TARGET + 1):
        raise ProtocolError(f"PN532: message {message.tfi:02X} {message.command:02X} instead of D5 4B")
    data = message.data
    if data[:1] == b"\x00":
        return None
    if len(data) < 6 or data[0] != 1 or len(data) < 6 + data[5]:
        raise ProtocolError(f"PN532: list of cards {data[:24].hex(' ').upper()!r} is not one complete card")
    uid = check_uid(data[6 : 6 + data[5]], "PN532: list of cards")
    return Target(number=data[1], sens_res=data[2] << 8 | data[3], sel_res=data[4], uid=uid)
