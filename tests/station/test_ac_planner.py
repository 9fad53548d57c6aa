"""Four AC cars and a DC car under one fuse: the whole station, what flows on each phase checked on every tick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.domain.limits import LimitSource
from evse.lab.station import Lab
from tests._support.examples import seconds
from tests._support.lab_world import Api, run_lab
from tests._support.laws import check_laws

HEAD = """
[station]
id = "SHARED"
[modules]
interface = "udp_multicast"
channel = "239.74.163.2"
[[modules.groups]]
id = 1
addresses = [0, 1]
[[evse]]
id = 1
home_group = 1
free_charging = true
board.port = "/dev/b1"
[evse.meter]
profile = "acrel/djsf1352-rn"
port = "/dev/ttyM0"
address = 1
poll_ms = 500
"""
POINT = """
[[evse]]
id = {n}
kind = "ac"
board.port = "/dev/b{n}"
[evse.meter]
profile = "eastron/sdm630"
port = "/dev/ttyM{n}"
address = 1
poll_ms = 500
[evse.ac]
connection = "cable"
cable_a = 32
current_max_a = 32
release = "free"
phase_rotation = "{rotation}"
"""
SITE = """
[site]
min_power_w = 3000
[site.meter]
profile = "eastron/sdm630"
port = "/dev/site"
address = 1
poll_ms = 500
"""
MA_TOLERANCE = 150
"""A duty cycle has steps; vehicles follow it to 0.1 A."""


def config(folder: Path, fuse_a: int, *, more: str = "", site: str = "", rotations: tuple[str, ...] = ("RST",) * 4) -> StationConfig:
    (folder / "data").mkdir()
    points = "".join(POINT.format(n=i, rotation=r) for i, r in enumerate(rotations, 2))
    return parse_config(f"{HEAD}{points}{site}\n[site.grid]\nfuse_a = {fuse_a}\n{more}", "shared.toml")


class Fuse:
    """The law of the fuse, beside all others, on every tick."""

    def __init__(self) -> None:
        self.lab: Lab | None = None
        self.fuse_ma = 0
        self.largest_ma = [0.0, 0.0, 0.0]
        self.offered: dict[int, int] = {}
        self.house_ma = 0.0

    def watch(self, lab: Lab) -> None:
        assert lab.station.spec.grid is not None
        self.lab, self.fuse_ma = lab, lab.station.spec.grid.fuse_ma

    def check(self, *args: Any) -> None:
        check_laws(*args, deep=False)
        if self.lab is None:
            return
        world = self.lab.sim.world
        dc_w = max(0.0, world.dc_site_w - world.base_load_w)
        flow = [dc_w / 3 / 230 * 1000 + self.house_ma] * 3
        for point in world.ac:
            for k, ma in enumerate(point.current_l_ma):
                flow[point.grid[k]] += ma
        self.largest_ma = [max(a, b) for a, b in zip(self.largest_ma, flow, strict=True)]
        assert max(flow) <= self.fuse_ma + MA_TOLERANCE, [round(ma) for ma in flow]


def offers(lab: Lab) -> list[int]:
    """mA per phase of the AC EVSEs, as the gate let them out."""
    outputs = lab.station.loop.outputs
    assert outputs is not None
    return [o.board.offered_ma for o in outputs.evses[1:]]


def shares(lab: Lab) -> list[int]:
    plan = lab.station.planner.plan
    return [] if plan is None else [c.assigned_ma for c in plan.currents]


def test_four_ac_cars_and_a_dc_car_share_a_fuse_of_63_a(tmp_path: Path) -> None:
    fuse = Fuse()

    async def scenario(lab: Lab) -> None:
        fuse.watch(lab)
        await lab.do(cmd="plug_in", connector=2, max_ma=32_000, soc_pct=20)
        await lab.until(lambda: offers(lab)[0] == 32_000, "alone it gets everything", 20)
        await lab.until(lambda: lab.sim.world.ac[0].current_ma > 31_000, "and takes it", 30)
        await lab.do(cmd="plug_in", connector=1, soc_pct=20)
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 15_000, "DC takes the rest", 90)
        for connector in (3, 4, 5):
            await lab.do(cmd="plug_in", connector=connector, max_ma=32_000, soc_pct=20)
        await lab.until(lambda: min(offers(lab)) >= 12_500, "equal shares", 60)
        await lab.forward(20)
        assert max(offers(lab)) - min(offers(lab)) <= 100 and sum(offers(lab)) > 50_000
        assert (lab.evse(1).power_w or 0) > 7_500
        assert sum(point.current_ma for point in lab.sim.world.ac) > 48_000
        row = lab.evse(3).limits[0]
        assert row.source is LimitSource.PLAN and "63.0 A" in row.detail
        await lab.do(cmd="plug_out", connector=5)
        await lab.until(lambda: min(offers(lab)[:3]) >= 15_500, "freed current goes to the others", 40)
        await lab.do(cmd="plug_out", connector=1)
        await lab.until(lambda: min(offers(lab)[:3]) >= 20_900, "that of the DC car too", 60)
        await lab.forward(seconds(20, 10))
        assert max(fuse.largest_ma) > 62_000

    run_lab(tmp_path, scenario, config=config(tmp_path, 63), check=fuse.check)


def test_one_is_paused_where_6_a_do_not_fit_and_comes_back(tmp_path: Path) -> None:
    fuse = Fuse()

    async def scenario(lab: Lab) -> None:
        fuse.watch(lab)
        api = Api(lab)
        for connector in (2, 3, 4, 5):
            await lab.do(cmd="plug_in", connector=connector, max_ma=16_000, soc_pct=20)
            await lab.forward(20)
        assert sorted(offers(lab)) == [0, 6_600, 6_700, 6_700]
        assert offers(lab)[3] == 0, "the others have charged for less than the dwell"
        await lab.until(lambda: offers(lab)[3] >= 6_000, "its turn", 120)
        plan = lab.station.planner.plan
        assert plan is not None
        (paused,) = [c for c in plan.currents if c.paused]
        assert paused.evse_id == 2, "it has charged longest"
        told = {i["evse_id"]: i for i in (await api("planner.explain"))["items"]}
        assert "paused" in told[2]["text"]
        await lab.forward(15)
        assert lab.sim.world.ac[0].current_ma == 0
        assert lab.evse(2).charging_state.value == "SuspendedEVSE"
        await lab.do(cmd="plug_out", connector=5)
        await lab.until(lambda: min(offers(lab)[:3]) >= 6_600, "there is room again", 40)
        await lab.until(lambda: lab.sim.world.ac[0].current_ma > 6_000, "charges again", 40)

    run_lab(tmp_path, scenario, config=config(tmp_path, 20, more="dwell_s = 100"), check=fuse.check)


def test_a_lower_fuse_in_the_file_acts_within_two_ticks_and_one_phase_cars_use_their_own_phases(tmp_path: Path) -> None:
    fuse = Fuse()

    async def scenario(lab: Lab) -> None:
        for connector in (2, 3, 4):
            await lab.do(cmd="plug_in", connector=connector, max_ma=32_000, soc_pct=20, phases=1)
        await lab.until(lambda: min(offers(lab)[:3]) == 32_000, "each on its own phase", 90)
        await lab.forward(10)
        text = config_text(lab).replace("fuse_a = 32", "fuse_a = 20")
        await lab.station.change_config(parse_config(text, "shared.toml"), "test")
        await lab.forward(0.1)
        assert max(offers(lab)) <= 20_000
        await lab.forward(10)
        fuse.watch(lab)
        await lab.forward(10)

    settings = config(tmp_path, 32, rotations=("RST", "STR", "TRS", "RST"))
    run_lab(tmp_path, scenario, config=settings, check=fuse.check)


def test_a_weight_in_the_file_acts_while_charging(tmp_path: Path) -> None:
    fuse = Fuse()

    async def scenario(lab: Lab) -> None:
        fuse.watch(lab)
        for connector in (2, 3):
            await lab.do(cmd="plug_in", connector=connector, max_ma=32_000, soc_pct=20)
        await lab.until(lambda: offers(lab) == [16_000, 16_000], "equal shares", 40)
        text = config_text(lab).replace('address = 1\npoll_ms = 500\n[evse.ac]', 'address = 1\npoll_ms = 500\n[evse.ac]\nweight_pct = 300', 1)
        await lab.station.change_config(parse_config(text, "shared.toml"), "test")
        await lab.until(lambda: offers(lab) == [24_000, 8_000], "shares by weight", 40)

    run_lab(tmp_path, scenario, config=config(tmp_path, 32, rotations=("RST", "RST")), check=fuse.check)


def config_text(lab: Lab) -> str:
    rotations = [e.ac.phase_rotation for e in lab.config.evse if e.ac is not None]
    points = "".join(POINT.format(n=i, rotation=r) for i, r in enumerate(rotations, 2))
    return f"{HEAD}{points}\n[site.grid]\nfuse_a = 32\n"


def test_a_lost_site_meter_stops_increases_and_its_return_ends_that(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.do(cmd="plug_in", connector=2, max_ma=20_000, soc_pct=20)
        await lab.until(lambda: lab.sim.world.ac[0].current_ma > 19_000, "charges", 60)
        await lab.do(cmd="fault raise", fault="site_meter_lost")
        await lab.until(lambda: bool(lab.view().faults), "the meter is lost", 30)
        await lab.do(cmd="plug_in", connector=3, max_ma=32_000, soc_pct=20)
        await lab.until(lambda: offers(lab)[1] > 0, "the newcomer", 30)
        await lab.forward(20)
        assert offers(lab)[1] == 6_000
        await lab.do(cmd="fault clear", fault="site_meter_lost")
        await lab.until(lambda: offers(lab)[1] > 30_000, "and up again", 60)

    run_lab(tmp_path, scenario, config=config(tmp_path, 63, site=SITE))


def test_vehicles_that_begin_to_charge_are_no_load_of_the_house_and_shares_come_to_rest(tmp_path: Path) -> None:
    """The site meter and those of the EVSEs are read at different moments."""
    fuse = Fuse()

    async def scenario(lab: Lab) -> None:
        fuse.watch(lab)
        for connector in (2, 3, 4):
            await lab.do(cmd="plug_in", connector=connector, max_ma=32_000, soc_pct=20)
        await lab.until(lambda: min(offers(lab)[:3]) >= 12_500, "equal shares beside the station's own load", 60)
        await lab.forward(15)
        seen = set()
        for _ in range(round(seconds(400, 150))):
            await lab.forward(0.1)
            seen.add(tuple(offers(lab)))
        assert len(seen) <= 3 and all(max(row) - min(row[:3]) <= 200 for row in seen), seen

    run_lab(tmp_path, scenario, config=config(tmp_path, 40, site=SITE), check=fuse.check)
