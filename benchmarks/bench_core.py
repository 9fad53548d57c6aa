"""The control loop: tick and gate, the whole laboratory station, reactions counted in ticks, memory over hours."""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from msgspec.structs import replace

from benchmarks.plants import Trace, charging_lab, charging_trace, demo_config
from benchmarks.timing import Figure, median_us
from evse.core.gate import gate
from evse.core.inputs import Inputs
from evse.core.outputs import Outputs
from evse.core.state import StationState
from evse.core.tick import tick
from evse.domain.readings import Sample
from evse.lab.station import Lab
from evse.lab.vloop import run_virtual
from evse.runtime.recorder import CHUNK_TICKS, CHUNKS_MAX, Recorder
from evse.units import NS_PER_S, TICK_NS, Instant

SIZES: tuple[tuple[int, float], ...] = ((2, 0.5), (12, 2.0), (48, 8.0))
"""Connectors, budget in ms."""
TRACE_TICKS = 60
LAB_WARM_S = 660.0
"""Longer than the recorder's ten minutes: its ring is full, what grows now grows for ever."""
LAB_S = 540.0
IDLE_S = 180.0
DAY_CAR_S = 28_000
GROWTH_MAX = 0.05
"""Blocks per tick that may be a coincidence (an open query, a grown dict); the smallest leak is one per second."""


def run() -> list[Figure]:
    """All figures of the module."""
    return [*tick_and_gate(), *recorder(), *lab_station(), idle_station(), *reactions()]


