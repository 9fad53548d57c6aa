"""Modbus RTU and TCP, sans-IO: requests, answers and framing for the master and for a simulated slave.

Master side: build a request with `read_request` + `rtu_frame`/`tcp_frame`, collect bytes in an `RtuAnswer` or
`TcpAnswer`, take the registers with `read_answer`. Slave side: `RtuRequests` or `TcpRequests` cut the stream into
requests. Anything that is not a valid frame raises `ProtocolError`; an exception answer raises `ModbusException`.
Sources: Modbus application protocol V1.1b3, Modbus over serial line V1.02; both sides are compared with pymodbus in
tests/meters.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from evse.protocols.errors import ProtocolError

READ_COILS: Final = 1
READ_DISCRETE: Final = 2
READ_HOLDING: Final = 3
READ_INPUT: Final = 4
WRITE_COIL: Final = 5
WRITE_SINGLE: Final = 6
WRITE_MULTIPLE: Final = 16
EXCEPTION_FLAG: Final = 0x80

RTU_FRAME_MAX: Final = 256
"""Serial line V1.02, 2.5.1: a frame has at most 256 bytes."""
PDU_MAX: Final = 253
MBAP_BYTES: Final = 7
TCP_BUFFER_MAX: Final = 16 * (MBAP_BYTES + PDU_MAX)
"""Bytes of pipelined requests that a slave keeps; beyond it the peer is broken."""

EXCEPTION_NAMES: Final[dict[int, str]] = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
ACKNOWLEDGE: Final = 5
BUSY: Final = 6


class ModbusException(ProtocolError):
    """The device answered with an exception code."""

    def __init__(self, function: int, code: int) -> None:
        name = EXCEPTION_NAMES.get(code, "unknown code")
        super().__init__(f"exception {code} ({name}) to function {function}")
        self.function = function
        self.code = code


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC: Final = _crc_table()


def crc16(data: bytes | bytearray | memoryview) -> int:
    """Return the CRC-16 of Modbus (polynomial 0xA001 reflected, start 0xFFFF); it travels low byte first."""
    return _crc16(bytes(data))


@lru_cache(maxsize=64)
def _crc16(data: bytes) -> int:
    """The same requests go out for ever, and a meter at rest answers the same."""
    crc = 0xFFFF
    table = _CRC
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


def read_request(function: int, address: int, count: int) -> bytes:
    """Return the PDU that reads ``count`` (1..125) registers from ``address`` with function 3 or 4."""
    if function not in (READ_HOLDING, READ_INPUT):
        raise ProtocolError(f"read: function {function} is not 3 or 4")
    if not 1 <= count <= 125 or not 0 <= address <= 65_536 - count:
        raise ProtocolError(f"read: {count} registers from {address} are outside 1..125 and 0..65535")
    return struct.pack(">BHH", function, address, count)


def read_answer(pdu: bytes, function: int, count: int) -> bytes:
    """Return the register bytes of an answer to `read_request`; `ModbusException` or `ProtocolError` otherwise."""
    _check_function(pdu, function)
    if pdu[1] != 2 * count or len(pdu) != 2 + 2 * count:
        raise ProtocolError(f"answer has {pdu[1]} data bytes in {len(pdu) - 2}, asked were {2 * count}")
    return pdu[2:]


def read_bit_request(function: int, address: int) -> bytes:
    """Return the PDU that reads one bit with function 1 (coil) or 2 (discrete input)."""
    if function not in (READ_COILS, READ_DISCRETE) or not 0 <= address <= 65_535:
        raise ProtocolError(f"read: function {function} is not 1 or 2, or address {address} is outside 0..65535")
    return struct.pack(">BHH", function, address, 1)


def read_bit_answer(pdu: bytes, function: int) -> bool:
    """Return the bit of an answer to `read_bit_request`; `ModbusException` or `ProtocolError` otherwise."""
    _check_function(pdu, function)
    if len(pdu) != 3 or pdu[1] != 1:
        raise ProtocolError(f"answer to a bit has {len(pdu)} bytes instead of 3")
    return bool(pdu[2] & 1)


def write_request(function: int, address: int, value: int) -> bytes:
    """Return the PDU that writes one value (0..65535) with function 5 (coil: 0 = off, else on), 6 or 16."""
    if not 0 <= address <= 65_535 or not 0 <= value <= 65_535:
        raise ProtocolError(f"write: address {address} or value {value} is outside 0..65535")
    if function == WRITE_COIL:
        return struct.pack(">BHH", function, address, 0xFF00 if value else 0)
    if function == WRITE_SINGLE:
        return struct.pack(">BHH", function, address, value)
    if function == WRITE_MULTIPLE:
        return struct.pack(">BHHBH", function, address, 1, 2, value)
    raise ProtocolError(f"write: function {function} is not 5, 6 or 16")


WRITE_REGISTERS_MAX: Final = 123
"""Application protocol V1.1b3, 6.12: registers of one write."""


def write_many_request(address: int, data: bytes) -> bytes:
    """Return the PDU that writes ``data`` (whole registers, 1 to 123) from ``address`` on with function 16."""
    count = len(data) // 2
    if len(data) % 2 or not 1 <= count <= WRITE_REGISTERS_MAX or not 0 <= address <= 65_536 - count:
        raise ProtocolError(f"write: {len(data)} bytes from {address} are not 1 to {WRITE_REGISTERS_MAX} registers")
    return struct.pack(">BHHB", WRITE_MULTIPLE, address, count, len(data)) + data


def check_write_answer(pdu: bytes, request: bytes) -> None:
    """Return when ``pdu`` confirms the write ``request``; `ModbusException` or `ProtocolError` otherwise."""
    _check_function(pdu, request[0])
    if pdu != request[:5]:
        raise ProtocolError(f"answer {pdu.hex(' ')} does not repeat the write {request[:5].hex(' ')}")


def _check_function(pdu: bytes, function: int) -> None:
    if len(pdu) < 2:
        raise ProtocolError(f"answer of {len(pdu)} bytes is too short")
    if pdu[0] == function | EXCEPTION_FLAG:
        raise ModbusException(function, pdu[1])
    if pdu[0] != function:
        raise ProtocolError(f"answer has function {pdu[0]}, asked was {function}")


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Return the serial frame of ``pdu`` for ``unit`` (0..255)."""
    if not 0 <= unit <= 255 or not 1 <= len(pdu) <= PDU_MAX:
        raise ProtocolError(f"RTU: unit {unit} or PDU of {len(pdu)} bytes is out of range")
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """Return the TCP frame (MBAP header and ``pdu``)."""
    if not 0 <= unit <= 255 or not 1 <= len(pdu) <= PDU_MAX:
        raise ProtocolError(f"TCP: unit {unit} or PDU of {len(pdu)} bytes is out of range")
    return struct.pack(">HHHB", transaction & 0xFFFF, 0, len(pdu) + 1, unit) + pdu


