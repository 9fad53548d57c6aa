"""Over-current of the vehicle: the meter says that a phase carries more than was offered.

CHARX web management, "Charge Current Monitoring": more than 110 % of the set current for 100 s, or more than 120 % for 10 s,
switches off; after a minute charging starts once more; a second time is an error until the vehicle has left. With
``staged`` the offer is lowered instead, in `STAGES` steps, before it switches off. (The manual names the standard of its
stages but no values; these are a design choice.)

The yardstick is what is offered without this very reduction, so that a vehicle that takes 10 % too much is not led down all
steps. After a lower offer the vehicle has 5 s to follow (IEC 61851-1, PWM change). Without a known current nothing is
judged: a lost meter is a fault of its own.
"""

from __future__ import annotations

from evse.core.ac.cp import FOLLOW, MIN_MA
from evse.core.context import Conn, Tick
from evse.domain.faults import FaultCode
from evse.units import Instant, s

STAGES = (900, 800, 700)
"""Offers after the first, second and third time, in permille of what is allowed."""

TRIPS_MAX = 2


def observe(t: Tick, conn: Conn) -> None:
    """Measure how long the vehicle takes too much, and decide what is offered because of that."""
    a, now = conn.a, t.now
    if not conn.w.plugged:
        a.oc_ref_ma = a.oc_ref_until = a.oc_low_at = a.oc_high_at = a.oc_trips = a.oc_pause_until = 0
        a.oc_cap_ma = -1
        return
    if a.oc_pause_until and now >= a.oc_pause_until:
        a.oc_pause_until = 0
    _reference(t, conn)
    over = _over(t, conn)
    if over:
        _react(t, conn, over)
    if a.oc_trips >= TRIPS_MAX:
        text = f"the vehicle took more than offered again after {conn.ac.over_current.retry_s} s without charging"
        conn.causes.append((FaultCode.OVER_CURRENT, text))


def _reference(t: Tick, conn: Conn) -> None:
    a, allowed = conn.a, conn.a.lim_free_ma
    if allowed >= a.oc_ref_ma:
        a.oc_ref_ma, a.oc_ref_until = allowed, 0
    elif not a.oc_ref_until:
        a.oc_ref_until = t.now + FOLLOW
    elif t.now >= a.oc_ref_until:
        a.oc_ref_ma, a.oc_ref_until = allowed, 0


def drawn_ma(conn: Conn) -> int | None:
    """Return the largest phase current of the meter in mA; None = not known."""
    m = conn.m
    if m is None:
        return None
    if m.current_l_ma is not None:
        return max(m.current_l_ma)
    return m.current_ma


def _over(t: Tick, conn: Conn) -> str:
    """Return what was exceeded for how long, "" while nothing was."""
    a, spec, now = conn.a, conn.ac.over_current, t.now
    drawn = drawn_ma(conn) if conn.w.lease else None
    if drawn is None:
        a.oc_low_at = a.oc_high_at = 0
        return ""
    low = max(a.oc_ref_ma * spec.low_permille // 1000, a.oc_ref_ma + spec.tolerance_ma)
    high = max(a.oc_ref_ma * spec.high_permille // 1000, a.oc_ref_ma + spec.tolerance_ma)
    a.oc_low_at = _armed(now, a.oc_low_at, drawn > low)
    a.oc_high_at = _armed(now, a.oc_high_at, drawn > high)
    text = f"{drawn / 1000:.1f} A drawn, {a.oc_ref_ma / 1000:.1f} A offered"
    if a.oc_high_at and now - a.oc_high_at >= s(spec.high_s):
        return f"{text}, above {spec.high_permille / 10:g} % for {spec.high_s} s"
    if a.oc_low_at and now - a.oc_low_at >= s(spec.low_s):
        return f"{text}, above {spec.low_permille / 10:g} % for {spec.low_s} s"
    return ""


def _react(t: Tick, conn: Conn, over: str) -> None:
    """The next stage, else a pause of a minute; the second pause is a fault."""
    a, spec, evse_id = conn.a, conn.ac.over_current, conn.spec.evse_id
    a.oc_low_at = a.oc_high_at = 0
    if spec.staged:
        for permille in STAGES:
            cap = a.oc_ref_ma * permille // 1000
            if cap >= MIN_MA and (a.oc_cap_ma < 0 or cap < a.oc_cap_ma):
                a.oc_cap_ma = cap
                t.event("over_current.derated", evse_id, detail=over, offered_ma=cap)
                return
    a.oc_trips += 1
    a.oc_pause_until = t.now + s(spec.retry_s)
    a.oc_cap_ma = -1
    t.event("over_current.stopped", evse_id, detail=over, retry_s=spec.retry_s if a.oc_trips < TRIPS_MAX else None)


def cap_ma(conn: Conn) -> int:
    """Return the limit because of over-current in mA per phase; -1 = none."""
    return 0 if pause(conn) else conn.a.oc_cap_ma


def pause(conn: Conn) -> str:
    """Return why a vehicle that goes on without PWM must be cut off, "" when nothing is wrong."""
    return "the pause after over-current" if conn.a.oc_pause_until or conn.a.oc_trips >= TRIPS_MAX else ""


def text(conn: Conn) -> str:
    """Return why `cap_ma` is what it is."""
    if conn.a.oc_trips >= TRIPS_MAX:
        return "over-current again; until unplugged"
    return "over-current; charging starts again after a pause" if conn.a.oc_pause_until else "over-current; lowered in steps"


def _armed(now: Instant, since: Instant, condition: bool) -> Instant:
    return (since or now) if condition else 0
