"""The AC machine: the table as a product typed by hand, and whole sessions with the times of the standard, tick by tick."""

from __future__ import annotations

import pytest

from evse.core.ac.machine import STAGES, TABLE, Signal
from evse.core.inputs import (
    ClearFault,
    SetAvailability,
    SetChargingAllowed,
    SetDynamicLimit,
    StopSession,
    TransactionStored,
    UnlockConnector,
)
from evse.core.state import Stage
from evse.domain.ac import LockMode, PilotMode, PpState, RcdSpec, RcdState
from evse.domain.session import ChargingState, OperationalStatus, SessionPhase, StopReason
from evse.domain.signals import CpState
from evse.units import NS_PER_MS, NS_PER_S
from tests.core.ac.plant_ac import AcPlant
from tests.core.plant import Plant, spec_of

X1, PWM = PilotMode.X1, PilotMode.PWM

# columns: stage; EMERGENCY UNPLUGGED STOP LEFT PLUGGED STARTED ENERGY OPENED RESTED
EXPECTED = """
empty       -          -          -          -           plugged  -           -        -          -
plugged     -          empty      -          -           -        authorised  -        -          -
authorised  discharge  discharge  discharge  -           -        -           current  -          -
current     discharge  discharge  ramp_down  authorised  -        -           -        -          -
ramp_down   discharge  discharge  -          -           -        -           -        discharge  -
discharge   -          -          -          -           -        -           -        -          finished
finished    -          empty      -          -           -        authorised  -        -          -
"""
ROWS = {words[0]: words[1:] for words in (line.split() for line in EXPECTED.strip().splitlines())}


@pytest.mark.parametrize("stage", list(Stage), ids=lambda s: s.value)
def test_every_signal_in_every_stage(stage: Stage) -> None:
    for signal, word in zip(Signal, ROWS.get(stage.value, ["-"] * len(Signal)), strict=True):
        target = TABLE.get((stage, signal))
        assert (target.value if target is not None else "-") == word, (stage, signal)


def test_the_stages_with_a_contactor_know_the_way_out() -> None:
    assert {stage.value for stage in STAGES} == set(ROWS)
    for stage in (Stage.CURRENT, Stage.RAMP_DOWN):
        assert TABLE[stage, Signal.EMERGENCY] is TABLE[stage, Signal.UNPLUGGED] is Stage.DISCHARGE


def test_no_cycle_without_a_new_permission_or_a_new_closing() -> None:
    edges = [
        (a, b) for (a, sig), b in TABLE.items() if sig not in (Signal.STARTED, Signal.PLUGGED, Signal.ENERGY)
    ]
    reach = {s: {s} for s in Stage}
    for _ in Stage:
        for a, b in edges:
            reach[a] |= reach[b]
    assert not any(a in reach[b] for a, b in edges)


# -- a session ------------------------------------------------------------------------------------------------------


def test_a_session_from_plug_in_to_unplug() -> None:
    p = AcPlant()
    p.run(1)
    assert p.pilot == (X1, 0) and p.w.stage is Stage.EMPTY and p.evse().phase is SessionPhase.IDLE
    p.car.plug()
    p.run(1)
    assert p.evse().phase is SessionPhase.WAIT_AUTH and p.pilot == (X1, 0)
    p.start()
    p.until(lambda p: p.car.drawn_ma > 0)
    assert p.pilot == (PWM, 5_333) and p.w.lease and p.evse().phase is SessionPhase.CHARGING
    assert p.evse().charging_state is ChargingState.CHARGING
    p.run(20)
    v = p.evse()
    assert v.current_ma == 31_998 and v.power_w == 22_078 and v.contactor_closed and v.locked and v.voltage_mv == 230_000
    p.car.full = True
    p.run(0.1)
    assert not p.board.contactor_lease and p.w.stage is Stage.AUTHORISED and p.w.tx_open
    assert p.evse().phase is SessionPhase.SUSPENDED and p.evse().charging_state is ChargingState.SUSPENDED_EV
    p.car.unplug()
    p.run(5)
    assert p.w.stage is Stage.EMPTY and len(p.closed()) == 1 and not p.board.lock
    record = p.closed()[0].session
    assert 100 < record.energy_wh < 140 and record.stop_reason is StopReason.EV_DISCONNECTED


