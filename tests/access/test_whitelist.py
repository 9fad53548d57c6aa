"""The white list: ids, verdicts, speed, CSV import and export, and that a failed change leaves everything as it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.access import whitelist_csv
from evse.access.whitelist import (
    ENTRIES_MAX,
    Counts,
    Entry,
    EntryExists,
    EntryMissing,
    Kind,
    Verdict,
    Whitelist,
    WhitelistError,
    WhitelistKeeper,
    parse_id,
)
from evse.units import NS_PER_S

NOW = 1_800_000_000 * NS_PER_S


def card(entry_id: str, **fields: object) -> Entry:
    return msgspec.structs.replace(Entry(kind=Kind.RFID, id=entry_id), **fields)


class MemoryStore:
    """A store whose next change can fail before anything was written."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.rows = {entry.id: entry for entry in entries}
        self.full = False

    async def load_whitelist(self) -> Sequence[Entry]:
        return list(self.rows.values())

    async def change_whitelist(self, put: Sequence[Entry], remove: Sequence[str], *, clear: bool) -> None:
        if self.full:
            raise OSError("disk full")
        if clear:
            self.rows.clear()
        for entry_id in remove:
            self.rows.pop(entry_id, None)
        self.rows.update({entry.id: entry for entry in put})

    async def whitelist_used(self, entry_id: str, at: int) -> None:
        if self.full:
            raise OSError("disk full")
        self.rows[entry_id] = msgspec.structs.replace(self.rows[entry_id], used_at=at)


async def keeper_of(*entries: Entry) -> tuple[WhitelistKeeper, MemoryStore]:
    store = MemoryStore(entries)
    keeper = WhitelistKeeper(store, lambda: NOW)
    await keeper.load()
    return keeper, store


# -- ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "entry_id"),
    [
        ("07A47731", Kind.RFID, "07A47731"),
        (" 04a1b2c3 ", Kind.RFID, "04A1B2C3"),
        ("04:A1:B2:C3:D4:E5:F6", Kind.RFID, "04A1B2C3D4E5F6"),
        ("01 02 03 04 05 06 07 08 09 0A", Kind.RFID, "0102030405060708090A"),
        ("04A1B2C3_1", Kind.RFID, "04A1B2C3_1"),
        ("04-A1-B2-C3_2", Kind.RFID, "04A1B2C3_2"),
        ("02:00:00:00:00:01", Kind.EVCC, "020000000001"),
        ("020000000001", Kind.EVCC, "020000000001"),
        ("08A1B2C3D4E5F6", Kind.RFID, "08A1B2C3D4E5F6"),  # only 4 byte numbers are random
    ],
)
def test_ids(text: str, kind: Kind, entry_id: str) -> None:
    assert parse_id(text) == (kind, entry_id)


@pytest.mark.parametrize(
    "text",
    ["", "04A1B2", "04A1B2C3D4", "04A1B2G3", "04A1B2C3_3", "04A1B2C3_", "020000000001_1", "04:A1-B2:C3", "0x04A1B2C3"],
)
def test_wrong_ids_are_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(WhitelistError, match=r"id '.*': accepted: a card of 4, 7 or 10 bytes"):
        parse_id(text)


@pytest.mark.parametrize("text", ["08AABBCC", "08aabbcc_1"])
def test_random_uids_cannot_be_listed(text: str) -> None:
    with pytest.raises(WhitelistError, match="another one at each presentation"):
        parse_id(text)


# -- verdicts ---------------------------------------------------------------------------------------------------------


def test_verdicts() -> None:
    white = Whitelist(
        [
            card("04A1B2C3"),
            card("04000001", allow=False),
            card("04000002", expires_at=NOW),
            card("04000003_1"),
            card("04A1B2C3_2", allow=False),
        ]
    )
    assert white.decide("04a1b2c3", 1, NOW) is Verdict.ALLOWED
    assert white.decide("04A1B2C3", 2, NOW) is Verdict.BLOCKED  # the entry for the connector goes first
    assert white.decide("04000001", 1, NOW) is Verdict.BLOCKED
    assert white.decide("04000002", 1, NOW - 1) is Verdict.ALLOWED
    assert white.decide("04000002", 1, NOW) is Verdict.EXPIRED
    assert white.decide("04000002", 1, None) is Verdict.NO_CLOCK
    assert white.decide("04000003", 1, None) is Verdict.ALLOWED
    assert white.decide("04000003", 2, NOW) is Verdict.UNKNOWN
    assert white.decide("04000003_1", 2, NOW) is Verdict.UNKNOWN  # a card has no suffix
    assert white.decide("", 1, NOW) is Verdict.UNKNOWN


