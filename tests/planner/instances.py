"""Seeded problems of every kind that docs/planner.md knows, sizes 2 to 200, and what the oracle says of the planner's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

import msgspec

from evse.domain.base import Frozen
from evse.domain.station import Topology
from evse.planner import ac_verify, verify
from evse.planner.ac import solve as solve_ac
from evse.planner.ac_problem import ROTATIONS, AcConnector, AcNode, AcProblem, PausePolicy
from evse.planner.dc import solve as solve_dc
from evse.planner.problem import DcCabinet, DcConnector, DcGroup, DcProblem
from tests.planner.oracle_highs import ac_optimum, dc_optimum

MAX_SERVED_PROVEN = 200
"""Connectors up to which ``max_served`` is promised to be the largest number."""

ROUNDING_MA = 3.0
"""Floats of the oracle, and whole mA of the planner."""


class Verdict(Frozen, frozen=True, kw_only=True):
    """``wrong`` = what is not as it should be, in words. ``exact`` False = the planner itself said that a bound was reached."""

    kind: str
    size: int
    exact: bool
    wrong: tuple[str, ...]


def ac_instance(seed: int, size: int) -> tuple[str, AcProblem]:
    """A tree of one to three storeys with everything that a document can say, more or less scarce."""
    rng = Random(f"ac {seed} {size}")
    imbalance = rng.random() < 0.4
    scarce = rng.choice([3, 5, 8, 14, 25])  # A per phase and connector at the root
    boards = rng.randrange(1, max(2, size // 4))
    house = [rng.randrange(0, 1 + 2 * size) * 1000 for _ in range(3)] if rng.random() < 0.5 else [0, 0, 0]
    root = AcNode(
        id="root", parent=None, limit_ma=(scarce * size * 1000 + house[0],) * 3, background_ma=(house[0], house[1], house[2]),
        imbalance_ma=rng.choice([0, 10_000, 20_000, 40_000]) if imbalance else None,
        limit_w=rng.choice([None, scarce * size * 500]),
    )  # fmt: skip
    nodes = [root]
    for k in range(boards):
        amps = rng.choice([10, 16, 32, 63, 100]) * 1000
        nodes.append(
            AcNode(
                id=f"b{k}", parent="root" if k < 2 else f"b{rng.randrange(k)}" if rng.random() < 0.3 else "root",
                limit_ma=(amps, amps, rng.choice([amps, amps // 2])), limit_w=rng.choice([None, None, amps // 3]),
                imbalance_ma=20_000 if imbalance and rng.random() < 0.2 else None,
            )
        )
    classes = rng.choice([[0], [0], [0, 1], [-1, 0, 5]])
    weights = rng.choice([[1_000_000], [1_000_000], [500_000, 1_000_000, 3_000_000]])
    connectors = tuple(
        AcConnector(
            id=f"c{i}", node=rng.choice(nodes).id, lines=rng.choice([1, 1, 2, 3, 3]), rotation=rng.choice(ROTATIONS),
            min_ma=rng.choice([6_000, 6_000, 6_000, 8_000]), max_ma=rng.choice([5_000, 10_000, 16_000, 32_000, 32_000]),
            demand_ma=rng.choice([0, 4_000, 13_000, 32_000, 32_000, rng.randrange(6_000, 32_000)]),
            weight_ppm=rng.choice(weights), priority=rng.choice(classes), charging_s=rng.randrange(4000),
        )
        for i in range(size)
    )
    most = rng.random() < 0.25 and size <= MAX_SERVED_PROVEN
    step = 1 if imbalance else rng.choice([1, 100, 1000])
    problem = AcProblem(
        nodes=tuple(nodes), connectors=connectors, step_ma=step,
        pause_policy=PausePolicy.MAX_SERVED if most else PausePolicy.LONGEST_FIRST,
    )  # fmt: skip
    kind = " ".join(["ac", *(["imbalance"] if imbalance else []), *(["max_served"] if most else [])])
    return kind, problem


def odd_instance(seed: int, size: int) -> tuple[str, AcProblem]:
    """A flat site or some equal feeders, ``max_served``: minimums that are not multiples of one another in several classes, half
    of the time with an imbalance limit."""
    rng = Random(f"odd {seed} {size}")
    amps = [rng.randrange(2 * size, 4 * size) * 1000 for _ in range(3)]
    root = AcNode(
        id="root", parent=None, limit_ma=(amps[0], amps[1], amps[2]), limit_w=rng.choice([None, sum(amps) // 5]),
        imbalance_ma=rng.choice([None, None, 10_000, 20_000]),
    )  # fmt: skip
    feeders = rng.choice([0, 0, 1, 3, 6])
    nodes = [root, *(AcNode(id=f"f{k}", parent="root", limit_ma=(amps[0] // feeders * 5 // 4,) * 3) for k in range(feeders))]
    classes = rng.choice([[0], [0, 1], [0, 1, 2]])
    connectors = tuple(
        AcConnector(
            id=f"c{i}", node=rng.choice(nodes[1:] or nodes).id, lines=rng.choice([1, 2, 3]), rotation=rng.choice(ROTATIONS),
            min_ma=rng.choice([6_000, 6_100, 7_300]), max_ma=32_000, demand_ma=rng.choice([32_000, 32_000, rng.randrange(8_000, 32_000)]),
            priority=rng.choice(classes), charging_s=rng.randrange(4000),
        )
        for i in range(size)
    )
    return "ac odd minimums", AcProblem(nodes=tuple(nodes), connectors=connectors, pause_policy=PausePolicy.MAX_SERVED)


def judge_ac(seed: int, size: int, instance: Callable[[int, int], tuple[str, AcProblem]] = ac_instance) -> Verdict:
    """Compare the planner with the optimum: every limit, who is on, and what each gets."""
    kind, problem = instance(seed, size)
    solution = solve_ac(problem)
    wrong = [f"limit: {line}" for line in ac_verify.check(problem, solution.current_ma)]
    if not solution.exact:
        return Verdict(kind=kind, size=size, exact=False, wrong=tuple(wrong))
    wrong += short_of(problem, solution.current_ma, ac_optimum(problem))
    return Verdict(kind=kind, size=size, exact=True, wrong=tuple(wrong))


def short_of(problem: AcProblem, current_ma: Mapping[str, int], best: Mapping[str, float]) -> list[str]:
    """Who is on or off against the optimum (A), or more than a set-point step below it."""
    wrong = []
    for connector in problem.connectors:
        ma, optimum = current_ma[connector.id], best[connector.id] * 1000
        if (ma > 0) is not (optimum > 0):
            wrong.append(f"{connector.id}: planner {ma} mA, optimum {optimum:.1f} mA")
        elif optimum - ma > problem.step_ma + ROUNDING_MA:
            wrong.append(f"{connector.id}: {optimum - ma:.1f} mA below the optimum of {optimum:.1f} mA")
    return wrong


def dc_instance(seed: int, size: int) -> tuple[str, DcProblem]:
    """One to three cabinets of any topology, with every cap."""
    rng = Random(f"dc {seed} {size}")
    topology = rng.choice(list(Topology))
    cabinets: list[DcCabinet] = []
    connectors: list[DcConnector] = []
    left = size
    while left:
        here = min(left, rng.randrange(1, 7))
        left -= here
        name = f"k{len(cabinets)}"
        groups = here + rng.randrange(0, 4)
        homes = dict(zip(rng.sample(range(groups), here), range(here), strict=True))
        kinds = rng.choice([1, 1, 2])
        cabinets.append(
            DcCabinet(
                id=name, topology=topology, limit_w=rng.choice([None, None, here * 25_000]),
                groups=tuple(
                    DcGroup(
                        id=f"{name}g{g}", home=f"{name}c{homes[g]}" if g in homes else None, modules=rng.choice([1, 2, 2]),
                        module_w=30_000, module_ma=rng.choice([60_000, 100_000][:kinds]),
                        derate_ppm=rng.choice([1_000_000, 1_000_000, 500_000]),
                    )
                    for g in range(groups)
                ),
            )
        )
        connectors += [
            DcConnector(
                id=f"{name}c{i}", cabinet=name, request_w=rng.choice([0, 20_000, 60_000, 150_000, rng.randrange(250_000)]),
                voltage_mv=rng.choice([300_000, 400_000, 700_000, 900_000]), current_ma=rng.choice([150_000, 500_000]),
                limit_w=rng.choice([None, None, 40_000]), charging_s=rng.randrange(4000),
            )
            for i in range(here)
        ]
    problem = DcProblem(
        cabinets=tuple(cabinets), connectors=tuple(connectors), min_w=rng.choice([0, 5_000, 20_000]),
        site_limit_w=rng.choice([None, size * 15_000, size * 40_000]), csms_limit_w=rng.choice([None, None, size * 30_000]),
        efficiency_ppm=rng.choice([1_000_000, 950_000]), group_power_w=rng.choice([0, 0, 80_000]),
        max_groups=rng.choice([0, 0, 2]), allow_cross=rng.random() < 0.85,
    )  # fmt: skip
    return f"dc {topology.value}", problem


def judge_dc(seed: int, size: int) -> Verdict:
    """Compare the planner with the optimum: every limit, who is served, and the powers in rising order."""
    kind, problem = dc_instance(seed, size)
    solution = solve_dc(problem)
    wrong = [f"limit: {line}" for line in verify.check(problem, solution)]
    if not solution.exact:
        return Verdict(kind=kind, size=size, exact=False, wrong=tuple(wrong))
    served, best = dc_optimum(problem)
    mine = {name for name, w in solution.power_w.items() if w}
    if mine != set(served):
        wrong.append(f"serves {sorted(mine)}, the optimum {sorted(served)}")
    else:
        ease_w = 2.0 * len(mine) + sum(len(c.groups) for c in problem.cabinets)
        powers = sorted(w for w in solution.power_w.values() if w)
        short = [(k, kw * 1000 - w) for k, (kw, w) in enumerate(zip(best, powers, strict=True)) if kw * 1000 - w > ease_w]
        if short:
            wrong.append(f"place {short[0][0]}: {short[0][1]:.0f} W below the optimum of {best[short[0][0]]:.3f} kW")
    return Verdict(kind=kind, size=size, exact=True, wrong=tuple(wrong))


def described(verdict: Verdict, seed: int) -> str:
    """One line for people who want to try it again."""
    return f"{verdict.kind}, size {verdict.size}, seed {seed}: {msgspec.json.encode(verdict.wrong[:3]).decode()}"
