"""Vehicles that sleep, that do not obey, that want ventilation, and two that follow each other: the whole station."""

from __future__ import annotations

from pathlib import Path

import pytest

from evse.domain.ac import PilotMode
from evse.domain.signals import CpState
from evse.lab.station import Lab
from tests._support.ac_world import (
    CARD,
    OTHER,
    books,
    charge,
    charging,
    codes,
    happened,
    leave,
    one_point,
    plug,
    point,
    record,
    tap,
)
from tests._support.lab_world import Api, run_lab

# -- wake-up ----------------------------------------------------------------------------------------------------------


def pilot(lab: Lab) -> PilotMode:
    return point(lab).plant.out.pilot


async def _asleep(lab: Lab) -> None:
    await plug(lab, sleep_after_s=2)
    await lab.until(lambda: point(lab).ev is not None and point(lab).ev.asleep, "the car sleeps", 10)  # type: ignore[union-attr]


def test_a_car_that_sleeps_is_woken_when_it_is_authorised(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await _asleep(lab)
        await tap(lab)
        seen = await record(lab, 12, lambda: pilot(lab))
        assert [mode for _, mode in seen] == [PilotMode.X1, PilotMode.E, PilotMode.X1, PilotMode.PWM]
        (_, _), (pulse, _), (rest, _), (offer, _) = seen
        assert pulse < 1.5 and 3.95 <= rest - pulse <= 4.2 and 0.74 <= offer - rest <= 0.95
        await charging(lab)
        assert happened(lab, "pilot.wake_up") == [{"why": "after authorisation"}]
        await leave(lab)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path, "force_wake_up = true"))


def test_a_car_that_sleeps_is_woken_after_30_s_and_charges(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await _asleep(lab)
        await tap(lab)
        await lab.until(lambda: pilot(lab) is PilotMode.PWM, "an offer", 5)
        waited = await lab.until(lambda: pilot(lab) is PilotMode.E, "a pulse", 40)
        assert 29.8 <= waited <= 30.3
        assert point(lab).current_ma == 0 and "vehicle" in lab.evse(1).waiting_for
        assert await charging(lab) < 10
        assert happened(lab, "pilot.wake_up") == [{"why": "no reaction for 30 s"}]
        await leave(lab)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path, "wake_up_after_30s = true"))


def test_a_car_that_fell_asleep_in_a_long_pause_is_woken_as_well(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await charge(lab, sleep_after_s=5)
        await api("connector.pause", {"evse_id": 1})
        await lab.forward(20)
        assert point(lab).ev is not None and point(lab).ev.asleep  # type: ignore[union-attr]
        await api("connector.allow", {"evse_id": 1})
        assert 29 < await charging(lab) < 45
        await leave(lab)
        (session,) = await books(lab, 1)
        assert session.energy_wh > 0

    run_lab(tmp_path, scenario, config=one_point(tmp_path, "wake_up_after_30s = true"))


def test_without_a_pulse_a_sleeping_car_sleeps_on_and_the_screen_says_for_whom_it_waits(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await _asleep(lab)
        await tap(lab)
        seen = await record(lab, 45, lambda: pilot(lab))
        assert [mode for _, mode in seen] == [PilotMode.X1, PilotMode.PWM]
        assert point(lab).current_ma == 0 and "vehicle" in lab.evse(1).waiting_for
        assert lab.evse(1).charging_state.value == "SuspendedEV"

    run_lab(tmp_path, scenario, config=one_point(tmp_path))


# -- cars that do not obey --------------------------------------------------------------------------------------------


def test_a_car_that_takes_too_much_is_cut_off_tried_once_more_and_then_refused(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab, max_ma=16_000)
        await Api(lab)("limits.set", {"name": "ems", "current_ma": 10_000})
        await lab.until(lambda: point(lab).current_ma <= 10_100, "it follows", 8)
        await lab.do(cmd="set_ev", connector=1, over_permille=1_250)
        assert 9 < await lab.until(lambda: not point(lab).closed, "cut off", 30) < 20
        assert happened(lab, "over_current.stopped")[0]["retry_s"] == 60
        assert not codes(lab), "the first time is no fault"
        assert 50 < await charging(lab, at_most_s=80) < 75, "once more after a minute"
        assert await lab.until(lambda: not point(lab).closed, "cut off again", 30) < 20
        await lab.until(lambda: lab.evse(1).phase.value == "faulted", "that is final", 5)
        assert codes(lab) == {"F42"}
        await lab.forward(90)
        assert not point(lab).closed
        await lab.do(cmd="plug_out", connector=1, force=True)
        await lab.until(lambda: not lab.evse(1).faults and not lab.evse(1).plugged, "the next car may come", 10)
        await charge(lab, OTHER)
        await leave(lab, OTHER)
        first, second = await books(lab, 2)
        assert first.stop_reason.value == "OvercurrentFault" and "F42" in first.fault and not second.fault

    run_lab(tmp_path, scenario, config=one_point(tmp_path))


def test_a_car_that_ignores_a_lower_duty_ends_in_the_over_current_path(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab)
        await charging(lab, 31_000)
        await lab.do(cmd="set_ev", connector=1, ignore_pwm=True)
        await Api(lab)("limits.set", {"name": "ems", "current_ma": 6_000})
        took = await lab.until(lambda: not point(lab).closed, "cut off", 40)
        assert 14 < took < 24, "5 s to follow, 10 s above 120 %, 6 s without PWM"
        assert point(lab).plant.out.pilot is PilotMode.X1
        assert happened(lab, "over_current.stopped")[0]["detail"].startswith("32.0 A drawn, 6.0 A offered")

    run_lab(tmp_path, scenario, config=one_point(tmp_path))


@pytest.mark.parametrize("who", ["card", "api", "pause"])
def test_a_car_that_ignores_that_the_pwm_is_gone_is_opened_under_load_after_6_s(tmp_path: Path, who: str) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab)
        await charging(lab, 31_000)
        await lab.do(cmd="set_ev", connector=1, ignore_pwm=True)
        if who == "card":
            await tap(lab)
        else:
            await Api(lab)("connector.stop" if who == "api" else "connector.pause", {"evse_id": 1})
        await lab.until(lambda: pilot(lab) is PilotMode.X1, "no offer", 5)
        assert point(lab).closed and point(lab).current_ma > 30_000
        assert 5.8 <= await lab.until(lambda: not point(lab).closed, "opened", 10) <= 6.3
        await lab.until(lambda: "F45" in {e["code"] for e in happened(lab, "fault.raised")}, "and told", 2)
        if who == "pause":
            assert lab.evse(1).session is not None and lab.evse(1).phase.value == "suspended"
            await tap(lab)
        await lab.until(lambda: lab.evse(1).phase.value in ("finished", "faulted"), "ended", 10)
        await lab.do(cmd="set_ev", connector=1, ignore_pwm=False)
        await leave(lab)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path))


