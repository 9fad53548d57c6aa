"""The planner against its budgets; all sizes are in ``python benchmarks/bench_planner.py``."""

from __future__ import annotations

from benchmarks.bench_planner import (
    AC_BUDGETS_MS,
    AC_IMBALANCE_BUDGETS_MS,
    ac_row,
    cases,
    hub_day_s,
    median_ms,
    park_day_s,
)
from benchmarks.timing import Figure
from evse.domain.station import Topology

REPEAT = 7
"""Calls per round: one per instance of a case."""
ROUNDS = 3
BUDGETS: dict[str, tuple[str, float | None]] = {
    "live_2_connectors": ("replanning as the daemon does it, 2 connectors", None),
    "live_12_connectors": ("replanning as the daemon does it, 12 connectors", 5.0),
    "live_48_connectors": ("replanning as the daemon does it, 48 connectors", None),
    "chain_12_connectors_12_groups_3_kinds": ("planner, chain, 12 connectors on 12 groups", 5.0),
    "chain_12_connectors_24_groups_3_kinds": ("planner, chain, 12 connectors on 24 groups", 5.0),
    "ring_12_connectors_24_groups_3_kinds": ("planner, ring, 12 connectors on 24 groups", 5.0),
    "chain_48_connectors_96_groups_3_kinds": ("planner, chain, 48 connectors on 96 groups", None),
    "matrix_12_connectors_12_groups_3_kinds": ("planner, matrix, 12 connectors on 12 groups", 50.0),
    "matrix_12_connectors_24_groups_3_kinds": ("planner, matrix, 12 connectors on 24 groups", 50.0),
}
"""Case -> (name in the table, budget in ms of docs/planner.md)."""


def run(repeat: int = REPEAT) -> list[Figure]:
    """Median CPU time over the instances of a case, of the round that the machine disturbed least."""
    known = cases()
    figures = [
        Figure(name=name, value=min(median_ms(known[case], repeat) for _ in range(ROUNDS)), unit="ms", budget=budget)
        for case, (name, budget) in BUDGETS.items()
    ]
    figures += [
        Figure(name=f"planner, a day of a DC hub, {t.value}, 12 connectors on 16 groups", value=hub_day_s(t), unit="s", budget=60.0)
        for t in Topology
    ]
    figures += [
        Figure(
            name=f"planner, a day of a car park{' with imbalance' if imbalance else ''}, 200 points, {vehicles} vehicles",
            value=park_day_s(vehicles, imbalance), unit="s", budget=60.0,
        )
        for vehicles, imbalance in ((240, False), (60, True))
    ]  # fmt: skip
    return [*figures, *ac(AC_BUDGETS_MS, imbalance=False), *ac(AC_IMBALANCE_BUDGETS_MS, imbalance=True)]


def ac(budgets_ms: dict[int, float], *, imbalance: bool) -> list[Figure]:
    """Whole AC plans: the median over the car parks of a size, with the worst of them as a note."""
    figures = []
    for connectors, budget in budgets_ms.items():
        row = ac_row(connectors, imbalance)
        name = f"planner, AC{' with imbalance' if imbalance else ''}, {connectors} connectors"
        note = f"worst {row['worst_ms']:.2f} ms"
        figures.append(Figure(name=name, value=row["median_ms"], unit="ms", budget=budget, note=note))
    return figures
