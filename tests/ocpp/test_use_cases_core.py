"""Use cases: boot, time, configuration, cards, DataTransfer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evse.domain.records import CachedToken
from evse.ocpp.messages import CallError
from evse.sim.csms import CsmsError
from tests.ocpp.support import Bench
from tests.ocpp.use_cases import NO, OK, sent, use_case

BOOT, TIME, KEYS, CARDS, DATA = "Boot", "Time and heartbeat", "Configuration", "Cards", "DataTransfer"


# -- boot ----------------------------------------------------------------------------------------------------------------


@use_case(BOOT, "Cold boot, accepted")
async def test_cold_boot_accepted() -> None:
    """BootNotification first, then the status of station and connectors, heartbeats at the interval of the CSMS."""
    bench = Bench()
    bench.csms.heartbeat_s = 40
    await bench.start()
    assert sent(bench)[0] == "BootNotification"
    assert sorted(call["connectorId"] for call in bench.csms.calls("StatusNotification")) == [0, 1, 2]
    await asyncio.sleep(125)
    assert len(bench.csms.calls("Heartbeat")) == 3


@use_case(BOOT, "Cold boot, pending")
async def test_cold_boot_pending() -> None:
    """Nothing but BootNotification, each interval; requests are answered, remote starts rejected; then as accepted."""
    bench = Bench()
    bench.csms.registration, bench.csms.heartbeat_s = "Pending", 20
    await bench.start()
    await asyncio.sleep(50)
    assert sent(bench) == ["BootNotification"] * 3
    keys = await bench.csms.call("GetConfiguration", {"key": ["HeartbeatInterval"]})
    assert keys["configurationKey"][0]["key"] == "HeartbeatInterval"
    assert await bench.csms.call("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "30"}) == OK
    assert await bench.csms.call("RemoteStartTransaction", {"idTag": "A", "connectorId": 1}) == NO
    bench.csms.registration = "Accepted"
    await asyncio.sleep(20)
    assert sent(bench)[3] == "BootNotification"
    assert "StatusNotification" in sent(bench, 4)


@use_case(BOOT, "Cold boot, pending, triggered messages")
async def test_cold_boot_pending_triggered() -> None:
    """What the CSMS triggers is sent while pending, and nothing else; a triggered boot that is accepted counts at once."""
    bench = Bench()
    bench.csms.registration, bench.csms.heartbeat_s = "Pending", 300
    await bench.start()
    for message in ("StatusNotification", "Heartbeat"):
        assert await bench.csms.call("TriggerMessage", {"requestedMessage": message}) == OK
        await asyncio.sleep(1)
    assert set(sent(bench, 1)) == {"StatusNotification", "Heartbeat"}
    bench.csms.registration = "Accepted"
    assert await bench.csms.call("TriggerMessage", {"requestedMessage": "BootNotification"}) == OK
    await asyncio.sleep(2)
    assert bench.client.online


@use_case(BOOT, "Cold boot, rejected")
async def test_cold_boot_rejected() -> None:
    """Silence between BootNotifications at the interval of the CSMS, until one is accepted."""
    bench = Bench()
    bench.csms.registration, bench.csms.heartbeat_s = "Rejected", 90
    await bench.start()
    await asyncio.sleep(190)
    assert sent(bench) == ["BootNotification"] * 3
    bench.csms.registration = "Accepted"
    await asyncio.sleep(90)
    assert bench.client.online


@use_case(BOOT, "Cold boot, pending without an interval")
async def test_cold_boot_no_interval() -> None:
    """Interval 0 gets a pause of the station's own."""
    bench = Bench()
    bench.csms.registration, bench.csms.heartbeat_s = "Pending", 0
    await bench.start()
    await asyncio.sleep(300)
    assert 2 <= len(sent(bench)) <= 31


@pytest.mark.parametrize("how", ["silence", "error"])
@use_case(BOOT, "Cold boot, no answer or an error")
async def test_cold_boot_without_answer(how: str) -> None:
    """BootNotification is repeated until it is answered."""
    bench = Bench(call_timeout_s=10)
    bench.csms.answer("BootNotification", silence=how == "silence", error="InternalError" if how == "error" else None, count=2)
    await bench.start()
    await asyncio.sleep(400)
    assert len(bench.csms.calls("BootNotification")) == 3
    assert bench.client.online


