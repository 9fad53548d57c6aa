"""What the core is told on a tick: one immutable snapshot."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from evse.domain.ac import ReleaseMode
from evse.domain.limits import Plan, PowerLimit
from evse.domain.readings import GroupStatus, MeterValues, NoData, Sample
from evse.domain.session import AuthSource, OperationalStatus, StopReason
from evse.domain.signals import BoardStatus
from evse.units import DurationNs, Instant, WallNs

BoardReading: TypeAlias = Sample[BoardStatus] | NoData
MeterReading: TypeAlias = Sample[MeterValues] | NoData
GroupReading: TypeAlias = Sample[GroupStatus] | NoData


class EvseInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Readings of one EVSE."""

    evse_id: int
    board: BoardReading
    meter: MeterReading


# Commands: each is one bounded fact or wish, delivered exactly once. `seq` is given by the shell and only grows.


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all commands. The core answers a refused command with event ``command.refused`` carrying ``seq``."""

    seq: int


class TokenPresented(Command, frozen=True, kw_only=True):
    """A card was read. ``evse_ids`` = the EVSEs that the reader serves."""

    reader: str
    id_token: str
    evse_ids: tuple[int, ...]


class AuthorizeResult(Command, frozen=True, kw_only=True):
    """Answer to effect `RequestAuthorization` (from CSMS, list or cache)."""

    evse_id: int
    id_token: str
    accepted: bool
    parent_id: str = ""
    reason: str = ""  # "Blocked", "Expired", "offline: not in cache" ...


class StartSession(Command, frozen=True, kw_only=True):
    """Authorise an EVSE from outside: RemoteStartTransaction, API, autocharge."""

    evse_id: int
    id_token: str
    source: AuthSource
    parent_id: str = ""  # group of the token, if it is known


class StopSession(Command, frozen=True, kw_only=True):
    """End the transaction of an EVSE."""

    evse_id: int
    reason: StopReason


class SetAvailability(Command, frozen=True, kw_only=True):
    """One cell of the availability matrix. ``evse_id`` 0 = station; ``origin`` backend or local."""

    evse_id: int
    origin: str  # "backend" | "local"
    status: OperationalStatus


class ClearFault(Command, frozen=True, kw_only=True):
    """A technician clears a latched fault; refused while the cause stands."""

    evse_id: int
    code: str  # FaultCode value


class UnlockConnector(Command, frozen=True, kw_only=True):
    """Stop, wait for no current, unlock."""

    evse_id: int


class ReserveEvse(Command, frozen=True, kw_only=True):
    """EVSE shows Reserved until expiry or use, and serves nobody else; ``id_token`` "" cancels.

    ``parent_id`` = group whose other cards may use it too, "" = none.
    """

    evse_id: int
    id_token: str
    until: WallNs
    parent_id: str = ""


class MeterSigned(Command, frozen=True, kw_only=True):
    """Answer to effect `RequestSignature`; ``text`` "" = it did not come, and ``why`` says why."""

    evse_id: int
    number: int  # of the request
    text: str = ""
    public_key: str = ""  # SubjectPublicKeyInfo in hexadecimal digits
    meter_serial: str = ""
    why: str = ""
    lost: bool = False  # the meter cannot be heard; else it has failed


class TransactionStored(Command, frozen=True, kw_only=True):
    """Effect `OpenTransaction` is durable: energy may flow."""

    evse_id: int
    session_id: str


class TransactionNumbered(Command, frozen=True, kw_only=True):
    """The CSMS answered StartTransaction. ``accepted`` False = idTagInfo not Accepted; ``parent_id`` = group of the card."""

    evse_id: int
    session_id: str
    transaction_id: int
    accepted: bool
    parent_id: str = ""


class SetDynamicLimit(Command, frozen=True, kw_only=True):
    """A named current limit of another program, in mA per phase. ``evse_id`` 0 = every AC EVSE.

    ``current_ma`` -1 = no limit, below 6000 counts as 0 (no PWM, contactor as it is), None removes the name. At most
    five names; a sixth is ignored and reported (charge-control-c 15.16).
    """

    evse_id: int
    name: str
    current_ma: int | None


class SetPermission(Command, frozen=True, kw_only=True):
    """Release of an AC EVSE by another program or a person on site. Refused unless the release mode is ``mode``.

    ``hold`` = it stands for every vehicle until it is taken back (a retained MQTT topic, a Modbus register); else it is for
    the vehicle that is there, or that comes within the connection timeout.
    """

    evse_id: int
    mode: ReleaseMode  # REMOTE, MODBUS, MQTT or DASHBOARD
    allowed: bool
    id_token: str = ""
    hold: bool = False


class SetChargingAllowed(Command, frozen=True, kw_only=True):
    """External release: False pauses an AC EVSE without ending its session (state x1), True lets it go on."""

    evse_id: int
    allowed: bool
    origin: str = "api"  # "api" | "modbus" | "mqtt" | "rule"


class SetPhases(Command, frozen=True, kw_only=True):
    """Switch between 1 and 3 phases (charge-control-c 15.20). ``delay_s`` 10..300, None = as configured."""

    evse_id: int
    phases: int
    delay_s: int | None = None


class SetVentilation(Command, frozen=True, kw_only=True):
    """External ventilation: what another program says about it. None leaves a value as it is."""

    evse_id: int
    available: bool | None = None
    on: bool | None = None


class ForceUnlock(Command, frozen=True, kw_only=True):
    """Unlock now and keep unlocked until the plug is out, or revert it (``on`` False)."""

    evse_id: int
    on: bool


class TestRcd(Command, frozen=True, kw_only=True):
    """Run the self-test of the residual current monitor; refused while energy flows or a test runs."""

    evse_id: int


class HlcRequest(Command, frozen=True, kw_only=True):
    """Ask the vehicle for something during an ISO 15118 session."""

    evse_id: int
    what: str  # "renegotiate" | "pause" | "resume" | "reinit" (fake DC: read the SoC again)


class SetOutput(Command, frozen=True, kw_only=True):
    """A digital output of the board of ``evse_id`` by hand; ``level`` high, low, floating, or rules = give it back."""

    evse_id: int
    output: int  # 1..
    level: str


class NoteTeaching(Command, frozen=True, kw_only=True):
    """A card was learned ("in"), removed from the local list at a reader ("out"), or could not be learned ("failed")."""

    evse_id: int  # 0 = every EVSE
    what: str


class CalendarSet(Command, frozen=True, kw_only=True):
    """The calendar is valid for the first time: stamps before ``valid_from`` are too early by ``by`` ns."""

    by: DurationNs
    valid_from: WallNs


AnyCommand: TypeAlias = (
    TokenPresented
    | AuthorizeResult
    | StartSession
    | StopSession
    | SetAvailability
    | ClearFault
    | UnlockConnector
    | ReserveEvse
    | MeterSigned
    | TransactionStored
    | TransactionNumbered
    | SetDynamicLimit
    | SetPermission
    | SetChargingAllowed
    | SetPhases
    | SetVentilation
    | ForceUnlock
    | TestRcd
    | HlcRequest
    | SetOutput
    | NoteTeaching
    | CalendarSet
)

MAX_COMMANDS_PER_TICK = 16


class LostDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A field device that does not answer, after its own patience: becomes a fault, charging goes on."""

    kind: str  # "reader" | "recloser" | "io"
    name: str
    evse_ids: tuple[int, ...]  # served by it; () = the station
    detail: str = ""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """The whole snapshot. ``wall`` is for records only; nothing is timed with it."""

    wall: WallNs
    evses: tuple[EvseInputs, ...]
    groups: tuple[GroupReading, ...]  # in the order of StationSpec.groups
    site_meter: MeterReading
    limits: tuple[PowerLimit, ...] = ()  # site, OCPP static, CSMS; expired ones are ignored by the core
    plan: Plan | None = None
    commands: tuple[AnyCommand, ...] = ()
    storage_ok: bool = True
    storage_code: str = ""  # what failed, a name of `evse.domain.fault_table.PERSISTENCE_CODES`; "" = not known
    loop_fault: str = ""  # a BugError of the shell: everything off
    backend_online: bool = False
    wall_valid: bool = True  # the calendar has been set
    list_conflict: bool = False  # the back end has refused a card that its local list accepts
    lost: tuple[LostDevice, ...] = ()
    updating: bool = False  # a firmware update is being installed


__all__ = [
    "MAX_COMMANDS_PER_TICK",
    "AnyCommand",
    "AuthorizeResult",
    "BoardReading",
    "CalendarSet",
    "ClearFault",
    "Command",
    "EvseInputs",
    "ForceUnlock",
    "GroupReading",
    "HlcRequest",
    "Inputs",
    "Instant",
    "LostDevice",
    "MeterReading",
    "MeterSigned",
    "NoteTeaching",
    "ReserveEvse",
    "SetAvailability",
    "SetChargingAllowed",
    "SetDynamicLimit",
    "SetOutput",
    "SetPermission",
    "SetPhases",
    "SetVentilation",
    "StartSession",
    "StopSession",
    "TestRcd",
    "TokenPresented",
    "TransactionNumbered",
    "TransactionStored",
    "UnlockConnector",
]
