"""ISO 15118 with an AC vehicle: when digital communication is offered, what follows from its end, what the board is told.

The board speaks the protocol; `V2gStatus` tells its phase, `evse.core.ac.hlc_board` what it is told. Sources: Charge Control C, 15.3 and 15.4
(phases, EVSEProcessing), 15.9 to 15.12 (stop, renegotiation, pause) and 15.21 (fake DC: at least 20 s for SLAC); reference
plc-serial.md, sections 2 and 3 (60 s between messages, 60 s of "Ongoing", 20 s for a stop on request, 10 s of x1 before the duty
cycle tells the current, 3 s when its meaning changes).

Modes: OPTIONAL offers 5 % first and gives way to basic signalling after silence or an error; REQUIRED begins anew up to three
times, then refuses and ends the transaction; FAKE_DC reads MAC and state of charge, then gives way (`evse.core.ac.fake_dc`).

Limits: the offer of a tick is EVSEMaxCurrent, its power the schedule (SASchedule) that the vehicle gets while it exchanges
parameters. A lower offer holds at once; a higher one than its schedule says reaches the vehicle with a renegotiation, which is asked for
by itself only when the schedule said "nothing". Who charges is decided outside: the board answers the auth phase with
`Authorization`. A vehicle that gives up there before anybody has permission gets a new session with the permission.
"""

from __future__ import annotations

import enum

from evse.core.ac import cp, fake_dc, feedback
from evse.core.ac.memory import AcWork, HlcStage
from evse.core.context import Conn, Tick
from evse.core.state import Stage
from evse.domain.ac import HlcMode, PilotMode, V2gError, V2gPhase
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode
from evse.domain.session import StopReason
from evse.domain.signals import SlacState
from evse.units import NS_PER_S, s

SLAC_LIMIT = s(20)
"""So long a vehicle has to begin, counted from 5 % on the pilot."""

SESSION_LIMIT = s(60)
"""From the first SLAC frame to the auth phase; with fake DC to everything that is read."""

STOP_LIMIT = s(20)
"""A vehicle ends or pauses a session within this time after it was asked to; then the pilot goes to x1."""

READ_END_LIMIT = s(5)
"""The same after fake DC has read everything."""

SWITCH_X1 = s(10)
"""x1 between digital communication and a duty cycle that tells the current."""

RESTART_PULSE = s(1)
ASK_LIMIT = s(10)
"""So long a vehicle is asked to renegotiate."""

TRIES_MAX = 3


class Signal(enum.Enum):
    """What can move the stage, strongest first."""

    GONE = "gone"  # no vehicle
    BLOCKED = "blocked"  # fault or out of service
    FALL_BACK = "fall_back"  # basic signalling from here on
    RETRY = "retry"  # required: another session
    REFUSE = "refuse"  # required: tries are spent
    STOP = "stop"  # the station ends or pauses
    PAUSED = "paused"  # the vehicle has paused
    ENDED = "ended"  # in order
    TALKING = "talking"
    AGAIN = "again"  # a new session is wanted
    PLUGGED = "plugged"
    RESTED = "rested"  # x1 was long enough and the contactor is open


