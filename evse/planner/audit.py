"""Judge an allocation that somebody made, against the problem it answers: limits, certificate, and whether a fairer one
exists.

Limits are judged by `evse.planner.verify` and `evse.planner.ac_verify`, which share no code with the planner. "Fairer"
compares with the planner's own answer, step by step of the setpoint grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from evse.domain.base import ConfigError, Frozen
from evse.planner import ac_verify, verify
from evse.planner.ac import solve as solve_ac
from evse.planner.ac_document import ac_problem_from
from evse.planner.ac_problem import PPM, AcProblem
from evse.planner.dc import solve as solve_dc
from evse.planner.document import EPSILON, decode, problem_from
from evse.planner.problem import DcProblem, DcSolution
from evse.planner.reader import short

MISTAKES_MAX = 20


class Audit(Frozen, frozen=True, kw_only=True):
    """What is wrong with an allocation; all empty = nothing.

    ``broken`` = limits and rules in words. ``could_rise`` = connectors that could have more without anybody poorer
    having less. ``passed_over`` = paused, but the pause policy serves them before somebody who is on. ``fairer`` = what a
    fairer plan would give, where it differs: (connector, as given, as planned).
    ``unit`` of the two numbers: "A" or "kW".
    """

    kind: str
    unit: str
    broken: tuple[str, ...]
    could_rise: tuple[str, ...]
    passed_over: tuple[str, ...]
    fairer: tuple[tuple[str, float, float], ...]

    @property
    def holds(self) -> bool:
        """True when every limit is kept."""
        return not self.broken

    @property
    def best(self) -> bool:
        """True when no fairer allocation is known."""
        return self.holds and not self.could_rise and not self.passed_over and not self.fairer


def audit_documents(problem: str | bytes, allocation: str | bytes) -> Audit:
    """Judge ``allocation`` against ``problem``, both documents of docs/planner.md.

    Raises `ConfigError` naming every wrong key and value of either.
    """
    raw = decode(problem)
    given = decode(allocation)
    kind = raw.get("kind", "dc") if isinstance(raw, dict) else "dc"
    if kind == "ac":
        ac = ac_problem_from(raw)
        return audit_ac(ac, _numbers(given, "current_a", [c.id for c in ac.connectors]))
    if kind != "dc":
        raise ConfigError([f'kind = {short(kind)}: must be "ac" or "dc"'])
    dc = problem_from(raw)
    power = _numbers(given, "power_kw", [c.id for c in dc.connectors])
    return audit_dc(dc, power, _owners(given, dc))


def _numbers(raw: object, key: str, ids: Sequence[str]) -> dict[str, int]:
    """``raw[key]`` as whole thousandths, like the limits of a problem rounded down; who is missing gets nothing."""
    known = frozenset(ids)
    values = raw.get(key) if isinstance(raw, dict) else None
    if not isinstance(values, dict):
        raise ConfigError([f"allocation: {key} = {short(values)}: must be an object from connector to number"])
    problems = []
    for name, value in values.items():
        if name not in known:
            problems.append(f"allocation: {key}.{name}: no such connector in the problem")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e6:
            problems.append(f"allocation: {key}.{name} = {short(value)}: must be a number of at least 0")
    if problems:
        raise ConfigError(problems[:MISTAKES_MAX])
    return {name: math.floor(values.get(name, 0) * 1000 + EPSILON) for name in ids}


def _owners(raw: Any, problem: DcProblem) -> dict[str, str | None]:
    groups = {g.id for cabinet in problem.cabinets for g in cabinet.groups}
    owners = raw.get("owner", {})
    if not isinstance(owners, dict):
        raise ConfigError([f"allocation: owner = {short(owners)}: must be an object from group to connector or null"])
    problems = [f"allocation: owner.{name}: no such group in the problem" for name in owners if name not in groups]
    problems += [
        f"allocation: owner.{name} = {short(value)}: must be the id of a connector or null"
        for name, value in owners.items()
        if value is not None and not isinstance(value, str)
    ]
    if problems:
        raise ConfigError(problems[:MISTAKES_MAX])
    return {name: owners.get(name) for name in sorted(groups)}


def _differs(given: Sequence[tuple[float, ...]], best: Sequence[tuple[float, ...]], ease: float) -> bool:
    """True when ``best`` is fairer: the first place at which they differ by more than ``ease`` is higher in it."""
    for mine, theirs in zip(given, best, strict=True):
        if len(mine) != len(theirs):
            return len(mine) < len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            if abs(a - b) > ease:
                return b > a
    return False


def _passed_over(given: Mapping[str, int], best: Mapping[str, int]) -> tuple[str, ...]:
    """Who waits in ``given`` for somebody that the pause policy serves later; the set that it serves is only one."""
    if all(best[name] for name, value in given.items() if value):
        return ()  # nobody is on who should not be; that too few are is the matter of "fairer"
    return tuple(name for name, value in best.items() if value and not given[name])


def audit_ac(problem: AcProblem, current_ma: Mapping[str, int]) -> Audit:
    """Judge currents in mA."""
    broken = ac_verify.check(problem, current_ma)
    balanced = all(node.imbalance_ma is None for node in problem.nodes)
    rise = ac_verify.could_rise(problem, current_ma, problem.step_ma) if balanced and not broken else []
    answer = solve_ac(problem)
    best = answer.current_ma
    ranks = sorted({c.priority for c in problem.connectors}, reverse=True)

    def levels(values: Mapping[str, int]) -> list[tuple[float, ...]]:
        return [
            tuple(sorted(values[c.id] * PPM / c.weight_ppm for c in problem.connectors if c.priority == rank and values[c.id]))
            for rank in ranks
        ]

    ease = 2 * problem.step_ma * PPM / min((c.weight_ppm for c in problem.connectors), default=PPM)
    fairer = not broken and _differs(levels(current_ma), levels(best), ease)
    rows = [(name, current_ma[name] / 1000, ma / 1000) for name, ma in best.items() if fairer and ma != current_ma[name]]
    late = _passed_over(current_ma, best) if answer.exact and not broken else ()
    return Audit(kind="ac", unit="A", broken=tuple(broken), could_rise=tuple(rise), passed_over=late, fairer=tuple(rows))


def audit_dc(problem: DcProblem, power_w: Mapping[str, int], owner: Mapping[str, str | None]) -> Audit:
    """Judge powers in W and the owners of module groups."""
    broken = verify.check(problem, DcSolution(power_w=dict(power_w), owner=dict(owner)))
    answer = solve_dc(problem)
    best = answer.power_w

    def levels(values: Mapping[str, int]) -> list[tuple[float, ...]]:
        return [tuple(sorted(w for w in values.values() if w))]

    fairer = not broken and _differs(levels(power_w), levels(best), max(2, len(best)))
    rise = [name for name, w in best.items() if fairer and w > power_w[name] and all(best[n] >= power_w[n] for n in best)]
    rows = [(name, power_w[name] / 1000, w / 1000) for name, w in best.items() if fairer and abs(w - power_w[name]) > 1]
    late = _passed_over(power_w, best) if answer.exact and not broken else ()
    return Audit(kind="dc", unit="kW", broken=tuple(broken), could_rise=tuple(rise), passed_over=late, fairer=tuple(rows))


def audit_document(audit: Audit) -> dict[str, Any]:
    """The judgement as it is printed."""
    built: dict[str, Any] = msgspec.to_builtins(audit)
    return {"limits_held": audit.holds, "best_known": audit.best, **built}
