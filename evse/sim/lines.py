"""Line faults: what happens to bytes and frames between a device and its driver, with a seed.

`LineFaults` is the switchboard of one port, shared by every pipe that is opened on it; all values 0 = perfect line.
Loss, damage and doubling hit what one side writes at a time (a frame, for the protocols here), in both directions.
Unlike `evse.transports.faulty`, a delay does not hold the writer up: the watchdog of a simulated device runs in the
task that writes, and a slow line must not slow it. CAN has no wrapper there.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable
from typing import Final, Protocol

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.transports.base import ByteStream, CanBus, CanFrame
from evse.units import NS_PER_S, Instant, ms

DELAYED_MAX: Final = 1_024
"""Writes that wait for their delay; the oldest falls out beyond it."""


class Starter(Protocol):
    """Who runs the pump of delayed writes."""

    def start(self, work: Awaitable[None], name: str) -> asyncio.Task[None]:
        """Run ``work`` until done."""
        ...


class LineFaults:
    """Levels of one line: chances in permille per write, delay in ms."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.drop_permille = 0
        self.corrupt_permille = 0
        self.duplicate_permille = 0
        self.delay_ms = 0
        self.dropped = self.corrupted = self.duplicated = 0

    def seed(self, seed: int) -> None:
        """Start a new reproducible sequence."""
        self._rng.seed(seed)

    def clear(self) -> None:
        """Make the line perfect again."""
        self.drop_permille = self.corrupt_permille = self.duplicate_permille = self.delay_ms = 0

    @property
    def quiet(self) -> bool:
        """True when the line is perfect."""
        return not (self.drop_permille or self.corrupt_permille or self.duplicate_permille or self.delay_ms)

    def pass_through(self, data: bytes) -> list[bytes]:
        """Return what arrives of one write: nothing, one or two pieces."""
        rng = self._rng
        if self.drop_permille and rng.randrange(1000) < self.drop_permille:
            self.dropped += 1
            return []
        if self.corrupt_permille and data and rng.randrange(1000) < self.corrupt_permille:
            self.corrupted += 1
            broken = bytearray(data)
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
            data = bytes(broken)
        if self.duplicate_permille and rng.randrange(1000) < self.duplicate_permille:
            self.duplicated += 1
            return [data, data]
        return [data]


class NoisyStream:
    """A `ByteStream` with `LineFaults`, on the device's side: faults act on what it reads and what it writes."""

    def __init__(self, inner: ByteStream, faults: LineFaults, clock: Clock, tasks: Starter) -> None:
        self._inner = inner
        self._faults = faults
        self._clock = clock
        self._tasks = tasks
        self._late: deque[tuple[Instant, bytes]] = deque(maxlen=DELAYED_MAX)
        self._pump: asyncio.Task[None] | None = None
        self._ended: asyncio.Task[None] | None = None
        self.gone = False

    async def read(self) -> bytes:
        """Return what survived of the next bytes."""
        while True:
            try:
                data = await self._inner.read()
            except DeviceError:
                self.gone = True
                raise
            if self._faults.quiet:
                return data
            if self._faults.delay_ms:
                await asyncio.sleep(self._faults.delay_ms / 1000)
            data = b"".join(self._faults.pass_through(data))
            if data:
                return data

    async def write(self, data: bytes) -> None:
        """Write what survives, perhaps later."""
        if self.gone:
            raise DeviceError("the line is gone")
        faults = self._faults
        if faults.quiet and not self._late:
            await self._inner.write(data)
            return
        for piece in faults.pass_through(data):
            self._late.append((self._clock.now() + ms(faults.delay_ms), piece))
        if self._pump is None or self._pump.done():
            self._pump = self._tasks.start(self._deliver(), "sim line delay")

    async def _deliver(self) -> None:
        while self._late and not self.gone:
            due, data = self._late[0]
            wait = due - self._clock.now()
            if wait > 0:
                await asyncio.sleep(wait / NS_PER_S)
                continue
            self._late.popleft()
            await self._inner.write(data)

    def break_off(self) -> None:
        """End both directions now."""
        self.gone = True
        self._late.clear()
        self._ended = self._tasks.start(self._inner.close(), "sim line close")

    async def close(self) -> None:
        """Close; never raises."""
        self.gone = True
        await self._inner.close()


class NoisyCan:
    """A `CanBus` with `LineFaults`, on the driver's side. Delay keeps the order of frames."""

    def __init__(self, inner: CanBus, faults: LineFaults, clock: Clock, tasks: Starter) -> None:
        self._inner = inner
        self._faults = faults
        self._clock = clock
        self._tasks = tasks
        self._again: deque[CanFrame] = deque(maxlen=DELAYED_MAX)
        self._ended: asyncio.Task[None] | None = None
        self.gone = False

    def _pieces(self, frame: CanFrame) -> list[CanFrame]:
        return [CanFrame(frame.can_id, data, frame.extended) for data in self._faults.pass_through(frame.data)]

    async def recv(self) -> CanFrame:
        """Return the next frame that survives."""
        while not self._again:
            if self.gone:
                raise DeviceError("CAN adapter: gone")
            frame = await self._inner.recv()
            if self._faults.quiet:
                return frame
            if self._faults.delay_ms:
                await asyncio.sleep(self._faults.delay_ms / 1000)
            self._again.extend(self._pieces(frame))
        return self._again.popleft()

    async def send(self, frame: CanFrame) -> None:
        """Send what survives."""
        if self.gone:
            raise DeviceError("CAN adapter: gone")
        if self._faults.quiet:
            await self._inner.send(frame)
            return
        if self._faults.delay_ms:
            await asyncio.sleep(self._faults.delay_ms / 1000)
        for piece in self._pieces(frame):
            await self._inner.send(piece)

    def break_off(self) -> None:
        """Take the adapter away."""
        self.gone = True
        self._ended = self._tasks.start(self._inner.close(), "sim CAN close")

    async def close(self) -> None:
        """Leave the bus; never raises."""
        self.gone = True
        await self._inner.close()
