"""The planner's place in the shell: when to plan, with which limits, and what the operator changed.

A new plan is made when a vehicle comes, goes or changes its mind, when module groups or limits change, and at least
every `REPLAN_NS` while somebody asks for power. A falling limit does not wait for it: the limits themselves are
inputs of the tick, which truncates at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from evse.core.inputs import GroupReading, Inputs
from evse.domain.limits import LimitSource, Plan, PowerLimit, PowerRequest
from evse.domain.readings import Sample
from evse.domain.station import StationSpec
from evse.planner.live import PlannerSettingsW, make_plan, plan_changed
from evse.units import NS_PER_MS, NS_PER_S, Instant

REPLAN_NS = 2 * NS_PER_S
REPLAN_MIN_NS = 250 * NS_PER_MS
REQUEST_STEP_W = 1000
"""Requests that moved by less than this since the last plan wait for the periodic one."""


class PlannerShell:
    """Keeps the settings in force, the limits they mean, and the last plan."""

    def __init__(self, spec: StationSpec, settings: PlannerSettingsW, now: Instant) -> None:
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
        self._limits_changed(now, "configuration")

    def change_spec(self, spec: StationSpec) -> None:
        """Plan with other ratings from now on."""
        self._spec = spec
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

    def recompute(self) -> None:
        """Plan again in the next pass, without regard to the prior plan."""
        self._fresh = True
        self._force = True

    def consider(self, requests: Sequence[PowerRequest], inputs: Inputs, now: Instant) -> None:
        """Make a new plan if something that matters has changed."""
        age = now - self._planned_at
        if not self._force and age < REPLAN_MIN_NS:
            return
        key = self._situation(requests, inputs.groups)
        asking = any(request.request_w for request in requests)
        if not self._force and key == self._key and not (asking and age >= REPLAN_NS):
            return
        self.count += 1
        version = 1 if self.plan is None else self.plan.version + 1
        prior = None if self._fresh else self.plan
        plan = make_plan(self._spec, self.in_force, requests, inputs.groups, prior, now, version)
        if plan_changed(self.plan, plan):
            self.plan = plan
        self._key, self._force, self._fresh, self._planned_at = key, False, False, now

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
