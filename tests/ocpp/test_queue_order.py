"""The order of transaction messages under random refusals, resends by people, boots, lost links and power cuts.

The law: messages of one session never reach the CSMS out of order, not even refused ones; sessions keep their order too,
except those of which a message was parked. The rows are promised by the database itself (triggers), not by our code.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest

from evse.domain.readings import MeterValues
from evse.domain.records import ASIDE
from evse.domain.session import SessionPhase
from evse.sim import csms as sim
from tests._support.examples import examples
from tests.ocpp.support import Bench, under_virtual_time

METER = "MeterValues"
TRIGGERS = """
CREATE TABLE IF NOT EXISTS promised (row_id INTEGER, unique_id TEXT PRIMARY KEY, session_id TEXT, action TEXT);
CREATE TABLE IF NOT EXISTS was_parked (session_id TEXT);
CREATE TRIGGER IF NOT EXISTS promise AFTER INSERT ON outbox
  BEGIN INSERT INTO promised VALUES (new.row_id, new.unique_id, new.session_id, new.action); END;
CREATE TRIGGER IF NOT EXISTS parking AFTER UPDATE OF parked ON outbox WHEN new.parked <> ''
  BEGIN INSERT INTO was_parked VALUES (new.session_id); END;
"""


class Refusing:
    """A CSMS that refuses some messages a few times and some readings for ever; it notes everything that reaches it."""

    def __init__(self, rng: Random, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arrived: list[str] = []
        self.accepted: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.well = False
        self.share = rng.choice((0.15, 0.5, 0.9))
        real = sim._Link._answer
        left: dict[str, int] = {}

        async def answer(link: Any, unique_id: str, action: str, payload: Any) -> None:
            if action in ("StartTransaction", METER, "StopTransaction"):
                self.arrived.append(unique_id)
                if unique_id not in left:
                    for_ever = action == METER and rng.random() < 0.1
                    left[unique_id] = 1 << 30 if for_ever else rng.choice((1, 2, 3, 5)) if rng.random() < self.share else 0
                if left[unique_id] > (1000 if self.well else 0):
                    left[unique_id] -= 1
                    self.refused[unique_id] = self.refused.get(unique_id, 0) + 1
                    link._csms.answer(action, error="InternalError", count=1)
                else:
                    self.accepted[unique_id] = self.accepted.get(unique_id, 0) + 1
            await real(link, unique_id, action, payload)

        monkeypatch.setattr(sim._Link, "_answer", answer)


async def live(bench: Bench, rng: Random) -> None:
    """Something happens."""
    evse_id = rng.choice((1, 2))
    evse = bench.station.evses[evse_id]
    match rng.choice(("plug", "plug", "plug", "resend", "resend one", "boot", "drop", "power", "nothing")):
        case "plug":
            if evse.session is None:
                await bench.begin(evse_id)
            elif evse.phase is SessionPhase.CHARGING:
                await bench.end(evse_id)
            else:
                await bench.leave(evse_id)
        case "resend":
            await bench.client.queue.resend()
        case "resend one":
            if shown := await bench.client.queue.rows(100):
                await bench.client.queue.resend(rng.choice(shown).row.row_id)
        case "boot":
            bench.csms.answer("Heartbeat", error="InternalError", count=1)  # a CSMS that wants a boot
            bench.openers.sockets[-1].end(clean=False, detail="test")
        case "drop":
            bench.openers.sockets[-1].end(clean=False, detail="test")
        case "power":
            await bench.restart()


async def well_again(bench: Bench, csms: Refusing) -> None:
    csms.well = True
    bench.csms._scripts.clear()
    for evse_id in (1, 2):
        if bench.station.evses[evse_id].phase is SessionPhase.CHARGING:
            await bench.end(evse_id)
    await asyncio.sleep(3700)  # nobody does anything: parked sessions are tried again
    for _ in range(40):
        if not bench.client.summary().queued:
            break
        await bench.client.queue.resend()
        await asyncio.sleep(60)


@pytest.mark.parametrize("seed", range(examples(5, 2)))
def test_no_session_is_told_out_of_order_and_nothing_is_lost(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = Random(seed)
    csms = Refusing(rng, monkeypatch)

    async def main() -> None:
        bench = await Bench(database=tmp_path / "a.db", sample_interval_s=30, ping_s=3600, seed=seed).start()
        bench.store._db.executescript(TRIGGERS)
        await bench.client.set_key("TransactionMessageAttempts", "2")
        await bench.client.set_key("TransactionMessageRetryInterval", "5")
        for _ in range(50):
            await live(bench, rng)
            bench.station.meters |= dict.fromkeys((1, 2), MeterValues(power_w=50_000, energy_import_wh=1200))
            await asyncio.sleep(rng.choice((1, 20, 90)))
        await well_again(bench, csms)
        db = bench.store._db
        promised = {uid: (row, session, action) for row, uid, session, action in db.execute("SELECT * FROM promised")}
        parked = {session for (session,) in db.execute("SELECT session_id FROM was_parked")}
        left = await bench.store.outbox_rows(1000)
        await bench.kill()

        last: dict[str, int] = {}
        for unique_id in csms.arrived:
            row, session, _ = promised[unique_id]
            assert row >= last.get(session, 0), f"{session} goes back from row {last[session]} to {row}"
            last[session] = row
        others = [promised[uid][0] for uid in csms.arrived if promised[uid][1] not in parked]
        assert others == sorted(others)
        assert len(promised) > 40 and len({session for _, session, _ in promised.values()}) > 5

        aside = {row.unique_id for row in left}
        assert all(row.action == METER and row.parked.startswith(ASIDE) for row in left), left
        assert all(csms.refused[uid] >= 2 for uid in aside)
        assert {uid for uid in promised if uid not in csms.accepted} == aside  # delivered, or kept for people to see

    under_virtual_time(main)


def test_a_reading_that_is_refused_for_ever_holds_its_stop_for_an_hour_and_the_next_ones_no_more() -> None:
    async def main() -> None:
        bench = await Bench(sample_interval_s=600).start()
        await bench.client.set_key("TransactionMessageRetryInterval", "1")
        bench.csms.answer(METER, error="InternalError")
        await bench.begin()  # its Transaction.Begin is refused
        await asyncio.sleep(0.2)
        await bench.end()
        await asyncio.sleep(60)
        shown = await bench.client.queue.rows(10)
        assert [(entry.row.action, entry.state, entry.row.attempts) for entry in shown] == [
            (METER, "parked", 3), ("StopTransaction", "parked", 0)]
        assert shown[1].row.parked == "waits behind the parked MeterValues of its session"
        await bench.leave()
        await bench.begin(2)  # another session: goes on
        await asyncio.sleep(3400)
        assert len(bench.csms.calls("StopTransaction")) == 0
        await asyncio.sleep(300)
        assert len(bench.csms.calls("StopTransaction")) == 1
        await bench.end(2)
        await asyncio.sleep(60)
        assert len(bench.csms.calls("StopTransaction")) == 2  # it is known now that this CSMS wants no readings
        shown = await bench.client.queue.rows(100)
        assert {(entry.row.action, entry.state) for entry in shown} == {(METER, "aside")}
        assert (bench.client.summary().queued, bench.client.summary().parked) == (0, 0)
        assert await bench.client.queue.resend() == 0
        assert await bench.client.queue.resend(shown[0].row.row_id) == 0
        await bench.restart()
        await asyncio.sleep(3700)
        assert len(bench.csms.ledger()["violations"]) == 0

    under_virtual_time(main)
