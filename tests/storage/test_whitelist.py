"""The white list in the database: what was stored is loaded, over a restart too."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evse.access.whitelist import ENTRIES_MAX, WhitelistKeeper
from evse.domain.whitelist import Entry, Kind
from evse.storage.db import InlineExecutor, Store
from tests.storage.support import WALL, run

FULL = Entry(
    kind=Kind.EVCC,
    id="020000000001",
    name="Ädas; \"car\"",
    allow=False,
    expires_at=7_258_118_400 * 10**9,  # the year 2200
    created_at=WALL,
    used_at=WALL + 1,
)


def test_every_field_survives_a_restart(tmp_path: Path) -> None:
    plain = Entry(kind=Kind.RFID, id="04A1B2C3_1")

    async def main() -> None:
        store = await Store.open(tmp_path / "evse.db", executor=InlineExecutor())
        await store.change_whitelist([plain, FULL], [], clear=False)
        await store.whitelist_used("04A1B2C3_1", WALL + 5)
        await store.whitelist_used("04FFFFFF", WALL + 5)  # removed meanwhile
        await store.close()
        store = await Store.open(tmp_path / "evse.db", executor=InlineExecutor())
        assert await store.load_whitelist() == [FULL, msgspec.structs.replace(plain, used_at=WALL + 5)]
        await store.change_whitelist([], [FULL.id], clear=False)
        assert [entry.id for entry in await store.load_whitelist()] == ["04A1B2C3_1"]
        await store.change_whitelist([FULL], [], clear=True)
        assert await store.load_whitelist() == [FULL]
        await store.close()

    run(main())


def test_the_longest_list_is_stored_and_loaded_whole(tmp_path: Path) -> None:
    entries = {f"{n:08X}": Entry(kind=Kind.RFID, id=f"{n:08X}") for n in range(0x0400_0000, 0x0400_0000 + ENTRIES_MAX)}

    async def main() -> None:
        store = await Store.open(tmp_path / "evse.db", executor=InlineExecutor())
        keeper = WhitelistKeeper(store, lambda: WALL)
        await keeper.load()
        assert (await keeper.take_over(entries, replace=True)).added == ENTRIES_MAX
        again = WhitelistKeeper(store, lambda: WALL)
        await again.load()
        assert list(again.list) == list(keeper.list)
        assert len(again.list) == ENTRIES_MAX
        await store.close()

    run(main())
