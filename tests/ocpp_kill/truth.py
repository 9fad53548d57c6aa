"""What really happened, and whether the CSMS has the same in its books.

The truth has two halves: the meters (`Visit`: registers that no process can change) and the promises (`Witness`: which
calls of the store have returned, so which rows may never be lost). The CSMS's half is `BookCsms`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from evse.domain.records import OutboxRow
from evse.domain.session import SessionRecord
from evse.domain.signing import SignedValues
from evse.lab.sessions import compare_ledger
from evse.ocpp.v16 import row_id_for
from evse.sim.csms import Json, SimCsms

BEHIND_MAX_S = 30 + 10 + 2
"""A cut session may end this much before the cut: samples wait 30 s at most and are taken every 10 s (docs/storage.md).
The time for which a full disk has refused them comes on top."""

START, METER, STOP = "StartTransaction", "MeterValues", "StopTransaction"


def signed_of(session_id: str, *, end: bool = False) -> SignedValues | None:
    """What the meter signs for a visit: every second one has such a meter."""
    if int(session_id[1:]) % 2:
        return None
    texts = [f'OCMF|{{"ID":"{session_id}","RD":[{{"TX":"{kind}"}}]}}|{{"SD":"30"}}' for kind in "BE"]
    return SignedValues(begin=texts[0], end=texts[1] if end else "")


class Visit(msgspec.Struct):
    """One vehicle at one EVSE, as its meter saw it."""

    session_id: str
    evse_id: int
    id_token: str
    start_wh: int
    power_w: int
    now_wh: int = 0  # register
    energised: bool = False  # the start was durable and told so
    ended_wh: int | None = None  # register at the regular end, wanted of the store
    cut: bool = False  # by the end of a process
    refused_s: int = 0  # how long before that a full disk had refused samples


class Witness:
    """A store that remembers what it has promised."""

    def __init__(self, store: Any, promised: list[OutboxRow], ended: set[str], parked: set[str], aside: set[str]) -> None:
        self._parked = parked
        self._aside = aside
        self._store = store
        self._promised = promised
        self._ended = ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def begin_transaction(self, session: SessionRecord, row: OutboxRow | None) -> None:
        """Energy may flow when this has returned."""
        await self._store.begin_transaction(session, row)
        self._promise(row)

    async def end_transaction(self, session: SessionRecord, row: OutboxRow | None) -> None:
        """The stop will be told when this has returned."""
        await self._store.end_transaction(session, row)
        self._ended.add(session.session_id)
        self._promise(row)

    async def outbox_append(self, row: OutboxRow, *rest: Any) -> bool:
        """Meter values of a transaction."""
        stored: bool = await self._store.outbox_append(row, *rest)
        if stored:
            self._promise(row)
        return stored

    async def outbox_park(self, row_id: int, reason: str) -> None:
        """The CSMS has refused a message of a session too often: other sessions go before it."""
        rows = await self._store.outbox_rows(10_000)
        self._parked.update(row.session_id for row in rows if row.row_id == row_id)
        await self._store.outbox_park(row_id, reason)

    async def outbox_set_aside(self, row_id: int, reason: str) -> None:
        """The CSMS has refused meter values in two rounds: they are kept, and their session goes on."""
        rows = await self._store.outbox_rows(10_000)
        self._aside.update(row.unique_id for row in rows if row.row_id == row_id and row.action == METER)
        await self._store.outbox_set_aside(row_id, reason)

    def _promise(self, row: OutboxRow | None) -> None:
        if row is not None and all(row.unique_id != known.unique_id for known in self._promised):
            self._promised.append(row)


class BookCsms(SimCsms):
    """Remembers each transaction message when it is carried out for the first time, in order, with its answer."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.book: dict[str, tuple[str, Json, Json]] = {}

    def handle(self, charge_point: str, unique_id: str, action: str, payload: Json, *rest: Any) -> Json | None:
        """As the simulator does."""
        answer = super().handle(charge_point, unique_id, action, payload, *rest)
        if action in (START, METER, STOP) and answer is not None and unique_id not in self.book:
            self.book[unique_id] = (action, payload, answer)
        return answer


def judge(
    csms: BookCsms, promised: Sequence[OutboxRow], ended: set[str], visits: Sequence[Visit],
    stored: Sequence[SessionRecord], parked: set[str], aside: set[str],
) -> list[str]:
    """Return every difference between the books and the truth; nothing is waiting any more.

    ``parked`` = sessions of which the CSMS itself has refused a message too often: other sessions go before them, so
    their starts may come late (docs/ocpp.md). They still arrive whole, once and in order, with their numbers and Wh.
    ``aside`` = meter values that it has refused in two rounds.
    """
    late = {session.transaction_id for session in stored if session.session_id in parked}
    found = [text for text in compare_ledger(stored, csms.ledger()) if not _excused(text, late)]
    found += _delivery(csms, promised, aside)
    found += _energy(csms.ledger()["transactions"], ended, visits, stored)
    found += _signed(csms, promised)
    if csms.ledger()["open"]:
        found.append(f"transactions still open: {csms.ledger()['open']}")
    return found


