"""Questions that several parts of the shell ask of a view; one home, so that they cannot differ."""

from __future__ import annotations

from evse.domain.view import EvseView


def transaction_runs(evse: EvseView) -> bool:
    """Return True between start and end of a transaction on ``evse``."""
    session = evse.session
    return session is not None and session.started_at is not None and session.ended_at is None
