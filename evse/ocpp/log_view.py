"""The message log as people read it: requests and answers paired, filtered by action, direction, connector and text."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from evse.domain.base import Frozen
from evse.ocpp.log import LoggedMessage
from evse.units import NS_PER_MS

_CONNECTOR = re.compile(r'"connectorId":(\d{1,4})\b')
_TRANSACTION = re.compile(r'"transactionId":(-?\d{1,19})\b')

PLACES_MAX = 256
"""Transactions whose connector is remembered."""


class PairedMessage(Frozen, frozen=True, kw_only=True):
    """A message with its other half. ``evse_id`` is that of the call (0 = the station, None = the call names none)."""

    message: LoggedMessage
    evse_id: int | None
    pair: int | None  # seq of the other half, None = it is not in the log (yet)
    latency_ms: int | None  # of an answer


class Filter(Frozen, frozen=True, kw_only=True):
    """What to show; "" and None = all."""

    action: str = ""
    direction: str = ""
    evse_id: int | None = None
    text: str = ""

    def takes(self, row: PairedMessage) -> bool:
        """Whether ``row`` meets all of it."""
        entry = row.message
        if self.action and entry.action.lower() != self.action.lower():
            return False
        if self.direction not in ("", entry.direction) or (self.evse_id is not None and row.evse_id != self.evse_id):
            return False
        wanted = self.text.lower()
        return not wanted or any(wanted in part.lower() for part in (entry.action, entry.unique_id, entry.payload))


class Pairing:
    """The messages of a log with their other halves, kept up to date: only what is new costs something.

    A unique id is used again when a message is repeated: an answer belongs to the last call of its id and direction.
    """

    def __init__(self) -> None:
        self._rows: dict[int, PairedMessage] = {}  # by seq, in order
        self._calls: dict[tuple[str, str], int] = {}  # (direction of the answer, id) -> seq of the call
        self._places: dict[str, int] = {}  # transaction -> connector
        self._last = 0

    def update(self, entries: Sequence[LoggedMessage]) -> list[PairedMessage]:
        """Take what ``entries`` (a whole log, in order) has new; return all rows that it still holds."""
        if not entries:
            return []
        new = next((index for index in range(len(entries), 0, -1) if entries[index - 1].seq <= self._last), 0)
        for entry in entries[new:]:
            self._take(entry)
        for seq in [seq for seq in self._rows if seq < entries[0].seq]:
            row = self._rows.pop(seq)
            key = (_other(row.message.direction), row.message.unique_id)
            if self._calls.get(key) == seq:
                del self._calls[key]
        while len(self._places) > PLACES_MAX:
            del self._places[next(iter(self._places))]
        return list(self._rows.values())

    def _take(self, entry: LoggedMessage) -> None:
        self._last = entry.seq
        if entry.type == "call":
            evse_id = _connector(entry.payload, self._places)
            self._calls[_other(entry.direction), entry.unique_id] = entry.seq
            self._rows[entry.seq] = PairedMessage(message=entry, evse_id=evse_id, pair=None, latency_ms=None)
            return
        at = self._calls.pop((entry.direction, entry.unique_id), None) if entry.type in ("result", "error") else None
        call = None if at is None else self._rows.get(at)
        if call is None:
            self._rows[entry.seq] = PairedMessage(message=entry, evse_id=None, pair=None, latency_ms=None)
            return
        self._rows[call.message.seq] = msgspec.structs.replace(call, pair=entry.seq)
        if entry.action == "StartTransaction" and call.evse_id is not None:
            number = _TRANSACTION.search(entry.payload)
            if number is not None:
                self._places[number[1]] = call.evse_id
        latency_ms = max(0, entry.wall - call.message.wall) // NS_PER_MS
        self._rows[entry.seq] = PairedMessage(
            message=entry, evse_id=call.evse_id, pair=call.message.seq, latency_ms=latency_ms
        )


def _other(direction: str) -> str:
    return "received" if direction == "sent" else "sent"


def _connector(payload: str, places: dict[str, int]) -> int | None:
    named, number = _CONNECTOR.search(payload), _TRANSACTION.search(payload)
    if named is not None:
        if number is not None:
            places[number[1]] = int(named[1])
        return int(named[1])
    return places.get(number[1]) if number is not None else None


def select(rows: Sequence[PairedMessage], wanted: Filter, limit: int) -> list[PairedMessage]:
    """Return the last ``limit`` rows that ``wanted`` takes, newest last."""
    found = [row for row in rows if wanted.takes(row)]
    return found[-limit:] if limit > 0 else []
