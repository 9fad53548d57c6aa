"""Delivery of transaction messages: in strict order, each until it is answered.

A row is durable before it is sent, keeps its unique id and payload on every repetition, and leaves the store only
with its answer. What counts as a refusal: an error answer, or silence while the CSMS answers other calls. After
TransactionMessageAttempts refusals the row is parked with the reason, and with it all that comes after it in its session;
other sessions go on. So the messages of one session never change their order, and sessions do only when a parked one
is sent again: once by itself after `AGAIN_NS`, after a BootNotification, or by a person. Meter values that are refused
a second time are set aside, so that they do not hold back their StopTransaction for ever. Nothing is dropped.
A dead link or a CSMS that answers nothing at all is no refusal: the row waits.

A row is for one back end: the one that its session was first told to, or would have been. Rows of another one are not
sent and not dropped; `Outbox.move` or `Outbox.discard_all` decides. After an outage rows leave paced (`Pace`).

After a kill at any point the worst is a repetition with the same unique id (docs/ocpp.md, "Kill points").
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.records import ASIDE, OutboxRow
from evse.ocpp.engine import CallTimeout, Engine
from evse.ocpp.keys import Keys
from evse.ocpp.messages import CallError, Payload
from evse.ocpp.ports import StorePort
from evse.ocpp.time_source import VALID_FROM
from evse.units import NS_PER_S, DurationNs, Instant

log = logging.getLogger(__name__)

STORE_RETRY_S = 5.0
START, METER = "StartTransaction", "MeterValues"

AGAIN_NS: Final[DurationNs] = 3600 * NS_PER_S
"""So long after a row was parked its session is tried again, once."""

NUMBER_MAX = (1 << 63) - 1
"""Largest transaction number that can be stored."""

ROWS_MAX = 1000
"""Rows shown at once."""

NAMESPACE = "ocpp.queue"
"""Of the settings: name of the configured back end to the one that was reached under it last."""

BURST = 10
"""Messages that go at once after a pause, at least: those of a few transactions are never delayed."""

DEFAULT_PORTS = {"ws": 80, "wss": 443}

Answered = Callable[[OutboxRow, Payload], Awaitable[None]]


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction message as people see it. ``state``: waiting, parked, aside (its session has gone on without it),
    foreign (for another back end)."""

    row: OutboxRow
    state: str


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the messages of another back end."""

    moved: int
    parked: int  # their transactions have numbers of the other one: this one cannot know them


def backend_of(url: str) -> str:
    """Return what tells back ends apart: host, port unless it is the usual one, path with the station's name.

    Neither the scheme nor credentials count: the same CSMS is the same over TLS.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = "" if parts.port in (None, DEFAULT_PORTS.get(parts.scheme.lower())) else f":{parts.port}"
    return f"{host}{port}{parts.path.rstrip('/')}"


class Pace:
    """Lets ``per_s`` messages through each second; after a pause `BURST` or those of one second at once. Times in ns."""

    def __init__(self, per_s: Callable[[], int]) -> None:
        self._per_s = per_s
        self._full_at: Instant = 0  # when a whole burst may go again

    def wait_ns(self, now: Instant) -> DurationNs:
        """Return how long the next message has to wait; 0 = it goes now, and counts."""
        gap = NS_PER_S // self._per_s()
        burst_ns = gap * max(BURST, self._per_s())
        full_at = max(self._full_at, now) + gap
        if full_at - now > burst_ns:
            return full_at - now - burst_ns
        self._full_at = full_at
        return 0


