"""Plug lock of a socket: one level for the board, judged by the feedback of the motor.

The board turns the level into one movement of the motor (`LockMotor.drive_ms`). This module decides the level, waits for
the feedback, and on failure drives back to the last valid position and then once more to the wanted one (Charge Control C
user guide, 15.13), `LockMotor.tries` times in all; then it stands still. Two changes of the level are never closer together
than a movement and its pause. After a fault that ends in state F the lock opens within 5 s (reference plc-serial.md,
section 3). Nothing is unlocked while the contactor is closed, unless it is welded. Energy needs `ready`.

What a fault means for the lock (3.3.4): the safe state is open; a failed RCD test, a ground failure and a missing or
invalid cable leave the lock as it is until the vehicle has left.
"""

from __future__ import annotations

import enum

from evse.core.ac import feedback, proximity
from evse.core.ac.memory import LockStage
from evse.core.context import Conn, Tick
from evse.core.faults import forbids_energy
from evse.core.inputs import ForceUnlock
from evse.core.release import refuse
from evse.core.state import AuthState
from evse.domain.ac import LockMode
from evse.domain.faults import FaultCode
from evse.domain.session import StopReason
from evse.domain.signals import LockState
from evse.units import NS_PER_MS, NS_PER_S, DurationNs, ms, s

REPORT = ms(500)
"""From the end of a movement until its feedback must have arrived: status period and debounce of the board."""

ODD_TIME = ms(200)
"""A feedback that contradicts the last movement is believed after this time (energy ends at once)."""

CAPACITOR_LIMIT = s(30)
"""The capacitor must be charged by then. Design value: the manual says "expected time"."""

FAULT_UNLOCK = s(5)


class Signal(enum.Enum):
    """What may move the lock on."""

    NONE = "none"
    LOCK = "lock"  # shall be locked
    OPEN = "open"  # shall be open
    AT_LOCKED = "at_locked"
    AT_OPEN = "at_open"
    LATE = "late"  # no feedback in time, or the way back is over
    SPENT = "spent"  # no feedback in time, tries spent
    ODD = "odd"  # has moved by itself
    LEFT = "left"  # the vehicle has left


TABLE: dict[tuple[LockStage, Signal], LockStage] = {
    (LockStage.UNKNOWN, Signal.LOCK): LockStage.LOCKING,
    (LockStage.UNKNOWN, Signal.OPEN): LockStage.UNLOCKING,
    (LockStage.OPEN, Signal.LOCK): LockStage.LOCKING,
    (LockStage.OPEN, Signal.ODD): LockStage.BACK_TO_LOCKED,
    (LockStage.LOCKING, Signal.OPEN): LockStage.UNLOCKING,
    (LockStage.LOCKING, Signal.AT_LOCKED): LockStage.LOCKED,
    (LockStage.LOCKING, Signal.LATE): LockStage.BACK_TO_OPEN,
    (LockStage.LOCKING, Signal.SPENT): LockStage.CANNOT_LOCK,
    (LockStage.LOCKED, Signal.OPEN): LockStage.UNLOCKING,
    (LockStage.LOCKED, Signal.ODD): LockStage.BACK_TO_OPEN,
    (LockStage.UNLOCKING, Signal.LOCK): LockStage.LOCKING,
    (LockStage.UNLOCKING, Signal.AT_OPEN): LockStage.OPEN,
    (LockStage.UNLOCKING, Signal.LATE): LockStage.BACK_TO_LOCKED,
    (LockStage.UNLOCKING, Signal.SPENT): LockStage.CANNOT_UNLOCK,
    (LockStage.BACK_TO_OPEN, Signal.OPEN): LockStage.UNLOCKING,
    (LockStage.BACK_TO_OPEN, Signal.LATE): LockStage.LOCKING,
    (LockStage.BACK_TO_LOCKED, Signal.LOCK): LockStage.LOCKING,
    (LockStage.BACK_TO_LOCKED, Signal.LATE): LockStage.UNLOCKING,
    (LockStage.CANNOT_LOCK, Signal.LEFT): LockStage.UNLOCKING,
    (LockStage.CANNOT_UNLOCK, Signal.LOCK): LockStage.LOCKING,
    (LockStage.CANNOT_UNLOCK, Signal.AT_OPEN): LockStage.OPEN,
}
"""Any other pair leaves the stage as it is."""

