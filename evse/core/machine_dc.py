"""The DC machine: one table of stages and signals, and what each stage commands.

Signals are levels read from the inputs on each tick; the strongest one that the table knows for the present stage is
taken, again and again until nothing moves (at most one move per stage). Waits are deadlines in the state. Times and
thresholds: reference plc-serial.md, section 2 (60 V, 20 V, 2 A, 1 A, 7 s, 40 s), as far as it knows them.
"""

from __future__ import annotations

import enum

from evse.core import faults, release, session, signing
from evse.core.context import Conn, Tick
from evse.core.session import STEP_NUMBER
from evse.core.state import ENERGY_STAGES, EvseWork, Stage
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode, Reaction
from evse.domain.session import StopReason
from evse.domain.signals import (
    BoardStatus,
    ContactorFeedback,
    CpState,
    EvStop,
    HlcStep,
    IsolationState,
    LockState,
    SlacState,
)
from evse.units import NS_PER_S, clamp, s

SAFE_MV = 60_000
PRE_CHARGE_BAND_MV = 20_000
PRE_CHARGE_MA = 2_000
OPEN_BELOW_MA = 1_000
CABLE_CHECK_LIMIT = s(40)
PRE_CHARGE_LIMIT = s(7)
SEQUENCE_LIMIT = s(60)
"""SECC sequence timeout: longest silence between two steps."""

SETUP_LIMIT = s(150)
"""From the transaction's start to CableCheck (DIN 70121: ready to charge within 150 s)."""

VEHICLE_STOP_LIMIT = s(10)
"""How long the vehicle may stay in its charge loop after it was asked to stop; current is zero all the time."""

RAMP_LIMIT = s(12)
"""Then the contactor opens whatever the current is."""

DISCHARGE_LIMIT = s(5)
"""Voltage below 60 V after the vehicle has opened its own contactors."""

VEHICLE_LEAVE_LIMIT = s(20)
GIVE_UP_MARGIN = s(2)
"""A vehicle that gives up this short before our own limit of a loop has run into the same cause."""

RESTART_PULSE = s(1)
RESTART_EVERY = s(5)
RESTARTS_MAX = 3
SILENT_SLAC = s(15)


class Signal(enum.Enum):
    """What can move the machine, strongest first."""

    EMERGENCY = "emergency"  # energy off on this tick
    UNPLUGGED = "unplugged"
    STOP = "stop"  # we want to end
    EV_OFF = "ev_off"  # the vehicle ends
    PLUGGED = "plugged"
    STARTED = "started"  # transaction open
    CABLE = "cable"
    PRE_CHARGE = "pre_charge"
    POWER_ON = "power_on"
    CURRENT = "current"
    OPENED = "opened"  # no current, vehicle out of its loop (or its time is over)
    RESTED = "rested"  # open, below 60 V, transaction closed

    __hash__ = object.__hash__


