"""Analytics of the planner: energy and time by limiting source, peaks, days."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evse.api import models as m
from evse.domain.limits import LimitSource
from evse.lab.station import Lab
from evse.lab.vloop import run_virtual
from evse.runtime.totals import Totals
from evse.runtime.totals_store import TotalsKeeper
from evse.storage.db import Store
from evse.storage.executor import InlineExecutor
from evse.units import NS_PER_S
from evsectl.output import Screen
from evsectl.pages import planner as page
from tests._support.ac_world import charging, one_point, plug, point, tap
from tests._support.lab_world import Api, demo_config, run_lab
from tests.tui.test_planner_ac import state
from tui.admin.planner import paint_planner
from tui.driver.glyphs import GLYPHS, GlyphSet
from tui.widgets.frame import Frame

SITE = 'phase_rotation = "RST"\n[site.grid]\nfuse_a = 63\nown_a = [40, 40, 40]\n'
DAY_NS = 86_400 * NS_PER_S


def test_energy_and_time_stand_with_what_limited_them(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await plug(lab, max_ma=16_000)
        await lab.forward(0.3)
        await tap(lab)
        await charging(lab, 15_500)
        before = (await api("planner.get"))["total"]
        began = point(lab).energy_wh
        await api("planner.set", {"operator_ma": [10_000] * 3})
        await lab.forward(100)
        state = await api("planner.get")
        after, today = state["total"], state["today"]
        assert (state["requested_w"], state["allowed_w"], state["assigned_w"]) == (22_080, 6_900, 6_900)
        flowed = point(lab).energy_wh - began

        def of(totals: dict[str, object], source: str, key: str) -> int:
            return next((r[key] for r in totals["sources"] if r["source"] == source), 0)  # type: ignore[attr-defined, no-any-return]

        assert 92 <= of(after, "grid", "limited_s") - of(before, "grid", "limited_s") <= 101
        assert abs(of(after, "grid", "energy_wh") - flowed) <= 40
        (evse,) = after["evses"]
        assert abs(evse["peak_w"] - 3 * 16 * 230) < 300 and after["peak_w"] == evse["peak_w"]
        assert evse["energy_wh"] == sum(r["energy_wh"] for r in after["sources"])
        assert after == {**today, "since": after["since"]} and after["site_peak_w"] is None
        lab.clock.jump_wall(lab.clock.wall() + DAY_NS)
        await lab.forward(60)
        state = await api("planner.get")
        assert state["today"]["counted_s"] <= 61 and state["total"]["counted_s"] > 150
        assert state["today"]["peak_w"] < 7_500 < state["total"]["peak_w"]

    run_lab(tmp_path, scenario, config=one_point(tmp_path, SITE))


def test_totals_survive_a_clean_stop_whole_and_a_power_cut_but_for_the_last_minute(tmp_path: Path) -> None:
    config, database = demo_config(tmp_path), tmp_path / "station.sqlite3"

    async def main() -> None:
        async def totals(lab: Lab) -> tuple[dict[str, Any], dict[str, Any]]:
            state = await Api(lab)("planner.get")
            return state["total"], state["today"]

        def wh(account: dict[str, Any]) -> int:
            return sum(row["energy_wh"] for row in account["evses"])

        lab = Lab(config, tmp_path / "data", fast=True, database=database)
        await lab.__aenter__()
        began = lab.clock.wall()
        await lab.do(cmd="plug_in", connector=1, soc_pct=30)
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 10_000, "charging", 60)
        await lab.forward(100)
        before, _ = await totals(lab)
        writes = await lab.store.get("runtime", "totals")
        await lab.forward(5)
        assert await lab.store.get("runtime", "totals") == writes, "once a minute is enough"
        await lab.kill()
        await lab.do(cmd="plug_out", connector=1, force=True)

        cut = Lab(config, tmp_path / "data", database=database, sim=lab.sim, clock=lab.clock)
        await cut.__aenter__()
        await cut.forward(2)
        total, today = await totals(cut)
        lost_wh = before["peak_w"] * 60 // 3600
        assert wh(before) - lost_wh <= wh(total) <= wh(before) and wh(total) > 0
        assert total["sources"] == today["sources"] and total["peak_w"] == today["peak_w"] == before["peak_w"]
        assert abs(total["since"] - began) <= NS_PER_S and today["since"] is None
        await cut.do(cmd="plug_in", connector=1, soc_pct=30, stop_energy_wh=1_000)
        await cut.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await cut.until(lambda: cut.evse(1).phase.value == "finished", "a second session", 120)
        await cut.forward(2)
        more, _ = await totals(cut)
        assert 900 <= wh(more) - wh(total) <= 1_100
        await cut.station.close()
        await cut.store.close()

        lab.clock.jump_wall(lab.clock.wall() + DAY_NS)
        again = Lab(config, tmp_path / "data", database=database, sim=lab.sim, clock=lab.clock)
        await again.__aenter__()
        await again.forward(2)
        total, today = await totals(again)
        assert total["evses"] == more["evses"] and total["sources"] == more["sources"] and total["since"] == more["since"]
        assert more["counted_s"] <= total["counted_s"] <= more["counted_s"] + 4
        assert wh(today) == 0 and today["counted_s"] <= 3, "another day"
        await again.station.close()
        await again.store.close()

    run_virtual(main())


def test_a_row_of_totals_that_cannot_be_read_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = await Store.open(":memory:", executor=InlineExecutor())
        for text in ("{", '{"total": 3}', '{"total": {"sources": [{"source": "moon", "limited_ns": 1, "energy_wh": 1}]}}', "[]"):
            await store.put("runtime", "totals", text)
            totals = Totals("UTC")
            await TotalsKeeper.open(store, totals)
            assert totals.total.kept() == Totals("UTC").total.kept()
        await store.close()

    run_virtual(main())
    assert caplog.text.count("they begin anew") == 4


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
    full = msgspec.structs.replace(state(), allowed=allowed, today=TOTALS, total=TOTALS)
    text = page(json.loads(msgspec.json.encode(full)), Screen(width=160, color=False))
    assert "In all  " in text and "Since 2026-" not in text
    assert "41.2 kWh, peak 22.0 kW (site 25.1 kW); limited by ev 30.1 kWh" in text and "grid 11.1 kWh" in text
    dated = msgspec.structs.replace(full, total=msgspec.structs.replace(TOTALS, since=1_767_225_600 * NS_PER_S))
    assert "Since 2026-01-01" in page(json.loads(msgspec.json.encode(dated)), Screen(width=160, color=False))
    for width, height in ((80, 24), (132, 43)):
        frame = Frame(width, height)
        paint_planner(frame, full, (), GLYPHS[GlyphSet.ASCII])
        lines = ["".join(row) for row in frame.chars]
        assert any("Allowed now 40.0/40.0/16.0 A: the installer's limit; the operator's limit" in line for line in lines)
        assert any(line.strip().startswith("Today 41.2") for line in lines)
