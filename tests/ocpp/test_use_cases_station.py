"""Use cases of the whole station: availability, remote start and stop, unlock, reset. Simulated devices, real core."""

from __future__ import annotations

import asyncio
from pathlib import Path

from evse.domain.session import OperationalStatus
from evse.lab.station import Lab
from tests.ocpp.support import Bench
from tests.ocpp.use_cases import NO, OK, charge, csms_of, lab, use_case

AVAILABLE, REMOTE, UNLOCK, RESET = "Availability", "Remote start and stop", "UnlockConnector", "Reset"
SCHEDULED = {"status": "Scheduled"}


async def availability(station: Lab, connector: int, kind: str) -> dict[str, str]:
    """ChangeAvailability."""
    answer = await csms_of(station).call("ChangeAvailability", {"connectorId": connector, "type": kind})
    await station.forward(1)
    return answer


def status(station: Lab, connector: int) -> str:
    """What the CSMS was told of a connector last."""
    return str(csms_of(station).statuses[("DEMO-1", connector)]["status"])


# -- availability ----------------------------------------------------------------------------------------------------------


@use_case(AVAILABLE, "Connector idle")
async def test_availability_idle(tmp_path: Path) -> None:
    """Accepted, Unavailable is reported, no charging; Operative brings it back."""
    async with lab(tmp_path) as station:
        await station.forward(12)
        assert await availability(station, 1, "Inoperative") == OK
        await station.forward(12)
        assert status(station, 1) == "Unavailable"
        assert status(station, 2) == "Available"
        assert await availability(station, 1, "Operative") == OK
        await station.forward(12)
        assert status(station, 1) == "Available"


@use_case(AVAILABLE, "Connector occupied")
async def test_availability_occupied(tmp_path: Path) -> None:
    """Scheduled while a transaction runs, which goes on; Unavailable when it has ended."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        number = await charge(station)
        assert await availability(station, 1, "Inoperative") == SCHEDULED
        await station.forward(12)
        assert status(station, 1) == "Charging"
        assert await csms_of(station).call("RemoteStopTransaction", {"transactionId": number}) == OK
        await station.until(lambda: station.evse(1).phase.value != "charging", "stopped", 30)
        await station.do(cmd="plug_out", connector=1)
        await station.forward(15)
        assert status(station, 1) == "Unavailable"


@use_case(AVAILABLE, "Connector 0")
async def test_availability_station(tmp_path: Path) -> None:
    """The station and all its connectors; a connector of its own setting keeps it afterwards."""
    async with lab(tmp_path) as station:
        await station.forward(12)
        assert await availability(station, 2, "Inoperative") == OK
        assert await availability(station, 0, "Inoperative") == OK
        await station.forward(12)
        assert [status(station, n) for n in (0, 1, 2)] == ["Unavailable"] * 3
        assert await availability(station, 0, "Operative") == OK
        await station.forward(12)
        assert status(station, 0) == "Available"
        assert status(station, 1) == "Available"


@use_case(AVAILABLE, "Kept over a reboot")
async def test_availability_kept(tmp_path: Path) -> None:
    """What was set is in force and reported after the power has come back."""
    first = lab(tmp_path)
    await first.__aenter__()
    await first.forward(3)
    assert await availability(first, 1, "Inoperative") == OK
    await first.forward(2)
    await first.kill()
    again = lab(tmp_path, sim=first.sim, clock=first.clock)
    await again.__aenter__()
    await again.forward(5)
    assert again.evse(1).operational is OperationalStatus.INOPERATIVE
    assert status(again, 1) == "Unavailable"
    assert status(again, 2) == "Available"
    await again.__aexit__(None, None, None)
    await first.__aexit__(None, None, None)


@use_case(AVAILABLE, "Unknown connector")
async def test_availability_unknown() -> None:
    """Rejected."""
    bench = await Bench().start()
    assert await bench.csms.call("ChangeAvailability", {"connectorId": 9, "type": "Operative"}) == NO


# -- remote start and stop ---------------------------------------------------------------------------------------------------


@use_case(REMOTE, "Vehicle plugged in")
async def test_remote_start_plugged(tmp_path: Path) -> None:
    """Accepted, and the transaction starts with the card of the request."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        await station.do(cmd="plug_in", connector=1, soc_pct=30)
        await station.forward(2)
        assert await csms_of(station).call("RemoteStartTransaction", {"idTag": "R1", "connectorId": 1}) == OK
        await station.until(lambda: bool(csms_of(station).ledger()["transactions"]), "started", 60)
        (row,) = csms_of(station).ledger()["transactions"]
        assert (row["id_token"], row["connector_id"]) == ("R1", 1)


@use_case(REMOTE, "Before the vehicle is plugged in")
async def test_remote_start_first(tmp_path: Path) -> None:
    """Accepted, Preparing; the transaction starts with the plug."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        assert await csms_of(station).call("RemoteStartTransaction", {"idTag": "R1", "connectorId": 1}) == OK
        await station.forward(5)
        await station.do(cmd="plug_in", connector=1, soc_pct=30)
        await station.until(lambda: bool(csms_of(station).ledger()["transactions"]), "started", 60)


@use_case(REMOTE, "No vehicle within ConnectionTimeOut")
async def test_remote_start_timeout(tmp_path: Path) -> None:
    """The permission ends; a vehicle that comes later does not charge."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        assert await csms_of(station).call("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": "10"}) == OK
        await station.forward(2)
        assert await csms_of(station).call("RemoteStartTransaction", {"idTag": "R1", "connectorId": 1}) == OK
        await station.forward(20)
        await station.do(cmd="plug_in", connector=1, soc_pct=30)
        await station.forward(30)
        assert csms_of(station).ledger()["transactions"] == []


