"""Modbus framing: golden frames of the reference, comparison with pymodbus, and garbage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from evse.protocols.errors import ProtocolError
from evse.protocols.modbus import (
    ModbusException,
    RtuAnswer,
    RtuRequests,
    TcpAnswer,
    TcpRequests,
    crc16,
    read_answer,
    read_request,
    rtu_frame,
    tcp_frame,
)

ANSWER = bytes.fromhex("01 04 0C 43 66 33 33 43 67 00 00 43 65 80 00 F6 BC")


@pytest.mark.parametrize(
    ("unit", "function", "address", "count", "frame"),
    [
        (1, 4, 0, 6, "01 04 00 00 00 06 70 08"),
        (1, 3, 0x5B00, 6, "01 03 5B 00 00 06 D6 EC"),
        (0x21, 4, 0x6B, 6, "21 04 00 6B 00 06 06 B4"),
        (0x2A, 3, 0x9C40, 2, "2A 03 9C 40 00 02 ED 94"),
    ],
)
def test_requests_of_the_reference(unit: int, function: int, address: int, count: int, frame: str) -> None:
    assert rtu_frame(unit, read_request(function, address, count)) == bytes.fromhex(frame)
    assert RtuRequests().feed(bytes.fromhex(frame)) == [(unit, read_request(function, address, count))]


def test_answer_of_the_reference() -> None:
    pdu = RtuAnswer(1).feed(ANSWER)
    assert pdu is not None
    assert read_answer(pdu, 4, 6).hex(" ", 2) == "4366 3333 4367 0000 4365 8000"


@given(
    st.integers(1, 247), st.sampled_from((3, 4)), st.integers(0, 65_000), st.integers(1, 125), st.integers(0, 65_535)
)
def test_requests_equal_those_of_pymodbus(unit: int, function: int, address: int, count: int, tid: int) -> None:
    kind = ReadHoldingRegistersRequest if function == 3 else ReadInputRegistersRequest
    theirs = kind(address=address, count=count, dev_id=unit, transaction_id=tid)
    pdu = read_request(function, address, count)
    assert FramerRTU(DecodePDU(True)).buildFrame(theirs) == rtu_frame(unit, pdu)
    assert FramerSocket(DecodePDU(True)).buildFrame(theirs) == tcp_frame(tid, unit, pdu)


@given(st.integers(1, 247), st.sampled_from((3, 4)), st.binary(min_size=1, max_size=125))
def test_answers_are_understood_by_pymodbus(unit: int, function: int, half: bytes) -> None:
    data = half + half
    frame = rtu_frame(unit, bytes((function, len(data))) + data)
    used, pdu = FramerRTU(DecodePDU(False)).handleFrame(frame, unit, 0)
    assert used == len(frame)
    assert pdu is not None
    assert b"".join(r.to_bytes(2, "big") for r in pdu.registers) == data
    mine = RtuAnswer(unit).feed(frame)
    assert mine is not None
    assert read_answer(mine, function, len(half)) == data


@given(st.binary(max_size=300))
def test_crc_equals_that_of_pymodbus(data: bytes) -> None:
    assert crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")


def test_exceptions_are_named() -> None:
    pdu = RtuAnswer(1).feed(rtu_frame(1, bytes((0x84, 2))))
    assert pdu is not None
    with pytest.raises(ModbusException, match=r"exception 2 \(illegal data address\) to function 4") as caught:
        read_answer(pdu, 4, 6)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (ANSWER[:-1] + b"\x00", "CRC 0x00F6 instead of"),
        (rtu_frame(2, ANSWER[1:-2]), "unit 2 answered instead of 1"),
        (b"\x01\x2b\x0e\x01", "function 43, which is not supported"),
    ],
)
def test_broken_answers_are_refused_with_the_reason(frame: bytes, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        RtuAnswer(1).feed(frame)


@pytest.mark.parametrize(
    ("pdu", "text"),
    [
        (b"\x04", "too short"),
        (b"\x03\x02ab", "function 3, asked was 4"),
        (b"\x04\x02ab", "2 data bytes in 2, asked were 4"),
    ],
)
def test_answers_to_something_else_are_refused(pdu: bytes, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        read_answer(pdu, 4, 2)


@pytest.mark.parametrize(
    ("function", "address", "count"), [(1, 0, 1), (3, 0, 0), (3, 0, 126), (3, 65_535, 2), (4, -1, 1)]
)
def test_impossible_reads_are_refused(function: int, address: int, count: int) -> None:
    with pytest.raises(ProtocolError):
        read_request(function, address, count)


def test_an_answer_to_an_older_tcp_transaction_is_dropped() -> None:
    answer = TcpAnswer(8, 1)
    assert answer.feed(tcp_frame(7, 1, b"\x04\x02ab") + tcp_frame(8, 1, b"\x04\x02cd")) == b"\x04\x02cd"
    assert answer.dropped == 1


def test_a_slave_finds_the_request_behind_noise() -> None:
    requests = RtuRequests()
    frame = rtu_frame(1, read_request(4, 0, 6))
    assert requests.feed(b"\x00\xff\x13" + frame + frame) == [(1, frame[1:-2])] * 2
    assert requests.garbage == 3
    requests.feed(frame[:3])
    requests.idle()
    assert requests.feed(frame) == [(1, frame[1:-2])]


def _feed(parser: object, chunks: list[bytes]) -> list[object]:
    """What a parser makes of chunks: its results, then the kind of error that ended it."""
    out: list[object] = []
    try:
        for chunk in chunks:
            result = parser.feed(chunk)  # type: ignore[attr-defined]
            if isinstance(result, list):
                out += result
            elif result is not None:
                return [*out, result]
    except ProtocolError:
        out.append("error")
    return out


PIECES = st.lists(
    st.one_of(st.binary(max_size=20), st.just(ANSWER), st.just(rtu_frame(1, read_request(3, 1, 2))),
              st.just(tcp_frame(5, 1, b"\x04\x02ab")), st.just(bytes.fromhex("01 10 00 01 00 01 02 00 07 E6 43"))),
    max_size=6,
)  # fmt: skip


@given(PIECES)
def test_whole_and_byte_by_byte_agree_and_only_protocol_errors_come_out(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    single = [stream[i : i + 1] for i in range(len(stream))]
    for make in (RtuRequests, TcpRequests, lambda: RtuAnswer(1), lambda: TcpAnswer(5, 1)):
        whole, bytewise = _feed(make(), [stream]), _feed(make(), single)
        if "error" in whole or "error" in bytewise:
            # an error may come before or after earlier frames of the same chunk, but both see it
            assert "error" in whole or bytewise[: len(whole)] == whole
        else:
            assert whole == bytewise
