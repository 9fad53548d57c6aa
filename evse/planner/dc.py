"""The DC planner: from a problem to the one allocation that planner.md describes.

In order: limits always; who is served (connectors in order of charging time, each if it fits together with those before
it: so the longest-charging waits when the minimums do not fit); lexicographic maximum of the sorted power; fewest relay
operations from the prior owners; fewest groups in use; modules nearest to their best load.

Cabinets are solved one by one: merging sorted vectors keeps their order, so the fairest site is made of the fairest
cabinets. A cap of a cabinet or of the site then truncates at one common level (there are no weights), and a second pass
with that level as ceiling finds the grouping with the fewest relay operations among those that are equally good below
it.
Levels are whole watts, rounded down: less than one watt per connector stays unused, and equal connectors stay equal.

Pure and exact on integers; see `bus` and `matrix` for the two searches and their bounds.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from evse.domain.station import Topology
from evse.planner.bus import solve_bus
from evse.planner.matrix import fits_matrix, solve_matrix
from evse.planner.problem import (
    DcCabinet,
    DcConnector,
    DcGroup,
    DcProblem,
    DcSolution,
    cabinet_cap_w,
    ceiling_w,
    group_power_w,
    relay_operations,
    site_cap_w,
)
from evse.planner.share import NOBODY, Answer, Task, water_level


class _Part(msgspec.Struct, kw_only=True):
    """One cabinet while a problem is solved."""

    cabinet: DcCabinet
    cap_w: int | None
    candidates: list[DcConnector]
    power_w: dict[str, list[int]]
    home: dict[str, int]
    served: list[DcConnector] = []
    answer: Answer | None = None


def _parts(problem: DcProblem, ceilings: dict[str, int], min_w: int) -> list[_Part]:
    """Every cabinet with those of its connectors that could be served at all."""
    members: dict[str, list[DcConnector]] = {cabinet.id: [] for cabinet in problem.cabinets}
    for connector in problem.connectors:
        members[connector.cabinet].append(connector)
    return [_part(problem, cabinet, members[cabinet.id], ceilings, min_w) for cabinet in problem.cabinets]


def _part(problem: DcProblem, cabinet: DcCabinet, members: list[DcConnector], ceilings: dict[str, int], min_w: int) -> _Part:
    """Collect those of ``members``, the connectors of ``cabinet``, that could be served at all."""
    home: dict[str, int] = {}
    for position, group in enumerate(cabinet.groups):
        if group.home is not None:
            home.setdefault(group.home, position)
    matrix = cabinet.topology is Topology.MATRIX
    candidates = [connector for connector in members if ceilings[connector.id] >= min_w and (matrix or connector.id in home)]
    power = {c.id: [group_power_w(group, c.voltage_mv) for group in cabinet.groups] for c in candidates}
    return _Part(
        cabinet=cabinet, cap_w=cabinet_cap_w(problem, cabinet), candidates=candidates, power_w=power, home=home
    )


def _may_feed(problem: DcProblem, group: DcGroup, connector: DcConnector) -> bool:
    return (problem.allow_cross or group.home == connector.id) and group.id not in connector.barred


def _task(problem: DcProblem, part: _Part, served: list[DcConnector], ceilings: list[int], min_w: int) -> Task:
    groups, prior = part.cabinet.groups, part.cabinet.prior
    index = {connector.id: i for i, connector in enumerate(served)}
    before = [prior.get(group.id) for group in groups]
    size = len(groups)
    tied = [before[i] is not None and before[i] == before[(i + 1) % size] for i in range(size)]
    if size == 2:
        tied[1] = tied[0]  # the same relay seen from both sides
    return Task(
        power_w=[part.power_w[connector.id] for connector in served],
        allowed=[[_may_feed(problem, group, connector) for group in groups] for connector in served],
        ceiling_w=ceilings,
        home=[part.home.get(connector.id, NOBODY) for connector in served],
        prior=[NOBODY if owner is None else index.get(owner, NOBODY) for owner in before],
        tied=tied,
        min_w=min_w,
        max_groups=problem.max_groups,
        ring=part.cabinet.topology is Topology.RING,
    )


def _solve_part(
    problem: DcProblem, part: _Part, served: list[DcConnector], ceilings: list[int], min_w: int
) -> Answer | None:
    task = _task(problem, part, served, ceilings, min_w)
    return solve_matrix(task) if part.cabinet.topology is Topology.MATRIX else solve_bus(task)


def _always_fits(part: _Part, served: list[DcConnector], min_w: int) -> bool:
    """On a bus everybody fits whose own home gives the minimum: nobody else may take it."""
    return part.cabinet.topology is not Topology.MATRIX and all(
        part.power_w[c.id][part.home[c.id]] >= min_w for c in served
    )


def _fits(problem: DcProblem, part: _Part, served: list[DcConnector], min_w: int) -> bool:
    if part.cap_w is not None and len(served) * min_w > part.cap_w:
        return False
    if _always_fits(part, served, min_w):
        return True
    task = _task(problem, part, served, [min_w] * len(served), min_w)
    return fits_matrix(task) if part.cabinet.topology is Topology.MATRIX else solve_bus(task) is not None


def _admit(problem: DcProblem, parts: list[_Part], min_w: int) -> None:
    """Choose who is served: everybody if possible, else in order of charging time, each if it fits with those
    before."""
    cap = site_cap_w(problem)
    total = sum(len(part.candidates) for part in parts)
    if (cap is None or total * min_w <= cap) and all(_fits(problem, part, part.candidates, min_w) for part in parts):
        for part in parts:
            part.served = part.candidates
        return
    position = {connector.id: i for i, connector in enumerate(problem.connectors)}
    queue = [(connector, part) for part in parts for connector in part.candidates]
    queue.sort(key=lambda entry: (entry[0].charging_s, position[entry[0].id]))
    count = 0
    for connector, part in queue:
        if cap is not None and (count + 1) * min_w > cap:
            break
        if _fits(problem, part, [*part.served, connector], min_w):
            part.served = [*part.served, connector]
            count += 1


def fits(problem: DcProblem, names: Collection[str]) -> bool:
    """Return True when all of ``names`` can have the minimum together (False as well when one of them could not alone)."""
    min_w = max(1, problem.min_w)
    cap = site_cap_w(problem)
    if cap is not None and len(names) * min_w > cap:
        return False
    ceilings = {connector.id: ceiling_w(problem, connector) for connector in problem.connectors}
    parts = _parts(problem, ceilings, min_w)
    chosen = [(part, [c for c in part.candidates if c.id in names]) for part in parts]
    return sum(len(here) for _, here in chosen) == len(names) and all(
        _fits(problem, part, here, min_w) for part, here in chosen
    )


def solve(problem: DcProblem) -> DcSolution:
    """Return the allocation for ``problem``; never raises on a valid problem. 12 connectors on a bus take about 1
    ms."""
    min_w = max(1, problem.min_w)
    ceilings = {connector.id: ceiling_w(problem, connector) for connector in problem.connectors}
    parts = _parts(problem, ceilings, min_w)
    _admit(problem, parts, min_w)
    for part in parts:
        part.answer = _solve_part(problem, part, part.served, [ceilings[c.id] for c in part.served], min_w)
    levels: dict[str, int] = {}
    for part in parts:
        if part.answer is not None and part.cap_w is not None:
            level = water_level(part.answer.value_w, part.cap_w)
            if level is not None:
                levels[part.cabinet.id] = level
    cap = site_cap_w(problem)
    site_level = None
    if cap is not None:
        values = [min(v, levels.get(p.cabinet.id, v)) for p in parts if p.answer is not None for v in p.answer.value_w]
        site_level = water_level(values, cap)
    return _assemble(problem, parts, ceilings, min_w, levels, site_level)


def _assemble(
    problem: DcProblem,
    parts: list[_Part],
    ceilings: dict[str, int],
    min_w: int,
    levels: dict[str, int],
    site_level: int | None,
) -> DcSolution:
    """Second pass below the levels, then the answer by names."""
    power = {connector.id: 0 for connector in problem.connectors}
    owner: dict[str, str | None] = {}
    waiting: list[str] = []
    relays, exact = 0, True
    for part in parts:
        level = levels.get(part.cabinet.id)
        if site_level is not None and (level is None or site_level < level):
            level = site_level
        answer = part.answer
        if answer is not None and answer.exact and level is not None and any(v > level for v in answer.value_w):
            below = [min(ceilings[c.id], level) for c in part.served]
            answer = _below(answer, _solve_part(problem, part, part.served, below, min_w), level)
        owners = [NOBODY] * len(part.cabinet.groups) if answer is None else answer.owner
        names = {
            group.id: None if o == NOBODY else part.served[o].id
            for group, o in zip(part.cabinet.groups, owners, strict=True)
        }
        if answer is not None:
            exact = exact and answer.exact
            for connector, value in zip(part.served, answer.value_w, strict=True):
                power[connector.id] = value if level is None else min(value, level)
        served = {connector.id for connector in part.served}
        waiting.extend(c.id for c in part.candidates if c.id not in served)
        owner.update(names)
        relays += relay_operations(part.cabinet, names)
    return DcSolution(
        power_w=power,
        owner=owner,
        waiting=tuple(waiting),
        site_level_w=site_level,
        cabinet_level_w=levels,
        relay_operations=relays,
        exact=exact,
    )


def _below(answer: Answer, again: Answer | None, level: int) -> Answer:
    """The second pass, unless its search ran out of steps and found less."""
    if again is None or sorted(again.value_w) < sorted(min(value, level) for value in answer.value_w):
        return answer
    return again


def evaluate(problem: DcProblem, owner: dict[str, str | None]) -> dict[str, int]:
    """Power per connector when the groups stay with ``owner``: what the groups give, truncated at the levels of the
    caps.

    The structure of ``owner`` is not judged (see `evse.planner.verify`); a connector below the minimum shows its real
    value.
    """
    value = {connector.id: 0 for connector in problem.connectors}
    connectors = {connector.id: connector for connector in problem.connectors}
    for cabinet in problem.cabinets:
        names = [owner.get(group.id) for group in cabinet.groups]
        for group, name in zip(cabinet.groups, names, strict=True):
            if name is not None and name in connectors:
                value[name] += group_power_w(group, connectors[name].voltage_mv)
        for name in {name for name in names if name is not None and name in connectors}:
            value[name] = min(value[name], ceiling_w(problem, connectors[name]))
        cap = cabinet_cap_w(problem, cabinet)
        here = [c.id for c in problem.connectors if c.cabinet == cabinet.id]
        level = None if cap is None else water_level([value[c] for c in here], cap)
        if level is not None:
            value.update({c: min(value[c], level) for c in here})
    cap = site_cap_w(problem)
    level = None if cap is None else water_level(value.values(), cap)
    return value if level is None else {c: min(v, level) for c, v in value.items()}


def headroom(problem: DcProblem, solution: DcSolution, name: str) -> tuple[int, tuple[str, ...]]:
    """What ``name`` could get if it asked for all it may and everybody else kept what they have: W and its groups.

    The caps lend what the others leave, the bus or matrix lends what is idle next to its own groups.
    """
    connector = next(c for c in problem.connectors if c.id == name)
    cabinet = next(c for c in problem.cabinets if c.id == connector.cabinet)
    here = {c.id for c in problem.connectors if c.cabinet == cabinet.id}
    room = [connector.limit_w] if connector.limit_w is not None else []
    if problem.group_power_w:
        room.append(problem.group_power_w)
    for cap, names in ((cabinet_cap_w(problem, cabinet), here), (site_cap_w(problem), set(solution.power_w))):
        if cap is not None:
            room.append(max(0, cap - sum(solution.power_w[other] for other in names if other != name)))
    powers = [group_power_w(group, connector.voltage_mv) for group in cabinet.groups]
    ceiling = min([*room, sum(powers)])
    eager = msgspec.structs.replace(connector, request_w=ceiling)
    part = _part(problem, cabinet, [connector], {name: ceiling}, max(1, problem.min_w))
    if eager.id not in {c.id for c in part.candidates}:
        return 0, ()
    task = _task(problem, part, [eager], [ceiling], max(1, problem.min_w))
    for g, group in enumerate(cabinet.groups):
        if solution.owner.get(group.id) not in (None, name):
            task.allowed[0][g] = False
    answer = solve_matrix(task) if cabinet.topology is Topology.MATRIX else solve_bus(task)
    if answer is None or (task.home[0] != NOBODY and cabinet.topology is not Topology.MATRIX and not _may_own(task)):
        return 0, ()
    return answer.value_w[0], tuple(group.id for group, o in zip(cabinet.groups, answer.owner, strict=True) if o == 0)


def _may_own(task: Task) -> bool:
    """The home of the only connector is not taken by another."""
    return task.allowed[0][task.home[0]]
