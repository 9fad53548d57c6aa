"""Ventilation on relay 2, and whether state D may be charged.

Source: Charge Control C, 15.19, tables 79 and 80. The five rows: D always accepted; not enabled, internal (relay idle,
D refused); not enabled, external (relay at the disposal of another program, D refused); enabled, internal (we switch the
relay); enabled, external (another program says available and switches). Refused = x1, the plug stays locked; that holds
until the vehicle has left, a new transaction starts or the ventilation becomes available, lest x1 and PWM take turns.
"""

from __future__ import annotations

from evse.core.ac import cp, feedback
from evse.core.context import Conn, Tick
from evse.core.inputs import SetVentilation
from evse.core.release import refuse
from evse.domain.ac import FeedbackType
from evse.domain.faults import FaultCode
from evse.domain.signals import CpState
from evse.units import NS_PER_S, s

CONFIRM_LIMIT = s(3)
"""Relay commanded to feedback; as for the contactor."""

EXTERNAL_LIMIT = s(30)
"""So long another program has for the same."""


def running(conn: Conn) -> bool | None:
    """Return whether the ventilation runs by its feedback; the command itself without one, None = not known."""
    if conn.b is None:
        return None
    seen = feedback.meaning(conn.ab.relay2, conn.ac.ventilation.feedback)
    return conn.a.vent_on if conn.ac.ventilation.feedback is FeedbackType.NONE else seen


def asked(conn: Conn) -> bool:
    """Return True while the vehicle is in state D."""
    return conn.a.cp_raw is CpState.D


def missing(conn: Conn) -> str:
    """Return why state D cannot be served at all, "" when it can."""
    spec = conn.ac.ventilation
    if spec.always_accept_d:
        return ""
    if not spec.enabled or conn.ac.phase_switch.enabled:
        return "a ventilation, which this EVSE does not have"
    if spec.external and not conn.a.vent_available:
        return "the ventilation, which is not announced as available"
    return ""


def refused(conn: Conn) -> str:
    """Return why nothing is offered to the vehicle that has asked for ventilation, "" when it is not refused."""
    return missing(conn) if conn.a.vent_refused else ""


def ready(conn: Conn) -> bool:
    """Return True when a contactor may close in the present state: no D, D always accepted, or the ventilation runs."""
    return not asked(conn) or conn.ac.ventilation.always_accept_d or (not missing(conn) and running(conn) is True)


def observe(t: Tick, conn: Conn) -> None:
    """Remember a refusal; a ventilation that should run and does not is a fault."""
    a, spec = conn.a, conn.ac.ventilation
    if not conn.w.plugged or not conn.w.tx_open:
        a.vent_refused = False
        return
    a.vent_refused = bool(missing(conn)) and (a.vent_refused or a.cp_state is CpState.D)
    if a.cp_state is not CpState.D or ready(conn) or a.vent_refused:
        return
    limit = EXTERNAL_LIMIT if spec.external else CONFIRM_LIMIT
    if t.now - max(a.vent_at, a.cp_seen_at) > limit:
        text = f"state D, ventilation not confirmed within {limit // NS_PER_S} s (relay {'on' if a.vent_on else 'off'})"
        conn.causes.append((FaultCode.VENTILATION_FAILURE, text))


def act(t: Tick, conn: Conn) -> None:
    """Set the relay: for state D within a transaction, or as the other program wishes."""
    a, spec = conn.a, conn.ac.ventilation
    if conn.ac.phase_switch.enabled:
        on = False
    elif spec.external:
        on = a.vent_wish
    else:
        on = spec.enabled and conn.w.tx_open and not conn.w.settle_at and cp.energy(conn) and asked(conn)
    if on is not a.vent_on:
        a.vent_on, a.vent_at = on, t.now


def command(t: Tick, conn: Conn, c: SetVentilation) -> None:
    """Take what another program says; refused unless the ventilation is external."""
    if not conn.ac.ventilation.external:
        refuse(t, c.evse_id, "ventilation", c.seq, "the ventilation is not external (ventilation.external)")
        return
    if conn.ac.phase_switch.enabled:
        refuse(t, c.evse_id, "ventilation", c.seq, "relay 2 is the second contactor")
        return
    a = conn.a
    a.vent_available = a.vent_available if c.available is None else c.available
    a.vent_wish = a.vent_wish if c.on is None else c.on
    t.event("ventilation.external", c.evse_id, available=a.vent_available, on=a.vent_wish)
