"""AC limits: the minimum rule with its sources, five names, fallback and failsafe, heat, balance."""

from __future__ import annotations

import pytest

from evse.core import limits
from evse.core.ac import limits as ac
from evse.core.state import Stage
from evse.domain.ac import PhaseSwitchSpec, PpState, RotaryPosition
from evse.domain.faults import FaultCode
from evse.domain.limits import CurrentAllocation, LimitSource, Plan, PowerLimit
from evse.units import NS_PER_MS, NS_PER_S
from tests.core.ac.bench import spec_of
from tests.core.ac.offers import Offer, currents

# -- the minimum rule ------------------------------------------------------------------------------------------------------


def test_the_smallest_of_wiring_cable_and_grid_binds_and_is_the_physical_limit() -> None:
    b = Offer(spec_of(evse_ma=32_000, grid_ma=25_000)).charge(PpState.A63)
    assert b.binding() == (25_000, LimitSource.GRID)
    b.unplug()
    b.go(1)
    b.charge(PpState.A20)
    assert b.binding() == (20_000, LimitSource.CABLE)
    b.set("x", 10_000)
    assert b.binding() == (10_000, LimitSource.DYNAMIC)
    assert ac.physical_ma(b.tick().conns[0]) == 20_000  # whatever is set from outside
    assert [r.source for r in b.rows()] == [LimitSource.DYNAMIC, LimitSource.CABLE, LimitSource.GRID, LimitSource.EVSE]


def test_minus_one_is_no_limit_and_below_6_a_is_nothing() -> None:
    b = Offer().charge()
    b.set("x", -1)
    assert b.binding() == (32_000, LimitSource.EVSE)
    for ma, offered in ((6_000, 6_000), (5_999, 0), (0, 0), (6_190, 6_100), (20_250, 20_200)):
        b.set("x", ma)
        assert b.binding() == (offered, LimitSource.DYNAMIC)
        assert b.rows()[0].current_ma == ma  # the row says what was set


def test_no_offer_without_a_transaction_and_none_while_it_ends() -> None:
    b = Offer().charge()
    for stage, offers in ((Stage.AUTHORISED, True), (Stage.CURRENT, True), (Stage.RAMP_DOWN, False)):
        b.work(stage=stage)
        b.once()
        assert (b.evse().offered_ma > 0) is offers
    for stage in (Stage.EMPTY, Stage.PLUGGED, Stage.DISCHARGE, Stage.FINISHED):
        b.work(stage=stage)
        b.once()
        assert b.evse().offered_ma == b.evse().offered_w == 0


def test_no_valid_cable_no_offer() -> None:
    b = Offer().charge()
    b.board(pp=PpState.INVALID)
    b.go(1)
    assert b.binding() == (0, LimitSource.CABLE) and "no valid cable: invalid" in b.rows()[0].detail


def test_a_silent_board_gets_no_offer() -> None:
    b = Offer().charge()
    b.silent = {1}
    b.once()
    assert b.evse().offered_ma == 0


@pytest.mark.parametrize("position", range(16))
def test_the_rotary_switch_has_the_factory_table(position: int) -> None:
    amps = (6, 10, 13, 16, 20, 32, 40, 63)[position % 8]
    b = Offer(spec_of(evse_ma=80_000, rotary=True))
    b.board(rotary=position)
    b.charge(PpState.A63)
    assert b.evse().offered_ma == amps * 1000
    assert b.evse().offered_w == amps * 230 * (1 if position < 8 else 3)
    assert any(r.source is LimitSource.GRID and r.detail == f"rotary switch at {position:X}" for r in b.rows())


def test_the_rotary_table_can_be_edited_is_read_once_and_unread_is_nothing() -> None:
    table = tuple(RotaryPosition(current_a=25, phases=3) for _ in range(16))
    b = Offer(spec_of(rotary=True, rotary_table=table)).charge()
    assert b.binding() == (0, LimitSource.GRID)
    b.board(rotary=3)
    assert b.binding() == (25_000, LimitSource.GRID)
    fresh = Offer(spec_of(rotary=True))
    fresh.board(rotary=0xB)
    fresh.charge()
    fresh.board(rotary=0xD)
    assert fresh.binding() == (16_000, LimitSource.GRID)
    fresh.board(rotary=99)
    assert fresh.binding() == (16_000, LimitSource.GRID)


# -- dynamic limits ----------------------------------------------------------------------------------------------------------


