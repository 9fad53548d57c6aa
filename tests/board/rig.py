"""A driver and a simulated board on an in-memory line under virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from evse.devices.board_link import BoardLinkDriver
from evse.domain.base import DeviceError
from evse.domain.readings import NoData, Sample
from evse.domain.signals import BoardCommand, BoardStatus, CpState
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.sim.hw.board import BoardPlant, SimBoard
from evse.transports.base import DIRECT, ByteStream, CanBus, DialOptions, SerialSettings, WebSocket
from evse.transports.faulty import FaultyStream
from evse.transports.memory import MemoryStream, stream_pair

T = TypeVar("T")

PORT = "/dev/serial/by-id/usb-Espressif_USB_JTAG_serial_debug_unit_BF:0F:13:71:FF:C0-if00"


class SerialOnly:
    """Openers with one serial port; `plugged` False = the adapter is not there."""

    def __init__(self, attach: Callable[[MemoryStream], None], rng: random.Random) -> None:
        self.plugged = True
        self.opened = 0
        self.line: MemoryStream | None = None
        self.faulty: FaultyStream | None = None
        self._attach = attach
        self._rng = rng

    async def open_serial(self, settings: SerialSettings) -> ByteStream:
        if not self.plugged:
            raise DeviceError(f"{settings.port}: no such device; is the adapter plugged in?")
        self.opened += 1
        host, device = stream_pair(settings.port)
        self.line = host
        self.faulty = FaultyStream(host, self._rng)
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
        return [PORT] if self.plugged else []


class Rig:
    """Board, plant and driver; `forward_ms` lets virtual time pass."""

    def __init__(self, loop: VirtualLoop, versions: tuple[int, int] = (1, 1)) -> None:
        self.clock = VirtualClock(loop)
        rng = random.Random(7)
        self.plant = BoardPlant()
        self.board = SimBoard(self.plant, rng, versions=versions)
        self.tasks: list[asyncio.Task[None]] = []
        self.openers = SerialOnly(self._attach, rng)
        self.driver = BoardLinkDriver(1, SerialSettings(port=PORT, baud=115_200), self.openers, self.clock, rng)
        self.tasks.append(asyncio.create_task(self.driver.run()))

    def _attach(self, device: MemoryStream) -> None:
        self.tasks.append(asyncio.create_task(self.board.serve(device, self.clock)))

    async def forward_ms(self, duration: int, levels: BoardCommand | None = None) -> None:
        """Let ``duration`` ms pass; with ``levels``, command them every 50 ms as the control loop does."""
        loop = asyncio.get_running_loop()
        end = loop.time() + duration / 1000
        while loop.time() < end - 1e-9:
            if levels is not None:
                self.driver.command(levels)
            await asyncio.sleep(min(0.05, end - loop.time()))
            for task in self.tasks:
                if task.done() and not task.cancelled() and task.exception() is not None:
                    await task

    def status(self) -> BoardStatus:
        reading = self.driver.reading()
        assert isinstance(reading, Sample), reading
        return reading.value

    def absence(self) -> NoData:
        reading = self.driver.reading()
        assert isinstance(reading, NoData), reading
        return reading

    def unplug(self) -> None:
        self.openers.plugged = False
        assert self.openers.line is not None
        self.openers.line.close_now()

    async def energise(self) -> None:
        """Bring the board to closed contactors under a lease."""
        await self.forward_ms(200)
        self.plant.cp = CpState.C
        await self.forward_ms(200, CLOSE)
        assert self.plant.out.contactor_closed


CLOSE = BoardCommand(permit=True, contactor_lease=True, lock=True, offered_mv=500_000, offered_ma=200_000)


def with_rig(test: Callable[[Rig], Awaitable[T]], versions: tuple[int, int] = (1, 1)) -> T:
    """Run ``test`` on a fresh rig under virtual time."""
    loop = VirtualLoop()

    async def main() -> T:
        return await test(Rig(loop, versions))

    return run_virtual(main(), loop)
