"""Records made before the station knew the time, put right when it does.

A stamp before ``valid_from`` was taken from a calendar that was never set. Those of this process are off by the same amount,
which monotonic time knows. Those of processes before it cannot be known: the newest of them is put at the start of this one,
the others before it with their distances, so that nothing ever ends after it was delivered.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from evse.domain.records import OutboxRow, PointRecord
from evse.domain.session import SessionRecord
from evse.domain.view import Event
from evse.units import DurationNs, WallNs

Retime = Callable[[str, DurationNs], str]
"""(payload, ns to add to its stamps that are not valid) to the payload put right."""

SESSION_STAMPS = ("plugged_at", "started_at", "ended_at", "unplugged_at")


class Marks(msgspec.Struct, frozen=True):
    """The newest records when this process began; what is above them is its own."""

    session: int
    point: int
    event: int


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """``by`` = ns to add to stamps of this process before ``valid_from``; ``began`` = its start in true UTC ns."""

    valid_from: WallNs
    by: DurationNs
    began: WallNs
    marks: Marks
    retime: Retime

    def stamp(self, wall: WallNs) -> WallNs:
        """Put one stamp of this process right."""
        return wall + self.by if wall < self.valid_from else wall

    def session(self, session: SessionRecord) -> SessionRecord:
        """Put a session right that is still held in memory as it was recorded."""
        if session.plugged_at >= self.valid_from:
            return session
        stamps = {name: getattr(session, name) for name in SESSION_STAMPS}
        return replace(session, **{name: None if at is None else self.stamp(at) for name, at in stamps.items()})

    def point(self, point: PointRecord) -> PointRecord:
        """Put a sample right."""
        return point if point.wall >= self.valid_from else replace(point, wall=self.stamp(point.wall))

    def event(self, event: Event) -> Event:
        """Put an event right."""
        return event if event.wall >= self.valid_from else replace(event, wall=self.stamp(event.wall))

    def row(self, row: OutboxRow) -> OutboxRow:
        """Put a message right that is not stored yet; a stop of now may tell of a begin that was recorded before."""
        return replace(row, created=self.stamp(row.created), payload=self.retime(row.payload, self.by))


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
        f"SELECT row_id, payload, created, coalesce({mine.format('outbox.session_id')}, ?) FROM outbox WHERE created < ?",
        (fix.marks.session, old, fix.by, old, valid),
    ).fetchall()
    for row_id, payload, created, by in rows:
        db.execute(
            "UPDATE outbox SET payload = ?, created = ? WHERE row_id = ?", (fix.retime(payload, by), created + by, row_id)
        )
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
    return fix.began - int(last)
