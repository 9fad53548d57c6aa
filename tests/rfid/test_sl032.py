"""SL032: bytes of the reference, garbage, and the driver against the simulated reader under virtual time."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.devices.rfid_sl032 import Sl032Driver
from evse.protocols import rfid_sl032 as sl032
from evse.protocols.errors import ProtocolError
from evse.sim.hw.rfid_sl032 import SimSl032
from tests.rfid.rig import Rig, with_rig

CARD = bytes.fromhex("04A1B2C3")


# -- bytes of reference/rfid.md ---------------------------------------------------------------------------------------


def test_select_request_of_the_reference() -> None:
    assert bytes.fromhex("BA 02 01 B9") == sl032.SELECT_REQUEST
    assert sl032.RequestReader().requests(bytes.fromhex("BA 02 01 B9")) == [sl032.Request(0x01)]


def test_card_answer_of_the_reference() -> None:
    answers = sl032.AnswerReader().answers(bytes.fromhex("BD 08 01 00 04 A1 B2 C3 03 63"))
    assert answers == [sl032.Answer(0x01, 0x00, bytes.fromhex("04A1B2C303"))]
    assert sl032.selected_card(answers[0]) == sl032.Card(uid=CARD, card_type=3)
    assert sl032.encode_answer(answers[0]) == bytes.fromhex("BD 08 01 00 04 A1 B2 C3 03 63")


def test_no_tag_answer_of_the_reference() -> None:
    answers = sl032.AnswerReader().answers(bytes.fromhex("BD 03 01 01 BE"))
    assert answers == [sl032.Answer(0x01, 0x01)]
    assert sl032.selected_card(answers[0]) is None


@pytest.mark.parametrize("size", [4, 7, 10])
def test_uid_length_follows_from_the_frame_whatever_the_type_says(size: int) -> None:
    uid = bytes(range(1, size + 1))
    for card_type in (0x01, 0x03, 0x0A, 0xFF):
        card = sl032.selected_card(sl032.Answer(0x01, 0x00, uid + bytes((card_type,))))
        assert card == sl032.Card(uid=uid, card_type=card_type)


@pytest.mark.parametrize(("status", "text"), [(0x0A, "collision"), (0xF0, "checksum"), (0x77, "unknown")])
def test_other_status_is_named(status: int, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        sl032.selected_card(sl032.Answer(0x01, status))


FRAMES = st.builds(sl032.Answer, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=20))


@given(st.lists(FRAMES.map(sl032.encode_answer) | st.binary(max_size=100), max_size=5), st.data())
def test_whole_bytewise_and_spliced_feeding_agree_and_memory_is_bounded(
    pieces: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(pieces)
    whole, bytewise, spliced = sl032.AnswerReader(), sl032.AnswerReader(), sl032.AnswerReader()
    expected = whole.answers(stream)
    cut = data.draw(st.integers(0, len(stream)))
    assert [a for byte in stream for a in bytewise.answers(bytes((byte,)))] == expected
    assert spliced.answers(stream[:cut]) + spliced.answers(stream[cut:]) == expected
    assert whole.errors == bytewise.errors == spliced.errors
    assert len(whole._buffer) <= sl032.LENGTH_MAX + 2
    for answer in expected:
        with contextlib.suppress(ProtocolError):
            sl032.selected_card(answer)


@given(FRAMES)
def test_answers_come_back_as_they_were(answer: sl032.Answer) -> None:
    assert sl032.AnswerReader().answers(sl032.encode_answer(answer)) == [answer]


# -- driver and simulated reader --------------------------------------------------------------------------------------


SlRig = Rig[Sl032Driver, SimSl032]


def test_broken_checksums_are_counted_and_never_a_token() -> None:
    async def test(rig: SlRig) -> None:
        rig.sim.broken_checksum = True
        rig.sim.present(CARD)
        await rig.forward_ms(3_000)
        assert rig.driver.take() == []
        assert rig.driver.health()[0].errors >= 3

    with_rig(Sl032Driver, SimSl032, test)


def test_collision_is_told_in_words() -> None:
    async def test(rig: SlRig) -> None:
        rig.sim.collision = True
        await rig.forward_ms(500)
        health = rig.driver.health()[0]
        assert health.online
        assert "more than one card" in health.detail

    with_rig(Sl032Driver, SimSl032, test)
