"""`evse.api.service.StationService` on a running station: all nouns together, the streams, and who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evse.access.control import AccessControl
from evse.api import models as m
from evse.api.auth import AuthOperations
from evse.api.stream import EventHub
from evse.domain.view import Event, StationView
from evse.ocpp.log_view import Pairing
from evse.runtime.service.ac import AcOperations
from evse.runtime.service.backend import BackendOperations
from evse.runtime.service.config import ConfigOperations
from evse.runtime.service.connectors import ConnectorOperations
from evse.runtime.service.data_transfer import DataLeases, DataOperations
from evse.runtime.service.devices import DeviceOperations
from evse.runtime.service.faults import FaultOperations
from evse.runtime.service.io import IoOperations
from evse.runtime.service.limits import LimitOperations
from evse.runtime.service.meters import MeterOperations
from evse.runtime.service.planner import PlannerOperations
from evse.runtime.service.rules import RuleOperations
from evse.runtime.service.schedules import ScheduleOperations
from evse.runtime.service.securing import SecurityOperations
from evse.runtime.service.sessions import SessionOperations
from evse.runtime.service.system import SystemOperations, make_status
from evse.runtime.service.whitelist import WhitelistOperations
from evse.runtime.station import Station


class RuntimeService(
    AuthOperations,
    SystemOperations,
    ConnectorOperations,
    SessionOperations,
    FaultOperations,
    PlannerOperations,
    BackendOperations,
    ScheduleOperations,
    SecurityOperations,
    DataOperations,
    RuleOperations,
    ConfigOperations,
    DeviceOperations,
    AcOperations,
    LimitOperations,
    IoOperations,
    MeterOperations,
    WhitelistOperations,
):
    """Every operation of the registry."""

    def __init__(self, station: Station, control: AccessControl, hub: EventHub) -> None:
        self._station = station
        self._access = control
        self._hub = hub
        self._leases = DataLeases()
        self._pairing = Pairing()
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
