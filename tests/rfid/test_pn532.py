"""PN532: bytes of the reference, garbage, and what its driver does beyond the contract."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.devices.rfid_pn532 import Pn532Driver
from evse.protocols import rfid_pn532 as pn532
from evse.protocols.errors import ProtocolError
from evse.sim.hw.rfid_pn532 import SimPn532
from tests.rfid.rig import Rig, with_rig

PnRig = Rig[Pn532Driver, SimPn532]
CARD = bytes.fromhex("04A1B2C3")
ANSWER = bytes.fromhex("00 00 FF 0C F4 D5 4B 01 01 00 04 08 04 11 22 33 44 24 00")


# -- bytes of reference/rfid.md ---------------------------------------------------------------------------------------


def test_requests_of_the_reference() -> None:
    assert bytes.fromhex("00 00 FF 05 FB D4 14 01 00 01 16 00") == pn532.SAM_NORMAL
    assert bytes.fromhex("00 00 FF 02 FE D4 02 2A 00") == pn532.FIRMWARE_REQUEST
    assert bytes.fromhex("00 00 FF 04 FC D4 4A 01 00 E1 00") == pn532.LIST_ONE_TYPE_A
    assert b"\x55\x55" + bytes(14) == pn532.WAKE_UP
    assert len(pn532.WAKE_UP) == 16


def test_retries_request_has_correct_checksums() -> None:
    assert bytes.fromhex("00 00 FF 06 FA D4 32 05 FF 01 01 F4 00") == pn532.FEW_RETRIES


def test_acknowledgements_of_the_reference() -> None:
    assert pn532.FrameReader().feed(bytes.fromhex("00 00 FF 00 FF 00")) == [pn532.Ack()]
    assert pn532.FrameReader().feed(bytes.fromhex("00 00 FF FF 00 00")) == [pn532.Nack()]


def test_card_answer_of_the_reference() -> None:
    (message,) = pn532.FrameReader().feed(ANSWER)
    assert isinstance(message, pn532.Message)
    target = pn532.Target(number=1, sens_res=0x0004, sel_res=0x08, uid=bytes.fromhex("11223344"))
    assert pn532.listed_target(message) == target
    assert pn532.encode(message) == ANSWER


def test_acknowledgement_and_answer_in_one_piece() -> None:
    frames = pn532.FrameReader().feed(pn532.ACK_BYTES + ANSWER + pn532.NACK_BYTES + ANSWER)
    assert [type(frame).__name__ for frame in frames] == ["Ack", "Message", "Nack", "Message"]


def test_no_card() -> None:
    assert pn532.listed_target(pn532.Message(0xD5, 0x4B, b"\x00")) is None


@pytest.mark.parametrize("size", [4, 7, 10])
def test_uid_lengths_with_and_without_ats(size: int) -> None:
    uid = bytes(range(1, size + 1))
    for ats in (b"", bytes.fromhex("067577810280")):
        data = bytes((1, 1, 0x03, 0x44, 0x20, size)) + uid + ats
        target = pn532.listed_target(pn532.Message(0xD5, 0x4B, data))
        assert target is not None
        assert target.uid == uid


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (pn532.Message(0x7F, 0), "error frame"),
        (pn532.Message(0xD5, 0x15), "instead of D5 4B"),
        (pn532.Message(0xD4, 0x4B, b"\x00"), "instead of D5 4B"),
        (pn532.Message(0xD5, 0x4B), "not one complete card"),
        (pn532.Message(0xD5, 0x4B, bytes.fromhex("010100040804112233")), "not one complete card"),
        (pn532.Message(0xD5, 0x4B, bytes.fromhex("0201000408041122334401")), "not one complete card"),
        (pn532.Message(0xD5, 0x4B, bytes.fromhex("01010004080511223344 55")), "UID of 5 bytes"),
    ],
)
def test_other_messages_are_named(message: pn532.Message, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        pn532.listed_target(message)


def test_error_frame() -> None:
    assert pn532.FrameReader().feed(bytes.fromhex("00 00 FF 01 FF 7F 81 00")) == [pn532.Message(0x7F, 0)]


def test_too_long_a_message_is_refused() -> None:
    assert len(pn532.encode(pn532.Message(0xD4, 0x40, bytes(252)))) == 254 + 7
    with pytest.raises(ProtocolError, match="255 bytes"):
        pn532.encode(pn532.Message(0xD4, 0x40, bytes(253)))


# -- garbage ----------------------------------------------------------------------------------------------------------

MESSAGES = st.builds(
    pn532.Message, st.sampled_from((0xD4, 0xD5)), st.integers(0, 255), st.binary(max_size=40)
)
PIECES = st.lists(
    MESSAGES.map(pn532.encode)
    | st.sampled_from((pn532.ACK_BYTES, pn532.NACK_BYTES, ANSWER[:9], b"\x00\xff\x05\xfb"))
    | st.binary(max_size=60),
    max_size=6,
)


@given(PIECES, st.data())
def test_whole_bytewise_and_spliced_feeding_agree_and_memory_is_bounded(
    pieces: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(pieces)
    whole, bytewise, spliced = pn532.FrameReader(), pn532.FrameReader(), pn532.FrameReader()
    expected = whole.feed(stream)
    cut = data.draw(st.integers(0, len(stream)))
    assert [f for byte in stream for f in bytewise.feed(bytes((byte,)))] == expected
    assert spliced.feed(stream[:cut]) + spliced.feed(stream[cut:]) == expected
    assert whole.errors == bytewise.errors == spliced.errors
    assert len(whole._buffer) <= pn532.LEN_MAX + pn532.OVERHEAD
    for frame in expected:
        if isinstance(frame, pn532.Message):
            with contextlib.suppress(ProtocolError):
                pn532.listed_target(frame)


@given(MESSAGES)
def test_messages_come_back_as_they_were(message: pn532.Message) -> None:
    assert pn532.FrameReader().feed(pn532.encode(message)) == [message]


@given(st.binary(max_size=60))
def test_any_list_of_cards_is_a_card_or_a_protocol_error(data: bytes) -> None:
    try:
        target = pn532.listed_target(pn532.Message(0xD5, 0x4B, data))
    except ProtocolError:
        return
    assert target is None or target.uid in data


# -- the chip's habits ------------------------------------------------------------------------------------------------


def run(test: object) -> None:
    with_rig(Pn532Driver, SimPn532, test)  # type: ignore[arg-type]


def test_asleep_until_woken_then_acknowledges_and_answers() -> None:
    sim = SimPn532()
    assert sim.feed(pn532.FIRMWARE_REQUEST) == []
    assert sim.feed(pn532.WAKE_UP + pn532.FIRMWARE_REQUEST) == [
        pn532.ACK_BYTES, bytes.fromhex("00 00 FF 06 FA D5 03 32 01 06 07 E8 00"),
    ]
    assert sim.feed(pn532.SAM_NORMAL)[1] == bytes.fromhex("00 00 FF 02 FE D5 15 16 00")
    sim.present(bytes.fromhex("11223344"))
    assert sim.feed(pn532.LIST_ONE_TYPE_A) == [pn532.ACK_BYTES, ANSWER]


def test_without_limited_retries_the_chip_keeps_silent_about_no_card() -> None:
    sim = SimPn532()
    sim.feed(pn532.WAKE_UP + pn532.SAM_NORMAL)
    assert sim.feed(pn532.LIST_ONE_TYPE_A) == [pn532.ACK_BYTES]
    sim.feed(pn532.FEW_RETRIES)
    assert len(sim.feed(pn532.LIST_ONE_TYPE_A)) == 2


def test_a_chip_that_lost_its_supply_is_set_up_again() -> None:
    async def test(rig: PnRig) -> None:
        await rig.forward_ms(1_000)
        rig.sim.power_up()
        await rig.forward_ms(2_000)
        rig.sim.present(CARD)
        await rig.forward_ms(600)
        assert rig.driver.health()[0].online
        assert rig.driver.health()[0].reconnects == 0
        assert rig.driver.take() == ["04A1B2C3"]

    run(test)


def test_a_chip_that_refuses_is_online_and_says_so() -> None:
    async def test(rig: PnRig) -> None:
        rig.sim.refuses = True
        await rig.forward_ms(1_000)
        health = rig.driver.health()[0]
        assert health.online
        assert "refused command 0x14" in health.detail
        rig.sim.refuses = False
        rig.sim.present(CARD)
        await rig.forward_ms(1_000)
        assert rig.driver.take() == ["04A1B2C3"]
        assert rig.driver.health()[0].detail == ""

    run(test)


def test_broken_checksums_are_counted_and_never_a_token() -> None:
    async def test(rig: PnRig) -> None:
        rig.sim.broken_checksum = True
        rig.sim.present(CARD)
        await rig.forward_ms(5_000)
        assert rig.driver.take() == []
        assert rig.driver.health()[0].errors >= 3
        assert not rig.driver.health()[0].online

    run(test)
