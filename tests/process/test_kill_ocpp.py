"""The real daemon under real SIGKILL, again and again at any moment of a session: the ledger of the back end agrees."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest

from evse.lab.demo_station import DemoStation

PATIENCE_S = 90.0
KILLS = 4


async def _ledger(station: DemoStation) -> dict[str, Any]:
    answer = await station.sim({"cmd": "csms", "action": "ledger"})
    ledger: dict[str, Any] = answer["ledger"]
    return ledger


async def _settled(station: DemoStation) -> dict[str, Any]:
    """Wait until nothing is queued and nothing is open at the back end; return its ledger."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while True:
        status, ledger = await station.api("ocpp.status"), await _ledger(station)
        if status["registration"] == "Accepted" and status["queued"] == 0 and not ledger["open"]:
            return ledger
        assert loop.time() < deadline, f"not settled: {status}, open {ledger['open']}"
        await asyncio.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_sigkill_at_any_moment_of_a_session_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rng = Random(7)

    async def main() -> None:
        station = DemoStation(tmp_path)
        try:
            await station.start()
            for _ in range(KILLS):
                assert (await station.sim({"cmd": "plug_in", "connector": 1, "soc_pct": 20}))["ok"]
                assert (await station.sim({"cmd": "swipe", "token": "04A1B2C3", "reader": "reader1"}))["ok"]
                await asyncio.sleep(rng.uniform(0.3, 6))
                await station.kill_daemon()
                assert (await station.sim({"cmd": "plug_out", "connector": 1, "force": True}))["ok"]
                await station.start_daemon()
            ledger = await _settled(station)
            assert ledger["violations"] == []
            assert len(ledger["transactions"]) >= 2
            items = (await station.api("session.list", {"limit": 100}))["items"]
            here = {
                s["transaction_id"]: (s["meter_start_wh"], s["meter_stop_wh"], s["id_token"]) for s in items if s["started_at"] is not None
            }
            there = {
                t["transaction_id"]: (t["meter_start_wh"], t["meter_stop_wh"], t["id_token"]) for t in ledger["transactions"]
            }
            assert here == there
            assert all(t["stop_reason"] == "PowerLoss" for t in ledger["transactions"])
        finally:
            await station.stop()

    asyncio.run(main())
