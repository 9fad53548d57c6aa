"""A matrix cabinet from plug to record: groups are shared and taken back, contacts and groups fail, the power goes.

The demo station dc-matrix: four connectors, six groups of 60 kW. `tests._support.laws_matrix` judges every tick and
`evse.sim.matrix` every movement of a contact.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from evse.lab.station import Lab
from tests._support.examples import seconds
from tests._support.lab_world import Api, play, run_lab
from tests._support.random_day import RandomDay
from tests._support.random_stations import matrix

CAR = "Hyundai Ioniq 5"
"""800 V class: takes more than two groups give."""

FULL_W = 60_000


async def arrive(lab: Lab, *connectors: int) -> None:
    for c in connectors:
        await lab.do(cmd="plug_in", connector=c, car=CAR, soc_pct=20, battery_wh=400_000)
        await lab.do(cmd="swipe", token=f"04A1B2C{c}", reader=f"reader{c}")
        await lab.forward(1)


def chain(lab: Lab, c: int) -> tuple[int, ...]:
    return lab.evse(c).chain


def power(lab: Lab, c: int) -> int:
    return lab.evse(c).power_w or 0


def codes(lab: Lab, c: int) -> set[str]:
    return {record.code.value for record in lab.evse(c).faults if record.present}


async def two_share(lab: Lab) -> None:
    """Connectors 1 and 2 with three groups each."""
    await arrive(lab, 1, 2)
    await lab.until(lambda: len(chain(lab, 1)) == len(chain(lab, 2)) == 3, "three groups each", 90)
    await lab.until(lambda: min(power(lab, 1), power(lab, 2)) > 170_000, "at full power", 30)


def play_out(tmp_path: Path, scenario: Callable[[Lab], Coroutine[Any, Any, None]], **harm: bool) -> None:
    """Run it under all laws; physics must not have seen any harm unless the scenario does it."""

    async def whole(lab: Lab) -> None:
        await scenario(lab)
        assert harm.get("expected") or lab.sim.world.violations == []

    run_lab(tmp_path, whole, config=matrix(tmp_path))


def test_two_share_the_cabinet_and_a_third_takes_groups_back_while_they_go_on(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await two_share(lab)
        seen: list[float] = []
        step = lab.sim._step

        def watched(now: int) -> None:
            step(now)
            seen.append(min(connector.power_w for connector in lab.sim.world.connectors[:2]))

        lab.sim._step = watched  # type: ignore[method-assign]
        await arrive(lab, 3)
        await lab.until(lambda: power(lab, 3) > 110_000, "the third has its share", 90)
        assert [len(chain(lab, c)) for c in (1, 2, 3)] == [2, 2, 2]
        assert sorted(g for c in (1, 2, 3) for g in chain(lab, c)) == [1, 2, 3, 4, 5, 6]
        assert min(seen) > 100_000, "only the group that leaves fades, the other two of the connector go on"
        groups = (await Api(lab)("planner.get"))["groups"]
        assert {g["group_id"]: tuple(g["feeds"]) for g in groups} == {g: (c,) for c in (1, 2, 3) for g in chain(lab, c)}
        for c in (1, 2, 3):
            await lab.do(cmd="plug_out", connector=c)
        await lab.until(lambda: not any(row.closed for row in lab.sim.world.matrix), "all contacts open", 60)

    play_out(tmp_path, scenario)


def test_a_welded_contact_and_a_stuck_one_cost_power_and_nothing_else(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await two_share(lab)
        welded = chain(lab, 1)[-1]
        await lab.do(cmd="fault", action="raise", fault="matrix_contact_welded", connector=1, value=welded)
        await lab.do(cmd="fault", action="raise", fault="matrix_contact_stuck_open", connector=3, value=chain(lab, 2)[-1])
        await arrive(lab, 3)
        await lab.until(lambda: power(lab, 3) > 110_000, "the third has two groups", 150)
        await lab.forward(seconds(40, 15))
        assert min(power(lab, c) for c in (1, 2, 3)) > 110_000
        await lab.do(cmd="plug_out", connector=1)
        await lab.until(lambda: lab.sim.world.matrix[0].closed == 1 << welded - 1, "it lets go of all others", 60)
        await lab.until(lambda: "F52" in codes(lab, 1), "the weld is named", 10)
        await lab.until(lambda: len(chain(lab, 2)) + len(chain(lab, 3)) == 5, "the others share the five that are left", 90)
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.until(lambda: not codes(lab, 1) and not codes(lab, 3), "repaired", 60)
        await lab.until(lambda: len(chain(lab, 2)) + len(chain(lab, 3)) == 6, "all six again", 90)

    play_out(tmp_path, scenario)


def test_a_contact_without_feedback_and_a_group_that_fails_take_their_group_only(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await two_share(lab)
        blind = chain(lab, 1)[-1]
        await lab.do(cmd="fault", action="raise", fault="matrix_contact_unknown", connector=1, value=blind)
        await lab.until(lambda: "F54" in codes(lab, 1), "named", 20)
        await lab.until(lambda: len(chain(lab, 1)) == 2 and power(lab, 1) > 110_000, "goes on with two", 30)
        assert power(lab, 2) > 110_000
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.until(lambda: len(chain(lab, 1)) + len(chain(lab, 2)) == 6, "back in service", 120)
        failed = chain(lab, 2)[0]
        for address in (2 * failed - 2, 2 * failed - 1):
            await lab.do(cmd="fault", action="raise", fault="module_failure", connector=0, address=address)
        await lab.until(lambda: power(lab, 2) < 130_000, "its share is gone", 30)
        await lab.forward(seconds(40, 15))
        assert sorted((power(lab, 1) // FULL_W, power(lab, 2) // FULL_W)) == [2, 2] or power(lab, 1) > 170_000
        assert power(lab, 2) > 110_000

    play_out(tmp_path, scenario)


def test_a_contact_that_closes_by_itself_costs_both_connectors_their_energy_at_once(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await two_share(lab)
        await lab.do(cmd="fault", action="raise", fault="matrix_contact_closes", connector=1, value=chain(lab, 2)[0])
        await lab.until(lambda: {"F55"} <= codes(lab, 1) & codes(lab, 2), "both know", 2)
        await lab.forward(0.2)
        assert not any(connector.closed for connector in lab.sim.world.connectors)
        assert lab.sim.world.violations == ["connectors 1 and 2 share one bar with both vehicles"]

    play_out(tmp_path, scenario, expected=True)


def test_after_a_power_cut_all_contacts_are_open_and_the_cabinet_charges_again(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await two_share(lab)
        await lab.do(cmd="power_cut", duration_ms=4_000)
        await lab.forward(1)
        assert not any(row.closed for row in lab.sim.world.matrix)
        await lab.forward(10)
        for c in (1, 2):
            await lab.do(cmd="plug_out", connector=c, force=True)
        await lab.until(lambda: all(e.phase.value == "idle" for e in lab.view().evses), "at rest", 60)
        await arrive(lab, 2, 4)
        await lab.until(lambda: min(power(lab, 2), power(lab, 4)) > 170_000, "charges again", 120)

    play_out(tmp_path, scenario)


def test_the_quick_scenario_of_the_demo_plays_on_it(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await play(lab, "quick")

    play_out(tmp_path, scenario)


@pytest.mark.parametrize("seed", [9])
def test_random_day_of_a_matrix_obeys_every_law_and_comes_to_rest(tmp_path: Path, seed: int) -> None:
    day = RandomDay(tmp_path, seed, 0.3, "matrix")
    problems = day.run()
    story = "\n".join(day.report().splitlines()[-60:])
    assert not problems, f"seed {seed}: python -m tools.soak --seeds 1 --first {seed} --minutes 0.3 --kind matrix\n{story}"
