"""Use cases: local authorisation list, reservation, remote trigger."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from evse.domain.session import OperationalStatus, SessionPhase
from evse.domain.view import Event
from evse.ocpp.messages import timestamp
from evse.units import NS_PER_S
from tests.ocpp.support import Bench
from tests.ocpp.use_cases import NO, OK, charge, csms_of, lab, sent, use_case

LIST, RESERVE, TRIGGER = "Local authorisation list", "Reservation", "RemoteTrigger"


# -- local list ------------------------------------------------------------------------------------------------------------


def entry(card: str, status: str = "Accepted", **more: Any) -> dict[str, Any]:
    """A line of SendLocalList."""
    return {"idTag": card, "idTagInfo": {"status": status, **more}}


async def send_list(bench: Bench, version: int, kind: str, *entries: dict[str, Any]) -> str:
    """SendLocalList."""
    payload = {"listVersion": version, "updateType": kind, "localAuthorizationList": list(entries)}
    return str((await bench.csms.call("SendLocalList", payload))["status"])


async def version(bench: Bench) -> int:
    """GetLocalListVersion."""
    return int((await bench.csms.call("GetLocalListVersion", {}))["listVersion"])


@use_case(LIST, "Full update")
async def test_list_full() -> None:
    """Replaces everything; the version is told."""
    bench = await Bench().start()
    assert await version(bench) == 0
    assert await send_list(bench, 5, "Full", entry("A"), entry("B")) == "Accepted"
    assert await send_list(bench, 6, "Full", entry("C")) == "Accepted"
    assert await version(bench) == 6
    assert await bench.store.local_list_get("A") is None


@use_case(LIST, "Differential update")
async def test_list_differential() -> None:
    """Adds, changes, and removes what comes without idTagInfo."""
    bench = await Bench().start()
    await send_list(bench, 1, "Full", entry("A"), entry("B"))
    assert await send_list(bench, 2, "Differential", {"idTag": "A"}, entry("B", "Blocked"), entry("C")) == "Accepted"
    found = [await bench.store.local_list_get(card) for card in "ABC"]
    assert [None if card is None else card.status for card in found] == [None, "Blocked", "Accepted"]


@use_case(LIST, "Differential update that is not newer")
async def test_list_version_mismatch() -> None:
    """VersionMismatch; nothing changes."""
    bench = await Bench().start()
    await send_list(bench, 4, "Full", entry("A"))
    assert await send_list(bench, 4, "Differential", entry("B")) == "VersionMismatch"
    assert await version(bench) == 4


@pytest.mark.parametrize("bad", [[entry("A"), entry("A")], [{"idTag": "A"}]])
@use_case(LIST, "Wrong update")
async def test_list_failed(bad: list[dict[str, Any]]) -> None:
    """Failed for a card twice and for a Full entry without idTagInfo; nothing changes."""
    bench = await Bench().start()
    assert await send_list(bench, 3, "Full", *bad) == "Failed"
    assert await version(bench) == 0


@use_case(LIST, "Switched off")
async def test_list_switched_off() -> None:
    """Version -1 and NotSupported while LocalAuthListEnabled is false."""
    bench = await Bench().start()
    await bench.client.set_key("LocalAuthListEnabled", "false")
    assert await version(bench) == -1
    assert await send_list(bench, 1, "Full", entry("A")) == "NotSupported"


@use_case(LIST, "Offline")
async def test_list_offline() -> None:
    """Accepted entries charge, blocked and expired ones do not."""
    bench = await Bench().start()
    await send_list(bench, 1, "Full", entry("A"), entry("B", "Blocked"), entry("C", expiryDate="2020-01-01T00:00:00Z"))
    bench.csms.down()
    await asyncio.sleep(1)
    assert [(await bench.client.authorize(card, 1)).accepted for card in "ABC"] == [True, False, False]


@use_case(LIST, "Conflict with the CSMS")
async def test_list_conflict() -> None:
    """A card that the list accepts and the CSMS refuses brings LocalListConflict until the next update."""
    bench = await Bench().start()
    await send_list(bench, 1, "Full", entry("A"))
    bench.csms.tokens["A"] = "Blocked"
    await bench.client.authorize("A", 1)
    bench.look()
    await asyncio.sleep(15)
    assert bench.csms.statuses[("DC 1", 0)]["errorCode"] == "LocalListConflict"
    assert await send_list(bench, 2, "Full", entry("B")) == "Accepted"
    bench.look()
    await asyncio.sleep(15)
    assert bench.csms.statuses[("DC 1", 0)]["errorCode"] == "NoError"


@use_case(LIST, "Kept over a reboot")
async def test_list_kept(tmp_path: Path) -> None:
    """Version and entries survive."""
    bench = await Bench(database=tmp_path / "a.db").start()
    await send_list(bench, 9, "Full", entry("A"))
    await bench.restart()
    await asyncio.sleep(2)
    assert await version(bench) == 9


# -- reservation -----------------------------------------------------------------------------------------------------------


async def reserve(bench: Bench, number: int = 1, connector: int = 1, seconds: int = 600, **more: Any) -> str:
    """ReserveNow for card A."""
    until = timestamp(bench.clock.wall() + seconds * NS_PER_S)
    payload = {"connectorId": connector, "expiryDate": until, "idTag": "A", "reservationId": number, **more}
    return str((await bench.csms.call("ReserveNow", payload))["status"])


@use_case(RESERVE, "Free connector")
async def test_reserve_free() -> None:
    """Accepted, and Reserved is reported."""
    bench = await Bench().start()
    assert await reserve(bench) == "Accepted"
    bench.look()
    await asyncio.sleep(11)
    assert bench.csms.statuses[("DC 1", 1)]["status"] == "Reserved"


@pytest.mark.parametrize(("changes", "status"), [
    ({"plugged": True}, "Occupied"), ({"phase": SessionPhase.CHARGING}, "Occupied"),
    ({"operational": OperationalStatus.INOPERATIVE}, "Unavailable"), ({"phase": SessionPhase.FAULTED}, "Faulted"),
])  # fmt: skip
@use_case(RESERVE, "Connector occupied, unavailable, faulted")
async def test_reserve_not_free(changes: dict[str, Any], status: str) -> None:
    """Occupied, Unavailable, Faulted."""
    bench = await Bench().start()
    bench.station.change(1, **changes)
    assert await reserve(bench) == status


@use_case(RESERVE, "Connector reserved by another reservation")
async def test_reserve_twice() -> None:
    """Occupied; the same reservationId changes its reservation."""
    bench = await Bench().start()
    assert await reserve(bench, 1) == "Accepted"
    assert await reserve(bench, 2) == "Occupied"
    assert await reserve(bench, 1, idTag="B") == "Accepted"


@use_case(RESERVE, "Unknown connector, expiry in the past")
async def test_reserve_rejected() -> None:
    """Rejected."""
    bench = await Bench().start()
    assert [await reserve(bench, connector=9), await reserve(bench, seconds=-1)] == ["Rejected"] * 2


@use_case(RESERVE, "Connector 0")
async def test_reserve_station() -> None:
    """One connector, whichever, is kept for the card: Accepted as long as one is left, and ReserveConnectorZeroSupported says true."""
    bench = await Bench().start()
    (row,) = (await bench.csms.call("GetConfiguration", {"key": ["ReserveConnectorZeroSupported"]}))["configurationKey"]
    assert row["value"] == "true"
    assert await reserve(bench, 1, connector=0) == "Accepted"
    for evse_id in (1, 2):
        bench.station.change(evse_id, plugged=True, phase=SessionPhase.CHARGING)
    assert await reserve(bench, 2, connector=0) == "Occupied"


@use_case(RESERVE, "Used by its card")
async def test_reserve_used() -> None:
    """StartTransaction carries the reservationId; then the reservation is over."""
    bench = await Bench().start()
    await reserve(bench, 42)
    await bench.begin(1, id_token="A")
    bench.station.change(1, reserved=False)
    bench.client.on_event(Event(seq=1, wall=bench.clock.wall(), kind="reservation.ended", evse_id=1, data={"why": "used"}))
    await asyncio.sleep(1)
    assert bench.csms.calls("StartTransaction")[0]["reservationId"] == 42
    assert list(bench.client.reservations.all()) == []


@use_case(RESERVE, "Another card")
async def test_reserve_other_card(tmp_path: Path) -> None:
    """It does not charge; the reservation stays; the card of the reservation charges."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        until = timestamp(station.clock.wall() + 600 * NS_PER_S)
        request = {"connectorId": 1, "expiryDate": until, "idTag": "04A1B2C3", "reservationId": 7}
        assert await csms_of(station).call("ReserveNow", request) == OK
        await station.do(cmd="plug_in", connector=1, soc_pct=30)
        await station.do(cmd="swipe", token="0BADCAFE", reader="reader1")
        await station.forward(10)
        assert csms_of(station).ledger()["transactions"] == []
        await station.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await station.until(lambda: bool(csms_of(station).ledger()["transactions"]), "started", 60)
        assert csms_of(station).calls("StartTransaction")[0]["reservationId"] == 7