@use_case(REMOTE, "Connector unavailable, unknown, occupied")
async def test_remote_start_refused(tmp_path: Path) -> None:
    """Rejected."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        call = csms_of(station).call
        assert await call("RemoteStartTransaction", {"idTag": "R1", "connectorId": 7}) == NO
        assert await availability(station, 2, "Inoperative") == OK
        assert await call("RemoteStartTransaction", {"idTag": "R1", "connectorId": 2}) == NO
        await charge(station)
        assert await call("RemoteStartTransaction", {"idTag": "R1", "connectorId": 1}) == NO


@use_case(REMOTE, "Without connector")
async def test_remote_start_any(tmp_path: Path) -> None:
    """It goes where a vehicle waits."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        await station.do(cmd="plug_in", connector=2, soc_pct=30)
        await station.forward(2)
        assert await csms_of(station).call("RemoteStartTransaction", {"idTag": "R1"}) == OK
        await station.until(lambda: bool(csms_of(station).ledger()["transactions"]), "started", 60)
        assert csms_of(station).ledger()["transactions"][0]["connector_id"] == 2


@use_case(REMOTE, "AuthorizeRemoteTxRequests")
async def test_remote_start_asks() -> None:
    """The card is asked for first; a refused one starts nothing."""
    bench = await Bench().start()
    bench.csms.tokens["BAD"] = "Blocked"
    await bench.client.set_key("AuthorizeRemoteTxRequests", "true")
    for card in ("BAD", "GOOD"):
        assert await bench.csms.call("RemoteStartTransaction", {"idTag": card, "connectorId": 1}) == OK
        await asyncio.sleep(1)
    assert [call["idTag"] for call in bench.csms.calls("Authorize")] == ["BAD", "GOOD"]
    assert bench.station.done == [("start", 1, "GOOD")]


@use_case(REMOTE, "RemoteStopTransaction")
async def test_remote_stop(tmp_path: Path) -> None:
    """Accepted, the transaction ends with Remote."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        number = await charge(station)
        assert await csms_of(station).call("RemoteStopTransaction", {"transactionId": number}) == OK
        await station.until(lambda: not csms_of(station).ledger()["open"], "stopped", 60)
        assert csms_of(station).ledger()["transactions"][0]["stop_reason"] == "Remote"


@use_case(REMOTE, "RemoteStopTransaction of an unknown transaction")
async def test_remote_stop_unknown() -> None:
    """Rejected, also for one that has ended."""
    bench = await Bench().start()
    assert await bench.csms.call("RemoteStopTransaction", {"transactionId": 5}) == NO
    await bench.begin()
    await asyncio.sleep(1)
    await bench.end()
    await asyncio.sleep(1)
    assert await bench.csms.call("RemoteStopTransaction", {"transactionId": 1}) == NO


# -- unlock ------------------------------------------------------------------------------------------------------------------


@use_case(UNLOCK, "No transaction")
async def test_unlock_idle(tmp_path: Path) -> None:
    """Unlocked."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        assert await csms_of(station).call("UnlockConnector", {"connectorId": 1}) == {"status": "Unlocked"}


@use_case(UNLOCK, "Transaction running")
async def test_unlock_charging(tmp_path: Path) -> None:
    """The transaction is stopped first and told with UnlockCommand; the plug is free."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        await charge(station)
        assert await csms_of(station).call("UnlockConnector", {"connectorId": 1}) == {"status": "Unlocked"}
        await station.until(lambda: not csms_of(station).ledger()["open"], "stopped", 60)
        assert csms_of(station).ledger()["transactions"][0]["stop_reason"] == "UnlockCommand"
        await station.until(lambda: not station.evse(1).locked, "unlocked", 30)


@use_case(UNLOCK, "Unknown connector, connector 0, failure")
async def test_unlock_refused() -> None:
    """NotSupported, NotSupported, UnlockFailed."""
    bench = await Bench().start()
    for connector in (0, 9):
        assert await bench.csms.call("UnlockConnector", {"connectorId": connector}) == {"status": "NotSupported"}
    bench.station.accepts = False
    assert await bench.csms.call("UnlockConnector", {"connectorId": 1}) == {"status": "UnlockFailed"}


# -- reset -------------------------------------------------------------------------------------------------------------------


@use_case(RESET, "Soft, idle")
async def test_reset_soft(tmp_path: Path) -> None:
    """Accepted, then the station restarts."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        assert await csms_of(station).call("Reset", {"type": "Soft"}) == OK
        await station.until(lambda: bool(station.station.reset_requested), "restart", 60)


@use_case(RESET, "Soft, while charging")
async def test_reset_soft_charging(tmp_path: Path) -> None:
    """The transaction ends first, with SoftReset."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        await charge(station)
        assert await csms_of(station).call("Reset", {"type": "Soft"}) == OK
        await station.until(lambda: not csms_of(station).ledger()["open"], "told", 60)
        assert csms_of(station).ledger()["transactions"][0]["stop_reason"] == "SoftReset"
        await station.until(lambda: bool(station.station.reset_requested), "restart", 60)


@use_case(RESET, "Hard, while charging")
async def test_reset_hard_charging(tmp_path: Path) -> None:
    """The energy goes at once; the transaction ends with HardReset."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        await charge(station)
        assert await csms_of(station).call("Reset", {"type": "Hard"}) == OK
        await station.until(lambda: not csms_of(station).ledger()["open"], "told", 60)
        assert csms_of(station).ledger()["transactions"][0]["stop_reason"] == "HardReset"
        await station.until(lambda: bool(station.station.reset_requested), "restart", 60)