@use_case(BOOT, "Reconnection")
async def test_reconnection() -> None:
    """The station did not boot: a Heartbeat, no BootNotification, and only states that have changed."""
    bench = await Bench().start()
    before = len(sent(bench))
    bench.csms.down()
    await asyncio.sleep(30)
    bench.csms.up()
    await asyncio.sleep(60)
    assert sent(bench, before) == ["Heartbeat"]


@use_case(BOOT, "Reconnection to a CSMS that wants a boot")
async def test_reconnection_boot_wanted() -> None:
    """A Heartbeat that is answered with an error brings a BootNotification."""
    bench = await Bench().start()
    before = len(sent(bench))
    bench.csms.answer("Heartbeat", error="SecurityError", count=1)
    bench.csms.down()
    await asyncio.sleep(5)
    bench.csms.up()
    await asyncio.sleep(20)
    assert sent(bench, before)[:2] == ["Heartbeat", "BootNotification"]


@use_case(BOOT, "Charging while pending")
async def test_charging_while_pending() -> None:
    """Transaction messages wait for the registration and are then delivered whole."""
    bench = Bench(sample_interval_s=10)
    bench.csms.registration, bench.csms.heartbeat_s = "Pending", 60
    await bench.start()
    await bench.begin()
    await asyncio.sleep(25)
    await bench.end()
    assert set(sent(bench)) == {"BootNotification"}
    bench.csms.registration = "Accepted"
    await asyncio.sleep(90)
    (row,) = bench.csms.ledger()["transactions"]
    assert (row["stop_reason"], bench.csms.ledger()["violations"]) == ("Local", [])


# -- time ----------------------------------------------------------------------------------------------------------------


@use_case(TIME, "Heartbeat interval changed")
async def test_heartbeat_interval_changed() -> None:
    """ChangeConfiguration of HeartbeatInterval holds from now on."""
    bench = await Bench().start()
    assert await bench.csms.call("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "15"}) == OK
    await asyncio.sleep(61)
    assert len(bench.csms.calls("Heartbeat")) == 4


@use_case(TIME, "Half-open link")
async def test_half_open_link() -> None:
    """Unanswered pings end the link within interval and time-out; the station dials again."""
    bench = await Bench().start()
    assert await bench.csms.call("ChangeConfiguration", {"key": "WebSocketPingInterval", "value": "20"}) == OK
    dials = len(bench.openers.dials)
    bench.csms.half_open()
    await asyncio.sleep(40)
    assert len(bench.openers.dials) > dials
    assert bench.client.online


# -- configuration -------------------------------------------------------------------------------------------------------


@use_case(KEYS, "GetConfiguration, all keys")
async def test_get_configuration_all() -> None:
    """Every key with its value and whether it is read only; no unknown ones."""
    bench = await Bench().start()
    answer = await bench.csms.call("GetConfiguration", {})
    rows = {row["key"]: row for row in answer["configurationKey"]}
    assert rows["NumberOfConnectors"] == {"key": "NumberOfConnectors", "readonly": True, "value": "2"}
    assert not rows["HeartbeatInterval"]["readonly"]
    assert "unknownKey" not in answer


@use_case(KEYS, "GetConfiguration, some known and some unknown keys")
async def test_get_configuration_some() -> None:
    """Unknown names are listed apart."""
    bench = await Bench().start()
    answer = await bench.csms.call("GetConfiguration", {"key": ["HeartbeatInterval", "Nonsense"]})
    assert [row["key"] for row in answer["configurationKey"]] == ["HeartbeatInterval"]
    assert answer["unknownKey"] == ["Nonsense"]


@use_case(KEYS, "GetConfiguration, more keys than GetConfigurationMaxKeys")
async def test_get_configuration_too_many() -> None:
    """CALLERROR OccurenceConstraintViolation."""
    bench = await Bench().start()
    (row,) = (await bench.csms.call("GetConfiguration", {"key": ["GetConfigurationMaxKeys"]}))["configurationKey"]
    with pytest.raises(CsmsError, match="OccurenceConstraintViolation"):
        await bench.csms.call("GetConfiguration", {"key": [f"k{n}" for n in range(int(row["value"]) + 1)]})


@use_case(KEYS, "ChangeConfiguration, accepted and kept")
async def test_change_configuration_kept(tmp_path: Path) -> None:
    """The value is in force and survives a restart."""
    bench = await Bench(database=tmp_path / "a.db").start()
    assert await bench.csms.call("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": "77"}) == OK
    await bench.restart()
    await asyncio.sleep(2)
    answer = await bench.csms.call("GetConfiguration", {"key": ["ConnectionTimeOut"]})
    assert answer["configurationKey"][0]["value"] == "77"


