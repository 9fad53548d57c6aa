"""`tree`: rows that are left out or put together say nothing that the others do not."""

from __future__ import annotations

from random import Random

from evse.planner.ac import solve
from evse.planner.ac_problem import ROTATIONS, AcConnector, AcNode, AcProblem, phases_of
from evse.planner.ac_verify import check
from evse.planner.tree import build
from evse.planner.why_ac import explain


def chained(seed: int) -> AcProblem:
    """A tree of long chains: fuses behind fuses, equal, smaller or larger, few connectors."""
    rng = Random(seed)
    size = rng.randint(2, 14)
    nodes = []
    for n in range(size):
        caps = [rng.choice([20, 32, 40, 63]) * 1000 for _ in range(3)] if rng.random() < 0.4 else [rng.choice([32, 63, 80]) * 1000] * 3
        nodes.append(
            AcNode(
                id=f"n{n}", parent=None if n == 0 else f"n{n - 1 if rng.random() < 0.7 else rng.randrange(n)}",
                limit_ma=(caps[0], caps[1], caps[2]), limit_w=rng.choice([None, None, rng.randrange(5_000, 40_000)]),
                imbalance_ma=rng.choice([None, None, 8_000, 20_000]),
                background_ma=rng.choice([(0, 0, 0), (0, 0, 0), (3_000, 0, 9_000)]),
            )
        )
    connectors = tuple(
        AcConnector(
            id=f"c{i}", node=f"n{rng.randrange(size)}", lines=rng.choice([1, 2, 3]), rotation=rng.choice(ROTATIONS), min_ma=6_000,
            max_ma=32_000, demand_ma=rng.choice([0, 16_000, 32_000]),
        )
        for i in range(rng.randint(1, 8))
    )
    return AcProblem(nodes=tuple(nodes), connectors=connectors)


def test_rows_hold_exactly_where_the_limits_do() -> None:
    """Random shares, judged by the rows and by the independent judge of limits."""
    broken = kept = 0
    for seed in range(400):
        problem, rng = chained(seed), Random(-seed)
        model = build(problem)
        for most in (6_000, 12_000, 32_000):
            given = {c.id: min(model.high_ma[i], rng.randrange(6_000, most + 1)) for i, c in enumerate(problem.connectors)}
            totals = [0] * len(model.members)
            for i, c in enumerate(problem.connectors):
                totals[model.group_of[i]] += given[c.id]
            holds = all(
                sum(c * totals[g] for g, c in row) <= cap for row, cap in zip(model.row_groups, model.row_cap_ma, strict=True)
            )
            assert holds is (check(problem, given) == []), (seed, most)
            broken, kept = broken + (not holds), kept + holds
    assert min(broken, kept) > 300


def test_a_chain_of_fuses_is_one_row_and_keeps_its_names() -> None:
    caps = [50_000, 40_000, 63_000, 40_000, 32_000, 63_000]
    nodes = tuple(AcNode(id=f"n{i}", parent=f"n{i - 1}" if i else None, limit_ma=(cap,) * 3) for i, cap in enumerate(caps))
    cars = tuple(AcConnector(id=str(i), node="n5", lines=1, min_ma=6_000, max_ma=32_000, demand_ma=32_000) for i in range(3))
    problem = AcProblem(nodes=nodes, connectors=cars, step_ma=100)
    model = build(problem)
    assert [model.row_cap_ma[row] for row, _ in model.group_rows[0]] == [32_000] and phases_of(cars[0]) == (0,)
    solution = solve(problem)
    assert solution.current_ma == {"0": 10_700, "1": 10_700, "2": 10_600}
    caps_named = {cap.name: cap.binds for cap in explain(problem, solution, ())[0].caps}
    assert caps_named["fuse n4"] and {f"fuse n{i}" for i in range(6)} <= set(caps_named)


def test_a_deep_chain_with_connectors_all_along_takes_no_square_of_its_depth() -> None:
    """Equal fuses: the topmost is the only row, however deep a connector hangs."""
    depth = 3_000
    nodes = tuple(AcNode(id=f"n{i}", parent=f"n{i - 1}" if i else None, limit_ma=(63_000,) * 3) for i in range(depth))
    cars = tuple(
        AcConnector(id=f"c{i}", node=f"n{i * 7 % depth}", lines=3, min_ma=6_000, max_ma=32_000, demand_ma=32_000) for i in range(400)
    )
    model = build(AcProblem(nodes=nodes, connectors=cars))
    assert model.packing == 3 and sum(map(len, model.group_rows)) == 3 * len(model.members)