def test_lookups_among_ten_thousand() -> None:
    white = Whitelist(card(f"{0x0400_0000 + n:08X}") for n in range(ENTRIES_MAX))
    assert len(white) == ENTRIES_MAX
    tokens = [f"{0x0400_0000 + n * 2:08x}" for n in range(ENTRIES_MAX)]
    verdicts = [white.decide(token, 1, NOW) for token in tokens]
    assert verdicts.count(Verdict.ALLOWED) == ENTRIES_MAX // 2


def test_a_lookup_does_not_depend_on_the_length_of_the_list() -> None:
    """As a ratio, so that it holds on any machine: a search through the list would be a thousand times slower."""

    def best_of(count: int) -> int:
        white = Whitelist(card(f"{0x0400_0000 + n:08X}") for n in range(count))
        tokens = [f"{0x0400_0000 + n % count:08X}" for n in range(0, 20_000, 7)]
        spent = []
        for _ in range(5):
            started = time.process_time_ns()
            for token in tokens:
                white.decide(token, 1, NOW)
            spent.append(time.process_time_ns() - started)
        return min(spent)

    assert best_of(ENTRIES_MAX) < 10 * best_of(10)


def test_search_in_ids_and_names() -> None:
    white = Whitelist([card("04000002", name="Ada"), card("04000001", name="Grace"), card("0ADA0001")])
    assert [entry.id for entry in white.search("ada")] == ["04000002", "0ADA0001"]
    assert [entry.id for entry in white.search("")] == ["04000001", "04000002", "0ADA0001"]


# -- CSV --------------------------------------------------------------------------------------------------------------


def test_a_file_with_all_columns() -> None:
    text = (
        "\ufeffType;Id;Name;Allow;Expires\r\nRFID;04a1b2c3;Ada;yes;2027-01-15T08:00:00Z\r\n"
        "EVCC;02:00:00:00:00:01;;no;2027-12-31\r\n;07A47731_2;\"a;b\";;\r\n"
    )
    assert whitelist_csv.parse(text) == {
        "04A1B2C3": card("04A1B2C3", name="Ada", expires_at=NOW),
        "020000000001": Entry(
            kind=Kind.EVCC, id="020000000001", allow=False, expires_at=1_830_211_200 * NS_PER_S
        ),
        "07A47731_2": card("07A47731_2", name="a;b"),
    }  # fmt: skip


def test_a_single_column_without_a_header() -> None:
    assert list(whitelist_csv.parse("07A47731\n04A1B2C3_1\n\n")) == ["07A47731", "04A1B2C3_1"]


def test_every_bad_line_is_named_with_its_reason() -> None:
    text = (
        "id,type,name,allow,expires\n04A1B2C3,,,,\nhello,,,,\n04A1B2C3,,,,\n08000001,,,,\n04000001,EVCC,,,\n"
        "04000002,NFC,,,\n04000003,,=1+1,,\n04000004,,,maybe,\n04000005,,,,31.12.2027\n04000006,,a,b,c,d\n"
        "04000007,,,,2027-12-31T18:00:00\n04000008," + "," + "x" * 65 + ",,\n"
    )
    with pytest.raises(WhitelistError) as caught:
        whitelist_csv.parse(text)
    reasons = [
        "line 3: id 'hello': accepted", "line 4: id '04A1B2C3': is in line 2 already",
        "line 5: id '08000001': a 4 byte number", "line 6: id '04000001': is of type RFID, not EVCC",
        "line 7: type 'NFC': accepted", "line 8: name '=1+1': begins with '='", "line 9: allow 'maybe': accepted",
        "line 10: expires '31.12.2027': accepted", "line 11: 6 columns, the header has 5",
        "line 12: expires '2027-12-31T18:00:00'", "line 13: name 'xxx",
    ]  # fmt: skip
    assert len(caught.value.problems) == len(reasons)
    for problem, reason in zip(caught.value.problems, reasons, strict=True):
        assert problem.startswith(reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no entries"),
        ("id\n", "no entries"),
        ("a,b\n1,2\n", "line 1: no column 'id'"),
        ("id,colour\n", "line 1: column 'colour' is not known"),
        ("id,id\n", "line 1: a column is there twice"),
        ('id\n"04A1B2C3', "line 2: not CSV"),
        ("x" * (whitelist_csv.TEXT_MAX + 1), "at most"),
        ("\n".join(f"{n:08X}" for n in range(0x04000000, 0x04000000 + ENTRIES_MAX + 1)), "10001 entries, at most 10000"),
    ],
)
def test_files_that_are_none(text: str, reason: str) -> None:
    with pytest.raises(WhitelistError, match=reason):
        whitelist_csv.parse(text)


