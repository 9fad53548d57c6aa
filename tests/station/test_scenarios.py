"""The shipped scenarios on the whole station, laws checked on every tick."""

from __future__ import annotations

from pathlib import Path

from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from tests._support.lab_world import Api, play, run_lab


def test_quick_two_cars_share_and_leave_equal_records(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await play(lab, "quick")
        sessions, total, energy_wh = await lab.store.sessions(state="completed")
        assert total == 2
        assert {s.evse_id for s in sessions} == {1, 2}
        assert energy_wh > 0
        for s in sessions:
            assert s.energy_wh > 0
            assert s.meter_start_wh is not None and s.meter_stop_wh == s.meter_start_wh + s.energy_wh
            assert s.transaction_id is not None
            assert s.soc_start_pct is not None and s.soc_end_pct is not None and s.soc_end_pct >= s.soc_start_pct
        assert {s.stop_reason.value for s in sessions if s.stop_reason} == {"Local", "StoppedByEV"}
        assert lab.sim.csms is not None
        assert compare_ledger(sessions, lab.sim.csms.ledger()) == []
        assert lab.sim.world.violations == []

    assert run_lab(tmp_path, scenario) > 300


def test_site_limit_outputs_follow_within_two_ticks(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await play(lab, "site-limit")
        stats = lab.station.loop.stats
        assert stats.limit_changes >= 1
        assert stats.limit_ticks_max <= 2
        assert lab.sim.world.violations == []

    run_lab(tmp_path, scenario)


def test_faults_each_is_named_acts_and_lets_charging_work_again(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await play(lab, "faults")
        raised = {e.data["code"] for e in lab.events if e.kind == "fault.raised"}
        assert raised >= {"F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12", "F13"}
        assert not lab.view().faults

    run_lab(tmp_path, scenario)


def test_offline_a_whole_session_without_back_end_loses_nothing(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await play(lab, "offline")
        sessions, _, _ = await lab.store.sessions(state="completed")
        assert lab.sim.csms is not None
        assert compare_ledger(sessions, lab.sim.csms.ledger()) == []

    run_lab(tmp_path, scenario)


def test_planner_change_survives_a_restart_and_reset_brings_the_file_back(tmp_path: Path) -> None:
    database = tmp_path / "station.sqlite3"

    async def change(lab: Lab) -> None:
        state = await Api(lab)("planner.set", {"limit_w": 50_000})
        assert state["settings"]["limit_w"] == 50_000
        assert state["settings"]["override"] is True

    async def look(lab: Lab) -> None:
        api = Api(lab)
        assert (await api("planner.get"))["settings"]["limit_w"] == 50_000
        assert (await api("planner.set", {"reset": True}))["settings"]["override"] is False
        await lab.forward(0.1)
        assert lab.view().site_limit_w == 120_000

    run_lab(tmp_path, change, database=database)
    run_lab(tmp_path, look, database=database)


def test_disabled_connector_stays_disabled_over_a_restart(tmp_path: Path) -> None:
    database = tmp_path / "station.sqlite3"

    async def disable(lab: Lab) -> None:
        await Api(lab)("connector.disable", {"evse_id": 2})
        await lab.forward(1)
        assert lab.evse(2).operational.value == "Inoperative"

    async def look(lab: Lab) -> None:
        assert lab.evse(2).operational_local.value == "Inoperative"
        assert lab.evse(1).operational.value == "Operative"

    run_lab(tmp_path, disable, database=database)
    run_lab(tmp_path, look, database=database)
