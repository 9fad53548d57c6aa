"""The search for meters as a job of the daemon: one at a time, beside the control loop, seen and ended through the API."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence

import msgspec

from evse.devices.detect import detect
from evse.devices.modbus_bus import ModbusBus
from evse.domain.base import ConfigError, DeviceError
from evse.domain.clock import Clock
from evse.domain.detect import DetectProgress, DetectRequest, DetectResult
from evse.domain.meter_profile import MeterProfile
from evse.transports.base import Openers
from evse.units import NS_PER_S, Instant

log = logging.getLogger(__name__)

STOP_S = 20.0
"""The longest question of a search lasts 15 s; then it ends by cancellation."""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """The running or last search. ``number`` 0 = there was none since start."""

    number: int = 0
    state: str = "idle"  # idle, running, done, stopped, failed
    request: DetectRequest | None = None
    progress: DetectProgress = DetectProgress(done=0, total=0, what="", found=0)
    result: DetectResult | None = None
    error: str = ""
    began: Instant = 0
    ended: Instant = 0


class Detector:
    """Owns the job. ``buses`` = the lines of the station by port."""

    def __init__(self, openers: Openers, clock: Clock, buses: Mapping[str, ModbusBus]) -> None:
        self.search = Search()
        self._openers = openers
        self._clock = clock
        self._buses = buses
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether a search is under way."""
        return self._task is not None and not self._task.done()

    def in_use(self, port: str) -> str:
        """Return who would have to wait while ``port`` is searched, "" when nobody uses it."""
        bus = self._buses.get(port)
        if bus is None:
            return ""
        return ", ".join(link.name for link in bus.health()) or "a driver"

    def begin(self, request: DetectRequest, profiles: Sequence[MeterProfile], *, disturb: bool) -> Search:
        """Begin a search; the caller has looked that none is running."""
        self._stop = asyncio.Event()
        self.search = Search(
            number=self.search.number + 1, state="running", request=request, began=self._clock.now()
        )
        job = self._run(request, profiles, disturb)
        self._task = asyncio.get_running_loop().create_task(job, name="meter detect")
        return self.search

    async def _run(self, request: DetectRequest, profiles: Sequence[MeterProfile], disturb: bool) -> None:
        try:
            result = await detect(
                request,
                profiles,
                self._openers,
                self._clock,
                owner=self._buses.get(request.port),
                disturb=disturb,
                progress=self._tell,
                stop=self._stop,
            )
        except (ConfigError, DeviceError) as error:
            self._end("failed", error=str(error))
        except asyncio.CancelledError:
            self._end("stopped", error="broken off")
            raise
        except Exception as error:
            log.exception("the search for meters on %s failed", request.port)
            self._end("failed", error=f"internal error {type(error).__name__}; see the journal")
        else:
            self._end("stopped" if result.stopped else "done", result=result)

    def _tell(self, progress: DetectProgress) -> None:
        self.search = msgspec.structs.replace(self.search, progress=progress)

    def _end(self, state: str, *, result: DetectResult | None = None, error: str = "") -> None:
        self.search = msgspec.structs.replace(
            self.search, state=state, result=result, error=error, ended=self._clock.now()
        )

    def seconds(self) -> int:
        """Return how long the search has taken so far, or took."""
        search = self.search
        if not search.number:
            return 0
        return ((search.ended or self._clock.now()) - search.began) // NS_PER_S

    async def close(self) -> None:
        """Break a running search off; for the end of the daemon."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def stop(self) -> bool:
        """End the running search after its present question; False when none is running."""
        task = self._task
        if task is None or task.done():
            return False
        self._stop.set()
        await asyncio.wait([task], timeout=STOP_S)
        await self.close()
        return True