def test_the_example_of_the_manual() -> None:
    """Charge Control C, 15.16.1: five names, the sixth is ignored, a name is overwritten."""
    b = Offer(spec_of(evse_ma=63_000)).charge(PpState.A63)
    for name, amps in (("internal", 6), ("ocpp", 13), ("special", 20), ("custom_1", 32), ("custom_2", 63)):
        assert b.set(name, amps * 1000) == ""
    why = b.set("ignored", 1_000)
    assert "'ignored' is the sixth name and is ignored" in why and "internal, ocpp" in why
    assert b.binding() == (6_000, LimitSource.DYNAMIC)
    b.once()
    assert "'ignored'" in b.causes[1][FaultCode.DYNAMIC_LIMIT_IGNORED]
    b.set("internal", 20_000)
    assert b.binding() == (13_000, LimitSource.DYNAMIC)
    b.set("nobody", None)
    b.once()
    assert FaultCode.DYNAMIC_LIMIT_IGNORED in b.causes[1]  # a name that was never there makes no room
    b.set("special", None)
    b.once()
    assert b.causes[1] == {}
    assert b.set("ignored", 7_000) == ""
    assert b.binding() == (7_000, LimitSource.DYNAMIC)


@pytest.mark.parametrize(
    ("evse_id", "name", "ma", "words"),
    [(7, "x", 0, "no AC EVSE 7"), (1, "", 0, "1 to 40 characters"), (1, "y" * 41, 0, "characters"), (1, "x", -2, "-1 (no limit)"),
     (1, "x", 10_000_001, "10000000 mA")],
)  # fmt: skip
def test_nonsense_is_refused_by_value(evse_id: int, name: str, ma: int, words: str) -> None:
    b = Offer()
    assert words in b.set(name, ma, evse_id) and b.mem().lim_dynamic == () and not b.mem().lim_contact


def test_evse_0_means_every_ac_evse() -> None:
    b = Offer(spec_of(n=2))
    b.set("x", 8_000, evse_id=0)
    assert [b.mem(i).lim_dynamic[0].current_ma for i in (1, 2)] == [8_000, 8_000]


def test_a_limit_tells_its_age() -> None:
    b = Offer().charge()
    b.set("house", 10_000)
    b.go(42, dt=NS_PER_S)
    row = b.rows()[0]
    assert (row.source, row.detail, row.age_s, row.current_ma, row.power_w) == (
        LimitSource.DYNAMIC, "house", 42, 10_000, 6_900,
    )  # fmt: skip


def test_failsafe_until_the_first_contact() -> None:
    b = Offer(spec_of(failsafe_ma=8_000)).charge()
    assert b.binding() == (8_000, LimitSource.FAILSAFE)
    b.set("x", 20_000)
    assert b.binding() == (20_000, LimitSource.DYNAMIC)
    b.set("x", None)
    assert b.binding() == (32_000, LimitSource.EVSE)


def test_a_stored_profile_is_no_contact_before_the_back_end_is_there() -> None:
    b = Offer(spec_of(failsafe_ma=8_000)).charge()
    b.limits = (PowerLimit(source=LimitSource.CSMS, evse_id=1, power_w=11_040, set_at=b.now),)
    assert b.binding() == (8_000, LimitSource.FAILSAFE)
    b.backend_online = True
    b.once()
    assert b.binding() == (16_000, LimitSource.CSMS)
    b.backend_online = False
    assert b.binding() == (16_000, LimitSource.CSMS)


def test_a_limit_of_the_back_end_for_the_station_is_contact_and_tells_its_age() -> None:
    b = Offer(spec_of(failsafe_ma=8_000)).charge()
    b.backend_online = True
    own = PowerLimit(source=LimitSource.CSMS, evse_id=1, power_w=13_800, set_at=b.now, detail="profile 3")
    b.limits = (PowerLimit(source=LimitSource.CSMS, evse_id=0, power_w=40_000, set_at=b.now), own)
    b.go(30, dt=NS_PER_S)
    assert b.binding() == (20_000, LimitSource.CSMS)
    row = b.rows()[0]
    assert (row.detail, row.age_s, row.power_w) == ("profile 3", 30, 13_800)
    assert [(x.detail, x.age_s) for x in b.rows() if x.detail.startswith("site")] == [("site 40000 W", 30)]
    at = b.now - 5 * NS_PER_S
    b.limits = (PowerLimit(source=LimitSource.USER, evse_id=0, power_w=11_040, current_ma=16_000, set_at=at),)
    b.once()
    found = {x.detail: (x.source, x.current_ma, x.age_s) for x in b.rows()}
    assert found["whole station, per phase"] == (LimitSource.USER, 16_000, 5)
    assert found["site 11040 W"] == (LimitSource.USER, 16_000, 5)


