"""Ports of the simulated station, and in-memory openers that reach them.

A `Port` is one place where a cable goes in: a serial line, a CAN channel, a Modbus TCP server, the back end's address.
It knows what answers there, and it can be pulled out and put back. In-memory openers give the product's drivers the
other end of a pipe; process mode (`evse.sim.main`) attaches ptys and sockets to the same ports.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.sim.lines import LineFaults, NoisyCan, NoisyStream
from evse.transports.base import DIRECT, ByteStream, CanBus, DialOptions, SerialSettings, WebSocket
from evse.transports.memory import MemoryCanBus, MemoryStream, stream_pair

if TYPE_CHECKING:
    from evse.sim.csms import SimCsms

Serve = Callable[[ByteStream], Awaitable[None]]
WATCHDOGS_S: Final = 15.0
"""The longest watchdog of a device: the pilot of an AC board, which falls to F after 10 s."""
CLOSE_PASSES: Final = 5
"""Passes of the event loop until a closed pipe is seen as free."""


class Tasks:
    """The tasks of a station: kept until done; the first error of any is handed to the owner by `check`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None

    def start(self, work: Awaitable[None], name: str) -> asyncio.Task[None]:
        """Run ``work``; a `DeviceError` ends it quietly (the line has gone)."""

        async def run() -> None:
            try:
                await work
            except DeviceError:
                return

        task = asyncio.create_task(run(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and self._error is None:
            self._error = task.exception()

    def check(self) -> None:
        """Raise the first error that a task ended with."""
        if self._error is not None:
            raise self._error

    async def cancel(self) -> None:
        """End all tasks."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)


class Port:
    """One serial line or TCP server. ``serve`` is the device (or the bus of devices) behind it."""

    def __init__(self, name: str, what: str, serve: Serve, clock: Clock, rng: random.Random, tasks: Tasks) -> None:
        self.name = name
        self.what = what  # "board 1", "meters", "reader front"
        self.connected = True
        self.faults = LineFaults(rng)
        self.opens = 0
        self.on_plug: Callable[[bool], None] | None = None
        self._serve = serve
        self._clock = clock
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        self._stream: NoisyStream | None = None

    def attach(self, stream: ByteStream) -> None:
        """Let the device talk on ``stream``; a former one ends."""
        self.detach()
        noisy = NoisyStream(stream, self.faults, self._clock, self._tasks)
        self._stream = noisy
        self.opens += 1
        self._task = self._tasks.start(self._serve(noisy), f"sim {self.what}")

    def detach(self) -> None:
        """Take the line away from the device, if it has one."""
        if self._stream is not None:
            self._stream.break_off()
            self._stream = None
        if self._task is not None and not self._task.done():
            self._tasks.start(_close_later(self._task), f"sim {self.what} end")
        self._task = None

    @property
    def busy(self) -> bool:
        """Whether a driver has the port open."""
        return self._stream is not None and not self._stream.gone

    def unplug(self) -> None:
        """Pull the cable: an open stream ends, opening is refused."""
        self.connected = False
        self.detach()
        if self.on_plug is not None:
            self.on_plug(False)

    def replug(self) -> None:
        """Put the cable back."""
        self.connected = True
        if self.on_plug is not None:
            self.on_plug(True)


async def _close_later(task: asyncio.Task[None]) -> None:
    """Give a device that lost its line the time its own watchdogs need, then end its pump."""
    await asyncio.wait([task], timeout=WATCHDOGS_S)
    task.cancel()


class CanPort:
    """The CAN channel of the power modules."""

    def __init__(self, interface: str, channel: str, clock: Clock, rng: random.Random, tasks: Tasks) -> None:
        self.interface = interface
        self.channel = channel
        self.what = "modules"
        self.connected = True
        self.faults = LineFaults(rng)
        self.bus = MemoryCanBus()
        self.on_plug: Callable[[bool], None] | None = None
        self._clock = clock
        self._tasks = tasks
        self._clients: list[NoisyCan] = []

    @property
    def name(self) -> str:
        """``interface:channel``."""
        return f"{self.interface}:{self.channel}"

    def open(self) -> CanBus:
        """Return a new node for a driver."""
        node = NoisyCan(self.bus.node(), self.faults, self._clock, self._tasks)
        self._clients = [client for client in self._clients if not client.gone] + [node]
        return node

    def drop_clients(self) -> None:
        """End the nodes of all drivers."""
        for client in self._clients:
            client.break_off()
        self._clients.clear()

    def unplug(self) -> None:
        """Take the channel away from its drivers."""
        self.connected = False
        self.drop_clients()
        if self.on_plug is not None:
            self.on_plug(False)

    def replug(self) -> None:
        """Give it back."""
        self.connected = True
        if self.on_plug is not None:
            self.on_plug(True)


class SimOpeners:
    """`evse.transports.base.Openers` on a simulated station. Opening again after a loss gives a new pipe."""

    def __init__(
        self,
        serial: Mapping[str, Port],
        tcp: Mapping[tuple[str, int], Port],
        can: Sequence[CanPort],
        csms: Callable[[], SimCsms | None],
    ) -> None:
        self._serial = serial
        self._tcp = tcp
        self._can = can
        self._csms = csms

    async def open_serial(self, settings: SerialSettings) -> ByteStream:
        """Open exclusively; `DeviceError` when the port is unknown, pulled out or taken."""
        port = self._serial.get(settings.port)
        if port is None:
            raise DeviceError(
                f"{settings.port}: no such port; the simulated station has {', '.join(sorted(self._serial))}"
            )
        return await self._pipe(port)

    async def _pipe(self, port: Port) -> MemoryStream:
        if not port.connected:
            raise DeviceError(f"{port.name}: no such device; plug the adapter in")
        for _ in range(CLOSE_PASSES):
            if port.busy:  # a former owner may have closed in this very pass of the loop
                await asyncio.sleep(0)
        if port.busy:
            raise DeviceError(f"{port.name}: in use by another owner; close it there first")
        ours, theirs = stream_pair(port.name)
        port.attach(theirs)
        return ours

    async def open_can(self, interface: str, channel: str, bitrate: int) -> CanBus:
        """Open a node on the simulated channel."""
        for port in self._can:
            if (port.interface, port.channel) == (interface, channel):
                if not port.connected:
                    raise DeviceError(f"{interface} {channel}: no such device; plug the CAN adapter in")
                return port.open()
        names = ", ".join(port.name for port in self._can)
        raise DeviceError(
            f"{interface} {channel} ({bitrate} bit/s): no such channel; the simulated station has {names or 'none'}"
        )

    async def open_tcp(self, host: str, port: int) -> ByteStream:
        """Connect to a simulated Modbus TCP meter."""
        found = self._tcp.get((host, port))
        if found is None or not found.connected:
            raise DeviceError(
                f"{host}:{port}: connection refused; check the address and that the meter is on the network"
            )
        return await self._pipe(found)

    async def open_websocket(
        self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float,
        options: DialOptions = DIRECT,
    ) -> WebSocket:
        """Connect to the embedded CSMS."""
        csms = self._csms()
        if csms is None:
            raise DeviceError(f"{url}: connection refused; ocpp is not enabled in the configuration of the simulator")
        return await csms.connect(url, subprotocols, headers)

    def list_serial(self) -> list[str]:
        """Return the USB serial ports that are plugged in."""
        return sorted(
            name for name, port in self._serial.items() if port.connected and name.startswith("/dev/serial/by-id/")
        )
