"""Codec of the board link: the bytes of the document, loss-free round trips, and garbage."""

from __future__ import annotations

import contextlib
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evse.domain.signals import (
    Authorization,
    BoardCommand,
    BoardStatus,
    ContactorFeedback,
    CpState,
    EvStop,
    HlcStep,
    IsolationState,
    LockState,
    MatrixContacts,
    SlacState,
)
from evse.protocols import board_link as link
from evse.protocols import board_link_messages as m
from evse.protocols import cobs
from evse.protocols.errors import ProtocolError
from tests._support.examples import examples
from tests.board.samples import AC_COMMANDS, AC_LEVELS, AC_STATUS, AC_STATUSES, U32_OR_NONE, V2G_STATUS

DOCUMENT = Path(__file__).parents[2] / "docs" / "board-link.md"

STATUS = BoardStatus(
    cp=CpState.C,
    estop=False,
    contactor=ContactorFeedback.CLOSED,
    lock=LockState.LOCKED,
    slac=SlacState.MATCHED,
    step=HlcStep.CURR,
    evcc_id="001122AABBCC",
    protocol="DIN70121",
    isolation=IsolationState.VALID,
    isolation_kohm=5000,
    output_mv=400_000,
    soc_pct=55,
    demand_mv=401_000,
    demand_ma=125_000,
    ev_max_mv=450_000,
    ev_max_ma=300_000,
    ev_max_w=150_000,
    ev_age_ms=80,
    temperature_dc=251,
    lease_active=True,
)
LEVELS = BoardCommand(
    permit=True,
    authorization=Authorization.GRANTED,
    contactor_lease=True,
    lock=True,
    cable_check_done=True,
    offered_mv=500_000,
    offered_ma=200_000,
    offered_w=100_000,
    present_mv=400_000,
    present_ma=125_000,
    led=3,
)
MATRIX_STATUS = replace(STATUS, evcc_id="", contacts=MatrixContacts(closed=0b010010, opened=0b101001))
MATRIX_LEVELS = replace(LEVELS, contacts=0b010010)

