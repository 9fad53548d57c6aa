"""What a CSMS sees of an AC station and may ask of it: the whole station with simulated vehicles under virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.config.model_io import RecloserSection, RegistersSection
from evse.domain.ac import AcCommand, PpState
from evse.domain.whitelist import Entry, Kind
from evse.lab.demo_config import demo_text
from evse.lab.station import Lab
from evse.ocpp.messages import timestamp
from evse.units import NS_PER_S, TICK_NS
from tests._support.lab_world import run_lab

CARD = "04A1B2C3"
BLOCKED = "04BADBAD"


def ac_station(folder: Path, *changes: tuple[str, str], more: str = "") -> StationConfig:
    """The demo's AC station: connector 1 a socket with everything, connector 2 a fixed cable."""
    (folder / "data").mkdir()
    text = demo_text("ac-quick", str(folder), "239.0.0.1", 9000, lambda: 1502)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return parse_config(text + more, "ac.toml")


async def ask(lab: Lab, action: str, **payload: Any) -> Any:
    assert lab.sim.csms is not None
    return await lab.sim.csms.call(action, payload)


async def answer(lab: Lab, action: str, **payload: Any) -> str:
    return str((await ask(lab, action, **payload))["status"])


async def set_key(lab: Lab, key: str, value: str) -> str:
    return await answer(lab, "ChangeConfiguration", key=key, value=value)


async def charge(lab: Lab, connector: int = 1, **car: Any) -> None:
    await lab.do(cmd="plug_in", connector=connector, **car)
    await lab.do(cmd="swipe", token=CARD, reader=f"reader{connector}")
    await charging(lab, connector)


async def charging(lab: Lab, connector: int = 1) -> None:
    await lab.until(lambda: (lab.evse(connector).power_w or 0) > 1_000, f"connector {connector} charges", 60)


def words(lab: Lab, connector: int = 1) -> list[str]:
    """All states that the CSMS was told of a connector, in order, repetitions left out."""
    assert lab.sim.csms is not None
    found: list[str] = []
    for call in lab.sim.csms.calls("StatusNotification"):
        if call["connectorId"] == connector and call["status"] not in found[-1:]:
            found.append(call["status"])
    return found


async def told(lab: Lab, word: str, connector: int = 1, at_most_s: float = 40) -> None:
    await lab.until(lambda: words(lab, connector)[-1:] == [word], f"{word} (told so far: {words(lab, connector)})", at_most_s)


def pilot(lab: Lab, connector: int = 1) -> AcCommand:
    """What the gate lets the board put on the pilot."""
    outputs = lab.station.loop.outputs
    assert outputs is not None
    command = next(e.board.ac for e in outputs.evses if e.evse_id == connector)
    assert command is not None
    return command


def amps(number: int, limits: list[tuple[int, float]], start: int | None = None, **more: Any) -> dict[str, Any]:
    """A TxProfile in A per phase; ``start`` = UTC ns, None = from the start of the transaction."""
    periods = [{"startPeriod": at, "limit": limit, **more} for at, limit in limits]
    schedule: dict[str, Any] = {"chargingRateUnit": "A", "chargingSchedulePeriod": periods}
    if start is not None:
        schedule["startSchedule"] = timestamp(start)
    return {
        "chargingProfileId": number, "stackLevel": 0, "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative" if start is None else "Absolute", "chargingSchedule": schedule,
    }  # fmt: skip


async def set_profile(lab: Lab, profile: dict[str, Any], connector: int = 1) -> str:
    return await answer(lab, "SetChargingProfile", connectorId=connector, csChargingProfiles=profile)


# -- readings ---------------------------------------------------------------------------------------------------------


