"""Contactors of an AC EVSE: when they may close, what their auxiliary contacts say, welded and not closing.

Sources: Charge Control C, 3.4 (6 s between opening and closing), 3.3.4.1 (feedback that contradicts the command) and 15.20
(second contactor closes first and opens last); docs/board-link.md, "AC boards" (the board keeps that order itself and
closes relay 2 under the lease only). The board reports auxiliary contacts as they are wired; the type of the
configuration tells what they mean. Both contactors are commanded together and compared with their feedback one by one.
"""

from __future__ import annotations

from evse.core.ac import cp, phases
from evse.core.ac.feedback import OPEN_LIMIT, second_closed
from evse.core.ac.feedback import closed as closed
from evse.core.context import Conn, Tick
from evse.domain.ac import FeedbackType
from evse.domain.faults import FaultCode
from evse.units import NS_PER_MS, s

CLOSE_LIMIT = s(3)
"""Commanded to feedback closed (reference plc-serial.md, section 2: at most 3 s)."""

RECLOSE = s(6)
"""Least time between opening and closing (Charge Control C, table 14)."""

LOSSES_MAX = 3
"""So often the board may open by itself within one transaction before it is a fault."""


def may_close(t: Tick, conn: Conn) -> bool:
    """Return True when nothing in the contactors forbids closing now: 6 s, weld, feedback, phases."""
    w = conn.w
    return not w.lease and t.now - w.lease_since >= RECLOSE and not welded(conn) and not phases.switching(conn)


def welded(conn: Conn) -> bool:
    """Return True when a contactor is closed although we do not command it."""
    return not conn.w.lease and (closed(conn) is True or second_closed(conn) is True)


def observe(t: Tick, conn: Conn) -> None:
    """Compare feedback and command of the last tick; find out that the board has opened under our lease."""
    a, w, b = conn.a, conn.w, conn.b
    a.k_lost = False
    if b is None:
        return
    up = b.lease_active and closed(conn) is not False
    if not w.lease:
        a.k_up = False
    elif up:
        a.k_up = True
    elif a.k_up and cp.energy(conn):  # towards a vehicle that has left C/D it has to open before we do
        a.k_lost, a.k_losses = True, a.k_losses + 1
        t.event("contactor.opened_by_board", conn.spec.evse_id, losses=a.k_losses, cp=b.cp.value)
    if not w.tx_open:
        a.k_losses = 0
    silent = w.tx_open and closed(conn) is None and conn.ac.contactor_feedback is not FeedbackType.NONE
    a.k_blind_at = (a.k_blind_at or t.now) if silent else 0
    _causes(t, conn)


def _causes(t: Tick, conn: Conn) -> None:
    a, w, now = conn.a, conn.w, t.now
    since = now - w.lease_since
    main, second = closed(conn), second_closed(conn)
    if (main or second) and not w.lease and since > OPEN_LIMIT:
        names = [name for name, up in (("main", main), ("second", second)) if up]
        text = f"{' and '.join(names)} contactor closed {OPEN_LIMIT // NS_PER_MS} ms after the command to open"
        conn.causes.append((FaultCode.CONTACTOR_WELDED, text))
    elif w.lease and not a.k_up and since > CLOSE_LIMIT and cp.energy(conn) and not main and not _blind(conn):
        text = f"main contactor not closed {CLOSE_LIMIT // NS_PER_MS} ms after the command to close"
        conn.causes.append((FaultCode.CONTACTOR_NOT_CLOSED, text))
    elif a.k_blind_at and now - a.k_blind_at > CLOSE_LIMIT:
        text = f"feedback of the main contactor unknown for {CLOSE_LIMIT // NS_PER_MS} ms"
        conn.causes.append((FaultCode.CONTACTOR_NOT_CLOSED, text))
    elif a.k_losses >= LOSSES_MAX:
        text = f"the board has opened {a.k_losses} times by itself in this transaction"
        conn.causes.append((FaultCode.CONTACTOR_NOT_CLOSED, text))
    driven = w.lease and cp.energy(conn) and conn.b is not None and conn.b.lease_active
    if driven and second is not None and since > CLOSE_LIMIT and second is not a.k_second:
        text = f"second contactor {'closed' if second else 'open'}, commanded {'closed' if a.k_second else 'open'}"
        conn.causes.append((FaultCode.PHASE_SWITCH_FAILURE, text))


def _blind(conn: Conn) -> bool:
    """No auxiliary contact: only the board's own word, which `lease_active` is."""
    return conn.ac.contactor_feedback is FeedbackType.NONE and conn.b is not None and conn.b.lease_active


def act(t: Tick, conn: Conn, wanted: bool) -> None:
    """Set the levels: `w.lease` for the main contactor, `k_second` for the second one."""
    a, w = conn.a, conn.w
    second = wanted and conn.ac.phase_switch.enabled and phases.usable(conn) == 3
    if wanted is not w.lease:
        w.lease, w.lease_since = wanted, t.now
    if second is not a.k_second:
        a.k_second, a.k_second_at = second, t.now