def test_a_long_list_of_problems_is_cut() -> None:
    with pytest.raises(WhitelistError) as caught:
        whitelist_csv.parse("\n".join(["id", *["nothing"] * 60]))
    assert len(caught.value.problems) == 60
    assert str(caught.value).endswith("\nand 10 more")


IDS = st.sampled_from((4, 7, 10)).flatmap(lambda n: st.binary(min_size=n, max_size=n)).filter(lambda uid: uid[0] != 8)
NAMES = st.text(st.characters(categories=("L", "N", "P", "S")), max_size=60).filter(lambda name: name[:1] not in set("=+-@"))
ENTRIES = st.builds(
    Entry,
    kind=st.just(Kind.RFID),
    id=IDS.map(lambda uid: uid.hex().upper()),
    name=NAMES,
    allow=st.booleans(),
    expires_at=st.none() | st.integers(0, 7_000_000_000).map(lambda second: second * NS_PER_S),
)


@given(st.lists(ENTRIES, min_size=1, max_size=20, unique_by=lambda entry: entry.id))
def test_what_was_exported_is_imported_again(entries: list[Entry]) -> None:
    white = Whitelist(entries)
    text = whitelist_csv.write(white)
    assert list(whitelist_csv.parse(text).values()) == list(white)


@given(st.text(max_size=200) | st.text("id,type;\"\n\r04A1B2C3_name", max_size=200))
def test_any_text_is_a_list_or_an_error(text: str) -> None:
    try:
        entries = whitelist_csv.parse(text)
    except WhitelistError as error:
        assert error.problems
    else:
        assert entries


# -- changes ----------------------------------------------------------------------------------------------------------


def test_import_adds_or_replaces_and_says_what_it_did() -> None:
    async def main() -> None:
        keeper, store = await keeper_of(card("04000001"), card("04000002", created_at=5, used_at=6))
        entries = whitelist_csv.parse("id,name\n04000002,Ada\n04000003,\n")
        planned = await keeper.take_over(entries, replace=False, dry_run=True)
        assert planned == Counts(added=1, changed=1, unchanged=0, removed=0)
        assert [entry.id for entry in keeper.list] == ["04000001", "04000002"] == list(store.rows)
        assert await keeper.take_over(entries, replace=False) == planned
        assert [entry.id for entry in keeper.list] == ["04000001", "04000002", "04000003"]
        assert keeper.list.get("04000002") == card("04000002", name="Ada", created_at=5, used_at=6)
        assert keeper.list.get("04000003") == card("04000003", created_at=NOW)
        counts = await keeper.take_over(entries, replace=True)
        assert counts == Counts(added=0, changed=0, unchanged=2, removed=1)
        assert {entry.id: entry for entry in keeper.list} == store.rows
        assert list(store.rows) == ["04000002", "04000003"]

    asyncio.run(main())


@pytest.mark.parametrize("replace", [False, True])
def test_nothing_is_half_done_when_the_store_fails(replace: bool) -> None:
    async def main() -> None:
        keeper, store = await keeper_of(card("04000001"))
        store.full = True
        with pytest.raises(OSError, match="disk full"):
            await keeper.take_over(whitelist_csv.parse("04000002\n"), replace=replace)
        with pytest.raises(OSError, match="disk full"):
            await keeper.add(card("04000003"))
        with pytest.raises(OSError, match="disk full"):
            await keeper.edit("04000001", allow=False)
        with pytest.raises(OSError, match="disk full"):
            await keeper.remove("04000001")
        with pytest.raises(OSError, match="disk full"):
            await keeper.clear()
        assert list(keeper.list) == [card("04000001")] == list(store.rows.values())

    asyncio.run(main())


def test_a_full_list_takes_no_more_but_can_be_replaced() -> None:
    async def main() -> None:
        keeper, store = await keeper_of(*(card(f"{0x0400_0000 + n:08X}") for n in range(ENTRIES_MAX)))
        with pytest.raises(WhitelistError, match="10001 entries, at most 10000"):
            await keeper.take_over(whitelist_csv.parse("05000000\n"), replace=False)
        with pytest.raises(WhitelistError, match="10001 entries"):
            await keeper.add(card("05000000"))
        assert len(keeper.list) == len(store.rows) == ENTRIES_MAX
        await keeper.edit("04000000", allow=False)
        assert keeper.list.decide("04000000", 1, NOW) is Verdict.BLOCKED
        counts = await keeper.take_over(whitelist_csv.parse("05000000\n"), replace=True)
        assert counts == Counts(added=1, changed=0, unchanged=0, removed=ENTRIES_MAX)
        assert list(store.rows) == ["05000000"]

    asyncio.run(main())


