"""The doctor of a real daemon: nobody listens, then somebody does, and the link comes up because somebody looked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from evse.lab.demo_station import DemoStation, free_port
from tests._support.frames import Watched


async def csms(connection: ServerConnection) -> None:
    now = {"currentTime": "2026-01-01T00:00:00Z"}
    answers = {"BootNotification": {**now, "status": "Accepted", "interval": 300}, "Heartbeat": now}
    watched = Watched(connection)
    async for text in watched:
        kind, unique_id, action, *_ = json.loads(text)
        if kind == 2:
            await watched.send(json.dumps([3, unique_id, answers.get(action, {})]))


@pytest.mark.timeout(180)
def test_the_doctor_names_the_step_and_dials_when_nothing_is_wrong(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        station = DemoStation(tmp_path, csms=f"ws://127.0.0.1:{port}/ocpp/CP-7")
        try:
            await station.start()
            down = await station.api("ocpp.doctor")
            assert (down["failed"], down["live"]) == ("tcp", False), down
            assert "refused" in next(row["detail"] for row in down["items"] if row["name"] == "tcp").lower()
            async with serve(csms, "127.0.0.1", port, subprotocols=["ocpp1.6"]):  # type: ignore[list-item]
                good = await station.api("ocpp.doctor")
                assert good["failed"] == "" and good["url"].endswith("/ocpp/CP-7"), good
                async with asyncio.timeout(60):
                    while not (await station.api("ocpp.status"))["connected"]:
                        await asyncio.sleep(0.05)
                live = await station.api("ocpp.doctor")
                assert live["live"] and live["failed"] == ""
                clock = next(row for row in live["items"] if row["name"] == "clock")
                assert clock["result"] in ("ok", "warning") and clock["facts"]
        finally:
            await station.stop()

    asyncio.run(main())
