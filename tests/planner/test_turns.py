"""Turns of DC connectors: nobody starves, nobody flaps, nobody is paused for a module group that is broken."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from msgspec.structs import replace

from evse.core.inputs import EvseInputs, Inputs
from evse.domain.limits import LimitSource
from evse.domain.readings import NEVER, MeterValues, Sample
from evse.domain.station import Topology
from evse.planner.dc import solve
from evse.planner.live import PlannerSettingsW, build_problem, make_plan
from evse.planner.problem import DcCabinet, DcConnector, DcGroup, DcProblem
from evse.planner.turns import RETURN_NS, Turn, Turns, arranged, freed, observe
from evse.planner.verify import check
from evse.runtime.planning import PlannerShell
from evse.units import NS_PER_S, Instant, s
from tests._support.examples import examples
from tests.planner.test_live import assigned, healthy, owners, request, station

LOOK_S = 6
MIN_W = 3_000


def cabinet(kind: str, n: int, rng: Random) -> DcCabinet:
    """A bus with a group per connector, or a matrix with fewer groups than minimums; ``mixed`` = at 400 V a group gives less than a
    minimum, at 800 V it may give one."""
    if kind in ("chain", "ring"):
        groups = [DcGroup(id=f"g{i}", home=str(i), modules=1, module_w=20_000, module_ma=100_000) for i in range(1, n + 1)]
        return DcCabinet(id="k", topology=Topology(kind), groups=tuple(groups))
    sizes = [4_000] * rng.randint(1, n) if kind == "matrix" else [rng.choice((2_000, 4_000, 4_000)) for _ in range(rng.randint(2, n))]
    most_ma = 100_000 if kind == "matrix" else 5_000
    groups = [DcGroup(id=f"g{i}", home=None, modules=1, module_w=w, module_ma=most_ma) for i, w in enumerate(sizes)]
    return DcCabinet(id="k", topology=Topology.MATRIX, groups=tuple(groups))


def day(problem: DcProblem, asks: dict[str, tuple[int, int]], dwell_s: int, until_s: int) -> Iterator[tuple[int, set[str], set[str]]]:
    """Plan every `LOOK_S` for connectors that ask from..until; yield the time, who asks, who is on."""
    turns, given, waiting, owner = Turns(), {}, (), {}
    for now_s in range(1, until_s, LOOK_S):
        now = s(now_s)
        here = [name for name, (start, end) in asks.items() if start <= now_s < end]
        turns = observe(turns, here, [n for n in here if given.get(n)], [n for n in here if n in waiting], now)
        rows = tuple(
            DcConnector(id=name, cabinet="k", request_w=20_000, voltage_mv=400_000 * (1 + int(name) % 2), current_ma=100_000)
            for name in here
        )
        prior = replace(problem.cabinets[0], prior=owner)
        solution = solve(arranged(replace(problem, cabinets=(prior,), connectors=rows), turns, s(dwell_s), now))
        given, waiting, owner = solution.power_w, solution.waiting if problem.site_limit_w is None else (), solution.owner
        yield now_s, set(here), {name for name in here if given[name]}


@pytest.mark.parametrize("kind", ["chain", "ring", "matrix", "mixed"])
def test_nobody_starves_and_nobody_flaps(kind: str) -> None:
    """Vehicles come and go by seed. Whoever asks has the minimum within ``ceil(n / k)`` dwells (module groups of different
    power: ``n + 2``), n = the most that ask at a time, k = the fewest that are on meanwhile. Whoever is on stays for a dwell."""
    for seed in range(examples({"mixed": 2, "matrix": 6}.get(kind, 10), 3)):
        rng = Random(f"{kind} {seed}")
        n, dwell_s = rng.randint(2, 7), 60
        room = rng.randint(1, n) if kind in ("chain", "ring") else None
        problem = DcProblem(
            cabinets=(cabinet(kind, n, rng),), connectors=(), min_w=MIN_W, site_limit_w=None if room is None else room * MIN_W + 1_500
        )
        length_s = 8 * n * dwell_s
        asks = {}
        for i in range(1, n + 1):
            start = rng.choice((0, rng.randrange(length_s // 3)))
            asks[str(i)] = (start, length_s if rng.random() < 0.6 else start + rng.randrange(dwell_s, length_s))
        on_since: dict[str, int] = {}
        off_since: dict[str, int] = {}
        fewest = dict.fromkeys(asks, n)
        before: set[str] = set()
        served = 0
        for now_s, here, on in day(problem, asks, dwell_s, length_s):
            served = max(served, len(on))
            left = before - here
            for name in here:
                if name in on:
                    off_since.pop(name, None)
                    on_since.setdefault(name, now_s)
                    continue
                if name in on_since:
                    assert now_s - on_since.pop(name) >= dwell_s, f"seed {seed}: {name} was on for less than a dwell"
                if name not in off_since:
                    off_since[name], fewest[name] = now_s, n
                fewest[name] = min(fewest[name], max(1, len(on)))
                dwells = n + 2 if kind == "mixed" else -(-n // fewest[name])
                most_s = dwells * (dwell_s + 2 * LOOK_S)
                assert not served or now_s - off_since[name] <= most_s, f"seed {seed}: {name} waits for more than {most_s} s"
            for name in left:
                on_since.pop(name, None)
                off_since.pop(name, None)
            before = here


def test_who_needs_more_groups_than_one_turn_sets_free_has_its_turn() -> None:
    """Two groups of 4 kW at 800 V; connector 2 is at 400 V and needs both, which are never set free at the same time."""
    groups = tuple(DcGroup(id=f"g{i}", home=None, modules=1, module_w=4_000, module_ma=5_000) for i in range(2))
    problem = DcProblem(cabinets=(DcCabinet(id="k", topology=Topology.MATRIX, groups=groups),), connectors=(), min_w=MIN_W)
    asks = {"1": (0, 9_000), "3": (30, 9_000), "2": (40, 9_000), "5": (50, 9_000), "7": (60, 9_000)}
    gets, waits_s = [], 0
    for _, here, on in day(problem, asks, 60, 1_800):
        waits_s = 0 if "2" in on or "2" not in here else waits_s + LOOK_S
        gets.append(waits_s)
    assert 0 < max(gets) <= (len(asks) + 2) * (60 + 2 * LOOK_S), max(gets)


def test_who_has_waited_longest_goes_first() -> None:
    turns = Turns(rows=tuple(Turn(id=str(i), on=i == 4, since=s(at)) for i, at in ((1, 30), (2, 10), (3, 20), (4, 0))))
    rows = tuple(DcConnector(id=n, cabinet="k", request_w=20_000, voltage_mv=400_000, current_ma=100_000) for n in "1234")
    problem = DcProblem(cabinets=(cabinet("chain", 4, Random(1)),), connectors=rows, min_w=MIN_W, site_limit_w=MIN_W)
    order = {c.id: c.charging_s for c in arranged(problem, turns, s(60), s(95)).connectors}
    assert sorted(order, key=order.__getitem__) == ["2", "3", "1", "4"]
    order = {c.id: c.charging_s for c in arranged(problem, turns, s(60), s(59)).connectors}
    assert min(order, key=order.__getitem__) == "4", "its dwell is not over"


def test_equal_vehicles_charge_for_equal_times() -> None:
    problem = DcProblem(cabinets=(cabinet("chain", 5, Random(1)),), connectors=(), min_w=MIN_W, site_limit_w=2 * MIN_W)
    on_s = dict.fromkeys("12345", 0)
    for _, _, on in day(problem, dict.fromkeys(on_s, (0, 10**6)), 60, 60 * 60):
        for name in on:
            on_s[name] += LOOK_S
    assert max(on_s.values()) - min(on_s.values()) <= 2 * 60, on_s


def test_a_limit_that_falls_does_not_wait_and_one_that_rises_brings_back_after_a_minute() -> None:
    problem = DcProblem(cabinets=(cabinet("chain", 3, Random(1)),), connectors=(), min_w=MIN_W, site_limit_w=3 * MIN_W)
    rows = tuple(DcConnector(id=n, cabinet="k", request_w=20_000, voltage_mv=400_000, current_ma=100_000) for n in "123")
    turns, on = Turns(), ["1", "2", "3"]

    def plan(second: int, kw: int) -> list[str]:
        nonlocal turns, on
        turns = observe(turns, ["1", "2", "3"], on, (), s(second))
        power = solve(arranged(replace(problem, connectors=rows, site_limit_w=kw * 1_000), turns, s(300), s(second))).power_w
        on = [name for name, w in power.items() if w]
        return on

    assert plan(1, 9) == ["1", "2", "3"]
    assert plan(3, 6) == ["1", "2"]
    assert plan(5, 9) == ["1", "2"], "not on and off with a limit that trembles"
    assert plan(5 + RETURN_NS // NS_PER_S - 1, 9) == ["1", "2"]
    assert plan(5 + RETURN_NS // NS_PER_S, 9) == ["1", "2", "3"]


def test_who_has_left_brings_somebody_back_at_once() -> None:
    turns = observe(Turns(), ["1", "2"], [], (), s(1))
    turns = observe(turns, ["1", "2"], ["1", "2"], (), s(2))
    turns = observe(turns, ["1", "2"], ["1"], (), s(3))
    assert not turns.of()["2"].free
    assert observe(turns, ["2"], ["1"], (), s(4)).of()["2"].free
    assert observe(turns, ["1", "2"], ["1"], (), s(5)) is turns, "nothing has changed"


# -- module groups that are silent or weak ----------------------------------------------------------------------------


def planned(turns: Turns, groups: list, since: tuple[int, int] = (0, 90), watts: tuple[int, int] = (60_000, 60_000), **limits: int):  # type: ignore[no-untyped-def, type-arg]
    requests = [request(i, w, since=s(at)) for i, (w, at) in enumerate(zip(watts, since, strict=True), 1)]
    values = PlannerSettingsW(**limits)  # type: ignore[arg-type]
    alone = make_plan(station(), values, [requests[0], request(2, 0)], healthy(), None, s(80), 1, None, turns)
    return make_plan(station(), values, requests, groups, alone, s(100), 2, None, turns)


def running(*on: str, since: Instant = 0) -> Turns:
    return observe(observe(Turns(), on, on, (), since), ["1", "2"], on, (), s(99))


def test_a_newcomer_whose_module_group_is_silent_does_not_pause_its_neighbour() -> None:
    plan = planned(running("1"), [healthy()[0], NEVER])
    assert assigned(plan) == {1: 60_000, 2: 0}
    assert plan.allocations[1].binding is LimitSource.MODULES
    assert owners(plan)[1] == 1


def test_a_vehicle_whose_module_group_falls_silent_does_not_pause_its_neighbour() -> None:
    both = running("1", "2")
    assert assigned(planned(both, [healthy()[0], NEVER])) == {1: 60_000, 2: 0}
    assert assigned(planned(both, [NEVER, healthy()[0]])) == {1: 0, 2: 60_000}
    weak = healthy(1, 2_000)[0]  # less than the minimum of 3 kW
    assert assigned(planned(both, [healthy()[0], weak])) == {1: 60_000, 2: 0}


def test_a_group_that_nobody_needs_serves_the_one_whose_own_is_silent() -> None:
    assert assigned(planned(running("1"), [healthy()[0], NEVER], watts=(0, 60_000))) == {1: 0, 2: 60_000}


def test_a_scarce_site_gives_the_one_whose_own_group_is_silent_its_turn_as_well() -> None:
    """There is power for one minimum: a turn of the neighbour is over anyway, and its group is idle then."""
    turns = observe(running("1"), ["1", "2"], ["1"], (), s(100))
    values = PlannerSettingsW(site_limit_w=4_000)
    requests, groups = [request(1, 60_000), request(2, 60_000)], [healthy()[0], NEVER]
    first = make_plan(station(), values, requests, groups, None, s(200), 1, None, turns)
    assert assigned(first) == {1: 3_800, 2: 0}, "the dwell"
    assert assigned(make_plan(station(), values, requests, groups, first, s(400), 2, None, turns)) == {1: 0, 2: 3_800}


def test_whoever_can_live_on_the_own_group_is_served_whatever_the_others_lack() -> None:
    """Random buses with silent, weak and shared groups, everybody asks; the site has room for all or for some."""
    lacking = 0
    for seed in range(80):
        rng = Random(seed)
        n = rng.randint(2, 6)
        homes = [str(i) for i in range(1, n + 1)] + [None] * rng.randint(0, 2)
        rng.shuffle(homes)
        groups = tuple(
            DcGroup(id=f"g{k}", home=home, modules=rng.choice((0, 1, 1, 2)), module_w=rng.choice((2_000, 20_000)), module_ma=100_000)
            for k, home in enumerate(homes)
        )
        rows = tuple(DcConnector(id=str(i), cabinet="k", request_w=20_000, voltage_mv=400_000, current_ma=100_000) for i in range(1, n + 1))
        room = rng.choice((n, n, rng.randint(1, n)))
        problem = DcProblem(
            cabinets=(DcCabinet(id="k", topology=rng.choice((Topology.CHAIN, Topology.RING)), groups=groups),), connectors=rows, min_w=MIN_W,
            site_limit_w=room * MIN_W,
        )
        turns = Turns(rows=tuple(Turn(id=c.id, on=rng.random() < 0.5, since=s(rng.randrange(500))) for c in rows))
        solution = solve(arranged(problem, turns, s(60), s(1_000)))
        assert check(problem, solution) == []
        strong = {g.home for g in groups if g.home and g.modules * g.module_w >= MIN_W}
        on = {name for name, w in solution.power_w.items() if w}
        assert len(strong & on) == len(strong) or len(on) == room, f"seed {seed}: {strong - on} of {room} wait for nothing"
        lacking += len(on) < min(n, room)
    assert lacking > 10


# -- in the shell of the station --------------------------------------------------------------------------------------


def test_a_running_site_takes_turns_and_every_other_plan_stands_still() -> None:
    """Three vehicles, power for two, meters that follow 3 s late: everybody waits for a dwell at most, and between two turns
    nothing changes."""
    settings = PlannerSettingsW(site_limit_w=7_500, dwell_s=120)
    shell = PlannerShell(station(3, site_limit_w=7_500), settings, NS_PER_S)
    requests, groups = [request(i, 60_000) for i in (1, 2, 3)], tuple(healthy(3))
    drawn = {i: [0, 0, 0, 0] for i in (1, 2, 3)}
    waits_s, longest_s, on_s, versions = dict.fromkeys(drawn, 0), 0, dict.fromkeys(drawn, 0), set()
    for second in range(1, 3_600):
        now = s(second)
        evses = tuple(
            EvseInputs(evse_id=i, board=NEVER, meter=Sample(MeterValues(power_w=past[0]), now)) for i, past in drawn.items()
        )
        shell.consider(requests, Inputs(wall=now, evses=evses, groups=groups, site_meter=NEVER), now)
        assert shell.plan is not None
        versions.add(shell.plan.version)
        given = assigned(shell.plan)
        for i, past in drawn.items():
            del past[0]
            past.append(given[i])
            on_s[i] += given[i] > 0
            waits_s[i] = 0 if given[i] else waits_s[i] + 1
        longest_s = max(longest_s, *waits_s.values())
        assert sum(past[0] for past in drawn.values()) <= 7_500 * 950 // 1000
    assert longest_s <= 120 + 15, longest_s
    assert max(on_s.values()) - min(on_s.values()) <= 150, on_s
    assert 3_600 // 120 <= len(versions) <= 4 * 3_600 // 120, len(versions)
    waiting = next(row for row in shell.plan.allocations if not row.assigned_w)
    assert "waits for its turn, each lasts 120 s" in waiting.detail


def test_one_that_was_paused_a_moment_ago_is_told_why_it_gets_nothing() -> None:
    spec, requests = station(2), [request(i, 60_000) for i in (1, 2)]
    turns = observe(Turns(), ["1", "2"], ["1", "2"], (), s(1))
    turns = observe(turns, ["1", "2"], ["1"], (), s(400))
    for site_w, says in (
        (4_000, "the site limit of 4.0 kW has no room for another 3.0 kW; it waits for its turn, each lasts 300 s"),
        (40_000, "there is room again; it comes back 60 s after its pause"),
    ):
        plan = make_plan(spec, PlannerSettingsW(site_limit_w=site_w), requests, healthy(), None, s(401), 1, None, turns)
        assert not plan.allocations[1].assigned_w and plan.allocations[1].detail == says
        assert plan.allocations[1].binding is LimitSource.SITE
    again = build_problem(spec, PlannerSettingsW(site_limit_w=40_000), requests, healthy(), None, s(401), freed(turns))
    assert solve(again).power_w["2"] > 0


def test_the_order_of_requests_does_not_matter() -> None:
    turns = observe(Turns(), ["1", "2", "3"], ["1", "2"], (), s(1))
    spec, values = station(3), PlannerSettingsW(site_limit_w=7_500)
    requests = [request(i, 60_000) for i in (1, 2, 3)]
    forth = build_problem(spec, values, requests, healthy(3), None, s(500), turns)
    back = build_problem(spec, values, requests[::-1], healthy(3), None, s(500), replace(turns, rows=turns.rows[::-1]))
    assert solve(forth).power_w == solve(back).power_w
    assert {c.id: c.charging_s for c in forth.connectors} == {c.id: c.charging_s for c in back.connectors}
