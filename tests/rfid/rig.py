"""A reader driver and a simulated reader on one in-memory line, under virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from evse.devices.rfid_base import CardReader
from evse.domain.base import DeviceError
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.sim.hw.rfid_base import SimReader
from evse.transports.base import DIRECT, ByteStream, CanBus, DialOptions, SerialSettings, WebSocket
from evse.transports.faulty import FaultyStream
from evse.transports.memory import MemoryStream, stream_pair

PORT = "/dev/ttyUSB9"
D = TypeVar("D", bound=CardReader)
S = TypeVar("S", bound=SimReader)


class OneReader:
    """Openers with one reader behind one port."""

    def __init__(self, attach: Callable[[MemoryStream], None]) -> None:
        self.plugged = True
        self.line: MemoryStream | None = None
        self.faulty: FaultyStream | None = None
        self._attach = attach

    async def open_serial(self, settings: SerialSettings) -> ByteStream:
        if not self.plugged:
            raise DeviceError(f"{settings.port}: no such device")
        host, device = stream_pair(settings.port)
        self.line = host
        self.faulty = FaultyStream(host, random.Random(3))
        self._attach(device)
        return self.faulty

    async def open_can(self, interface: str, channel: str, bitrate: int) -> CanBus:
        raise DeviceError("no CAN here")

    async def open_tcp(self, host: str, port: int) -> ByteStream:
        raise DeviceError("no TCP here")

    async def open_websocket(
        self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float,
        options: DialOptions = DIRECT,
    ) -> WebSocket:
        raise DeviceError("no WebSocket here")

    def list_serial(self) -> list[str]:
        return []


class Rig(Generic[D, S]):
    """Driver, reader and their line."""

    def __init__(
        self,
        loop: VirtualLoop,
        driver: type[D],
        sim: S,
        byte_order: str = "big",
        character_order: str = "plain",
    ) -> None:
        self.clock = VirtualClock(loop)
        self.sim = sim
        self.openers = OneReader(self._attach)
        self.driver = driver(
            "front", SerialSettings(port=PORT), self.openers, self.clock, random.Random(1), byte_order, character_order
        )
        self.tasks = [asyncio.create_task(self.driver.run())]

    def _attach(self, device: MemoryStream) -> None:
        self.tasks.append(asyncio.create_task(self.sim.serve(device, self.clock)))

    async def forward_ms(self, duration: int) -> None:
        await asyncio.sleep(duration / 1000)
        assert not self.tasks[0].done()

    def unplug(self) -> None:
        assert self.openers.line is not None
        self.openers.plugged = False
        self.openers.line.close_now()


def with_rig(
    driver: type[D],
    sim: Callable[[], S],
    test: Callable[[Rig[D, S]], Awaitable[None]],
    byte_order: str = "big",
    character_order: str = "plain",
) -> None:
    """Run ``test`` on a fresh rig under virtual time."""
    loop = VirtualLoop()

    async def main() -> None:
        await test(Rig(loop, driver, sim(), byte_order, character_order))

    run_virtual(main(), loop)
