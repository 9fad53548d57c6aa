"""Live sharing among AC EVSEs: cars that follow as slowly as they may, on every step never above any limit on any phase."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.domain.limits import CurrentAllocation, CurrentRequest, LimitEntry, LimitSource, Plan
from evse.domain.session import SessionPhase
from evse.domain.station import FuseSpec, GridSpec
from evse.planner.ac_problem import ROTATIONS, Phases
from evse.planner.explain import TOLD, explain
from evse.planner.live import PlannerSettingsW
from evse.planner.live_ac import DcAsk, plan_ac
from evse.planner.live_ac_memory import AcMemory, SiteLoad, observe
from evse.units import NS_PER_MS, NS_PER_S, Instant
from tests._support.examples import examples
from tests._support.fake_ac import ac_evse

STEP_NS = 250 * NS_PER_MS


class Car(msgspec.Struct, kw_only=True):
    """A vehicle that takes what it is offered, ``follow_s`` late, at most ``takes_ma``."""

    lines: int = 3
    wanted_ma: int = 32_000
    takes_ma: int = 32_000
    rotation: str = "RST"
    follow_s: float = 5.0
    draws_ma: int = 0
    seen: tuple[Instant, int] = (0, 0)
    metered: bool = True
    weight_pct: int = 100
    priority: int = 0

    def step(self, now: Instant, offered_ma: int) -> None:
        if offered_ma != self.seen[1]:
            self.seen = (now, offered_ma)
        if not self.wanted_ma:
            self.draws_ma = 0
        elif now - self.seen[0] >= self.follow_s * NS_PER_S:
            self.draws_ma = min(offered_ma, self.takes_ma)

    def grid(self, ma: int) -> list[int]:
        result = [0, 0, 0]
        for letter in self.rotation[: self.lines]:
            result["RST".index(letter)] += ma
        return result


class Park:
    """Cars under one connection, planned every 250 ms; ``step`` checks every limit against what is drawn and offered."""

    def __init__(self, grid: GridSpec, cars: dict[int, Car], *, site_w: int | None = None, point_lines: int = 0) -> None:
        self.grid, self.cars, self.site_w, self.point_lines = grid, cars, site_w, point_lines
        self.now: Instant = NS_PER_S
        self.memory = AcMemory()
        self.rows: dict[int, CurrentAllocation] = {}
        self.house: Phases | None = (0, 0, 0)
        self.fitted = False
        self.dc: list[DcAsk] = []
        self.dc_w: int | None = None
        self.pending = False
        self.worst = [0, 0, 0]

    def requests(self) -> list[CurrentRequest]:
        result = []
        for i, car in self.cars.items():
            grid = car.grid(car.draws_ma)
            lines = self.point_lines or car.lines
            result.append(
                CurrentRequest(
                    evse_id=i, wanted_ma=car.wanted_ma, lines=lines, rotation=car.rotation,
                    offered_ma=self.offered(i), measured_ma=car.draws_ma if car.metered else None,
                    draw_l_ma=(grid[0], grid[1], grid[2]) if car.metered else None,
                    lines_used=car.lines if car.metered and car.draws_ma >= 3_000 else 0,
                    cut=not car.wanted_ma and not car.draws_ma, weight_pct=car.weight_pct, priority=car.priority,
                )
            )  # fmt: skip
        return result

    def offered(self, i: int) -> int:
        return self.rows[i].assigned_ma if i in self.rows else 0

    def step(self) -> None:
        self.now += STEP_NS
        for i, car in self.cars.items():
            car.step(self.now, self.offered(i))
        requests = self.requests()
        site = SiteLoad(fitted=self.fitted, house_ma=self.house if self.fitted else None)
        self.memory = observe(self.memory, self.grid, requests, site, self.now)
        caps = () if self.site_w is None else ((LimitSource.SITE, self.site_w),)
        shares = plan_ac(self.grid, caps, self.dc, requests, site, self.memory, self.now)
        self.rows = {row.evse_id: row for row in shares.rows}
        self.memory, self.dc_w, self.pending = shares.memory, shares.dc_w, shares.pending

    def law(self) -> None:
        """What flows, and what may flow at worst: the old current of a car that has not followed yet, or its new offer."""
        flow, worst = [0, 0, 0], [0, 0, 0]
        for i, car in self.cars.items():
            for k in range(3):
                flow[k] += car.grid(car.draws_ma)[k]
                worst[k] += car.grid(max(car.draws_ma, min(self.offered(i), car.takes_ma)))[k]
        dc = 0 if self.dc_w is None else self.dc_w * 1_000_000 // (3 * 230_000)
        self.worst = [max(a, b + dc) for a, b in zip(self.worst, worst, strict=True)]
        house = (self.house or (0, 0, 0)) if self.fitted else (0, 0, 0)
        if self.grid.fuse_ma:
            assert all(ma + dc + h <= self.grid.fuse_ma for ma, h in zip(worst, house, strict=True)), (worst, dc, self.rows)
        if self.site_w is not None:
            assert (sum(worst) + 3 * dc) * 230_000 <= self.site_w * 1_000_000
        for fuse in self.grid.fuses:
            inside = [c.grid(c.draws_ma) for i, c in self.cars.items() if i in fuse.evses]
            assert all(sum(row[k] for row in inside) <= fuse.fuse_ma for k in range(3))

    def run(self, seconds: float, check: bool = True) -> None:
        end = self.now + int(seconds * NS_PER_S)
        while self.now < end:
            self.step()
            if check:
                self.law()

    def until(self, condition: Callable[[], bool], at_most_s: float) -> float:
        began = self.now
        while not condition():
            assert self.now - began < at_most_s * NS_PER_S, self.rows
            self.run(0.25)
        return (self.now - began) / NS_PER_S

    def shares(self) -> list[int]:
        return [self.offered(i) for i in self.cars]


def three(n: int, **fields: object) -> dict[int, Car]:
    return {i: Car(**fields) for i in range(1, n + 1)}  # type: ignore[arg-type]


def test_everybody_shares_a_fuse_equally_and_a_newcomer_waits_until_the_others_have_followed() -> None:
    park = Park(GridSpec(fuse_ma=63_000), three(3))
    park.cars[3].wanted_ma = 0
    park.run(20)
    assert park.shares() == [31_500, 31_500, 0]
    park.cars[3].wanted_ma = 32_000
    park.step()
    assert park.shares() == [21_000, 21_000, 0]
    assert park.rows[3].target_ma == 21_000 and "as soon as" in park.rows[3].detail
    assert park.until(lambda: park.shares() == [21_000] * 3, 10) >= 5
    assert park.rows[1].binding is LimitSource.GRID and "63.0 A" in park.rows[1].detail


def test_shares_follow_weights() -> None:
    park = Park(GridSpec(fuse_ma=32_000), {1: Car(weight_pct=100), 2: Car(weight_pct=300)})
    park.run(60)
    assert park.shares() == [8_000, 24_000]
    park.cars[1].weight_pct = 300
    park.run(30)
    assert park.shares() == [16_000, 16_000]


def test_a_higher_class_goes_first_and_takes_no_turns_with_a_lower_one() -> None:
    cars = {1: Car(), 2: Car(priority=1, wanted_ma=12_000), 3: Car(priority=1, wanted_ma=12_000)}
    park = Park(GridSpec(fuse_ma=16_000, dwell_s=60), cars)
    park.run(300)
    assert park.shares() == [0, 8_000, 8_000], "its turn never comes while both want more than there is"
    cars[3].wanted_ma = 0
    park.run(90)
    assert park.shares() == [6_000, 10_000, 0], "the minimum, and the rest to the higher class"


def test_a_car_that_leaves_frees_its_share_for_the_others() -> None:
    park = Park(GridSpec(fuse_ma=63_000), three(3))
    park.run(20)
    park.cars[1].wanted_ma = 0
    park.run(1)
    assert park.shares() == [0, 31_500, 31_500]


def test_one_phase_cars_on_different_phases_do_not_take_from_each_other() -> None:
    cars = {i: Car(lines=1, rotation=r) for i, r in enumerate(("RST", "STR", "TRS"), 1)}
    park = Park(GridSpec(fuse_ma=32_000), cars)
    park.run(15)
    assert park.shares() == [32_000] * 3


def test_a_one_phase_car_at_a_three_phase_point_gives_the_other_phases_back() -> None:
    cars = {1: Car(lines=1), 2: Car(lines=1, rotation="STR")}
    park = Park(GridSpec(fuse_ma=32_000), cars, point_lines=3)
    park.run(2)
    assert park.shares() == [16_000, 16_000]
    park.until(lambda: park.shares() == [32_000, 32_000], 60)


def test_where_6_a_do_not_fit_for_all_one_is_paused_and_turns_are_taken() -> None:
    park = Park(GridSpec(fuse_ma=20_000, dwell_s=300), three(4))
    park.run(30)
    assert sorted(park.shares()) == [0, 6_600, 6_700, 6_700]
    (paused,) = [row for row in park.rows.values() if row.paused]
    assert "no room for 6.0 A" in paused.detail and "L1" in paused.detail
    changes, before, turns = 0, park.shares(), dict.fromkeys(park.cars, 0)
    for _ in range(4 * examples(2400, 1500)):
        park.run(0.25)
        now = park.shares()
        changes += [a > 0 for a in now] != [b > 0 for b in before]
        before = now
        for i, ma in zip(park.cars, now, strict=True):
            turns[i] += ma > 0
    assert 4 <= changes <= 20
    assert min(turns.values()) > 0.55 * max(turns.values()), turns


def test_max_served_prefers_the_many() -> None:
    cars = {1: Car(), 2: Car(lines=1), 3: Car(lines=1, rotation="STR"), 4: Car(lines=1, rotation="TRS")}
    first = Park(GridSpec(fuse_ma=10_000), cars)
    first.run(1)
    assert first.shares() == [10_000, 0, 0, 0]
    many = Park(GridSpec(fuse_ma=10_000, max_served=True), {i: msgspec.structs.replace(c, draws_ma=0) for i, c in cars.items()})
    many.run(1)
    assert many.shares() == [0, 10_000, 10_000, 10_000]


def test_what_a_car_does_not_draw_goes_to_the_others_and_comes_back_when_it_wants_more() -> None:
    park = Park(GridSpec(fuse_ma=40_000), three(2))
    park.cars[1].takes_ma = 10_000
    park.until(lambda: park.shares() == [11_000, 29_000], 60)
    assert "draws less" in park.rows[1].detail
    park.cars[1].takes_ma = 32_000
    park.until(lambda: park.shares() == [20_000, 20_000], 400)


def test_16_a_given_and_13_a_drawn_keeps_its_share_with_a_threshold_of_4_a() -> None:
    """The example of the charx text on the threshold of current reduction."""
    for threshold, share in ((4_000, 16_000), (2_000, 15_000)):
        park = Park(GridSpec(fuse_ma=32_000, threshold_ma=threshold), three(2))
        park.cars[1].takes_ma = 13_000
        park.run(90)
        assert park.shares()[0] == share


def test_the_load_of_the_house_counts_when_it_lasts_and_its_end_after_a_while() -> None:
    park = Park(GridSpec(fuse_ma=63_000), three(2))
    park.fitted = True
    park.run(20)
    assert park.shares() == [31_500, 31_500]
    park.house = (20_000, 0, 0)
    park.run(2, check=False)
    park.house = (0, 0, 0)
    park.run(20)
    assert park.shares() == [31_500, 31_500], "a moment between two meters"
    park.house = (20_000, 0, 0)
    park.run(3.5, check=False)
    assert park.shares() == [21_500, 21_500]
    assert "20.0 A are taken by other loads" in park.rows[1].detail
    park.run(12, check=False)  # the house rose by itself: the cars need their seconds
    park.run(5)
    park.house = (0, 0, 0)
    assert park.until(lambda: park.shares() == [31_500, 31_500], 20) >= 9


def test_without_the_site_meter_nobody_rises_and_newcomers_get_the_minimum() -> None:
    park = Park(GridSpec(fuse_ma=63_000), three(3))
    park.fitted, park.cars[3].wanted_ma, park.cars[1].wanted_ma = True, 0, 10_000
    park.run(20)
    assert park.shares() == [10_000, 32_000, 0]
    park.house = None
    park.cars[1].wanted_ma = park.cars[3].wanted_ma = 32_000
    park.run(20)
    assert park.shares() == [10_000, 32_000, 6_000]
    assert park.rows[1].binding is LimitSource.FAILSAFE
    park.grid = msgspec.structs.replace(park.grid, failsafe_ma=20_000)
    park.run(20, check=False)
    assert sum(park.shares()) <= 20_000 and "site meter is lost" in park.rows[2].detail
    park.house = (0, 0, 0)
    park.run(20)
    assert park.shares() == [21_000] * 3


def test_dc_takes_part_as_a_balanced_load() -> None:
    park = Park(GridSpec(fuse_ma=63_000), three(2))
    park.dc = [DcAsk(evse_id=9, wanted_w=60_000, min_w=3_000)]
    park.run(20)
    assert park.shares() == [21_000, 21_000] and park.dc_w == 21 * 690
    park.cars[1].wanted_ma = 6_000
    park.run(20)
    assert park.shares() == [6_000, 28_500] and park.dc_w == round(28.5 * 690)


def test_a_power_limit_and_an_inner_fuse_hold_together() -> None:
    grid = GridSpec(fuse_ma=63_000, fuses=(FuseSpec(name="row A", fuse_ma=20_000, evses=(1, 2)),))
    park = Park(grid, three(3), site_w=30_000)
    park.run(20)
    assert park.shares()[:2] == [10_000, 10_000] and park.shares()[2] == 23_400
    assert "fuse row A" in park.rows[1].detail and park.rows[1].binding is LimitSource.GRID
    assert "site limit of 30.0 kW" in park.rows[3].detail and park.rows[3].binding is LimitSource.SITE


def test_the_imbalance_limit_is_kept_and_named() -> None:
    cars = {1: Car(lines=1), 2: Car(lines=1, rotation="STR")}
    park = Park(GridSpec(fuse_ma=63_000, imbalance_ma=20_000), cars)
    park.run(20)
    assert park.shares() == [20_000, 20_000]
    assert park.rows[1].binding is LimitSource.OUT_OF_BALANCE
    park.cars[3] = Car(lines=1, rotation="TRS")
    park.until(lambda: park.shares() == [32_000] * 3, 30)


def test_a_car_that_ignores_its_offer_gets_its_fair_share_and_what_it_draws_is_reserved() -> None:
    park = Park(GridSpec(fuse_ma=40_000), three(2))
    park.run(15)
    park.cars[1].follow_s = 1e9
    park.cars[3] = Car()
    park.run(15, check=False)
    park.run(30)
    assert park.cars[1].draws_ma == 20_000
    assert park.shares() == [13_400, 10_000, 10_000]  # its own as if it obeyed, theirs beside what it draws
    assert park.rows[1].detail == "its fair share is 13.4 A; it draws 20.0 A, which stays reserved for it"
    park.cars[1].follow_s = 1
    park.run(30)
    assert park.shares() == [13_400, 13_300, 13_300]


def test_a_car_that_takes_a_tenth_more_is_not_driven_down() -> None:
    """It would take a tenth more of 6 A as well: the watch over the current says when it is too much."""
    park = Park(GridSpec(fuse_ma=40_000), three(2))
    park.run(15)
    assert park.shares() == [20_000, 20_000]
    park.cars[1].follow_s = 1e9
    park.cars[1].draws_ma = 22_000
    park.run(20, check=False)
    park.run(60)
    assert park.shares() == [20_000, 18_000]
    park.cars[1].wanted_ma = 0
    park.run(5)
    assert park.shares() == [0, 32_000]


def test_a_car_that_draws_everything_leaves_nothing_for_the_others_and_keeps_its_offer() -> None:
    park = Park(GridSpec(fuse_ma=16_000), three(2))
    park.run(15)
    park.cars[1].follow_s, park.cars[1].draws_ma = 1e9, 16_000
    park.run(120, check=False)
    assert park.shares() == [8_000, 0] and park.rows[2].paused
    assert "no room for 6.0 A" in park.rows[2].detail
    park.cars[1].follow_s = 1
    park.run(90)
    assert park.shares() == [8_000, 8_000]


def test_the_order_of_the_cars_does_not_matter_and_a_plan_is_repeatable() -> None:
    def run() -> list[int]:
        park = Park(GridSpec(fuse_ma=50_000), three(3))
        park.run(60)
        return park.shares()

    assert run() == run() == [16_700, 16_700, 16_600]


CARS = st.builds(
    Car,
    lines=st.integers(1, 3),
    wanted_ma=st.sampled_from([0, 6_000, 16_000, 20_000, 32_000]),
    takes_ma=st.sampled_from([8_000, 16_000, 32_000]),
    rotation=st.sampled_from(ROTATIONS),
    follow_s=st.sampled_from([0.25, 1.0, 3.0, 5.0]),
    metered=st.booleans(),
)
EVENTS = st.lists(
    st.tuples(st.integers(1, 30), st.integers(1, 5), st.sampled_from([0, 6_000, 16_000, 32_000])), min_size=1, max_size=10
)


@settings(max_examples=examples(60, 15), deadline=None)
@given(
    st.lists(CARS, min_size=1, max_size=5),
    EVENTS,
    st.sampled_from([16_000, 25_000, 40_000, 63_000]),
    st.sampled_from([None, 9_000, 20_000]),
    st.booleans(),
)
def test_law_never_above_any_limit_whatever_comes_and_goes(
    cars: list[Car], events: list[tuple[int, int, int]], fuse_ma: int, site_w: int | None, inner: bool
) -> None:
    fuses = (FuseSpec(name="a", fuse_ma=16_000, evses=(1, 2)),) if inner else ()
    fleet = {i: msgspec.structs.replace(car) for i, car in enumerate(cars, 1)}
    park = Park(GridSpec(fuse_ma=fuse_ma, fuses=fuses), fleet, site_w=site_w)
    park.dc = [DcAsk(evse_id=9, wanted_w=20_000, min_w=3_000)]
    for seconds, i, wanted in events:
        park.run(seconds)
        if i in fleet:
            fleet[i].wanted_ma = wanted
    park.run(60)
    assert all(ma == 0 or ma >= 6_000 for ma in park.shares())
    assert all(ma <= car.wanted_ma for ma, car in zip(park.shares(), fleet.values(), strict=True))


# -- in words -----------------------------------------------------------------------------------------------------------


def _told(offered_ma: int, rows: tuple[LimitEntry, ...], phase: SessionPhase = SessionPhase.CHARGING, detail: str = "") -> str:
    """The sentence about EVSE 3 with these limits, and a plan whose reason is ``detail``."""
    raw = ac_evse(3)
    assert raw.ac is not None
    view = msgspec.structs.replace(
        raw, offered_w=offered_ma * 690 // 1000, limits=rows, phase=phase, faults=(),
        ac=msgspec.structs.replace(raw.ac, offered_ma=offered_ma),
    )  # fmt: skip
    share = CurrentAllocation(evse_id=3, requested_ma=0, target_ma=0, assigned_ma=0, phases=(0,), detail=detail)
    plan = Plan(version=1, allocations=(), groups=(), site_limit_w=0, currents=(share,) if detail else ())
    return explain(view, plan, PlannerSettingsW(), 0).text


def test_the_reason_of_the_planner_is_told_where_its_share_binds() -> None:
    rows = (LimitEntry(source=LimitSource.PLAN, power_w=4_140, binds=True, current_ma=6_000, detail="x"),)
    assert _told(6_000, rows, detail="the fuse is full on L1") == "Connector 3 gets 6.0 A per phase: the fuse is full on L1"
    assert _told(0, rows, detail="paused, no room") == "Connector 3 gets nothing: paused, no room"


def test_every_other_source_of_a_limit_has_words() -> None:
    for source in LimitSource:
        rows = (LimitEntry(source=source, power_w=11_040, binds=True, current_ma=16_000, age_s=10, detail="why"),)
        text = _told(16_000, rows)
        when = " 10 s ago" if source in TOLD else ""  # the others stand for as long as the table says
        assert text.startswith("Connector 3 gets 16.0 A per phase: the ") and f"of 16.0 A binds (why{when})" in text


def test_an_idle_connector_says_why() -> None:
    assert _told(0, (), SessionPhase.IDLE) == "Connector 3 gets nothing: no vehicle is plugged in"
    assert _told(0, (), SessionPhase.CHARGING) == "Connector 3 gets nothing: nothing is offered now"
