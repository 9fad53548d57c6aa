"""The store: one SQLite file, one writer, and nothing acknowledged is ever lost.

A call that returns has committed with WAL + FULL (docs/storage.md has the reasoning and the tests). A call that
raises `StorageError` stored nothing, or its acknowledgement got lost after the commit; all calls may be repeated:
sessions are upserts, outbox rows exist once per session and kind, events are skipped by number (only an audit row
whose acknowledgement got lost is there twice).

The one exception is named as such: `add_points` keeps samples in memory for up to `POINTS_FLUSH_NS`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from evse.domain.fault_tables.persistence import persistence_code
from evse.domain.late_time import Fix, Marks
from evse.domain.records import AuditRecord, CachedToken, OutboxRow, PointRecord, TxReading
from evse.domain.security import SecurityEvent
from evse.domain.session import SessionRecord
from evse.domain.view import Event
from evse.domain.whitelist import Entry
from evse.storage import late_time, local_list, outbox, records, schema, security_log, sessions, tx_readings, whitelist
from evse.storage.executor import Executor, InlineExecutor, StorageError, ThreadExecutor
from evse.units import DurationNs, WallNs, s

POINTS_FLUSH_NS = s(30)
"""Age of the oldest buffered sample at which the buffer is written: what a power cut may cost of a plot.

