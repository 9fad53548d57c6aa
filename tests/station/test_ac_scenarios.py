"""The shipped scenarios of AC and mixed stations on the whole station, laws checked on every tick."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.domain.session import SessionPhase
from evse.lab.demo_config import demo_text
from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from tests._support.lab_world import Api, play, run_lab
from tests._support.laws_run import RunLaws

AC_FAULTS = {
    "F1", "F2", "F10", "F11", "F13", "F18", "F20", "F21", "F22", "F23", "F24", "F25", "F26", "F29", "F30", "F31", "F32",
    "F33", "F34", "F36", "F37", "F38", "F39", "F40", "F41", "F42", "F44", "F45", "F46", "F47", "F50",
}  # fmt: skip
"""What the simulator can cause at the demo's AC station; F27, F28 (a line), F35 (back end), F43 and F51 (settings) have tests of their own."""


def station(folder: Path, name: str) -> StationConfig:
    """A shipped station with its ports below ``folder``."""
    (folder / "data").mkdir()
    ports = itertools.count(15_020)
    return parse_config(demo_text(name, str(folder), "239.0.0.1", 9000, lambda: next(ports)), f"{name}.toml")


async def _records_are_equal(lab: Lab) -> None:
    sessions, _, _ = await lab.store.sessions(state="all", limit=200)
    assert sessions
    for s in sessions:
        if s.started_at is None:
            continue  # plugged in without a transaction
        assert s.meter_start_wh is not None and s.meter_stop_wh == s.meter_start_wh + s.energy_wh
    assert lab.sim.csms is not None
    assert compare_ledger(sessions, lab.sim.csms.ledger()) == []
    assert lab.sim.world.violations == []


def test_ac_quick_three_phases_and_one_share_and_leave_equal_records(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await play(lab, "ac-quick")
        sessions, total, _ = await lab.store.sessions(state="completed")
        assert total == 2 and {s.evse_id for s in sessions} == {1, 2}
        assert all(s.energy_wh > 0 for s in sessions)
        await _records_are_equal(lab)

    assert run_lab(tmp_path, scenario, config=station(tmp_path, "ac-quick"), check=RunLaws()) > 100


def test_ac_faults_each_is_named_acts_and_lets_charging_work_again(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await play(lab, "ac-faults")
        assert {e.data["code"] for e in lab.events if e.kind == "fault.raised"} == AC_FAULTS
        assert not lab.view().faults
        await _records_are_equal(lab)

    run_lab(tmp_path, scenario, config=station(tmp_path, "ac-quick"), check=RunLaws())


def test_mixed_quick_dc_and_ac_share_one_site(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await play(lab, "mixed-quick")
        sessions, total, _ = await lab.store.sessions(state="completed")
        assert total == 2 and {s.evse_id for s in sessions} == {1, 3}
        await _records_are_equal(lab)

    run_lab(tmp_path, scenario, config=station(tmp_path, "generic/mixed-2dc-2ac"), check=RunLaws())


@pytest.mark.parametrize(
    "name",
    [
        "chargebyte/charge-control-c",
        "phoenix-contact/charx-4x22",
        "juice/wallbox-2x22",
        "generic/ac-1x22",
        "generic/ac-12x11",
    ],
)
def test_every_connector_of_a_shipped_station_charges_at_once_within_the_limit(tmp_path: Path, name: str) -> None:
    async def scenario(lab: Lab) -> None:
        api, numbers = Api(lab), [e.evse_id for e in lab.view().evses]
        await lab.forward(5)
        for number in numbers:
            await lab.do(cmd="plug_in", connector=number, phases=3, soc_pct=20, cable="32", hlc="ac")
            await lab.forward(1)
            if lab.evse(number).phase is SessionPhase.WAIT_AUTH:  # the others release by themselves
                await api("connector.start", {"evse_id": number, "id_token": f"04A1B2C{number:X}"})
            await lab.forward(1)
        await lab.forward(60)
        points = [lab.sim.world.ac_by_id[number] for number in numbers]
        charging = [p.evse_id for p in points if p.power_w > 1_000]
        limit = lab.view().site_limit_w
        floor = 6 * 230 * 3
        expected = len(numbers) if not limit else min(len(numbers), limit // floor)
        assert len(charging) >= expected, [(e.evse_id, e.phase.value, e.waiting_for) for e in lab.view().evses]
        assert not limit or sum(p.power_w for p in points) <= limit * 1.02
        for number in numbers:
            await lab.do(cmd="set_ev", connector=number, stop=True)
            await api("connector.stop", {"evse_id": number})
        await lab.until(lambda: all(p.power_w == 0 for p in points), "energy is off", 30)
        for number in numbers:
            await lab.do(cmd="plug_out", connector=number)
        await lab.until(lambda: not any(e.plugged for e in lab.view().evses), "everybody has left", 60)
        await lab.until(lambda: lab.station.ocpp is None or lab.station.ocpp.summary().queued == 0, "queue", 60)
        await lab.forward(1)
        await _records_are_equal(lab)

    run_lab(tmp_path, scenario, config=station(tmp_path, name), check=RunLaws())