def _answer_length(buffer: bytearray) -> int:
    """Length of the RTU answer that begins ``buffer``; 0 = not known yet."""
    if len(buffer) < 2:
        return 0
    function = buffer[1]
    if function & EXCEPTION_FLAG:
        return 5
    if function in (1, 2, 3, 4):
        return 5 + buffer[2] if len(buffer) > 2 else 0
    if function in (5, 6, 15, 16):
        return 8
    raise ProtocolError(f"answer has function {function}, which is not supported")


class RtuAnswer:
    """Collects the one answer that a master waits for. Bytes beyond ``RTU_FRAME_MAX`` raise `ProtocolError`."""

    __slots__ = ("_buffer", "unit")

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self._buffer = bytearray()

    @property
    def received(self) -> int:
        """Bytes so far."""
        return len(self._buffer)

    def feed(self, data: bytes) -> bytes | None:
        """Add bytes; return the PDU when the frame is complete, None to wait for more."""
        buffer = self._buffer
        if len(buffer) + len(data) > 2 * RTU_FRAME_MAX:
            raise ProtocolError(f"more than {2 * RTU_FRAME_MAX} bytes without a frame")
        buffer += data
        length = _answer_length(buffer)
        if not length or len(buffer) < length:
            if len(buffer) > RTU_FRAME_MAX:
                raise ProtocolError(f"frame longer than {RTU_FRAME_MAX} bytes")
            return None
        crc = buffer[length - 2] | buffer[length - 1] << 8
        expected = crc16(buffer[: length - 2])
        if crc != expected:
            seen = bytes(buffer[:length]).hex(" ")[:60]
            raise ProtocolError(f"CRC 0x{crc:04X} instead of 0x{expected:04X} in {seen}")
        if buffer[0] != self.unit:
            raise ProtocolError(f"unit {buffer[0]} answered instead of {self.unit}")
        return bytes(buffer[1 : length - 2])


