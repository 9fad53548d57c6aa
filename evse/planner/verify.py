"""An independent judge of allocations: every limit, every structural rule, and the best answer by exhaustion for
small cases.

It shares only the problem types with the planner, works with exact fractions of what planner.md writes down, and is
slow on
purpose. `check` returns what is broken in words; `oracle` tries every ownership and is the certificate of the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product

import msgspec

from evse.domain.station import Topology
from evse.planner.problem import PPM, DcCabinet, DcConnector, DcGroup, DcProblem, DcSolution, relay_operations, strain

ORACLE_WAYS_MAX = 300_000
"""Ownerships per cabinet that `oracle` is willing to try."""

Owners = Mapping[str, str | None]


def _supply(group: DcGroup, connector: DcConnector) -> Fraction:
    per_module = min(Fraction(group.module_w), Fraction(connector.voltage_mv * group.module_ma, 1_000_000))
    return group.modules * Fraction(group.derate_ppm, PPM) * per_module


def _most(problem: DcProblem, connector: DcConnector) -> Fraction:
    caps = [Fraction(connector.request_w), Fraction(connector.voltage_mv * connector.current_ma, 1_000_000)]
    if connector.limit_w is not None:
        caps.append(Fraction(connector.limit_w))
    if problem.group_power_w:
        caps.append(Fraction(problem.group_power_w))
    return min(caps)


def _is_run(topology: Topology, held: set[int], size: int) -> bool:
    """True when the positions are neighbours without a gap (on a ring: around the corner too)."""
    if topology is Topology.RING:
        starts = sum((g - 1) % size not in held for g in held)
        return starts <= 1
    return max(held) - min(held) + 1 == len(held)


def structure(problem: DcProblem, cabinet: DcCabinet, owner: Owners, delivering: set[str]) -> list[str]:
    """Return the broken rules about who owns which group of ``cabinet``."""
    broken: list[str] = []
    held: dict[str, set[int]] = {}
    for position, group in enumerate(cabinet.groups):
        name = owner.get(group.id)
        if name is None:
            continue
        held.setdefault(name, set()).add(position)
        if not problem.allow_cross and group.home != name:
            broken.append(f"{group.id} belongs to {group.home}, {name} must not borrow it")
    here = {c.id: c for c in problem.connectors if c.cabinet == cabinet.id}
    for name, positions in held.items():
        if name not in here:
            broken.append(f"{name} is not a connector of {cabinet.id}")
        if name not in delivering:
            broken.append(f"{name} delivers nothing but owns {len(positions)} groups")
        barred = here[name].barred if name in here else frozenset()
        broken += [f"{g.id} cannot feed {name} now" for i, g in enumerate(cabinet.groups) if i in positions and g.id in barred]
        if problem.max_groups and len(positions) > problem.max_groups:
            broken.append(f"{name} owns {len(positions)} groups, at most {problem.max_groups}")
        if cabinet.topology is not Topology.MATRIX:
            if not _is_run(cabinet.topology, positions, len(cabinet.groups)):
                broken.append(f"the groups of {name} are not one run of the bus")
            home = next((i for i, g in enumerate(cabinet.groups) if g.home == name), None)
            if home is None or home not in positions:
                broken.append(f"{name} delivers without its home group")
    return broken


def check(problem: DcProblem, solution: DcSolution) -> list[str]:
    """Return every broken limit of ``solution`` in words; an empty list means that it may be sent to the hardware."""
    broken: list[str] = []
    efficiency = Fraction(problem.efficiency_ppm, PPM)
    delivering = {name for name, w in solution.power_w.items() if w > 0}
    supply: dict[str, Fraction] = {}
    connectors = {c.id: c for c in problem.connectors}
    members: dict[str, list[DcConnector]] = {cabinet.id: [] for cabinet in problem.cabinets}
    for connector in problem.connectors:
        members[connector.cabinet].append(connector)
    for cabinet in problem.cabinets:
        alone = msgspec.structs.replace(problem, connectors=tuple(members[cabinet.id]))
        broken += structure(alone, cabinet, solution.owner, delivering)
        for group in cabinet.groups:
            name = solution.owner.get(group.id)
            if name in connectors:
                supply[name] = supply.get(name, Fraction(0)) + _supply(group, connectors[name])
        total = sum(solution.power_w.get(c.id, 0) for c in members[cabinet.id])
        if cabinet.limit_w is not None and total > cabinet.limit_w * efficiency:
            broken.append(
                f"cabinet {cabinet.id}: {total} W assigned, {float(cabinet.limit_w * efficiency):.1f} W allowed"
            )
    for connector in problem.connectors:
        w = solution.power_w.get(connector.id, 0)
        if w < 0 or 0 < w < problem.min_w:
            broken.append(f"{connector.id}: {w} W is below the minimum of {problem.min_w} W")
        if w > _most(problem, connector):
            broken.append(f"{connector.id}: {w} W, may have {float(_most(problem, connector)):.1f} W")
        if w > supply.get(connector.id, Fraction(0)):
            broken.append(
                f"{connector.id}: {w} W, its groups give {float(supply.get(connector.id, Fraction(0))):.1f} W"
            )
    total = sum(solution.power_w.values())
    for what, limit in (("site", problem.site_limit_w), ("csms", problem.csms_limit_w)):
        if limit is not None and total > limit * efficiency:
            broken.append(f"{what}: {total} W assigned, {float(limit * efficiency):.1f} W allowed")
    return broken


def _ownerships(problem: DcProblem, cabinet: DcCabinet, served: set[str]) -> Iterator[dict[str, str | None]]:
    """Every ownership of ``cabinet`` in which exactly ``served`` own something and no rule is broken."""
    choices: list[list[str | None]] = [[None, *sorted(served)] for _ in cabinet.groups]
    ways = 1
    for choice in choices:
        ways *= len(choice)
    if ways > ORACLE_WAYS_MAX:
        raise ValueError(f"{cabinet.id}: {ways} ownerships are more than the oracle tries ({ORACLE_WAYS_MAX})")
    for names in product(*choices):
        owner = {group.id: name for group, name in zip(cabinet.groups, names, strict=True)}
        if set(names) - {None} == served and not structure(problem, cabinet, owner, served):
            yield owner


def _truncated(values: dict[str, int], cap: Fraction | None) -> dict[str, int]:
    """Lower the highest values to the largest common whole level that fits under ``cap``."""
    if cap is None or sum(values.values()) <= cap:
        return values
    low, high = 0, max(values.values())
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(v, middle) for v in values.values()) <= cap:
            low = middle
        else:
            high = middle - 1
    return {name: min(v, low) for name, v in values.items()}


Outcome = tuple[tuple[int, ...], int, int, int]
"""(sorted power, -relay operations, -groups, -strain of the modules): larger is better."""


def _strain(problem: DcProblem, owners: Owners, power_w: Mapping[str, int]) -> int:
    supply = {
        c.id: sum(_supply(g, c).__floor__() for cabinet in problem.cabinets for g in cabinet.groups if owners.get(g.id) == c.id)
        for c in problem.connectors
    }
    return sum(strain(power_w.get(name, 0), w) for name, w in supply.items() if w)


def _outcome(problem: DcProblem, owners: dict[str, str | None]) -> tuple[bool, Outcome]:
    """Judge one complete ownership: does every owner get the minimum, and how good is it."""
    efficiency = Fraction(problem.efficiency_ppm, PPM)
    values: dict[str, int] = {}
    for cabinet in problem.cabinets:
        here: dict[str, int] = {}
        for connector in problem.connectors:
            groups = [g for g in cabinet.groups if owners[g.id] == connector.id]
            if groups:
                total = sum(_supply(g, connector).__floor__() for g in groups)
                here[connector.id] = min(total, _most(problem, connector).__floor__())
        values |= _truncated(here, None if cabinet.limit_w is None else cabinet.limit_w * efficiency)
    caps = [limit for limit in (problem.site_limit_w, problem.csms_limit_w) if limit is not None]
    values = _truncated(values, min(caps) * efficiency if caps else None)
    fits = all(w >= max(1, problem.min_w) for w in values.values())
    relays = sum(relay_operations(cabinet, owners) for cabinet in problem.cabinets)
    used = sum(owner is not None for owner in owners.values())
    return fits, (tuple(sorted(values.values())), -relays, -used, -_strain(problem, owners, values))


def _best_for(problem: DcProblem, served: set[str]) -> Outcome | None:
    best: Outcome | None = None
    per_cabinet = [
        list(
            _ownerships(
                problem, cabinet, {c.id for c in problem.connectors if c.cabinet == cabinet.id and c.id in served}
            )
        )
        for cabinet in problem.cabinets
    ]
    for parts in product(*per_cabinet):
        owners = {group: name for part in parts for group, name in part.items()}
        fits, outcome = _outcome(problem, owners)
        if fits and (best is None or outcome > best):
            best = outcome
    return best


def oracle(problem: DcProblem) -> tuple[set[str], Outcome]:
    """Served connectors and the best outcome, by trying everything. Raises ValueError when the case is too large."""
    order = sorted(
        (c for c in problem.connectors if _most(problem, c) >= max(1, problem.min_w)),
        key=lambda c: (c.charging_s, [x.id for x in problem.connectors].index(c.id)),
    )
    served: set[str] = set()
    best: Outcome = ((), -sum(relay_operations(c, {}) for c in problem.cabinets), 0, 0)
    for connector in order:
        found = _best_for(problem, served | {connector.id})
        if found is not None:
            served.add(connector.id)
            best = found
    return served, best


def outcome_of(problem: DcProblem, solution: DcSolution) -> Outcome:
    """The same measure for a solution, from its own power values."""
    relays = sum(relay_operations(cabinet, solution.owner) for cabinet in problem.cabinets)
    used = sum(owner is not None for owner in solution.owner.values())
    powers = tuple(sorted(w for w in solution.power_w.values() if w > 0))
    return powers, -relays, -used, -_strain(problem, solution.owner, solution.power_w)
