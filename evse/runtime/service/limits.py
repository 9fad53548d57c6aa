"""Operations on limits: every source with value and age, and the named current limits of other programs."""

from __future__ import annotations

from typing import Final

from evse.api import models as m
from evse.api import models_ac as ac
from evse.api.caller import Caller
from evse.api.errors import ApiError, ErrorCode
from evse.core.inputs import SetDynamicLimit
from evse.domain.ac import OFFER_MIN_MA
from evse.domain.limits import LimitEntry, LimitSource
from evse.domain.view import EvseView
from evse.domain.view_ac import AcView
from evse.planner.explain import explain
from evse.runtime.station import Station

SOURCES: Final = {
    LimitSource.SITE: "the site limit",
    LimitSource.OCPP_STATIC: "the static OCPP limit",
    LimitSource.CSMS: "the back end",
    LimitSource.CABLE: "the cable",
    LimitSource.HARDWARE: "the hardware",
    LimitSource.MODULES: "the power modules",
    LimitSource.THERMAL: "the temperature",
    LimitSource.EV: "the vehicle",
    LimitSource.PLAN: "the planner",
    LimitSource.USER: "the operator",
    LimitSource.FAILSAFE: "the fail-safe limit",
    LimitSource.GRID: "the grid connection",
    LimitSource.EVSE: "the wiring of the station",
    LimitSource.DYNAMIC: "a limit of another program",
    LimitSource.FALLBACK: "the fallback limit",
    LimitSource.RULE: "an event action",
    LimitSource.OVER_CURRENT: "over-current",
    LimitSource.OUT_OF_BALANCE: "the balance of the phases",
}


class LimitOperations:
    """``limits.*``."""

    _station: Station

    async def limits_explain(self, request: ac.AcQuery, caller: Caller) -> ac.LimitsExplanations:
        """Every limit, the binding one first."""
        return ac.LimitsExplanations(items=tuple(self._explanation(e) for e in self._evses(request.evse_id)))

    async def limits_list(self, request: ac.AcQuery, caller: Caller) -> ac.DynamicLimits:
        """Named limits."""
        rows: list[ac.DynamicLimitRow] = []
        for evse in self._evses(request.evse_id):
            if evse.ac is None:
                continue
            rows += [
                ac.DynamicLimitRow(
                    name=x.name, evse_id=evse.evse_id, current_ma=x.current_ma, age_s=x.age_s, stale=x.stale
                )
                for x in evse.ac.dynamic
            ]
            if evse.ac.dynamic_ignored:
                rows.append(
                    ac.DynamicLimitRow(
                        name=evse.ac.dynamic_ignored, evse_id=evse.evse_id, current_ma=None, age_s=None, ignored=True
                    )
                )
        return ac.DynamicLimits(items=tuple(rows))

    async def limits_set(self, request: ac.LimitSet, caller: Caller) -> m.Done:
        """Set a named limit."""
        self._need_ac(request.evse_id)
        return await self._set(request.name, request.current_ma, request.evse_id)

    async def limits_clear(self, request: ac.LimitRef, caller: Caller) -> m.Done:
        """Remove a named limit; one that is not there is success without change."""
        self._need_ac(request.evse_id)
        sides = [e.ac for e in self._evses(request.evse_id) if e.ac is not None]
        names = {x.name for side in sides for x in side.dynamic} | {side.dynamic_ignored for side in sides}
        if request.name not in names:
            have = ", ".join(sorted(names - {""})) or "none"
            return m.Done(changed=False, detail=f"there is no limit {request.name!r}; limits: {have}")
        return await self._set(request.name, None, request.evse_id)

    async def _set(self, name: str, current_ma: int | None, evse_id: int) -> m.Done:
        refusal = await self._station.loop.ask(
            lambda seq: SetDynamicLimit(seq=seq, evse_id=evse_id, name=name, current_ma=current_ma)
        )
        if refusal:
            raise ApiError(ErrorCode.CONFLICT, refusal, "see what is set: evsectl limits list")
        return m.Done()

    def _evses(self, evse_id: int) -> tuple[EvseView, ...]:
        evses = self._station.view().evses
        found = tuple(e for e in evses if evse_id in (0, e.evse_id))
        if not found:
            known = ", ".join(str(e.evse_id) for e in evses)
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no connector {evse_id}", f"connectors: {known}")
        return found

    def _need_ac(self, evse_id: int) -> None:
        if any(e.ac is not None for e in self._evses(evse_id)):
            return
        known = ", ".join(str(e.evse_id) for e in self._station.view().evses if e.ac is not None) or "none"
        who = f"connector {evse_id} is a DC connector" if evse_id else "this station has no AC connector"
        raise ApiError(ErrorCode.CONFLICT, f"{who}; named limits are currents of AC", f"AC connectors: {known}")

    def _explanation(self, evse: EvseView) -> ac.LimitsExplanation:
        if evse.ac is None:
            planner = self._station.planner
            told = explain(evse, planner.plan, planner.in_force, self._station.clock.now())
            return ac.LimitsExplanation(
                evse_id=evse.evse_id, kind="dc", text=told.text, offered_w=evse.offered_w, offered_ma=None,
                physical_ma=None, physical_w=None, limits=told.limits,
            )  # fmt: skip
        side = evse.ac
        return ac.LimitsExplanation(
            evse_id=evse.evse_id,
            kind="ac",
            text=sentence(evse, side),
            offered_w=evse.offered_w,
            offered_ma=side.offered_ma,
            physical_ma=side.physical_ma,
            physical_w=self._physical_w(evse.evse_id, side),
            limits=evse.limits,
        )

    def _physical_w(self, evse_id: int, side: AcView) -> int:
        spec = next((e.ac for e in self._station.spec.evses if e.evse_id == evse_id), None)
        volt = spec.nominal_mv if spec is not None else 0
        return side.physical_ma * side.phases_next * volt // 1_000_000


def amps(current_ma: int) -> str:
    """Return a current in A, with a decimal only where it says something."""
    return f"{current_ma / 1000:.1f}".removesuffix(".0") + " A"


def sentence(evse: EvseView, side: AcView) -> str:
    """Say in one sentence what an AC connector offers and why."""
    who = f"Connector {evse.evse_id}"
    binding: LimitEntry | None = next((x for x in evse.limits if x.binds), None)
    why = ""
    if binding is not None:
        value = f" ({amps(binding.current_ma)})" if binding.current_ma is not None else ""
        detail = f": {binding.detail}" if binding.detail else ""
        why = f"{SOURCES[binding.source]}{value}{detail}"
    if side.offered_ma:
        phases = f"{side.phases_next} phase" + ("s" if side.phases_next > 1 else "")
        text = f"{who} offers {amps(side.offered_ma)} on {phases}, {evse.offered_w / 1000:.1f} kW"
        return f"{text}; limited by {why}." if why else f"{text}."
    if not evse.plugged:
        return f"{who} offers nothing: no vehicle is connected."
    if side.pause:
        return f"{who} offers nothing: it waits for {side.pause}."
    if evse.session is None or evse.session.started_at is None or evse.session.ended_at is not None:
        text = f"{who} offers nothing: no transaction is open"
        return f"{text}; the lowest limit is {why}." if why else f"{text}."
    if binding is not None and binding.current_ma is not None and binding.current_ma < OFFER_MIN_MA:
        return f"{who} offers nothing, less than 6 A is no offer; limited by {why}."
    return f"{who} offers nothing: it waits for {evse.waiting_for or 'the vehicle'}."
