"""Proximity contact: which cable is in the socket, and what it may carry.

IEC 61851-1 Annex B codes the cable with a resistor: 1500 / 680 / 220 / 100 ohm = 13 / 20 / 32 / 63 A (reference
plc-serial.md, section 3; 70 A on one phase is not used, 63 A holds for both). A reading counts after `DEBOUNCE`; the worse
of two codings counts at once. While a vehicle is connected the smallest cable that was seen stays in force.

Impact of the three errors: Charge Control C user guide, 3.3.4.34 to 3.3.4.36. No cable or an invalid one: no PWM, no
energy, the lock stays where it is; a plug that is refused as too weak counts as invalid. A changed cable: charging goes on
with the smaller current until the vehicle leaves.
"""

from __future__ import annotations

from evse.core.context import Conn, Tick
from evse.core.state import Stage
from evse.domain.ac import PpState
from evse.domain.faults import FaultCode
from evse.domain.signals import CpState
from evse.units import NS_PER_S, DurationNs, ms, s

CABLE_MA = {PpState.A13: 13_000, PpState.A20: 20_000, PpState.A32: 32_000, PpState.A63: 63_000}

DEBOUNCE = ms(200)
"""A plug that is being pushed in touches several codings on its way."""

VEHICLE = (CpState.B, CpState.C, CpState.D)
"""Readings of the pilot that prove a vehicle. In E and F, and unread, an open contact is the plug that goes (`cp.left`)."""

MATING = s(2)
"""The contact may close so long after the pilot before its absence is an error of a plug that has just come."""


def observe(t: Tick, conn: Conn) -> None:
    """Debounce the contact, follow the smallest cable, and report what is wrong with it. Nothing on a fixed cable."""
    if not conn.ac.socket:
        return
    _debounce(t, conn)
    a, w = conn.a, conn.w
    if not w.plugged:
        a.pp_low_ma, a.pp_changed = -1, ""
    else:
        now_ma = CABLE_MA.get(a.pp_state, -1)
        fresh = a.pp_low_ma < 0 or (_plugged_for(t, conn) < MATING and not w.lease)
        if now_ma > 0 and fresh:
            a.pp_low_ma, a.pp_changed = now_ma, ""
        elif now_ma > 0 and now_ma != a.pp_low_ma and not a.pp_changed:
            a.pp_changed = f"{a.pp_low_ma // 1000} A before, {now_ma // 1000} A now"
        if now_ma > 0:
            a.pp_low_ma = min(a.pp_low_ma, now_ma)
    _causes(t, conn)


def _debounce(t: Tick, conn: Conn) -> None:
    a = conn.a
    if conn.b is None:
        return  # the board is lost: nothing is known, nothing is forgotten
    pp = conn.ab.pp
    if pp is not a.pp_seen:
        a.pp_seen, a.pp_seen_at = pp, t.now
    if pp is a.pp_state:
        return
    if pp is PpState.NONE and not conn.w.plugged:
        a.pp_state = pp  # nobody is there: the next cable is another one, however soon it comes
        return
    worse = CABLE_MA.get(pp, 0) < CABLE_MA.get(a.pp_state, 0) and t.now - t.state.last_tick >= DEBOUNCE
    if worse or t.now - a.pp_seen_at >= DEBOUNCE:
        a.pp_state = pp


def _causes(t: Tick, conn: Conn) -> None:
    a, w = conn.a, conn.w
    if not w.plugged or conn.b is None:
        if a.pp_state is PpState.INVALID and conn.b is not None:
            conn.causes.append((FaultCode.PROXIMITY_INVALID, "proximity between the codings, no vehicle connected"))
        return
    settled = a.pp_low_ma > 0 or _plugged_for(t, conn) >= MATING
    if settled and a.pp_state is PpState.NONE and conn.b.cp in VEHICLE:
        conn.causes.append((FaultCode.PROXIMITY_NO_CABLE, "a vehicle is connected, the proximity contact is open"))
    elif settled and a.pp_state is PpState.INVALID:
        conn.causes.append((FaultCode.PROXIMITY_INVALID, "proximity between the codings of 13, 20, 32 and 63 A"))
    elif settled and rejected(conn):
        conn.causes.append((FaultCode.PROXIMITY_INVALID, rejected(conn)))
    elif settled and a.pp_state is PpState.UNKNOWN:
        text = f"the board has not read the proximity contact for {_plugged_for(t, conn) // NS_PER_S} s"
        conn.causes.append((FaultCode.PROXIMITY_INVALID, text))
    if a.pp_changed:
        conn.causes.append((FaultCode.PROXIMITY_CHANGED, f"cable {a.pp_changed}; {a.pp_low_ma // 1000} A until unplugged"))


def _plugged_for(t: Tick, conn: Conn) -> DurationNs:
    """Return how long the vehicle has been connected; 0 before its session has begun (that of another may still end)."""
    w = conn.w
    return 0 if w.stage is Stage.EMPTY or w.unplugged_at is not None else t.now - w.plugged_since


def rejected(conn: Conn) -> str:
    """Return why the plug is refused as too weak for this station, "" when it is not."""
    if not conn.ac.socket:
        return ""
    if conn.a.pp_state is PpState.A13 and (conn.ac.reject_13 or conn.ac.reject_20):
        return "a 13 A cable is not accepted here"
    if conn.a.pp_state is PpState.A20 and conn.ac.reject_20:
        return "a 20 A cable is not accepted here"
    return ""


def plug_in(conn: Conn) -> bool | None:
    """Return whether a plug is in the socket; None when nobody knows. A fixed cable has no plug on this side."""
    if not conn.ac.socket:
        return False
    if conn.b is None or conn.a.pp_state is PpState.UNKNOWN:
        return None
    return conn.a.pp_state is not PpState.NONE


def cable_ma(conn: Conn) -> int | None:
    """Return what the cable may carry, in mA per phase; None = no valid cable, no charging."""
    if not conn.ac.socket:
        return conn.ac.cable_ma
    if conn.b is None or rejected(conn):
        return None
    rating = CABLE_MA.get(conn.a.pp_state)
    if rating is None:
        return None
    lowest = min(rating, conn.a.pp_low_ma) if conn.a.pp_low_ma > 0 else rating
    seen = CABLE_MA.get(conn.a.pp_seen)  # a smaller coding counts before it is certain
    return min(lowest, seen) if seen is not None else lowest
