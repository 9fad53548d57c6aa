"""AC vehicles: what they draw, how they follow the pilot, how they misbehave, and their ISO 15118 sessions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.domain.ac import AcSpec, HlcMode, PilotMode, PpState, RcdSpec, RcdState, V2gError, V2gPhase
from evse.domain.signals import Authorization, CpState, EvStop, SlacState
from evse.sim.curves import find_car, load_cars
from evse.sim.ev_ac import ac_spec_of, offered_ma
from tests.sim.ac_rig import SPEC, AcRig, car


@pytest.mark.parametrize(
    ("duty_bp", "current_ma"),
    [
        (0, 0), (500, 0), (799, 0), (800, 6_000), (1_000, 6_000), (2_167, 13_002), (2_667, 16_002), (5_333, 31_998),
        (8_000, 48_000), (8_500, 51_000), (8_920, 63_000), (9_600, 80_000), (9_700, 80_000), (9_701, 0), (10_000, 0),
    ],
)  # fmt: skip
def test_duty_means_what_the_standard_says(duty_bp: int, current_ma: int) -> None:
    """Rows of reference plc-serial.md, section 3."""
    assert offered_ma(duty_bp) == current_ma


@given(st.integers(1_000, 9_600))
def test_more_duty_never_means_less_current(duty_bp: int) -> None:
    assert offered_ma(duty_bp) <= offered_ma(duty_bp + 1) or duty_bp == 9_600


@pytest.mark.parametrize(
    ("phases", "max_ma", "offer_ma", "power_w"),
    [(1, 32_000, 16_000, 3_680), (3, 16_000, 32_000, 11_040), (2, 16_000, 10_000, 4_600), (3, 32_000, 6_000, 4_140)],
)
def test_power_is_the_lesser_of_offer_and_charger_on_its_phases(
    phases: int, max_ma: int, offer_ma: int, power_w: int
) -> None:
    rig = AcRig()
    rig.offer_ma = offer_ma
    rig.plug(car(phases=phases, max_ma=max_ma))
    rig.run(10)
    assert rig.plant.cp is CpState.C and rig.point.live == 3
    assert rig.point.power_w == pytest.approx(power_w, rel=0.001)
    assert sum(current > 0 for current in rig.point.current_l_ma) == phases


def test_published_cars_have_their_on_board_charger() -> None:
    leaf = ac_spec_of(find_car(load_cars(), "Nissan Leaf 40 kWh"), soc_pct=20, target_soc_pct=80)
    ioniq = ac_spec_of(find_car(load_cars(), "Hyundai Ioniq 5"), soc_pct=20, target_soc_pct=80, battery_wh=500)
    assert (leaf.phases, leaf.max_ma) == (1, 28_695)
    assert (ioniq.phases, ioniq.max_ma, ioniq.battery_wh) == (3, 15_942, 500)
    for published in load_cars():
        assert 1 <= published.ac_phases <= 3 and 1_000 <= published.ac_max_w <= 44_000


def test_a_new_duty_is_followed_after_its_time_and_below_6_a_is_nothing() -> None:
    rig = AcRig()
    rig.plug(car(follow_ms=4_800))
    rig.run(8)
    assert rig.point.current_ma == pytest.approx(16_000, abs=10)
    rig.offer_ma = 8_000
    rig.run(4.5)
    assert rig.point.current_ma > 15_000, "a slow car needs up to 5 s"
    rig.run(1.2)
    assert rig.point.current_ma == pytest.approx(8_000, abs=10)
    rig.offer_ma = 0
    rig.run(3)
    assert rig.point.current_ma == 0 and rig.plant.cp is CpState.B
    rig.offer_ma = 10_000
    rig.run(3)
    assert rig.point.current_ma == pytest.approx(10_000, abs=10)


def test_full_car_leaves_c_and_stays_in_b() -> None:
    rig = AcRig()
    rig.plug(car(battery_wh=200, soc_ppm=790_000, target_soc_ppm=800_000))
    rig.run(20)
    assert rig.ev.ended_by == "target soc" and rig.plant.cp is CpState.B and rig.point.current_ma == 0
    rig.run(20)
    assert rig.plant.cp is CpState.B and rig.ev.stage == "done"


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"stop_after_s": 3}, "time"), ({"stop_energy_wh": 5}, "target energy")],
)
def test_driver_wish_ends_the_session(fields: dict[str, int], why: str) -> None:
    rig = AcRig()
    rig.plug(car(**fields))
    rig.run(15)
    assert rig.ev.ended_by == why and rig.plant.cp is CpState.B


def test_battery_gets_the_meter_energy_less_the_loss_of_the_charger() -> None:
    rig = AcRig()
    rig.plug(car())
    rig.run(60)
    assert rig.point.energy_wh == pytest.approx(rig.ev.meter_wh, rel=1e-9)
    assert rig.ev.energy_wh == pytest.approx(rig.point.energy_wh * 0.9, rel=1e-9)
    gained = rig.ev.soc_ppm - 200_000
    assert gained == pytest.approx(rig.ev.energy_wh * 1e6 / 50_000, rel=1e-6)


def test_charger_gives_less_when_nearly_full() -> None:
    rig = AcRig()
    rig.plug(car(soc_ppm=985_000, target_soc_ppm=1_000_000))
    rig.run(10)
    assert 5_900 < rig.point.current_ma < 8_000


def test_sleeping_car_wants_a_pulse_of_e_or_f() -> None:
    rig = AcRig()
    rig.offer_ma = 0
    rig.plug(car(sleep_after_s=5))
    rig.run(6)
    assert rig.ev.asleep
    rig.offer_ma = 16_000
    rig.run(20)
    assert rig.plant.cp is CpState.B and rig.point.current_ma == 0
    for mode in (PilotMode.E, PilotMode.F):
        rig.ev.asleep = True
        for _ in range(10):
            rig.plant.out.pilot, rig.plant.out.duty_bp = mode, 0
            rig.now += 50_000_000
            rig.point.step(50_000_000, rig.now)
        rig.run(5)
        assert rig.plant.cp is CpState.C and not rig.ev.asleep


def test_short_glitch_wakes_nobody() -> None:
    rig = AcRig()
    rig.plug(car())
    rig.ev.asleep = True
    rig.plant.out.pilot = PilotMode.E
    rig.now += 50_000_000
    rig.point.step(50_000_000, rig.now)
    rig.run(5)
    assert rig.ev.asleep


def test_ventilation_is_state_d() -> None:
    rig = AcRig()
    rig.plug(car(ventilation=True))
    rig.run(5)
    assert rig.plant.cp is CpState.D and rig.point.current_ma > 0


def test_car_that_starts_in_c_behaves_once_it_had_an_offer() -> None:
    rig = AcRig()
    rig.offer_ma = 0
    rig.plug(car(starts_in_c=True))
    rig.run(0.1)
    assert rig.plant.cp is CpState.C
    rig.close = False
    rig.run(10)
    assert rig.plant.cp is CpState.C and rig.point.current_ma == 0
    rig.close, rig.offer_ma = True, 16_000
    rig.run(5)
    assert rig.point.current_ma > 15_000
    rig.offer_ma = 0
    rig.run(5)
    assert rig.plant.cp is CpState.B


def test_car_without_diode_and_car_that_takes_too_much() -> None:
    rig = AcRig()
    rig.plug(car(no_diode=True, over_permille=1_250))
    rig.run(8)
    assert rig.plant.cp_low_mv() == -6_000
    assert rig.point.current_ma == pytest.approx(20_000, rel=0.01)
    rig.ev.change({"no_diode": False})
    assert rig.plant.cp_low_mv() == -12_000


def test_stubborn_car_goes_on_until_the_contactor_opens() -> None:
    rig = AcRig()
    rig.plug(car(ignore_pwm=True))
    rig.run(6)
    rig.offer_ma = 0
    rig.run(10)
    assert rig.plant.cp is CpState.C and rig.point.current_ma > 15_000
    rig.close = False
    rig.run(0.2)
    assert rig.point.current_ma == 0 and rig.plant.cp is CpState.C


def test_car_that_leaves_c_under_load_draws_until_the_contactor_opens() -> None:
    rig = AcRig()
    rig.plug(car(drop_c_after_s=4))
    rig.run(4)
    while rig.plant.vehicle is CpState.C:
        rig.now += 50_000_000
        current = rig.point.current_ma
        rig.point.step(50_000_000, rig.now)
        rig.plant.out.contactor_wanted = True
    assert rig.plant.vehicle is CpState.B and current > 10_000
    assert rig.point.current_ma == 0, "the hardware chain opened in the same step"


def test_current_of_a_car_that_left_c_goes_on_behind_a_welded_contactor() -> None:
    rig = AcRig()
    rig.plug(car(drop_c_after_s=4))
    rig.run(4)
    rig.plant.main.welded = True
    rig.run(10)
    assert rig.plant.vehicle is CpState.B and rig.point.current_ma > 15_000


def test_leak_trips_the_monitor_only_while_current_may_flow() -> None:
    rig = AcRig(AcSpec(evse_ma=32_000, rcd=RcdSpec(fitted=True)))
    rig.close = False
    rig.plug(car(leak_dc_ua=7_000))
    rig.run(5)
    assert rig.plant.rcd.state is RcdState.NORMAL
    rig.close = True
    rig.run(0.1)
    assert rig.plant.rcd.state is RcdState.TRIPPED and not rig.point.closed
    assert rig.plant.rcd.dc_ua == 7_000
    rig.close = False
    rig.run(1)
    assert rig.plant.rcd.state is RcdState.NORMAL
    assert rig.point.violations == []


def test_cable_and_plug_out() -> None:
    rig = AcRig()
    rig.run(0.1)
    assert rig.plant.pp is PpState.NONE
    rig.plug(car(cable=PpState.A20))
    rig.run(5)
    assert rig.plant.pp is PpState.A20
    assert not rig.point.plug_out(force=False), "the driver has to end first"
    rig.run(5)
    assert rig.point.ev is None and rig.plant.cp is CpState.A and rig.plant.pp is PpState.NONE
    assert rig.point.visits == 1


# -- ISO 15118 --------------------------------------------------------------------------------------------------------


def hlc_rig(**fields: object) -> AcRig:
    """A rig at 5 % duty with an ISO 15118 car."""
    rig = AcRig()
    rig.digital = True
    rig.plug(car(hlc="ac", **fields))
    return rig


def test_session_goes_through_its_phases_and_charges_to_the_limit() -> None:
    rig = hlc_rig(contract=True, departure_s=3_600, max_ma=20_000)
    rig.run(3)
    assert rig.plant.v2g.phase is V2gPhase.PARAMETER and rig.plant.slac is SlacState.MATCHED
    v2g = rig.plant.v2g
    assert (v2g.contract, v2g.departure_s, v2g.energy_request_wh) == (True, 3_600, 30_000)
    assert (v2g.ev_max_ma, v2g.ev_min_ma) == (20_000, 6_000)
    rig.run(5)
    assert rig.plant.v2g.phase is V2gPhase.PARAMETER, "waits for parameter_finished"
    rig.plant.out.parameter_finished = True
    rig.run(5)
    assert rig.plant.v2g.ready and rig.plant.cp is CpState.C
    assert rig.phases_seen == ["init", "init.", "auth", "auth.", "parameter", "parameter.", "charge"]
    assert rig.point.current_ma == pytest.approx(16_000, abs=10)
    rig.plant.out.offered_w = 6_900
    rig.run(2)
    assert rig.point.power_w == pytest.approx(6_900, rel=0.001)
    rig.plant.out.stop = True
    rig.run(4)
    assert rig.plant.v2g.phase is V2gPhase.NONE and rig.plant.cp is CpState.B
    assert rig.plant.ev_stop is EvStop.NORMAL and rig.ev.ended_by == "station"


def test_auth_waits_and_a_denial_ends() -> None:
    rig = hlc_rig()
    rig.plant.out.authorization = Authorization.ONGOING
    rig.run(10)
    assert rig.plant.v2g.phase is V2gPhase.AUTH
    assert rig.plant.evcc_id == "020000000001"
    rig.plant.out.authorization = Authorization.DENIED
    rig.run(3)
    assert rig.plant.v2g.phase is V2gPhase.NONE and rig.ev.ended_by == "error: not authorised"


@pytest.mark.parametrize("phase", [V2gPhase.AUTH, V2gPhase.PARAMETER])
def test_vehicle_gives_up_when_it_waits_for_more_than_a_minute(phase: V2gPhase) -> None:
    rig = hlc_rig()
    if phase is V2gPhase.AUTH:
        rig.plant.out.authorization = Authorization.ONGOING
    rig.run(55)
    assert rig.plant.v2g.phase is phase
    rig.run(10)
    assert rig.plant.v2g.error is V2gError.SEQUENCE_TIMEOUT


def charging(rig: AcRig) -> AcRig:
    rig.run(3)
    rig.plant.out.parameter_finished = True
    rig.run(5)
    assert rig.plant.v2g.ready
    return rig


@pytest.mark.parametrize("by", ["station", "vehicle"])
def test_renegotiation_goes_back_to_parameter_through_b(by: str) -> None:
    rig = charging(hlc_rig(renegotiate_after_s=0 if by == "station" else 6))
    rig.plant.out.parameter_finished = False
    rig.plant.out.renegotiate = by == "station"
    rig.run(4)
    assert rig.plant.v2g.phase is V2gPhase.PARAMETER and rig.plant.v2g.renegotiating
    assert rig.plant.cp is CpState.B and not rig.plant.v2g.ready
    rig.plant.out.parameter_finished = True
    rig.run(5)
    assert rig.plant.v2g.ready and not rig.plant.v2g.renegotiating and rig.plant.cp is CpState.C
    if by == "station":
        rig.run(10)
        assert rig.plant.v2g.ready, "one wish, one renegotiation"
        rig.plant.out.renegotiate = rig.plant.out.parameter_finished = False
        rig.run(0.2)
        rig.plant.out.renegotiate = True
        rig.run(4)
        assert rig.plant.v2g.renegotiating


@pytest.mark.parametrize("by", ["station", "vehicle"])
def test_pause_ends_the_session_and_resumes_it(by: str) -> None:
    rig = charging(hlc_rig(pause_s=3, pause_after_s=0 if by == "station" else 5))
    rig.plant.out.pause = by == "station"
    rig.run(3)
    assert rig.plant.v2g.paused and rig.plant.cp is CpState.B
    rig.ev.change({"pause_after_s": 0})
    for _ in range(100):
        rig.run(0.1)
        assert by == "vehicle" or rig.plant.slac is SlacState.UNMATCHED
    assert rig.plant.v2g.paused is (by == "station")
    rig.plant.out.pause = False
    rig.run(8)
    assert rig.plant.v2g.ready and rig.plant.cp is CpState.C


def test_errors_are_named_and_stay_until_slac_is_restarted() -> None:
    rig = hlc_rig(hlc_error="SEQUENCE_TIMEOUT")
    rig.run(5)
    assert rig.plant.v2g.error is V2gError.SEQUENCE_TIMEOUT and rig.plant.ev_stop is EvStop.ERROR
    rig.run(20)
    assert rig.plant.v2g.error is V2gError.SEQUENCE_TIMEOUT
    rig.ev.change({"hlc_error": ""})
    rig.plant.out.slac_restarts += 1
    rig.run(3)
    assert rig.plant.v2g.error is V2gError.NONE and rig.plant.v2g.phase is V2gPhase.PARAMETER
    broken = hlc_rig(slac_fails=True)
    broken.run(3)
    assert broken.plant.slac is SlacState.FAILED and broken.plant.v2g.error is V2gError.SLAC_FAILED


def test_falls_back_to_basic_signalling_through_x1() -> None:
    rig = hlc_rig(slac_fails=True)
    rig.run(3)
    rig.digital, rig.offer_ma = False, 0
    rig.run(10)
    rig.offer_ma = 16_000
    rig.run(6)
    assert rig.plant.cp is CpState.C and rig.point.current_ma > 15_000


def test_taking_5_percent_away_in_a_session_is_an_error_of_the_session() -> None:
    rig = charging(hlc_rig())
    rig.digital, rig.offer_ma = False, 0
    rig.run(3)
    assert rig.plant.v2g.error is V2gError.UNEXPECTED_CP_STATE and rig.plant.cp is CpState.B


def test_basic_car_does_not_answer_at_5_percent() -> None:
    rig = AcRig()
    rig.digital = True
    rig.plug(car())
    rig.run(30)
    assert rig.plant.slac is SlacState.UNMATCHED and rig.plant.cp is CpState.B and rig.plant.evcc_id == ""


@pytest.mark.parametrize(
    ("hlc", "soc", "error"),
    [("dc", 20, V2gError.NONE), ("ac", None, V2gError.PROTOCOL_NOT_SUPPORTED)],
)
def test_fake_dc_reads_mac_and_soc_then_charges_with_pwm(hlc: str, soc: int | None, error: V2gError) -> None:
    """Charge Control C 15.21: an AC-only vehicle gives its MAC and no more."""
    rig = AcRig(SPEC)
    rig.digital = True
    rig.plant.out.hlc = HlcMode.FAKE_DC
    rig.plug(car(hlc=hlc, evcc_id="98ED5C000001"))
    rig.run(5)
    assert (rig.plant.evcc_id, rig.plant.soc_pct, rig.plant.v2g.error) == ("98ED5C000001", soc, error)
    assert rig.plant.cp is CpState.B, "no energy in the DC session"
    rig.digital = False
    rig.run(6)
    assert rig.point.current_ma > 15_000


def test_fake_dc_ends_early_when_the_station_has_the_mac() -> None:
    rig = AcRig(SPEC)
    rig.digital = True
    rig.plant.out.hlc = HlcMode.FAKE_DC
    rig.plug(car(hlc="dc"))
    rig.run(0.8)
    assert rig.plant.evcc_id and rig.plant.step is not None
    rig.plant.out.stop = True
    rig.run(0.1)
    assert rig.plant.step is None and rig.plant.soc_pct is None
    assert rig.plant.v2g.error is V2gError.NONE


def test_unplugging_forgets_the_session() -> None:
    rig = charging(hlc_rig())
    rig.point.plug_out(force=True)
    plant = rig.plant
    assert (plant.evcc_id, plant.v2g.phase, plant.slac) == ("", V2gPhase.NONE, SlacState.UNMATCHED)
