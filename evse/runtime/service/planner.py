"""Operations on the planner: settings in force, hot changes, assignments, and why each connector gets what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.domain.limits import CurrentAllocation, GroupAssignment
from evse.domain.readings import Sample
from evse.domain.station import EvseKind, GroupSpec, Topology
from evse.planner.explain import explain
from evse.planner.live import PlannerSettingsW
from evse.runtime.settings import save_planner_settings
from evse.runtime.station import Station
from evse.runtime.totals import Account
from evse.units import NS_PER_S, WallNs, power_w

LIMIT_MAX_W = 10_000_000
PHASES = 3
PLANNED_S = 0.12
"""Two ticks: the answer to a change shows the plan that follows from it."""

PLANNED_MAX_S = 3.0
"""Longest that an answer waits for a plan that is worked out beside the loop; then it shows the one in force."""


def _ac_watts(station: Station, currents: tuple[CurrentAllocation, ...]) -> tuple[int, int, int]:
    """Return what all AC EVSEs of the plan want, may have and get, in W at the nominal voltage."""
    nominal_mv = station.spec.nominal_mv

    def watts(line_ma: Callable[[CurrentAllocation], int]) -> int:
        return sum(power_w(nominal_mv, line_ma(row)) * len(row.phases) for row in currents)

    return watts(lambda row: row.requested_ma), watts(lambda row: row.target_ma), watts(lambda row: row.assigned_ma)


def _allowed(station: Station) -> m.Allowed | None:
    now = station.planner.allowed
    if now is None:
        return None
    return m.Allowed(limit_ma=now.limit_ma, words=now.words, shedding=now.shedding, until_minute=now.next_minute)


def _totals(account: Account, since: WallNs | None = None) -> m.PlannerTotals:
    return m.PlannerTotals(
        since=since,
        counted_s=account.passed // NS_PER_S,
        peak_w=account.peak_w,
        site_peak_w=account.site_peak_w,
        sources=tuple(m.SourceTotal(source=r.source, limited_s=r.limited_s, energy_wh=r.energy_wh) for r in account.sources()),
        evses=tuple(m.EvseTotal(evse_id=r.evse_id, peak_w=r.peak_w, energy_wh=r.energy_wh) for r in account.evses()),
    )


class PlannerOperations:
    """``planner.*``."""

    _station: Station

    async def planner_get(self, request: Empty, caller: Caller) -> m.PlannerState:
        """Settings, plan and groups."""
        return self._planner_state()

    async def planner_set(self, request: m.PlannerChange, caller: Caller) -> m.PlannerState:
        """Change limits; they hold from the next tick on and survive a restart."""
        planner = self._station.planner
        base = planner.file_settings if request.reset else planner.settings
        wanted = {
            "site_limit_w": request.limit_w,
            "ocpp_limit_w": request.ocpp_limit_w,
            "group_power_w": request.group_power_w,
            "max_groups": request.max_groups,
            "allow_cross": request.allow_cross,
        }
        for key, value in wanted.items():
            if value is not None and not 0 <= int(value) <= LIMIT_MAX_W:
                raise ApiError(ErrorCode.INVALID, f"{key} = {value}: must be 0..{LIMIT_MAX_W}", "0 means no limit")
        settings = PlannerSettingsW(
            **{
                **msgspec.structs.asdict(base),
                **{key: value for key, value in wanted.items() if value is not None},
                **self._operator(request),
            }
        )
        if settings != planner.settings:
            await save_planner_settings(self._station.store, settings, planner.file_settings)
            who = "configuration" if settings == planner.file_settings else caller.user
            planner.change(settings, self._station.clock.now(), who)
            await self._planned()
        return self._planner_state()

    def _operator(self, request: m.PlannerChange) -> dict[str, tuple[int, int, int] | None]:
        """The operator's limit per phase as asked for; the installer's stands above it."""
        wanted, grid = request.operator_ma, self._station.spec.grid
        if wanted is None:
            return {}
        if not wanted:
            return {"operator_ma": None}
        if len(wanted) != PHASES:
            raise ApiError(ErrorCode.INVALID, f"operator_ma = {list(wanted)}: must be three currents", "L1, L2, L3 in mA")
        if grid is None:
            raise ApiError(ErrorCode.CONFLICT, "no AC connectors share a limit", "add [site.grid] to the configuration")
        for k, (ma, most) in enumerate(zip(wanted, grid.own_ma or wanted, strict=True)):
            if ma > most:
                text = f"operator_ma on L{k + 1} = {ma} mA: the installer's limit is {most} mA"
                raise ApiError(ErrorCode.CONFLICT, text, "ask for no more than site.grid.own_a")
        return {"operator_ma": (wanted[0], wanted[1], wanted[2])}

    async def planner_recompute(self, request: Empty, caller: Caller) -> m.PlannerState:
        """Plan again."""
        self._station.planner.recompute()
        await self._planned()
        return self._planner_state()

    async def _planned(self) -> None:
        """Wait for the plan that follows from what was just asked for."""
        for _ in range(int(PLANNED_MAX_S / PLANNED_S)):
            await asyncio.sleep(PLANNED_S)
            if not self._station.planner.pending:
                return

    async def planner_explain(self, request: m.ExplainQuery, caller: Caller) -> m.Explanations:
        """One sentence and all caps per connector; of one that is named also what would give it more."""
        station = self._station
        plan, settings, now = station.planner.plan, station.planner.in_force, station.clock.now()
        evses = [evse for evse in station.view().evses if request.evse_id in (0, evse.evse_id)]
        if not evses:
            known = ", ".join(str(evse.evse_id) for evse in station.view().evses)
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no connector {request.evse_id}", f"connectors: {known}")
        items = []
        for evse in evses:
            told = explain(evse, plan, settings, now)
            choice = station.planner.phases.words(evse.evse_id)
            asks = request.evse_id and evse.session is not None
            more = await station.offload(station.planner.more(evse, now)) if asks else ()
            caps = (*told.limits, *station.planner.caps(evse.evse_id))
            items.append(
                m.Explanation(evse_id=evse.evse_id, offered_w=evse.offered_w, text=told.text, phases=choice, limits=caps, more=more)
            )
        return m.Explanations(items=tuple(items))

    def _planner_state(self) -> m.PlannerState:
        station = self._station
        s, f = station.planner.settings, station.planner.file_settings
        plan, view = station.planner.plan, station.view()
        rows = plan.allocations if plan is not None else ()
        wanted, target, given = _ac_watts(station, plan.currents if plan is not None else ())
        return m.PlannerState(
            settings=m.PlannerSettings(
                limit_w=s.site_limit_w,
                ocpp_limit_w=s.ocpp_limit_w,
                group_power_w=s.group_power_w,
                max_groups=s.max_groups,
                allow_cross=s.allow_cross,
                file_limit_w=f.site_limit_w,
                file_ocpp_limit_w=f.ocpp_limit_w,
                file_group_power_w=f.group_power_w,
                file_max_groups=f.max_groups,
                file_allow_cross=f.allow_cross,
                override=s != f,
                operator_ma=s.operator_ma,
                file_operator_ma=f.operator_ma,
                own_ma=None if station.spec.grid is None else station.spec.grid.own_ma,
            ),
            allowed=_allowed(station),
            total=_totals(station.planner.totals.total, station.planner.totals.since),
            today=_totals(station.planner.totals.today),
            plan=plan,
            groups=tuple(self._group_row(index, group) for index, group in enumerate(station.spec.groups)),
            requested_w=sum(a.requested_w for a in rows) + wanted,
            offered_w=sum(a.offered_w for a in rows),
            allowed_w=sum(a.allowed_w for a in rows) + target,
            assigned_w=sum(a.assigned_w for a in rows) + given,
            shared_chains=sum(1 for a in rows if len(a.chain) > 1),
            bms_stale=sum(1 for e in view.evses if e.bms_stale),
            site_power_w=station.site_power_w(),
        )

    def _group_row(self, index: int, group: GroupSpec) -> m.GroupRow:
        station = self._station
        plan = station.planner.plan
        assignments: tuple[GroupAssignment, ...] = plan.groups if plan is not None else ()
        owner = next((a.owner for a in assignments if a.group_id == group.group_id), None)
        reading = station.devices.modules.reading(group.group_id) if station.devices.modules is not None else None
        status = reading.value if isinstance(reading, Sample) else None
        return m.GroupRow(
            group_id=group.group_id,
            home_evse=group.home_evse,
            owner=owner,
            role="idle" if owner is None else "home" if owner == group.home_evse else "donor",
            on=status is not None and status.on,
            tie=self._contacts(index) if station.spec.topology is Topology.MATRIX else self._tie(index, group),
            contribution_w=power_w(status.voltage_mv, status.current_ma) if status is not None and status.on else 0,
            modules=group.modules,
            modules_present=status.modules_present if status is not None else 0,
            voltage_mv=status.voltage_mv if status is not None else None,
            current_ma=status.current_ma if status is not None else None,
            temperature_dc=status.temperature_dc if status is not None else None,
            faults=status.faults if status is not None else (),
            feeds=self._feeds(index) if station.spec.topology is Topology.MATRIX else (),
        )

    def _contact(self, evse_id: int, index: int) -> bool | None:
        """Return whether the contact of a matrix is closed; None = not known."""
        reading = self._station.devices.boards[evse_id].reading()
        contacts = reading.value.contacts if isinstance(reading, Sample) else None
        return contacts.state(index) if contacts is not None else None

    def _feeds(self, index: int) -> tuple[int, ...]:
        evses = (e.evse_id for e in self._station.spec.evses if e.kind is EvseKind.DC)
        return tuple(evse_id for evse_id in evses if self._contact(evse_id, index))

    def _contacts(self, index: int) -> str:
        """Return the contacts of one group in a word; what differs from its command moves."""
        outputs = self._station.loop.outputs
        told = {o.evse_id: o.board.contacts >> index & 1 == 1 for o in outputs.evses} if outputs is not None else {}
        evses = [e.evse_id for e in self._station.spec.evses if e.kind is EvseKind.DC]
        states = {evse_id: self._contact(evse_id, index) for evse_id in evses}
        if None in states.values():
            return "unknown"
        if any(state != told.get(evse_id, False) for evse_id, state in states.items()):
            return "moving"
        return "closed" if any(states.values()) else "open"

    def _tie(self, index: int, group: GroupSpec) -> str:
        station = self._station
        last = index == len(station.spec.groups) - 1
        if group.home_evse is None or (last and station.spec.topology is not Topology.RING):
            return "none"
        reading = station.devices.boards[group.home_evse].reading()
        if not isinstance(reading, Sample):
            return "unknown"
        wanted = station.loop.outputs is not None and any(
            o.evse_id == group.home_evse and o.board.tie_close for o in station.loop.outputs.evses
        )
        if reading.value.tie_closed != wanted:
            return "moving"
        return "closed" if wanted else "open"
