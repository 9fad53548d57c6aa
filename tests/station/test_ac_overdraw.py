"""A car that takes more than it is offered, on the wire: reserved, not punished, cut off by the over-current watch only."""

from __future__ import annotations

from pathlib import Path

from evse.lab.station import Lab
from tests._support.examples import seconds
from tests._support.lab_world import run_lab
from tests._support.laws_run import RunLaws
from tests.station.test_ac_planner import config, offers, shares

FUSE_A = 40


def flow_ma(lab: Lab) -> float:
    """Largest current of a phase of the connection."""
    total = [0.0, 0.0, 0.0]
    for point in lab.sim.world.ac:
        for k, ma in enumerate(point.current_l_ma):
            total[point.grid[k]] += ma
    return max(total)


def test_a_car_that_takes_a_little_more_keeps_its_fair_share_and_the_other_gets_the_rest(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        for connector in (2, 3):
            await lab.do(cmd="plug_in", connector=connector, phases=3, max_ma=32_000, soc_pct=20)
        await lab.until(lambda: offers(lab)[:2] == [20_000, 20_000], "equal shares", 60)
        await lab.do(cmd="fault", action="raise", fault="over_current", connector=2, value=1_080)
        await lab.until(lambda: offers(lab)[1] < 19_000, "what it takes is reserved for it", 60)
        for _ in range(round(seconds(45, 15))):
            await lab.forward(1)
            assert offers(lab)[0] == 20_000 and 18_000 <= offers(lab)[1] <= 18_500
            assert flow_ma(lab) <= FUSE_A * 1000 + 150
        row = lab.evse(2).limits[0]
        assert row.detail.startswith("its fair share is 20.0 A; it draws 21.6 A")
        await lab.do(cmd="fault", action="clear", fault="over_current", connector=2)
        await lab.until(lambda: offers(lab)[:2] == [20_000, 20_000], "equal shares again", 60)

    run_lab(tmp_path, scenario, config=config(tmp_path, FUSE_A), check=RunLaws())


def test_a_car_that_takes_much_more_is_cut_off_by_the_core_and_not_by_the_planner(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        for connector in (2, 3):
            await lab.do(cmd="plug_in", connector=connector, phases=3, max_ma=32_000, soc_pct=20)
        await lab.until(lambda: offers(lab)[:2] == [20_000, 20_000], "equal shares", 60)
        await lab.do(cmd="fault", action="raise", fault="over_current", connector=2, value=1_400)
        await lab.until(lambda: offers(lab)[1] < 13_000, "the other car makes room", 60)
        assert shares(lab)[0] == 20_000
        await lab.until(lambda: offers(lab)[0] == 0, "120 % for 10 s", 15)
        assert any(e.kind == "over_current.stopped" for e in lab.events)
        await lab.until(lambda: offers(lab)[1] == 32_000, "meanwhile the other gets everything", 30)
        await lab.until(lambda: any(f.code.value == "F42" for f in lab.evse(2).faults), "again after a minute", 120)

    run_lab(tmp_path, scenario, config=config(tmp_path, FUSE_A), check=RunLaws())
