"""The connection to the CSMS: dialled for ever, watched by pings, and told about in plain words.

The dialler says where to; `Link` owns the back-off, the half-open detection and the end of each connection. What is
said over it comes from outside: ``talk`` runs on every connected link until it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random

import msgspec

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.ocpp.engine import Engine
from evse.ocpp.ports import ACTIVE, NO_SECURITY, Dialler, DialTarget, SecurityNote
from evse.ocpp.waiting import wait_for
from evse.transports.base import DialError, DialStep, Openers, WebSocket, WsClosed
from evse.units import NS_PER_S, DurationNs, Instant, WallNs

log = logging.getLogger(__name__)

SUBPROTOCOL = "ocpp1.6"
DIAL_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 2.0
BACKOFF_MIN_S = 1.0
BACKOFF_MAX_S = 120.0
LIVED_NS: DurationNs = 30 * NS_PER_S
"""A registered link that lived this long ends the growth of the back-off."""

STAGED_PATIENCE_S = 180.0
"""A target that is only tried out has to accept the station within this time, or counts as failed."""

EVENTS_MAX = 200
"""Link events kept; the oldest goes first."""


class LinkEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the link. ``kind``: dialling, connected, registered, failed, closed."""

    seq: int
    wall: WallNs
    kind: str
    target: str  # "active", "staged", "keyed"
    url: str
    text: str  # why, in plain words


