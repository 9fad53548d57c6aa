"""Admission where the minimums of most vehicles do not fit and the search reaches its bound: still no worse than the obvious."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.bench_planner import car_park
from evse.planner.ac_admit import admit
from evse.planner.ac_problem import AcProblem, PausePolicy
from evse.planner.tree import build


def _scarce(connectors: int, seed: int, policy: PausePolicy) -> AcProblem:
    """A car park with an imbalance limit whose fuses were cut to a quarter."""
    problem = car_park(connectors, seed, imbalance=True)
    nodes = tuple(
        msgspec.structs.replace(
            n, limit_ma=tuple((limit - load) // 4 + load for limit, load in zip(n.limit_ma, n.background_ma, strict=True))
        )
        for n in problem.nodes
    )
    return msgspec.structs.replace(problem, nodes=nodes, pause_policy=policy)


def _admitted(problem: AcProblem) -> tuple[list[int], bool]:
    return admit(problem, build(problem))


@pytest.mark.parametrize(("connectors", "seed"), [(200, 0), (200, 1), (1000, 0)])
def test_max_served_never_serves_fewer_than_longest_first(connectors: int, seed: int) -> None:
    """At a thousand points with an imbalance limit it once served 90 where the other policy served 402: running out of
    questions threw away the best set so far."""
    most, _ = _admitted(_scarce(connectors, seed, PausePolicy.MAX_SERVED))
    first, exact = _admitted(_scarce(connectors, seed, PausePolicy.LONGEST_FIRST))
    assert exact
    assert len(most) >= len(first) > connectors // 4
