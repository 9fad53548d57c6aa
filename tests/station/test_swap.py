"""Two vehicles at one DC connector within a moment: the second has a session of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from tests._support.lab_world import demo_config, run_lab


@pytest.mark.parametrize("gap_s", [0.2, 0.7])
def test_the_next_vehicle_at_a_dc_connector_has_a_session_of_its_own(tmp_path: Path, gap_s: float) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.do(cmd="plug_in", connector=1, soc_pct=30)
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 10_000, "charging", 60)
        first = lab.evse(1).session
        await lab.do(cmd="plug_out", connector=1, force=True)
        await lab.forward(gap_s)
        await lab.do(cmd="plug_in", connector=1, soc_pct=50)
        await lab.forward(12)
        second = lab.evse(1).session
        assert first is not None and second is not None and second.session_id != first.session_id
        assert lab.evse(1).phase.value == "wait_auth" and not lab.evse(1).power_w
        await lab.do(cmd="swipe", token="04D4E5F6", reader="reader1")
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 10_000, "charging", 60)
        await lab.do(cmd="plug_out", connector=1)
        await lab.until(lambda: not lab.evse(1).plugged, "left", 60)
        await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.summary().queued == 0, "queue", 60)
        await lab.forward(1)
        sessions, total, _ = await lab.store.sessions(state="all")
        assert total == 2 and {s.id_token for s in sessions} == {"04A1B2C3", "04D4E5F6"}
        assert lab.sim.csms is not None and compare_ledger(sessions, lab.sim.csms.ledger()) == []

    run_lab(tmp_path, scenario, config=demo_config(tmp_path))
