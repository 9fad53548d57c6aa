"""Contacts that fail: a group that cannot feed a connector is planned for the others, exactly."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from msgspec.structs import replace

from evse.domain.station import Topology
from evse.planner.dc import solve
from evse.planner.problem import DcCabinet, DcConnector, DcGroup, DcProblem, group_power_w
from evse.planner.verify import check
from tests._support.examples import examples


def problem(rng: Random, connectors: int, groups: int) -> DcProblem:
    rows = tuple(
        DcGroup(id=str(g), home=str(g) if g <= connectors else None, modules=rng.randint(1, 3), module_w=30_000, module_ma=100_000)
        for g in range(1, groups + 1)
    )
    names = [row.id for row in rows]
    return DcProblem(
        cabinets=(DcCabinet(id="k", topology=Topology.MATRIX, groups=rows),),
        connectors=tuple(
            DcConnector(
                id=str(c), cabinet="k", request_w=rng.choice((40_000, 120_000, 300_000)), voltage_mv=400_000,
                current_ma=1_000_000, barred=frozenset(rng.sample(names, rng.randint(0, groups - 1))),
            )
            for c in range(1, connectors + 1)
        ),
        min_w=5_000,
    )


def best(p: DcProblem) -> list[int] | None:
    """Leximax by trying everything; None when the minimums do not fit."""
    groups = p.cabinets[0].groups
    found: list[list[int]] = []
    for owners in product((None, *p.connectors), repeat=len(groups)):
        if any(o is not None and g.id in o.barred for o, g in zip(owners, groups, strict=True)):
            continue
        got = [
            min(c.request_w, sum(group_power_w(g, c.voltage_mv) for o, g in zip(owners, groups, strict=True) if o is c))
            for c in p.connectors
        ]
        if min(got) >= p.min_w:
            found.append(sorted(got))
    return max(found) if found else None


@pytest.mark.parametrize("seed", range(examples(12, 4)))
def test_barred_groups_are_never_used_and_the_answer_stays_exact(seed: int) -> None:
    rng = Random(seed)
    p = problem(rng, rng.randint(2, 3), rng.randint(3, 4))
    solution, truth = solve(p), best(p)
    assert check(p, solution) == []
    if truth is not None:
        assert sorted(solution.power_w.values()) == truth
    for c in p.connectors:
        assert not {g for g, owner in solution.owner.items() if owner == c.id} & c.barred


def test_the_verifier_sees_a_group_that_cannot_feed_its_owner() -> None:
    p = problem(Random(1), 2, 3)
    free = replace(p, connectors=tuple(replace(c, barred=frozenset()) for c in p.connectors))
    solution = solve(free)
    group = next(g for g, owner in solution.owner.items() if owner == "1")
    barred = replace(free, connectors=(replace(free.connectors[0], barred=frozenset({group})), free.connectors[1]))
    assert f"{group} cannot feed 1 now" in check(barred, solution)
