"""Events, audit, settings and cached tokens as SQL. Every function runs inside the caller's transaction."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from evse.domain.records import AuditRecord, CachedToken
from evse.domain.view import Event

EVENTS_MAX = 200_000
"""Events kept, oldest go first."""

AUDITS_MAX = 50_000
"""Audit rows kept, oldest go first."""

CACHE_MAX = 1000
"""Cached tokens kept; the least recently used go first."""

_DATA = msgspec.json.Decoder(dict[str, str | int | bool | None])


def append_events(db: sqlite3.Connection, events: Sequence[Event]) -> None:
    """Store events; one whose number is stored already is skipped, so repeating a call is safe."""
    db.executemany(
        "INSERT OR IGNORE INTO event (seq, wall, kind, evse_id, data) VALUES (?, ?, ?, ?, ?)",
        [(e.seq, e.wall, e.kind, e.evse_id, msgspec.json.encode(e.data).decode()) for e in events],
    )
    db.execute("DELETE FROM event WHERE seq <= (SELECT max(seq) FROM event) - ?", (EVENTS_MAX,))


def events(
    db: sqlite3.Connection, kind_prefix: str, evse_id: int, limit: int, offset: int
) -> tuple[list[Event], int]:
    """Return (one page newest first, number of all matches). ``evse_id`` -1 = all."""
    where: list[str] = []
    values: list[object] = []
    if kind_prefix:
        where.append("substr(kind, 1, ?) = ?")
        values += [len(kind_prefix), kind_prefix]
    if evse_id >= 0:
        where.append("evse_id = ?")
        values.append(evse_id)
    clause = f" WHERE {' AND '.join(where)}" if where else ""
    total = int(db.execute(f"SELECT count(*) FROM event{clause}", values).fetchone()[0])
    rows = db.execute(
        f"SELECT seq, wall, kind, evse_id, data FROM event{clause} ORDER BY seq DESC LIMIT ? OFFSET ?",
        (*values, limit, offset),
    )
    return [Event(seq=r[0], wall=r[1], kind=r[2], evse_id=r[3], data=_DATA.decode(r[4])) for r in rows], total


def events_between(db: sqlite3.Connection, evse_id: int, since: int, until: int, limit: int) -> list[Event]:
    """Return events of one EVSE with ``since <= wall <= until`` (UTC ns), oldest first."""
    rows = db.execute(
        "SELECT seq, wall, kind, evse_id, data FROM event WHERE evse_id = ? AND wall BETWEEN ? AND ? "
        "ORDER BY seq LIMIT ?",
        (evse_id, since, until, limit),
    )
    return [Event(seq=r[0], wall=r[1], kind=r[2], evse_id=r[3], data=_DATA.decode(r[4])) for r in rows]


def last_event_seq(db: sqlite3.Connection) -> int:
    """Return the highest number ever stored, 0 when there is none."""
    return int(db.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0])


def audit(db: sqlite3.Connection, row: AuditRecord) -> None:
    """Append one audit row."""
    db.execute(
        "INSERT INTO audit (wall, who, origin, operation, target, old, new, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (row.wall, row.who, row.origin, row.operation, row.target, row.old, row.new, row.result),
    )
    db.execute("DELETE FROM audit WHERE audit_id <= (SELECT max(audit_id) FROM audit) - ?", (AUDITS_MAX,))


def audits(db: sqlite3.Connection, limit: int, offset: int) -> tuple[list[AuditRecord], int]:
    """Return (one page newest first, number of all)."""
    total = int(db.execute("SELECT count(*) FROM audit").fetchone()[0])
    rows = db.execute(
        "SELECT wall, who, origin, operation, target, old, new, result FROM audit "
        "ORDER BY audit_id DESC LIMIT ? OFFSET ?",
        (limit, offset),
    )
    return [
        AuditRecord(wall=r[0], who=r[1], origin=r[2], operation=r[3], target=r[4], old=r[5], new=r[6], result=r[7])
        for r in rows
    ], total


def get(db: sqlite3.Connection, namespace: str, key: str) -> str | None:
    """Return a durable setting, None when it was never set."""
    row = db.execute("SELECT value FROM setting WHERE namespace = ? AND key = ?", (namespace, key)).fetchone()
    return None if row is None else str(row[0])


def put(db: sqlite3.Connection, namespace: str, key: str, value: str | None) -> None:
    """Set a durable setting; None removes it."""
    if value is None:
        db.execute("DELETE FROM setting WHERE namespace = ? AND key = ?", (namespace, key))
    else:
        db.execute("INSERT OR REPLACE INTO setting (namespace, key, value) VALUES (?, ?, ?)", (namespace, key, value))


@contextlib.contextmanager
def without_trace(db: sqlite3.Connection) -> Iterator[None]:
    """What is committed inside overwrites what was there before, in the file and in the log."""
    before = int(db.execute("PRAGMA secure_delete").fetchone()[0])
    db.execute("PRAGMA secure_delete = ON")
    try:
        yield
        with contextlib.suppress(sqlite3.Error):  # it is committed; the log is emptied another time
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA secure_delete = {before}")


def get_all(db: sqlite3.Connection, namespace: str) -> dict[str, str]:
    """Return all settings of a namespace."""
    return dict(db.execute("SELECT key, value FROM setting WHERE namespace = ? ORDER BY key", (namespace,)).fetchall())


def cache_put(db: sqlite3.Connection, token: CachedToken) -> None:
    """Remember what the CSMS said about a token and drop the least recently used beyond `CACHE_MAX`."""
    db.execute(
        "INSERT OR REPLACE INTO auth_cache (id_token, status, parent, expires_at, updated_at, used) VALUES "
        "(?, ?, ?, ?, ?, (SELECT coalesce(max(used), 0) + 1 FROM auth_cache))",
        (token.id_token.upper(), token.status, token.parent, token.expires_at, token.updated_at),
    )
    db.execute(
        "DELETE FROM auth_cache WHERE id_token IN "
        "(SELECT id_token FROM auth_cache ORDER BY used DESC LIMIT -1 OFFSET ?)",
        (CACHE_MAX,),
    )


def cache_get(db: sqlite3.Connection, id_token: str) -> CachedToken | None:
    """Return a cached token without regard to case, and count it as used."""
    name = id_token.upper()
    row = db.execute(
        "SELECT id_token, status, parent, expires_at, updated_at FROM auth_cache WHERE id_token = ?", (name,)
    ).fetchone()
    if row is None:
        return None
    db.execute(
        "UPDATE auth_cache SET used = (SELECT max(used) + 1 FROM auth_cache) "
        "WHERE id_token = ? AND used < (SELECT max(used) FROM auth_cache)", (name,)
    )
    return CachedToken(id_token=row[0], status=row[1], parent=row[2], expires_at=row[3], updated_at=row[4])


def cache_clear(db: sqlite3.Connection) -> int:
    """Forget all tokens; return how many there were."""
    return db.execute("DELETE FROM auth_cache").rowcount
