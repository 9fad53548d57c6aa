"""Auxiliary contacts."""

from __future__ import annotations

import enum


class ContactorFeedback(enum.Enum):
    """Auxiliary contact of the output contactors."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"

    __hash__ = object.__hash__
