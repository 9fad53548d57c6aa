"""The AC machine: one table of stages and signals, what opens and closes, and what the pilot is told.

Signals are levels read on each tick, strongest first, as in `evse.core.machine_dc`. Times: IEC 61851-1 as far as reference
plc-serial.md, section 3, and Charge Control C, 3.4 and 15.16 to 15.20, quote them. The contactor closes on the first tick
on which a vehicle in C or D, an offer and everything in `obstacle` come together (limit 3 s, `contactor.CLOSE_LIMIT`), and
opens on the tick on which the vehicle leaves C/D or anything in `interlock` is missing. An offer below 6 A takes the PWM
away and leaves the contactor to the vehicle; a stop or a pause opens it under load 6 s after the PWM.
"""

from __future__ import annotations

import enum

from evse.core import availability, faults, release, session, signing
from evse.core.ac import contactor, cp, feedback, hlc, lock, over_current, phases, proximity, rcd, ventilation
from evse.core.context import Conn, Tick
from evse.core.state import Stage
from evse.domain.ac import FeedbackType, LockMode, PilotMode, RcdState
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode, LatchRule, Reaction
from evse.domain.session import StopReason
from evse.domain.signals import CpState, LockState
from evse.units import NS_PER_S, s

WAKE_AFTER = s(30)
"""A vehicle that does not react to an offer for so long is woken up (Charge Control C, wake_up_after_timeout)."""

REST_LIMIT = s(5)
"""So long the end waits for open contactors; then a fault of the contactor says why it is over."""


class Signal(enum.Enum):
    """What can move the machine, strongest first."""

    EMERGENCY = "emergency"  # energy off on this tick
    UNPLUGGED = "unplugged"
    STOP = "stop"  # we want to end
    LEFT = "left"  # the vehicle has left C/D, an interlock is open, or a pause was ignored for 6 s
    PLUGGED = "plugged"
    STARTED = "started"  # transaction open
    ENERGY = "energy"  # vehicle, offer and everything else ready: close
    OPENED = "opened"  # the vehicle has left C/D after the PWM, or its 6 s are over
    RESTED = "rested"  # open, transaction closed


TABLE: dict[tuple[Stage, Signal], Stage] = {
    (Stage.EMPTY, Signal.PLUGGED): Stage.PLUGGED,
    (Stage.PLUGGED, Signal.UNPLUGGED): Stage.EMPTY,
    (Stage.PLUGGED, Signal.STARTED): Stage.AUTHORISED,
    (Stage.AUTHORISED, Signal.EMERGENCY): Stage.DISCHARGE,
    (Stage.AUTHORISED, Signal.UNPLUGGED): Stage.DISCHARGE,
    (Stage.AUTHORISED, Signal.STOP): Stage.DISCHARGE,
    (Stage.AUTHORISED, Signal.ENERGY): Stage.CURRENT,
    (Stage.CURRENT, Signal.EMERGENCY): Stage.DISCHARGE,
    (Stage.CURRENT, Signal.UNPLUGGED): Stage.DISCHARGE,
    (Stage.CURRENT, Signal.STOP): Stage.RAMP_DOWN,
    (Stage.CURRENT, Signal.LEFT): Stage.AUTHORISED,
    (Stage.RAMP_DOWN, Signal.EMERGENCY): Stage.DISCHARGE,
    (Stage.RAMP_DOWN, Signal.UNPLUGGED): Stage.DISCHARGE,
    (Stage.RAMP_DOWN, Signal.OPENED): Stage.DISCHARGE,
    (Stage.DISCHARGE, Signal.RESTED): Stage.FINISHED,
    (Stage.FINISHED, Signal.UNPLUGGED): Stage.EMPTY,
    (Stage.FINISHED, Signal.STARTED): Stage.AUTHORISED,
}

STAGES = (Stage.EMPTY, Stage.PLUGGED, Stage.AUTHORISED, Stage.CURRENT, Stage.RAMP_DOWN, Stage.DISCHARGE, Stage.FINISHED)
"""Stages that an AC EVSE knows."""

