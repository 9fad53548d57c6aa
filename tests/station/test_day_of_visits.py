"""The visits of a day, a hundred cars with seeded faults: whatever happens, nothing is lost and every law holds on every tick.

The calendar runs through 24 hours; between visits it jumps (docs/decisions/0002), so only minutes with a car are ticked.
The day without jumps is `test_whole_day`.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from evse.units import NS_PER_S
from tests._support.lab_world import Api, run_lab
from tests._support.visits import draw_fault, visit

SESSIONS = 100
A_FEW = 10
"""Of them in `make test`; all in `make test-long`."""
DAY_S = 24 * 3600


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [A_FEW, pytest.param(SESSIONS, marks=pytest.mark.slow)])
def test_a_hundred_visits_with_faults_and_a_jumping_calendar_lose_nothing(tmp_path: Path, count: int) -> None:
    seed = 20261121

    async def scenario(lab: Lab) -> None:
        api, rng = Api(lab), random.Random(seed)
        morning = lab.clock.wall()
        for number in range(1, count + 1):
            due = morning + DAY_S * NS_PER_S * number // count
            if due > lab.clock.wall():
                lab.clock.jump_wall(due)
            fault = draw_fault(rng)
            await visit(lab, api, rng, rng.choice((1, 2)), number, fault)
        assert lab.clock.wall() - morning >= DAY_S * NS_PER_S
        await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.summary().queued == 0, "queue", 300)
        sessions, total, _ = await lab.store.sessions(limit=1000)
        assert total == count
        assert await lab.store.open_transactions() == []
        assert lab.sim.csms is not None
        assert compare_ledger(sessions, lab.sim.csms.ledger()) == []
        started = [s for s in sessions if s.started_at is not None]
        assert len(started) >= count * 9 // 10
        assert all(s.ended_at is not None and s.stop_reason is not None for s in started)
        assert not lab.view().faults
        assert lab.sim.world.violations == []

    run_lab(tmp_path, scenario, seed=seed)
