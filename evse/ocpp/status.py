"""StatusNotification: what OCPP 1.6 calls the state of a connector, and when it may be said.

`connector_status` and `station_status` derive the words; `StatusBoard` keeps what is wanted and what was said, holds
`MinimumStatusDuration` per connector without losing the last state, and lets faults go first.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from evse.domain.fault_table import vendor_code
from evse.domain.faults import FaultCode, FaultRecord, FaultSpec
from evse.domain.session import ChargingState, OperationalStatus, SessionPhase
from evse.domain.view import EvseView, StationView
from evse.units import NS_PER_S, DurationNs, Instant, WallNs

INFO_MAX = 50
CALM_NS: DurationNs = NS_PER_S
"""An AC EVSE without an offer for less than this is not paused: the share of a new transaction comes on its next tick."""

VENDOR_ERROR_MAX = 50

_BY_PHASE = {
    SessionPhase.IDLE: "Available",
    SessionPhase.PLUGGED: "Preparing",
    SessionPhase.SLAC: "Preparing",
    SessionPhase.HLC_SETUP: "Preparing",
    SessionPhase.WAIT_AUTH: "Preparing",
    SessionPhase.CABLE_CHECK: "Preparing",
    SessionPhase.PRE_CHARGE: "Preparing",
    SessionPhase.CHARGING: "Charging",
    SessionPhase.SUSPENDED: "SuspendedEV",
    SessionPhase.STOPPING: "Finishing",
    SessionPhase.FINISHED: "Finishing",
    SessionPhase.FAULTED: "Faulted",
    SessionPhase.UNAVAILABLE: "Unavailable",
}


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What a StatusNotification says, without its time."""

    status: str
    error_code: str = "NoError"
    info: str = ""  # number and name of the fault, e.g. "F4 InsulationFault"
    vendor_error: str = ""  # the maker's code, or our number, e.g. "F4"


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """What is told beside the state (Juice web interface: informative and error StatusNotifications)."""

    informative: bool = True  # warnings beside a state that they do not change
    errors: bool = True  # which fault it is; False = Faulted with OtherError only


ALL = Detail()


def _with_fault(
    status: str, faults: tuple[FaultRecord, ...], specs: Mapping[FaultCode, FaultSpec], detail: Detail
) -> Status:
    """Name the fault of the highest priority; any above a warning makes the connector Faulted.

    One of several, by the order of the table (Charge Control C user guide 3.3.4); a warning alone keeps the state.
    """
    fault = min(faults, key=lambda f: specs[f.code].priority, default=None)
    if fault is None:
        error = "OtherError" if status == "Faulted" else "NoError"
        return Status(status=status, error_code=error)
    spec = specs[fault.code]
    faulted = status == "Faulted" or any(specs[f.code].faulted for f in faults)
    if not (detail.errors if faulted else detail.informative):
        return Status(status="Faulted", error_code="OtherError") if faulted else Status(status=status)
    return Status(
        status="Faulted" if faulted else status, error_code=spec.ocpp16,
        info=_info(spec, fault)[:INFO_MAX], vendor_error=vendor_code(spec, fault)[:VENDOR_ERROR_MAX],
    )


def _info(spec: FaultSpec, fault: FaultRecord) -> str:
    """Number and name of the fault; of an event action the installer's own text."""
    return fault.detail if fault.code is FaultCode.EVENT_ACTION else f"{spec.code.value} {spec.name}"


def connector_status(evse: EvseView, specs: Mapping[FaultCode, FaultSpec], detail: Detail = ALL) -> Status:
    """Derive the 1.6 status of a connector (OCPP 1.6 section 4.9, table of states).

    With an open transaction it is one of Charging, SuspendedEV (offered, not taken; also before the vehicle's first C) and
    SuspendedEVSE (nothing offered). A socket that still holds the plug of a vehicle that has left is not free: Finishing.
    """
    status = _BY_PHASE[evse.phase]
    if evse.phase in (SessionPhase.CHARGING, SessionPhase.SUSPENDED):
        if evse.charging_state is ChargingState.SUSPENDED_EVSE:
            status = "SuspendedEVSE"
        elif evse.charging_state is ChargingState.SUSPENDED_EV:
            status = "SuspendedEV"
    elif evse.phase is SessionPhase.IDLE:
        if evse.operational is OperationalStatus.INOPERATIVE:
            status = "Unavailable"
        elif evse.ac is not None and evse.ac.lock is not None and evse.ac.lock.held:
            status = "Finishing"
        elif evse.plugged or evse.auth_state == "granted":
            status = "Preparing"
        elif evse.reserved:
            status = "Reserved"
    return _with_fault(status, evse.faults, specs, detail)


