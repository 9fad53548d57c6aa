"""Serial readers that say a card number as one line of text: hex digits, or one decimal number, ended by CR and/or LF.

There is no request, no length and no checksum; what tells a number from noise is its number of digits: 8, 14 or 20 hex
digits (4, 7 or 10 bytes), or 10 decimal digits (a 4 byte UID as one number). 10 is none of the hex lengths.
"""

from __future__ import annotations

from typing import Final

from evse.protocols.errors import ProtocolError
from evse.protocols.rfid_uid import UID_SIZES

LINE_MAX: Final = 64
"""Longest line that is kept, characters; an answer of a TWN4 with a 16 byte id has 42."""

HEX_DIGITS: Final = frozenset(b"0123456789ABCDEFabcdef")
HEX_LENGTHS: Final = tuple(2 * size for size in UID_SIZES)
DECIMAL_LENGTH: Final = 10
DECIMAL_MAX: Final = 0xFFFF_FFFF


class LineReader:
    """Incremental splitter into lines. CR, LF and CR LF end a line, empty lines are none, blanks around one are dropped.

    ``errors`` counts lines longer than 64 characters, which are lost as a whole. The result does not depend on how the
    bytes are cut.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._too_long = False
        self.errors = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the complete lines without their ends."""
        *ended, rest = data.replace(b"\n", b"\r").split(b"\r")
        lines = []
        for piece in ended:
            self._add(piece)
            line = bytes(self._buffer).strip()
            if self._too_long:
                self.errors += 1
            elif line:
                lines.append(line)
            self.reset()
        self._add(rest)
        return lines

    def _add(self, piece: bytes) -> None:
        if self._too_long or len(self._buffer) + len(piece) > LINE_MAX:
            self._too_long = True
            self._buffer.clear()
        else:
            self._buffer += piece

    @property
    def waiting(self) -> bool:
        """Whether a line has begun and not ended."""
        return self._too_long or bool(self._buffer)

    def reset(self) -> None:
        """Forget a line that has begun."""
        self._buffer.clear()
        self._too_long = False


def hex_bytes(line: bytes) -> bytes | None:
    """Return the bytes of a line of hex digits in either case; None when it is anything else."""
    if len(line) % 2 or not HEX_DIGITS.issuperset(line):
        return None
    return bytes.fromhex(line.decode("ascii"))


def shown(line: bytes) -> str:
    """Return at most 24 characters of a line for an error text."""
    text = line[:24].decode("ascii", "backslashreplace")
    return repr(text) + (".." if len(line) > 24 else "")


def parse_uid(line: bytes) -> bytes:
    """Return the UID of a line (no line end); `ProtocolError` when it is none.

    Hex digits are taken as they stand. A decimal number has UID3 as its most significant byte, as most readers that
    show one have; the first byte of the result is UID0. Readers that do it the other way round need the byte order
    switch.
    """
    if len(line) == DECIMAL_LENGTH and line.isdigit():
        number = int(line)
        if number > DECIMAL_MAX:
            raise ProtocolError(f"line reader: {shown(line)} is more than a 4 byte UID can be ({DECIMAL_MAX})")
        return number.to_bytes(4, "little")
    uid = hex_bytes(line) if len(line) in HEX_LENGTHS else None
    if uid is None:
        raise ProtocolError(f"line reader: {shown(line)} is no card: must be 8, 14 or 20 hex or 10 decimal digits")
    return uid


def hex_line(uid: bytes, end: bytes = b"\r") -> bytes:
    """Return the line of a UID in hex."""
    return uid.hex().upper().encode("ascii") + end


def decimal_line(uid: bytes, end: bytes = b"\r") -> bytes:
    """Return the line of a 4 byte UID as a decimal number of 10 digits; `ProtocolError` for other lengths."""
    if len(uid) != 4:
        raise ProtocolError(f"line reader: UID of {len(uid)} bytes has no decimal form, must be 4")
    return b"%010d" % int.from_bytes(uid, "little") + end
