"""What would give a connector of the running station more: the planner's last question, asked again with one cap raised.

Where the planner is not what binds (cable, rating, temperature, the vehicle itself ...), that cap is named instead.
"""

from __future__ import annotations

import msgspec

from evse.domain.limits import LimitSource
from evse.domain.view import EvseView
from evse.planner import why_ac, why_dc
from evse.planner.ac import solve as solve_ac
from evse.planner.ac_problem import AcProblem
from evse.planner.balance import SUFFIX
from evse.planner.dc import solve as solve_dc
from evse.planner.explain import source_words
from evse.planner.live import PlannerSettingsW
from evse.planner.problem import DcProblem

PLANNED_DC = frozenset({
    LimitSource.PLAN, LimitSource.SITE, LimitSource.OCPP_STATIC, LimitSource.CSMS, LimitSource.GRID, LimitSource.MODULES,
})  # fmt: skip
PLANNED_AC = frozenset({LimitSource.PLAN})
"""Caps that the planner knows as such and can try with another value."""

_NAMES = (
    (SUFFIX, ""), ("power limit own", "site limit"), ("fuse own", "limit of all connectors together"),
    ("fuse grid", "fuse of the grid connection"), ("imbalance limit grid", "imbalance limit of the grid connection"),
    ("fuse fuse ", "fuse "),
)  # fmt: skip
"""Nodes of `evse.planner.live_ac` as people call them."""


def _first_binding(view: EvseView, planned: frozenset[LimitSource]) -> str:
    """The cap outside of the planner that binds, in words; "" = there is none."""
    entry = view.limits[0] if view.limits and view.limits[0].binds else None
    if entry is None or entry.source in planned:
        return ""
    if entry.source is LimitSource.EV:
        return "its vehicle would have to ask for more"
    value = f"{entry.power_w / 1000:.1f} kW" if entry.current_ma is None else f"{entry.current_ma / 1000:.1f} A"
    return f"a {source_words(entry.source)} above {value}"


def more_dc(view: EvseView, problem: DcProblem, settings: PlannerSettingsW) -> tuple[str, ...]:
    """Return ways to 1 kW more for a DC EVSE, each tried. ``problem`` = the last question, its site limit of any source."""
    other = _first_binding(view, PLANNED_DC)
    if other:
        return (other,)
    name = str(view.evse_id)
    if all(c.id != name for c in problem.connectors):
        return ()
    asked = msgspec.structs.replace(problem, site_limit_w=None, csms_limit_w=None)
    for source, power_w in settings.site_caps():
        if source is LimitSource.CSMS:
            asked = msgspec.structs.replace(asked, csms_limit_w=power_w)
        elif asked.site_limit_w is None or power_w < asked.site_limit_w:
            asked = msgspec.structs.replace(asked, site_limit_w=power_w)
    if problem.site_limit_w is not None and all(problem.site_limit_w < w for _, w in settings.site_caps()):
        asked = msgspec.structs.replace(asked, site_limit_w=problem.site_limit_w)  # what AC vehicles leave
    return next(row.more for row in why_dc.explain(asked, solve_dc(asked), [name]) if row.id == name)


def more_ac(view: EvseView, problem: AcProblem) -> tuple[str, ...]:
    """Return ways to 1 A more for an AC EVSE, each tried."""
    other = _first_binding(view, PLANNED_AC)
    if other:
        return (other,)
    name = str(view.evse_id)
    rows = [row for row in why_ac.explain(problem, solve_ac(problem), [name]) if row.id == name]
    return tuple(named(way) for row in rows for way in row.more)


def named(way: str) -> str:
    """Return a way to more with the limits called as people call them."""
    for old, new in _NAMES:
        way = way.replace(old, new)
    return way

