"""Models of the back-end link: state, messages, keys, queue, charging profiles, checks. Times are UTC ns."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.api.models_base import EvseIdOrAll, Model, PageLimit, ShortText
from evse.units import WallNs

KeyName = Annotated[str, Meta(min_length=1, max_length=50)]
KeyValue = Annotated[str, Meta(max_length=500)]


class OcppSummary(Model, frozen=True, kw_only=True):
    enabled: bool
    url: str
    connected: bool
    registration: str  # Accepted, Pending, Rejected, "" before the first answer
    since: WallNs | None  # of the present connection state
    last_error: str
    sent: int
    received: int
    queued: int  # transaction messages not yet answered
    heartbeat_s: int = 0
    last_heartbeat: WallNs | None = None


class OcppState(OcppSummary, frozen=True, kw_only=True):
    """The link in full. ``target`` = active, or staged or keyed while a change is tried. ``time_source`` "" = the time is not known."""

    parked: int = 0  # of the queued, set aside after refusals
    foreign: int = 0  # messages for another back end, held until somebody decides
    clock_offset_ms: int | None = None  # time of the CSMS minus ours at its last answer
    time_source: str = ""  # ntp, csms, system
    last_boot: WallNs | None = None  # when a BootNotification was answered
    target: str = ""
    peer: str = ""  # address of the other end
    failures: int = 0  # dials in a row without a registered link that lived
    next_dial_s: int | None = None  # while waiting for the next dial
    ping_s: int = 0
    ping_timeout_s: int = 0
    charge_point_id: str = ""
    security_profile: int | None = None  # 0..3; None = OCPP is off
    security_note: str = ""  # a change that is tried, or what somebody should do something about


# -- messages -----------------------------------------------------------------------------------------------------


class OcppMessage(Model, frozen=True, kw_only=True):
    """One message. ``pair`` = seq of its answer or of the call it answers; ``evse_id`` from the call, 0 = the station."""

    seq: int
    wall: WallNs
    direction: str  # "sent" | "received"
    type: str  # "call" | "result" | "error" | "malformed"
    action: str
    unique_id: str
    payload: str  # JSON text
    evse_id: int | None = None
    pair: int | None = None
    latency_ms: int | None = None  # of an answer: since its call


class OcppMessages(Model, frozen=True, kw_only=True):
    items: tuple[OcppMessage, ...]  # newest last


class OcppMessageQuery(Model, frozen=True, kw_only=True):
    """Filters act together. ``text`` is looked for in action, id and payload, without regard to case."""

    limit: PageLimit = 50
    action: ShortText = ""
    direction: Literal["", "sent", "received"] = ""
    evse_id: EvseIdOrAll | None = None
    text: ShortText = ""


class OcppLogQuery(Model, frozen=True, kw_only=True):
    limit: PageLimit = 50


class OcppLogRow(Model, frozen=True, kw_only=True):
    """Something that happened to the link. ``what``: dialling, connected, registered, failed, closed."""

    seq: int
    wall: WallNs
    what: str
    target: str  # active, staged, keyed
    url: str
    text: str


class OcppLog(Model, frozen=True, kw_only=True):
    items: tuple[OcppLogRow, ...]  # newest last


# -- keys ---------------------------------------------------------------------------------------------------------


class OcppKey(Model, frozen=True, kw_only=True):
    """A key. ``range`` "" = any; ``writeonly`` = its value is never told; ``applies`` = when a change counts."""

    key: str
    value: str
    readonly: bool
    help: str = ""
    unit: str = ""
    type: str = "text"
    range: str = ""
    profile: str = "Core"
    applies: str = ""
    writeonly: bool = False


class OcppKeys(Model, frozen=True, kw_only=True):
    items: tuple[OcppKey, ...]


class OcppKeySet(Model, frozen=True, kw_only=True):
    key: KeyName
    value: KeyValue


class OcppKeyResult(Model, frozen=True, kw_only=True):
    status: str  # Accepted, Rejected, RebootRequired, NotSupported


# -- the queue ----------------------------------------------------------------------------------------------------


class OcppQueueRow(Model, frozen=True, kw_only=True):
    """A transaction message that is not answered yet. ``state``: waiting, parked (all of its session with it),
    aside (refused twice over; its session has gone on without it), foreign (for another back end)."""

    row_id: int
    state: str
    action: str
    session_id: str
    transaction_id: int | None
    created_at: WallNs
    attempts: int
    reason: str  # why it is parked
    unique_id: str
    payload: str
    backend: str  # host and path that it is for, "" = whichever comes first


class OcppQueue(Model, frozen=True, kw_only=True):
    """The first rows in the order of delivery, and how many there are."""

    items: tuple[OcppQueueRow, ...]
    waiting: int
    parked: int
    foreign: int  # for another back end: held until somebody decides
    backend: str  # the present one


class OcppQueueQuery(Model, frozen=True, kw_only=True):
    """The first rows behind the row ``after``."""

    limit: PageLimit = 100
    after: Annotated[int, Meta(ge=0)] = 0


class OcppResend(Model, frozen=True, kw_only=True):
    """Let parked messages wait again: those of the session of one of them, or all with None."""

    row_id: Annotated[int, Meta(ge=1)] | None = None


class OcppForeign(Model, frozen=True, kw_only=True):
    """What to do with the messages of another back end. ``confirm`` = their number, so that nothing goes unseen."""

    confirm: Annotated[int, Meta(ge=1)]


# -- charging profiles --------------------------------------------------------------------------------------------


class OcppPeriod(Model, frozen=True, kw_only=True):
    start_s: int
    limit: float  # in the unit of the profile
    phases: int


class OcppProfile(Model, frozen=True, kw_only=True):
    """An installed charging profile. ``evse_id`` 0 = the station, or every connector for TxDefaultProfile."""

    profile_id: int
    evse_id: int
    purpose: str
    stack_level: int
    profile_kind: str
    unit: str
    valid_from: WallNs | None
    valid_to: WallNs | None
    start_at: WallNs | None
    recurrence_s: int
    duration_s: int | None
    session_id: str
    set_at: WallNs
    periods: tuple[OcppPeriod, ...]


class OcppProfiles(Model, frozen=True, kw_only=True):
    items: tuple[OcppProfile, ...]


class OcppCompositeQuery(Model, frozen=True, kw_only=True):
    """As GetCompositeSchedule. ``unit`` "" = A if every profile is in A, else W."""

    evse_id: EvseIdOrAll = 0
    duration_s: Annotated[int, Meta(ge=1, le=7 * 86_400)] = 86_400
    unit: Literal["", "A", "W"] = ""


class OcppCompositePeriod(Model, frozen=True, kw_only=True):
    at: WallNs
    start_s: int
    limit: float
    phases: int | None


class OcppComposite(Model, frozen=True, kw_only=True):
    evse_id: int
    start_at: WallNs
    duration_s: int
    unit: str
    items: tuple[OcppCompositePeriod, ...]


class OcppScheduleRow(Model, frozen=True, kw_only=True):
    """A profile and what became of it now: in_force, outranked, waits, over, elsewhere; ``decides`` = the smallest in force."""

    profile: OcppProfile
    standing: str
    why: str
    decides: bool
    period: int | None  # from 0; None = none now
    power_w: int | None
    current_ma: int | None  # per phase, of profiles in A
    changes_at: WallNs | None


class OcppScheduleExplanation(Model, frozen=True, kw_only=True):
    """What the charging profiles allow on a connector (0 = the station) now, and why.

    ``binds`` = the planner or the connector gives less because of it; None = nothing is asked for.
    """

    evse_id: int
    at: WallNs
    calendar: bool  # False = the date is not known: the smallest limits hold
    session_id: str
    rated_w: int
    power_w: int
    current_ma: int
    capped: bool
    changes_at: WallNs | None
    next_power_w: int | None
    binds: bool | None
    binding: str  # what limits instead, or the profile
    text: str
    items: tuple[OcppScheduleRow, ...]


class OcppScheduleExplanations(Model, frozen=True, kw_only=True):
    items: tuple[OcppScheduleExplanation, ...]


class OcppScheduleQuery(Model, frozen=True, kw_only=True):
    """``evse_id`` None = the station and every connector."""

    evse_id: EvseIdOrAll | None = None


# -- doing --------------------------------------------------------------------------------------------------------


class OcppTrigger(Model, frozen=True, kw_only=True):
    """Send a message now. ``evse_id`` None = as a request without connector."""

    message: Literal[
        "BootNotification", "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Heartbeat", "LogStatusNotification",
        "MeterValues", "SignChargePointCertificate", "StatusNotification",
    ]  # fmt: skip
    evse_id: EvseIdOrAll | None = None


class OcppDoctorStep(Model, frozen=True, kw_only=True):
    """One step. ``result``: ok, warning, failed, skipped. ``facts`` = what was measured, as "name: value" lines."""

    name: str
    result: str
    detail: str
    took_ms: int | None
    facts: tuple[str, ...]
    remedy: str


class OcppDoctor(Model, frozen=True, kw_only=True):
    """The steps in order; ``failed`` names the first that failed, "" = none. ``live`` = told by the link that stands.
    ``note`` = what was left out because of that, or may be the fault of the station's own dialling; "" = nothing."""

    url: str
    target: str
    live: bool
    failed: str
    items: tuple[OcppDoctorStep, ...]
    note: str = ""
