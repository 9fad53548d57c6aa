"""ISO 15118 with AC vehicles: the table of stages, each mode, the levels of the board, what people may ask."""

from __future__ import annotations

import pytest

from evse.core.ac import hlc
from evse.core.ac.hlc import TABLE, Signal
from evse.core.ac.hlc_board import Levels
from evse.core.ac.memory import AcState, HlcStage
from evse.core.state import AuthState, Stage
from evse.domain.ac import HlcMode, V2gError, V2gPhase
from evse.domain.contactor import ContactorFeedback
from evse.domain.faults import FaultCode
from evse.domain.session import StopReason
from evse.domain.signals import Authorization, SlacState
from evse.units import NS_PER_S, s
from tests.core.ac.hlc_rig import Rig

P = V2gPhase

# columns: stage; GONE BLOCKED FALL_BACK RETRY REFUSE STOP PAUSED ENDED TALKING AGAIN PLUGGED RESTED
EXPECTED = """
idle     -    -       -      -     -       -       -      -       -       -     wait -
wait     idle resting switch reset refused resting -      -       session -     -    -
session  idle resting switch reset refused closing paused resting -       -     -    -
closing  idle resting switch -     -       -       paused resting -       -     -    -
resting  idle -       -      -     -       -       -      -       session wait  -    -
paused   idle resting -      -     -       -       -      -       session wait  -    -
reset    idle -       -      -     -       -       -      -       -       -     -    wait
switch   idle -       -      -     -       -       -      -       -       -     -    basic
basic    idle -       -      -     -       -       -      -       -       reset -    -
refused  idle -       -      -     -       -       -      -       -       reset -    -
"""
ROWS = {words[0]: words[1:] for words in (line.split() for line in EXPECTED.strip().splitlines())}


@pytest.mark.parametrize("stage", list(HlcStage), ids=lambda x: x.value)
def test_every_signal_in_every_stage(stage: HlcStage) -> None:
    for signal, word in zip(Signal, ROWS[stage.value], strict=True):
        target = TABLE.get((stage, signal))
        assert (target.value if target is not None else "-") == word, (stage, signal)


def test_the_way_back_to_digital_leads_through_x1() -> None:
    """From a duty cycle that tells the current, and after a failure, no stage with 5 % is entered directly."""
    loud = {HlcStage.BASIC, HlcStage.REFUSED, HlcStage.SWITCH}
    assert not any(a in loud and b in hlc.DIGITAL for (a, _), b in TABLE.items())
    assert not any(a in hlc.DIGITAL and b is HlcStage.BASIC for (a, _), b in TABLE.items())


# -- off ----------------------------------------------------------------------------------------------------------------


def test_switched_off_means_basic_signalling_and_silence_on_the_power_line() -> None:
    r = Rig(HlcMode.OFF)
    r.charge()
    assert r.stage is HlcStage.IDLE and r.basic and r.ready and r.levels == Levels() and r.view is None
    r.request("renegotiate")
    assert "switched off" in r.refusal()


def test_a_state_of_another_station_file_is_forgotten_where_it_is_switched_off() -> None:
    r = Rig(HlcMode.OFF)
    r.memory(hlc_stage=HlcStage.REFUSED, hlc_fault="TLS_FAILED", hlc_soc=40)
    r.pass_s(0)
    assert r.stage is HlcStage.IDLE and not r.causes[1] and r.mem().hlc_soc == -1


# -- a session ----------------------------------------------------------------------------------------------------------


def test_a_session_goes_through_its_phases_and_each_is_told_once() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.plug()
    r.pass_s(0)
    assert r.stage is HlcStage.WAIT and not r.basic and not r.ready
    assert (r.levels.mode, r.levels.authorization) == (HlcMode.OPTIONAL, Authorization.NONE)
    r.v2g(slac=SlacState.MATCHING)
    assert r.stage is HlcStage.SESSION
    r.v2g(P.INIT)
    r.v2g(P.INIT, finished=True)
    r.work(auth=AuthState.WAITING)
    r.v2g(P.AUTH)
    assert r.levels.authorization is Authorization.ONGOING
    r.authorise()
    r.v2g(P.AUTH, contract=True)
    assert r.levels.authorization is Authorization.GRANTED and not r.levels.parameter_finished
    r.v2g(P.PARAMETER, departure_s=3600, energy_request_wh=12_000)
    assert not r.levels.parameter_finished, "the vehicle's own parameters come first"
    r.pass_s(0)
    assert r.levels.parameter_finished and not r.ready
    r.v2g(P.CHARGE)
    assert not r.ready, "the contactor waits for PowerDelivery"
    r.v2g(P.CHARGE, ready=True)
    assert r.ready and r.levels.parameter_finished
    told = [(e.data["phase"], e.data["state"]) for e in r.told("session.v2g")]
    assert told == [("init", "started"), ("init", "finished"), ("auth", "started"), ("parameter", "started"),
                    ("charge", "started")]  # fmt: skip
    assert r.told("session.v2g")[3].data["energy_wh"] == 12_000