DRIVEN = frozenset({LockStage.LOCKING, LockStage.LOCKED, LockStage.BACK_TO_LOCKED})
"""Stages in which the level says "locked"."""

_MOVING = (LockStage.LOCKING, LockStage.UNLOCKING, LockStage.BACK_TO_OPEN, LockStage.BACK_TO_LOCKED)
_FAILED = (LockStage.CANNOT_LOCK, LockStage.CANNOT_UNLOCK)


def fitted(conn: Conn) -> bool:
    """Return True when there is a lock to move."""
    return conn.ac.socket and conn.ac.lock_mode is not LockMode.NEVER


def reading(conn: Conn) -> LockState:
    """Return what the motor's feedback says now; UNKNOWN without board or feedback."""
    if conn.b is None or conn.ac.lock_motor.feedback == "none":
        return LockState.UNKNOWN
    return conn.b.lock


def ready(conn: Conn) -> bool:
    """Return True when energy may flow as far as the lock is concerned: locked and said to be, or no lock."""
    if not fitted(conn):
        return True
    if conn.b is None or conn.a.lock_forced or conn.a.lock_stage is not LockStage.LOCKED:
        return False
    return reading(conn) is LockState.LOCKED or conn.ac.lock_motor.feedback == "none"


def observe(t: Tick, conn: Conn) -> None:
    """Follow feedback and capacitor, end holds that are over, and report what is wrong."""
    a, b = conn.a, conn.b
    if not fitted(conn) or b is None:
        return
    if proximity.plug_in(conn) is False or conn.ac.lock_mode is not LockMode.REMOTE:
        a.lock_remote = False
    if a.lock_forced and proximity.plug_in(conn) is False:
        a.lock_forced = False
        t.event("lock.forced", conn.spec.evse_id, on=False, why="the plug is out")
    _hold(conn)
    now, found = t.now, reading(conn)
    contradicts = (a.lock_stage is LockStage.LOCKED and found is LockState.UNLOCKED) or (
        a.lock_stage is LockStage.OPEN and found is LockState.LOCKED
    )
    a.lock_odd_at = (a.lock_odd_at or now) if contradicts else 0
    if a.lock_odd_at and now - a.lock_odd_at >= ODD_TIME:
        a.lock_broken = "open" if a.lock_stage is LockStage.LOCKED else "close"
    empty = conn.ac.lock_motor.needs_capacitor and not conn.ab.lock_charged
    a.lock_empty_at = (a.lock_empty_at or now) if empty else 0
    _causes(t, conn)


def _causes(t: Tick, conn: Conn) -> None:
    a, motor = conn.a, conn.ac.lock_motor
    said = f"feedback {reading(conn).value}, motor {motor.name}"
    if a.lock_empty_at and t.now - a.lock_empty_at >= CAPACITOR_LIMIT:
        text = f"capacitor of the lock not charged for {(t.now - a.lock_empty_at) // NS_PER_S} s; no attempt to lock"
        conn.causes.append((FaultCode.PLUG_LOCK_CAP_NOT_CHARGED, text))
    if a.lock_broken == "open":
        conn.causes.append((FaultCode.PLUG_LOCK_UNEXPECTED_OPEN, f"opened by itself: {said}"))
    elif a.lock_broken == "close":
        conn.causes.append((FaultCode.PLUG_LOCK_UNEXPECTED_CLOSE, f"closed by itself: {said}"))
    if a.lock_stage is LockStage.CANNOT_LOCK:
        text = f"not locked after {motor.tries} movements of {motor.drive_ms} ms: {said}"
        conn.causes.append((FaultCode.PLUG_LOCK_CANNOT_LOCK, text))
    elif a.lock_stage is LockStage.CANNOT_UNLOCK:
        text = f"not unlocked after {motor.tries} movements of {motor.drive_ms} ms: {said}"
        conn.causes.append((FaultCode.PLUG_LOCK_CANNOT_UNLOCK, text))


