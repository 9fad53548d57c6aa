"""What devices behind kernel files share: a worker does one blocking exchange per period, the loop publishes it.

The worker is a thread on a device (a file of the kernel may take its time: a 1-wire conversion 750 ms) and the caller
itself under virtual time. Only one exchange runs at a time. What it found is published in the event loop, so readings
never change under their reader; a worker that hangs in the kernel shows as readings that grow old.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from evse.devices.interfaces import LinkHealth
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.readings import NoData, NoDataReason
from evse.transports.backoff import Backoff
from evse.units import NS_PER_MS, Instant, s

R = TypeVar("R")
T = TypeVar("T")

LOST_AFTER_NS: Final = s(10)
"""Default time of grace: a driver that was loaded again or a hub that was reset is back by then. The manuals give none
for these devices (Charge Control C user guide 7.3.7 only says that the search goes on)."""

DRAIN_S: Final = 1.0
"""How long the end waits for an exchange that is under way: outputs must not be set after they went to rest."""

STALE_MIN_NS: Final = s(2)
"""Readings are dropped when the last exchange is older than this and than four periods."""


class Offload(Protocol):
    """Runs a blocking function somewhere and returns its result."""

    async def __call__(self, job: Callable[[], T]) -> T:
        """Return what ``job`` returns, or raise what it raises."""
        ...


async def in_thread(job: Callable[[], T]) -> T:
    """Run ``job`` in a worker thread."""
    return await asyncio.to_thread(job)


async def inline(job: Callable[[], T]) -> T:
    """Run ``job`` in the caller, for virtual time."""
    return job()


class PolledDevice(ABC, Generic[R]):
    """One device. ``poll_ms`` = period of the exchange, ``lost_after_ns`` = time of grace for `lost`."""

    kind = ""

    def __init__(
        self,
        name: str,
        where: str,
        clock: Clock,
        rng: random.Random,
        *,
        poll_ms: int,
        lost_after_ns: int = LOST_AFTER_NS,
        offload: Offload = in_thread,
    ) -> None:
        self.name = name
        self.where = where
        self._clock = clock
        self._backoff = Backoff(rng)
        self._offload = offload
        self._poll_ms = poll_ms
        self._lost_after_ns = lost_after_ns
        self._stale_ns = max(STALE_MIN_NS, 4 * poll_ms * NS_PER_MS)
        self._wake = asyncio.Event()
        self._good_at: Instant | None = None  # last good exchange
        self._bad_since: Instant | None = clock.now()  # None = works
        self._never = True
        self._error = f"{self.kind} {name}: not read yet"
        self._exchanges = self._errors = self._reconnects = 0

    async def run(self) -> None:
        """Own the device until cancelled; tries again for ever."""
        try:
            while True:
                try:
                    await self._work(self._open)
                    while True:
                        await self._exchange()
                except DeviceError as error:
                    self._fail(str(error))
                finally:
                    with contextlib.suppress(DeviceError):  # it is gone: there is nothing left to set back
                        self._close()
                self._reconnects += 1
                await self._backoff.sleep()
        finally:
            self._fail(f"{self.kind} {self.name}: not running")

    async def _work(self, job: Callable[[], T]) -> T:
        """Run ``job`` in the worker; a cancellation waits until it has ended, so that nothing follows `_close`."""
        if self._offload is inline:  # no worker: nothing can come between
            return job()
        task = asyncio.ensure_future(self._offload(job))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=DRAIN_S)
            if task.done() and not task.cancelled():
                task.exception()  # it was nobody's any more
            raise

    async def _exchange(self) -> None:
        began = self._clock.now()
        self._wake.clear()
        result = await self._work(self._job())
        self._publish(result, self._clock.now())
        self._exchanges += 1
        self._good_at = self._clock.now()
        self._bad_since = None
        self._never = False
        self._error = ""
        self._backoff.reset()
        left_ms = self._poll_ms - (self._clock.now() - began) // NS_PER_MS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(left_ms, 1) / 1000):
                await self._wake.wait()

    def _fail(self, detail: str) -> None:
        self._errors += 1
        self._error = detail
        if self._bad_since is None:
            self._bad_since = self._clock.now()

    def _absent(self) -> NoData | None:
        """Why nothing can be said about this device at all; None while it works."""
        now = self._clock.now()
        if self._bad_since is None and self._good_at is not None and now - self._good_at > self._stale_ns:
            self._bad_since = self._good_at
            self._error = f"{self.kind} {self.name}: {self.where} has not answered for {self._stale_ns // NS_PER_MS} ms"
            return NoData(reason=NoDataReason.TIMEOUT, since=self._good_at, detail=self._error)
        if self._bad_since is None:
            return None
        reason = NoDataReason.NEVER if self._never else NoDataReason.DISCONNECTED
        return NoData(reason=reason, since=self._bad_since, detail=self._error)

    def lost(self) -> str:
        """Why the device is lost, "" while it works or its time of grace has not passed."""
        absent = self._absent()
        if absent is None or self._clock.now() - absent.since < self._lost_after_ns:
            return ""
        return absent.detail

    def health(self) -> tuple[LinkHealth, ...]:
        """The one link of this device."""
        absent = self._absent()
        return (
            LinkHealth(
                name=f"{self.kind} {self.name}",
                kind=self.kind,
                where=self.where,
                online=absent is None,
                detail=self._error,
                frames_in=self._exchanges,
                frames_out=self._exchanges,
                errors=self._errors,
                reconnects=self._reconnects,
            ),
        )

    # -- what a device adds -------------------------------------------------------------------------------------------

    @abstractmethod
    def _open(self) -> None:
        """Make the device ready; blocking, in the worker. `DeviceError` with the remedy."""

    @abstractmethod
    def _job(self) -> Callable[[], R]:
        """Return the next exchange, with copies of what it needs; it blocks and runs in the worker."""

    @abstractmethod
    def _publish(self, result: R, now: Instant) -> None:
        """Take the result over; in the event loop."""

    @abstractmethod
    def _close(self) -> None:
        """Leave the device in its rest state; short, in the event loop."""