def test_departure_and_energy_are_kept_for_people_until_the_vehicle_leaves() -> None:
    r = Rig(HlcMode.REQUIRED)
    r.begin()
    r.authorise()
    r.v2g(P.PARAMETER, departure_s=3600, energy_request_wh=12_000)
    came = r.inputs().wall
    r.pass_s(5)
    r.v2g(P.CHARGE, departure_s=3590)
    assert r.view is not None
    assert (r.view.departure_at, r.view.energy_request_wh, r.view.schedule_ma) == (came + s(3600), 12_000, 16_000)
    r.over()
    assert r.view.energy_request_wh == 12_000
    r.unplug()
    r.pass_s(0)
    assert r.view.departure_at is None and r.view.energy_request_wh is None


def test_the_parameters_wait_for_an_offer_but_not_longer_than_the_vehicle() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.begin()
    r.authorise(offered_ma=0)
    r.v2g(P.PARAMETER)
    r.pass_s(49.9)
    assert not r.levels.parameter_finished
    r.pass_s(0.2)
    assert r.levels.parameter_finished and r.view is not None and r.view.schedule_ma == 0


def test_a_schedule_of_nothing_is_renegotiated_once_there_is_an_offer() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.begin()
    r.authorise(offered_ma=0)
    r.v2g(P.PARAMETER)
    r.pass_s(51)
    r.v2g(P.CHARGE)
    assert not r.levels.renegotiate
    r.work(offered_ma=10_000)
    r.pass_s(0)
    assert r.levels.renegotiate
    r.v2g(P.PARAMETER, renegotiating=True)
    r.pass_s(0)
    assert not r.levels.renegotiate and r.levels.parameter_finished
    r.v2g(P.CHARGE, ready=True)
    r.pass_s(30)
    assert not r.levels.renegotiate and not r.told("hlc.unanswered")


def test_nobody_is_asked_to_renegotiate_before_charging() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.begin()
    r.authorise(offered_ma=0)
    r.v2g(P.PARAMETER)
    r.pass_s(51)
    r.work(offered_ma=16_000)
    r.pass_s(15)
    assert not r.told("hlc.unanswered") and r.mem().hlc_told_ma == 0


def test_a_vehicle_that_ignores_it_is_asked_once_about_a_schedule_of_nothing() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.begin()
    r.authorise(offered_ma=0)
    r.v2g(P.PARAMETER)
    r.pass_s(51)
    r.work(offered_ma=16_000)
    r.v2g(P.CHARGE, ready=True)
    r.pass_s(60)
    assert len(r.told("hlc.unanswered")) == 1 and not r.levels.renegotiate


def test_a_session_that_charges_has_no_limit_of_time() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.pass_s(3 * 3600, dt=10 * NS_PER_S)
    assert r.stage is HlcStage.SESSION and r.ready


def test_without_a_transaction_the_parameters_stay_ongoing() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.begin()
    r.work(offered_ma=16_000)
    r.v2g(P.PARAMETER)
    r.pass_s(55)
    assert not r.levels.parameter_finished


# -- silence, errors ----------------------------------------------------------------------------------------------------


def test_a_silent_vehicle_gets_basic_signalling_20_s_after_the_5_percent_and_10_s_of_x1() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.blocked = "F1"
    r.plug()
    r.pass_s(60)
    assert r.stage is HlcStage.IDLE, "no 5 %, no waiting"
    r.blocked = ""
    r.pass_s(19.9)
    assert r.stage is HlcStage.WAIT
    r.pass_s(0.3)
    assert r.stage is HlcStage.SWITCH and r.levels == Levels() and not r.basic and not r.ready
    r.pass_s(9.8)
    assert r.stage is HlcStage.SWITCH
    r.pass_s(0.3)
    assert r.stage is HlcStage.BASIC and r.basic and r.ready and r.levels == Levels()
    assert not r.causes[1], "a vehicle without ISO 15118 is no fault"
    assert [e.data["then"] for e in r.told("hlc.ended")] == ["switch"]
    assert r.told("hlc.ended")[0].data["why"] == "no vehicle has begun within 20 s"


def test_the_change_waits_for_an_open_contactor() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.over(V2gError.TCP_CLOSED)
    r.pass_s(15)
    assert r.stage is HlcStage.SWITCH
    r.energise(on=False)
    r.pass_s(0)
    assert r.stage is HlcStage.BASIC


@pytest.mark.parametrize("error", [e for e in V2gError if e is not V2gError.NONE])
def test_each_error_has_its_name_in_the_fault_and_optional_gives_way(error: V2gError) -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.begin()
    r.authorise()
    r.v2g(P.PARAMETER)
    r.over(error)
    assert r.stage is HlcStage.SWITCH
    assert r.causes[1][FaultCode.HLC_ERROR] == f"{error.value} in phase parameter"
    r.pass_s(11)
    assert r.stage is HlcStage.BASIC and FaultCode.HLC_ERROR in r.causes[1]
    r.unplug()
    r.pass_s(0)
    assert not r.causes[1]