def _hold(conn: Conn) -> None:
    """OCPP UnlockConnectorOnEVSideDisconnect = false: the cable stays until its owner comes back, after the session."""
    a, w = conn.a, conn.w
    if w.tx_open:
        a.lock_token = w.id_token
    if w.plugged:
        a.lock_hold = False
    elif not a.lock_hold:
        a.lock_hold = bool(a.lock_token) and a.lock_stage is LockStage.LOCKED and not conn.ac.unlock_on_ev_disconnect
        a.lock_token = a.lock_token if a.lock_hold else ""
    elif not w.session_id and w.auth is AuthState.GRANTED and w.auth_token == a.lock_token:
        a.lock_hold, a.lock_token = False, ""


def act(t: Tick, conn: Conn, wanted: bool) -> None:
    """Set `lock_cmd`. ``wanted`` = a session needs the plug where it is; locking mode, faults and people decide the rest."""
    a = conn.a
    if not fitted(conn):
        a.lock_cmd, a.lock_stage = False, LockStage.UNKNOWN
        return
    if conn.b is None:
        return  # the board holds its level; nothing is judged
    target = _target(t, conn, wanted)
    if target is not a.lock_wanted:
        a.lock_wanted, a.lock_tries = target, 0
    _move(t, conn, _signal(t, conn))


def _target(t: Tick, conn: Conn, wanted: bool) -> bool:
    a, w = conn.a, conn.w
    live = w.lease or feedback.closed(conn) is True
    if a.lock_forced:
        return live and a.lock_cmd
    remote = conn.ac.lock_mode is LockMode.REMOTE
    session = a.lock_wanted if remote else True  # nobody locks a session in mode REMOTE, and no event action opens its plug
    target = (a.lock_remote if remote else wanted) or a.lock_hold or (conn.ac.lock_mode is LockMode.PLUGGED and w.plugged)
    if a.lock_rule is not None:
        target = a.lock_rule or (w.tx_open and session)
    plug = proximity.plug_in(conn)
    if plug is False or (plug is None and not a.lock_cmd):
        target = False
    keep, opens, welded = _faults(t, conn)
    a.lock_fault_at = (a.lock_fault_at or t.now) if opens else 0
    waits = t.now - a.lock_fault_at < FAULT_UNLOCK
    if opens:
        target = target and waits and a.lock_cmd
    elif keep:
        target = a.lock_wanted
    return target or (live and a.lock_cmd and not (welded and not waits))


def _faults(t: Tick, conn: Conn) -> tuple[bool, bool, bool]:
    """Return (a fault keeps the lock as it is, a fault wants it open, the contactor will not open any more)."""
    keep = opens = welded = False
    for record in (*t.faults, *conn.w.faults):
        if forbids_energy(record):
            if record.code in KEEP and conn.w.plugged:
                keep = True
            else:
                opens = True
                welded = welded or record.code is FaultCode.CONTACTOR_WELDED
    return keep, opens, welded