_Z = HlcStage
TABLE: dict[tuple[HlcStage, Signal], HlcStage] = {
    (_Z.IDLE, Signal.PLUGGED): _Z.WAIT,
    **{(stage, Signal.GONE): _Z.IDLE for stage in _Z if stage is not _Z.IDLE},
    **{(stage, Signal.BLOCKED): _Z.RESTING for stage in (_Z.WAIT, _Z.SESSION, _Z.CLOSING, _Z.PAUSED)},
    (_Z.WAIT, Signal.FALL_BACK): _Z.SWITCH,
    (_Z.WAIT, Signal.RETRY): _Z.RESET,
    (_Z.WAIT, Signal.REFUSE): _Z.REFUSED,
    (_Z.WAIT, Signal.STOP): _Z.RESTING,
    (_Z.WAIT, Signal.TALKING): _Z.SESSION,
    (_Z.SESSION, Signal.FALL_BACK): _Z.SWITCH,
    (_Z.SESSION, Signal.RETRY): _Z.RESET,
    (_Z.SESSION, Signal.REFUSE): _Z.REFUSED,
    (_Z.SESSION, Signal.STOP): _Z.CLOSING,
    (_Z.SESSION, Signal.PAUSED): _Z.PAUSED,
    (_Z.SESSION, Signal.ENDED): _Z.RESTING,
    (_Z.CLOSING, Signal.FALL_BACK): _Z.SWITCH,
    (_Z.CLOSING, Signal.PAUSED): _Z.PAUSED,
    (_Z.CLOSING, Signal.ENDED): _Z.RESTING,
    (_Z.RESTING, Signal.TALKING): _Z.SESSION,
    (_Z.RESTING, Signal.AGAIN): _Z.WAIT,
    (_Z.PAUSED, Signal.TALKING): _Z.SESSION,
    (_Z.PAUSED, Signal.AGAIN): _Z.WAIT,
    (_Z.RESET, Signal.RESTED): _Z.WAIT,
    (_Z.SWITCH, Signal.RESTED): _Z.BASIC,
    (_Z.BASIC, Signal.AGAIN): _Z.RESET,
    (_Z.REFUSED, Signal.AGAIN): _Z.RESET,
}
MOVES_MAX = len(_Z)
_ORDER: dict[HlcStage, tuple[tuple[Signal, HlcStage], ...]] = {
    stage: tuple((sig, TABLE[stage, sig]) for sig in Signal if (stage, sig) in TABLE) for stage in _Z
}
DIGITAL = frozenset({_Z.WAIT, _Z.SESSION, _Z.CLOSING, _Z.RESTING, _Z.PAUSED})
"""Stages with 5 % on the pilot."""

PAUSES = {
    _Z.SWITCH: "the change from ISO 15118 to the pilot",
    _Z.RESET: "a new ISO 15118 session",
    _Z.REFUSED: "an ISO 15118 session; the last one has failed",
}
"""Stages that hold the pilot at x1, in plain words."""

TIMED_BY_VEHICLE = (V2gPhase.AUTH, V2gPhase.PARAMETER, V2gPhase.CHARGE)
ENDING = frozenset({Stage.RAMP_DOWN, Stage.DISCHARGE, Stage.FINISHED})


def wants_basic(conn: Conn) -> bool:
    """Return True when the pilot's duty cycle tells the current, False while digital communication is on or may come."""
    return conn.ac.hlc is HlcMode.OFF or conn.a.hlc_stage is HlcStage.BASIC


def digital(conn: Conn) -> bool:
    """Return True when the pilot shall say 5 %."""
    return conn.a.hlc_stage in DIGITAL


def holds(conn: Conn) -> bool:
    """Return True while a session runs or is brought to its end in order: the pilot stays at 5 %. A fault is stronger."""
    return conn.a.hlc_stage in (HlcStage.SESSION, HlcStage.CLOSING) and not conn.blocked and conn.operative


def pause(conn: Conn) -> str:
    """Return why nothing is offered, "" when digital communication has nothing against it."""
    return PAUSES.get(conn.a.hlc_stage, "")


def ready(conn: Conn) -> bool:
    """Return True when the protocol in use allows the contactor to close: PowerDelivery start, or basic signalling."""
    if wants_basic(conn):
        return True
    return conn.a.hlc_stage is HlcStage.SESSION and conn.ab.v2g.ready


def observe(t: Tick, conn: Conn) -> None:
    """Read what the board tells of the session and move the stage as far as it allows."""
    a = conn.a
    if conn.ac.hlc is HlcMode.OFF:
        if a.hlc_stage is not HlcStage.IDLE:
            _forget(a)
        return
    if conn.b is not None:
        _read(t, conn)
    if conn.b is not None or not conn.w.plugged:
        _timers(t, conn)
        for _ in range(MOVES_MAX):
            for signal, target in _ORDER[a.hlc_stage]:
                if _signal(t, conn, signal):
                    _move(t, conn, signal, target)
                    break
            else:
                break
        a.hlc_tx = conn.w.tx_open
    if a.hlc_fault:
        conn.causes.append((FaultCode.HLC_ERROR, a.hlc_fault))


