"""The real daemon on real sockets is led to wrong addresses and wrong passwords, and is never locked out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from evse.lab.demo_station import DemoStation, free_port
from evse.runtime.clock import RealClock
from evse.sim.csms import SimCsms
from evse.sim.csms_security import CsmsSecurity

KEY_1, KEY_2 = "first key of the CSMS", "another key of the CSMS"
NAME = "DEMO-1"
PATIENCE_S = 60.0


async def _reached(station: DemoStation, good: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    """Wait until link and security are as ``good`` wants them; return both in one row."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while True:
        row = {**await station.api("ocpp.status"), "security": await station.api("ocpp.security")}
        if good(row):
            return row
        assert loop.time() < deadline, f"not within {PATIENCE_S:g} s: {what}: {row}"
        await asyncio.sleep(0.1)


def _home(row: dict[str, Any]) -> bool:
    return bool(row["connected"] and row["registration"] == "Accepted" and row["target"] == "active" and not row["security"]["staged"])


async def _given_up(station: DemoStation, url: str) -> str:
    """Wait until the station is back and says that ``url`` was given up; return why."""
    row = await _reached(station, lambda row: _home(row) and row["security"]["given_up"], f"back from {url}")
    assert row["security"]["given_up"]["url"] == url, row
    return str(row["security"]["given_up"]["error"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wrong_addresses_and_passwords_fall_back_also_over_a_kill(tmp_path: Path) -> None:
    async def nothing_here(_connection: ServerConnection, _request: Request) -> Response:
        return Response(HTTPStatus.NOT_FOUND, "Not Found", Headers())

    async def never(_connection: ServerConnection) -> None: ...

    async def main() -> None:
        first, second = SimCsms(RealClock()), SimCsms(RealClock())
        back_end = CsmsSecurity(first)
        home = f"ws://127.0.0.1:{await first.listen('127.0.0.1', 0)}/ocpp"
        other = f"ws://127.0.0.1:{await second.listen('127.0.0.1', 0)}/new"
        station = DemoStation(tmp_path, csms=f"{home}/{NAME}")
        try:
            await station.start()
            await _reached(station, _home, "profile 0")

            nobody = f"ws://127.0.0.1:{free_port()}/ocpp"
            assert await back_end.set_key("CentralSystemURI", nobody) == "Accepted"
            assert "refused" in (await _given_up(station, nobody)).lower()

            async with serve(never, "127.0.0.1", 0, process_request=nothing_here) as website:
                wrong = f"ws://127.0.0.1:{next(iter(website.sockets)).getsockname()[1]}"
                assert await back_end.set_key("CentralSystemURI", wrong) == "Accepted"
                assert "404" in await _given_up(station, wrong)

            assert await back_end.set_key("AuthorizationKey", KEY_1) == "Accepted"
            assert await back_end.set_key("SecurityProfile", "1") == "Accepted"
            back_end.passwords[NAME] = {KEY_1.encode()}
            row = await _reached(station, lambda row: _home(row) and row["security"]["profile"] == 1, "profile 1")
            assert row["security"]["key_set"]

            assert await back_end.set_key("AuthorizationKey", KEY_2) == "Accepted"  # and forgets to take it itself
            row = await _reached(station, lambda row: row["connected"] and row["security"]["staged"]["tries"], "refused, and back")
            assert "401" in row["security"]["staged"]["last_error"]
            await station.kill_daemon()
            await station.start_daemon()
            await _reached(station, lambda row: row["connected"] and row["registration"] == "Accepted", "after the kill")
            back_end.passwords[NAME] = {KEY_2.encode()}
            await station.api("ocpp.reconnect")
            await _reached(station, _home, "with the new password")

            assert await back_end.set_key("CentralSystemURI", nobody) == "Accepted"
            await station.kill_daemon()  # in the middle of the trial
            await station.start_daemon()
            assert "refused" in (await _given_up(station, nobody)).lower()

            assert await back_end.set_key("CentralSystemURI", other) == "Accepted"
            await _reached(station, lambda row: _home(row) and row["url"].startswith(other), "moved")
            assert second.calls("BootNotification") and first.violations == second.violations == []
            await station.kill_daemon()
            await station.start_daemon()
            await _reached(station, lambda row: _home(row) and row["url"].startswith(other), "moved for good")
            assert KEY_1 not in (text := (tmp_path / "evsed.log").read_text()) and KEY_2 not in text
        finally:
            await station.stop()
            await first.close()
            await second.close()

    asyncio.run(main())