def test_a_site_limit_that_is_configured_has_no_age() -> None:
    b = Offer(spec_of(station={"site_limit_w": 11_040})).charge()
    b.once()
    assert [(x.source, x.age_s) for x in b.rows() if x.detail.startswith("site")] == [(LimitSource.SITE, None)]


def test_0_is_a_limit_wherever_minus_one_is_none() -> None:
    assert Offer(spec_of(grid_ma=0)).charge().binding() == (0, LimitSource.GRID)
    assert Offer(spec_of(grid_ma=-1)).charge().binding() == (32_000, LimitSource.EVSE)
    b = Offer(spec_of(fallback_ma=0, fallback_s=10)).charge()
    b.go(12, dt=NS_PER_S)
    assert b.binding() == (0, LimitSource.FALLBACK)


def test_a_failsafe_of_0_pauses() -> None:
    assert Offer(spec_of(failsafe_ma=0)).charge().binding() == (0, LimitSource.FAILSAFE)


def test_fallback_replaces_limits_that_are_too_old() -> None:
    b = Offer(spec_of(fallback_ma=10_000, fallback_s=60)).charge()
    b.set("x", 20_000)
    b.go(59, dt=NS_PER_S)
    assert b.binding() == (20_000, LimitSource.DYNAMIC)
    b.go(3, dt=NS_PER_S)
    assert b.binding() == (10_000, LimitSource.FALLBACK)
    b.set("x", 0)
    assert b.binding() == (0, LimitSource.DYNAMIC)
    b.go(62, dt=NS_PER_S)
    assert b.binding() == (10_000, LimitSource.FALLBACK)


def test_fallback_when_nobody_ever_spoke_and_when_one_of_two_falls_silent() -> None:
    b = Offer(spec_of(fallback_ma=10_000, fallback_s=60)).charge()
    assert b.binding() == (32_000, LimitSource.EVSE)
    b.go(62, dt=NS_PER_S)
    assert b.binding() == (10_000, LimitSource.FALLBACK)
    b.set("a", 16_000)
    b.set("b", 20_000)
    b.go(40, dt=NS_PER_S)
    b.set("b", 20_000)
    b.go(40, dt=NS_PER_S)
    assert b.binding() == (10_000, LimitSource.FALLBACK)


def test_without_a_fallback_current_old_limits_stay() -> None:
    b = Offer(spec_of(fallback_s=60)).charge()
    b.set("x", 9_000)
    b.go(3_600, dt=10 * NS_PER_S)
    assert b.binding() == (9_000, LimitSource.DYNAMIC)


# -- other sources -----------------------------------------------------------------------------------------------------------


def test_power_becomes_current_by_the_phases_in_use() -> None:
    b = Offer().charge()
    b.limits = (PowerLimit(source=LimitSource.USER, evse_id=1, power_w=11_040, set_at=0, detail="me"),)
    assert b.binding() == (16_000, LimitSource.USER) and b.evse().offered_w == 11_040
    one = Offer(spec_of(phases=1)).charge()
    one.limits = (PowerLimit(source=LimitSource.USER, evse_id=1, power_w=3_680, set_at=0),)
    assert one.binding() == (16_000, LimitSource.USER)


def test_a_profile_in_ampere_keeps_its_ampere() -> None:
    b = Offer(spec_of(phases=1)).charge()
    b.limits = (PowerLimit(source=LimitSource.CSMS, evse_id=1, power_w=11_040, current_ma=16_000, set_at=0),)
    assert b.binding() == (16_000, LimitSource.CSMS)


def test_an_expired_limit_is_ignored_and_a_plan_is_not() -> None:
    b = Offer().charge()
    b.limits = (PowerLimit(source=LimitSource.CSMS, evse_id=1, power_w=0, set_at=0, expires_at=b.now + NS_PER_MS),)
    assert b.binding() == (32_000, LimitSource.EVSE)
    b.plan = Plan(
        version=1,
        allocations=(),
        groups=(),
        site_limit_w=0,
        currents=(CurrentAllocation(evse_id=1, requested_ma=0, target_ma=10_000, assigned_ma=10_000, phases=(0, 1, 2)),),
    )
    t = b.tick()
    limits.apply(t)
    assert (t.conns[0].w.offered_ma, t.conns[0].w.limit_source) == (10_000, LimitSource.PLAN)


def test_an_event_action_limits() -> None:
    b = Offer().charge()
    b.memory(lim_rule_ma=7_000)
    assert b.binding() == (7_000, LimitSource.RULE)
    b.memory(lim_rule_ma=0)
    assert b.binding() == (0, LimitSource.RULE)


