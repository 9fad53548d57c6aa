"""What the demo's processes leave in their logs: a start, a command and an end without a traceback."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evse.lab.demo_station import DemoStation
from tests.process.conftest import FramesOfProcesses


@pytest.mark.timeout(180)
def test_a_started_used_and_ended_demo_leaves_no_traceback_in_its_logs(
    tmp_path: Path, official_frames: FramesOfProcesses
) -> None:
    async def main() -> None:
        station = DemoStation(tmp_path)
        try:
            await station.start()
            assert (await station.sim({"cmd": "status"}))["ok"]
            assert (await station.api("connector.list"))["items"]
            async with asyncio.timeout(60):
                while (await station.api("ocpp.status"))["registration"] != "Accepted":
                    await asyncio.sleep(0.05)
            wrong = {"cmd": "csms", "action": "send", "message": "TriggerMessage", "payload": {"requestedMessage": "Nonsense"}}
            assert "PropertyConstraintViolation" in (await station.sim(wrong))["error"]
        finally:
            await station.stop()

    asyncio.run(main())
    official_frames.on_purpose.append("csms: call of TriggerMessage")
    assert official_frames.checked >= 6
    for name in ("sim.log", "evsed.log"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "Traceback" not in text and "never retrieved" not in text, f"{name}:\n{text}"
