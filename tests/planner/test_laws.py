"""Laws of the planners that concern time and repetition: more room, other orders, nothing new, long days."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evse.core.inputs import EvseInputs, Inputs
from evse.domain.limits import CurrentRequest
from evse.domain.readings import NEVER, MeterValues, Sample
from evse.domain.station import GridSpec
from evse.planner.ac import solve as solve_ac
from evse.planner.ac_problem import ROTATIONS, AcProblem, PausePolicy
from evse.planner.dc import solve as solve_dc
from evse.planner.live import PlannerSettingsW
from evse.planner.live_ac import plan_ac
from evse.planner.live_ac_memory import AcMemory, SiteLoad, observe
from evse.planner.problem import DcProblem
from evse.runtime.planning import PlannerShell
from evse.units import NS_PER_S
from tests._support.examples import examples, seconds
from tests.planner.ac_strategies import ac_problems
from tests.planner.strategies import problems
from tests.planner.test_live import healthy, request, station
from tests.planner.test_live_ac import Car, Park

ROOT = Path(__file__).parents[2]
PPM = 1_000_000


# -- more room --------------------------------------------------------------------------------------------------------


def ac_value(problem: AcProblem, given_ma: dict[str, int]) -> list[list[int]]:
    """What is maximised, in its order: who is on in the order of admission, then the levels of each class, poorest first."""
    order = sorted(problem.connectors, key=lambda c: (-c.priority, c.charging_s, problem.connectors.index(c)))
    value = [[int(given_ma[c.id] > 0) for c in order]]
    for rank in sorted({c.priority for c in problem.connectors}, reverse=True):
        value.append(sorted(given_ma[c.id] * PPM // c.weight_ppm for c in order if c.priority == rank and given_ma[c.id]))
    return value


def not_lower(after: list[list[int]], before: list[list[int]], slack: int) -> bool:
    """Lexicographically not lower; differences up to ``slack`` are those of whole setpoints."""
    for x, y in zip([v for row in after for v in row], [v for row in before for v in row], strict=False):
        if abs(x - y) > slack:
            return x > y
    return True


@settings(max_examples=examples(150), deadline=None)
@given(ac_problems(max_nodes=3, max_connectors=5), st.data())
def test_raising_a_limit_never_makes_an_ac_plan_less_fair(problem: AcProblem, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(problem.nodes) - 1))
    more = data.draw(st.integers(1, 20)) * 1_000
    phase = data.draw(st.integers(0, 3))
    node = problem.nodes[at]
    if phase == 3:
        assume(node.limit_w is not None)
        node = replace(node, limit_w=(node.limit_w or 0) + more)
    else:
        a, b, c = (ma + more * (k == phase) for k, ma in enumerate(node.limit_ma))
        node = replace(node, limit_ma=(a, b, c))
    wider = replace(problem, nodes=tuple(node if i == at else n for i, n in enumerate(problem.nodes)))
    before, after = solve_ac(problem), solve_ac(wider)
    assume(before.exact and after.exact)
    assert not_lower(ac_value(problem, after.current_ma), ac_value(problem, before.current_ma), 2 * problem.step_ma)


@settings(max_examples=examples(120), deadline=None)
@given(
    problems(max_groups=5, max_connectors=4, max_cabinets=2), st.integers(0, 120_000), st.integers(1, 100_000),
    st.sampled_from(("site", "csms", "cabinet")), st.booleans(),
)  # fmt: skip
def test_raising_a_limit_never_makes_a_dc_plan_less_fair(problem: DcProblem, limit: int, more: int, which: str, eager: bool) -> None:
    if eager:
        rows = (replace(c, request_w=c.request_w + 20_000, current_ma=400_000, limit_w=None) for c in problem.connectors)
        problem = replace(problem, connectors=tuple(rows), max_groups=0)

    def limited(w: int) -> DcProblem:
        if which == "site":
            return replace(problem, site_limit_w=w)
        if which == "csms":
            return replace(problem, csms_limit_w=w)
        return replace(problem, cabinets=(replace(problem.cabinets[0], limit_w=w), *problem.cabinets[1:]))

    problem, wider = limited(limit), limited(limit + more)
    before, after = solve_dc(problem), solve_dc(wider)
    assume(before.exact and after.exact)
    order = sorted(problem.connectors, key=lambda c: (c.charging_s, problem.connectors.index(c)))

    def served(power_w: dict[str, int]) -> list[bool]:
        return [power_w[c.id] > 0 for c in order]

    assert served(after.power_w) >= served(before.power_w)
    if served(after.power_w) == served(before.power_w):
        assert not_lower([sorted(after.power_w.values())], [sorted(before.power_w.values())], 2)


# -- other orders, again ----------------------------------------------------------------------------------------------


@settings(max_examples=examples(100), deadline=None)
@given(ac_problems(max_nodes=3, max_connectors=5, imbalance=True), st.randoms(use_true_random=False))
def test_the_order_of_ac_connectors_and_fuses_does_not_matter(problem: AcProblem, rng: Random) -> None:
    """Charged times are made different: equal ones are settled by the place in the document, on purpose."""
    rows = [replace(c, charging_s=10 * c.charging_s + i) for i, c in enumerate(problem.connectors)]
    problem = replace(problem, connectors=tuple(rows), pause_policy=PausePolicy.LONGEST_FIRST)
    nodes = list(problem.nodes)
    rng.shuffle(rows)
    rng.shuffle(nodes)
    other = solve_ac(replace(problem, connectors=tuple(rows), nodes=tuple(nodes)))
    one = solve_ac(problem)
    assume(one.exact and other.exact)
    for name, ma in one.current_ma.items():
        assert abs(other.current_ma[name] - ma) <= 2 * problem.step_ma, name
        assert (other.current_ma[name] > 0) is (ma > 0)


@settings(max_examples=examples(100), deadline=None)
@given(problems(max_groups=5, max_connectors=4, max_cabinets=2), st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_dc_connectors_and_cabinets_does_not_matter(problem: DcProblem, scarce: bool, rng: Random) -> None:
    rows = [replace(c, charging_s=10 * c.charging_s + i) for i, c in enumerate(problem.connectors)]
    if scarce:  # there is room for one or two minimums
        rows = [replace(c, request_w=60_000, current_ma=250_000, limit_w=None, charging_s=9 - c.charging_s) for c in rows]
        problem = replace(problem, min_w=5_000, site_limit_w=rng.choice((6_000, 12_000)))
    problem = replace(problem, connectors=tuple(rows))
    cabinets = list(problem.cabinets)
    rng.shuffle(rows)
    rng.shuffle(cabinets)
    one, other = solve_dc(problem), solve_dc(replace(problem, connectors=tuple(rows), cabinets=tuple(cabinets)))
    assume(one.exact and other.exact)
    assert sorted(other.power_w.values()) == sorted(one.power_w.values())
    assert {n for n, w in other.power_w.items() if w} == {n for n, w in one.power_w.items() if w}


@pytest.mark.parametrize("kind", ["ac", "dc"])
def test_the_same_document_gives_the_same_plan_in_another_process(kind: str) -> None:
    """Sets and dictionaries of texts are hashed differently in every process."""
    rng = Random(5)
    if kind == "ac":
        connectors = [
            {"id": f"c{i}", "node": "top", "lines": rng.choice((1, 3)), "max_a": 32, "demand_a": rng.choice((10, 32)), "charging_s": i % 3}
            for i in range(14)
        ]
        nodes = [{"id": "top", "parent": None, "limit_a": [70, 63, 63], "imbalance_a": 12, "background_a": [1, 2, 3]}]
        document = {"kind": "ac", "name": "x", "voltage": 230, "nodes": nodes, "connectors": connectors}
    else:
        groups = [
            {"id": f"g{i}", "home": f"c{i}" if i < 3 else None, "modules": 2, "module_kw": 20 + i, "module_a": 50, "derate": 1} for i in range(5)
        ]
        cabinet: dict[str, object] = {"id": "k", "topology": "matrix", "groups": groups, "limit_kw": None, "prior": {}}
        rows = [
            {"id": f"c{i}", "cabinet": "k", "request_kw": 60, "voltage": 400, "current_a": 250, "limit_kw": None, "charging_s": 0} for i in range(3)
        ]
        document = {
            "kind": "dc", "cabinets": [cabinet], "connectors": rows, "site_limit_kw": 110, "csms_limit_kw": None, "efficiency": 0.95,
            "min_kw": 45, "group_power_kw": 0, "max_groups": 0, "allow_cross": True,
        }  # fmt: skip
    answers = set()
    for seed in ("1", "2", "77"):
        done = subprocess.run(
            [sys.executable, "-m", "evse.planner"], input=json.dumps(document), capture_output=True, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answers.add(done.stdout)
    assert len(answers) == 1


# -- nothing new ------------------------------------------------------------------------------------------------------


@settings(max_examples=examples(25, 6), deadline=None)
@given(
    st.lists(st.integers(0, 120_000), min_size=2, max_size=4),
    st.sampled_from((0, 60_000, 150_000)),
    st.integers(0, 3),
)
def test_no_plan_changes_without_an_event(watts: list[int], site_w: int, faulty: int) -> None:
    """Requests, readings and limits stand still for an hour (a quarter in `make test`): after the dwell of regrouping the plan stands still too."""
    spec = station(len(watts), site_limit_w=site_w)
    shell = PlannerShell(spec, PlannerSettingsW(site_limit_w=site_w), NS_PER_S)
    requests = [request(i, w, since=i) for i, w in enumerate(watts, 1)]
    groups = tuple(healthy(len(watts), available_w=60_000 - 10_000 * faulty))
    versions = []
    now = NS_PER_S
    for second in range(round(seconds(3_600, 900))):
        now = NS_PER_S * (1 + second)
        drawn = {} if shell.plan is None else {a.evse_id: a.assigned_w for a in shell.plan.allocations}
        evses = tuple(
            EvseInputs(evse_id=e.evse_id, board=NEVER, meter=Sample(MeterValues(power_w=drawn.get(e.evse_id, 0)), now)) for e in spec.evses
        )
        shell.consider(requests, Inputs(wall=now, evses=evses, groups=groups, site_meter=NEVER), now)
        assert shell.plan is not None
        versions.append(shell.plan.version)
    assert versions[-1] == versions[90]


@pytest.mark.parametrize(("fuse_ma", "imbalance_ma"), [(50_000, -1), (50_000, 20_000), (11_000, -1)])
@pytest.mark.parametrize("seed", range(examples(2, 1)))
def test_no_ac_plan_changes_without_an_event_and_the_order_of_the_evses_does_not_matter(seed: int, fuse_ma: int, imbalance_ma: int) -> None:
    """Vehicles of every kind, some of which draw less than their share: once all has settled, shares stand still for minutes. Where
    not all fit, until the first dwell is over, whoever waits."""
    rng = Random(f"still {seed}")
    cars = {
        i: Car(
            lines=rng.choice((1, 2, 3)), rotation=rng.choice(ROTATIONS), takes_ma=rng.choice((8_000, 13_000, 16_000, 32_000)),
            wanted_ma=rng.choice((16_000, 32_000)), follow_s=rng.choice((0.25, 1.0, 3.0)),
        )
        for i in range(1, 6)
    }
    scarce = fuse_ma < 30_000
    settled: list[list[int]] = []
    for order in (list(cars), list(cars)[::-1]):
        park = Park(
            GridSpec(fuse_ma=fuse_ma, imbalance_ma=imbalance_ma), {i: replace(cars[i]) for i in order}, point_lines=3
        )  # fmt: skip
        park.run(180, check=imbalance_ma < 0)
        still = {i: park.offered(i) for i in cars}
        assert not scarce or min(still.values()) == 0
        for _ in range(4 * 100):
            park.step()
            assert {i: park.offered(i) for i in cars} == still
        settled.append(sorted(still.values()))  # equals that do not fit together are told apart by their place
    assert scarce or all(abs(a - b) <= 100 for a, b in zip(*settled, strict=True)), settled


@pytest.mark.parametrize(("grid", "cars"), [
    (GridSpec(fuse_ma=50_000, imbalance_ma=20_000, dwell_s=90), [(2, "TSR"), (2, "STR"), (3, "SRT"), (1, "SRT"), (1, "SRT")]),
    (GridSpec(fuse_ma=14_000, max_served=True, dwell_s=90), [(1, "RST"), (1, "RST"), (1, "RST"), (3, "STR")]),
])  # fmt: skip
def test_turns_are_taken_under_an_imbalance_limit_and_among_equals_of_max_served(grid: GridSpec, cars: list[tuple[int, str]]) -> None:
    """Newcomers of unknown lines get their turn too. ``max_served`` lets a wide vehicle wait where two narrow ones fit: that is
    what it says; with three narrow ones for two places even the wide one may get in, the narrow ones take turns. Nobody is paused
    before its dwell is over, and nobody waits for much longer than one."""
    park = Park(grid, {i: Car(lines=n, rotation=rotation, follow_s=1.0) for i, (n, rotation) in enumerate(cars, 1)}, point_lines=3)
    on, run, wait = (dict.fromkeys(park.cars, 0) for _ in range(3))
    longest, shortest, turns = dict.fromkeys(park.cars, 0), 4 * 600, 0
    for _ in range(4 * 600):
        park.step()
        for i in on:
            now = park.offered(i) > 0
            if run[i] and not now:
                shortest, turns = min(shortest, run[i]), turns + 1
            on[i] += now
            run[i], wait[i] = (run[i] + 1, 0) if now else (0, wait[i] + 1)
            longest[i] = max(longest[i], wait[i])
    narrow = [i for i in on if not grid.max_served or cars[i - 1][0] == 1]
    assert min(on[i] for i in narrow) >= 4 * 600 // 4, on
    assert turns >= 5 and shortest >= 4 * grid.dwell_s, (turns, shortest)
    assert max(longest[i] for i in narrow) <= 4 * (grid.dwell_s + 15), longest


# -- long days --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1])
def test_nobody_starves_in_a_day_behind_a_fuse_for_two(seed: int) -> None:
    """Five vehicles, room for two or three minimums: everybody is on again and again, for about the same time."""
    rng = Random(seed)
    grid = GridSpec(fuse_ma=16_000, dwell_s=300)
    lines = {i: rng.choice((1, 3)) for i in range(1, 6)}
    memory, offered, now = AcMemory(), dict.fromkeys(lines, 0), NS_PER_S
    on_s, waits_s, longest_s = dict.fromkeys(lines, 0), dict.fromkeys(lines, 0), 0
    step_s = 20
    for _ in range(86_400 // step_s):
        now += step_s * NS_PER_S
        requests = [
            CurrentRequest(
                evse_id=i, wanted_ma=32_000, lines=n, offered_ma=offered[i], measured_ma=offered[i], cut=not offered[i],
                lines_used=n if offered[i] else 0,
            )
            for i, n in lines.items()
        ]  # fmt: skip
        memory = observe(memory, grid, requests, SiteLoad(), now)
        shares = plan_ac(grid, (), (), requests, SiteLoad(), memory, now)
        memory = shares.memory
        offered = {row.evse_id: row.assigned_ma for row in shares.rows}
        for i, ma in offered.items():
            on_s[i] += step_s if ma else 0
            waits_s[i] = 0 if ma else waits_s[i] + step_s
            longest_s = max(longest_s, waits_s[i])
    assert longest_s <= 4 * len(lines) * grid.dwell_s, longest_s
    assert min(on_s.values()) >= 86_400 // 4, on_s


@pytest.mark.parametrize(("ac", "dc", "fuse_a", "least_w"), [(2, 1, 14, 6_000), (2, 2, 14, 4_000), (1, 2, 10, 3_000)])
def test_nobody_starves_where_ac_and_dc_vehicles_share_a_fuse(ac: int, dc: int, fuse_a: int, least_w: int) -> None:
    """Minimums of 6 A and of some kW that do not fit together: AC and DC vehicles take turns with each other."""
    dwell_s, n = 60, ac + dc
    grid = GridSpec(fuse_ma=fuse_a * 1_000, dwell_s=dwell_s)
    spec = replace(station(dc), grid=grid)
    shell = PlannerShell(spec, PlannerSettingsW(dwell_s=dwell_s, min_power_w=least_w), NS_PER_S)
    power = [request(i, 60_000) for i in range(1, dc + 1)]
    offered, drawn = {10 + i: 0 for i in range(ac)}, dict.fromkeys(range(1, dc + 1), 0)
    waits_s, longest_s, on_s = ({**offered, **drawn} for _ in range(3))
    step_s = 4
    for k in range(1, 60 * 60 // step_s):
        now = k * step_s * NS_PER_S
        currents = [
            CurrentRequest(
                evse_id=i, wanted_ma=16_000, lines=3, offered_ma=ma, measured_ma=ma, cut=not ma, draw_l_ma=(ma, ma, ma), lines_used=3 if ma else 0
            )
            for i, ma in offered.items()
        ]
        evses = tuple(EvseInputs(evse_id=i, board=NEVER, meter=Sample(MeterValues(power_w=w), now)) for i, w in drawn.items())
        shell.consider(power, Inputs(wall=now, evses=evses, groups=tuple(healthy(dc)), site_meter=NEVER), now, currents)
        assert shell.plan is not None
        offered = {row.evse_id: row.assigned_ma for row in shell.plan.currents}
        drawn = {row.evse_id: row.assigned_w for row in shell.plan.allocations}
        assert sum(offered.values()) + sum(drawn.values()) * 1_000_000 // (950 * 3 * 230) <= grid.fuse_ma + 10
        for i, share in (offered | drawn).items():
            waits_s[i] = 0 if share else waits_s[i] + step_s
            longest_s[i], on_s[i] = max(longest_s[i], waits_s[i]), on_s[i] + step_s * (share > 0)
    assert max(longest_s.values()) <= n * (dwell_s + 20), (longest_s, on_s)
    assert min(on_s.values()) >= 60 * 60 // (2 * n), on_s


def test_a_limit_of_the_grid_connection_that_falls_cuts_dc_vehicles_in_the_same_tick() -> None:
    """Without a plan in between, and without AC vehicles beside them; the next plan shares what is left."""
    spec = replace(station(2), grid=GridSpec(fuse_ma=200_000, own_ma=(200_000,) * 3))
    shell = PlannerShell(spec, PlannerSettingsW(), NS_PER_S)
    power = [request(i, 60_000) for i in (1, 2)]
    silent = Inputs(wall=0, evses=tuple(EvseInputs(evse_id=i, board=NEVER, meter=NEVER) for i in (1, 2)), groups=tuple(healthy(2)), site_meter=NEVER)

    def total(second: int, *, plan: bool = True) -> int:
        now = shell.plan_now(0, wall_valid=False)
        if plan:
            shell.consider(power, silent, second * NS_PER_S)
            now = shell.plan
        assert now is not None
        return sum(row.assigned_w for row in now.allocations)

    shell.consider(power, silent, NS_PER_S)
    assert total(3) == 120_000
    shell.change(replace(shell.settings, operator_ma=(100_000, 50_000, 200_000)), 4 * NS_PER_S, "operator")
    assert total(4, plan=False) <= 3 * 50 * 230 * 95 // 100
    assert 30_000 < total(5) <= 3 * 50 * 230 * 95 // 100
    shell.change(replace(shell.settings, operator_ma=None), 20 * NS_PER_S, "operator")
    assert total(20, plan=False) <= 33_000, "nothing rises without a plan"
    assert total(21) == 120_000
