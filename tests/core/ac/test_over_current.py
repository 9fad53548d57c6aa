"""Over-current: two thresholds with their times, one retry after a minute, then a fault until unplugged; stages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.core import limits
from evse.core.ac import limits as ac
from evse.core.ac import over_current, proximity
from evse.domain.ac import OverCurrentSpec, PpState
from evse.domain.faults import FaultCode
from evse.domain.limits import LimitSource, PowerLimit
from evse.domain.readings import MeterValues
from evse.units import NS_PER_MS, NS_PER_S, TICK_NS
from tests._support.examples import examples
from tests.core.ac.bench import Bench, spec_of


class Greedy(Bench):
    """A vehicle that takes what the test says, behind the offers of the limits."""

    def __init__(self, **spec: object) -> None:
        super().__init__(spec_of(evse_ma=16_000, over_current=OverCurrentSpec(**spec)))  # type: ignore[arg-type]
        self.plug(PpState.A32)
        self.energise()
        self.go(1)
        assert self.evse().offered_ma == 16_000

    def once(self, dt: int = TICK_NS) -> None:
        self.step(proximity.observe, over_current.observe, ac.observe, station=limits.apply, dt=dt)

    def go(self, seconds: float, dt: int = TICK_NS) -> None:
        end = self.now + int(seconds * NS_PER_S)
        while self.now < end:
            self.once(dt)

    def draw(self, *ma: int) -> None:
        full = (*ma, 0, 0)
        self.meters[1] = MeterValues(energy_import_wh=0, current_l_ma=(full[0], full[1], full[2]))

    def faulty(self) -> bool:
        return FaultCode.OVER_CURRENT in self.causes[1]

    def cap(self) -> int:
        return over_current.cap_ma(self.tick().conns[0])


@pytest.mark.parametrize(("ma", "seconds"), [(17_700, 100), (19_100, 100), (19_300, 10), (40_000, 10)])
def test_the_time_depends_on_the_excess(ma: int, seconds: int) -> None:
    b = Greedy()
    b.draw(1_000, ma)
    b.go(seconds - 0.2)
    assert b.evse().offered_ma == 16_000 and b.told("over_current.stopped") == []
    b.go(0.5)
    assert b.evse().offered_ma == 0 and b.evse().limit_source is LimitSource.OVER_CURRENT
    assert len(b.told("over_current.stopped")) == 1 and not b.faulty()


def test_up_to_110_percent_is_borne_for_ever() -> None:
    b = Greedy()
    b.draw(17_600, 17_600, 17_600)
    b.go(3_600, dt=NS_PER_S)
    assert b.evse().offered_ma == 16_000 and b.told("over_current.stopped") == []


def test_an_excess_that_ends_in_time_counts_from_the_beginning_again() -> None:
    b = Greedy()
    for _ in range(4):
        b.draw(20_000)
        b.go(9)
        b.draw(16_000)
        b.go(0.2)
    assert b.told("over_current.stopped") == []


def test_one_retry_after_a_minute_then_a_fault_until_unplugged() -> None:
    b = Greedy()
    b.draw(25_000)
    b.go(11)
    b.energise(on=False)
    b.draw(0)
    b.go(58)
    assert b.evse().offered_ma == 0 and not b.faulty()
    b.go(3)
    assert b.evse().offered_ma == 16_000  # charging starts again
    b.energise()
    b.draw(25_000)
    b.go(11)
    assert b.evse().offered_ma == 0 and b.faulty()
    b.energise(on=False)
    b.draw(0)
    b.go(600, dt=NS_PER_S)
    assert b.evse().offered_ma == 0 and b.faulty()
    b.unplug()
    b.go(1)
    assert not b.faulty() and b.cap() == -1


def test_the_vehicle_has_5_s_to_follow_a_lower_offer() -> None:
    b = Greedy(high_s=2)
    b.draw(16_000)
    b.limits = (PowerLimit(source=LimitSource.USER, evse_id=1, power_w=4_140, set_at=0),)
    b.go(4.9)
    assert b.evse().offered_ma == 6_000 and b.told("over_current.stopped") == []
    b.draw(6_200)
    b.go(100)
    assert b.told("over_current.stopped") == []
    b.draw(16_000)
    b.go(2.2)
    assert len(b.told("over_current.stopped")) == 1


def test_small_excess_of_a_small_offer_is_tolerance_of_the_meter() -> None:
    b = Greedy(low_permille=1010, high_permille=1020)
    b.limits = (PowerLimit(source=LimitSource.USER, evse_id=1, power_w=4_140, set_at=0),)
    b.go(6)
    b.draw(6_400)
    b.go(200, dt=NS_PER_S)
    assert b.told("over_current.stopped") == []


def test_no_current_no_judgement() -> None:
    b = Greedy()
    b.draw(30_000)
    b.go(9)
    b.meters[1] = None
    b.go(30)
    assert b.told("over_current.stopped") == []
    b.draw(30_000)
    b.go(9)
    assert b.told("over_current.stopped") == []
    b.go(2)
    assert len(b.told("over_current.stopped")) == 1


def test_a_meter_of_one_phase_is_used_too() -> None:
    b = Greedy()
    b.meters[1] = MeterValues(energy_import_wh=0, current_ma=30_000)
    b.go(11)
    assert len(b.told("over_current.stopped")) == 1


def test_staged_derating_lowers_a_vehicle_that_takes_15_percent_too_much_once() -> None:
    b = Greedy(staged=True)
    for _ in range(600):
        b.draw(b.evse().offered_ma * 115 // 100)
        b.go(1)
    assert b.evse().offered_ma == 14_400 and len(b.told("over_current.derated")) == 1
    assert b.told("over_current.stopped") == [] and not b.faulty()
    assert "lowered in steps" in next(r.detail for r in _rows(b) if r.source is LimitSource.OVER_CURRENT)


def test_staged_derating_ends_in_the_pause_when_nothing_helps() -> None:
    b = Greedy(staged=True)
    b.draw(20_000)
    b.go(32)
    assert [e.data["offered_ma"] for e in b.told("over_current.derated")] == [14_400, 12_800, 11_200]
    b.go(10)
    assert len(b.told("over_current.stopped")) == 1 and b.evse().offered_ma == 0


def test_no_stage_below_6_a() -> None:
    b = Greedy(staged=True)
    b.limits = (PowerLimit(source=LimitSource.USER, evse_id=1, power_w=5_520, set_at=0),)
    b.go(6)
    b.draw(16_000)
    b.go(32)
    assert [e.data["offered_ma"] for e in b.told("over_current.derated")] == [7_200, 6_400]
    assert len(b.told("over_current.stopped")) == 1
    b.limits = (PowerLimit(source=LimitSource.USER, evse_id=1, power_w=4_600, set_at=0),)
    assert b.told("over_current.stopped")[0].data["retry_s"] == 60
    assert over_current.pause(b.tick().conns[0]) == "the pause after over-current"


def _rows(b: Greedy) -> tuple[limits.LimitEntry, ...]:
    t = b.tick()
    return ac.explain(t, t.conns[0])


@settings(max_examples=examples(100), deadline=None)
@given(
    st.booleans(),
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(0, 40_000)),
            st.integers(1, 10_000),
            st.sampled_from(["", "", "", "open", "close", "unplug", "plug", "lower", "free"]),
        ),
        max_size=80,
    ),
)
def test_a_vehicle_that_keeps_to_110_percent_is_never_stopped_and_two_stops_are_final(
    staged: bool, steps: list[tuple[int | None, int, str]]
) -> None:
    """Any currents and tick spacing: who keeps to it stays; no offer in a pause; after two trips nothing until unplugged."""
    b = Greedy(staged=staged)
    good = True
    for ma, dt, deed in steps:
        match deed:
            case "open" | "close":
                b.energise(on=deed == "close")
            case "unplug":
                b.unplug()
            case "plug":
                b.plug(PpState.A32)
            case "lower" | "free":
                power = 4_140 if deed == "lower" else 30_000
                b.limits = (PowerLimit(source=LimitSource.USER, evse_id=1, power_w=power, set_at=0),)
            case _:
                pass
        if ma is None:
            b.meters[1] = None
        else:
            b.draw(ma)
            good = good and ma <= 6_600  # 110 % of the smallest offer of this test
        told = len(b.events)
        b.once(dt * NS_PER_MS)
        m = b.mem()
        assert m.oc_trips <= 2
        if m.oc_pause_until or m.oc_trips == 2:
            assert b.evse().offered_ma == 0 and b.evse().plugged
        assert b.faulty() is (m.oc_trips == 2)
        if good:
            assert not any(e.kind.startswith("over_current") for e in b.events[told:])
