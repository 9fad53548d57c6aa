"""Analytics of the planner: energy and time by limiting source, peaks, days."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from evse.api import models as m
from evse.domain.limits import LimitSource
from evse.lab.station import Lab
from evse.units import NS_PER_S
from evsectl.output import Screen
from evsectl.pages import planner as page
from tests._support.ac_world import charging, one_point, plug, point, tap
from tests._support.lab_world import Api, run_lab
from tests.tui.test_planner_ac import state
from tui.admin.planner import paint_planner
from tui.driver.glyphs import GLYPHS, GlyphSet
from tui.widgets.frame import Frame
from tui.widgets.table import TableState

SITE = 'phase_rotation = "RST"\n[site.grid]\nfuse_a = 63\nown_a = [40, 40, 40]\n'
DAY_NS = 86_400 * NS_PER_S


def test_energy_and_time_stand_with_what_limited_them(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await plug(lab, max_ma=16_000)
        await lab.forward(0.3)
        await tap(lab)
        await charging(lab, 15_500)
        before = (await api("planner.get"))["since_start"]
        began = point(lab).energy_wh
        await api("planner.set", {"operator_ma": [10_000] * 3})
        await lab.forward(300)
        state = await api("planner.get")
        after, today = state["since_start"], state["today"]
        assert (state["requested_w"], state["allowed_w"], state["assigned_w"]) == (22_080, 6_900, 6_900)
        flowed = point(lab).energy_wh - began

        def of(totals: dict[str, object], source: str, key: str) -> int:
            return next((r[key] for r in totals["sources"] if r["source"] == source), 0)  # type: ignore[attr-defined, no-any-return]

        assert 290 <= of(after, "grid", "limited_s") - of(before, "grid", "limited_s") <= 301
        assert abs(of(after, "grid", "energy_wh") - flowed) <= 40
        (evse,) = after["evses"]
        assert abs(evse["peak_w"] - 3 * 16 * 230) < 300 and after["peak_w"] == evse["peak_w"]
        assert evse["energy_wh"] == sum(r["energy_wh"] for r in after["sources"])
        assert after == today and after["site_peak_w"] is None
        lab.clock.jump_wall(lab.clock.wall() + DAY_NS)
        await lab.forward(60)
        state = await api("planner.get")
        assert state["today"]["counted_s"] <= 61 and state["since_start"]["counted_s"] > 350
        assert state["today"]["peak_w"] < 7_500 < state["since_start"]["peak_w"]

    run_lab(tmp_path, scenario, config=one_point(tmp_path, SITE))


TOTALS = m.PlannerTotals(
    counted_s=90_000, peak_w=22_040, site_peak_w=25_100,
    sources=(
        m.SourceTotal(source=LimitSource.EV, limited_s=11_400, energy_wh=30_100),
        m.SourceTotal(source=LimitSource.GRID, limited_s=3_000, energy_wh=11_100),
    ),
    evses=(m.EvseTotal(evse_id=1, peak_w=11_040, energy_wh=20_000), m.EvseTotal(evse_id=2, peak_w=11_000, energy_wh=21_200)),
)  # fmt: skip


def test_command_line_and_screen_show_totals_and_what_is_allowed() -> None:
    allowed = m.Allowed(
        limit_ma=(40_000, 40_000, 16_000), words=("the installer's limit", "the installer's limit", "the operator's limit"),
        shedding=False, until_minute=None,
    )  # fmt: skip
    full = msgspec.structs.replace(state(), allowed=allowed, today=TOTALS, since_start=TOTALS)
    text = page(json.loads(msgspec.json.encode(full)), Screen(width=160, color=False))
    assert "41.2 kWh, peak 22.0 kW (site 25.1 kW); limited by ev 30.1 kWh" in text and "grid 11.1 kWh" in text
    for width, height in ((80, 24), (132, 43)):
        frame = Frame(width, height)
        paint_planner(frame, full, (), TableState(), GLYPHS[GlyphSet.ASCII])
        lines = ["".join(row) for row in frame.chars]
        assert any("Allowed now 40.0/40.0/16.0 A: the installer's limit; the operator's limit" in line for line in lines)
        assert any(line.strip().startswith("Today 41.2") for line in lines)
