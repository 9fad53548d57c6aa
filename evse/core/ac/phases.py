"""Phases: how many the vehicle gets, and the switch between one and three during a session.

Source: Charge Control C, 15.20: relay 2 is a second contactor; on a request everything is switched off, a guard time of
10 to 300 s passes, then the new number is offered; possible only with basic signalling, without ventilation on relay 2
and with a rotary switch that says three phases.
"""

from __future__ import annotations

from evse.core.ac import feedback
from evse.core.context import Conn, Tick
from evse.core.inputs import SetPhases
from evse.core.release import refuse
from evse.core.state import Stage
from evse.domain.ac import FeedbackType
from evse.units import s

DELAY_MIN_S, DELAY_MAX_S = 10, 300


def wired(conn: Conn) -> int:
    """Return how many phases installation and rotary switch (as it was at start) give."""
    spec, position = conn.ac, conn.a.lim_rotary
    count = spec.phases
    if spec.rotary and 0 <= position < len(spec.rotary_table):
        count = min(count, spec.rotary_table[position].phases)
    return 1 if count < 1 else 3 if count > 3 else count


def usable(conn: Conn) -> int:
    """Return how many phases the next closing gives: 1, 2 or 3."""
    full, spec = wired(conn), conn.ac.phase_switch
    if not spec.enabled:
        return full
    return min(full, conn.a.ph_set or spec.default_phases)


def planned(conn: Conn) -> bool:
    """Return True when the planner may switch: as `_refused`, but for the vehicle's own reasons."""
    spec = conn.ac
    return spec.phase_switch.enabled and spec.phase_switch.auto and not spec.ventilation.enabled and wired(conn) == 3


def count(conn: Conn) -> int:
    """Return how many phases the vehicle has now; 0 = the contactor is open or nobody knows."""
    main = feedback.closed(conn)
    if main is None and conn.ac.contactor_feedback is FeedbackType.NONE:
        main = conn.w.lease and conn.b is not None and conn.b.lease_active
    if not main:
        return 0
    if not conn.ac.phase_switch.enabled:
        return wired(conn)
    second = feedback.second_closed(conn)
    return 3 if second or (second is None and conn.a.k_second) else 1


def switching(conn: Conn) -> bool:
    """Return True from a request until the new number of phases may be offered."""
    return bool(conn.a.ph_want)


def act(t: Tick, conn: Conn) -> None:
    """Take over the number asked for once everything has been off for the guard time."""
    a, w = conn.a, conn.w
    a.ph_off_at = (a.ph_off_at or t.now) if feedback.is_open(t, conn) else 0
    if not a.ph_want or not a.ph_off_at:
        return
    guard = s(a.ph_delay_s) if w.tx_open else 0
    if t.now - max(a.ph_off_at, a.ph_asked_at) >= guard:
        before, a.ph_set = usable(conn), a.ph_want
        a.ph_want = 0
        t.event("phases.changed", conn.spec.evse_id, phases=a.ph_set, before=before)


def command(t: Tick, conn: Conn, c: SetPhases, *, basic: bool) -> None:
    """Start a switch, or refuse it with the reason. The number that is set already cancels a pending switch.

    ``basic`` = the vehicle is charged with basic signalling.
    """
    why = _refused(conn, c, basic)
    if why:
        refuse(t, c.evse_id, "phases", c.seq, why)
        return
    a = conn.a
    if usable(conn) == c.phases:
        a.ph_want = 0
        return
    delay = conn.ac.phase_switch.delay_s if c.delay_s is None else c.delay_s
    a.ph_want, a.ph_asked_at, a.ph_delay_s = c.phases, t.now, delay
    t.event("phases.requested", c.evse_id, phases=c.phases, delay_s=delay, paused=conn.w.stage is Stage.CURRENT)


def _refused(conn: Conn, c: SetPhases, basic: bool) -> str:
    spec = conn.ac
    if c.phases not in (1, 3):
        return f"{c.phases} phases cannot be switched; accepted: 1, 3"
    if spec.ventilation.enabled:
        return "relay 2 is the ventilation; phases cannot be switched"
    if not spec.phase_switch.enabled:
        return "no second contactor is configured (phase_switch.enabled)"
    if wired(conn) < 3:
        return f"rotary switch or installation give {wired(conn)} phase; there is nothing to switch"
    if not basic:
        return "the vehicle uses ISO 15118; phases are switched with basic signalling only"
    if c.delay_s is not None and not DELAY_MIN_S <= c.delay_s <= DELAY_MAX_S:
        return f"delay {c.delay_s} s; accepted: {DELAY_MIN_S} to {DELAY_MAX_S} s"
    return ""