`Store.points_flush_ns` may be set to another age (``ocpp.meter_age_s``).
"""

POINTS_BUFFER_MAX = 200
"""Samples in the buffer that force a write."""

T = TypeVar("T")


class Store:
    """The database of one station, made by `Store.open`; ``set_aside`` names a damaged file that was replaced."""

    def __init__(self, db: sqlite3.Connection, where: str, set_aside: Path | None, executor: Executor) -> None:
        self.set_aside = set_aside
        self.where = where
        self.points_flush_ns: DurationNs = POINTS_FLUSH_NS
        self._db = db
        self._executor = executor
        self._points: list[PointRecord] = []
        self._fix: Fix | None = None

    @classmethod
    async def open(
        cls, path: Path | str, *, executor: Executor, connect: Callable[[str], sqlite3.Connection] = schema.connect
    ) -> Store:
        """Open, check, migrate. ``":memory:"`` keeps nothing.

        Raises `ConfigError` for a schema of a newer release, `StorageError` when the place cannot be used.
        """
        db, aside = await executor.run(lambda: schema.open_database(path, connect))
        return cls(db, str(path), aside, executor)

    async def close(self) -> None:
        """Write buffered samples, close the file, end the executor; never raises (only samples wait here)."""

        def job() -> None:
            with contextlib.suppress(StorageError):
                self._write_points()
            self._db.close()

        await self._executor.run(job)
        await self._executor.close()

    # -- machinery ------------------------------------------------------------------------------------------------

    def _in_transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._db
        step = "begin"
        try:
            try:
                db.execute("BEGIN IMMEDIATE")
                step = "write"
                result = work(db)
                step = "commit"
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            text = f"storage {self.where}: write failed: {error}; check free space and the medium"
            raise StorageError(text, persistence_code(getattr(error, "sqlite_errorname", ""), step)) from error
        return result

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._executor.run(lambda: self._in_transaction(work))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def job() -> T:
            try:
                return work(self._db)
            except sqlite3.Error as error:
                raise StorageError(f"storage {self.where}: read failed: {error}; check the medium") from error

        return await self._executor.run(job)

    def _session(self, session: SessionRecord) -> SessionRecord:
        return session if self._fix is None else self._fix.session(session)

    def _row(self, row: OutboxRow) -> OutboxRow:
        return row if self._fix is None else self._fix.row(row)

    # -- the calendar ---------------------------------------------------------------------------------------------

    async def time_marks(self) -> Marks:
        """Return the newest records now; to be read once, before this process stores any of its own."""
        return await self._read(late_time.marks)

    async def times_missing(self, valid_from: WallNs) -> bool:
        """Tell whether a session was recorded before ``valid_from``: by a calendar that was not set."""
        return await self._read(lambda db: late_time.needed(db, valid_from))

    async def correct_times(self, fix: Fix) -> int:
        """The calendar is valid for the first time: put everything right that was recorded before, in one commit.

        Returns how many messages changed. What is still held in memory with old stamps is put right when it is stored.
        """

        def job() -> int:
            changed = self._in_transaction(lambda db: late_time.correct(db, fix))
            self._fix = fix
            self._points = [fix.point(point) for point in self._points]
            return changed

        return await self._executor.run(job)

    # -- sessions -------------------------------------------------------------------------------------------------

    async def begin_transaction(self, session: SessionRecord, row: OutboxRow | None) -> None:
        """Store the start of a transaction and its message in one commit. Energy may flow when this has returned."""

        def work(db: sqlite3.Connection) -> None:
            sessions.save(db, self._session(session))
            if row is not None:
                outbox.append(db, self._row(row))
            sessions.prune(db)

        await self._write(work)

    async def end_transaction(self, session: SessionRecord, row: OutboxRow | None) -> None:
        """Store the end of a transaction and its message in one commit; repeating it stores nothing new."""

        def work(db: sqlite3.Connection) -> None:
            if self._points:
                sessions.add_points(db, self._points)
            sessions.save(db, self._session(session))
            if row is not None:
                outbox.append(db, self._row(row))

        def job() -> None:
            self._in_transaction(work)
            self._points = []

        await self._executor.run(job)

    async def save_session(self, session: SessionRecord) -> None:
        """Store a session as it stands."""
        await self._write(lambda db: sessions.save(db, self._session(session)))

    async def session(self, session_id: str) -> SessionRecord | None:
        """Return a session, None when there is none of that name."""
        return await self._read(lambda db: sessions.one(db, session_id))

    async def sessions(
        self, state: str = "all", evse_id: int = 0, text: str = "", limit: int = 50, offset: int = 0
    ) -> tuple[list[SessionRecord], int, int]:
        """Return (page newest first, matches, energy of all matches in Wh); ``state`` all, active or completed."""
        return await self._read(lambda db: sessions.search(db, state, evse_id, text, limit, offset))

    async def open_transactions(self) -> list[SessionRecord]:
        """Return sessions whose transaction started and did not end: after a start, those that power loss has cut."""
        return await self._read(sessions.open_transactions)

    async def open_sessions(self) -> list[SessionRecord]:
        """Return sessions that were never unplugged."""
        return await self._read(sessions.open_sessions)

    # -- samples --------------------------------------------------------------------------------------------------

    async def add_points(self, points: Sequence[PointRecord]) -> None:
        """Buffer samples; they are written with the next end of a transaction, after 30 s, or 200 of them.

        A power cut loses what is still in the buffer. When the disk fails the error is raised and the newest
        `POINTS_BUFFER_MAX` stay in the buffer.
        """

        def job() -> None:
            buffer = self._points
            buffer.extend(points if self._fix is None else map(self._fix.point, points))
            aged = buffer and abs(buffer[-1].wall - buffer[0].wall) >= self.points_flush_ns
            if aged or len(buffer) >= POINTS_BUFFER_MAX:
                self._write_points()

        await self._executor.run(job)

    async def flush(self) -> None:
        """Write buffered samples now."""
        await self._executor.run(self._write_points)

    def _write_points(self) -> None:
        waiting = self._points
        if not waiting:
            return
        try:
            self._in_transaction(lambda db: sessions.add_points(db, waiting))
        except StorageError:
            self._points = waiting[-POINTS_BUFFER_MAX:]
            raise
        self._points = []

    async def points(self, session_id: str, most: int = 240) -> list[PointRecord]:
        """Return at most ``most`` samples of a session in time order, evenly thinned, buffered ones included."""
        def job(db: sqlite3.Connection) -> list[PointRecord]:
            with contextlib.suppress(StorageError):  # a full disk does not take the plot away
                self._write_points()
            unwritten = [point for point in self._points if point.session_id == session_id]
            return (sessions.points(db, session_id, most) + unwritten)[-most:]

        return await self._read(job)

    async def last_point(self, session_id: str) -> PointRecord | None:
        """Return the newest sample of a session, buffered ones included."""
        def job(db: sqlite3.Connection) -> PointRecord | None:
            for point in reversed(self._points):
                if point.session_id == session_id:
                    return point
            return sessions.last_point(db, session_id)

        return await self._read(job)

    # -- events and audit -----------------------------------------------------------------------------------------

    async def append_events(self, events: Sequence[Event]) -> None:
        """Store events in one commit."""
        if events:
            told = events if self._fix is None else [self._fix.event(event) for event in events]
            await self._write(lambda db: records.append_events(db, told))

    async def events(
        self, kind_prefix: str = "", evse_id: int = -1, limit: int = 50, offset: int = 0
    ) -> tuple[list[Event], int]:
        """Return (page newest first, number of matches); ``evse_id`` -1 = all, 0 = station."""
        return await self._read(lambda db: records.events(db, kind_prefix, evse_id, limit, offset))

    async def events_between(self, evse_id: int, since: int, until: int, limit: int = 500) -> list[Event]:
        """Return events of one EVSE with ``since <= wall <= until`` (UTC ns), oldest first."""
        return await self._read(lambda db: records.events_between(db, evse_id, since, until, limit))

    async def last_event_seq(self) -> int:
        """Return the highest event number stored, 0 when there is none."""
        return await self._read(records.last_event_seq)

    async def audit(self, row: AuditRecord) -> None:
        """Store one audit row."""
        await self._write(lambda db: records.audit(db, row))

    async def audits(self, limit: int = 50, offset: int = 0) -> tuple[list[AuditRecord], int]:
        """Return (page newest first, number of all)."""
        return await self._read(lambda db: records.audits(db, limit, offset))

    # -- settings -------------------------------------------------------------------------------------------------

    async def get(self, namespace: str, key: str) -> str | None:
        """Return a durable setting, None when it was never set."""
        return await self._read(lambda db: records.get(db, namespace, key))

    async def get_all(self, namespace: str) -> dict[str, str]:
        """Return all settings of a namespace."""
        return await self._read(lambda db: records.get_all(db, namespace))

    async def put(self, namespace: str, key: str, value: str | None, *, audit: AuditRecord | None = None) -> None:
        """Set a durable setting (None removes it), with its audit row in the same commit if there is one."""

        def work(db: sqlite3.Connection) -> None:
            records.put(db, namespace, key, value)
            if audit is not None:
                records.audit(db, audit)

        await self._write(work)

    async def put_many(self, namespace: str, values: Mapping[str, str | None]) -> None:
        """Set several settings of a namespace in one commit; None removes one."""

        def work(db: sqlite3.Connection) -> None:
            for key, value in values.items():
                records.put(db, namespace, key, value)

        await self._write(work)

    async def put_without_trace(self, namespace: str, key: str, value: str) -> None:
        """Set one setting; its former value is overwritten in the file and gone from the log, not only out of use."""

        def job() -> None:
            with records.without_trace(self._db):
                self._in_transaction(lambda db: records.put(db, namespace, key, value))

        await self._executor.run(job)

    # -- authorisation cache --------------------------------------------------------------------------------------

    async def cache_put(self, token: CachedToken) -> None:
        """Remember what the CSMS said about a token (1000 tokens, least recently used go)."""
        await self._write(lambda db: records.cache_put(db, token))

    async def cache_get(self, id_token: str) -> CachedToken | None:
        """Return a cached token without regard to case."""
        return await self._write(lambda db: records.cache_get(db, id_token))

    async def cache_clear(self) -> int:
        """Forget all tokens; return how many there were."""
        return await self._write(records.cache_clear)

    # -- local authorisation list -------------------------------------------------------------------------------

    async def local_list_state(self) -> tuple[int, int]:
        """Return (version, number of entries)."""
        return await self._read(lambda db: (local_list.version(db), local_list.count(db)))

    async def local_list_get(self, id_token: str) -> CachedToken | None:
        """Return an entry of the list without regard to case."""
        return await self._read(lambda db: local_list.get(db, id_token))

    async def local_list_apply(
        self, version: int, *, full: bool, put: Sequence[CachedToken], remove: Sequence[str], most: int
    ) -> bool:
        """Apply an update of the list in one commit; False = it would have more than ``most`` entries, nothing changed."""

        def work(db: sqlite3.Connection) -> bool:
            db.execute("SAVEPOINT update_list")
            fits = local_list.apply(db, version, full=full, put=put, remove=remove, most=most)
            if not fits:
                db.execute("ROLLBACK TO update_list")
            db.execute("RELEASE update_list")
            return fits

        return await self._write(work)

    # -- white list -----------------------------------------------------------------------------------------------

    async def load_whitelist(self) -> list[Entry]:
        """Return all entries of the station's own list."""
        return await self._read(whitelist.load)

    async def change_whitelist(self, put: Sequence[Entry], remove: Sequence[str], *, clear: bool) -> None:
        """Remove everything (``clear``) or the ids ``remove``, then insert or replace ``put``, in one commit."""
        await self._write(lambda db: whitelist.change(db, put, remove, clear=clear))

    async def whitelist_used(self, entry_id: str, at: WallNs) -> None:
        """Note when an entry last gave permission."""
        await self._write(lambda db: whitelist.used(db, entry_id, at))

    # -- security log ---------------------------------------------------------------------------------------------

    async def security_append(self, events: Sequence[SecurityEvent]) -> None:
        """Store security events at the end; beyond 10 000 the oldest go."""
        await self._write(lambda db: security_log.append(db, events))

    async def security_next(self) -> SecurityEvent | None:
        """Return the oldest security event that waits to be sent."""
        return await self._read(security_log.first_waiting)

    async def security_waiting(self) -> int:
        """Return how many security events wait to be sent."""
        return await self._read(security_log.waiting)

    async def security_answered(self, seq: int, state: str) -> None:
        """Record what the CSMS made of a security event: ``sent`` or ``refused``."""
        await self._write(lambda db: security_log.answered(db, seq, state))

    async def security_last(self) -> int:
        """Return the number of the newest security event, 0 = there is none."""
        return await self._read(security_log.last)

    async def security_retime(self, after: int, by: int, before: WallNs) -> None:
        """Add ``by`` ns to the times of security events behind ``after`` that lie before ``before``."""
        await self._write(lambda db: security_log.retime(db, after, by, before))

    async def security_events(
        self, limit: int, since: WallNs = 0, until: WallNs | None = None
    ) -> list[SecurityEvent]:
        """Return the newest security events with ``since <= wall <= until`` (UTC ns), oldest first."""
        return await self._read(lambda db: security_log.events(db, limit, since, until))

    # -- outbox ---------------------------------------------------------------------------------------------------

    async def outbox_append(
        self, row: OutboxRow, point: PointRecord | None = None, reading: TxReading | None = None,
        drop: tuple[tuple[str, int], ...] = (),
    ) -> bool:
        """Store a message at the end of the queue; False = its session is stopped or has that message already.

        ``point`` is what the message tells of the meter: stored in the same commit, so that a session that a power
        cut ends never ends below what the back end was told. So are ``reading`` and ``drop`` (`tx_reading_add`).
        """

        def work(db: sqlite3.Connection) -> bool:
            stored = outbox.append(db, self._row(row))
            if stored and point is not None:
                sessions.add_points(db, [*self._points, point])
            if stored and reading is not None:
                tx_readings.add(db, reading, drop)
            return stored

        def job() -> bool:
            stored = self._in_transaction(work)
            if stored and point is not None:
                self._points = []
            return stored

        return await self._executor.run(job)

    async def tx_reading_add(self, reading: TxReading, drop: tuple[tuple[str, int], ...] = ()) -> None:
        """Keep a reading for the StopTransaction of its transaction, in place of those at (context, wall) in ``drop``."""
        await self._write(lambda db: tx_readings.add(db, reading, drop))

    async def tx_readings(self) -> list[TxReading]:
        """Return what is kept for transactions that are still open; those of others are removed."""

        def work(db: sqlite3.Connection) -> list[TxReading]:
            tx_readings.sweep(db)
            return tx_readings.load(db)

        return await self._write(work)

    async def outbox_head(self, backend: str = "") -> OutboxRow | None:
        """Return the first message for ``backend`` ("" = for anybody) that is not parked."""
        return await self._read(lambda db: outbox.head(db, backend))

    async def outbox_rows(self, limit: int = 100, after: int = 0) -> list[OutboxRow]:
        """Return the first messages behind the row ``after`` in order, parked ones included."""
        return await self._read(lambda db: outbox.rows(db, limit, after))

    async def outbox_counts(self, backend: str = "") -> tuple[int, int]:
        """Return (waiting, parked) for ``backend``, "" = for anybody."""
        return await self._read(lambda db: outbox.counts(db, backend))

    async def outbox_start_waits(self, session_id: str) -> bool:
        """Tell whether StartTransaction of a session has not been answered yet."""
        return await self._read(lambda db: outbox.start_waits(db, session_id))

    async def outbox_done(self, row_id: int) -> None:
        """Remove a message whose answer arrived."""
        await self._write(lambda db: outbox.done(db, row_id))

    async def outbox_started(self, row_id: int, session_id: str, transaction_id: int) -> None:
        """StartTransaction was answered: number session and waiting messages, remove the row, in one commit."""
        await self._write(lambda db: outbox.started(db, row_id, session_id, transaction_id))

    async def outbox_attempted(self, row_id: int, attempts: int) -> None:
        """Record how often the CSMS has refused a message."""
        await self._write(lambda db: outbox.attempted(db, row_id, attempts))

    async def outbox_park(self, row_id: int, reason: str) -> None:
        """Give up on a message for now; it stays stored."""
        await self._write(lambda db: outbox.park(db, row_id, reason))

    async def outbox_set_aside(self, row_id: int, reason: str) -> None:
        """Keep a message that its session goes on without."""
        await self._write(lambda db: outbox.set_aside(db, row_id, reason))

    async def outbox_unpark(self, row_id: int | None = None, *, below: int | None = None) -> int:
        """Let parked messages wait again: all, those of a session, or of sessions refused less often than ``below``."""
        return await self._write(lambda db: outbox.unpark(db, row_id, below=below))

    async def outbox_adopt(self, backend: str) -> int:
        """Give what is for nobody in particular to ``backend``; return how many messages are for another one."""
        return await self._write(lambda db: outbox.adopt(db, backend))

    async def outbox_foreign(self, backend: str) -> int:
        """Return how many messages are for another back end."""
        return await self._read(lambda db: outbox.foreign(db, backend))

    async def outbox_move(self, backend: str) -> tuple[int, int]:
        """Give the messages of other back ends to ``backend``; return (moved, parked because it cannot know them)."""
        return await self._write(lambda db: outbox.move(db, backend))

    async def outbox_discard(self, backend: str, expected: int) -> int | None:
        """Remove the messages of other back ends; None = there are not ``expected`` of them, nothing is removed."""
        return await self._write(lambda db: outbox.discard(db, backend, expected))


Point = PointRecord

__all__ = ["Executor", "InlineExecutor", "Point", "StorageError", "Store", "ThreadExecutor"]
