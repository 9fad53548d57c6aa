"""Faults that only meters can have that sign their readings (calibration law), at AC and DC connectors.

They belong to stations with such a meter, so they stand beside the tables of `evse.sim.faults` and `evse.sim.faults_ac`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evse.domain.base import ConfigError
from evse.domain.faults import FaultCode
from evse.sim.faults import Apply, FaultArgs, FaultDef

if TYPE_CHECKING:
    from evse.sim.station import SimStation


def _signing(fault: str, what: str) -> Apply:
    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        here = station.ac_meters if args.kind == "ac" else station.dc_meters
        chosen = [number for number in sorted(here) if here[number].writes is not None and args.connector in (0, number)]
        if not chosen:
            raise ConfigError([f"connector = {args.connector}: has no meter that signs its readings ([signing] of its profile)"])
        for number in chosen:
            here[number].fault(fault, on=on)
        return f"meter of connector {', '.join(map(str, chosen))}: {what}" + ("" if on else " ended")

    return apply


_ROWS: Final[tuple[tuple[str, str, Apply], ...]] = (
    ("meter_sign_failed", "The meter says that it cannot sign its readings", _signing("sign_failed", "cannot sign")),
    ("meter_sign_stuck", "The signed readings of the meter never come", _signing("sign_stuck", "never ends signing")),
)


def _table(code: FaultCode) -> dict[str, FaultDef]:
    return {
        name: FaultDef(name=name, code=code, scope="connector", description=text, apply=apply, unit="", default=0)
        for name, text, apply in _ROWS
    }


SIGNING_DC: Final = _table(FaultCode.METER_LOST)
SIGNING_AC: Final = _table(FaultCode.METER_INTERNAL)
"""The codes are those of a meter that must sign (``signed = "require"``)."""
