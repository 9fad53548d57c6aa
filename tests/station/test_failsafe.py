"""Failsafe of the site: entered when its meter is lost, left again when it is back, both by rule and told."""

from __future__ import annotations

from pathlib import Path

from evse.domain.faults import FaultCode
from evse.lab.station import Lab
from tests._support.examples import seconds
from tests._support.lab_world import Api, run_lab
from tests.station.test_ac_planner import SITE, Fuse, config, offers

FAILSAFE_MA = 14_000


async def explained(lab: Lab, evse_id: int) -> tuple[str, list[str]]:
    """The sentence about an EVSE, and the sources of its limits that bind."""
    told = (await Api(lab)("planner.explain", {"evse_id": evse_id}))["items"][0]
    return told["text"], [row["source"] for row in told["limits"] if row["binds"]]


def test_the_site_meter_goes_and_comes_back_on_the_wire(tmp_path: Path) -> None:
    fuse = Fuse()

    async def scenario(lab: Lab) -> None:
        fuse.watch(lab)
        api = Api(lab)
        for connector in (2, 3):
            await lab.do(cmd="plug_in", connector=connector, max_ma=32_000, soc_pct=20)
        await lab.until(lambda: min(offers(lab)[:2]) > 18_000, "the fuse is shared", 60)
        await lab.forward(20)
        before = offers(lab)
        await lab.do(cmd="fault", action="raise", fault="site_meter_lost")
        await lab.until(lambda: 0 < sum(offers(lab)) <= FAILSAFE_MA, "failsafe", 20)
        await lab.until(lambda: bool(lab.view().faults), "the fault follows", 20)
        assert [f.code for f in lab.view().faults] == [FaultCode.SITE_METER_LOST]
        for connector in (2, 3):
            text, _ = await explained(lab, connector)
            assert "the site meter is lost" in text, text
        assert any("site meter is lost" in c["detail"] for c in (await api("planner.get"))["plan"]["currents"])
        await lab.do(cmd="plug_in", connector=4, max_ma=32_000, soc_pct=20)
        await lab.forward(seconds(60, 25))
        assert sum(offers(lab)) <= FAILSAFE_MA and max(offers(lab)) <= 7_000  # a newcomer raises nothing
        await lab.do(cmd="plug_out", connector=4)
        await lab.do(cmd="fault", action="clear", fault="site_meter_lost")
        await lab.until(lambda: offers(lab) == before, "as before", 90)
        text, binds = await explained(lab, 2)
        assert "site meter" not in text and "failsafe" not in binds, (text, binds)
        assert not lab.view().faults

    run_lab(tmp_path, scenario, config=config(tmp_path, 40, more="failsafe_a = 14\n", site=SITE), check=fuse.check)


def test_dc_vehicles_keep_what_they_have_while_the_site_meter_is_lost(tmp_path: Path) -> None:
    """Nobody rises, a newcomer gets the smallest power, and with the first reading everything goes on as before."""

    async def scenario(lab: Lab) -> None:
        def power_w(evse_id: int) -> int:
            return lab.evse(evse_id).power_w or 0

        async def plug(evse_id: int) -> None:
            await lab.do(cmd="plug_in", connector=evse_id, car="Hyundai Ioniq 5", soc_pct=20)
            await lab.do(cmd="swipe", token="04A1B2C3", reader=f"reader{evse_id}")

        await Api(lab)("planner.set", {"limit_w": 60_000})
        await plug(1)
        await lab.until(lambda: power_w(1) > 50_000, "alone", 90)
        await lab.do(cmd="fault", action="raise", fault="site_meter_lost")
        await lab.until(lambda: bool(lab.view().faults), "the fault", 20)
        had = power_w(1)
        await Api(lab)("planner.set", {"limit_w": 120_000})
        await plug(2)
        await lab.until(lambda: power_w(2) > 1_000, "the newcomer charges", 60)
        for _ in range(round(seconds(30, 12))):
            await lab.forward(1)
            assert power_w(1) <= had + 500 and power_w(2) <= 3_200, (power_w(1), power_w(2))
        text, binds = await explained(lab, 2)
        assert binds == ["failsafe"] and "meter" in text, (text, binds)
        await lab.do(cmd="fault", action="clear", fault="site_meter_lost")
        await lab.until(lambda: power_w(2) > 40_000, "the limit is shared again", 60)
        assert "failsafe" not in (await explained(lab, 2))[1] and not lab.view().faults

    run_lab(tmp_path, scenario)
