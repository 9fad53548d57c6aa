"""Readings of running transactions that StopTransaction will carry: sampled, clock-aligned and signed ones.

They are durable with the message that tells the same values, so a power cut does not shorten ``transactionData``. A StopTransaction
that no back end accepts would be worse than a coarse one: at most `ENTRIES_MAX` readings and `BYTES_MAX` bytes are kept, and
beyond that every second one goes. Begin and end always stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from evse.domain.records import TxReading
from evse.ocpp.messages import Payload, timestamp

ENTRIES_MAX = 100
BYTES_MAX = 48 * 1024
SESSIONS_MAX = 32
"""Transactions whose readings are in memory, those that have just ended included; the oldest goes."""

Drop = tuple[tuple[str, int], ...]
"""(context, wall) of readings that others stand for now."""

_SAMPLED = msgspec.json.Decoder(list[Payload])


class TxData:
    """What is kept for the transactions of one station."""

    def __init__(self) -> None:
        self._kept: dict[str, list[TxReading]] = {}

    def load(self, readings: Sequence[TxReading]) -> None:
        """Take what a process before this one has kept."""
        for reading in readings:
            self._kept.setdefault(reading.session_id, []).append(reading)

    def keep(self, session_id: str, wall: int, context: str, values: list[Payload]) -> tuple[TxReading, Drop]:
        """Keep a reading; return it as it is stored, and what it takes the place of."""
        reading = TxReading(
            session_id=session_id, wall=wall, context=context, sampled=msgspec.json.encode(values).decode()
        )
        kept = self._kept.setdefault(session_id, [])
        kept.append(reading)
        dropped: list[TxReading] = []
        while len(kept) > ENTRIES_MAX or (len(kept) > 2 and sum(len(one.sampled) for one in kept) > BYTES_MAX):
            dropped += kept[1:-1:2]
            del kept[1:-1:2]
        while len(self._kept) > SESSIONS_MAX:
            self._kept.pop(next(iter(self._kept)))
        return reading, tuple((one.context, one.wall) for one in dropped)

    def of(self, session_id: str, contexts: Sequence[str]) -> list[Payload]:
        """Return the kept readings of a transaction as MeterValue objects, in their order."""
        return [
            {"timestamp": timestamp(one.wall), "sampledValue": _SAMPLED.decode(one.sampled)}
            for one in self._kept.get(session_id, ()) if one.context in contexts
        ]
