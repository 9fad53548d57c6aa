"""What other load management does wrong, each as a test by name, and the rules of the two pause policies."""

from __future__ import annotations

from evse.planner.ac import solve
from evse.planner.ac_problem import PPM, AcConnector, AcNode, AcProblem, PausePolicy
from evse.planner.ac_verify import check, could_rise


def _car(name: str, lines: int = 3, rotation: str = "RST", **more: object) -> AcConnector:
    fields: dict[str, object] = {"node": "n", "min_ma": 6_000, "max_ma": 32_000, "demand_ma": 32_000}
    return AcConnector(id=name, lines=lines, rotation=rotation, **(fields | more))  # type: ignore[arg-type]


def _site(*cars: AcConnector, amps: tuple[int, int, int] = (32, 32, 32), **more: object) -> AcProblem:
    policy = more.pop("pause_policy", PausePolicy.LONGEST_FIRST)
    step = more.pop("step_ma", 1)
    node = AcNode(id="n", parent=None, limit_ma=(amps[0] * 1000, amps[1] * 1000, amps[2] * 1000), **more)  # type: ignore[arg-type]
    return AcProblem(nodes=(node,), connectors=cars, pause_policy=policy, step_ma=step)  # type: ignore[arg-type]


def _amps(problem: AcProblem) -> dict[str, float]:
    solution = solve(problem)
    assert check(problem, solution.current_ma) == []
    assert could_rise(problem, solution.current_ma, problem.step_ma) == [] or problem.nodes[0].imbalance_ma is not None
    return {name: ma / 1000 for name, ma in solution.current_ma.items()}


def test_a_car_on_l1_is_not_cut_because_l3_is_full() -> None:
    problem = _site(_car("a", 1, "RST"), _car("b", 1, "TRS"), background_ma=(0, 0, 24_000))
    assert _amps(problem) == {"a": 32.0, "b": 8.0}


def test_one_phase_cars_on_different_phases_do_not_add_up() -> None:
    assert _amps(_site(_car("a", 1, "RST"), _car("b", 1, "TRS"))) == {"a": 32.0, "b": 32.0}


def test_rotation_decides_which_phase_a_one_phase_car_loads() -> None:
    assert _amps(_site(_car("a", 1, "STR"), amps=(32, 7, 32))) == {"a": 7.0}


def test_a_mix_of_one_and_three_phase_cars_uses_the_whole_fuse() -> None:
    amps = _amps(_site(_car("a", 3), _car("b", 1, "RST"), _car("c", 1, "STR"), _car("d", 1, "TRS")))
    assert amps == {"a": 16.0, "b": 16.0, "c": 16.0, "d": 16.0}
    phases = 3 * amps["a"] + amps["b"] + amps["c"] + amps["d"]
    assert phases == 96.0  # a single number per node would stop at 32 A for all four together


def test_three_cars_share_instead_of_first_come_first_served() -> None:
    assert _amps(_site(_car("a"), _car("b"), _car("c"), amps=(48, 48, 48))) == {"a": 16.0, "b": 16.0, "c": 16.0}


def test_what_one_car_leaves_goes_to_the_others() -> None:
    assert _amps(_site(_car("a", demand_ma=8_000), _car("b"), _car("c"))) == {"a": 8.0, "b": 12.0, "c": 12.0}


def test_the_fewest_are_paused_not_all() -> None:
    cars = [_car(f"c{i}", charging_s=100 * i) for i in range(6)]
    assert _amps(_site(*cars)) == {"c0": 6.4, "c1": 6.4, "c2": 6.4, "c3": 6.4, "c4": 6.4, "c5": 0.0}


def test_longest_first_pauses_who_charged_longest_and_lets_a_smaller_one_in() -> None:
    problem = _site(
        _car("old", 1, charging_s=900), _car("wide", 3, charging_s=500), _car("new", 3, charging_s=1), amps=(12, 6, 6)
    )
    assert _amps(problem) == {"old": 6.0, "wide": 0.0, "new": 6.0}


def test_max_served_prefers_two_narrow_cars_to_a_wide_one() -> None:
    cars = (_car("wide", 3, charging_s=0), _car("a", 1, "RST", charging_s=5), _car("b", 1, "STR", charging_s=5))
    assert _amps(_site(*cars, amps=(6, 6, 6))) == {"wide": 6.0, "a": 0.0, "b": 0.0}
    most = _site(*cars, amps=(6, 6, 6), pause_policy=PausePolicy.MAX_SERVED)
    assert _amps(most) == {"wide": 0.0, "a": 6.0, "b": 6.0}


