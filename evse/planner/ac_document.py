"""AC problem and allocation documents (JSON) at the edge: amps and kilowatts as numbers outside, mA and W inside.

Limits and maxima are rounded down and loads and minimums up to whole mA, so that rounding never breaks a limit.
"""

from __future__ import annotations

import math

from evse.domain.base import ConfigError
from evse.planner.ac_problem import (
    MAX_CONNECTORS,
    MAX_NODES,
    PHASES,
    PPM,
    ROTATIONS,
    AcConnector,
    AcNode,
    AcProblem,
    AcSolution,
    PausePolicy,
)
from evse.planner.reader import Reader, doubles

AMPS_MAX = 100_000.0
WEIGHT_MIN, WEIGHT_MAX = 0.001, 1000.0
PRIORITY_MAX = 1_000_000
SWITCH_MIN_S, SWITCH_MAX_S = 10, 300
DWELL_MAX_S = 3600
STEPS_A = (1.0, 0.1, 0.001)
EPSILON = 1e-6  # mA; swallows what binary fractions add to a decimal number


def _down(amps: float) -> int:
    return math.floor(amps * 1000 + EPSILON)


def _up(amps: float) -> int:
    return math.ceil(amps * 1000 - EPSILON)


def _phases(r: Reader, key: str, default: object = None, negative: bool = False) -> tuple[float, float, float]:
    """Three numbers, one per phase; with ``default`` given the key may be absent."""
    value = r.take(key) if default is None else r.take(key, default)
    low = -AMPS_MAX if negative else 0.0
    if r.is_missing(value):
        return 0.0, 0.0, 0.0
    if (
        not isinstance(value, list)
        or len(value) != 3
        or any(isinstance(v, bool) or not isinstance(v, int | float) or not low <= v <= AMPS_MAX for v in value)
    ):
        r.complain(key, value, f"must be three numbers [L1, L2, L3] in A, each between {low:g} and {AMPS_MAX:g}")
        return 0.0, 0.0, 0.0
    return float(value[0]), float(value[1]), float(value[2])


def _whole(amps: tuple[float, float, float]) -> bool:
    return all(abs(a * 1000 - round(a * 1000)) <= EPSILON for a in amps)


def _node(raw: object, path: str, problems: list[str]) -> AcNode:
    r = Reader(raw, path, problems)
    limit = _phases(r, "limit_a")
    background = _phases(r, "background_a", [0, 0, 0], negative=True)
    power = r.optional("limit_kw")
    imbalance = r.optional("imbalance_a")
    imbalance_ma = None if imbalance is None else _down(imbalance)
    if imbalance_ma and not _whole(background):
        imbalance_ma -= 1  # the difference of two rounded loads may be one mA too small
    node = AcNode(
        id=r.text("id"),
        parent=r.optional_text("parent"),
        limit_ma=(_down(limit[0]), _down(limit[1]), _down(limit[2])),
        limit_w=None if power is None else math.floor(power * 1000 + EPSILON),
        imbalance_ma=imbalance_ma,
        background_ma=(_up(background[0]), _up(background[1]), _up(background[2])),
    )
    r.done()
    return node


def _connector(raw: object, path: str, problems: list[str]) -> AcConnector:
    r = Reader(raw, path, problems)
    lines = r.count("lines", high=3)
    if lines == 0 and "lines" not in r.wrong:
        r.complain("lines", lines, "must be 1, 2 or 3")
    rotation = r.text("rotation", "RST")
    if rotation not in ROTATIONS:
        r.complain("rotation", rotation, f"must be one of {', '.join(ROTATIONS)} (line k lies on phase rotation[k])")
    weight = r.number("weight", 1.0, high=WEIGHT_MAX)
    if weight < WEIGHT_MIN and "weight" not in r.wrong:
        r.complain("weight", weight, f"must be between {WEIGHT_MIN:g} and {WEIGHT_MAX:g}")
    priority = r.take("priority", 0)
    if isinstance(priority, float) and priority.is_integer():
        priority = int(priority)
    if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > PRIORITY_MAX:
        r.complain("priority", priority, f"must be a whole number between -{PRIORITY_MAX} and {PRIORITY_MAX}")
        priority = 0
    pause = r.take("switch_s", 0)
    switch_s = pause if isinstance(pause, int) and not isinstance(pause, bool) else -1
    if switch_s and not (SWITCH_MIN_S <= switch_s <= SWITCH_MAX_S and lines == PHASES):
        r.complain("switch_s", pause, f"must be 0, or {SWITCH_MIN_S} to {SWITCH_MAX_S} whole seconds at a connector of 3 lines")
        switch_s = 0
    connector = AcConnector(
        id=r.text("id"),
        node=r.text("node"),
        lines=lines,
        rotation=rotation,
        min_ma=_up(r.number("min_a", 6.0, high=AMPS_MAX)),
        max_ma=_down(r.number("max_a", high=AMPS_MAX)),
        demand_ma=_down(r.number("demand_a", high=AMPS_MAX)),
        weight_ppm=round(weight * PPM),
        priority=priority,
        charging_s=int(r.number("charging_s", 0, high=1e9)),
        switch_s=switch_s,
    )
    r.done()
    return connector


