"""The text of 1-wire sensors: values, checksums, everything that is no reading."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.protocols.errors import ProtocolError
from evse.protocols.w1 import crc8, parse_millidegrees, parse_sensor, parse_slave, slave_text

# As the kernel document w1_therm and field logs show it.
REAL = "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n"


def test_a_reading_of_a_real_sensor() -> None:
    assert parse_slave(REAL) == 231
    assert crc8(bytes.fromhex("72014b467fff0e10")) == 0x57


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("YES", "NO", "checksum"),
        ("72 01", "73 01", "checksum"),
        ("t=23125", "t=", "is no reading"),
        ("t=23125", "t=126000", "outside"),
        (REAL, "", "is no reading"),
        (REAL, "00 00 00 00 00 00 00 00 00 : crc=00 YES\n00 00 00 00 00 00 00 00 00 t=0\n", "shorted"),
    ],
)
def test_what_is_no_reading_is_named(old: str, new: str, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        parse_slave(REAL.replace(old, new))


def test_the_85_degrees_of_power_on_are_no_reading_but_measured_ones_are() -> None:
    with pytest.raises(ProtocolError, match="switched on"):
        parse_slave(slave_text(85_000, reserved=0x0C))
    assert parse_slave(slave_text(85_000, reserved=0x10)) == 850


@given(st.integers(-55_000, 125_000))
def test_every_temperature_comes_back_rounded(value: int) -> None:
    assert parse_slave(slave_text(value)) == (value + 50) // 100 == parse_millidegrees(str(value))
    assert parse_sensor(slave_text(value)) == parse_sensor(str(value)) == (value + 50) // 100


@given(st.text(max_size=120) | st.text("0123456789abcdef :crc=YESNO\nt-", max_size=120))
def test_any_text_is_a_temperature_or_a_protocol_error(text: str) -> None:
    for parse in (parse_slave, parse_millidegrees, parse_sensor):
        try:
            value = parse(text)
        except ProtocolError:
            continue
        assert -550 <= value <= 1250


@given(st.integers(0, len(REAL) - 1), st.characters(codec="ascii"))
def test_one_changed_character_never_changes_the_temperature_unnoticed_in_the_bytes(at: int, character: str) -> None:
    if at >= REAL.index(" :"):
        return
    with contextlib.suppress(ProtocolError):
        assert parse_slave(REAL[:at] + character + REAL[at + 1 :]) == 231
