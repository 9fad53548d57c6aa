"""The simulated AC board as sans-IO object: docs/board-link.md, "AC boards: what the board does by itself"."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.devices.board_link import BoardLinkDriver
from evse.domain.ac import (
    AcCommand,
    AcSpec,
    FeedbackType,
    HlcMode,
    LockMotor,
    PhaseSwitchSpec,
    PilotMode,
    PpState,
    RcdSpec,
    RcdState,
    V2gError,
    V2gStatus,
    VentilationSpec,
)
from evse.domain.readings import NoData, Sample
from evse.domain.signals import BoardCommand, ContactorFeedback, CpState, LockState
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.protocols import board_link as link
from evse.protocols import board_link_messages as m
from evse.sim.hw.board_ac import SimAcBoard
from evse.sim.hw.board_ac_plant import AcPlant
from evse.transports.base import SerialSettings
from evse.transports.memory import MemoryStream
from evse.units import ms, s
from tests._support.examples import examples
from tests.board.rig import PORT, SerialOnly
from tests.board.test_sim_board import only

START = s(100)
SPEC = AcSpec(
    evse_ma=32_000, rcd=RcdSpec(fitted=True, test=True), phase_switch=PhaseSwitchSpec(enabled=True), rotary=True,
    inputs=3, outputs=2,
)  # fmt: skip
PWM = AcCommand(pilot=PilotMode.PWM, duty_bp=2667)
X1 = AcCommand(pilot=PilotMode.X1)


def levels(ac: AcCommand = PWM, *, lease: bool = True, lock: bool = True) -> BoardCommand:
    """Levels of an AC EVSE."""
    return BoardCommand(contactor_lease=lease, lock=lock, ac=ac)


def three(ac: AcCommand = PWM) -> AcCommand:
    """The same with the second contactor."""
    return AcCommand(pilot=ac.pilot, duty_bp=ac.duty_bp, phases=3, relay2=True)


class Host:
    """The host's end of an AC board and the parts below it, with a clock; parts step every 10 ms."""

    def __init__(self, spec: AcSpec = SPEC) -> None:
        self.plant: Any = AcPlant(spec)  # Any: what it says changes between two looks
        self.board: Any = SimAcBoard(self.plant, random.Random(1))
        self.now = START
        self.deframer = link.deframer()
        self.counter = 0
        self.pass_ms(0)
        self.say(m.Hello(boot_id=1))

    @property
    def out(self) -> Any:
        return self.plant.out

    def pass_ms(self, duration: int, command: BoardCommand | None = None) -> list[m.AnyMessage]:
        """Let time pass in steps of 10 ms, with ``command`` every 50 ms; return what the board said."""
        said = self._hear(self.board.step(self.now))
        for step in range(duration // 10):
            if command is not None and step % 5 == 0:
                said += self.command(command)
            self.now += ms(10)
            said += self._hear(self.board.step(self.now))
            self.parts()
        return said

    def parts(self) -> None:
        """What physics does with the parts."""
        plant, out = self.plant, self.plant.out
        plant.main.step(out.contactor_closed)
        plant.relay2.step(out.relay2_closed)
        plant.rcd.step(self.now, 0, 0, test=out.rcd_test)
        if plant.drive is not None:
            plant.drive.step(self.now, ms(10), out.lock, mains=True)
        plant.follow_parts()

    def _hear(self, data: bytes) -> list[m.AnyMessage]:
        return [link.decode_block(block) for block in self.deframer.feed(data)]

    def say(self, message: m.Message) -> list[m.AnyMessage]:
        """Send and return the direct answer."""
        self.board.feed(link.encode(message), self.now)
        return self._hear(self.board.step(self.now))

    def command(self, wanted: BoardCommand) -> list[m.AnyMessage]:
        self.counter = (self.counter + 1) & 0xFFFF
        return self.say(m.Command(levels=wanted, lease_counter=self.counter))

    def status(self) -> Any:
        """The newest status over the wire."""
        said = self.say(m.Request(msg_id=m.MsgId.STATUS))
        return [message for message in said if isinstance(message, m.Status)][-1].status

    def closed(self) -> Host:
        """Bring the main contactor to closed."""
        self.pass_ms(200, levels(lease=False))
        self.plant.vehicle = CpState.C
        self.pass_ms(300, levels())
        assert self.out.contactor_closed
        return self


def codes(said: list[m.AnyMessage]) -> set[int]:
    return {message.code for message in said if isinstance(message, m.Event)}


def test_hello_has_the_bits_of_what_is_fitted() -> None:
    hello = only(m.Hello, Host().say(m.Request(msg_id=m.MsgId.HELLO)))
    bits = m.Capability(hello.capabilities)
    assert m.Capability.AC | m.Capability.RCD | m.Capability.ROTARY | m.Capability.RELAY2 in bits
    assert m.Capability.DC not in bits
    bare = only(m.Hello, Host(AcSpec(socket=False)).say(m.Request(msg_id=m.MsgId.HELLO)))
    for bit in (m.Capability.PP, m.Capability.LOCK, m.Capability.RCD, m.Capability.RELAY2, m.Capability.DIGITAL_IO):
        assert not bare.capabilities & bit


def test_status_says_only_what_the_board_has() -> None:
    full, bare = Host().status(), Host(AcSpec(socket=False, contactor_feedback=FeedbackType.NONE)).status()
    assert (full.ac.pp, full.ac.rcd, full.ac.rotary) == (PpState.NONE, RcdState.NORMAL, 11)
    assert full.ac.relay2 is ContactorFeedback.OPEN and full.ac.lock_charged and len(full.ac.input_mv) == 3
    assert (bare.ac.pp, bare.ac.rcd, bare.ac.rotary) == (PpState.UNKNOWN, RcdState.UNKNOWN, None)
    assert bare.ac.residual_dc_ua is None and bare.ac.input_mv == () and not bare.ac.lock_charged
    assert bare.lock is LockState.UNKNOWN and bare.contactor is ContactorFeedback.UNKNOWN


@pytest.mark.parametrize(
    ("pilot", "vehicle", "cp", "high", "low", "duty"),
    [
        (AcCommand(), CpState.B, CpState.F, -12_000, None, 0),
        (X1, CpState.A, CpState.A, 12_000, None, 10_000),
        (X1, CpState.B, CpState.B, 9_000, None, 10_000),
        (PWM, CpState.B, CpState.B, 9_000, -12_000, 2667),
        (PWM, CpState.C, CpState.C, 6_000, -12_000, 2667),
        (PWM, CpState.D, CpState.D, 3_000, -12_000, 2667),
        (AcCommand(pilot=PilotMode.E), CpState.C, CpState.E, 0, None, 0),
    ],
)
def test_pilot_of_each_mode_and_load(
    pilot: AcCommand, vehicle: CpState, cp: CpState, high: int, low: int | None, duty: int
) -> None:
    host = Host()
    host.plant.vehicle = vehicle
    host.pass_ms(50, levels(pilot, lease=False))
    status = host.status()
    assert (status.cp, status.ac.cp_high_mv, status.ac.cp_low_mv, status.ac.duty_bp) == (cp, high, low, duty)
    assert not status.error_flags


def test_faults_of_the_pilot_line_are_seen_in_level_state_and_flag() -> None:
    host = Host()
    host.plant.vehicle = CpState.B
    for name, value, cp, flag in (
        ("pilot_short", True, CpState.E, m.ErrorFlag.CP_SHORT),
        ("diode_missing", True, CpState.B, m.ErrorFlag.CP_DIODE),
        ("pilot_offset_mv", 1_500, CpState.UNKNOWN, 0),
    ):
        before = getattr(host.plant, name)
        setattr(host.plant, name, value)
        host.pass_ms(50, levels(lease=False))
        assert (host.status().cp, host.status().error_flags) == (cp, flag)
        setattr(host.plant, name, before)
        host.pass_ms(50, levels(lease=False))
        assert host.status().error_flags == 0


def test_closes_only_with_pwm_but_stays_closed_in_x1() -> None:
    host = Host()
    host.plant.vehicle = CpState.C
    host.pass_ms(400, levels(X1))
    assert not host.out.contactor_closed
    host.pass_ms(100, levels(lease=False))
    host.pass_ms(100, levels())
    assert host.out.contactor_closed
    host.pass_ms(1_000, levels(X1))
    assert host.out.contactor_closed


@pytest.mark.parametrize("how", ["B", "estop", "F", "rcd", "rcd_lost", "short"])
def test_hardware_chain_opens_at_once_and_needs_a_rearm(how: str) -> None:
    host = Host().closed()
    if how == "B":
        host.plant.vehicle = CpState.B
    elif how == "estop":
        host.plant.estop = True
    elif how == "F":
        host.out.pilot = PilotMode.F
    elif how == "short":
        host.plant.pilot_short = True
    else:
        setattr(host.plant.rcd, "spurious" if how == "rcd" else "dead", True)
        host.plant.rcd.step(host.now, 0, 0, test=False)
    assert not host.out.contactor_closed, "in the very instant, without a pass of the firmware"
    said = host.pass_ms(100, levels())
    if how == "rcd":
        assert m.EventCode.RCD_TRIPPED in codes(said)
    host.plant.vehicle, host.plant.estop, host.plant.pilot_short = CpState.C, False, False
    host.plant.rcd.spurious = host.plant.rcd.dead = False
    host.pass_ms(500, levels())
    assert not host.out.contactor_closed, "not without a COMMAND that asks for open"
    host.pass_ms(50, levels(lease=False))
    host.pass_ms(300, levels())
    assert host.out.contactor_closed


def test_second_contactor_closes_first_and_opens_last() -> None:
    host = Host()
    host.plant.vehicle = CpState.C
    host.command(levels(three(), lease=False))
    assert not host.out.relay2_closed, "only under the lease"
    host.command(levels(three()))
    assert (host.out.relay2_closed, host.out.contactor_closed) == (True, False)
    host.pass_ms(90)
    assert not host.out.contactor_closed
    host.pass_ms(20)
    assert host.out.contactor_closed
    host.command(levels(three(), lease=False))
    assert (host.out.relay2_closed, host.out.contactor_closed) == (True, False)
    host.pass_ms(90)
    assert host.out.relay2_closed
    assert m.EventCode.RELAY2_OPENED in codes(host.pass_ms(20))
    assert not host.out.relay2_closed


def test_phases_change_only_with_the_main_contactor_open() -> None:
    host = Host().closed()
    assert not host.out.relay2_closed
    host.pass_ms(500, levels(three()))
    assert host.out.contactor_closed and not host.out.relay2_closed
    host.pass_ms(200, levels(three(), lease=False))
    host.pass_ms(200, levels(three()))
    assert host.out.contactor_closed and host.out.relay2_closed
    host.pass_ms(500, levels())
    assert host.out.relay2_closed, "not opened under load"


def test_one_phase_leaves_relay_2_open_and_a_changed_meaning_of_it_waits() -> None:
    host = Host()
    host.plant.vehicle = CpState.C
    host.pass_ms(300, levels(AcCommand(pilot=PilotMode.PWM, duty_bp=2667, phases=1, relay2=True)))
    assert host.out.contactor_closed and not host.out.relay2_closed
    free = AcCommand(pilot=PilotMode.PWM, duty_bp=2667, phases=1, relay2=True, relay2_free=True)
    host.pass_ms(300, levels(free))
    assert not host.out.relay2_closed, "what relay 2 is does not change under load"
    host.pass_ms(300, levels(free, lease=False))
    assert host.out.relay2_closed


def test_ventilation_needs_no_lease_but_a_host() -> None:
    host = Host(AcSpec(ventilation=VentilationSpec(enabled=True)))
    free = AcCommand(pilot=PilotMode.PWM, duty_bp=2667, relay2=True, relay2_free=True)
    host.pass_ms(100, levels(free, lease=False))
    assert host.out.relay2_closed and host.status().ac.relay2 is ContactorFeedback.CLOSED
    host.pass_ms(310)
    assert not host.out.relay2_closed


def test_lost_host_opens_goes_to_x1_and_after_ten_seconds_to_f() -> None:
    host = Host().closed()
    host.out.led_rgb = 0x112233
    said = host.pass_ms(310)
    assert m.EventCode.LEASE_EXPIRED in codes(said)
    assert not host.out.contactor_closed and host.out.pilot is PilotMode.X1 and host.out.lock
    host.pass_ms(9_800)
    assert host.out.pilot is PilotMode.X1 and host.out.led_rgb == 0x112233
    host.pass_ms(300)
    assert host.out.pilot is PilotMode.F and host.status().cp is CpState.F
    host.pass_ms(100, levels(lease=False))
    assert host.out.pilot is PilotMode.PWM


def test_reboot_is_state_f_with_everything_off() -> None:
    host = Host().closed()
    host.out.outputs = 3
    host.board.reboot(host.now)
    out = host.out
    assert (out.pilot, out.contactor_closed, out.relay2_closed, out.outputs) == (PilotMode.F, False, False, 0)


def test_state_e_pulse_and_dc_command_without_ac_fields() -> None:
    host = Host()
    host.plant.vehicle = CpState.B
    host.pass_ms(50, levels(AcCommand(pilot=PilotMode.E), lease=False))
    assert host.status().cp is CpState.E and not host.status().error_flags
    host.pass_ms(50, BoardCommand())
    assert host.out.pilot is PilotMode.F, "a host that says nothing about the pilot offers nothing"


@pytest.mark.parametrize("spec", [RcdSpec(fitted=True), RcdSpec(fitted=True, trigger_ms=50, check_tripped_ms=750,
                                                                check_normal_ms=2_000)])  # fmt: skip
def test_rcd_test_passes_with_the_times_of_both_monitors(spec: RcdSpec) -> None:
    host = Host(AcSpec(rcd=spec))
    test = AcCommand(pilot=PilotMode.X1, rcd_test=True)
    seen = {}
    start = host.now
    while host.now - start < ms(spec.trigger_ms + spec.check_normal_ms):
        driven = host.now - start < ms(spec.trigger_ms)
        host.pass_ms(10, levels(test if driven else X1, lease=False))
        seen[(host.now - start) // ms(1)] = host.plant.rcd.state
    assert seen[spec.check_tripped_ms // 10 * 10] is RcdState.TRIPPED
    assert host.plant.rcd.state is RcdState.NORMAL
    host.plant.rcd.test_fails = True
    host.pass_ms(1_000, levels(test, lease=False))
    assert host.plant.rcd.state is RcdState.NORMAL


def test_rcd_test_output_drops_after_five_seconds_until_it_was_off() -> None:
    host = Host()
    test = AcCommand(pilot=PilotMode.X1, rcd_test=True)
    host.pass_ms(4_900, levels(test, lease=False))
    assert host.out.rcd_test and host.status().ac.rcd is RcdState.TRIPPED
    said = host.pass_ms(200, levels(test, lease=False))
    assert not host.out.rcd_test and m.EventCode.RCD_TEST_DROPPED in codes(said)
    host.pass_ms(1_000, levels(test, lease=False))
    assert not host.out.rcd_test
    host.pass_ms(50, levels(X1, lease=False))
    host.pass_ms(50, levels(test, lease=False))
    assert host.out.rcd_test


def test_rcd_test_is_ignored_while_closed_and_nothing_closes_during_a_test() -> None:
    host = Host().closed()
    test = AcCommand(pilot=PilotMode.PWM, duty_bp=2667, rcd_test=True)
    host.pass_ms(500, levels(test))
    assert not host.out.rcd_test and host.out.contactor_closed
    host.pass_ms(100, levels(test, lease=False))
    host.pass_ms(400, levels(test, lease=False))
    host.pass_ms(100, levels(test))
    assert not host.out.contactor_closed


def test_lock_moves_once_per_change_and_tells_when_it_did_not_arrive() -> None:
    host = Host()
    host.pass_ms(400, levels(X1, lease=False))
    assert host.status().lock is LockState.LOCKED
    assert host.plant.drive is not None
    host.plant.drive.jam_closed = True
    host.pass_ms(400, levels(X1, lease=False, lock=False))
    assert host.status().lock is LockState.LOCKED
    assert host.status().error_flags == m.ErrorFlag.LOCK_MOTOR
    host.plant.drive.jam_closed = False
    host.pass_ms(1_000, levels(X1, lease=False, lock=False))
    assert host.status().lock is LockState.LOCKED, "no repeat without a change of the level"
    host.pass_ms(50, levels(X1, lease=False))
    host.pass_ms(800, levels(X1, lease=False, lock=False))
    assert host.status().lock is LockState.UNLOCKED and not host.status().error_flags


def test_lock_waits_for_its_capacitor_and_unlocks_with_it_when_mains_fails() -> None:
    host = Host()
    drive = host.plant.drive
    assert drive is not None
    drive.cap_broken = True
    host.pass_ms(31_000, levels(X1, lease=False))
    assert host.status().lock is LockState.UNLOCKED
    assert host.status().error_flags == m.ErrorFlag.LOCK_CAPACITOR and not host.status().ac.lock_charged
    drive.cap_broken = False
    host.pass_ms(5_000, levels(X1, lease=False))
    assert drive.locked and not host.status().error_flags
    for _ in range(50):
        host.now += ms(10)
        drive.step(host.now, ms(10), True, mains=False)
    assert not drive.locked


def test_lock_without_feedback_is_unknown_and_moves_all_the_same() -> None:
    host = Host(AcSpec(lock_motor=LockMotor(feedback="none", needs_capacitor=False)))
    host.pass_ms(500, levels(X1, lease=False))
    assert host.status().lock is LockState.UNKNOWN
    assert host.plant.drive is not None and host.plant.drive.locked


@pytest.mark.parametrize(("kind", "contacts"), [
    (FeedbackType.NO, (ContactorFeedback.OPEN, ContactorFeedback.CLOSED)),
    (FeedbackType.NC, (ContactorFeedback.CLOSED, ContactorFeedback.OPEN)),
    (FeedbackType.NONE, (ContactorFeedback.UNKNOWN, ContactorFeedback.UNKNOWN)),
])  # fmt: skip
def test_auxiliary_contacts_are_told_as_they_are_wired(
    kind: FeedbackType, contacts: tuple[ContactorFeedback, ContactorFeedback]
) -> None:
    host = Host(AcSpec(contactor_feedback=kind))
    before = host.status().contactor
    host.closed()
    assert (before, host.status().contactor) == contacts
    nak = only(m.Nak, host.say(m.Reset(kind=m.ResetKind.BOARD)))
    assert nak.reason == m.NakReason.NOT_NOW
    host.pass_ms(100, levels(lease=False))
    host.say(m.Reset(kind=m.ResetKind.BOARD))
    assert host.board.boots == 2, "reset is possible whatever the contact says"


def test_terminals_lamps_and_hlc_levels_reach_the_hardware() -> None:
    host = Host()
    host.plant.set_input(2, True)
    host.plant.set_input(9, True)
    ac = AcCommand(
        pilot=PilotMode.X1, outputs=2, floating=1, pulsing=3, input_threshold_mv=13_000, led_rgb=0xABCDEF, buzzer=True,
        hlc=HlcMode.OPTIONAL, parameter_finished=True, renegotiate=True, pause=True,
    )  # fmt: skip
    assert host.status().ac.inputs == 2
    host.pass_ms(50, levels(ac, lease=False))
    out = host.out
    assert host.status().ac.inputs == 0, "12 V is below a threshold of 13 V"
    assert (out.outputs, out.floating, out.pulsing, out.led_rgb, out.buzzer) == (2, 1, 3, 0xABCDEF, True)
    assert (out.hlc, out.parameter_finished, out.renegotiate, out.pause) == (HlcMode.OPTIONAL, True, True, True)
    host.pass_ms(400)
    assert (out.outputs, out.led_rgb, out.hlc, out.pause) == (2, 0xABCDEF, HlcMode.OFF, False)


def test_v2g_error_is_an_event_and_rotary_between_positions_a_flag() -> None:
    host = Host()
    host.plant.v2g = V2gStatus(error=V2gError.SEQUENCE_TIMEOUT)
    events = [message for message in host.pass_ms(20) if isinstance(message, m.Event)]
    assert [event.value for event in events if event.code == m.EventCode.V2G_ERROR] == [7]
    host.plant.rotary = None
    assert host.status().error_flags == m.ErrorFlag.ROTARY_SWITCH and host.status().ac.rotary is None


# -- laws over any order of events ------------------------------------------------------------------------------------

ACTIONS = st.one_of(
    st.tuples(st.just("command"), st.sampled_from(["pwm", "three", "x1", "F", "E", "vent", "test", "digital"]),
              st.booleans()),
    st.tuples(st.just("pass"), st.sampled_from([10, 20, 50, 100, 250, 310, 1_000, 6_000]), st.just(0)),
    st.tuples(st.just("vehicle"), st.sampled_from([CpState.A, CpState.B, CpState.C, CpState.D]), st.just(0)),
    st.tuples(st.just("estop"), st.booleans(), st.just(0)),
    st.tuples(st.just("rcd"), st.booleans(), st.just(0)),
    st.tuples(st.just("reboot"), st.just(0), st.just(0)),
)  # fmt: skip
OFFERS = {
    "pwm": PWM, "three": three(), "x1": X1, "F": AcCommand(), "E": AcCommand(pilot=PilotMode.E),
    "vent": AcCommand(pilot=PilotMode.PWM, duty_bp=1_000, relay2=True, relay2_free=True),
    "test": AcCommand(pilot=PilotMode.PWM, duty_bp=1_000, rcd_test=True),
    "digital": AcCommand(pilot=PilotMode.PWM, duty_bp=500),
}  # fmt: skip


class Watch:
    """The laws of the board's outputs, looked at every 10 ms."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.main = self.second = False
        self.main_at = self.second_at = self.command_at = -s(1_000)
        self.test_since: int | None = None

    def look(self) -> None:
        plant, out, now = self.host.plant, self.host.out, self.host.now
        main, second = out.contactor_closed, out.relay2_closed
        if main:
            assert plant.cp in (CpState.C, CpState.D) and not plant.estop and plant.rcd.state is RcdState.NORMAL
            assert now - self.command_at < ms(310)
        if main and not self.main:
            assert out.pilot is PilotMode.PWM
            assert not second or out.relay2_free or now - self.second_at >= ms(100)
        if second is not self.second:
            assert not main or out.relay2_free, "relay 2 never moves under the main contactor"
            if not second and not out.relay2_free and self.main_at > self.second_at:
                assert now - self.main_at >= ms(90)
            self.second_at = now
        if main is not self.main:
            self.main_at = now
        self.main, self.second = main, second
        if out.rcd_test:
            self.test_since = now if self.test_since is None else self.test_since
            assert now - self.test_since <= s(5)
        else:
            self.test_since = None
        if now - self.command_at > ms(10_320):
            assert out.pilot is PilotMode.F


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(ACTIONS, max_size=40))
def test_no_order_of_commands_and_events_breaks_the_laws_of_the_board(actions: list[tuple[str, Any, Any]]) -> None:
    host = Host()
    watch = Watch(host)
    for kind, value, more in actions:
        if kind == "command":
            host.command(levels(OFFERS[value], lease=more))
            watch.command_at = host.now
        elif kind == "vehicle":
            host.plant.vehicle = value
        elif kind == "estop":
            host.plant.estop = value
        elif kind == "rcd":
            host.plant.rcd.spurious = value
            host.parts()
        elif kind == "reboot":
            host.board.reboot(host.now, 50)
            watch.second = watch.main = False
            host.pass_ms(60)
            host.say(m.Hello(boot_id=1))
        for _ in range(value // 10 if kind == "pass" else 1):
            host.pass_ms(10)
            watch.look()


# -- with the driver --------------------------------------------------------------------------------------------------


def test_driver_reads_ac_status_and_a_pulled_cable_ends_in_state_f() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        clock = VirtualClock(loop)
        rng = random.Random(7)
        plant = AcPlant(SPEC)
        board = SimAcBoard(plant, rng)
        served: list[asyncio.Task[None]] = []

        def attach(device: MemoryStream) -> None:
            served.append(asyncio.create_task(board.serve(device, clock)))

        openers = SerialOnly(attach, rng)
        driver = BoardLinkDriver(1, SerialSettings(port=PORT, baud=115_200), openers, clock, rng)
        task = asyncio.create_task(driver.run())
        plant.vehicle = CpState.C
        for _ in range(20):
            driver.command(levels())
            await asyncio.sleep(0.05)
        reading = driver.reading()
        assert isinstance(reading, Sample) and reading.value.ac is not None
        assert (reading.value.cp, reading.value.ac.duty_bp, reading.value.lease_active) == (CpState.C, 2667, True)
        assert driver.info is not None and driver.info.capabilities & m.Capability.AC
        openers.plugged = False
        assert openers.line is not None
        openers.line.close_now()
        await asyncio.sleep(0.35)
        assert isinstance(driver.reading(), NoData)
        assert (plant.out.contactor_closed, plant.out.pilot) == (False, PilotMode.X1)
        await asyncio.sleep(10)
        assert plant.out.pilot is PilotMode.F
        assert served[0].done(), "nothing left to watch"
        task.cancel()

    run_virtual(main(), loop)
