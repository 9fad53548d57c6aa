"""Fake DC: MAC and state of charge are read, then the vehicle charges with basic signalling (Charge Control C, 15.21)."""

from __future__ import annotations

import pytest

from evse.core.ac.fake_dc import DEFAULT, vendor_of
from evse.core.ac.memory import HlcStage
from evse.domain.ac import FakeDcVendor, HlcMode, V2gError, V2gPhase, V2gStatus
from evse.domain.signals import HLC_STEPS, Authorization, HlcStep, SlacState
from evse.units import NS_PER_S
from tests.core.ac.hlc_rig import Rig

VENDORS = (
    FakeDcVendor(name="one", oui=("98:ED:5C", "DC:44:27:1"), until_soc=False, switch_method=2),
    FakeDcVendor(name="two", oui=("98:ED:5C:A", "00:12:34:56:78:9A"), switch_method=3),
    FakeDcVendor(name="three", oui=("98ED5CA",), switch_method=4),
)


@pytest.mark.parametrize(("mac", "name"), [
    ("98ED5C000000", "one"), ("98:ed:5c:00:00:00", "one"), ("98ED5CA00000", "two"), ("00123456789A", "two"),
    ("00123456789B", ""), ("DC4427100000", "one"), ("DC4427200000", ""), ("98ED5", ""), ("", ""),
])  # fmt: skip
def test_the_longest_start_of_the_mac_decides_and_of_equals_the_first(mac: str, name: str) -> None:
    assert vendor_of(VENDORS, mac).name == name


def test_a_maker_that_is_not_listed_is_read_up_to_the_state_of_charge() -> None:
    assert DEFAULT.until_soc and DEFAULT.switch_method == 1


def rig(mac: str = "AABBCC000000") -> Rig:
    """A vehicle has matched; its MAC is known."""
    r = Rig(HlcMode.FAKE_DC, fake_dc_vendors=VENDORS)
    r.plug()
    r.pass_s(0)
    r.board(slac=SlacState.MATCHING)
    r.pass_s(0)
    r.board(slac=SlacState.MATCHED, evcc_id=mac)
    r.pass_s(0)
    return r


def go(r: Rig, last: HlcStep) -> None:
    """The DC session goes through its steps up to ``last``."""
    for step in HLC_STEPS[: HLC_STEPS.index(last) + 1]:
        r.board(step=step)
        r.pass_s(0)


def leave(r: Rig) -> None:
    r.board(step=None, slac=SlacState.UNMATCHED)
    r.pass_s(0)


def test_the_state_of_charge_is_read_without_permission_then_the_pilot_tells_the_current() -> None:
    r = rig()
    assert r.stage is HlcStage.SESSION and r.view is not None and r.view.soc == -1
    assert r.levels.authorization is Authorization.GRANTED and not r.ready and not r.basic
    go(r, HlcStep.PARAM)
    assert r.stage is HlcStage.SESSION and r.view.soc == -1
    r.board(soc_pct=47)
    r.pass_s(0)
    read_at = r.inputs().wall
    assert r.stage is HlcStage.CLOSING and r.levels.stop and r.levels.switch_method == 1
    assert (r.view.soc, r.view.soc_at) == (47, read_at)
    leave(r)
    assert r.stage is HlcStage.SWITCH
    r.pass_s(10.1)
    assert r.stage is HlcStage.BASIC and r.ready and not r.causes[1]
    assert [e.data["soc_pct"] for e in r.told("session.soc")] == [47]


def test_a_session_that_ends_by_itself_is_enough() -> None:
    r = rig()
    go(r, HlcStep.PARAM)
    r.board(soc_pct=47)
    leave(r)
    assert r.stage is HlcStage.SWITCH and r.view is not None and r.view.soc == 47


def test_the_state_of_charge_enters_the_session_when_the_transaction_begins() -> None:
    r = rig()
    go(r, HlcStep.PARAM)
    r.board(soc_pct=47)
    leave(r)
    r.pass_s(11)
    assert r.evse().soc_start_pct is None
    r.authorise()
    r.pass_s(0)
    assert (r.evse().soc_start_pct, r.evse().soc_end_pct) == (47, 47)


def test_a_maker_of_whom_the_mac_is_enough_is_let_go_at_once() -> None:
    r = rig("98ED5C112233")
    assert r.view is not None and r.view.vendor == "one"
    assert r.stage is HlcStage.CLOSING and r.levels.stop and r.levels.switch_method == 2
    leave(r)
    assert r.stage is HlcStage.SWITCH and r.view is not None and r.view.soc == -1


def test_a_vehicle_that_does_not_let_go_is_cut_off_after_5_s() -> None:
    r = rig("98ED5C112233")
    go(r, HlcStep.SAP)
    r.pass_s(4.8)
    assert r.stage is HlcStage.CLOSING
    r.pass_s(0.2)
    assert r.stage is HlcStage.SWITCH


def test_parameters_without_a_state_of_charge_mean_that_there_will_be_none() -> None:
    r = rig()
    go(r, HlcStep.CABLE)
    assert r.view is not None and r.view.soc == -2 and r.stage is HlcStage.CLOSING


