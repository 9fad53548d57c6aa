"""The planner against the true optimum by an independent solver. `python -m tools.planner_proof` does thousands."""

from __future__ import annotations

import msgspec
import pytest

from evse.planner.ac import solve
from tests._support.examples import examples
from tests.planner.instances import ac_instance, described, judge_ac, judge_dc, short_of
from tests.planner.oracle_highs import ac_optimum, dc_optimum
from tests.planner.test_park import hub


@pytest.mark.parametrize("seed", range(examples(60, 20)))
def test_ac_plans_are_the_optimum(seed: int) -> None:
    verdict = judge_ac(seed, 2 + seed % 13)
    assert not verdict.wrong, described(verdict, seed)


def test_larger_car_parks_are_the_optimum() -> None:
    for seed, size in ((1, 40), (2, 80), (3, 120)):
        verdict = judge_ac(seed, size)
        assert not verdict.wrong, described(verdict, seed)


@pytest.mark.parametrize("seed", range(examples(30, 10)))
def test_dc_plans_are_the_optimum(seed: int) -> None:
    verdict = judge_dc(seed, 1 + seed % 6)
    assert not verdict.wrong, described(verdict, seed)


def test_the_oracle_notices_a_plan_that_is_a_little_worse() -> None:
    noticed = 0
    for seed in range(10):
        _, problem = ac_instance(seed, 6)
        best, given = ac_optimum(problem), solve(problem).current_ma
        for name, ma in given.items():
            if ma:
                worse = {**given, name: ma - problem.step_ma - 10}
                noticed += bool(short_of(problem, worse, best))
                assert short_of(problem, {**given, name: 0}, best)
    assert noticed > 10


def test_a_hub_with_a_known_answer() -> None:
    site = hub(2, site_limit_w=100_000)
    cars = tuple(msgspec.structs.replace(c, request_w=150_000, charging_s=k) for k, c in enumerate(site.connectors))
    served, powers = dc_optimum(msgspec.structs.replace(site, connectors=cars))
    assert served == ["c0", "c1"] and powers == pytest.approx([47.5, 47.5], abs=1e-3)
    alone = msgspec.structs.replace(site, site_limit_w=None, connectors=cars[:1])
    assert dc_optimum(alone)[1] == pytest.approx([150.0], abs=1e-3)  # three groups give more than it asks for
