"""A day of a hundred sessions with seeded faults: whatever happens, nothing is lost and every law holds on every tick.

The calendar runs through 24 hours; between visits it jumps (docs/decisions/0002), so only minutes with a car are ticked.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from evse.sim.faults import CATALOGUE
from evse.units import NS_PER_S
from tests._support.lab_world import Api, run_lab

SESSIONS = 100
DAY_S = 24 * 3600
FAULTS = tuple(name for name, fault in CATALOGUE.items() if fault.scope != "line")
LINES = ("line_drop", "line_corrupt", "line_duplicate", "line_delay")


async def _visit(lab: Lab, rng: random.Random, connector: int, number: int, fault: str) -> None:
    """One car: arrives, is authorised, charges, perhaps meets a fault, leaves."""
    api = Api(lab)
    await lab.do(cmd="plug_in", connector=connector, soc_pct=rng.randint(10, 60), stop_energy_wh=rng.randint(60, 160))
    await lab.do(cmd="swipe", token=f"04{number:06X}", reader=f"reader{connector}")
    if fault:
        await lab.forward(rng.uniform(1, 9))
        where = {"port": lab.config.evse[connector - 1].board.port} if fault in LINES else {"connector": connector}
        await lab.do(cmd="fault", action="raise", fault=fault, seed=number, **where)
        await lab.forward(rng.uniform(2, 8))
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.forward(3)
        for row in (await api("fault.list"))["items"]:
            if row["clearable"] and row["latch"] == "manual":
                await api("fault.clear", {"code": row["record"]["code"], "evse_id": row["record"]["evse_id"]})
    done = ("finished", "faulted")
    began = lab.clock.now()
    while lab.evse(connector).phase.value not in done and lab.clock.now() - began < 60 * NS_PER_S:
        await lab.forward(0.5)
    await lab.do(cmd="plug_out", connector=connector, force=True)
    await lab.until(lambda: not lab.evse(connector).plugged, f"car {number} has left", 60)
    await lab.forward(2)
    for row in (await api("fault.list"))["items"]:
        if row["clearable"] and row["latch"] == "manual":
            await api("fault.clear", {"code": row["record"]["code"], "evse_id": row["record"]["evse_id"]})


@pytest.mark.timeout(900)
def test_a_day_of_a_hundred_sessions_with_faults_loses_nothing(tmp_path: Path) -> None:
    seed = 20261121

    async def scenario(lab: Lab) -> None:
        rng = random.Random(seed)
        morning = lab.clock.wall()
        for number in range(1, SESSIONS + 1):
            due = morning + DAY_S * NS_PER_S * number // SESSIONS
            if due > lab.clock.wall():
                lab.clock.jump_wall(due)
            fault = rng.choice((*FAULTS, *LINES)) if rng.random() < 0.35 else ""
            await _visit(lab, rng, rng.choice((1, 2)), number, fault)
        assert lab.clock.wall() - morning >= DAY_S * NS_PER_S
        await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.summary().queued == 0, "queue", 300)
        sessions, total, _ = await lab.store.sessions(limit=1000)
        assert total == SESSIONS
        assert await lab.store.open_transactions() == []
        assert lab.sim.csms is not None
        assert compare_ledger(sessions, lab.sim.csms.ledger()) == []
        started = [s for s in sessions if s.started_at is not None]
        assert len(started) >= SESSIONS * 9 // 10
        assert all(s.ended_at is not None and s.stop_reason is not None for s in started)
        assert not lab.view().faults
        assert lab.sim.world.violations == []

    run_lab(tmp_path, scenario, seed=seed)
