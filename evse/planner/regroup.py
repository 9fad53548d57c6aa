"""When module groups move: a fresh plan against the grouping that stands.

Regrouping costs relay operations and a ramp, so the prior grouping stays unless some connector gains more than
`GAIN_MIN_W` at its place in the sorted order and the last regrouping is `REGROUP_DWELL_NS` ago. No dwell applies when a
connector cannot be served with the prior grouping (a home is needed back) or when a limit fell.
"""

from __future__ import annotations

import msgspec

from evse.planner.dc import evaluate, solve
from evse.planner.problem import DcProblem, DcSolution
from evse.planner.verify import structure
from evse.units import NS_PER_S, DurationNs, Instant

GAIN_MIN_W = 1_000
"""A connector must gain more than this before groups move."""

REGROUP_DWELL_NS: DurationNs = 30 * NS_PER_S
"""Time between two voluntary regroupings."""


def kept(problem: DcProblem, fresh: DcSolution) -> DcSolution | None:
    """The prior grouping for the connectors of ``fresh``, or None when it breaks a rule or starves one of them."""
    delivering = {name for name, w in fresh.power_w.items() if w > 0}
    owner: dict[str, str | None] = {}
    for cabinet in problem.cabinets:
        mine = {g.id: o if (o := cabinet.prior.get(g.id)) in delivering else None for g in cabinet.groups}
        here = {c.id for c in problem.connectors if c.cabinet == cabinet.id}
        if structure(problem, cabinet, mine, delivering & here):
            return None
        owner |= mine
    power = evaluate(problem, owner)
    if any(power[name] < max(1, problem.min_w) for name in delivering):
        return None
    return msgspec.structs.replace(fresh, power_w=power, owner=owner)


def choose(problem: DcProblem, regrouped_at: Instant, *, fell: bool, now: Instant) -> tuple[DcSolution, bool, str]:
    """Return the solution to use, whether groups move between live connectors, and the reason in words.

    ``regrouped_at`` = the last regrouping; ``fell`` = a limit of the site is lower than when the prior plan was made.
    """
    fresh = solve(problem)
    standing = kept(problem, fresh)
    if standing is None:
        return fresh, True, "regrouped: the prior grouping cannot serve everybody"
    if standing.owner == fresh.owner:
        return fresh, False, ""
    before = sorted(standing.power_w.values())
    gain = max((b - a for a, b in zip(before, sorted(fresh.power_w.values()), strict=True)), default=0)
    if gain <= GAIN_MIN_W:
        return standing, False, ""
    waited = now - regrouped_at
    if not fell and waited < REGROUP_DWELL_NS:
        return standing, False, f"regrouping waits {-(-(REGROUP_DWELL_NS - waited) // NS_PER_S)} s"
    return fresh, True, f"regrouped: gains {gain / 1000:.1f} kW"
