"""Operations on AC connectors: release, lock, residual current, phases, ISO 15118, ventilation. The core decides."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from evse.api import models as m
from evse.api import models_ac as ac
from evse.api.caller import Caller
from evse.api.errors import ApiError, ErrorCode
from evse.core.inputs import (
    AnyCommand,
    ForceUnlock,
    HlcRequest,
    SetChargingAllowed,
    SetPermission,
    SetPhases,
    SetVentilation,
    TestRcd,
    UnlockConnector,
)
from evse.domain.ac import LockMode, ReleaseMode
from evse.domain.view import EvseView
from evse.domain.view_ac import AcView
from evse.runtime.station import Station


class AcOperations:
    """``connector.allow`` and others, ``lock.*``, ``rcd.*``, ``phase.*``, ``hlc.*``, ``ventilation.*``."""

    _station: Station

    async def connector_allow(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """Let a paused connector go on."""
        _, side = self._ac(request.evse_id)
        if side.allowed:
            return m.Done(changed=False, detail=f"connector {request.evse_id} is not paused")
        return await self._ask(lambda seq: SetChargingAllowed(seq=seq, evse_id=request.evse_id, allowed=True))

    async def connector_pause(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """Offer nothing, the session goes on."""
        _, side = self._ac(request.evse_id)
        if not side.allowed:
            return m.Done(changed=False, detail=f"connector {request.evse_id} is paused already")
        return await self._ask(lambda seq: SetChargingAllowed(seq=seq, evse_id=request.evse_id, allowed=False))

    async def connector_release(self, request: ac.PermissionRequest, caller: Caller) -> m.Done:
        """Permission of the person on site."""
        self._ac(request.evse_id)
        return await self._ask(
            lambda seq: SetPermission(
                seq=seq,
                evse_id=request.evse_id,
                mode=ReleaseMode.DASHBOARD,
                allowed=True,
                id_token=request.id_token,
            )
        )

    async def connector_withdraw(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """Take it back."""
        self._ac(request.evse_id)
        return await self._ask(
            lambda seq: SetPermission(
                seq=seq, evse_id=request.evse_id, mode=ReleaseMode.DASHBOARD, allowed=False
            )
        )

    # -- lock ---------------------------------------------------------------------------------------------------------

    async def lock_status(self, request: ac.AcQuery, caller: Caller) -> ac.Locks:
        """Plug locks."""
        rows = [
            ac.LockRow(evse_id=e.evse_id, plugged=e.plugged, fitted=side.lock is not None, lock=side.lock)
            for e, side in self._chosen(request.evse_id)
        ]
        return ac.Locks(items=tuple(rows))

    async def lock_unlock(self, request: ac.UnlockRequest, caller: Caller) -> m.Done:
        """Stop and unlock."""
        evse_id = request.evse_id
        _, side = self._ac(evse_id)
        if side.lock is None:
            raise ApiError(ErrorCode.CONFLICT, f"connector {evse_id} has no plug lock")
        if not request.hold:
            return await self._ask(lambda seq: UnlockConnector(seq=seq, evse_id=evse_id))
        if side.lock.forced:
            return m.Done(changed=False, detail=f"connector {evse_id} is unlocked until the plug is out")
        return await self._ask(lambda seq: ForceUnlock(seq=seq, evse_id=evse_id, on=True))

    async def lock_lock(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """The lock follows the session again; in mode remote it locks."""
        evse_id = request.evse_id
        _, side = self._ac(evse_id)
        remote = side.lock is not None and side.lock.mode == LockMode.REMOTE.value
        if side.lock is not None and not side.lock.forced and not remote:
            return m.Done(changed=False, detail=f"the lock of connector {evse_id} follows its session")
        done = await self._ask(lambda seq: ForceUnlock(seq=seq, evse_id=evse_id, on=False))
        return replace(done, detail=f"connector {evse_id}: locking, until it is unlocked") if remote else done

    # -- residual current, phases -------------------------------------------------------------------------------------

    async def rcd_status(self, request: ac.AcQuery, caller: Caller) -> ac.Rcds:
        """Residual current monitors."""
        rows = [
            ac.RcdRow(evse_id=e.evse_id, fitted=side.rcd is not None, rcd=side.rcd)
            for e, side in self._chosen(request.evse_id)
        ]
        return ac.Rcds(items=tuple(rows))

    async def rcd_test(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """Run the self-test."""
        self._ac(request.evse_id)
        return await self._ask(lambda seq: TestRcd(seq=seq, evse_id=request.evse_id))

    async def phase_show(self, request: ac.AcQuery, caller: Caller) -> ac.Phases:
        """Phases in use and possible."""
        rows = [
            ac.PhaseRow(
                evse_id=e.evse_id,
                phases=side.phases,
                phases_next=side.phases_next,
                phases_wired=side.phases_wired,
                switchable=side.phase_switch,
                switching=side.phases_switching,
                current_l_ma=side.current_l_ma,
                voltage_l_mv=side.voltage_l_mv,
            )
            for e, side in self._chosen(request.evse_id)
        ]
        return ac.Phases(items=tuple(rows))

    async def phase_set(self, request: ac.PhaseSet, caller: Caller) -> m.Done:
        """Switch between one and three phases."""
        _, side = self._ac(request.evse_id)
        caller.note.old = f"phases={side.phases_next}"
        if side.phase_switch and side.phases_next == request.phases and not side.phases_switching:
            return m.Done(changed=False, detail=f"connector {request.evse_id} is set to {request.phases} already")
        return await self._ask(
            lambda seq: SetPhases(seq=seq, evse_id=request.evse_id, phases=request.phases, delay_s=request.delay_s)
        )

    # -- ISO 15118, ventilation ---------------------------------------------------------------------------------------

    async def hlc_show(self, request: ac.AcQuery, caller: Caller) -> ac.HlcRows:
        """Digital communication."""
        rows = [
            ac.HlcRow(
                evse_id=e.evse_id,
                mode=side.hlc,
                evcc_id=e.session.evcc_id if e.session is not None else "",
                soc_pct=e.soc_pct,
                v2g=side.v2g,
                session=side.hlc_session,
            )
            for e, side in self._chosen(request.evse_id)
        ]
        return ac.HlcRows(items=tuple(rows))

    async def hlc_request(self, request: ac.HlcAsk, caller: Caller) -> m.Done:
        """Ask the vehicle for something."""
        self._ac(request.evse_id)
        return await self._ask(lambda seq: HlcRequest(seq=seq, evse_id=request.evse_id, what=request.what))

    async def ventilation_show(self, request: ac.AcQuery, caller: Caller) -> ac.Ventilations:
        """Ventilation."""
        rows = [
            ac.VentilationRow(evse_id=e.evse_id, fitted=side.ventilation is not None, ventilation=side.ventilation)
            for e, side in self._chosen(request.evse_id)
        ]
        return ac.Ventilations(items=tuple(rows))

    async def ventilation_set(self, request: ac.VentilationSet, caller: Caller) -> m.Done:
        """What an external ventilation does."""
        self._ac(request.evse_id)
        if request.available is None and request.on is None:
            raise ApiError(ErrorCode.BAD_REQUEST, "nothing to set", "give available, on, or both")
        return await self._ask(
            lambda seq: SetVentilation(
                seq=seq, evse_id=request.evse_id, available=request.available, on=request.on
            )
        )

    # -- steps --------------------------------------------------------------------------------------------------------

    async def _ask(self, make: Callable[[int], AnyCommand]) -> m.Done:
        refusal = await self._station.loop.ask(make)
        if refusal:
            raise ApiError(ErrorCode.CONFLICT, refusal)
        return m.Done()

    def _ac(self, evse_id: int) -> tuple[EvseView, AcView]:
        """One AC connector."""
        return self._chosen(evse_id)[0]

    def _chosen(self, evse_id: int) -> list[tuple[EvseView, AcView]]:
        """One AC connector, or all of them for 0."""
        evses = self._station.view().evses
        found = [(e, e.ac) for e in evses if e.ac is not None]
        if not evse_id:
            return found
        for evse, side in found:
            if evse.evse_id == evse_id:
                return [(evse, side)]
        known = ", ".join(str(e.evse_id) for e, _ in found) or "none"
        if any(e.evse_id == evse_id for e in evses):
            raise ApiError(ErrorCode.CONFLICT, f"connector {evse_id} is a DC connector", f"AC connectors: {known}")
        raise ApiError(ErrorCode.NOT_FOUND, f"there is no connector {evse_id}", f"AC connectors: {known}")
