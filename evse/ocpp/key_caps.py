"""GlobalMaxCurrent and MaxCurrent (CHARX server variables): currents per phase that hold beside all charging profiles.

As with profiles in A, one ampere stands for 3 * 230 W, also at a station that gives direct current.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from evse.domain.ac import AcSpec
from evse.ocpp.composite_ac import LINES_W
from evse.ocpp.keys import Keys

OF_STATION, OF_VEHICLE = "GlobalMaxCurrent", "MaxCurrent"


class KeyCap(msgspec.Struct, frozen=True):
    """A cap of a key on an EVSE, 0 = the station."""

    evse_id: int
    current_a: int
    key: str

    @property
    def power_w(self) -> int:
        """The cap in W."""
        return self.current_a * LINES_W


def caps(keys: Keys, evse_id: int) -> list[KeyCap]:
    """Return the cap that a key sets on an EVSE or on the station; none while it is 0."""
    key = OF_VEHICLE if evse_id else OF_STATION
    current_a = keys.number(key)
    return [KeyCap(evse_id, current_a, key)] if current_a else []


def ratings(rated: Mapping[int, int], keys: Keys) -> dict[int, int]:
    """Return ``rated`` (W by EVSE, 0 = station) with what the keys leave of it: no vehicle gets more than the station."""
    total = [cap.power_w for cap in caps(keys, 0)]
    return {
        evse_id: min([power_w, *total, *(cap.power_w for cap in caps(keys, evse_id))]) for evse_id, power_w in rated.items()
    }


def wired(ac: AcSpec | None, keys: Keys) -> AcSpec | None:
    """Return an AC EVSE with what the keys leave of the current of its wiring."""
    if ac is None:
        return None
    currents = [1000 * keys.number(key) for key in (OF_VEHICLE, OF_STATION) if keys.number(key)]
    return replace(ac, evse_ma=min([ac.evse_ma, *currents]))