# -- ventilation ------------------------------------------------------------------------------------------------------


def fan(lab: Lab) -> bool:
    return point(lab).plant.relay2.closed


def test_row_1_state_d_is_charged_without_ventilation_where_the_operator_says_so(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab, ventilation=True)
        assert point(lab).plant.cp is CpState.D and not fan(lab)
        await leave(lab)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path, "ventilation = { always_accept_d = true }"))


@pytest.mark.parametrize("external", [False, True])
def test_rows_2_and_3_state_d_is_refused_the_plug_stays_locked_and_c_is_welcome(tmp_path: Path, external: bool) -> None:
    async def scenario(lab: Lab) -> None:
        await plug(lab, ventilation=True)
        await lab.forward(0.3)
        await tap(lab)
        await lab.until(lambda: point(lab).plant.cp is CpState.D, "the car asks for ventilation", 10)
        await lab.until(lambda: pilot(lab) is PilotMode.X1, "nothing is offered", 3)
        seen = await record(lab, 30, lambda: (pilot(lab), point(lab).closed))
        assert [value for _, value in seen] == [(PilotMode.X1, False)], "x1 and PWM do not take turns"
        drive = point(lab).plant.drive
        assert drive is not None and drive.locked and "ventilation" in lab.evse(1).waiting_for
        await leave(lab)
        await charge(lab)
        await leave(lab)
        refused, charged = await books(lab, 2)
        assert refused.energy_wh == 0 and charged.energy_wh > 0

    control = "external" if external else "internal"
    run_lab(tmp_path, scenario, config=one_point(tmp_path, f'ventilation = {{ control = "{control}" }}'))


@pytest.mark.parametrize("feedback", ["no", "nc", "none"])
def test_row_4_the_fan_runs_before_the_contactor_closes_and_stops_after_the_session(tmp_path: Path, feedback: str) -> None:
    async def scenario(lab: Lab) -> None:
        await plug(lab, ventilation=True)
        await lab.forward(0.3)
        await tap(lab)
        seen = await record(lab, 12, lambda: (fan(lab), point(lab).closed))
        assert [value for _, value in seen] == [(False, False), (True, False), (True, True)]
        await lab.do(cmd="set_ev", connector=1, ventilation=False)
        await lab.until(lambda: not fan(lab), "C needs no fan", 5)
        assert point(lab).closed
        await lab.do(cmd="set_ev", connector=1, ventilation=True)
        await lab.until(lambda: fan(lab) and point(lab).closed, "and D again", 12)
        await leave(lab)
        assert not fan(lab)
        await books(lab, 1)

    config = one_point(tmp_path, f'ventilation = {{ enabled = true, feedback = "{feedback}" }}')
    run_lab(tmp_path, scenario, config=config)


