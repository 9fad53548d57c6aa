"""The station's own list of cards and vehicles as SQL. Every function runs inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from evse.domain.whitelist import Entry, Kind
from evse.units import WallNs


def load(db: sqlite3.Connection) -> list[Entry]:
    """Return all entries in the order of their ids."""
    rows = db.execute(
        "SELECT id, kind, name, allow, expires_at, created_at, used_at FROM whitelist ORDER BY id"
    ).fetchall()
    return [
        Entry(
            id=row[0], kind=Kind(row[1]), name=row[2], allow=bool(row[3]), expires_at=row[4], created_at=row[5],
            used_at=row[6],
        )
        for row in rows
    ]  # fmt: skip


def change(db: sqlite3.Connection, put: Sequence[Entry], remove: Sequence[str], *, clear: bool) -> None:
    """Remove everything (``clear``) or the ids ``remove``, then insert or replace ``put``."""
    if clear:
        db.execute("DELETE FROM whitelist")
    db.executemany("DELETE FROM whitelist WHERE id = ?", [(entry_id,) for entry_id in remove])
    db.executemany(
        "INSERT OR REPLACE INTO whitelist (id, kind, name, allow, expires_at, created_at, used_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(e.id, e.kind.value, e.name, int(e.allow), e.expires_at, e.created_at, e.used_at) for e in put],
    )


def used(db: sqlite3.Connection, entry_id: str, at: WallNs) -> None:
    """Note when an entry last gave permission."""
    db.execute("UPDATE whitelist SET used_at = ? WHERE id = ?", (at, entry_id))
