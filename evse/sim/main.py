"""Process mode: ``python -m evse.sim --config station.toml [--control SOCKET] [--scenario FILE] [--seed N] [--fast]``.

Serial ports of the configuration become ptys, the CAN channel is opened through python-can (``udp_multicast`` needs
no rights), Modbus TCP meters and the small CSMS listen on their configured addresses. Control lines are read from
stdin and from the socket. The first line on stdout tells when all of it is ready; the end, by signal or at the end of
a scenario, takes every link away again. Exit codes: 0 ended, 1 a scenario failed, 2 wrong arguments or configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from evse.config.load import load_config
from evse.config.model import StationConfig
from evse.domain.base import ConfigError, DeviceError
from evse.sim.control import LINE_MAX, listen, serve_lines
from evse.sim.csms import SimCsms
from evse.sim.csms_frames import FrameBook, validator_of
from evse.sim.fault_catalogue import rows
from evse.sim.lines import NoisyCan
from evse.sim.pty_ports import PtyPort
from evse.sim.scenario import Runner, StepResult, load_scenario
from evse.sim.scenario_needs import unmet
from evse.sim.station import SimStation
from evse.transports.can import open_can

YEAR_2024_NS: Final = 1_704_067_200 * 1_000_000_000


class RealClock:
    """`evse.domain.clock.Clock` on the machine's clocks."""

    def now(self) -> int:
        """Monotonic ns."""
        return time.monotonic_ns()

    def wall(self) -> int:
        """UTC ns."""
        return time.time_ns()

    def wall_valid(self) -> bool:
        """False before 2024: nobody has set the clock."""
        return time.time_ns() >= YEAR_2024_NS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evsectl sim", description="A simulated charging station below the wire.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="station.toml that names ports and devices")
    parser.add_argument("--control", type=Path, metavar="SOCKET", help="Unix socket for control lines")
    parser.add_argument("--scenario", metavar="NAME", help="scenario file, or the name of a shipped one; ends with it")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of everything that is random")
    parser.add_argument("--fast", action="store_true", help="short steps of a session, for demonstrations")
    parser.add_argument("--no-stdin", action="store_true", help="do not read control lines from stdin")
    parser.add_argument("--no-csms", action="store_true", help="no bundled back end: somebody else's listens at ocpp.url")
    parser.add_argument("--list-faults", action="store_true", help="list the faults that can be raised, and end")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="form of --list-faults")
    return parser