def _signal(t: Tick, conn: Conn) -> Signal:
    """Return the one signal that counts now."""
    a, motor, found = conn.a, conn.ac.lock_motor, reading(conn)
    stage, want = a.lock_stage, a.lock_wanted
    lock = want and (a.lock_cmd or not a.lock_empty_at)  # no attempt to lock without the charge to unlock
    due = t.now >= a.lock_deadline
    blind = motor.feedback == "none"
    late = Signal.NONE
    if due:
        late = Signal.SPENT if a.lock_tries + 1 >= motor.tries else Signal.LATE
    match stage:
        case LockStage.UNKNOWN:
            return Signal.LOCK if lock else Signal.OPEN
        case LockStage.OPEN if lock:
            return Signal.LOCK
        case LockStage.OPEN | LockStage.LOCKED if a.lock_broken:
            return Signal.OPEN if stage is LockStage.LOCKED and not want else Signal.ODD
        case LockStage.LOCKED:
            return Signal.NONE if want else Signal.OPEN
        case LockStage.LOCKING if not want:
            return Signal.OPEN
        case LockStage.LOCKING:
            return Signal.AT_LOCKED if found is LockState.LOCKED or (blind and due) else late
        case LockStage.UNLOCKING if lock:
            return Signal.LOCK
        case LockStage.UNLOCKING:
            return Signal.AT_OPEN if found is LockState.UNLOCKED or (blind and due) else late
        case LockStage.BACK_TO_OPEN if not want:
            return Signal.OPEN
        case LockStage.BACK_TO_LOCKED if want:
            return Signal.LOCK
        case LockStage.BACK_TO_OPEN if not lock:
            return Signal.NONE
        case LockStage.BACK_TO_OPEN | LockStage.BACK_TO_LOCKED:
            return Signal.LATE if due else Signal.NONE
        case LockStage.CANNOT_LOCK:
            return Signal.NONE if conn.w.plugged else Signal.LEFT
        case LockStage.CANNOT_UNLOCK if found is LockState.UNLOCKED:
            return Signal.AT_OPEN
        case LockStage.CANNOT_UNLOCK:
            return Signal.LOCK if lock else Signal.NONE
        case _:
            return Signal.NONE


def _move(t: Tick, conn: Conn, signal: Signal) -> None:
    """Take the step of the table, unless the motor still needs its pause."""
    a, motor = conn.a, conn.ac.lock_motor
    stage = TABLE.get((a.lock_stage, signal), a.lock_stage)
    if stage is a.lock_stage:
        return
    level = stage in DRIVEN
    if level is not a.lock_cmd:
        if t.now - a.lock_cmd_at < dwell(conn):
            return
        a.lock_cmd, a.lock_cmd_at = level, t.now
    if signal in (Signal.LATE, Signal.SPENT) and a.lock_stage in (LockStage.LOCKING, LockStage.UNLOCKING):
        a.lock_tries += 1
    if stage is LockStage.LOCKED or stage is LockStage.OPEN:
        a.lock_tries, a.lock_broken, a.lock_odd_at = 0, "", 0
    a.lock_stage = stage
    if stage in _MOVING:
        a.lock_deadline = t.now + ms(motor.drive_ms) + REPORT


def dwell(conn: Conn) -> DurationNs:
    """Return the least time between two changes of the level: one movement and its pause."""
    return (conn.ac.lock_motor.drive_ms + conn.ac.lock_motor.pause_ms) * NS_PER_MS


def force(t: Tick, conn: Conn, c: ForceUnlock) -> None:
    """Unlock until the plug is out, or take that back. A running transaction is stopped first. In mode REMOTE, taking back locks."""
    remote = conn.ac.lock_mode is LockMode.REMOTE
    why = "" if fitted(conn) else f"EVSE {c.evse_id} has no plug lock"
    if not why and remote and not c.on and proximity.plug_in(conn) is False:
        why = "no plug is in the socket; plug in first"
    if why:
        refuse(t, c.evse_id, "force_unlock", c.seq, why)
        return
    conn.a.lock_forced, conn.a.lock_remote = c.on, remote and not c.on
    if c.on:
        retry(conn)
        if conn.w.tx_open:
            conn.stop_wanted = StopReason.OTHER
    t.event("lock.forced", c.evse_id, on=c.on, why="command")


def retry(conn: Conn) -> None:
    """OCPP UnlockConnector, operator: forget failed movements and the hold of a cable; unlock if nothing forbids it."""
    a = conn.a
    a.lock_hold, a.lock_token, a.lock_tries = False, "", 0
    if a.lock_stage in _FAILED:
        a.lock_stage = LockStage.UNKNOWN


KEEP = frozenset(
    {
        FaultCode.RCD_TEST,
        FaultCode.RCD_GROUND_FAILURE,
        FaultCode.PROXIMITY_NO_CABLE,
        FaultCode.PROXIMITY_INVALID,
    }
)
"""Faults that leave the lock as it is while the vehicle is connected."""
