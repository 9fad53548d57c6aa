"""`evse.api.service.StationService` on a running station: all nouns together, the streams, and who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evse.access.control import AccessControl
from evse.access.ports import AccessError, Denial
from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.api.stream import EventHub
from evse.domain.view import Event, StationView
from evse.runtime.service.backend import BackendOperations
from evse.runtime.service.config import ConfigOperations
from evse.runtime.service.connectors import ConnectorOperations
from evse.runtime.service.devices import DeviceOperations
from evse.runtime.service.faults import FaultOperations
from evse.runtime.service.planner import PlannerOperations
from evse.runtime.service.sessions import SessionOperations
from evse.runtime.service.system import SystemOperations, make_status
from evse.runtime.station import Station

DENIALS: dict[Denial, ErrorCode] = {
    Denial.WRONG: ErrorCode.UNAUTHENTICATED,
    Denial.LOCKED: ErrorCode.LOCKED_OUT,
    Denial.NO_PIN: ErrorCode.UNAUTHENTICATED,
    Denial.BAD_PIN: ErrorCode.INVALID,
    Denial.NOT_OWNER: ErrorCode.FORBIDDEN,
    Denial.EXPIRED: ErrorCode.UNAUTHENTICATED,
}


class RuntimeService(
    SystemOperations,
    ConnectorOperations,
    SessionOperations,
    FaultOperations,
    PlannerOperations,
    BackendOperations,
    ConfigOperations,
    DeviceOperations,
):
    """Every operation of the registry."""

    def __init__(self, station: Station, control: AccessControl, hub: EventHub) -> None:
        self._station = station
        self._control = control
        self._hub = hub
        station.event_sinks.append(self._publish)
        station.view_sinks.append(self._changed)

    def _publish(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._hub.publish(event)

    def _changed(self, view: StationView) -> None:
        self._hub.changed()

    def status_stream(self, since: int | None) -> AsyncIterator[m.StreamItem]:
        """Snapshot, then changes at most twice a second, heartbeats."""
        return self._hub.status(lambda: make_status(self._station))

    def events_stream(self, since: int | None) -> AsyncIterator[m.StreamItem]:
        """Events as they happen; resume with ``since``."""
        return self._hub.events(since, lambda: make_status(self._station))

    async def auth_signin(self, request: m.SignIn, caller: Caller) -> m.Token:
        """Raise the role with the PIN."""
        try:
            issued = await self._control.sign_in(caller.uid, request.pin, request.totp)
        except AccessError as error:
            raise _denied(error) from error
        return m.Token(token=issued.token, role=issued.role.name.lower(), expires_at=issued.expires_at)

    async def auth_signout(self, request: Empty, caller: Caller) -> m.Done:
        """End the raised role."""
        return m.Done(changed=self._control.sign_out(caller.token))

    async def auth_set_pin(self, request: m.SetPin, caller: Caller) -> m.Done:
        """Set or change the PIN."""
        try:
            await self._control.set_pin(caller.uid, request.old, request.new)
        except AccessError as error:
            raise _denied(error) from error
        return m.Done()

    async def auth_whoami(self, request: Empty, caller: Caller) -> m.WhoAmI:
        """Role of the caller."""
        return m.WhoAmI(
            role=caller.role.name.lower(),
            user=caller.user,
            uid=caller.uid,
            pin_set=await self._control.pin_set(),
            locked_until=await self._control.locked_until(),
        )


def _denied(error: AccessError) -> ApiError:
    return ApiError(DENIALS[error.why], error.message, error.hint)