OFFER_STAGES = frozenset({Stage.AUTHORISED, Stage.CURRENT})
LOCKED_STAGES = frozenset({Stage.AUTHORISED, Stage.CURRENT, Stage.RAMP_DOWN, Stage.DISCHARGE})
MOVES_MAX = len(STAGES)
_ORDER: dict[Stage, tuple[tuple[Signal, Stage], ...]] = {
    stage: tuple((sig, TABLE[stage, sig]) for sig in Signal if (stage, sig) in TABLE) for stage in Stage
}


def plug(t: Tick, conn: Conn) -> None:
    """Follow the judged pilot; a vehicle that is gone is a fact of its own."""
    if conn.b is not None and conn.w.plugged and cp.left(t, conn):
        session.unplugged(t, conn)


def advance(t: Tick, conn: Conn, reaction: Reaction) -> None:
    """Move the machine as far as the inputs allow."""
    w = conn.w
    conn.a.cp_pause = _pause(conn)
    _ignored(t, conn)
    if conn.pulses:  # a fault of this tick acts on this tick
        w.faults, w.past = faults.update(
            t, conn.spec.evse_id, w.faults, w.past, conn.causes + conn.pulses, plugged=w.plugged
        )
        reaction = faults.react(t, conn)
    for _ in range(MOVES_MAX):
        for signal, target in _ORDER[w.stage]:
            if _signal(t, conn, signal, reaction):
                _move(t, conn, signal, target)
                break
        else:
            break
    if w.stage not in STAGES:  # the state of another station file: start anew
        w.stage = Stage.EMPTY


def _signal(t: Tick, conn: Conn, signal: Signal, reaction: Reaction) -> bool:
    """Return True when ``signal`` stands."""
    w = conn.w
    match signal:
        case Signal.EMERGENCY:
            return reaction is Reaction.EMERGENCY
        case Signal.UNPLUGGED:
            return not w.plugged or left_behind(conn)
        case Signal.STOP:
            return reaction is Reaction.STOP or _want_stop(conn)
        case Signal.LEFT:
            return bool(interlock(t, conn)) or (bool(conn.a.cp_pause) and _given_up(t, conn))
        case Signal.PLUGGED:
            return w.plugged
        case Signal.STARTED:
            return _started(t, conn)
        case Signal.ENERGY:
            w.waiting_for = obstacle(t, conn)
            return not w.waiting_for
        case Signal.OPENED:
            return not w.lease or bool(interlock(t, conn)) or _given_up(t, conn)
        case Signal.RESTED:
            return not w.tx_open and (feedback.is_open(t, conn) or conn.b is None or t.now >= w.deadline)


def left_behind(conn: Conn) -> bool:
    """Return True when the vehicle of a session that is over has left, and another came before the last meter value."""
    return conn.w.stage is Stage.FINISHED and conn.w.unplugged_at is not None


def _started(t: Tick, conn: Conn) -> bool:
    if conn.w.stage is Stage.PLUGGED:
        release.free(t, conn)
    conn.w.waiting_for = session.obstacle(t, conn)
    if not conn.w.waiting_for and proximity.cable_ma(conn) is None:
        conn.w.waiting_for = "a charging cable that is accepted here"
    conn.w.waiting_for = conn.w.waiting_for or signing.begin(t, conn)
    return not conn.w.waiting_for


def _want_stop(conn: Conn) -> bool:
    if conn.stop_wanted is None and conn.b is not None and conn.b.stop_button:
        conn.stop_wanted = StopReason.LOCAL
    return conn.stop_wanted is not None


def _pause(conn: Conn) -> str:
    """Return why nothing is offered although a transaction is open, "" when nothing speaks against it."""
    if conn.w.stage not in OFFER_STAGES:
        return ""
    if not availability.allowed(conn):
        return "the external release"
    if phases.switching(conn):
        return "the switch of phases"
    return over_current.pause(conn) or ventilation.refused(conn) or hlc.pause(conn)


def _given_up(t: Tick, conn: Conn) -> bool:
    """The vehicle has had no PWM for 6 s: whoever still draws current is cut off."""
    return conn.a.cp_mode is not PilotMode.PWM and cp.pwm_off_for(t, conn) >= cp.PWM_OFF_LIMIT


