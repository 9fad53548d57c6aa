"""What the benchmarks stand on: recorded core inputs of charging stations, and the laboratory with charging cars."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.core.inputs import Inputs
from evse.core.outputs import Outputs
from evse.core.state import StationState
from evse.domain.session import SessionPhase
from evse.domain.station import StationSpec
from evse.lab.demo_config import TEMPLATE
from evse.lab.station import Lab
from evse.units import Instant
from tests.core.plant import Plant, spec_of

CHANNEL = "239.192.66.1"
START_BATCH = 12
"""Cars that start on one tick: below the number of commands that a tick takes."""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The state before the first step, and what the core was told on each tick."""

    spec: StationSpec
    state: StationState
    steps: tuple[tuple[Inputs, Instant], ...]
    outputs: Outputs


def charging_trace(connectors: int, ticks: int) -> Trace:
    """Record ``ticks`` ticks of a station while every connector charges; every reading is new on every tick."""
    plant = Plant(spec_of(connectors), assigned_w=60_000)
    plant.run()
    ids = list(plant.cars)
    for first in range(0, connectors, START_BATCH):
        for evse_id in ids[first : first + START_BATCH]:
            plant.cars[evse_id].plug()
        plant.run()
        for evse_id in ids[first : first + START_BATCH]:
            plant.start(evse_id, token=f"T{evse_id}")
        plant.run()
    plant.until(lambda p: all(p.current(evse_id) > 0 for evse_id in ids), ticks=1000)
    state, steps = plant.state, []
    for tick in range(ticks):
        for evse_id, car in plant.cars.items():
            car.demand_ma = 90_000 + (tick * 137 + evse_id * 731) % 20_000
            car.set(temperature_dc=400 + (tick + evse_id) % 50)
        plant.step()
        assert plant.inputs is not None
        steps.append((plant.inputs, plant.now))
    assert plant.outputs is not None
    return Trace(spec=plant.spec, state=state, steps=tuple(steps), outputs=plant.outputs)


def demo_config(folder: str = "/nonexistent") -> StationConfig:
    """The demo's two-connector station."""
    return parse_config(TEMPLATE.format(folder=folder, channel=CHANNEL, port=9999), "demo")


def config_text(connectors: int) -> str:
    """`TEMPLATE` for a station with ``connectors`` connectors: a board, a DC meter, a reader and a module group each."""
    site, _, rest = TEMPLATE.partition("[[modules.groups]]")
    tail = "[ocpp]" + rest.partition("[ocpp]")[2]
    groups, evses, readers = [], [], []
    for i in range(1, connectors + 1):
        groups.append(f"[[modules.groups]]\nid = {i}\naddresses = [{2 * i - 2}, {2 * i - 1}]\n")
        evses.append(
            f"[[evse]]\nid = {i}\nhome_group = {i}\ncurrent_max_a = 250\npower_max_w = 120000\n"
            f'board.port = "{{folder}}/dev/board{i}"\n[evse.meter]\nprofile = "acrel/djsf1352-rn"\n'
            f'port = "{{folder}}/dev/dc-meters"\naddress = {10 + i}\npoll_ms = 500\n'
        )
        readers.append(f'[[reader]]\nname = "reader{i}"\nport = "{{folder}}/dev/reader{i}"\nevses = [{i}]\n')
    return "\n".join([site, *groups, *evses, *readers, tail])


@asynccontextmanager
async def charging_lab() -> AsyncIterator[Lab]:
    """The whole demo station under virtual time, both cars charging for a long while; inside `run_virtual`."""
    with tempfile.TemporaryDirectory(prefix="evse-bench-") as folder:
        async with Lab(demo_config(folder), Path(folder), fast=True) as lab:
            lab.station.event_sinks.remove(lab.events.extend)  # the laboratory's notebook would look like a leak
            await lab.forward(3)
            for connector in (1, 2):
                await lab.do(cmd="plug_in", connector=connector, soc_pct=5)
                await lab.do(cmd="swipe", token=f"04A1B2C{connector}", reader=f"reader{connector}")
            await lab.until(
                lambda: all(e.phase is SessionPhase.CHARGING and (e.power_w or 0) > 10_000 for e in lab.view().evses),
                "both cars charge",
                120,
            )
            yield lab
