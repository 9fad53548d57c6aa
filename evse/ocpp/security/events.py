"""The security log: every event is kept on the medium, critical ones are told to the CSMS, in their order, until answered.

`SecurityLog.note` is cheap and may be called from anywhere; a task of its own writes. Repetitions of an event that is
not critical are counted instead of stored for `QUIET_NS`, so a back end that refuses the station for months does not
wear the flash.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import Final

import msgspec

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.security import SecurityEvent
from evse.ocpp.engine import CallTimeout
from evse.ocpp.messages import CallError, Payload, timestamp
from evse.ocpp.security.ports import Ask, EventStore
from evse.ocpp.security.tls import CLOCK_SET
from evse.transports.base import WsClosed
from evse.units import NS_PER_S, DurationNs, Instant, WallNs

log = logging.getLogger(__name__)

CRITICAL: Final = frozenset({
    "FirmwareUpdated", "SettingSystemTime", "StartupOfTheDevice", "ResetOrReboot", "SecurityLogWasCleared",
    "MemoryExhaustion", "TamperDetectionActivated",
})
"""Those that the whitepaper marks as critical: only they are sent."""

KINDS: Final = CRITICAL | {
    "FailedToAuthenticateAtCentralSystem", "CentralSystemFailedToAuthenticate", "ReconfigurationOfSecurityParameters",
    "InvalidMessages", "AttemptedReplayAttacks", "InvalidFirmwareSignature", "InvalidFirmwareSigningCertificate",
    "InvalidCentralSystemCertificate", "InvalidChargePointCertificate", "InvalidTLSVersion", "InvalidTLSCipherSuite",
}
"""All of the whitepaper (part 3). Others may be noted too; they are logged."""

_OF_2_0_1: Final = {
    "FailedToAuthenticateAtCsms": "FailedToAuthenticateAtCentralSystem",
    "CsmsFailedToAuthenticate": "CentralSystemFailedToAuthenticate",
    "InvalidCsmsCertificate": "InvalidCentralSystemCertificate",
    "InvalidChargingStationCertificate": "InvalidChargePointCertificate",
}

KIND_MAX, TECH_INFO_MAX = 50, 255
WAITING_MAX: Final = 256
"""Events in memory that wait for the medium; the oldest goes first, and the log says that some are missing."""

QUIET_NS: Final[DurationNs] = 600 * NS_PER_S
REMEMBERED_MAX: Final = 64
RETRY_S: Final = 60.0
REFUSALS_MAX: Final = 3
"""Error answers to one event after which it counts as refused: it stays in the log."""

NEVER_UNDERSTOOD: Final = frozenset({"NotImplemented", "NotSupported"})
"""Answers of a CSMS that does not know SecurityEventNotification: asking again is useless."""


class _Repeated(msgspec.Struct):
    since: Instant
    count: int = 0


class SecurityLog:
    """Notes, keeps and sends security events. `run` must run for anything to be stored or sent."""

    def __init__(self, store: EventStore, clock: Clock, ask: Ask) -> None:
        self.waiting = 0  # not yet answered, as far as they are stored
        self._store = store
        self._clock = clock
        self._ask = ask
        self._new: deque[SecurityEvent] = deque()
        self._lost = 0
        self._first = 0  # number of the last event of former processes
        self._repeated: dict[tuple[str, str], _Repeated] = {}
        self._writing = asyncio.Lock()
        self._written = asyncio.Event()
        self._kick = asyncio.Event()

    def note(self, kind: str, tech_info: str = "") -> None:
        """Take an event. Never waits, never raises; texts are cut and freed of control characters."""
        kind = _OF_2_0_1.get(kind, kind)[:KIND_MAX]
        tech_info = "".join(c if c.isprintable() else " " for c in tech_info)[:TECH_INFO_MAX]
        critical = kind in CRITICAL
        if not critical:
            known = self._repeated.get((kind, tech_info))
            if known is not None and self._clock.now() - known.since < QUIET_NS:
                known.count += 1
                return
            if known is not None and known.count:
                suffix = f" (and {known.count} times before)"
                tech_info_out = tech_info[: TECH_INFO_MAX - len(suffix)] + suffix
            else:
                tech_info_out = tech_info
            while len(self._repeated) >= REMEMBERED_MAX:
                self._repeated.pop(next(iter(self._repeated)))
            self._repeated[kind, tech_info] = _Repeated(self._clock.now())
            tech_info = tech_info_out
        log.info("security: %s %s", kind, tech_info)
        if len(self._new) >= WAITING_MAX:
            self._new.popleft()
            self._lost += 1
        state = "waiting" if critical else "logged"
        self._new.append(SecurityEvent(wall=self._clock.wall(), kind=kind, tech_info=tech_info, state=state))
        self._kick.set()

    async def open(self) -> None:
        """Note where the events of this process begin; before the first `flush`."""
        self._first = await self._store.security_last()
        self.waiting = await self._store.security_waiting()

    async def time_arrived(self, by: DurationNs) -> None:
        """The calendar is valid now and was not before: events of this process get the right time."""
        try:
            await self.flush()
            await self._store.security_retime(self._first, by, CLOCK_SET)
        except DeviceError as error:
            log.error("security log: events keep their wrong times: %s", error)

    async def flush(self) -> None:
        """Write what was noted; raises `DeviceError` with everything still waiting."""
        async with self._writing:
            await self._flush()

    async def _flush(self) -> None:
        while self._new or self._lost:
            batch = list(self._new)
            if self._lost:
                text = f"{self._lost} events before this one could not be stored"
                batch.insert(0, SecurityEvent(wall=self._clock.wall(), kind="MemoryExhaustion", tech_info=text, state="waiting"))
            await self._store.security_append(batch)
            self._lost = 0
            for event in batch:
                if self._new and self._new[0] is event:
                    self._new.popleft()
        self.waiting = await self._store.security_waiting()
        self._written.set()

    async def run(self) -> None:
        """Write and send for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write())
            group.create_task(self._send())

    def online(self) -> None:
        """The CSMS has accepted the station: send what waits."""
        self._written.set()

    async def _write(self) -> None:
        while True:
            await self._kick.wait()
            self._kick.clear()
            while True:
                try:
                    await self.flush()
                    break
                except DeviceError as error:
                    log.error("security log: %s; %d events wait for it", error, len(self._new))
                    await asyncio.sleep(RETRY_S)

    async def _send(self) -> None:
        """Send in order; a link that is down or a silent CSMS is waited for, errors count as refusals."""
        self._written.set()  # rows of the run before
        refusals = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if self.waiting else None):
                    await self._written.wait()
            self._written.clear()
            try:
                while (event := await self._store.security_next()) is not None:
                    try:
                        await self._ask("SecurityEventNotification", payload(event))
                    except CallError as error:
                        refusals += 1
                        if refusals < REFUSALS_MAX and error.code not in NEVER_UNDERSTOOD:
                            break
                        log.warning("security: the CSMS refuses %s: %s", event.kind, error)
                        await self._store.security_answered(event.seq, "refused")
                    else:
                        await self._store.security_answered(event.seq, "sent")
                    refusals = 0
                self.waiting = await self._store.security_waiting()
            except (CallTimeout, WsClosed):
                self.waiting = max(1, self.waiting)
            except DeviceError as error:
                log.error("security log: %s", error)
                self.waiting = max(1, self.waiting)

    async def events(self, limit: int) -> list[SecurityEvent]:
        """Return the newest events, oldest first."""
        return await self._store.security_events(limit)

    async def text(self, since: WallNs | None, until: WallNs | None, limit: int) -> str:
        """Return the log as text, one event per line with time, weight, kind and details; for GetLog."""
        rows = await self._store.security_events(limit, 0 if since is None else since, until)
        lines = [
            f"{timestamp(e.wall)} {'critical' if e.kind in CRITICAL else 'normal  '} {e.state:8} {e.kind}"
            + (f": {e.tech_info}" if e.tech_info else "")
            for e in rows
        ]
        return "".join(f"{line}\n" for line in lines)


def payload(event: SecurityEvent) -> Payload:
    """Return SecurityEventNotification."""
    made: Payload = {"type": event.kind[:KIND_MAX], "timestamp": timestamp(event.wall)}
    if event.tech_info:
        made["techInfo"] = event.tech_info[:TECH_INFO_MAX]
    return made