TABLE: dict[tuple[Stage, Signal], Stage] = {
    (Stage.EMPTY, Signal.PLUGGED): Stage.PLUGGED,
    (Stage.PLUGGED, Signal.UNPLUGGED): Stage.EMPTY,
    (Stage.PLUGGED, Signal.STARTED): Stage.AUTHORISED,
    (Stage.AUTHORISED, Signal.EMERGENCY): Stage.DISCHARGE,
    (Stage.AUTHORISED, Signal.UNPLUGGED): Stage.DISCHARGE,
    (Stage.AUTHORISED, Signal.STOP): Stage.DISCHARGE,
    (Stage.AUTHORISED, Signal.CABLE): Stage.CABLE_CHECK,
    (Stage.CABLE_CHECK, Signal.EMERGENCY): Stage.DISCHARGE,
    (Stage.CABLE_CHECK, Signal.UNPLUGGED): Stage.DISCHARGE,
    (Stage.CABLE_CHECK, Signal.STOP): Stage.RAMP_DOWN,
    (Stage.CABLE_CHECK, Signal.EV_OFF): Stage.RAMP_DOWN,
    (Stage.CABLE_CHECK, Signal.PRE_CHARGE): Stage.PRE_CHARGE,
    (Stage.PRE_CHARGE, Signal.EMERGENCY): Stage.DISCHARGE,
    (Stage.PRE_CHARGE, Signal.UNPLUGGED): Stage.DISCHARGE,
    (Stage.PRE_CHARGE, Signal.STOP): Stage.RAMP_DOWN,
    (Stage.PRE_CHARGE, Signal.EV_OFF): Stage.RAMP_DOWN,
    (Stage.PRE_CHARGE, Signal.POWER_ON): Stage.POWER_ON,
    (Stage.PRE_CHARGE, Signal.CURRENT): Stage.CURRENT,
    (Stage.POWER_ON, Signal.EMERGENCY): Stage.DISCHARGE,
    (Stage.POWER_ON, Signal.UNPLUGGED): Stage.DISCHARGE,
    (Stage.POWER_ON, Signal.STOP): Stage.RAMP_DOWN,
    (Stage.POWER_ON, Signal.EV_OFF): Stage.RAMP_DOWN,
    (Stage.POWER_ON, Signal.CURRENT): Stage.CURRENT,
    (Stage.CURRENT, Signal.EMERGENCY): Stage.DISCHARGE,
    (Stage.CURRENT, Signal.UNPLUGGED): Stage.DISCHARGE,
    (Stage.CURRENT, Signal.STOP): Stage.RAMP_DOWN,
    (Stage.CURRENT, Signal.EV_OFF): Stage.RAMP_DOWN,
    (Stage.RAMP_DOWN, Signal.EMERGENCY): Stage.DISCHARGE,
    (Stage.RAMP_DOWN, Signal.UNPLUGGED): Stage.DISCHARGE,
    (Stage.RAMP_DOWN, Signal.OPENED): Stage.DISCHARGE,
    (Stage.DISCHARGE, Signal.RESTED): Stage.FINISHED,
    (Stage.FINISHED, Signal.UNPLUGGED): Stage.EMPTY,
    (Stage.FINISHED, Signal.STARTED): Stage.AUTHORISED,
}

MOVES_MAX = len(Stage)
_ORDER: dict[Stage, tuple[tuple[Signal, Stage], ...]] = {
    stage: tuple((sig, TABLE[stage, sig]) for sig in Signal if (stage, sig) in TABLE) for stage in Stage
}
STAGE_LIMIT = {
    Stage.AUTHORISED: SETUP_LIMIT,
    Stage.CABLE_CHECK: CABLE_CHECK_LIMIT,
    Stage.PRE_CHARGE: PRE_CHARGE_LIMIT,
    Stage.POWER_ON: SEQUENCE_LIMIT,
    Stage.RAMP_DOWN: VEHICLE_STOP_LIMIT,
    Stage.DISCHARGE: VEHICLE_LEAVE_LIMIT,
}
_ENDED_STEPS = frozenset({HlcStep.WELD, HlcStep.STOP, None})
_PD_OFF = STEP_NUMBER[HlcStep.PD_OFF]


def advance(t: Tick, conn: Conn, reaction: Reaction) -> None:
    """Move the machine as far as the inputs allow, then act out the stage."""
    _overdue(t, conn)
    if conn.pulses:  # a fault of this tick acts on this tick
        w = conn.w
        w.faults, w.past = faults.update(
            t, conn.spec.evse_id, w.faults, w.past, conn.causes + conn.pulses, plugged=w.plugged
        )
        reaction = faults.react(t, conn)
    for _ in range(MOVES_MAX):
        for signal, target in _ORDER[conn.w.stage]:
            if _signal(t, conn, signal, reaction):
                _move(t, conn, signal, target)
                break
        else:
            break


def plug(t: Tick, conn: Conn) -> None:
    """Follow the pilot: A = no vehicle, B..D = vehicle; anything else changes nothing."""
    w, b = conn.w, conn.b
    if b is None:
        return
    if b.cp is CpState.A:
        if w.plugged:
            session.unplugged(t, conn)
    elif b.cp in (CpState.B, CpState.C, CpState.D):
        w.plugged = True


