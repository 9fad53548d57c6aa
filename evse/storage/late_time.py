"""Putting stored records right whose stamps were taken before the station knew the time (`evse.domain.late_time`), as SQL."""

from __future__ import annotations

import sqlite3

from evse.domain.late_time import SESSION_STAMPS, Fix, Marks
from evse.units import DurationNs, WallNs


def needed(db: sqlite3.Connection, valid_from: WallNs) -> bool:
    """Tell whether any session has a stamp before ``valid_from``."""
    return db.execute("SELECT 1 FROM session WHERE plugged_at < ? LIMIT 1", (valid_from,)).fetchone() is not None


def marks(db: sqlite3.Connection) -> Marks:
    """Return where the records of this process begin."""
    return Marks(*(
        int(db.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").fetchone()[0])
        for table, column in (("session", "rowid"), ("point", "point_id"), ("event", "seq"))
    ))


def correct(db: sqlite3.Connection, fix: Fix) -> int:
    """Put everything right that is stored with a stamp that is not valid; return how many messages changed."""
    old = _old_shift(db, fix)
    valid = fix.valid_from
    which = "CASE WHEN {} <= ? THEN ? ELSE ? END"
    mine = f"(SELECT {which.format('s.rowid')} FROM session AS s WHERE s.session_id = {{}})"
    rows = db.execute(
        f"SELECT row_id, payload, created, coalesce({mine.format('outbox.session_id')}, ?) FROM outbox "
        "WHERE created < ? OR session_id IN (SELECT session_id FROM session WHERE plugged_at < ?)",
        (fix.marks.session, old, fix.by, old, valid, valid),
    ).fetchall()
    for row_id, payload, created, by in rows:  # a stop that was made with valid time tells of a begin without
        at = created + by if created < valid else created
        db.execute("UPDATE outbox SET payload = ?, created = ? WHERE row_id = ?", (fix.retime(payload, by), at, row_id))
    db.execute(
        f"UPDATE OR IGNORE tx_reading SET wall = wall + coalesce({mine.format('tx_reading.session_id')}, ?) WHERE wall < ?",
        (fix.marks.session, old, fix.by, old, valid),
    )
    for name in SESSION_STAMPS[1:] + SESSION_STAMPS[:1]:
        db.execute(
            f"UPDATE session SET {name} = {name} + {which.format('rowid')} WHERE {name} < ?",
            (fix.marks.session, old, fix.by, valid),
        )
    for table, column, mark in (("point", "point_id", fix.marks.point), ("event", "seq", fix.marks.event)):
        db.execute(
            f"UPDATE OR IGNORE {table} SET wall = wall + {which.format(column)} WHERE wall < ?", (mark, old, fix.by, valid)
        )
    return len(rows)


def _old_shift(db: sqlite3.Connection, fix: Fix) -> DurationNs:
    newest = db.execute(
        "SELECT max(max(coalesce(s.unplugged_at, 0), coalesce(s.ended_at, 0), coalesce(s.started_at, 0), s.plugged_at)) "
        "FROM session AS s WHERE s.rowid <= ? AND s.plugged_at < ?", (fix.marks.session, fix.valid_from),
    ).fetchone()[0]
    messages = db.execute(
        "SELECT max(o.created) FROM outbox AS o JOIN session AS s USING (session_id) WHERE s.rowid <= ? AND o.created < ?",
        (fix.marks.session, fix.valid_from),
    ).fetchone()[0]
    last = max((at for at in (newest, messages) if at is not None and at < fix.valid_from), default=0)
    return min([fix.began - int(last), *_bounds(db, fix)])


def _bounds(db: sqlite3.Connection, fix: Fix) -> list[DurationNs]:
    """Return what sessions say that a process before has begun without time and gone on with it: no shift is larger."""
    stamps: dict[str, list[WallNs]] = {}
    for name, *walls in db.execute(
        "SELECT session_id, plugged_at, started_at, ended_at, unplugged_at FROM session WHERE rowid <= ? AND plugged_at < ?",
        (fix.marks.session, fix.valid_from),
    ):
        stamps[name] = [wall for wall in walls if wall is not None]
    for name, created in db.execute("SELECT session_id, created FROM outbox"):
        if name in stamps:
            stamps[name].append(created)
    found = []
    for walls in stamps.values():
        known = [wall for wall in walls if wall >= fix.valid_from]
        if known:
            found.append(min(known) - max(wall for wall in walls if wall < fix.valid_from))
    return found
