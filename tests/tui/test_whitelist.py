"""Section Whitelist: its pages as grids, and what keys make of the list of the fake station."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.access.roles import Role
from evse.access.whitelist import WhitelistError, parse_id
from evse.access.whitelist_csv import parse_time
from evse.api import models as m
from evse.api import models_whitelist as w
from evse.api.errors import ApiError, ErrorCode
from evse.api.operation import Empty
from evse.api.service import Caller
from evse.domain.whitelist import Entry, Kind
from evse.units import NS_PER_S
from tests._support import fake_data as fake
from tests._support.fake_service import FakeStation
from tests._support.fake_whitelist import DAY
from tests.tui.test_apps import KEYS, NAMES, Rig, calls, run
from tests.tui.test_grids import SETS, SIZES, check
from tui.admin.whitelist import paint_whitelist
from tui.admin.whitelist_forms import check_expires, check_id, edit_request, expires_text
from tui.admin.whitelist_learn import HEIGHT, WIDTH, LearnDialog, paint_learning
from tui.driver.glyphs import GLYPHS, GlyphSet
from tui.widgets.dialogs import CellDialog, FormDialog
from tui.widgets.frame import Frame
from tui.widgets.table import TableState


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


class Patient(FakeStation):
    """A fake station where nobody shows a card until the test says so."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.comes = asyncio.Event()

    async def whitelist_window(self, request: w.WhitelistWait, caller: Caller) -> w.WhitelistWindow:
        if request.seconds:
            await self.comes.wait()
        return await super().whitelist_window(request, caller)

    async def whitelist_cancel(self, request: Empty, caller: Caller) -> m.Done:
        done = await super().whitelist_cancel(request, caller)
        self.comes.set()
        return done


def many(count: int) -> tuple[Entry, ...]:
    """Entries with rising ids."""
    return tuple(Entry(kind=Kind.RFID, id=f"04{n:06X}", name=f"Card {n}", created_at=fake.T0) for n in range(count))


