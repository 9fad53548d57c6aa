"""Times of the DC and the AC planner as JSON: medians, and the ratio to a fixed loop that measures the machine.

    python benchmarks/bench_planner.py [--repeat 30] [--only ac]

Budgets of docs/planner.md: a 12-connector bus cabinet 5 ms, a 12-connector matrix 50 ms; AC by number of connectors.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from msgspec.structs import replace

from evse.domain.limits import PowerRequest
from evse.domain.readings import GroupStatus, Sample
from evse.domain.station import EvseSpec, GroupSpec, StationSpec, Topology
from evse.lab.park.ac import run_day as run_park_day
from evse.lab.park.dc import run_day
from evse.lab.park.visits import made_up_ac, made_up_dc
from evse.planner.ac import solve as solve_ac
from evse.planner.ac_problem import AcConnector, AcNode, AcProblem, PausePolicy
from evse.planner.dc import solve
from evse.planner.live import PlannerSettingsW, look, make_plan
from evse.planner.problem import PPM, DcCabinet, DcConnector, DcGroup, DcProblem
from evse.planner.turns import Turns

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
    turns = look(Turns(), requests, prior, 1)
    return lambda: make_plan(spec, settings, requests, groups, prior, 1, 2, None, turns)


def hub_day_s(topology: Topology) -> float:
    """CPU time of the planner's day (`evsectl plan site`) of a hub with 12 connectors on 16 groups and 96 vehicles."""
    groups = tuple(
        DcGroup(id=f"g{i}", home=f"c{i}" if i < 12 else None, modules=2, module_w=30_000, module_ma=100_000) for i in range(16)
    )
    rows = tuple(DcConnector(id=f"c{i}", cabinet="k", request_w=0, voltage_mv=400_000, current_ma=500_000) for i in range(12))
    site = DcProblem(
        cabinets=(DcCabinet(id="k", topology=topology, groups=groups),), connectors=rows, min_w=3_000, efficiency_ppm=950_000,
        site_limit_w=400_000,
    )  # fmt: skip
    visits = made_up_dc("motorway", 96, 1)
    began = time.process_time()
    run_day(site, visits, "planner", alone=[1.0] * len(visits))
    return time.process_time() - began


def park_day_s(vehicles: int, imbalance: bool) -> float:
    """CPU time of the planner's day at work (`evsectl plan site`) of `car_park` with 200 points."""
    site = car_park(200, 3, imbalance)
    site = replace(site, connectors=tuple(replace(c, demand_ma=0, charging_s=0) for c in site.connectors))
    visits = made_up_ac("work", vehicles, 1)
    began = time.process_time()
    run_park_day(site, visits, "planner", alone=[1.0] * len(visits))
    return time.process_time() - began


AC_BUDGETS_MS = {12: 0.8, 48: 2.0, 200: 6.5, 1000: 26.0, 10_000: 340.0}
AC_IMBALANCE_BUDGETS_MS = {12: 5.0, 48: 10.0, 200: 20.0, 1000: 50.0}
AC_SEEDS = 5


