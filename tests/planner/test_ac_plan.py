"""The AC planner against exhaustion with exact fractions, against the judge and against its certificate."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.domain.base import ConfigError
from evse.planner.ac import share, solve
from evse.planner.ac_admit import admit
from evse.planner.ac_problem import AcConnector, AcNode, AcProblem, PausePolicy
from evse.planner.ac_verify import check, could_rise, difference_rows, oracle, packing_rows
from evse.planner.tree import build
from tests._support.examples import examples
from tests.planner.ac_strategies import ac_problems

BOTH = tuple(PausePolicy)


def _agrees(problem: AcProblem) -> None:
    """Same connectors on, and nobody more than two steps (rounding down, and one mA of the inputs) below the
    optimum."""
    solution = solve(problem)
    assert check(problem, solution.current_ma) == []
    served, best = oracle(problem)
    on = {name for name, ma in solution.current_ma.items() if ma}
    assert on <= served
    assert {name for name in served if best[name] >= 1} <= on
    assert all(solution.current_ma[name] > best[name] - problem.step_ma - 1 for name in served)
    assert solution.exact


@settings(max_examples=examples(250), deadline=None)
@given(ac_problems(policies=BOTH))
def test_plan_is_the_optimum_of_all_corners(problem: AcProblem) -> None:
    _agrees(problem)


@settings(max_examples=examples(350), deadline=None)
@given(ac_problems(policies=BOTH, imbalance=True))
def test_plan_with_imbalance_is_the_optimum_of_all_corners(problem: AcProblem) -> None:
    _agrees(problem)


@settings(max_examples=examples(80), deadline=None)
@given(ac_problems(policies=BOTH, steps=(1000, 100)))
def test_setpoint_steps_stay_within_one_step_of_the_optimum(problem: AcProblem) -> None:
    _agrees(problem)
    for connector in problem.connectors:
        ma = solve(problem).current_ma[connector.id]
        assert ma in (0, connector.min_ma) or ma % problem.step_ma == 0


@settings(max_examples=examples(60), deadline=None)
@given(ac_problems(max_nodes=8, max_connectors=40, scarce=False))
def test_every_large_plan_carries_its_certificate(problem: AcProblem) -> None:
    solution = solve(problem)
    assert check(problem, solution.current_ma) == []
    assert could_rise(problem, solution.current_ma, slack_ma=problem.step_ma) == []


@settings(max_examples=examples(60), deadline=None)
@given(ac_problems(max_nodes=6, max_connectors=25, scarce=False, imbalance=True, steps=(1, 100, 1000)))
def test_large_plans_with_imbalance_break_no_limit(problem: AcProblem) -> None:
    assert check(problem, solve(problem).current_ma) == []


@settings(max_examples=examples(60), deadline=None)
@given(ac_problems(max_nodes=5, max_connectors=12, scarce=False, imbalance=True))
def test_every_added_row_follows_from_the_limits(problem: AcProblem) -> None:
    """A row that imbalance limits add is a non-negative sum of given rows; what it rules out is really impossible."""
    model = build(problem)
    on, _ = admit(problem, model)
    _, cuts, exact = share(model, on, [c.priority for c in problem.connectors])
    assert exact
    high = [sum(model.high_ma[i] for i in on if model.group_of[i] == g) for g in range(len(model.members))]
    for cut in cuts:
        total = {g: Fraction(0) for g in range(len(model.members))}
        cap = Fraction(0)
        for row, factor in cut.rows:
            assert factor > 0
            cap += factor * model.row_cap_ma[row]
            for g, c in model.row_groups[row]:
                total[g] += factor * c
        cap -= sum(c * high[g] for g, c in total.items() if c < 0)
        assert cut.cap_na == cap * 1_000_000
        assert dict(cut.coefficients) == {g: c for g, c in total.items() if c > 0}


@settings(max_examples=examples(50), deadline=None)
@given(ac_problems(max_nodes=5, max_connectors=12, scarce=False, imbalance=True), st.randoms(use_true_random=False))
def test_order_of_nodes_and_of_connectors_that_differ_in_charging_time_does_not_matter(
    problem: AcProblem, rng: st.DataObject
) -> None:
    cars = [
        AcConnector(**{f: getattr(c, f) for f in c.__struct_fields__} | {"charging_s": i})
        for i, c in enumerate(problem.connectors)
    ]
    nodes = list(problem.nodes)
    base = AcProblem(nodes=tuple(nodes), connectors=tuple(cars))
    rng.shuffle(cars)  # type: ignore[attr-defined]
    rng.shuffle(nodes)  # type: ignore[attr-defined]
    other = AcProblem(nodes=tuple(nodes), connectors=tuple(cars))
    first, second = solve(base).current_ma, solve(other).current_ma
    assert {k for k, v in first.items() if v} == {k for k, v in second.items() if v}
    assert all(abs(first[name] - second[name]) <= len(cars) for name in first)


@settings(max_examples=examples(80), deadline=None)
@given(ac_problems(), st.integers(1, 20_000))
def test_a_higher_fuse_never_makes_the_poorest_poorer(problem: AcProblem, more: int) -> None:
    if len({c.priority for c in problem.connectors}) > 1:
        return
    before = solve(problem)
    first = problem.nodes[0]
    raised = AcNode(
        **{f: getattr(first, f) for f in first.__struct_fields__}
        | {"limit_ma": tuple(ma + more for ma in first.limit_ma)}
    )
    after = solve(
        AcProblem(
            **{f: getattr(problem, f) for f in problem.__struct_fields__} | {"nodes": (raised, *problem.nodes[1:])}
        )
    )
    on = {name for name, ma in before.current_ma.items() if ma}
    if on == {name for name, ma in after.current_ma.items() if ma} and on:
        weight = {c.id: c.weight_ppm for c in problem.connectors}
        low = min(Fraction(before.current_ma[name], weight[name]) for name in on)
        assert min(Fraction(after.current_ma[name], weight[name]) for name in on) >= low - Fraction(2, 700_000)


def test_the_judge_sees_every_kind_of_broken_limit() -> None:
    node = AcNode(id="n", parent=None, limit_ma=(20_000,) * 3, limit_w=5_000, imbalance_ma=4_000)
    cars = (
        AcConnector(id="a", node="n", lines=1, min_ma=6_000, max_ma=32_000, demand_ma=32_000),
        AcConnector(id="b", node="n", lines=3, min_ma=6_000, max_ma=8_000, demand_ma=32_000),
    )
    problem = AcProblem(nodes=(node,), connectors=cars)
    assert check(problem, {"a": 0, "b": 7_000}) == []
    broken = check(problem, {"a": 21_000, "b": 9_000})
    for part in ("b: 9000 mA, may have 6000..8000", "n L1: 30000 mA", "n kW: 48000 mA", "n L1-L2: 21000 mA"):
        assert any(part in line for line in broken)
    assert len(packing_rows(problem)) == 4
    assert len(difference_rows(problem)) == 6


def test_the_certificate_names_who_was_forgotten() -> None:
    node = AcNode(id="n", parent=None, limit_ma=(26_000,) * 3)
    cars = tuple(
        AcConnector(id=name, node="n", lines=1, min_ma=6_000, max_ma=32_000, demand_ma=32_000) for name in ("a", "b")
    )
    problem = AcProblem(nodes=(node,), connectors=cars)
    assert could_rise(problem, {"a": 13_000, "b": 13_000}, 1) == []
    assert could_rise(problem, {"a": 10_000, "b": 16_000}, 1) == ["a"]
    assert could_rise(problem, {"a": 10_000, "b": 10_000}, 1) == ["a", "b"]


def test_a_loop_of_nodes_is_refused() -> None:
    nodes = (
        AcNode(id="a", parent="b", limit_ma=(1, 1, 1)),
        AcNode(id="b", parent="a", limit_ma=(1, 1, 1)),
    )
    with pytest.raises(ConfigError, match="loop"):
        solve(AcProblem(nodes=nodes, connectors=()))