# Typed from docs/board-link.md section 6.
GOLDEN: list[tuple[m.AnyMessage, str]] = [
    (m.Heartbeat(seq=5, uptime_ms=1000), "06 01 02 05 E8 03 01 03 C1 B9 00"),
    (m.Ack(seq=2, msg_id=0x12, msg_seq=7), "08 01 03 02 12 07 17 5B 00"),
    (m.Nak(seq=9, msg_id=0x11, msg_seq=0x42, reason=4), "01 06 04 09 11 42 04 03 09 8D 00"),
    (
        m.Hello(
            seq=1, flags=3, boot_id=0xA1B2C3D4, capabilities=0x127D, board_id="A1", vendor="ACME", model="X",
            firmware="1.2",
        ),
        (
            "01 06 01 01 01 01 03 07 D4 C3 B2 A1 7D 12 01 02 64 04 2C 01 FA 15 21 02 41 31 22 04 41 43 4D 45 23 01 58 "
            "24 03 31 2E 32 36 CC 00"
        ),
    ),
    (
        m.Command(seq=0x42, lease_counter=0x1234, levels=LEVELS),
        "07 01 11 42 34 12 17 06 02 03 20 A1 07 04 40 0D 03 04 A0 86 01 04 80 1A 06 04 48 E8 01 03 84 02 00",
    ),
    (
        m.Status(seq=0x10, uptime_ms=123_456, lease_counter=0x1234, status=STATUS),
        (
            "07 01 10 10 40 E2 01 04 34 12 04 08 03 02 02 02 0B 01 02 03 88 13 01 04 80 1A 06 05 37 68 1E 06 04 48 E8 "
            "01 04 D0 DD 06 04 E0 93 04 04 F0 49 02 06 FF FF FF FF 50 01 01 02 FB 01 01 01 01 11 20 0C 30 30 31 31 32 "
            "32 41 41 42 42 43 43 BE E8 00"
        ),
    ),
    (
        m.Event(seq=7, event_seq=7, code=2, uptime_ms=5000, value=-1, text="x"),
        "05 01 12 07 07 02 02 03 88 13 01 0A FF FF FF FF 25 01 78 B6 5F 00",
    ),
    (m.FwBlock(seq=3, offset=192, data=b"\0\1\2"), "05 01 21 03 C0 01 01 03 30 03 05 01 02 5A 20 00"),
    (
        m.Status(seq=0x21, uptime_ms=60_000, lease_counter=0x0102, status=AC_STATUS),
        (
            "06 01 10 21 60 EA 01 04 02 01 04 04 03 02 02 01 01 01 01 05 FF FF FF FF 01 01 01 02 FF 01 01 01 01 01 01 "
            "01 01 01 01 01 01 01 01 01 01 01 01 01 05 FF FF FF FF 01 01 01 03 38 01 01 01 01 13 40 06 6B 0A 7A 17 52 "
            "D1 41 01 04 42 01 02 43 09 01 78 01 01 03 84 03 01 0A 44 01 01 45 01 0B 46 02 04 03 C4 34 00"
        ),
    ),
    (
        m.Status(seq=0x22, uptime_ms=61_000, lease_counter=0x0103, status=V2G_STATUS),
        (
            "06 01 10 22 48 EE 01 03 03 01 01 03 02 01 02 02 02 02 01 05 FF FF FF FF 01 01 01 02 FF 01 01 01 01 01 01 "
            "01 01 01 01 01 01 01 01 01 01 01 01 01 06 FF FF FF FF 78 01 01 01 02 80 01 01 01 13 20 0C 30 30 31 31 32 "
            "32 41 41 42 42 43 43 40 06 F4 01 02 80 09 80 41 01 04 47 04 E0 2E 01 05 48 03 95 01 05 49 13 03 02 03 80 "
            "70 01 03 F0 55 01 03 80 3E 01 03 70 17 01 03 B8 02 00"
        ),
    ),
    (
        m.Command(seq=0x43, lease_counter=0x0103, levels=AC_LEVELS),
        (
            "07 01 11 43 03 01 06 01 02 03 01 01 01 03 80 3E 01 03 20 2B 01 01 01 01 01 01 01 01 01 0D 50 04 02 6B 0A "
            "03 51 01 01 55 09 FF 01 01 01 01 01 01 01 03 98 4C 00"
        ),
    ),
    (
        m.Status(seq=0x11, uptime_ms=123_506, lease_counter=0x1235, status=MATRIX_STATUS),
        (
            "07 01 10 11 72 E2 01 04 35 12 04 08 03 02 02 02 0B 01 02 03 88 13 01 04 80 1A 06 05 37 68 1E 06 04 48 E8 "
            "01 04 D0 DD 06 04 E0 93 04 04 F0 49 02 06 FF FF FF FF 50 01 01 02 FB 01 01 01 01 04 60 08 12 01 01 02 29 "
            "01 01 03 DB BE 00"
        ),
    ),
    (
        m.Command(seq=0x44, lease_counter=0x1235, levels=MATRIX_LEVELS),
        (
            "07 01 11 44 35 12 17 06 02 03 20 A1 07 04 40 0D 03 04 A0 86 01 04 80 1A 06 04 48 E8 01 04 61 04 12 01 01 "
            "02 0A 01 00"
        ),
    ),
]


