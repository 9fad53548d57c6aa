"""The outbox as SQL: transaction messages in the order in which they must be delivered.

Every function runs inside the caller's transaction. Laws: a row leaves only with its answer; ``row_id`` never
comes back; a session gets one start row and one stop row in its life (``start_uid``/``stop_uid`` outlive the rows);
no meter row follows the stop row of its session; while a row is parked, what comes after it in its session is parked too,
so that the messages of one session never change their order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from evse.domain.base import check
from evse.domain.records import ASIDE, NUMBERED, OutboxRow

METER_ROWS_MAX = 10_000
"""MeterValues rows that may wait. Beyond it every second one is dropped, oldest half first; starts and stops never."""

START, STOP, METER = "StartTransaction", "StopTransaction", "MeterValues"

_PARKED = f"parked <> '' AND parked NOT LIKE '{ASIDE}%'"

_COLUMNS = "row_id, unique_id, action, session_id, payload, created, transaction_id, attempts, parked, backend"


def _row(values: Sequence[object]) -> OutboxRow:
    row_id, unique_id, action, session_id, payload, created, transaction_id, attempts, parked, backend = values
    return OutboxRow(
        row_id=row_id, unique_id=unique_id, action=action, session_id=session_id, payload=payload,  # type: ignore[arg-type]
        created=created, transaction_id=transaction_id, attempts=attempts, parked=parked,  # type: ignore[arg-type]
        backend=backend,  # type: ignore[arg-type]
    )


def append(db: sqlite3.Connection, row: OutboxRow) -> bool:
    """Store a row at the end; return False when its session is not stored yet, has that row already, or is stopped.

    A start says which back end the session is for; its later rows are for the same one, whatever they say.
    """
    found = db.execute(
        "SELECT start_uid, stop_uid, transaction_id, backend FROM session WHERE session_id = ?", (row.session_id,)
    ).fetchone()
    if found is None:
        return False
    start_uid, stop_uid, transaction_id, backend = found
    if stop_uid is not None or (row.action == START and start_uid is not None):
        return False
    if row.action == METER and start_uid is None:
        return False  # the transaction never went to this CSMS (OCPP was off when it began)
    if row.action == START:
        backend = row.backend
    held = db.execute(
        f"SELECT action FROM outbox WHERE session_id = ? AND {_PARKED} ORDER BY row_id LIMIT 1", (row.session_id,)
    ).fetchone()
    inserted = db.execute(
        "INSERT OR IGNORE INTO outbox (unique_id, action, session_id, payload, created, transaction_id, backend, parked) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (row.unique_id, row.action, row.session_id, row.payload, row.created, transaction_id, backend,
         "" if held is None else _behind(held[0])),
    ).rowcount
    if row.action == START:
        db.execute(
            "UPDATE session SET start_uid = ?, backend = ? WHERE session_id = ?", (row.unique_id, backend, row.session_id)
        )
    elif row.action == STOP:
        db.execute("UPDATE session SET stop_uid = ? WHERE session_id = ?", (row.unique_id, row.session_id))
        db.execute("DELETE FROM tx_reading WHERE session_id = ?", (row.session_id,))
    else:
        _thin(db)
    return inserted > 0


def _behind(action: str) -> str:
    return f"waits behind the parked {action} of its session"


def _thin(db: sqlite3.Connection) -> None:
    count = int(db.execute("SELECT count(*) FROM outbox WHERE action = ?", (METER,)).fetchone()[0])
    if count > METER_ROWS_MAX:
        db.execute(
            "DELETE FROM outbox WHERE row_id IN (SELECT row_id FROM "
            "(SELECT row_id, row_number() OVER (ORDER BY row_id) n FROM outbox WHERE action = ?) "
            "WHERE n % 2 = 0 AND n <= ?)",
            (METER, METER_ROWS_MAX // 2),
        )


def head(db: sqlite3.Connection, backend: str = "") -> OutboxRow | None:
    """Return the first row for ``backend`` that is not parked; "" = for anybody."""
    theirs = "" if backend == "" else " AND backend IN ('', ?)"
    values = () if backend == "" else (backend,)
    found = db.execute(f"SELECT {_COLUMNS} FROM outbox WHERE parked = ''{theirs} ORDER BY row_id LIMIT 1", values).fetchone()
    return None if found is None else _row(found)


def rows(db: sqlite3.Connection, limit: int, after: int = 0) -> list[OutboxRow]:
    """Return the first rows behind the row ``after``, parked ones included, in order."""
    found = db.execute(f"SELECT {_COLUMNS} FROM outbox WHERE row_id > ? ORDER BY row_id LIMIT ?", (after, limit))
    return [_row(values) for values in found]


def counts(db: sqlite3.Connection, backend: str = "") -> tuple[int, int]:
    """Return (waiting, parked) for ``backend``, "" = for anybody; rows that were set aside are neither."""
    waiting, parked = db.execute(
        f"SELECT coalesce(sum(parked = ''), 0), coalesce(sum({_PARKED}), 0) FROM outbox WHERE ? IN ('', backend) OR backend = ''",
        (backend,),
    ).fetchone()
    return int(waiting), int(parked)


def start_waits(db: sqlite3.Connection, session_id: str) -> bool:
    """Tell whether the start row of a session is still there (waiting or parked)."""
    return db.execute(
        "SELECT 1 FROM outbox WHERE session_id = ? AND action = ? LIMIT 1", (session_id, START)
    ).fetchone() is not None


def done(db: sqlite3.Connection, row_id: int) -> None:
    """Remove a row whose answer arrived."""
    db.execute("DELETE FROM outbox WHERE row_id = ?", (row_id,))


def started(db: sqlite3.Connection, row_id: int, session_id: str, transaction_id: int) -> None:
    """The CSMS answered StartTransaction: number the session and all its waiting rows, and remove the start row."""
    db.execute("UPDATE session SET transaction_id = ? WHERE session_id = ?", (transaction_id, session_id))
    db.execute("UPDATE outbox SET transaction_id = ? WHERE session_id = ?", (transaction_id, session_id))
    db.execute("DELETE FROM outbox WHERE row_id = ?", (row_id,))


def attempted(db: sqlite3.Connection, row_id: int, attempts: int) -> None:
    """Record how often the CSMS has refused a row."""
    db.execute("UPDATE outbox SET attempts = ? WHERE row_id = ?", (attempts, row_id))


def park(db: sqlite3.Connection, row_id: int, reason: str) -> None:
    """Give up on a row for now, and on all that comes after it in its session; they stay stored with the reason."""
    check(reason != "", "outbox: a row is parked with a reason")
    db.execute("UPDATE outbox SET parked = ? WHERE row_id = ?", (reason[:200], row_id))
    found = db.execute("SELECT session_id, action FROM outbox WHERE row_id = ?", (row_id,)).fetchone()
    if found is not None:
        db.execute(
            "UPDATE outbox SET parked = ? WHERE session_id = ? AND row_id > ? AND parked = ''",
            (_behind(found[1]), found[0], row_id),
        )


def set_aside(db: sqlite3.Connection, row_id: int, reason: str) -> None:
    """Keep a row for people; its session goes on without it, so it is never sent any more."""
    db.execute("UPDATE outbox SET parked = ? WHERE row_id = ?", (f"{ASIDE}{reason}"[:200], row_id))


def unpark(db: sqlite3.Connection, row_id: int | None = None, *, below: int | None = None) -> int:
    """Let all parked rows wait again, at their old places; return how many.

    ``row_id`` = only those of the session that this row belongs to; without it those stay that carry the number of another
    back end. ``below`` = only sessions with a row that was refused, but less often than that. Meter values whose stop was
    answered meanwhile (by a release before) stay parked: nothing follows the stop of a transaction.
    """
    which = (
        " AND NOT (action = ? AND session_id IN (SELECT session_id FROM session WHERE stop_uid IS NOT NULL) AND NOT EXISTS "
        "(SELECT 1 FROM outbox AS other WHERE other.session_id = outbox.session_id AND other.action = ?))"
    )
    values: tuple[object, ...] = (METER, STOP)
    if row_id is not None:
        which += " AND session_id = (SELECT session_id FROM outbox WHERE row_id = ?)"
        values = (*values, row_id)
    else:
        which += " AND session_id NOT IN (SELECT session_id FROM outbox WHERE parked = ?)"
        values = (*values, NUMBERED)
    if below is not None:
        which += f" AND session_id IN (SELECT session_id FROM outbox WHERE {_PARKED} AND attempts > 0 AND attempts < ?)"
        values = (*values, below)
    return db.execute(f"UPDATE outbox SET parked = '' WHERE {_PARKED}{which}", values).rowcount


def adopt(db: sqlite3.Connection, backend: str) -> int:
    """Give everything that is for nobody in particular to ``backend``; return how many rows are for another one."""
    db.execute("UPDATE outbox SET backend = ? WHERE backend = ''", (backend,))
    db.execute("UPDATE session SET backend = ? WHERE backend = '' AND start_uid IS NOT NULL", (backend,))
    return foreign(db, backend)


def foreign(db: sqlite3.Connection, backend: str) -> int:
    """Return how many rows are for another back end than ``backend``."""
    return int(db.execute("SELECT count(*) FROM outbox WHERE backend NOT IN ('', ?)", (backend,)).fetchone()[0])


def move(db: sqlite3.Connection, backend: str) -> tuple[int, int]:
    """Give the rows of other back ends to ``backend``; return (moved, set aside).

    A session whose start another back end has answered has a number that ``backend`` does not know: its rows are parked.
    """
    aside = db.execute(
        f"UPDATE outbox SET parked = CASE WHEN parked LIKE '{ASIDE}%' THEN parked ELSE ? END, backend = ? "
        "WHERE backend NOT IN ('', ?) AND NOT EXISTS "
        "(SELECT 1 FROM outbox AS other WHERE other.session_id = outbox.session_id AND other.action = ?)",
        (NUMBERED, backend, backend, START),
    ).rowcount
    db.execute(
        "UPDATE session SET backend = ? WHERE session_id IN (SELECT session_id FROM outbox WHERE backend NOT IN ('', ?))",
        (backend, backend),
    )
    moved = db.execute("UPDATE outbox SET backend = ? WHERE backend NOT IN ('', ?)", (backend, backend)).rowcount
    return moved, aside


def discard(db: sqlite3.Connection, backend: str, expected: int) -> int | None:
    """Remove the rows of other back ends; None = there are not ``expected`` of them, nothing is removed."""
    if foreign(db, backend) != expected:
        return None
    return db.execute("DELETE FROM outbox WHERE backend NOT IN ('', ?)", (backend,)).rowcount
