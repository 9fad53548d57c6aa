"""What people and back ends see: events as facts and the station as it stands after a tick."""

from __future__ import annotations

import msgspec

from evse.domain.faults import FaultRecord
from evse.domain.limits import LimitEntry
from evse.domain.session import ChargingState, OperationalStatus, SessionPhase, SessionRecord, StopReason
from evse.domain.signals import HlcStep
from evse.domain.view_ac import AcView
from evse.units import WallNs


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact. ``seq`` grows by one for ever; ``kind`` is a stable dotted name (docs/events.md); ``data`` holds plain values."""

    seq: int
    wall: WallNs
    kind: str
    evse_id: int  # 0 = station
    data: dict[str, str | int | bool | None] = {}


class EvseView(msgspec.Struct, frozen=True, kw_only=True):
    """What people and back ends see of one EVSE. Values that are not known are None, never 0."""

    evse_id: int
    connector_id: int
    phase: SessionPhase
    charging_state: ChargingState
    step: HlcStep | None  # current HLC step; its number is its position in HLC_STEPS + 1
    plugged: bool
    operational: OperationalStatus  # effective
    operational_backend: OperationalStatus
    operational_local: OperationalStatus
    reserved: bool
    power_w: int | None
    voltage_mv: int | None
    current_ma: int | None
    soc_pct: int | None
    demand_mv: int | None
    demand_ma: int | None
    demand_w: int | None
    temperature_dc: int | None
    offered_w: int  # limit announced to the vehicle now
    limits: tuple[LimitEntry, ...]  # sorted, the binding one first
    chain: tuple[int, ...]  # module groups in use
    isolation_kohm: int | None
    contactor_closed: bool | None
    locked: bool | None
    bms_stale: bool
    auth_state: str  # none, waiting, granted, denied
    stop_reason: StopReason | None
    session: SessionRecord | None  # current session
    faults: tuple[FaultRecord, ...]
    waiting_for: str = ""  # plain words: what must happen next, "" when nothing
    ac: AcView | None = None  # of AC EVSEs


class StationView(msgspec.Struct, frozen=True, kw_only=True):
    """The whole station as seen after a tick."""

    wall: WallNs
    evses: tuple[EvseView, ...]
    faults: tuple[FaultRecord, ...]  # station faults (evse_id 0) first, then by EVSE
    site_power_w: int | None  # measured by the site meter
    site_limit_w: int | None  # smallest site cap in force; None = no cap
    assigned_w: int  # sum of what is offered to vehicles now
    operational: OperationalStatus
    plan_version: int
