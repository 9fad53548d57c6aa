"""Operations on charging profiles: what is installed, what follows from it, and why."""

from __future__ import annotations

from typing import Final

from evse.api import models_ocpp as o
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.domain.limits import LimitEntry, LimitSource
from evse.ocpp.messages import Payload, parse_timestamp
from evse.ocpp.schedule_explain import ScheduleExplanation
from evse.planner.composite import ChargingProfile
from evse.planner.explain import explain
from evse.runtime.service.backend import client_of
from evse.runtime.service.limits import SOURCES
from evse.runtime.station import Station
from evse.units import NS_PER_S

STATION_SOURCES: Final = (LimitSource.SITE, LimitSource.OCPP_STATIC, LimitSource.CSMS)


class ScheduleOperations:
    """``ocpp.profiles``, ``ocpp.composite``, ``ocpp.explain``."""

    _station: Station

    async def ocpp_profiles(self, request: Empty, caller: Caller) -> o.OcppProfiles:
        """Installed profiles, oldest first."""
        return o.OcppProfiles(items=tuple(profile_model(p) for p in client_of(self._station).charging.profiles()))

    async def ocpp_composite(self, request: o.OcppCompositeQuery, caller: Caller) -> o.OcppComposite:
        """The answer that GetCompositeSchedule would get."""
        asked: Payload = {"connectorId": request.evse_id, "duration": request.duration_s}
        if request.unit:
            asked["chargingRateUnit"] = request.unit
        answer = (await client_of(self._station).charging.get_composite(asked)).payload
        if answer["status"] != "Accepted":
            raise self._missing(request.evse_id)
        schedule = answer["chargingSchedule"]
        start = parse_timestamp(schedule["startSchedule"]) or 0
        return o.OcppComposite(
            evse_id=request.evse_id, start_at=start, duration_s=schedule["duration"], unit=schedule["chargingRateUnit"],
            items=tuple(
                o.OcppCompositePeriod(
                    at=start + row["startPeriod"] * NS_PER_S, start_s=row["startPeriod"], limit=row["limit"],
                    phases=row.get("numberPhases"),
                )
                for row in schedule["chargingSchedulePeriod"]
            ),
        )  # fmt: skip

    async def ocpp_explain(self, request: o.OcppScheduleQuery, caller: Caller) -> o.OcppScheduleExplanations:
        """Every profile with its standing, for one connector or all."""
        charging = client_of(self._station).charging
        wanted = (request.evse_id,) if request.evse_id is not None else (0, *(e.evse_id for e in self._station.view().evses))
        items = []
        for evse_id in wanted:
            told = await charging.explain(evse_id)
            if told is None:
                raise self._missing(evse_id)
            items.append(explained(told, self._binding(told.evse_id)))
        return o.OcppScheduleExplanations(items=tuple(items))

    def _missing(self, evse_id: int) -> ApiError:
        have = ", ".join(str(e.evse_id) for e in self._station.view().evses)
        return ApiError(ErrorCode.NOT_FOUND, f"there is no connector {evse_id}", f"connectors: 0 (the station), {have}")

    def _binding(self, evse_id: int) -> LimitEntry | None:
        """What the planner and the connector let decide now; None = nothing is asked for, or nothing limits."""
        station = self._station
        if evse_id == 0:
            return self._binding_of_site()
        view = next(e for e in station.view().evses if e.evse_id == evse_id)
        if view.session is None:
            return None
        if view.ac is not None:
            return next((entry for entry in view.limits if entry.binds), None)
        told = explain(view, station.planner.plan, station.planner.in_force, station.clock.now())
        return next((entry for entry in told.limits if entry.binds), None)

    def _binding_of_site(self) -> LimitEntry | None:
        """The smallest cap on the whole site, when the plan has used it up."""
        planner = self._station.planner
        caps = [(power_w, source) for source, power_w in planner.in_force.site_caps() if source in STATION_SOURCES]
        plan = planner.plan
        if not caps or plan is None or not plan.allocations:
            return None
        power_w, source = min(caps, key=lambda cap: cap[0])
        wanted = sum(a.requested_w for a in plan.allocations)
        if not wanted or sum(a.assigned_w for a in plan.allocations) >= wanted:
            return None
        return LimitEntry(source=source, power_w=power_w, binds=True)


def explained(told: ScheduleExplanation, binding: LimitEntry | None) -> o.OcppScheduleExplanation:
    """Return an explanation as the API has it; ``binding`` = what limits charging now, None = nothing."""
    binds = None if binding is None else told.capped and binding.source is LimitSource.CSMS
    return o.OcppScheduleExplanation(
        evse_id=told.evse_id, at=told.at, calendar=told.calendar, session_id=told.session_id, rated_w=told.rated_w,
        power_w=told.power_w, current_ma=told.current_ma, capped=told.capped, changes_at=told.changes_at,
        next_power_w=told.next_power_w, binds=binds,
        binding="" if binding is None else ": ".join(filter(None, (SOURCES[binding.source], binding.detail))),
        text=sentence(told, binding),
        items=tuple(
            o.OcppScheduleRow(
                profile=profile_model(line.profile), standing=line.standing.value, why=line.why, decides=line.binds,
                period=line.period, power_w=line.power_w, current_ma=line.current_ma, changes_at=line.changes_at,
            )
            for line in told.lines
        ),
    )  # fmt: skip


def sentence(told: ScheduleExplanation, binding: LimitEntry | None) -> str:
    """Say what the profiles allow, and whether that is what limits."""
    who = f"Connector {told.evse_id}" if told.evse_id else "The station"
    if not told.lines:
        return f"No charging profile is installed; {who.lower() if not told.evse_id else who} may take its rating."
    if not told.capped:
        text = f"{who} may take its rating: no charging profile says less now."
    else:
        deciding = next((line.profile for line in told.lines if line.binds), None)
        name = f"profile {deciding.profile_id}" if deciding is not None else "a profile"
        text = f"{who} may take {told.power_w / 1000:.1f} kW ({told.current_ma / 1000:.1f} A) because of {name}."
    if binding is None:
        return f"{text} Nothing is limited by it now." if told.capped else text
    if binding.source is LimitSource.CSMS and told.capped:
        return f"{text} That is what limits charging now."
    return f"{text} What limits charging now is {SOURCES[binding.source]}."


def profile_model(p: ChargingProfile) -> o.OcppProfile:
    """Return a charging profile as the API has it."""
    return o.OcppProfile(
        profile_id=p.profile_id, evse_id=p.evse_id, purpose=p.purpose.value, stack_level=p.stack_level, profile_kind=p.kind.value,
        unit=p.unit.value, valid_from=p.valid_from, valid_to=p.valid_to, start_at=p.start, recurrence_s=p.recurrence_s,
        duration_s=p.duration_s, session_id=p.session_id, set_at=p.set_at,
        periods=tuple(o.OcppPeriod(start_s=x.start_s, limit=x.limit_deci / 10, phases=x.phases) for x in p.periods),
    )  # fmt: skip