def test_the_contactor_closes_within_3_s_of_state_c() -> None:
    """IEC 61851-1: here it is the first tick on which everything comes together, a debounce and a diode check later."""
    p = AcPlant()
    p.run(10)
    p.car.plug()
    p.car.full = True
    p.run(1)
    p.start()
    p.run(5)
    p.car.full = False
    p.until(lambda p: p.car.status.cp is CpState.C)
    since = p.now
    p.until(lambda p: p.board.contactor_lease)
    assert p.now - since <= 300 * NS_PER_MS


@pytest.mark.parametrize("dt_ms", [1, 50, 1_000, 10_000])
def test_the_contactor_opens_on_the_tick_on_which_the_vehicle_leaves_c(dt_ms: int) -> None:
    """L03: whatever the spacing of the ticks."""
    p = AcPlant()
    p.charge()
    p.run(1)
    p.car.full = True
    p.step(dt_ms * NS_PER_MS)  # the vehicle changes with the levels of this tick
    assert p.car.status.cp is CpState.B
    p.step(dt_ms * NS_PER_MS)
    assert not p.board.contactor_lease


def test_energy_waits_until_the_start_is_durable() -> None:
    p = AcPlant()
    p.answer_stored = False
    p.car.plug()
    p.run(1)
    p.start()
    p.run(20)
    assert not p.w.lease and p.w.waiting_for == "the stored start" and p.car.status.cp is CpState.C
    p.send(TransactionStored, evse_id=1, session_id=p.w.session_id)
    p.run(0.1)
    assert p.w.lease


def test_a_vehicle_may_start_in_c() -> None:
    p = AcPlant()
    p.car.early = True
    p.car.plug()
    p.run(20)
    assert p.car.status.cp is CpState.C and p.w.stage is Stage.PLUGGED and not p.w.lease and p.pilot == (X1, 0)
    p.start()
    p.run(3)
    assert p.w.lease


def test_the_contactor_never_closes_again_within_6_s() -> None:
    """L24; Charge Control C, table 14."""
    p = AcPlant()
    p.charge()
    p.run(1)
    p.car.full = True
    p.until(lambda p: not p.w.lease)
    since = p.now
    p.car.full = False
    p.run(5.9)
    assert not p.w.lease and p.car.status.cp is CpState.C
    p.until(lambda p: p.w.lease, 1)
    assert 6 * NS_PER_S <= p.now - since <= 6_100 * NS_PER_MS


# -- limits ---------------------------------------------------------------------------------------------------------


def test_an_offer_below_6_a_takes_the_pwm_away_and_leaves_the_contactor_to_the_vehicle() -> None:
    """Charge Control C, 15.16."""
    p = AcPlant()
    p.charge()
    p.car.stubborn, p.car.takes_ma = True, 0  # stays in C, and takes nothing
    p.send(SetDynamicLimit, evse_id=1, name="x", current_ma=5_900)
    p.step()
    assert p.pilot == (X1, 0) and p.w.offered_ma == 0
    p.run(60)
    assert p.w.lease and p.w.stage is Stage.CURRENT and p.evse().charging_state is ChargingState.SUSPENDED_EVSE
    p.car.stubborn, p.car.takes_ma = False, 32_000
    p.run(0.2)
    assert not p.w.lease and p.w.stage is Stage.AUTHORISED
    p.send(SetDynamicLimit, evse_id=1, name="x", current_ma=None)
    p.run(8)
    assert p.w.lease and p.pilot == (PWM, 5_333)


def test_a_lower_offer_reaches_the_pilot_on_the_same_tick() -> None:
    p = AcPlant()
    p.charge()
    p.send(SetDynamicLimit, evse_id=1, name="x", current_ma=10_000)
    p.step()
    assert p.pilot == (PWM, 1_666)


# -- ends -----------------------------------------------------------------------------------------------------------


def test_a_stop_takes_the_pwm_and_waits_for_the_vehicle() -> None:
    p = AcPlant()
    p.charge()
    p.send(StopSession, evse_id=1, reason=StopReason.REMOTE)
    p.step()
    assert p.pilot == (X1, 0) and p.w.lease and p.w.stage is Stage.RAMP_DOWN
    p.run(0.2)
    assert not p.w.lease
    p.run(2)
    assert p.w.stage is Stage.FINISHED and p.closed()[0].session.stop_reason is StopReason.REMOTE
    assert not p.board.lock and "VEHICLE_IGNORES_PWM" not in p.names()
    p.start()
    p.run(10)
    assert p.w.lease and len(p.closed()) == 1


