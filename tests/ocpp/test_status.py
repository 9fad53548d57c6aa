"""StatusNotification: the right word, at most every ten seconds, faults first, the last state always."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode, FaultRecord
from evse.domain.session import ChargingState, OperationalStatus, SessionPhase
from evse.domain.view_ac import LockView
from evse.ocpp.status import Detail, Status, StatusBoard, connector_status
from evse.units import NS_PER_S
from tests.ocpp.support import Bench, ac_view, evse_view, under_virtual_time


def fault(code: FaultCode, evse_id: int = 1) -> FaultRecord:
    return FaultRecord(code=code, evse_id=evse_id, detail="", first_seen=1, last_seen=1, count=1, present=True)


@pytest.mark.parametrize("phase", list(SessionPhase))
def test_every_phase_has_a_word_of_the_specification(phase: SessionPhase) -> None:
    words = {
        "Available", "Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing", "Reserved", "Unavailable",
        "Faulted",
    }
    for state in ChargingState:
        assert connector_status(evse_view(1, phase=phase, charging_state=state), FAULTS).status in words


@pytest.mark.parametrize(("changes", "status"), [
    ({}, "Available"),
    ({"auth_state": "granted"}, "Preparing"),
    ({"reserved": True}, "Reserved"),
    ({"reserved": True, "plugged": True}, "Preparing"),
    ({"operational": OperationalStatus.INOPERATIVE}, "Unavailable"),
    ({"phase": SessionPhase.CHARGING, "charging_state": ChargingState.CHARGING}, "Charging"),
    ({"phase": SessionPhase.SUSPENDED, "charging_state": ChargingState.SUSPENDED_EV}, "SuspendedEV"),
    ({"phase": SessionPhase.SUSPENDED, "charging_state": ChargingState.SUSPENDED_EVSE}, "SuspendedEVSE"),
    ({"phase": SessionPhase.CHARGING, "charging_state": ChargingState.CHARGING,
      "operational": OperationalStatus.INOPERATIVE}, "Charging"),  # scheduled: the session goes on
])
def test_words(changes: dict[str, object], status: str) -> None:
    assert connector_status(evse_view(1, **changes), FAULTS) == Status(status=status)


def test_worst_fault_is_named_and_a_warning_leaves_the_state() -> None:
    warning, serious = fault(FaultCode.POWER_MODULE_MISSING), fault(FaultCode.INSULATION)
    charging = {"phase": SessionPhase.CHARGING, "charging_state": ChargingState.CHARGING}
    seen = connector_status(evse_view(1, faults=(warning,), **charging), FAULTS)
    assert (seen.status, seen.error_code, seen.vendor_error) == ("Charging", "PowerSwitchFailure", "F8")
    seen = connector_status(evse_view(1, faults=(warning, serious), **charging), FAULTS)
    assert (seen.status, seen.error_code, seen.info) == ("Faulted", "GroundFailure", "F4 InsulationFault")


def test_of_several_faults_the_one_of_the_highest_priority_is_reported() -> None:
    """Charge Control C user guide 3.3.4: only the error with the highest priority is reported."""
    codes = [FaultCode.EMERGENCY_SHUTDOWN, FaultCode.RCD_GROUND_FAILURE, FaultCode.READER_FAILURE, FaultCode.METER_INTERNAL,
             FaultCode.PLUG_LOCK_CANNOT_UNLOCK, FaultCode.CONTACTOR_WELDED]  # rising
    said = []
    for n in range(1, len(codes) + 1):
        seen = connector_status(evse_view(1, faults=tuple(map(fault, codes[:n]))), FAULTS)
        assert seen.status == "Faulted"  # also when a warning, the reader, is the one that is named
        said.append((seen.error_code, seen.vendor_error))
    assert said == [
        ("OtherError", "EmergencyShutdown"), ("GroundFailure", "RcdGroundFailure"), ("ReaderFailure", "F29"),
        ("PowerMeterFailure", "InternalError"), ("ConnectorLockFailure", "PlugLockCannotUnlock"),
        ("PowerSwitchFailure", "F10"),
    ]
    seen = connector_status(evse_view(1, faults=(fault(FaultCode.READER_FAILURE),)), FAULTS)
    assert (seen.status, seen.error_code) == ("Available", "ReaderFailure")


def test_storage_fault_carries_the_code_of_what_failed() -> None:
    record = msgspec.structs.replace(fault(FaultCode.STORAGE, 0), detail="PersistenceReadOnly: no writes")
    view = msgspec.structs.replace(evse_view(1), faults=(record,))
    assert connector_status(view, FAULTS).vendor_error == "PersistenceReadOnly"
    other = msgspec.structs.replace(record, detail="Persistence: no such code")
    assert connector_status(msgspec.structs.replace(view, faults=(other,)), FAULTS).vendor_error == "F17"


def test_a_moment_without_an_offer_is_no_pause_of_an_ac_evse() -> None:
    board, second = StatusBoard(), NS_PER_S
    preparing, paused, waits = (Status(status=word) for word in ("Preparing", "SuspendedEVSE", "SuspendedEV"))
    assert board.want(1, preparing, 0, 0)
    assert not board.want(1, paused, 0, second) and not board.want(1, paused, 0, 2 * second - 1)
    assert board.want(1, waits, 0, 2 * second)
    assert not board.want(1, paused, 0, 3 * second), "a new pause begins anew"
    assert board.want(1, paused, 0, 4 * second)
    assert board.want(2, paused, 0, 0), "the first state of a connector is said"
    assert board.want(3, preparing, 0) and board.want(3, paused, 0), "direct current: at once"


@pytest.mark.parametrize(("held", "status"), [(True, "Finishing"), (False, "Available")])
def test_a_socket_that_keeps_a_plug_is_not_free(held: bool, status: str) -> None:
    lock = LockView(stage="locked" if held else "open", feedback="locked", commanded=held, held=held)
    assert connector_status(evse_view(1, ac=ac_view(lock=lock)), FAULTS).status == status


def test_ten_seconds_between_two_and_the_last_state_wins() -> None:
    async def main() -> None:
        bench = await Bench().start(0.5)
        for phase in (SessionPhase.PLUGGED, SessionPhase.CHARGING, SessionPhase.FINISHED, SessionPhase.CHARGING):
            bench.station.change(1, phase=phase, charging_state=ChargingState.CHARGING)
            bench.look()
            await asyncio.sleep(1)
        await asyncio.sleep(20)
        sent = [m for m in bench.client.messages(100, "StatusNotification") if m.type == "call"]
        about_1 = [(m.wall, msgspec.json.decode(m.payload)["status"]) for m in sent if '"connectorId":1' in m.payload]
        assert [status for _, status in about_1] == ["Available", "Charging"]
        assert about_1[1][0] - about_1[0][0] >= 10 * NS_PER_S
        assert about_1[1][0] - about_1[0][0] < 10.1 * NS_PER_S

    under_virtual_time(main)


def test_a_state_that_returns_within_the_spacing_is_not_said() -> None:
    async def main() -> None:
        bench = await Bench().start()
        bench.station.change(1, phase=SessionPhase.PLUGGED)
        bench.look()
        bench.station.change(1, phase=SessionPhase.IDLE)
        bench.look()
        await asyncio.sleep(30)
        assert len(bench.csms.calls("StatusNotification")) == 3

    under_virtual_time(main)


def test_faults_go_first() -> None:
    board = StatusBoard()
    for number in range(4):
        board.want(number, Status(status="Faulted" if number == 3 else "Available"), 0)
    assert [due.connector_id for due in board.due(0, 10)] == [3, 0, 1, 2]


def test_changes_while_offline_are_said_once_after_the_return() -> None:
    async def main() -> None:
        bench = await Bench().start()
        bench.csms.down()
        await asyncio.sleep(60)
        bench.station.change(2, phase=SessionPhase.CHARGING, charging_state=ChargingState.CHARGING)
        bench.look()
        when = bench.clock.wall()
        await asyncio.sleep(600)
        bench.csms.up()
        await asyncio.sleep(200)
        said = bench.csms.calls("StatusNotification")[3:]
        assert [(row["connectorId"], row["status"]) for row in said] == [(2, "Charging")]
        from evse.ocpp.messages import timestamp
        assert said[0]["timestamp"] == timestamp(when)  # when it happened, not when it was told

    under_virtual_time(main)


def test_unanswered_status_is_tried_again_and_a_refused_one_is_not() -> None:
    async def main() -> None:
        bench = await Bench(call_timeout_s=5).start()
        bench.csms.answer("StatusNotification", silence=True, count=1)
        bench.station.change(1, phase=SessionPhase.PLUGGED)
        bench.look()
        await asyncio.sleep(40)
        assert bench.csms.statuses[("DC 1", 1)]["status"] == "Preparing"
        bench.csms.answer("StatusNotification", error="InternalError", count=1)
        bench.station.change(1, phase=SessionPhase.IDLE)
        bench.look()
        await asyncio.sleep(60)
        assert len(bench.csms.calls("StatusNotification")) == 3 + 2 + 1

    under_virtual_time(main)


def test_trigger_says_one_connector_at_once() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await bench.csms.call("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 2})
        await asyncio.sleep(0.1)
        assert [row["connectorId"] for row in bench.csms.calls("StatusNotification")] == [0, 1, 2, 2]

    under_virtual_time(main)


@pytest.mark.parametrize(("detail", "warned", "faulted"), [
    (Detail(), ("Charging", "PowerSwitchFailure", "F8"), ("Faulted", "GroundFailure", "F4")),
    (Detail(informative=False), ("Charging", "NoError", ""), ("Faulted", "GroundFailure", "F4")),
    (Detail(errors=False), ("Charging", "PowerSwitchFailure", "F8"), ("Faulted", "OtherError", "")),
])
def test_how_much_is_told_is_a_matter_of_configuration(
    detail: Detail, warned: tuple[str, ...], faulted: tuple[str, ...]
) -> None:
    """Juice web interface: informative and error StatusNotifications. The state itself is always told."""
    charging = {"phase": SessionPhase.CHARGING, "charging_state": ChargingState.CHARGING}
    warning, serious = fault(FaultCode.POWER_MODULE_MISSING), fault(FaultCode.INSULATION)
    for faults, words in (((warning,), warned), ((warning, serious), faulted)):
        seen = connector_status(evse_view(1, faults=faults, **charging), FAULTS, detail)
        assert (seen.status, seen.error_code, seen.vendor_error) == words


def test_warnings_are_not_told_when_they_are_switched_off() -> None:
    async def main() -> None:
        bench = await Bench(status_informative=False).start()
        bench.station.change(1, faults=(fault(FaultCode.READER_FAILURE),))
        bench.look()
        await asyncio.sleep(60)
        assert len(bench.csms.calls("StatusNotification")) == 3

    under_virtual_time(main)


@pytest.mark.parametrize("reboot", [False, True])
def test_a_fault_that_came_and_went_while_offline_is_not_told(reboot: bool) -> None:
    """Charge Control C user guide 3.3.2."""

    async def main() -> None:
        bench = await Bench().start()
        bench.csms.down()
        await asyncio.sleep(60)
        bench.station.change(1, faults=(fault(FaultCode.INSULATION),))
        bench.look()
        await asyncio.sleep(100)
        bench.station.change(1, faults=())
        bench.look()
        before = len(bench.csms.calls("StatusNotification"))
        if reboot:
            await bench.restart()
        bench.csms.up()
        await asyncio.sleep(300)
        said = bench.csms.calls("StatusNotification")[before:]
        assert len(said) == (3 if reboot else 0)
        assert {row["errorCode"] for row in said} <= {"NoError"}

    under_virtual_time(main)


def test_no_time_is_told_while_the_station_does_not_know_it() -> None:
    """Charge Control C user guide 3.3.4: a timestamp only with a valid time source."""

    async def main() -> None:
        bench = Bench()
        bench.clock.jump_wall(NS_PER_S)
        bench.clock.valid = False
        await bench.start()
        said = bench.csms.calls("StatusNotification")
        assert len(said) == 3
        assert all("timestamp" not in row for row in said)

    under_virtual_time(main)
