"""Frames coded once: the line's encoder and decoder give what the codec gives, whatever came before."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from evse.domain.signals import BoardCommand, BoardStatus
from evse.protocols import board_link as link
from evse.protocols import board_link_messages as m
from evse.protocols.board_link_line import LineDecoder, LineEncoder
from evse.protocols.errors import ProtocolError
from tests._support.examples import examples
from tests.board.samples import AC_COMMANDS, AC_STATUSES
from tests.board.test_codec import COMMANDS, LEVELS, STATUS, STATUSES

EMPTY = BoardStatus(cp=STATUS.cp, estop=False, contactor=STATUS.contactor)
LEVELS_OF_A_LINE = st.lists(
    st.one_of(
        STATUSES,
        st.builds(lambda ac: structs.replace(EMPTY, ac=ac), AC_STATUSES),
        COMMANDS,
        st.builds(lambda ac: BoardCommand(ac=ac), AC_COMMANDS),
        st.just(EMPTY),
        st.just(BoardCommand()),
    ),
    min_size=1,
    max_size=4,
)
COUNTERS = st.tuples(st.integers(0, 255), st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFFFF))


def decoded(decode: object, block: bytes) -> object:
    """The message, or kind and text of the refusal."""
    try:
        return decode(block)  # type: ignore[operator]
    except ProtocolError as error:
        return type(error), str(error)


@settings(max_examples=examples(150), deadline=None)
@given(data=st.data())
def test_a_line_says_and_understands_the_same_as_the_codec_also_with_damaged_frames(data: st.DataObject) -> None:
    encoder, decoder = LineEncoder(), LineDecoder()
    pool = data.draw(LEVELS_OF_A_LINE)
    for _ in range(data.draw(st.integers(2, 8))):
        levels, (seq, uptime_ms, counter) = data.draw(st.sampled_from(pool)), data.draw(COUNTERS)
        if isinstance(levels, BoardStatus):
            frame = encoder.status(levels, seq, uptime_ms, counter)
            assert frame == link.encode_status(levels, seq=seq, uptime_ms=uptime_ms, lease_counter=counter)
        else:
            frame = encoder.command(levels, seq, counter)
            assert frame == link.encode_command(levels, seq=seq, lease_counter=counter)
        block = bytearray(frame[:-1])
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(block) - 1))
            block[at] ^= data.draw(st.integers(1, 255))
        assert decoded(decoder.decode, bytes(block)) == decoded(link.decode_block, bytes(block))


def test_every_damaged_byte_of_a_repeated_frame_is_noticed() -> None:
    decoder = LineDecoder()
    for seq in (0, 1):
        decoder.decode(link.encode_status(STATUS, seq=seq, uptime_ms=5)[:-1])
    again = link.encode_status(STATUS, seq=2, uptime_ms=300, lease_counter=7)[:-1]
    for at in range(len(again)):
        for mask in (1, 2, 0x80, 0xFF):
            bent = bytearray(again)
            bent[at] ^= mask
            assert isinstance(decoded(decoder.decode, bytes(bent)), tuple), (at, mask)
    assert decoder.decode(again) == link.decode_block(again)


def test_equal_levels_are_the_same_object_and_other_levels_are_not() -> None:
    decoder, encoder = LineDecoder(), LineEncoder()
    decoder.decode(encoder.status(STATUS, 0, 0, 0)[:-1])  # once is no repetition
    first = decoder.decode(encoder.status(STATUS, 1, 50, 1)[:-1])
    second = decoder.decode(encoder.status(STATUS, 2, 100, 2)[:-1])
    assert isinstance(first, m.Status) and isinstance(second, m.Status)
    assert second.status is first.status
    assert (second.seq, second.uptime_ms, second.lease_counter) == (2, 100, 2)
    command = decoder.decode(encoder.command(LEVELS, 3, 3)[:-1])
    assert command == m.Command(seq=3, levels=LEVELS, lease_counter=3)
