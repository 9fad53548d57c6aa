"""The configuration keys: every row, guards, pages, resets that do not work."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.config.model_ocpp import OcppSection
from evse.domain.station import EvseSpec
from evse.ocpp.data_transfer import MeterKey
from evse.ocpp.key_table import NOT_OFFERED, PAGE_KEYS, KeySpec, log_rows, reader_rows, signing_rows, table
from evse.ocpp.keys import Keys, _accept
from tests._support.examples import examples
from tests.ocpp.support import Bench, under_virtual_time
from tests.ocpp.test_keys_ac import ac, put

KNOWN = list(csv.DictReader((Path(__file__).parent / "known_keys.csv").read_text(encoding="utf-8").splitlines()))
"""Chapter 9 of OCPP 1.6, the security whitepaper, table 6 of Charge Control C, the server variables of CHARX: names and access."""

STANDARD = {row["key"] for row in KNOWN if row["of"] in ("ocpp", "security")}

ROWS = table(OcppSection(url="ws://h/x"), 2, (ac(1), EvseSpec(evse_id=2)))
EVERY_ROW = [*ROWS, *log_rows("INFO"), *reader_rows("big", "plain"), *signing_rows((1,))]


async def told(bench: Bench, *names: str) -> dict[str, Any]:
    answer = await bench.csms.call("GetConfiguration", {"key": list(names)} if names else {})
    return {row["key"]: row for row in answer["configurationKey"]}


def test_every_standard_key_is_there_and_said_to_be_what_it_is() -> None:
    async def main() -> None:
        bench = await Bench(specs=(ac(1), EvseSpec(evse_id=2))).start()
        rows = await told(bench)
        assert rows.keys() >= STANDARD
        assert list(rows) == sorted(rows, key=str.lower)
        specs = {spec.key: spec for spec in ROWS}
        assert rows.keys() == specs.keys()
        assert all(row["readonly"] is specs[specs[key].same_as or key].readonly for key, row in rows.items())

    under_virtual_time(main)


def test_no_key_that_people_know_is_forgotten() -> None:
    ours = {spec.key.lower(): spec for spec in EVERY_ROW}
    named = {row["key"].lower() for row in KNOWN}
    assert {row["key"] for row in KNOWN if row["key"].lower() not in ours} == NOT_OFFERED.keys()
    assert all(NOT_OFFERED.values())
    assert ours.keys() <= named
    for row in KNOWN:
        spec = ours.get(row["key"].lower())
        if spec is None or row["of"] == "ccc":  # some that are fixed there can be set here
            continue
        access = "W" if spec.writeonly else "R" if spec.readonly else "RW"
        assert not row["access"] or access in row["access"].split(" or "), row


@pytest.mark.parametrize("spec", EVERY_ROW, ids=lambda spec: spec.key)
def test_a_default_is_a_value_that_its_own_row_allows(spec: KeySpec) -> None:
    if not (spec.same_as or spec.guarded or spec.readonly):
        assert _accept(spec, spec.default) == spec.default


def test_a_readonly_key_is_rejected_and_unchanged() -> None:
    async def main() -> None:
        bench = await Bench().start()
        before = await told(bench)
        for key in [key for key, row in before.items() if row["readonly"]]:
            assert await put(bench, key, str(before[key]["value"])) == "Rejected", key
        assert await told(bench) == before

    under_virtual_time(main)


def test_the_password_is_never_told_and_only_its_guard_takes_it() -> None:
    async def main() -> None:
        bench = await Bench().start()
        assert "value" not in (await told(bench, "AuthorizationKey"))["AuthorizationKey"]
        assert await put(bench, "AuthorizationKey", "0123456789abcdef") == "Rejected"
        kept: list[str] = []

        async def guard(value: str) -> str:
            kept.append(value)
            return "RebootRequired" if value[0] == "r" else "Accepted"

        bench.client._keys.guard("AuthorizationKey", guard)
        assert await put(bench, "authorizationkey", " key with spaces ") == "Accepted"
        assert await put(bench, "AuthorizationKey", "r" * 40) == "RebootRequired"
        assert await put(bench, "AuthorizationKey", "too short") == "Rejected"
        assert await put(bench, "AuthorizationKey", "x" * 41) == "Rejected"
        assert kept == [" key with spaces ", "r" * 40]
        bench.client._keys.tell("AuthorizationKey", "0123456789abcdef")
        assert "value" not in (await told(bench, "AuthorizationKey"))["AuthorizationKey"]
        assert all(info.value == "" for info in bench.client.keys() if info.key == "AuthorizationKey")  # noqa: SIM118
        assert "0123456789abcdef" not in str(await bench.store.get_all("ocpp.keys"))

    under_virtual_time(main)


def test_a_guard_keeps_what_it_takes_and_tells_what_is_in_force() -> None:
    async def main() -> None:
        bench = await Bench().start()
        keys = bench.client._keys

        async def guard(value: str) -> str:
            return "Accepted"

        keys.guard("CentralSystemURI", guard)
        assert await put(bench, "NewBackendURL", "wss://other/ocpp") == "Accepted"
        rows = await told(bench, "CentralSystemURI", "NewBackendURL")
        assert {row["value"] for row in rows.values()} == {"ws://csms.test/ocpp"}
        keys.tell("CentralSystemURI", "wss://other/ocpp")
        rows = await told(bench, "CentralSystemURI", "NewBackendURL")
        assert {row["value"] for row in rows.values()} == {"wss://other/ocpp"}

    under_virtual_time(main)


def test_another_name_of_a_key_is_the_same_key() -> None:
    async def main() -> None:
        bench = await Bench().start()
        assert await put(bench, "EVDiscardTimeOut", "77") == "Accepted"
        assert bench.client.key_number("ConnectionTimeOut") == 77
        assert await put(bench, "EVDiscardTimeOut", "1") == "Rejected"
        assert await put(bench, "AvailabilityOnlyWhenTimeSynchronized", "True") == "Accepted"
        rows = await told(bench, "allowTxWithInvalidTime", "AvailabilityOnlyWhenTimeSynchronized")
        assert [row["value"] for row in rows.values()] == ["false", "true"]

    under_virtual_time(main)


def test_get_configuration_in_pages() -> None:
    async def main() -> None:
        bench = await Bench().start()
        most = int((await told(bench, "GetConfigurationMaxKeys"))["GetConfigurationMaxKeys"]["value"])
        assert most == PAGE_KEYS
        names = [f"Unknown{n}" for n in range(most - 2)]
        answer = await bench.csms.call("GetConfiguration", {"key": ["CpoName", *names, "cponame"]})
        assert [row["key"] for row in answer["configurationKey"]] == ["CpoName"]
        assert answer["unknownKey"] == names
        with pytest.raises(Exception, match=r"OccurenceConstraintViolation.*at most 100 at once"):
            await bench.csms.call("GetConfiguration", {"key": [f"K{n}" for n in range(most + 1)]})

    under_virtual_time(main)


def test_keys_of_a_meter_that_signs_exist_only_with_one() -> None:
    async def main() -> None:
        bench = await Bench().start()
        assert await told(bench, "Meter1PublicKey") == {}
        for row in signing_rows((1, 2)):
            bench.client._keys.offer(row)
        bench.client._keys.tell("Meter1PublicKey", "3059AB")
        assert (await told(bench, "Meter2PublicKey"))["Meter2PublicKey"]["value"] == ""
        assert await put(bench, "Meter1PublicKey", "30") == "Rejected"
        assert (await told(bench, "Meter1PublicKey"))["Meter1PublicKey"]["value"] == "3059AB"
        assert await put(bench, "calibrationLawFormat", "ocmf, hex") == "Accepted"
        assert await put(bench, "calibrationLawFormat", "xml") == "Rejected"
        bench.client.meter_keys = lambda: (MeterKey(connector_id=1, serial="4711", public_key="3059AB"),)
        assert await put(bench, "VendorAtKeyTransfer", "com.example") == "Accepted"
        assert await put(bench, "MessageAtKeyTransfer", "") == "Rejected"
        assert await put(bench, "MessageAtKeyTransfer", "meterKey") == "Accepted"
        assert await put(bench, "bootNotificationOnReconnect", "true") == "Accepted"
        bench.client.reconnect("test")
        await asyncio.sleep(60)
        sent = bench.csms.calls("DataTransfer")
        assert [(call["vendorId"], call["messageId"]) for call in sent] == [("com.example", "meterKey")]

    under_virtual_time(main)


def test_a_reset_that_does_nothing_is_tried_again_as_often_as_reset_retries_says() -> None:
    async def main() -> None:
        bench = await Bench().start()
        assert await put(bench, "ResetRetries", "2") == "Accepted"
        await bench.begin()
        await bench.csms.call("Reset", {"type": "Soft"})
        await asyncio.sleep(300)
        assert bench.station.done == [("reset", False)]  # the transaction has not ended yet
        await bench.end()
        await asyncio.sleep(600)
        assert bench.station.done == [("reset", False)] * 3

    under_virtual_time(main)


def test_a_hard_reset_comes_into_a_soft_one_that_waits() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await bench.begin()
        await bench.csms.call("Reset", {"type": "Soft"})
        await asyncio.sleep(30)
        await bench.csms.call("Reset", {"type": "Hard"})
        await asyncio.sleep(5)
        assert bench.station.done == [("reset", False), ("reset", True)]

    under_virtual_time(main)


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from(ROWS), st.text(max_size=60) | st.integers().map(str) | st.booleans().map(str))
def test_no_value_confuses_a_row(spec: KeySpec, value: str) -> None:
    accepted = _accept(spec, value)
    if accepted is not None:
        assert _accept(spec, accepted) == accepted
        if spec.kind == "int":
            assert spec.low <= int(accepted) <= spec.high or (spec.zero and accepted == "0")


def test_extended_trigger_asks_whoever_has_registered() -> None:
    async def main() -> None:
        bench = await Bench().start()
        sent: list[str] = []

        async def sign() -> None:
            sent.append("csr")

        ask = {"requestedMessage": "SignChargePointCertificate"}
        assert (await bench.csms.call("ExtendedTriggerMessage", ask))["status"] == "NotImplemented"
        bench.client.handlers.triggers["SignChargePointCertificate"] = sign
        assert (await bench.csms.call("ExtendedTriggerMessage", ask))["status"] == "Accepted"
        before = len(bench.csms.calls("StatusNotification"))
        status = {"requestedMessage": "StatusNotification", "connectorId": 2}
        assert (await bench.csms.call("ExtendedTriggerMessage", status))["status"] == "Accepted"
        assert (await bench.csms.call("ExtendedTriggerMessage", {**status, "connectorId": 9}))["status"] == "Rejected"
        await asyncio.sleep(1)
        assert sent == ["csr"]
        assert [call["connectorId"] for call in bench.csms.calls("StatusNotification")[before:]] == [2]

    under_virtual_time(main)


def test_keys_object_can_be_made_without_a_station() -> None:
    keys = Keys(OcppSection(), 1, None)  # type: ignore[arg-type]  # nothing is stored
    assert keys.find("NoSuchKey") is None
    info = keys.find("securityprofile")
    assert info is not None
    assert (info.range, info.profile, info.applies) == ("0..3", "Security", "next connection")


def test_vehicles_that_are_there_at_the_start_go_on_under_the_service_card(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "a.db").start()
        assert await put(bench, "ServiceRestart", "true") == "Accepted"
        assert await put(bench, "ServiceUID", "SERVICE") == "Accepted"
        bench.station.change(1, plugged=True)
        await asyncio.sleep(60)
        assert bench.station.done == []  # only after a restart
        await bench.kill()
        await bench.start(0)
        await asyncio.sleep(3)
        bench.station.change(2, plugged=True)  # its board was heard late
        await asyncio.sleep(20)
        bench.station.change(1, plugged=True)  # has just come
        await asyncio.sleep(20)
        assert bench.station.done == [("start", 2, "SERVICE")]

    under_virtual_time(main)


def test_the_clock_is_not_set_during_a_transaction_when_that_is_not_wanted() -> None:
    async def main() -> None:
        bench = await Bench().start()
        may = bench.client._may_set_time
        assert may()
        await put(bench, "AllowTimeSyncDuringSession", "false")
        assert may()
        await bench.begin()
        assert not may()
        bench.clock.valid = False  # better any time than none
        assert may()
        bench.clock.valid = True
        await bench.end()
        assert may()
        await put(bench, "useAsTimeSource", "false")
        assert not may()

    under_virtual_time(main)
