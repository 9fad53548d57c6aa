"""A Modbus line in memory: simulated meters behind it, drivers in front of it, and a plug to pull."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

from evse.config.meter_profiles import load_profile
from evse.devices.meter import ModbusMeter
from evse.devices.modbus_bus import ModbusBus, TcpEndpoint
from evse.domain.base import DeviceError
from evse.domain.readings import MeterValues, Sample
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.sim.hw.modbus_meter import SimModbusBus, SimModbusMeter
from evse.transports.base import DIRECT, ByteStream, CanBus, DialOptions, SerialSettings, WebSocket
from evse.transports.memory import MemoryStream, stream_pair


class Bench:
    """``models`` by unit address on one line; opened through this object as `Openers`."""

    def __init__(
        self,
        loop: VirtualLoop,
        models: Mapping[int, str],
        *,
        tcp: bool = False,
        poll_ms: int = 1000,
        strict: bool = False,
    ) -> None:
        self.clock = VirtualClock(loop)
        self.sims = {u: SimModbusMeter(load_profile(name), u, strict=strict) for u, name in models.items()}
        self.plugged = True
        self.opened = 0
        self.line: MemoryStream | None = None
        self.tasks: list[asyncio.Future[None]] = []
        where = TcpEndpoint(host="meter", port=502) if tcp else SerialSettings(port="/dev/ttyX")
        self.bus = ModbusBus(where, self, self.clock, Random(3))
        self.meters = {
            u: ModbusMeter(f"meter {u}", sim.profile, u, self.bus, poll_ms, self.clock) for u, sim in self.sims.items()
        }
        self.tasks.append(asyncio.ensure_future(self.bus.run()))

    def _open(self, *, tcp: bool) -> ByteStream:
        if not self.plugged:
            raise DeviceError("/dev/ttyX: no such device; plug the adapter in")
        self.opened += 1
        ours, theirs = stream_pair("/dev/ttyX")
        self.line = ours
        server = SimModbusBus(list(self.sims.values()))
        self.tasks.append(asyncio.ensure_future(server.serve_tcp(theirs) if tcp else server.serve(theirs)))
        return ours

    def unplug(self) -> None:
        self.plugged = False
        assert self.line is not None
        self.line.close_now()

    def values(self, unit: int) -> MeterValues:
        reading = self.meters[unit].reading()
        assert isinstance(reading, Sample), reading
        return reading.value

    async def open_serial(self, settings: SerialSettings) -> ByteStream:
        return self._open(tcp=False)

    async def open_tcp(self, host: str, port: int) -> ByteStream:
        return self._open(tcp=True)

    async def open_can(self, interface: str, channel: str, bitrate: int) -> CanBus:
        raise DeviceError(channel)

    async def open_websocket(
        self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float,
        options: DialOptions = DIRECT,
    ) -> WebSocket:
        raise DeviceError(url)

    def list_serial(self) -> list[str]:
        return []


def bench_run(
    models: Mapping[int, str],
    body: Callable[[Bench], Awaitable[None]],
    *,
    tcp: bool = False,
    poll_ms: int = 1000,
    strict: bool = False,
) -> None:
    """Run ``body`` with a bench under virtual time."""
    loop = VirtualLoop()

    async def main() -> None:
        await body(Bench(loop, models, tcp=tcp, poll_ms=poll_ms, strict=strict))

    run_virtual(main(), loop)
