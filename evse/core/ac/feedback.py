"""What the auxiliary contacts of an AC EVSE say. The board reports them as they are wired; the configuration knows the type."""

from __future__ import annotations

from evse.core.context import Conn, Tick
from evse.domain.ac import FeedbackType
from evse.domain.contactor import ContactorFeedback
from evse.units import s

OPEN_LIMIT = s(1)
"""Commanded open to feedback open; the board opens within 100 ms (200 ms with two contactors), the rest is reporting."""


def meaning(contact: ContactorFeedback, kind: FeedbackType) -> bool | None:
    """Return whether a contactor is closed by its auxiliary contact; None = not known, or it has none."""
    if kind is FeedbackType.NONE or contact is ContactorFeedback.UNKNOWN:
        return None
    return (contact is ContactorFeedback.CLOSED) is (kind is FeedbackType.NO)


def closed(conn: Conn) -> bool | None:
    """Return whether the main contactor is closed; None = not known."""
    return None if conn.b is None else meaning(conn.b.contactor, conn.ac.contactor_feedback)


def second_closed(conn: Conn) -> bool | None:
    """Return whether the second contactor is closed; False when there is none, None = not known."""
    if not conn.ac.phase_switch.enabled:
        return False
    return None if conn.b is None else meaning(conn.ab.relay2, conn.ac.phase_switch.feedback)


def is_open(t: Tick, conn: Conn) -> bool:
    """Return True when both contactors are commanded and, as far as there is a feedback, confirmed open."""
    w = conn.w
    if w.lease or conn.b is None:
        return False
    main, second = closed(conn), second_closed(conn)
    unknown = main is None or second is None
    return not main and not second and (not unknown or t.now - w.lease_since >= OPEN_LIMIT)