class TcpAnswer:
    """Collects the answer to one transaction; answers to older transactions are dropped."""

    __slots__ = ("_buffer", "dropped", "transaction", "unit")

    def __init__(self, transaction: int, unit: int) -> None:
        self.transaction = transaction & 0xFFFF
        self.unit = unit
        self.dropped = 0
        self._buffer = bytearray()

    @property
    def received(self) -> int:
        """Bytes so far."""
        return len(self._buffer)

    def feed(self, data: bytes) -> bytes | None:
        """Add bytes; return the PDU of this transaction, None to wait for more."""
        buffer = self._buffer
        if len(buffer) + len(data) > TCP_BUFFER_MAX:
            raise ProtocolError(f"more than {TCP_BUFFER_MAX} bytes without transaction {self.transaction}")
        buffer += data
        while True:
            frame = _cut_tcp(buffer)
            if frame is None:
                return None
            transaction, unit, pdu = frame
            if transaction == self.transaction:
                if unit != self.unit:
                    raise ProtocolError(f"unit {unit} answered instead of {self.unit}")
                return pdu
            self.dropped += 1


def _cut_tcp(buffer: bytearray) -> tuple[int, int, bytes] | None:
    """Remove one frame from ``buffer``: (transaction, unit, PDU), or None while it is incomplete."""
    if len(buffer) < MBAP_BYTES:
        return None
    transaction, protocol, length, unit = struct.unpack_from(">HHHB", buffer)
    if protocol != 0 or not 2 <= length <= PDU_MAX + 1:
        raise ProtocolError(f"TCP header has protocol {protocol} and length {length}")
    if len(buffer) < 6 + length:
        return None
    pdu = bytes(buffer[MBAP_BYTES : 6 + length])
    del buffer[: 6 + length]
    return transaction, unit, pdu


def _request_length(buffer: bytearray) -> int:
    """Length of the RTU request that begins ``buffer``; 0 = not known yet, -1 = not a request."""
    if len(buffer) < 2:
        return 0
    function = buffer[1]
    if 1 <= function <= 6:
        return 8
    if function in (15, 16):
        return 9 + buffer[6] if len(buffer) > 6 else 0
    return -1


class RtuRequests:
    """Slave side: finds the requests in a serial stream and resynchronises on garbage byte by byte.

    Keeps at most ``RTU_FRAME_MAX`` unread bytes; ``garbage`` counts the bytes that were thrown away.
    """

    __slots__ = ("_buffer", "garbage")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.garbage = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Add bytes; return the complete requests as (unit, PDU)."""
        buffer = self._buffer
        buffer += data
        found: list[tuple[int, bytes]] = []
        while buffer:
            length = _request_length(buffer)
            if 0 < length <= RTU_FRAME_MAX and len(buffer) >= length:
                if crc16(buffer[:length]) == 0:  # a frame with its CRC has the remainder 0
                    found.append((buffer[0], bytes(buffer[1 : length - 2])))
                    del buffer[:length]
                    continue
            elif 0 <= length <= RTU_FRAME_MAX:
                break
            del buffer[0]
            self.garbage += 1
        return found

    def idle(self) -> None:
        """The line was silent for 3.5 characters: what is left is not the beginning of a frame."""
        self.garbage += len(self._buffer)
        self._buffer.clear()


class TcpRequests:
    """Slave side over TCP. A header that is not Modbus raises `ProtocolError`: the connection is to be closed."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Add bytes; return the complete requests as (transaction, unit, PDU)."""
        self._buffer += data
        found: list[tuple[int, int, bytes]] = []
        while (frame := _cut_tcp(self._buffer)) is not None:
            found.append(frame)
        if len(self._buffer) > TCP_BUFFER_MAX:
            raise ProtocolError(f"more than {TCP_BUFFER_MAX} bytes without a frame")
        return found
