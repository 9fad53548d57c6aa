"""AC stations: tick and gate of twelve charging points, and how old the values of meters and boards become on their lines."""

from __future__ import annotations

import itertools
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import evse.runtime.loop as loop_module
from benchmarks.bench_core import play
from benchmarks.plants import CHANNEL, Trace
from benchmarks.timing import Figure, median_us
from evse.config.load import parse_config
from evse.core.inputs import Inputs
from evse.core.outputs import Outputs
from evse.domain.readings import Sample
from evse.lab.demo_config import demo_text
from evse.lab.station import Lab
from evse.lab.vloop import run_virtual
from evse.units import NS_PER_MS, Instant

STATION = "generic/ac-12x11"
TICKS = 60
BUDGET_MS = 2.0


def run() -> list[Figure]:
    """All figures of the module."""
    steps, trace = record()
    took = median_us(partial(play, trace), 3, 7) / TICKS / 1000
    return [
        Figure(name="tick + gate, 12 AC points charging", value=took, unit="ms", budget=BUDGET_MS),
        *ages(steps),
    ]


def record() -> tuple[list[tuple[Inputs, Instant]], Trace]:
    """Return what the core of a station with twelve AC points was told while all of them charged, and that as a trace."""
    seen: list[tuple[Any, Inputs, Instant]] = []
    given: list[Outputs] = []
    honest = loop_module.tick

    def listening(spec: Any, state: Any, inputs: Inputs, now: Instant) -> Any:
        after, outputs = honest(spec, state, inputs, now)
        seen.append((state, inputs, now))
        given[:] = [outputs]
        return after, outputs

    async def main() -> Any:
        ports = itertools.count(15_020)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "data").mkdir()
            text = demo_text(STATION, folder, CHANNEL, 9000, lambda: next(ports))
            async with Lab(parse_config(text, "bench.toml"), Path(folder) / "data", fast=False) as lab:
                await lab.forward(6)
                points = [e.evse_id for e in lab.view().evses]
                for number in points:
                    await lab.do(cmd="plug_in", connector=number, phases=3, soc_pct=20)
                    reader = f"reader{(number - 1) // 4 + 1}"
                    await lab.do(cmd="swipe", token=f"04A1B2{number:02X}", reader=reader)
                    await lab.forward(3)
                await lab.forward(20)
                first = len(seen)
                await lab.forward(20)
                assert sum(lab.sim.world.ac_by_id[n].power_w > 0 for n in points) >= 8
                spec = lab.station.loop.spec
        return spec, first

    loop_module.tick = listening  # type: ignore[attr-defined]
    try:
        spec, first = run_virtual(main())
    finally:
        loop_module.tick = honest  # type: ignore[attr-defined]
    rows = seen[first:]
    steps = [(inputs, now) for _, inputs, now in rows]
    return steps, Trace(spec=spec, state=rows[0][0], steps=tuple(steps[:TICKS]), outputs=given[0])


def ages(steps: list[tuple[Inputs, Instant]]) -> list[Figure]:
    """Highest age of a value and mean time between two values, over all units of a kind."""
    figures = []
    for kind, note in (("meter", "12 units on 3 lines of 9600 baud, virtual time"), ("board", "one line each, virtual time")):
        oldest, arrivals, span = 0, 0, steps[-1][1] - steps[0][1]
        for index in range(len(steps[0][0].evses)):
            at = 0
            for inputs, now in steps:
                reading = getattr(inputs.evses[index], kind)
                if isinstance(reading, Sample):
                    oldest = max(oldest, now - reading.at)
                    arrivals += reading.at != at
                    at = reading.at
        period = span * len(steps[0][0].evses) / max(1, arrivals) / NS_PER_MS
        figures.append(Figure(name=f"12 AC points: between two values of a {kind}", value=period, unit="ms", budget=None, note=note))
        figures.append(Figure(name=f"12 AC points: oldest value of a {kind}", value=oldest / NS_PER_MS, unit="ms", budget=None))
    return figures