@pytest.mark.parametrize(
    ("heat_dc", "offered"),
    [(600, 32_000), (800, 32_000), (801, 31_700), (850, 19_000), (899, 6_200), (900, 0), (950, 0)],
)
def test_pt1000_falls_in_a_straight_line_from_start_to_stop(heat_dc: int, offered: int) -> None:
    b = Offer().charge()
    b.board(temperature_dc=heat_dc)
    b.once()
    assert b.evse().offered_ma == offered
    assert set(b.causes[1]) == ({FaultCode.CONNECTOR_OVER_TEMPERATURE} if heat_dc >= 900 else set())


def test_the_hotter_of_two_sensors_counts_and_a_stop_lasts_until_the_start_temperature() -> None:
    b = Offer().charge()
    b.board(board_temperature_dc=905)
    b.once()
    assert b.binding() == (0, LimitSource.THERMAL)
    assert set(b.causes[1]) == {FaultCode.STATION_OVER_TEMPERATURE}
    b.board(board_temperature_dc=810)
    assert b.binding() == (0, LimitSource.THERMAL)
    b.board(board_temperature_dc=None)
    assert b.binding() == (0, LimitSource.THERMAL)  # a sensor that fails does not end the stop
    assert "not read now" in b.causes[1][FaultCode.STATION_OVER_TEMPERATURE]
    b.board(board_temperature_dc=790)
    assert b.binding() == (32_000, LimitSource.EVSE)


def test_contact_and_board_are_two_faults_each_with_its_own_way_back() -> None:
    b = Offer().charge()
    b.board(temperature_dc=920, board_temperature_dc=930)
    b.once()
    both = {FaultCode.CONNECTOR_OVER_TEMPERATURE, FaultCode.STATION_OVER_TEMPERATURE}
    assert set(b.causes[1]) == both and "contact of the connector 92.0 °C" in b.causes[1][FaultCode.CONNECTOR_OVER_TEMPERATURE]
    b.board(temperature_dc=799, board_temperature_dc=850)
    b.once()
    assert set(b.causes[1]) == {FaultCode.STATION_OVER_TEMPERATURE} and b.binding() == (0, LimitSource.THERMAL)


@pytest.mark.parametrize(("ptc_ma", "offered", "fault"), [(0, 0, True), (10_000, 10_000, False)])
def test_a_ptc_is_a_step(ptc_ma: int, offered: int, fault: bool) -> None:
    b = Offer(spec_of(ptc_ma=ptc_ma)).charge()
    b.board(ptc_hot=True)
    b.once()
    assert b.binding() == (offered, LimitSource.THERMAL)
    assert (FaultCode.STATION_OVER_TEMPERATURE in b.causes[1]) is fault


def test_one_phase_of_three_gets_20_a() -> None:
    b = Offer(spec_of(out_of_balance_ma=20_000)).charge()
    b.meters[1] = currents(31_000, 31_000, 31_000)
    assert b.binding() == (32_000, LimitSource.EVSE)
    b.meters[1] = currents(31_000, 100, 0)
    b.once()
    assert b.binding() == (20_000, LimitSource.OUT_OF_BALANCE)
    b.meters[1] = None
    assert b.binding() == (20_000, LimitSource.OUT_OF_BALANCE)
    b.meters[1] = currents(20_000, 20_000, 19_000)
    b.once()
    assert b.binding() == (32_000, LimitSource.EVSE)
    single = Offer(spec_of(out_of_balance_ma=20_000, phases=1)).charge()
    single.meters[1] = currents(31_000, 0, 0)
    single.once()
    assert single.binding() == (32_000, LimitSource.EVSE)  # the connection has one phase only
    switch = PhaseSwitchSpec(enabled=True, default_phases=1)
    assert Offer(spec_of(out_of_balance_ma=20_000, phase_switch=switch)).charge().evse().offered_ma == 20_000


def test_an_imbalance_that_stays_is_reported() -> None:
    b = Offer(spec_of(out_of_balance_ma=20_000)).charge()
    b.meters[1] = currents(27_000, 0, 0)
    b.go(9)
    assert FaultCode.OUT_OF_BALANCE not in b.causes[1]
    b.go(2)
    assert FaultCode.OUT_OF_BALANCE in b.causes[1]
    b.meters[1] = currents(20_300, 0, 0)
    b.go(1)
    assert FaultCode.OUT_OF_BALANCE not in b.causes[1]
    b.meters[1] = None
    b.go(20)
    assert FaultCode.OUT_OF_BALANCE not in b.causes[1]  # nothing measured, nothing said
