"""Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999) and the framing on top of it.

COBS removes every 0x00 from a message, so that 0x00 can mark the end of a frame: a receiver that comes in anywhere is
in step again after the next 0x00. A code byte n (1..254) stands for n-1 bytes that follow and a 0x00 after them; 255
stands for 254 bytes that follow without a 0x00. The last 0x00 of a message is implied and not sent.
"""

from __future__ import annotations

from typing import Final

from evse.protocols.errors import ProtocolError

GROUP_MAX: Final = 254
"""Bytes that one code byte can carry."""

_CODE: Final = tuple(bytes((n,)) for n in range(256))


def encode(message: bytes) -> bytes:
    """Return ``message`` without 0x00 bytes; one byte longer per 254 bytes or part of them. No delimiter is added."""
    if len(message) < GROUP_MAX:  # no run can fill a group: the short way for all frames of the board link
        return b"".join([_CODE[len(run) + 1] + run if run else b"\1" for run in message.split(b"\0")])
    parts: list[bytes] = []
    for run in message.split(b"\0"):
        at = 0
        size = len(run)
        while size >= GROUP_MAX:
            parts.append(b"\xff")
            parts.append(run[at : at + GROUP_MAX])
            at += GROUP_MAX
            size -= GROUP_MAX
        parts.append(_CODE[size + 1])
        parts.append(run[at:] if at else run)
    # A run of exactly n * 254 bytes at the end of the message needs no trailing code byte 0x01.
    if len(parts) >= 4 and not parts[-1] and parts[-2] == b"\x01" and parts[-4] == b"\xff":
        del parts[-2:]
    return b"".join(parts)


def decode(block: bytes) -> bytes:
    """Return the message of one block (without delimiter); `ProtocolError` when it is empty, cut or holds a 0x00."""
    size = len(block)
    if not size:
        raise ProtocolError("COBS: empty block")
    if 0 in block:
        raise ProtocolError(f"COBS: 0x00 inside a block at byte {block.index(0)}")
    at = 0
    if size <= GROUP_MAX:  # 255 cannot be a valid code here, so every code but the first stands for one 0x00
        plain = bytearray(block)
        while at < size:
            code = plain[at]
            plain[at] = 0
            at += code
        if at > size:
            raise ProtocolError(f"COBS: last code points {at - size} bytes past the end of {size}")
        return bytes(plain[1:])
    parts: list[bytes] = []
    while True:
        code = block[at]
        end = at + code
        if end > size:
            raise ProtocolError(f"COBS: code 0x{code:02X} at byte {at} points {end - size} bytes past the end")
        parts.append(block[at + 1 : end])
        if end == size:
            return b"".join(parts)
        if code != 0xFF:
            parts.append(b"\0")
        at = end


class Deframer:
    """Cut a byte stream at 0x00 into blocks. Blocks longer than ``limit`` are discarded up to the next 0x00.

    ``oversize`` counts the discarded blocks. Never holds more than ``limit`` bytes between calls. Feeding the same
    bytes in any pieces gives the same blocks and the same count.
    """

    __slots__ = ("_discarding", "_rest", "limit", "oversize")

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"deframer: limit {limit} must be at least 1")
        self.limit = limit
        self.oversize = 0
        self._rest = b""
        self._discarding = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the complete blocks, without delimiters; empty blocks (repeated 0x00) are skipped."""
        blocks = (self._rest + data).split(b"\0") if self._rest else data.split(b"\0")
        rest = blocks.pop()
        limit = self.limit
        if blocks and self._discarding:
            del blocks[0]
            self._discarding = False
        if self._discarding:
            rest = b""
        elif len(rest) > limit:
            self._discarding = True
            self.oversize += 1
            rest = b""
        self._rest = rest
        out = []
        for block in blocks:
            if len(block) > limit:
                self.oversize += 1
            elif block:
                out.append(block)
        return out

    def reset(self) -> None:
        """Forget a half-received block (after the line was reopened)."""
        self._rest = b""
        self._discarding = False
