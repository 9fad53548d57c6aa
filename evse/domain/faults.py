"""Faults: one table maps each fault to severity, reaction, latch rule, OCPP code and the texts a technician reads.

The table itself is `evse.domain.fault_table`; this module holds the shapes.
"""

from __future__ import annotations

import enum

import msgspec

from evse.units import WallNs


class FaultCode(enum.Enum):
    """Every fault of a DC station. ``F<n>`` codes are stable: they are printed on stickers and in manuals."""

    EMERGENCY_STOP = "F1"
    BOARD_LOST = "F2"
    BMS_STALE = "F3"
    INSULATION = "F4"
    PRE_CHARGE_TIMEOUT = "F5"
    CONNECTOR_OVER_TEMPERATURE = "F6"
    POWER_MODULE_FAILURE = "F7"
    POWER_MODULE_MISSING = "F8"
    METER_LOST = "F9"  # DC meter of a connector
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


class FaultSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the fault table."""

    code: FaultCode
    name: str  # CamelCase label, e.g. "EmergencyStop"
    scope: str  # "station" or "evse"
    severity: Severity
    reaction: Reaction
    latch: LatchRule
    ocpp16: str  # ChargePointErrorCode
    stop_reason: str  # StopReason value for a transaction that it ends
    description: str
    cause: str
    impact: str
    remedy_remote: str
    remedy_on_site: str


class FaultRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A fault as the core keeps it. ``present`` = the cause stands now; ``active`` ends when the latch rule is met."""

    code: FaultCode
    evse_id: int  # 0 = station
    detail: str  # what exactly, with the value: "insulation 48 kohm < 100 kohm at 500 V"
    first_seen: WallNs
    last_seen: WallNs
    count: int
    present: bool