def _excused(violation: str, late: set[int | None]) -> bool:
    found = re.search(r"transaction (\d+): starts on connector \d+ while (\d+) runs", violation)
    return found is not None and any(number is not None and int(number) in late for number in found.groups())


def _delivery(csms: BookCsms, promised: Sequence[OutboxRow], aside: set[str]) -> list[str]:
    """Each promised message arrived, in the order of the promises of its session, with the number of its own start."""
    found = []
    place = {unique_id: index for index, unique_id in enumerate(csms.book)}
    last: dict[str, int] = {}
    for row in promised:
        if row.unique_id not in place:
            if row.unique_id in aside:
                continue
            found.append(f"lost: {row.action} of {row.session_id} ({row.unique_id})")
            continue
        action, payload, _ = csms.book[row.unique_id]
        if action != row.action:
            found.append(f"{row.unique_id} was promised as {row.action} and sent as {action}")
        start = csms.book.get(row_id_for(row.session_id, "start"))
        number = start[2]["transactionId"] if start is not None else None
        if action != START and payload["transactionId"] != number:
            found.append(f"mis-numbered: {action} of {row.session_id} as {payload['transactionId']}, its start got {number}")
        if last.get(row.session_id, -1) > place[row.unique_id]:
            found.append(f"reordered: {action} of {row.session_id} ({row.unique_id})")
        last[row.session_id] = place[row.unique_id]
    return found


def _signed(csms: BookCsms, promised: Sequence[OutboxRow]) -> list[str]:
    """The signed begin reaches the CSMS with each stop, the signed end with those that no cut has made."""
    found = []
    for row in promised:
        if row.action != STOP or row.unique_id not in csms.book:
            continue
        payload = csms.book[row.unique_id][1]
        values = [value for entry in payload.get("transactionData", []) for value in entry["sampledValue"]]
        told = [value["value"] for value in values if value.get("format") == "SignedData"]
        whole = signed_of(row.session_id, end=True)
        wanted = [] if whole is None else [whole.begin] if payload.get("reason") == "PowerLoss" else [whole.begin, whole.end]
        if told != wanted:
            found.append(f"signed values of {row.session_id}, {payload.get('reason', 'Local')}: {told} instead of {wanted}")
    return found


def _energy(
    transactions: Sequence[Json], ended: set[str], visits: Sequence[Visit], stored: Sequence[SessionRecord]
) -> list[str]:
    """Registers of the ledger against the meters."""
    found = []
    books = {row["transaction_id"]: row for row in transactions}
    numbers = {session.session_id: session.transaction_id for session in stored}
    energies = {session.session_id: session.energy_wh for session in stored if session.started_at is not None}
    for visit in visits:
        row = books.get(numbers.get(visit.session_id))  # type: ignore[arg-type]
        if row is None:
            if visit.energised:
                found.append(f"{visit.session_id}: energy flowed and the CSMS knows nothing of it")
            continue
        stop = row["meter_stop_wh"]
        if (row["connector_id"], row["id_token"]) != (visit.evse_id, visit.id_token):
            found.append(f"{visit.session_id}: connector {row['connector_id']} or card {row['id_token']} is wrong")
        if row["meter_start_wh"] != visit.start_wh:
            found.append(f"{visit.session_id}: starts at {row['meter_start_wh']}, the meter at {visit.start_wh} Wh")
        if stop is None:
            continue
        least = visit.now_wh - visit.power_w * (BEHIND_MAX_S + visit.refused_s) // 3600 - 1
        if not visit.energised:
            least = visit.start_wh
        if visit.ended_wh is not None and (row["stop_reason"] != "PowerLoss" or (visit.session_id in ended and not visit.cut)):
            if stop != visit.ended_wh:
                found.append(f"{visit.session_id}: stops at {stop}, the meter at {visit.ended_wh} Wh")
        elif not max(least, visit.start_wh) <= stop <= visit.now_wh:
            found.append(f"{visit.session_id}: cut at {stop}, the meter at {visit.now_wh} Wh")
    theirs = sum((row["meter_stop_wh"] or 0) - row["meter_start_wh"] for row in transactions)
    if theirs != sum(energies.values()):
        found.append(f"energy: {theirs} Wh in the ledger, {sum(energies.values())} Wh here")
    return found
