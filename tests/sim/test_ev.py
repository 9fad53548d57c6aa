"""The vehicle's side of the sequence, against a small controller and the physics."""

from __future__ import annotations

import msgspec
import pytest

from evse.domain.signals import HLC_STEPS, Authorization, CpState, EvStop, HlcStep, IsolationState, SlacState
from evse.sim.curves import find_car, load_cars, pack_mv, parse_curve, power_at
from evse.sim.ev import NORMAL, EvSpec, Stage
from tests.sim.rig import Rig, bolt


def changed(**values: object) -> EvSpec:
    """A small battery with one oddity."""
    return msgspec.structs.replace(bolt(battery_wh=4_000), **values)


def test_all_cars_of_the_file_load() -> None:
    """111 rows; the one plain-CCS car above 200 kW is of the 800 V class."""
    cars = load_cars()
    assert len(cars) == 111
    assert {car.model for car in cars if car.voltage_class == 800} == {"Ioniq 5"}
    car = find_car(cars, "hyundai ioniq 5")
    assert power_at(car.curve, 0) == 200_000
    assert power_at(car.curve, 50_000) == pytest.approx(205_000)
    assert power_at(car.curve, 1_000_000) == 11_000
    assert pack_mv(800, 900_000) == 2 * pack_mv(400, 900_000) == 770_000


@pytest.mark.parametrize("text", ["", "0", "0:1 0:2", "5:a", "101:5", "0:-1"])
def test_bad_curves_are_refused(text: str) -> None:
    """A pair without colon, without rise or out of range."""
    with pytest.raises(ValueError, match=r"."):
        parse_curve(text)


def test_steps_come_in_their_order_and_current_flows_in_15_to_25_s() -> None:
    """Plug to current with the normal pace, then all 14 steps to the end by target SoC."""
    rig = Rig(bolt(battery_wh=4_000), pace=NORMAL)
    rig.run(60, "Curr")
    rig.run(5)
    assert rig.ev.current_since is not None
    assert 15e9 <= rig.ev.current_since <= 25e9
    rig.run(300, "done")
    assert rig.steps == list(HLC_STEPS)
    assert rig.ev.ended_by == "target soc"
    assert rig.plant.ev_stop is EvStop.NORMAL and rig.plant.cp is CpState.B and rig.plant.step is None
    assert rig.ev.soc_pct == pytest.approx(42, abs=0.3)


def test_fast_pace_needs_about_five_seconds() -> None:
    """For demonstrations."""
    rig = Rig(bolt())
    rig.run(20, "Curr")
    rig.run(1)
    assert rig.ev.current_since is not None and rig.ev.current_since < 7e9


def test_nothing_happens_without_permission_and_authorisation() -> None:
    """No SLAC before the invitation, no parameters before the authorisation."""
    rig = Rig(bolt())
    rig.plant.out.permit = False
    rig.run(10)
    assert rig.ev.stage is Stage.PLUGGED and rig.plant.cp is CpState.B
    rig.plant.out.permit = True
    rig.controller.authorization = Authorization.ONGOING
    rig.run(100)
    assert rig.plant.step is HlcStep.PAY_AUTH and rig.plant.slac is SlacState.MATCHED
    rig.controller.authorization = Authorization.DENIED
    rig.run(2)
    assert rig.plant.ev_stop is EvStop.ERROR and rig.ev.ended_by == "error: not authorised"


def test_station_stop_is_obeyed_or_ignored() -> None:
    """PowerDelivery stop within a second, or never with ignore_stop."""
    rig = Rig(bolt(target_soc_pct=80))
    rig.run(20, "Curr")
    rig.run(2)
    rig.controller.stop = True
    assert rig.run(3, "PD-Off") < 1
    rude = Rig(changed(ignore_stop=True, target_soc_ppm=900_000))
    rude.run(20, "Curr")
    rude.controller.stop = True
    rude.run(10)
    assert rude.plant.step is HlcStep.CURR


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"stop_energy_wh": 40}, "target energy"),
        ({"stop_after_s": 3}, "time"),
    ],
)
def test_car_ends_by_itself(values: dict[str, object], why: str) -> None:
    """By energy or by time."""
    rig = Rig(changed(target_soc_ppm=900_000, **values))
    rig.run(60, "done")
    assert rig.ev.ended_by == why


def test_silent_car_ages_and_late_car_comes_back() -> None:
    """The board sees the age of the last message grow; a late car speaks again after its delay."""
    rig = Rig(bolt(target_soc_pct=80))
    rig.run(20, "Curr")
    rig.run(1)
    demand = rig.plant.demand_ma
    rig.ev.change({"silent": True})
    rig.run(3)
    assert 2900 <= rig.plant.ev_age_ms <= 3100 and rig.plant.demand_ma == demand
    rig.ev.change({"silent": False, "late_ms": 800})
    ages = []
    for _ in range(40):
        rig.run(0.05)
        ages.append(rig.plant.ev_age_ms)
    assert 0 in ages and 700 <= max(ages) < 900
    rig.ev.change({"silent": True})
    rig.run(65)
    assert rig.plant.ev_stop is EvStop.COMM_LOST


def test_insulation_fault_is_measured() -> None:
    """48 kohm is a FAULT and the session does not get past CableCheck."""
    rig = Rig(changed(insulation_kohm=48))
    rig.run(20)
    assert rig.plant.isolation is IsolationState.FAULT and rig.plant.isolation_kohm == 48
    assert rig.plant.step is HlcStep.CABLE
    rig.run(40)
    assert rig.ev.ended_by == "error: cable check took more than 40 s"


def test_pre_charge_that_never_fits_and_one_that_times_out() -> None:
    """A car that is never satisfied waits longer than the station may; a station without voltage is left after 7 s."""
    rig = Rig(changed(pre_charge_never=True))
    rig.run(20, "PreC")
    rig.run(10)
    assert rig.plant.step is HlcStep.PRE_C
    dead = Rig(bolt())
    dead.run(20, "PreC")
    dead.world.powered = False
    assert dead.run(10, "Stop") == pytest.approx(7, abs=0.3)
    assert dead.plant.ev_stop is EvStop.ERROR


def test_stays_in_c_after_the_end() -> None:
    """The pilot of some cars does not go back to B."""
    rig = Rig(changed(stay_in_c=True))
    rig.run(120, "done")
    rig.run(5)
    assert rig.plant.cp is CpState.C


def test_second_session_without_unplugging() -> None:
    """restart_slac begins a new session; the insulation is measured again."""
    rig = Rig(bolt(battery_wh=4_000, target_soc_pct=41))
    rig.run(120, "done")
    rig.ev.change({"target_soc_pct": 42})
    rig.plant.out.slac_restarts += 1
    rig.run(120, "PreC")
    assert rig.plant.step is HlcStep.PRE_C
    rig.run(60, "done")
    assert rig.steps.count(HlcStep.CURR) == 2 and rig.ev.soc_pct > 41.5


def test_emergency_ends_at_once() -> None:
    """EVSE_EmergencyShutdown: contactors open and the pilot leaves C in the same step."""
    rig = Rig(bolt(target_soc_pct=80))
    rig.run(20, "Curr")
    rig.run(2)
    rig.plant.out.emergency = True
    rig.run(0.05)
    assert rig.plant.cp is CpState.B and not rig.ev.contactor
