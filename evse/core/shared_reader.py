"""One card reader for several AC EVSEs: which vehicle a card means.

Source: Charge Control C, 15.18.1, one row of `TABLE` per line there. A card without a vehicle is ignored, one waiting vehicle
is taken, of several the last one for 60 s after it was plugged in; then nobody knows any more who stands at the reader.
"Charging" = has a transaction or permission, "waiting" = may still get it. The manual counts two vehicles; with up to four
ports every number above one is "several".
"""

from __future__ import annotations

import enum

from evse.core.context import Conn, Tick
from evse.units import s

LAST_FOR = s(60)
"""So long after it was plugged in the last of several waiting vehicles is the one that a card means."""


class Waiting(enum.Enum):
    """How many vehicles wait for permission."""

    NONE = "none"
    ONE = "one"
    SEVERAL = "several"  # the last one came up to 60 s ago
    TOO_LONG = "too_long"  # several, the last one came longer ago or together with another one


NO_VEHICLE = "no vehicle is plugged in at this reader; plug in first"
ALL_CHARGE = "every vehicle at this reader has permission already"
AMBIGUOUS = (
    f"several vehicles have been waiting for more than {LAST_FOR // s(1)} s and nobody knows which one is meant; "
    "plug the vehicle in again, then show the card"
)

TABLE: dict[tuple[Waiting, bool], str] = {
    (Waiting.NONE, False): NO_VEHICLE,
    (Waiting.NONE, True): ALL_CHARGE,
    (Waiting.ONE, False): "",
    (Waiting.ONE, True): "",
    (Waiting.SEVERAL, False): "",
    (Waiting.SEVERAL, True): "",
    (Waiting.TOO_LONG, False): AMBIGUOUS,
    (Waiting.TOO_LONG, True): AMBIGUOUS,
}
"""Vehicles that wait, and whether one charges -> why a card is ignored; "" = the last one that came gets it."""


def count(t: Tick, waiting: list[Conn]) -> Waiting:
    """Return the row for these EVSEs with waiting vehicles."""
    if len(waiting) < 2:
        return Waiting.ONE if waiting else Waiting.NONE
    came = sorted((x.w.plugged_since for x in waiting), reverse=True)
    return Waiting.SEVERAL if came[0] > came[1] and t.now - came[0] <= LAST_FOR else Waiting.TOO_LONG


def choose(t: Tick, waiting: list[Conn], *, charging: bool) -> tuple[Conn | None, str]:
    """Return the EVSE that a card means, or None and why it is ignored."""
    why = TABLE[count(t, waiting), charging]
    return (None, why) if why else (max(waiting, key=lambda x: x.w.plugged_since), "")
