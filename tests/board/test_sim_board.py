"""The simulated board as sans-IO object: what docs/board-link.md asks of a firmware, message by message."""

from __future__ import annotations

import random
from typing import TypeVar

import pytest
from msgspec.structs import replace

from evse.domain.base import BugError
from evse.domain.signals import BoardCommand, ContactorFeedback, CpState, MatrixContacts
from evse.protocols import board_link as link
from evse.protocols import board_link_messages as m
from evse.sim.hw.board import BoardPlant, SimBoard
from evse.units import ms, s

T = TypeVar("T", bound=m.Message)
CLOSE = BoardCommand(permit=True, contactor_lease=True, lock=True)
START = s(100)


class Host:
    """The other end of the bytes, with a clock."""

    def __init__(self, *, hello: bool = True) -> None:
        self.plant = BoardPlant()
        self.board = SimBoard(self.plant, random.Random(1))
        self.now = START
        self.deframer = link.deframer()
        self.counter = 0
        self.pass_ms(0)
        if hello:
            self.say(m.Hello(boot_id=1))

    def pass_ms(self, duration: int) -> list[m.AnyMessage]:
        """Let time pass in steps of 10 ms; return what the board said."""
        said = self._hear(self.board.step(self.now))
        for _ in range(duration // 10):
            self.now += ms(10)
            said += self._hear(self.board.step(self.now))
        return said

    def _hear(self, data: bytes) -> list[m.AnyMessage]:
        return [link.decode_block(block) for block in self.deframer.feed(data)]

    def say(self, message: m.Message) -> list[m.AnyMessage]:
        """Send and return the direct answer."""
        self.board.feed(link.encode(message), self.now)
        return self._hear(self.board.step(self.now))

    def command(self, levels: BoardCommand, counter: int | None = None) -> list[m.AnyMessage]:
        self.counter = (self.counter + 1) & 0xFFFF if counter is None else counter
        return self.say(m.Command(levels=levels, lease_counter=self.counter, seq=self.counter & 0xFF))


def only(kind: type[T], messages: list[m.AnyMessage]) -> T:
    found = [message for message in messages if isinstance(message, kind)]
    assert len(found) == 1, messages
    return found[0]


def kinds(messages: list[m.AnyMessage]) -> set[type[m.Message]]:
    return {type(message) for message in messages}


def test_says_hello_every_500_ms_until_answered_and_no_status_before() -> None:
    host = Host(hello=False)
    said = host.pass_ms(2_000)
    assert kinds(said) == {m.Hello}
    assert len(said) == 4
    answer = only(m.Hello, host.say(m.Hello(boot_id=1)))
    assert answer.flags & m.HelloFlag.ANSWER
    said = host.pass_ms(1_000)
    assert m.Hello not in kinds(said)
    assert sum(isinstance(message, m.Status) for message in said) == 20


def test_command_before_hello_is_refused_and_without_effect() -> None:
    host = Host(hello=False)
    host.plant.cp = CpState.C
    nak = only(m.Nak, host.command(CLOSE))
    assert (nak.msg_id, nak.reason) == (m.MsgId.COMMAND, m.NakReason.NO_HELLO)
    assert not host.plant.out.contactor_closed


def test_host_without_common_version_gets_hello_and_nak() -> None:
    host = Host(hello=False)
    said = host.say(m.Hello(version_min=2, version_max=9, seq=77))
    nak = only(m.Nak, said)
    assert (nak.msg_id, nak.msg_seq, nak.reason) == (m.MsgId.HELLO, 77, m.NakReason.VERSION)
    assert m.Hello in kinds(said)
    assert only(m.Nak, host.command(CLOSE)).reason == m.NakReason.NO_HELLO


@pytest.mark.parametrize(
    ("last", "next_", "accepted"),
    [
        (5, 6, True), (5, 5, False), (5, 4, False), (65_535, 0, True), (0, 32_767, True), (0, 32_768, False),
        (0, 65_535, False),
    ],
)  # fmt: skip
def test_lease_counter_must_advance(last: int, next_: int, accepted: bool) -> None:
    host = Host()
    host.command(BoardCommand(led=1), last)
    host.command(BoardCommand(led=2), next_)
    assert host.plant.out.led == (2 if accepted else 1)


def test_command_is_in_force_for_300_ms_and_not_longer() -> None:
    host = Host()
    host.plant.cp = CpState.C
    host.command(CLOSE)
    host.pass_ms(290)
    out = host.plant.out
    assert (out.contactor_closed, out.permit, out.lock) == (True, True, True)
    said = host.pass_ms(10)
    assert (out.contactor_closed, out.permit, out.lock) == (False, False, True)
    codes = [message.code for message in said if isinstance(message, m.Event)]
    assert m.EventCode.LEASE_EXPIRED in codes


@pytest.mark.parametrize("flag", [m.ErrorFlag.CONTACTOR_FEEDBACK, m.ErrorFlag.IMD_SELF_TEST, m.ErrorFlag.IMD_LOST])
def test_board_refuses_to_close_with_an_error_that_forbids_it(flag: m.ErrorFlag) -> None:
    host = Host()
    host.plant.cp = CpState.C
    host.plant.error_flags = flag
    host.command(CLOSE)
    assert not host.plant.out.contactor_closed
    host.plant.error_flags = 0
    host.command(CLOSE)
    assert host.plant.out.contactor_closed


def test_unacknowledged_event_is_sent_three_times_and_acknowledged_once() -> None:
    host = Host()
    host.plant.estop = True
    events = [message for message in host.pass_ms(2_000) if isinstance(message, m.Event)]
    assert len(events) == 3
    assert len({event.event_seq for event in events}) == 1
    host.plant.estop = False
    event = only(m.Event, host.pass_ms(10))
    assert event.code == m.EventCode.ESTOP_RELEASED
    host.say(m.Ack(msg_id=m.MsgId.EVENT, msg_seq=event.seq))
    assert m.Event not in kinds(host.pass_ms(1_000))


def test_heartbeat_fills_the_gaps_of_a_slow_status() -> None:
    host = Host()
    host.board.faults.status_period_ms = 1_000
    host.pass_ms(1_000)
    said = host.pass_ms(1_000)
    assert sum(isinstance(message, m.Heartbeat) for message in said) == pytest.approx(9, abs=1)


def test_unknown_messages_are_refused_below_0x80_and_skipped_above() -> None:
    host = Host()
    host.pass_ms(10)

    def send(number: int) -> list[m.AnyMessage]:
        host.board.feed(link.frame(bytes((1, number, 9, 1, 2, 3))), host.now)
        return [x for x in host._hear(host.board.step(host.now)) if not isinstance(x, m.Status)]

    nak = only(m.Nak, send(0x7E))
    assert (nak.msg_id, nak.msg_seq, nak.reason) == (0x7E, 9, m.NakReason.UNKNOWN_MESSAGE)
    assert send(0xF0) == []


def test_requests() -> None:
    host = Host()
    host.board.frames_bad = 3
    assert only(m.Diagnostics, host.say(m.Request(msg_id=m.MsgId.DIAGNOSTICS))).frames_bad == 3
    assert only(m.Hello, host.say(m.Request(msg_id=m.MsgId.HELLO))).board_id == "SIM0000001"
    assert m.Status in kinds(host.say(m.Request(msg_id=m.MsgId.STATUS)))
    assert only(m.Nak, host.say(m.Request(msg_id=m.MsgId.RESET))).reason == m.NakReason.RANGE


def test_reset_needs_open_contactors_and_the_magic() -> None:
    host = Host()
    assert only(m.Nak, host.say(m.Reset(kind=1, magic=1))).reason == m.NakReason.RANGE
    host.plant.contactor = ContactorFeedback.CLOSED
    assert only(m.Nak, host.say(m.Reset(kind=1))).reason == m.NakReason.NOT_NOW
    host.plant.contactor = ContactorFeedback.OPEN
    assert only(m.Ack, host.say(m.Reset(kind=m.ResetKind.SECC))).msg_id == m.MsgId.RESET
    assert only(m.Nak, host.say(m.Reset(kind=m.ResetKind.BOOTLOADER))).reason == m.NakReason.NOT_FITTED
    host.say(m.Reset(kind=m.ResetKind.BOARD))
    assert host.pass_ms(1_400) == []
    assert m.Hello in kinds(host.pass_ms(200))


def test_firmware_blocks_are_counted_in_and_a_lost_one_is_asked_for_again() -> None:
    host = Host()
    host.command(BoardCommand(permit=True))
    assert only(m.Nak, host.say(m.FwBlock(offset=0, data=b"x"))).reason == m.NakReason.NOT_NOW
    assert only(m.FwStatus, host.say(m.FwBegin(size=300, crc32=1))).next_offset == 0
    host.command(BoardCommand(permit=True))
    assert not host.plant.out.permit
    assert only(m.FwStatus, host.say(m.FwBlock(offset=0, data=bytes(192)))).next_offset == 192
    assert only(m.FwStatus, host.say(m.FwBlock(offset=250, data=bytes(50)))).next_offset == 192
    assert only(m.FwStatus, host.say(m.FwBlock(offset=192, data=bytes(108)))).next_offset == 300
    end = only(m.FwStatus, host.say(m.FwEnd(size=300, crc32=1)))
    assert (end.state, end.error) == (3, m.NakReason.NOT_FITTED)


def test_firmware_update_is_refused_under_a_lease() -> None:
    host = Host()
    host.plant.cp = CpState.C
    host.command(CLOSE)
    assert only(m.Nak, host.say(m.FwBegin(size=1, crc32=1))).reason == m.NakReason.NOT_NOW


def test_restart_slac_acts_once_per_rising_edge() -> None:
    host = Host()
    for restart in (True, True, False, True):
        host.command(BoardCommand(restart_slac=restart))
    assert host.plant.out.slac_restarts == 2


def test_impossible_physics_is_a_bug_and_not_a_lost_line() -> None:
    host = Host()
    host.plant.output_mv = 1 << 40
    with pytest.raises(BugError, match="STATUS"):
        host.pass_ms(100)


def test_matrix_contacts_follow_the_command_outlive_the_lease_by_a_second_and_fall_with_a_reset() -> None:
    host = Host()
    host.plant.cp, host.plant.contacts = CpState.C, MatrixContacts(opened=0b111)
    host.command(replace(CLOSE, contacts=0b101))
    assert host.plant.out.contacts == 0b101 and host.plant.out.contactor_closed
    host.pass_ms(1_250)
    assert host.plant.out.contacts == 0b101 and not host.plant.out.contactor_closed, "the output contactor opens first"
    host.pass_ms(60)
    assert host.plant.out.contacts == 0
    host.command(replace(CLOSE, contacts=0b010))
    host.board.reboot(host.now)
    assert host.plant.out.contacts == 0


def test_a_board_without_matrix_ignores_contacts_and_does_not_claim_them() -> None:
    for fitted in (False, True):
        host = Host()
        host.plant.contacts = MatrixContacts(opened=0b111) if fitted else None
        host.command(replace(CLOSE, contacts=0b111))
        assert host.plant.out.contacts == (0b111 if fitted else 0)
        hello = only(m.Hello, host.say(m.Request(msg_id=m.MsgId.HELLO)))
        assert bool(hello.capabilities & m.Capability.MATRIX) is fitted
        assert (only(m.Status, host.pass_ms(50)).status.contacts is not None) is fitted