def station_status(view: StationView, specs: Mapping[FaultCode, FaultSpec], detail: Detail = ALL) -> Status:
    """Derive the status of connector 0: Available, Unavailable or Faulted only."""
    status = "Available" if view.operational is OperationalStatus.OPERATIVE else "Unavailable"
    return _with_fault(status, tuple(f for f in view.faults if f.evse_id == 0), specs, detail)


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A notification to send now. ``wall`` = when the state began."""

    connector_id: int
    status: Status
    wall: WallNs


class StatusBoard:
    """What each connector should say and has said. Times are monotonic ns."""

    def __init__(self) -> None:
        self._wanted: dict[int, tuple[Status, WallNs]] = {}
        self._said: dict[int, Status] = {}
        self._said_at: dict[int, Instant] = {}
        self._forced: set[int] = set()
        self._paused_at: dict[int, Instant] = {}

    def want(self, connector_id: int, status: Status, wall: WallNs, calm: Instant | None = None) -> bool:
        """Set the state of a connector; return True when it is another than before.

        ``calm`` = the time now: SuspendedEVSE counts after it has stood for `CALM_NS` of calls.
        """
        known = self._wanted.get(connector_id)
        if calm is None or status.status != "SuspendedEVSE":
            self._paused_at.pop(connector_id, None)
        elif known is not None and calm - self._paused_at.setdefault(connector_id, calm) < CALM_NS:
            return False
        if known is not None and known[0] == status:
            return False
        self._wanted[connector_id] = (status, wall)
        return True

    def force(self, connector_id: int | None = None) -> None:
        """Say a connector (None = all) again at once: after boot, or when the CSMS asks."""
        self._forced.update(self._wanted if connector_id is None else (connector_id,))

    def time_arrived(self, by: DurationNs, valid_from: WallNs) -> None:
        """Add ``by`` to the times of states that began before ``valid_from``: the calendar was not valid then."""
        for number, (status, wall) in self._wanted.items():
            if wall < valid_from:
                self._wanted[number] = (status, wall + by)

    def due(self, now: Instant, spacing_s: int) -> list[Due]:
        """Return what may be said now, faults first, then in the order of the connectors."""
        found = [
            Due(connector_id=number, status=status, wall=wall)
            for number, (status, wall) in self._wanted.items()
            if self._at(number, status, spacing_s) <= now
        ]
        return sorted(found, key=lambda due: (due.status.status != "Faulted", due.connector_id))

    def forced(self) -> list[Due]:
        """Return what was forced and not said since."""
        found = ((number, self._wanted[number]) for number in sorted(self._forced) if number in self._wanted)
        return [Due(connector_id=number, status=status, wall=wall) for number, (status, wall) in found]

    def next_at(self, spacing_s: int) -> Instant | None:
        """Return when the next notification may be said; None = all is said."""
        times = [self._at(number, status, spacing_s) for number, (status, _) in self._wanted.items()]
        return min((at for at in times if at < NEVER), default=None)

    def said(self, due: Due, now: Instant) -> None:
        """The CSMS has it (or refused it: repeating would not help)."""
        self._said[due.connector_id] = due.status
        self._said_at[due.connector_id] = now
        self._forced.discard(due.connector_id)

    def not_said(self, due: Due, now: Instant) -> None:
        """No answer came: try again after the spacing."""
        self._said.pop(due.connector_id, None)
        self._said_at[due.connector_id] = now
        self._forced.discard(due.connector_id)

    def _at(self, number: int, status: Status, spacing_s: int) -> Instant:
        if number in self._forced:
            return 0
        if self._said.get(number) == status:
            return NEVER
        said_at = self._said_at.get(number)
        return 0 if said_at is None else said_at + spacing_s * NS_PER_S


NEVER: Instant = 1 << 62
"""Later than any instant."""
