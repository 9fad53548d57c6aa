"""What the kill harness (tests/ocpp_kill) has found, each as small as it can be told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from evse.domain.readings import MeterValues
from evse.ocpp.messages import parse_timestamp
from evse.units import NS_PER_S
from tests.ocpp.support import Bench, under_virtual_time
from tests.ocpp.test_queue_backends import _late_bench
from tests.ocpp_kill.executor import LaggingExecutor


def test_a_link_that_ends_while_the_number_is_written_does_not_hide_it_from_the_core() -> None:
    """The storage thread carries a job out although the link's task, which waited for it, is gone (seed 1211)."""

    async def main() -> None:
        bench = await Bench().start()
        bench.csms.tokens["CARD1"] = "Blocked"
        bench.store._executor = LaggingExecutor(Random(3), 2.0)
        real = bench.store.outbox_started
        calls: list[Any] = []

        async def started(*arguments: Any) -> None:
            if not calls:
                asyncio.get_running_loop().call_later(0.001, bench.csms.down)
            calls.append(arguments)
            await real(*arguments)

        bench.store.outbox_started = started  # type: ignore[method-assign]
        await bench.begin()
        await asyncio.sleep(15)
        bench.csms.up()
        await asyncio.sleep(150)
        stored = await bench.store.session("s1")
        assert stored is not None
        assert stored.transaction_id == 1
        assert bench.station.numbered == {"s1": (1, False)}
        assert bench.csms.ledger()["repeats"] == 0

    under_virtual_time(main)


def test_a_link_that_ends_while_the_card_is_written_does_not_hide_the_number_from_the_core() -> None:
    async def main() -> None:
        bench = await Bench().start()
        real = bench.store.cache_put

        async def slow(*arguments: Any) -> None:
            bench.csms.down()
            await asyncio.sleep(1)
            await real(*arguments)

        bench.store.cache_put = slow  # type: ignore[method-assign]
        await bench.begin()
        await asyncio.sleep(5)
        assert bench.station.numbered == {"s1": (1, True)}

    under_virtual_time(main)


def test_a_triggered_reading_of_a_transaction_does_not_overtake_its_queue() -> None:
    """Else the CSMS sees the register fall, and a power cut may end the session below what it was told (seed 1012)."""

    async def main() -> None:
        bench = await Bench(sample_interval_s=10, call_timeout_s=5).start()
        await bench.begin(register_wh=1000)
        await asyncio.sleep(1)
        bench.csms.answer("MeterValues", silence=True, count=1)
        await asyncio.sleep(10)
        evse = bench.station.evses[1]
        session = evse.session
        assert session is not None
        bench.station.change(1, session=msgspec.structs.replace(session, energy_wh=700))
        bench.station.meters[1] = MeterValues(power_w=50_000, energy_import_wh=1700, voltage_mv=400_000, current_ma=125_000)
        trigger = {"requestedMessage": "MeterValues", "connectorId": 1}
        assert await bench.csms.call("TriggerMessage", trigger) == {"status": "Accepted"}
        await asyncio.sleep(120)
        assert bench.csms.ledger()["violations"] == []
        sent = [c for c in bench.csms.calls("MeterValues") if c["meterValue"][0]["sampledValue"][0]["context"] == "Trigger"]
        assert [c.get("transactionId") for c in sent] == [1]
        last = await bench.store.last_point("s1")
        assert last is not None
        assert last.meter_wh == 1700
        await bench.end(energy_wh=700)
        await asyncio.sleep(5)
        assert bench.csms.ledger()["open"] == []

    under_virtual_time(main)


def test_a_reading_triggered_while_pending_goes_alone() -> None:
    async def main() -> None:
        bench = Bench()
        bench.csms.registration = "Pending"
        await bench.start()
        await bench.begin()
        await bench.csms.call("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1})
        await asyncio.sleep(1)
        (sent,) = bench.csms.calls("MeterValues")
        assert "transactionId" not in sent
        assert bench.csms.calls("StartTransaction") == []

    under_virtual_time(main)


def test_a_stop_with_valid_time_bounds_the_time_of_a_start_without(tmp_path: Path) -> None:
    """The clock was set within a transaction, and the power went before the records were put right (seed 423)."""

    async def main() -> None:
        bench, clock = await _late_bench(tmp_path)
        true_start = clock.wall() + clock.behind
        await bench.begin()
        await asyncio.sleep(30)
        clock.behind = 0
        await bench.end()
        await bench.kill()
        clock.behind = clock.wall() - 5 * NS_PER_S  # 1970 again
        await asyncio.sleep(500)
        await bench.start()
        clock.behind = 0
        bench.csms.up()
        await asyncio.sleep(150)
        ledger = bench.csms.ledger()
        assert ledger["violations"] == []
        (row,) = ledger["transactions"]
        assert true_start <= (parse_timestamp(row["started"]) or 0) <= (parse_timestamp(row["stopped"]) or 0)
        assert "1970" not in str(bench.csms.calls("StopTransaction"))

    under_virtual_time(main)
