"""Writing by Modbus and single bits: golden frames of the standard, refusals, garbage."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.protocols import modbus
from evse.protocols.errors import ProtocolError


def test_golden_requests_of_the_standard() -> None:
    # Modbus application protocol V1.1b3: 6.5 (coil 173 on), 6.6 (register 2 = 3), 6.12 (register 2 = 10), 6.1, 6.2
    assert modbus.write_request(5, 172, 1) == bytes.fromhex("05 00AC FF00")
    assert modbus.write_request(6, 1, 3) == bytes.fromhex("06 0001 0003")
    assert modbus.write_request(16, 1, 10) == bytes.fromhex("10 0001 0001 02 000A")
    assert modbus.read_bit_request(2, 196) == bytes.fromhex("02 00C4 0001")
    assert modbus.read_bit_answer(bytes.fromhex("0101CD"), 1) is True
    assert modbus.read_bit_answer(bytes.fromhex("020100"), 2) is False


@pytest.mark.parametrize("function", [5, 6, 16])
def test_the_answer_must_repeat_the_request(function: int) -> None:
    request = modbus.write_request(function, 7, 1)
    modbus.check_write_answer(request[:5], request)
    with pytest.raises(ProtocolError, match="does not repeat"):
        modbus.check_write_answer(modbus.write_request(function, 8, 1)[:5], request)
    with pytest.raises(modbus.ModbusException, match="busy"):
        modbus.check_write_answer(bytes((function | 0x80, modbus.BUSY)), request)


@pytest.mark.parametrize(("function", "address", "value"), [(3, 0, 0), (6, -1, 0), (6, 65_536, 0), (16, 0, 65_536)])
def test_what_cannot_be_written(function: int, address: int, value: int) -> None:
    with pytest.raises(ProtocolError):
        modbus.write_request(function, address, value)


@given(st.binary(max_size=10), st.sampled_from((5, 6, 16)), st.integers(0, 65_535), st.integers(0, 65_535))
def test_any_answer_confirms_or_raises_a_protocol_error(pdu: bytes, function: int, address: int, value: int) -> None:
    request = modbus.write_request(function, address, value)
    with contextlib.suppress(ProtocolError):
        modbus.check_write_answer(pdu, request)
        assert pdu == request[:5]
    with contextlib.suppress(ProtocolError):
        assert modbus.read_bit_answer(pdu, 1) == bool(pdu[2] & 1)
