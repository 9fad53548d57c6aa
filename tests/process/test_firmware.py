"""A firmware update from the bundled back end, with real processes, a real FTP server and a real restart."""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from evse.lab.demo_station import DemoStation

PATIENCE_S = 60.0


async def _until(question: Callable[[], Awaitable[Any]], what: str) -> Any:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not (answer := await question()):
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{what}: not within {PATIENCE_S:.0f} s")
        await asyncio.sleep(0.2)
    return answer


@pytest.mark.timeout(300)
def test_the_demo_updates_itself_over_ftp_and_sends_its_logs_over_http(tmp_path: Path) -> None:
    async def main() -> None:
        station = DemoStation(tmp_path)
        try:
            await station.start()

            async def sent(action: str, status: str) -> bool:
                items = (await station.api("ocpp.messages", {"limit": 500}))["items"]
                return any(row["action"] == action and f'"{status}"' in row["payload"] for row in items)

            async def online() -> bool:
                return bool((await station.api("ocpp.status"))["registration"] == "Accepted")

            await _until(online, "online")
            answer = await station.sim({"cmd": "update_firmware", "version": "0.2.0", "protocol": "ftp", "size_kib": 2048})
            assert answer["ok"], answer

            async def restarted() -> bool:
                return station.restarts == 1

            await _until(restarted, "the daemon restarts into the new version")

            async def installed() -> bool:
                return await sent("FirmwareStatusNotification", "Installed")

            await _until(installed, "Installed")
            items = (await station.api("ocpp.messages", {"limit": 500}))["items"]
            assert any(row["action"] == "BootNotification" and '"0.2.0"' in row["payload"] for row in items)
            assert list((tmp_path / "data" / "transfers").iterdir()) == []

            answer = await station.sim({"cmd": "get_log", "kind": "diagnostics", "protocol": "http"})
            assert answer["ok"], answer

            async def uploaded() -> bool:
                return await sent("DiagnosticsStatusNotification", "Uploaded")

            await _until(uploaded, "Uploaded")
            saved = await station.sim({"cmd": "files", "save": str(tmp_path / "saved")})
            bundle = next(Path(name) for name in saved["saved"])
            with tarfile.open(bundle) as archive:
                names = archive.getnames()
                daemon = archive.extractfile("daemon.log")
                assert daemon is not None
                text = daemon.read().decode()
            assert {"about.json", "station.toml", "events.ndjson", "ocpp.ndjson"} <= set(names)
            assert "demo%20pass" not in text
            assert "firmware" in text
        finally:
            await station.stop()

    asyncio.run(main())
