"""Control pilot: duty and current over the full range, judged states, diode, short, and the steps of the generator."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.core.ac import cp
from evse.core.context import Conn, Tick
from evse.domain.ac import AcStatus, PilotMode, PpState
from evse.domain.faults import FaultCode
from evse.domain.signals import BoardStatus, CpState
from evse.units import NS_PER_S, TICK_NS
from tests.core.ac.bench import Bench, spec_of

A, B, C, D, E, F, U = CpState.A, CpState.B, CpState.C, CpState.D, CpState.E, CpState.F, CpState.UNKNOWN
X1, PWM = PilotMode.X1, PilotMode.PWM

# reference plc-serial.md, section 3: the table of duty cycles, in A and %
TABLE = [(6, 10.00), (10, 16.67), (13, 21.67), (16, 26.67), (20, 33.33), (32, 53.33), (48, 80.00), (63, 89.20)]


@pytest.mark.parametrize(("amps", "percent"), TABLE)
def test_duty_cycles_of_the_reference_table_rounded_to_the_safe_side(amps: int, percent: float) -> None:
    duty = cp.duty_for_ma(amps * 1000)
    assert 0 <= round(percent * 100) - duty <= 1
    assert 0 <= amps * 1000 - cp.ma_for_duty(duty) <= 6


@pytest.mark.parametrize(
    ("duty_bp", "current_ma"),
    [
        (0, 0), (299, 0), (300, 0), (500, 0), (700, 0), (799, 0),  # 5 % = digital communication, no current by itself
        (800, 6_000), (999, 6_000), (1_000, 6_000), (1_001, 6_006),
        (8_500, 51_000), (8_501, 52_525), (9_000, 65_000), (9_600, 80_000),
        (9_601, 80_000), (9_700, 80_000), (9_701, 0), (10_000, 0), (20_000, 0), (-1, 0),
    ],
)  # fmt: skip
def test_bands_of_the_duty_cycle(duty_bp: int, current_ma: int) -> None:
    assert cp.ma_for_duty(duty_bp) == current_ma


@pytest.mark.parametrize(
    ("current_ma", "duty_bp"),
    [
        (-5, 10_000), (0, 10_000), (5_999, 10_000), (6_000, 1_000), (6_005, 1_000), (6_006, 1_001),
        (51_000, 8_500), (51_001, 8_500), (52_499, 8_500), (52_525, 8_501), (79_999, 9_599), (80_000, 9_600),
        (80_001, 9_600), (10_000_000, 9_600),
    ],
)  # fmt: skip
def test_bands_of_the_current(current_ma: int, duty_bp: int) -> None:
    assert cp.duty_for_ma(current_ma) == duty_bp


def test_a_duty_cycle_never_promises_more_than_the_current_and_loses_less_than_a_step() -> None:
    """L26. Every 10 mA up to 90 A, against a formula in floating point that is typed anew."""
    for ma in range(0, 90_000, 10):
        duty = cp.duty_for_ma(ma)
        told = cp.ma_for_duty(duty)
        assert told <= ma
        exact = 0 if duty > 9_700 else duty / 100 * 0.6 if duty <= 8_500 else (duty / 100 - 64) * 2.5
        assert abs(told - exact * 1000) < 0.5
        if ma >= 6_000 and not 51_000 < ma < 52_525 and ma <= 80_000:
            assert ma - told < (6 if ma <= 51_000 else 25), ma


@given(st.integers(1_000, 9_600))
def test_duty_and_current_are_inverse(duty_bp: int) -> None:
    assert cp.duty_for_ma(cp.ma_for_duty(duty_bp)) == duty_bp


def test_duty_cycles_of_digital_communication() -> None:
    assert [x for x in range(10_001) if cp.digital(x)] == list(range(300, 701))


# one letter per half volt from +13.5 V down to -13.5 V, between two bands both neighbours in brackets
LEVELS = {
    13_500: "", 13_001: "", 13_000: "A", 12_000: "A", 11_000: "A", 10_999: "AB", 10_001: "AB", 10_000: "B", 9_000: "B",
    8_000: "B", 7_999: "BC", 7_001: "BC", 7_000: "C", 6_000: "C", 5_000: "C", 4_999: "CD", 4_001: "CD", 4_000: "D",
    3_000: "D", 2_000: "D", 1_999: "DE", 1_001: "DE", 1_000: "E", 0: "E", -1_000: "E", -1_001: "", -6_000: "",
    -10_999: "", -11_000: "F", -12_000: "F", -13_000: "F", -13_001: "",
}  # fmt: skip


@pytest.mark.parametrize("high_mv", LEVELS)
def test_bands_of_the_half_wave(high_mv: int) -> None:
    assert "".join(x.value for x in cp.readings_of(high_mv)) == LEVELS[high_mv]


@pytest.mark.parametrize("state", list(CpState), ids=lambda x: x.name)
def test_every_state_of_the_board_against_every_level(state: CpState) -> None:
    """The product: the board is believed where its own measurement may mean its state, else the state is unknown."""
    assert cp.raw_state(None, AcStatus(cp_high_mv=6_000)) is U
    assert cp.raw_state(BoardStatus(cp=state), AcStatus()) is state
    for high, letters in LEVELS.items():
        got = cp.raw_state(BoardStatus(cp=state), AcStatus(cp_high_mv=high))
        assert got is (state if state.value in letters or state is U else U), (high, letters)


@pytest.mark.parametrize(
    ("state", "duty_bp", "low_mv", "found"),
    [
        (C, 5_333, -12_000, True), (C, 5_333, -11_000, True), (C, 5_333, -13_000, True), (C, 5_333, -10_999, False),
        (C, 5_333, -13_001, False), (C, 5_333, -6_000, False), (B, 500, -9_000, False), (D, 1_000, -12_000, True),
        (C, 10_000, -6_000, None), (C, 0, -6_000, None), (A, 5_333, -12_000, None), (E, 5_333, 0, None), (C, 5_333, None, None),
        (C, 1, -6_000, False), (C, 9_999, -6_000, False),
    ],
)  # fmt: skip
def test_diode(state: CpState, duty_bp: int, low_mv: int | None, found: bool | None) -> None:
    assert cp.diode(BoardStatus(cp=state), AcStatus(duty_bp=duty_bp, cp_low_mv=low_mv)) is found


# -- over time ------------------------------------------------------------------------------------------------------


class Rig(Bench):
    """Observes and drives; what is driven is set by the test."""

    def __init__(self, **ac: object) -> None:
        super().__init__(spec_of(**ac))
        self.mode, self.duty = X1, 0
        self.seen: list[tuple[PilotMode, int]] = []
        self.gone = self.passed = False
        self.pass_s(6)  # past the grace of the start
        self.seen.clear()

    def _both(self, t: Tick, conn: Conn) -> None:
        cp.observe(t, conn)
        if conn.w.plugged and cp.left(t, conn):
            conn.w.plugged = False
            self.gone = True
        cp.drive(t, conn, self.mode, self.duty)
        self.passed = cp.diode_passed(conn)
        self.seen.append((conn.a.cp_mode, conn.a.cp_duty_bp))

    def pass_s(self, seconds: float, dt: int = TICK_NS) -> None:
        end = self.now + round(seconds * NS_PER_S)
        while self.now < end:
            self.step(self._both, dt=dt)

    def drive(self, mode: PilotMode, duty: int = 0) -> None:
        self.mode, self.duty = mode, duty
        self.seen.clear()

    def times(self) -> list[tuple[PilotMode, int, int]]:
        """(mode, duty, ticks) runs of what was driven."""
        runs: list[tuple[PilotMode, int, int]] = []
        for mode, duty in self.seen:
            if runs and runs[-1][:2] == (mode, duty):
                runs[-1] = (mode, duty, runs[-1][2] + 1)
            else:
                runs.append((mode, duty, 1))
        return runs

    @property
    def a(self) -> object:
        return self.state.evses[0].ac


def test_a_vehicle_counts_once_its_state_has_stood_for_100_ms() -> None:
    r = Rig()
    r.board(cp=B)
    r.pass_s(0.1)
    assert not r.state.evses[0].plugged
    r.pass_s(0.05)
    assert r.state.evses[0].plugged
    r.board(cp=A)
    r.pass_s(0.1)
    assert not r.gone
    r.pass_s(0.05)
    assert r.gone


def test_a_glitch_is_neither_plug_nor_unplug() -> None:
    r = Rig()
    for _ in range(20):
        r.board(cp=B)
        r.pass_s(0.1)
        r.board(cp=A)
        r.pass_s(0.1)
    assert not r.state.evses[0].plugged


def test_a_late_tick_does_not_believe_a_single_look() -> None:
    r = Rig()
    r.board(cp=B)
    r.pass_s(10, dt=10 * NS_PER_S)
    assert not r.state.evses[0].plugged
    r.pass_s(10, dt=10 * NS_PER_S)
    assert r.state.evses[0].plugged


def test_in_state_F_the_socket_tells_that_the_vehicle_is_gone() -> None:
    r = Rig()
    r.board(cp=B, pp=PpState.A32)
    r.pass_s(0.2)
    r.drive(PilotMode.F)
    r.board(cp=F)
    r.pass_s(3)
    assert not r.gone
    r.board(pp=PpState.NONE)
    r.pass_s(0.5)
    assert not r.gone
    r.pass_s(0.1)
    assert r.gone


def test_in_state_F_nobody_knows_about_a_fixed_cable() -> None:
    r = Rig(socket=False, cable_ma=32_000)
    r.board(cp=B)
    r.pass_s(0.2)
    r.drive(PilotMode.F)
    r.board(cp=F, pp=PpState.NONE)
    r.pass_s(60)
    assert not r.gone and r.state.evses[0].plugged


def test_an_open_proximity_alone_is_no_unplugging() -> None:
    r = Rig()
    r.board(cp=B)
    r.pass_s(0.2)
    r.board(pp=PpState.NONE)
    r.pass_s(10)
    assert not r.gone


@pytest.mark.parametrize(("state", "code"), [(E, FaultCode.PILOT_SHORT), (U, FaultCode.PILOT_INVALID), (F, FaultCode.PILOT_INVALID)])
def test_short_and_nonsense_are_named_after_half_a_second(state: CpState, code: FaultCode) -> None:
    r = Rig()
    r.board(cp=state)
    r.pass_s(0.5)
    assert not r.causes[1]
    r.pass_s(0.05)
    assert list(r.causes[1]) == [code]
    r.board(cp=A)
    r.pass_s(0.2)
    assert not r.causes[1]


def test_a_state_that_the_measurement_contradicts_is_nonsense_with_its_value() -> None:
    r = Rig()
    r.board(cp=C, cp_high_mv=9_000)
    r.pass_s(1)
    assert "board says C, 9000 mV while the station drives x1" in r.causes[1][FaultCode.PILOT_INVALID]
    assert not r.state.evses[0].plugged


def test_our_own_pulses_are_no_short() -> None:
    r = Rig()
    r.board(cp=B)
    r.pass_s(1)
    r.drive(PilotMode.E)
    r.board(cp=E)
    r.pass_s(10)
    assert not r.causes[1]
    r.drive(X1)
    r.pass_s(1)  # still quiet for a second
    assert not r.causes[1]
    r.pass_s(1)
    assert FaultCode.PILOT_SHORT in r.causes[1]


def test_a_missing_diode_is_named_once_the_pwm_has_settled_and_stays_until_the_vehicle_leaves() -> None:
    r = Rig()
    r.board(cp=B, duty_bp=5_333, cp_low_mv=-9_000, cp_high_mv=9_000)
    r.pass_s(0.3)
    assert not r.causes[1]
    r.pass_s(0.1)
    assert FaultCode.PILOT_DIODE in r.causes[1]
    r.board(duty_bp=10_000, cp_low_mv=None)  # x1 cannot measure it
    r.pass_s(5)
    assert FaultCode.PILOT_DIODE in r.causes[1]
    r.board(cp=A, cp_high_mv=12_000)
    r.pass_s(0.3)
    assert not r.causes[1]


def test_the_first_100_ms_of_a_pwm_prove_nothing_about_the_diode() -> None:
    """The measurement may be older than the PWM; then the verdict needs 200 ms more."""
    r = Rig()
    r.board(cp=B, duty_bp=10_000, cp_low_mv=9_000)
    r.pass_s(5)
    r.board(duty_bp=5_333)
    r.pass_s(0.3)
    assert not r.causes[1] and not r.passed
    r.pass_s(0.05)
    assert list(r.causes[1]) == [FaultCode.PILOT_DIODE]
    assert "(9000 mV) is not -12000 mV" in r.causes[1][FaultCode.PILOT_DIODE]
    r.board(duty_bp=10_000)
    r.pass_s(0.05)
    assert "(not measured now)" in r.causes[1][FaultCode.PILOT_DIODE]


def test_a_diode_is_proven_once_for_each_vehicle() -> None:
    r = Rig()
    r.board(cp=B, duty_bp=10_000, cp_low_mv=9_000)
    r.pass_s(5)
    assert not r.passed
    r.board(duty_bp=5_333, cp_low_mv=-12_000)
    r.pass_s(0.1)
    assert not r.passed
    r.pass_s(0.05)
    assert r.passed
    r.board(duty_bp=10_000, cp_low_mv=9_000)
    r.pass_s(5)
    assert r.passed and not r.causes[1]
    r.board(cp=A)
    r.pass_s(0.5)
    r.board(cp=B)
    r.pass_s(0.5)
    assert not r.passed  # another vehicle
    r.board(cp_low_mv=None)
    r.pass_s(0.05)
    assert r.passed  # a board that does not measure is believed


def test_bad_half_waves_of_two_pwms_do_not_add_up() -> None:
    r = Rig()
    r.board(cp=B, duty_bp=10_000, cp_low_mv=-9_000)
    r.pass_s(1)
    for _ in range(5):
        r.board(duty_bp=5_333)
        r.pass_s(0.25)
        r.board(duty_bp=10_000)
        r.pass_s(1)
    assert not r.causes[1]


def test_one_bad_half_wave_is_forgiven() -> None:
    r = Rig()
    r.board(cp=B, duty_bp=5_333, cp_low_mv=-12_000)
    r.pass_s(1)
    for _ in range(5):
        r.board(cp_low_mv=-9_000)
        r.pass_s(0.1)
        r.board(cp_low_mv=-12_000)
        r.pass_s(0.1)
    assert not r.causes[1]


def test_from_e_and_f_back_to_pwm_takes_4_s_and_750_ms_of_x1() -> None:
    for mode in (PilotMode.E, PilotMode.F):
        r = Rig()
        r.drive(mode)
        r.pass_s(0.05)
        r.mode, r.duty = PWM, 2_666
        r.pass_s(10)
        assert [(m, n) for m, _, n in r.times()][:2] == [(mode, 80), (X1, 15)]
        assert r.times()[2][:2] == (PWM, 2_666)


def test_long_in_f_needs_no_more_time_in_f() -> None:
    r = Rig()
    r.drive(PilotMode.F)
    r.pass_s(10)
    r.drive(PWM, 2_666)
    r.pass_s(2)
    assert next((m, n) for m, _, n in r.times()) == (X1, 15)


def test_state_f_is_never_delayed() -> None:
    r = Rig()
    for before in (X1, PWM, PilotMode.E):
        r.drive(before, 2_666 if before is PWM else 0)
        r.pass_s(6)
        r.drive(PilotMode.F)
        r.pass_s(0.05)
        assert r.seen == [(PilotMode.F, 0)]


@pytest.mark.parametrize(("first", "then"), [(500, 2_666), (2_666, 500)])
def test_a_duty_cycle_that_changes_its_meaning_steps_through_3_s_of_x1(first: int, then: int) -> None:
    r = Rig()
    r.board(cp=B)
    r.pass_s(1)
    r.drive(PWM, first)
    r.pass_s(1)
    assert r.times() == [(PWM, first, 20)]
    r.drive(PWM, then)
    r.pass_s(5)
    assert r.times() == [(X1, 0, 60), (PWM, then, 40)]


def test_the_same_meaning_needs_no_step_and_a_long_x1_counts() -> None:
    r = Rig()
    r.board(cp=B)
    r.pass_s(1)
    r.drive(PWM, 2_666)
    r.pass_s(1)
    r.drive(PWM, 1_000)
    r.pass_s(0.05)
    assert r.seen == [(PWM, 1_000)]
    r.drive(X1)
    r.pass_s(3)
    r.drive(PWM, 500)
    r.pass_s(0.05)
    assert r.seen == [(PWM, 500)]


def test_another_vehicle_begins_without_a_step() -> None:
    r = Rig()
    r.board(cp=B)
    r.pass_s(1)
    r.drive(PWM, 500)
    r.pass_s(1)
    r.drive(X1)
    r.board(cp=A)
    r.pass_s(1)
    r.board(cp=B)
    r.drive(PWM, 2_666)
    r.pass_s(0.3)
    assert r.times() == [(PWM, 2_666, 6)]


def test_without_a_board_nothing_is_judged() -> None:
    r = Rig()
    r.board(cp=B)
    r.pass_s(1)
    r.silent.add(1)
    r.pass_s(10)
    w = r.state.evses[0]
    assert w.plugged and not r.causes[1] and w.ac is not None and w.ac.cp_raw is U
