"""The planner of a running station: from requests and module readings to the `Plan` that the core follows.

Pure: the runtime calls `make_plan` when a request, a limit or a module changes, and at least every few seconds so
that a
dwell can end. What the planner remembers is in the prior plan and in the turns. A group without a reading gives nothing:
unknown is not power.

When module groups move is for `evse.planner.regroup` to say, who waits when there is not enough for `evse.planner.turns`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from evse.domain.base import Frozen
from evse.domain.limits import Allocation, GroupAssignment, LimitSource, Plan, PowerLimit, PowerRequest
from evse.domain.readings import GroupStatus, NoData, Sample
from evse.domain.station import StationSpec
from evse.planner.dc import headroom, solve
from evse.planner.problem import PPM, DcCabinet, DcConnector, DcGroup, DcProblem, DcSolution, ceiling_w, site_cap_w
from evse.planner.regroup import choose
from evse.planner.share import water_level
from evse.planner.turns import DWELL_S, RETURN_NS, Turns, arranged, back_in_ns, observe
from evse.units import NS_PER_S, DurationNs, Instant

GroupReading = Sample[GroupStatus] | NoData

ASSUMED_MV = 400_000
"""Voltage to plan with before the vehicle has named one: the lower battery class, which gives the lower group power."""

GROUP_MAX_AGE_NS: DurationNs = 3 * NS_PER_S
"""An older reading of a module group is none; the core takes no older ones either (`evse.core.gate`)."""

CHANGE_MIN_W = 100
"""Plans that differ by less in every number are the same plan for people and for the log."""


class PlannerSettingsW(Frozen, frozen=True, kw_only=True):
    """Limits in force. Site-side (AC) W for the first three: 0 = none, but ``csms_limit_w`` None = none and 0 = stop.

    ``group_power_w`` cap per owner (DC W, 0 = none), ``max_groups`` groups per owner with its own (0 = no cap),
    ``min_power_w`` a vehicle gets nothing or at least this, ``efficiency_permille`` DC output over AC input,
    ``dwell_s`` a DC vehicle charges or waits at least so long before turns change.
    ``limits`` = where the site-side caps come from, for explanations.
    """

    site_limit_w: int = 0
    ocpp_limit_w: int = 0
    csms_limit_w: int | None = None
    group_power_w: int = 0
    max_groups: int = 0
    allow_cross: bool = True
    min_power_w: int = 3_000
    efficiency_permille: int = 950
    dwell_s: int = DWELL_S
    limits: tuple[PowerLimit, ...] = ()
    operator_ma: tuple[int, int, int] | None = None
    """What the operator lets all EVSEs take per phase, mA; None = nothing is said."""

    @property
    def dwell_ns(self) -> DurationNs:
        """`dwell_s` as a duration."""
        return self.dwell_s * NS_PER_S

    def site_caps(self) -> tuple[tuple[LimitSource, int], ...]:
        """Return the site-side caps in force, AC W, smallest first."""
        caps: list[tuple[LimitSource, int]] = []
        if self.site_limit_w > 0:
            caps.append((LimitSource.SITE, self.site_limit_w))
        if self.ocpp_limit_w > 0:
            caps.append((LimitSource.OCPP_STATIC, self.ocpp_limit_w))
        if self.csms_limit_w is not None:
            caps.append((LimitSource.CSMS, max(0, self.csms_limit_w)))
        return tuple(sorted(caps, key=lambda cap: cap[1]))


def group_share_ppm(spec_modules: int, module_power_w: int, reading: GroupReading, now: Instant) -> tuple[int, int]:
    """Usable modules of a group and the share (ppm) of their rating that they offer, from its last reading; (0, 0) when that is
    missing or too old."""
    if isinstance(reading, NoData) or now - reading.at > GROUP_MAX_AGE_NS:
        return 0, 0
    status = reading.value
    usable = max(0, min(spec_modules, status.modules_present - status.modules_faulty))
    rated = usable * module_power_w
    if rated <= 0 or status.available_w <= 0:
        return usable, 0
    return usable, min(PPM, status.available_w * PPM // rated)


def build_problem(
    spec: StationSpec,
    settings: PlannerSettingsW,
    requests: Sequence[PowerRequest],
    groups: Sequence[GroupReading],
    prior: Plan | None,
    now: Instant,
    turns: Turns | None = None,
    dc_site_w: int | None = None,
) -> DcProblem:
    """Write the station down as one cabinet. A small request counts as the minimum, so that a full battery is not cut
    off.

    ``turns`` = who is on or waits since when; None = in order of charging time alone. ``dc_site_w`` as in `make_plan`.
    """
    names = {e.evse_id: str(e.evse_id) for e in spec.evses}
    rows: list[DcGroup] = []
    for group, reading in zip(spec.groups, groups, strict=True):
        usable, share = group_share_ppm(group.modules, group.module_power_w, reading, now)
        home = None if group.home_evse is None else names.get(group.home_evse)
        rows.append(
            DcGroup(
                id=str(group.group_id),
                home=home,
                modules=usable,
                module_w=group.module_power_w,
                module_ma=group.module_current_max_ma,
                derate_ppm=share,
            )
        )
    before: dict[str, str | None] = {}
    if prior is not None:
        before = {str(a.group_id): None if a.owner is None else names.get(a.owner) for a in prior.groups}
    known = {row.id for row in rows}
    cabinet = DcCabinet(
        id="cabinet",
        topology=spec.topology,
        groups=tuple(rows),
        prior={group: owner for group, owner in before.items() if group in known},
    )
    caps = [w for _, w in settings.site_caps()] + ([] if dc_site_w is None else [dc_site_w])
    problem = DcProblem(
        cabinets=(cabinet,),
        connectors=tuple(_connector(spec, settings, request, now) for request in requests),
        site_limit_w=min(caps, default=None),
        efficiency_ppm=settings.efficiency_permille * 1000,
        min_w=settings.min_power_w,
        group_power_w=settings.group_power_w,
        max_groups=settings.max_groups,
        allow_cross=settings.allow_cross,
    )
    return problem if turns is None else arranged(problem, turns, settings.dwell_ns, now)


def look(turns: Turns, requests: Sequence[PowerRequest], plan: Plan | None, now: Instant) -> Turns:
    """Return the turns after a look at who asks and at the plan in force."""
    rows = plan.allocations if plan is not None else ()
    return observe(
        turns,
        [str(r.evse_id) for r in requests if r.request_w > 0],
        [str(row.evse_id) for row in rows if row.assigned_w > 0],
        [str(row.evse_id) for row in rows if row.binding is LimitSource.MODULES],
        now,
    )


def _connector(spec: StationSpec, settings: PlannerSettingsW, request: PowerRequest, now: Instant) -> DcConnector:
    """One request as a connector. The current is the one of the cable: the vehicle's own demand current follows what
    it was
    offered, so a plan that kept to it could never rise again; what the vehicle wants is in ``request_w``."""
    evse = next(e for e in spec.evses if e.evse_id == request.evse_id)
    wanted = max(request.request_w, settings.min_power_w) if request.request_w > 0 else 0
    voltage_mv = request.voltage_mv if request.voltage_mv > 0 else ASSUMED_MV
    since = request.charging_since
    return DcConnector(
        id=str(request.evse_id),
        cabinet="cabinet",
        request_w=wanted,
        voltage_mv=voltage_mv,
        current_ma=evse.current_max_ma,
        limit_w=max(0, min(request.limit_w, evse.power_max_w)),
        charging_s=0 if since is None else max(0, now - since) // NS_PER_S,
        barred=frozenset(map(str, request.barred)),
    )


def make_plan(
    spec: StationSpec,
    settings: PlannerSettingsW,
    requests: Sequence[PowerRequest],
    groups: Sequence[GroupReading],
    prior: Plan | None,
    now: Instant,
    version: int,
    dc_site_w: int | None = None,
    turns: Turns | None = None,
) -> Plan:
    """Plan the DC side. ``groups`` in the order of ``spec.groups``; ``prior`` None = from scratch (recompute).
    ``dc_site_w`` = part of the site (AC side W) that AC EVSEs leave, None = all of it. ``turns`` as in `build_problem`.

    Every EVSE of ``requests`` gets an `Allocation`; every group of ``spec`` an owner or None.
    ``site_limit_w`` of the plan is the smallest site-side cap, 0 = none in force (a CSMS cap of 0 W shows as a plan
    of zeros).
    """
    problem = build_problem(spec, settings, requests, groups, prior, now, turns, dc_site_w)
    site_w = min((w for _, w in settings.site_caps()), default=None)
    if prior is None:
        solution, moved, reason = solve(problem), True, "first plan"
    else:
        fell = site_w is not None and (prior.site_limit_w == 0 or site_w < prior.site_limit_w)
        solution, moved, reason = choose(problem, prior.regrouped_at, fell=fell, now=now)
    level = site_level(solution, problem)
    rows = tuple(_allocation(problem, settings, solution, request, level) for request in requests)
    if turns is not None:
        served = sum(row.assigned_w > 0 for row in rows)
        rows = tuple(_in_turn(row, served, problem, settings, turns, now) for row in rows)
    regrouped_at = now if moved or prior is None else prior.regrouped_at
    return Plan(
        version=version,
        allocations=rows,
        groups=tuple(
            GroupAssignment(group_id=int(g), owner=None if o is None else int(o)) for g, o in solution.owner.items()
        ),
        site_limit_w=site_w or 0,
        reason=reason,
        regrouped_at=regrouped_at,
    )


def site_level(solution: DcSolution, problem: DcProblem) -> int | None:
    """Common level at which the site cap truncates ``solution``; None when it does not bind."""
    if problem.site_limit_w is None:
        return None
    used = sum(solution.power_w.values())
    cap = problem.site_limit_w * problem.efficiency_ppm // PPM
    if not solution.power_w or cap - used > len(solution.power_w):
        return None
    return max(solution.power_w.values())


def _allocation(
    problem: DcProblem, settings: PlannerSettingsW, solution: DcSolution, request: PowerRequest, level: int | None
) -> Allocation:
    name = str(request.evse_id)
    connector = next(c for c in problem.connectors if c.id == name)
    ceiling = ceiling_w(problem, connector)
    assigned = solution.power_w[name]
    chain = tuple(int(g.id) for g in problem.cabinets[0].groups if solution.owner[g.id] == name)
    allowed = ceiling if level is None else min(ceiling, level)
    if name in solution.waiting:
        allowed = 0
    offered_w, offered = headroom(problem, solution, name) if request.request_w > 0 else (0, ())
    binding, detail = _binding(problem, settings, connector, request, solution, allowed)
    return Allocation(
        evse_id=request.evse_id,
        requested_w=request.request_w,
        offered_w=max(offered_w, assigned),
        allowed_w=allowed,
        assigned_w=assigned,
        chain=chain,
        offered_chain=tuple(int(g) for g in offered) or chain,
        binding=binding,
        detail=detail,
    )


NO_ROOM = "the {} has no room for another {}; it waits for its turn, each lasts {} s"


def _in_turn(
    row: Allocation, served: int, problem: DcProblem, settings: PlannerSettingsW, turns: Turns, now: Instant
) -> Allocation:
    """Say of one that was paused a moment ago why it gets nothing yet. ``served`` = how many get something."""
    turn = turns.of().get(str(row.evse_id))
    if turn is None or row.requested_w <= 0 or not back_in_ns(turn, settings.dwell_ns, now):
        return row
    caps = settings.site_caps()
    if problem.site_limit_w is not None and (not caps or problem.site_limit_w < caps[0][1]):
        caps = ((LimitSource.GRID, problem.site_limit_w),)
    cap_w = site_cap_w(problem)
    if caps and cap_w is not None and cap_w < problem.min_w * (served + 1):
        detail = NO_ROOM.format(cap_name(*caps[0]), _kw(problem.min_w), settings.dwell_s)
        return msgspec.structs.replace(row, binding=caps[0][0], detail=detail)
    detail = f"there is room again; it comes back {RETURN_NS // NS_PER_S} s after its pause"
    return msgspec.structs.replace(row, binding=caps[0][0] if caps else LimitSource.PLAN, detail=detail)


def _kw(watts: int) -> str:
    return f"{watts / 1000:.1f} kW"


def _binding(
    problem: DcProblem,
    settings: PlannerSettingsW,
    connector: DcConnector,
    request: PowerRequest,
    solution: DcSolution,
    allowed: int,
) -> tuple[LimitSource, str]:
    """Name the limit that decides and say it in one clause."""
    caps = settings.site_caps()
    assigned = solution.power_w[connector.id]
    least = _kw(problem.min_w)
    if problem.site_limit_w is not None and (not caps or problem.site_limit_w < caps[0][1]):
        caps = ((LimitSource.GRID, problem.site_limit_w),)
    if request.request_w <= 0:
        return LimitSource.EV, "the vehicle asks for nothing"
    if connector.limit_w is not None and connector.limit_w < problem.min_w:
        return LimitSource.HARDWARE, f"the connector limit of {_kw(connector.limit_w)} is below the minimum of {least}"
    if connector.id in solution.waiting:
        served = sum(w > 0 for w in solution.power_w.values())
        if caps and caps[0][1] * settings.efficiency_permille // 1000 < problem.min_w * (served + 1):
            return caps[0][0], NO_ROOM.format(cap_name(*caps[0]), least, settings.dwell_s)
        return LimitSource.MODULES, f"no free module group gives {least}"
    ceiling = ceiling_w(problem, connector)
    if assigned < allowed or (assigned == 0 and ceiling > 0):
        return LimitSource.MODULES, f"its module groups give {_kw(assigned)} at {connector.voltage_mv // 1000} V"
    if assigned < ceiling and caps:
        return caps[0][0], f"the {cap_name(*caps[0])} binds"
    if problem.group_power_w and assigned == problem.group_power_w:
        return LimitSource.MODULES, f"the cap of {_kw(problem.group_power_w)} per owner of module groups binds"
    if connector.limit_w is not None and assigned == connector.limit_w and assigned < request.request_w:
        return LimitSource.HARDWARE, f"the connector limit of {_kw(connector.limit_w)} binds"
    return LimitSource.EV, "the vehicle gets what it asks for"


_CAP_NAMES = {
    LimitSource.SITE: "site limit",
    LimitSource.OCPP_STATIC: "static OCPP limit",
    LimitSource.CSMS: "CSMS limit",
    LimitSource.GRID: "share of the grid connection",
}


def cap_name(source: LimitSource, power_w: int) -> str:
    """Words for a site-side cap: "site limit of 60.0 kW"."""
    return f"{_CAP_NAMES[source]} of {_kw(power_w)}"


def truncate_power(plan: Plan, limit_w: int, efficiency_permille: int, evses: Collection[int] = ()) -> Plan:
    """Lower the assignments of ``plan`` to one common level so that their sum fits ``limit_w`` (AC side; 0 = stop). ``evses`` = the
    EVSEs behind that limit, none = all.

    For the tick in which a limit of the grid connection falls, before anybody plans again: nothing ever rises, groups stay where
    they are. A level below the minimum power is left to the next plan, which pauses connectors. Limits in W are cut by the core.
    """
    cap = max(0, limit_w) * efficiency_permille // 1000
    level = water_level((row.assigned_w for row in plan.allocations if not evses or row.evse_id in evses), cap)
    if level is None:
        return plan
    rows = tuple(
        msgspec.structs.replace(
            row, assigned_w=level, allowed_w=min(row.allowed_w, level), offered_w=min(row.offered_w, level),
            binding=LimitSource.GRID, detail="cut at once, a limit of the site has fallen",
        )
        if row.assigned_w > level and (not evses or row.evse_id in evses) else row
        for row in plan.allocations
    )  # fmt: skip
    return msgspec.structs.replace(plan, allocations=rows, reason="cut at a lower limit of the site")


def plan_changed(a: Plan | None, b: Plan | None) -> bool:
    """Return True when the plans differ in owners, binding limits or any power by `CHANGE_MIN_W` or more; versions
    are ignored.

    A power that reaches or leaves zero, and every assignment that got smaller, counts whatever its size.
    """
    if a is None or b is None:
        return a is not b
    if a.groups != b.groups or a.site_limit_w != b.site_limit_w or len(a.allocations) != len(b.allocations):
        return True
    if a.currents != b.currents:
        return True
    for x, y in zip(a.allocations, b.allocations, strict=True):
        if x.evse_id != y.evse_id or x.binding is not y.binding or y.assigned_w < x.assigned_w:
            return True
        if (x.assigned_w == 0) != (y.assigned_w == 0) or (x.requested_w == 0) != (y.requested_w == 0):
            return True
        pairs = (
            (x.requested_w, y.requested_w),
            (x.offered_w, y.offered_w),
            (x.allowed_w, y.allowed_w),
            (x.assigned_w, y.assigned_w),
        )
        if any(abs(p - q) >= CHANGE_MIN_W for p, q in pairs):
            return True
    return False
