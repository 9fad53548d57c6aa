"""AC fields of the board link: every field of the domain travels, absent ones are safe, the document's table is true."""

from __future__ import annotations

import re
import struct
from binascii import crc_hqx

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.domain.ac import AcCommand, AcStatus, HlcMode, PilotMode, PpState, RcdState, V2gStatus
from evse.domain.signals import BoardCommand, BoardStatus, ContactorFeedback
from evse.protocols import board_link as link
from evse.protocols import board_link_ac as ac
from evse.protocols import board_link_messages as m
from evse.protocols import cobs
from evse.protocols.errors import ProtocolError
from tests._support.examples import examples
from tests.board.samples import AC_COMMANDS, AC_STATUSES
from tests.board.test_codec import DOCUMENT, reframe

BIGGEST_STATUS = BoardStatus(
    evcc_id="A" * 64,
    ac=AcStatus(
        pp=PpState.A63, cp_high_mv=0x7FFF, cp_low_mv=-0x7FFF, duty_bp=10_000, relay2=ContactorFeedback.CLOSED,
        rcd=RcdState.TRIPPED, residual_dc_ua=-1, residual_rms_ua=-1, lock_charged=True, rotary=15, inputs=0xFFFF,
        input_mv=(0xFFFF,) * 16, ptc_hot=True, board_temperature_dc=-1, v2g=V2gStatus(ready=True),
    ),
)  # fmt: skip
BIGGEST_COMMAND = BoardCommand(
    ac=AcCommand(
        pilot=PilotMode.PWM, relay2=True, rcd_test=True, outputs=1, input_threshold_mv=1, led_rgb=1,
        hlc=HlcMode.REQUIRED,
    )
)  # fmt: skip


def raw_of(frame: bytes) -> bytes:
    """The frame without COBS and CRC."""
    return cobs.decode(frame[:-1])[:-2]


def with_fields(base: bytes, fields: bytes) -> m.AnyMessage:
    """Decode a frame to which extension fields were appended."""
    return link.decode_block(reframe(raw_of(base) + fields))


def test_biggest_frames_fit_and_have_the_length_of_the_document() -> None:
    status = cobs.decode(link.encode_status(BIGGEST_STATUS)[:-1])
    command = cobs.decode(link.encode_command(BIGGEST_COMMAND, lease_counter=0)[:-1])
    text = DOCUMENT.read_text(encoding="utf-8")
    said = re.search(r"STATUS with everything has (\d+) bytes with its CRC, COMMAND (\d+)", text)
    assert said is not None
    assert (len(status), len(command)) == (int(said[1]), int(said[2]))
    assert len(status) <= m.RAW_MAX


def test_table_of_the_document_has_numbers_names_and_sizes_of_the_codec() -> None:
    section = DOCUMENT.read_text(encoding="utf-8").split("### STATUS and COMMAND of AC boards")[1].split("\n### ")[0]
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (\w+) \|", section, re.M)
    assert {(int(number), name) for number, name, _ in rows} == {(e.value, e.name.lower()) for e in ac.AcExt}
    for number, _, size in rows:
        if int(number) != ac.AcExt.INPUT_MV:
            assert ac.SIZES[int(number)] == int(size)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (ac.V2G_ERRORS, r"Numbers of `error` in v2g: (.*?)\.\n\n"),
        (ac.PILOT_MODES, r"u8 mode: (.*?); u16 duty"),
    ],
    ids=["errors", "pilot"],
)
def test_numbers_of_the_document_are_positions_in_the_tables(table: tuple[object, ...], words: str) -> None:
    found = re.search(words, DOCUMENT.read_text(encoding="utf-8"), re.S)
    assert found is not None
    numbers = [int(number) for number in re.findall(r"(?:^|, |,\n)(\d+) ", found[1])]
    assert numbers == list(range(len(table)))


def test_capabilities_of_the_document_are_those_of_the_codec() -> None:
    section = DOCUMENT.read_text(encoding="utf-8").split("\nCapabilities: ")[1].split("\n### ")[0]
    bits = {int(bit): name for bit, name in re.findall(r"(\d+) ([A-Z][A-Z0-9_]{1,})", section.replace("\n", " "))}
    assert bits == {flag.bit_length() - 1: name for name, flag in m.Capability.__members__.items()}


