"""What the demo's processes leave in their logs: a start, a command and an end without a traceback."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evse.lab.demo_station import DemoStation


@pytest.mark.timeout(180)
def test_a_started_used_and_ended_demo_leaves_no_traceback_in_its_logs(tmp_path: Path) -> None:
    async def main() -> None:
        station = DemoStation(tmp_path)
        try:
            await station.start()
            assert (await station.sim({"cmd": "status"}))["ok"]
            assert (await station.api("connector.list"))["items"]
        finally:
            await station.stop()

    asyncio.run(main())
    for name in ("sim.log", "evsed.log"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "Traceback" not in text and "never retrieved" not in text, f"{name}:\n{text}"
