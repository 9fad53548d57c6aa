"""One line of the station's own list of cards and vehicles."""

from __future__ import annotations

import enum

from evse.domain.base import Frozen
from evse.units import WallNs


class Kind(enum.Enum):
    """What an id belongs to."""

    RFID = "RFID"
    EVCC = "EVCC"


class Entry(Frozen, frozen=True, kw_only=True):
    """One line of the list. ``expires_at``: from this wall time on (ns UTC) it is over; None = never.

    ``created_at`` and ``used_at`` are kept by the station: when the line came, and when it last gave permission.
    """

    kind: Kind
    id: str
    name: str = ""
    allow: bool = True
    expires_at: WallNs | None = None
    created_at: WallNs | None = None
    used_at: WallNs | None = None