def act(t: Tick, conn: Conn) -> None:
    """Ask for other parameters when the schedule said "nothing" and there is an offer now; give up asking in time."""
    a = conn.a
    if a.hlc_ask_until and t.now >= a.hlc_ask_until:
        a.hlc_ask_until = 0
        t.event("hlc.unanswered", conn.spec.evse_id, what="renegotiate")
        if a.hlc_told_ma < cp.MIN_MA:
            a.hlc_told_ma = conn.w.offered_ma  # a vehicle that does not renegotiate is not asked for ever
    charges = a.hlc_stage is HlcStage.SESSION and conn.ab.v2g.phase is V2gPhase.CHARGE
    if charges and not a.hlc_ask_until and 0 <= a.hlc_told_ma < cp.MIN_MA <= conn.w.offered_ma:
        a.hlc_ask_until = t.now + ASK_LIMIT


# -- what the board tells -------------------------------------------------------------------------------------------------


def _read(t: Tick, conn: Conn) -> None:
    """Tell each phase once; keep the vehicle's parameters."""
    a, b, v = conn.a, conn.b, conn.ab.v2g
    if b is None or not conn.w.plugged:
        return
    if v.error is not a.hlc_stale:
        a.hlc_stale = V2gError.NONE
    if t.now < a.hlc_restart_until:
        return  # still the session before
    told = (v.phase, v.finished)
    if told != (a.hlc_phase, a.hlc_finished):
        if v.phase is V2gPhase.PARAMETER and a.hlc_phase is not V2gPhase.PARAMETER:
            a.hlc_param_at, a.hlc_told_ma, a.hlc_departure_at, a.hlc_energy_wh = t.now, -1, None, None
            a.hlc_ask_until = 0
        phase, state = v.phase, "finished" if v.finished else "started"
        if phase is V2gPhase.NONE:
            phase, state = a.hlc_phase, "ended"
        a.hlc_phase, a.hlc_finished = told
        t.event(
            "session.v2g", conn.spec.evse_id, phase=phase.value, state=state, error=v.error.value, contract=v.contract,
            departure_s=v.departure_s, energy_wh=v.energy_request_wh,
        )  # fmt: skip
    if v.phase is not V2gPhase.NONE:
        a.hlc_last = v.phase
        if v.departure_s is not None and a.hlc_departure_at is None:
            a.hlc_departure_at = t.wall + s(v.departure_s)
        if v.energy_request_wh is not None:
            a.hlc_energy_wh = v.energy_request_wh
    a.hlc_begun = a.hlc_begun or v.phase is not V2gPhase.NONE or fake_dc.talks(b)
    if v.phase is V2gPhase.CHARGE:
        a.hlc_tries, a.hlc_fault = 0, ""
    if v.renegotiating:
        a.hlc_ask_until = 0
    fake_dc.read(t, conn)
    if conn.ac.hlc is HlcMode.FAKE_DC and b.evcc_id:
        a.hlc_vendor = fake_dc.vendor_of(conn.ac.fake_dc_vendors, b.evcc_id).name


def _timers(t: Tick, conn: Conn) -> None:
    """The time for SLAC begins with 5 % on the pilot; that of a session ends with the auth phase."""
    a, now = conn.a, t.now
    if a.hlc_stage is HlcStage.WAIT and not a.hlc_deadline:
        if a.cp_mode is PilotMode.PWM and cp.digital(a.cp_duty_bp):
            a.hlc_deadline = max(now, a.hlc_restart_until) + SLAC_LIMIT
    elif a.hlc_stage is HlcStage.SESSION and conn.ac.hlc is not HlcMode.FAKE_DC and conn.ab.v2g.phase in TIMED_BY_VEHICLE:
        a.hlc_deadline = 0


def _active(conn: Conn) -> bool:
    """Return True while SLAC or a session is under way."""
    b = conn.b
    if b is None:
        return False
    return b.slac is SlacState.MATCHING or conn.ab.v2g.phase is not V2gPhase.NONE or fake_dc.talks(b)


def _matched(conn: Conn) -> bool:
    return conn.b is not None and conn.b.slac is SlacState.MATCHED


def _over(conn: Conn) -> bool:
    """Return True when the session is over: messages have stopped, or SLAC was undone."""
    return not _active(conn) and (conn.a.hlc_begun or not _matched(conn))


def _waits_for_permission(conn: Conn) -> bool:
    """Return True when the vehicle's patience in the auth phase has run out, not the protocol."""
    return conn.a.hlc_last is V2gPhase.AUTH and not conn.w.tx_open and not conn.a.hlc_tx


