"""Caps: the smallest binds, falls on the same tick, and says where it comes from."""

from __future__ import annotations

from evse.domain.limits import LimitSource, PowerLimit
from evse.domain.session import ChargingState, SessionPhase
from tests.core.plant import Plant, spec_of


def cap(
    power_w: int, *, evse_id: int = 0, source: LimitSource = LimitSource.CSMS, expires_at: int | None = None
) -> PowerLimit:
    return PowerLimit(
        source=source, evse_id=evse_id, power_w=power_w, set_at=0, expires_at=expires_at, detail="profile 7"
    )


def test_a_falling_site_limit_truncates_on_the_same_tick_before_the_planner_answers() -> None:
    p = Plant(spec_of(2))
    for i in (1, 2):
        p.cars[i].demand_ma = 200_000
        p.charge(i)
    p.run(5)
    assert [p.board(i).offered_w for i in (1, 2)] == [60_000, 60_000]
    p.limits = (cap(40_000, source=LimitSource.SITE),)
    p.step()
    assert sum(p.board(i).offered_w for i in (1, 2)) <= 40_000 * 950 // 1000
    assert all(p.outputs.groups[i].current_ma * 380 // 1_000_000 <= 19 for i in (0, 1))
    assert p.evse().limits[0].source is LimitSource.SITE or p.board(1).offered_w == 19_000


def test_limit_zero_suspends_and_comes_back_without_ending_the_transaction() -> None:
    p = Plant()
    p.charge()
    p.limits = (cap(0, evse_id=1),)
    p.run(2)
    v = p.evse()
    assert v.phase is SessionPhase.SUSPENDED and v.charging_state is ChargingState.SUSPENDED_EVSE
    assert v.limits[0].source is LimitSource.CSMS and v.limits[0].detail == "profile 7" and v.limits[0].binds
    p.run(1200)
    assert p.state.evses[0].tx_open and p.board().contactor_lease and p.current(1) == 0
    p.limits = ()
    p.run(3)
    assert p.evse().phase is SessionPhase.CHARGING and p.current(1) == 100_000


def test_a_vehicle_that_asks_for_nothing_is_suspended_by_the_vehicle() -> None:
    p = Plant()
    p.charge()
    p.cars[1].demand_ma = 0
    p.run(3)
    assert p.evse().charging_state is ChargingState.SUSPENDED_EV


def test_no_plan_for_an_evse_means_no_power() -> None:
    p = Plant()
    p.assigned.clear()
    p.cars[1].plug()
    p.run()
    p.start()
    p.until(lambda p: p.evse().phase is SessionPhase.SUSPENDED if p.inputs else False)
    assert p.board().offered_w == 0 and p.current(1) == 0


def test_an_expired_limit_is_ignored() -> None:
    p = Plant()
    p.charge()
    p.limits = (cap(5_000, expires_at=p.now + 100_000_000),)
    p.step()
    assert p.board().offered_w == 4_750
    p.step()
    assert p.board().offered_w == 60_000


def test_an_operators_site_limit_replaces_the_one_of_the_file() -> None:
    p = Plant(spec_of(1, site_limit_w=20_000))
    p.charge()
    assert p.board().offered_w == 19_000
    p.limits = (cap(50_000, source=LimitSource.SITE),)
    p.step()
    assert p.board().offered_w == 47_500


def test_the_request_follows_the_vehicle_with_a_little_room_and_does_not_flap() -> None:
    p = Plant()
    p.charge()
    p.run(5)
    (first, idle) = p.outputs.requests
    assert first.request_w == 40_000 and idle.request_w == 0  # 38 kW + 1/32 + 500 W in steps of 500 W
    seen = set()
    for ma in (100_000, 99_500, 100_300, 99_000, 100_000):
        p.cars[1].demand_ma = ma
        p.run(2)
        seen.add(p.outputs.requests[0].request_w)
    assert seen == {40_000}
    p.cars[1].demand_ma = 10_000
    p.run(2)
    assert p.outputs.requests[0].request_w == 4_500


def test_limit_changes_are_told_at_most_once_per_second() -> None:
    p = Plant()
    p.charge()
    p.run(40)
    before = len(p.events)
    for i in range(40):
        p.limits = (cap(20_000 + 2_000 * (i % 2)),)
        p.step()
    told = [e for e in p.events[before:] if e.kind == "limit.changed"]
    assert 1 <= len(told) <= 3
