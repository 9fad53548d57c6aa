"""Every page as a grid of characters, compared with the reviewed files in ``grids``. UPDATE_GRIDS=1 writes them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evse.api import models as m
from evse.domain.faults import FaultCode, LatchRule, Reaction
from evse.domain.limits import LimitEntry, LimitSource
from evse.domain.session import OperationalStatus
from tests._support import fake_data as fake
from tests.tui import ac_data as ac
from tests.tui.data import closed_evse, ended_record, fault, faulted_evse, finished_evse, kiosk_model, status
from tui.admin.connectors import paint_connectors
from tui.admin.faults import paint_faults, paint_history
from tui.admin.meters import paint_meters
from tui.admin.overview import paint_overview
from tui.admin.planner import paint_planner
from tui.admin.sessions import paint_detail, paint_sessions
from tui.driver.glyphs import CP437_CHARS, GLYPHS, Glyphs, GlyphSet, Translator
from tui.kiosk.model import KioskModel, Page
from tui.kiosk.pages import paint
from tui.state.store import Link
from tui.widgets.frame import Frame
from tui.widgets.table import TableState

GRIDS = Path(__file__).parent / "grids"
SIZES = ((80, 24), (132, 43))
SETS = (GlyphSet.UTF8, GlyphSet.ASCII)


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def check(name: str, frame: Frame, glyph_set: GlyphSet) -> None:
    """Compare (or write) one grid, as the terminal of that repertoire shows it."""
    text = Translator(glyph_set).text(str(frame))
    path = GRIDS / f"{name}.txt"
    if os.environ.get("UPDATE_GRIDS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"{path} is missing: look at the page, then UPDATE_GRIDS=1"
    assert text == path.read_text(), f"{name} changed: look at it, then UPDATE_GRIDS=1"
    if glyph_set is GlyphSet.ASCII:
        assert text.isascii()


def kiosk_pages() -> dict[str, dict[str, Any]]:
    done = status(finished_evse(), fake.idle_evse(2))
    return {
        "home": {},
        "live": {"page": Page.CONNECTOR},
        "live-idle": {"page": Page.CONNECTOR, "evse_id": 2},
        "summary": {"page": Page.CONNECTOR, "status": done, "summaries": {1: ended_record()}},
        "home-fault": {"status": status(faulted_evse(1), closed_evse(2))},
        "out-fault": {"status": status(faulted_evse(1), faulted_evse(2, FaultCode.INSULATION))},
        "out-daemon": {"link": Link.OFFLINE, "silence_s": 45, "age_s": 45},
        "out-closed": {"status": status(closed_evse(1), closed_evse(2), operational=OperationalStatus.INOPERATIVE)},
        "connecting": {"status": None, "link": Link.CONNECTING, "now": 0},
        "ac-home": {"status": ac.ac_status(ac.ac_charging(1), ac.ac_waiting(2, "the plug lock"))},
        "ac-live": {"status": ac.ac_status(ac.ac_charging(1), ac.ac_one_phase(2)), "page": Page.CONNECTOR},
        "ac-live-one": {"status": ac.ac_status(ac.ac_one_phase(1)), "page": Page.CONNECTOR},
        "ac-summary": {
            "page": Page.CONNECTOR, "status": ac.ac_status(ac.ac_finished(1)), "summaries": {1: ac.ac_ended()},
        },
        "ac-mixed": {"status": status(fake.charging_evse(), fake.idle_evse(2), ac.ac_charging(3), ac.ac_idle(4))},
        "ac-list": {"status": ac.ac_status(), "table": TableState(key="4")},
    }  # fmt: skip


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("glyph_set", SETS)
@pytest.mark.parametrize("size", SIZES)
def test_kiosk_pages(size: tuple[int, int], glyph_set: GlyphSet, language: str) -> None:
    for page, changes in kiosk_pages().items():
        model: KioskModel = kiosk_model(glyph_set, language, **changes)
        name = f"kiosk-{page}-{size[0]}x{size[1]}-{glyph_set.value}-{language}"
        check(name, paint(model, *size), glyph_set)


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_no_text_of_the_kiosk_is_cut_at_80_columns(language: str) -> None:
    for page, changes in kiosk_pages().items():
        model = kiosk_model(GlyphSet.CP437, language, **changes)
        lines = paint(model, 80, 24).lines()
        whole = "\n".join(lines)
        assert set(whole) <= CP437_CHARS | {"\n"} | set("ÉÈÀÊ"), page
        wide = paint(model, 200, 24).lines()
        words = set("\n".join(wide).replace("│", " ").split())
        if page not in {"live", "live-idle", "summary", "ac-mixed", "ac-list"}:  # digits wrap differently, lists drop columns
            lost = {w for w in words if w.isalpha() and w not in whole}
            assert not lost, f"{page}: {lost}"


@pytest.mark.parametrize("language", ["en", "de", "fr"])
@pytest.mark.parametrize("code", list(FaultCode))
def test_every_fault_text_fits_its_pane(code: FaultCode, language: str) -> None:
    model = kiosk_model(GlyphSet.CP437, language, status=status(faulted_evse(1, code), fake.idle_evse(2)))
    text = str(paint(model, 80, 24))
    assert all(word in text for word in model.tr("fault." + code.value).split())
    assert f"{code.value} " in text


def faults() -> m.Faults:
    def info(code: FaultCode, evse_id: int, *, clearable: bool) -> m.FaultInfo:
        text = fake.FAULT_TEXTS[code]
        return m.FaultInfo(
            record=fault(code, evse_id, "insulation 48 kohm < 100 kohm at 500 V"),
            name=text.name,
            severity=text.severity,
            reaction=Reaction.EMERGENCY.value,
            latch=LatchRule.MANUAL.value,
            description=text.description,
            cause=text.cause,
            impact=text.impact,
            remedy_remote=text.remedy_remote,
            remedy_on_site=text.remedy_on_site,
            clearable=clearable,
            why_not="" if clearable else "the insulation is still too low",
        )

    return m.Faults(
        items=(info(FaultCode.INSULATION, 1, clearable=False), info(FaultCode.SITE_METER_LOST, 0, clearable=True))
    )


def planner() -> m.PlannerState:
    settings = msgspec.structs.replace(fake.SETTINGS, limit_w=56_000, override=True)
    return m.PlannerState(
        settings=settings,
        plan=fake.plan(),
        groups=fake.group_rows(),
        requested_w=18_000,
        offered_w=60_000,
        allowed_w=60_000,
        assigned_w=18_000,
        shared_chains=1,
        bms_stale=0,
        site_power_w=18_940,
    )


def sessions() -> m.Sessions:
    items = (fake.charging_session(), *(fake.past_session(n) for n in range(24, 8, -1)))
    return m.Sessions(items=items, total=25, energy_wh=sum(s.energy_wh for s in items))


def detail() -> m.SessionDetail:
    points = tuple(
        m.SessionPoint(
            wall=fake.T0 + i,
            power_w=max(2000, 60_000 - 400 * i),
            soc_pct=20 + i // 2 if i % 9 else None,
            energy_wh=i * 90,
        )
        for i in range(120)
    )
    return m.SessionDetail(session=fake.past_session(24), points=points, events=fake.first_events())


WHY = (
    m.Explanation(
        evse_id=1,
        offered_w=18_000,
        text="Connector 1 gets 18.0 kW because the vehicle asks for 45 A at 400 V.",
        limits=fake.charging_evse().limits,
    ),
    m.Explanation(evse_id=2, offered_w=0, text="Connector 2 is idle.", limits=()),
)


def ac_pages(glyphs: Glyphs) -> dict[str, Callable[[Frame], None]]:
    """Pages of the console that show AC connectors and meters."""
    full = ac.ac_status()
    mixed = status(fake.charging_evse(), fake.idle_evse(2), ac.ac_charging(3), ac.ac_idle(4))

    def connectors(shown: m.Status, key: str, *, whole: bool = False) -> Callable[[Frame], None]:
        return lambda f: paint_connectors(f, shown, TableState(key=key), fake.T0, glyphs, whole=whole)

    return {
        "overview-ac": lambda f: paint_overview(f, full, glyphs),
        "overview-mixed": lambda f: paint_overview(f, mixed, glyphs),
        "connectors-ac": connectors(full, "4"),
        "connectors-ac-whole": connectors(full, "1", whole=True),
        "connectors-ac-hlc": connectors(full, "3", whole=True),
        "connectors-ac-fault": connectors(full, "7"),
        "connectors-mixed": connectors(mixed, "3"),
        "meters": lambda f: paint_meters(f, ac.ac_meters(), TableState(), glyphs),
        "meters-lost": lambda f: paint_meters(f, ac.ac_meters(), TableState(key="meter-3"), glyphs),
        "meters-none": lambda f: paint_meters(f, m.Meters(items=()), TableState(), glyphs),
        "faults-ac": lambda f: paint_faults(f, ac.ac_faults(), TableState(), glyphs),
    }


@pytest.mark.parametrize("glyph_set", SETS)
@pytest.mark.parametrize("size", SIZES)
def test_admin_pages(size: tuple[int, int], glyph_set: GlyphSet) -> None:
    glyphs = GLYPHS[glyph_set]
    width, height = size[0], size[1] - 4
    troubled = status(fake.charging_evse(), faulted_evse(2, FaultCode.INSULATION))
    pages: dict[str, Callable[[Frame], None]] = {
        "overview": lambda f: paint_overview(f, status(), glyphs),
        "overview-fault": lambda f: paint_overview(f, troubled, glyphs),
        "connectors": lambda f: paint_connectors(f, status(), TableState(), fake.T0, glyphs),
        "connectors-fault": lambda f: paint_connectors(f, troubled, TableState(key="2"), fake.T0, glyphs),
        "sessions": lambda f: paint_sessions(f, sessions(), TableState(), 0, "all", "04A3", glyphs),
        "sessions-none": lambda f: paint_sessions(
            f, m.Sessions(items=(), total=0, energy_wh=0), TableState(), 0, "active", "", glyphs
        ),
        "session": lambda f: paint_detail(f, detail(), glyphs),
        "planner": lambda f: paint_planner(f, planner(), WHY, glyphs),
        "faults": lambda f: paint_faults(f, faults(), TableState(), glyphs),
        "faults-none": lambda f: paint_faults(f, m.Faults(items=()), TableState(), glyphs),
        "history": lambda f: paint_history(
            f, m.Events(items=fake.first_events(), total=40), TableState(), 10, "", glyphs
        ),
    }
    pages |= ac_pages(glyphs)
    for page, painter in pages.items():
        frame = Frame(width, height)
        painter(frame)
        check(f"admin-{page}-{size[0]}x{size[1]}-{glyph_set.value}", frame, glyph_set)


def test_unknown_values_are_dashes_never_zero() -> None:
    blind = msgspec.structs.replace(
        fake.charging_evse(),
        power_w=None,
        voltage_mv=None,
        current_ma=None,
        soc_pct=None,
        demand_mv=None,
        demand_ma=None,
        demand_w=None,
        temperature_dc=None,
        isolation_kohm=None,
        contactor_closed=None,
        locked=None,
    )
    frame = Frame(132, 39)
    paint_connectors(frame, status(blind), TableState(), fake.T0, GLYPHS[GlyphSet.ASCII])
    row = next(line for line in frame.lines() if line.startswith(">"))
    assert row.split()[5:9] == ["--", "--", "--", "--"]
    lines = paint(kiosk_model(GlyphSet.ASCII, status=status(blind)), 80, 24).lines()
    assert any("Current" in line and "--" in line for line in lines)


def test_binding_limit_stands_first_on_the_live_page() -> None:
    view = msgspec.structs.replace(
        fake.charging_evse(),
        limits=(LimitEntry(source=LimitSource.THERMAL, power_w=9_000, binds=True),),
    )
    text = str(paint(kiosk_model(status=status(view), page=Page.CONNECTOR), 80, 24))
    assert "temperature" in text


def test_a_public_page_never_shows_a_whole_identity_or_an_internal_detail() -> None:
    for changes in kiosk_pages().values():
        text = str(paint(kiosk_model(**changes), 132, 43))
        assert fake.TOKENS[0] not in text and "0010BADA5501" not in text and "emergency_stop" not in text


def test_the_planner_page_scrolls_to_every_line() -> None:
    glyphs, whole = GLYPHS[GlyphSet.ASCII], Frame(80, 200)
    count = paint_planner(whole, planner(), WHY, glyphs)
    lines = whole.lines()
    assert lines[count - 1] and not any(lines[count:]) and count == 20
    for top in range(count):
        part = Frame(80, 9)
        assert paint_planner(part, planner(), WHY, glyphs, None, top) == count
        assert part.lines() == lines[top : top + 9]


@pytest.mark.parametrize("size", [(1, 1), (20, 5), (60, 20), (79, 24), (80, 23), (300, 100)])
def test_any_size_paints_without_an_error(size: tuple[int, int]) -> None:
    for changes in kiosk_pages().values():
        paint(kiosk_model(**changes), *size)
    frame = Frame(*size)
    paint_overview(frame, status(), GLYPHS[GlyphSet.UTF8])
    paint_connectors(frame, status(), TableState(), fake.T0, GLYPHS[GlyphSet.UTF8])
    paint_sessions(frame, sessions(), TableState(), 0, "all", "", GLYPHS[GlyphSet.UTF8])
    paint_detail(frame, detail(), GLYPHS[GlyphSet.UTF8])
    paint_planner(frame, planner(), WHY, GLYPHS[GlyphSet.UTF8])
    paint_faults(frame, faults(), TableState(), GLYPHS[GlyphSet.UTF8])
    for painter in ac_pages(GLYPHS[GlyphSet.UTF8]).values():
        painter(Frame(*size))
