"""Infypower V1.13: the examples of the reference byte by byte, inverses, and garbage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.protocols import can_infypower as ip
from evse.protocols.can_infypower import Command
from evse.protocols.errors import ProtocolError


@pytest.mark.parametrize(
    ("command", "destination", "source", "expected"),
    [
        (Command.MODULE_OUTPUT, 0, ip.CONTROLLER, 0x029C00F0),
        (Command.ON_OFF, 0, ip.CONTROLLER, 0x029A00F0),
        (Command.GROUP_OUTPUT, ip.BROADCAST, ip.CONTROLLER, 0x029B3FF0),
        (Command.MODULE_VI, 0, ip.CONTROLLER, 0x028900F0),
        (Command.MODULE_VI, ip.CONTROLLER, 0, 0x0289F000),
    ],
)
def test_identifiers_of_the_reference(command: int, destination: int, source: int, expected: int) -> None:
    assert ip.identifier(command, destination, source) == expected
    assert ip.parse_identifier(expected) == ip.Header(command, destination, source, ip.SINGLE, 0)


def test_data_of_the_reference() -> None:
    assert ip.pack_vi(500_000, 20_000).hex(" ") == "00 07 a1 20 00 00 4e 20"
    assert ip.OUTPUT_ON_DATA.hex(" ") == "00 00 00 00 00 00 00 00"
    assert ip.OUTPUT_OFF_DATA.hex(" ") == "01 00 00 00 00 00 00 00"
    assert ip.unpack_vi(bytes.fromhex("00 03 0D 40 00 00 13 88")) == (200_000, 5_000)
    assert ip.unpack_barcode(bytes.fromhex("56 13 0C 15 A3 FB 06 A8")) == "081807123451V1704"
    assert ip.pack_barcode("081807123451V1704").hex(" ") == "56 13 0c 15 a3 fb 06 a8"


@pytest.mark.parametrize(
    ("byte", "bit", "name"),
    [
        (7, 0, "output short circuit"), (7, 4, "sleeping"), (7, 5, "discharge abnormal"), (6, 0, "DC output off"),
        (6, 1, "module fault"), (6, 2, "module protection"), (6, 3, "fan fault"), (6, 4, "over temperature"),
        (6, 5, "output over voltage"), (6, 6, "walk-in enabled"), (6, 7, "communication interrupted"),
        (5, 0, "power limited"), (5, 1, "module id repeated"), (5, 2, "load sharing fault"), (5, 3, "input phase lost"),
        (5, 4, "input unbalance"), (5, 5, "input under voltage"), (5, 6, "input over voltage"), (5, 7, "PFC off"),
    ],
)  # fmt: skip
def test_status_bits_by_byte_and_bit(byte: int, bit: int, name: str) -> None:
    data = bytearray(8)
    data[byte] = 1 << bit
    assert ip.unpack_status(bytes(data)).names() == [name]


def test_status_group_and_negative_temperature() -> None:
    status = ip.unpack_status(bytes((0, 0, 7, 0, 0xF6, 0, 1, 0)))
    assert (status.group, status.temperature_c, status.names()) == (7, -10, ["DC output off"])


def test_scaled_replies() -> None:
    assert ip.unpack_limits(bytes.fromhex("03 E8 00 96 03 E8 0B B8")) == ip.Limits(1_000_000, 150_000, 100_000, 30_000)
    assert ip.unpack_ac_input(bytes.fromhex("0F A0 0F A1 0F 9F 00 00")) == (400_000, 400_100, 399_900)
    assert ip.unpack_terminals(bytes.fromhex("0F A0 01 F4 00 00 00 00")) == (400_000, 50_000)
    assert ip.unpack_count(bytes((0, 0, 12, 0, 0, 0, 0, 0))) == 12
    assert ip.unpack_vi_float(bytes.fromhex("43 48 00 00 40 A0 00 00")) == (200_000, 5_000)


@given(st.integers(0, 0x3F), st.integers(0, 255), st.integers(0, 255), st.integers(0, 15), st.integers(0, 7))
def test_identifier_and_its_parser_are_inverse(command: int, dest: int, source: int, device: int, error: int) -> None:
    can_id = ip.identifier(command, dest, source, device, error)
    assert 0 <= can_id < 1 << 29
    assert ip.parse_identifier(can_id) == ip.Header(command, dest, source, device, error)


@given(st.integers(0, 255), st.integers(-128, 127), st.integers(0, 0xFF_FFFF))
def test_status_and_its_parser_are_inverse(group: int, temperature: int, bits: int) -> None:
    status = ip.Status(group, temperature, bits)
    assert ip.unpack_status(ip.pack_status(status)) == status


@given(st.integers(-(2**40), 2**40), st.binary(max_size=12))
def test_garbage_parses_or_raises_protocol_error(can_id: int, data: bytes) -> None:
    for parse in (ip.unpack_vi, ip.unpack_vi_float, ip.unpack_status, ip.unpack_limits, ip.unpack_ac_input,
                  ip.unpack_terminals, ip.unpack_count, ip.unpack_barcode):  # fmt: skip
        try:
            parse(data)
        except ProtocolError:
            continue
        assert len(data) == 8
    try:
        ip.parse_identifier(can_id)
    except ProtocolError:
        assert not 0 <= can_id < 1 << 29


@given(st.integers(), st.integers())
def test_a_set_point_that_does_not_fit_is_refused(voltage_mv: int, current_ma: int) -> None:
    fits = 0 <= voltage_mv < 1 << 32 and 0 <= current_ma < 1 << 32
    try:
        data = ip.pack_vi(voltage_mv, current_ma)
    except ProtocolError:
        assert not fits
    else:
        assert fits
        assert ip.unpack_vi(data) == (voltage_mv, current_ma)
