"""Composite schedules of AC EVSEs: a limit in A is the current of each of its phases, whatever a period says of their number."""

from __future__ import annotations

from collections.abc import Sequence

from evse.domain.ac import AcSpec
from evse.planner import composite
from evse.planner.composite import ChargingProfile, Scope, Step, Unit

MA_PER_DECI = 100
LINES_W = composite.PHASE_V * composite.PHASES
"""W that `composite.deci` takes for one ampere."""


def on_lines(
    step: Step, ranked: Sequence[ChargingProfile], scope: Scope, ac: AcSpec, rated_w: int, unit: Unit
) -> Step:
    """Return ``step`` with what the EVSE makes of the caps then: in the W that `composite.deci` turns into ``unit``.

    ``ranked`` comes from `composite.relevant`, ``rated_w`` is the rating of the EVSE.
    """
    caps = composite.caps_at(ranked, step.at, scope.tx_start)
    if unit is Unit.W:
        found = [rated_w]
        for power_w, profile in caps:
            ma = composite.limit_ma(profile, step.at, scope.tx_start)
            found.append(power_w if ma is None else ma * ac.phases * ac.nominal_mv // 1_000_000)
        return Step(step.at, min(found), step.min_rate_w)
    currents = [ac.evse_ma]
    for power_w, profile in caps:
        ma = composite.limit_ma(profile, step.at, scope.tx_start)
        currents.append(_current_ma(power_w, ac) if ma is None else ma)
    least = [
        profile.min_rate_deci * MA_PER_DECI if profile.unit is Unit.A else _current_ma(profile.min_rate_deci // 10, ac)
        for _, profile in caps
        if profile.min_rate_deci
    ]
    return Step(step.at, min(currents) * LINES_W // 1000, max(least, default=0) * LINES_W // 1000)


def _current_ma(power_w: int, ac: AcSpec) -> int:
    return power_w * 1_000_000 // (ac.phases * ac.nominal_mv)
