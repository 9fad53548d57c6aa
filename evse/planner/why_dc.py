"""Why each DC connector of a problem gets its power: its own caps, module groups, cabinet and site, and what would give
1 kW more."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from evse.domain.base import Frozen
from evse.planner.dc import solve
from evse.planner.problem import DcCabinet, DcConnector, DcProblem, DcSolution, ceiling_w, group_power_w
from evse.planner.why import Cap, Change, Why, listed, ordered, ways

MORE_W = 1_000
"""What "more" means: one kilowatt, or the minimum for one that waits."""

FINE_W = 100
replace = msgspec.structs.replace


class _Lever(Frozen, frozen=True, kw_only=True):
    """A cap that could be raised: what it is called, and the problem with it raised by an amount in W."""

    name: str
    value_w: int
    raised: Callable[[DcProblem, int], DcProblem]


def _kw(w: float) -> str:
    return f"{w / 1000:.1f} kW"


def _with_connector(problem: DcProblem, name: str, change: Callable[[DcConnector], DcConnector]) -> DcProblem:
    return replace(problem, connectors=tuple(change(c) if c.id == name else c for c in problem.connectors))


def _with_cabinet(problem: DcProblem, name: str, change: Callable[[DcCabinet], DcCabinet]) -> DcProblem:
    return replace(problem, cabinets=tuple(change(c) if c.id == name else c for c in problem.cabinets))


def _own_levers(problem: DcProblem, connector: DcConnector) -> list[_Lever]:
    """Caps of the connector itself, without the request of its vehicle."""
    levers = []
    volts = max(1, connector.voltage_mv)
    most = connector.voltage_mv * connector.current_ma // 1_000_000

    def more_current(p: DcProblem, w: int) -> DcProblem:
        ma = -(-w * 1_000_000 // volts)
        return _with_connector(p, connector.id, lambda c: replace(c, current_ma=c.current_ma + ma))

    levers.append(_Lever(name=f"current of the connector ({connector.current_ma / 1000:.0f} A)", value_w=most, raised=more_current))
    if connector.limit_w is not None:
        limit = connector.limit_w
        levers.append(
            _Lever(
                name="limit of the connector", value_w=limit,
                raised=lambda p, w: _with_connector(p, connector.id, lambda c: replace(c, limit_w=limit + w)),
            )
        )
    if problem.group_power_w:
        levers.append(
            _Lever(
                name="cap per owner (group_power_kw)", value_w=problem.group_power_w,
                raised=lambda p, w: replace(p, group_power_w=problem.group_power_w + w),
            )
        )
    return levers


def _shared_levers(problem: DcProblem, connector: DcConnector) -> list[_Lever]:
    """Caps that several connectors share, AC side."""
    levers = []
    cabinet = next(c for c in problem.cabinets if c.id == connector.cabinet)
    if cabinet.limit_w is not None:
        limit = cabinet.limit_w
        levers.append(
            _Lever(
                name=f"limit of cabinet {cabinet.id}", value_w=limit,
                raised=lambda p, w: _with_cabinet(p, cabinet.id, lambda c: replace(c, limit_w=limit + w)),
            )
        )
    if problem.site_limit_w is not None:
        site = problem.site_limit_w
        levers.append(_Lever(name="site limit", value_w=site, raised=lambda p, w: replace(p, site_limit_w=site + w)))
    if problem.csms_limit_w is not None:
        csms = problem.csms_limit_w
        levers.append(_Lever(name="CSMS limit", value_w=csms, raised=lambda p, w: replace(p, csms_limit_w=csms + w)))
    return levers


def _group_changes(
    problem: DcProblem, connector: DcConnector, goal: int, more_groups: bool
) -> list[Change]:
    """More from module groups: modules in the own group, borrowing, more groups per owner."""
    cabinet = next(c for c in problem.cabinets if c.id == connector.cabinet)
    home = next((g for g in cabinet.groups if g.home == connector.id), None)
    changes: list[Change] = []

    def gains(changed: DcProblem) -> bool:
        return solve(changed).power_w[connector.id] >= goal

    if home is not None:

        def larger(modules: int) -> DcProblem:
            groups = tuple(replace(g, modules=g.modules + modules) if g.id == home.id else g for g in cabinet.groups)
            return _with_cabinet(problem, cabinet.id, lambda c: replace(c, groups=groups))

        def words(modules: int) -> str:
            plural = "s" if modules > 1 else ""
            return f"{modules} module{plural} more in group {home.id} (to {home.modules + modules})"

        changes.append(Change(gains=lambda n: gains(larger(n)), words=words, first=1, fine=1))
    if more_groups and not problem.allow_cross:
        crossed = replace(problem, allow_cross=True)
        changes.append(Change(gains=lambda n: n == 1 and gains(crossed), words=lambda n: "borrowing allowed (allow_cross)", first=1, fine=1))
    if more_groups and problem.max_groups:
        changes.append(
            Change(
                gains=lambda n: gains(replace(problem, max_groups=problem.max_groups + n)),
                words=lambda n: f"max_groups {problem.max_groups + n}", first=1, fine=1,
            )
        )
    return changes


def _more(problem: DcProblem, connector: DcConnector, gets_w: int, binding: list[_Lever], groups: bool) -> tuple[str, ...]:
    """What would give one kilowatt more, or the minimum to one that waits."""
    goal = gets_w + MORE_W if gets_w else max(1, problem.min_w)
    if connector.request_w < goal:
        return (f"request of the vehicle +{_kw(goal - connector.request_w)} (to {_kw(goal)}), before any limit of the site",)

    def change(chosen: list[_Lever]) -> Change:
        def gains(by_w: int) -> bool:
            changed = problem
            for lever in chosen:
                changed = lever.raised(changed, by_w)
            return solve(changed).power_w[connector.id] >= goal

        def words(by_w: int) -> str:
            return " together with ".join(f"{x.name} +{_kw(by_w)} (to {_kw(x.value_w + by_w)})" for x in chosen)

        return Change(gains=gains, words=words, first=MORE_W, fine=FINE_W)

    alone = [change([lever]) for lever in binding]
    alone += _group_changes(problem, connector, goal, True) if groups else []
    every = [*_own_levers(problem, connector), *_shared_levers(problem, connector)]
    return ways(alone, change(binding), change(every))


def _caps(problem: DcProblem, solution: DcSolution, connector: DcConnector) -> tuple[list[Cap], list[_Lever], bool]:
    """(caps in words, the levers that bind, whether module groups bind)."""
    gets = solution.power_w.get(connector.id, 0)
    cabinet = next(c for c in problem.cabinets if c.id == connector.cabinet)
    mine = [g for g in cabinet.groups if solution.owner.get(g.id) == connector.id]
    supply = sum(group_power_w(g, connector.voltage_mv) for g in mine)
    asked = bool(gets) and gets >= connector.request_w
    caps = [Cap(name="request of the vehicle", text=_kw(connector.request_w), binds=asked)]
    binding: list[_Lever] = []
    for lever in _own_levers(problem, connector):
        binds = bool(gets) and not asked and gets >= lever.value_w
        caps.append(Cap(name=lever.name, text=_kw(lever.value_w), binds=binds))
        binding += [lever] if binds else []
    need = gets + 1 if gets else max(1, problem.min_w)
    for lever in _shared_levers(problem, connector):
        in_cabinet = lever.name.startswith("limit of cabinet")
        members = [c.id for c in problem.connectors if not in_cabinet or c.cabinet == cabinet.id]
        total = sum(solution.power_w.get(name, 0) for name in members)
        room = lever.value_w * problem.efficiency_ppm // 1_000_000 - total
        binds = not asked and gets < ceiling_w(problem, connector) and room < max(need - gets, len(members))
        used = _kw(total * 1_000_000 / problem.efficiency_ppm)
        caps.append(Cap(name=lever.name, text=f"{used} of {_kw(lever.value_w)} at the AC side", binds=binds))
        binding += [lever] if binds else []
    groups = not asked and not binding
    names = listed([g.id for g in mine]) if mine else "none"
    caps.append(Cap(name="module groups", text=f"{names}, {_kw(supply)}", binds=groups))
    return caps, binding, groups


def explain(problem: DcProblem, solution: DcSolution, more_for: Collection[str]) -> list[Why]:
    """Explain every connector of ``problem``; ``more_for`` = those for which it is worked out what would give more."""
    waiting = set(solution.waiting)
    found = []
    for connector in problem.connectors:
        gets = solution.power_w.get(connector.id, 0)
        caps, binding, groups = _caps(problem, solution, connector)
        names = [cap.name for cap in ordered(caps) if cap.binds]
        why = f"{listed(names)} bind{'s' if len(names) == 1 and names[0] != 'module groups' else ''}"
        asks = connector.request_w > 0
        if gets:
            text = f"{connector.id} gets {_kw(gets)}: {why}"
        elif connector.id in waiting:
            text = f"{connector.id} waits: the minimum of {_kw(problem.min_w)} does not fit, {why}"
        elif not asks:
            text = f"{connector.id} gets nothing: its vehicle asks for nothing"
        else:
            text = f"{connector.id} gets nothing: it could take {_kw(ceiling_w(problem, connector))}, less than the minimum of {_kw(problem.min_w)}"
        more = _more(problem, connector, gets, binding, groups) if connector.id in more_for and asks else ()
        found.append(Why(id=connector.id, text=text, caps=ordered(caps), more=more))
    return found
