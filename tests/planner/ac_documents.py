"""AC problems as documents, for tests that read them back or hand them to a program."""

from __future__ import annotations

from collections.abc import Mapping

from evse.planner.ac_problem import PPM, AcProblem


def ac_problem_document(problem: AcProblem) -> Mapping[str, object]:
    """The inverse of `ac_problem_from`."""
    nodes: list[dict[str, object]] = []
    for node in problem.nodes:
        row: dict[str, object] = {"id": node.id, "parent": node.parent, "limit_a": [ma / 1000 for ma in node.limit_ma]}
        if node.limit_w is not None:
            row["limit_kw"] = node.limit_w / 1000
        if node.imbalance_ma is not None:
            row["imbalance_a"] = node.imbalance_ma / 1000
        if any(node.background_ma):
            row["background_a"] = [ma / 1000 for ma in node.background_ma]
        nodes.append(row)
    connectors = [
        {
            "id": c.id,
            "node": c.node,
            "lines": c.lines,
            "rotation": c.rotation,
            "min_a": c.min_ma / 1000,
            "max_a": c.max_ma / 1000,
            "demand_a": c.demand_ma / 1000,
            "weight": c.weight_ppm / PPM,
            "priority": c.priority,
            "charging_s": c.charging_s,
            **({"switch_s": c.switch_s} if c.switch_s else {}),
        }
        for c in problem.connectors
    ]
    return {
        "kind": "ac",
        "name": problem.name,
        "voltage": problem.voltage_mv / 1000,
        "pause_policy": problem.pause_policy.value,
        "step_a": problem.step_ma / 1000,
        "dwell_s": problem.dwell_s,
        "nodes": nodes,
        "connectors": connectors,
    }
