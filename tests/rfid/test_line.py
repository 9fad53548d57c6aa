"""Line readers: what a line may be, garbage, and what the driver does with torn lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.devices.rfid_line import LineDriver
from evse.protocols import rfid_line as line_reader
from evse.protocols.errors import ProtocolError
from evse.sim.hw.rfid_line import SimLine
from tests.rfid.rig import Rig, with_rig

LineRig = Rig[LineDriver, SimLine]
CARD = bytes.fromhex("04A1B2C3")


@pytest.mark.parametrize(
    ("line", "uid"),
    [
        (b"04A1B2C3", "04A1B2C3"),
        (b"04a1b2c3", "04A1B2C3"),
        (b"04A1B2C3D4E5F6", "04A1B2C3D4E5F6"),
        (b"0102030405060708090A", "0102030405060708090A"),
        (b"12345678", "12345678"),  # eight digits are hex
        (b"3283263748", "04A1B2C3"),  # C3B2A104 as a number: UID3 is its most significant byte
        (b"0000000001", "01000000"),
        (b"4294967295", "FFFFFFFF"),
    ],
)
def test_lines_of_cards(line: bytes, uid: str) -> None:
    assert line_reader.parse_uid(line) == bytes.fromhex(uid)


@pytest.mark.parametrize(
    "line",
    [b"", b"04A1B2", b"04A1B2C", b"04A1B2C3D4", b"4294967296", b"04A1B2G3", b"+4A1B2C3", "٠١٢٣٤٥٦٧".encode(), b"\x00" * 8],
)
def test_other_lines_are_named(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="line reader: "):
        line_reader.parse_uid(line)


@given(st.binary(max_size=80) | st.text("0123456789ABCDEF", max_size=24).map(str.encode))
def test_any_line_is_a_card_or_a_protocol_error(line: bytes) -> None:
    try:
        uid = line_reader.parse_uid(line)
    except ProtocolError:
        return
    assert line.upper() + b"\r" in (line_reader.hex_line(uid), line_reader.decimal_line(uid) if len(uid) == 4 else b"")


@given(st.binary(min_size=4, max_size=4))
def test_numbers_come_back_as_they_were(uid: bytes) -> None:
    line = line_reader.decimal_line(uid)
    assert len(line) == 11
    assert line_reader.parse_uid(line[:-1]) == uid


def test_only_four_bytes_have_a_number() -> None:
    with pytest.raises(ProtocolError, match="7 bytes"):
        line_reader.decimal_line(bytes(7))


PIECES = st.lists(st.sampled_from((b"04A1B2C3\r", b"3283263748\r\n", b"\n", b"\r", b" AB ", b"x" * 65)) | st.binary(max_size=70))


@given(PIECES, st.data())
def test_whole_bytewise_and_spliced_feeding_agree_and_memory_is_bounded(
    pieces: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(pieces)
    whole, bytewise, spliced = line_reader.LineReader(), line_reader.LineReader(), line_reader.LineReader()
    expected = whole.feed(stream)
    cut = data.draw(st.integers(0, len(stream)))
    assert [line for byte in stream for line in bytewise.feed(bytes((byte,)))] == expected
    assert spliced.feed(stream[:cut]) + spliced.feed(stream[cut:]) == expected
    assert whole.errors == bytewise.errors == spliced.errors
    assert len(whole._buffer) <= line_reader.LINE_MAX


def test_line_ends_blanks_and_lines_that_are_too_long() -> None:
    reader = line_reader.LineReader()
    assert reader.feed(b"04A1B2C3\r\n\r\n 04A1B2C4 \n" + b"0" * 65 + b"\r04A1B2C5\r04") == [
        b"04A1B2C3", b"04A1B2C4", b"04A1B2C5",
    ]
    assert reader.errors == 1
    assert reader.waiting


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
@pytest.mark.parametrize("decimal", [False, True])
def test_driver_reads_both_notations_and_all_ends(end: bytes, decimal: bool) -> None:
    async def test(rig: LineRig) -> None:
        await rig.forward_ms(500)
        rig.sim.present(CARD)
        await rig.forward_ms(10)
        assert rig.driver.take() == ["04A1B2C3"]

    with_rig(LineDriver, lambda: SimLine(decimal=decimal, end=end), test)


def test_noise_before_a_card_is_forgotten() -> None:
    async def test(rig: LineRig) -> None:
        await rig.forward_ms(500)
        rig.sim.say(b"\x004")
        await rig.forward_ms(1_000)
        rig.sim.present(CARD)
        await rig.forward_ms(10)
        assert rig.driver.take() == ["04A1B2C3"]
        assert rig.driver.health()[0].errors == 1

    with_rig(LineDriver, SimLine, test)


def test_the_end_of_a_line_that_began_before_the_port_was_open_is_no_card() -> None:
    async def test(rig: LineRig) -> None:
        await rig.forward_ms(1)
        rig.sim.say(b"C3D4E5F6\r")  # of 04A1B2C3D4E5F6
        await rig.forward_ms(500)
        assert rig.driver.take() == []
        rig.sim.present(CARD)
        await rig.forward_ms(10)
        assert rig.driver.take() == ["04A1B2C3"]

    with_rig(LineDriver, SimLine, test)


def test_a_line_that_is_no_card_is_told_until_the_next_card() -> None:
    async def test(rig: LineRig) -> None:
        await rig.forward_ms(500)
        rig.sim.say(b"HELLO\r")
        await rig.forward_ms(10)
        assert "'HELLO' is no card" in rig.driver.health()[0].detail
        assert rig.driver.health()[0].online
        rig.sim.present(CARD)
        await rig.forward_ms(10)
        assert rig.driver.health()[0].detail == ""

    with_rig(LineDriver, SimLine, test)