def test_row_4_a_fan_that_fails_under_load_takes_the_contactor_with_it(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab, ventilation=True)
        await lab.do(cmd="fault", action="raise", fault="ventilation_fail", connector=1)
        await lab.until(lambda: not point(lab).closed, "energy is off", 12)
        await lab.until(lambda: "F44" in codes(lab), "named", 8)
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.do(cmd="plug_out", connector=1, force=True)
        await lab.until(lambda: not lab.evse(1).faults, "the next may come", 20)
        await charge(lab, OTHER, ventilation=True)
        await leave(lab, OTHER)
        await books(lab, 2)

    run_lab(tmp_path, scenario, config=one_point(tmp_path, "ventilation = { enabled = true }"))


def test_row_5_another_program_announces_and_switches_the_fan(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await plug(lab, ventilation=True)
        await lab.forward(0.3)
        await tap(lab)
        await lab.forward(10)
        assert not point(lab).closed and "ventilation" in lab.evse(1).waiting_for
        await api("ventilation.set", {"evse_id": 1, "available": True})
        await lab.forward(3)
        assert not point(lab).closed, "announced, not running"
        await api("ventilation.set", {"evse_id": 1, "on": True})
        await charging(lab, at_most_s=15)
        assert fan(lab)
        await leave(lab)
        await books(lab, 1)

    config = one_point(tmp_path, 'ventilation = { enabled = true, control = "external" }')
    run_lab(tmp_path, scenario, config=config)


# -- proximity --------------------------------------------------------------------------------------------------------


def test_a_cable_of_13_a_is_refused_and_one_of_20_a_is_taken_as_such(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await plug(lab, cable="13")
        await tap(lab)
        await lab.until(lambda: "F37" in codes(lab), "refused", 10)
        await lab.forward(10)
        assert pilot(lab) is not PilotMode.PWM and not point(lab).closed
        assert "13 A cable" in lab.evse(1).faults[0].detail
        await lab.do(cmd="plug_out", connector=1, force=True)
        await lab.until(lambda: not lab.evse(1).faults and not lab.evse(1).plugged, "gone", 10)
        await charge(lab, OTHER, cable="20")
        await lab.forward(10)
        assert 19_000 < point(lab).current_ma <= 20_000
        await leave(lab, OTHER)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path, 'reject_plugs = "13"'))


def test_a_cable_that_changes_in_a_session_lowers_the_current_until_the_car_leaves(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab)
        await charging(lab, 31_000)
        await lab.do(cmd="fault", action="raise", fault="pp_changed", connector=1, value=20)
        await lab.until(lambda: "F38" in codes(lab), "named", 5)
        await lab.forward(6)
        assert point(lab).closed and 19_000 < point(lab).current_ma <= 20_000
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.forward(10)
        assert point(lab).current_ma <= 20_000, "the smaller one until unplugged"
        await leave(lab)
        assert not codes(lab)
        await charge(lab)
        await charging(lab, 31_000)
        await leave(lab)
        await books(lab, 2)

    run_lab(tmp_path, scenario, config=one_point(tmp_path))


# -- one after the other ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap_s", [0.25, 0.6, 1.5])
@pytest.mark.parametrize("connection", ["socket", "cable"])
def test_two_cars_at_one_socket_within_a_second_are_two_sessions(tmp_path: Path, connection: str, gap_s: float) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab)
        await lab.forward(5)
        first = lab.evse(1).session
        await lab.do(cmd="plug_out", connector=1, force=True)
        await lab.forward(gap_s)
        await plug(lab, starts_in_c=True)
        await lab.forward(15)
        assert not point(lab).closed and point(lab).current_ma == 0, "nobody has allowed the second car to charge"
        second = lab.evse(1).session
        assert first is not None and second is not None and second.session_id != first.session_id
        assert lab.evse(1).phase.value == "wait_auth"
        await tap(lab, OTHER)
        await charging(lab)
        await leave(lab, OTHER)
        one, two = await books(lab, 2)
        assert (one.id_token, two.id_token) == (CARD, OTHER)
        assert one.stop_reason.value == "EVDisconnected" and one.energy_wh > 0 < two.energy_wh

    config = one_point(tmp_path, f'connection = "{connection}"', "cable_a = 32")
    run_lab(tmp_path, scenario, config=config)