def test_every_number_of_an_enumeration_is_used() -> None:
    """A member that the domain gets later must get a wire number."""
    for table, kind in (
        (ac.PP_STATES, PpState), (ac.RCD_STATES, RcdState), (ac.PILOT_MODES, PilotMode), (ac.HLC_MODES, HlcMode),
    ):  # fmt: skip
        assert set(table) == set(kind)


def test_frames_of_dc_boards_have_no_ac_fields() -> None:
    assert raw_of(link.encode_status(BoardStatus())) == raw_of(link.encode_status(BoardStatus(ac=None)))
    assert len(raw_of(link.encode_status(BoardStatus()))) == link.STATUS_FIXED.size
    assert len(raw_of(link.encode_command(BoardCommand(), lease_counter=0))) == link.COMMAND_FIXED.size


@pytest.mark.parametrize("field", sorted(ac.STATUS_FIELDS))
def test_a_field_alone_leaves_the_others_unknown(field: ac.AcExt) -> None:
    """Absent = constructor value: a board without a monitor never reads as one that is normal."""
    raw = link.encode_status(BIGGEST_STATUS)
    found = link._extensions(raw_of(raw), link.STATUS_FIXED.size, len(raw_of(raw)))
    value = found[field]
    message = with_fields(link.encode_status(BoardStatus()), bytes((field, len(value))) + value)
    assert isinstance(message, m.Status)
    assert message.status.ac is not None
    safe, rich, got = AcStatus(), BIGGEST_STATUS.ac, message.status.ac
    differing = [name for name in AcStatus.__struct_fields__ if getattr(got, name) != getattr(safe, name)]
    assert differing
    assert all(getattr(got, name) == getattr(rich, name) for name in differing)
    if field != ac.AcExt.RCD:
        assert got.rcd is RcdState.UNKNOWN
    if field != ac.AcExt.LOCK:
        assert not got.lock_charged


def test_fields_of_the_other_direction_say_nothing() -> None:
    """A STATUS with COMMAND fields is still one of a DC board."""
    message = with_fields(link.encode_status(BoardStatus()), bytes((ac.AcExt.SET_RCD, 1, 1)))
    assert isinstance(message, m.Status) and message.status.ac is None


@pytest.mark.parametrize("number", sorted(ac.SIZES))
def test_grown_fields_are_read_and_short_ones_refused(number: int) -> None:
    status = number < ac.AcExt.SET_PILOT
    base = link.encode_status(BoardStatus()) if status else link.encode_command(BoardCommand(), lease_counter=1)
    size = ac.SIZES[number]
    value = bytes(size)
    same = with_fields(base, bytes((number, size)) + value)
    assert with_fields(base, bytes((number, size + 3)) + value + b"\1\2\3") == same
    with pytest.raises(ProtocolError, match="needs"):
        with_fields(base, bytes((number, size - 1)) + value[:-1])


@pytest.mark.parametrize(
    ("number", "value", "words"),
    [
        (ac.AcExt.PILOT, struct.pack("<Hhh", 10_001, 0, 0), "duty is 10001"),
        (ac.AcExt.PP, b"\7", r"65 \(pp\) is 7"),
        (ac.AcExt.RELAY2, b"\3", "relay2"),
        (ac.AcExt.RCD, struct.pack("<Bii", 3, 0, 0), "rcd"),
        (ac.AcExt.ROTARY, b"\x10", "rotary"),
        (ac.AcExt.INPUT_MV, b"\1", "input_mv"),
        (ac.AcExt.INPUT_MV, bytes(34), "input_mv"),
        (ac.AcExt.V2G, b"\5" + bytes(18), "v2g"),
        (ac.AcExt.V2G, b"\0\0\x10" + bytes(16), "v2g"),
    ],
)
def test_numbers_outside_the_tables_are_refused_by_name(number: int, value: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        with_fields(link.encode_status(BoardStatus()), bytes((number, len(value))) + value)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (ac.AcExt.SET_PILOT, b"\4\0\0\3"), (ac.AcExt.SET_PILOT, b"\2\0\0\4"), (ac.AcExt.SET_PILOT, b"\2\xff\xff\1"),
        (ac.AcExt.SET_LIGHTS, b"\0\0\0\1" + bytes(5)), (ac.AcExt.SET_HLC, b"\4\0"), (ac.AcExt.SET_HLC, b"\0\x50"),
    ],
)  # fmt: skip
def test_levels_outside_the_tables_discard_the_whole_command(number: int, value: bytes) -> None:
    with pytest.raises(ProtocolError):
        with_fields(link.encode_command(BoardCommand(), lease_counter=1), bytes((number, len(value))) + value)