def _ignored(t: Tick, conn: Conn) -> None:
    """Tell that the contactor opens under load now."""
    w = conn.w
    ends = w.stage is Stage.RAMP_DOWN or (w.stage is Stage.CURRENT and bool(conn.a.cp_pause))
    if ends and w.lease and cp.energy(conn) and _given_up(t, conn):
        text = f"pilot {conn.a.cp_raw.value} for {cp.PWM_OFF_LIMIT // NS_PER_S} s without PWM: opened under load"
        conn.pulses.append((FaultCode.VEHICLE_IGNORES_PWM, text))


def interlock(t: Tick, conn: Conn) -> str:
    """Return what forbids a closed contactor on this very tick, "" when nothing does. The gate asks the same on its own."""
    b, spec = conn.b, conn.ac
    if b is None:
        return "the board"
    if t.inputs.loop_fault:
        return "a restart after a program fault"
    if t.estop:
        return "the emergency stop"
    if not cp.energy(conn):
        return "the vehicle"
    if b.door_open:
        return "the door"
    if spec.socket and spec.lock_mode is not LockMode.NEVER and b.lock is LockState.UNLOCKED:
        return "the plug lock"
    main = b.lease_active
    if spec.contactor_feedback is not FeedbackType.NONE:
        seen = feedback.closed(conn)
        if seen is None:
            return "the feedback of the contactor"
        if seen and not b.lease_active:
            return "the contactor, which is closed without a command"
        main = seen
    if spec.rcd.fitted and conn.ab.rcd is not RcdState.NORMAL:
        return "the residual current monitor"
    if rcd.busy(conn):
        return "the residual current test"
    if proximity.cable_ma(conn) is None:
        return "a valid cable"
    if not main and not t.inputs.storage_ok and not t.spec.charge_without_storage:
        return "the database"
    return "the board, which has opened by itself" if conn.a.k_lost else ""


def obstacle(t: Tick, conn: Conn) -> str:
    """Return what closing waits for, "" = close now."""
    a, w = conn.a, conn.w
    if a.cp_pause:
        return a.cp_pause
    if not cp.energy(conn) or a.cp_state not in cp.POWER:
        return "the vehicle"
    if a.cp_mode is not PilotMode.PWM or w.offered_ma < cp.MIN_MA:
        return "an offer of at least 6 A"
    if not cp.diode_passed(conn):
        return "the diode of the vehicle"
    if not hlc.ready(conn):
        return "the vehicle"
    if not lock.ready(conn):
        return "the plug lock"
    if not ventilation.ready(conn):
        return "the ventilation"
    if not w.tx_stored and (t.inputs.storage_ok or not t.spec.charge_without_storage):
        return "the stored start"
    if not rcd.passed_for_session(t, conn):
        return "the residual current test"
    if not contactor.may_close(t, conn):
        return "the pause between opening and closing"
    return interlock(t, conn)


def _move(t: Tick, conn: Conn, signal: Signal, target: Stage) -> None:
    """Enter ``target``: memory of the stage before is cleared here and nowhere else."""
    w, a, before = conn.w, conn.a, conn.w.stage
    w.stage, w.stage_since = target, t.now
    w.deadline = t.now + REST_LIMIT if target is Stage.DISCHARGE else 0
    if before is Stage.EMPTY:
        session.begin(t, conn)
    elif target is Stage.EMPTY:
        session.close(t, conn)
    elif target is Stage.AUTHORISED and before is not Stage.CURRENT:
        session.start(t, conn, again=before is Stage.FINISHED)
        w.emergency, a.wake_offered, a.wake_force = False, False, True
    elif target is Stage.CURRENT and w.charging_since is None:
        w.charging_since = t.now
    if target in (Stage.RAMP_DOWN, Stage.DISCHARGE):
        session.note_stop(conn, _reason(t, conn, signal))
    if target is Stage.DISCHARGE:
        w.emergency = signal is Signal.EMERGENCY
        session.energy_ended(t, conn)
    w.waiting_for = ""


def _reason(t: Tick, conn: Conn, signal: Signal) -> StopReason:
    if signal is Signal.UNPLUGGED:
        return StopReason.EV_DISCONNECTED
    if signal is Signal.STOP and conn.stop_wanted is not None and not conn.blocked:
        return conn.stop_wanted
    return faults.stop_reason(t, conn)


