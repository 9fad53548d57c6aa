"""Jobs and messages in one commit, messages in order until they are answered, whoever else commits meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

from evse.domain.base import DeviceError
from evse.lab.vloop import run_virtual
from evse.ocpp.transfers import journal as module
from evse.ocpp.transfers.journal import NAMESPACE, Journal


class SlowStore:
    """Settings that take a moment; a test may let writes fail."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.failing = 0
        self.commits: list[dict[str, str | None]] = []

    async def get_all(self, namespace: str) -> dict[str, str]:
        assert namespace == NAMESPACE
        return dict(self.rows)

    async def put(self, namespace: str, key: str, value: str | None) -> None:
        await self.put_many(namespace, {key: value})

    async def put_many(self, namespace: str, values: Mapping[str, str | None]) -> None:
        await asyncio.sleep(0.1)
        if self.failing:
            self.failing -= 1
            raise DeviceError("the disk is full")
        self.commits.append(dict(values))
        for key, value in values.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


class Hearing:
    """The only method of an engine that a journal needs: what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    async def call(self, action: str, payload: Any, *, unique_id: str = "") -> dict[str, Any]:
        await asyncio.sleep(0.05)
        self.heard.append((payload["status"], unique_id))
        return {}


def make(store: SlowStore, seed: int = 1) -> Journal:
    return Journal(store, Random(seed))  # type: ignore[arg-type]


async def sent(journal: Journal, seconds: float) -> list[str]:
    engine = Hearing()
    task = asyncio.ensure_future(journal.send(engine))  # type: ignore[arg-type]
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len({unique_id for _, unique_id in engine.heard}) == len(engine.heard)
    return [status for status, _ in engine.heard]


def test_commits_at_the_same_time_do_not_overwrite_each_other() -> None:
    async def main() -> None:
        store = SlowStore()
        journal = make(store)
        await asyncio.gather(*(
            journal.commit({f"job{n}": "x"}, [("A", {"status": f"{n}a"}), ("A", {"status": f"{n}b"})]) for n in range(5)
        ))
        assert journal.waiting == 10
        assert await sent(journal, 10) == [f"{n}{half}" for n in range(5) for half in "ab"]
        assert set(store.rows) == {f"job{n}" for n in range(5)}

    run_virtual(main())


def test_a_commit_that_fails_leaves_nothing_and_surely_tries_again() -> None:
    async def main() -> None:
        store = SlowStore()
        journal = make(store)
        store.failing = 3
        try:
            await journal.commit({"job": "x"}, [("A", {"status": "1"})])
        except DeviceError:
            pass
        else:
            raise AssertionError("the failure was swallowed")
        assert journal.waiting == 0
        assert store.rows == {}
        await journal.surely({"job": "y"}, [("A", {"status": "2"})])
        assert store.rows["job"] == "y"
        assert await sent(journal, 10) == ["2"]

    run_virtual(main())


def test_messages_survive_a_restart_in_order_and_the_oldest_go_when_nobody_ever_asks() -> None:
    async def main() -> None:
        store = SlowStore()
        journal = make(store)
        for number in range(module.WAITING_MAX + 7):
            await journal.commit({}, [("A", {"status": str(number)})])
        assert journal.waiting == module.WAITING_MAX
        again = make(store, seed=2)
        await again.load()
        assert again.waiting == module.WAITING_MAX
        await again.commit({}, [("A", {"status": "last"})])
        heard = await sent(again, 100)
        assert heard == [str(number) for number in range(8, module.WAITING_MAX + 7)] + ["last"]
        assert store.rows == {}

    run_virtual(main())


def test_an_answer_that_cannot_be_noted_is_noted_with_the_next_write() -> None:
    async def main() -> None:
        store = SlowStore()
        journal = make(store)
        await journal.commit({}, [("A", {"status": "1"}), ("A", {"status": "2"})])
        store.failing = 2
        assert await sent(journal, 60) == ["1", "2"]
        assert len(store.rows) == 2
        await journal.commit({"job": "x"}, [])
        assert set(store.rows) == {"job"}
        assert journal.waiting == 0

    run_virtual(main())
