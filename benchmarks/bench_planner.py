"""Times of the DC planner as JSON: medians, and the ratio to a fixed loop that measures the machine.

    python benchmarks/bench_planner.py [--repeat 30]

Budgets of docs/planner.md: a 12-connector bus cabinet 5 ms, a 12-connector matrix 50 ms.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from evse.domain.limits import PowerRequest
from evse.domain.readings import GroupStatus, Sample
from evse.domain.station import EvseSpec, GroupSpec, StationSpec, Topology
from evse.planner.dc import solve
from evse.planner.live import PlannerSettingsW, make_plan
from evse.planner.problem import PPM, DcCabinet, DcConnector, DcGroup, DcProblem

REFERENCE_LOOPS = 100_000


def reference() -> int:
    """A fixed amount of integer work, the unit of the ratios."""
    total = 0
    for i in range(REFERENCE_LOOPS):
        total += i * i % 7
    return total


def problem(topology: Topology, connectors: int, groups: int, seed: int, kinds: int = 3) -> DcProblem:
    """A random cabinet in which everybody asks."""
    rng = random.Random(seed)
    homes = sorted(rng.sample(range(groups), connectors))
    home_of = {g: f"c{i}" for i, g in enumerate(homes)}
    rows = tuple(
        DcGroup(
            id=f"g{g}",
            home=home_of.get(g),
            modules=3,
            module_w=20_000,
            module_ma=50_000,
            derate_ppm=[PPM, 750_000, 500_000][g % kinds],
        )
        for g in range(groups)
    )
    cars = tuple(
        DcConnector(
            id=f"c{i}",
            cabinet="k",
            request_w=rng.randrange(10_000, 200_000),
            voltage_mv=rng.choice([386_000, 546_000, 682_000]),
            current_ma=rng.randrange(50_000, 400_000),
            charging_s=rng.randrange(4000),
        )
        for i in range(connectors)
    )
    prior = {f"g{g}": rng.choice([None, *home_of.values()]) for g in range(groups)}
    cabinet = DcCabinet(id="k", topology=topology, groups=rows, prior=prior)
    return DcProblem(
        cabinets=(cabinet,), connectors=cars, site_limit_w=connectors * 30_000, efficiency_ppm=950_000, min_w=5_000
    )


def live(connectors: int) -> Callable[[], object]:
    """One replanning of a running station, as the daemon does it."""
    spec = StationSpec(
        station_id="B",
        evses=tuple(EvseSpec(evse_id=i + 1, home_group=i + 1) for i in range(connectors)),
        groups=tuple(
            GroupSpec(group_id=i + 1, home_evse=i + 1, modules=2, module_power_w=30_000, module_current_max_ma=100_000)
            for i in range(connectors)
        ),
    )
    status = GroupStatus(
        modules_expected=2,
        modules_present=2,
        modules_faulty=0,
        on=True,
        voltage_mv=700_000,
        current_ma=1,
        available_w=60_000,
    )
    groups = [Sample(value=status, at=0)] * connectors
    requests = [
        PowerRequest(
            evse_id=i + 1,
            request_w=50_000 + i,
            voltage_mv=700_000,
            current_ma=150_000,
            limit_w=120_000,
            charging_since=0,
        )
        for i in range(connectors)
    ]
    settings = PlannerSettingsW(site_limit_w=40_000 * connectors)
    prior = make_plan(spec, settings, requests, groups, None, 0, 1)
    return lambda: make_plan(spec, settings, requests, groups, prior, 1, 2)


def median_ms(work: Callable[[], object], repeat: int) -> float:
    """Median CPU time of one call in ms."""
    times = []
    for _ in range(repeat):
        start = time.process_time_ns()
        work()
        times.append(time.process_time_ns() - start)
    return statistics.median(times) / 1e6


def cases() -> dict[str, Callable[[], object]]:
    """Every measured case by name."""
    made: dict[str, Callable[[], object]] = {f"live_{n}_connectors": live(n) for n in (2, 12, 48)}
    for topology, connectors, groups, kinds in (
        (Topology.CHAIN, 2, 2, 1),
        (Topology.CHAIN, 4, 12, 3),
        (Topology.CHAIN, 12, 12, 3),
        (Topology.CHAIN, 12, 24, 3),
        (Topology.CHAIN, 48, 96, 3),
        (Topology.RING, 12, 24, 3),
        (Topology.MATRIX, 4, 12, 1),
        (Topology.MATRIX, 12, 12, 1),
        (Topology.MATRIX, 12, 12, 3),
        (Topology.MATRIX, 12, 24, 1),
        (Topology.MATRIX, 6, 12, 3),
        (Topology.MATRIX, 12, 24, 3),
    ):
        instances = [problem(topology, connectors, groups, seed, kinds) for seed in range(7)]
        turn = iter(instances * 1000)
        made[f"{topology.value}_{connectors}_connectors_{groups}_groups_{kinds}_kinds"] = lambda turn=turn: solve(
            next(turn)
        )
    return made


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=21, help="calls per case")
    options = parser.parse_args()
    unit = median_ms(reference, 15)
    rows = {}
    for name, work in cases().items():
        value = median_ms(work, options.repeat)
        rows[name] = {"median_ms": round(value, 3), "ratio_to_reference": round(value / unit, 3)}
    print(json.dumps({"reference_ms": round(unit, 3), "cases": rows}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
