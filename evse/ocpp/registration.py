"""Registration at the CSMS: BootNotification until it is Accepted, then heartbeats, and the time that both tell."""

from __future__ import annotations

import asyncio
from typing import Protocol

from evse.domain.clock import Clock
from evse.ocpp import v16
from evse.ocpp.engine import CallTimeout, Engine
from evse.ocpp.keys import Keys
from evse.ocpp.messages import CallError
from evse.ocpp.ports import ACTIVE, DialTarget, Identity
from evse.ocpp.time_source import TimeSource
from evse.ocpp.waiting import wait_for
from evse.transports.base import WsClosed
from evse.units import NS_PER_S, Instant, WallNs

ACCEPTED = "Accepted"
BOOT_RETRY_S = 60
"""Pause between BootNotifications when the CSMS gives none or no answer."""

BOOT_PAUSE_MAX_S = 86_400

SILENT_HEARTBEATS_MAX = 3
"""Heartbeats without any answer after which the link is dropped although pings are answered."""


class Unregistered(Exception):
    """The CSMS has taken the registration back in its answer to a later BootNotification."""


class Noter(Protocol):
    """Remembers what is wrong with the link."""

    def note(self, text: str) -> None:
        """Remember ``text``."""
        ...


class Registration:
    """What the CSMS thinks of the station. ``status``: Accepted, Pending, Rejected, "" before the first answer."""

    def __init__(self, identity: Identity, keys: Keys, clock: Clock, time: TimeSource, link: Noter) -> None:
        self.status = ""
        self.last_boot: WallNs | None = None  # when a BootNotification was last answered
        self.booted = False  # by a BootNotification over the present link
        self._identity = identity
        self._keys = keys
        self._clock = clock
        self._time = time
        self._link = link
        self._at = ""  # URL of the last accepted registration
        self._next_boot: Instant = 0
        self._boot_kick = asyncio.Event()
        self._lost = asyncio.Event()
        self._beat_kick = asyncio.Event()

    def kick(self) -> None:
        """HeartbeatInterval may have changed."""
        self._beat_kick.set()

    async def greet(self, engine: Engine, target: DialTarget) -> None:
        """Say hello on a new link; returns when the station is registered over it.

        A station that has not booted sends a Heartbeat, and BootNotification if that is answered with an error, if
        ``bootNotificationOnReconnect`` asks for it, or if this target is another one or only tried out.
        """
        self.booted = False
        new = target.url != self._at or target.name != ACTIVE
        if self.status == ACCEPTED and (new or self._keys.flag("bootNotificationOnReconnect")):
            self.status = ""
        if self.status == ACCEPTED:
            try:
                await self.heartbeat(engine)
            except CallError:
                self.status = ""
            except CallTimeout as error:
                self._link.note(str(error))
        if self.status != ACCEPTED:
            self._next_boot = self._clock.now()
            await self.register(engine)
        self._at = target.url

    async def register(self, engine: Engine) -> None:
        """BootNotification until it is Accepted; Pending and Rejected wait as long as the CSMS says."""
        self._boot_kick.clear()
        while self.status != ACCEPTED:
            wait_ns = self._next_boot - self._clock.now()
            if wait_ns > 0:
                await wait_for(self._boot_kick, wait_ns / NS_PER_S)
                continue  # a BootNotification that the CSMS has triggered may have been answered meanwhile
            self._next_boot = self._clock.now() + BOOT_RETRY_S * NS_PER_S
            try:
                await self.boot(engine)
            except (CallError, CallTimeout) as error:
                self._link.note(f"BootNotification: {error}")
        self._lost.clear()

    async def boot(self, engine: Engine) -> None:
        """Send BootNotification once and take its answer."""
        sent = self._clock.now()
        answer = await engine.call("BootNotification", v16.boot_payload(self._identity))
        self.last_boot = self._clock.wall()
        await self._time.learn(str(answer["currentTime"]), sent)
        interval = int(answer["interval"])
        self.status = str(answer["status"])
        self.booted = True
        pause_s = min(interval, BOOT_PAUSE_MAX_S) if interval > 0 else BOOT_RETRY_S
        self._next_boot = self._clock.now() + pause_s * NS_PER_S
        if self.status == ACCEPTED:
            if interval > 0:
                self._keys.learn("HeartbeatInterval", interval)
        else:
            self._link.note(f"BootNotification: {self.status}")
            self._lost.set()
        self._boot_kick.set()
        self._beat_kick.set()

    async def lost(self) -> None:
        """Wait until the CSMS takes the registration back; raises `Unregistered`."""
        await self._lost.wait()
        raise Unregistered

    async def heartbeat(self, engine: Engine) -> None:
        """Send Heartbeat and take the time of its answer."""
        self._time.again = False
        sent = self._clock.now()
        answer = await engine.call("Heartbeat", {})
        await self._time.learn(str(answer["currentTime"]), sent)

    async def beat(self, engine: Engine) -> None:
        """Heartbeats for ever; raises `WsClosed` when several in a row stay without any answer of the CSMS."""
        silent = 0
        due: Instant = self._next_beat()
        while True:
            began = self._clock.now()
            if self._time.again:
                due = began
            if began < due:
                if await wait_for(self._beat_kick, (due - began) / NS_PER_S):
                    due = min(due, self._next_beat())
                continue
            answers = engine.answers
            try:
                await self.heartbeat(engine)
                silent = 0
            except CallError as error:
                self._link.note(f"Heartbeat: {error}")
            except CallTimeout as error:
                self._link.note(str(error))
                silent = silent + 1 if engine.answers == answers else 0
                if silent >= SILENT_HEARTBEATS_MAX:
                    raise WsClosed(clean=False, detail=f"no answer to {silent} heartbeats") from error
            due = self._next_beat()

    def _next_beat(self) -> Instant:
        return self._clock.now() + self._keys.number("HeartbeatInterval") * NS_PER_S
