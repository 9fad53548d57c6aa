"""What the CSMS may ask: the Core profile, request by request; keys; authorisation."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evse.domain.records import CachedToken
from evse.sim.csms import CsmsError
from tests.ocpp.support import Bench, under_virtual_time


def test_remote_start_and_stop() -> None:
    async def main() -> None:
        bench = await Bench().start()
        call = bench.csms.call
        assert (await call("RemoteStartTransaction", {"idTag": "A", "connectorId": 2}))["status"] == "Accepted"
        assert (await call("RemoteStartTransaction", {"idTag": "B"}))["status"] == "Accepted"
        assert (await call("RemoteStartTransaction", {"idTag": "C", "connectorId": 9}))["status"] == "Rejected"
        assert bench.station.done == [("start", 2, "A"), ("start", None, "B")]
        await bench.begin(2)
        await asyncio.sleep(1)
        assert (await call("RemoteStopTransaction", {"transactionId": 99}))["status"] == "Rejected"
        assert (await call("RemoteStopTransaction", {"transactionId": 1}))["status"] == "Accepted"
        assert bench.station.done[-1] == ("stop", 2)
        bench.station.accepts = False
        assert (await call("RemoteStartTransaction", {"idTag": "A", "connectorId": 1}))["status"] == "Rejected"

    under_virtual_time(main)


def test_remote_start_asks_for_the_card_when_told_to() -> None:
    async def main() -> None:
        bench = await Bench().start()
        bench.csms.tokens["BAD"] = "Blocked"
        await bench.client.set_key("AuthorizeRemoteTxRequests", "true")
        for token in ("BAD", "GOOD"):
            await bench.csms.call("RemoteStartTransaction", {"idTag": token, "connectorId": 1})
            await asyncio.sleep(1)
        assert bench.station.done == [("start", 1, "GOOD")]

    under_virtual_time(main)


def test_availability_unlock_reset_cache() -> None:
    async def main() -> None:
        bench = await Bench().start()
        call = bench.csms.call
        for connector, expected in ((0, "Accepted"), (1, "Accepted"), (7, "Rejected")):
            answer = await call("ChangeAvailability", {"connectorId": connector, "type": "Inoperative"})
            assert answer == {"status": expected}
        await bench.begin(1)
        answer = await call("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"})
        assert answer == {"status": "Scheduled"}
        assert await call("UnlockConnector", {"connectorId": 2}) == {"status": "Unlocked"}
        assert await call("UnlockConnector", {"connectorId": 0}) == {"status": "NotSupported"}
        bench.station.accepts = False
        assert await call("UnlockConnector", {"connectorId": 2}) == {"status": "UnlockFailed"}
        await bench.store.cache_put(CachedToken(id_token="A", status="Accepted"))
        assert await call("ClearCache", {}) == {"status": "Accepted"}
        assert await bench.store.cache_get("A") is None
        await bench.client.set_key("AuthorizationCacheEnabled", "false")
        assert await call("ClearCache", {}) == {"status": "Rejected"}
        assert await call("Reset", {"type": "Soft"}) == {"status": "Accepted"}
        await asyncio.sleep(0.1)
        assert bench.station.done[-1] == ("reset", False)

    under_virtual_time(main)


def test_data_transfer_both_ways() -> None:
    async def main() -> None:
        bench = await Bench().start()
        call = bench.csms.call
        assert await call("DataTransfer", {"vendorId": "other"}) == {"status": "UnknownVendorId"}

        async def mine(message_id: str, data: str) -> tuple[str, str | None]:
            return ("Accepted", data[::-1]) if message_id == "rev" else ("UnknownMessageId", None)

        bench.client.handlers.data_handlers["me"] = mine
        answer = await call("DataTransfer", {"vendorId": "me", "messageId": "rev", "data": '{"a_b":1}'})
        assert answer == {"status": "Accepted", "data": '}1:"b_a"{'}
        assert await call("DataTransfer", {"vendorId": "me"}) == {"status": "UnknownMessageId"}
        assert await bench.client.data_transfer("me", "x", "y") == {"status": "Accepted"}
        assert bench.csms.calls("DataTransfer") == [{"vendorId": "me", "messageId": "x", "data": "y"}]

    under_virtual_time(main)


def test_triggers() -> None:
    async def main() -> None:
        bench = await Bench().start()
        call = bench.csms.call
        await bench.begin(1)
        await asyncio.sleep(1)
        for message, status in (
            ("Heartbeat", "Accepted"), ("MeterValues", "Accepted"), ("BootNotification", "Accepted"),
            ("FirmwareStatusNotification", "NotImplemented"),
        ):
            assert await call("TriggerMessage", {"requestedMessage": message}) == {"status": status}
        answer = await call("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 5})
        assert answer == {"status": "Rejected"}
        await asyncio.sleep(1)
        triggered = bench.csms.calls("MeterValues")[-1]  # connector 2 has no values
        assert triggered["transactionId"] == 1
        assert triggered["meterValue"][0]["sampledValue"][0]["context"] == "Trigger"
        assert len(bench.csms.calls("BootNotification")) == 2
        assert len(bench.csms.calls("Heartbeat")) == 1

    under_virtual_time(main)


def test_unsupported_profiles_are_refused_as_such() -> None:
    async def main() -> None:
        bench = await Bench().start()
        with pytest.raises(CsmsError, match="NotSupported"):
            await bench.csms.call("UpdateFirmware", {
                "location": "ftp://x", "retrieveDate": "2026-01-01T00:00:00Z",
            })
        with pytest.raises(CsmsError, match="NotImplemented"):
            await bench.csms.call("GetVariables", {}, wrong=True)

    under_virtual_time(main)


def values_of(bench: Bench) -> dict[str, str]:
    """Key to value of all configuration keys."""
    infos = bench.client.keys()
    return {info.key: info.value for info in infos}


CORE_KEYS = (
    "AuthorizeRemoteTxRequests", "ClockAlignedDataInterval", "ConnectionTimeOut", "ConnectorPhaseRotation",
    "GetConfigurationMaxKeys", "HeartbeatInterval", "LocalAuthorizeOffline", "LocalPreAuthorize",
    "MeterValuesAlignedData", "MeterValuesSampledData", "MeterValueSampleInterval", "NumberOfConnectors",
    "ResetRetries",
    "StopTransactionOnEVSideDisconnect", "StopTransactionOnInvalidId", "StopTxnAlignedData", "StopTxnSampledData",
    "SupportedFeatureProfiles", "TransactionMessageAttempts", "TransactionMessageRetryInterval",
    "UnlockConnectorOnEVSideDisconnect",
)


def test_all_required_core_keys_are_there() -> None:
    async def main() -> None:
        bench = await Bench().start()
        answer = await bench.csms.call("GetConfiguration", {})
        values = {row["key"]: row for row in answer["configurationKey"]}
        assert set(CORE_KEYS) <= set(values)
        assert values["NumberOfConnectors"] == {"key": "NumberOfConnectors", "readonly": True, "value": "2"}
        answer = await bench.csms.call("GetConfiguration", {"key": ["heartbeatinterval", "Nope"]})
        assert [row["key"] for row in answer["configurationKey"]] == ["HeartbeatInterval"]
        assert answer["unknownKey"] == ["Nope"]

    under_virtual_time(main)


@pytest.mark.parametrize(("key", "value", "status", "kept"), [
    ("HeartbeatInterval", "60", "Accepted", "60"),
    ("HeartbeatInterval", "060", "Accepted", "60"),
    ("HeartbeatInterval", "0", "Rejected", None),
    ("HeartbeatInterval", "-5", "Rejected", None),
    ("HeartbeatInterval", "1e3", "Rejected", None),
    ("HeartbeatInterval", "²", "Rejected", None),
    ("LocalPreAuthorize", "TRUE", "Accepted", "true"),
    ("LocalPreAuthorize", "yes", "Rejected", None),
    ("NumberOfConnectors", "5", "Rejected", None),
    ("MeterValuesSampledData", "soc, voltage,SoC", "Accepted", "SoC,Voltage"),
    ("MeterValuesSampledData", "", "Accepted", ""),
    ("MeterValuesSampledData", "Voltage.L9", "Rejected", None),
    ("StopTransactionOnEVSideDisconnect", "true", "Accepted", "true"),
    ("StopTransactionOnEVSideDisconnect", "false", "Rejected", None),
    ("NoSuchKey", "1", "NotSupported", None),
])
def test_keys_are_typed_bounded_and_durable(
    tmp_path: Path, key: str, value: str, status: str, kept: str | None
) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "x.db").start()
        before = values_of(bench)
        assert await bench.csms.call("ChangeConfiguration", {"key": key, "value": value}) == {"status": status}
        await bench.kill()
        bench = await Bench(database=tmp_path / "x.db").start(0)
        after = values_of(bench)
        before["NumberOfConnectors"] = after["NumberOfConnectors"]  # counted when the client runs
        assert after == before | ({key: kept} if kept is not None else {})

    under_virtual_time(main)


@pytest.mark.parametrize(("policy", "cached", "accepted", "reason"), [
    ("deny", "Accepted", False, "LocalAuthorizeOffline"),
    ("deny", None, False, "not in cache"),
    ("cache", "Accepted", True, "known card"),
    ("cache", "Blocked", False, "cache says Blocked"),
    ("cache", None, False, "not in cache"),
    ("allow", None, True, "unknown cards may charge"),
    ("allow", "Blocked", False, "cache says Blocked"),
])
def test_offline_policy(policy: str, cached: str | None, accepted: bool, reason: str) -> None:
    async def main() -> None:
        bench = await Bench(offline_policy=policy).start()
        if cached:
            bench.csms.tokens["CARD"] = cached
            assert (await bench.client.authorize("card", 1)).accepted is (cached == "Accepted")
        bench.csms.down()
        await asyncio.sleep(1)
        result = await bench.client.authorize("CARD", 1)
        assert result.accepted is accepted
        assert reason in result.reason

    under_virtual_time(main)


def test_expired_card_is_not_accepted_offline_and_online_asks_again() -> None:
    async def main() -> None:
        bench = await Bench().start()
        info = {"status": "Accepted", "expiryDate": "2026-01-01T01:00:00Z", "parentIdTag": "FLEET"}
        bench.csms.answer("Authorize", payload={"idTagInfo": info}, count=1)
        result = await bench.client.authorize("A", 1)
        assert (result.accepted, result.parent) == (True, "FLEET")
        bench.csms.down()
        await asyncio.sleep(1800)
        assert (await bench.client.authorize("A", 1)).parent == "FLEET"
        await asyncio.sleep(1800)
        assert (await bench.client.authorize("A", 1)).reason == "offline: Expired"

    under_virtual_time(main)


def test_local_pre_authorize_does_not_wait_for_the_csms() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await bench.client.authorize("A", 1)
        await bench.client.set_key("LocalPreAuthorize", "true")
        bench.csms.answer("Authorize", silence=True)
        before = bench.clock.now()
        assert (await bench.client.authorize("A", 1)).accepted
        assert bench.clock.now() == before

    under_virtual_time(main)


def test_silent_or_refusing_csms_falls_back_to_the_policy() -> None:
    async def main() -> None:
        bench = await Bench(call_timeout_s=5).start()
        await bench.client.authorize("A", 1)
        bench.csms.answer("Authorize", silence=True, count=1)
        assert (await bench.client.authorize("A", 1)).accepted
        bench.csms.answer("Authorize", error="InternalError", count=1)
        result = await bench.client.authorize("UNKNOWN", 1)
        assert not result.accepted
        assert "InternalError" in result.reason
        assert not (await bench.client.authorize("X" * 21, 1)).accepted
        assert not (await bench.client.authorize("", 1)).accepted

    under_virtual_time(main)