def fault_table() -> str:
    """Return the catalogue of faults as aligned text."""
    lines = [("FAULT", "CODE", "KINDS", "SCOPE", "DESCRIPTION")]
    lines += [
        (row["name"], ",".join(row["codes"]) or "-", ",".join(row["kinds"]), row["scope"], row["description"]) for row in rows()
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join("  ".join([*(line[n].ljust(widths[n]) for n in range(4)), line[4]]) for line in lines)


class RealCan:
    """The modules on a real CAN channel; pulling the adapter takes them off it, putting it back opens it again."""

    def __init__(self, station: SimStation, config: StationConfig) -> None:
        self._station = station
        self._modules = config.modules
        self._bus: NoisyCan | None = None

    async def open(self) -> None:
        """Open the channel and serve; nothing without modules."""
        station, modules = self._station, self._modules
        if station.modules is None or modules is None:
            return
        port = station.can[0]
        port.on_plug = self._plug
        bus = await open_can(modules.interface, modules.channel, modules.bitrate)
        self._bus = NoisyCan(bus, port.faults, station.clock, station.tasks)
        station.tasks.start(station.modules.serve(self._bus, station.clock), "sim modules on CAN")

    def _plug(self, plugged: bool) -> None:
        if plugged:
            self._station.tasks.start(self.open(), "sim CAN reopen")
        elif self._bus is not None:
            self._bus.break_off()


async def _listen_network(station: SimStation, config: StationConfig) -> list[str]:
    """Open the Modbus TCP servers and the CSMS; return where they listen."""
    where = []
    for (host, number), port in station.tcp.items():
        bus = station.tcp_buses[(host, number)]
        try:
            await bus.listen(host, number)
        except OSError as error:
            raise ConfigError([f"{port.name}: cannot listen ({error.strerror}); choose another port"]) from error
        where.append(port.name)
    if station.csms is not None:
        SimCsms.frames = FrameBook()
        validator_of("BootNotification")  # what that imports is not to delay the first frame
        parts = urlsplit(config.ocpp.url)
        try:
            await station.csms.listen(parts.hostname or "127.0.0.1", parts.port or 80)
        except OSError as error:
            raise ConfigError([f"ocpp.url = '{config.ocpp.url}': cannot listen there ({error.strerror})"]) from error
        where.append(config.ocpp.url)
    return where


async def _stdin(station: SimStation) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await serve_lines(station, reader, _print)


async def _print(data: bytes) -> None:
    sys.stdout.write(data.decode())
    sys.stdout.flush()


def _say(obj: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(obj, separators=(",", ":"), default=str) + "\n")
    sys.stdout.flush()


def _report(result: StepResult) -> None:
    _say({"step": msgspec.to_builtins(result)})


async def _run(args: argparse.Namespace, config: StationConfig) -> int:
    scenario = load_scenario(args.scenario) if args.scenario else None
    lacks = unmet(scenario.needs, config) if scenario is not None else ""
    if scenario is not None and lacks:
        raise ConfigError([f"--scenario {args.scenario}: needs {scenario.needs.text()}, but in {args.config} {lacks}; choose another"])
    station = SimStation(config, RealClock(), seed=args.seed, fast=args.fast)
    station.serve_files()
    if args.no_csms:
        station.csms = None
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    ptys = [PtyPort(port) for port in station.serial.values()]
    opened: list[PtyPort] = []
    jobs: list[asyncio.Task[Any]] = []
    try:
        for pty in ptys:
            pty.open()
            opened.append(pty)
        await RealCan(station, config).open()
        network = await _listen_network(station, config)
        if args.control is not None:
            await listen(station, args.control)
        physics = asyncio.create_task(station.run(serve_can=False))
        jobs.append(physics)
        if not args.no_stdin:
            jobs.append(asyncio.create_task(_stdin(station)))
        _say({"ok": True, "ready": {
            "serial": [str(pty.path) for pty in opened], "can": [port.name for port in station.can],
            "network": network, "control": str(args.control) if args.control else None,
        }})  # fmt: skip
        waits: list[Awaitable[Any]] = [physics, asyncio.create_task(ended.wait())]
        run: asyncio.Task[bool] | None = None
        if scenario is not None:
            run = asyncio.create_task(Runner(scenario, station.command, station.clock, on_result=_report).run())
            waits.append(run)
        jobs += [wait for wait in waits if isinstance(wait, asyncio.Task)]
        await asyncio.wait([job for job in jobs if job in waits], return_when=asyncio.FIRST_COMPLETED)
        if physics.done():
            physics.result()
        return 1 if run is not None and run.done() and not run.result() else 0
    finally:
        await _end(jobs, opened, args.control)
        if station.csms is not None:
            await station.csms.close()


async def _end(jobs: list[asyncio.Task[Any]], opened: list[PtyPort], control: Path | None) -> None:
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    for pty in opened:
        pty.port.on_plug = None
        pty.close()
    if control is not None:
        await asyncio.to_thread(_unlink, control)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def main(argv: list[str] | None = None, run: Callable[[Any], Any] = asyncio.run) -> int:
    """Run the command line; return the exit code."""
    args = _parser().parse_args(argv)
    if args.list_faults:
        sys.stdout.write((json.dumps({"faults": rows()}) if args.output == "json" else fault_table()) + "\n")
        return 0
    if args.config is None:
        sys.stderr.write("evsectl sim: --config FILE is needed (or --list-faults)\n")
        return 2
    try:
        return int(run(_run(args, load_config(args.config))))
    except (ConfigError, DeviceError) as error:
        problems = error.problems if isinstance(error, ConfigError) else [str(error)]
        for problem in problems:
            sys.stderr.write(f"evsectl sim: {problem}\n")
        return 2
