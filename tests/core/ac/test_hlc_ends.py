"""ISO 15118 with AC vehicles: stop, pause, faults, renegotiation, and what people may ask."""

from __future__ import annotations

import pytest

from evse.core.ac.hlc_board import Levels
from evse.core.ac.memory import HlcStage
from evse.core.state import Stage
from evse.domain.ac import HlcMode, PilotMode, V2gError, V2gPhase
from evse.domain.signals import SlacState
from evse.units import NS_PER_S
from tests.core.ac.hlc_rig import Rig

P = V2gPhase

# -- stop, pause, blocked -----------------------------------------------------------------------------------------------


def test_a_stop_is_asked_for_and_the_pilot_stays_digital_until_the_session_is_over() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.work(stage=Stage.RAMP_DOWN)
    r.pass_s(0)
    assert r.stage is HlcStage.CLOSING and r.levels.stop and not r.levels.pause
    r.energise(on=False)
    r.work(stage=Stage.FINISHED, tx_open=False)
    r.v2g(P.CHARGE, finished=True)
    assert r.stage is HlcStage.CLOSING and r.levels.stop and not r.ready
    assert r.mem().cp_mode is PilotMode.PWM, "5 % until the session is over"
    r.over()
    assert r.mem().cp_mode is PilotMode.X1
    assert r.stage is HlcStage.RESTING and not r.levels.stop and not r.mem().hlc_again


def test_a_vehicle_that_does_not_end_loses_the_pilot_after_20_s() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.work(stage=Stage.RAMP_DOWN)
    r.pass_s(19.9)
    assert r.stage is HlcStage.CLOSING
    r.pass_s(0.3)
    assert r.stage is HlcStage.RESTING
    r.pass_s(30)
    assert r.stage is HlcStage.RESTING, "a session that goes on does not bring the pilot back"


def test_a_second_transaction_of_the_same_vehicle_begins_a_new_session() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.work(stage=Stage.RAMP_DOWN)
    r.pass_s(0)
    r.energise(on=False)
    r.over()
    r.work(stage=Stage.FINISHED, tx_open=False)
    r.pass_s(60)
    assert r.stage is HlcStage.RESTING
    r.authorise()
    r.pass_s(0)
    assert r.stage is HlcStage.WAIT and r.levels.restart_slac


def test_a_pause_of_the_station_pauses_the_session_and_its_end_begins_another() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.memory(cp_pause="the external release")
    r.pass_s(0)
    assert r.stage is HlcStage.CLOSING and r.levels.pause and not r.levels.stop
    r.energise(on=False)
    r.over(paused=True)
    assert r.stage is HlcStage.PAUSED and r.levels.pause
    r.pass_s(600, dt=NS_PER_S)
    assert r.stage is HlcStage.PAUSED
    r.memory(cp_pause="")
    r.pass_s(0)
    assert r.stage is HlcStage.WAIT and r.levels.restart_slac and not r.levels.pause


def test_a_vehicle_pauses_and_resumes_by_itself() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.energise(on=False)
    r.over(paused=True)
    assert r.stage is HlcStage.PAUSED and not r.levels.pause
    r.pass_s(900, dt=NS_PER_S)
    assert r.stage is HlcStage.PAUSED and not r.told("slac.restart")
    r.v2g(slac=SlacState.MATCHING)
    assert r.stage is HlcStage.SESSION


def test_pause_and_resume_on_request() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.request("resume")
    assert "not paused" in r.refusal()
    r.request("pause")
    assert r.stage is HlcStage.CLOSING and r.levels.pause
    r.energise(on=False)
    r.over(paused=True)
    r.pass_s(60)
    assert r.stage is HlcStage.PAUSED
    r.request("resume")
    assert r.stage is HlcStage.WAIT and not r.levels.pause and r.levels.restart_slac
    assert [e.data["what"] for e in r.told("hlc.requested")] == ["pause", "resume"]


def test_a_pause_that_is_taken_back_at_once_ends_the_session_and_begins_another() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.request("pause")
    r.request("resume")
    assert not r.refusal() and r.stage is HlcStage.CLOSING and not r.levels.pause
    r.energise(on=False)
    r.over()
    assert r.stage is HlcStage.WAIT and r.levels.restart_slac


def test_a_vehicle_that_has_paused_is_resumed_on_request() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.energise(on=False)
    r.over(paused=True)
    r.pass_s(30)
    r.request("resume")
    assert r.stage is HlcStage.WAIT and r.levels.restart_slac
    r.unplug()
    r.pass_s(0)
    r.plug()
    r.charge()
    r.request("resume")
    assert r.stage is HlcStage.SESSION and not r.mem().hlc_again, "nothing to resume"


def test_a_fault_silences_the_power_line_and_its_end_begins_a_new_session() -> None:
    r = Rig(HlcMode.REQUIRED)
    r.charge()
    r.energise(on=False)
    r.blocked = "F6"
    r.pass_s(0)
    assert r.stage is HlcStage.RESTING and r.levels == Levels()
    r.over(V2gError.UNEXPECTED_CP_STATE)
    r.pass_s(10)
    assert not r.causes[1], "what our own x1 ends is no fault of the vehicle"
    r.blocked = ""
    r.pass_s(0)
    assert r.stage is HlcStage.WAIT and r.levels.restart_slac
    r.pass_s(5)
    assert r.stage is HlcStage.WAIT and not r.causes[1]


# -- renegotiation ------------------------------------------------------------------------------------------------------


def test_the_station_asks_for_a_renegotiation_until_the_vehicle_follows() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.request("renegotiate")
    assert r.levels.renegotiate
    r.pass_s(3)
    assert r.levels.renegotiate
    r.work(offered_ma=10_000)
    r.v2g(P.PARAMETER, renegotiating=True)
    assert not r.levels.renegotiate and not r.levels.parameter_finished, "EVSEProcessing begins with Ongoing again"
    r.pass_s(0)
    assert r.levels.parameter_finished and r.view is not None and r.view.schedule_ma == 10_000


def test_a_vehicle_that_does_not_renegotiate_is_asked_for_10_s() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.request("renegotiate")
    r.pass_s(10.2)
    assert not r.levels.renegotiate and len(r.told("hlc.unanswered")) == 1 and r.stage is HlcStage.SESSION


def test_the_vehicle_renegotiates_by_itself() -> None:
    r = Rig(HlcMode.OPTIONAL)
    r.charge()
    r.v2g(P.PARAMETER, renegotiating=True, energy_request_wh=5_000)
    assert not r.levels.parameter_finished and not r.ready and r.stage is HlcStage.SESSION
    r.pass_s(0)
    assert r.levels.parameter_finished and r.view is not None and r.view.energy_request_wh == 5_000


@pytest.mark.parametrize(("stage", "what", "why"), [
    ("idle", "pause", "no vehicle"), ("wait", "renegotiate", "no ISO 15118 session"), ("auth", "renegotiate", "phase auth"),
    ("charge", "reinit", "under way"), ("charge", "resume", "not paused"), ("charge", "dance", "accepted: renegotiate"),
])  # fmt: skip
def test_requests_that_make_no_sense_are_refused_with_the_reason(stage: str, what: str, why: str) -> None:
    r = Rig(HlcMode.OPTIONAL)
    if stage == "wait":
        r.plug()
    elif stage == "auth":
        r.begin()
        r.v2g(P.AUTH)
    elif stage == "charge":
        r.charge()
    r.pass_s(0)
    r.request(what)
    assert why in r.refusal()
