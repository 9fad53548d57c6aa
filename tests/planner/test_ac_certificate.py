"""The bottleneck certificate on plans of any size, ten thousand connectors included."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.bench_planner import car_park
from evse.planner.ac import solve
from evse.planner.ac_problem import AcConnector, AcNode, AcProblem
from evse.planner.ac_verify import check, could_rise
from tests.planner.instances import ac_instance

BIGGEST = 10_000
LINES_MAX = 3


def _carries_its_certificate(problem: AcProblem) -> None:
    solution = solve(problem)
    assert solution.exact
    assert check(problem, solution.current_ma) == []
    slack_ma = LINES_MAX * problem.step_ma  # what a three-phase vehicle cannot use of a kW limit, one phase of another can
    assert could_rise(problem, solution.current_ma, slack_ma) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_ten_thousand_connectors_carry_their_certificate(seed: int) -> None:
    _carries_its_certificate(car_park(BIGGEST, seed, imbalance=False))


def test_weights_classes_and_steps_carry_their_certificate_at_any_size() -> None:
    checked = 0
    for seed in range(60):
        kind, problem = ac_instance(seed, 1 + seed * seed)
        if "imbalance" not in kind:
            checked += 1
            _carries_its_certificate(problem)
    assert checked > 20


def test_the_certificate_notices_one_who_was_held_back_among_ten_thousand() -> None:
    problem = car_park(BIGGEST, 3, imbalance=False)
    given = solve(problem).current_ma
    charging = [c for c in problem.connectors if given[c.id] > c.min_ma + 1_000]
    for connector in Random(1).sample(charging, 3):
        held = {**given, connector.id: given[connector.id] - 1_000}
        assert connector.id in could_rise(problem, held, 1)
        assert check(problem, {**given, connector.id: given[connector.id] + 40_000})


def test_what_is_left_over_and_too_little_for_three_lines_is_no_complaint() -> None:
    wide = AcConnector(id="wide", node="root", lines=3, min_ma=6_000, max_ma=16_000, demand_ma=32_000, weight_ppm=3_000_000)
    narrow = AcConnector(id="narrow", node="root", lines=1, min_ma=6_000, max_ma=32_000, demand_ma=8_255, weight_ppm=500_000)
    root = AcNode(id="root", parent=None, limit_ma=(63_000, 63_000, 63_000), limit_w=9_620)  # 41.8 A in all
    problem = AcProblem(nodes=(root,), connectors=(wide, narrow), step_ma=1000)
    assert solve(problem).current_ma == {"wide": 11_000, "narrow": 8_000}
    assert could_rise(problem, {"wide": 11_000, "narrow": 8_000}, 1000) == []
    assert could_rise(problem, {"wide": 10_000, "narrow": 8_000}, 1000) == ["wide"]