def test_a_vehicle_that_ignores_the_stop_is_cut_off_under_load_after_6_s() -> None:
    p = AcPlant()
    p.charge()
    p.car.stubborn = True
    p.send(StopSession, evse_id=1, reason=StopReason.REMOTE)
    p.step()
    since = p.now
    p.run(5.9)
    assert p.w.lease and p.car.drawn_ma > 0 and p.board.lock
    p.until(lambda p: not p.w.lease, 1)
    assert p.now - since == 6 * NS_PER_S
    assert "VEHICLE_IGNORES_PWM" in p.names()
    assert p.closed()[0].session.stop_reason is StopReason.REMOTE if p.closed() else p.w.stop_reason is StopReason.REMOTE


def test_a_vehicle_without_pwm_for_long_is_cut_off_at_once() -> None:
    """The 6 s count from the end of the PWM, not from the stop."""
    p = AcPlant()
    p.charge()
    p.car.stubborn, p.car.takes_ma = True, 0
    p.send(SetDynamicLimit, evse_id=1, name="x", current_ma=0)
    p.run(30)
    p.send(StopSession, evse_id=1, reason=StopReason.REMOTE)
    p.step()
    assert not p.w.lease


def test_the_external_release_pauses_and_resumes_a_session() -> None:
    p = AcPlant()
    p.charge()
    p.send(SetChargingAllowed, evse_id=1, allowed=False)
    p.run(0.3)
    assert p.pilot == (X1, 0) and not p.w.lease and p.w.tx_open and p.w.offered_ma == 0
    assert p.evse().charging_state is ChargingState.SUSPENDED_EVSE and p.w.waiting_for == "the external release"
    p.run(60)
    p.send(SetChargingAllowed, evse_id=1, allowed=True)
    p.run(1)
    assert p.w.lease and not p.closed()


def test_a_pause_that_is_ignored_opens_under_load_and_keeps_the_session() -> None:
    p = AcPlant()
    p.charge()
    p.car.stubborn = True
    p.send(SetChargingAllowed, evse_id=1, allowed=False)
    p.run(6)
    assert p.w.lease
    p.run(0.2)
    assert not p.w.lease and p.w.tx_open and "VEHICLE_IGNORES_PWM" in p.names()
    p.send(SetChargingAllowed, evse_id=1, allowed=True)
    p.run(10)
    assert p.w.lease


def test_unplugging_under_load_ends_once_with_the_right_reason() -> None:
    p = AcPlant()
    p.charge()
    p.car.unplug()
    p.run(0.1)
    assert not p.w.lease
    p.run(5)
    assert [c.session.stop_reason for c in p.closed()] == [StopReason.EV_DISCONNECTED]
    assert p.w.stage is Stage.EMPTY


def test_the_stop_button_and_the_unlock_command_end_a_session() -> None:
    for how in ("button", "unlock"):
        p = AcPlant()
        p.charge()
        if how == "button":
            p.car.extra = {"stop_button": True}
        else:
            p.send(UnlockConnector, evse_id=1)
        p.run(3)
        p.car.extra = {}
        want = StopReason.LOCAL if how == "button" else StopReason.OTHER
        assert p.closed()[0].session.stop_reason is want and not p.board.lock


def test_unlock_opens_a_plug_that_is_locked_as_long_as_it_is_in() -> None:
    p = AcPlant(lock_mode=LockMode.PLUGGED)
    p.charge()
    p.send(UnlockConnector, evse_id=1)
    p.run(5)
    assert len(p.closed()) == 1 and not p.board.lock


# -- faults ---------------------------------------------------------------------------------------------------------


def test_an_emergency_opens_on_that_tick_and_the_pilot_goes_to_f() -> None:
    """Charge Control C, 15.13 and 15.14: the safe state of what a person must clear is 0 %."""
    p = AcPlant()
    p.charge()
    p.car.extra = {"estop": True}
    p.car.follow(p.board)
    p.step()
    assert not p.board.contactor_lease and p.pilot == (PilotMode.F, 0) and p.board.emergency
    p.run(10)
    p.car.extra = {}
    p.run(1)
    assert p.pilot == (PilotMode.F, 0)
    p.send(ClearFault, evse_id=0, code="F1")
    p.run(1)
    assert p.pilot == (X1, 0) and p.closed()[0].session.stop_reason is StopReason.EMERGENCY_STOP