def failure(t: Tick, conn: Conn) -> V2gError:
    """Return why the session, or the attempt, has failed; NONE = it has not."""
    a, b = conn.a, conn.b
    if b is None or _waits_for_permission(conn):
        return V2gError.NONE
    error = conn.ab.v2g.error
    if error is not V2gError.NONE and error is not a.hlc_stale:
        return error
    if b.slac is SlacState.FAILED and t.now >= a.hlc_restart_until:
        return V2gError.SLAC_FAILED
    if a.hlc_stage is not HlcStage.SESSION:
        return V2gError.NONE
    if a.hlc_deadline and t.now >= a.hlc_deadline:
        return V2gError.SEQUENCE_TIMEOUT
    return V2gError.SLAC_FAILED if not a.hlc_begun and _over(conn) else V2gError.NONE


# -- the machine --------------------------------------------------------------------------------------------------------


def _signal(t: Tick, conn: Conn, signal: Signal) -> bool:
    """Return True when ``signal`` stands."""
    a, w, mode = conn.a, conn.w, conn.ac.hlc
    match signal:
        case Signal.GONE:
            return not w.plugged
        case Signal.BLOCKED:
            return bool(conn.blocked) or not conn.operative
        case Signal.FALL_BACK:
            return mode is not HlcMode.REQUIRED and _gives_way(t, conn)
        case Signal.RETRY | Signal.REFUSE:
            spent = a.hlc_tries >= TRIES_MAX
            return mode is HlcMode.REQUIRED and spent is (signal is Signal.REFUSE) and _failed(t, conn)
        case Signal.STOP:
            read = mode is HlcMode.FAKE_DC and a.hlc_stage is HlcStage.SESSION and fake_dc.done(conn)
            return w.stage in ENDING or held(conn) or read
        case Signal.PAUSED:
            return conn.ab.v2g.paused
        case Signal.ENDED:
            late = a.hlc_stage is HlcStage.CLOSING and t.now >= a.hlc_deadline
            return _over(conn) or late
        case Signal.TALKING:
            if a.hlc_stage is HlcStage.WAIT:
                return (_active(conn) or _matched(conn)) and t.now >= a.hlc_restart_until
            return _active(conn) and _offered(conn)
        case Signal.AGAIN:
            return _again(conn)
        case Signal.PLUGGED:
            return w.plugged and not conn.blocked and conn.operative
        case Signal.RESTED:
            return t.now >= a.hlc_deadline and not w.lease and feedback.closed(conn) is not True


def _failed(t: Tick, conn: Conn) -> bool:
    """Return True after silence, an error, or a session that ended in order without having charged."""
    a = conn.a
    if a.hlc_stage is HlcStage.WAIT and a.hlc_deadline and t.now >= a.hlc_deadline:
        return True
    over = a.hlc_stage is HlcStage.SESSION and _over(conn) and not conn.ab.v2g.paused
    if over and a.hlc_last is not V2gPhase.CHARGE and not _waits_for_permission(conn):
        return True
    return failure(t, conn) is not V2gError.NONE


def _gives_way(t: Tick, conn: Conn) -> bool:
    """Return True when basic signalling takes over."""
    a = conn.a
    if a.hlc_stage is HlcStage.CLOSING:
        return conn.ac.hlc is HlcMode.FAKE_DC and (_over(conn) or t.now >= a.hlc_deadline)
    if conn.ac.hlc is HlcMode.FAKE_DC and a.hlc_stage is HlcStage.SESSION and _over(conn):
        return True
    return _failed(t, conn)


def held(conn: Conn) -> bool:
    """Return True while the station wants nothing to flow, for a reason that is not one of this module's stages."""
    return conn.a.hlc_pause or (bool(conn.a.cp_pause) and conn.a.cp_pause not in PAUSES.values())


def _offered(conn: Conn) -> bool:
    """Return True while nothing but this module speaks against a session."""
    return not conn.blocked and conn.operative and conn.w.stage not in ENDING and not held(conn)


def _again(conn: Conn) -> bool:
    a, w = conn.a, conn.w
    if not _offered(conn):
        return False
    begins = w.tx_open and not a.hlc_tx and a.hlc_stage in (HlcStage.RESTING, HlcStage.REFUSED)
    return begins or a.hlc_again


