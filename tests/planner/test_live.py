"""Live planning: terms of the planner screen, dwell, losses of modules, truncation, explanations."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.domain.limits import LimitEntry, LimitSource, Plan, PowerLimit, PowerRequest
from evse.domain.readings import NEVER, GroupStatus, NoData, Sample
from evse.domain.session import ChargingState, OperationalStatus, SessionPhase
from evse.domain.station import EvseSpec, GroupSpec, StationSpec, Topology
from evse.domain.view import EvseView
from evse.planner.explain import age_words, explain
from evse.planner.live import (
    PlannerSettingsW,
    build_problem,
    make_plan,
    plan_changed,
    truncate_power,
)
from evse.planner.problem import DcSolution
from evse.planner.regroup import GAIN_MIN_W
from evse.planner.verify import check
from evse.units import NS_PER_S, s
from tests._support.examples import examples

Groups = list[Sample[GroupStatus] | NoData]


def station(count: int = 2, topology: Topology = Topology.CHAIN, **changes: object) -> StationSpec:
    spec = StationSpec(
        station_id="T",
        evses=tuple(EvseSpec(evse_id=i + 1, home_group=i + 1, power_max_w=120_000) for i in range(count)),
        groups=tuple(
            GroupSpec(group_id=i + 1, home_evse=i + 1, modules=2, module_power_w=30_000, module_current_max_ma=100_000)
            for i in range(count)
        ),
        topology=topology,
    )
    return msgspec.structs.replace(spec, **changes)


def healthy(count: int = 2, available_w: int = 60_000, faulty: int = 0, at: int = 1 << 62) -> Groups:
    """Readings that never grow old, unless ``at`` says when they were made."""
    status = GroupStatus(
        modules_expected=2,
        modules_present=2,
        modules_faulty=faulty,
        on=False,
        voltage_mv=0,
        current_ma=0,
        available_w=available_w,
    )
    return [Sample(value=status, at=at)] * count


def request(
    evse_id: int, watts: int, since: int | None = 0, limit_w: int = 120_000, voltage_mv: int = 700_000
) -> PowerRequest:
    return PowerRequest(
        evse_id=evse_id,
        request_w=watts,
        voltage_mv=voltage_mv,
        current_ma=200_000,
        limit_w=limit_w,
        charging_since=since,
    )


def assigned(plan: Plan) -> dict[int, int]:
    return {a.evse_id: a.assigned_w for a in plan.allocations}


def owners(plan: Plan) -> dict[int, int | None]:
    return {g.group_id: g.owner for g in plan.groups}


def plan_of(
    requests: list[PowerRequest],
    site_w: int = 0,
    prior: Plan | None = None,
    now: int = 0,
    groups: Groups | None = None,
    **more: object,
) -> Plan:
    spec = station(len(requests))
    values = PlannerSettingsW(site_limit_w=site_w, **more)  # type: ignore[arg-type]
    return make_plan(spec, values, requests, groups or healthy(len(requests)), prior, now, 1)


def test_terms_of_the_planner_screen() -> None:
    """Offered is the headroom of the whole site, allowed and assigned follow the request."""
    plan = plan_of([request(1, 30_000), request(2, 0)], site_w=60_000)
    first, second = plan.allocations
    assert (first.requested_w, first.offered_w, first.allowed_w, first.assigned_w) == (30_000, 57_000, 30_000, 30_000)
    assert first.chain == (1,)
    assert first.binding is LimitSource.EV
    assert (second.requested_w, second.offered_w, second.assigned_w) == (0, 0, 0)


def test_offered_chain_names_the_idle_neighbour() -> None:
    plan = plan_of([request(1, 30_000), request(2, 0)])
    assert plan.allocations[0].offered_w == 120_000
    assert plan.allocations[0].offered_chain == (1, 2)


def test_site_limit_binds_and_is_named() -> None:
    plan = plan_of([request(1, 60_000), request(2, 60_000)], site_w=60_000)
    assert assigned(plan) == {1: 28_500, 2: 28_500}
    assert plan.allocations[0].binding is LimitSource.SITE
    assert plan.allocations[0].detail == "the site limit of 60.0 kW binds"
    assert plan.site_limit_w == 60_000


def test_csms_limit_of_zero_stops_everybody_and_is_named() -> None:
    plan = plan_of([request(1, 60_000), request(2, 60_000)], csms_limit_w=0)
    assert assigned(plan) == {1: 0, 2: 0}
    assert {a.binding for a in plan.allocations} == {LimitSource.CSMS}
    assert set(owners(plan).values()) == {None}


def test_a_nearly_full_battery_is_not_cut_off_by_the_minimum() -> None:
    tail = PowerRequest(
        evse_id=1, request_w=1_200, voltage_mv=800_000, current_ma=1_500, limit_w=120_000, charging_since=0
    )
    plan = plan_of([tail, request(2, 0)])
    assert plan.allocations[0].requested_w == 1_200
    assert plan.allocations[0].assigned_w == 3_000


def test_a_vehicle_that_follows_its_offer_can_rise_again() -> None:
    """The demand current is what was offered; the request has room above it, and the plan grants the room."""
    held = PowerRequest(
        evse_id=1, request_w=30_000, voltage_mv=700_000, current_ma=10_000, limit_w=120_000, charging_since=0
    )
    assert assigned(plan_of([held, request(2, 0)]))[1] == 30_000


def test_a_group_without_reading_gives_nothing() -> None:
    plan = plan_of([request(1, 60_000), request(2, 60_000)], groups=[NEVER, NEVER])
    assert assigned(plan) == {1: 0, 2: 0}
    assert plan.allocations[0].binding is LimitSource.MODULES
    one = plan_of([request(1, 120_000), request(2, 0)], groups=[NEVER, healthy(1)[0]])
    assert assigned(one) == {1: 60_000, 2: 0}


def test_a_group_whose_reading_is_too_old_gives_nothing() -> None:
    """A reading that nobody renews is not power, whatever it says (field-pains.md: a stale value planned with as if fresh)."""
    groups = [*healthy(1, at=s(10)), *healthy(1)]
    fresh = plan_of([request(1, 120_000), request(2, 0)], groups=groups, now=s(13))
    assert assigned(fresh) == {1: 120_000, 2: 0}
    old = plan_of([request(1, 120_000), request(2, 0)], groups=groups, prior=fresh, now=s(13) + 1)
    assert assigned(old) == {1: 60_000, 2: 0}


def test_a_faulty_module_halves_its_group() -> None:
    plan = plan_of([request(1, 60_000), request(2, 60_000)], groups=[healthy(1, 30_000, faulty=1)[0], healthy(1)[0]])
    assert assigned(plan) == {1: 30_000, 2: 60_000}
    assert plan.allocations[0].binding is LimitSource.MODULES


def test_derated_modules_give_their_share() -> None:
    plan = plan_of([request(1, 60_000), request(2, 60_000)], groups=[healthy(1, 45_000)[0], healthy(1)[0]])
    assert assigned(plan)[1] == 45_000


def test_home_group_returns_at_once_but_borrowing_waits_for_the_dwell() -> None:
    alone = plan_of([request(1, 110_000), request(2, 0)])
    assert owners(alone) == {1: 1, 2: 1}
    both = plan_of([request(1, 110_000), request(2, 40_000)], prior=alone, now=s(1))
    assert owners(both) == {1: 1, 2: 2}
    gone = plan_of([request(1, 110_000), request(2, 0)], prior=both, now=s(10))
    assert owners(gone) == {1: 1, 2: None}
    assert gone.reason == "regrouping waits 21 s"
    later = plan_of([request(1, 110_000), request(2, 0)], prior=gone, now=s(31))
    assert owners(later) == {1: 1, 2: 1}
    assert later.regrouped_at == s(31)


def test_a_small_gain_moves_no_relay() -> None:
    alone = plan_of([request(1, 60_000), request(2, 0)])
    assert owners(alone) == {1: 1, 2: None}
    more = plan_of([request(1, 60_000 + GAIN_MIN_W), request(2, 0)], prior=alone, now=s(100))
    assert owners(more) == {1: 1, 2: None}
    much = plan_of([request(1, 60_001 + GAIN_MIN_W), request(2, 0)], prior=more, now=s(100))
    assert owners(much) == {1: 1, 2: 1}


def test_the_longest_charging_is_paused() -> None:
    plan = plan_of([request(1, 60_000, since=0), request(2, 60_000, since=s(50))], site_w=4_000, now=s(100))
    assert assigned(plan) == {1: 0, 2: 3_800}
    assert (
        plan.allocations[0].detail
        == "the site limit of 4.0 kW has no room for another 3.0 kW; it waits for its turn, each lasts 300 s"
    )


def test_a_connector_limit_is_named() -> None:
    plan = plan_of([request(1, 60_000, limit_w=25_000), request(2, 0)])
    assert plan.allocations[0].assigned_w == 25_000
    assert plan.allocations[0].binding is LimitSource.HARDWARE


def test_truncation_is_monotonic_and_fits() -> None:
    plan = plan_of([request(1, 60_000), request(2, 20_000)], site_w=100_000)
    lower = truncate_power(plan, 50_000, 950)
    assert assigned(lower) == {1: 27_500, 2: 20_000}
    assert owners(lower) == owners(plan)
    assert truncate_power(plan, 1_000_000, 950) is plan
    assert assigned(truncate_power(plan, 0, 950)) == {1: 0, 2: 0}
    assert assigned(truncate_power(plan, 20_000, 950, (2,))) == {1: 60_000, 2: 19_000}


def test_plan_changed_ignores_noise_but_not_a_fall() -> None:
    plan = plan_of([request(1, 60_000), request(2, 20_000)])
    assert not plan_changed(plan, msgspec.structs.replace(plan, version=9, reason="x"))
    assert not plan_changed(plan, plan_of([request(1, 60_000), request(2, 20_050)], prior=plan))
    assert plan_changed(plan, plan_of([request(1, 60_000), request(2, 19_990)], prior=plan))
    assert plan_changed(None, plan)
    assert not plan_changed(None, None)


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[list[int], int, list[int]]]:
    count = draw(st.integers(1, 4))
    power = st.sampled_from([0, 1_500, 20_000, 60_000, 110_000])
    row = st.tuples(
        st.lists(power, min_size=count, max_size=count),
        st.sampled_from([0, 4_000, 30_000, 90_000, 250_000]),
        st.lists(st.sampled_from([60_000, 60_000, 30_000, 0]), min_size=count, max_size=count),
    )
    return draw(st.lists(row, min_size=1, max_size=6))


@settings(max_examples=examples(100), deadline=None)
@given(steps(), st.sampled_from(list(Topology)))
def test_every_plan_of_a_history_respects_every_limit(
    history: list[tuple[list[int], int, list[int]]], topology: Topology
) -> None:
    count = len(history[0][0])
    spec = station(count, topology)
    prior: Plan | None = None
    for version, (powers, site_w, available) in enumerate(history):
        now = version * 7 * NS_PER_S
        requests = [request(i + 1, w) for i, w in enumerate(powers)]
        groups = [healthy(1, w)[0] for w in available]
        values = PlannerSettingsW(site_limit_w=site_w)
        problem = build_problem(spec, values, requests, groups, prior, now)
        plan = make_plan(spec, values, requests, groups, prior, now, version)
        solution = DcSolution(
            power_w={str(a.evse_id): a.assigned_w for a in plan.allocations},
            owner={str(g.group_id): None if g.owner is None else str(g.owner) for g in plan.groups},
        )
        assert check(problem, solution) == []
        for row in plan.allocations:
            assert row.assigned_w <= row.allowed_w
            assert row.assigned_w <= row.offered_w
            assert row.chain == tuple(g.group_id for g in plan.groups if g.owner == row.evse_id)
        prior = plan


def view(**changes: object) -> EvseView:
    base = EvseView(
        evse_id=1,
        connector_id=1,
        phase=SessionPhase.CHARGING,
        charging_state=ChargingState.CHARGING,
        step=None,
        plugged=True,
        operational=OperationalStatus.OPERATIVE,
        operational_backend=OperationalStatus.OPERATIVE,
        operational_local=OperationalStatus.OPERATIVE,
        reserved=False,
        power_w=None,
        voltage_mv=None,
        current_ma=None,
        soc_pct=None,
        demand_mv=None,
        demand_ma=None,
        demand_w=None,
        temperature_dc=None,
        offered_w=57_000,
        limits=(),
        chain=(1,),
        isolation_kohm=None,
        contactor_closed=None,
        locked=None,
        bms_stale=False,
        auth_state="granted",
        stop_reason=None,
        session=None,
        faults=(),
    )
    return msgspec.structs.replace(base, **changes)


def test_explanation_names_limit_origin_and_age() -> None:
    limit = PowerLimit(source=LimitSource.SITE, evse_id=0, power_w=60_000, set_at=0, detail="set by operator")
    values = PlannerSettingsW(site_limit_w=60_000, limits=(limit,))
    plan = make_plan(station(), values, [request(1, 110_000), request(2, 0)], healthy(), None, s(720), 1)
    told = explain(view(), plan, values, s(720))
    assert told.text == "Connector 1 gets 57.0 kW: the site limit of 60.0 kW binds (set by operator 12 min ago)"
    assert told.limits[0].source is LimitSource.SITE
    assert told.limits[0].binds
    assert told.limits[0].age_s == 720
    assert sum(entry.binds for entry in told.limits) == 1


def test_explanation_prefers_what_the_core_says_binds() -> None:
    hot = LimitEntry(source=LimitSource.THERMAL, power_w=20_000, binds=True, detail="connector at 85.0 °C")
    plan = plan_of([request(1, 60_000), request(2, 0)])
    told = explain(view(limits=(hot,), offered_w=20_000), plan, PlannerSettingsW())
    assert told.text == "Connector 1 gets 20.0 kW: the temperature limit of 20.0 kW binds (connector at 85.0 °C)"


def test_explanation_says_where_a_limit_of_the_file_and_of_a_person_comes_from() -> None:
    for detail, words in (("configuration", "(from the configuration)"), ("joe", "(set by joe 2 min ago)")):
        limit = PowerLimit(source=LimitSource.SITE, evse_id=0, power_w=60_000, set_at=0, detail=detail)
        values = PlannerSettingsW(site_limit_w=60_000, limits=(limit,))
        plan = make_plan(station(), values, [request(1, 110_000), request(2, 0)], healthy(), None, s(120), 1)
        assert explain(view(), plan, values, s(120)).text.endswith(f"the site limit of 60.0 kW binds {words}")


def test_a_cap_of_the_core_that_is_stricter_than_the_plan_is_told() -> None:
    tie = LimitEntry(source=LimitSource.MODULES, power_w=15_000, binds=True, detail="groups 1")
    told = explain(
        view(limits=(tie,), offered_w=15_000), plan_of([request(1, 60_000), request(2, 0)]), PlannerSettingsW()
    )
    assert told.text == "Connector 1 gets 15.0 kW: the power of its module groups of 15.0 kW binds (groups 1)"


def test_a_request_that_the_cable_has_cut_is_not_called_the_wish_of_the_vehicle() -> None:
    shares = LimitEntry(source=LimitSource.PLAN, power_w=59_000, binds=True)
    cable = LimitEntry(source=LimitSource.CABLE, power_w=59_300, binds=False, detail="250 A at 237 V")
    plan = plan_of([request(1, 59_000), request(2, 0)])

    def told(vehicle_w: int, cable_w: int = 59_300) -> str:
        wants = LimitEntry(source=LimitSource.EV, power_w=vehicle_w, binds=False)
        limits = (shares, msgspec.structs.replace(cable, power_w=cable_w), wants)
        return explain(view(limits=limits, offered_w=59_000), plan, PlannerSettingsW()).text

    assert told(155_000) == "Connector 1 gets 59.0 kW: the cable limit of 59.3 kW binds (250 A at 237 V)"
    assert told(59_000) == "Connector 1 gets 59.0 kW: the vehicle gets what it asks for"
    assert told(155_000, cable_w=90_000) == "Connector 1 gets 59.0 kW: the vehicle gets what it asks for"


def test_the_demand_of_a_vehicle_binds_and_not_the_most_that_it_could_take() -> None:
    wants = LimitEntry(source=LimitSource.EV, power_w=55_000, binds=False)
    shares = LimitEntry(source=LimitSource.PLAN, power_w=51_500, binds=True)
    told = explain(view(limits=(shares, wants), offered_w=51_500), plan_of([request(1, 51_500), request(2, 0)]), PlannerSettingsW())
    (bound,) = (entry for entry in told.limits if entry.binds)
    assert (bound.source, bound.power_w) == (LimitSource.EV, 51_500)
    assert bound.detail == "asked for; the vehicle takes up to 55.0 kW"


def test_a_limit_of_the_file_is_told_without_a_time_by_the_core_too() -> None:
    """Seen in the demo: "binds (configuration 59 s ago)", as if somebody had just set it."""
    site = LimitEntry(source=LimitSource.SITE, power_w=40_000, binds=True, age_s=59, detail="configuration")
    told = explain(view(limits=(site,), offered_w=40_000), None, PlannerSettingsW())
    assert told.text == "Connector 1 gets 40.0 kW: the site limit of 40.0 kW binds (from the configuration)"
    assert told.limits[0].age_s == 59


def test_what_only_the_plan_knows_is_a_row_that_binds() -> None:
    """Seen on a station with AC connectors beside: the sentence named the share of the grid, and no row of the table bound."""
    asked = [request(1, 100_000), request(2, 0)]
    plan = make_plan(station(2), PlannerSettingsW(), asked, healthy(2), None, 0, 1, dc_site_w=40_000)
    told = explain(view(limits=(), offered_w=38_000), plan, PlannerSettingsW())
    assert [(e.source, e.power_w) for e in told.limits if e.binds] == [(LimitSource.GRID, plan.allocations[0].assigned_w)]
    assert "share of the grid connection of 40.0 kW" in told.text and "40.0 kW" in told.limits[0].detail


def test_explanation_without_vehicle_or_plan() -> None:
    assert (
        explain(view(phase=SessionPhase.IDLE, offered_w=0), None, PlannerSettingsW()).text
        == "Connector 1 gets nothing: no vehicle is plugged in"
    )
    assert explain(view(offered_w=0), None, PlannerSettingsW()).text == "Connector 1 gets nothing: there is no plan yet"


def test_ages_in_words() -> None:
    assert [age_words(x) for x in (0, 40, 720, 18_000, 260_000)] == [
        "just now",
        "40 s ago",
        "12 min ago",
        "5 h ago",
        "3 days ago",
    ]
