"""ELATEC TWN4 with its "simple protocol": hex lines ended by CR. A request is a function class, a function and parameters;
an answer is an error number and results. There is no checksum.

The factory application of the same reader answers nothing: it says each card's UID as a line of its own
(`evse.protocols.rfid_line`). `parse_answer` and `parse_uid` tell the two apart.
"""

from __future__ import annotations

from typing import Final

import msgspec

from evse.protocols.errors import ProtocolError
from evse.protocols.rfid_line import hex_bytes, shown
from evse.protocols.rfid_uid import check_uid

SEARCH_TAG: Final = b"0500"
ID_BYTES_MAX: Final = 0x10
SEARCH_REQUEST: Final = SEARCH_TAG + b"%02X\r" % ID_BYTES_MAX
"""``050010`` CR: search for a card, at most 16 bytes of its id."""

OK: Final = 0
ERROR_TEXTS: Final = {
    0: "ok",
    1: "unknown function",
    2: "missing parameter",
    3: "too many parameters",
    4: "invalid function",
    5: "parser error",
}
TYPE_ISO14443A: Final = 0x80
"""Tag type of MIFARE and other ISO 14443 A cards (medium certainty; nothing depends on it)."""
FOUND_DIGITS_MIN: Final = 10
"""Error, found, type, bit count and byte count, two digits each, before the id."""


class Tag(msgspec.Struct, frozen=True):
    """A card that was found: type number of the reader and id, as the reader orders it."""

    tag_type: int
    bits: int
    uid: bytes


def found_line(tag: Tag) -> bytes:
    """Return the answer line of a search that found ``tag``; `ProtocolError` when a number does not fit."""
    if not 0 <= tag.tag_type <= 255 or not 0 <= tag.bits <= 255 or len(tag.uid) > ID_BYTES_MAX:
        raise ProtocolError(f"TWN4: tag {tag} does not fit: type and bits 0..255, id up to {ID_BYTES_MAX} bytes")
    body = bytes((OK, 1, tag.tag_type, tag.bits, len(tag.uid))) + tag.uid
    return body.hex().upper().encode("ascii") + b"\r"


NOT_FOUND_LINE: Final = b"0000\r"


def error_line(error: int) -> bytes:
    """Return the answer line of a request that failed (1..5)."""
    return b"%02X\r" % error


def parse_answer(line: bytes) -> Tag | None:
    """Return the card of an answer to SearchTag (no line end), None when none was found.

    `ProtocolError` when the reader reports an error, or when the line is no complete answer.
    """
    data = hex_bytes(line)
    if not data:
        raise ProtocolError(f"TWN4: {shown(line)} is no answer: must be pairs of hex digits")
    if data[0] != OK:
        text = ERROR_TEXTS.get(data[0])
        if text is None or len(data) > 1:
            raise ProtocolError(f"TWN4: {shown(line)} is no answer to SearchTag")
        raise ReaderError(f"TWN4: SearchTag (050010): error {data[0]:02X} ({text})")
    if data == b"\x00\x00":
        return None
    if len(line) < FOUND_DIGITS_MIN or data[1] != 1 or len(data) != 5 + data[4] or (data[3] + 7) // 8 != data[4]:
        raise ProtocolError(f"TWN4: {shown(line)} is no complete answer to SearchTag")
    return Tag(data[2], data[3], data[5:])


def card_uid(tag: Tag) -> bytes:
    """Return the UID of a card; `ProtocolError` when its length is not 4, 7 or 10 bytes."""
    return check_uid(tag.uid, f"TWN4: card of type {tag.tag_type:02X}")


class ReaderError(ProtocolError):
    """The reader has answered that it cannot."""
