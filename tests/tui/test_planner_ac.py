"""Shares of AC connectors on the planner screen and on the page of ``evsectl planner get``."""

from __future__ import annotations

import json

import msgspec

from evse.api import models as m
from evse.domain.limits import CurrentAllocation, LimitSource
from evsectl.layout import Screen
from evsectl.pages import planner as page
from tests._support import fake_data as fake
from tui.admin.planner import paint_planner
from tui.admin.planner_ac import totals_line
from tui.driver.glyphs import GLYPHS, GlyphSet
from tui.widgets.frame import Frame

SHARES = (
    CurrentAllocation(evse_id=3, requested_ma=0, target_ma=0, assigned_ma=0, phases=(0,), detail="the vehicle asks for nothing"),
    CurrentAllocation(
        evse_id=4, requested_ma=32_000, target_ma=13_400, assigned_ma=6_000, phases=(0, 1, 2), binding=LimitSource.GRID,
        detail="13.4 A as soon as the others have followed their smaller shares",
    ),
    CurrentAllocation(
        evse_id=5, requested_ma=16_000, target_ma=0, assigned_ma=0, phases=(1,), paused=True,
        detail="paused, there is no room for 6.0 A: the fuse of the grid connection (20.0 A) is full on L2",
    ),
)  # fmt: skip


def state(groups: bool = True) -> m.PlannerState:
    plan = msgspec.structs.replace(fake.plan(), currents=SHARES, allocations=fake.plan().allocations if groups else ())
    return m.PlannerState(
        settings=fake.SETTINGS, plan=plan, groups=fake.group_rows() if groups else (), requested_w=0, offered_w=0,
        allowed_w=0, assigned_w=0, shared_chains=0, bms_stale=0, site_power_w=None,
    )  # fmt: skip


def screen(width: int, height: int, groups: bool) -> list[str]:
    frame = Frame(width, height)
    paint_planner(frame, state(groups), (), GLYPHS[GlyphSet.ASCII])
    return ["".join(row) for row in frame.chars]


def test_the_screen_shows_shares_paused_first_beside_module_groups_or_alone() -> None:
    for width, height, groups in ((80, 24, False), (132, 43, True), (132, 43, False)):
        lines = screen(width, height, groups)
        at = next(i for i, line in enumerate(lines) if "Shares of AC connectors" in line)
        assert lines[at + 1].split() == ["Conn", "Wants", "Target", "Gets", "Phases", "Reason"]
        assert lines[at + 2].split()[:9] == ["5", "16.0", "A", "0.0", "A", "0.0", "A", "L2", "paused,"]
        assert "L1 L2 L3" in lines[at + 3] and "6.0 A" in lines[at + 3]
        assert any("Assignments" in line for line in lines) is groups
        for word in ("Shared chains", "Offered kW", "Groups per owner"):
            assert any(word in line for line in lines) is groups
        assert any("AC paused" in line and line.split()[-1] == "1" for line in lines)
        assert not any("No module groups" in line for line in lines)


def test_the_page_of_the_command_line_shows_shares() -> None:
    body = json.loads(msgspec.json.encode(state()))
    text = page(body, Screen(width=120, color=False))
    row = next(line for line in text.splitlines() if line.split()[:1] == ["4"])
    assert row.split()[:7] == ["4", "32", "13.4", "6", "L1", "L2", "L3"]
    assert "WANTS A" in text and "GROUP" in text


def test_a_line_of_analytics_shows_whole_sources_only() -> None:
    sources = tuple(
        m.SourceTotal(source=source, limited_s=s, energy_wh=wh)
        for source, s, wh in ((LimitSource.EV, 197, 6_200), (LimitSource.SITE, 16, 120), (LimitSource.MODULES, 5, 30))
    )
    totals = m.PlannerTotals(
        counted_s=300, peak_w=233_600, site_peak_w=244_700, sources=sources, evses=(m.EvseTotal(evse_id=1, peak_w=1, energy_wh=6_350),)
    )
    base = "Today 6.35 kWh, peak 233.6 kW, site 244.7 kW"
    assert totals_line("Today", totals, 79) == f"{base}; by Vehicle 6.20 kWh 03m 17s"
    two = totals_line("Today", totals, 112)
    assert two == f"{base}; limited by Vehicle 6.20 kWh 03m 17s, Site 0.12 kWh 00m 16s"
    assert totals_line("Today", totals, 200) == f"{two}, Modules 0.03 kWh 00m 05s"
    assert totals_line("Today", totals, 50) == base
