"""Helpers of the storage tests: records, and a connection that fails where the test says."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine
from typing import Any, TypeVar

from evse.domain.records import OutboxRow
from evse.domain.session import AuthSource, SessionRecord, StopReason
from evse.storage.schema import connect

T = TypeVar("T")
WALL = 1_767_225_600_000_000_000


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run on a fresh loop; with the inline executor nothing waits."""
    return asyncio.run(main)


def session(n: int = 1, **changes: Any) -> SessionRecord:
    """A session with a started transaction."""
    values: dict[str, Any] = {
        "session_id": f"s{n}", "evse_id": 1, "connector_id": 1, "plugged_at": WALL + n, "started_at": WALL + n + 5,
        "meter_start_wh": 1000 * n, "id_token": f"CARD{n}", "auth_source": AuthSource.RFID,
    }
    return SessionRecord(**(values | changes))


def ended(n: int = 1, **changes: Any) -> SessionRecord:
    """The same session after its transaction."""
    return session(n, **({"ended_at": WALL + n + 9, "meter_stop_wh": 1000 * n + 500, "energy_wh": 500,
                          "stop_reason": StopReason.LOCAL} | changes))


def row(n: int, action: str, uid: str = "") -> OutboxRow:
    """A message of session ``n``."""
    return OutboxRow(unique_id=uid or f"{action}-{n}", action=action, session_id=f"s{n}", payload="{}", created=WALL)


WRITES = ("INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT")


class FailingConnection:
    """A sqlite3 connection whose n-th write statement fails.

    ``late`` lets the statement happen first: the commit is on disk but its acknowledgement is lost.
    """

    def __init__(self, path: str) -> None:
        self._db = connect(path)
        self.fail_at = 0
        self.late = False
        self.writes = 0

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def _count(self, sql: str) -> bool:
        if not sql.startswith(WRITES):
            return False
        self.writes += 1
        return self.writes == self.fail_at

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        fails = self._count(sql)
        if fails and not self.late:
            raise sqlite3.OperationalError("disk I/O error")
        cursor = self._db.execute(sql, values)
        if fails:
            raise sqlite3.OperationalError("disk I/O error after the write")
        return cursor

    def executemany(self, sql: str, values: Any) -> sqlite3.Cursor:
        if self._count(sql):
            raise sqlite3.OperationalError("disk I/O error")
        return self._db.executemany(sql, values)

    def close(self) -> None:
        self._db.close()
