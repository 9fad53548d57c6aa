"""Imbalance limits counted with what vehicles really draw.

Shares that keep a difference between two phases keep it with currents only if everybody draws the whole share. A vehicle that
is known to draw less leaves its phases emptier than its share says: what is missing counts as fed in where the difference is
counted, and nowhere else. Fuses and power limits go on counting whole shares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from evse.planner.ac import solve
from evse.planner.ac_problem import PHASES, UNLIMITED_MA, AcNode, AcProblem, AcSolution, Phases, ceiling_ma, phases_of

PASSES_MAX = 4
SUFFIX = " balance"
"""Ends the name of a node that only counts differences."""


def solve_by_draw(
    problem: AcProblem, draws: Mapping[str, int], ask: Callable[[AcProblem], AcSolution] = solve
) -> tuple[AcProblem, AcSolution]:
    """Return the question that was solved last, and its answer.

    ``draws`` = connectors that are known to draw no more than this, mA per phase, whatever larger share they have; all
    others count with their shares. Without an imbalance limit, or when nothing is missing, the question stays as it is.
    """
    if not draws or all(node.imbalance_ma is None for node in problem.nodes):
        return problem, ask(problem)
    missing = {c.id: max(0, ceiling_ma(c) - draws[c.id]) for c in problem.connectors if c.id in draws}
    for _ in range(PASSES_MAX):
        asked = _shifted(problem, missing)
        solution = ask(asked)
        found = {name: max(0, solution.current_ma[name] - draws[name]) for name in missing}
        if found == missing:
            break
        missing = found
    return asked, solution


def _shifted(problem: AcProblem, missing: Mapping[str, int]) -> AcProblem:
    """Return the problem with a node of its own for each imbalance limit, to which ``missing`` is fed in."""
    parent = {node.id: node.parent for node in problem.nodes}
    less: dict[str, list[int]] = {node.id: [0] * PHASES for node in problem.nodes if node.imbalance_ma is not None}
    for c in problem.connectors:
        at: str | None = c.node if missing.get(c.id) else None
        while at is not None:
            if at in less:
                for k in phases_of(c):
                    less[at][k] += missing[c.id]
            at = parent[at]
    nodes: list[AcNode] = []
    for node in problem.nodes:
        fed = less.get(node.id)
        if fed is None or not any(fed):
            nodes.append(node)
            continue
        other = _minus(node.background_ma, fed)
        top = AcNode(
            id=node.id + SUFFIX, parent=node.parent, limit_ma=(UNLIMITED_MA, UNLIMITED_MA, UNLIMITED_MA), imbalance_ma=node.imbalance_ma,
            background_ma=other,
        )
        nodes += [top, msgspec.structs.replace(node, parent=top.id, imbalance_ma=None)]
    return msgspec.structs.replace(problem, nodes=tuple(nodes))


def _minus(a: Phases, b: list[int]) -> Phases:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


__all__ = ["SUFFIX", "solve_by_draw"]
