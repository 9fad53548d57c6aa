"""Problem and allocation documents (JSON) at the edge: kilowatts as numbers outside, whole watts inside.

Limits, requests and what modules can do are rounded down, the minimum up, so that rounding never breaks a limit.

`parse_problem` collects every mistake before it raises, each with the path of the key, the value and what is expected.
The fields are those of docs/planner.md; a limit of ``null`` means that there is none.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from evse.domain.base import ConfigError
from evse.domain.station import Topology
from evse.planner.ac import solve as solve_ac
from evse.planner.ac_document import DWELL_MAX_S, ac_allocation_document, ac_problem_from
from evse.planner.dc import solve as solve_dc
from evse.planner.problem import (
    MAX_CABINETS,
    MAX_CONNECTORS,
    MAX_GROUPS,
    PPM,
    DcCabinet,
    DcConnector,
    DcGroup,
    DcProblem,
    DcSolution,
)
from evse.planner.reader import Reader, doubles, short

DOCUMENT_BYTES_MAX = 4_000_000
EFFICIENCY_MIN = 0.01
EPSILON = 1e-6  # of a watt; swallows what binary fractions add to a decimal number


def _down(value: float, factor: int = 1000) -> int:
    return math.floor(value * factor + EPSILON)


def _w(kw: float | None) -> int | None:
    return None if kw is None else _down(kw)


def _group(raw: object, path: str, problems: list[str]) -> DcGroup:
    r = Reader(raw, path, problems)
    group = DcGroup(
        id=r.text("id"),
        home=r.optional_text("home"),
        modules=r.count("modules", high=1000),
        module_w=_down(r.number("module_kw")),
        module_ma=_down(r.number("module_a")),
        derate_ppm=_down(r.number("derate", 1.0, high=1.0), PPM),
    )
    r.done()
    return group


def _cabinet(raw: object, path: str, problems: list[str]) -> DcCabinet:
    r = Reader(raw, path, problems)
    name = r.text("topology", "chain")
    try:
        topology = Topology(name)
    except ValueError:
        r.complain("topology", name, "must be chain, ring or matrix")
        topology = Topology.CHAIN
    groups = tuple(_group(g, f"{path}.groups[{i}]", problems) for i, g in enumerate(r.items("groups", MAX_GROUPS)))
    known = {group.id for group in groups}
    prior_raw = r.left.pop("prior", None) or {}
    prior: dict[str, str | None] = {}
    if isinstance(prior_raw, dict):
        for key, value in prior_raw.items():
            if key not in known:
                r.complain(f"prior.{key}", value, "no such group in this cabinet")
            elif value is not None and not isinstance(value, str):
                r.complain(f"prior.{key}", value, "must be the id of a connector or null")
            else:
                prior[key] = value
    else:
        r.complain("prior", prior_raw, "must be an object from group to connector")
    cabinet = DcCabinet(
        id=r.text("id"), topology=topology, groups=groups, limit_w=_w(r.optional("limit_kw")), prior=prior
    )
    r.done()
    return cabinet


def _connector(raw: object, path: str, problems: list[str]) -> DcConnector:
    r = Reader(raw, path, problems)
    connector = DcConnector(
        id=r.text("id"),
        cabinet=r.text("cabinet"),
        request_w=_down(r.number("request_kw")),
        voltage_mv=_down(r.number("voltage", high=10_000)),
        current_ma=_down(r.number("current_a", high=100_000)),
        limit_w=_w(r.optional("limit_kw")),
        charging_s=int(r.number("charging_s", 0, high=1e9)),
    )
    r.done()
    return connector


def _cross_check(problem: DcProblem, problems: list[str]) -> None:
    doubles((c.id for c in problem.cabinets), "cabinet", problems)
    doubles((g.id for c in problem.cabinets for g in c.groups), "group", problems)
    doubles((c.id for c in problem.connectors), "connector", problems)
    cabinets = {cabinet.id for cabinet in problem.cabinets}
    where = {connector.id: connector.cabinet for connector in problem.connectors}
    for i, connector in enumerate(problem.connectors):
        if connector.cabinet not in cabinets:
            known = ", ".join(sorted(cabinets)) or "none"
            problems.append(f"connectors[{i}].cabinet = {connector.cabinet!r}: no such cabinet; known: {known}")
    for i, cabinet in enumerate(problem.cabinets):
        for j, group in enumerate(cabinet.groups):
            if group.home is not None and where.get(group.home) != cabinet.id:
                problems.append(
                    f"cabinets[{i}].groups[{j}].home = {group.home!r}: no such connector in cabinet {cabinet.id!r}"
                )


def problem_from(raw: object) -> DcProblem:
    """Build a problem from a decoded document. Raises `ConfigError` with all mistakes."""
    problems: list[str] = []
    r = Reader(raw, "", problems)
    kind = r.text("kind", "dc")
    if kind != "dc":
        r.complain("kind", kind, 'must be "dc" here')
    cabinets = tuple(_cabinet(c, f"cabinets[{i}]", problems) for i, c in enumerate(r.items("cabinets", MAX_CABINETS)))
    connectors = tuple(
        _connector(c, f"connectors[{i}]", problems) for i, c in enumerate(r.items("connectors", MAX_CONNECTORS))
    )
    efficiency = r.number("efficiency", 1.0, high=1.0)
    if efficiency < EFFICIENCY_MIN and "efficiency" not in r.wrong:
        r.complain("efficiency", efficiency, f"must be between {EFFICIENCY_MIN:g} and 1")
    owner_kw = r.optional("group_power_kw")
    problem = DcProblem(
        name=r.text("name", ""),
        cabinets=cabinets,
        connectors=connectors,
        site_limit_w=_w(r.optional("site_limit_kw")),
        csms_limit_w=_w(r.optional("csms_limit_kw")),
        efficiency_ppm=_down(efficiency, PPM),
        min_w=math.ceil(r.number("min_kw", 0) * 1000 - EPSILON),
        group_power_w=max(1, _down(owner_kw)) if owner_kw else 0,
        max_groups=r.count("max_groups", 0),
        allow_cross=r.flag("allow_cross", True),
        dwell_s=r.count("dwell_s", 300, high=DWELL_MAX_S),
    )
    r.done()
    _cross_check(problem, problems)
    if problems:
        raise ConfigError(problems)
    return problem


def decode(text: str | bytes) -> object:
    """Decode a problem document of either kind. Raises `ConfigError` when it is too long or no JSON."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise ConfigError([f"document of {len(text)} bytes: at most {DOCUMENT_BYTES_MAX}; split the site by cabinets"])
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError([f"not a JSON document: {error}"]) from None


