"""Control pilot of an AC EVSE: current and duty cycle, judged states, diode and short, and the steps of the generator.

Sources: reference plc-serial.md, section 3 (levels, duty table, T_STEP_EF, T_STEP_X1, 750 ms in x1 after E/F, 5 s, 6 s); its
first two rows and the width of the bands are general knowledge of IEC 61851-1 Annex A and were not checked against the
text. Units: mA per phase, mV, duty in 0.01 % (`_bp`): 500 = digital communication, 10000 = no PWM (x1).

Who wants energy is read from the pilot of this very tick (`energy`); everything slower (plug, unplug, faults) waits until
a state has stood for its time. A board that measures the half waves is not believed against its own measurement.
"""

from __future__ import annotations

from functools import lru_cache

from evse.core.ac.memory import AcWork
from evse.core.context import START_GRACE, Conn, Tick
from evse.domain.ac import AcStatus, PilotMode, PpState
from evse.domain.faults import FaultCode
from evse.domain.signals import BoardStatus, CpState
from evse.units import DurationNs, ms, s

MIN_MA = 6_000
MAX_MA = 80_000
X1_BP = 10_000
DIGITAL_BP = 500
_DIGITAL_LOW, _DIGITAL_HIGH = 300, 700
_MIN_LOW, _MIN_HIGH = 800, 1_000  # 8..10 % = 6 A
_BREAK_BP, _TOP_BP, _LAST_BP = 8_500, 9_600, 9_700
_OFFSET_BP = 6_400
_BREAK_MA, _UPPER_MA = 51_000, 52_500  # at 85 %, and just above it

BAND_MV = 1_000
"""Tolerance around 12, 9, 6, 3, 0 and -12 V; between two bands either neighbour may be meant."""

LEVELS: tuple[tuple[int, CpState], ...] = (
    (12_000, CpState.A),
    (9_000, CpState.B),
    (6_000, CpState.C),
    (3_000, CpState.D),
    (0, CpState.E),
)
NEGATIVE_MV = -12_000
"""Negative half wave of the PWM behind the vehicle's diode, and the level of state F."""

VEHICLE = (CpState.B, CpState.C, CpState.D)
POWER = (CpState.C, CpState.D)

HOLD: dict[CpState, DurationNs] = {
    CpState.A: ms(100),
    CpState.B: ms(100),
    CpState.C: ms(100),
    CpState.D: ms(100),
    CpState.E: ms(500),
    CpState.F: ms(500),
    CpState.UNKNOWN: ms(500),
}
"""So long a state must stand before plug, unplug and faults believe it; the board has filtered it already."""

DIODE_SETTLE = ms(100)
"""The negative half wave counts when the PWM has been reported for so long."""

DIODE_HOLD = ms(200)
PULSE_QUIET = s(1)
"""After we have driven E or F, the pilot may still read E or F for so long."""

T_STEP_EF = s(4)
"""Least time in state E or F."""

X1_AFTER_EF = ms(750)
"""Least time in x1 after E or F, before PWM."""

T_STEP_X1 = s(3)
"""Least time in x1 when the duty cycle changes its meaning (digital communication to current, or back)."""

FOLLOW = s(5)
"""A vehicle follows a new duty cycle within this time."""

PWM_OFF_LIMIT = s(6)
"""So long a vehicle may stay in C/D without PWM before the contactor opens under load."""


