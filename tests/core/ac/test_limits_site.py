"""AC limits: the site that EVSEs share, and the law that no offer is above any cap."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evse.core import limits
from evse.core.ac import limits as ac
from evse.core.ac import proximity
from evse.core.context import Tick
from evse.core.state import Stage
from evse.domain.ac import PpState
from evse.domain.faults import FaultCode
from evse.domain.limits import Allocation, LimitSource, PowerLimit
from evse.domain.readings import MeterValues
from evse.domain.station import EvseKind, EvseSpec, StationSpec
from evse.units import NS_PER_MS
from tests._support.examples import examples
from tests.core.ac.bench import spec_of
from tests.core.ac.offers import Offer, site

# -- the shared site -----------------------------------------------------------------------------------------------------------


def mixed(site_limit_w: int = 0, ac_evses: int = 2) -> StationSpec:
    alone = spec_of(n=ac_evses)
    dc = EvseSpec(evse_id=ac_evses + 1, has_meter=False)
    return replace(alone, evses=(*alone.evses, dc), site_limit_w=site_limit_w)


def feed_dc(b: Offer, evse_id: int, power_w: int) -> None:
    """A DC EVSE in the charge loop that is offered ``power_w`` when nothing else binds."""
    b.work(evse_id, stage=Stage.CURRENT, session_id="dc", lease=True, plugged=True, tx_open=True)
    b.limits = (*b.limits, PowerLimit(source=LimitSource.USER, evse_id=evse_id, power_w=power_w, set_at=0))


def apply(b: Offer, dc_w: int = 0) -> list[tuple[int, int]]:
    """Offers (W, mA) of one tick; the DC EVSE has modules and a plan for ``dc_w``."""

    def station(t: Tick) -> None:
        for conn in t.conns:
            if conn.spec.kind is EvseKind.DC:
                conn.modules_w = dc_w
                conn.allocation = Allocation(
                    evse_id=conn.spec.evse_id, requested_w=dc_w, offered_w=dc_w, allowed_w=dc_w, assigned_w=dc_w, chain=()
                )
        limits.apply(t)

    b.step(b.observe, station=station)
    return [(e.offered_w, e.offered_ma) for e in b.state.evses]


def test_ac_and_dc_share_one_site_cap_on_the_same_tick() -> None:
    b = Offer(mixed())
    b.charge(PpState.A32, 1).charge(PpState.A32, 2)
    feed_dc(b, 3, 50_000)
    assert apply(b, 50_000) == [(22_080, 32_000), (22_080, 32_000), (50_000, 250_000)]
    b.limits = (*b.limits, site(60_000))
    (a, a_ma), (c, _), (dc, _) = apply(b, 50_000)
    assert a == c == 13_662 and a_ma == 19_800 and dc == 30_994  # all to 62 % of what they had
    assert a + c + dc * 1000 // 950 <= 60_000
    assert b.evse(1).limit_source is LimitSource.SITE
    first, second, *_ = b.rows(1)
    assert first.binds and (first.source, first.current_ma) == (LimitSource.SITE, 19_800) and "share" in first.detail
    assert (second.source, second.current_ma, second.binds) == (LimitSource.EVSE, 32_000, False)


def test_who_came_last_waits_when_there_is_not_6_a_for_everybody_and_nothing_is_wasted() -> None:
    b = Offer(spec_of(n=3))
    for i in (1, 2, 3):
        b.charge(PpState.A32, i)
    b.limits = (site(3 * 230 * 13),)
    assert apply(b) == [(4_485, 6_500), (4_485, 6_500), (0, 0)]
    b.limits = (site(3 * 230 * 11),)
    assert [ma for _, ma in apply(b)] == [11_000, 0, 0]
    b.limits = (site(3 * 230 * 5),)
    assert [ma for _, ma in apply(b)] == [0, 0, 0]
    b.limits = ()
    assert [ma for _, ma in apply(b)] == [32_000] * 3


def test_nobody_falls_below_6_a_while_there_is_6_a_for_everybody() -> None:
    b = Offer(mixed(ac_evses=2))
    b.charge(PpState.A32, 1).charge(PpState.A32, 2)
    b.set("small", 7_000, evse_id=1)
    b.limits = (site(690 * 20),)
    assert [ma for _, ma in apply(b)[:2]] == [6_000, 14_000]  # 5.2 A would be nothing
    feed_dc(b, 3, 50_000)
    (a, a_ma), (c, c_ma), (dc, _) = apply(b, 50_000)
    assert (a_ma, c_ma, dc) == (6_000, 7_000, 4_588) and a + c + dc * 1000 / 950 <= 690 * 20


def test_a_station_profile_in_ampere_holds_for_the_sum_of_each_phase() -> None:
    b = Offer(spec_of(n=2, phases=1))
    b.charge(PpState.A32, 1).charge(PpState.A32, 2)
    b.limits = (site(32 * 690, LimitSource.CSMS, current_ma=32_000, detail="ChargePointMaxProfile"),)
    assert [ma for _, ma in apply(b)] == [16_000, 16_000]
    b.limits = (site(16 * 690, LimitSource.CSMS, current_ma=10_000),)
    assert [ma for _, ma in apply(b)] == [10_000, 0]


def test_the_share_is_the_yardstick_of_over_current() -> None:
    b = Offer(spec_of(n=2))
    b.charge(PpState.A32, 1).charge(PpState.A32, 2)
    b.limits = (site(2 * 690 * 13),)
    apply(b)
    assert [b.mem(i).lim_free_ma for i in (1, 2)] == [13_000, 13_000]
    b.memory(1, oc_cap_ma=10_000)
    apply(b)
    assert b.evse(1).offered_ma == 7_200 and b.mem(1).lim_free_ma == 18_700  # the same part of what it could have
    b.limits = (site(690 * 11),)
    apply(b)
    assert (b.evse(2).offered_ma, b.mem(2).lim_free_ma) == (0, 0)


def test_a_lost_site_meter_stops_every_increase() -> None:
    b = Offer(spec_of(n=2, station={"has_site_meter": True}))
    b.charge(PpState.A32, 1)
    b.set("x", 13_000)
    b.fault()
    faults = [replace(f, code=FaultCode.SITE_METER_LOST) for f in _records(b)]
    b.state = replace(b.state, faults=tuple(faults))
    b.once()
    b.set("x", 32_000)
    assert b.binding() == (13_000, LimitSource.FAILSAFE)
    b.charge(PpState.A32, 2)
    assert b.evse(2).offered_ma == 6_000
    b.state = replace(b.state, faults=())
    assert b.binding()[0] == 32_000


def _records(b: Offer) -> list[Any]:
    b.fault(FaultCode.OUT_OF_BALANCE)
    found = list(b.evse().faults)
    b.fault()
    return found


# -- laws -----------------------------------------------------------------------------------------------------------------------

AMPS = st.integers(-1, 64_000)
DEEDS = st.one_of(
    st.tuples(st.just("dynamic"), st.tuples(st.sampled_from("abcdefg"), st.one_of(st.none(), AMPS))),
    st.tuples(st.just("pp"), st.sampled_from(PpState)),
    st.tuples(st.just("heat"), st.one_of(st.none(), st.integers(-400, 1_200))),
    st.tuples(st.just("ptc"), st.booleans()),
    st.tuples(st.just("rotary"), st.one_of(st.none(), st.integers(-1, 20))),
    st.tuples(st.just("rule"), AMPS),
    st.tuples(st.just("stage"), st.sampled_from([Stage.AUTHORISED, Stage.CURRENT, Stage.RAMP_DOWN, Stage.FINISHED])),
    st.tuples(st.just("csms"), st.tuples(st.integers(0, 30_000), st.one_of(st.none(), st.integers(0, 64_000)))),
    st.tuples(st.just("site"), st.one_of(st.none(), st.integers(0, 60_000))),
    st.tuples(st.just("meter"), st.tuples(*[st.integers(0, 50_000)] * 3)),
    st.tuples(st.just("board"), st.booleans()),
)
SPECS = st.fixed_dictionaries(
    {
        "evse_ma": st.integers(6_000, 80_000),
        "grid_ma": st.one_of(st.just(-1), st.integers(0, 80_000)),
        "rotary": st.booleans(),
        "phases": st.sampled_from([1, 3]),
        "failsafe_ma": st.sampled_from([-1, 0, 6_000, 10_000]),
        "fallback_ma": st.sampled_from([-1, 0, 8_000]),
        "fallback_s": st.sampled_from([0, 5]),
        "out_of_balance_ma": st.sampled_from([-1, 20_000]),
        "ptc_ma": st.sampled_from([0, 10_000]),
    }
)


def _do(b: Offer, deed: str, value: Any, evse_id: int) -> None:
    match deed:
        case "dynamic":
            b.set(value[0], value[1], evse_id)
        case "pp":
            b.board(evse_id, pp=value)
        case "heat":
            b.board(evse_id, temperature_dc=value)
        case "ptc":
            b.board(evse_id, ptc_hot=value)
        case "rotary":
            b.board(evse_id, rotary=value)
        case "rule":
            b.memory(evse_id, lim_rule_ma=value)
        case "stage":
            b.work(evse_id, stage=value)
        case "csms":
            others = tuple(x for x in b.limits if x.evse_id != evse_id)
            power, ma = value
            b.limits = (*others, PowerLimit(source=LimitSource.CSMS, evse_id=evse_id, power_w=power, current_ma=ma, set_at=0))
        case "site":
            others = tuple(x for x in b.limits if x.evse_id)
            b.limits = others if value is None else (*others, site(value))
        case "meter":
            b.meters[evse_id] = MeterValues(current_l_ma=value, energy_import_wh=0)
        case _:
            b.silent = b.silent - {evse_id} if value else b.silent | {evse_id}


@settings(max_examples=examples(120), deadline=None)
@given(
    SPECS,
    st.lists(st.tuples(DEEDS, st.integers(1, 2), st.integers(1, 10_000)), min_size=1, max_size=40),
)
def test_offered_is_never_above_any_cap_on_any_tick(
    fields: dict[str, Any], steps: list[tuple[tuple[str, Any], int, int]]
) -> None:
    """Any limits, readings and tick spacing: offers keep to every row, to wiring and cable, and to the site together."""
    b = Offer(spec_of(n=2, **fields))
    for i in (1, 2):
        b.charge(PpState.A32, i, settle=False)
    for (deed, value), evse_id, dt in steps:
        _do(b, deed, value, evse_id)
        t = b.once(dt * NS_PER_MS)
        total = 0
        for conn in t.conns:
            w, i = conn.w, conn.spec.evse_id
            total += w.offered_w
            assert w.offered_ma == 0 or (w.offered_ma >= 6_000 and w.offered_ma % 100 == 0)
            assert all(w.offered_ma <= max(0, ma) for ma, _, _ in conn.capped_ma)
            assert w.offered_ma <= fields["evse_ma"] and (w.offered_ma == 0 or w.stage in ac.OFFER_STAGES)
            assert all(w.offered_ma <= max(x.current_ma, 0) or x.current_ma < 0 or fields["fallback_s"] for x in conn.a.lim_dynamic)
            cable = proximity.cable_ma(conn)
            assert w.offered_ma == 0 or (cable is not None and w.offered_ma <= cable and i not in b.silent)
            assert w.offered_w >= w.offered_ma * fields["phases"] * 230 // 1000 or fields["rotary"]
            rows = ac.explain(t, conn)
            assert [r.binds for r in rows] == [True] + [False] * (len(rows) - 1)
            assert w.stage not in ac.OFFER_STAGES or i in b.silent or w.offered_ma == ac.usable_ma(rows[0].current_ma or 0)
            assert [r.current_ma for r in rows] == sorted(r.current_ma or 0 for r in rows)
        if t.site_dc_w is not None:
            cap = next(x.power_w for x in b.limits if x.evse_id == 0)
            assert total <= cap
