"""The planner's place in the shell: when to plan, with which limits, and what the operator changed.

A new plan is made when a vehicle comes, goes or changes its mind, when module groups or limits change, and at least
every `REPLAN_NS` while somebody asks for power. With AC EVSEs the site is shared first, then the DC side is planned with
what they leave. A falling limit does not wait for it: the limits themselves are
inputs of the tick, which truncates at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from evse.core.inputs import GroupReading, Inputs
from evse.domain.limits import CurrentAllocation, CurrentRequest, LimitSource, Plan, PowerLimit, PowerRequest
from evse.domain.readings import Sample
from evse.domain.station import GridSpec, StationSpec
from evse.domain.view import EvseView
from evse.planner.ac_problem import UNLIMITED_MA, AcProblem
from evse.planner.allowance import Allowance, Cap, allowance, truncate
from evse.planner.live import PlannerSettingsW, build_problem, look, make_plan, plan_changed
from evse.planner.live_ac import DcAsk, plan_ac
from evse.planner.live_ac_memory import AcMemory, SiteLoad, observe
from evse.planner.transition import Follower, dc_in_force
from evse.planner.turns import Turns
from evse.planner.why_live import more_ac, more_dc
from evse.runtime.local_time import LocalDay
from evse.runtime.phase_choice import PhaseChooser
from evse.runtime.site_load import dc_drawn_w, site_load
from evse.runtime.totals import Totals
from evse.units import NS_PER_MS, NS_PER_S, Instant, WallNs

REPLAN_NS = 2 * NS_PER_S
REPLAN_MIN_NS = 250 * NS_PER_MS
REQUEST_STEP_W = 1000
"""Requests that moved by less than this since the last plan wait for the periodic one."""

LOAD_STEP_MA = 500
"""Loads of the house that moved by less than this wait as well."""


class PlannerShell:
    """Keeps the settings in force, the limits they mean, and the last plan."""

    def __init__(
        self, spec: StationSpec, settings: PlannerSettingsW, now: Instant,
        input_level: Callable[[str], bool | None] = lambda name: None, timezone: str = "UTC",
    ) -> None:
        self._spec = spec
        self.file_settings = settings
        self.settings = settings
        self.in_force = settings
        """`settings` with the limits of the back end and where each limit comes from."""
        self.limits: tuple[PowerLimit, ...] = ()
        self.plan: Plan | None = None
        self.count = 0
        self._csms: tuple[PowerLimit, ...] = ()
        self._planned_at: Instant = now - REPLAN_NS
        self._key: object = None
        self._force = True
        self._fresh = False
        self._set_at = now
        self._who = ""
        self._ac = AcMemory()
        self._pending = False  # vehicles with smaller shares have not followed yet
        self._dc: dict[int, Follower] = {}
        self._dc_waits = False  # as `_pending`
        self._turns = Turns()
        self.allowed: Allowance | None = None
        """What all EVSEs together may take per phase now."""

        self._caps: tuple[Cap, ...] = ()  # limits per phase that `plan` was made with
        self._house_ma = (0, 0, 0)  # other loads that `plan` was made with
        self._input_level = input_level
        self.phases = PhaseChooser()
        self.totals = Totals(timezone)
        self._day = LocalDay(timezone)
        self._ac_problem: AcProblem | None = None
        self._asked: tuple[Sequence[PowerRequest], Sequence[GroupReading], int | None] = ((), (), None)
        self._limits_changed(now, "configuration")

    def change_spec(self, spec: StationSpec, timezone: str) -> None:
        """Plan with other ratings from now on."""
        self._spec, self._day = spec, LocalDay(timezone)
        self.totals.change_zone(timezone)
        self._force = True

    def change(self, settings: PlannerSettingsW, now: Instant, who: str) -> None:
        """Put other settings in force: limits from the next tick on, a new plan in the same pass."""
        self.settings = settings
        self._limits_changed(now, who)
        self._force = True

    def set_csms(self, limits: Sequence[PowerLimit]) -> None:
        """Replace the limits that come from charging profiles."""
        self._csms = tuple(limits)
        self._limits_changed(self._set_at, self._who)
        self._force = True

    def plan_now(self, wall: WallNs, *, wall_valid: bool) -> Plan | None:
        """Return the plan for the tick that begins: shares are cut at once where a limit per phase has fallen."""
        grid = self._spec.grid
        if grid is None or (grid.own_ma is None and self.settings.operator_ma is None and not grid.hours and grid.shed is None):
            self.allowed = None
        else:
            level = None if grid.shed is None else self._input_level(grid.shed.input)
            minute = self._day.minute(wall) if wall_valid else None
            allowed = allowance(grid, self.settings.operator_ma, minute, level)
            if allowed != self.allowed:
                self.allowed, self._force = allowed, True
        plan = self.plan
        if plan is None or not plan.currents:
            return plan
        caps = self._caps_now()
        if len(caps) != len(self._caps) or any(_fell(a, b) for a, b in zip(self._caps, caps, strict=True)):
            order = sorted(self._ac.points, key=lambda p: -p.charged_ns)
            shares = truncate(plan.currents, caps, self._dc_ma(plan), [p.evse_id for p in order])
            self._caps, self._force = caps, True
            if shares is not plan.currents:
                self.plan = plan = replace(plan, version=plan.version + 1, currents=shares, reason="cut at a lower limit of the site")
        return plan

    def _caps_now(self) -> tuple[Cap, ...]:
        """Limits per phase as they stand, other loads taken off: everybody, then each fuse."""
        grid = self._spec.grid
        if grid is None:
            return ()
        top = grid.fuse_ma or UNLIMITED_MA
        own = (UNLIMITED_MA,) * 3 if self.allowed is None else self.allowed.limit_ma
        limits = [min(a, top - b) for a, b in zip(own, self._house_ma, strict=True)]
        return (
            Cap(limit_ma=(limits[0], limits[1], limits[2])),
            *(Cap(limit_ma=(f.fuse_ma, f.fuse_ma, f.fuse_ma), evses=f.evses) for f in grid.fuses),
        )

    def _dc_ma(self, plan: Plan) -> dict[int, int]:
        """What DC EVSEs take of each phase, mA."""
        grid = self._spec.grid
        unit = 3 * (230_000 if grid is None else grid.nominal_mv) * max(1, self.in_force.efficiency_permille)
        return {a.evse_id: a.assigned_w * 1_000_000_000 // unit for a in plan.allocations if a.assigned_w}

    def recompute(self) -> None:
        """Plan again in the next pass, without regard to the prior plan."""
        self._fresh = True
        self._force = True

    def consider(
        self,
        requests: Sequence[PowerRequest],
        inputs: Inputs,
        now: Instant,
        currents: Sequence[CurrentRequest] = (),
    ) -> None:
        """Make a new plan if something that matters has changed. ``currents`` = what the AC EVSEs ask for."""
        age = now - self._planned_at
        if not self._force and age < REPLAN_MIN_NS:
            return
        grid = self._grid(currents)
        site = site_load(self._spec, inputs, currents, now)
        drawn = dc_drawn_w(self._spec, inputs, self.plan, now)
        if grid is not None:
            self._ac = observe(self._ac, grid, currents, site, now, self._phases_ma(drawn, site))
        key = (self._situation(requests, inputs.groups), self._ac_situation(currents), site.house_ma is None)
        asking = any(r.request_w for r in requests) or any(r.wanted_ma for r in currents)
        waits = self._pending or self._dc_waits
        if not self._force and not waits and key == self._key and not (asking and age >= REPLAN_NS):
            return
        self.count += 1
        version = 1 if self.plan is None else self.plan.version + 1
        prior = None if self._fresh else self.plan
        self._turns = look(self._turns, requests, self.plan, now)
        plan = make_plan(self._spec, self.in_force, requests, inputs.groups, prior, now, version, None, self._turns)
        self._asked, self._ac_problem = (requests, inputs.groups, None), None
        dc_w: int | None = None
        if grid is not None:
            rows, dc_w = self._share(grid, plan, requests, currents, site, now)
            if dc_w is not None and dc_w < sum(ask.wanted_w for ask in self._asks(plan, requests)):
                plan = make_plan(self._spec, self.in_force, requests, inputs.groups, prior, now, version, dc_w, self._turns)
                self._asked = (requests, inputs.groups, dc_w)
            plan = replace(plan, currents=rows)
        caps = [w for _, w in self.in_force.site_caps()] + ([] if dc_w is None else [dc_w])
        cap_w = min(caps) * self.in_force.efficiency_permille // 1000 if caps else None
        plan, self._dc, self._dc_waits = dc_in_force(plan, cap_w, self.in_force.min_power_w, self._dc, drawn, now)
        if plan_changed(self.plan, plan):
            self.plan = plan
        self._key, self._force, self._fresh, self._planned_at = key, False, False, now

    def _phases_ma(self, drawn_w: Mapping[int, int | None], site: SiteLoad) -> dict[int, int | None]:
        """What DC EVSEs take of each phase, mA, from their power."""
        unit = 3 * site.voltage_mv * max(1, self.in_force.efficiency_permille)
        return {i: None if w is None else w * 1_000_000_000 // unit for i, w in drawn_w.items()}

    def phase_switches(self, currents: Sequence[CurrentRequest], now: Instant) -> list[tuple[int, int]]:
        """Return (EVSE, phases) that the planner switches now."""
        return self.phases.look(self._spec, currents, self._ac_problem, self._ac, now)

    def more(self, view: EvseView, now: Instant) -> Callable[[], tuple[str, ...]]:
        """Return a job that works out what would give an EVSE more; it touches nothing that changes and may run elsewhere."""
        settings, problem = self.in_force, self._ac_problem
        if view.ac is not None:
            return (lambda: more_ac(view, problem)) if problem is not None else tuple
        requests, groups, dc_w = self._asked
        if not groups:
            return tuple
        asked = build_problem(self._spec, settings, requests, groups, self.plan, now, self._turns, dc_w)
        return lambda: more_dc(view, asked, settings)

    def _grid(self, currents: Sequence[CurrentRequest]) -> GridSpec | None:
        """The connection that AC EVSEs share; None = there are none, or they share no limit."""
        if not currents or (self._spec.grid is None and not self.in_force.site_caps()):
            self._ac, self._pending = AcMemory(), False
            return None
        return self._spec.grid or GridSpec()

    def _share(
        self,
        grid: GridSpec,
        plan: Plan,
        requests: Sequence[PowerRequest],
        currents: Sequence[CurrentRequest],
        site: SiteLoad,
        now: Instant,
    ) -> tuple[tuple[CurrentAllocation, ...], int | None]:
        """Shares of the AC EVSEs, and what they leave for the DC EVSEs (AC side W), which ask for what ``plan`` gives."""
        asks = self._asks(plan, requests)
        shares = plan_ac(grid, self.in_force.site_caps(), asks, currents, site, self._ac, now, self.allowed)
        self._house_ma = self._ac.house_ma if self._spec.has_site_meter else (0, 0, 0)
        self._caps = self._caps_now()
        self._ac, self._pending, self._ac_problem = shares.memory, shares.pending, shares.problem
        return shares.rows, shares.dc_w

    def _asks(self, plan: Plan, requests: Sequence[PowerRequest]) -> list[DcAsk]:
        given = {a.evse_id: a.assigned_w for a in plan.allocations}
        efficiency = max(1, self.in_force.efficiency_permille)
        return [
            DcAsk(
                evse_id=r.evse_id,
                wanted_w=-(-given.get(r.evse_id, 0) * 1000 // efficiency),
                min_w=-(-self.in_force.min_power_w * 1000 // efficiency),
                running=r.charging_since is not None and r.request_w > 0,
            )
            for r in requests
        ]

    def _ac_situation(self, currents: Sequence[CurrentRequest]) -> object:
        points = (self._ac.point(r.evse_id) for r in currents)
        return (
            [(r.evse_id, r.wanted_ma, r.lines, r.rotation) for r in currents],
            [(p.draw.ceiling_ma, p.lines, p.idle, p.held_ma, p.ignores_ma // LOAD_STEP_MA, p.switched_at) for p in points],
            [-(-ma // LOAD_STEP_MA) for ma in self._ac.house_ma],
        )

    def _situation(self, requests: Sequence[PowerRequest], groups: Sequence[GroupReading]) -> object:
        return (
            [
                (r.evse_id, -(-r.request_w // REQUEST_STEP_W), -(-r.limit_w // REQUEST_STEP_W), r.charging_since)
                for r in requests
            ],
            [
                (g.value.modules_present, g.value.modules_faulty, g.value.available_w // 500)
                if isinstance(g, Sample)
                else None
                for g in groups
            ],
        )

    def _limits_changed(self, now: Instant, who: str) -> None:
        s = self.settings
        self._set_at, self._who = now, who
        rows = []
        if s.site_limit_w:
            rows.append(PowerLimit(source=LimitSource.SITE, evse_id=0, power_w=s.site_limit_w, set_at=now, detail=who))
        if s.ocpp_limit_w:
            rows.append(
                PowerLimit(source=LimitSource.OCPP_STATIC, evse_id=0, power_w=s.ocpp_limit_w, set_at=now, detail=who)
            )
        self.limits = (*rows, *self._csms)
        self.in_force = replace(
            s, limits=self.limits, csms_limit_w=min((x.power_w for x in self._csms if x.evse_id == 0), default=None)
        )


def _fell(before: Cap, now: Cap) -> bool:
    """Tell whether a limit is lower on any phase, or holds for others."""
    return before.evses != now.evses or any(b < a for a, b in zip(before.limit_ma, now.limit_ma, strict=True))