def crc_by_bits(data: bytes) -> int:
    """CRC-16/IBM-3740 written from its definition, independent of the codec."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


@pytest.mark.parametrize(("message", "line"), GOLDEN, ids=lambda value: type(value).__name__)
def test_bytes_of_the_document(message: m.Message, line: str) -> None:
    data = bytes.fromhex(line)
    assert link.encode(message) == data
    assert link.decode_block(data[:-1]) == message


def test_every_example_of_the_document_has_a_right_crc_and_right_stuffing() -> None:
    text = DOCUMENT.read_text(encoding="ascii", errors="replace").split("## 6. Worked examples")[1]
    pairs = re.findall(r"```\n([0-9A-F ]+)\n([0-9A-F ]+)\n```", text)
    assert len(pairs) == len(GOLDEN)
    for raw_text, line_text in pairs:
        raw, line = bytes.fromhex(raw_text), bytes.fromhex(line_text)
        assert crc_by_bits(raw[:-2]) == struct.unpack("<H", raw[-2:])[0]
        assert cobs.decode(line[:-1]) == raw
        assert line in [bytes.fromhex(golden) for _, golden in GOLDEN]


def test_offsets_of_the_document_are_those_of_the_codec() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    sizes = {"u8": 1, "u16": 2, "u32": 4, "i16": 2, "i32": 4}
    for name, end in (("STATUS", link.STATUS_FIXED.size), ("COMMAND", link.COMMAND_FIXED.size)):
        section = text.split(f"### {name}\n")[1].split("\n### ")[0]
        rows = re.findall(r"^\| (\d+) \| \w+ \| ([ui]\d+) \| (\d+) \|", section, re.M)
        at = 3
        for number, (field, kind, offset) in enumerate(rows, start=1):
            assert (int(field), int(offset)) == (number, at)
            at += sizes[kind]
        assert at == end


def test_crc_check_value() -> None:
    assert link.crc16(b"123456789") == crc_by_bits(b"123456789") == 0x29B1


@pytest.mark.parametrize(
    ("plain", "stuffed"),
    [
        ("00", "01 01"),
        ("00 00", "01 01 01"),
        ("11 22 00 33", "03 11 22 02 33"),
        ("11 22 33 44", "05 11 22 33 44"),
        ("11 00 00 00", "02 11 01 01 01"),
    ],
)
def test_cobs_of_known_vectors(plain: str, stuffed: str) -> None:
    assert cobs.encode(bytes.fromhex(plain)) == bytes.fromhex(stuffed)
    assert cobs.decode(bytes.fromhex(stuffed)) == bytes.fromhex(plain)


def test_cobs_of_long_runs() -> None:
    run = bytes(range(1, 255))
    assert cobs.encode(run) == b"\xff" + run
    assert cobs.encode(run + b"\xff") == b"\xff" + run + b"\x02\xff"
    assert cobs.encode(b"\0" + run) == b"\x01\xff" + run
    assert cobs.encode(run + b"\0") == b"\xff" + run + b"\x01\x01"


@given(st.binary(max_size=1200) | st.lists(st.sampled_from([0, 1, 255]), max_size=800).map(bytes))
def test_cobs_round_trip_without_zero(message: bytes) -> None:
    block = cobs.encode(message)
    assert 0 not in block
    assert len(block) <= len(message) + len(message) // 254 + 1
    assert cobs.decode(block) == message


I32 = st.integers(-(1 << 31), (1 << 31) - 1)
TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=32)
BITS32 = st.integers(0, 0xFFFF_FFFF)
STATUSES = st.builds(
    BoardStatus,
    cp=st.sampled_from(CpState),
    estop=st.booleans(),
    contactor=st.sampled_from(ContactorFeedback),
    lock=st.sampled_from(LockState),
    slac=st.sampled_from(SlacState),
    step=st.none() | st.sampled_from(HlcStep),
    evcc_id=TEXT,
    protocol=st.sampled_from(link.PROTOCOLS),
    isolation=st.sampled_from(IsolationState),
    isolation_kohm=U32_OR_NONE,
    output_mv=I32,
    soc_pct=st.none() | st.integers(0, 100),
    demand_mv=I32,
    demand_ma=I32,
    ev_max_mv=I32,
    ev_max_ma=I32,
    ev_max_w=I32,
    ev_energy_request_wh=U32_OR_NONE,
    ev_age_ms=st.integers(0, 0xFFFF_FFFF),
    ev_stop=st.sampled_from(EvStop),
    temperature_dc=st.none() | st.integers(-0x7FFF, 0x7FFF),
    tie_closed=st.booleans(),
    lease_active=st.booleans(),
    stop_button=st.booleans(),
    door_open=st.booleans(),
    error_flags=st.integers(0, 0xFFFF_FFFF),
    contacts=st.none() | st.builds(MatrixContacts, closed=BITS32, opened=BITS32),
    ac=st.none() | AC_STATUSES,
)
COMMANDS = st.builds(
    BoardCommand,
    permit=st.booleans(),
    authorization=st.sampled_from(Authorization),
    contactor_lease=st.booleans(),
    lock=st.booleans(),
    isolation_test=st.booleans(),
    cable_check_done=st.booleans(),
    offered_mv=I32,
    offered_ma=I32,
    offered_w=I32,
    present_mv=I32,
    present_ma=I32,
    stop=st.booleans(),
    emergency=st.booleans(),
    tie_close=st.booleans(),
    contacts=st.just(0) | BITS32,
    led=st.integers(0, 255),
    restart_slac=st.booleans(),
    ac=st.none() | AC_COMMANDS,
)
U8, U16, U32 = st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
MESSAGES = st.one_of(
    st.builds(m.Status, seq=U8, uptime_ms=U32, lease_counter=U16, status=STATUSES),
    st.builds(m.Command, seq=U8, lease_counter=U16, levels=COMMANDS),
    st.builds(m.Hello, seq=U8, version_min=U8, version_max=U8, flags=U8, boot_id=U32, capabilities=U32,
              heartbeat_ms=U16, lease_ms=U16, frame_max=U16, board_id=TEXT, vendor=TEXT, model=TEXT, firmware=TEXT),
    st.builds(m.Heartbeat, seq=U8, uptime_ms=U32),
    st.builds(m.Ack, seq=U8, msg_id=U8, msg_seq=U8),
    st.builds(m.Nak, seq=U8, msg_id=U8, msg_seq=U8, reason=U8, field=U8),
    st.builds(m.Event, seq=U8, event_seq=U16, code=U16, uptime_ms=U32, value=I32, text=TEXT),
    st.builds(m.Request, seq=U8, msg_id=U8),
    st.builds(m.Diagnostics, seq=U8, uptime_ms=U32, frames_ok=U32, frames_bad=U32, heap_free_bytes=U32, boots=U16,
              lease_expiries=U16, supply_mv=U16, temperature_dc=st.integers(-0x8000, 0x7FFF), reset_cause=U8),
    st.builds(m.Reset, seq=U8, kind=U8, magic=U16),
    st.builds(m.Log, seq=U8, level=U8, uptime_ms=U32, text=TEXT),
    st.builds(m.FwBegin, seq=U8, size=U32, crc32=U32, block_size=U16, model=TEXT, firmware=TEXT),
    st.builds(m.FwBlock, seq=U8, offset=U32, data=st.binary(min_size=1, max_size=192)),
    st.builds(m.FwEnd, seq=U8, size=U32, crc32=U32),
    st.builds(m.FwStatus, seq=U8, state=U8, next_offset=U32, error=U8),
)  # fmt: skip


@given(MESSAGES)
def test_every_message_comes_back_as_it_was(message: m.Message) -> None:
    data = link.encode(message)
    assert data[-1] == 0
    assert 0 not in data[:-1]
    assert len(data) <= m.BLOCK_MAX + 1
    assert link.decode_block(data[:-1]) == message


def test_every_message_number_has_a_round_trip_above() -> None:
    samples = {type(message) for message, _ in GOLDEN} | {
        m.Request, m.Diagnostics, m.Reset, m.Log, m.FwBegin, m.FwEnd, m.FwStatus,
    }
    assert len(samples) == len(m.MsgId)


def reframe(raw: bytes) -> bytes:
    """Block for ``raw`` (without crc) with a right crc."""
    return cobs.encode(raw + struct.pack("<H", crc_by_bits(raw)))


def raw_of(message: m.Message) -> bytes:
    return cobs.decode(link.encode(message)[:-1])[:-2]


@pytest.mark.parametrize("message", [message for message, _ in GOLDEN], ids=lambda value: type(value).__name__)
def test_unknown_extension_fields_of_a_newer_peer_are_skipped(message: m.Message) -> None:
    newer = raw_of(message) + bytes((200, 3, 1, 2, 3)) + bytes((201, 0))
    assert link.decode_block(reframe(newer)) == message


@pytest.mark.parametrize("message", [message for message, _ in GOLDEN], ids=lambda value: type(value).__name__)
def test_cut_messages_and_cut_extensions_are_refused(message: m.Message) -> None:
    raw = raw_of(message)
    with pytest.raises(ProtocolError):
        link.decode_block(reframe(raw + b"\xc8"))
    with pytest.raises(ProtocolError):
        link.decode_block(reframe(raw + b"\xc8\x05\x00"))
    with pytest.raises(ProtocolError):
        link.decode_block(reframe(raw[:4]))


@pytest.mark.parametrize(("offset", "name"), [(11, "cp"), (12, "contactor"), (13, "lock"), (14, "slac"), (15, "step"),
                                              (16, "protocol"), (17, "isolation"), (18, "ev_stop"), (27, "soc_pct")])
def test_numbers_that_an_enumeration_does_not_have_are_refused_by_name(offset: int, name: str) -> None:
    raw = bytearray(raw_of(m.Status(status=STATUS)))
    raw[offset] = 200
    with pytest.raises(ProtocolError, match=name):
        link.decode_block(reframe(bytes(raw)))


def test_unknown_message_number_is_handed_up_with_its_payload() -> None:
    assert link.decode_block(reframe(bytes((1, 0x7E, 9, 1, 2)))) == m.Unknown(seq=9, msg_id=0x7E, payload=b"\1\2")


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_version_byte_is_refused(version: int) -> None:
    raw = bytearray(raw_of(m.Heartbeat()))
    raw[0] = version
    with pytest.raises(ProtocolError, match="version"):
        link.decode_block(reframe(bytes(raw)))


def test_every_single_bit_error_in_a_status_frame_is_noticed() -> None:
    data = link.encode_status(STATUS, uptime_ms=1)[:-1]
    for bit in range(len(data) * 8):
        bent = bytearray(data)
        bent[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError):
            link.decode_block(bytes(bent))


@pytest.mark.parametrize(
    "bad",
    [
        BoardStatus(output_mv=1 << 31), BoardStatus(ev_age_ms=-1), BoardStatus(soc_pct=101), BoardStatus(protocol="X"),
        BoardStatus(evcc_id="é"), BoardStatus(evcc_id="A" * 65), BoardStatus(isolation_kohm=0xFFFF_FFFF),
        BoardStatus(temperature_dc=-0x8000), BoardStatus(error_flags=1 << 32),
        BoardStatus(contacts=MatrixContacts(closed=1 << 32)), BoardStatus(contacts=MatrixContacts(opened=-1)),
    ],
)  # fmt: skip
def test_values_outside_their_field_cannot_be_sent(bad: BoardStatus) -> None:
    with pytest.raises(ProtocolError):
        link.encode_status(bad)


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_the_named_error_or_parses(block: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        link.decode_block(block)


@settings(max_examples=examples(300))
@given(st.sampled_from(sorted({int(number) for number in m.MsgId} | {0x7E, 0xF0})), st.binary(max_size=250), U8)
def test_garbage_behind_a_right_crc_is_refused_with_the_named_error_or_parses(
    number: int, body: bytes, version: int
) -> None:
    for head in (0, 1, version):
        try:
            message = link.decode_block(reframe(bytes((head, number, 7)) + body))
        except ProtocolError:
            continue
        assert message.seq == 7


@settings(max_examples=examples(200))
@given(st.lists(MESSAGES.map(link.encode) | st.binary(max_size=400), max_size=6), st.data())
def test_whole_bytewise_and_spliced_feeding_agree_and_memory_is_bounded(
    pieces: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(pieces)
    whole, bytewise, spliced = link.deframer(), link.deframer(), link.deframer()
    expected = whole.feed(stream)
    singles = [block for byte in stream for block in bytewise.feed(bytes((byte,)))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    chunks = [block for part in parts for block in spliced.feed(part)]
    assert expected == singles == chunks
    assert whole.oversize == bytewise.oversize == spliced.oversize
    assert all(len(d._rest) <= m.BLOCK_MAX for d in (whole, bytewise, spliced))


def test_receiver_is_in_step_after_the_next_delimiter() -> None:
    deframer = link.deframer()
    frame = link.encode(m.Heartbeat(uptime_ms=5))
    assert deframer.feed(b"\x55" * 1000) == []
    assert deframer.oversize == 1
    assert deframer.feed(b"\x55\0" + frame) == [frame[:-1]]


@pytest.mark.parametrize(
    ("own", "peer", "agreed"),
    [((1, 1), (1, 1), 1), ((1, 1), (1, 3), 1), ((1, 3), (2, 5), 3), ((1, 1), (2, 3), None), ((3, 4), (1, 2), None)],
)
def test_version_agreement(own: tuple[int, int], peer: tuple[int, int], agreed: int | None) -> None:
    assert link.agree(*own, *peer) == agreed
    assert link.agree(*peer, *own) == agreed


def test_error_bits_have_the_names_of_the_document() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", DOCUMENT.read_text(encoding="utf-8"), re.M)
    assert {int(bit): name for bit, name in rows} == {
        flag.bit_length() - 1: name for name, flag in m.ErrorFlag.__members__.items()
    }
    assert m.flag_names(0b1001 | 1 << 31) == ("LEASE_EXPIRED", "CP_DIODE", "bit31")


def test_matrix_fields_grow_and_do_not_shrink_and_an_old_frame_has_none() -> None:
    status, command = raw_of(m.Status(status=STATUS)), raw_of(m.Command(levels=LEVELS))
    grown = link.decode_block(reframe(status + bytes((96, 12)) + bytes(range(1, 13))))
    assert isinstance(grown, m.Status)
    assert grown.status.contacts == MatrixContacts(closed=0x04030201, opened=0x08070605)
    for short in (status + bytes((96, 7)) + bytes(7), command + bytes((97, 3)) + bytes(3)):
        with pytest.raises(ProtocolError, match="matrix contacts"):
            link.decode_block(reframe(short))
    old = link.decode_block(reframe(status))
    assert isinstance(old, m.Status) and old.status.contacts is None
    assert raw_of(m.Command(levels=replace(LEVELS, contacts=0))) == command, "a host without a matrix sends what it always sent"


def test_a_contact_in_neither_set_or_in_both_is_not_known() -> None:
    contacts = MatrixContacts(closed=0b0011, opened=0b0101)
    assert [contacts.state(i) for i in range(4)] == [None, True, False, None]
