"""Availability matrix: back end and operator on site, for the station and for each EVSE; both must want service.

A change takes effect at once, except that a running transaction is finished first (OCPP: Scheduled).
"""

from __future__ import annotations

import msgspec

from evse.core.context import Conn, Tick
from evse.core.inputs import SetAvailability
from evse.core.release import forget, refuse
from evse.core.state import AuthState, AvailabilityCell
from evse.domain.session import OperationalStatus

OPERATIVE = OperationalStatus.OPERATIVE
INOPERATIVE = OperationalStatus.INOPERATIVE


def effective(station: AvailabilityCell, evse: AvailabilityCell, tx_open: bool) -> OperationalStatus:
    """Return what counts now: Operative when all four wishes are, or until a running transaction has ended."""
    return OPERATIVE if tx_open or (station.operative and evse.operative) else INOPERATIVE


def apply(t: Tick, conn: Conn) -> None:
    """Set ``conn.operative`` and withdraw a permission that has no service any more."""
    if conn.w.tx_open:  # finished first; an event action pauses it instead
        conn.operative = True
        return
    rows = t.availability
    conn.operative = (
        effective(rows[0], rows[conn.index + 1], tx_open=False) is OPERATIVE
        and conn.a.rule_allowed is not False  # an event action
        and not t.inputs.updating  # firmware is being installed: nobody begins
    )
    if not conn.operative and conn.w.auth is not AuthState.NONE:
        forget(conn)


def allowed(conn: Conn) -> bool:
    """Return the external release of an AC EVSE: what an event action says, else what other programs say."""
    return conn.a.cp_allowed if conn.a.rule_allowed is None else conn.a.rule_allowed


def set_availability(t: Tick, c: SetAvailability) -> None:
    """Write one cell of the matrix. ``origin`` must be backend or local."""
    index = 0
    if c.evse_id:
        index = next((i + 1 for i, e in enumerate(t.spec.evses) if e.evse_id == c.evse_id), -1)
    if index < 0 or c.origin not in ("backend", "local"):
        refuse(t, c.evse_id, "availability", c.seq, f"EVSE {c.evse_id} or origin {c.origin[:20]!r} is not known")
        return
    before = t.availability[index]
    after = msgspec.structs.replace(before, **{c.origin: c.status})
    t.availability[index] = after
    waits = c.status is INOPERATIVE and any(x.w.tx_open for x in t.conns if index in (0, x.index + 1))
    t.event(
        "availability.changed",
        c.evse_id,
        origin=c.origin,
        status=c.status.value,
        scheduled=waits,
        changed=before != after,
    )
