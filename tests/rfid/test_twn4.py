"""TWN4 simple protocol: lines of the reference, garbage, and what its driver does beyond the contract."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.devices.rfid_twn4 import Twn4Driver
from evse.protocols import rfid_twn4 as twn4
from evse.protocols.errors import ProtocolError
from evse.sim.hw.rfid_twn4 import SimTwn4
from tests.rfid.rig import Rig, with_rig

TwnRig = Rig[Twn4Driver, SimTwn4]


def test_lines_of_the_reference() -> None:
    assert twn4.SEARCH_REQUEST == b"050010\r"
    tag = twn4.Tag(0x80, 0x20, bytes.fromhex("11223344"))
    assert twn4.parse_answer(b"000180200411223344") == tag
    assert twn4.found_line(tag) == b"000180200411223344\r"
    assert twn4.parse_answer(b"0000") is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"01", "unknown function"),
        (b"02", "missing parameter"),
        (b"03", "too many parameters"),
        (b"04", "invalid function"),
        (b"05", "parser error"),
    ],
)
def test_errors_of_the_reader_are_named(line: bytes, text: str) -> None:
    with pytest.raises(twn4.ReaderError, match=text):
        twn4.parse_answer(line)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"0", b"00", b"000", b"0002", b"0001", b"00018020", b"0001802004112233", b"00018020041122334455",
        b"000180180411223344", b"06", b"0100", b"04A1B2C3", b"xy", b"000180200411 223344", b"\xff\xfe",
    ],
)  # fmt: skip
def test_no_complete_answer(line: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        twn4.parse_answer(line)
    assert not isinstance(caught.value, twn4.ReaderError)


@given(st.binary(max_size=50) | st.text("0123456789ABCDEFabcdef", max_size=50).map(str.encode))
def test_any_line_is_an_answer_or_a_protocol_error(line: bytes) -> None:
    try:
        tag = twn4.parse_answer(line)
    except ProtocolError:
        return
    assert line == b"0000" if tag is None else twn4.found_line(tag) == line.upper() + b"\r"


@given(st.binary(max_size=16), st.integers(0, 255))
def test_tags_come_back_as_they_were(uid: bytes, tag_type: int) -> None:
    tag = twn4.Tag(tag_type, 8 * len(uid), uid)
    assert twn4.parse_answer(twn4.found_line(tag)[:-1]) == tag


def test_a_tag_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ProtocolError, match="does not fit"):
        twn4.found_line(twn4.Tag(0x80, 136, bytes(17)))


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        (b"050010\r", b"0000\r"), (b"0500\r", b"02\r"), (b"05001000\r", b"03\r"), (b"0599\r", b"01\r"),
        (b"zz\r", b"05\r"), (b"0503", b""),
    ],
)  # fmt: skip
def test_simulated_reader_answers_as_the_reference_says(request_line: bytes, answer: bytes) -> None:
    assert SimTwn4().feed(request_line) == answer


def test_a_reader_that_refuses_is_online_and_says_so() -> None:
    async def test(rig: TwnRig) -> None:
        rig.sim.locked = True
        await rig.forward_ms(1_000)
        health = rig.driver.health()[0]
        assert health.online
        assert "unknown function" in health.detail

    with_rig(Twn4Driver, SimTwn4, test)


def test_a_card_of_another_kind_is_named_and_never_a_token() -> None:
    async def test(rig: TwnRig) -> None:
        rig.sim.tag = twn4.Tag(0x40, 40, bytes.fromhex("0102030405"))  # its answer has 20 digits, as a 10 byte UID
        await rig.forward_ms(2_000)
        health = rig.driver.health()[0]
        assert rig.driver.take() == []
        assert health.online
        assert "card of type 40: UID of 5 bytes" in health.detail

    with_rig(Twn4Driver, SimTwn4, test)


def test_a_reader_that_answers_is_not_believed_a_mutilated_answer() -> None:
    async def test(rig: TwnRig) -> None:
        await rig.forward_ms(1_000)
        assert rig.openers.line is not None
        assert rig.openers.line.peer is not None
        rig.openers.line.peer.write_now(b"0001802004112233\r00018020041122\r")  # the second looks like a 7 byte UID
        await rig.forward_ms(2_000)
        assert rig.driver.take() == []
        assert rig.driver.health()[0].errors == 2

    with_rig(Twn4Driver, SimTwn4, test)
