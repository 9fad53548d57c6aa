"""What a vehicle really draws becomes what it asks for: redistribution by threshold.

Pure functions over one connector at a time; the planner is asked again with the demands that come out. All currents
in mA, all times in monotonic ns.
"""

from __future__ import annotations

from evse.domain.base import Frozen
from evse.units import NS_PER_S, DurationNs, Instant

CONFIRM_NS: DurationNs = 30 * NS_PER_S
"""A vehicle draws too little for this long before its share is lowered: a ramp after a raise takes seconds."""

RAISE_EVERY_NS: DurationNs = 60 * NS_PER_S
"""A lowered vehicle that uses its whole share is offered one step more this often."""


class DrawRule(Frozen, frozen=True, kw_only=True):
    """``threshold_ma`` = deviation of the draw from the setpoint that is tolerated; ``margin_ma`` = what a lowered
    vehicle keeps above its draw, and the step by which it is offered more."""

    threshold_ma: int = 2_000
    margin_ma: int = 1_000
    confirm_ns: DurationNs = CONFIRM_NS
    raise_every_ns: DurationNs = RAISE_EVERY_NS


class Draw(Frozen, frozen=True, kw_only=True):
    """What is known about one connector. ``ceiling_ma`` None = it asks for as much as it can get.

    ``since`` = since when it draws too little (or, while lowered, since the last change); None = it does not.
    """

    ceiling_ma: int | None = None
    since: Instant | None = None


def observe(state: Draw, rule: DrawRule, setpoint_ma: int, measured_ma: int | None, now: Instant) -> Draw:
    """Return the next state after one measurement of the largest phase current (None = no valid reading).

    A draw more than the threshold below the setpoint for ``confirm_ns`` lowers the ceiling to draw plus margin; a
    vehicle that uses its lowered share (within the margin) is offered one margin more every ``raise_every_ns``, and is
    free again when its ceiling stands beyond its setpoint by the threshold: something else binds then. Without a
    reading or while paused nothing is concluded: what it was asked to draw stays reserved.
    """
    if measured_ma is None or setpoint_ma <= 0:
        return Draw(ceiling_ma=state.ceiling_ma)
    if setpoint_ma - measured_ma > rule.threshold_ma:
        if state.since is None:
            return Draw(ceiling_ma=state.ceiling_ma, since=now)
        if now - state.since < rule.confirm_ns:
            return state
        lowered = measured_ma + rule.margin_ma
        if state.ceiling_ma is not None and lowered >= state.ceiling_ma:
            return state
        return Draw(ceiling_ma=lowered, since=now)
    if state.ceiling_ma is None:
        return Draw()
    if setpoint_ma - measured_ma > rule.margin_ma:
        return Draw(ceiling_ma=state.ceiling_ma)
    if state.since is None:
        return Draw(ceiling_ma=state.ceiling_ma, since=now)
    if now - state.since < rule.raise_every_ns:
        return state
    raised = state.ceiling_ma + rule.margin_ma
    if raised - setpoint_ma >= rule.threshold_ma and raised - setpoint_ma > rule.margin_ma:
        return Draw()
    return Draw(ceiling_ma=raised, since=now)


def demand_ma(state: Draw, wanted_ma: int, min_ma: int) -> int:
    """The demand to plan with: what the connector wants, at most its ceiling, never below its minimum; 0 stays 0."""
    if wanted_ma <= 0:
        return 0
    if state.ceiling_ma is None:
        return wanted_ma
    return max(min_ma, min(wanted_ma, state.ceiling_ma))
