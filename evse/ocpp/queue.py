"""Delivery of transaction messages: in strict order, each until it is answered.

A row is durable before it is sent, keeps its unique id and payload on every repetition, and leaves the store only
with its answer. What counts as a refusal: an error answer, or silence while the CSMS answers other calls. After
TransactionMessageAttempts refusals the row is parked with the reason, never dropped; all others wait meanwhile.
A dead link or a CSMS that answers nothing at all is no refusal: the row waits.

After a kill at any point the worst is a repetition with the same unique id (docs/ocpp.md, "Kill points").
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from evse.domain.base import DeviceError
from evse.domain.records import OutboxRow
from evse.ocpp.engine import CallTimeout, Engine
from evse.ocpp.keys import Keys
from evse.ocpp.messages import CallError, Payload
from evse.ocpp.ports import StorePort

log = logging.getLogger(__name__)

STORE_RETRY_S = 5.0
START = "StartTransaction"
NUMBER_MAX = (1 << 63) - 1
"""Largest transaction number that can be stored."""

Answered = Callable[[OutboxRow, Payload], Awaitable[None]]


class Outbox:
    """Sends what the store holds. ``answered`` is told of each answer after it is durable."""

    def __init__(self, store: StorePort, keys: Keys, answered: Answered) -> None:
        self.waiting = 0
        self.parked = 0
        self._store = store
        self._keys = keys
        self._answered = answered
        self._kick = asyncio.Event()
        self._silence: tuple[int, int] | None = None  # (row, answers of the engine at its last time-out)

    def kick(self) -> None:
        """A row was stored."""
        self._kick.set()

    async def count(self) -> None:
        """Read how many rows there are."""
        self.waiting, self.parked = await self._store.outbox_counts()

    async def run(self, engine: Engine) -> None:
        """Deliver rows as long as the link lives; raises `WsClosed`."""
        self._silence = None
        while True:
            self._kick.clear()
            try:
                row = await self._store.outbox_head()
                await self.count()
                if row is None:
                    await self._kick.wait()
                    continue
                pause_s = await self._deliver(engine, row)
            except DeviceError as error:
                log.error("ocpp: %s; the queue waits", error)
                pause_s = STORE_RETRY_S
            if pause_s > 0:
                await asyncio.sleep(pause_s)

    async def _deliver(self, engine: Engine, row: OutboxRow) -> float:
        """Send one row; return the pause in s before the next try (0 = go on)."""
        if row.action != START and row.transaction_id is None:
            await self._store.outbox_park(row.row_id, "StartTransaction of this session has no number from the CSMS")
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
            await self._store.outbox_started(row.row_id, row.session_id, number)
        else:
            await self._store.outbox_done(row.row_id)
        await self.count()
        await self._answered(row, answer)
        return 0.0

    async def _refused(self, row: OutboxRow, reason: str) -> float:
        attempts = row.attempts + 1
        await self._store.outbox_attempted(row.row_id, attempts)
        if attempts >= self._keys.number("TransactionMessageAttempts"):
            await self._store.outbox_park(row.row_id, reason or "refused")
            what = f"{row.action} of session {row.session_id}"
            log.error("ocpp: %s is parked after %d refusals: %s", what, attempts, reason)
            return 0.0
        return float(self._keys.number("TransactionMessageRetryInterval") * attempts)