def test_a_vehicle_that_only_knows_ac_gives_its_mac_and_is_no_fault() -> None:
    r = rig()
    r.board(v2g=V2gStatus(error=V2gError.PROTOCOL_NOT_SUPPORTED), slac=SlacState.UNMATCHED)
    r.pass_s(0)
    assert r.stage is HlcStage.SWITCH and not r.causes[1]
    assert r.view is not None and r.view.soc == -1
    assert r.told("hlc.ended")[0].data["why"] == "PROTOCOL_NOT_SUPPORTED"


def test_an_ac_session_up_to_its_parameters_has_no_state_of_charge_to_tell() -> None:
    r = rig()
    r.v2g(V2gPhase.PARAMETER)
    r.v2g(V2gPhase.CHARGE)
    assert r.view is not None and r.view.soc == -2


def test_silence_gives_way_after_20_s_and_a_slow_vehicle_after_60_s() -> None:
    r = Rig(HlcMode.FAKE_DC)
    r.plug()
    r.pass_s(19.9)
    assert r.stage is HlcStage.WAIT
    r.pass_s(0.4)
    assert r.stage is HlcStage.SWITCH
    r = rig()
    go(r, HlcStep.PAY_AUTH)
    r.pass_s(58)
    assert r.stage is HlcStage.SESSION
    r.pass_s(2)
    assert r.stage is HlcStage.SWITCH and not r.causes[1]


def charged() -> Rig:
    """Read once, charging with basic signalling."""
    r = rig()
    go(r, HlcStep.PARAM)
    r.board(soc_pct=47)
    leave(r)
    r.pass_s(11)
    r.energise()
    r.pass_s(60, dt=NS_PER_S)
    assert r.stage is HlcStage.BASIC
    return r


def test_reinit_ends_charging_in_order_and_reads_again() -> None:
    r = charged()
    r.request("reinit")
    assert r.stage is HlcStage.RESET and not r.ready
    r.pass_s(5)
    assert r.stage is HlcStage.RESET, "the contactor is still closed"
    r.energise(on=False)
    r.pass_s(0)
    assert r.stage is HlcStage.WAIT and r.levels.restart_slac
    r.pass_s(1.1)
    r.board(slac=SlacState.MATCHING)
    r.pass_s(0)
    assert r.stage is HlcStage.SESSION and r.view is not None and r.view.soc == 47, "the old value, until there is a new one"
    go(r, HlcStep.PAY_AUTH)
    r.board(step=HlcStep.PARAM, soc_pct=52)
    r.pass_s(0)
    assert r.view.soc == 52 and r.view.soc_at == r.inputs().wall
    leave(r)
    r.pass_s(11)
    assert r.stage is HlcStage.BASIC
    assert (r.evse().soc_start_pct, r.evse().soc_end_pct) == (47, 52)


def test_reinit_without_an_answer_goes_back_to_charging_with_the_old_value() -> None:
    r = charged()
    r.energise(on=False)
    r.request("reinit")
    r.pass_s(3.1)
    assert r.stage is HlcStage.WAIT
    r.pass_s(21.2)
    r.pass_s(10.2)
    assert r.stage is HlcStage.BASIC and r.view is not None and r.view.soc == 47


def test_reinit_whose_parameters_tell_nothing_forgets_the_old_value() -> None:
    r = charged()
    r.energise(on=False)
    r.board(soc_pct=None)
    r.request("reinit")
    r.pass_s(4.2)
    r.board(slac=SlacState.MATCHING)
    r.pass_s(0)
    go(r, HlcStep.CABLE)
    assert r.view is not None and r.view.soc == -2


@pytest.mark.parametrize(("error", "soc"), [(V2gError.NONE, 47), (V2gError.SEQUENCE_ERROR, -2)])
def test_the_same_value_again_counts_when_the_session_has_ended_in_order(error: V2gError, soc: int) -> None:
    r = charged()
    r.energise(on=False)
    r.request("reinit")
    r.pass_s(4.2)
    r.board(slac=SlacState.MATCHING)
    r.pass_s(0)
    go(r, HlcStep.PARAM)
    assert r.view is not None and r.stage is HlcStage.SESSION, "the board still shows the value of the session before"
    r.board(v2g=V2gStatus(error=error))
    leave(r)
    assert (r.view.soc, r.view.soc_at) == (soc, r.inputs().wall)


def test_the_value_is_forgotten_with_the_vehicle() -> None:
    r = charged()
    r.unplug()
    r.board(evcc_id="", soc_pct=None)
    r.pass_s(0)
    assert r.view is not None and (r.view.soc, r.view.soc_at, r.view.vendor) == (-1, None, "")


def test_a_pause_while_reading_begins_to_read_again() -> None:
    r = Rig(HlcMode.FAKE_DC)
    r.plug()
    r.pass_s(5)
    r.memory(cp_pause="the external release")
    r.pass_s(30)
    assert r.stage is HlcStage.RESTING
    r.memory(cp_pause="")
    r.pass_s(0)
    assert r.stage is HlcStage.WAIT and r.levels.mode is HlcMode.FAKE_DC
