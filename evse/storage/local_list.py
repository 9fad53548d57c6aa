"""The local authorisation list as SQL. Every function runs inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from evse.domain.records import CachedToken
from evse.storage import records

NAMESPACE, VERSION = "ocpp.local_list", "version"


def version(db: sqlite3.Connection) -> int:
    """Return the version of the last update that was applied, 0 = there never was one."""
    return int(records.get(db, NAMESPACE, VERSION) or "0")


def count(db: sqlite3.Connection) -> int:
    """Return the number of entries."""
    return int(db.execute("SELECT count(*) FROM local_list").fetchone()[0])


def get(db: sqlite3.Connection, id_token: str) -> CachedToken | None:
    """Return an entry without regard to case."""
    row = db.execute(
        "SELECT id_token, status, parent, expires_at FROM local_list WHERE id_token = ?", (id_token.upper(),)
    ).fetchone()
    return None if row is None else CachedToken(id_token=row[0], status=row[1], parent=row[2], expires_at=row[3])


def apply(
    db: sqlite3.Connection, new_version: int, *, full: bool, put: Sequence[CachedToken], remove: Sequence[str],
    most: int,
) -> bool:
    """Replace the list (``full``) or change it, and set its version. False = more than ``most`` entries.

    The caller rolls back what was done when False comes back.
    """
    if full:
        db.execute("DELETE FROM local_list")
    db.executemany("DELETE FROM local_list WHERE id_token = ?", [(name.upper(),) for name in remove])
    db.executemany(
        "INSERT OR REPLACE INTO local_list (id_token, status, parent, expires_at) VALUES (?, ?, ?, ?)",
        [(entry.id_token.upper(), entry.status, entry.parent, entry.expires_at) for entry in put],
    )
    records.put(db, NAMESPACE, VERSION, str(new_version))
    return count(db) <= most
