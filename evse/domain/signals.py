"""Signals of the board link: what a pilot/PLC/SECC board says and what it is told.

Names are the standards': IEC 61851-1 (control pilot, proximity), ISO 15118-3 (SLAC),
DIN 70121 / ISO 15118-2 (message steps).
"""

from __future__ import annotations

import enum

import msgspec

from evse.domain.ac import AcCommand, AcStatus
from evse.domain.contactor import ContactorFeedback as ContactorFeedback


class CpState(enum.Enum):
    """Control pilot state, IEC 61851-1 Annex A. UNKNOWN is never safe: treat as no vehicle and no permission."""

    A = "A"  # no vehicle
    B = "B"  # vehicle connected
    C = "C"  # vehicle wants power
    D = "D"  # vehicle wants power, ventilation needed
    E = "E"  # pilot shorted
    F = "F"  # EVSE not available
    UNKNOWN = "?"

    __hash__ = object.__hash__


class SlacState(enum.Enum):
    """Matching, ISO 15118-3."""

    UNMATCHED = "unmatched"
    MATCHING = "matching"
    MATCHED = "matched"
    FAILED = "failed"

    __hash__ = object.__hash__


class HlcStep(enum.Enum):
    """The 14 steps of a DC session in their order, with the short names that the kiosk shows."""

    SAP = "SAP"  # SupportedAppProtocol
    SETUP = "Setup"  # SessionSetup
    DISCO = "Disco"  # ServiceDiscovery
    DETAIL = "Detail"  # ServiceDetail
    PAY_SEL = "Pay-Sel"  # PaymentServiceSelection
    PAY_AUTH = "PayAuth"  # Authorization / ContractAuthentication
    PARAM = "Param"  # ChargeParameterDiscovery
    CABLE = "Cable"  # CableCheck
    PRE_C = "PreC"  # PreCharge
    PD_ON = "PD-On"  # PowerDelivery start
    CURR = "Curr"  # CurrentDemand
    PD_OFF = "PD-Off"  # PowerDelivery stop
    WELD = "Weld"  # WeldingDetection
    STOP = "Stop"  # SessionStop


HLC_STEPS: tuple[HlcStep, ...] = tuple(HlcStep)


class LockState(enum.Enum):
    """Connector lock."""

    UNLOCKED = "unlocked"
    LOCKED = "locked"
    UNKNOWN = "unknown"

    __hash__ = object.__hash__


class IsolationState(enum.Enum):
    """Insulation monitoring during and after CableCheck (IEC 61851-23, IEC 61557-8)."""

    INVALID = "invalid"  # not measured yet
    TESTING = "testing"
    VALID = "valid"
    WARNING = "warning"
    FAULT = "fault"

    __hash__ = object.__hash__


class Authorization(enum.Enum):
    """What the SECC answers in the Authorization loop."""

    NONE = "none"  # not asked yet: EVSEProcessing stays Ongoing
    ONGOING = "ongoing"
    GRANTED = "granted"
    DENIED = "denied"

    __hash__ = object.__hash__


class EvStop(enum.Enum):
    """Why the vehicle ended the session, as its SECC understood it."""

    NONE = "none"
    NORMAL = "normal"  # PowerDelivery stop, full or asked for by the driver
    ERROR = "error"  # EVErrorCode / failed response
    COMM_LOST = "comm_lost"  # V2G TCP gone or sequence timeout

    __hash__ = object.__hash__


class MatrixContacts(msgspec.Struct, frozen=True, kw_only=True):
    """Auxiliary contacts of the matrix contacts at this board's connector; bit i = module group at position i of the cabinet.

    A contact that is in neither set, or in both, is not known: that is never safe.
    """

    closed: int = 0
    opened: int = 0

    def state(self, position: int) -> bool | None:
        """Return whether the contact to the group at ``position`` is closed; None = not known."""
        closed, opened = self.closed >> position & 1, self.opened >> position & 1
        return None if closed == opened else bool(closed)


class BoardStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One complete status of a board (board link message STATUS). Constructor defaults are the safe values."""

    cp: CpState = CpState.UNKNOWN
    estop: bool = True  # pressed until told otherwise
    contactor: ContactorFeedback = ContactorFeedback.UNKNOWN
    lock: LockState = LockState.UNKNOWN
    slac: SlacState = SlacState.UNMATCHED
    step: HlcStep | None = None
    evcc_id: str = ""  # EVCCID, upper-case hex of the MAC, "" before SessionSetup
    protocol: str = ""  # "DIN70121", "ISO15118-2", "ISO15118-20"
    isolation: IsolationState = IsolationState.INVALID
    isolation_kohm: int | None = None
    output_mv: int = 0  # measured on the vehicle side of the contactors
    soc_pct: int | None = None
    demand_mv: int = 0  # EVTargetVoltage
    demand_ma: int = 0  # EVTargetCurrent
    ev_max_mv: int = 0
    ev_max_ma: int = 0
    ev_max_w: int = 0
    ev_energy_request_wh: int | None = None
    ev_age_ms: int = 0  # time since the last message of the vehicle (board's own clock)
    ev_stop: EvStop = EvStop.NONE
    temperature_dc: int | None = None  # hottest contact of the connector; None = no sensor
    tie_closed: bool = False  # relay 2: tie from this board's module group to the next on the bus
    lease_active: bool = False  # the board holds the output contactors under a valid lease
    stop_button: bool = False  # user's stop button
    door_open: bool = False
    error_flags: int = 0  # docs/board-link.md, "Error flags"
    contacts: MatrixContacts | None = None  # boards with the capability MATRIX
    ac: AcStatus | None = None  # boards with the capability AC


class BoardInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Identity of a board from HELLO."""

    board_id: str
    vendor: str
    model: str
    firmware: str
    protocol_version: int
    capabilities: int


class BoardCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Complete levels for one board, re-sent on every tick (board link message COMMAND). Defaults are safe."""

    permit: bool = False  # SLAC and HLC may run (EVSE available); False = no digital communication
    authorization: Authorization = Authorization.NONE
    contactor_lease: bool = False  # close the output contactors; renewed with every command
    lock: bool = False
    isolation_test: bool = False
    cable_check_done: bool = False  # EVSEProcessing Finished for CableCheck
    offered_mv: int = 0  # EVSEMaximumVoltageLimit
    offered_ma: int = 0  # EVSEMaximumCurrentLimit
    offered_w: int = 0  # EVSEMaximumPowerLimit
    present_mv: int = 0  # EVSEPresentVoltage
    present_ma: int = 0  # EVSEPresentCurrent
    stop: bool = False  # ask the vehicle to stop (EVSE_Shutdown notification)
    emergency: bool = False  # EVSE_EmergencyShutdown: end without waiting
    tie_close: bool = False  # relay 2
    contacts: int = 0  # matrix contacts to close: bit i = module group at position i of the cabinet
    led: int = 0  # 0 off, 1 available, 2 occupied, 3 charging, 4 fault, 5 out of service, 6 authorising
    restart_slac: bool = False
    ac: AcCommand | None = None  # only for boards of AC EVSEs


class GroupCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Levels for one module group: on with voltage and total current, or off (the default). ``owner`` 0 = idle."""

    group_id: int
    owner: int = 0
    on: bool = False
    voltage_mv: int = 0
    current_ma: int = 0