def test_a_fault_that_goes_with_the_vehicle_leaves_the_pilot_at_x1() -> None:
    """15.13: recoverable = 100 %."""
    p = AcPlant(rcd=RcdSpec(fitted=True))
    p.charge()
    p.car.rcd = RcdState.TRIPPED
    p.run(0.1)
    assert not p.board.contactor_lease and p.pilot == (X1, 0) and p.names() == {"RCD_GROUND_FAILURE"}
    p.car.rcd = RcdState.NORMAL
    p.run(5)
    assert p.w.faults
    p.car.unplug()
    p.run(1)
    assert not p.w.faults and p.evse().phase is SessionPhase.IDLE


def test_a_failed_self_test_is_x1_while_a_vehicle_is_connected_and_f_after_it() -> None:
    """3.3.4.13: 100 % when connected, 0 % when disconnected."""
    p = AcPlant(rcd=RcdSpec(fitted=True, test=True))
    p.run(4)
    p.car.rcd_deaf = True
    p.car.plug()
    p.start()
    p.until(lambda p: "RCD_TEST" in p.names(), 5)
    p.run(20)
    assert p.pilot == (X1, 0) and not p.board.contactor_lease and p.evse().plugged
    p.car.unplug()
    p.run(1)
    assert p.pilot == (PilotMode.F, 0) and not p.evse().plugged
    p.car.rcd_deaf = False
    p.send(ClearFault, evse_id=1, code="F31")
    p.run(6)
    assert p.pilot == (X1, 0)


def test_the_emergency_contact_is_state_f_while_it_stands() -> None:
    """3.3.4.15 and 15.14: the safe state of the emergency alarm is 0 %, and it ends with the contact."""
    p = AcPlant(emergency_input=1)
    p.charge()
    p.car.inner = {"inputs": 1}
    p.run(0.1)
    assert not p.board.contactor_lease and p.pilot == (PilotMode.F, 0) and p.names() == {"EMERGENCY_SHUTDOWN"}
    p.car.inner = {"inputs": 0}
    p.run(5)
    assert p.pilot == (X1, 0) and not p.names()


def test_in_state_f_a_socket_tells_by_its_proximity_that_the_plug_is_out() -> None:
    """The open contact is the plug that goes, not a cable without coding; two plugs within 0.6 s are two vehicles."""
    p = AcPlant()
    p.charge()
    p.car.extra = {"estop": True}
    p.run(12)
    first = p.evse().session
    p.car.unplug()
    p.run(0.6)
    assert not p.evse().plugged
    p.car.plug()
    p.run(2)
    assert "PROXIMITY_NO_CABLE" not in {e.data.get("name") for e in p.events}
    assert p.names() == {"EMERGENCY_STOP"}
    p.car.extra = {}
    p.run(0.1)
    p.send(ClearFault, evse_id=0, code="F1")
    p.run(6)
    assert first is not None and p.evse().plugged and p.w.session_id != first.session_id


def test_in_state_f_a_fixed_cable_cannot_tell_who_is_there_and_nobody_charges_on_the_former_permission() -> None:
    """-12 V stands at the plug with and without a vehicle (IEC 61851-1, state F): a swap is not to be seen."""
    p = AcPlant(socket=False, cable_ma=32_000)
    p.charge()
    p.car.extra = {"estop": True}
    p.run(12)
    session = p.w.session_id
    p.car.unplug()
    p.run(0.6)
    p.car.plug()  # another vehicle
    p.run(2)
    assert p.evse().plugged and p.w.session_id == session  # not known
    p.car.extra = {}
    p.run(0.1)
    p.send(ClearFault, evse_id=0, code="F1")
    p.run(60)
    assert not p.board.contactor_lease and not p.w.tx_open and p.pilot == (X1, 0)  # the transaction has ended with the fault
    p.car.unplug()
    p.run(1)
    assert not p.evse().plugged
    p.charge()
    assert p.w.tx_open and p.w.session_id != session


def test_a_fixed_cable_that_was_emptied_in_state_f_is_free_afterwards() -> None:
    p = AcPlant(socket=False, cable_ma=32_000)
    p.charge()
    p.car.extra = {"estop": True}
    p.run(12)
    p.car.unplug()
    p.run(5)
    assert p.evse().plugged  # not known
    p.car.extra = {}
    p.run(0.1)
    p.send(ClearFault, evse_id=0, code="F1")
    p.run(6)
    assert not p.evse().plugged and p.evse().phase is SessionPhase.IDLE