class Outbox:
    """Sends what the store holds. ``answered`` is told of each answer after it is durable.

    ``backend`` = the CSMS of the present link, or of the last one; ``per_s`` = most messages a second; ``timeless`` is
    called while the first row has no valid time.
    """

    def __init__(
        self, store: StorePort, keys: Keys, clock: Clock, answered: Answered, *, backend: str, per_s: Callable[[], int],
        timeless: Callable[[], Awaitable[None]],
    ) -> None:
        self.waiting = 0  # for this back end
        self.parked = 0
        self.foreign = 0  # for another back end
        self.backend = backend
        self._configured = backend
        self._store = store
        self._keys = keys
        self._clock = clock
        self._answered = answered
        self._pace = Pace(per_s)
        self._kick = asyncio.Event()
        self._late = timeless
        self._said_so = False  # it was said that the queue waits for the time
        self._unfinished: tuple[OutboxRow, Payload] | None = None  # answered, but perhaps not durable or not told
        self._silence: tuple[int, int] | None = None  # (row, answers of the engine at its last time-out)
        self._again_at: Instant | None = None  # when parked sessions are tried again
        self._no_meters = False  # the last meter values that were decided about were refused for good

    def kick(self) -> None:
        """A row was stored."""
        self._kick.set()

    async def open(self) -> None:
        """Read who was reached last under the configured address, and how many rows there are."""
        self.backend = (await self._store.get_all(NAMESPACE)).get(self._configured, self._configured)
        await self.count()

    async def count(self) -> None:
        """Read how many rows there are."""
        self.waiting, self.parked = await self._store.outbox_counts(self.backend)
        self.foreign = await self._store.outbox_foreign(self.backend)

    # -- for people -----------------------------------------------------------------------------------------------

    async def rows(self, limit: int, after: int = 0) -> list[QueueRow]:
        """Return the first rows behind the row ``after`` in the order of their delivery, at most `ROWS_MAX`."""
        return [QueueRow(row=row, state=self._state(row)) for row in await self._store.outbox_rows(min(limit, ROWS_MAX), after)]

    def _state(self, row: OutboxRow) -> str:
        if row.backend not in ("", self.backend):
            return "foreign"
        if row.parked.startswith(ASIDE):
            return "aside"
        return "parked" if row.parked else "waiting"

    async def resend(self, row_id: int | None = None) -> int:
        """Let parked rows wait again, all or those of the session of one row; return how many."""
        count = await self._store.outbox_unpark(row_id)
        await self._changed()
        return count

    async def move(self) -> Moved:
        """Give the rows of another back end to the present one; what it cannot know is parked."""
        moved, parked = await self._store.outbox_move(self.backend)
        await self._changed()
        log.warning("ocpp: %d messages of another back end go to %s, %d are parked", moved, self.backend, parked)
        return Moved(moved=moved, parked=parked)

    async def discard_all(self, confirm: int) -> int | None:
        """Remove the rows of another back end; ``confirm`` = their number. None = it is another, nothing is removed."""
        count = await self._store.outbox_discard(self.backend, confirm)
        await self._changed()
        if count:
            log.warning("ocpp: %d messages of another back end were discarded on request", count)
        return count

    async def _changed(self) -> None:
        await self.count()
        self._kick.set()

    # -- delivery -------------------------------------------------------------------------------------------------

    async def use(self, url: str) -> None:
        """The station is registered at ``url``: what is for nobody in particular is for it, the rest of others waits."""
        self.backend = backend_of(url)
        if (await self._store.get_all(NAMESPACE)).get(self._configured) != self.backend:
            await self._store.put(NAMESPACE, self._configured, self.backend)
        self.foreign = await self._store.outbox_adopt(self.backend)
        if self.foreign:
            log.error("ocpp: %d messages are for another back end than %s; move or discard them: evsectl ocpp queue",
                      self.foreign, self.backend)

    async def run(self, engine: Engine, url: str) -> None:
        """Deliver rows over the link to ``url`` as long as it lives; raises `WsClosed`."""
        self._silence = None
        known = False
        while True:
            self._kick.clear()
            try:
                if not known:
                    await self.use(url)
                    await self.count()
                    self._try_again_later()
                    known = True
                pause_s = await self._next(engine)
            except DeviceError as error:
                log.error("ocpp: %s; the queue waits", error)
                pause_s = STORE_RETRY_S
            if pause_s > 0:
                await asyncio.sleep(pause_s)

    async def _next(self, engine: Engine) -> float:
        """Deliver the first row, or wait for one; return the pause in s before the next."""
        if self._unfinished is not None:
            return await self._finish(*self._unfinished)
        if self._again_at is not None and self._again_at <= self._clock.now():
            self._again_at = None
            await self._store.outbox_unpark(below=2 * self._limit())
            await self.count()
        row = await self._store.outbox_head(self.backend)
        if row is None:
            await self.count()
            await self._wait()
            return 0.0
        if row.created < VALID_FROM:
            return await self._without_time()
        wait_ns = self._pace.wait_ns(self._clock.now())
        return wait_ns / NS_PER_S if wait_ns else await self._deliver(engine, row)

    async def _wait(self) -> None:
        """Wait for a row, or for the time of another try."""
        wait_s = None if self._again_at is None else max(0, self._again_at - self._clock.now()) / NS_PER_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._kick.wait()

    def _try_again_later(self) -> None:
        if self.parked and self._again_at is None:
            self._again_at = self._clock.now() + AGAIN_NS

    def _limit(self) -> int:
        return self._keys.number("TransactionMessageAttempts")

    async def _without_time(self) -> float:
        await self._late()
        if not self._said_so:
            log.error("ocpp: the queue waits until the station knows the time; set its clock, NTP or useAsTimeSource")
            self._said_so = True
        return STORE_RETRY_S

    async def _deliver(self, engine: Engine, row: OutboxRow) -> float:
        """Send one row; return the pause in s before the next try (0 = go on)."""
        if row.action != START and row.transaction_id is None:
            await self._store.outbox_park(row.row_id, "StartTransaction of this session has no number from the CSMS")
            await self.count()
            return 0.0
        payload: Payload = msgspec.json.decode(row.payload)
        if row.action != START:
            payload["transactionId"] = row.transaction_id
        try:
            answer = await engine.call(row.action, payload, unique_id=row.unique_id)
        except CallError as error:
            return await self._refused(row, f"{error.code}: {error.description}")
        except CallTimeout as error:
            before, self._silence = self._silence, (row.row_id, engine.answers)
            if before is not None and before[0] == row.row_id and before[1] != engine.answers:
                return await self._refused(row, str(error))
            return float(self._keys.number("TransactionMessageRetryInterval"))
        self._silence = None
        if row.action == START:
            number = int(answer["transactionId"])
            if abs(number) > NUMBER_MAX:
                return await self._refused(row, f"transactionId {number} is out of range")
        self._unfinished = (row, answer)
        return await self._finish(row, answer)

    async def _finish(self, row: OutboxRow, answer: Payload) -> float:
        """Make an answer durable, then tell of it. May be repeated when the link ended, or the store failed, meanwhile."""
        if row.action == START:
            await self._store.outbox_started(row.row_id, row.session_id, int(answer["transactionId"]))
        else:
            await self._store.outbox_done(row.row_id)
        if row.action == METER:
            self._no_meters = False
        self._unfinished = None
        self.waiting = max(0, self.waiting - 1)
        await self._answered(row, answer)
        return 0.0

    async def _refused(self, row: OutboxRow, reason: str) -> float:
        """Count a refusal; the last of a round parks the row, that of a second round sets meter values aside."""
        attempts, limit = row.attempts + 1, self._limit()
        await self._store.outbox_attempted(row.row_id, attempts)
        if attempts % limit:
            return float(self._keys.number("TransactionMessageRetryInterval") * (attempts % limit))
        what, reason = f"{row.action} of session {row.session_id}", reason or "refused"
        if row.action == METER and (self._no_meters or attempts >= 2 * limit):
            self._no_meters = True
            await self._store.outbox_set_aside(row.row_id, reason)
            log.error("ocpp: %s is set aside after %d refusals: %s; its session goes on without it", what, attempts, reason)
        else:
            await self._store.outbox_park(row.row_id, reason)
            log.error("ocpp: %s is parked after %d refusals, and its session with it: %s", what, attempts, reason)
        await self.count()
        self._try_again_later()
        return 0.0
