"""An independent judge of AC allocations: every limit with exact fractions, the certificate, and the best answer of
small cases by trying every corner.

It shares only the problem types with the planner and is slow on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import combinations

from evse.planner.ac_problem import PPM, AcConnector, AcProblem, PausePolicy

ORACLE_CONNECTORS_MAX = 5
"""Connectors that ask in a case that `oracle` is willing to solve."""

Row = tuple[dict[str, int], Fraction]
"""(coefficient per connector id, cap in mA)."""

Highest = tuple[int, Fraction] | None
"""Class (larger = later) and level, less rounding, of who stands highest above the own minimum in a full row."""


def _draws(connector: AcConnector, phase: int) -> bool:
    return "RST"[phase] in connector.rotation[: connector.lines]


def _below(problem: AcProblem) -> dict[str, list[AcConnector]]:
    """The connectors at or below each node. Raises KeyError when a node or a parent is unknown."""
    parent = {n.id: n.parent for n in problem.nodes}
    found: dict[str, list[AcConnector]] = {n.id: [] for n in problem.nodes}
    for connector in problem.connectors:
        at: str | None = connector.node
        while at is not None:
            found[at].append(connector)
            at = parent[at]
    return found


def packing_rows(problem: AcProblem) -> list[tuple[str, Row]]:
    """Every fuse and kW limit with its name."""
    rows: list[tuple[str, Row]] = []
    members = _below(problem)
    for node in problem.nodes:
        below = members[node.id]
        for p in range(3):
            cap = max(0, node.limit_ma[p] - node.background_ma[p])
            rows.append((f"{node.id} L{p + 1}", ({c.id: 1 for c in below if _draws(c, p)}, Fraction(cap))))
        if node.limit_w is not None:
            room = Fraction(node.limit_w * 1_000_000, problem.voltage_mv) - sum(node.background_ma)
            rows.append((f"{node.id} kW", ({c.id: c.lines for c in below}, max(Fraction(0), room))))
    return rows


def difference_rows(problem: AcProblem) -> list[tuple[str, Row]]:
    """Every imbalance limit with its name."""
    rows: list[tuple[str, Row]] = []
    members = _below(problem)
    for node in problem.nodes:
        if node.imbalance_ma is None:
            continue
        below = members[node.id]
        for p in range(3):
            for q in range(3):
                if p != q:
                    house = node.background_ma[p] - node.background_ma[q]
                    signs = {c.id: _draws(c, p) - _draws(c, q) for c in below}
                    rows.append(
                        (
                            f"{node.id} L{p + 1}-L{q + 1}",
                            ({k: s for k, s in signs.items() if s}, Fraction(max(node.imbalance_ma, house) - house)),
                        )
                    )
    return rows


def _ceiling(connector: AcConnector) -> int:
    if connector.demand_ma == 0:
        return 0
    most = min(connector.max_ma, max(connector.demand_ma, connector.min_ma))
    return most if most >= connector.min_ma else 0


def check(problem: AcProblem, current_ma: Mapping[str, int]) -> list[str]:
    """Return every broken limit in words; an empty list means that the currents may be sent."""
    broken = []
    for connector in problem.connectors:
        ma = current_ma.get(connector.id, 0)
        if ma and not connector.min_ma <= ma <= _ceiling(connector):
            broken.append(f"{connector.id}: {ma} mA, may have {connector.min_ma}..{_ceiling(connector)} mA or nothing")
    for name, (terms, cap) in packing_rows(problem) + difference_rows(problem):
        used = sum(c * current_ma.get(k, 0) for k, c in terms.items())
        if used > cap:
            broken.append(f"{name}: {used} mA used, {float(cap):.3f} mA allowed")
    return broken


def could_rise(problem: AcProblem, current_ma: Mapping[str, int], slack_ma: int) -> list[str]:
    """The certificate of planner.md for packing rows: who is on, below the maximum, and in no full row in which nobody
    above their own minimum stands higher (or in a lower class). Rows count as full up to ``slack_ma`` per member; what those
    higher could give back counts only when it is enough for ``slack_ma`` more: on a grid of steps a connector of one line
    uses what is left over and too little for one of three."""
    by_id = {c.id: c for c in problem.connectors}

    def level(connector: AcConnector) -> Fraction:
        return Fraction(current_ma[connector.id] * PPM, connector.weight_ppm)

    def ease(connector: AcConnector) -> Fraction:
        return Fraction(2 * slack_ma * PPM, connector.weight_ppm)

    where: dict[str, list[tuple[Highest, Row]]] = {}
    for _, (terms, cap) in packing_rows(problem):
        on = [by_id[name] for name in terms if current_ma[name]]
        used = sum(terms[c.id] * current_ma[c.id] for c in on)
        if cap - used > slack_ma * sum(terms[c.id] for c in on):
            continue
        above = [(-c.priority, level(c) - ease(c)) for c in on if current_ma[c.id] > c.min_ma + slack_ma]
        highest = max(above, default=None)
        for c in on:
            where.setdefault(c.id, []).append((highest, (terms, cap)))

    def blocks(connector: AcConnector, highest: Highest, row: Row) -> bool:
        reach = (-connector.priority, level(connector) + ease(connector))
        if highest is None or highest <= reach:
            return True
        terms, cap = row
        room = cap - sum(k * current_ma[name] for name, k in terms.items())
        for d in (by_id[name] for name in terms if current_ma[name]):
            if (-d.priority, level(d)) > reach:
                room += terms[d.id] * (current_ma[d.id] - d.min_ma)
        return room < terms[connector.id] * slack_ma

    return [
        c.id
        for c in problem.connectors
        if current_ma[c.id]
        and current_ma[c.id] + slack_ma < _ceiling(c)
        and not any(blocks(c, highest, row) for highest, row in where.get(c.id, ()))
    ]


def _solved(rows: list[tuple[list[Fraction], Fraction]]) -> list[Fraction] | None:
    """The point where the given planes meet, None when they do not meet in one point (Gauss)."""
    size = len(rows)
    m = [[*terms, cap] for terms, cap in rows]
    for k in range(size):
        pivot = next((r for r in range(k, size) if m[r][k]), None)
        if pivot is None:
            return None
        m[k], m[pivot] = m[pivot], m[k]
        m[k] = [v / m[k][k] for v in m[k]]
        for r in range(size):
            if r != k and m[r][k]:
                factor = m[r][k]
                m[r] = [a - factor * b for a, b in zip(m[r], m[k], strict=True)]
    return [row[size] for row in m]


def _corners(problem: AcProblem, on: tuple[AcConnector, ...], with_levels: bool) -> Iterator[dict[str, Fraction]]:
    """Every feasible corner of the limits (and of equal levels) with exactly ``on`` at their minimum or above."""
    size = len(on)
    inside: list[tuple[list[Fraction], Fraction]] = []
    for _, (terms, cap) in packing_rows(problem) + difference_rows(problem):
        inside.append(([Fraction(terms.get(c.id, 0)) for c in on], cap))
    for k, c in enumerate(on):
        unit = [Fraction(int(k == j)) for j in range(size)]
        inside.append((unit, Fraction(_ceiling(c))))
        inside.append(([-u for u in unit], Fraction(-c.min_ma)))
    planes = {(tuple(t), cap) for t, cap in inside if any(t)}
    if with_levels:
        for (j, a), (k, b) in combinations(enumerate(on), 2):
            if a.priority == b.priority:
                level = [Fraction(0)] * size
                level[j], level[k] = Fraction(b.weight_ppm), Fraction(-a.weight_ppm)
                planes.add((tuple(level), Fraction(0)))
    for chosen in combinations(sorted(planes), size):
        point = _solved([(list(t), cap) for t, cap in chosen])
        if point is not None and all(
            sum(t * x for t, x in zip(terms, point, strict=True)) <= cap for terms, cap in inside
        ):
            yield {c.id: x for c, x in zip(on, point, strict=True)}


def _measure(problem: AcProblem, point: Mapping[str, Fraction]) -> list[list[Fraction]]:
    by_class: dict[int, list[Fraction]] = {}
    for c in problem.connectors:
        if c.id in point:
            by_class.setdefault(-c.priority, []).append(point[c.id] * PPM / c.weight_ppm)
    return [sorted(by_class[k]) for k in sorted(by_class)]


def oracle(problem: AcProblem) -> tuple[set[str], dict[str, Fraction]]:
    """Who is on and the exact optimum in mA, by trying every set and every corner.

    Raises ValueError when more than `ORACLE_CONNECTORS_MAX` connectors ask.
    """
    asking = [c for c in problem.connectors if _ceiling(c)]
    if len(asking) > ORACLE_CONNECTORS_MAX:
        raise ValueError(f"{len(asking)} connectors ask, the oracle tries at most {ORACLE_CONNECTORS_MAX}")
    index = {c.id: i for i, c in enumerate(problem.connectors)}
    order = sorted(asking, key=lambda c: (-c.priority, c.charging_s, index[c.id]))
    ranks = sorted({c.priority for c in asking}, reverse=True)
    sets = [tuple(c for k, c in enumerate(order) if bits >> k & 1) for bits in range(2 ** len(order))]

    def wanted(on: tuple[AcConnector, ...]) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        counts: tuple[int, ...] = ()
        if problem.pause_policy is PausePolicy.MAX_SERVED:
            counts = tuple(sum(c.priority == rank for c in on) for rank in ranks)
        return counts, tuple(c in on for c in order)

    for on in sorted(sets, key=wanted, reverse=True):
        if not on:
            break
        if next(_corners(problem, on, with_levels=False), None) is not None:
            best = max(_corners(problem, on, with_levels=True), key=lambda point: _measure(problem, point))
            return {c.id for c in on}, best
    return set(), {}
