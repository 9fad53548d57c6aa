"""The security log as SQL. Every function runs inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from evse.domain.security import SecurityEvent
from evse.units import WallNs

SECURITY_EVENTS_MAX = 10_000
"""Events kept: the oldest go first, those that still wait to be sent last."""

_COLUMNS = "seq, wall, kind, tech_info, state"


def _event(values: Sequence[object]) -> SecurityEvent:
    seq, wall, kind, tech_info, state = values
    return SecurityEvent(seq=seq, wall=wall, kind=kind, tech_info=tech_info, state=state)  # type: ignore[arg-type]


def append(db: sqlite3.Connection, events: Sequence[SecurityEvent]) -> None:
    """Store events at the end and keep the table within `SECURITY_EVENTS_MAX`."""
    db.executemany(
        "INSERT INTO security_event (wall, kind, tech_info, state) VALUES (?, ?, ?, ?)",
        [(e.wall, e.kind, e.tech_info, e.state) for e in events],
    )
    excess = int(db.execute("SELECT count(*) FROM security_event").fetchone()[0]) - SECURITY_EVENTS_MAX
    if excess > 0:
        db.execute(
            "DELETE FROM security_event WHERE seq IN "
            "(SELECT seq FROM security_event ORDER BY state = 'waiting', seq LIMIT ?)",
            (excess,),
        )


def first_waiting(db: sqlite3.Connection) -> SecurityEvent | None:
    """Return the oldest event that waits to be sent."""
    found = db.execute(f"SELECT {_COLUMNS} FROM security_event WHERE state = 'waiting' ORDER BY seq LIMIT 1").fetchone()
    return None if found is None else _event(found)


def waiting(db: sqlite3.Connection) -> int:
    """Return how many wait to be sent."""
    return int(db.execute("SELECT count(*) FROM security_event WHERE state = 'waiting'").fetchone()[0])


def answered(db: sqlite3.Connection, seq: int, state: str) -> None:
    """Record what the CSMS made of an event."""
    db.execute("UPDATE security_event SET state = ? WHERE seq = ?", (state, seq))


def last(db: sqlite3.Connection) -> int:
    """Return the number of the newest event, 0 = there is none."""
    return int(db.execute("SELECT coalesce(max(seq), 0) FROM security_event").fetchone()[0])


def retime(db: sqlite3.Connection, after: int, by: int, before: WallNs) -> None:
    """Add ``by`` ns to the times of events behind ``after`` that lie before ``before``."""
    db.execute("UPDATE security_event SET wall = wall + ? WHERE seq > ? AND wall < ?", (by, after, before))


def events(db: sqlite3.Connection, limit: int, since: WallNs, until: WallNs | None) -> list[SecurityEvent]:
    """Return the newest ``limit`` events with ``since <= wall <= until``, oldest first."""
    found = db.execute(
        f"SELECT {_COLUMNS} FROM security_event WHERE wall >= ? AND wall <= coalesce(?, wall) ORDER BY seq DESC LIMIT ?",
        (since, until, limit),
    )
    return [_event(row) for row in found][::-1]
