"""From plan to plan on the whole station, on the wire: the site stays under its limit and no relay moves under current."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from evse.config.load import parse_config
from evse.lab.demo_config import TEMPLATE
from evse.lab.station import Lab
from tests._support.lab_world import Api, demo_config, run_lab
from tests._support.laws import check_laws

QUIET_MA = 2_000
RAMP_MA = 5_000
"""Slope of 100 A/s in one tick of 50 ms."""

METER_W = 200


class Watch:
    """What flows, on every tick, beside all laws."""

    def __init__(self) -> None:
        self.lab: Lab | None = None
        self.limit_w = 0
        self.largest_w = 0.0
        self.ties: list[bool] = []
        self.moved = 0
        self.through: list[float] = []
        self.ramp: list[int] | None = None

    def check(self, *args: Any) -> None:
        check_laws(*args, deep=False)
        if self.lab is None:
            return
        world = self.lab.sim.world
        power_w = world.dc_site_w - world.base_load_w
        self.largest_w = max(self.largest_w, power_w)
        if self.limit_w:
            assert power_w <= self.limit_w + METER_W, f"{power_w:.0f} W above {self.limit_w} W"
        ties = [plant is not None and plant.out.tie_closed for plant in world.tie_plants]
        if self.ties and ties != self.ties:
            self.moved += 1
            assert max(self.through) < QUIET_MA, f"a tie moves under {self.through} mA"
        self.ties = ties
        modules = self.lab.sim.modules
        assert modules is not None
        self.through = [sum(modules.outputs[a].current_ma for a in modules.groups[2])]
        if self.ramp is not None:
            outputs = self.lab.station.loop.outputs
            assert outputs is not None
            self.ramp.append(sum(g.current_ma for g in outputs.groups if g.owner == 1))


async def charging(lab: Lab, evse_id: int, car: str = "Hyundai Ioniq 5") -> None:
    await lab.do(cmd="plug_in", connector=evse_id, car=car, soc_pct=20)
    await lab.do(cmd="swipe", token="04A1B2C3", reader=f"reader{evse_id}")
    await lab.until(lambda: (lab.evse(evse_id).power_w or 0) > 20_000, f"{evse_id} charges", 90)


def test_a_newcomer_waits_for_the_power_and_the_site_is_never_above_its_limit(tmp_path: Path) -> None:
    watch = Watch()

    async def scenario(lab: Lab) -> None:
        watch.lab = lab
        await Api(lab)("planner.set", {"limit_w": 60_000})
        await charging(lab, 1)
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 50_000, "alone", 60)
        watch.limit_w = 60_000
        await charging(lab, 2)
        await lab.forward(20)
        both = [lab.evse(i).power_w or 0 for i in (1, 2)]
        assert min(both) > 26_000 and max(both) - min(both) < 2_000
        await lab.do(cmd="set_ev", connector=1, stop=True)
        await lab.until(lambda: (lab.evse(2).power_w or 0) > 50_000, "the rest", 40)
        assert watch.largest_w > 55_000

    run_lab(tmp_path, scenario, check=watch.check)


def test_a_borrowed_group_goes_home_with_a_slope_and_the_relay_moves_without_current(tmp_path: Path) -> None:
    watch = Watch()

    async def scenario(lab: Lab) -> None:
        watch.lab = lab
        await charging(lab, 1)
        await lab.until(lambda: any(watch.ties) and (lab.evse(1).power_w or 0) > 70_000, "both groups", 90)
        watch.ramp = []
        await charging(lab, 2)
        assert not any(watch.ties) and watch.moved >= 2
        falls = [a - b for a, b in zip(watch.ramp, watch.ramp[1:], strict=False) if a > b]
        assert sum(fall > RAMP_MA // 2 for fall in falls) >= 10, "current faded over many ticks"
        await lab.forward(10)
        assert min(lab.evse(i).power_w or 0 for i in (1, 2)) > 20_000
        assert lab.sim.world.violations == []

    run_lab(tmp_path, scenario, check=watch.check)


def test_a_mute_module_group_leaves_the_site_under_its_limit(tmp_path: Path) -> None:
    """Its modules go on with what they had until their own watchdog; nobody else gets that power before."""
    watch = Watch()

    async def scenario(lab: Lab) -> None:
        watch.lab = lab
        await Api(lab)("planner.set", {"limit_w": 60_000})
        for evse_id in (2, 1):  # who came last is served first
            await charging(lab, evse_id)
        await lab.forward(15)
        watch.limit_w = 60_000
        modules = lab.sim.modules
        assert modules is not None
        for address in modules.groups[2]:
            modules.mute(address, on=True)
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 50_000, "the other gets it", 120)

    run_lab(tmp_path, scenario, check=watch.check)


def test_dc_vehicles_alone_keep_the_fuse_of_the_grid_connection(tmp_path: Path) -> None:
    """A fuse of 100 A less what the house takes is 69 kW less that, whether or not there are AC vehicles."""
    watch = Watch()
    text = TEMPLATE.format(folder=tmp_path, channel="239.0.0.1", port=9000)
    (tmp_path / "data").mkdir()
    changed = text.replace("[site]\nlimit_w = 120000\n", "[site]\n[site.grid]\nfuse_a = 100\n")
    assert changed != text

    async def scenario(lab: Lab) -> None:
        watch.lab = lab
        watch.limit_w = 3 * 100 * 230
        for evse_id in (1, 2):
            await charging(lab, evse_id)
        await lab.forward(20)
        powers = [lab.evse(i).power_w or 0 for i in (1, 2)]
        assert min(powers) > 28_000 and max(powers) - min(powers) < 2_000, powers
        text = (await Api(lab)("planner.explain", {"evse_id": 1}))["items"][0]["text"]
        assert "the share of the grid connection of 68.9 kW binds" in text, text

    run_lab(tmp_path, scenario, config=parse_config(changed, "demo.toml"), check=watch.check)


def test_vehicles_for_whose_minimum_there_is_no_room_take_turns(tmp_path: Path) -> None:
    """Power for one of two: each charges for a dwell, is suspended for a dwell, goes on in the same session, and so on."""
    watch = Watch()
    config = demo_config(tmp_path)
    site = msgspec.structs.replace(config.site, dwell_s=30)

    async def scenario(lab: Lab) -> None:
        watch.lab = lab
        for evse_id in (1, 2):
            await charging(lab, evse_id)
        await Api(lab)("planner.set", {"limit_w": 5_000})
        await lab.forward(15)
        watch.limit_w = 5_000
        sessions = [lab.evse(i).session for i in (1, 2)]
        on_s, waits_s, longest_s, turns, last = [0, 0], [0, 0], 0, 0, -1
        for _ in range(160):
            await lab.forward(1)
            flows = [(lab.evse(i).power_w or 0) > 3_000 for i in (1, 2)]
            assert not all(flows)
            for k, flow in enumerate(flows):
                on_s[k] += flow
                waits_s[k] = 0 if flow else waits_s[k] + 1
                if flow and last != k:
                    turns, last = turns + 1, k
            longest_s = max(longest_s, *waits_s)
        assert longest_s <= 30 + 15 and 4 <= turns <= 6, (longest_s, turns)
        assert min(on_s) >= 55, on_s
        after = [lab.evse(i).session for i in (1, 2)]
        assert [x and x.session_id for x in after] == [x and x.session_id for x in sessions]
        assert lab.sim.world.violations == []

    run_lab(tmp_path, scenario, config=msgspec.structs.replace(config, site=site), check=watch.check)
