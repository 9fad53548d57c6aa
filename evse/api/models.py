"""Requests and responses of the API. Keys carry units; values that are not known are null, never 0.

Everything a front end shows comes from here or from `evse.domain` (views, sessions, faults, limits). Devices, faults and
access have files of their own; their names are here too.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.api.models_access import (
    Audit as Audit,
)
from evse.api.models_access import (
    AuditRow as AuditRow,
)
from evse.api.models_access import (
    ErrorBody as ErrorBody,
)
from evse.api.models_access import (
    SetPin as SetPin,
)
from evse.api.models_access import (
    SignIn as SignIn,
)
from evse.api.models_access import (
    Token as Token,
)
from evse.api.models_access import (
    TotpConfirm as TotpConfirm,
)
from evse.api.models_access import (
    TotpDisable as TotpDisable,
)
from evse.api.models_access import (
    TotpEnrolment as TotpEnrolment,
)
from evse.api.models_access import (
    WhoAmI as WhoAmI,
)
from evse.api.models_base import (
    API_VERSION as API_VERSION,
)
from evse.api.models_base import (
    EvseId as EvseId,
)
from evse.api.models_base import (
    EvseIdOrAll as EvseIdOrAll,
)
from evse.api.models_base import (
    LimitW as LimitW,
)
from evse.api.models_base import (
    Model as Model,
)
from evse.api.models_base import (
    PageLimit as PageLimit,
)
from evse.api.models_base import (
    PageOffset as PageOffset,
)
from evse.api.models_base import (
    Secret as Secret,
)
from evse.api.models_base import (
    ShortText as ShortText,
)
from evse.api.models_devices import (
    MeterRef as MeterRef,
)
from evse.api.models_devices import (
    MeterRow as MeterRow,
)
from evse.api.models_devices import (
    Meters as Meters,
)
from evse.api.models_devices import (
    PlcDiscovery as PlcDiscovery,
)
from evse.api.models_devices import (
    PlcRow as PlcRow,
)
from evse.api.models_devices import (
    ProbeRegister as ProbeRegister,
)
from evse.api.models_devices import (
    ProbeRequest as ProbeRequest,
)
from evse.api.models_devices import (
    ProbeResult as ProbeResult,
)
from evse.api.models_devices import (
    ReaderRow as ReaderRow,
)
from evse.api.models_devices import (
    Readers as Readers,
)
from evse.api.models_devices import (
    TraceDump as TraceDump,
)
from evse.api.models_faults import (
    FaultCatalogue as FaultCatalogue,
)
from evse.api.models_faults import (
    FaultInfo as FaultInfo,
)
from evse.api.models_faults import (
    FaultRef as FaultRef,
)
from evse.api.models_faults import (
    Faults as Faults,
)
from evse.api.models_faults import (
    FaultText as FaultText,
)
from evse.api.models_ocpp import (
    OcppKeySet as OcppKeySet,
)
from evse.api.models_ocpp import (
    OcppMessage as OcppMessage,
)
from evse.api.models_ocpp import (
    OcppSummary as OcppSummary,
)
from evse.domain.limits import LimitEntry, LimitSource, Plan
from evse.domain.session import SessionRecord
from evse.domain.view import Event, EvseView, StationView
from evse.units import WallNs

# -- system -------------------------------------------------------------------------------------------------------


class Version(Model, frozen=True, kw_only=True):
    version: str
    api_version: str = API_VERSION
    python: str = ""


class DeviceLink(Model, frozen=True, kw_only=True):
    """`evse.devices.interfaces.LinkHealth` as it goes over the wire."""

    name: str
    kind: str
    where: str
    online: bool
    detail: str
    frames_in: int
    frames_out: int
    errors: int
    reconnects: int


class TickStats(Model, frozen=True, kw_only=True):
    count: int
    late: int  # ticks that began more than one period after their deadline
    lateness_max_ms: float
    duration_mean_us: float
    limit_changes: int = 0  # changed site limits since start
    limit_ticks_max: int = 0  # worst number of ticks from a changed site limit to outputs within it


class System(Model, frozen=True, kw_only=True):
    version: str
    started_at: WallNs
    uptime_s: int
    config_path: str
    data_dir: str
    pid: int
    tick: TickStats
    restart_needed: tuple[str, ...] = ()  # keys of the configuration that wait for a restart
    simulated: bool = False


class Status(Model, frozen=True, kw_only=True):
    """Answer of ``status.get`` and snapshot of ``status.stream``."""

    station_id: str
    support_phone: str
    language: str
    view: StationView
    ocpp: OcppSummary
    links: tuple[DeviceLink, ...]
    system: System


class Check(Model, frozen=True, kw_only=True):
    """One line of ``evsectl doctor``."""

    name: str
    result: str  # ok, warning, failed, skipped
    detail: str
    remedy: str = ""


class Doctor(Model, frozen=True, kw_only=True):
    checks: tuple[Check, ...]


# -- streams ------------------------------------------------------------------------------------------------------


class StreamQuery(Model, frozen=True, kw_only=True):
    """``since`` = seq of the last item the reader has seen; None = begin with a snapshot."""

    since: Annotated[int, Meta(ge=0)] | None = None


class StreamItem(Model, frozen=True, kw_only=True):
    """One NDJSON line. ``seq`` is the last event that the item contains: resume with ``since=seq``.

    type = snapshot (``status`` set), event (``event`` set), changed (``status`` set), message (``message`` set, and
    ``seq`` counts messages), heartbeat.
    """

    type: str
    seq: int
    status: Status | None = None
    event: Event | None = None
    message: OcppMessage | None = None


# -- connectors ---------------------------------------------------------------------------------------------------


class Connectors(Model, frozen=True, kw_only=True):
    items: tuple[EvseView, ...]


class EvseRef(Model, frozen=True, kw_only=True):
    evse_id: EvseId


class StartRequest(Model, frozen=True, kw_only=True):
    evse_id: EvseId
    id_token: Annotated[str, Meta(min_length=1, max_length=36)] = "API"


class StopRequest(Model, frozen=True, kw_only=True):
    evse_id: EvseId


class AvailabilityRequest(Model, frozen=True, kw_only=True):
    evse_id: EvseIdOrAll  # 0 = the whole station


class Done(Model, frozen=True, kw_only=True):
    """A command was accepted by the core (``changed`` False = it stood so already)."""

    ok: bool = True
    changed: bool = True
    detail: str = ""


# -- sessions -----------------------------------------------------------------------------------------------------


class SessionQuery(Model, frozen=True, kw_only=True):
    state: Literal["all", "active", "completed"] = "all"  # all, active, completed
    evse_id: EvseIdOrAll = 0  # 0 = all
    text: ShortText = ""  # matches id_token, evcc_id, session_id, stop reason, fault
    limit: PageLimit = 50
    offset: PageOffset = 0


class Sessions(Model, frozen=True, kw_only=True):
    items: tuple[SessionRecord, ...]  # newest first; what was signed is in the session itself only (session.get)
    total: int
    energy_wh: int  # of all matching sessions, not of the page only


class SessionRef(Model, frozen=True, kw_only=True):
    session_id: ShortText


class SessionPoint(Model, frozen=True, kw_only=True):
    wall: WallNs
    power_w: int
    soc_pct: int | None
    energy_wh: int


class SessionDetail(Model, frozen=True, kw_only=True):
    session: SessionRecord
    points: tuple[SessionPoint, ...]  # at most 240, evenly thinned
    events: tuple[Event, ...]


# -- events -------------------------------------------------------------------------------------------------------


class HistoryQuery(Model, frozen=True, kw_only=True):
    limit: PageLimit = 50
    offset: PageOffset = 0
    kind: ShortText = ""  # prefix of the event kind, "" = all
    evse_id: Annotated[int, Meta(ge=-1, le=48)] = -1  # -1 = all


class Events(Model, frozen=True, kw_only=True):
    items: tuple[Event, ...]  # newest first
    total: int


# -- planner ------------------------------------------------------------------------------------------------------


PhasesMa = tuple[int, int, int]
"""mA on L1, L2, L3."""


class PlannerSettings(Model, frozen=True, kw_only=True):
    """Site limits in force. ``override`` True = differs from the configuration file."""

    limit_w: int
    ocpp_limit_w: int
    group_power_w: int
    max_groups: int
    allow_cross: bool
    file_limit_w: int
    file_ocpp_limit_w: int
    file_group_power_w: int
    file_max_groups: int
    file_allow_cross: bool
    override: bool
    operator_ma: PhasesMa | None = None  # all EVSEs together per phase; None = no limit
    file_operator_ma: PhasesMa | None = None
    own_ma: PhasesMa | None = None  # the installer's; the operator's is never above it


class Allowed(Model, frozen=True, kw_only=True):
    """What all EVSEs together may take per phase now, and which limit says so on each."""

    limit_ma: PhasesMa
    words: tuple[str, str, str]
    shedding: bool  # load shedding acts
    until_minute: int | None  # minute of the local day at which the hour's limit ends


class PlannerChange(Model, frozen=True, kw_only=True):
    """None = leave as it is; ``reset`` True = back to the configuration file first."""

    limit_w: LimitW | None = None
    ocpp_limit_w: LimitW | None = None
    group_power_w: LimitW | None = None
    max_groups: Annotated[int, Meta(ge=0, le=64)] | None = None
    allow_cross: bool | None = None
    operator_ma: Annotated[tuple[Annotated[int, Meta(ge=0, le=4_000_000)], ...], Meta(max_length=3)] | None = None  # () = no limit
    reset: bool = False


class GroupRow(Model, frozen=True, kw_only=True):
    """One row of the assignments table."""

    group_id: int
    home_evse: int | None
    owner: int | None
    role: str  # idle, home, donor
    on: bool
    tie: str  # relay 2 towards the next group, or the contacts of a matrix: open, closed, moving, unknown, none
    contribution_w: int
    modules: int
    modules_present: int
    voltage_mv: int | None
    current_ma: int | None
    temperature_dc: int | None
    faults: tuple[str, ...]
    feeds: tuple[int, ...] = ()  # matrix: connectors whose contact with the group reports closed


class SourceTotal(Model, frozen=True, kw_only=True):
    """One limiting source: for how long it bound (all EVSEs added), and the energy that flowed meanwhile."""

    source: LimitSource
    limited_s: int
    energy_wh: int


class EvseTotal(Model, frozen=True, kw_only=True):
    evse_id: int
    peak_w: int  # by its meter
    energy_wh: int


class PlannerTotals(Model, frozen=True, kw_only=True):
    """Analytics of a time, kept over restarts: ``peak_w`` = all EVSEs together by their meters, ``site_peak_w`` = site meter, None
    without one. ``since`` = when counting began, None = of a day, or the clock was not set."""

    counted_s: int
    peak_w: int
    site_peak_w: int | None
    sources: tuple[SourceTotal, ...]  # the largest energy first
    evses: tuple[EvseTotal, ...]
    since: WallNs | None = None


class PlannerState(Model, frozen=True, kw_only=True):
    """The sums count AC EVSEs that share a limit (at the nominal voltage); ``offered_w``, ``shared_chains``, ``bms_stale`` are of DC."""

    settings: PlannerSettings
    plan: Plan | None
    groups: tuple[GroupRow, ...]
    requested_w: int
    offered_w: int
    allowed_w: int
    assigned_w: int
    shared_chains: int
    bms_stale: int
    site_power_w: int | None
    allowed: Allowed | None = None
    total: PlannerTotals | None = None
    today: PlannerTotals | None = None  # since local midnight


class ExplainQuery(Model, frozen=True, kw_only=True):
    """``evse_id`` 0 = all; of one that is named also what would give it more."""

    evse_id: int = 0


class Explanation(Model, frozen=True, kw_only=True):
    """Why an EVSE gets what it gets; the binding limit first. ``more`` = what would give 1 kW (AC: 1 A) more, each tried."""

    evse_id: int
    offered_w: int
    text: str  # one sentence
    limits: tuple[LimitEntry, ...]
    phases: str = ""  # why it stays on its phases or leaves them, where the planner decides that
    more: tuple[str, ...] = ()


class Explanations(Model, frozen=True, kw_only=True):
    items: tuple[Explanation, ...]


# -- configuration ------------------------------------------------------------------------------------------------


class ConfigText(Model, frozen=True, kw_only=True):
    path: str
    text: str
    version: int


class ConfigCandidate(Model, frozen=True, kw_only=True):
    text: str
    dry_run: bool = False
    if_version: int | None = None


class ConfigChange(Model, frozen=True, kw_only=True):
    key: str
    old: str
    new: str
    apply: str  # live, idle, restart


class ConfigResult(Model, frozen=True, kw_only=True):
    valid: bool
    problems: tuple[str, ...]
    changes: tuple[ConfigChange, ...]
    applied: bool
    restart_needed: bool
    version: int
