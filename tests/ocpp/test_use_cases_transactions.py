"""Use cases: transactions online and offline, meter values, power failure."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evse.domain.records import PointRecord
from evse.domain.session import StopReason
from evse.domain.signing import SignedValues
from evse.ocpp.data_transfer import MeterKey
from tests.ocpp.support import Bench
from tests.ocpp.use_cases import sent, use_case

ONLINE, OFFLINE, METER, POWER = "Transactions", "Transactions offline", "Meter values", "Power failure"
MESSAGES = ("StartTransaction", "MeterValues", "StopTransaction")


def rows(bench: Bench) -> list[dict[str, Any]]:
    """The ledger; no law of delivery was broken and nothing waits."""
    ledger = bench.csms.ledger()
    assert ledger["violations"] == []
    assert bench.client.summary().queued == 0
    return list(ledger["transactions"])


def order(bench: Bench) -> list[str]:
    """Transaction messages in the order in which they arrived."""
    return [action for action in sent(bench) if action in MESSAGES]


@use_case(ONLINE, "Start, charge, stop")
async def test_start_charge_stop() -> None:
    """StartTransaction gets a number, MeterValues and StopTransaction carry it."""
    bench = await Bench(sample_interval_s=30).start()
    await bench.begin(register_wh=1000)
    await asyncio.sleep(65)
    await bench.end(energy_wh=500)
    await asyncio.sleep(1)
    (row,) = rows(bench)
    assert (row["meter_start_wh"], row["meter_stop_wh"], row["stop_reason"]) == (1000, 1500, "Local")
    assert {call["transactionId"] for call in bench.csms.calls("MeterValues")} == {row["transaction_id"]}


@pytest.mark.parametrize(("reason", "word"), [
    (StopReason.LOCAL, "Local"), (StopReason.REMOTE, "Remote"), (StopReason.EV_DISCONNECTED, "EVDisconnected"),
    (StopReason.EMERGENCY_STOP, "EmergencyStop"), (StopReason.DE_AUTHORIZED, "DeAuthorized"),
    (StopReason.REBOOT, "Reboot"), (StopReason.IMMEDIATE_RESET, "HardReset"), (StopReason.OTHER, "Other"),
])  # fmt: skip
@use_case(ONLINE, "Stop reasons")
async def test_stop_reasons(reason: StopReason, word: str) -> None:
    """The end is told with the word of the specification."""
    bench = await Bench().start()
    await bench.begin()
    await bench.end(reason=reason)
    await asyncio.sleep(1)
    assert rows(bench)[0]["stop_reason"] == word


@use_case(ONLINE, "Two connectors at once")
async def test_two_connectors() -> None:
    """Each transaction keeps its number, card and register."""
    bench = await Bench(sample_interval_s=10).start()
    await bench.begin(1, id_token="A", register_wh=10)
    await bench.begin(2, id_token="B", register_wh=20)
    await asyncio.sleep(25)
    await bench.end(2)
    await bench.end(1)
    await asyncio.sleep(5)
    assert [(r["id_token"], r["connector_id"], r["meter_start_wh"]) for r in rows(bench)] == [("A", 1, 10), ("B", 2, 20)]


@pytest.mark.parametrize(("stop", "accepted"), [("true", False), ("false", True)])
@use_case(ONLINE, "Start with a card that the CSMS refuses")
async def test_start_refused(stop: str, accepted: bool) -> None:
    """StopTransactionOnInvalidId true ends the transaction, false lets it go on; it has a number either way."""
    bench = await Bench().start()
    await bench.client.set_key("StopTransactionOnInvalidId", stop)
    bench.csms.tokens["CARD1"] = "Blocked"
    await bench.begin()
    await asyncio.sleep(1)
    assert bench.station.numbered == {"s1": (1, accepted)}


@use_case(ONLINE, "Answer lost")
async def test_answer_lost() -> None:
    """The message is repeated with its unique id and payload; the CSMS sees one transaction."""
    bench = await Bench(call_timeout_s=5).start()
    for action in ("StartTransaction", "StopTransaction"):
        bench.csms.answer(action, lost=True, count=1)
    await bench.begin()
    await asyncio.sleep(90)
    await bench.end()
    await asyncio.sleep(90)
    assert len(rows(bench)) == 1
    assert bench.csms.ledger()["repeats"] == 2


@use_case(ONLINE, "Message refused")
async def test_message_refused(tmp_path: Path) -> None:
    """Repeated TransactionMessageAttempts times with growing pauses, then parked, and sent again after the next boot."""
    bench = await Bench(database=tmp_path / "a.db").start()
    await bench.client.set_key("TransactionMessageAttempts", "2")
    await bench.client.set_key("TransactionMessageRetryInterval", "10")
    bench.csms.answer("StartTransaction", error="InternalError", count=2)
    await bench.begin()
    await asyncio.sleep(5)
    assert bench.client.summary().parked == 0
    await asyncio.sleep(30)
    assert bench.client.summary().parked == bench.client.summary().queued > 0
    await bench.end()
    await asyncio.sleep(1)
    await bench.restart()
    await asyncio.sleep(30)
    assert [row["stop_reason"] for row in rows(bench)] == ["Local"]


@use_case(OFFLINE, "Offline start, online stop")
async def test_offline_start() -> None:
    """The start is delivered with its own time, its late number reaches what was queued behind it."""
    bench = await Bench(sample_interval_s=20).start()
    bench.csms.down()
    await asyncio.sleep(1)
    await bench.begin()
    await asyncio.sleep(60)
    bench.csms.up()
    await asyncio.sleep(130)
    assert bench.station.numbered == {"s1": (1, True)}
    await bench.end()
    await asyncio.sleep(5)
    (row,) = rows(bench)
    assert row["started"] == "2026-01-01T00:00:02.000Z"
    assert order(bench)[0] == "StartTransaction"
    assert order(bench)[-1] == "StopTransaction"


@use_case(OFFLINE, "Online start, offline stop")
async def test_offline_stop() -> None:
    """The stop waits for the link and arrives with the time at which it happened."""
    bench = await Bench().start()
    await bench.begin()
    await asyncio.sleep(10)
    bench.csms.down()
    await asyncio.sleep(20)
    await bench.end()
    await asyncio.sleep(300)
    bench.csms.up()
    await asyncio.sleep(200)
    (row,) = rows(bench)
    assert row["stopped"].startswith("2026-01-01T00:00:31")


@use_case(OFFLINE, "Whole transactions offline")
async def test_whole_transactions_offline() -> None:
    """Start, meter values, stop of each, one after the other, each with the number of its own start."""
    bench = await Bench(sample_interval_s=20).start()
    bench.csms.down()
    await asyncio.sleep(1)
    for register in (1000, 4000):
        await bench.begin(register_wh=register)
        await asyncio.sleep(50)
        await bench.end()
        await bench.leave()
    bench.csms.up()
    await asyncio.sleep(200)
    assert order(bench) == ["StartTransaction", *["MeterValues"] * 3, "StopTransaction"] * 2
    assert [row["meter_start_wh"] for row in rows(bench)] == [1000, 4000]


@use_case(OFFLINE, "Offline start with a card that the CSMS refuses later")
async def test_offline_start_refused() -> None:
    """The transaction is ended when the answer says so."""
    bench = await Bench().start()
    bench.csms.tokens["CARD1"] = "Invalid"
    bench.csms.down()
    await asyncio.sleep(1)
    await bench.begin()
    await asyncio.sleep(30)
    bench.csms.up()
    await asyncio.sleep(130)
    assert bench.station.numbered == {"s1": (1, False)}


# -- meter values ----------------------------------------------------------------------------------------------------------


@use_case(METER, "Sampled")
async def test_meter_sampled() -> None:
    """Every MeterValueSampleInterval from the start of the transaction."""
    bench = await Bench(sample_interval_s=10).start()
    await bench.begin()
    await asyncio.sleep(35)
    contexts = [call["meterValue"][0]["sampledValue"][0]["context"] for call in bench.csms.calls("MeterValues")]
    assert contexts == ["Transaction.Begin", *["Sample.Periodic"] * 3]


@use_case(METER, "Clock-aligned")
async def test_meter_clock_aligned() -> None:
    """On the multiples of ClockAlignedDataInterval since midnight, stamped with the mark; also outside transactions."""
    bench = await Bench().start()
    await bench.begin()
    assert await bench.client.set_key("ClockAlignedDataInterval", "60") == "Accepted"
    await asyncio.sleep(130)
    marks = [
        call["meterValue"][0]["timestamp"] for call in bench.csms.calls("MeterValues")
        if call["connectorId"] == 1 and call["meterValue"][0]["sampledValue"][0]["context"] == "Sample.Clock"
    ]  # fmt: skip
    assert marks == ["2026-01-01T00:01:00.000Z", "2026-01-01T00:02:00.000Z"]


@use_case(METER, "In StopTransaction")
async def test_meter_in_stop() -> None:
    """transactionData tells begin and end."""
    bench = await Bench().start()
    await bench.begin()
    await asyncio.sleep(5)
    await bench.end()
    await asyncio.sleep(1)
    (stop,) = bench.csms.calls("StopTransaction")
    contexts = [entry["sampledValue"][0]["context"] for entry in stop["transactionData"]]
    assert (contexts[0], contexts[-1]) == ("Transaction.Begin", "Transaction.End")


SIGNED = SignedValues(begin='OCMF|{"RD":[{"TX":"B"}]}|{"SD":"30"}', end='OCMF|{"RD":[{"TX":"E"}]}|{"SD":"31"}')


def signed_contexts(bench: Bench) -> list[str]:
    """Contexts of the signed values of the only StopTransaction, in their order."""
    (stop,) = bench.csms.calls("StopTransaction")
    values = [value for entry in stop.get("transactionData", []) for value in entry["sampledValue"]]
    return [value["context"] for value in values if value.get("format") == "SignedData"]


@use_case(METER, "Meter that signs, offline")
async def test_signed_values() -> None:
    """The signed begin is the first value of StopTransaction, the signed end the last; both wait for the link with it."""
    bench = await Bench().start()
    bench.csms.down()
    await bench.begin(signed=msgspec.structs.replace(SIGNED, end=""))
    await asyncio.sleep(30)
    await bench.end(signed=SIGNED)
    bench.csms.up()
    await asyncio.sleep(150)
    assert signed_contexts(bench) == ["Transaction.Begin", "Transaction.End"]
    (stop,) = bench.csms.calls("StopTransaction")
    ends = stop["transactionData"][0], stop["transactionData"][-1]
    assert [end["sampledValue"][0]["value"] for end in ends] == [SIGNED.begin, SIGNED.end]
    assert len(rows(bench)) == 1


@use_case(METER, "Public key of a meter that signs")
async def test_meter_public_key() -> None:
    """Each BootNotification is followed by one DataTransfer with the keys; its answer does not matter."""
    bench = Bench()
    bench.csms.registration, bench.csms.heartbeat_s = "Pending", 10
    await bench.start()
    bench.client.meter_keys = lambda: (MeterKey(connector_id=1, serial="4711", public_key="3059"),)
    bench.csms.answer("DataTransfer", error="InternalError", count=1)
    bench.csms.registration = "Accepted"
    await asyncio.sleep(20)
    (sent_key,) = bench.csms.calls("DataTransfer")
    assert (sent_key["vendorId"], sent_key["messageId"]) == ("generalConfiguration", "setMeterConfiguration")
    assert '"publicKey":"3059"' in sent_key["data"]


# -- power failure ---------------------------------------------------------------------------------------------------------


@use_case(POWER, "Idle")
async def test_power_failure_idle(tmp_path: Path) -> None:
    """A new boot, no transaction messages."""
    bench = await Bench(database=tmp_path / "a.db").start()
    await bench.restart()
    await asyncio.sleep(5)
    assert len(bench.csms.calls("BootNotification")) == 2
    assert order(bench) == []


@pytest.mark.parametrize("online", [True, False])
@use_case(POWER, "While charging, online and offline")
async def test_power_failure_charging(tmp_path: Path, online: bool) -> None:
    """After the boot the transaction is stopped once, with PowerLoss and the last register that was stored."""
    bench = await Bench(database=tmp_path / "a.db").start()
    if not online:
        bench.csms.down()
        await asyncio.sleep(1)
    await bench.begin(register_wh=1000)
    await asyncio.sleep(20)
    point = PointRecord(session_id="s1", wall=bench.clock.wall(), power_w=1, energy_wh=240, meter_wh=1240)
    await bench.store.add_points([point])
    await bench.store.flush()
    await bench.restart()
    bench.csms.up()
    await asyncio.sleep(150)
    (row,) = rows(bench)
    assert (row["stop_reason"], row["meter_stop_wh"]) == ("PowerLoss", 1240)


@use_case(POWER, "After the stop, before it was delivered")
async def test_power_failure_after_stop(tmp_path: Path) -> None:
    """The stop that is stored is delivered as it was, with its own reason and time."""
    bench = await Bench(database=tmp_path / "a.db").start()
    await bench.begin()
    await asyncio.sleep(5)
    bench.csms.down()
    await bench.end(energy_wh=321, reason=StopReason.EV_DISCONNECTED)
    await bench.restart()
    bench.csms.up()
    await asyncio.sleep(150)
    (row,) = rows(bench)
    assert (row["stop_reason"], row["meter_stop_wh"]) == ("EVDisconnected", 1321)


@use_case(POWER, "While a meter that signs has signed the begin only")
async def test_power_failure_signed(tmp_path: Path) -> None:
    """StopTransaction with PowerLoss carries the signed begin; there is no end that somebody could have signed."""
    bench = await Bench(database=tmp_path / "a.db").start()
    await bench.begin(signed=msgspec.structs.replace(SIGNED, end=""))
    await asyncio.sleep(5)
    await bench.restart()
    await asyncio.sleep(10)
    assert signed_contexts(bench) == ["Transaction.Begin"]
    assert rows(bench)[0]["stop_reason"] == "PowerLoss"


@use_case(POWER, "Between the answer of StartTransaction and its storage")
async def test_power_failure_before_number(tmp_path: Path) -> None:
    """StartTransaction comes again with its unique id; the CSMS gives the number that it gave before."""
    bench = await Bench(database=tmp_path / "a.db", call_timeout_s=5).start()
    bench.csms.answer("StartTransaction", lost=True, count=1)
    await bench.begin()
    await asyncio.sleep(1)
    await bench.restart()
    await asyncio.sleep(10)
    (row,) = rows(bench)
    assert (row["transaction_id"], row["stop_reason"], bench.csms.ledger()["repeats"]) == (1, "PowerLoss", 1)


@use_case(POWER, "Again and again while offline")
async def test_power_failure_repeated(tmp_path: Path) -> None:
    """One stop, whatever the number of restarts."""
    bench = await Bench(database=tmp_path / "a.db").start()
    bench.csms.down()
    await bench.begin()
    for _ in range(3):
        await asyncio.sleep(5)
        await bench.restart()
    bench.csms.up()
    await asyncio.sleep(150)
    assert len(rows(bench)) == 1
    assert len(bench.csms.calls("StopTransaction")) == 1
