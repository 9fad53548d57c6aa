"""The shipped scenarios of AC and mixed stations on the whole station, laws checked on every tick."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode, FaultKinds
from evse.domain.session import SessionPhase
from evse.lab.demo_config import demo_text, scenario_name
from evse.lab.demo_faults import fault_rows
from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from evse.units import NS_PER_S
from tests._support.lab_world import Api, play, run_lab
from tests._support.laws_run import RunLaws

BY_ITSELF = {FaultCode.STORAGE, FaultCode.INTERNAL}
"""Faults of the controller itself: no device causes them (docs/faults.md)."""
AC_FAULTS = {code.value for code, row in FAULTS.items() if row.scope == "station" or row.kinds is not FaultKinds.DC} - {
    code.value for code in BY_ITSELF
}
"""Every fault of the table that an AC station can have."""


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


def _events(lab: Lab, kind: str) -> list[dict[str, Any]]:
    """As the API gives them: newest first."""
    return [
        {"kind": e.kind, "wall": e.wall, "evse_id": e.evse_id, "data": e.data}
        for e in reversed(lab.events)
        if e.kind.startswith(kind)
    ]


def test_ac_quick_three_phases_and_one_share_and_leave_equal_records(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        began = lab.clock.now()
        await play(lab, "ac-quick")
        assert lab.clock.now() - began < 45 * NS_PER_S
        sessions, total, _ = await lab.store.sessions(state="completed")
        assert total == 2 and {s.evse_id for s in sessions} == {1, 2}
        assert all(s.energy_wh > 0 for s in sessions)
        await _records_are_equal(lab)

    assert run_lab(tmp_path, scenario, config=station(tmp_path, "ac-quick"), check=RunLaws()) > 100


@pytest.mark.parametrize(
    "name", ["chargebyte/charge-control-c", "juice/wallbox-2x22", "generic/ac-1x22", "generic/dc-1x60"]
)
def test_the_quick_scenario_of_each_shipped_station(tmp_path: Path, name: str) -> None:
    async def scenario(lab: Lab) -> None:
        await play(lab, scenario_name(name, "quick"))
        await _records_are_equal(lab)

    run_lab(tmp_path, scenario, config=station(tmp_path, name), check=RunLaws())


@pytest.mark.slow  # twenty seconds; make test raises the same faults on its random AC days
def test_ac_faults_each_is_named_acts_and_lets_charging_work_again(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        began = lab.clock.now()
        results = await play(lab, "ac-faults")
        assert not any(r.skipped for r in results) and lab.clock.now() - began < 230 * NS_PER_S
        assert {e.data["code"] for e in lab.events if e.kind == "fault.raised"} == AC_FAULTS
        assert len(AC_FAULTS) == 39
        assert not lab.view().faults
        rows = fault_rows(_events(lab, "fault."), _events(lab, "phase."))
        assert all(row["cleared_by"] for row in rows)
        for row in rows:  # what the table says about the energy of a connector that was charging is what happened
            if row["charged"] and row["reaction"] in ("stop", "emergency"):
                assert row["charging_ended_s"] is not None, row
            if row["code"] in ("F29", "F34", "F43", "F50"):
                assert row["charged"] and row["charging_ended_s"] is None, row
        for evse_id in (1, 2, 3):  # after the last fault of each connector it has charged again
            last = [row for row in rows if row["evse_id"] in (0, evse_id)][-1]
            assert last["charging_again_s"] is not None, last
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
        pytest.param("generic/ac-12x11", marks=pytest.mark.slow),
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
        points = [lab.sim.world.ac_by_id[number] for number in numbers]
        limit = lab.view().site_limit_w
        floor = 6 * 230 * 3
        expected = len(numbers) if not limit else min(len(numbers), limit // floor)

        def charging() -> int:
            return sum(p.power_w > 1_000 for p in points)

        await lab.until(lambda: charging() >= expected, f"{expected} charge", 60)
        await lab.forward(10)
        assert charging() >= expected, [(e.evse_id, e.phase.value, e.waiting_for) for e in lab.view().evses]
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
