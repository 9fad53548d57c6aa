"""The AC planner beside two ways of the literature, on the same car parks in one run.

* LP max-min: the highest common level by HiGHS (scipy), whoever's multiplier is positive stays, again until nobody rises.
  The matrix is built once; from round to round only bounds change. It is told who is on.
* Convex MPC in the style of the adaptive charging network: a model of `MPC_PERIODS` periods for cvxpy, built and solved
  (energy as early as possible, plus a quadratic term that shares it). It is told who is on, too, and does not give the
  same answer: it maximises, it does not share by leximax.

Both are development tools only. `make bench` installs cvxpy; without it that comparison is left out, and the rows say so.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable

import msgspec
import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack, identity, vstack

from benchmarks.bench_planner import car_park
from benchmarks.timing import Figure
from evse.planner.ac import solve
from evse.planner.ac_problem import AcProblem, ceiling_ma
from evse.planner.ac_verify import difference_rows, packing_rows

SEEDS = {12: 3, 48: 3, 200: 3, 1000: 1}
"""Car parks per size."""

MPC_LARGEST = 200
"""Connectors; a horizon for a thousand takes most of a minute."""

EASE_A = 2e-5
"""Room for the tolerance of HiGHS from round to round."""

FREE = 1e7
"""A: more than any current; the row of somebody who stays says nothing."""

MPC_PERIODS = 12
MPC_PERIOD_H = 1 / 12
AGREES_A = 0.01
"""Planner and LP may differ by so much: whole mA, and the tolerance of HiGHS for each of many rounds."""

MPC_ABSENT = "; convex MPC left out, cvxpy is not installed"


class Instance(msgspec.Struct, kw_only=True):
    """A car park as matrix rows over who is on."""

    problem: AcProblem
    names: list[str]
    matrix: csr_array
    caps: np.ndarray
    low: np.ndarray
    high: np.ndarray


def instance(connectors: int, seed: int) -> Instance:
    """The car park of the speed table in docs/planner.md, with an imbalance limit; A."""
    problem = car_park(connectors, seed, imbalance=True)
    given = solve(problem).current_ma
    on = [c for c in problem.connectors if given[c.id]]
    column = {c.id: k for k, c in enumerate(on)}
    data: list[float] = []
    rows: list[int] = []
    columns: list[int] = []
    caps: list[float] = []
    for _, (terms, cap) in [*packing_rows(problem), *difference_rows(problem)]:
        mine = [(column[name], factor) for name, factor in terms.items() if name in column]
        if mine:
            for k, factor in mine:
                data.append(float(factor))
                rows.append(len(caps))
                columns.append(k)
            caps.append(float(cap) / 1000)
    return Instance(
        problem=problem, names=list(column), matrix=csr_array((data, (rows, columns)), shape=(len(caps), len(on))),
        caps=np.array(caps), low=np.array([c.min_ma / 1000 for c in on]), high=np.array([ceiling_ma(c) / 1000 for c in on]),
    )  # fmt: skip


def lp_max_min(case: Instance) -> np.ndarray:
    """Currents in A by rounds of linear programs. Raises RuntimeError when HiGHS gives up."""
    n = len(case.names)
    rise = hstack([-identity(n, format="csr"), csr_array(np.ones((n, 1)))])  # level <= current, weight 1 in these car parks
    matrix = vstack([hstack([case.matrix, csr_array((len(case.caps), 1))]), rise]).tocsr()
    room = np.concatenate([case.caps + EASE_A, np.zeros(n)])
    low, high = np.append(case.low, 0.0), np.append(case.high, FREE)
    cost = np.zeros(n + 1)
    cost[n] = -1.0
    waiting = np.ones(n, dtype=bool)
    while waiting.any():
        found = linprog(cost, A_ub=matrix, b_ub=room, bounds=np.column_stack([low, high]), method="highs")
        if found.status != 0:
            raise RuntimeError(found.message)
        level = found.x[n]
        stuck = waiting & (found.ineqlin.marginals[len(case.caps) :] < -1e-9)
        if not stuck.any():
            raise RuntimeError("no multiplier is positive")
        stuck |= waiting & (high[:n] <= level + 1e-9)
        value = np.clip(level, case.low, case.high)
        low[:n][stuck] = np.maximum(case.low, value - EASE_A)[stuck]
        high[:n][stuck] = value[stuck]
        room[len(case.caps) :][stuck] = FREE
        waiting &= ~stuck
    return high[:n]


def mpc(case: Instance) -> None:
    """Build and solve one horizon. Raises RuntimeError when the solver gives up."""
    cp = importlib.import_module("cvxpy")  # the tests of this module do without it
    n = len(case.names)
    rates = cp.Variable((n, MPC_PERIODS))
    wanted_ah = case.high * MPC_PERIOD_H * MPC_PERIODS / 2
    early = np.linspace(1.0, 0.1, MPC_PERIODS)
    limits = [
        rates >= 0,
        rates <= np.repeat(case.high[:, None], MPC_PERIODS, axis=1),
        rates[:, 0] >= case.low,
        cp.sum(rates, axis=1) * MPC_PERIOD_H <= wanted_ah,
        case.matrix @ rates <= np.repeat(case.caps[:, None], MPC_PERIODS, axis=1) + 1e-6,
    ]
    value = cp.sum(rates @ early) - 1e-3 * cp.sum_squares(rates)
    problem = cp.Problem(cp.Maximize(value), limits)
    problem.solve()
    if problem.status not in {"optimal", "optimal_inaccurate"}:
        raise RuntimeError(f"cvxpy: {problem.status}")


def _ms(work: Callable[[], object]) -> float:
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) / 1e6


def compare(connectors: int, seeds: int, with_mpc: bool) -> dict[str, float]:
    """Medians of CPU time in ms by way over the same instances. Raises RuntimeError when LP and planner disagree."""
    times: dict[str, list[float]] = {"planner": [], "LP max-min": [], **({"convex MPC": []} if with_mpc else {})}
    if with_mpc:
        importlib.import_module("cvxpy")  # importing is not measured
    for seed in range(seeds):
        case = instance(connectors, seed)
        times["planner"].append(min(_ms(lambda: solve(case.problem)) for _ in range(3)))  # noqa: B023 - called at once
        answers: list[np.ndarray] = []
        times["LP max-min"].append(_ms(lambda: answers.append(lp_max_min(case))))  # noqa: B023 - called at once
        given = solve(case.problem).current_ma
        worst = max(abs(given[name] / 1000 - a) for name, a in zip(case.names, answers[0], strict=True))
        if not worst <= AGREES_A:
            raise RuntimeError(f"{connectors} connectors, seed {seed}: planner and LP differ by {worst:.3f} A")
        if with_mpc:
            times["convex MPC"].append(_ms(lambda: mpc(case)))  # noqa: B023 - called at once
    return {way: sorted(ms)[len(ms) // 2] for way, ms in times.items()}


def run(seeds: dict[int, int] | None = None) -> list[Figure]:
    """Ratios to the planner's time."""
    has_mpc = importlib.util.find_spec("cvxpy") is not None
    figures = []
    for connectors, count in (SEEDS if seeds is None else seeds).items():
        ms = compare(connectors, count, has_mpc and connectors <= MPC_LARGEST)
        own = ms.pop("planner")
        for way, took in ms.items():
            note = f"{took:.0f} ms against {own:.2f} ms, same car parks with imbalance{'' if has_mpc else MPC_ABSENT}"
            name = f"{way} against the planner, {connectors} connectors"
            figures.append(Figure(name=name, value=took / own, unit="x", budget=None, note=note))
    return figures
