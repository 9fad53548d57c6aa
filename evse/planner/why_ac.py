"""Why each AC connector of a problem gets its current: every fuse above it, what binds, and what would give 1 A more."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from evse.domain.base import Frozen
from evse.planner.ac import solve
from evse.planner.ac_problem import PHASES, AcConnector, AcNode, AcProblem, AcSolution, ceiling_ma, phases_of
from evse.planner.why import Cap, Change, Why, listed, ordered, ways

MORE_MA = 1_000
"""What "more" means: one ampere, or the minimum for one that is paused."""

FINE_MA = 100
LIMIT_FUSE, LIMIT_POWER, LIMIT_IMBALANCE = "fuse", "power limit", "imbalance limit"


class _Row(Frozen, frozen=True, kw_only=True):
    """A limit of a node as one connector meets it. ``phases`` = those of its phases that are full."""

    node: AcNode
    kind: str
    cap: Cap
    phases: tuple[int, ...] = ()


def _amps(ma: float) -> str:
    return f"{ma / 1000:.1f} A"


def _path(problem: AcProblem, connector: AcConnector) -> list[AcNode]:
    """Nodes from the connector up to the root."""
    nodes = {node.id: node for node in problem.nodes}
    path, at = [], nodes.get(connector.node)
    while at is not None:
        path.append(at)
        at = None if at.parent is None else nodes.get(at.parent)
    return path


def _totals(problem: AcProblem, current_ma: dict[str, int]) -> dict[str, list[int]]:
    """Our current through each node and phase, mA."""
    parent = {node.id: node.parent for node in problem.nodes}
    totals = {node.id: [0] * PHASES for node in problem.nodes}
    for connector in problem.connectors:
        ma = current_ma.get(connector.id, 0)
        at: str | None = connector.node if ma else None
        while at is not None:
            for p in phases_of(connector):
                totals[at][p] += ma
            at = parent[at]
    return totals


def _rows(problem: AcProblem, connector: AcConnector, totals: dict[str, list[int]], step_ma: int) -> list[_Row]:
    """Every limit above ``connector``; one binds when ``step_ma`` more would break it."""
    rows = []
    mine = phases_of(connector)
    for node in _path(problem, connector):
        used = totals[node.id]
        caps = [max(0, limit - load) for limit, load in zip(node.limit_ma, node.background_ma, strict=True)]
        full = tuple(p for p in mine if used[p] + step_ma > caps[p])
        words = ", ".join(f"L{p + 1} {used[p] / 1000:.1f} of {_amps(caps[p])}" for p in mine)
        rows.append(_Row(node=node, kind=LIMIT_FUSE, phases=full, cap=Cap(name=f"{LIMIT_FUSE} {node.id}", text=words, binds=bool(full))))
        if node.limit_w is not None:
            most = max(0, node.limit_w * 1_000_000 // problem.voltage_mv - sum(node.background_ma))
            volts = problem.voltage_mv / 1_000_000_000
            text = f"{sum(used) * volts:.1f} of {most * volts:.1f} kW"
            binds = sum(used) + step_ma * len(mine) > most
            rows.append(_Row(node=node, kind=LIMIT_POWER, cap=Cap(name=f"{LIMIT_POWER} {node.id}", text=text, binds=binds)))
        if node.imbalance_ma is not None and len(mine) < PHASES:
            rows.append(_imbalance(node, mine, used, step_ma))
    return rows


def _imbalance(node: AcNode, mine: tuple[int, ...], used: list[int], step_ma: int) -> _Row:
    """The imbalance limit of ``node`` as a connector on ``mine`` meets it."""
    limit = node.imbalance_ma or 0
    house = node.background_ma
    worst, binds = 0, False
    for p in mine:
        for q in set(range(PHASES)) - set(mine):
            apart = house[p] + used[p] - house[q] - used[q]
            worst = max(worst, apart)
            binds = binds or apart + step_ma > max(limit, house[p] - house[q])
    text = f"{worst / 1000:.1f} of {_amps(limit)} between two phases"
    return _Row(node=node, kind=LIMIT_IMBALANCE, cap=Cap(name=f"{LIMIT_IMBALANCE} {node.id}", text=text, binds=binds))


def _own(connector: AcConnector, gets_ma: int) -> list[Cap]:
    """What the connector and its vehicle allow."""
    ceiling = ceiling_ma(connector)
    top = bool(gets_ma) and gets_ma >= ceiling
    return [
        Cap(name="demand of the vehicle", text=_amps(connector.demand_ma), binds=top and ceiling < connector.max_ma),
        Cap(name="maximum of the connector", text=_amps(connector.max_ma), binds=top and ceiling >= connector.max_ma),
        Cap(name="minimum of the connector", text=_amps(connector.min_ma), binds=False),
    ]


def _raised(problem: AcProblem, rows: Collection[_Row], by_ma: int) -> AcProblem:
    """The problem with the limits ``rows`` raised by ``by_ma`` (a power limit by as much on each phase)."""
    nodes = []
    for node in problem.nodes:
        for row in rows:
            if row.node.id != node.id:
                continue
            if row.kind == LIMIT_FUSE:
                limits = [ma + by_ma * (p in row.phases) for p, ma in enumerate(node.limit_ma)]
                node = msgspec.structs.replace(node, limit_ma=(limits[0], limits[1], limits[2]))
            elif row.kind == LIMIT_POWER and node.limit_w is not None:
                node = msgspec.structs.replace(node, limit_w=node.limit_w + _watts(problem, by_ma))
            elif node.imbalance_ma is not None:
                node = msgspec.structs.replace(node, imbalance_ma=node.imbalance_ma + by_ma)
        nodes.append(node)
    return msgspec.structs.replace(problem, nodes=tuple(nodes))


def _watts(problem: AcProblem, ma: int) -> int:
    return -(-ma * problem.voltage_mv * PHASES // 1_000_000)


def _words(problem: AcProblem, row: _Row, by_ma: int) -> str:
    if row.kind == LIMIT_POWER:
        watts = _watts(problem, by_ma)
        return f"{row.cap.name} +{watts / 1000:.1f} kW (to {((row.node.limit_w or 0) + watts) / 1000:.1f} kW)"
    if row.kind == LIMIT_IMBALANCE:
        return f"{row.cap.name} +{_amps(by_ma)} (to {_amps((row.node.imbalance_ma or 0) + by_ma)})"
    where = listed([f"L{p + 1}" for p in row.phases])
    to = listed(sorted({_amps(row.node.limit_ma[p] + by_ma) for p in row.phases}))
    return f"{row.cap.name} +{_amps(by_ma)} on {where} (to {to})"


def _more(problem: AcProblem, connector: AcConnector, gets_ma: int, rows: list[_Row]) -> tuple[str, ...]:
    """What would give one ampere more, or the minimum to one that is paused."""
    goal = gets_ma + MORE_MA if gets_ma else connector.min_ma or MORE_MA
    if not connector.demand_ma:
        return ("its vehicle would have to ask",)
    most = min(connector.max_ma, max(connector.demand_ma, connector.min_ma))
    if most < goal:
        if connector.max_ma < connector.min_ma:
            return (f"maximum of the connector at least its minimum of {_amps(connector.min_ma)}",)
        short = connector.max_ma if connector.max_ma < goal else connector.demand_ma
        what = "maximum of the connector" if connector.max_ma < goal else "demand of the vehicle"
        return (f"{what} +{_amps(goal - short)} (to {_amps(goal)}), before any limit of the site",)
    full = [row for row in rows if row.cap.binds]

    def change(chosen: list[_Row]) -> Change:
        def gains(by_ma: int) -> bool:
            return solve(_raised(problem, chosen, by_ma)).current_ma[connector.id] >= goal

        def words(by_ma: int) -> str:
            return " together with ".join(_words(problem, row, by_ma) for row in chosen)

        return Change(gains=gains, words=words, first=MORE_MA, fine=FINE_MA)

    mine = phases_of(connector)
    every = [msgspec.structs.replace(row, phases=mine) for row in rows]
    return ways([change([row]) for row in full], change(full), change(every))


def explain(problem: AcProblem, solution: AcSolution, more_for: Collection[str]) -> list[Why]:
    """Explain every connector of ``problem``; ``more_for`` = those for which it is worked out what would give more."""
    totals = _totals(problem, solution.current_ma)
    waiting = set(solution.waiting)
    found = []
    for connector in problem.connectors:
        gets = solution.current_ma.get(connector.id, 0)
        step = problem.step_ma if gets else connector.min_ma or problem.step_ma
        rows = _rows(problem, connector, totals, step)
        caps = ordered([*_own(connector, gets), *(row.cap for row in rows)])
        names = [cap.name for cap in caps if cap.binds]
        why = f"{listed(names)} bind{'s' if len(names) == 1 else ''}" if names else "nothing binds"
        if gets:
            text = f"{connector.id} gets {_amps(gets)}: {why}"
        elif connector.id in waiting:
            text = f"{connector.id} waits: its minimum of {_amps(connector.min_ma)} does not fit, {why}"
        elif not connector.demand_ma:
            text = f"{connector.id} gets nothing: its vehicle asks for nothing"
        elif ceiling_ma(connector):
            text = f"{connector.id} gets nothing: {why}"
        else:
            text = f"{connector.id} gets nothing: it may have {_amps(connector.max_ma)}, less than its minimum of {_amps(connector.min_ma)}"
        ways_ = _more(problem, connector, gets, rows) if connector.id in more_for else ()
        found.append(Why(id=connector.id, text=text, caps=caps, more=ways_))
    return found