@use_case(RESERVE, "Another card of the group")
async def test_reserve_group() -> None:
    """With parentIdTag the CSMS is asked for the group, and a member is admitted."""
    bench = await Bench().start()
    assert await reserve(bench, parentIdTag="FLEET") == "Accepted"
    bench.csms.answer("Authorize", {"idTagInfo": {"status": "Accepted", "parentIdTag": "FLEET"}})
    assert await bench.csms.call("RemoteStartTransaction", {"idTag": "B", "connectorId": 1}) == OK
    await asyncio.sleep(1)
    assert bench.station.done[-1] == ("start", 1, "B", "FLEET")


@use_case(RESERVE, "Cancelled")
async def test_reserve_cancelled() -> None:
    """Accepted and free again; an unknown reservationId is Rejected."""
    bench = await Bench().start()
    await reserve(bench, 5)
    assert await bench.csms.call("CancelReservation", {"reservationId": 6}) == NO
    assert await bench.csms.call("CancelReservation", {"reservationId": 5}) == OK
    assert await reserve(bench, 6) == "Accepted"


@use_case(RESERVE, "Expired")
async def test_reserve_expired(tmp_path: Path) -> None:
    """At expiryDate the connector is Available again, also offline."""
    async with lab(tmp_path) as station:
        await station.forward(12)
        until = timestamp(station.clock.wall() + 30 * NS_PER_S)
        request = {"connectorId": 1, "expiryDate": until, "idTag": "A", "reservationId": 7}
        assert await csms_of(station).call("ReserveNow", request) == OK
        await station.forward(12)
        assert csms_of(station).statuses[("DEMO-1", 1)]["status"] == "Reserved"
        csms_of(station).down()
        await station.forward(25)
        assert not station.evse(1).reserved
        csms_of(station).up()
        statuses = csms_of(station).statuses
        await station.until(lambda: statuses[("DEMO-1", 1)]["status"] != "Reserved", "the end is told", 130)
        assert statuses[("DEMO-1", 1)]["status"] == "Available"


