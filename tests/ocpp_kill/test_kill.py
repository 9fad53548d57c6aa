"""Killed or without power at any operation, under a CSMS that misbehaves: nothing lost, doubled, reordered, mis-numbered.

The short version; `make soak` runs a thousand seeds and more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evse.ocpp.engine import Engine
from evse.ocpp.queue import Outbox
from tests.ocpp_kill.power_disk import Connection, Cursor, PowerDisk
from tests.ocpp_kill.world import NOT_DRAINED, Death, Run

SEEDS = (*range(1, 41), 70177)
"""70177: a full disk refuses the samples of half a minute until the power goes."""
DEFECT_SEEDS = range(1, 40)
DEFECT_DRAIN_S = 900
"""A defect often leaves a transaction open for ever. Nobody waits four hours for its end, and it is no proof: the books are."""


@pytest.mark.parametrize("seed", SEEDS)
def test_the_books_agree_with_the_meters(tmp_path: Path, seed: int) -> None:
    report = Run(tmp_path, seed).report()
    assert report.problems == [], "\n".join(report.story)


@pytest.mark.parametrize("kind", ["kill", "power"])
def test_a_quiet_life_may_end_at_any_operation(tmp_path: Path, kind: str) -> None:
    """Every 53rd operation here; `make soak` takes them all."""
    at, ends = 1, 0
    while True:
        folder = tmp_path / str(at)
        folder.mkdir()
        run = Run(folder, 5, death=Death(at=at, late=at % 2 == 0, kind=kind))
        report = run.report()
        assert report.problems == [], "\n".join([f"operation {at}", *report.story])
        if not run.blown:
            break
        ends, at = ends + 1, at + 53
    assert ends > 5


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    reports = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        reports.append(Run(tmp_path / name, 12).report())
    assert reports[0] == reports[1]


# -- the harness can fail: each of these defects must be noticed ---------------------------------------------------------


def _found(tmp_path: Path, disks: Iterator[PowerDisk | None]) -> str:
    for seed, disk in zip(DEFECT_SEEDS, disks, strict=False):
        folder = tmp_path / str(seed)
        folder.mkdir()
        report = Run(folder, seed, disk=disk, drain_s=DEFECT_DRAIN_S).report()
        problems = [text for text in report.problems if not text.startswith(NOT_DRAINED)]
        if problems:
            return "\n".join(problems)
    return ""


def _same() -> Iterator[None]:
    while True:
        yield None


def test_a_disk_that_lies_about_syncs_is_noticed(tmp_path: Path) -> None:
    def lying() -> Iterator[PowerDisk]:
        while True:
            yield PowerDisk(lies=True)

    assert _found(tmp_path, lying()) != ""


def test_commits_without_sync_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Connection.execute

    def execute(self: Connection, sql: str, values: Any = ()) -> Cursor:
        return real(self, sql.replace("synchronous = FULL", "synchronous = NORMAL"), values)

    monkeypatch.setattr(Connection, "execute", execute)
    assert _found(tmp_path, _same()) != ""


def test_a_row_that_leaves_before_its_answer_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Outbox._deliver

    async def deliver(self: Outbox, engine: Engine, row: Any) -> float:
        await self._store.outbox_done(row.row_id)
        return await real(self, engine, row)

    monkeypatch.setattr(Outbox, "_deliver", deliver)
    assert "lost: " in _found(tmp_path, _same())


def test_a_new_id_for_a_repetition_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Engine.call

    async def call(self: Engine, action: str, payload: Any, unique_id: str | None = None, **rest: Any) -> Any:
        return await real(self, action, payload, **rest)

    monkeypatch.setattr(Engine, "call", call)
    found = _found(tmp_path, _same())
    assert "lost: " in found or "different unique ids" in found


def test_a_stop_before_its_meter_values_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evse.storage.outbox as outbox

    def head(db: Any, *_: Any) -> Any:
        found = db.execute(
            f"SELECT {outbox._COLUMNS} FROM outbox WHERE parked = '' "
            "ORDER BY action = 'MeterValues', row_id LIMIT 1"
        ).fetchone()
        return None if found is None else outbox._row(found)

    monkeypatch.setattr(outbox, "head", head)
    assert "reordered" in _found(tmp_path, _same())