def _move(t: Tick, conn: Conn, signal: Signal, target: HlcStage) -> None:
    """Enter ``target``; the memory of the stage before is cleared here and nowhere else."""
    a, now, before = conn.a, t.now, conn.a.hlc_stage
    error, paused = failure(t, conn), held(conn)
    a.hlc_stage, a.hlc_deadline = target, 0
    match target:
        case HlcStage.IDLE:
            _forget(a)
        case HlcStage.WAIT:
            _begin(t, conn, restart=before is not HlcStage.IDLE)
        case HlcStage.SESSION:
            a.hlc_deadline = now + SESSION_LIMIT
        case HlcStage.CLOSING:
            read = conn.w.stage not in ENDING and not paused
            a.hlc_deadline = now + (READ_END_LIMIT if read else STOP_LIMIT)
        case HlcStage.RESTING:
            _clear(a)
            a.hlc_again = signal is Signal.BLOCKED or (before is not HlcStage.SESSION and conn.w.stage not in ENDING)
        case HlcStage.PAUSED:
            _clear(a)
            a.hlc_again = before is HlcStage.CLOSING
        case HlcStage.RESET:
            a.hlc_deadline = now + cp.T_STEP_X1
            a.hlc_tries = a.hlc_tries + 1 if signal is Signal.RETRY else 0
            _tell_failure(t, conn, signal, error)
        case HlcStage.SWITCH:
            a.hlc_deadline = now + SWITCH_X1
            _tell_failure(t, conn, signal, error)
        case HlcStage.REFUSED:
            _tell_failure(t, conn, signal, error)
            _refuse(conn)
        case HlcStage.BASIC:
            a.hlc_again = False


def _begin(t: Tick, conn: Conn, *, restart: bool) -> None:
    """Wait for a vehicle; one that has talked already is asked to match again."""
    a = conn.a
    _clear(a)
    a.hlc_stale = conn.ab.v2g.error
    if restart:
        a.hlc_restart_until = t.now + RESTART_PULSE
        t.event("slac.restart", conn.spec.evse_id, attempt=a.hlc_tries + 1)


def _clear(a: AcWork) -> None:
    """Forget the session before."""
    a.hlc_again = a.hlc_begun = a.hlc_param = a.hlc_read = False
    a.hlc_last, a.hlc_told_ma, a.hlc_param_at, a.hlc_ask_until = V2gPhase.NONE, -1, 0, 0


def _forget(a: AcWork) -> None:
    """No vehicle."""
    _clear(a)
    a.hlc_stage, a.hlc_deadline, a.hlc_restart_until, a.hlc_tries = HlcStage.IDLE, 0, 0, 0
    a.hlc_phase, a.hlc_finished, a.hlc_stale = V2gPhase.NONE, False, V2gError.NONE
    a.hlc_fault, a.hlc_vendor, a.hlc_pause, a.hlc_tx = "", "", False, False
    a.hlc_soc, a.hlc_soc_at, a.hlc_departure_at, a.hlc_energy_wh = fake_dc.SOC_UNKNOWN, None, None, None


def _tell_failure(t: Tick, conn: Conn, signal: Signal, error: V2gError) -> None:
    """Say why there is no session (any more). Silence is a fault only where digital communication is required."""
    a, mode = conn.a, conn.ac.hlc
    if signal is Signal.AGAIN:
        return
    phase = a.hlc_last.value if a.hlc_last is not V2gPhase.NONE else "slac"
    why = error.value
    if error is V2gError.NONE:
        why = "the session is over" if a.hlc_begun else f"no vehicle has begun within {SLAC_LIMIT // NS_PER_S} s"
    t.event("hlc.ended", conn.spec.evse_id, why=why, phase=phase, then=a.hlc_stage.value)
    if signal is Signal.REFUSE and error is V2gError.NONE:
        error = V2gError.SEQUENCE_ERROR if a.hlc_begun else V2gError.SLAC_FAILED
    if error is not V2gError.NONE and mode is not HlcMode.FAKE_DC and signal is not Signal.RETRY:
        a.hlc_fault = f"{error.value} in phase {phase}" + (f": {why}" if why != error.value else "")


def _refuse(conn: Conn) -> None:
    """Digital communication is required and does not work: the transaction ends."""
    if conn.w.tx_open:
        conn.stop_wanted = conn.stop_wanted or StopReason.OTHER
        conn.w.fault = conn.w.fault or f"{FaultCode.HLC_ERROR.value} {FAULTS[FaultCode.HLC_ERROR].name}"
