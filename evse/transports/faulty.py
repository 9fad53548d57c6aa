"""Faults as wrappers: a byte stream that loses, bends, doubles, delays or holds what passes through it.

Seeded, so that a run can be repeated, and switchable while it runs. The simulator and the tests put it around any
stream; code under test cannot tell it from a bad cable.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from evse.domain.base import DeviceError
from evse.transports.base import ByteStream

HELD_MAX: Final = 64 * 1024
"""Bytes kept while frozen, per direction; what comes beyond is lost, as in an adapter's buffer."""


class LineFaults:
    """What is wrong with one direction. Chances are per chunk (one read or write), in permille; all off by default."""

    __slots__ = (
        "corrupt_permille", "delay_ms", "drop_permille", "duplicate_permille", "jitter_ms", "truncate_permille",
    )

    def __init__(self) -> None:
        self.drop_permille = 0  # the chunk is lost
        self.corrupt_permille = 0  # one bit of the chunk is flipped
        self.duplicate_permille = 0  # the chunk comes twice
        self.truncate_permille = 0  # the chunk loses its end
        self.delay_ms = 0  # the chunk comes later, order is kept
        self.jitter_ms = 0  # up to this much on top of delay_ms

    def clear(self) -> None:
        """Switch all off."""
        for name in self.__slots__:
            setattr(self, name, 0)

    def any(self) -> bool:
        """Return whether any fault is on."""
        return bool(
            self.drop_permille or self.corrupt_permille or self.duplicate_permille or self.truncate_permille
            or self.delay_ms or self.jitter_ms
        )


class FaultyStream:
    """A `ByteStream` around ``inner``. ``rx`` = faults of what is read, ``tx`` = of what is written.

    ``freeze``: nothing passes either way, nothing is told, and (bounded) nothing is lost until ``thaw``.
    ``disconnect``: both ends are gone, as when the adapter is pulled.
    """

    def __init__(
        self, inner: ByteStream, rng: random.Random, rx: LineFaults | None = None, tx: LineFaults | None = None
    ) -> None:
        self.inner = inner
        self.rx = rx or LineFaults()
        self.tx = tx or LineFaults()
        self.chunks_hit = 0  # chunks that a fault has touched
        self._rng = rng
        self._flow = asyncio.Event()
        self._flow.set()
        self._held_rx = bytearray()  # arrived, not yet delivered
        self._held_tx = bytearray()
        self._gone = False
        self._write_now: Callable[[bytes], bool] | None = getattr(inner, "write_now", None)

    @property
    def frozen(self) -> bool:
        """True between `freeze` and `thaw`."""
        return not self._flow.is_set()

    def freeze(self) -> None:
        """Let nothing pass until `thaw`."""
        self._flow.clear()

    def thaw(self) -> None:
        """Let everything pass again: what was held arrives in one burst, what was written goes with the next write."""
        self._flow.set()

    async def disconnect(self) -> None:
        """Break the line for both ends."""
        self._gone = True
        self._flow.set()
        await self.inner.close()

    def _mangle(self, data: bytes, faults: LineFaults) -> bytes:
        rng = self._rng
        before = data
        if faults.drop_permille and rng.randrange(1000) < faults.drop_permille:
            self.chunks_hit += 1
            return b""
        if faults.truncate_permille and rng.randrange(1000) < faults.truncate_permille:
            data = data[: rng.randrange(len(data))]
        if faults.corrupt_permille and data and rng.randrange(1000) < faults.corrupt_permille:
            bent = bytearray(data)
            bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
            data = bytes(bent)
        if faults.duplicate_permille and rng.randrange(1000) < faults.duplicate_permille:
            data += data
        if data is not before:
            self.chunks_hit += 1
        return data

    async def _delay(self, faults: LineFaults) -> None:
        if faults.delay_ms or faults.jitter_ms:
            await asyncio.sleep((faults.delay_ms + self._rng.randint(0, faults.jitter_ms)) / 1000)

    async def read(self) -> bytes:
        """As `ByteStream.read`, with the faults of ``rx``. A cancelled read loses nothing by itself."""
        held = self._held_rx
        while True:
            if not held:
                held += self._mangle(await self.inner.read(), self.rx)
                if held:
                    await self._delay(self.rx)
            while not self._flow.is_set():
                await self._hold()
            if self._gone:
                raise DeviceError("line: disconnected (simulated)")
            if held:
                data = bytes(held)
                held.clear()
                return data

    async def _hold(self) -> None:
        """While frozen: keep taking bytes, so that the far end does not notice, until `thaw` or the end of the line."""
        reader = asyncio.ensure_future(self.inner.read())
        thaw = asyncio.ensure_future(self._flow.wait())
        try:
            await asyncio.wait((reader, thaw), return_when=asyncio.FIRST_COMPLETED)
        finally:
            thaw.cancel()
            if not reader.done():
                reader.cancel()
        if reader.done() and not reader.cancelled():
            self._held_rx += reader.result()[: HELD_MAX - len(self._held_rx)]

    async def write(self, data: bytes) -> None:
        """As `ByteStream.write`, with the faults of ``tx``."""
        if self._gone:
            raise DeviceError("line: disconnected (simulated)")
        data = self._mangle(data, self.tx)
        if not self._flow.is_set():
            self._held_tx += data[: HELD_MAX - len(self._held_tx)]
            return
        await self._delay(self.tx)
        if self._held_tx:
            data = bytes(self._held_tx) + data
            self._held_tx.clear()
        if data:
            await self.inner.write(data)

    def write_now(self, data: bytes) -> bool:
        """`write` without waiting where the inner stream can and no fault is on; False = not taken, use `write`."""
        if self._write_now is None or self._gone or self._held_tx or not self._flow.is_set() or self.tx.any():
            return False
        return self._write_now(data)

    async def close(self) -> None:
        """Close the inner stream; never raises."""
        self._gone = True
        self._flow.set()
        await self.inner.close()
