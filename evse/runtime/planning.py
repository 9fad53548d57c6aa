"""The planner's place in the shell: when to plan, with which limits, and what the operator changed.

A new plan is made when a vehicle comes, goes or changes its mind, when module groups or limits change, and at least
every `REPLAN_NS` while somebody asks for power. With AC EVSEs the site is shared first, then the DC side is planned with
what they leave. A falling limit does not wait for it: the limits themselves are
inputs of the tick, which truncates at once.

The plan itself is worked out by a `Thinker`: at once, or beside the loop on large sites. Until that answer is there the last
plan stays, nothing new is asked, and what forces a plan meanwhile forces the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from evse.core.inputs import GroupReading, Inputs
from evse.domain.limits import CurrentRequest, LimitEntry, LimitSource, Plan, PowerLimit, PowerRequest
from evse.domain.readings import Sample
from evse.domain.station import GridSpec, StationSpec
from evse.domain.view import EvseView, StationView
from evse.planner.ac_problem import UNLIMITED_MA, AcProblem
from evse.planner.allowance import Allowance, Cap, allowance, truncate
from evse.planner.limit_ages import LimitAges
from evse.planner.live import PlannerSettingsW, build_problem, look, plan_changed, truncate_power
from evse.planner.live_ac_memory import AcMemory, SiteLoad, observe
from evse.planner.questions import Answer, Replan, Replanned
from evse.planner.shared_caps import SharedCap, shared_caps
from evse.planner.transition import Follower
from evse.planner.turns import Turns, freed
from evse.planner.why_live import more_ac, more_dc
from evse.runtime.local_time import LocalDay
from evse.runtime.phase_choice import PhaseChooser
from evse.runtime.site_load import dc_drawn_w, house_known, site_load
from evse.runtime.thinking import Here, Thinker
from evse.runtime.totals import Totals
from evse.units import NS_PER_MS, NS_PER_S, Instant, WallNs

REPLAN_NS = 2 * NS_PER_S
REPLAN_MIN_NS = 250 * NS_PER_MS
REQUEST_STEP_W = 1000
"""Requests that moved by less than this since the last plan wait for the periodic one."""

LOAD_STEP_MA = 500
"""Loads of the house that moved by less than this wait as well."""


DRAW_STEP_MA = 2_000
"""So do draws below a share under an imbalance limit; without one a draw asks for no plan by itself."""


class PlannerShell:
    """Keeps the settings in force, the limits they mean, and the last plan."""

    def __init__(
        self, spec: StationSpec, settings: PlannerSettingsW, now: Instant,
        input_level: Callable[[str], bool | None] = lambda name: None, timezone: str = "UTC", thinker: Thinker | None = None,
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
        self._seen: tuple[Sequence[PowerRequest], Sequence[GroupReading], object] = ((), (), None)
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
        self._thinker = thinker or Here()
        self._thinks = False  # a plan is being worked out
        self.phases = PhaseChooser(self._thinker)
        self.totals = Totals(timezone)
        self._day = LocalDay(timezone)
        self._ac_problem: AcProblem | None = None
        self._asked: tuple[Sequence[PowerRequest], Sequence[GroupReading], int | None] = ((), (), None)
        self._ages = LimitAges(now)
        self._shared: tuple[SharedCap, ...] = ()
        self._limits_changed(now, "configuration")

    def shown(self, view: StationView, now: Instant) -> StationView:
        """Return the view with why the planner switches phases, and since when each limit has its value."""
        caps = shared_caps(self._spec.grid, self.settings.operator_ma, self.allowed)
        self._shared = self._ages.shared(caps, now)
        return self._ages.shown(self.phases.shown(view), self._spec, now)

    def caps(self, evse_id: int) -> tuple[LimitEntry, ...]:
        """Return the caps of the grid connection that an EVSE shares with others, after the last view."""
        return tuple(cap.entry for cap in self._shared if not cap.evses or evse_id in cap.evses)

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
        if plan is None:
            return None
        caps = _caps(grid, self.allowed, self._house_ma)
        if len(caps) != len(self._caps) or any(_fell(a, b) for a, b in zip(self._caps, caps, strict=True)):
            first = {e.evse_id: e.ac.priority for e in self._spec.evses if e.ac is not None}
            order = sorted(self._ac.points, key=lambda p: (first.get(p.evse_id, 0), -p.charged_ns))
            cut = self._dc_cut(plan, caps)
            shares = truncate(plan.currents, caps, self._dc_ma(cut), [p.evse_id for p in order])
            self._caps, self._force = caps, True
            if shares is not plan.currents or cut is not plan:
                self.plan = plan = replace(cut, version=plan.version + 1, currents=shares, reason="cut at a lower limit of the site")
        return plan

    def _dc_cut(self, plan: Plan, caps: Sequence[Cap]) -> Plan:
        """Lower what DC EVSEs alone would take beyond ``caps``; the AC EVSEs beside them get the rest."""
        for cap in caps:
            limit_w = max(0, min(cap.limit_ma)) * 3 * self._spec.nominal_mv // 1_000_000
            plan = truncate_power(plan, limit_w, self.in_force.efficiency_permille, cap.evses)
        return plan

    def _dc_ma(self, plan: Plan) -> dict[int, int]:
        """What DC EVSEs take of each phase, mA."""
        unit = 3 * self._spec.nominal_mv * max(1, self.in_force.efficiency_permille)
        return {a.evse_id: a.assigned_w * 1_000_000_000 // unit for a in plan.allocations if a.assigned_w}

    @property
    def pending(self) -> bool:
        """Whether a plan is asked for that is not in force yet."""
        return self._force or self._thinks

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
        """Ask for a new plan if something that matters has changed. ``currents`` = what the AC EVSEs ask for."""
        age = now - self._planned_at
        if self._thinks or (not self._force and age < REPLAN_MIN_NS):
            return
        grid = self._grid(currents)
        if grid is not None:
            site = site_load(self._spec, inputs, currents, now)
            drawn = dc_drawn_w(self._spec, inputs, self.plan, now)
            self._ac = observe(self._ac, grid, currents, site, now, self._phases_ma(drawn, site))
        key = (self._situation(requests, inputs.groups), self._ac_situation(currents), not house_known(self._spec, inputs, now))
        waits = self._force or self._pending or self._dc_waits
        if not waits and key == self._key:
            asking = age >= REPLAN_NS and (any(r.request_w for r in requests) or any(r.wanted_ma for r in currents))
            if not asking:
                return
        if grid is None:
            site = site_load(self._spec, inputs, currents, now)
            drawn = dc_drawn_w(self._spec, inputs, self.plan, now)
        self.count += 1
        self._turns = look(self._turns, requests, self.plan, now)
        question = Replan(
            spec=self._spec,
            settings=self.in_force,
            requests=tuple(requests),
            groups=inputs.groups,
            prior=None if self._fresh else self.plan,
            version=1 if self.plan is None else self.plan.version + 1,
            now=now,
            turns=self._turns,
            grid=grid,
            currents=tuple(currents),
            site=site,
            memory=self._ac,
            allowed=self.allowed,
            drawn_w=drawn,
            followers=self._dc,
        )
        fresh = self._fresh
        self._key, self._force, self._fresh, self._planned_at = key, False, False, now
        self._thinks = True
        try:
            self._thinker.ask(question, partial(self._take, question))
        except Exception:
            self._thinks, self._force, self._fresh = False, True, fresh
            raise

    def _take(self, q: Replan, a: Answer | None) -> None:
        """Put the plan in force that answers ``q``. Limits that have fallen meanwhile cut it in the next tick (`plan_now`)."""
        self._thinks = False
        if not isinstance(a, Replanned):
            self._force = True
            return
        self._asked, self._ac_problem = (q.requests, q.groups, a.dc_site_w), None
        self._dc, self._dc_waits = a.followers, a.waits
        if a.shares is not None:
            self._house_ma = q.memory.house_ma if q.spec.has_site_meter else (0, 0, 0)
            self._caps = _caps(q.spec.grid, q.allowed, self._house_ma)
            self._ac, self._pending, self._ac_problem = a.shares.memory, a.shares.pending, a.shares.problem
        plan = a.plan
        if self.plan is not None and self.plan.version >= plan.version:  # it was cut meanwhile
            plan = replace(plan, version=self.plan.version + 1)
        if plan_changed(self.plan, plan):
            self.plan = plan

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
        asked = build_problem(self._spec, settings, requests, groups, self.plan, now, freed(self._turns), dc_w)
        return lambda: more_dc(view, asked, settings)

    def _grid(self, currents: Sequence[CurrentRequest]) -> GridSpec | None:
        """The connection that EVSEs share; None = they share no limit, or only DC EVSEs share one of power."""
        if self._spec.grid is None and not (currents and self.in_force.site_caps()):
            self._ac, self._pending = AcMemory(), False
            return None
        return self._spec.grid or GridSpec()

    def _ac_situation(self, currents: Sequence[CurrentRequest]) -> object:
        if not currents:
            return ()
        grid = self._spec.grid
        draws = grid is not None and grid.imbalance_ma >= 0  # what one vehicle stops drawing may leave the others unbalanced
        known = {p.evse_id: p for p in self._ac.points}
        points = [known.get(r.evse_id) or self._ac.point(r.evse_id) for r in currents]
        return (
            [(r.evse_id, r.wanted_ma, r.lines, r.rotation) for r in currents],
            [(p.draw.ceiling_ma, p.lines, p.idle, p.held_ma, p.ignores_ma // LOAD_STEP_MA, p.switched_at) for p in points],
            [-(-ma // LOAD_STEP_MA) for ma in self._ac.house_ma],
            [max(0, p.share_ma - (r.measured_ma or 0)) // DRAW_STEP_MA for p, r in zip(points, currents, strict=True)] if draws else (),
        )

    def _situation(self, requests: Sequence[PowerRequest], groups: Sequence[GroupReading]) -> object:
        """What matters of requests and module groups, coarsely; made anew when they are not those of the tick before."""
        if requests != self._seen[0] or groups != self._seen[1]:
            self._seen = (requests, groups, self._coarse(requests, groups))
        return self._seen[2]

    @staticmethod
    def _coarse(requests: Sequence[PowerRequest], groups: Sequence[GroupReading]) -> object:
        return (
            [
                (r.evse_id, -(-r.request_w // REQUEST_STEP_W), -(-r.limit_w // REQUEST_STEP_W), r.charging_since, r.barred)
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


def _caps(grid: GridSpec | None, allowed: Allowance | None, house_ma: tuple[int, int, int]) -> tuple[Cap, ...]:
    """Return limits per phase, other loads taken off: everybody, then each fuse."""
    if grid is None:
        return ()
    top = grid.fuse_ma or UNLIMITED_MA
    own = (UNLIMITED_MA,) * 3 if allowed is None else allowed.limit_ma
    limits = [min(a, top - b) for a, b in zip(own, house_ma, strict=True)]
    return (
        Cap(limit_ma=(limits[0], limits[1], limits[2])),
        *(Cap(limit_ma=(f.fuse_ma, f.fuse_ma, f.fuse_ma), evses=f.evses) for f in grid.fuses),
    )


def _fell(before: Cap, now: Cap) -> bool:
    """Tell whether a limit is lower on any phase, or holds for others."""
    return before.evses != now.evses or any(b < a for a, b in zip(before.limit_ma, now.limit_ma, strict=True))