def _signal(t: Tick, conn: Conn, signal: Signal, reaction: Reaction) -> bool:
    """Return True when ``signal`` stands."""
    if signal is Signal.EMERGENCY:
        return reaction is Reaction.EMERGENCY
    if signal is Signal.STOP:
        return reaction is Reaction.STOP or _want_stop(conn)
    return _CHECKS[signal](t, conn)


def _want_stop(conn: Conn) -> bool:
    if conn.stop_wanted is None and conn.b is not None and conn.b.stop_button:
        conn.stop_wanted = StopReason.LOCAL
    return conn.stop_wanted is not None


def _unplugged(t: Tick, conn: Conn) -> bool:
    """The vehicle has left; also that of a session that is over, when another came before its last meter value."""
    return not conn.w.plugged or (conn.w.stage is Stage.FINISHED and conn.w.unplugged_at is not None)


def _ev_off(t: Tick, conn: Conn) -> bool:
    """The vehicle leaves the energy part: by word, by step, or the pilot leaves C/D with the output closed."""
    b, w = conn.b, conn.w
    if b is None:
        return False
    if b.ev_stop is not EvStop.NONE or b.step is None or STEP_NUMBER[b.step] >= _PD_OFF:
        return True
    return w.lease and not t.pilot_wants_energy(conn)


def _started(t: Tick, conn: Conn) -> bool:
    if conn.w.stage is Stage.PLUGGED:
        release.free(t, conn)
    conn.w.waiting_for = session.obstacle(t, conn) or signing.begin(t, conn)
    return not conn.w.waiting_for


def _step_is(conn: Conn, step: HlcStep) -> bool:
    return conn.b is not None and conn.b.step is step


def _cable(t: Tick, conn: Conn) -> bool:
    return _step_is(conn, HlcStep.CABLE)


def _pre_charge(t: Tick, conn: Conn) -> bool:
    return conn.w.cable_done and conn.b is not None and conn.b.step in (HlcStep.PRE_C, HlcStep.PD_ON, HlcStep.CURR)


def _power_on(t: Tick, conn: Conn) -> bool:
    return _step_is(conn, HlcStep.PD_ON)


def _current(t: Tick, conn: Conn) -> bool:
    return _step_is(conn, HlcStep.CURR)


def _opened(t: Tick, conn: Conn) -> bool:
    w, b, now = conn.w, conn.b, t.now
    if now - w.stage_since >= RAMP_LIMIT or not w.lease or b is None:
        return True
    quiet = not conn.present_known or conn.present_ma < OPEN_BELOW_MA
    left = b.step is None or STEP_NUMBER[b.step] >= _PD_OFF or not t.pilot_wants_energy(conn) or not w.cable_done
    return quiet and (left or now >= w.deadline)


def _rested(t: Tick, conn: Conn) -> bool:
    """Open and below 60 V, protocol over, transaction closed; or the time for it is over (then a fault says why)."""
    w, b, now = conn.w, conn.b, t.now
    if w.tx_open:
        return False
    if now >= w.deadline or b is None:
        return True
    over = b.step in (HlcStep.STOP, None) or not t.pilot_wants_energy(conn) or not w.plugged
    return over and b.contactor is ContactorFeedback.OPEN and b.output_mv < SAFE_MV


def _plugged(t: Tick, conn: Conn) -> bool:
    return conn.w.plugged


_CHECKS = {
    Signal.UNPLUGGED: _unplugged,
    Signal.EV_OFF: _ev_off,
    Signal.PLUGGED: _plugged,
    Signal.STARTED: _started,
    Signal.CABLE: _cable,
    Signal.PRE_CHARGE: _pre_charge,
    Signal.POWER_ON: _power_on,
    Signal.CURRENT: _current,
    Signal.OPENED: _opened,
    Signal.RESTED: _rested,
}


