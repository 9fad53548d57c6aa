"""Faults: one table maps each fault to severity, reaction, latch rule, OCPP codes and the texts a technician reads.

The table itself is `evse.domain.fault_table`; this module holds the shapes.
"""

from __future__ import annotations

import enum

import msgspec

from evse.units import WallNs


class FaultCode(enum.Enum):
    """Every fault of a station. ``F<n>`` codes are stable: they are printed on stickers and in manuals."""

    EMERGENCY_STOP = "F1"
    BOARD_LOST = "F2"
    BMS_STALE = "F3"
    INSULATION = "F4"
    PRE_CHARGE_TIMEOUT = "F5"
    CONNECTOR_OVER_TEMPERATURE = "F6"
    POWER_MODULE_FAILURE = "F7"
    POWER_MODULE_MISSING = "F8"
    METER_LOST = "F9"  # energy meter of a connector
    CONTACTOR_WELDED = "F10"
    CONTACTOR_NOT_CLOSED = "F11"
    OUTPUT_OUT_OF_RANGE = "F12"  # voltage or current outside what was commanded
    SITE_METER_LOST = "F13"
    CABLE_CHECK_TIMEOUT = "F14"
    LOCK_FAILURE = "F15"
    VEHICLE_COMMUNICATION = "F16"  # SLAC or HLC failed
    STORAGE = "F17"
    DOOR_OPEN = "F18"
    INTERNAL = "F19"
    PLUG_LOCK_CAP_NOT_CHARGED = "F20"
    PLUG_LOCK_UNEXPECTED_OPEN = "F21"
    PLUG_LOCK_UNEXPECTED_CLOSE = "F22"
    PLUG_LOCK_CANNOT_LOCK = "F23"
    PLUG_LOCK_CANNOT_UNLOCK = "F24"
    METER_COMMUNICATION = "F25"
    METER_INTERNAL = "F26"
    METER_IDLE_ERROR = "F27"
    METER_ACTIVE_ERROR = "F28"
    READER_FAILURE = "F29"
    RCD_SPURIOUS = "F30"  # tripped with no vehicle there
    RCD_TEST = "F31"
    RCD_GROUND_FAILURE = "F32"  # tripped with a vehicle
    EMERGENCY_SHUTDOWN = "F33"  # by a digital input or a rule; the button of a board is EMERGENCY_STOP
    RCD_RECLOSER_FAILURE = "F34"
    LOCAL_LIST_CONFLICT = "F35"
    PROXIMITY_NO_CABLE = "F36"
    PROXIMITY_INVALID = "F37"
    PROXIMITY_CHANGED = "F38"
    PILOT_DIODE = "F39"  # no diode in the vehicle
    PILOT_SHORT = "F40"  # state E
    PILOT_INVALID = "F41"  # a level that is no state
    OVER_CURRENT = "F42"
    OUT_OF_BALANCE = "F43"  # one phase more than 20 A above the others: current is limited
    VENTILATION_FAILURE = "F44"  # state D, ventilation not there or not confirmed
    VEHICLE_IGNORES_PWM = "F45"  # stays in C or D after PWM off: opened under load
    PHASE_SWITCH_FAILURE = "F46"
    STATION_OVER_TEMPERATURE = "F47"  # Pt1000 or PTC of board or housing
    HLC_ERROR = "F48"  # AC high-level session failed; the detail is the error's name
    IO_LOST = "F49"
    DYNAMIC_LIMIT_IGNORED = "F50"  # a sixth name
    EVENT_ACTION = "F51"  # text of an event action for the back end
    MATRIX_CONTACT_WELDED = "F52"
    MATRIX_CONTACT_NOT_CLOSED = "F53"
    MATRIX_CONTACT_UNKNOWN = "F54"  # no feedback
    MATRIX_BUS_SHARED = "F55"  # two connectors joined by contacts


class Severity(enum.Enum):
    """How loud a fault is. WARNING keeps charging; FAULT makes an EVSE Faulted; CRITICAL needs a visit."""

    WARNING = "warning"
    FAULT = "fault"
    CRITICAL = "critical"


class Reaction(enum.Enum):
    """What the core does, ordered by force."""

    NONE = "none"
    DERATE = "derate"
    STOP = "stop"  # ask the vehicle to stop, then open
    EMERGENCY = "emergency"  # energy off in the same tick


class LatchRule(enum.Enum):
    """When a fault may go away."""

    AUTO = "auto"  # by itself when the cause is gone
    UNPLUG = "unplug"  # when the cause is gone and the vehicle has left
    MANUAL = "manual"  # a technician clears it after the cause is gone


class FaultKinds(enum.Enum):
    """Which EVSEs can have a fault; a fault of the station is BOTH."""

    AC = "ac"
    DC = "dc"
    BOTH = "both"


class FaultSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the fault table."""

    code: FaultCode
    name: str  # CamelCase label, e.g. "EmergencyStop"
    scope: str  # "station" or "evse"
    kinds: FaultKinds
    priority: int  # 100 = highest, unique: when several stand this one goes into a StatusNotification
    severity: Severity
    reaction: Reaction
    latch: LatchRule
    ocpp16: str  # ChargePointErrorCode
    vendor_code: str = ""  # vendorErrorCode, "" = the F number is sent
    stop_reason: str  # StopReason value for a transaction that it ends
    description: str
    cause: str
    impact: str
    remedy_remote: str
    remedy_on_site: str

    @property
    def faulted(self) -> bool:
        """True = OCPP status Faulted while it is active; False = the status stays as it is."""
        return self.severity is not Severity.WARNING


class FaultRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A fault as the core keeps it. ``present`` = the cause stands now; ``active`` ends when the latch rule is met."""

    code: FaultCode
    evse_id: int  # 0 = station
    detail: str  # what exactly, with the value: "insulation 48 kohm < 100 kohm at 500 V"
    first_seen: WallNs
    last_seen: WallNs
    count: int
    present: bool