def values(bench: Bench) -> dict[str, str]:
    """All keys as they stand."""
    infos = bench.client.keys()
    return {info.key: info.value for info in infos}


@pytest.mark.parametrize(("key", "value", "status"), [
    ("HeartbeatInterval", "-1", "Rejected"), ("HeartbeatInterval", "soon", "Rejected"),
    ("NumberOfConnectors", "3", "Rejected"), ("LocalPreAuthorize", "perhaps", "Rejected"),
    ("MeterValuesSampledData", "Warmth", "Rejected"), ("NoSuchKey", "1", "NotSupported"),
])  # fmt: skip
@use_case(KEYS, "ChangeConfiguration, wrong value, read only, unknown key")
async def test_change_configuration_refused(key: str, value: str, status: str) -> None:
    """Rejected, Rejected, NotSupported; nothing changes."""
    bench = await Bench().start()
    before = values(bench)
    assert await bench.csms.call("ChangeConfiguration", {"key": key, "value": value}) == {"status": status}
    assert values(bench) == before


# -- cards ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx"])
@use_case(CARDS, "Authorize: Accepted, Blocked, Expired, Invalid, ConcurrentTx")
async def test_authorize_each_answer(status: str) -> None:
    """Only Accepted may charge."""
    bench = await Bench().start()
    bench.csms.tokens["CARD"] = status
    result = await bench.client.authorize("CARD", 1)
    assert result.accepted == (status == "Accepted")
    assert bench.csms.calls("Authorize") == [{"idTag": "CARD"}]


@use_case(CARDS, "Offline, card in the cache")
async def test_authorize_offline_cached() -> None:
    """LocalAuthorizeOffline true lets a cached card charge, false does not."""
    bench = await Bench().start()
    await bench.client.authorize("CARD", 1)
    bench.csms.down()
    await asyncio.sleep(1)
    assert (await bench.client.authorize("CARD", 1)).accepted
    await bench.client.set_key("LocalAuthorizeOffline", "false")
    assert not (await bench.client.authorize("CARD", 1)).accepted


@use_case(CARDS, "Offline, unknown card")
async def test_authorize_offline_unknown() -> None:
    """AllowOfflineTxForUnknownId decides."""
    bench = await Bench().start()
    bench.csms.down()
    await asyncio.sleep(1)
    assert not (await bench.client.authorize("NEW", 1)).accepted
    await bench.client.set_key("AllowOfflineTxForUnknownId", "true")
    assert (await bench.client.authorize("NEW", 1)).accepted


@use_case(CARDS, "Local pre-authorisation")
async def test_local_pre_authorize() -> None:
    """LocalPreAuthorize starts a known card at once, without asking first."""
    bench = await Bench().start()
    await bench.client.authorize("CARD", 1)
    await bench.client.set_key("LocalPreAuthorize", "true")
    bench.csms.answer("Authorize", silence=True)
    began = bench.clock.now()
    assert (await bench.client.authorize("CARD", 1)).accepted
    assert bench.clock.now() == began


@use_case(CARDS, "ClearCache")
async def test_clear_cache() -> None:
    """The cache is empty; Rejected where there is none."""
    bench = await Bench().start()
    await bench.store.cache_put(CachedToken(id_token="A", status="Accepted"))
    assert await bench.csms.call("ClearCache", {}) == OK
    assert await bench.store.cache_get("A") is None
    await bench.client.set_key("AuthorizationCacheEnabled", "false")
    assert await bench.csms.call("ClearCache", {}) == NO


# -- DataTransfer ----------------------------------------------------------------------------------------------------------


@use_case(DATA, "DataTransfer from the CSMS, unknown vendor")
async def test_data_transfer_unknown() -> None:
    """UnknownVendorId."""
    bench = await Bench().start()
    assert await bench.csms.call("DataTransfer", {"vendorId": "nobody"}) == {"status": "UnknownVendorId"}


@use_case(DATA, "DataTransfer to the CSMS")
async def test_data_transfer_out() -> None:
    """The payload passes unchanged; an error of the CSMS is told to who asked."""
    bench = await Bench().start()
    answer = await bench.client.data_transfer("v", "m", '{"a": [1, "ü"]}')
    assert answer["status"] == "Accepted"
    assert bench.csms.calls("DataTransfer") == [{"vendorId": "v", "messageId": "m", "data": '{"a": [1, "ü"]}'}]
    bench.csms.answer("DataTransfer", error="InternalError", count=1)
    with pytest.raises(CallError):
        await bench.client.data_transfer("v", "m", "x")