def _move(t: Tick, conn: Conn, signal: Signal, target: Stage) -> None:
    """Enter ``target``: memory of the stage before is cleared here and nowhere else."""
    w, before, elapsed = conn.w, conn.w.stage, t.now - conn.w.stage_since
    w.stage, w.stage_since = target, t.now
    limit = STAGE_LIMIT.get(target, 0)
    w.deadline = t.now + limit if limit else 0
    if before is Stage.EMPTY:
        session.begin(t, conn)
    elif target is Stage.EMPTY:
        session.close(t, conn)
    elif target is Stage.AUTHORISED:
        session.start(t, conn, again=before is Stage.FINISHED)
        w.restart_until = w.restart_next = w.restarts = 0
        w.iso_since, w.iso_ok, w.cable_done, w.emergency, w.vehicle_off_at = 0, False, False, False, 0
    elif target is Stage.CURRENT and w.charging_since is None:
        w.charging_since = t.now
    if target in (Stage.RAMP_DOWN, Stage.DISCHARGE):
        session.note_stop(conn, _reason(t, conn, signal))
        if signal is Signal.EV_OFF and conn.b is not None:
            _ended_by_vehicle(t, conn, conn.b, before, elapsed)
    if target is Stage.DISCHARGE:
        w.emergency = signal is Signal.EMERGENCY
        session.energy_ended(t, conn)
    w.waiting_for = ""


def _ended_by_vehicle(t: Tick, conn: Conn, b: BoardStatus, before: Stage, elapsed: int) -> None:
    """Name why the vehicle gave up. When its loop limit runs out just before ours, the cause is the loop's."""
    w = conn.w
    failed = b.ev_stop is EvStop.ERROR or b.ev_stop is EvStop.COMM_LOST
    if failed and before is Stage.CABLE_CHECK and not w.cable_done and elapsed >= CABLE_CHECK_LIMIT - GIVE_UP_MARGIN:
        cause = (FaultCode.CABLE_CHECK_TIMEOUT, _cable_text(w, b))
    elif failed and before is Stage.PRE_CHARGE and elapsed >= PRE_CHARGE_LIMIT - GIVE_UP_MARGIN:
        cause = (FaultCode.PRE_CHARGE_TIMEOUT, _pre_charge_text(b))
    elif failed:
        text = f"vehicle ended with {b.ev_stop.value} in step {_step_name(conn)} ({before.value})"
        cause = (FaultCode.VEHICLE_COMMUNICATION, text)
    elif b.cp in (CpState.E, CpState.F, CpState.UNKNOWN):
        cause = (FaultCode.VEHICLE_COMMUNICATION, f"pilot state {b.cp.value} in step {_step_name(conn)}")
    else:
        return
    w.fault = w.fault or f"{cause[0].value} {FAULTS[cause[0]].name}"
    causes = [*conn.causes, *conn.pulses, cause]
    w.faults, w.past = faults.update(t, conn.spec.evse_id, w.faults, w.past, causes, plugged=w.plugged)


def _reason(t: Tick, conn: Conn, signal: Signal) -> StopReason:
    if signal is Signal.UNPLUGGED:
        return StopReason.EV_DISCONNECTED
    if signal is Signal.EV_OFF:
        return StopReason.STOPPED_BY_EV
    if signal is Signal.STOP and conn.stop_wanted is not None and not conn.blocked:
        return conn.stop_wanted
    return faults.stop_reason(t, conn)


def _step_name(conn: Conn) -> str:
    return conn.b.step.value if conn.b is not None and conn.b.step is not None else "none"


def _overdue(t: Tick, conn: Conn) -> None:
    """A stage is over its time: name what was missing."""
    w, b = conn.w, conn.b
    if b is None or not w.deadline:
        return
    if (
        w.stage is Stage.AUTHORISED
        and w.restarts >= RESTARTS_MAX
        and t.now >= w.restart_next
        and _needs_restart(t, conn)
    ):
        text = f"vehicle does not talk after {w.restarts} new matchings (SLAC {b.slac.value}, {b.ev_stop.value})"
        conn.pulses.append((FaultCode.VEHICLE_COMMUNICATION, text))
    elif t.now >= w.deadline:
        pulse = _missing(t, conn, b)
        if pulse is not None:
            conn.pulses.append(pulse)


