"""One visit of a car in the laboratory, perhaps with a seeded fault. Used by the days of tests/station."""

from __future__ import annotations

import random

from evse.lab.station import Lab
from evse.sim.faults import CATALOGUE
from evse.units import NS_PER_S
from tests._support.lab_world import Api

FAULTS = tuple(name for name, fault in CATALOGUE.items() if fault.scope != "line")
LINES = ("line_drop", "line_corrupt", "line_duplicate", "line_delay")
FAULTY = 0.35
"""Share of visits that meet a fault."""


def draw_fault(rng: random.Random) -> str:
    """Return the fault that the next car meets, "" for none."""
    fault = rng.choice((*FAULTS, *LINES))
    return fault if rng.random() < FAULTY else ""


async def visit(
    lab: Lab, api: Api, rng: random.Random, connector: int, number: int, fault: str, stay_s: float = 0.0
) -> None:
    """One car: arrives, is authorised, charges, perhaps meets a fault, leaves; with ``stay_s`` not before that time."""
    came = lab.clock.now()
    energy_wh = rng.randint(60, 160) if not stay_s else 100_000
    await lab.do(cmd="plug_in", connector=connector, soc_pct=rng.randint(10, 60), stop_energy_wh=energy_wh)
    await lab.do(cmd="swipe", token=f"04{number:06X}", reader=f"reader{connector}")
    if fault:
        await lab.forward(rng.uniform(1, 9))
        where = {"port": lab.config.evse[connector - 1].board.port} if fault in LINES else {"connector": connector}
        await lab.do(cmd="fault", action="raise", fault=fault, seed=number, **where)
        await lab.forward(rng.uniform(2, 8))
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.forward(3)
        await clear_latched(api)
    done = ("finished", "faulted")
    limit_ns = round(max(60.0, stay_s) * NS_PER_S)
    while lab.evse(connector).phase.value not in done and lab.clock.now() - came < limit_ns:
        await lab.forward(0.5)
    await lab.do(cmd="plug_out", connector=connector, force=True)
    await lab.until(lambda: not lab.evse(connector).plugged, f"car {number} has left", 60)
    await lab.forward(2)
    await clear_latched(api)


async def clear_latched(api: Api) -> None:
    """Do what a technician does: clear every latched fault whose cause is gone."""
    for row in (await api("fault.list"))["items"]:
        if row["clearable"] and row["latch"] == "manual":
            await api("fault.clear", {"code": row["record"]["code"], "evse_id": row["record"]["evse_id"]})
