"""What the running station asks the planner, as plain values: a question holds all that its answer depends on.

So an answer may be worked out anywhere: within the control loop when that is quick, in a process of its own when it is not
(`evse.runtime.thinking`). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from evse.domain.base import Frozen
from evse.domain.limits import CurrentRequest, Plan, PowerRequest
from evse.domain.readings import GroupStatus, NoData, Sample
from evse.domain.station import GridSpec, StationSpec
from evse.planner.ac import solve
from evse.planner.ac_problem import AcProblem
from evse.planner.allowance import Allowance
from evse.planner.live import PlannerSettingsW, make_plan
from evse.planner.live_ac import AcShares, DcAsk, plan_ac
from evse.planner.live_ac_memory import AcMemory, SiteLoad
from evse.planner.phase_choice import with_lines
from evse.planner.transition import Follower, dc_in_force
from evse.planner.turns import Turns
from evse.units import Instant


class Replan(Frozen, frozen=True, kw_only=True, tag="replan"):
    """A new plan for the whole station. ``grid`` None = no AC EVSE shares a limit; ``prior`` None = from scratch.

    ``drawn_w`` = power at each DC EVSE, None = nobody knows; ``followers`` = how DC EVSEs follow their shares.
    """

    spec: StationSpec
    settings: PlannerSettingsW
    requests: tuple[PowerRequest, ...]
    groups: tuple[Sample[GroupStatus] | NoData, ...]
    prior: Plan | None
    version: int
    now: Instant
    turns: Turns
    grid: GridSpec | None
    currents: tuple[CurrentRequest, ...]
    site: SiteLoad
    memory: AcMemory
    allowed: Allowance | None
    drawn_w: dict[int, int | None]
    followers: dict[int, Follower]


class Replanned(Frozen, frozen=True, kw_only=True, tag="replanned"):
    """The plan that may be in force now, ``followers`` after it, and whether some do not have their share yet (``waits``).

    ``dc_site_w`` = part of the site (AC side W) that AC EVSEs leave, None = all of it; ``shares`` = the AC side, None without.
    """

    plan: Plan
    followers: dict[int, Follower]
    waits: bool
    dc_site_w: int | None
    shares: AcShares | None


class Gain(Frozen, frozen=True, kw_only=True, tag="gain"):
    """What a connector of ``problem`` would get on ``lines`` when it asks for ``ask_ma`` there, for each of ``asks``."""

    problem: AcProblem
    name: str
    asks: tuple[tuple[int, int], ...]


class Gained(Frozen, frozen=True, kw_only=True, tag="gained"):
    """mA per phase in the order of the asks; None = the connector is not in the problem."""

    current_ma: tuple[int | None, ...]


Question = Replan | Gain
Answer = Replanned | Gained


def answer(question: Question) -> Answer:
    """Return the answer."""
    return replan(question) if isinstance(question, Replan) else gain(question)


def replan(q: Replan) -> Replanned:
    """Plan the DC side, share the site out among AC EVSEs and that, and plan the DC side again when it gets less."""
    plan = make_plan(q.spec, q.settings, q.requests, q.groups, q.prior, q.now, q.version, None, q.turns)
    shares: AcShares | None = None
    planned_w = dc_w = None
    if q.grid is not None:
        asks = dc_asks(q.settings, plan, q.requests)
        shares = plan_ac(q.grid, q.settings.site_caps(), asks, q.currents, q.site, q.memory, q.now, q.allowed)
        dc_w = shares.dc_w
        if dc_w is not None and dc_w < sum(ask.wanted_w for ask in asks):
            plan = make_plan(q.spec, q.settings, q.requests, q.groups, q.prior, q.now, q.version, dc_w, q.turns)
            planned_w = dc_w
        plan = replace(plan, currents=shares.rows)
    caps = [w for _, w in q.settings.site_caps()] + ([] if dc_w is None else [dc_w])
    cap_w = min(caps) * q.settings.efficiency_permille // 1000 if caps else None
    plan, followers, waits = dc_in_force(plan, cap_w, q.settings.min_power_w, q.followers, q.drawn_w, q.now)
    return Replanned(plan=plan, followers=followers, waits=waits, dc_site_w=planned_w, shares=shares)


def dc_asks(settings: PlannerSettingsW, plan: Plan, requests: Sequence[PowerRequest]) -> list[DcAsk]:
    """Return what DC EVSEs ask of the site: what ``plan`` gives them, AC side W."""
    given = {a.evse_id: a.assigned_w for a in plan.allocations}
    efficiency = max(1, settings.efficiency_permille)
    return [
        DcAsk(
            evse_id=r.evse_id,
            wanted_w=-(-given.get(r.evse_id, 0) * 1000 // efficiency),
            min_w=-(-settings.min_power_w * 1000 // efficiency),
            asks=r.request_w > 0,
        )
        for r in requests
    ]


def gain(q: Gain) -> Gained:
    """Ask the same question of the planner once for each of the asks."""
    given: list[int | None] = []
    for lines, ask_ma in q.asks:
        asked = with_lines(q.problem, q.name, lines, ask_ma)
        given.append(None if asked is None else solve(asked).current_ma[q.name])
    return Gained(current_ma=tuple(given))


__all__ = ["Answer", "Gain", "Gained", "Question", "Replan", "Replanned", "answer", "dc_asks", "gain", "replan"]