@pytest.mark.parametrize(
    "bad",
    [
        AcStatus(cp_high_mv=-0x8000), AcStatus(cp_low_mv=1 << 15), AcStatus(duty_bp=10_001), AcStatus(duty_bp=-1),
        AcStatus(rotary=16), AcStatus(input_mv=(0,) * 17), AcStatus(inputs=1 << 16), AcStatus(input_mv=(-1,)),
        AcStatus(residual_dc_ua=-0x8000_0000), AcStatus(board_temperature_dc=-0x8000),
        AcStatus(v2g=V2gStatus(departure_s=0xFFFF_FFFF)), AcStatus(v2g=V2gStatus(ev_max_ma=1 << 31)),
    ],
)  # fmt: skip
def test_states_outside_their_field_cannot_be_sent(bad: AcStatus) -> None:
    with pytest.raises(ProtocolError):
        link.encode_status(BoardStatus(ac=bad))


@pytest.mark.parametrize(
    "bad",
    [
        AcCommand(duty_bp=10_001), AcCommand(phases=4), AcCommand(phases=-1), AcCommand(outputs=1 << 16),
        AcCommand(led_rgb=1 << 24), AcCommand(rfid_rgb=-1), AcCommand(input_threshold_mv=1 << 16),
    ],
)  # fmt: skip
def test_levels_outside_their_field_cannot_be_sent(bad: AcCommand) -> None:
    with pytest.raises(ProtocolError):
        link.encode_command(BoardCommand(ac=bad), lease_counter=1)


@settings(max_examples=examples(150))
@given(AC_STATUSES, AC_COMMANDS, st.data())
def test_one_flipped_bit_is_noticed_and_any_extension_order_is_the_same(
    status: AcStatus, levels: AcCommand, data: st.DataObject
) -> None:
    for frame, start in (
        (link.encode_status(BoardStatus(ac=status)), link.STATUS_FIXED.size),
        (link.encode_command(BoardCommand(ac=levels), lease_counter=7), link.COMMAND_FIXED.size),
    ):
        bent = bytearray(frame[:-1])
        bit = data.draw(st.integers(0, len(bent) * 8 - 1))
        bent[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError):
            link.decode_block(bytes(bent))
        raw = raw_of(frame)
        fields = list(link._extensions(raw, start, len(raw)).items())
        mixed = data.draw(st.permutations(fields))
        body = raw[:start] + b"".join(bytes((n, len(v))) + v for n, v in mixed)
        assert link.decode_block(reframe(body)) == link.decode_block(frame[:-1])


@settings(max_examples=examples(300))
@given(
    st.booleans(),
    st.lists(st.tuples(st.sampled_from([*sorted(ac.AcExt), 32, 99]), st.binary(max_size=40)), max_size=5),
)
def test_any_fields_are_refused_with_the_named_error_or_give_values_in_range(
    status: bool, fields: list[tuple[int, bytes]]
) -> None:
    base = link.encode_status(BoardStatus()) if status else link.encode_command(BoardCommand(), lease_counter=1)
    body = b"".join(bytes((number, len(value))) + value for number, value in fields)
    raw = raw_of(base) + body
    if len(raw) + 2 > m.RAW_MAX:
        raw = raw[: m.RAW_MAX - 2]
    block = cobs.encode(raw + struct.pack("<H", crc_hqx(raw, 0xFFFF)))
    try:
        message = link.decode_block(block)
    except ProtocolError:
        return
    if isinstance(message, m.Status) and message.status.ac is not None:
        assert 0 <= message.status.ac.duty_bp <= 10_000
        link.encode_status(message.status)
    elif isinstance(message, m.Command) and message.levels.ac is not None:
        assert 0 <= message.levels.ac.duty_bp <= 10_000
        link.encode_command(message.levels, lease_counter=1)


