"""Imbalance limits below the smallest step of a vehicle: nothing starts that would break them, and who breaks them stops."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evse.domain.limits import LimitSource
from evse.domain.station import GridSpec
from evse.planner.ac import solve
from evse.planner.ac_problem import PHASES, AcConnector, AcNode, AcProblem
from evse.planner.balance import cannot_start, without
from evse.planner.transition import PAUSE_SLACK, Follower, Row, ac_rows, raised
from tests._support.examples import examples
from tests.planner.test_balance import ROTATIONS, difference
from tests.planner.test_live_ac import Car, Park


def small(limit_ma: int, lines: int, count: int, *, point_lines: int = 0) -> Park:
    """Vehicles on L1, L2, L3 in turns that follow after 1, 2, 3 ... s, under an imbalance limit."""
    cars = {i: Car(lines=lines, rotation=ROTATIONS[(i - 1) % PHASES], follow_s=float(min(i, 5))) for i in range(1, count + 1)}
    return Park(GridSpec(fuse_ma=63_000, imbalance_ma=limit_ma), cars, point_lines=point_lines)


def worst(park: Park, seconds: int) -> int:
    """Let time pass; return the largest difference, mA."""
    most = 0
    for _ in range(4 * seconds):
        park.step()
        most = max(most, difference(park))
    return most


def test_one_phase_vehicles_that_could_only_start_together_wait_and_say_why() -> None:
    """Nobody controls when a vehicle begins to draw: one of three would carry 6 A alone for a while."""
    park = small(4_000, 1, 3)
    assert worst(park, 90) == 0 and park.shares() == [0, 0, 0]
    assert not park.pending, "nobody is waited for"
    row = park.rows[2]
    assert row.paused and row.target_ma == 0 and row.binding is LimitSource.OUT_OF_BALANCE
    assert row.detail == "it waits: 6.0 A on L2 alone would break the imbalance limit of 4.0 A; it starts when other phases carry more"


def test_vehicles_of_unknown_lines_wait_and_known_three_phase_ones_do_not() -> None:
    park = small(4_000, 3, 2)
    assert worst(park, 60) == 0 and park.shares() == [0, 0], "it may turn out to use one phase"
    assert park.rows[1].detail == (
        "it starts when its 6.0 A fit on any one phase: nobody knows its phases yet, and the imbalance limit of 4.0 A leaves no room"
    )
    park = small(20_000, 3, 2)
    park.run(60)
    assert park.shares() == [31_500, 31_500]
    park.grid = replace(park.grid, imbalance_ma=4_000)
    assert worst(park, 30) == 0 and park.shares() == [31_500, 31_500], "seen by its meter to use three"
    park.cars[1].wanted_ma = 0
    assert worst(park, 30) == 0 and park.shares() == [0, 32_000]


def test_other_loads_may_leave_room_for_one() -> None:
    park = small(4_000, 1, 3)
    park.fitted, park.house = True, (0, 7_000, 7_000)
    assert worst(park, 60) <= 11_000
    assert park.shares() == [11_000, 0, 0], "L1 carries 4 A more than L2 and L3"
    assert "on L2 alone" in park.rows[2].detail
    park.house = (0, 0, 7_000)
    park.run(2.5, check=False)
    assert park.shares() == [11_000, 0, 0], "a moment between two meters"
    park.run(1, check=False)
    assert park.shares() == [0, 0, 0], "the load went away: its 6 A alone are too much"
    park.house = (0, 7_000, 7_000)
    park.run(70, check=False)
    assert park.shares() == [11_000, 0, 0]
    park.house = None
    assert worst(park, 60) <= 11_000 and park.shares() == [11_000, 0, 0], "a lost meter says nothing new"


@pytest.mark.parametrize("leaves", ["unplugs", "stops by itself", "asks for less"])
def test_who_is_left_over_by_another_is_stopped_in_the_same_plan(leaves: str) -> None:
    """Three one-phase vehicles charge when the limit falls to 4 A: balanced, they go on until one is gone."""
    park = small(20_000, 1, 3)
    park.run(90)
    assert park.shares() == [32_000] * 3
    park.grid = replace(park.grid, imbalance_ma=4_000)
    park.run(10)
    assert park.shares() == [32_000] * 3 and difference(park) == 0
    car = park.cars[1]
    match leaves:
        case "unplugs":
            car.wanted_ma = car.draws_ma = 0
        case "stops by itself":
            car.takes_ma = 0
        case "asks for less":
            car.wanted_ma = 10_000
    park.step()
    if leaves == "asks for less":
        assert park.shares() == [10_000, 14_000, 14_000], "as much as the limit permits beside it, before it has followed"
        park.run(10)
        assert difference(park) <= 4_000
        return
    assert park.shares()[1:] == [0, 0]
    park.run(10, check=False)
    assert difference(park) == 0 and all(park.cars[i].draws_ma == 0 for i in park.cars)
    assert worst(park, 120) == 0, "and they do not come back one by one"


def test_who_breaks_a_limit_that_falls_is_stopped_at_once() -> None:
    """L1 carries one vehicle more than the others: it gives way; alone on its phase it stops."""
    park = small(20_000, 1, 4)
    park.run(120)
    assert park.shares() == [26_000, 32_000, 32_000, 26_000]
    park.grid = replace(park.grid, imbalance_ma=4_000)
    park.step()
    assert park.shares() == [18_000, 32_000, 32_000, 18_000]
    park = small(20_000, 1, 1)
    park.run(60)
    park.grid = replace(park.grid, imbalance_ma=4_000)
    park.step()
    assert park.shares() == [0]


def test_one_of_unknown_lines_that_is_on_stops_when_the_limit_falls() -> None:
    park = small(20_000, 3, 1)
    park.run(3)
    assert park.shares() == [6_000]
    park.grid = replace(park.grid, imbalance_ma=4_000)
    park.step()
    assert park.shares() == [0]


# -- the law, for limits of any size ----------------------------------------------------------------------------------

STEP_MA = 100


class Site:
    """Vehicles of known lines below one limit of imbalance. Each draws what it drew or what it is told, for any time."""

    def __init__(self, rng: Random, limit_ma: int) -> None:
        self.rng = rng
        self.cars = tuple(
            AcConnector(
                id=str(i), node="top", lines=rng.choice((1, 1, 2, 3)), rotation=rng.choice(ROTATIONS), min_ma=6_000, max_ma=32_000, demand_ma=0
            )
            for i in range(rng.randint(1, 6))
        )
        self.names = [c.id for c in self.cars]
        self.other = [rng.choice((0, 0, 0, 3_000, 9_000)) for _ in range(PHASES)]
        self.limit_ma = limit_ma
        self.shares, self.drawn, self.asks = (dict.fromkeys(self.names, 0) for _ in range(3))
        self.least = dict.fromkeys(self.names, 6_000)
        self.on = 0

    def rows(self) -> tuple[Row, ...]:
        return ac_rows(self.problem())

    def problem(self) -> AcProblem:
        a, b, c = self.other
        node = AcNode(id="top", parent=None, limit_ma=(500_000,) * 3, imbalance_ma=self.limit_ma, background_ma=(a, b, c))
        cars = tuple(replace(c, demand_ma=self.asks[c.id]) for c in self.cars)
        return AcProblem(nodes=(node,), connectors=cars, step_ma=STEP_MA)

    def beyond(self) -> int:
        """By how much any part of the vehicles can exceed a difference by having followed or not."""
        high = {n: max(self.shares[n], self.drawn[n]) for n in self.names}
        low = {n: min(self.shares[n], self.drawn[n], self.asks[n]) for n in self.names}
        return max((-row.left(high, low) for row in self.rows()), default=0)

    def plan(self) -> None:
        """One plan, as the station makes it."""
        rows, certain = self.rows(), {n: min(self.drawn[n], self.asks[n]) for n in self.names}
        waits: frozenset[str] = frozenset()
        while True:
            target = dict(solve(without(self.problem(), waits)).current_ma)
            stuck = cannot_start(rows, target, self.shares, self.least, STEP_MA, {})
            if not stuck:
                break
            waits |= stuck
        known = {n: Follower(share=self.shares[n], ignores=self.drawn[n] if self.drawn[n] > self.shares[n] else 0) for n in self.names}
        self.shares = raised(rows, target, known, self.least, STEP_MA, certain)
        self.on += sum(1 for ma in self.shares.values() if ma)

    def follow(self, part: float) -> None:
        """Some have followed, the others have not."""
        self.drawn |= {n: self.shares[n] for n in self.names if self.rng.random() < part}

    def event(self) -> None:
        """What no software decides: who comes, goes and stops by itself, what other loads do, another limit."""
        match self.rng.choice(("asks", "asks", "asks", "stops", "stops", "other", "limit")):
            case "asks":
                for name in self.rng.sample(self.names, self.rng.randint(1, len(self.names))):
                    self.asks[name] = self.rng.choice((0, 6_000, 16_000, 32_000, 32_000))
            case "stops":
                name = self.rng.choice(self.names)
                self.drawn[name] = min(self.drawn[name], self.rng.choice((0, 3_000, 9_000)))
            case "other":
                self.other[self.rng.randrange(PHASES)] = self.rng.choice((0, 3_000, 9_000))
            case "limit":
                self.limit_ma = self.rng.choice((self.limit_ma, 1_000, 4_000, 4_000, 6_000, 20_000, 20_000))


@settings(max_examples=examples(60, 30), deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 32))
def test_law_no_difference_is_exceeded_by_anybody_who_is_told_something(rng: Random, limit_a: int) -> None:
    """Whatever part of them follows, at every instant. After something that nobody was told (a vehicle stops, the limit falls)
    the next plan holds the limit as soon as it is followed."""
    site = Site(rng, rng.choice((limit_a * 1_000, 20_000)))
    for _ in range(12):
        before = site.beyond()
        assert before <= 0
        site.event()
        after = site.beyond()
        site.plan()
        now = {n: min(site.shares[n], site.drawn[n], site.asks[n]) for n in site.names}
        for row in site.rows():
            assert row.left(site.shares, now) >= -PAUSE_SLACK, (row, site.shares, site.drawn)
        if after <= 0:
            assert site.beyond() <= 0
        for _ in range(rng.choice((0, 1, 4))):
            site.follow(0.5)
            site.plan()
            if after <= 0:
                assert site.beyond() <= 0, (site.shares, site.drawn)
        for _ in range(3):
            site.follow(1.0)
            site.plan()
        assert site.beyond() <= PAUSE_SLACK
