"""Sessions and their samples as SQL. Every function runs inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from evse.domain.records import PointRecord
from evse.domain.session import AuthSource, SessionRecord, StopReason
from evse.domain.signing import SignedValues

SESSIONS_MAX = 50_000
"""Sessions kept; beyond it the oldest that are unplugged and fully reported go first."""

POINTS_MAX = 500_000
"""Samples kept over all sessions, oldest go first (about 50 MB)."""

_COLUMNS = (
    "session_id", "evse_id", "connector_id", "plugged_at", "started_at", "ended_at", "unplugged_at", "energy_wh",
    "meter_start_wh", "meter_stop_wh", "soc_start_pct", "soc_end_pct", "power_max_w", "auth_source", "id_token",
    "evcc_id", "transaction_id", "stop_reason", "fault", "stop_token", "signed",
)
_FIXED_ONCE_SET = (
    "started_at", "ended_at", "unplugged_at", "meter_start_wh", "meter_stop_wh", "soc_start_pct", "soc_end_pct",
    "transaction_id", "stop_reason", "signed",
)
_LIST = ", ".join(_COLUMNS)
_UPDATES = ", ".join(
    f"{name} = coalesce(excluded.{name}, session.{name})" if name in _FIXED_ONCE_SET else f"{name} = excluded.{name}"
    for name in _COLUMNS if name != "session_id"
)
_UPSERT = (
    f"INSERT INTO session ({_LIST}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT (session_id) DO UPDATE SET {_UPDATES}"
)


def save(db: sqlite3.Connection, session: SessionRecord) -> None:
    """Insert or update. A late save that does not know a number yet (``None``) never removes one that is stored."""
    db.execute(_UPSERT, (
        session.session_id, session.evse_id, session.connector_id, session.plugged_at, session.started_at,
        session.ended_at, session.unplugged_at, session.energy_wh, session.meter_start_wh, session.meter_stop_wh,
        session.soc_start_pct, session.soc_end_pct, session.power_max_w, session.auth_source.value, session.id_token,
        session.evcc_id, session.transaction_id, session.stop_reason.value if session.stop_reason else None,
        session.fault, session.stop_token, None if session.signed is None else msgspec.json.encode(session.signed).decode(),
    ))


def _record(row: Sequence[object]) -> SessionRecord:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["auth_source"] = AuthSource(values["auth_source"])
    reason = values["stop_reason"]
    values["stop_reason"] = None if reason is None else StopReason(reason)
    signed = values["signed"]
    values["signed"] = None if signed is None else msgspec.json.decode(str(signed), type=SignedValues)
    return SessionRecord(**values)  # type: ignore[arg-type]  # columns are STRICT and named like the fields


def one(db: sqlite3.Connection, session_id: str) -> SessionRecord | None:
    """Return a session, None when there is none of that name."""
    row = db.execute(f"SELECT {_LIST} FROM session WHERE session_id = ?", (session_id,)).fetchone()
    return None if row is None else _record(row)


def open_transactions(db: sqlite3.Connection) -> list[SessionRecord]:
    """Return sessions whose transaction started and did not end, oldest first."""
    rows = db.execute(
        f"SELECT {_LIST} FROM session WHERE started_at IS NOT NULL AND ended_at IS NULL ORDER BY started_at, session_id"
    )
    return [_record(row) for row in rows]


def open_sessions(db: sqlite3.Connection) -> list[SessionRecord]:
    """Return sessions that were never unplugged, oldest first."""
    rows = db.execute(f"SELECT {_LIST} FROM session WHERE unplugged_at IS NULL ORDER BY plugged_at, session_id")
    return [_record(row) for row in rows]


def _like(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def search(
    db: sqlite3.Connection, state: str, evse_id: int, text: str, limit: int, offset: int
) -> tuple[list[SessionRecord], int, int]:
    """Return (one page newest first, number of all matches, energy in Wh of all matches)."""
    where: list[str] = []
    values: list[object] = []
    if state == "active":
        where.append("unplugged_at IS NULL")
    elif state == "completed":
        where.append("unplugged_at IS NOT NULL")
    if evse_id > 0:
        where.append("evse_id = ?")
        values.append(evse_id)
    if text:
        fields = ("id_token", "evcc_id", "session_id", "coalesce(stop_reason, '')", "fault")
        where.append("(" + " OR ".join(f"{name} LIKE ? ESCAPE '\\'" for name in fields) + ")")
        values += [_like(text)] * len(fields)
    clause = f" WHERE {' AND '.join(where)}" if where else ""
    totals = f"SELECT count(*), coalesce(sum(energy_wh), 0) FROM session{clause}"
    total, energy_wh = db.execute(totals, values).fetchone()
    rows = db.execute(
        f"SELECT {_LIST} FROM session{clause} ORDER BY plugged_at DESC, session_id DESC LIMIT ? OFFSET ?",
        (*values, limit, offset),
    )
    return [_record(row) for row in rows], int(total), int(energy_wh)


def prune(db: sqlite3.Connection) -> int:
    """Delete the oldest finished sessions beyond `SESSIONS_MAX`; return how many went."""
    surplus = int(db.execute("SELECT count(*) FROM session").fetchone()[0]) - SESSIONS_MAX
    if surplus <= 0:
        return 0
    return db.execute(
        "DELETE FROM session WHERE session_id IN (SELECT session_id FROM session s WHERE unplugged_at IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.session_id = s.session_id) ORDER BY plugged_at LIMIT ?)",
        (surplus,),
    ).rowcount


def add_points(db: sqlite3.Connection, points: Sequence[PointRecord]) -> None:
    """Append samples and drop the oldest beyond `POINTS_MAX`.

    One per session and instant; of two, as when the clock was set back, the one that is further on: a CSMS may have been told it.
    """
    db.executemany(
        "INSERT INTO point (session_id, wall, power_w, energy_wh, soc_pct, meter_wh) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (session_id, wall) DO UPDATE SET power_w = excluded.power_w, energy_wh = excluded.energy_wh, "
        "soc_pct = excluded.soc_pct, meter_wh = excluded.meter_wh WHERE excluded.energy_wh > energy_wh",
        [(p.session_id, p.wall, p.power_w, p.energy_wh, p.soc_pct, p.meter_wh) for p in points],
    )
    db.execute("DELETE FROM point WHERE point_id <= (SELECT max(point_id) FROM point) - ?", (POINTS_MAX,))


_POINT = "session_id, wall, power_w, energy_wh, soc_pct, meter_wh"


def _point(row: Sequence[object]) -> PointRecord:
    session_id, wall, power, energy, soc, meter = row
    return PointRecord(
        session_id=session_id, wall=wall, power_w=power, energy_wh=energy, soc_pct=soc, meter_wh=meter  # type: ignore[arg-type]
    )


def points(db: sqlite3.Connection, session_id: str, most: int) -> list[PointRecord]:
    """Return at most ``most`` samples of a session in time order, evenly thinned; the first and the last stay."""
    ids = [int(row[0]) for row in db.execute(
        "SELECT point_id FROM point WHERE session_id = ? ORDER BY wall", (session_id,)
    )]
    if len(ids) > most:
        last = len(ids) - 1
        ids = [ids[index * last // (most - 1)] for index in range(most)] if most > 1 else ids[-1:]
    if not ids:
        return []
    marks = ",".join("?" * len(ids))
    rows = db.execute(f"SELECT {_POINT} FROM point WHERE point_id IN ({marks}) ORDER BY wall", ids)
    return [_point(row) for row in rows]


def last_point(db: sqlite3.Connection, session_id: str) -> PointRecord | None:
    """Return the sample of a session that is furthest on: energy only grows, the calendar may jump."""
    row = db.execute(
        f"SELECT {_POINT} FROM point WHERE session_id = ? ORDER BY energy_wh DESC, point_id DESC LIMIT 1", (session_id,)
    ).fetchone()
    return None if row is None else _point(row)
