"""The real processes: simulator and daemon on ptys, CAN over UDP multicast, a WebSocket. Few tests, generous deadlines."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from evse.lab.demo_config import TEMPLATE
from evse.lab.demo_station import DemoStation
from evse.sim.curves import load_cars

PATIENCE_S = 60.0


async def _until(question: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Ask until the answer is true; the deadline is generous because the machine may be busy."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        answer = await question()
        if answer:
            return answer
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{what}: not within {PATIENCE_S:.0f} s")
        await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
def test_kill_9_during_a_session_ends_it_once_with_power_loss_and_the_next_one_works(tmp_path: Path) -> None:
    async def main() -> None:
        station = DemoStation(tmp_path)
        try:
            await station.start()

            async def evse() -> dict[str, Any]:
                items = (await station.api("connector.list"))["items"]
                return next(e for e in items if e["evse_id"] == 1)

            async def charging() -> bool:
                e = await evse()
                return (e["power_w"] or 0) > 5_000 and e["session"]["energy_wh"] > 0 and e["session"]["transaction_id"] is not None

            assert (await station.sim({"cmd": "plug_in", "connector": 1, "soc_pct": 20}))["ok"]
            assert (await station.sim({"cmd": "swipe", "token": "04A1B2C3", "reader": "reader1"}))["ok"]
            await _until(charging, "charging")
            before = (await evse())["session"]
            await station.kill_daemon()

            async def dropped() -> bool:
                status = await station.sim({"cmd": "status"})
                return status["connectors"][0]["contactor"] == "open"

            await _until(dropped, "the board opens by itself")
            assert (await station.sim({"cmd": "plug_out", "connector": 1, "force": True}))["ok"]
            await station.start_daemon()

            async def ledger() -> dict[str, Any] | None:
                answer = await station.sim({"cmd": "csms", "action": "ledger"})
                rows = [r for r in answer["ledger"]["transactions"] if r["transaction_id"] == before["transaction_id"]]
                return answer["ledger"] if rows and rows[0].get("stop_reason") else None

            book = await _until(ledger, "StopTransaction at the back end")
            row = next(r for r in book["transactions"] if r["transaction_id"] == before["transaction_id"])
            assert row["stop_reason"] == "PowerLoss"
            assert book["violations"] == []
            stored = (await station.api("session.get", {"session_id": before["session_id"]}))["session"]
            assert stored["stop_reason"] == "PowerLoss"

            assert (await station.sim({"cmd": "plug_in", "connector": 1, "soc_pct": 20, "stop_energy_wh": 50}))["ok"]
            await asyncio.sleep(0.5)
            assert (await station.sim({"cmd": "swipe", "token": "04A1B2C3", "reader": "reader1"}))["ok"]

            async def finished() -> bool:
                return bool((await evse())["phase"] == "finished")

            await _until(finished, "the next session")
        finally:
            await station.stop()

    asyncio.run(main())


@pytest.mark.parametrize("module", ["evse.runtime", "evse.sim"])
def test_a_wrong_configuration_is_refused_with_every_problem(tmp_path: Path, module: str) -> None:
    path = tmp_path / "station.toml"
    path.write_text(
        '[station]\nid = "X"\ncolour = "red"\n\n[site]\nlimit_kw = 60\n\n[site.meter]\nprofile = "eastron/sdm631"\nport = "/dev/ttyS1"\n\n'
        '[[evse]]\nid = 1\nboard.port = "/dev/ttyS0"\n\n[[evse]]\nid = 2\nboard.port = "/dev/ttyS0"\n',
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", module, "--config", str(path)], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (2, 9)
    text = done.stderr + done.stdout
    for words in (("colour", ":3"), ("limit_kw", ":6", "limit_w"), ("sdm631", ":9", "sdm630"), ("/dev/ttyS0", ":18")):
        assert all(word in text for word in words), (words, text)


def test_faults_of_the_simulator_are_listed_for_programs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evse.sim", "--list-faults", "-o", "json"], capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    body = json.loads(done.stdout)
    rows = body["faults"]
    assert {"emergency_stop", "insulation", "contactor_welded"} <= {row.get("name") or row.get("fault") for row in rows}
    assert len(load_cars()) > 100


def test_a_data_directory_that_cannot_be_used_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    config = tmp_path / "station.toml"
    config.write_text(TEMPLATE.format(folder=tmp_path, channel="239.192.1.1", port=1), encoding="utf-8")
    data = tmp_path / "data"
    command = [sys.executable, "-m", "evse.runtime", "--config", str(config)]

    data.write_text("a file where the directory should be")
    no_directory = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    data.unlink()
    (data / "station.sqlite3").mkdir(parents=True)
    no_database = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    for ended in (no_directory, no_database):
        assert ended.returncode == 1 and "Traceback" not in ended.stderr
        assert "evsed: cannot start: " in ended.stderr and str(data) in ended.stderr