def _cross_check(problem: AcProblem, problems: list[str]) -> None:
    doubles((n.id for n in problem.nodes), "node", problems)
    doubles((c.id for c in problem.connectors), "connector", problems)
    parent = {node.id: node.parent for node in problem.nodes}
    for i, node in enumerate(problem.nodes):
        if node.parent is not None and node.parent not in parent:
            problems.append(f"nodes[{i}].parent = {node.parent!r}: no such node; write null for the top")
    for i, connector in enumerate(problem.connectors):
        if connector.node not in parent:
            problems.append(f"connectors[{i}].node = {connector.node!r}: no such node")
    safe: set[str] = set()
    for i, node in enumerate(problem.nodes):
        walked: dict[str, None] = {}
        at: str | None = node.id
        while at is not None and at in parent and at not in safe and at not in walked:
            walked[at] = None
            at = parent[at]
        if at is not None and at in walked:
            problems.append(
                f"nodes[{i}].parent = {node.parent!r}: the parents form a loop ({' > '.join(walked)})"[:300]
            )
            return
        safe.update(walked)


def ac_problem_from(raw: object) -> AcProblem:
    """Build an AC problem from a decoded document. Raises `ConfigError` with all mistakes."""
    problems: list[str] = []
    r = Reader(raw, "", problems)
    kind = r.text("kind", "ac")
    if kind != "ac":
        r.complain("kind", kind, 'must be "ac" here')
    nodes = tuple(_node(n, f"nodes[{i}]", problems) for i, n in enumerate(r.items("nodes", MAX_NODES)))
    connectors = tuple(
        _connector(c, f"connectors[{i}]", problems) for i, c in enumerate(r.items("connectors", MAX_CONNECTORS))
    )
    voltage = r.number("voltage", 230, high=1000)
    if voltage < 1 and "voltage" not in r.wrong:
        r.complain("voltage", voltage, "must be between 1 and 1000 (phase to neutral)")
    name = r.text("pause_policy", PausePolicy.LONGEST_FIRST.value)
    policy = PausePolicy.LONGEST_FIRST
    if name in {p.value for p in PausePolicy}:
        policy = PausePolicy(name)
    elif "pause_policy" not in r.wrong:
        r.complain("pause_policy", name, f"must be {' or '.join(p.value for p in PausePolicy)}")
    step = r.number("step_a", STEPS_A[-1], high=1.0)
    if step not in STEPS_A and "step_a" not in r.wrong:
        r.complain("step_a", step, "must be 1, 0.1 or 0.001")
    problem = AcProblem(
        nodes=nodes,
        connectors=connectors,
        name=r.text("name", ""),
        voltage_mv=math.ceil(voltage * 1000 - EPSILON),
        pause_policy=policy,
        step_ma=round(step * 1000),
        dwell_s=r.count("dwell_s", 300, high=DWELL_MAX_S),
    )
    r.done()
    _cross_check(problem, problems)
    if problems:
        raise ConfigError(problems)
    return problem


def ac_allocation_document(solution: AcSolution) -> dict[str, dict[str, float]]:
    """The allocation as it is printed: ``current_a`` per connector, exact to the third decimal, 0 = paused."""
    return {"current_a": {name: ma / 1000 for name, ma in solution.current_ma.items()}}