def car_park(connectors: int, seed: int, imbalance: bool) -> AcProblem:
    """A root fuse with house load, feeders of some ten boards and boards of some ten connectors; fuses are scarce on
    all three storeys, every third board has a kW limit, phases rotate at random."""
    rng = random.Random(seed)
    boards = max(1, connectors // 10)
    feeders = max(1, boards // 8)
    root = AcNode(
        id="root",
        parent=None,
        limit_ma=(7_333 * connectors,) * 3,
        imbalance_ma=20_000 if imbalance else None,
        background_ma=(300 * connectors, 250 * connectors, 200 * connectors),
    )
    share = 1000 * connectors // feeders // 12
    nodes = [root]
    nodes += [
        AcNode(id=f"s{k}", parent="root", limit_ma=(rng.choice([80, 125, 160]) * share,) * 3) for k in range(feeders)
    ]
    nodes += [
        AcNode(
            id=f"b{k}",
            parent=f"s{k % feeders}",
            limit_ma=(rng.choice([63, 80, 100]) * 1000,) * 3,
            limit_w=rng.choice([None, None, 40_000]),
        )
        for k in range(boards)
    ]
    cars = tuple(
        AcConnector(
            id=f"c{i}",
            node=f"b{rng.randrange(boards)}",
            lines=rng.choice([1, 1, 2, 3, 3]),
            rotation=rng.choice(["RST", "STR", "TRS"]),
            min_ma=6_000,
            max_ma=rng.choice([16_000, 32_000]),
            demand_ma=rng.choice([32_000, 16_000, 13_000, rng.randrange(6_000, 32_000), 0]),
            charging_s=rng.randrange(9_999),
        )
        for i in range(connectors)
    )
    return AcProblem(nodes=tuple(nodes), connectors=cars)


def scarce(problem: AcProblem) -> AcProblem:
    """Every fuse cut to a quarter of what the house leaves, and as many as possible shall be on."""
    nodes = tuple(
        replace(n, limit_ma=tuple((limit - load) // 4 + load for limit, load in zip(n.limit_ma, n.background_ma, strict=True)))
        for n in problem.nodes
    )
    return replace(problem, nodes=nodes, pause_policy=PausePolicy.MAX_SERVED)


def scarce_row(connectors: int, imbalance: bool) -> dict[str, float]:
    """As `ac_row` for `scarce`; ``proven`` = of so many seeds the set that is on was proven to be the best."""
    problems = [scarce(car_park(connectors, seed, imbalance)) for seed in range(AC_SEEDS)]
    times = [median_ms(partial(solve_ac, p), 1) for p in problems]
    return {
        "median_ms": round(statistics.median(times), 3), "worst_ms": round(max(times), 3),
        "proven": sum(solve_ac(p).exact for p in problems),
    }


def ac_row(connectors: int, imbalance: bool) -> dict[str, float]:
    """Median and worst CPU time in ms of whole AC plans (tree, admission, sharing, steps) over the seeds."""
    problems = [car_park(connectors, seed, imbalance) for seed in range(AC_SEEDS)]
    times = [median_ms(partial(solve_ac, p), 1 if connectors > 500 else 7) for p in problems]
    budget = (AC_IMBALANCE_BUDGETS_MS if imbalance else AC_BUDGETS_MS)[connectors]
    return {
        "median_ms": round(statistics.median(times), 3),
        "worst_ms": round(max(times), 3),
        "budget_ms": budget,
    }


def median_ms(work: Callable[[], object], repeat: int) -> float:
    """Median CPU time of one call in ms."""
    times = []
    for _ in range(repeat):
        start = time.process_time_ns()
        work()
        times.append(time.process_time_ns() - start)
    return statistics.median(times) / 1e6


def in_turn(instances: list[DcProblem]) -> Callable[[], object]:
    """Solve one instance after the other, one per call."""
    turn = itertools.cycle(instances)
    return lambda: solve(next(turn))


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
        made[f"{topology.value}_{connectors}_connectors_{groups}_groups_{kinds}_kinds"] = in_turn(instances)
    return made


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=21, help="calls per case")
    parser.add_argument("--only", choices=("ac", "dc"), help="one planner only")
    options = parser.parse_args()
    unit = median_ms(reference, 15)
    rows: dict[str, dict[str, float]] = {}
    for name, work in cases().items() if options.only != "ac" else ():
        value = median_ms(work, options.repeat)
        rows[name] = {"median_ms": round(value, 3), "ratio_to_reference": round(value / unit, 3)}
    for imbalance, budgets in ((False, AC_BUDGETS_MS), (True, AC_IMBALANCE_BUDGETS_MS)):
        for connectors in budgets if options.only != "dc" else ():
            row = ac_row(connectors, imbalance)
            row["ratio_to_reference"] = round(row["median_ms"] / unit, 3)
            rows[f"ac_{connectors}_connectors{'_imbalance' if imbalance else ''}"] = row
            rows[f"ac_{connectors}_connectors{'_imbalance' if imbalance else ''}_max_served"] = scarce_row(connectors, imbalance)
    print(json.dumps({"reference_ms": round(unit, 3), "cases": rows}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
