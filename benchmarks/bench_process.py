"""The real processes: start, memory, lateness, and what one call of evsectl takes.

Bytecode is cached in a directory of the benchmark, as an installed package has it; the first start only fills it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from statistics import median

import psutil

from benchmarks.plants import config_text
from benchmarks.timing import Figure
from evse.api.operations import Empty
from evse.lab.demo_station import DemoStation

STARTS = 5
CONNECTORS = 4
LATENESS_S = 15.0
WARM_S = 3.0
CALLS = 15
BOOT_WAIT_S = 10.0
REFERENCE = [sys.executable, "-I", "-S", "-c", "import json,_socket"]
RATIO_MAX = 2.5
ROOT = str(Path(__file__).resolve().parent.parent)
SUMMARY = re.compile(
    r"control loop: (\d+) ticks, (\d+) late, lateness p99 ([\d.]+) ms, worst ([\d.]+) ms, mean duration ([\d.]+)"
)


def run() -> list[Figure]:
    """All figures of the module."""
    with tempfile.TemporaryDirectory(prefix="evse-bench-") as folder, bytecode(Path(folder) / "pyc"):
        return asyncio.run(processes(Path(folder)))


@contextlib.contextmanager
def bytecode(folder: Path) -> Iterator[None]:
    """Let child processes keep their bytecode in ``folder``."""
    before = {name: os.environ.get(name) for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")}
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextlib.asynccontextmanager
async def demo(folder: Path, connectors: int) -> AsyncIterator[DemoStation]:
    """A simulated station and its daemon as processes."""
    station = DemoStation(folder, template=config_text(connectors))
    try:
        await station.start()
        yield station
    finally:
        await station.stop()


async def processes(folder: Path) -> list[Figure]:
    """Start stations of two sizes and measure them."""
    async with demo(folder / "two", 2) as station:
        figures = [*await starts(station), *await calls(station)]
        await charge(station, 2)
        await asyncio.sleep(LATENESS_S)
        await station.stop()
        figures += lateness(station)
    async with demo(folder / "four", CONNECTORS) as station:
        await charge(station, CONNECTORS)
        await asyncio.sleep(WARM_S)
        assert station.daemon is not None
        rss = psutil.Process(station.daemon.pid).memory_info().rss
        figures.append(
            Figure(name=f"daemon memory, {CONNECTORS} connectors charging", value=rss / 2**20, unit="MB RSS", budget=80)
        )
    return figures


async def starts(station: DemoStation) -> list[Figure]:
    """Restart the daemon a few times; the first tick is computed from the ticks counted when the API answers first."""
    first, ready, boot = [], [], []
    for _ in range(STARTS):
        assert station.daemon is not None
        station.daemon.terminate()
        await station.daemon.wait()
        began = time.monotonic()
        await station.start_daemon()
        status = await station.client.call("status.get", Empty())
        answered = time.monotonic() - began
        ready.append(answered)
        first.append(answered - (status.system.tick.count - 1) * 0.05)
        while (await station.client.call("ocpp.status", Empty())).registration != "Accepted":
            if time.monotonic() - began > BOOT_WAIT_S:
                raise RuntimeError(f"not accepted by the back end after {BOOT_WAIT_S:g} s")
            await asyncio.sleep(0.01)
        boot.append(time.monotonic() - began)
    note = f"median of {STARTS} starts, bytecode cached"
    return [
        Figure(name="daemon start to first tick", value=median(first), unit="s", budget=1.0, note=note),
        Figure(name="daemon start to BootNotification accepted", value=median(boot), unit="s", budget=2.0, note=note),
        Figure(name="daemon start to the API's first answer", value=median(ready), unit="s", budget=None, note=note),
    ]


async def charge(station: DemoStation, connectors: int) -> None:
    """Plug cars in and wait until all of them charge."""
    for connector in range(1, connectors + 1):
        await station.sim({"cmd": "plug_in", "connector": connector, "soc_pct": 10})
        await station.sim({"cmd": "swipe", "token": f"04A1B2C{connector}", "reader": f"reader{connector}"})
    for _ in range(300):
        rows = (await station.api("connector.list"))["items"]
        if all(row["phase"] == "charging" for row in rows):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"not all of {connectors} connectors charge after 30 s: {[row['phase'] for row in rows]}")


def lateness(station: DemoStation) -> list[Figure]:
    """What the daemon told about its loop when it ended."""
    found = SUMMARY.findall((station.folder / "evsed.log").read_text(encoding="utf-8"))
    if not found:
        raise RuntimeError("the daemon did not report on its control loop")
    count, late, p99, worst, mean = found[-1]
    note = f"{count} ticks, {late} late by more than a period, worst {worst} ms; while both cars charge"
    return [
        Figure(name="lateness of the daemon's loop, p99", value=float(p99), unit="ms", budget=5.0, note=note),
        Figure(
            name="tick of the daemon with drivers' levels sent, mean", value=float(mean) / 1000, unit="ms", budget=None
        ),
    ]


async def calls(station: DemoStation) -> list[Figure]:
    """Wall time of evsectl over that of the smallest Python with what it needs."""
    environment = {
        **os.environ,
        "EVSECTL_HOST": f"unix://{station.socket}",
        "PYTHONPATH": ROOT,
        "XDG_RUNTIME_DIR": str(station.folder),
    }
    script = station.folder / "evsectl"
    script.write_text("import sys\nfrom evsectl.entry import main\nsys.exit(main())\n", encoding="utf-8")
    figures = []

    def once(command: list[str]) -> Callable[[], float]:
        def spend() -> float:
            began = time.perf_counter()
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
            return time.perf_counter() - began

        return spend

    reference = once(REFERENCE)
    for words in (["status"], ["__complete", "connector", "get", ""]):
        measured = once([sys.executable, str(script), *words])
        await asyncio.to_thread(measured)
        pairs = [(await asyncio.to_thread(measured), await asyncio.to_thread(reference)) for _ in range(CALLS)]
        spent, least = median(p[0] for p in pairs), median(p[1] for p in pairs)
        figures.append(
            Figure(
                name=f"evsectl {words[0]}",
                value=spent / least,
                unit="x",
                budget=RATIO_MAX,
                note=f"{spent * 1000:.0f} ms against {least * 1000:.0f} ms of `python -I -S -c 'import json,_socket'`",
            )
        )
    return figures
