"""What a scenario needs of the station that it is played on, as its file says under ``needs``."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from evse.config.model import StationConfig


class Needs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``connectors`` = kinds of the connectors 1, 2, ... (a station may have more). ``station`` = the only station of the demo
    that has the devices which the scenario plays with, "" = it is not particular.
    """

    connectors: tuple[Literal["dc", "ac"], ...] = ()
    site_meter: bool = False
    station: str = ""

    def text(self) -> str:
        """Return it in words."""
        parts = [f"connector {number} {kind.upper()}" for number, kind in enumerate(self.connectors, 1)]
        parts += ["a site meter"] if self.site_meter else []
        return ", ".join(parts) or "nothing"


def parse_needs(obj: Any, problems: list[str]) -> Needs:
    """Return the needs in a scenario file; what is wrong is added to ``problems``."""
    try:
        return msgspec.convert(obj, Needs)
    except msgspec.ValidationError as error:
        problems.append(f"needs: {error}; accepted: connectors (a list of dc and ac), site_meter (true or false), station (a name)")
        return Needs()


def unmet(needs: Needs, config: StationConfig) -> str:
    """Return what a station lacks, "" = nothing. ``needs.station`` is a name that the configuration does not have."""
    kinds = {row.id: row.kind for row in config.evse}
    found = []
    for number, kind in enumerate(needs.connectors, 1):
        if number not in kinds:
            found.append(f"there is no connector {number}")
        elif kinds[number] != kind:
            found.append(f"connector {number} is {kinds[number].upper()}")
    if needs.site_meter and config.site.meter is None:
        found.append("there is no site meter")
    return ", ".join(found)
