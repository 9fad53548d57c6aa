"""The planner switches between one and three phases: the whole station, once where only one fits, back when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from evse.lab.station import Lab
from tests._support.ac_world import charging, happened, one_point, plug, point, tap
from tests._support.examples import seconds
from tests._support.lab_world import Api, run_lab

AUTO = 'phase_switch = { enabled = true, delay_s = 10, mode = "auto" }\nphase_rotation = "RST"\n'
SITE = "[site.grid]\nfuse_a = 63\nown_a = [40, 40, 40]\n"


def switches(lab: Lab) -> list[int]:
    return [int(e["phases"]) for e in happened(lab, "phases.changed")]


@pytest.mark.slow
def test_one_phase_where_three_do_not_fit_and_back_when_there_is_room_for_long(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await api("planner.set", {"operator_ma": [20_000, 0, 0]})
        await plug(lab, max_ma=16_000)
        await lab.forward(0.3)
        await tap(lab)
        await lab.forward(20)
        told = (await api("planner.explain", {"evse_id": 1}))["items"][0]
        assert "1 phase would give 4.6 kW instead of 0.0 kW" in told["phases"], told
        await charging(lab, 15_000, 90)
        assert switches(lab) == [1]
        assert [ma > 1_000 for ma in point(lab).current_l_ma] == [True, False, False]
        await api("planner.set", {"operator_ma": []})
        await lab.forward(120)
        view = lab.evse(1).ac
        assert view is not None and view.phases == 1
        assert "3 phases would give" in view.phase_choice and "switched in" in view.phase_choice
        await lab.until(lambda: point(lab).current_l_ma[2] > 15_000, "three phases", 700)
        await lab.forward(60)
        assert switches(lab) == [1, 3]
        assert len({e.session_id for e in [lab.evse(1).session] if e}) == 1
        assert "3 phases give 11.7 kW, 1 would give 3.9 kW" in (await api("planner.explain", {"evse_id": 1}))["items"][0]["phases"]

    run_lab(tmp_path, scenario, config=one_point(tmp_path, AUTO + SITE))


def test_manual_stays_as_it_is(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await api("planner.set", {"operator_ma": [20_000, 0, 0]})
        await plug(lab, max_ma=16_000)
        await lab.forward(0.3)
        await tap(lab)
        await lab.forward(seconds(120, 75))
        assert not switches(lab) and point(lab).current_l_ma[0] < 100
        assert (await api("planner.explain", {"evse_id": 1}))["items"][0]["phases"] == ""

    run_lab(tmp_path, scenario, config=one_point(tmp_path, AUTO.replace("auto", "manual") + SITE))
