"""Transactions that were recorded before the station knew the time: they get it when it is known (field-pains 7).

Whether they may begin at all says ``allowTxWithInvalidTime``. Their messages wait in the queue until the calendar is valid.
"""

from __future__ import annotations

import logging

import msgspec

from evse.domain.clock import Clock
from evse.domain.late_time import Fix, Marks
from evse.ocpp.messages import Payload, parse_timestamp, timestamp
from evse.ocpp.ports import StorePort
from evse.ocpp.time_source import VALID_FROM
from evse.units import DurationNs

log = logging.getLogger(__name__)


class LateTime:
    """Puts the records of one station right. `open` before this process stores anything of its own."""

    def __init__(self, store: StorePort, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._marks: Marks | None = None
        self._began = clock.now()
        self._by: DurationNs | None = None

    async def open(self) -> None:
        """Note where the records of this process begin; with a valid calendar put those of others right at once."""
        if not self._clock.wall_valid():
            self._marks = await self._store.time_marks()
        elif await self._store.times_missing(VALID_FROM):
            self._marks = await self._store.time_marks()
            await self.arrived(0)

    async def arrived(self, by: DurationNs) -> None:
        """The calendar is valid now and was not before: it has moved by ``by`` ns against monotonic time."""
        self._by = by
        await self.again()

    async def again(self) -> None:
        """Do what the store has refused when the time arrived."""
        if self._marks is None or self._by is None:
            return
        by = self._by
        began = self._clock.wall() - (self._clock.now() - self._began)
        fix = Fix(valid_from=VALID_FROM, by=by, began=began, marks=self._marks, retime=retime)
        changed = await self._store.correct_times(fix)
        self._marks = None
        log.info("ocpp: %d messages that were recorded without time have it now", changed)


def retime(payload: str, by: DurationNs) -> str:
    """Return the JSON object ``payload`` with ``by`` ns added to every ``timestamp`` in it that is not valid."""
    return msgspec.json.encode(_moved(msgspec.json.decode(payload), by)).decode()


def _moved(value: object, by: DurationNs) -> object:
    if isinstance(value, list):
        return [_moved(entry, by) for entry in value]
    if not isinstance(value, dict):
        return value
    found: Payload = {}
    for name, entry in value.items():
        wall = parse_timestamp(entry) if name == "timestamp" and isinstance(entry, str) else None
        found[name] = timestamp(wall + by) if wall is not None and wall < VALID_FROM else _moved(entry, by)
    return found