class Link:
    """One link at a time to what ``dialler`` says. ``ping`` gives (interval, time-out) in s; interval 0 = no pings."""

    def __init__(
        self, dialler: Dialler, openers: Openers, clock: Clock, rng: Random, *, target: DialTarget,
        make_engine: Callable[[WebSocket], Engine], talk: Callable[[Engine], Awaitable[None]],
        ping: Callable[[], tuple[int, int]], security: SecurityNote = NO_SECURITY,
    ) -> None:
        self.engine: Engine | None = None
        self.target = target  # of the connection that stands or is being made
        self.connected = False
        self.since: WallNs | None = None  # of the present connection state
        self.last_error = ""
        self.peer = ""
        self.dials = 0  # since the process began
        self.failures = 0  # dials in a row without a registered link that lived
        self.next_dial: Instant | None = None  # while the back-off runs
        self.paused_until: Instant = 0  # before this nothing is dialled
        self.events: deque[LinkEvent] = deque(maxlen=EVENTS_MAX)
        self._dialler = dialler
        self._openers = openers
        self._clock = clock
        self._rng = rng
        self._make_engine = make_engine
        self._talk = talk
        self._ping_times = ping
        self._security = security
        self._registered = asyncio.Event()  # over the present connection
        self._ping_kick = asyncio.Event()
        self._dial_kick = asyncio.Event()
        self._drop: asyncio.Future[None] | None = None
        self._dial: asyncio.Future[WebSocket] | None = None
        self._resumed = asyncio.Event()
        self._still = asyncio.Event()  # paused, and nothing is open any more

    # -- for the client -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Dial, use, pause, again; for ever."""
        while True:
            await self._while_paused()
            began = self._clock.now()
            self._registered.clear()
            await self._once()
            lived = self._clock.now() - began >= LIVED_NS and self._registered.is_set()
            self.failures = 0 if lived else self.failures + 1
            pause_s = self._backoff_s(self.failures)
            self.next_dial = self._clock.now() + int(pause_s * NS_PER_S)
            await wait_for(self._dial_kick, pause_s)
            self.next_dial = None

    def note(self, text: str) -> None:
        """Remember what is wrong with the link; the same text is logged once."""
        if text != self.last_error:
            log.warning("ocpp: %s", text)
        self.last_error = text

    async def registered(self) -> None:
        """The CSMS has accepted the station over the present connection."""
        self.last_error = ""
        if not self._registered.is_set():
            self._registered.set()
            self._event("registered")
            if await self._tell(self._dialler.registered(self.target)):  # what was tried out has become what is used
                self.target = msgspec.structs.replace(self.target, name=ACTIVE)

    def ping_changed(self) -> None:
        """Interval or time-out of the pings is another."""
        self._ping_kick.set()

    def reconnect(self, reason: str, *, afresh: bool = False) -> None:
        """End the present link with ``reason``, or the present pause, and dial now.

        ``afresh`` = what is dialled has changed, or a person waits: the back-off begins anew.
        """
        if afresh:
            self.failures = 0
        self._dial_kick.set()
        if self._drop is not None and not self._drop.done():
            self._drop.set_exception(WsClosed(clean=True, detail=reason))

    @property
    def dialling(self) -> bool:
        """Tell whether a dial is under way."""
        return self._dial is not None

    async def pause(self, seconds: float, reason: str) -> None:
        """End the link and a dial under way, and dial no more until `resume`, or for ``seconds``; return when all is still.

        The end is a moment that is kept in `paused_until`: whatever becomes of the caller, the link is dialled again.
        """
        self.paused_until = self._clock.now() + int(seconds * NS_PER_S)
        self._resumed.clear()
        self._still.clear()
        self.reconnect(reason)
        if self._dial is not None:
            self._dial.cancel()
        await wait_for(self._still, min(seconds, 2 * CLOSE_TIMEOUT_S))

    def resume(self) -> None:
        """Dial now; nothing happens when there was no pause."""
        if self.paused_until:
            self.paused_until = 0
            self._resumed.set()
            self.failures = 0

    async def _while_paused(self) -> None:
        while (left := self.paused_until - self._clock.now()) > 0:
            self._still.set()
            await wait_for(self._resumed, left / NS_PER_S)

    def paused(self) -> bool:
        """Tell whether a pause holds."""
        return self.paused_until > self._clock.now()

    # -- one connection -------------------------------------------------------------------------------------------

    def _event(self, kind: str, text: str = "") -> None:
        last = self.events[-1] if self.events else None
        self.events.append(LinkEvent(
            seq=last.seq + 1 if last else 1, wall=self._clock.wall(), kind=kind, target=self.target.name,
            url=self.target.url, text=text,
        ))

    def _backoff_s(self, failures: int) -> float:
        """Doubling from 1 s to 2 min, times 0.5 to 1.5, so that a thousand stations do not return at once."""
        pause_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * float(1 << min(failures, 10)))
        return pause_s * (0.5 + self._rng.random())

    async def _once(self) -> None:
        try:
            target = self.target = await self._dialler.target()
        except DeviceError as error:
            self.note(str(error))
            self._event("failed", str(error))
            return
        if self.paused():
            return
        self._dial_kick.clear()
        self.dials += 1
        self._event("dialling")
        self._dial = asyncio.ensure_future(self._openers.open_websocket(
            target.url, [SUBPROTOCOL], target.headers, DIAL_TIMEOUT_S, target.options
        ))
        try:
            ws = await self._dial
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.paused() or (task is not None and task.cancelling()):
                raise
            self._event("failed", "broken off for an examination")
        except DeviceError as error:
            self._tell_security(error)
            self.note(str(error))
            self._event("failed", str(error))
        else:
            self._dial = None
            await self._use(ws)
        finally:
            self._dial = None
        if not self._registered.is_set() and not self.paused():
            await self._tell(self._dialler.failed(target, self.last_error))

    async def _tell(self, told: Awaitable[None]) -> bool:
        """Return whether the dialler could store what it was told; if not, that does not end the link."""
        try:
            await told
        except DeviceError as error:
            self.note(str(error))
            return False
        return True

    def _tell_security(self, error: DeviceError) -> None:
        """A refusal by password or certificate is a security event, once until something else is wrong."""
        if not isinstance(error, DialError) or str(error) == self.last_error:
            return
        kind = {
            DialStep.CREDENTIALS: "FailedToAuthenticateAtCentralSystem",
            DialStep.CERTIFICATE: "InvalidCentralSystemCertificate",
            DialStep.TLS_VERSION: "InvalidTLSVersion",
            DialStep.TLS_CIPHER: "InvalidTLSCipherSuite",
        }.get(error.step)
        if kind is not None:
            reason = getattr(getattr(self.target.options.tls, "failure", None), "reason", None)
            self._security(kind, f"{reason}: {error}" if reason else str(error))

    async def _use(self, ws: WebSocket) -> None:
        """Live on one connected WebSocket until it ends, for whatever reason."""
        if ws.subprotocol != SUBPROTOCOL:
            text = f"{self.target.url}: the CSMS does not speak {SUBPROTOCOL} (it chose {ws.subprotocol!r})"
            self.note(text)
            self._event("failed", text)
            await self._close(ws)
            return
        engine = self._make_engine(ws)
        loop = asyncio.get_running_loop()
        self._drop = loop.create_future()
        if self.paused():
            self._drop.set_exception(WsClosed(clean=True, detail="ended for an examination"))
        self.engine, self.connected, self.since, self.peer = engine, True, self._clock.wall(), ws.remote
        self._event("connected", ws.remote)
        jobs = (engine.run(), self._talk(engine), self._ping(ws), self._patience(), self._dropped(self._drop))
        tasks = [asyncio.ensure_future(job) for job in jobs]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.engine, self.connected, self.since, self.peer = None, False, self._clock.wall(), ""
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            await self._close(ws)
        self._explain(ends)

    def _explain(self, ends: list[BaseException | None]) -> None:
        """Say why the link ended; that we have dropped it goes before what the socket says of it then."""
        closed = [end for end in ends if isinstance(end, WsClosed)]
        if closed:
            text = f"link ended: {closed[-1].detail}"
            self.note(text)
            self._event("closed", text)
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, WsClosed):
                log.error("ocpp: link task failed", exc_info=end)
                self.note(f"link task failed: {end}")
                self._event("closed", self.last_error)

    @staticmethod
    async def _close(ws: WebSocket) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await ws.close()

    @staticmethod
    async def _dropped(drop: asyncio.Future[None]) -> None:
        await drop

    async def _ping(self, ws: WebSocket) -> None:
        """A peer that stops answering is noticed within interval plus time-out, also while TCP stays open."""
        while True:
            interval_s, timeout_s = self._ping_times()
            if await wait_for(self._ping_kick, interval_s or None):
                continue
            await ws.ping(float(timeout_s))

    async def _patience(self) -> None:
        """A target that is only tried out does not get for ever."""
        if self.target.name == ACTIVE:
            await asyncio.Event().wait()
        try:
            async with asyncio.timeout(STAGED_PATIENCE_S):
                await self._registered.wait()
        except TimeoutError:
            text = f"{self.target.name} target: not accepted by the CSMS within {STAGED_PATIENCE_S:g} s"
            raise WsClosed(clean=False, detail=text) from None
        await asyncio.Event().wait()
