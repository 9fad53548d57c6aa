"""STATUS and COMMAND of one board-link line, coded once: what is the same as in the frame before is not coded again.

Both cross the link twenty times a second and mostly say the same; only the number of the frame, the up-time, the lease
counter and the CRC differ. COBS lets a block be put together from pieces: between two 0x00 of a message, the coded bytes
depend on nothing outside. So a frame is *head* (header and counters) and *first*, *middle*, *last*: the fields up to their
first 0x00, between that and their last 0x00, and behind it. The middle is kept coded, as soon as it comes a second time.

`LineEncoder` and `LineDecoder` give exactly what `encode_status`, `encode_command` and `decode_block` give; a decoder
gives equal levels as the same object, so that whoever compares them is done by identity.
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from typing import Final

from evse.domain.signals import BoardCommand, BoardStatus
from evse.protocols import board_link as link
from evse.protocols import cobs
from evse.protocols.board_link_messages import VERSION, AnyMessage, Command, MsgId, Status
from evse.protocols.errors import ProtocolError

STATUS_HEAD: Final = struct.Struct("<BBBIH")
COMMAND_HEAD: Final = struct.Struct("<BBBH")
GROUP_MAX: Final = cobs.GROUP_MAX - 1
"""A message of this many bytes or more may need a group without 0x00: it is coded as a whole."""


class _Fields:
    """Fields behind the head, cut at their first and last 0x00."""

    __slots__ = ("first", "last", "middle", "raw")

    def __init__(self, raw: bytes) -> None:
        a, b = raw.index(0), raw.rindex(0)
        self.raw = raw
        self.first = raw[:a]
        self.middle = cobs.encode(raw[a + 1 : b]) if a < b else b""
        self.last = raw[b + 1 :]


def _fields(raw: bytes, head: int) -> _Fields | None:
    """Return the fields of header and fields; None when they cannot be cut."""
    if len(raw) + link.CRC_SIZE >= GROUP_MAX or raw.find(0, head) < 0:
        return None
    return _Fields(raw[head:])


class LineEncoder:
    """One direction of one line: remembers the last levels that were sent."""

    __slots__ = ("_fields", "_levels", "_raw")

    def __init__(self) -> None:
        self._levels: object = None
        self._raw = b""  # of the last levels, until they are said again
        self._fields: _Fields | None = None

    def status(self, status: BoardStatus, seq: int, uptime_ms: int, lease_counter: int) -> bytes:
        """Return `encode_status`."""
        fields = self._known(status, STATUS_HEAD.size)
        if fields is None:
            self._raw = link.status_raw(status, seq, uptime_ms, lease_counter)
            return link.frame(self._raw)
        return _frame(STATUS_HEAD.pack(VERSION, MsgId.STATUS, seq, uptime_ms, lease_counter), fields)

    def command(self, levels: BoardCommand, seq: int, lease_counter: int) -> bytes:
        """Return `encode_command`."""
        fields = self._known(levels, COMMAND_HEAD.size)
        if fields is None:
            self._raw = link.command_raw(levels, seq, lease_counter)
            return link.frame(self._raw)
        return _frame(COMMAND_HEAD.pack(VERSION, MsgId.COMMAND, seq, lease_counter), fields)

    def _known(self, levels: object, head: int) -> _Fields | None:
        """Return the fields of levels that were said before, cut when they are said for the second time."""
        if levels is not self._levels and levels != self._levels:
            self._levels, self._fields, self._raw = levels, None, b""
        elif self._fields is None and self._raw:
            self._fields = _fields(self._raw, head)
        return self._fields


def _frame(head: bytes, fields: _Fields) -> bytes:
    crc = crc_hqx(fields.raw, crc_hqx(head, link.CRC_START)).to_bytes(2, "little")
    return b"%b%b%b\0" % (cobs.encode(head + fields.first), fields.middle, _coded(fields.last + crc))


def _coded(end: bytes) -> bytes:
    """Return `cobs.encode`; the end of a frame seldom has a 0x00."""
    return cobs.encode(end) if 0 in end else b"%c%b" % (len(end) + 1, end)


class LineDecoder:
    """One direction of one line: remembers the last levels that came."""

    __slots__ = ("_before", "_fields", "_from", "_head", "_kind", "_levels", "_size", "_to")

    def __init__(self) -> None:
        self._before = b""  # fields of the last block that was decoded as a whole
        self._fields: _Fields | None = None
        self._kind = b""  # version and message of what is remembered
        self._levels: BoardStatus | BoardCommand | None = None
        self._size = self._head = self._from = self._to = 0  # of block and head, and where the middle lies

    def decode(self, block: bytes) -> AnyMessage:
        """Return `decode_block`."""
        if len(block) == self._size:
            again = self._again(block)
            if again is not None:
                return again
        body = link.checked_body(block)
        message = link.decode_body(body)
        if isinstance(message, Status):
            self._remember(body, len(block), STATUS_HEAD.size, message.status)
        elif isinstance(message, Command):
            self._remember(body, len(block), COMMAND_HEAD.size, message.levels)
        return message

    def _remember(self, body: bytes, size: int, head: int, levels: BoardStatus | BoardCommand) -> None:
        before, self._before = self._before, body[head:]
        fields = _fields(body, head) if self._before == before else None  # what changes all the time is not worth it
        if fields is None:
            self._size = 0
            return
        self._fields, self._kind, self._levels, self._size = fields, body[:2], levels, size
        self._head, self._from = head, head + len(fields.first) + 1
        self._to = self._from + len(fields.middle)

    def _again(self, block: bytes) -> Status | Command | None:
        """Return the message of a block that says what was said before; None = decode it as a whole."""
        fields = self._fields
        if fields is None or block[self._from : self._to] != fields.middle:
            return None
        try:
            head = cobs.decode(block[: self._from])
        except ProtocolError:
            return None
        size, first = self._head, fields.first
        if head[:2] != self._kind or (first and head[size:] != first):
            return None
        start = head[:size]
        end = fields.last + crc_hqx(fields.raw, crc_hqx(start, link.CRC_START)).to_bytes(2, "little")
        if block[self._to :] != _coded(end):
            return None
        if isinstance(self._levels, BoardStatus):
            _, _, seq, uptime_ms, counter = STATUS_HEAD.unpack(start)
            return Status(seq=seq, status=self._levels, uptime_ms=uptime_ms, lease_counter=counter)
        if self._levels is not None:
            _, _, seq, counter = COMMAND_HEAD.unpack(start)
            return Command(seq=seq, levels=self._levels, lease_counter=counter)
        return None


__all__ = ["LineDecoder", "LineEncoder"]
