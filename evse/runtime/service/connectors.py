"""Operations on connectors: each is a command to the core, which decides and may refuse with a reason."""

from __future__ import annotations

from collections.abc import Callable

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.core.inputs import AnyCommand, SetAvailability, StartSession, StopSession, UnlockConnector
from evse.domain.session import AuthSource, OperationalStatus, StopReason
from evse.domain.view import EvseView
from evse.runtime.station import Station
from evse.runtime.views import transaction_runs


class ConnectorOperations:
    """``connector.*``."""

    _station: Station

    async def connector_list(self, request: Empty, caller: Caller) -> m.Connectors:
        """All connectors."""
        return m.Connectors(items=self._station.view().evses)

    async def connector_get(self, request: m.EvseRef, caller: Caller) -> m.Connectors:
        """One connector."""
        return m.Connectors(items=(self._evse(request.evse_id),))

    async def connector_start(self, request: m.StartRequest, caller: Caller) -> m.Done:
        """Authorise a connector."""
        self._evse(request.evse_id)
        return await self._command(
            lambda seq: StartSession(seq=seq, evse_id=request.evse_id, id_token=request.id_token, source=AuthSource.API)
        )

    async def connector_stop(self, request: m.StopRequest, caller: Caller) -> m.Done:
        """Stop charging; nothing to stop is success without change."""
        evse = self._evse(request.evse_id)
        if not transaction_runs(evse):
            return m.Done(changed=False, detail=f"connector {request.evse_id} is not charging")
        return await self._command(lambda seq: StopSession(seq=seq, evse_id=request.evse_id, reason=StopReason.LOCAL))

    async def connector_enable(self, request: m.AvailabilityRequest, caller: Caller) -> m.Done:
        """Into service."""
        return await self._availability(request.evse_id, OperationalStatus.OPERATIVE)

    async def connector_disable(self, request: m.AvailabilityRequest, caller: Caller) -> m.Done:
        """Out of service, after a running session."""
        return await self._availability(request.evse_id, OperationalStatus.INOPERATIVE)

    async def connector_unlock(self, request: m.EvseRef, caller: Caller) -> m.Done:
        """Stop and unlock."""
        self._evse(request.evse_id)
        return await self._command(lambda seq: UnlockConnector(seq=seq, evse_id=request.evse_id))

    async def _availability(self, evse_id: int, status: OperationalStatus) -> m.Done:
        """Write one cell of the matrix: the connector's own, or the station's for 0. Both must be in service."""
        station = self._station.loop.state.availability[0].local
        if evse_id:
            cell = self._evse(evse_id).operational_local
            still_out = status is OperationalStatus.OPERATIVE and station is not status
            hint = "; the whole station is out of service: enable connector 0 (all)" if still_out else ""
        else:
            cell, hint = station, ""
        if cell is status:
            return m.Done(changed=False, detail=f"unchanged{hint}")
        done = await self._command(lambda seq: SetAvailability(seq=seq, evse_id=evse_id, origin="local", status=status))
        return m.Done(changed=done.changed, detail=hint.lstrip("; ")) if hint else done

    async def _command(self, make: Callable[[int], AnyCommand]) -> m.Done:
        refusal = await self._station.loop.ask(make)
        if refusal:
            raise ApiError(ErrorCode.CONFLICT, refusal)
        return m.Done()

    def _evse(self, evse_id: int) -> EvseView:
        evses = self._station.view().evses
        for evse in evses:
            if evse.evse_id == evse_id:
                return evse
        known = ", ".join(str(evse.evse_id) for evse in evses)
        raise ApiError(ErrorCode.NOT_FOUND, f"there is no connector {evse_id}", f"connectors of this station: {known}")
