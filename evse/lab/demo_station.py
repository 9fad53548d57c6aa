"""The demo's processes: a simulated station and the daemon, in a directory of their own, and connections to both."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path
from random import SystemRandom
from typing import Any

import msgspec

from evse.api.aclient import AsyncClient
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import BY_NAME
from evse.api.paths import SOCKET_NAME
from evse.lab.demo_config import DEMO_DC, demo_text
from evse.lab.demo_csms import at_csms
from evse.runtime.main import EXIT_RESET

START_S = 40.0
STOP_S = 5.0
PORTS = range(20_000, 32_000)
"""Below net.ipv4.ip_local_port_range (32768 to 60999)."""


class DemoError(Exception):
    """A process of the demo did not start or has ended; the text names it and the end of its log."""


def free_port() -> int:
    """A TCP port of the loopback interface that is free now, and that Linux gives to nobody who asks for any port: it stays free
    until the process for which it is meant has started."""
    for port in SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise DemoError(f"no TCP port from {PORTS.start} to {PORTS.stop - 1} is free: end what listens on them")


def channel_of(pid: int) -> str:
    """The multicast group for the CAN bus of a demo: one for each process that may live at the same time (22 bits)."""
    return f"239.{192 | pid >> 16 & 63}.{pid >> 8 & 255}.{pid & 255}"


PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Linux: a child gets TERM when the demo dies, even by SIGKILL, so that no simulator is left running."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class DemoStation:
    """Simulator and daemon as processes. ``start`` until both are ready, ``stop`` ends both."""

    def __init__(
        self,
        folder: Path,
        *,
        fast: bool = True,
        seed: int = 1,
        station: str = DEMO_DC,
        template: str = "",
        csms_port: int | None = None,
        csms: str = "",
    ) -> None:
        """``station``: a name of `demo_config.station_names`; ``template``: a file of one's own with {folder}, {channel} and
        {port} instead. ``csms_port``, or ``csms`` with the whole URL: somebody else's back end; the bundled one stays away."""
        self.folder = folder
        self.config = folder / "station.toml"
        self.control = folder / "sim.sock"
        self.socket = folder / SOCKET_NAME
        self._fast = fast
        self._name = station
        self._template = template
        self._seed = seed
        self._csms_port = csms_port
        self._csms = csms
        self._sim: asyncio.subprocess.Process | None = None
        self.daemon: asyncio.subprocess.Process | None = None
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lock = asyncio.Lock()
        self._manager: asyncio.Task[None] | None = None
        self.restarts = 0
        """How often the daemon has ended for a reset and was started again."""
        self.client = AsyncClient(f"unix://{self.socket}")

    async def start(self) -> None:
        """Write the configuration and start both processes; `DemoError` names what did not start."""
        (self.folder / "dev").mkdir(parents=True, exist_ok=True)
        (self.folder / "data").mkdir(exist_ok=True)
        channel = channel_of(os.getpid())
        port = self._csms_port or free_port()
        if self._template:
            text = self._template.format(folder=self.folder, channel=channel, port=port)
        else:
            text = demo_text(self._name, str(self.folder), channel, port, free_port)
        self.config.write_text(at_csms(text, self._csms) if self._csms else text, encoding="utf-8")
        arguments = ["--config", str(self.config), "--control", str(self.control), "--seed", str(self._seed), "--no-stdin"]
        self._sim = await self._spawn(
            "sim",
            "evse.sim",
            [*arguments, *(["--fast"] if self._fast else []), *(["--no-csms"] if self._csms_port or self._csms else [])],
        )
        await self._ready(self._sim, "sim")
        self._line = await asyncio.open_unix_connection(str(self.control), limit=1 << 20)
        await self.start_daemon()

    async def start_daemon(self) -> None:
        """Start (or restart) the daemon and wait until its API answers."""
        await self._launch()
        if self._manager is None or self._manager.done():
            self._manager = asyncio.create_task(self._manage())

    async def _launch(self) -> None:
        read, write = os.pipe()
        self.daemon = await self._spawn(
            "evsed", "evse.runtime", ["--config", str(self.config), "--ready-fd", str(write)], pass_fds=(write,)
        )
        os.close(write)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb")
        )
        try:
            line = await asyncio.wait_for(reader.readline(), START_S)
        except TimeoutError:
            line = b""
        if not line:
            raise DemoError(f"the daemon did not start:\n{self._log('evsed')}")

    async def _manage(self) -> None:
        """Do what the service manager does: start the daemon again when it has ended for a reset or for new firmware."""
        while self.daemon is not None and await self.daemon.wait() == EXIT_RESET:
            await self._launch()
            self.restarts += 1


    async def _spawn(
        self, name: str, module: str, arguments: list[str], pass_fds: tuple[int, ...] = ()
    ) -> asyncio.subprocess.Process:
        log = (self.folder / f"{name}.log").open("ab")
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                pass_fds=pass_fds,
                preexec_fn=_end_with_parent,
            )
        finally:
            log.close()

    async def _ready(self, process: asyncio.subprocess.Process, name: str) -> None:
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_S)
            if not json.loads(line)["ok"]:
                raise DemoError(f"{name}: {line.decode()}")
        except (TimeoutError, ValueError, KeyError) as error:
            raise DemoError(f"{name} did not start ({error}):\n{self._log(name)}") from error

    def _log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return (
            "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            if path.exists()
            else "(no log)"
        )

    async def sim(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send one command of the control protocol and return its answer."""
        async with self._lock:
            if self._line is None:
                raise DemoError("the simulator is not connected")
            reader, writer = self._line
            writer.write(json.dumps(command).encode() + b"\n")
            line = await reader.readline()
            if not line:
                raise DemoError(f"the simulator has ended:\n{self._log('sim')}")
            answer: dict[str, Any] = json.loads(line)
            return answer

    async def api(self, operation: str, request: dict[str, Any] | None = None) -> Any:
        """Call an operation; the answer as plain JSON values. While the daemon is started again for a reset it waits."""
        row = BY_NAME[operation]
        until = asyncio.get_running_loop().time() + START_S
        while True:
            try:
                answer = await self.client.call(operation, msgspec.convert(request or {}, row.request))
            except ApiError as error:
                managed = self._manager is not None and not self._manager.done()
                late = asyncio.get_running_loop().time() > until
                if error.kind is not ErrorCode.UNREACHABLE or not managed or late:
                    raise
                await asyncio.sleep(0.1)
            else:
                return msgspec.to_builtins(answer)

    async def kill_daemon(self) -> None:
        """SIGKILL, as a power cut of the controller."""
        if self.daemon is not None:
            self.daemon.kill()
            await self.daemon.wait()

    async def stop(self) -> None:
        """End both processes; kill what does not end in time."""
        if self._manager is not None:
            self._manager.cancel()
            await asyncio.gather(self._manager, return_exceptions=True)
        if self._line is not None:
            self._line[1].close()
        for process in (self.daemon, self._sim):
            if process is None or process.returncode is not None:
                continue
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