def tick_and_gate(sizes: tuple[tuple[int, float], ...] = SIZES, repeat: int = 7) -> list[Figure]:
    """Mean of one tick and gate while every connector charges and every reading is new."""
    figures = []
    for connectors, budget in sizes:
        trace = charging_trace(connectors, TRACE_TICKS)
        took = median_us(partial(play, trace), 1 + 40 // connectors, repeat) / TRACE_TICKS / 1000
        figures.append(
            Figure(name=f"tick + gate, {connectors} connectors charging", value=took, unit="ms", budget=budget)
        )
    return figures


def play(trace: Trace) -> tuple[StationState, Outputs]:
    """Run tick and gate over a trace."""
    spec, state, outputs = trace.spec, trace.state, trace.outputs
    for inputs, now in trace.steps:
        state, wanted = tick(spec, state, inputs, now)
        outputs = gate(spec, wanted, inputs, now)
    return state, outputs


def recorder(connectors: int = 2) -> list[Figure]:
    """What recording costs, and what ten minutes hold."""
    trace = charging_trace(connectors, CHUNK_TICKS)
    spec, state, rows = trace.spec, trace.state, []
    for inputs, now in trace.steps:
        after, wanted = tick(spec, state, inputs, now)
        rows.append((state, now, inputs, gate(spec, wanted, inputs, now)))
        state = after
    book = Recorder(spec)

    def record() -> None:
        for row in rows:
            book.add(*row)

    took = median_us(record, 5) / len(rows)
    chunk = len(book._chunks[-1][1])
    return [
        Figure(name=f"recorder, {connectors} connectors, per tick", value=took, unit="µs", budget=None),
        Figure(
            name=f"recorder, ten minutes of {connectors} charging connectors",
            value=chunk * CHUNKS_MAX / 1e6,
            unit="MB",
            budget=2.0,
            note="every reading changes on every tick; real ones change less",
        ),
    ]


def lab_station(warm_s: float = LAB_WARM_S, seconds: float = LAB_S) -> list[Figure]:
    """CPU of one tick of the whole station under virtual time, and what stays allocated."""

    async def main() -> list[Figure]:
        async with charging_lab() as lab:
            await lab.forward(warm_s)
            blocks, ticks, spent = [], lab.station.loop.stats.count, []
            for _ in range(9):
                began, first = time.process_time(), lab.station.loop.stats.count
                await lab.forward(seconds / 9)
                spent.append((time.process_time() - began) / (lab.station.loop.stats.count - first))
                _forget(lab)
                gc.collect()
                blocks.append(sys.getallocatedblocks())
            ticks = lab.station.loop.stats.count - ticks
        growth = (median(blocks[-3:]) - median(blocks[:3])) / (ticks * 6 / 9)
        return [
            Figure(
                name="whole station in the laboratory (simulator, drivers, core), 2 cars",
                value=median(spent) * 1000,
                unit="ms/tick",
                budget=1.2,
            ),
            Figure(
                name="busiest measured day, 28000 s of car time at 50 ms ticks",
                value=median(spent) * DAY_CAR_S * NS_PER_S / TICK_NS / 60,
                unit="min",
                budget=15.0,
                note="from the row above; `evsectl sim sessions` runs it",
            ),
            Figure(
                name="Python memory blocks that stay allocated",
                value=max(0.0, growth),
                unit="per tick",
                budget=GROWTH_MAX,
                note=f"slope over {ticks} ticks of the same run when all rings are full, 0.03 is noise; `make test-long` holds a run of 24 h to it",
            ),
        ]

    return run_virtual(main())


def idle_station(seconds: float = IDLE_S) -> Figure:
    """CPU of one tick of the whole station while nobody is there."""

    async def main() -> float:
        with tempfile.TemporaryDirectory(prefix="evse-bench-") as folder:
            async with Lab(demo_config(folder), Path(folder), fast=True) as lab:
                await lab.forward(20)
                spent = []
                for _ in range(9):
                    began, first = time.process_time(), lab.station.loop.stats.count
                    await lab.forward(seconds / 9)
                    spent.append((time.process_time() - began) / (lab.station.loop.stats.count - first))
        return median(spent) * 1000

    name = "whole station in the laboratory, nobody there"
    return Figure(name=name, value=run_virtual(main()), unit="ms/tick", budget=None)


def _forget(lab: Lab) -> None:
    """Empty the notebooks of the simulated back end: bounded, but full only after hours."""
    if lab.sim.csms is not None:
        lab.sim.csms.received.clear()
        lab.sim.csms._answered.clear()


def reactions() -> list[Figure]:
    """Ticks from a lower limit, and from the emergency stop, to the outputs of the loop and on the wire."""

    async def main() -> list[Figure]:
        async with charging_lab() as lab:
            seen = _Watch(lab)
            limit_ticks, limit_wire_ms = await _lower_limit(lab, seen)
            stop_ticks = await _press(lab, seen)
        return [
            Figure(name="lower site limit to outputs within it", value=limit_ticks, unit="ticks", budget=2),
            Figure(
                name="lower site limit to the power modules' new set-point (virtual time)",
                value=limit_wire_ms,
                unit="ms",
                budget=100,
                note="two ticks",
            ),
            Figure(
                name="emergency stop in the inputs to outputs off",
                value=stop_ticks,
                unit="ticks",
                budget=0,
                note="0 = the same tick",
            ),
        ]

    return run_virtual(main())


class _Watch:
    """Keeps inputs and outputs of every tick of a laboratory."""

    def __init__(self, lab: Lab) -> None:
        self.rows: list[tuple[Instant, Inputs, Outputs]] = []
        loop, step = lab.station.loop, lab.station.loop.step

        def watched(now: Instant) -> Outputs:
            outputs = step(now)
            assert loop.inputs is not None
            self.rows.append((now, loop.inputs, outputs))
            return outputs

        loop.step = watched  # type: ignore[method-assign]


def _set_w(inputs: Inputs, outputs: Outputs) -> int:
    """Power that the module groups are told to give at the voltage that they have, W (DC side)."""
    return sum(
        command.current_ma * reading.value.voltage_mv // 1_000_000
        for command, reading in zip(outputs.groups, inputs.groups, strict=True)
        if command.on and isinstance(reading, Sample)
    )


async def _lower_limit(lab: Lab, seen: _Watch) -> tuple[int, float]:
    planner, modules = lab.station.planner, lab.sim.modules
    assert modules is not None
    await lab.forward(30)
    limit_w = _set_w(*seen.rows[-1][1:]) // 2
    before = [module.set_ma for module in modules.outputs.values()]
    changed = lab.clock.now()
    first = len(seen.rows)
    planner.change(replace(planner.settings, site_limit_w=limit_w), changed, "benchmark")
    while [module.set_ma for module in modules.outputs.values()] == before:
        await lab.forward(0.001)
        if lab.clock.now() - changed > 40 * TICK_NS:
            raise AssertionError("the modules never got a new set-point")
    wire_ms = (lab.clock.now() - changed) / 1e6
    await lab.forward(2)
    within = [row for row in range(first, len(seen.rows)) if _set_w(*seen.rows[row][1:]) <= limit_w]
    return within[0] - first + 1, wire_ms


async def _press(lab: Lab, seen: _Watch) -> int:
    first = len(seen.rows)
    await lab.do(cmd="fault", action="raise", fault="emergency_stop", connector=0)
    await lab.forward(2)
    rows = seen.rows[first:]
    told = next(i for i, (_, inputs, _) in enumerate(rows) if _stopped(inputs))
    off = next(i for i, (_, _, outputs) in enumerate(rows) if i >= told and not _energy(outputs))
    if any(_energy(outputs) for _, _, outputs in rows[off:]):
        raise AssertionError("outputs came back under the emergency stop")
    return off - told


def _stopped(inputs: Inputs) -> bool:
    return any(isinstance(e.board, Sample) and e.board.value.estop for e in inputs.evses)


def _energy(outputs: Outputs) -> bool:
    return any(e.board.contactor_lease for e in outputs.evses) or any(g.on for g in outputs.groups)
