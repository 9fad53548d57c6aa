"""Problem and allocation documents (JSON) at the edge: kilowatts as numbers outside, whole watts inside.

`parse_problem` collects every mistake before it raises, each with the path of the key, the value and what is expected.
The fields are those of docs/planner.md; a limit of ``null`` means that there is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from evse.domain.base import ConfigError
from evse.domain.station import Topology
from evse.planner.problem import (
    MAX_CONNECTORS,
    MAX_GROUPS,
    PPM,
    DcCabinet,
    DcConnector,
    DcGroup,
    DcProblem,
    DcSolution,
)

DOCUMENT_BYTES_MAX = 4_000_000
VALUE_MAX = 1e6
"""Largest number that a document may hold (a GW in kW): everything above is a mistake."""

_MISSING = object()


class _Reader:
    """One JSON object under a path; takes fields and notes what is wrong with them."""

    def __init__(self, raw: object, path: str, problems: list[str]) -> None:
        self.path, self.problems = path, problems
        self.left: dict[str, object] = {}
        if isinstance(raw, dict):
            self.left = {str(key): value for key, value in raw.items()}
        else:
            problems.append(f"{path or 'document'}: {_short(raw)} is not an object; write {{...}}")

    def complain(self, key: str, value: object, expected: str) -> None:
        where = f"{self.path}.{key}" if self.path else key
        self.problems.append(f"{where} = {_short(value)}: {expected}")

    def _take(self, key: str, default: object) -> object:
        value = self.left.pop(key, default)
        if value is _MISSING:
            where = f"{self.path}.{key}" if self.path else key
            self.problems.append(f"{where} is missing; add it")
        return value

    def number(self, key: str, default: object = _MISSING, high: float = VALUE_MAX) -> float:
        """A finite number in 0..high."""
        value = self._take(key, default)
        if value is _MISSING:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.complain(key, value, "must be a number")
            return 0.0
        if not math.isfinite(value) or value < 0 or value > high:
            self.complain(key, value, f"must be between 0 and {high:g}")
            return 0.0
        return float(value)

    def optional(self, key: str) -> float | None:
        """A number or null; absent = null."""
        if self.left.get(key) is None:
            self.left.pop(key, None)
            return None
        return self.number(key)

    def count(self, key: str, default: object = _MISSING, high: int = 10_000) -> int:
        value = self._take(key, default)
        if value is _MISSING:
            return 0
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= high:
            self.complain(key, value, f"must be a whole number between 0 and {high}")
            return 0
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key, default)
        if not isinstance(value, bool):
            self.complain(key, value, "must be true or false")
            return default
        return value

    def text(self, key: str, default: object = _MISSING) -> str:
        value = self._take(key, default)
        if value is _MISSING:
            return ""
        if not isinstance(value, str) or len(value) > 64:
            self.complain(key, value, "must be a text of at most 64 characters")
            return ""
        return value

    def optional_text(self, key: str) -> str | None:
        if self.left.get(key) is None:
            self.left.pop(key, None)
            return None
        return self.text(key)

    def items(self, key: str, most: int) -> list[object]:
        value = self._take(key, _MISSING)
        if value is _MISSING:
            return []
        if not isinstance(value, list) or len(value) > most:
            self.complain(key, value, f"must be a list of at most {most}")
            return []
        return value

    def done(self) -> None:
        """Refuse what nobody asked for: an unknown key is a typing error."""
        for key, value in self.left.items():
            self.complain(key, value, "unknown key; remove it or correct its name")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _w(kw: float | None) -> int | None:
    return None if kw is None else round(kw * 1000)


def _group(raw: object, path: str, problems: list[str]) -> DcGroup:
    r = _Reader(raw, path, problems)
    group = DcGroup(
        id=r.text("id"),
        home=r.optional_text("home"),
        modules=r.count("modules", high=1000),
        module_w=round(r.number("module_kw") * 1000),
        module_ma=round(r.number("module_a") * 1000),
        derate_ppm=round(r.number("derate", 1.0, high=1.0) * PPM),
    )
    r.done()
    return group


def _cabinet(raw: object, path: str, problems: list[str]) -> DcCabinet:
    r = _Reader(raw, path, problems)
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
    r = _Reader(raw, path, problems)
    connector = DcConnector(
        id=r.text("id"),
        cabinet=r.text("cabinet"),
        request_w=round(r.number("request_kw") * 1000),
        voltage_mv=round(r.number("voltage", high=10_000) * 1000),
        current_ma=round(r.number("current_a", high=100_000) * 1000),
        limit_w=_w(r.optional("limit_kw")),
        charging_s=int(r.number("charging_s", 0, high=1e9)),
    )
    r.done()
    return connector


def _doubles(ids: Iterable[str], what: str, problems: list[str]) -> None:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            problems.append(f"{what} id {name!r} is used twice; ids must be unique")
        seen.add(name)


def _cross_check(problem: DcProblem, problems: list[str]) -> None:
    _doubles((c.id for c in problem.cabinets), "cabinet", problems)
    _doubles((g.id for c in problem.cabinets for g in c.groups), "group", problems)
    _doubles((c.id for c in problem.connectors), "connector", problems)
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
    r = _Reader(raw, "", problems)
    kind = r.text("kind", "dc")
    if kind != "dc":
        r.complain("kind", kind, 'this planner solves kind "dc"')
    cabinets = tuple(_cabinet(c, f"cabinets[{i}]", problems) for i, c in enumerate(r.items("cabinets", 64)))
    connectors = tuple(
        _connector(c, f"connectors[{i}]", problems) for i, c in enumerate(r.items("connectors", MAX_CONNECTORS))
    )
    efficiency = r.number("efficiency", 1.0, high=1.0)
    if efficiency <= 0:
        r.complain("efficiency", efficiency, "must be above 0 and at most 1")
    problem = DcProblem(
        name=r.text("name", ""),
        cabinets=cabinets,
        connectors=connectors,
        site_limit_w=_w(r.optional("site_limit_kw")),
        csms_limit_w=_w(r.optional("csms_limit_kw")),
        efficiency_ppm=round(efficiency * PPM),
        min_w=round(r.number("min_kw", 0) * 1000),
        group_power_w=round((r.optional("group_power_kw") or 0) * 1000),
        max_groups=r.count("max_groups", 0),
        allow_cross=r.flag("allow_cross", True),
    )
    r.done()
    _cross_check(problem, problems)
    if problems:
        raise ConfigError(problems)
    return problem


def parse_problem(text: str | bytes) -> DcProblem:
    """Read a problem document. Raises `ConfigError` naming every wrong key and value."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise ConfigError([f"document of {len(text)} bytes: at most {DOCUMENT_BYTES_MAX}; split the site by cabinets"])
    try:
        raw: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError([f"not a JSON document: {error}"]) from None
    return problem_from(raw)


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
        "cabinets": cabinets,
        "connectors": connectors,
    }
