"""Nothing of a transaction is lost, doubled or out of order: offline, late, refused, killed anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from evse.domain.records import PointRecord
from evse.domain.session import StopReason
from tests.ocpp.support import Bench, under_virtual_time


def rows(bench: Bench) -> list[dict[str, Any]]:
    """Transactions of the ledger; no law of delivery was broken."""
    ledger = bench.csms.ledger()
    assert ledger["violations"] == []
    return list(ledger["transactions"])


def test_start_meter_stop_online() -> None:
    async def main() -> None:
        bench = await Bench(sample_interval_s=60).start()
        await bench.begin(register_wh=1000)
        await asyncio.sleep(150)
        assert bench.station.numbered == {"s1": (1, True)}
        await bench.end(energy_wh=700)
        await asyncio.sleep(1)
        (row,) = rows(bench)
        assert (row["meter_start_wh"], row["meter_stop_wh"], row["id_token"]) == (1000, 1700, "CARD1")
        assert row["stop_reason"] == "Local"
        assert row["meter_values"] == 3  # begin, and two samples
        stop = bench.csms.calls("StopTransaction")[0]
        assert [entry["sampledValue"][0]["context"] for entry in stop["transactionData"]] == [
            "Transaction.Begin", "Sample.Periodic", "Sample.Periodic", "Transaction.End",
        ]
        kept = await bench.store.session("s1")
        assert kept is not None
        assert kept.transaction_id == 1
        assert bench.client.summary().queued == 0

    under_virtual_time(main)


def test_a_whole_session_offline_is_delivered_in_order_with_its_number() -> None:
    async def main() -> None:
        bench = await Bench(sample_interval_s=60).start()
        bench.csms.down()
        await asyncio.sleep(1)
        for register in (1000, 5000):
            await bench.begin(register_wh=register)
            await asyncio.sleep(200)
            await bench.end()
            await bench.leave()
        await asyncio.sleep(0.1)
        assert bench.client.summary().queued == 2 * (1 + 4 + 1)
        bench.csms.up()
        await asyncio.sleep(200)
        kinds = ("StartTransaction", "MeterValues", "StopTransaction")
        delivered = [action for action, _ in bench.csms.received if action in kinds]
        assert delivered == (["StartTransaction", *["MeterValues"] * 4, "StopTransaction"]) * 2
        assert [(row["meter_start_wh"], row["meter_values"]) for row in rows(bench)] == [(1000, 4), (5000, 4)]
        assert bench.client.summary().queued == 0

    under_virtual_time(main)


def test_two_connectors_interleave_without_mixing_numbers() -> None:
    async def main() -> None:
        bench = await Bench(sample_interval_s=30).start()
        bench.csms.answer("StartTransaction", delay_ms=20_000)
        await bench.begin(1, id_token="A", register_wh=10)
        await bench.begin(2, id_token="B", register_wh=20)
        await asyncio.sleep(65)
        await bench.end(1)
        await bench.end(2)
        await asyncio.sleep(60)
        found = {row["id_token"]: (row["connector_id"], row["meter_start_wh"]) for row in rows(bench)}
        assert found == {"A": (1, 10), "B": (2, 20)}
        assert bench.csms.ledger()["open"] == []

    under_virtual_time(main)


def test_lost_answer_repeats_the_same_message_with_the_same_id() -> None:
    async def main() -> None:
        bench = await Bench(call_timeout_s=5).start()
        bench.csms.answer("StartTransaction", lost=True, count=1)
        await bench.begin()
        await asyncio.sleep(120)
        await bench.end()
        await asyncio.sleep(60)
        ledger = bench.csms.ledger()
        assert (len(rows(bench)), ledger["repeats"]) == (1, 1)
        first, second = bench.csms.calls("StartTransaction")
        assert first == second

    under_virtual_time(main)


def test_late_answer_after_the_deadline_is_harmless() -> None:
    async def main() -> None:
        bench = await Bench(call_timeout_s=5).start()
        bench.csms.answer("StartTransaction", delay_ms=8_000, count=1)
        await bench.begin()
        await asyncio.sleep(200)
        await bench.end()
        await asyncio.sleep(60)
        assert rows(bench)[0]["stopped"] is not None
        assert bench.client.summary().queued == 0

    under_virtual_time(main)


@pytest.mark.parametrize("garbage", [
    "", "null", "[]", "[3]", "{", '[3,"{id}"]', '[3,"{id}",null]', '[3,"{id}",{"transactionId":"x","idTagInfo":{}}]',
    '[3,"other",{"transactionId":5,"idTagInfo":{"status":"Accepted"}}]', '[4,"{id}"]', '[4,"{id}","NoSuchCode",5,6]',
    '[3,"{id}",{"transactionId":99999999999999999999,"idTagInfo":{"status":"Accepted"}}]',
    '[9,"{id}",{}]', "\ud7ff" * 10,
])
def test_garbage_instead_of_an_answer_loses_nothing(garbage: str) -> None:
    async def main() -> None:
        bench = await Bench(call_timeout_s=5).start()
        bench.csms.answer("StartTransaction", garbage=garbage, count=2)
        await bench.begin()
        await asyncio.sleep(400)
        await bench.end()
        await asyncio.sleep(60)
        assert [row["meter_stop_wh"] for row in bench.csms.ledger()["transactions"]] == [1500]
        assert bench.client.summary().queued == 0
        assert bench.client.online

    under_virtual_time(main)


def test_refused_message_is_parked_after_the_attempts_and_kept_until_a_new_boot() -> None:
    async def main() -> None:
        bench = await Bench(database=":memory:").start()
        await bench.client.set_key("TransactionMessageAttempts", "2")
        await bench.client.set_key("TransactionMessageRetryInterval", "10")
        bench.csms.answer("StartTransaction", error="InternalError", count=2)
        await bench.begin(1, id_token="BAD")
        await bench.begin(2, id_token="GOOD")
        await bench.end(1)
        await asyncio.sleep(5)
        assert len(bench.csms.calls("StartTransaction")) == 1  # waits, and so does everything behind it
        await asyncio.sleep(60)
        assert [row["id_token"] for row in rows(bench)] == ["GOOD"]
        summary = bench.client.summary()
        assert (summary.queued, summary.parked) == (2, 2)
        stored = await bench.store.outbox_rows()
        assert stored[0].parked.startswith("InternalError")
        assert stored[1].parked == "waits behind the parked StartTransaction of its session"
        bench.csms.answer("Heartbeat", error="InternalError", count=1)  # the CSMS wants a boot
        bench.openers.sockets[-1].end(clean=False, detail="test")
        await asyncio.sleep(30)
        assert sorted(row["id_token"] for row in rows(bench)) == ["BAD", "GOOD"]
        assert bench.client.summary().queued == 0

    under_virtual_time(main)


def test_silent_csms_is_no_refusal_but_silence_for_one_message_is() -> None:
    async def main() -> None:
        bench = await Bench(call_timeout_s=5, heartbeat_s=20).start()
        bench.csms.heartbeat_s = 20
        await bench.client.set_key("TransactionMessageRetryInterval", "15")
        await bench.client.set_key("HeartbeatInterval", "86400")
        bench.csms.answer("StartTransaction", silence=True)
        await bench.begin()
        await asyncio.sleep(600)
        assert bench.client.summary().parked == 0
        await bench.client.set_key("HeartbeatInterval", "7")
        await asyncio.sleep(600)
        assert bench.client.summary().parked == 2  # the start and its begin; others were answered

    under_virtual_time(main)


def test_refused_card_after_an_offline_start_reaches_the_core() -> None:
    async def main() -> None:
        bench = await Bench().start()
        bench.csms.tokens["CARD1"] = "Blocked"
        await bench.begin()
        await asyncio.sleep(1)
        assert bench.station.numbered == {"s1": (1, False)}
        cached = await bench.store.cache_get("card1")
        assert cached is not None
        assert cached.status == "Blocked"
        await bench.client.set_key("StopTransactionOnInvalidId", "false")
        await bench.end()
        await bench.begin()
        await asyncio.sleep(1)
        assert bench.station.numbered["s2"] == (2, True)

    under_virtual_time(main)


class Killed(Exception):
    """The process ends here."""


class KillingStore:
    """Ends the process before or after its n-th durable call."""

    def __init__(self, inner: Any, at: int, *, after: bool) -> None:
        self._inner = inner
        self._left = at
        self._after = after
        self.killed = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Awaitable[Any]] = getattr(self._inner, name)
        if not name.startswith(("outbox_", "begin_", "end_", "add_points")):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left > 0:
                return await method(*args, **kwargs)
            if self._left == 0 and self._after:
                await method(*args, **kwargs)
            self.killed.set()
            raise Killed

        return call


@pytest.mark.parametrize("after", [False, True])
def test_kill_at_any_durable_step_loses_and_doubles_nothing(tmp_path: Path, after: bool) -> None:
    """One session, killed at its n-th store call for n = 1.. until no kill happens any more; then a second session."""

    async def one(n: int) -> bool:
        bench = await Bench(database=tmp_path / f"kill{n}.db", sample_interval_s=30).start()
        store = KillingStore(bench.store, n, after=after)
        killed = False

        async def life() -> None:
            session = await bench.begin()
            await asyncio.sleep(40)
            point = PointRecord(session_id="s1", wall=bench.clock.wall(), power_w=1, energy_wh=200, meter_wh=1200)
            await bench.store.add_points([point])
            await bench.store.flush()
            await asyncio.sleep(40)
            assert session.session_id == "s1"
            await bench.end()
            await asyncio.sleep(40)

        real = bench.store
        bench.store = store  # type: ignore[assignment]
        bench.client.queue._store = store
        bench.client._readings._store = store
        work = asyncio.get_running_loop().create_task(life())
        watch = asyncio.get_running_loop().create_task(store.killed.wait())
        await asyncio.wait([work, watch], return_when=asyncio.FIRST_COMPLETED)
        killed = store.killed.is_set()
        for task in (work, watch):
            task.cancel()
        await asyncio.gather(work, watch, return_exceptions=True)
        bench.store = real
        await bench.restart()
        await asyncio.sleep(60)
        stored = await bench.store.session("s1")
        transactions = rows(bench)
        if stored is None:
            assert transactions == []  # the start was not durable: no energy, no transaction
        else:
            (row,) = transactions
            assert row["transaction_id"] == stored.transaction_id
            assert stored.ended_at is not None
            assert row["stop_reason"] in ("Local", "PowerLoss")
            assert (row["meter_stop_wh"], row["meter_start_wh"]) == (stored.meter_stop_wh, 1000)
            if row["stop_reason"] == "PowerLoss":
                assert stored.stop_reason is StopReason.POWER_LOSS
                assert row["meter_stop_wh"] in (1000, 1200)
        bench.sessions = 10
        await bench.begin(register_wh=9000)
        await asyncio.sleep(5)
        await bench.end()
        await asyncio.sleep(5)
        assert rows(bench)[-1]["meter_stop_wh"] == 9500
        assert bench.csms.ledger()["open"] == []
        assert bench.client.summary().queued == 0
        await bench.kill()
        return killed

    kills = 0

    async def main() -> None:
        nonlocal kills
        n = 1
        while await one(n):
            n += 1
        kills = n - 1

    under_virtual_time(main)
    assert kills >= 12


def test_restarts_while_offline_send_one_stop(tmp_path: Path) -> None:
    """Queue and session table are not replayed against each other."""

    async def main() -> None:
        bench = await Bench(database=tmp_path / "station.db").start()
        await bench.begin()
        await asyncio.sleep(1)
        bench.csms.down()
        for _ in range(3):
            await bench.restart()
        bench.csms.up()
        await asyncio.sleep(300)
        assert len(bench.csms.calls("StopTransaction")) == 1
        (row,) = rows(bench)
        assert row["stop_reason"] == "PowerLoss"

    under_virtual_time(main)