def test_single_entries_are_normalised_checked_changed_and_removed() -> None:
    async def main() -> None:
        keeper, store = await keeper_of()
        added = await keeper.add(card("04:a1:b2:c3", name=" Ada ", used_at=1))
        assert store.rows == {"04A1B2C3": card("04A1B2C3", name="Ada", created_at=NOW)} == {added.id: added}
        with pytest.raises(EntryExists, match="04A1B2C3 is on the list already"):
            await keeper.add(card("04a1b2c3"))
        with pytest.raises(WhitelistError, match="is of type EVCC, not RFID"):
            await keeper.add(card("020000000001"))
        with pytest.raises(WhitelistError, match="cannot be printed"):
            await keeper.add(card("04A1B2C4", name="a\tb"))
        before, after = await keeper.edit("04:A1:B2:C3", expires_at=NOW)
        assert (before, after) == (added, msgspec.structs.replace(added, expires_at=NOW))
        assert store.rows == {after.id: after}
        assert await keeper.edit("04A1B2C3", name="Eve", allow=False, expires_at=None) == (
            after,
            msgspec.structs.replace(added, name="Eve", allow=False),
        )
        with pytest.raises(WhitelistError, match="begins with '='"):
            await keeper.edit("04A1B2C3", name="=1")
        with pytest.raises(EntryMissing, match="04A1B2C4 is not on the list"):
            await keeper.edit("04A1B2C4", allow=True)
        gone = await keeper.remove("04a1b2c3")
        assert gone is not None and gone.name == "Eve"
        assert await keeper.remove("04a1b2c3") is None
        assert store.rows == {}

    asyncio.run(main())


def test_an_edit_that_changes_nothing_writes_nothing() -> None:
    async def main() -> None:
        keeper, store = await keeper_of(card("04000001", name="Ada"))
        store.full = True
        before, after = await keeper.edit("04000001", name="Ada", allow=True, expires_at=None)
        assert before == after == card("04000001", name="Ada")

    asyncio.run(main())


def test_use_is_noted_in_memory_and_on_the_medium() -> None:
    async def main() -> None:
        keeper, store = await keeper_of(card("04000001", name="Ada"))
        await keeper.used("04000001", NOW)
        await keeper.used("04000002", NOW)  # removed meanwhile
        assert list(keeper.list) == [card("04000001", name="Ada", used_at=NOW)] == list(store.rows.values())
        store.full = True
        with pytest.raises(OSError, match="disk full"):
            await keeper.used("04000001", NOW + 1)
        assert keeper.list.get("04000001") == card("04000001", name="Ada", used_at=NOW + 1)

    asyncio.run(main())


def test_changes_at_the_same_time_lose_nothing() -> None:
    """Every change waits for the one before it, also while the store works."""

    class SlowStore(MemoryStore):
        async def change_whitelist(self, put: Sequence[Entry], remove: Sequence[str], *, clear: bool) -> None:
            await asyncio.sleep(0)
            await super().change_whitelist(put, remove, clear=clear)

    async def main() -> None:
        store = SlowStore([card("04000001")])
        keeper = WhitelistKeeper(store, lambda: NOW)
        await keeper.load()
        await asyncio.gather(
            keeper.add(card("04000002")),
            keeper.used("04000001", NOW),
            keeper.take_over(whitelist_csv.parse("04000003\n"), replace=False),
            keeper.edit("04000001", allow=False),
        )
        assert {entry.id: entry for entry in keeper.list} == store.rows
        assert store.rows["04000001"] == card("04000001", allow=False, used_at=NOW)
        assert len(store.rows) == 3

    asyncio.run(main())


def test_a_long_file_is_read_and_written_in_portions() -> None:
    """The control loop ticks in between."""
    white = Whitelist(card(f"{0x0400_0000 + n:08X}") for n in range(1_000))
    writing = whitelist_csv.write_in_portions(white)
    assert len(list(writing)) == 1_000 // whitelist_csv.PORTION
    text = whitelist_csv.write(white)
    assert len(list(whitelist_csv.parse_in_portions(text))) == 1_001 // whitelist_csv.PORTION
    assert len(whitelist_csv.parse(text)) == 1_000
