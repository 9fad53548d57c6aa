"""What `planner explain` promises is true: the change that it names is made, and the vehicle gets more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from evse.api.errors import ApiError
from evse.lab.station import Lab
from tests._support.lab_world import Api, run_lab
from tests.station.test_ac_planner import Fuse, config, offers


async def told(lab: Lab, evse_id: int) -> dict[str, Any]:
    item: dict[str, Any] = (await Api(lab)("planner.explain", {"evse_id": evse_id}))["items"][0]
    return item


def test_a_site_limit_raised_as_told_gives_a_dc_vehicle_its_kilowatt(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await Api(lab)("planner.set", {"limit_w": 60_000})
        for evse_id in (1, 2):
            await lab.do(cmd="plug_in", connector=evse_id, soc_pct=20)
            await lab.do(cmd="swipe", token="04A1B2C3", reader=f"reader{evse_id}")
        await lab.until(lambda: min(lab.evse(i).power_w or 0 for i in (1, 2)) > 20_000, "both charge", 90)
        await lab.forward(10)
        before = lab.evse(1).offered_w
        item = await told(lab, 1)
        (way,) = item["more"]
        found = re.fullmatch(r"site limit \+\d+\.\d kW \(to (\d+\.\d) kW\)", way)
        assert found is not None, way
        await Api(lab)("planner.set", {"limit_w": round(float(found[1]) * 1000)})
        await lab.until(lambda: lab.evse(1).offered_w >= before + 990, "one kilowatt more", 10)
        assert lab.evse(1).offered_w <= before + 1_200, "and not much more than was asked"

    run_lab(tmp_path, scenario)


def test_a_vehicle_that_gets_what_it_asks_for_is_told_so(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.do(cmd="plug_in", connector=1, soc_pct=20)
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 20_000, "charges", 90)
        await lab.forward(30)
        item = await told(lab, 1)
        assert item["limits"][0]["binds"]
        assert item["more"], item
        assert not (await told(lab, 2))["more"]
        with pytest.raises(ApiError, match="there is no connector 9"):
            await told(lab, 9)

    run_lab(tmp_path, scenario)


def test_the_fuse_of_an_ac_site_is_named_in_amperes(tmp_path: Path) -> None:
    fuse = Fuse()

    async def scenario(lab: Lab) -> None:
        fuse.watch(lab)
        for connector in (2, 3):
            await lab.do(cmd="plug_in", connector=connector, max_ma=32_000, soc_pct=20)
        await lab.until(lambda: min(offers(lab)[:2]) == 20_000, "half each", 60)
        await lab.forward(20)
        item = await told(lab, 2)
        assert list(item["more"]) == ["fuse of the grid connection +1.9 A on L1 (to 41.9 A)"]  # 0.1 A is left over
        assert not (await Api(lab)("planner.explain"))["items"][1]["more"]

    run_lab(tmp_path, scenario, config=config(tmp_path, 40), check=fuse.check)