def test_meter_values_of_a_session_are_those_of_the_meter_by_phase(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        names = "Current.Import,Voltage,Power.Active.Import,Current.Offered,Frequency,Energy.Active.Import.Register"
        assert await set_key(lab, "MeterValuesSampledData", names) == "Accepted"
        assert await set_key(lab, "StopTxnSampledData", names) == "Accepted"
        await charge(lab, phases=3)
        await lab.forward(20)
        csms = lab.sim.csms
        assert csms is not None
        last = csms.calls("MeterValues")[-1]["meterValue"][0]["sampledValue"]
        found = {(v["measurand"], v.get("phase", "")): float(v["value"]) for v in last}
        assert {key[1] for key in found if key[0] == "Current.Import"} == {"L1", "L2", "L3"}
        assert {key[1] for key in found if key[0] == "Voltage"} == {"L1-N", "L2-N", "L3-N"}
        assert found["Current.Offered", ""] == 48 and found["Current.Offered", "L2"] == 16
        assert all(14 < found["Current.Import", f"L{i}"] <= 16.1 for i in (1, 2, 3))
        assert found["Power.Active.Import", ""] == pytest.approx(
            sum(found["Power.Active.Import", f"L{i}"] for i in (1, 2, 3)), abs=5
        )
        assert found["Frequency", ""] == pytest.approx(50, abs=0.2)
        await lab.do(cmd="swipe", token=CARD, reader="reader1")
        await lab.until(lambda: bool(csms.calls("StopTransaction")), "it ends", 30)
        begin, *samples, end = csms.calls("StopTransaction")[0]["transactionData"]
        assert all(v["context"] == "Sample.Periodic" for row in samples for v in row["sampledValue"])
        for row, context in ((begin, "Transaction.Begin"), (end, "Transaction.End")):
            assert {v["context"] for v in row["sampledValue"]} == {context}
            assert {v.get("phase", "") for v in row["sampledValue"] if v["measurand"] == "Voltage"} == {"L1-N", "L2-N", "L3-N"}
        assert not csms.violations

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


# -- keys -------------------------------------------------------------------------------------------------------------


def test_keys_of_an_ac_station(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        rows = {row["key"]: row for row in (await ask(lab, "GetConfiguration"))["configurationKey"]}
        assert rows["ConnectorPhaseRotation"]["value"] == "1.RST,2.STR,3.RST"
        assert await set_key(lab, "ConnectorPhaseRotation", "1.RST, 2.STR, 3.RST") == "Accepted"
        assert await set_key(lab, "ConnectorPhaseRotation", "1.RST,2.RST,3.RST") == "Rejected"
        assert await set_key(lab, "StopTransactionOnEVSideDisconnect", "true") == "Accepted"
        assert await set_key(lab, "StopTransactionOnEVSideDisconnect", "false") == "Rejected"
        assert rows["UnlockConnectorOnEVSideDisconnect"]["value"] == "true"
        assert lab.station.loop.spec.light_pct == 100
        assert await set_key(lab, "LightIntensity", "35") == "Accepted"
        await lab.forward(1)
        assert lab.station.loop.spec.light_pct == 35

    cable = 'connection = "cable"'
    run_lab(tmp_path, scenario, config=ac_station(tmp_path, (cable, f'{cable}\nphase_rotation = "STR"')))


def test_a_socket_keeps_the_plug_of_a_vehicle_that_has_left_until_its_owner_comes(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        assert await set_key(lab, "UnlockConnectorOnEVSideDisconnect", "false") == "Accepted"
        await charge(lab)
        point = lab.sim.world.ac_by_id[1]
        point.pp_forced = PpState.A32  # the vehicle side is pulled, the plug stays in the socket
        await lab.do(cmd="plug_out", connector=1, force=True)
        await told(lab, "Finishing")
        csms = lab.sim.csms
        assert csms is not None and csms.calls("StopTransaction")[0]["reason"] == "EVDisconnected"
        await lab.forward(30)
        assert lab.evse(1).locked and words(lab)[-1] == "Finishing"
        await lab.do(cmd="swipe", token=CARD, reader="reader1")
        await lab.until(lambda: lab.evse(1).locked is False, "the owner's card unlocks", 10)
        assert await set_key(lab, "UnlockConnectorOnEVSideDisconnect", "true") == "Accepted"
        await lab.forward(1)
        assert all(e.ac is not None and e.ac.unlock_on_ev_disconnect for e in lab.station.loop.spec.evses)

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_remote_starts_ask_the_white_list_first_when_told_to(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        csms = lab.sim.csms
        assert csms is not None
        await lab.station.whitelist.add(Entry(id=BLOCKED, kind=Kind.RFID, allow=False))
        await lab.do(cmd="plug_in", connector=1)
        await lab.forward(3)
        assert await set_key(lab, "AuthorizeRemoteTxRequests", "true") == "Accepted"
        assert await answer(lab, "RemoteStartTransaction", connectorId=1, idTag=BLOCKED) == "Accepted"
        await lab.forward(5)
        assert lab.evse(1).auth_state != "granted" and not csms.calls("Authorize")
        await lab.station.whitelist.add(Entry(id="04CCCCCC_1", kind=Kind.RFID, allow=False))
        assert await answer(lab, "RemoteStartTransaction", idTag="04CCCCCC") == "Accepted"
        await lab.forward(5)
        assert lab.evse(1).auth_state != "granted", "blocked at the connector that is chosen"
        assert await answer(lab, "RemoteStartTransaction", connectorId=1, idTag="04BBBBBB") == "Accepted"
        await charging(lab)
        assert [call["idTag"] for call in csms.calls("Authorize")] == ["04BBBBBB"]

    config = ac_station(tmp_path, more='\n[access]\nmode = ["whitelist", "ocpp"]\n')
    run_lab(tmp_path, scenario, config=config)


# -- states -----------------------------------------------------------------------------------------------------------


def test_states_of_a_visit(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        assert await set_key(lab, "MinimumStatusDuration", "0") == "Accepted"
        await told(lab, "Available")
        await lab.do(cmd="plug_in", connector=1)
        await told(lab, "Preparing")
        await lab.do(cmd="swipe", token=CARD, reader="reader1")
        await told(lab, "SuspendedEV")  # offered, the vehicle has not taken it yet
        await told(lab, "Charging")
        assert await set_profile(lab, amps(1, [(0, 5.9)])) == "Accepted"
        await told(lab, "SuspendedEVSE")
        assert await answer(lab, "ClearChargingProfile") == "Accepted"
        await told(lab, "Charging")
        await lab.do(cmd="swipe", token=CARD, reader="reader1")
        await told(lab, "Finishing")
        await lab.do(cmd="plug_out", connector=1)
        await told(lab, "Available")
        assert words(lab) == [
            "Available", "Preparing", "SuspendedEV", "Charging", "SuspendedEVSE", "SuspendedEV", "Charging", "Finishing",
            "Available",
        ], "no SuspendedEVSE before the first offer; the contactor rests 6 s before it closes again"  # fmt: skip

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_availability_and_reservation(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        assert await set_key(lab, "MinimumStatusDuration", "0") == "Accepted"
        until = timestamp(lab.clock.wall() + 600 * NS_PER_S)
        reserve = {"connectorId": 1, "expiryDate": until, "idTag": CARD, "reservationId": 7}
        assert await answer(lab, "ReserveNow", **reserve) == "Accepted"
        await told(lab, "Reserved")
        await lab.do(cmd="plug_in", connector=1)
        await lab.do(cmd="swipe", token="04FFFFFF", reader="reader1")
        await lab.forward(10)
        assert lab.evse(1).auth_state != "granted" and words(lab)[-1] == "Preparing", "another card"
        await lab.do(cmd="swipe", token=CARD, reader="reader1")
        await charging(lab)
        csms = lab.sim.csms
        assert csms is not None and csms.calls("StartTransaction")[0]["reservationId"] == 7
        assert await answer(lab, "ChangeAvailability", connectorId=1, type="Inoperative") == "Scheduled"
        await lab.forward(5)
        assert (lab.evse(1).power_w or 0) > 1_000, "the session goes on"
        assert await answer(lab, "ChangeAvailability", connectorId=2, type="Inoperative") == "Accepted"
        await told(lab, "Unavailable", 2)
        assert pilot(lab, 2).pilot.value == "F"
        assert await answer(lab, "ReserveNow", **{**reserve, "connectorId": 2, "reservationId": 8}) == "Unavailable"
        await lab.do(cmd="swipe", token=CARD, reader="reader1")
        await told(lab, "Unavailable")
        await lab.do(cmd="plug_out", connector=1)
        assert await answer(lab, "ChangeAvailability", connectorId=0, type="Operative") == "Accepted"
        for connector in (1, 2):
            assert await answer(lab, "ChangeAvailability", connectorId=connector, type="Operative") == "Accepted"
            await told(lab, "Available", connector)

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


# -- starts, stops, the lock ------------------------------------------------------------------------------------------


def test_remote_start_and_stop(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        csms = lab.sim.csms
        assert csms is not None
        assert await answer(lab, "RemoteStartTransaction", idTag="ANNA") == "Rejected", "nobody is plugged in"
        assert await answer(lab, "RemoteStartTransaction", connectorId=2, idTag="ANNA") == "Accepted"
        await lab.do(cmd="plug_in", connector=2)
        await charging(lab, 2)
        start = csms.calls("StartTransaction")[0]
        assert (start["connectorId"], start["idTag"]) == (2, "ANNA")
        number = csms.ledger()["open"][0]
        assert await answer(lab, "RemoteStopTransaction", transactionId=number + 1) == "Rejected"
        assert await answer(lab, "RemoteStopTransaction", transactionId=number) == "Accepted"
        await lab.until(lambda: bool(csms.calls("StopTransaction")), "it ends", 30)
        assert csms.calls("StopTransaction")[0]["reason"] == "Remote" and not csms.violations

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_unlock_answers_when_the_lock_has_moved(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab)
        assert lab.evse(1).locked
        assert await answer(lab, "UnlockConnector", connectorId=1) == "Unlocked"
        assert lab.evse(1).locked is False and lab.evse(1).contactor_closed is False
        csms = lab.sim.csms
        assert csms is not None
        await lab.until(lambda: bool(csms.calls("StopTransaction")), "the stop is told", 10)
        assert csms.calls("StopTransaction")[0]["reason"] == "UnlockCommand"
        assert await answer(lab, "UnlockConnector", connectorId=1) == "Unlocked", "it is open already"
        await charge(lab, 2)
        assert await answer(lab, "UnlockConnector", connectorId=2) == "NotSupported", "a fixed cable"
        await lab.forward(5)
        assert (lab.evse(2).power_w or 0) > 1_000, "and its session goes on"
        assert await answer(lab, "UnlockConnector", connectorId=9) == "NotSupported"

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_a_lock_that_does_not_open_is_told(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab)
        await lab.do(cmd="fault", action="raise", fault="lock_jam_closed", connector=1)
        assert await answer(lab, "UnlockConnector", connectorId=1) == "UnlockFailed"
        await told(lab, "Faulted")
        last = [c for c in lab.sim.csms.calls("StatusNotification") if c["connectorId"] == 1][-1]  # type: ignore[union-attr]
        assert (last["errorCode"], last["vendorErrorCode"]) == ("ConnectorLockFailure", "PlugLockCannotUnlock")
        assert await answer(lab, "UnlockConnector", connectorId=1) == "UnlockFailed", "the fault stands"
        await lab.do(cmd="fault", action="clear", fault="lock_jam_closed", connector=1)
        assert await answer(lab, "UnlockConnector", connectorId=1) == "Unlocked", "3.3.4.6: the request is the remote cure"

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


# -- charging profiles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"numberPhases": 3}, {"numberPhases": 1}])
def test_amperes_of_a_profile_are_the_duty_within_two_ticks(tmp_path: Path, more: dict[str, int]) -> None:
    """10 A are 16.67 % (IEC 61851-1: 0.6 A per percent), cut to 0.01 %, whatever the number of phases; 0 A pause."""

    async def scenario(lab: Lab) -> None:
        await charge(lab)
        assert pilot(lab).duty_bp == 2_666
        begin = (lab.clock.wall() // NS_PER_S + 6) * NS_PER_S
        assert await set_profile(lab, amps(1, [(0, 10), (12, 0), (26, 8)], begin, **more)) == "Accepted"
        await lab.forward((begin - lab.clock.wall()) / NS_PER_S - 0.001)
        assert pilot(lab).duty_bp == 2_666, "not before its time"
        await lab.forward(0.001 + 2 * TICK_NS / NS_PER_S)
        assert pilot(lab).duty_bp == 1_666
        await lab.forward(10)
        side = lab.evse(1).ac
        assert side is not None and side.current_l_ma is not None and 9_000 < max(side.current_l_ma) <= 10_100
        await lab.forward((begin - lab.clock.wall()) / NS_PER_S + 12 + 2 * TICK_NS / NS_PER_S)
        assert pilot(lab).pilot.value == "x1"
        await lab.forward(9)
        paused = lab.evse(1)
        assert paused.charging_state.value == "SuspendedEVSE" and paused.power_w == 0
        assert paused.session is not None and paused.session.ended_at is None
        await told(lab, "SuspendedEVSE")
        await charging(lab)
        assert pilot(lab).duty_bp == 1_333

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_a_profile_with_a_remote_start_holds_from_the_first_offer_on(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        start = {"connectorId": 1, "idTag": "ANNA", "chargingProfile": amps(4, [(0, 7.5)])}
        assert await answer(lab, "RemoteStartTransaction", **start) == "Accepted"
        await lab.do(cmd="plug_in", connector=1)
        await charging(lab)
        assert pilot(lab).duty_bp == 1_250
        side = lab.evse(1).ac
        assert side is not None and side.offered_ma == 7_500

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


# -- the recloser -----------------------------------------------------------------------------------------------------

def with_recloser(folder: Path) -> StationConfig:
    """The demo's station, whose recloser is at connector 1."""
    config = ac_station(folder)
    if config.evse[0].recloser is not None:
        return config
    section = RecloserSection(port=f"{folder}/dev/recloser", registers=RegistersSection(state_address=1, command_address=2))
    return replace(config, evse=(replace(config.evse[0], recloser=section), *config.evse[1:]))


async def transfer(lab: Lab, message: str, data: str) -> tuple[str, str | None]:
    found = await ask(lab, "DataTransfer", vendorId="com.in-tech.smartcharging", messageId=message, data=data)
    return found["status"], found.get("data")


def test_the_recloser_answers_by_data_transfer(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        get, change = "rcdRecloserGetState", "rcdRecloserChangeState"
        await lab.until(lambda: lab.station.devices.field.reclosers[1].state().value == "closed", "polled", 10)
        assert await transfer(lab, get, "1") == ("Accepted", "close")
        assert await transfer(lab, change, "1, open") == ("Accepted", "open")
        assert not lab.sim.reclosers[1].closed
        assert await transfer(lab, get, " 1 ") == ("Accepted", "open")
        assert await transfer(lab, change, "1,close") == ("Accepted", "close")
        assert await transfer(lab, get, "2") == ("Rejected", "notPresent")
        assert await transfer(lab, change, "2, open") == ("Rejected", "notPresent")
        for data in ("", "0", "4", "-1", "1.0", "²", "1, open", "one", "9" * 400):
            assert await transfer(lab, get, data) == ("Rejected", "invalidRequestData"), data
        for data in ("", "1", "1, closed", "1, OPEN", "1 open", "1, open, now", "4, open", ", open"):
            assert await transfer(lab, change, data) == ("Rejected", "invalidRequestData"), data
        assert await transfer(lab, "somethingElse", "1") == ("UnknownMessageId", None)
        await lab.do(cmd="fault", action="raise", fault="recloser_jam", connector=1)
        began = lab.clock.now()
        assert await transfer(lab, change, "1, open") == ("Rejected", "notAvailable")
        assert 9.9 < (lab.clock.now() - began) / NS_PER_S < 10.5, "3.4: a request fails after 10 s"
        await lab.do(cmd="fault", action="raise", fault="recloser_lost", connector=1)
        await lab.forward(10)
        assert await transfer(lab, get, "1") == ("Rejected", "notAvailable")

    config = with_recloser(tmp_path)
    run_lab(tmp_path, scenario, config=config)


def test_moving_and_a_second_request_are_not_available(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        recloser = lab.station.devices.field.reclosers[1]
        await lab.until(lambda: recloser.state().value == "closed", "polled", 10)
        moving = asyncio.ensure_future(transfer(lab, "rcdRecloserChangeState", "1, open"))
        await lab.until(lambda: recloser.state().value == "moving", "it moves", 5)
        handler = lab.station.ocpp.handlers.data_handlers["com.in-tech.smartcharging"]  # type: ignore[union-attr]
        assert await handler("rcdRecloserGetState", "1") == ("Rejected", "notAvailable")
        assert await handler("rcdRecloserChangeState", "1, close") == ("Rejected", "notAvailable")
        assert await moving == ("Accepted", "open")

    config = with_recloser(tmp_path)
    run_lab(tmp_path, scenario, config=config)


def test_composite_schedules_are_what_each_phase_is_offered_and_the_site_has_no_rectifier_losses(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab)
        assert await set_profile(lab, amps(1, [(0, 10), (60, 0)])) == "Accepted"
        found = await ask(lab, "GetCompositeSchedule", connectorId=1, duration=120)
        rows = [(row["limit"], row["numberPhases"]) for row in found["chargingSchedule"]["chargingSchedulePeriod"]]
        assert rows == [(10.0, 3), (0.0, 3)]
        assert await set_profile(lab, amps(1, [(0, 10.3)], numberPhases=1)) == "Accepted"
        found = await ask(lab, "GetCompositeSchedule", connectorId=1, duration=120)
        rows = [(row["limit"], row["numberPhases"]) for row in found["chargingSchedule"]["chargingSchedulePeriod"]]
        assert rows == [(10.3, 3)], "of each phase, as it is offered"
        await lab.forward(2 * TICK_NS / NS_PER_S)
        assert pilot(lab).duty_bp == 1_716
        found = await ask(lab, "GetCompositeSchedule", connectorId=1, duration=120, chargingRateUnit="W")
        assert [row["limit"] for row in found["chargingSchedule"]["chargingSchedulePeriod"]] == [7_107.0]
        found = await ask(lab, "GetCompositeSchedule", connectorId=0, duration=0, chargingRateUnit="W")
        assert found["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 66_240.0}]

    config = ac_station(tmp_path)
    run_lab(tmp_path, scenario, config=replace(config, site=replace(config.site, limit_w=0)))