def _missing(t: Tick, conn: Conn, b: BoardStatus) -> tuple[FaultCode, str] | None:
    w, step = conn.w, _step_name(conn)
    match w.stage:
        case Stage.AUTHORISED:
            limit = SETUP_LIMIT // NS_PER_S
            text = f"no CableCheck within {limit} s (SLAC {b.slac.value}, step {step}, {w.restarts} new matchings)"
            return FaultCode.VEHICLE_COMMUNICATION, text
        case Stage.CABLE_CHECK if not w.cable_done:
            return FaultCode.CABLE_CHECK_TIMEOUT, _cable_text(w, b)
        case Stage.PRE_CHARGE:
            return FaultCode.PRE_CHARGE_TIMEOUT, _pre_charge_text(b)
        case Stage.CABLE_CHECK | Stage.POWER_ON if t.now >= w.stage_since + SEQUENCE_LIMIT:
            text = f"vehicle stays in step {step} for {SEQUENCE_LIMIT // NS_PER_S} s"
            return FaultCode.VEHICLE_COMMUNICATION, text
        case Stage.DISCHARGE if b.output_mv >= SAFE_MV and not w.tx_open:
            if w.vehicle_off_at:
                text = f"{b.output_mv} mV at the output although modules are off and the contactor is commanded open"
                return FaultCode.CONTACTOR_WELDED, text
            text = f"vehicle does not end the session (step {step}), {b.output_mv} mV on its side"
            return FaultCode.VEHICLE_COMMUNICATION, text
    return None


def _cable_text(w: EvseWork, b: BoardStatus) -> str:
    limit = CABLE_CHECK_LIMIT // NS_PER_S
    return f"not finished within {limit} s: waiting for {w.waiting_for or 'a result'}, output {b.output_mv} mV"


def _pre_charge_text(b: BoardStatus) -> str:
    limit = PRE_CHARGE_LIMIT // NS_PER_S
    return f"output {b.output_mv} mV, vehicle asks {b.demand_mv} mV, band {PRE_CHARGE_BAND_MV} mV, limit {limit} s"


def act(t: Tick, conn: Conn) -> None:
    """Set the levels that follow from the stage: lease, lock, test, wanted voltage and current of the modules."""
    w, b, stage = conn.w, conn.b, conn.w.stage
    lease = lock = False
    if b is not None and stage in ENERGY_STAGES:
        lock = True
        lease = _lease(t, conn)
        if stage is Stage.CABLE_CHECK:
            _cable_check(t, conn, lease)
        elif stage in (Stage.PRE_CHARGE, Stage.POWER_ON):
            _want(conn, b.demand_mv, PRE_CHARGE_MA)
            if stage is Stage.PRE_CHARGE and abs(b.output_mv - b.demand_mv) > PRE_CHARGE_BAND_MV:
                w.waiting_for = "output voltage"
            else:
                w.waiting_for = "the vehicle"
        elif stage is Stage.CURRENT:
            _want(conn, min(b.demand_mv, b.ev_max_mv) if b.ev_max_mv > 0 else b.demand_mv, max(0, b.demand_ma))
            w.waiting_for = ""
        else:
            w.waiting_for = "current to zero"
            if conn.present_known and conn.present_ma >= OPEN_BELOW_MA:
                _want(conn, w.cmd_mv, 0)
    elif stage in (Stage.DISCHARGE, Stage.FINISHED) or stage in ENERGY_STAGES:
        lock = b is None or b.output_mv >= SAFE_MV
        if stage is Stage.DISCHARGE:
            _discharge(t, conn)
    elif stage is Stage.AUTHORISED:
        _restart(t, conn)
    _level(t, conn, lease, lock)


def _discharge(t: Tick, conn: Conn) -> None:
    """Judge the voltage only after the vehicle has opened its own contactors: before, it is the battery's."""
    w, b = conn.w, conn.b
    w.waiting_for = "voltage below 60 V" if b is not None and b.output_mv >= SAFE_MV else "the vehicle"
    if b is None:
        return
    if not w.vehicle_off_at and (b.step in _ENDED_STEPS or not t.pilot_wants_energy(conn)):
        w.vehicle_off_at = t.now
        w.deadline = min(w.deadline, t.now + DISCHARGE_LIMIT) if b.output_mv >= SAFE_MV else w.deadline


