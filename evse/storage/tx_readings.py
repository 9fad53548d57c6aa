"""Readings that wait for the StopTransaction of their transaction, as SQL. They go with the stop row (`outbox.append`)."""

from __future__ import annotations

import sqlite3

from evse.domain.records import TxReading


def add(db: sqlite3.Connection, reading: TxReading, drop: tuple[tuple[str, int], ...] = ()) -> None:
    """Append one; remove those of the same session at (context, wall) in ``drop``, which others stand for now."""
    db.execute(
        "INSERT OR IGNORE INTO tx_reading (session_id, wall, context, sampled) VALUES (?, ?, ?, ?)",
        (reading.session_id, reading.wall, reading.context, reading.sampled),
    )
    db.executemany(
        "DELETE FROM tx_reading WHERE session_id = ? AND context = ? AND wall = ?",
        [(reading.session_id, context, wall) for context, wall in drop],
    )


def load(db: sqlite3.Connection) -> list[TxReading]:
    """Return all, in their order."""
    rows = db.execute("SELECT session_id, wall, context, sampled FROM tx_reading ORDER BY reading_id")
    return [TxReading(session_id=r[0], wall=r[1], context=r[2], sampled=r[3]) for r in rows]


def sweep(db: sqlite3.Connection) -> None:
    """Remove those of transactions that are over or unknown (OCPP was switched off when they ended)."""
    db.execute(
        "DELETE FROM tx_reading WHERE session_id NOT IN (SELECT session_id FROM session WHERE ended_at IS NULL)"
    )