@use_case(RESERVE, "Over a reboot")
async def test_reserve_reboot(tmp_path: Path) -> None:
    """It is made again while it has not expired."""
    bench = await Bench(database=tmp_path / "a.db").start()
    await reserve(bench, 5)
    await bench.restart()
    bench.look()
    await asyncio.sleep(5)
    assert bench.station.done[-1][:3] == ("reserve", 1, "A")


# -- remote trigger --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["BootNotification", "Heartbeat", "StatusNotification", "MeterValues"])
@use_case(TRIGGER, "BootNotification, Heartbeat, StatusNotification, MeterValues")
async def test_trigger_each(message: str) -> None:
    """Accepted first, then the message."""
    bench = await Bench().start()
    await bench.begin()
    await asyncio.sleep(5)
    before = len(sent(bench))
    assert await bench.csms.call("TriggerMessage", {"requestedMessage": message}) == OK
    await asyncio.sleep(12)
    assert message in sent(bench, before)


@use_case(TRIGGER, "StatusNotification of one connector")
async def test_trigger_one_connector() -> None:
    """That connector only."""
    bench = await Bench().start()
    before = len(bench.csms.calls("StatusNotification"))
    assert await bench.csms.call("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 2}) == OK
    await asyncio.sleep(12)
    assert [call["connectorId"] for call in bench.csms.calls("StatusNotification")[before:]] == [2]


@use_case(TRIGGER, "MeterValues of a transaction while its queue is not empty")
async def test_trigger_meter_order() -> None:
    """The reading takes its place behind what waits, with the number of the transaction."""
    bench = await Bench(sample_interval_s=10, call_timeout_s=5).start()
    await bench.begin()
    await asyncio.sleep(1)
    bench.csms.answer("MeterValues", silence=True, count=1)
    await asyncio.sleep(10)
    assert await bench.csms.call("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1}) == OK
    await asyncio.sleep(90)
    calls = bench.csms.calls("MeterValues")
    times = [call["meterValue"][0]["timestamp"] for call in calls]
    assert times == sorted(times)
    assert "Trigger" in [call["meterValue"][0]["sampledValue"][0]["context"] for call in calls]


@use_case(TRIGGER, "Unknown connector")
async def test_trigger_unknown_connector() -> None:
    """Rejected."""
    bench = await Bench().start()
    payload = {"requestedMessage": "StatusNotification", "connectorId": 9}
    assert await bench.csms.call("TriggerMessage", payload) == NO


@use_case(TRIGGER, "A message that the station does not have")
async def test_trigger_not_implemented() -> None:
    """NotImplemented."""
    bench = await Bench().start()
    payload = {"requestedMessage": "FirmwareStatusNotification"}
    assert await bench.csms.call("TriggerMessage", payload) == {"status": "NotImplemented"}


@pytest.mark.parametrize("message", ["BootNotification", "Heartbeat", "StatusNotification", "MeterValues"])
@use_case(TRIGGER, "ExtendedTriggerMessage")
async def test_trigger_extended(message: str) -> None:
    """The same for the message of the security whitepaper."""
    bench = await Bench().start()
    await bench.begin()
    await asyncio.sleep(5)
    before = len(sent(bench))
    assert await bench.csms.call("ExtendedTriggerMessage", {"requestedMessage": message}) == OK
    await asyncio.sleep(12)
    assert message in sent(bench, before)


@use_case(TRIGGER, "While charging, on the whole station")
async def test_trigger_station(tmp_path: Path) -> None:
    """MeterValues of every connector that has a reading, with the transaction where one runs."""
    async with lab(tmp_path) as station:
        await station.forward(3)
        number = await charge(station)
        assert await csms_of(station).call("TriggerMessage", {"requestedMessage": "MeterValues"}) == OK
        await station.forward(5)
        triggered = [
            call for call in csms_of(station).calls("MeterValues")
            if call["meterValue"][0]["sampledValue"][0]["context"] == "Trigger"
        ]  # fmt: skip
        assert number in [call.get("transactionId") for call in triggered]
