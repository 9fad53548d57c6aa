"""Keyboard events of card readers: both layouts, every cut, garbage, lost events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.protocols import rfid_hid as hid
from evse.protocols.errors import ProtocolError

LAYOUTS = (hid.EVENT_BYTES_64, hid.EVENT_BYTES_32)

# Golden bytes: "1" pressed as a 64 bit little-endian kernel writes it at 2026-01-01T00:00:00.000001Z.
GOLDEN = bytes.fromhex("80b8556900000000 0100000000000000 0100 0200 01000000")


def press(code: int, value: int = hid.PRESSED, kind: int = hid.EV_KEY) -> bytes:
    return hid.event(kind, code, value)


@pytest.mark.parametrize("size", LAYOUTS)
def test_digits_letters_and_enter_of_both_layouts(size: int) -> None:
    assert hid.HidLines(size).feed(hid.typed("04a1B2C3", size) + hid.typed("0123456789", size)) == [
        "04A1B2C3", "0123456789",
    ]
    assert len(hid.typed("1", size)) == 8 * size


def test_a_golden_event() -> None:
    decoder = hid.HidLines(hid.EVENT_BYTES_64)
    assert decoder.feed(GOLDEN) == []
    assert decoder.feed(hid.event(1, 28, 1, 24)) == ["1"]


def test_keypad_and_modifiers() -> None:
    codes = (69, 82, 79, 80, 81, 75, 76, 77, 71, 72, 73, 42, 30, 58, 18, 96)
    assert hid.HidLines().feed(b"".join(press(code) for code in codes)) == ["0123456789AE"]


def test_repeats_releases_and_other_events_are_nothing() -> None:
    stream = (
        press(2) + press(2, hid.REPEATED) + press(2, hid.RELEASED) + press(4, 458_782, 4) + press(3) + press(28, 0)
        + press(28) + press(28)
    )
    assert hid.HidLines().feed(stream) == ["12"]


def test_another_key_spoils_the_line_and_lost_events_lose_it() -> None:
    decoder = hid.HidLines()
    assert decoder.feed(press(2) + press(16) + press(28)) == ["1?"]
    dropped = press(hid.SYN_DROPPED, 0, hid.EV_SYN)
    assert decoder.feed(press(2) + dropped + press(3) + press(28) + hid.typed("A0")) == ["A0"]
    assert decoder.errors == 1
    assert decoder.feed(press(2) * 33 + press(28) + hid.typed("B1")) == ["B1"]
    assert decoder.errors == 2


PIECES = st.lists(
    st.binary(max_size=60)
    | st.sampled_from((press(2), press(30), press(28), press(16), press(3, 0, 0), hid.typed("04A1B2C3"))),
    max_size=20,
)


@given(PIECES, st.data(), st.sampled_from(LAYOUTS))
def test_whole_bytewise_and_spliced_feeding_agree_and_memory_is_bounded(
    pieces: list[bytes], data: st.DataObject, size: int
) -> None:
    stream = b"".join(pieces)
    whole, bytewise, spliced = (hid.HidLines(size) for _ in range(3))
    expected = whole.feed(stream)
    cut = data.draw(st.integers(0, len(stream)))
    assert [line for byte in stream for line in bytewise.feed(bytes((byte,)))] == expected
    assert spliced.feed(stream[:cut]) + spliced.feed(stream[cut:]) == expected
    assert whole.errors == bytewise.errors == spliced.errors
    for decoder in (whole, bytewise):
        assert len(decoder._buffer) < size
        assert len(decoder._line) <= hid.LINE_MAX
    assert all(set(line) <= set("0123456789ABCDEF?") and 0 < len(line) <= hid.LINE_MAX for line in expected)


@given(st.text("0123456789abcdefABCDEF", min_size=1, max_size=32), st.sampled_from(LAYOUTS))
def test_what_is_typed_comes_back(text: str, size: int) -> None:
    assert hid.HidLines(size).feed(hid.typed(text, size)) == [text.upper()]


def test_only_hex_digits_can_be_typed_and_only_known_layouts_read() -> None:
    with pytest.raises(ProtocolError, match="'G'"):
        hid.typed("0G")
    with pytest.raises(ValueError, match="must be 24 or 16"):
        hid.HidLines(20)
