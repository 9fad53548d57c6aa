"""The disk of the power cuts: what was synced stays, what was not may stay or not; the whole store on it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from evse.storage.db import InlineExecutor, Store
from tests.ocpp_kill.fuse import Cut, Fuse
from tests.ocpp_kill.power_disk import PowerDisk
from tests.storage.support import run
from tests.storage.test_durability import STEPS, contents


async def _live(path: Path, disk: PowerDisk) -> int:
    """Do all steps until the fuse blows; return how many were acknowledged (-1 = all)."""
    done = 0
    try:
        store = await Store.open(path, executor=InlineExecutor(), connect=disk.connect)
        assert store.set_aside is None
        for step in STEPS:
            await step(store)
            done += 1
        await store.close()
    except Cut:
        return done
    return -1


@pytest.mark.parametrize("checkpoint_pages", [1000, 4])
def test_a_power_cut_at_any_operation_keeps_every_acknowledged_step_and_no_half_one(
    tmp_path: Path, checkpoint_pages: int
) -> None:
    async def main() -> int:
        good = tmp_path / "good.db"
        store = await Store.open(good, executor=InlineExecutor())
        states = [contents(good)]
        for step in STEPS:
            await step(store)
            states.append(contents(good))
        await store.close()
        rng = Random(checkpoint_pages)
        n = cuts = 0
        while True:
            n += rng.randint(1, 7)
            path = tmp_path / f"cut{n}.db"
            disk = PowerDisk(checkpoint_pages=checkpoint_pages)
            disk.insert(Fuse(n, late=rng.random() < 0.5))
            done = await _live(path, disk)
            if done < 0:
                return cuts
            cuts += 1
            disk.abandon()
            disk.cut(rng)
            disk.insert(Fuse())
            again = await Store.open(path, executor=InlineExecutor(), connect=disk.connect)
            assert again.set_aside is None
            await again.close()
            assert contents(path) in states[done : done + 2], f"operation {n}, {done} steps were acknowledged"

    assert run(main()) > 40


def test_what_was_not_synced_is_lost_or_torn(tmp_path: Path) -> None:
    """Without the sync of a commit (a disk that lies) power cuts lose acknowledged steps: the disk does lose things."""

    async def main() -> int:
        lost = 0
        for seed in range(20):
            path = tmp_path / f"{seed}.db"
            disk = PowerDisk(lies=True)
            store = await Store.open(path, executor=InlineExecutor(), connect=disk.connect)
            await store.put("n", "k", "v")
            disk.fuse.blow("test")
            disk.abandon()
            disk.cut(Random(seed))
            disk.insert(Fuse())
            again = await Store.open(path, executor=InlineExecutor(), connect=disk.connect)
            lost += await again.get("n", "k") is None
            await again.close()
        return lost

    assert run(main()) > 5


def test_a_killed_process_loses_nothing_that_it_wrote(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "a.db"
        disk = PowerDisk(lies=True)
        store = await Store.open(path, executor=InlineExecutor(), connect=disk.connect)
        await store.put("n", "k", "v")
        disk.fuse.blow("test")
        with pytest.raises(Cut):
            await store.put("n", "k", "w")
        disk.abandon()
        disk.insert(Fuse())
        again = await Store.open(path, executor=InlineExecutor(), connect=disk.connect)
        assert await again.get("n", "k") == "v"
        await again.close()

    run(main())