def test_sharing_does_not_stop_after_a_number_of_rounds() -> None:
    cars = [_car(f"c{i}", demand_ma=6_000 + 500 * i, max_ma=80_000) for i in range(60)]
    problem = _site(*cars, amps=(1000, 1000, 1000))
    amps = _amps(problem)
    assert amps["c0"] == 6.0
    assert abs(sum(amps.values()) - 1000) < 0.001


def test_priority_class_first_then_the_rest_at_its_minimum() -> None:
    assert _amps(_site(_car("guest"), _car("bus", priority=1), amps=(30, 30, 30))) == {"guest": 6.0, "bus": 24.0}


def test_weights_share_in_proportion_above_the_minimum() -> None:
    amps = _amps(_site(_car("a"), _car("b", weight_ppm=2 * PPM), amps=(30, 30, 30)))
    assert amps == {"a": 10.0, "b": 20.0}


def test_a_power_limit_counts_phases_and_house_load() -> None:
    amps = _amps(_site(_car("a", 3), limit_w=11_040, background_ma=(6_000, 6_000, 6_000)))
    assert amps == {"a": 10.0}


def test_a_limit_of_zero_and_an_overloaded_house_pause_everybody() -> None:
    assert _amps(_site(_car("a"), amps=(0, 0, 0))) == {"a": 0.0}
    assert _amps(_site(_car("a"), background_ma=(40_000, 0, 0))) == {"a": 0.0}


def test_a_demand_below_the_minimum_keeps_the_minimum_and_none_is_none() -> None:
    assert _amps(_site(_car("a", demand_ma=2_000), _car("b", demand_ma=0))) == {"a": 6.0, "b": 0.0}


def test_a_cable_below_the_minimum_is_never_on() -> None:
    problem = _site(_car("a", max_ma=5_000))
    assert _amps(problem) == {"a": 0.0}
    assert solve(problem).waiting == ()


def test_imbalance_counts_no_three_phase_car() -> None:
    assert _amps(_site(_car("a", 3), imbalance_ma=0)) == {"a": 32.0}


def test_imbalance_lets_a_second_phase_raise_the_first() -> None:
    one = _site(_car("a", 1, "RST"), imbalance_ma=16_000)
    assert _amps(one) == {"a": 16.0}
    cars = (_car("a", 1, "RST"), _car("b", 1, "STR"), _car("c", 1, "TRS", demand_ma=10_000))
    assert _amps(_site(*cars, imbalance_ma=16_000)) == {"a": 26.0, "b": 26.0, "c": 10.0}


def test_a_later_car_can_be_what_lets_an_earlier_one_start() -> None:
    cars = (_car("a", 1, "RST", charging_s=0), _car("b", 1, "STR", charging_s=1), _car("c", 1, "TRS", charging_s=2))
    assert _amps(_site(cars[0], imbalance_ma=4_000)) == {"a": 0.0}
    assert _amps(_site(*cars, imbalance_ma=4_000)) == {"a": 32.0, "b": 32.0, "c": 32.0}


def test_imbalance_made_by_the_house_is_not_made_worse() -> None:
    problem = _site(_car("a", 1, "RST"), _car("b", 1, "STR"), imbalance_ma=10_000, background_ma=(20_000, 0, 5_000))
    assert _amps(problem) == {"a": 0.0, "b": 15.0}


def test_whole_amps_leave_no_step_unused() -> None:
    amps = _amps(_site(_car("a"), _car("b"), _car("c"), amps=(32, 32, 32), step_ma=1000))
    assert sorted(amps.values()) == [10.0, 11.0, 11.0]


def test_a_sub_fuse_binds_only_its_own_cars() -> None:
    nodes = (
        AcNode(id="n", parent=None, limit_ma=(60_000,) * 3),
        AcNode(id="box", parent="n", limit_ma=(16_000,) * 3),
    )
    cars = (_car("a", node="box"), _car("b", node="box"), _car("c"), _car("d"))
    assert _amps(AcProblem(nodes=nodes, connectors=cars)) == {"a": 8.0, "b": 8.0, "c": 22.0, "d": 22.0}
