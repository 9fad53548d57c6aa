"""On the way from one plan to the next no limit is exceeded at any instant, by followers that do their worst."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evse.domain.limits import Allocation, GroupAssignment, Plan
from evse.planner.ac import solve
from evse.planner.ac_problem import AcConnector, AcNode, AcProblem
from evse.planner.transition import (
    AC_PACE,
    DC_PACE,
    FALLS_MAX,
    Follower,
    Pace,
    Row,
    ac_rows,
    dc_in_force,
    follow,
    raised,
    set_share,
)
from evse.units import NS_PER_MS, NS_PER_S, Instant
from tests._support.examples import examples
from tests.planner.ac_strategies import ac_problems

T0 = 100 * NS_PER_S


def s(seconds: float) -> Instant:
    return T0 + round(seconds * NS_PER_S)


def lowered(share: int, was: int = 16_000) -> Follower:
    return set_share(Follower(share=was), share, T0)


# -- one follower -----------------------------------------------------------------------------------------------------


def test_what_it_had_stays_reserved_until_the_meter_confirms_or_the_time_is_over() -> None:
    f = lowered(8_000)
    assert follow(f, 7_900, AC_PACE, s(4.9)).reserved == 16_000, "the meter may be late"
    assert follow(f, 7_900, AC_PACE, s(5)).reserved == 8_000
    assert follow(f, 8_400, AC_PACE, s(5)).reserved == 8_000, "half an ampere above is obedience"
    assert follow(f, 15_900, AC_PACE, s(9.9)).reserved == 16_000
    assert follow(f, None, AC_PACE, s(9.9)).reserved == 16_000
    assert follow(f, None, AC_PACE, s(10)).reserved == 8_000


def test_a_draw_that_does_not_fall_stays_reserved_for_ever_and_is_named() -> None:
    f = lowered(8_000)
    for seconds in range(1, 600):
        f = follow(f, 15_900, AC_PACE, s(seconds))
        assert f.reserved >= 15_900
    assert f.ignores == 15_900
    assert follow(f, 8_000, AC_PACE, s(601)).ignores == 0


def test_nothing_is_reserved_behind_an_open_contactor() -> None:
    assert follow(lowered(0), None, AC_PACE, s(0.1), cut=True).reserved == 0
    assert follow(lowered(0), 0, AC_PACE, s(0.1)).reserved == 16_000, "it may be closed, and draw again"
    assert follow(lowered(6_000), 0, AC_PACE, s(0.1), cut=True).reserved == 16_000, "it may close"


def test_steps_down_one_after_the_other_are_freed_one_after_the_other() -> None:
    """A taper must not keep everything reserved that it ever had."""
    f = Follower(share=20_000)
    for k in range(60):
        f = set_share(f, 20_000 - 100 * k, s(2 * k))
        f = follow(f, f.share, AC_PACE, s(2 * k))
        assert f.held - f.share <= 300


def test_more_reductions_than_are_remembered_are_counted_as_one_on_the_safe_side() -> None:
    f = Follower(share=100_000)
    for k in range(4 * FALLS_MAX):
        f = set_share(f, 100_000 - 1_000 * (k + 1), T0 + k)
    assert len(f.falls) == FALLS_MAX
    assert f.held == 100_000
    assert follow(f, 0, AC_PACE, s(10)).reserved == f.share


# -- many ------------------------------------------------------------------------------------------------------------


SITE = Row(most=30, draws={"1": 1, "2": 1})


def test_who_may_rise_waits_for_who_has_to_fall() -> None:
    one = Follower(share=20)
    after = raised((SITE,), {"1": 10, "2": 20}, {"1": one, "2": Follower(share=10)}, {"1": 1, "2": 1}, 1)
    assert after == {"1": 10, "2": 10}
    one = follow(set_share(one, 10, T0), 10, replace(AC_PACE, slack=0), s(5))
    assert raised((SITE,), {"1": 10, "2": 20}, {"1": one, "2": Follower(share=10)}, {"1": 1, "2": 1}, 1) == {"1": 10, "2": 20}


def test_a_share_below_the_least_is_not_given_and_steps_are_kept() -> None:
    known = {"1": set_share(Follower(share=24), 10, T0), "2": Follower()}
    assert raised((SITE,), {"1": 10, "2": 20}, known, {"1": 1, "2": 7}, 1)["2"] == 0
    assert raised((SITE,), {"1": 10, "2": 20}, known, {"1": 1, "2": 5}, 4)["2"] == 0
    assert raised((SITE,), {"1": 10, "2": 20}, known, {"1": 1, "2": 4}, 4)["2"] == 4


class Worst:
    """A follower that may at any moment draw the most that its kind is allowed to.

    ``late``: any share of the time to follow. ``stuck``: never less than it ever had. ``blind``: no meter, any share of the
    longest wait.
    """

    def __init__(self, kind: str, pace: Pace) -> None:
        self.window = {"late": pace.follow_ns, "blind": pace.wait_max_ns, "stuck": 10**6 * NS_PER_S}[kind]
        self.kind, self.share = kind, 0
        self.past: list[tuple[Instant, int]] = []  # share, in force until

    def tell(self, share: int, now: Instant) -> None:
        if share != self.share:
            self.past.append((now, self.share))
        self.share = share

    def most(self, now: Instant) -> int:
        """The largest draw at ``now`` and until the next plan."""
        return max([self.share, *(was for until, was in self.past if now - until < self.window)])

    def reading(self, now: Instant, part: int) -> int | None:
        if self.kind == "blind":
            return None
        if self.kind == "stuck":
            return self.most(now)
        return self.most(now) * part // 100


def used(row: Row, worst: dict[str, int]) -> int:
    return sum(weight * worst[name] for name, weight in row.draws.items())


@settings(max_examples=examples(50), deadline=None)
@given(ac_problems(max_nodes=3, max_connectors=5, scarce=False, steps=(1, 100)), st.data())
def test_no_fuse_is_ever_above_its_limit_whatever_the_vehicles_do(problem, data) -> None:  # type: ignore[no-untyped-def]
    """Demands and limits change at any time; a limit that falls below what flows is never exceeded by more than before."""
    names = [c.id for c in problem.connectors]
    kinds = data.draw(st.lists(st.sampled_from(("late", "late", "stuck", "blind")), min_size=len(names), max_size=len(names)))
    cars = {name: Worst(kind, AC_PACE) for name, kind in zip(names, kinds, strict=True)}
    known = {name: Follower() for name in names}
    least = {c.id: c.min_ma for c in problem.connectors}
    pace = Pace(follow_ns=AC_PACE.follow_ns, wait_max_ns=AC_PACE.wait_max_ns, slack=0)
    now, before = T0, dict.fromkeys(names, 0)
    for _ in range(data.draw(st.integers(3, 12))):
        now += data.draw(st.sampled_from((250, 1_000, 2_500, 5_000, 12_000))) * NS_PER_MS
        change = data.draw(st.sampled_from(("demand", "demand", "limit", "nothing")))
        if change == "demand":
            asks = [data.draw(st.sampled_from((0, 8_000, 16_000, 32_000))) for _ in names]
            rows = tuple(replace(c, demand_ma=a) for c, a in zip(problem.connectors, asks, strict=True))
            problem = replace(problem, connectors=rows)
        elif change == "limit":
            node = data.draw(st.integers(0, len(problem.nodes) - 1))
            part = data.draw(st.integers(30, 150))
            a, b, c = (ma * part // 100 for ma in problem.nodes[node].limit_ma)
            nodes = tuple(replace(n, limit_ma=(a, b, c)) if i == node else n for i, n in enumerate(problem.nodes))
            problem = replace(problem, nodes=nodes)
        target = dict(solve(problem).current_ma)
        for name, f in known.items():
            reading = cars[name].reading(now, data.draw(st.integers(0, 100)))
            cut = f.share == 0 and data.draw(st.booleans())
            if cut:
                cars[name].past.clear()
            known[name] = follow(f, 0 if cut else reading, pace, now, cut=cut)
        rows = ac_rows(problem)
        given_ma = raised(rows, target, known, least, problem.step_ma)
        assert given_ma == raised(rows[::-1], dict(reversed(target.items())), known, least, problem.step_ma), "order matters"
        for name, ma in given_ma.items():
            assert ma <= max(0, target[name])
            assert ma == 0 or ma >= min(least[name], known[name].share)
            known[name] = set_share(known[name], ma, now)
            cars[name].tell(ma, now)
        worst = {name: car.most(now) for name, car in cars.items()}
        assert all(known[n].reserved >= worst[n] for n in names)
        for row in rows:
            assert used(row, worst) <= max(row.most, used(row, before)), (row, worst)
        before = worst


@settings(max_examples=examples(30), deadline=None)
@given(ac_problems(max_nodes=2, max_connectors=4, scarce=False))
def test_when_everybody_follows_the_plan_is_reached(problem) -> None:  # type: ignore[no-untyped-def]
    names = [c.id for c in problem.connectors]
    known = {name: Follower(share=6_000) for name in names}
    target = dict(solve(problem).current_ma)
    least = {c.id: c.min_ma for c in problem.connectors}
    now, shares = T0, {}
    for _ in range(2 * len(names) + 2):
        shares = raised(ac_rows(problem), target, known, least, problem.step_ma)
        known = {n: set_share(f, shares[n], now) for n, f in known.items()}
        now += 6 * NS_PER_S
        known = {n: follow(f, f.share, AC_PACE, now) for n, f in known.items()}
    assert shares == target


def balanced_site(rng: Random) -> AcProblem:
    """Up to eight vehicles with known lines below one limit of imbalance, and fuses that are wide enough for half of them."""
    amps = rng.randrange(30, 90) * 1_000
    node = AcNode(id="top", parent=None, limit_ma=(amps,) * 3, imbalance_ma=rng.choice((6_000, 10_000, 20_000)))
    rotations = ("RST", "STR", "TRS")
    cars = tuple(
        AcConnector(id=str(i), node="top", lines=rng.choice((1, 1, 2, 3)), rotation=rng.choice(rotations), min_ma=6_000, max_ma=32_000, demand_ma=0)
        for i in range(rng.randint(2, 8))
    )
    return AcProblem(nodes=(node,), connectors=cars, step_ma=100)


@pytest.mark.parametrize("seed", range(examples(40, 10)))
def test_every_limit_holds_at_every_instant_whoever_of_them_follows(seed: int) -> None:
    """Imbalance included: each vehicle draws what it drew or what it is told now, in any combination, for any time. And the plan
    is reached once all follow."""
    rng = Random(f"subset {seed}")
    problem = balanced_site(rng)
    names = [c.id for c in problem.connectors]
    drawn, shares, least = dict.fromkeys(names, 0), dict.fromkeys(names, 0), dict.fromkeys(names, 6_000)

    def step(target: dict[str, int]) -> None:
        known = {n: Follower(share=shares[n], ignores=drawn[n] if drawn[n] > shares[n] else 0) for n in names}
        shares.update(raised(rows, target, known, least, 100, drawn))
        high = {n: max(shares[n], drawn[n]) for n in names}
        low = {n: min(shares[n], drawn[n]) for n in names}
        for row in rows:
            assert row.left(high, low) >= -1, (row, shares, drawn)

    rows = ac_rows(problem)
    for _ in range(12):
        asks = {n: rng.choice((0, 0, 8_000, 16_000, 32_000)) for n in names}
        problem = replace(problem, connectors=tuple(replace(c, demand_ma=asks[c.id]) for c in problem.connectors))
        target = dict(solve(problem).current_ma)
        for _ in range(rng.choice((1, 2, 3, 30))):
            step(target)
            drawn |= {n: shares[n] for n in names if rng.random() < 0.5}
    for _ in range(40):
        step(target)
        drawn |= shares
    assert shares == target


# -- DC ---------------------------------------------------------------------------------------------------------------


def plan(watts: Sequence[int], owners: Sequence[int | None] = ()) -> Plan:
    return Plan(
        version=1,
        allocations=tuple(
            Allocation(evse_id=i, requested_w=w, offered_w=w, allowed_w=w, assigned_w=w, chain=()) for i, w in enumerate(watts, 1)
        ),
        groups=tuple(GroupAssignment(group_id=i, owner=o) for i, o in enumerate(owners, 1)),
        site_limit_w=0,
    )


def assigned(p: Plan) -> list[int]:
    return [row.assigned_w for row in p.allocations]


def test_a_dc_vehicle_gets_the_power_of_another_when_the_meter_shows_that_it_is_free() -> None:
    now_plan, known, pending = dc_in_force(plan([60_000, 30_000]), 90_000, 3_000, {}, {1: 0, 2: 0}, T0)
    assert assigned(now_plan) == [60_000, 30_000] and not pending
    target = plan([30_000, 60_000], (1, 2, 2))
    now_plan, known, pending = dc_in_force(target, 90_000, 3_000, known, {1: 59_000, 2: 30_000}, s(10))
    assert assigned(now_plan) == [30_000, 30_000] and pending
    assert now_plan.allocations[1].detail == "60.0 kW as soon as the others have followed their smaller shares"
    assert now_plan.groups == target.groups, "relays wait for zero current by themselves"
    now_plan, known, pending = dc_in_force(target, 90_000, 3_000, known, {1: 30_500, 2: 30_000}, s(11.9))
    assert assigned(now_plan) == [30_000, 30_000], "the reading may be old"
    now_plan, known, pending = dc_in_force(target, 90_000, 3_000, known, {1: 30_500, 2: 30_000}, s(12))
    assert now_plan is target and not pending


def test_a_silent_group_keeps_its_power_reserved_until_its_own_watchdog_is_over() -> None:
    _, known, _ = dc_in_force(plan([60_000, 30_000]), 90_000, 3_000, {}, {}, T0)
    target = plan([0, 90_000])
    for seconds in range(12):
        now_plan, known, _ = dc_in_force(target, 90_000, 3_000, known, {}, s(seconds))
        assert assigned(now_plan) == [0, 30_000]
    now_plan, known, pending = dc_in_force(target, 90_000, 3_000, known, {}, s(12))
    assert now_plan is target and not pending


def test_a_newcomer_gets_nothing_or_the_minimum() -> None:
    _, known, _ = dc_in_force(plan([88_000, 0]), 90_000, 3_000, {}, {}, T0)
    now_plan, known, _ = dc_in_force(plan([45_000, 45_000]), 90_000, 3_000, known, {1: 88_000, 2: 0}, s(1))
    assert assigned(now_plan) == [45_000, 0], "2 kW are free: less than the minimum"
    now_plan, known, _ = dc_in_force(plan([45_000, 45_000]), 92_000, 3_000, known, {1: 88_000, 2: 0}, s(1.5))
    assert assigned(now_plan) == [45_000, 4_000]


def test_without_a_shared_limit_nobody_waits() -> None:
    _, known, _ = dc_in_force(plan([60_000, 30_000]), None, 3_000, {}, {}, T0)
    target = plan([30_000, 60_000])
    assert dc_in_force(target, None, 3_000, known, {}, s(1))[0] is target


@settings(max_examples=examples(80), deadline=None)
@given(st.data())
def test_the_site_is_never_above_its_limit_while_modules_follow_late_or_not_at_all(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 5))
    kinds = data.draw(st.lists(st.sampled_from(("late", "late", "stuck", "blind")), min_size=count, max_size=count))
    cars = {i: Worst(kind, DC_PACE) for i, kind in enumerate(kinds, 1)}
    known: dict[int, Follower] = {}
    now, before, cap = T0, 0, 100_000
    for _ in range(data.draw(st.integers(3, 15))):
        now += data.draw(st.sampled_from((250, 2_000, 5_000, 12_000))) * NS_PER_MS
        cap = data.draw(st.sampled_from((cap, cap, 50_000, 100_000, 160_000)))
        shares = [data.draw(st.integers(0, cap // count)) for _ in range(count)]
        lucky = data.draw(st.integers(0, count - 1))
        shares[lucky] = cap - sum(shares) + shares[lucky]
        target = plan([w if w >= 3_000 else 0 for w in shares])
        readings = {i: car.reading(now, data.draw(st.integers(0, 100))) for i, car in cars.items()}
        in_force, known, _ = dc_in_force(target, cap, 3_000, known, readings, now)
        for row, wish in zip(in_force.allocations, target.allocations, strict=True):
            assert row.assigned_w <= wish.assigned_w
            cars[row.evse_id].tell(row.assigned_w, now)
        worst = sum(car.most(now) for car in cars.values())
        # a reading up to the slack of the meter above a share counts as obedience
        assert worst <= max(cap, before) + DC_PACE.slack * count
        before = worst