def act(t: Tick, conn: Conn) -> None:
    """Set the levels that follow from the stage: lock, residual current test, phases, contactors, ventilation."""
    w = conn.w
    closed = not interlock(t, conn) and (
        (w.lease and w.stage in (Stage.CURRENT, Stage.RAMP_DOWN))
        or (w.stage is Stage.CURRENT and not obstacle(t, conn))
    )
    contactor.act(t, conn, closed)
    lock.act(t, conn, w.stage in LOCKED_STAGES)
    rcd.act(t, conn)
    phases.act(t, conn)
    ventilation.act(t, conn)
    hlc.act(t, conn)


AT_ZERO = frozenset({FaultCode.EMERGENCY_SHUTDOWN})
"""Faults that end by themselves and still mean state F while they stand (3.3.4.15 and 15.14 of the same manual)."""


def unrecoverable(t: Tick, conn: Conn) -> bool:
    """Return True for state F: a fault that forbids energy and that a person must clear (Charge Control C, 15.13).

    A failed self-test of the monitor leaves a vehicle that is connected at x1, and is F once it has left (3.3.4.13). In state F
    nobody knows any more whether a vehicle is there, unless a socket's proximity contact tells (`cp.left`).
    """
    for record in (*t.faults, *conn.w.faults):
        if record.code is FaultCode.RCD_TEST and conn.w.plugged:
            continue
        lasting = FAULTS[record.code].latch is LatchRule.MANUAL or record.code in AT_ZERO
        if lasting and faults.forbids_energy(record):
            return True
    return False


def pilot(t: Tick, conn: Conn) -> None:
    """Set the pilot after the limits of this tick are known."""
    a, w = conn.a, conn.w
    mode, duty = PilotMode.X1, 0
    if unrecoverable(t, conn) or (w.stage is Stage.EMPTY and not conn.operative):
        mode = PilotMode.F
    elif hlc.holds(conn):
        mode, duty = PilotMode.PWM, cp.DIGITAL_BP
    elif conn.blocked or not conn.operative or a.cp_pause:
        mode = PilotMode.X1
    elif hlc.digital(conn) and w.stage in (Stage.PLUGGED, *OFFER_STAGES):
        mode, duty = PilotMode.PWM, cp.DIGITAL_BP
    elif hlc.wants_basic(conn) and w.stage in OFFER_STAGES and w.offered_ma >= cp.MIN_MA:
        mode, duty = PilotMode.PWM, cp.duty_for_ma(w.offered_ma)
    if _wake(t, conn, mode is PilotMode.PWM and duty != cp.DIGITAL_BP):
        mode = PilotMode.E
    cp.drive(t, conn, mode, duty)
    if w.lease and w.lease_since == t.now and a.cp_mode is not PilotMode.PWM:
        contactor.act(t, conn, False)  # the offer has gone on the tick that would have closed; boards close with PWM only


def _wake(t: Tick, conn: Conn, offering: bool) -> bool:
    """Return True while the pilot shall be at 0 V to wake the vehicle up: at most once each time an offer begins."""
    a, stage = conn.a, conn.w.stage
    if not offering:
        a.wake_offered, a.wake_at, a.wake_until = False, 0, 0
        return False
    if not a.wake_offered:
        a.wake_offered, a.wake_at = True, t.now + WAKE_AFTER
        if conn.ac.force_wake_up and a.wake_force and a.cp_state is CpState.B:
            _pulse(t, conn, "after authorisation")
        a.wake_force = False
    if stage is not Stage.AUTHORISED:
        a.wake_at = a.wake_until = 0  # it has reacted
    elif a.wake_at and t.now >= a.wake_at:
        a.wake_at = 0
        if conn.ac.wake_up_after_timeout and a.cp_state is CpState.B:
            _pulse(t, conn, f"no reaction for {WAKE_AFTER // NS_PER_S} s")
    return t.now < a.wake_until


def _pulse(t: Tick, conn: Conn, why: str) -> None:
    conn.a.wake_until = t.now + cp.T_STEP_EF
    t.event("pilot.wake_up", conn.spec.evse_id, why=why)
