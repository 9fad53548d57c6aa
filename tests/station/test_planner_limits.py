"""Limits per phase on the whole station: the operator, the hour and load shedding act in the tick in which they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from evse.api.errors import ApiError
from evse.config.load import parse_config
from evse.lab.station import Lab
from evse.units import NS_PER_S, TICK_NS
from tests._support.fake_sysfs import FakeSysfs
from tests._support.lab_world import Api, run_lab
from tests.station.test_ac_planner import Fuse, config, config_text, offers

HOUR_NS = 3600 * NS_PER_S
HOURS = """
[[site.grid.hours]]
hour = {now}
limit_a = [40, 40, 40]
[[site.grid.hours]]
hour = {then}
limit_a = [14, 14, 14]
"""
SHED = """own_a = [40, 40, 40]
[site.grid.shed]
input = "opto1"
offset_a = [-24, -24, -24]
[io]
root = "{root}"
[[io.input]]
name = "opto1"
line = 4
"""


async def two_cars(lab: Lab) -> None:
    for connector in (2, 3):
        await lab.do(cmd="plug_in", connector=connector, max_ma=32_000, soc_pct=20)
    await lab.until(lambda: min(offers(lab)[:2]) == 20_000, "half of 40 A each", 60)
    await lab.forward(20)


async def ticks_until_within(lab: Lab, limit_ma: int, most: int) -> int:
    """Ticks until the offers on L1 fit under a limit."""
    for ticks in range(most + 1):
        if sum(offers(lab)) <= limit_ma:
            return ticks
        await lab.forward(TICK_NS / NS_PER_S)
    raise AssertionError(f"{offers(lab)} after {most} ticks")


def test_the_operator_lowers_per_phase_and_cannot_go_above_the_installer(tmp_path: Path) -> None:
    fuse = Fuse()

    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await two_cars(lab)
        with pytest.raises(ApiError, match="the installer's limit is 40000 mA"):
            await api("planner.set", {"operator_ma": [41_000, 16_000, 16_000]})
        state = await api("planner.set", {"operator_ma": [16_000, 40_000, 40_000]})
        assert list(state["allowed"]["limit_ma"]) == [16_000, 40_000, 40_000]
        assert max(offers(lab)[:2]) == 8_000
        told = (await api("planner.explain", {"evse_id": 2}))["items"][0]
        assert "the operator's limit of 16.0 A is used up on L1" in told["text"]
        assert list(told["more"]) == ["limit of all connectors together +1.9 A on L1 (to 17.9 A)"]
        assert all(row["age_s"] is not None for row in told["limits"]), "every limit has an age"
        own = {row["source"]: row["age_s"] for row in told["limits"] if row["source"] in ("plan", "cable", "evse")}
        assert own["plan"] < 3 < own["cable"] < own["evse"], "since this plan, the plug, the start"
        shared = {row["detail"]: (row["current_ma"], row["age_s"]) for row in told["limits"] if " together" in row["detail"]}
        assert shared == {
            "fuse of the grid connection, all connectors together and other loads": (63_000, own["evse"]),
            "installer's limit, all connectors together": (40_000, own["evse"]),
            "operator's limit, all connectors together: L1 16.0 A, L2 40.0 A, L3 40.0 A": (16_000, own["plan"]),
        }
        state = await api("planner.set", {"operator_ma": []})
        assert state["settings"]["operator_ma"] is None
        await lab.until(lambda: min(offers(lab)[:2]) == 20_000, "half of 40 A each again", 60)

    run_lab(tmp_path, scenario, config=config(tmp_path, 63, more="own_a = [40, 40, 40]"), check=fuse.check)


def test_the_hour_changes_and_the_offers_follow_in_that_tick(tmp_path: Path) -> None:
    fuse = Fuse()

    async def scenario(lab: Lab) -> None:
        await two_cars(lab)
        change = (lab.clock.wall() // HOUR_NS + 1) * HOUR_NS
        await lab.forward((change - lab.clock.wall()) / NS_PER_S - 0.2)
        assert sum(offers(lab)) > 14_000, "not a moment earlier"
        while lab.clock.wall() < change:
            await lab.forward(TICK_NS / NS_PER_S)
        assert await ticks_until_within(lab, 14_000, 1) <= 1
        await lab.forward(30)
        assert sorted(offers(lab)[:2]) == [7_000, 7_000]

    start = 1_700_000_000 // 3600 * 3600 + 3540  # a minute before the full hour
    hour = start // 3600 % 24
    run_lab(
        tmp_path, scenario, wall_at_start=start * NS_PER_S, check=fuse.check,
        config=config(tmp_path, 63, more=HOURS.format(now=hour, then=(hour + 1) % 24)),
    )  # fmt: skip


def test_an_input_sheds_within_two_ticks_of_its_reading_and_a_lost_one_sheds_too(tmp_path: Path) -> None:
    fuse, tree = Fuse(), FakeSysfs(tmp_path / "root")
    tree.gpio(4)

    async def scenario(lab: Lab) -> None:
        await two_cars(lab)
        value = tree.root / "sys/class/gpio/gpio4/value"
        value.write_text("1\n")
        await lab.until(lambda: lab.station.devices.field.input_level("opto1") is True, "the input is read", 2)
        assert await ticks_until_within(lab, 16_000, 2) <= 2
        state = await Api(lab)("planner.get")
        assert state["allowed"]["shedding"] and "load shedding (input opto1)" in state["allowed"]["words"][0]
        value.write_text("0\n")
        await lab.until(lambda: min(offers(lab)[:2]) == 20_000, "all of it again", 60)
        value.unlink()
        await lab.until(lambda: sum(offers(lab)) <= 16_000, "unknown is never safe", 10)
        told = (await Api(lab)("planner.explain"))["items"][1]["text"]
        assert "cannot be read" in told

    run_lab(tmp_path, scenario, config=config(tmp_path, 63, more=SHED.format(root=tree.root)), check=fuse.check)


def test_a_lower_fuse_in_the_file_cuts_in_its_tick(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        for connector in (2, 3):
            await lab.do(cmd="plug_in", connector=connector, max_ma=32_000, soc_pct=20)
        await lab.until(lambda: min(offers(lab)[:2]) == 16_000, "half of 32 A each", 60)
        text = config_text(lab).replace("fuse_a = 32", "fuse_a = 20")
        await lab.station.change_config(parse_config(text, "shared.toml"), "test")
        assert await ticks_until_within(lab, 20_000, 1) <= 1
        assert sorted(offers(lab)[:2]) == [10_000, 10_000]

    run_lab(tmp_path, scenario, config=config(tmp_path, 32))
