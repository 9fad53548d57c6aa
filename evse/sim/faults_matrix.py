"""Faults of the contacts of a matrix cabinet, with the fault code each must lead to. ``value`` = module group, 0 = all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evse.domain.base import ConfigError
from evse.domain.faults import FaultCode
from evse.sim.faults import Apply, FaultArgs, FaultDef

if TYPE_CHECKING:
    from evse.sim.station import SimStation


def _contact(field: str, what: str) -> Apply:
    """Return an `Apply` that sets or clears contacts in one fault set of a `ContactRow`."""

    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        rows = [row for row in station.world.matrix if args.connector in (0, row.evse_id)]
        groups = station.config.modules.groups if station.config.modules is not None else ()
        if not rows:
            raise ConfigError(["fault: the station has no matrix contacts ([modules] topology = \"matrix\")"])
        bits = sum(1 << i for i, group in enumerate(groups) if args.value in (None, 0, group.id))
        if not bits:
            known = ", ".join(str(group.id) for group in groups)
            raise ConfigError([f"value = {args.value}: no such module group; accepted: 0 (all), {known}"])
        for row in rows:
            now = getattr(row, field)
            setattr(row, field, now | bits if on else now & ~bits)
        names = ", ".join(str(group.id) for i, group in enumerate(groups) if bits >> i & 1)
        where = ", ".join(str(row.evse_id) for row in rows)
        return f"connector {where}: contact of group {names} {what}" + ("" if on else " ended")

    return apply


_ROWS: Final = (
    ("matrix_contact_welded", FaultCode.MATRIX_CONTACT_WELDED, "A contact of the matrix stays closed once it is closed",
     _contact("welded", "welds")),
    ("matrix_contact_stuck_open", FaultCode.MATRIX_CONTACT_NOT_CLOSED, "A contact of the matrix does not close, or falls open",
     _contact("stuck_open", "does not close")),
    ("matrix_contact_unknown", FaultCode.MATRIX_CONTACT_UNKNOWN, "A contact of the matrix has no feedback",
     _contact("blind", "has no feedback")),
    ("matrix_contact_closes", FaultCode.MATRIX_BUS_SHARED, "A contact of the matrix closes against its command",
     _contact("forced", "closes by itself")),
)  # fmt: skip

CATALOGUE_MATRIX: Final[dict[str, FaultDef]] = {
    row[0]: FaultDef(name=row[0], code=row[1], scope="connector", description=row[2], apply=row[3], unit="group", default=0)
    for row in _ROWS
}
