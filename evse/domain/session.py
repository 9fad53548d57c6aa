"""Sessions, transactions and the enums of OCPP 2.0.1 that describe them."""

from __future__ import annotations

import enum

import msgspec

from evse.domain.signing import SignedValues
from evse.units import WallNs


class ChargingState(enum.Enum):
    """OCPP 2.0.1 ChargingStateEnum."""

    IDLE = "Idle"
    EV_CONNECTED = "EVConnected"
    CHARGING = "Charging"
    SUSPENDED_EV = "SuspendedEV"
    SUSPENDED_EVSE = "SuspendedEVSE"


class OperationalStatus(enum.Enum):
    """OCPP ChangeAvailability."""

    OPERATIVE = "Operative"
    INOPERATIVE = "Inoperative"


class StopReason(enum.Enum):
    """OCPP 2.0.1 ReasonEnum, the members that a DC station uses."""

    EMERGENCY_STOP = "EmergencyStop"
    EV_DISCONNECTED = "EVDisconnected"
    DE_AUTHORIZED = "DeAuthorized"
    GROUND_FAULT = "GroundFault"
    LOCAL = "Local"
    LOCAL_OUT_OF_CREDIT = "LocalOutOfCredit"
    OTHER = "Other"
    OVERCURRENT_FAULT = "OvercurrentFault"
    POWER_LOSS = "PowerLoss"
    REBOOT = "Reboot"
    REMOTE = "Remote"
    STOPPED_BY_EV = "StoppedByEV"
    TIMEOUT = "Timeout"
    IMMEDIATE_RESET = "ImmediateReset"
    ENERGY_LIMIT_REACHED = "EnergyLimitReached"


class AuthSource(enum.Enum):
    """Where the permission for a session comes from."""

    NONE = "none"
    RFID = "rfid"
    REMOTE = "remote"  # RemoteStartTransaction
    API = "api"  # evsectl connector start, kiosk
    FREE = "free"  # free charging configured
    AUTOCHARGE = "autocharge"
    KEY_SWITCH = "key_switch"
    MODBUS = "modbus"
    MQTT = "mqtt"
    RULE = "rule"  # an event action


class SessionPhase(enum.Enum):
    """Where an EVSE stands, from plug-in to unplug. The word that kiosk and CLI show comes from here."""

    IDLE = "idle"
    PLUGGED = "plugged"  # vehicle present, no SLAC yet
    SLAC = "slac"
    HLC_SETUP = "hlc_setup"  # SAP .. Param
    WAIT_AUTH = "wait_auth"
    CABLE_CHECK = "cable_check"
    PRE_CHARGE = "pre_charge"
    CHARGING = "charging"  # CurrentDemand with current
    SUSPENDED = "suspended"  # CurrentDemand without current
    STOPPING = "stopping"
    FINISHED = "finished"  # energy over, still plugged in
    FAULTED = "faulted"
    UNAVAILABLE = "unavailable"


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it is stored and shown: plug-in to unplug, with its transaction if there was one."""

    session_id: str
    evse_id: int
    connector_id: int
    plugged_at: WallNs
    started_at: WallNs | None = None  # transaction start
    ended_at: WallNs | None = None  # transaction stop
    unplugged_at: WallNs | None = None
    energy_wh: int = 0
    meter_start_wh: int | None = None
    meter_stop_wh: int | None = None
    soc_start_pct: int | None = None
    soc_end_pct: int | None = None
    power_max_w: int = 0
    auth_source: AuthSource = AuthSource.NONE
    id_token: str = ""
    evcc_id: str = ""
    transaction_id: int | None = None  # from the CSMS (OCPP 1.6)
    stop_reason: StopReason | None = None
    fault: str = ""  # code and name when a fault ended it, else ""
    stop_token: str = ""  # card that ended it, if a card did
    signed: SignedValues | None = None  # what the meter has signed (calibration law)