def parse_problem(text: str | bytes) -> DcProblem:
    """Read a DC problem document. Raises `ConfigError` naming every wrong key and value."""
    return problem_from(decode(text))


def solve_document(text: str | bytes) -> dict[str, Any]:
    """Read a problem document of either kind (``"kind": "ac"`` or ``"dc"``, the default) and return its allocation.

    Raises `ConfigError` naming every wrong key and value.
    """
    raw = decode(text)
    kind = raw.get("kind", "dc") if isinstance(raw, dict) else "dc"
    if kind == "ac":
        return dict(ac_allocation_document(solve_ac(ac_problem_from(raw))))
    if kind != "dc":
        raise ConfigError([f'kind = {short(kind)}: must be "ac" or "dc"'])
    return dict(allocation_document(solve_dc(problem_from(raw))))


def allocation_document(solution: DcSolution) -> dict[str, dict[str, float] | dict[str, str | None]]:
    """The allocation as it is printed: ``power_kw`` per connector (watts exact to the third decimal), ``owner`` per
    group."""
    return {"power_kw": {name: w / 1000 for name, w in solution.power_w.items()}, "owner": dict(solution.owner)}


def problem_document(problem: DcProblem) -> dict[str, object]:
    """The inverse of `problem_from`."""

    def kw(w: int | None) -> float | None:
        return None if w is None else w / 1000

    cabinets = [
        {
            "id": cabinet.id,
            "topology": cabinet.topology.value,
            "groups": [
                {
                    "id": g.id,
                    "home": g.home,
                    "modules": g.modules,
                    "module_kw": g.module_w / 1000,
                    "module_a": g.module_ma / 1000,
                    "derate": g.derate_ppm / PPM,
                }
                for g in cabinet.groups
            ],
            "limit_kw": kw(cabinet.limit_w),
            "prior": dict(cabinet.prior),
        }
        for cabinet in problem.cabinets
    ]
    connectors = [
        {
            "id": c.id,
            "cabinet": c.cabinet,
            "request_kw": c.request_w / 1000,
            "voltage": c.voltage_mv / 1000,
            "current_a": c.current_ma / 1000,
            "limit_kw": kw(c.limit_w),
            "charging_s": c.charging_s,
        }
        for c in problem.connectors
    ]
    return {
        "kind": "dc",
        "name": problem.name,
        "site_limit_kw": kw(problem.site_limit_w),
        "csms_limit_kw": kw(problem.csms_limit_w),
        "efficiency": problem.efficiency_ppm / PPM,
        "min_kw": problem.min_w / 1000,
        "group_power_kw": problem.group_power_w / 1000,
        "max_groups": problem.max_groups,
        "allow_cross": problem.allow_cross,
        "dwell_s": problem.dwell_s,
        "cabinets": cabinets,
        "connectors": connectors,
    }
