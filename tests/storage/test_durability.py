"""What was acknowledged is there after any failure; what was not is there as a whole or not at all."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from evse.domain.base import ConfigError
from evse.domain.records import AuditRecord, CachedToken, PointRecord
from evse.domain.view import Event
from evse.domain.whitelist import Entry, Kind
from evse.storage import outbox, schema
from evse.storage.db import InlineExecutor, StorageError, Store
from tests.storage.support import WALL, FailingConnection, ended, row, run, session

Step = Callable[[Store], Awaitable[object]]


def card(id_token: str, status: str = "Accepted") -> CachedToken:
    """An entry of the local list."""
    return CachedToken(id_token=id_token, status=status)


def entry(entry_id: str) -> Entry:
    """A line of the station's own list."""
    return Entry(kind=Kind.RFID, id=entry_id)


STEPS: list[Step] = [
    lambda s: s.put("ocpp", "HeartbeatInterval", "60"),
    lambda s: s.begin_transaction(session(1), row(1, outbox.START)),
    lambda s: s.append_events([Event(seq=n, wall=n, kind="k", evse_id=1) for n in (1, 2, 3)]),
    lambda s: s.outbox_append(row(1, outbox.METER, "m1")),
    lambda s: s.outbox_attempted(1, 1),
    lambda s: s.outbox_started(1, "s1", 100),
    lambda s: s.cache_put(CachedToken(id_token="A", status="Accepted")),
    lambda s: s.add_points([PointRecord(session_id="s1", wall=WALL + n, power_w=1, energy_wh=n) for n in range(200)]),
    lambda s: s.end_transaction(ended(1), row(1, outbox.STOP)),
    lambda s: s.outbox_park(2, "refused"),
    lambda s: s.audit(AuditRecord(wall=1, who="w", origin="o", operation="p")),
    lambda s: s.outbox_unpark(),
    lambda s: s.outbox_done(2),
    lambda s: s.save_session(ended(1, unplugged_at=WALL + 99)),
    lambda s: s.outbox_done(3),
    lambda s: s.put_many("ocpp.profiles", {"1": "{}", "2": "{}"}),
    lambda s: s.put_many("ocpp.profiles", {"1": None, "2": "{}", "3": "{}"}),
    lambda s: s.local_list_apply(1, full=True, put=[card("A"), card("B"), card("C")], remove=[], most=4),
    lambda s: s.local_list_apply(2, full=False, put=[card("B", "Blocked"), card("D")], remove=["A"], most=4),
    lambda s: s.local_list_apply(3, full=False, put=[card("E"), card("F")], remove=[], most=4),  # too long: no change
    lambda s: s.local_list_apply(4, full=True, put=[card("G")], remove=[], most=4),
    lambda s: s.change_whitelist([entry("04000001"), entry("04000002"), entry("04000003")], [], clear=False),
    lambda s: s.whitelist_used("04000002", WALL),
    lambda s: s.change_whitelist([entry("04000002"), entry("04000004")], ["04000001"], clear=False),
    lambda s: s.change_whitelist([entry("04000005"), entry("04000006")], [], clear=True),
]


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything that a fresh look at the file finds."""
    db = sqlite3.connect(path)
    tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'sqlite_sequence'")
    names = [name for (name,) in tables]
    found = {name: list(db.execute(f"SELECT * FROM {name} ORDER BY 1")) for name in sorted(names)}
    db.close()
    found["auth_cache"] = [values[:-1] for values in found.get("auth_cache", [])]  # the last one is the order of use
    found["audit"] = sorted({values[1:] for values in found.get("audit", [])})  # a repeated call repeats its row
    return found


async def _expected(folder: Path) -> list[dict[str, list[tuple[object, ...]]]]:
    """Contents after 0, 1, 2 ... steps without any failure."""
    path = folder / "good.db"
    store = await Store.open(path, executor=InlineExecutor())
    states = [contents(path)]
    for step in STEPS:
        await step(store)
        states.append(contents(path))
    await store.close()
    return states


@pytest.mark.parametrize("late", [False, True])
def test_any_failing_write_leaves_whole_steps_and_all_acknowledged_ones(tmp_path: Path, late: bool) -> None:
    async def main() -> int:
        states = await _expected(tmp_path)
        n = 0
        while True:
            n += 1
            path = tmp_path / f"fail{n}.db"
            connections: list[FailingConnection] = []

            def opener(name: str, made: list[FailingConnection] = connections) -> sqlite3.Connection:
                made.append(FailingConnection(name))
                return made[0]  # type: ignore[return-value]  # has the methods that the store uses

            store = await Store.open(path, executor=InlineExecutor(), connect=opener)
            connections[0].writes, connections[0].fail_at, connections[0].late = 0, n, late
            acknowledged, failed = 0, False
            for step in STEPS:
                try:
                    await step(store)
                except StorageError as error:
                    assert "disk I/O error" in str(error)
                    assert error.code in ("PersistenceTransactionFailed", "PersistenceInsertFailed")
                    failed = True
                    break
                acknowledged += 1
            found = contents(path)
            if not failed:
                assert found == states[-1]
                return n
            assert found in states[acknowledged:acknowledged + 2]
            await STEPS[acknowledged](store)  # the failure was passing: the same call again gives the same result
            assert contents(path) == states[acknowledged + 1]
            await store.close()

    assert run(main()) > len(STEPS) * 3


def test_a_copy_of_the_files_after_each_step_holds_all_of_it(tmp_path: Path) -> None:
    """A kill leaves the files as they are; whatever the WAL holds is found by the next process."""

    async def main() -> None:
        states = await _expected(tmp_path)
        store = await Store.open(tmp_path / "live.db", executor=InlineExecutor())
        for n, step in enumerate(STEPS):
            await step(store)
            folder = tmp_path / f"cut{n}"
            folder.mkdir()
            for name in ("live.db", "live.db-wal"):
                shutil.copy(tmp_path / name, folder / name)
            again = await Store.open(folder / "live.db", executor=InlineExecutor())
            assert again.set_aside is None
            await again.close()
            assert contents(folder / "live.db") == states[n + 1]

    run(main())


def test_a_wal_cut_at_any_frame_shows_a_prefix_of_the_steps(tmp_path: Path) -> None:
    """Power loss tears the tail of the WAL: whole commits up to the tear, never a part of one."""

    async def main() -> None:
        states = await _expected(tmp_path)
        store = await Store.open(tmp_path / "live.db", executor=InlineExecutor())
        for step in STEPS:
            await step(store)
        wal = (tmp_path / "live.db-wal").read_bytes()
        main_file = (tmp_path / "live.db").read_bytes()
        frame = 4096 + 24
        reached = set()
        for size in {*range(0, len(wal), frame // 2), *range(32, len(wal) + 1, frame)}:
            folder = tmp_path / f"tear{size}"
            folder.mkdir()
            (folder / "live.db").write_bytes(main_file)
            (folder / "live.db-wal").write_bytes(wal[:size])
            found = contents(folder / "live.db")
            if found:
                if found not in states:  # only while the schema itself is being made
                    assert not any(found.values())
                else:
                    reached.add(states.index(found))
        assert len(wal) > 20 * frame
        assert len(reached) >= len(STEPS) - 1

    run(main())


def test_damaged_file_is_set_aside_and_reported(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "evse.db"
        for attempt in (1, 2):
            path.write_bytes(b"this is no database" * 500)
            store = await Store.open(path, executor=InlineExecutor())
            assert store.set_aside == tmp_path / f"evse.db.damaged{attempt}"
            assert store.set_aside.read_bytes().startswith(b"this is no")
            await store.begin_transaction(session(), row(1, outbox.START))
            await store.close()

    run(main())


def test_damage_inside_is_found_by_the_check(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "evse.db"
        store = await Store.open(path, executor=InlineExecutor())
        for n in range(300):
            await store.save_session(session(n))
        await store.close()
        data = bytearray(path.read_bytes())
        for page in range(2, len(data) // 4096):
            data[page * 4096:page * 4096 + 200] = b"\xa5" * 200
        path.write_bytes(data)
        store = await Store.open(path, executor=InlineExecutor())
        assert store.set_aside is not None
        assert (await store.sessions())[1] == 0

    run(main())


def test_place_that_cannot_be_used_is_an_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"file/evse.db: cannot be opened"):
        run(Store.open(tmp_path / "file" / "evse.db", executor=InlineExecutor()))


def test_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "evse.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(ConfigError, match=r"schema 999.*install the newer release"):
        run(Store.open(path, executor=InlineExecutor()))
    assert list(tmp_path.glob("*damaged*")) == []


LATEST = schema.migrations()[-1][0]


def test_migration_numbers_have_no_gap() -> None:
    assert [version for version, _ in schema.migrations()] == list(range(1, LATEST + 1))


@pytest.mark.parametrize("version", range(1, LATEST))
def test_each_shipped_schema_migrates_with_its_data_after_a_backup(tmp_path: Path, version: int) -> None:
    path = tmp_path / "evse.db"
    db = schema.connect(str(path))
    schema.migrate(db, str(path), upto=version)
    db.execute(
        "INSERT INTO session (session_id, evse_id, connector_id, plugged_at, started_at, energy_wh, power_max_w, "
        "auth_source, id_token, evcc_id, fault) VALUES ('old', 1, 1, 5, 6, 7, 8, 'rfid', 'CARD', '', '')"
    )
    db.close()

    async def main() -> None:
        store = await Store.open(path, executor=InlineExecutor())
        kept = await store.session("old")
        assert kept is not None
        assert kept.id_token == "CARD"
        await store.close()

    run(main())
    backup = sqlite3.connect(f"{path}.schema{version}.bak")
    assert backup.execute("PRAGMA user_version").fetchone() == (version,)
    assert backup.execute("SELECT count(*) FROM session").fetchone() == (1,)
    backup.close()


def test_failing_migration_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "evse.db"
    run(Store.open(path, executor=InlineExecutor()))
    before = contents(path)
    broken = [*schema.migrations(), (LATEST + 1, "CREATE TABLE extra (a) STRICT;\nCREATE TABLE t2 (a INTEGER) STRICT;")]
    monkeypatch.setattr(schema, "migrations", lambda: broken)
    with pytest.raises(StorageError, match="extra"):
        run(Store.open(path, executor=InlineExecutor()))
    assert contents(path) == before
    db = sqlite3.connect(path)
    assert schema.version_of(db) == LATEST
    db.close()