def duty_for_ma(current_ma: int) -> int:
    """Return the duty cycle in 0.01 % that promises at most ``current_ma``: 10000 (x1) below 6 A, at most 9600."""
    if current_ma < MIN_MA:
        return X1_BP
    if current_ma <= _BREAK_MA:
        return current_ma // 6
    if current_ma < _UPPER_MA:
        return _BREAK_BP
    return min(_TOP_BP, _OFFSET_BP + current_ma // 25)


def ma_for_duty(duty_bp: int) -> int:
    """Return what a duty cycle in 0.01 % allows the vehicle, in mA; 0 without PWM, for 5 % and between the bands."""
    if duty_bp < _MIN_LOW or duty_bp > _LAST_BP:
        return 0
    if duty_bp <= _MIN_HIGH:
        return MIN_MA
    if duty_bp <= _BREAK_BP:
        return duty_bp * 6
    if duty_bp <= _TOP_BP:
        return (duty_bp - _OFFSET_BP) * 25
    return MAX_MA


def digital(duty_bp: int) -> bool:
    """Return True for the band of 5 %: digital communication."""
    return _DIGITAL_LOW <= duty_bp <= _DIGITAL_HIGH


@lru_cache(maxsize=256)  # boards repeat themselves
def readings_of(high_mv: int) -> tuple[CpState, ...]:
    """Return the states that a positive half wave in mV may mean: one, two between bands, none outside of all."""
    if high_mv < -BAND_MV:
        return (CpState.F,) if abs(high_mv - NEGATIVE_MV) <= BAND_MV else ()
    inside = tuple(state for level, state in LEVELS if abs(high_mv - level) <= BAND_MV)
    if inside or high_mv > LEVELS[0][0]:
        return inside
    return tuple(state for level, state in LEVELS if abs(high_mv - level) < 2 * BAND_MV)


def raw_state(b: BoardStatus | None, ac: AcStatus) -> CpState:
    """Return the board's state when its own measurement does not contradict it, else UNKNOWN."""
    if b is None:
        return CpState.UNKNOWN
    if ac.cp_high_mv is None or b.cp is CpState.UNKNOWN or b.cp in readings_of(ac.cp_high_mv):
        return b.cp
    return CpState.UNKNOWN


def diode(b: BoardStatus, ac: AcStatus) -> bool | None:
    """Return whether the vehicle's diode is there; None = not measurable now (no PWM, no vehicle, not measured)."""
    if ac.cp_low_mv is None or not 0 < ac.duty_bp < X1_BP or b.cp not in VEHICLE:
        return None
    return abs(ac.cp_low_mv - NEGATIVE_MV) <= BAND_MV


def energy(conn: Conn) -> bool:
    """Return True while the vehicle wants energy (C/D) by the reading of this tick."""
    return conn.a.cp_raw in POWER


def diode_passed(conn: Conn) -> bool:
    """Return True when the contactor may close as far as the diode is concerned."""
    return conn.a.cp_diode_ok or conn.ab.cp_low_mv is None


def observe(t: Tick, conn: Conn) -> None:
    """Judge the pilot: `cp_raw` of this tick, `cp_state` that has stood, plugged or not, diode and short."""
    a, now = conn.a, t.now
    a.cp_raw = raw_state(conn.b, conn.ab)
    if conn.b is None:
        return
    if a.cp_raw is not a.cp_seen:
        a.cp_seen, a.cp_seen_at = a.cp_raw, now
    if a.cp_raw is not a.cp_state and now - a.cp_seen_at >= HOLD[a.cp_raw]:
        a.cp_state = a.cp_raw
    if a.cp_state in VEHICLE:
        conn.w.plugged = True
    _diode(t, conn, conn.b)
    _causes(t, conn)


def left(t: Tick, conn: Conn) -> bool:
    """Return True when the vehicle has left: state A, or no plug in the socket while the pilot cannot tell."""
    a = conn.a
    if a.cp_state is CpState.A:
        return True
    blind = a.cp_state not in VEHICLE and conn.ac.socket and conn.ab.pp is PpState.NONE
    a.cp_away_at = (a.cp_away_at or t.now) if blind else 0
    return bool(a.cp_away_at) and t.now - a.cp_away_at >= HOLD[CpState.UNKNOWN]


def _diode(t: Tick, conn: Conn, b: BoardStatus) -> None:
    a, now = conn.a, t.now
    if 0 < conn.ab.duty_bp < X1_BP:
        a.cp_pwm_at = a.cp_pwm_at or now
    else:
        a.cp_pwm_at = 0
    settled = a.cp_pwm_at and now - a.cp_pwm_at >= DIODE_SETTLE
    found = diode(b, conn.ab) if settled else None
    if not conn.w.plugged:
        a.cp_diode_ok, a.cp_diode_bad_at, a.cp_no_diode = False, 0, False
    elif found is True:
        a.cp_diode_ok, a.cp_diode_bad_at, a.cp_no_diode = True, 0, False
    elif found is False:
        a.cp_diode_bad_at = a.cp_diode_bad_at or now
        if now - a.cp_diode_bad_at >= DIODE_HOLD:
            a.cp_diode_ok, a.cp_no_diode = False, True
    elif not a.cp_no_diode:
        a.cp_diode_bad_at = 0
    if a.cp_no_diode:  # x1 cannot measure it: the verdict stays until a good PWM or the vehicle has left
        low = "not measured now" if found is None else f"{conn.ab.cp_low_mv} mV"
        text = f"negative half wave with PWM ({low}) is not {NEGATIVE_MV} mV within {BAND_MV} mV: no diode in the vehicle"
        conn.causes.append((FaultCode.PILOT_DIODE, text))


def _causes(t: Tick, conn: Conn) -> None:
    """Short and nonsense on a pilot that we drive normally."""
    a, now = conn.a, t.now
    if a.cp_mode in (PilotMode.E, PilotMode.F) or now < a.cp_quiet_until or now - t.state.started_at <= START_GRACE:
        return
    high = conn.ab.cp_high_mv
    measured = "" if high is None else f", {high} mV"
    if a.cp_state is CpState.E:
        conn.causes.append((FaultCode.PILOT_SHORT, f"pilot reads state E{measured}: shorted to earth"))
    elif a.cp_state in (CpState.F, CpState.UNKNOWN):
        said = conn.b.cp.value if conn.b is not None else "?"
        text = f"board says {said}{measured} while the station drives {a.cp_mode.value}"
        conn.causes.append((FaultCode.PILOT_INVALID, text))


def drive(t: Tick, conn: Conn, mode: PilotMode, duty_bp: int = 0) -> None:
    """Put ``mode`` on the pilot as soon as the steps in between allow it; state F is never delayed."""
    a, now = conn.a, t.now
    mode = _step(a, now, mode, duty_bp)
    duty = duty_bp if mode is PilotMode.PWM else 0
    if mode is PilotMode.PWM:
        a.cp_digital = digital(duty)
        a.cp_pwm_used = True
    elif a.cp_mode is PilotMode.PWM:
        a.cp_pwm_off_at = now
    if mode in (PilotMode.E, PilotMode.F) or a.cp_mode in (PilotMode.E, PilotMode.F):
        a.cp_quiet_until = now + PULSE_QUIET
    if mode is not a.cp_mode:
        a.cp_mode, a.cp_mode_at = mode, now
    a.cp_duty_bp = duty
    if not conn.w.plugged:
        a.cp_pwm_used = False


def _step(a: AcWork, now: int, mode: PilotMode, duty_bp: int) -> PilotMode:
    """Return what may be driven now on the way to ``mode``."""
    if mode is PilotMode.F or mode is a.cp_mode is not PilotMode.PWM:
        return mode
    if a.cp_mode in (PilotMode.E, PilotMode.F):
        if now - a.cp_mode_at < T_STEP_EF:
            return a.cp_mode
        a.cp_x1_until = now + X1_AFTER_EF
        return PilotMode.E if mode is PilotMode.E else PilotMode.X1
    if mode is not PilotMode.PWM:
        return mode
    if now < a.cp_x1_until:
        return PilotMode.X1
    other = a.cp_pwm_used and a.cp_digital is not digital(duty_bp)
    rested = a.cp_mode is PilotMode.X1 and now - a.cp_mode_at >= T_STEP_X1
    return PilotMode.X1 if other and not rested else PilotMode.PWM


def pwm_off_for(t: Tick, conn: Conn) -> DurationNs:
    """Return how long there has been no PWM, 0 while there is."""
    a = conn.a
    return 0 if a.cp_mode is PilotMode.PWM else max(0, t.now - a.cp_pwm_off_at)