def entry(entry_id: str, name: str, says: str = "allowed", **changes: Any) -> w.WhitelistEntry:
    kind = "EVCC" if len(entry_id) == 12 else "RFID"
    base = w.WhitelistEntry(
        id=entry_id, type=kind, name=name, allow=says != "blocked", says=says, expires_at=None,
        created_at=fake.T0 - 40 * DAY, used_at=None,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


ITEMS = (
    entry("00000000000000000001_1", "A 10 byte UID for connector 1, with a name that no column holds"),
    entry("0010BADA5501", "Pool car", expires_at=fake.T0 // DAY * DAY + 30 * DAY, used_at=fake.T0 - DAY),
    entry("04A3B2C1D0E5F6", "Service van 2", used_at=fake.T0 - DAY),
    entry("07A47731", "Guest card", "expired", expires_at=fake.T0 - DAY),
    entry("11223344", "Lost card", "blocked"),
    entry("22334455", "", "no_clock", expires_at=fake.T0 + DAY),
)
PAGE = w.Whitelist(items=ITEMS, total=41)
WINDOW = w.WhitelistWindow(number=3, stage="waiting", reader="rfid", evse_id=0, until=fake.T0, entry=None)
ENDS = {
    "waiting": WINDOW,
    "vehicle": msgspec.structs.replace(WINDOW, reader="", evse_id=2),
    "learned": msgspec.structs.replace(WINDOW, stage="learned", entry=entry("04C0FFEE", "Night shift")),
    "known": msgspec.structs.replace(WINDOW, stage="known", entry=ITEMS[2]),
    "expired": msgspec.structs.replace(WINDOW, stage="expired"),
    "failed": msgspec.structs.replace(
        WINDOW, stage="failed", why="id '08123456': a 4 byte number that begins with 08 is another one at each presentation"
    ),
    "cancelled": msgspec.structs.replace(WINDOW, stage="cancelled"),
}


@pytest.mark.parametrize("glyph_set", SETS)
@pytest.mark.parametrize("size", SIZES)
def test_pages(size: tuple[int, int], glyph_set: GlyphSet) -> None:
    glyphs = GLYPHS[glyph_set]
    nothing = w.Whitelist(items=(), total=0)
    for name, page, key, skip, text in (
        ("filled", PAGE, "", 0, ""),
        ("searched", w.Whitelist(items=ITEMS[3:4], total=14), "07A47731", 13, "guest"),
        ("empty", nothing, "", 0, ""),
        ("none", nothing, "", 0, "07A5"),
    ):
        frame = Frame(size[0], size[1] - 4)
        paint_whitelist(frame, page, TableState(key=key), skip, text, glyphs)
        check(f"admin-whitelist-{name}-{size[0]}x{size[1]}-{glyph_set.value}", frame, glyph_set)
    frame = Frame(size[0], size[1] - 4)
    paint_whitelist(frame, PAGE, TableState(), 0, "", glyphs)
    frame.box(paint_learning(WINDOW, 27, glyphs), (frame.width - WIDTH) // 2, (frame.height - HEIGHT) // 2)
    check(f"admin-whitelist-learning-{size[0]}x{size[1]}-{glyph_set.value}", frame, glyph_set)


@pytest.mark.parametrize("glyph_set", SETS)
def test_ends_of_learning(glyph_set: GlyphSet) -> None:
    glyphs, frame = GLYPHS[glyph_set], Frame(WIDTH, HEIGHT * (len(ENDS) + 1))
    dialogs = [paint_learning(window, 27, glyphs) for window in ENDS.values()]
    dialogs.append(paint_learning(WINDOW, 27, glyphs, problem="the daemon does not answer"))
    for index, dialog in enumerate(dialogs):
        frame.box(dialog, 0, index * HEIGHT)
    check(f"admin-whitelist-ends-{glyph_set.value}", frame, glyph_set)


@pytest.mark.parametrize("size", [(1, 1), (20, 5), (60, 8), (79, 20), (300, 100)])
def test_any_size_paints_without_an_error(size: tuple[int, int]) -> None:
    for page in (PAGE, w.Whitelist(items=(), total=0)):
        paint_whitelist(Frame(*size), page, TableState(key="11223344"), 0, "x", GLYPHS[GlyphSet.UTF8])


class ListRig(Rig):
    """A rig in which somebody may wait for a card."""

    def busy(self) -> bool:
        waiting = [w for w in self.app.workers if w.group == "learn" and not w.is_finished]
        others = any(w.group not in {"store", "learn"} and not w.is_finished for w in self.app.workers)
        pumps = [self.app, *self.app.screen_stack, *self.app.screen.walk_children()]
        shown = not waiting or isinstance(self.app.screen, LearnDialog)
        return others or not shown or any(not pump._message_queue.empty() for pump in pumps)


def rig(role: Role = Role.OPERATOR, *, station: FakeStation | None = None, **options: Any) -> Rig:
    return ListRig("admin", role, station=station or FakeStation(status_period_s=0.001), **options)


def test_a_card_is_added_changed_and_removed() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("W")
        await rig.settle(lambda: "4 entries" in rig.text())
        assert "[X] blocked" in rig.text() and "evsectl whitelist import FILE" in rig.text()
        await rig.press("C", *"04ZZ", "enter")
        assert "card: 8, 14 or 20 hex digits" in rig.text()
        await rig.press("up", "ctrl+u", *"04aabbcc", "enter", *"Juliu", "space", *"U", "enter", "enter", *"2099-01-01")
        await rig.press("enter", "enter")  # down to the button, past Cancel
        await rig.settle(lambda: "5 entries" in rig.text())
        assert calls(rig, "whitelist.add") == [w.WhitelistAdd(id="04aabbcc", name="Juliu U", expires="2099-01-01")]
        assert "04AABBCC added" in rig.text() and "Expires 2099-01-01" in rig.text(), "the cursor stands on it"
        await rig.press("E", "down", "space", "down", "ctrl+u", "enter", "enter")
        await rig.settle(lambda: "is refused, whatever others say" in rig.text())
        assert calls(rig, "whitelist.edit") == [w.WhitelistEdit(id="04AABBCC", allow=False, expires="")]
        await rig.press("X")
        assert "Remove 04AABBCC" in rig.text() and "others decide, and may allow it" in " ".join(rig.text().split())
        await rig.press("enter")
        assert calls(rig, "whitelist.remove") == [], "the focus stands on Cancel"
        await rig.press("X", "tab", "enter")
        await rig.settle(lambda: "4 entries" in rig.text())
        assert calls(rig, "whitelist.remove") == [w.WhitelistRef(id="04AABBCC")]

    run(rig(), walk)


def test_a_refused_entry_comes_back_in_its_form_with_the_reason() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("W", "C", *"07:A4:77:31", "enter", *"Again", "up", "up", "enter")
        await rig.settle(lambda: "is on the list already" in rig.text())
        assert isinstance(rig.app.screen, FormDialog) and "07:A4:77:31" in rig.text() and "Again" in rig.text()
        await rig.press("ctrl+u", *"07:A4:77:32", "up", "enter")
        await rig.settle(lambda: "07A47732 added" in rig.text())
        assert [r.id for r in calls(rig, "whitelist.add")] == ["07:A4:77:31", "07:A4:77:32"]  # type: ignore[attr-defined]
        await rig.press("C", *"0812345", "6", "up", "enter")  # a random id: only the daemon knows
        await rig.settle(lambda: "begins with 08" in rig.text())
        await rig.press("escape")
        assert not isinstance(rig.app.screen, CellDialog)

    run(rig(), walk)


def test_pages_and_search_are_the_daemons_and_a_shorter_list_shows_its_last_page() -> None:
    async def walk(rig: Rig) -> None:
        rig.station.entries = many(30)
        await rig.press("W")
        await rig.settle(lambda: "Showing 1-13 of 30" in rig.text())
        await rig.press("n", "n")
        await rig.settle(lambda: "Showing 27-30 of 30" in rig.text() or "Showing 14-26 of 30" in rig.text())
        await rig.press("n")
        await rig.settle(lambda: "Showing 27-30 of 30" in rig.text())
        await rig.press("n")
        assert "Showing 27-30 of 30" in rig.text(), "no page after the last"
        rig.station.entries = many(20)
        await rig.press("r")
        await rig.settle(lambda: "Showing 14-20 of 20" in rig.text())
        await rig.press("slash", *"card 19", "enter")
        await rig.settle(lambda: 'search "card 19"' in rig.text() and "1 found" in rig.text())
        assert calls(rig, "whitelist.list")[-1] == w.WhitelistQuery(text="card 19", limit=13, offset=0)
        await rig.press("slash", "ctrl+u", *"nobody", "enter")
        await rig.settle(lambda: "No id and no name holds this text" in rig.text())
        await rig.press("E", "X", "enter", "j")
        assert not isinstance(rig.app.screen, CellDialog), "there is nothing to change"
        await rig.press("escape")
        await rig.settle(lambda: "Showing 1-13 of 20" in rig.text())

    run(rig(), walk)


def test_a_card_is_learned_at_a_reader_with_the_seconds_that_are_left() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("W", "S")
        await rig.settle(lambda: isinstance(rig.app.screen, FormDialog))
        assert "reader rfid" in rig.text()
        await rig.press("down", *"Night shift", "up", "up", "enter")
        await rig.settle(lambda: "Hold the card to reader rfid now." in rig.text())
        assert calls(rig, "whitelist.learn") == [w.WhitelistLearn(reader="rfid", seconds=30, name="Night shift")]
        dialog = rig.app.screen
        assert isinstance(dialog, LearnDialog)
        assert "Seconds left   30" in rig.text()
        rig.clock.forward(12)
        dialog._count()
        await rig.settle(lambda: "Seconds left   18" in rig.text())
        await rig.press("enter", "q")
        assert rig.app.screen is dialog, "only Esc ends the waiting"
        rig.station.comes.set()  # type: ignore[attr-defined]
        await rig.settle(lambda: "[OK] Learned" in rig.text())
        assert "04C0FFEE card Night shift" in rig.text()
        await rig.press("enter")
        await rig.settle(lambda: "5 entries" in rig.text())
        assert "04C0FFEE  [OK] allowed: card may charge" in rig.text(), "the cursor stands on it"
        assert calls(rig, "whitelist.cancel") == []

    run(rig(station=Patient(status_period_s=0.001)), walk)


def test_learning_a_vehicle_is_stopped_with_esc() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("W", "S")
        await rig.settle(lambda: isinstance(rig.app.screen, FormDialog))
        await rig.press("left", "up", "up", "up", "1", "2", "3", "4", "up")
        assert "connector 2" in rig.text()
        assert "5 to 300, whole number" in rig.text()
        await rig.press("down", "u", "9", "0", "down", "down", "enter")
        await rig.settle(lambda: "Plug the vehicle in at connector 2" in rig.text())
        assert calls(rig, "whitelist.learn") == [w.WhitelistLearn(evse_id=2, seconds=90)]
        await rig.press("escape")
        await rig.settle(lambda: "Stopped, nothing was learned" in rig.text())
        assert len(calls(rig, "whitelist.cancel")) == 1
        await rig.press("escape")
        assert not isinstance(rig.app.screen, CellDialog)

    run(rig(station=Patient(status_period_s=0.001)), walk)


def test_a_card_that_came_before_esc_still_counts() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("W", "S")
        await rig.settle(lambda: isinstance(rig.app.screen, FormDialog))
        await rig.press("up", "enter")
        await rig.settle(lambda: isinstance(rig.app.screen, LearnDialog))
        station: Any = rig.station

        async def too_late(request: Empty, caller: Caller) -> m.Done:
            station.enter("whitelist.cancel", request)
            station.comes.set()
            return m.Done(changed=False, detail="nobody learns")

        station.whitelist_cancel = too_late
        await rig.press("escape")
        await rig.settle(lambda: "[OK] Learned" in rig.text())

    run(rig(station=Patient(status_period_s=0.001)), walk)


@pytest.mark.parametrize(("learned", "word"), [("", "Nothing came in time"), ("04C0FFEE", "[OK] Learned")])
def test_the_result_of_learning_is_shown(learned: str, word: str) -> None:
    async def walk(rig: Rig) -> None:
        rig.station.learned = learned
        await rig.press("W", "S")
        await rig.settle(lambda: isinstance(rig.app.screen, FormDialog))
        await rig.press("up", "enter")
        await rig.settle(lambda: word in rig.text())

    run(rig(), walk)


def test_somebody_elses_learning_and_a_lost_daemon_are_told() -> None:
    async def walk(rig: Rig) -> None:
        station: Any = rig.station
        await station.whitelist_learn(w.WhitelistLearn(reader="rfid"), rig.client.caller)
        await rig.press("W", "S")
        await rig.settle(lambda: isinstance(rig.app.screen, FormDialog))
        await rig.press("up", "enter")
        await rig.settle(lambda: "somebody learns at rfid already" in rig.text())
        station.reset_whitelist()
        await rig.press("up", "enter")
        await rig.settle(lambda: isinstance(rig.app.screen, LearnDialog))
        station.fail_next("whitelist.window", ApiError(ErrorCode.UNREACHABLE, "the daemon does not answer", ""))
        station.comes.set()
        await rig.settle(lambda: "It is not known what became of it" in rig.text())
        assert "the daemon does not answer" in rig.text()
        await rig.press("escape")
        assert not isinstance(rig.app.screen, CellDialog)

    run(rig(station=Patient(status_period_s=0.001)), walk)


def test_a_station_without_readers_learns_at_its_connectors() -> None:
    async def walk(rig: Rig) -> None:
        rig.station.readers = m.Readers(items=())
        await rig.press("W", "S")
        await rig.settle(lambda: isinstance(rig.app.screen, FormDialog))
        assert "connector 1" in rig.text() and "reader rfid" not in rig.text()
        await rig.press("escape")
        rig.station.set_view(evses=())
        await rig.settle(lambda: not rig.store.status.view.evses)  # type: ignore[union-attr]
        await rig.press("S")
        await rig.settle(lambda: "no card reader and no connector" in rig.text())
        assert not isinstance(rig.app.screen, CellDialog)

    run(rig(), walk)


def test_readonly_shows_the_list_to_operators_and_offers_no_change() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("W")
        await rig.settle(lambda: "4 entries" in rig.text())
        assert "Learn" not in rig.text().splitlines()[-1] and "Search" in rig.text().splitlines()[-1]
        await rig.press("C", "E", "X", "S", "enter")
        assert not isinstance(rig.app.screen, CellDialog)

    run(rig(readonly=True), walk)


def test_a_guest_is_told_why_there_is_no_list() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("W")
        await rig.settle(lambda: "whitelist.list needs role operator, you have guest" in rig.text())
        assert "Service van" not in rig.text()

    run(rig(Role.GUEST, readonly=True), walk)


def test_random_keys_never_raise() -> None:
    rng = random.Random(11)
    keys = [*KEYS, *"CEXS/", *"CEXS/", "enter", "space", "tab"]

    async def walk(rig: Rig) -> None:
        await rig.press("W")
        for _ in range(150):
            await rig.press(NAMES.get(key := rng.choice(keys), key))
            if rig.app._exit:
                return
            if rng.random() < 0.1:
                rig.station.comes.set()  # type: ignore[attr-defined]
                await rig.settle()
        assert rig.app._exception is None

    run(rig(station=Patient(status_period_s=0.001)), walk)


@given(st.text(alphabet="0123456789abcdefABCDEF:- _12xG", max_size=24))
def test_the_form_refuses_no_id_that_the_daemon_takes(text: str) -> None:
    try:
        parse_id(text)
    except WhitelistError:
        return
    assert check_id(text) == ""


@given(st.one_of(st.datetimes().map(lambda d: d.isoformat() + "Z"), st.dates().map(str), st.text(max_size=25)))
def test_the_form_refuses_no_expiry_that_the_daemon_takes(text: str) -> None:
    if not text:
        return
    try:
        parse_time(text)
    except WhitelistError:
        return
    assert check_expires(text) == ""


@given(st.integers(min_value=0, max_value=7_000_000_000))
def test_an_expiry_in_the_form_is_the_one_of_the_list(seconds: int) -> None:
    assert parse_time(expires_text(seconds * NS_PER_S)) == seconds * NS_PER_S


def test_only_what_was_changed_is_sent() -> None:
    assert edit_request("07A47731", {"name": ""}) == w.WhitelistEdit(id="07A47731", name="")
    assert msgspec.to_builtins(edit_request("07A47731", {"allow": "no"})) == {"id": "07A47731", "allow": False}
