"""The service manager stops the real daemon while a car charges: the transaction ends with all its energy, and as what it was."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from evse.lab.demo_station import DemoStation
from tests.process.conftest import FramesOfProcesses


async def _transaction(station: DemoStation) -> dict[str, Any]:
    (row,) = (await station.sim({"cmd": "csms", "action": "ledger"}))["ledger"]["transactions"]
    found: dict[str, Any] = row
    return found


@pytest.mark.timeout(180)
def test_sigterm_while_charging_ends_the_transaction_at_once_and_loses_no_energy(
    tmp_path: Path, official_frames: FramesOfProcesses
) -> None:
    async def main() -> None:
        station = DemoStation(tmp_path)
        try:
            await station.start()
            assert (await station.sim({"cmd": "plug_in", "connector": 1, "soc_pct": 20}))["ok"]
            assert (await station.sim({"cmd": "swipe", "token": "04A1B2C3", "reader": "reader1"}))["ok"]
            async with asyncio.timeout(60):
                while True:
                    session = (await station.api("connector.list"))["items"][0]["session"]
                    if session is not None and session["energy_wh"] > 60:
                        break
                    await asyncio.sleep(0.05)
            assert station.daemon is not None
            station.daemon.terminate()
            assert await asyncio.wait_for(station.daemon.wait(), 30) == 0
            await station.start_daemon()
            async with asyncio.timeout(60):
                while (await _transaction(station))["stopped"] is None or (await station.api("ocpp.status"))["queued"]:
                    await asyncio.sleep(0.1)
            row = await _transaction(station)
            assert row["stop_reason"] == "Reboot"
            assert row["meter_stop_wh"] >= session["energy_wh"], "nothing of what was shown before is lost"
            (kept,) = (await station.api("session.list", {"limit": 9}))["items"]
            assert (kept["meter_stop_wh"], kept["stop_reason"]) == (row["meter_stop_wh"], "Reboot")
            assert "cut by power loss" not in (tmp_path / "evsed.log").read_text()
        finally:
            await station.stop()

    asyncio.run(main())
    assert official_frames.checked >= 20, "the frames of both daemons were looked at"