def test_matching_that_fails_without_a_session_counts_as_slac_failed() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.begin()
    r.board(slac=SlacState.UNMATCHED)
    r.pass_s(0)
    assert r.stage is HlcStage.SWITCH and "SLAC_FAILED" in r.causes[1][FaultCode.HLC_ERROR]


def test_a_session_that_stands_still_before_the_auth_phase_times_out() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.begin()
    r.v2g(P.INIT)
    r.pass_s(59.8)
    assert r.stage is HlcStage.SESSION
    r.pass_s(0.3)
    assert r.stage is HlcStage.SWITCH and "SEQUENCE_TIMEOUT" in r.causes[1][FaultCode.HLC_ERROR]


def test_a_session_that_ends_in_order_without_charging_gives_way_too() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.begin()
    r.authorise()
    r.v2g(P.PARAMETER)
    r.over()
    assert r.stage is HlcStage.SWITCH and not r.causes[1]


def test_a_vehicle_that_was_not_authorised_in_time_gets_a_new_session_with_the_permission() -> None:
    r = Rig(HlcMode.REQUIRED)
    r.begin()
    r.v2g(P.AUTH)
    r.pass_s(60)
    r.over(V2gError.SEQUENCE_TIMEOUT)
    assert r.stage is HlcStage.RESTING and not r.causes[1] and not r.levels.restart_slac
    r.pass_s(100)
    r.authorise()
    r.pass_s(0)
    assert r.stage is HlcStage.WAIT and r.levels.restart_slac
    r.pass_s(1.1)
    assert not r.levels.restart_slac and r.stage is HlcStage.WAIT, "the old error is not taken for a new one"
    r.v2g(slac=SlacState.MATCHING)
    assert r.stage is HlcStage.SESSION


def test_after_charging_the_pilot_stays_digital_and_the_vehicle_may_begin_again() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.over()
    assert r.stage is HlcStage.RESTING and not r.basic and not r.ready
    r.pass_s(3600, dt=NS_PER_S)
    assert r.stage is HlcStage.RESTING
    r.v2g(slac=SlacState.MATCHING)
    assert r.stage is HlcStage.SESSION


# -- required -----------------------------------------------------------------------------------------------------------


def test_required_begins_anew_three_times_then_refuses_and_ends_the_transaction() -> None:
    r = Rig(HlcMode.REQUIRED)
    r.plug()
    r.authorise()
    r.pass_s(0)
    for attempt in (1, 2, 3):
        r.pass_s(21.2)
        assert r.stage is HlcStage.RESET and not r.causes[1]
        r.pass_s(2.9)
        assert r.stage is HlcStage.WAIT and len(r.told("slac.restart")) == attempt
    assert r.stop_wanted is None and [e.data["attempt"] for e in r.told("slac.restart")] == [2, 3, 4]
    r.pass_s(21.2)
    assert r.stage is HlcStage.REFUSED and r.stop_wanted is StopReason.OTHER
    assert "SLAC_FAILED" in r.causes[1][FaultCode.HLC_ERROR] and "HlcError" in r.evse().fault
    assert r.levels == Levels() and not r.basic and not r.ready
    r.work(tx_open=False, stage=Stage.FINISHED)
    r.pass_s(100)
    assert r.stage is HlcStage.REFUSED
    r.authorise()
    r.pass_s(0)
    assert r.stage is HlcStage.RESET and r.mem().hlc_tries == 0


def test_required_forgets_failures_once_it_charges() -> None:
    r = Rig(HlcMode.REQUIRED)
    r.charge()
    for _ in range(6):
        r.board(contactor=ContactorFeedback.OPEN, lease_active=False)
        r.work(lease=False)
        r.over(V2gError.TCP_CLOSED)
        assert r.stage is HlcStage.RESET
        r.pass_s(4.2)
        r.v2g(P.PARAMETER)
        r.pass_s(0)
        r.v2g(P.CHARGE, ready=True)
        assert r.stage is HlcStage.SESSION and r.ready and not r.causes[1] and r.mem().hlc_tries == 0


def test_required_never_gives_way_to_basic_signalling() -> None:
    r = Rig(HlcMode.REQUIRED)
    r.plug()
    r.authorise()
    for _ in range(300):
        r.pass_s(1, dt=NS_PER_S)
        assert not r.basic and not r.ready


# -- unplugged, board lost ----------------------------------------------------------------------------------------------


def test_nothing_of_a_vehicle_is_left_when_it_has_gone() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.request("pause")
    r.over(V2gError.TLS_FAILED)
    r.unplug()
    r.board(slac=SlacState.UNMATCHED)
    r.pass_s(0)
    fresh = AcState()
    names = [n for n in AcState.__struct_fields__ if n.startswith("hlc_")]
    assert {n: getattr(r.mem(), n) for n in names} == {n: getattr(fresh, n) for n in names}


def test_a_lost_board_changes_nothing_and_a_vehicle_may_leave_meanwhile() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.silent.add(1)
    r.pass_s(30)
    assert r.stage is HlcStage.SESSION and not r.ready
    r.work(plugged=False)
    r.pass_s(0)
    assert r.stage is HlcStage.IDLE