def _lease(t: Tick, conn: Conn) -> bool:
    """Close only in C/D, locked, with the start stored; RAMP_DOWN keeps what is closed."""
    w, b = conn.w, conn.b
    if b is None or not t.pilot_wants_energy(conn) or b.lock is LockState.UNLOCKED:
        return False
    if w.stage is not Stage.CABLE_CHECK:
        return w.lease
    stored = w.tx_stored or (t.spec.charge_without_storage and not t.inputs.storage_ok)
    bus_is_ours = not conn.bus_why  # another EVSE may still hold our groups through a relay
    return w.lease or (b.lock is LockState.LOCKED and stored and bus_is_ours and b.contactor is ContactorFeedback.OPEN)


def _cable_check(t: Tick, conn: Conn, lease: bool) -> None:
    w, b, spec = conn.w, conn.b, conn.spec
    if b is None:
        return
    if not lease:
        w.waiting_for = (
            "lock"
            if b.lock is not LockState.LOCKED
            else ("the stored start" if not w.tx_stored else conn.bus_why or "the vehicle's pilot")
        )
    elif b.contactor is not ContactorFeedback.CLOSED:
        w.waiting_for = "contactor"
    elif not w.iso_ok:
        w.waiting_for = "insulation test"
        if not conn.chain:
            w.waiting_for = "power modules"
        _want(conn, spec.cable_check_mv, PRE_CHARGE_MA)
        if b.output_mv < spec.cable_check_mv * 9 // 10:
            w.iso_since = 0
            return
        w.iso_since = w.iso_since or t.now
        if (
            t.now - w.iso_since >= faults.ISOLATION_SETTLE
            and b.isolation in (IsolationState.VALID, IsolationState.WARNING)
            and b.isolation_kohm is not None
        ):
            _judge_insulation(t, conn, b.isolation_kohm)
    elif not w.cable_done:
        w.waiting_for = "voltage below 60 V"
        w.cable_done = b.output_mv < SAFE_MV
    else:
        w.waiting_for = "the vehicle"


def _judge_insulation(t: Tick, conn: Conn, kohm: int) -> None:
    w, spec = conn.w, conn.spec
    conn.want_on = False
    if kohm >= spec.insulation_min_kohm:  # too low: `faults.evse_causes` says so on the next tick
        w.iso_ok = True
        t.event("insulation.passed", spec.evse_id, kohm=kohm, limit_kohm=spec.insulation_min_kohm)


def _want(conn: Conn, voltage_mv: int, current_ma: int) -> None:
    spec = conn.spec
    if voltage_mv < spec.voltage_min_mv:
        return
    conn.want_on = True
    conn.want_mv = clamp(voltage_mv, 0, spec.voltage_max_mv)
    conn.want_ma = clamp(current_ma, 0, spec.current_max_ma)


def _needs_restart(t: Tick, conn: Conn) -> bool:
    b = conn.b
    if b is None:
        return False
    silent = b.slac is SlacState.UNMATCHED and t.now - max(conn.w.stage_since, conn.w.restart_until) > SILENT_SLAC
    return silent or b.slac is SlacState.FAILED or b.ev_stop is not EvStop.NONE or b.step is HlcStep.STOP


def _restart(t: Tick, conn: Conn) -> None:
    """A vehicle that does not talk (any more) gets a new SLAC: at most three times, spaced."""
    w, now = conn.w, t.now
    w.waiting_for = "the vehicle"
    if now >= w.restart_next and w.restarts < RESTARTS_MAX and _needs_restart(t, conn):
        w.restarts += 1
        w.restart_until, w.restart_next = now + RESTART_PULSE, now + RESTART_EVERY
        t.event("slac.restart", conn.spec.evse_id, attempt=w.restarts)


def _level(t: Tick, conn: Conn, lease: bool, lock: bool) -> None:
    w = conn.w
    if lease is not w.lease:
        w.lease, w.lease_since = lease, t.now
    if lock is not w.lock:
        w.lock, w.lock_since = lock, t.now
