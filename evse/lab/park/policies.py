"""Ways of sharing: the planner of the station, and two that others use, on the same input.

``first-come``: whoever came first gets as much as the fuses above give, the next what is left. ``phase-blind``: one number
of amperes per fuse, every vehicle counted on all phases, shared fairly. For DC, ``own-groups``: nobody borrows, and the
site is divided by its connectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from evse.planner.ac import solve as solve_ac
from evse.planner.ac_problem import PHASES, AcProblem, ceiling_ma, phases_of
from evse.planner.live_ac import STEP_MA

AcPolicy = Callable[[AcProblem, Sequence[str]], dict[str, int]]
"""(problem, connectors by arrival) to currents in mA."""

PLANNER: Final = "planner"
FIRST_COME: Final = "first-come"
PHASE_BLIND: Final = "phase-blind"
OWN_GROUPS: Final = "own-groups"


def planned(problem: AcProblem, by_arrival: Sequence[str]) -> dict[str, int]:
    """The planner of the station."""
    return solve_ac(problem).current_ma


def first_come(problem: AcProblem, by_arrival: Sequence[str]) -> dict[str, int]:
    """In order of arrival, each as much as there is."""
    parent = {node.id: node.parent for node in problem.nodes}
    left = {n.id: [max(0, limit - load) for limit, load in zip(n.limit_ma, n.background_ma, strict=True)] for n in problem.nodes}
    power = {
        n.id: max(0, n.limit_w * 1_000_000 // problem.voltage_mv - sum(n.background_ma)) for n in problem.nodes if n.limit_w is not None
    }
    connectors = {c.id: c for c in problem.connectors}
    given = dict.fromkeys(connectors, 0)
    for name in by_arrival:
        connector = connectors[name]
        mine = phases_of(connector)
        path = _path(parent, connector.node)
        room = min(left[node][p] for node in path for p in mine)
        room = min([room, *(power[node] // len(mine) for node in path if node in power)])
        value = min(ceiling_ma(connector), room) // STEP_MA * STEP_MA
        if value < connector.min_ma:
            continue
        given[name] = value
        for node in path:
            for p in mine:
                left[node][p] -= value
            if node in power:
                power[node] -= value * len(mine)
    return given


def _path(parent: Mapping[str, str | None], node: str) -> list[str]:
    path: list[str] = []
    at: str | None = node
    while at is not None:
        path.append(at)
        at = parent[at]
    return path


def phase_blind(problem: AcProblem, by_arrival: Sequence[str]) -> dict[str, int]:
    """One number per fuse: every vehicle counts on all three phases, and the weakest phase is the fuse."""
    return solve_ac(blinded(problem)).current_ma


def blinded(problem: AcProblem) -> AcProblem:
    """The question that `phase_blind` asks."""
    nodes = []
    for node in problem.nodes:
        free = min(limit - load for limit, load in zip(node.limit_ma, node.background_ma, strict=True))
        house = sum(node.background_ma)
        watts = None if node.limit_w is None else max(0, node.limit_w - house * problem.voltage_mv // 1_000_000)
        nodes.append(
            msgspec.structs.replace(
                node, limit_ma=(max(0, free),) * PHASES, background_ma=(0,) * PHASES, limit_w=watts, imbalance_ma=None
            )
        )
    cars = tuple(msgspec.structs.replace(c, lines=PHASES) for c in problem.connectors)
    return msgspec.structs.replace(problem, nodes=tuple(nodes), connectors=cars)


def lacking(problem: AcProblem, by_ma: int) -> bool:
    """True when somebody gets ``by_ma`` less than it asks for, or still less, however the limits are shared out: all together do not
    fit. False says nothing."""
    own: dict[str, list[int]] = {}
    for c in problem.connectors:
        if c.demand_ma >= by_ma:
            flow = own.setdefault(c.node, [0] * PHASES)
            for p in phases_of(c):
                flow[p] += c.demand_ma - by_ma + 1
    parent = {node.id: node.parent for node in problem.nodes}
    total: dict[str, list[int]] = {name: [0] * PHASES for name in parent}
    for name, flow in own.items():
        for above in _path(parent, name):
            total[above] = [a + b for a, b in zip(total[above], flow, strict=True)]
    for node in problem.nodes:
        flow, other = total[node.id], node.background_ma
        if any(ma > max(0, limit - load) for ma, limit, load in zip(flow, node.limit_ma, other, strict=True)):
            return True
        if node.limit_w is not None and sum(flow) > max(0, node.limit_w * 1_000_000 // problem.voltage_mv - sum(other)):
            return True
    return False


AC_POLICIES: Final[dict[str, AcPolicy]] = {PLANNER: planned, FIRST_COME: first_come, PHASE_BLIND: phase_blind}
