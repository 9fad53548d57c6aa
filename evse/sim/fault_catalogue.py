"""All faults of the simulator: which row a name means at a connector, and the list for people and programs.

A name may have a DC row, an AC row or both; rows of lines and of the station belong to every station.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evse.domain.base import ConfigError
from evse.sim.faults import CATALOGUE, FaultArgs, FaultDef
from evse.sim.faults_ac import CATALOGUE_AC
from evse.sim.faults_matrix import CATALOGUE_MATRIX
from evse.sim.faults_signing import SIGNING_AC, SIGNING_DC
from evse.sim.faults_site import CATALOGUE_SITE

if TYPE_CHECKING:
    from evse.sim.station import SimStation

TABLES: Final = {"dc": {**CATALOGUE, **CATALOGUE_MATRIX, **SIGNING_DC}, "ac": {**CATALOGUE_AC, **SIGNING_AC}}
SITE_SCOPES: Final = ("station", "line")


def kinds_of(name: str) -> tuple[str, ...]:
    """Return the kinds of connectors at which the fault can happen: "dc", "ac"; both for lines and the station."""
    row = CATALOGUE.get(name)
    if name in CATALOGUE_SITE or (row is not None and row.scope in SITE_SCOPES):
        return ("dc", "ac")
    return tuple(kind for kind, table in TABLES.items() if name in table)


def names(kind: str) -> list[str]:
    """Return the faults that can happen at connectors of ``kind``, those of lines and station included."""
    return [name for name in all_names() if kind in kinds_of(name)]


def all_names() -> list[str]:
    """Return every name once: DC, lines and station, then AC."""
    return list(dict.fromkeys([*CATALOGUE, *CATALOGUE_MATRIX, *CATALOGUE_SITE, *CATALOGUE_AC, *SIGNING_AC]))


def apply_fault(station: SimStation, name: str, args: FaultArgs, on: bool) -> tuple[FaultDef, str]:
    """Raise or clear a fault; return a row of it and what happened. `ConfigError` names what is accepted."""
    rows = _rows_for(station, name, args.connector)
    texts: list[str] = []
    problems: list[str] = []
    for kind, row in rows:
        try:
            texts.append(row.apply(station, msgspec.structs.replace(args, kind=kind), on))
        except ConfigError as error:
            problems += error.problems
    if not texts:
        raise ConfigError(problems)
    return rows[0][1], "; ".join(texts)


def _rows_for(station: SimStation, name: str, connector: int) -> list[tuple[str, FaultDef]]:
    kinds = kinds_of(name)
    if not kinds:
        near = difflib.get_close_matches(name, all_names(), 1)
        hint = f", did you mean {near[0]}" if near else ""
        shown = name if name.isprintable() and len(name) <= 60 else ascii(name[:60])
        raise ConfigError([f"fault = '{shown}': no such fault{hint}; accepted: {', '.join(all_names())}"])
    if name in CATALOGUE_SITE:
        return [("dc", CATALOGUE_SITE[name])]
    if name in CATALOGUE and CATALOGUE[name].scope in SITE_SCOPES:
        return [("dc", CATALOGUE[name])]
    if connector == 0:
        here = [kind for kind, there in (("dc", station.world.connectors), ("ac", station.world.ac)) if there]
        found = [(kind, TABLES[kind][name]) for kind in kinds if kind in here]
        if not found:
            raise ConfigError([f"fault = '{name}': the station has no {' or '.join(kinds).upper()} connector"])
        return found
    if connector not in station.world.numbers():
        known = ", ".join(map(str, station.world.numbers()))
        raise ConfigError([f"connector = {connector}: no such connector; accepted: 0 (all), {known}"])
    kind = "ac" if connector in station.world.ac_by_id else "dc"
    if kind not in kinds:
        raise ConfigError(
            [f"fault = '{name}': connector {connector} is {kind.upper()}; accepted there: {', '.join(names(kind))}"]
        )
    return [(kind, TABLES[kind][name])]


def rows() -> list[dict[str, Any]]:
    """Return the catalogue: name, code of the first kind, codes of all, fault name, kinds, scope, description, unit and default."""
    out = []
    for name in all_names():
        found = [table[name] for table in (TABLES["dc"], CATALOGUE_SITE, TABLES["ac"]) if name in table]
        fault = found[0]
        out.append(
            {
                "name": fault.name,
                "code": fault.code.value if fault.code else None,
                "codes": list(dict.fromkeys(row.code.value for row in found if row.code)),
                "fault": fault.code.name if fault.code else None,
                "kinds": list(kinds_of(name)),
                "scope": fault.scope,
                "description": fault.description,
                "value_unit": fault.unit or None,
                "value_default": fault.default if fault.unit else None,
            }
        )
    return out
