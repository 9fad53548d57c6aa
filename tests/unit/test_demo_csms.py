"""``evsectl demo --csms URL``: what becomes of the URL, and of wrong ones."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from evse.config.load import parse_config
from evse.domain.base import ConfigError
from evse.lab.demo_config import DEMO_DC, demo_text
from evse.lab.demo_csms import at_csms, split_csms
from evse.lab.demo_station import DemoStation
from tests._support.frames import Watched


@pytest.mark.parametrize(
    ("url", "base", "name"),
    [
        ("ws://127.0.0.1:9000/DEMO-1", "ws://127.0.0.1:9000", "DEMO-1"),
        ("wss://csms.example.org/ocpp/1.6/DE%2AABC%2A1", "wss://csms.example.org/ocpp/1.6", "DE*ABC*1"),
        ("ws://[::1]:8080/steve/websocket/CentralSystemService/CP1", "ws://[::1]:8080/steve/websocket/CentralSystemService", "CP1"),
    ],
)
def test_the_last_part_is_the_station(url: str, base: str, name: str) -> None:
    assert split_csms(url) == (base, name)


@pytest.mark.parametrize(
    "url", ["http://x/CP1", "ws://127.0.0.1:9000", "ws://127.0.0.1:9000/", "ws:///CP1", "CP1", "ws://x:0/CP1", "ws://x:99999/CP1", "ws://x/CP1?y=1"]
)
def test_a_wrong_url_is_named_with_its_remedy(url: str) -> None:
    with pytest.raises(ConfigError, match="ws://HOST:PORT/PATH/ID"):
        split_csms(url)


@pytest.mark.parametrize("station", [DEMO_DC, "ac-quick"])
def test_the_station_connects_there(station: str, tmp_path: Path) -> None:
    text = at_csms(demo_text(station, str(tmp_path), "239.0.0.1", 1, lambda: 1502), "ws://127.0.0.1:9999/a/DE%2A1")
    config = parse_config(text, "station.toml", check_files=False)
    assert (config.ocpp.url, config.ocpp.charge_point_id, config.ocpp.enabled) == ("ws://127.0.0.1:9999/a", "DE*1", True)


@pytest.mark.timeout(180)
def test_somebody_elses_back_end_gets_the_boot_notification(tmp_path: Path) -> None:
    async def main() -> None:
        booted: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()

        async def csms(connection: ServerConnection) -> None:
            watched = Watched(connection)
            async for text in watched:
                _, unique_id, action, _ = json.loads(text)
                if action == "BootNotification" and not booted.done():
                    assert connection.request is not None
                    booted.set_result((connection.request.path, action))
                now = {"currentTime": "2026-01-01T00:00:00Z"}
                answers = {"BootNotification": {**now, "status": "Accepted", "interval": 300}, "Heartbeat": now}
                await watched.send(json.dumps([3, unique_id, answers.get(action, {})]))

        async with serve(csms, "127.0.0.1", 0, subprotocols=["ocpp1.6"]) as server:  # type: ignore[list-item]
            port = next(iter(server.sockets)).getsockname()[1]
            station = DemoStation(tmp_path, csms=f"ws://127.0.0.1:{port}/mine/CP-7")
            try:
                await station.start()
                assert await asyncio.wait_for(booted, 60) == ("/mine/CP-7", "BootNotification")
            finally:
                await station.stop()

    asyncio.run(main())
