"""The true optimum by HiGHS (scipy), written from the mathematics of docs/planner.md. It shares the problem types with the
planner, and nothing else.

AC: who is on by mixed-integer programs (is there a plan with this one, whatever becomes of those after it?), then for each
class the highest common level by linear programs; whoever's multiplier is positive can never rise and stays.
DC: who is served the same way, then the sums of the k smallest powers one after the other, which is the leximax.
Floats: answers are good to about 1e-6 of their size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array

from evse.domain.station import Topology
from evse.planner.ac_problem import AcConnector, AcNode, AcProblem, PausePolicy
from evse.planner.problem import DcCabinet, DcConnector, DcProblem

Row = tuple[dict[int, float], float]
"""(coefficient per column, at most)."""

AMP = 1000.0
EASE = 2e-5
"""A; the linear programs are given so much room that what the mixed-integer program calls feasible is so."""

SUM_EASE_KW = 2e-4

# -- AC ---------------------------------------------------------------------------------------------------------------


def _phases(connector: AcConnector) -> set[int]:
    return {"RST".index(letter) for letter in connector.rotation[: connector.lines]}


def _top(connector: AcConnector) -> float:
    """u of the mathematics, A; 0 = never on."""
    if not connector.demand_ma:
        return 0.0
    most = min(connector.max_ma, max(connector.demand_ma, connector.min_ma))
    return most / AMP if most >= connector.min_ma else 0.0


def _members(problem: AcProblem) -> dict[str, list[int]]:
    parent = {node.id: node.parent for node in problem.nodes}
    found: dict[str, list[int]] = {node.id: [] for node in problem.nodes}
    for i, connector in enumerate(problem.connectors):
        at: str | None = connector.node
        while at is not None:
            found[at].append(i)
            at = parent[at]
    return found


def _node_rows(problem: AcProblem, node: AcNode, members: Sequence[int]) -> Iterable[Row]:
    phases = {i: _phases(problem.connectors[i]) for i in members}
    for p in range(3):
        cap = max(0, node.limit_ma[p] - node.background_ma[p]) / AMP
        yield {i: 1.0 for i in members if p in phases[i]}, cap
    if node.limit_w is not None:
        room = node.limit_w / (problem.voltage_mv / 1000) - sum(node.background_ma) / AMP
        yield {i: float(len(phases[i])) for i in members}, max(0.0, room)
    if node.imbalance_ma is None:
        return
    for p in range(3):
        for q in range(3):
            if p != q:
                house = (node.background_ma[p] - node.background_ma[q]) / AMP
                terms = {i: float(p in phases[i]) - float(q in phases[i]) for i in members}
                yield {i: v for i, v in terms.items() if v}, max(node.imbalance_ma / AMP, house) - house


def ac_rows(problem: AcProblem) -> list[Row]:
    """Every limit of the tree over the currents in A."""
    members = _members(problem)
    return [row for node in problem.nodes for row in _node_rows(problem, node, members[node.id]) if row[0]]


def _matrix(rows: Sequence[Row], columns: int) -> tuple[csr_array, np.ndarray]:
    data, at, where = [], [], []
    for r, (terms, _) in enumerate(rows):
        for column, value in terms.items():
            data.append(value)
            at.append(r)
            where.append(column)
    return csr_array((data, (at, where)), shape=(len(rows), columns)), np.array([cap for _, cap in rows])


class AcAdmission:
    """Who can be on together. Columns: currents, then one binary for each."""

    def __init__(self, problem: AcProblem, rows: list[Row]) -> None:
        self.n = n = len(problem.connectors)
        self.top = np.array([_top(c) for c in problem.connectors])
        links: list[Row] = []
        for i, c in enumerate(problem.connectors):
            links.append(({i: 1.0, n + i: -self.top[i]}, 0.0))
            links.append(({i: -1.0, n + i: c.min_ma / AMP}, 0.0))
        self.rows = [*rows, *links]
        self.low, self.high = np.zeros(2 * n), np.concatenate([self.top, (self.top > 0).astype(float)])
        self.matrix, self.caps = _matrix(self.rows, 2 * n)

    def solve(self, objective: np.ndarray, extra: Sequence[Row] = ()) -> float | None:
        matrix, caps = (self.matrix, self.caps) if not extra else _matrix([*self.rows, *extra], 2 * self.n)
        result = milp(
            objective, constraints=LinearConstraint(matrix, ub=caps + 1e-9), bounds=Bounds(self.low, self.high),
            integrality=np.concatenate([np.zeros(self.n), np.ones(self.n)]),
        )  # fmt: skip
        return float(result.fun) if result.status == 0 else None

    def feasible(self, extra: Sequence[Row] = ()) -> bool:
        return self.solve(np.zeros(2 * self.n), extra) is not None


def ac_admitted(problem: AcProblem, rows: list[Row]) -> list[int]:
    """Who is on, by the policy of ``problem``."""
    program = AcAdmission(problem, rows)
    n, connectors = program.n, problem.connectors
    order = sorted(
        (i for i in range(n) if program.top[i] > 0), key=lambda i: (-connectors[i].priority, connectors[i].charging_s, i)
    )
    counts: list[Row] = []
    if problem.pause_policy is PausePolicy.MAX_SERVED:
        for rank in sorted({connectors[i].priority for i in order}, reverse=True):
            members = {n + i: -1.0 for i in order if connectors[i].priority == rank}
            objective = np.zeros(2 * n)
            objective[list(members)] = -1.0
            best = program.solve(objective, counts)
            assert best is not None
            counts.append((members, -round(-best) + 0.5))
    chosen = []
    for i in order:
        program.low[n + i] = 1.0
        if program.feasible(counts):
            chosen.append(i)
        else:
            program.low[n + i] = program.high[n + i] = 0.0
    return sorted(chosen)


def ac_levels(problem: AcProblem, rows: list[Row], on: Sequence[int]) -> dict[str, float]:
    """The leximax, class by class: currents in A."""
    connectors = problem.connectors
    weight = {i: connectors[i].weight_ppm / 1_000_000 for i in on}
    column = {i: k for k, i in enumerate(on)}
    t = len(on)
    base = [({column[i]: v for i, v in terms.items() if i in column}, cap) for terms, cap in rows]
    low = [connectors[i].min_ma / AMP for i in on] + [0.0]
    high = [_top(connectors[i]) for i in on] + [None]
    for rank in sorted({connectors[i].priority for i in on}, reverse=True):
        free = {i for i in on if connectors[i].priority == rank}
        while free:
            risers = sorted(free)
            rise: list[Row] = [({column[i]: -1.0, t: weight[i]}, 0.0) for i in risers]
            every = [row for row in base if row[0]] + rise
            matrix, caps = _matrix(every, t + 1)
            cost = np.zeros(t + 1)
            cost[t] = -1.0
            result = linprog(cost, A_ub=matrix, b_ub=caps + EASE, bounds=list(zip(low, high, strict=True)), method="highs")
            assert result.status == 0, result.message
            level = float(result.x[t])
            duals = result.ineqlin.marginals[len(every) - len(rise) :]
            stuck = [i for i, dual in zip(risers, duals, strict=True) if dual < -1e-9]
            assert stuck, "no multiplier is positive"
            for i in stuck:
                value = level * weight[i]
                k = column[i]
                low[k] = max(low[k], min(value, high[k] or value) - EASE)
                high[k] = max(low[k], min(value, high[k] or value))
                free.discard(i)
    return {connectors[i].id: float(high[column[i]] or 0.0) for i in on}


def ac_optimum(problem: AcProblem) -> dict[str, float]:
    """Currents in A of everybody, 0 = paused."""
    rows = ac_rows(problem)
    on = ac_admitted(problem, rows)
    found = ac_levels(problem, rows, on) if on else {}
    return {c.id: found.get(c.id, 0.0) for c in problem.connectors}


# -- DC ---------------------------------------------------------------------------------------------------------------


class _Columns:
    def __init__(self) -> None:
        self.high: list[float] = []
        self.whole: list[int] = []

    def new(self, high: float, whole: bool = False) -> int:
        self.high.append(high)
        self.whole.append(int(whole))
        return len(self.high) - 1


def _supply_kw(problem: DcProblem, cabinet: DcCabinet, g: int, c: DcConnector) -> float:
    group = cabinet.groups[g]
    return group.modules * group.derate_ppm / 1e6 * min(group.module_w / 1e3, c.voltage_mv / 1e3 * group.module_ma / 1e6)


def _wish_kw(problem: DcProblem, c: DcConnector) -> float:
    caps = [c.request_w / 1e3, c.voltage_mv / 1e3 * c.current_ma / 1e6]
    caps += [] if c.limit_w is None else [c.limit_w / 1e3]
    caps += [problem.group_power_w / 1e3] if problem.group_power_w else []
    return min(caps)


def _runs(columns: _Columns, rows: list[Row], size: int, home: int, ring: bool) -> dict[int, dict[int, float]]:
    """Position to terms whose sum says that the group there is owned: a run to the right and one to the left of home."""
    own: dict[int, dict[int, float]] = {home: {}}
    for sign in (1, -1):
        before = None
        for step in range(1, size):
            at = home + sign * step
            if not ring and not 0 <= at < size:
                break
            mine = columns.new(1.0, whole=True)
            if before is not None:
                rows.append(({mine: 1.0, before: -1.0}, 0.0))
            own.setdefault(at % size, {})[mine] = 1.0
            before = mine
    return own


class _Hub:
    """The mixed-integer program. ``served`` columns are 1 when a connector gets at least the minimum."""

    def __init__(self, problem: DcProblem) -> None:
        self.columns = columns = _Columns()
        self.rows: list[Row] = []
        self.power: dict[str, int] = {}
        self.served: dict[str, int] = {}
        least = max(1, problem.min_w) / 1e3
        for cabinet in problem.cabinets:
            self._cabinet(problem, cabinet, least)
        efficiency = problem.efficiency_ppm / 1e6
        for limit in (problem.site_limit_w, problem.csms_limit_w):
            if limit is not None:
                self.rows.append((dict.fromkeys(self.power.values(), 1.0), limit / 1e3 * efficiency))
        self.low = np.zeros(len(columns.high))
        self.highs = np.array(columns.high)

    def _cabinet(self, problem: DcProblem, cabinet: DcCabinet, least: float) -> None:
        columns, rows, size = self.columns, self.rows, len(cabinet.groups)
        owned: list[dict[int, float]] = [{} for _ in range(size)]
        mine = [c for c in problem.connectors if c.cabinet == cabinet.id]
        for c in mine:
            wish = _wish_kw(problem, c)
            home = next((g for g, group in enumerate(cabinet.groups) if group.home == c.id), None)
            bus = cabinet.topology is not Topology.MATRIX
            if wish < least or (bus and home is None):
                continue
            x, s = columns.new(wish), columns.new(1.0, whole=True)
            self.power[c.id], self.served[c.id] = x, s
            rows += [({x: 1.0, s: -wish}, 0.0), ({x: -1.0, s: least}, 0.0)]
            if bus:
                assert home is not None
                own = _runs(columns, rows, size, home, cabinet.topology is Topology.RING)
                own[home] = {s: 1.0}
            else:
                own = {g: {columns.new(1.0, whole=True): 1.0} for g in range(size)}
            supply, count = {x: 1.0}, dict[int, float]()
            for g, terms in own.items():
                borrowed = cabinet.groups[g].home != c.id
                for column in terms:
                    supply[column] = supply.get(column, 0.0) - _supply_kw(problem, cabinet, g, c)
                    count[column] = count.get(column, 0.0) + 1.0
                    owned[g][column] = 1.0
                    if column != s:
                        rows.append(({column: 1.0, s: -1.0}, 0.0))
                    if borrowed and not problem.allow_cross and column != s:
                        rows.append(({column: 1.0}, 0.0))
            rows.append((supply, 0.0))
            if problem.max_groups:
                rows.append((count, float(problem.max_groups)))
        rows += [(terms, 1.0) for terms in owned if terms]
        if cabinet.limit_w is not None:
            total = {self.power[c.id]: 1.0 for c in mine if c.id in self.power}
            if total:
                rows.append((total, cabinet.limit_w / 1e3 * problem.efficiency_ppm / 1e6))

    def solve(self, objective: np.ndarray, extra: Sequence[Row] = (), more: Sequence[float] = ()) -> tuple[float, np.ndarray] | None:
        width = len(self.highs) + len(more)
        matrix, caps = _matrix([*self.rows, *extra], width)
        result = milp(
            objective, constraints=LinearConstraint(matrix, ub=caps + 1e-9),
            bounds=Bounds(np.concatenate([self.low, np.zeros(len(more))]), np.concatenate([self.highs, np.array(more)])),
            integrality=np.concatenate([np.array(self.columns.whole), np.zeros(len(more))]),
        )  # fmt: skip
        return (float(result.fun), result.x) if result.status == 0 else None


def dc_served(problem: DcProblem, hub: _Hub) -> list[str]:
    """Who is served: in order of charging time, each if it fits together with those before."""
    places = {c.id: k for k, c in enumerate(problem.connectors)}
    order = sorted((c for c in problem.connectors if c.id in hub.served), key=lambda c: (c.charging_s, places[c.id]))
    for c in order:
        hub.highs[hub.served[c.id]] = 0.0
    found = []
    for c in order:
        column = hub.served[c.id]
        hub.low[column] = hub.highs[column] = 1.0
        if hub.solve(np.zeros(len(hub.highs))) is None:
            hub.low[column] = hub.highs[column] = 0.0
        else:
            found.append(c.id)
    return found


def dc_optimum(problem: DcProblem) -> tuple[list[str], list[float]]:
    """(who is served, their powers in kW in rising order)."""
    hub = _Hub(problem)
    served = dc_served(problem, hub)
    x = [hub.power[name] for name in served]
    n, first = len(x), len(hub.highs)
    extra: list[Row] = []
    more: list[float] = []
    sums: list[float] = []
    for k in range(1, n + 1):  # the sum of the k smallest is the largest k * level - sum(shortfall below the level)
        level, short = first + len(more), [first + len(more) + 1 + j for j in range(n)]
        more += [2e3] * (n + 1)
        extra += [({level: 1.0, column: -1.0, s: -1.0}, 0.0) for column, s in zip(x, short, strict=True)]
        objective = np.zeros(first + len(more))
        objective[level] = -float(k)
        objective[short] = 1.0
        answer = hub.solve(objective, extra, more)
        assert answer is not None
        sums.append(-answer[0])
        extra.append(({level: -float(k), **dict.fromkeys(short, 1.0)}, answer[0] + SUM_EASE_KW))
    return served, [b - a for a, b in zip([0.0, *sums], sums, strict=False)]
