"""Every fault: cause, code, reaction, latch; clearing is refused while it stands; charging works again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from evse.core.faults import clearable
from evse.core.inputs import ClearFault
from evse.core.state import Stage
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode, LatchRule, Reaction
from evse.domain.session import SessionPhase, StopReason
from evse.domain.signals import ContactorFeedback, EvStop, HlcStep, LockState, SlacState
from tests.core.plant import Plant, spec_of

Set = Callable[[Plant], None]


def setter(**values: Any) -> Set:
    """Set attributes of car 1."""

    def act(p: Plant) -> None:
        for name, value in values.items():
            setattr(p.cars[1], name, value)

    return act


def status(**values: Any) -> Set:
    return lambda p: p.cars[1].set(**values)


def plant_set(**values: Any) -> Set:
    def act(p: Plant) -> None:
        for name, value in values.items():
            setattr(p, name, value)

    return act


# code, how to cause it while charging, how to take the cause away
WHILE_CHARGING: list[tuple[FaultCode, Set, Set]] = [
    (FaultCode.EMERGENCY_STOP, status(estop=True), status(estop=False)),
    (FaultCode.BOARD_LOST, setter(silent=True), setter(silent=False)),
    (FaultCode.BMS_STALE, status(ev_age_ms=2_001), status(ev_age_ms=0)),
    (FaultCode.CONNECTOR_OVER_TEMPERATURE, status(temperature_dc=900), status(temperature_dc=799)),
    (FaultCode.METER_LOST, setter(meter_dead=True), setter(meter_dead=False)),
    (FaultCode.CONTACTOR_WELDED, setter(welded=True, want_stop=True), setter(welded=False)),
    (FaultCode.CONTACTOR_NOT_CLOSED, setter(never_closes=True), setter(never_closes=False)),
    (FaultCode.OUTPUT_OUT_OF_RANGE, setter(over_mv=450_000), setter(over_mv=0)),
    (FaultCode.OUTPUT_OUT_OF_RANGE, setter(extra_ma=20_000), setter(extra_ma=0)),
    (FaultCode.LOCK_FAILURE, status(lock=LockState.UNLOCKED), setter(lock_stuck=False)),
    (FaultCode.STORAGE, plant_set(storage_ok=False), plant_set(storage_ok=True)),
    (FaultCode.DOOR_OPEN, status(door_open=True), status(door_open=False)),
    (FaultCode.INTERNAL, plant_set(loop_fault="BugError: test"), plant_set(loop_fault="")),
]


@pytest.mark.parametrize(
    ("code", "cause", "relief"), WHILE_CHARGING, ids=[f"{c.name}-{i}" for i, (c, _, _) in enumerate(WHILE_CHARGING)]
)
def test_fault_while_charging(code: FaultCode, cause: Set, relief: Set) -> None:
    p = Plant()
    p.charge()
    p.run(20)
    row = FAULTS[code]
    if code is FaultCode.LOCK_FAILURE:
        p.cars[1].lock_stuck = True
    cause(p)
    p.until(lambda p: code.value in p.codes(), 400)
    if row.reaction is Reaction.EMERGENCY:
        assert not p.board().contactor_lease and not p.outputs.groups[0].on
    p.until(lambda p: not p.board().contactor_lease, 400)
    assert p.evse().phase is SessionPhase.FAULTED or code is FaultCode.BMS_STALE
    p.until(lambda p: len(p.closed()) == 1, 400)
    end = p.closed()[0].session
    assert end.stop_reason is (
        StopReason(row.stop_reason) if code is not FaultCode.CONTACTOR_WELDED else StopReason.STOPPED_BY_EV
    )
    record = next(r for r in (*p.state.faults, *p.state.evses[0].faults) if r.code is code)
    assert record.detail and record.count == 1
    _recovers(p, code, relief)


def _recovers(p: Plant, code: FaultCode, relief: Set) -> None:
    """Clear is refused while the cause stands, allowed after it, and the next session works."""
    evse_id = 0 if FAULTS[code].scope == "station" else 1
    record = next(r for r in (*p.state.faults, *p.state.evses[0].faults) if r.code is code)
    if record.present:
        assert clearable(record) == (False, f"the cause still stands: {record.detail}")
        p.send(ClearFault, evse_id=evse_id, code=code.value)
        p.run()
        assert p.events[-1].kind == "command.refused" or any(e.kind == "command.refused" for e in p.events[-4:])
        assert code.value in p.codes()
    relief(p)
    p.cars[1].unplug()
    p.run(120)
    assert (code.value in p.codes()) is (FAULTS[code].latch is LatchRule.MANUAL)
    if code.value in p.codes():
        p.cars[1].plug()
        p.run(2)
        p.start()
        p.run(2)
        assert not p.state.evses[0].tx_open, "a latched fault must forbid a new transaction"
        p.send(ClearFault, evse_id=evse_id, code=code.value)
        p.run()
        p.cars[1].unplug()
        p.run(3)
    assert not p.codes()
    assert "fault.raised" in p.kinds() and "fault.cleared" in p.kinds()
    p.charge()


def test_insulation_too_low_never_reaches_the_charge_loop() -> None:
    p = Plant()
    p.cars[1].kohm = 48
    p.cars[1].plug()
    p.run()
    p.start()
    p.until(lambda p: "F4" in p.codes())
    assert "48 kohm < 100 kohm" in p.state.evses[0].faults[0].detail
    assert not p.board().contactor_lease
    p.until(lambda p: bool(p.closed()))
    assert p.closed()[0].session.stop_reason is StopReason.GROUND_FAULT
    assert p.closed()[0].session.energy_wh == 0
    p.cars[1].kohm = 500
    _recovers(p, FaultCode.INSULATION, lambda p: None)


def test_pre_charge_that_never_matches_is_named_with_both_voltages() -> None:
    p = Plant()
    p.cars[1].plug()
    p.run()
    p.start()
    p.until(lambda p: p.cars[1].status.step is HlcStep.PRE_C)
    p.cars[1].no_voltage = True
    began = p.now
    p.until(lambda p: "F5" in p.codes(), 400)
    assert 7.0 <= (p.now - began) / 1e9 <= 7.2
    assert "vehicle asks 380000 mV" in p.state.evses[0].faults[0].detail
    p.until(lambda p: bool(p.closed()), 400)
    p.cars[1].no_voltage = False
    _recovers(p, FaultCode.PRE_CHARGE_TIMEOUT, lambda p: None)


def test_cable_check_without_voltage_ends_after_forty_seconds() -> None:
    p = Plant()
    p.cars[1].no_voltage = True
    p.cars[1].plug()
    p.run()
    p.start()
    p.until(lambda p: p.state.evses[0].stage is Stage.CABLE_CHECK)
    began = p.now
    p.until(lambda p: "F14" in p.codes())
    assert 40.0 <= (p.now - began) / 1e9 <= 40.1
    assert "insulation test" in p.state.evses[0].faults[0].detail
    p.until(lambda p: bool(p.closed()), 600)
    assert p.closed()[0].session.stop_reason is StopReason.TIMEOUT
    p.cars[1].no_voltage = False
    _recovers(p, FaultCode.CABLE_CHECK_TIMEOUT, lambda p: None)


def test_a_deaf_vehicle_gets_three_new_slacs_and_then_a_fault_that_a_new_start_forgets() -> None:
    p = Plant()
    p.cars[1].deaf = True
    p.cars[1].plug()
    p.run()
    p.start()
    p.until(lambda p: "F16" in p.codes(), 4000)
    assert p.kinds().count("slac.restart") == 3
    p.until(lambda p: p.state.evses[0].stage is Stage.FINISHED, 600)
    p.cars[1].deaf = False
    p.start()
    p.until(lambda p: p.current(1) > 0)
    assert "F16" not in p.codes()


def test_an_error_of_the_vehicle_is_named() -> None:
    p = Plant()
    p.charge()
    p.cars[1].set(ev_stop=EvStop.ERROR)
    p.run()
    assert "F16" in p.codes()
    p.until(lambda p: bool(p.closed()), 400)
    assert p.closed()[0].session.fault == "F16 VehicleCommunication"


@pytest.mark.parametrize(
    ("gone", "code"), [((1, 0), FaultCode.POWER_MODULE_MISSING), ((0, 1), FaultCode.POWER_MODULE_FAILURE)]
)
def test_modules_that_fail_only_derate(gone: tuple[int, int], code: FaultCode) -> None:
    p = Plant()
    p.charge()
    p.run(150)
    p.cars[1].demand_ma = 200_000
    p.run(2)
    assert p.board().offered_w == 60_000
    p.module_faults[1] = gone
    p.run(2)
    assert code.value in p.codes()
    assert p.board().offered_w == 30_000 and p.evse().phase is SessionPhase.CHARGING
    assert p.evse().limits[0].source.value == "modules"
    p.module_faults.clear()
    p.run(2)
    assert not p.codes() and p.board().offered_w == 60_000


def test_a_lost_site_meter_holds_the_power_and_new_sessions_get_the_smallest() -> None:
    p = Plant(spec_of(2, has_site_meter=True), assigned_w=40_000)
    p.charge()
    p.run(20)
    p.site_dead = True
    p.until(lambda p: "F13" in p.codes(), 300)
    p.assigned[1] = 60_000
    p.charge(2)
    p.run(10)
    assert p.board(1).offered_w == 40_000
    assert p.board(2).offered_w == p.spec.min_power_w
    p.site_dead = False
    p.run(2)
    assert not p.codes() and p.board(1).offered_w == 60_000


def test_derating_is_linear_between_its_temperatures() -> None:
    p = Plant(assigned_w=180_000)
    p.charge()
    p.cars[1].demand_ma = 250_000
    for temperature, share in ((800, 100), (810, 90), (850, 50), (890, 10), (899, 1)):
        p.cars[1].set(temperature_dc=temperature)
        p.run(2)
        assert p.board().offered_w == min(60_000, 180_000 * share // 100)
    assert not p.codes()


def test_over_temperature_comes_back_only_below_the_start_of_derating() -> None:
    p = Plant()
    p.cars[1].set(temperature_dc=900)
    p.run(2)
    assert "F6" in p.codes()
    p.cars[1].set(temperature_dc=800)
    p.run(2)
    assert "F6" in p.codes()
    p.cars[1].set(temperature_dc=799)
    p.run(2)
    assert not p.codes()


def test_a_contactor_that_never_closes_at_the_start() -> None:
    p = Plant()
    p.cars[1].never_closes = True
    p.cars[1].plug()
    p.run()
    p.start()
    p.until(lambda p: "F11" in p.codes(), 400)
    p.until(lambda p: bool(p.closed()), 600)
    assert p.closed()[0].session.energy_wh == 0


def test_a_lock_that_does_not_lock_is_named_before_any_energy() -> None:
    p = Plant()
    p.cars[1].lock_stuck = True
    p.cars[1].plug()
    p.run()
    p.start()
    p.until(lambda p: "F15" in p.codes(), 400)
    assert not any(e.board.contactor_lease for e in p.outputs.evses)


def test_the_count_goes_on_over_activations() -> None:
    p = Plant()
    for n in range(1, 4):
        p.cars[1].set(door_open=True)
        p.run(2)
        assert p.state.evses[0].faults[0].count == n
        p.cars[1].set(door_open=False)
        p.run(2)
        assert not p.codes()


def test_one_emergency_stop_stops_both_connectors_on_the_same_tick() -> None:
    p = Plant()
    p.charge(1)
    p.charge(2)
    p.cars[2].set(estop=True)
    p.step()
    assert not any(o.board.contactor_lease for o in p.outputs.evses)
    assert not any(g.on for g in p.outputs.groups)
    assert all(o.board.emergency for o in p.outputs.evses)


def test_a_lost_board_leaves_the_other_connector_charging() -> None:
    p = Plant()
    p.charge(1)
    p.charge(2)
    p.cars[1].silent = True
    p.run(50)
    assert p.current(2) > 0 and p.current(1) == 0


def test_welded_feedback_without_a_session_blocks_the_connector() -> None:
    p = Plant()
    p.run(3)
    p.cars[1].welded = True
    p.until(lambda p: "F10" in p.codes(), 50)
    assert p.cars[1].status.contactor is ContactorFeedback.CLOSED


@pytest.mark.parametrize("code", list(FaultCode), ids=lambda c: c.name)
def test_every_fault_has_complete_texts(code: FaultCode) -> None:
    row = FAULTS[code]
    values = msgspec.structs.asdict(row)
    assert all(len(str(v)) > 0 for field, v in values.items() if field != "vendor_code")
    for field in ("description", "cause", "impact", "remedy_remote", "remedy_on_site"):
        assert len(values[field]) > 20 and values[field].endswith(".")
    assert row.scope in ("station", "evse")
    assert row.ocpp16 in {
        "ConnectorLockFailure",
        "EVCommunicationError",
        "GroundFailure",
        "HighTemperature",
        "InternalError",
        "LocalListConflict",
        "OtherError",
        "OverCurrentFailure",
        "OverVoltage",
        "PowerMeterFailure",
        "PowerSwitchFailure",
        "ReaderFailure",
        "UnderVoltage",
        "WeakSignal",
    }
    StopReason(row.stop_reason)


def test_a_vehicle_that_gives_up_just_before_our_limit_leads_to_the_cause_not_to_its_words() -> None:
    p = Plant()
    p.cars[1].plug()
    p.run()
    p.start()
    p.until(lambda p: p.cars[1].status.step is HlcStep.PRE_C)
    p.cars[1].no_voltage = True
    p.run(130)
    p.cars[1].set(ev_stop=EvStop.ERROR)
    p.run(2)
    assert p.codes() == {"F5"}


def test_a_failed_match_is_tried_again_and_then_named_without_waiting_for_the_whole_setup_time() -> None:
    p = Plant()
    p.cars[1].deaf = True
    p.cars[1].plug()
    p.cars[1].set(slac=SlacState.FAILED)
    p.run()
    p.start()
    began = p.now
    p.until(lambda p: "F16" in p.codes(), 4000)
    assert (p.now - began) / 1e9 < 20


def test_a_local_list_that_contradicts_the_back_end_is_a_warning_of_the_station_until_it_is_right() -> None:
    """Charge Control C, 3.3.4.33: connector 0; running sessions are not affected."""
    p = Plant()
    p.charge()
    p.list_conflict = True
    p.run(1)
    assert {r.code for r in p.state.faults} == {FaultCode.LOCAL_LIST_CONFLICT} and p.board().contactor_lease
    p.list_conflict = False
    p.run(1)
    assert not p.state.faults and p.board().contactor_lease