def test_a_pilot_that_is_shorted_opens_on_the_tick_and_blocks_until_the_vehicle_left() -> None:
    p = AcPlant()
    p.charge()
    p.run(2)
    p.car.extra, p.car.inner = {"cp": CpState.E}, {"cp_high_mv": 0}
    p.car.follow(p.board)
    p.step()
    assert not p.board.contactor_lease
    p.run(1)
    assert p.names() == {"PILOT_SHORT"} and p.pilot == (X1, 0)
    p.car.extra, p.car.inner = {}, {}
    p.run(5)
    assert p.names() == {"PILOT_SHORT"} and p.closed()[0].session.fault.startswith("F40")
    p.car.unplug()
    p.run(1)
    assert not p.names()


def test_a_vehicle_without_diode_never_gets_a_closed_contactor() -> None:
    p = AcPlant()
    p.car.diode = False
    p.car.plug()
    p.run(1)
    p.start()
    for _ in range(400):
        p.step()
        assert not p.board.contactor_lease
    assert "PILOT_DIODE" in p.names()


def test_a_diode_that_fails_under_load_ends_the_session() -> None:
    p = AcPlant()
    p.charge()
    p.run(2)
    p.car.diode = False
    p.run(0.4)
    assert not p.board.contactor_lease and "PILOT_DIODE" in p.names()


def test_a_measurement_that_contradicts_the_board_opens_on_the_tick() -> None:
    p = AcPlant()
    p.charge()
    p.car.inner = {"cp_high_mv": 9_000}
    p.car.follow(p.board)
    p.step()
    assert not p.board.contactor_lease


def test_a_board_that_measures_nothing_is_believed() -> None:
    p = AcPlant()
    p.car.measures = False
    p.charge()
    assert p.w.lease


def test_a_lost_board_offers_nothing() -> None:
    p = AcPlant()
    p.charge()
    p.car.silent = True
    p.step()
    assert not p.board.contactor_lease and p.pilot == (X1, 0) and "BOARD_LOST" in p.names()


def test_without_a_valid_cable_no_transaction_starts() -> None:
    p = AcPlant()
    p.car.plug(PpState.INVALID)
    p.run(5)
    p.start()
    p.run(2)
    assert not p.w.tx_open and p.pilot == (X1, 0) and "PROXIMITY_INVALID" in p.names()


def test_a_small_cable_limits_the_promise() -> None:
    p = AcPlant()
    p.car.plug(PpState.A13)
    p.run(1)
    p.start()
    p.until(lambda p: p.car.drawn_ma > 0)
    assert p.pilot == (PWM, 2_166)


def test_the_contactor_waits_for_the_self_test_of_the_monitor() -> None:
    p = AcPlant(rcd=RcdSpec(fitted=True, test=True))
    p.run(10)
    p.car.plug()
    p.car.early = True
    p.start()
    tested = 0
    for _ in range(200):
        p.step()
        assert p.board.ac is not None
        tested += p.board.ac.rcd_test
        assert not (p.board.ac.rcd_test and p.board.contactor_lease)
        if p.board.contactor_lease:
            break
    assert tested > 5 and p.board.contactor_lease
    assert p.kinds().index("rcd.tested") < len(p.kinds())


# -- service --------------------------------------------------------------------------------------------------------


def test_out_of_service_is_state_f_when_free_and_after_the_vehicle_has_left() -> None:
    off = {"evse_id": 1, "origin": "local", "status": OperationalStatus.INOPERATIVE}
    p = AcPlant()
    p.run(1)
    p.send(SetAvailability, **off)
    p.step()
    assert p.pilot == (PilotMode.F, 0) and p.evse().phase is SessionPhase.UNAVAILABLE
    p.send(SetAvailability, evse_id=1, origin="local", status=OperationalStatus.OPERATIVE)
    p.run(5)
    assert p.pilot == (X1, 0)
    p.charge()
    p.send(SetAvailability, **off)
    p.run(2)
    assert p.w.lease  # the running transaction is finished first
    p.send(StopSession, evse_id=1, reason=StopReason.REMOTE)
    p.run(5)
    assert p.w.stage is Stage.FINISHED and p.pilot == (X1, 0)
    p.car.unplug()
    p.run(1)
    assert p.w.stage is Stage.EMPTY and p.pilot == (PilotMode.F, 0)


def test_commands_for_an_evse_that_is_not_there_or_no_ac_one_are_refused() -> None:
    p = AcPlant()
    p.send(SetChargingAllowed, evse_id=7, allowed=False)
    p.step()
    assert p.refused() == "there is no AC EVSE 7"
    dc = Plant(spec_of(1))
    dc.send(SetChargingAllowed, evse_id=1, allowed=False)
    dc.run()
    assert [e.data["why"] for e in dc.events if e.kind == "command.refused"] == ["there is no AC EVSE 1"]
