"""The station as the daemon tells it: snapshot and changes from one stream, with the age of what is shown.

No widget and no Textual in here. The UI pulls at its own pace (`revision` tells whether anything moved). The store
survives the daemon's absence: it keeps the last values, says how old they are, and dials again after 1, 2, 4 .. 30 s.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec

from evse.api.errors import ApiError, ErrorCode
from evse.api.models import Model, Status, StreamItem
from evse.domain.view import Event, EvseView
from evse.units import NS_PER_S, Instant, WallNs

log = logging.getLogger("tui.store")

HEARTBEAT_S: Final = 10
"""An open stream may be silent for so long; the daemon sends heartbeats at this period."""
STALE_S: Final = 3
OFFLINE_S: Final = 10
RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 30.0
EVENTS_MAX: Final = 200
"""Events kept for the screens; the oldest go first."""
ERRORS: Final = (
    OSError,
    EOFError,
    asyncio.IncompleteReadError,
    TimeoutError,
    msgspec.MsgspecError,
    ApiError,
    ValueError,
)
"""What a client may raise when the daemon, the socket or the answer is not as it should be."""


class Api(Protocol):
    """The typed client, as the store needs it (`evse.api.aclient.AsyncClient`)."""

    async def call(self, name: str, request: Model | None = None) -> Any:
        """One operation. Raises ApiError or OSError."""
        ...

    def stream(self, name: str, since: int | None = None) -> AsyncIterator[StreamItem]:
        """Items until the connection ends."""
        ...


class Link(enum.Enum):
    """How fresh the values are."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    OFFLINE = "offline"


class Store:
    """See the module. ``now`` is monotonic ns; ``sleep`` and ``jitter`` (0..1) are injected by tests."""

    def __init__(
        self,
        api: Api,
        *,
        now: Callable[[], Instant],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.api = api
        self.status: Status | None = None
        self.seq = 0
        self.missed = 0  # events between the last connection and this one
        self.reconnects = 0
        self.revision = 0
        self.retry_s = RETRY_FIRST_S
        self.last_error = ""
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._now = now
        self._sleep = sleep
        self._jitter = jitter
        self._born = now()
        self._last_item: Instant | None = None
        self._status_at = self._born
        self._connected = False
        self._hurry = asyncio.Event()

    # -- what the UI asks ------------------------------------------------------------------------------------------

    def silence_s(self) -> int:
        """Seconds since the daemon was last heard of (since start, before the first word)."""
        return (self._now() - (self._last_item if self._last_item is not None else self._born)) // NS_PER_S

    def age_s(self) -> int:
        """Seconds by which the values are too old; a silent open stream is fresh for one heartbeat."""
        return max(0, self.silence_s() - (HEARTBEAT_S if self._connected else 0))

    def link(self) -> Link:
        """Live, stale (> 3 s) or offline (> 10 s); connecting before the first word."""
        age = self.age_s()
        if age > OFFLINE_S:
            return Link.OFFLINE
        if self._last_item is None:
            return Link.CONNECTING
        return Link.STALE if age > STALE_S else Link.LIVE

    def evse(self, evse_id: int) -> EvseView | None:
        """The view of one EVSE."""
        for view in self.status.view.evses if self.status is not None else ():
            if view.evse_id == evse_id:
                return view
        return None

    def station_now(self) -> WallNs:
        """Wall time of the station, extrapolated from the last snapshot; 0 before the first."""
        if self.status is None or self._last_item is None:
            return 0
        return self.status.view.wall + (self._now() - self._status_at if self._connected else 0)

    def retry_now(self) -> None:
        """Dial at once (key ``r``)."""
        self._hurry.set()

    async def call(self, name: str, request: Model | None = None) -> Any:
        """One operation; every trouble comes out as `ApiError`."""
        try:
            return await self.api.call(name, request)
        except ApiError:
            raise
        except ERRORS as error:
            raise ApiError(
                ErrorCode.UNREACHABLE,
                f"{name}: the daemon does not answer ({error})",
                "is evsed running? press r to try again",
            ) from error

    # -- the long-lived task ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the stream for ever."""
        while True:
            try:
                async for item in self.api.stream("status.stream"):
                    self._take(item)
                self.last_error = "the daemon closed the stream"
            except ERRORS as error:
                self.last_error = str(error) or type(error).__name__
            if self._connected:
                self._connected = False
                self.revision += 1
            log.info("stream ended: %s; next try in %.0f s", self.last_error, self.retry_s)
            await self._pause(self.retry_s * (1 + 0.2 * self._jitter()))
            self.retry_s = min(RETRY_MAX_S, self.retry_s * 2)

    async def _pause(self, seconds: float) -> None:
        self._hurry.clear()
        waits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._hurry.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _take(self, item: StreamItem) -> None:
        self._last_item = self._now()
        if not self._connected:
            self._connected = True
            self.retry_s = RETRY_FIRST_S
            self.last_error = ""
            if self.status is not None:
                self.reconnects += 1
                self.missed = max(0, item.seq - self.seq)
            self.revision += 1
        self.seq = max(self.seq, item.seq) if item.type != "snapshot" else item.seq
        if item.status is not None:
            self.status = item.status
            self._status_at = self._last_item
            self.revision += 1
        if item.event is not None:
            self.events.append(item.event)
            self.revision += 1
