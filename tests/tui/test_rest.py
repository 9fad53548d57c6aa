"""A resting screen: when it rests and wakes, what it shows, that nothing is lost by moving it, and its bytes.

The clock is a number that the test moves; over the pty the program's clock goes on by a minute at each USR1.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evse.access.roles import Role
from evse.api.models import Status
from evse.domain.session import OperationalStatus, SessionPhase
from evse.units import NS_PER_S
from tests._support import fake_data as fake
from tests.tui.data import closed_evse, faulted_evse, finished_evse, kiosk_model, status
from tests.tui.run_fake import IDLE
from tests.tui.test_apps import Rig
from tests.tui.test_apps import run as run_rig
from tests.tui.test_grids import check, kiosk_pages
from tests.tui.test_wire import Program
from tests.tui.test_wire import start as start  # fixture
from tui.driver import palette
from tui.driver.glyphs import GlyphSet
from tui.driver.profiles import choose_profile
from tui.kiosk.pages import paint
from tui.kiosk.rest import ATTRACT_S, DIM_S, SHIFT_EVERY_S, SHIFTS, Rest, RestWatch, shifted
from tui.widgets.frame import Frame

FREE = status(fake.idle_evse(1), fake.idle_evse(2))
SHIFT_MAX = 800
"""Bytes of one move of the invitation."""


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def watch(state: Status | None = FREE) -> RestWatch:
    made = RestWatch(0)
    made.look(state, 0)
    return made


def test_rests_after_two_minutes_and_darkens_after_ten() -> None:
    made = watch()
    for seconds, expected in (
        (0, Rest.AWAKE), (ATTRACT_S - 1, Rest.AWAKE), (ATTRACT_S, Rest.ATTRACT), (DIM_S - 1, Rest.ATTRACT),
        (DIM_S, Rest.DIM), (86_400, Rest.DIM),
    ):  # fmt: skip
        made.look(FREE, seconds * NS_PER_S)
        assert made.rest(seconds * NS_PER_S) is expected, seconds
    made.touch(86_401 * NS_PER_S)
    assert made.rest(86_401 * NS_PER_S) is Rest.AWAKE and made.shift(86_401 * NS_PER_S) == (0, 0)


CHANGES: list[dict[str, Any]] = [
    {"phase": SessionPhase.PLUGGED, "plugged": True},
    {"auth_state": "waiting"},  # a card without a vehicle
    {"reserved": True},
    {"operational": OperationalStatus.INOPERATIVE},
    {"faults": faulted_evse(1).faults},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: next(iter(c)))
def test_what_happens_at_a_connector_wakes_and_what_is_measured_does_not(change: dict[str, Any]) -> None:
    late = DIM_S * NS_PER_S
    made = watch()
    warm = status(msgspec.structs.replace(fake.idle_evse(1), temperature_dc=333, voltage_mv=5), fake.idle_evse(2))
    made.look(warm, late)
    assert made.rest(late) is Rest.DIM
    made.look(status(msgspec.structs.replace(fake.idle_evse(1), **change), fake.idle_evse(2)), late)
    assert made.rest(late) is Rest.AWAKE


def test_a_session_keeps_the_screen_awake_but_moving_and_a_full_vehicle_does_not() -> None:
    late = (DIM_S + 2 * SHIFT_EVERY_S) * NS_PER_S
    charging = watch(status())
    assert charging.rest(late) is Rest.AWAKE and charging.shift(late) != (0, 0)
    assert watch(status(finished_evse(), fake.idle_evse(2))).rest(late) is Rest.DIM
    assert watch(status(closed_evse(1), faulted_evse(2))).rest(late) is Rest.DIM


def test_moves_one_cell_a_minute_and_every_cell_gets_a_rest() -> None:
    made, seen = watch(), []
    for minute in range(len(SHIFTS)):
        at = (ATTRACT_S + minute * SHIFT_EVERY_S) * NS_PER_S
        assert made.shift(at) == made.shift(at + (SHIFT_EVERY_S - 1) * NS_PER_S)
        seen.append(made.shift(at))
    assert sorted(seen) == sorted((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1))
    for (x0, y0), (x1, y1) in pairwise(seen):
        assert max(abs(x0 - x1), abs(y0 - y1)) == 1, "by one cell"


@pytest.mark.parametrize(("columns", "rows"), [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)])
def test_shifted_moves_characters_with_their_roles(columns: int, rows: int) -> None:
    frame = Frame(8, 5)
    frame.put(3, 2, "ab", "title")
    moved = shifted(frame, columns, rows)
    assert (moved.width, moved.height) == (8, 5)
    expected = Frame(8, 5)
    expected.put(3 + columns, 2 + rows, "ab", "title")
    assert moved.chars == expected.chars and moved.roles == expected.roles


def test_half_of_a_wide_character_is_not_left_at_an_edge() -> None:
    for columns, at in ((1, 2), (-1, 0)):
        frame = Frame(4, 1)
        frame.put(at, 0, "充")
        moved = shifted(frame, columns, 0)
        assert "" not in moved.chars[0] and "充" not in moved.chars[0] and len(moved.chars[0]) == 4


@pytest.mark.parametrize("size", [(80, 24), (132, 43)])
def test_no_page_loses_a_word_by_moving(size: tuple[int, int]) -> None:
    pages = {**kiosk_pages(), "attract": {"status": FREE, "rest": Rest.ATTRACT}}
    for name, changes in pages.items():
        still = str(paint(kiosk_model(**changes), *size)).split()
        for shift in SHIFTS:
            moved = str(paint(kiosk_model(**changes, shift=shift), *size)).split()
            words, others = ([w for w in text if w.isalnum()] for text in (still, moved))
            assert words == others, f"{name} {shift}"


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("glyph_set", [GlyphSet.UTF8, GlyphSet.ASCII])
@pytest.mark.parametrize("size", [(80, 24), (132, 43)])
def test_the_invitation(size: tuple[int, int], glyph_set: GlyphSet, language: str) -> None:
    model = kiosk_model(glyph_set, language, status=FREE, rest=Rest.ATTRACT)
    frame = paint(model, *size)
    check(f"kiosk-attract-{size[0]}x{size[1]}-{glyph_set.value}-{language}", frame, glyph_set)
    outer = [frame.chars[0], frame.chars[-1], [row[0] for row in frame.chars], [row[-1] for row in frame.chars]]
    assert all(cell == " " for cells in outer for cell in cells), "room to move"
    assert sum(c != " " for row in frame.chars for c in row) < 220, "a dark picture"


@pytest.mark.parametrize(
    ("state", "rest"),
    [
        (status(), Rest.AWAKE),
        (status(finished_evse(), faulted_evse(2)), Rest.DIM),
        (status(closed_evse(1), faulted_evse(2)), Rest.DIM),
    ],
)
def test_nobody_is_invited_where_nothing_is_free(state: Status, rest: Rest) -> None:
    assert str(paint(kiosk_model(status=state, rest=rest), 80, 24)) == str(paint(kiosk_model(status=state), 80, 24))


def test_a_key_wakes_the_app_also_one_without_a_meaning() -> None:
    async def walk(rig: Rig) -> None:
        rig.station.set_evse(1, **IDLE)
        await rig.settle(lambda: "Hello" in rig.text())
        for key in ("x", "1", "l"):
            rig.later(ATTRACT_S)
            await rig.settle(lambda: "CONNECTOR 1" not in rig.text() and "2 available" in rig.text())
            await rig.press(key)
            await rig.settle(lambda: "ONNECTOR 1" in rig.text().upper() or "LADEPUNKT 1" in rig.text().upper())

    run_rig(Rig("kiosk", Role.GUEST), walk)


def test_palette_only_for_a_console_with_colours() -> None:
    assert choose_profile({"TERM": "linux"}, 1).palette
    for env in ({"TERM": "xterm"}, {"TERM": "vt220"}, {}, {"TERM": "linux", "NO_COLOR": "1"}):
        assert not choose_profile(env, 1).palette, env
    assert not choose_profile({"TERM": "linux"}, 1, mono=True).palette
    day, night = palette.palette(night=False), palette.palette(night=True)
    assert len(day) == len(night) == 160 and day.startswith(b"\x1b]P0000000\x1b]P1")
    assert all(
        n <= d for dark, light in zip(palette.NIGHT, palette.DAY, strict=True) for n, d in zip(dark, light, strict=True)
    )


def test_idle_console_sends_nothing_but_the_move_and_the_palette(start: Callable[..., Program]) -> None:
    program = start("kiosk", "--frozen", "--idle")
    first = program.until("CONNECTOR 1", quiet=0.5)
    assert first.startswith(palette.palette(night=False)) and len(first) <= 4096

    def minute() -> bytes:
        program.process.send_signal(signal.SIGUSR1)
        got = program.read(lambda: bool(program.all[size:]), seconds=10, quiet=0.6)
        assert got
        return got

    program.process.send_signal(signal.SIGUSR1)  # one minute: nobody has left yet
    assert program.watch(1.5) == b""
    size = len(program.all)
    minute()
    assert "2 available" in program.text() and "CONNECTOR 1" not in program.text()
    assert program.watch(1.5) == b"", "an idle screen sends nothing"
    for _ in range(7):
        size = len(program.all)
        assert 0 < len(minute()) <= SHIFT_MAX
    assert program.watch(1.5) == b""
    size = len(program.all)
    assert palette.palette(night=True) in minute()
    program.read(lambda: program.wants(GlyphSet.CP437) == program.text().rstrip("\n"), seconds=5)
    assert program.watch(1.5) == b""
    program.key(b"x")
    assert palette.palette(night=False) in program.until("CONNECTOR 1", quiet=0.5)
    assert program.end(signal.SIGTERM) == 0
    program.assert_restored()
    assert palette.RESET in program.all[-60:]
    program.assert_allowed()


def test_other_terminals_get_no_palette_and_xterm_stays_in_step(start: Callable[..., Program]) -> None:
    program = start("kiosk", "--frozen", "--idle", term="xterm")
    program.until("CONNECTOR 1", quiet=0.3)
    assert program.end(signal.SIGTERM) == 0
    assert b"\x1b]" not in program.all


def test_the_screen_pings_from_its_tick(start: Callable[..., Program], tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(30)
        program = start("kiosk", "--frozen", NOTIFY_SOCKET=str(path), WATCHDOG_USEC="2000000")
        program.until("CONNECTOR 1", quiet=0.1)
        messages = {manager.recv(200) for _ in range(4)}
        assert messages == {b"READY=1\nSTATUS=the screen is up", b"WATCHDOG=1"}
        program.end(signal.SIGTERM)
        manager.settimeout(5)
        while manager.recv(200) != b"STOPPING=1":
            pass


def test_after_a_stop_the_console_gets_its_picture_and_its_palette_again(start: Callable[..., Program]) -> None:
    program = start("kiosk", "--frozen", "--idle")
    program.until("CONNECTOR 1", quiet=0.3)
    for _ in range(10):
        program.process.send_signal(signal.SIGUSR1)
        program.watch(0.2)  # two equal signals at once would be one
    program.read(lambda: palette.palette(night=True) in program.all, quiet=0.3)
    program.process.send_signal(signal.SIGSTOP)
    program.screen.reset()
    size = len(program.all)
    program.process.send_signal(signal.SIGCONT)
    program.until("2 available", quiet=0.3)
    assert palette.palette(night=True) in program.all[size:]


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (39, 30), (40, 12), (79, 24), (80, 23), (80, 24), (300, 80)])
def test_every_size_can_move_and_rest(size: tuple[int, int]) -> None:
    for rest in Rest:
        for shift in SHIFTS:
            frame = paint(kiosk_model(status=FREE, rest=rest, shift=shift), *size)
            assert (frame.width, frame.height) == size
            assert all(len(row) == size[0] for row in frame.chars + frame.roles)
