"""Event actions: rules that installers write, "when this happens and that holds, do so".

Source: CHARX web-based management, "Charging Stations/Charge Point/Event Actions": up to 32 rules, worked through in their
order again and again; an event is a moment, a condition a level, both together trigger the action. An action with a timer
ends by itself, one without (0) stays until another rule revokes it. Words are those of the manual, in snake case.
"""

from __future__ import annotations

import enum
import zlib

import msgspec

from evse.domain.ac import PpState
from evse.domain.faults import FaultCode
from evse.domain.signals import CpState
from evse.units import Instant

RULES_MAX = 32
FLASH_PERIOD_MS = 2_000
"""Period of a flashing output; `Rule.flash_pct` of it is the named level."""

EMERGENCY_STOP_TEXT = "EmergencyStop"
"""As message of an action "external release: disable" it ends a transaction with this reason (manual, fourth example)."""

TIMER_MS_MAX = 86_400_000


class RuleEvent(enum.Enum):
    """A moment. NEVER and ALWAYS are none: the rule is out of use, or hangs on its condition alone."""

    NEVER = "never"
    ALWAYS = "always"
    NEW_ERROR = "new_error"
    ERROR_RESOLVED = "error_resolved"
    INPUT_RISING = "input_rising"  # `Rule.event_input`
    INPUT_FALLING = "input_falling"
    PLUG_CONNECTED = "plug_connected"
    PLUG_DISCONNECTED = "plug_disconnected"
    EV_CONNECTED = "ev_connected"
    EV_DISCONNECTED = "ev_disconnected"
    RFID_RELEASE = "rfid_release"
    RFID_DENIED = "rfid_denied"
    DERATING_STARTED = "derating_started"
    DERATING_ENDED = "derating_ended"
    CONTACTOR_FAILURE = "contactor_failure"
    TEACH_IN = "teach_in"
    TEACH_OUT = "teach_out"
    TEACH_IN_FAILED = "teach_in_failed"

    __hash__ = object.__hash__


class RuleCondition(enum.Enum):
    """A level. Whatever is not known is not true."""

    NEVER = "never"
    ACTIVE = "active"  # always met
    INPUT_HIGH = "input_high"  # `Rule.condition_input`
    INPUT_LOW = "input_low"
    PLUGGED = "plugged"
    ERROR = "error"
    ERROR_INTERNAL = "error_internal"
    ERROR_EXTERNAL = "error_external"  # on the side of the vehicle, `EXTERNAL_FAULTS`
    PP = "pp"  # the cable is coded for `Rule.condition_ma`
    STATUS_A = "status_a"
    STATUS_B = "status_b"
    STATUS_C = "status_c"
    STATUS_D = "status_d"
    EV_CONNECTED = "ev_connected"
    EV_NOT_CONNECTED = "ev_not_connected"
    AVAILABLE = "available"
    PREPARING = "preparing"
    CHARGING = "charging"
    SUSPENDED_EV = "suspended_ev"
    SUSPENDED_EVSE = "suspended_evse"
    FINISHING = "finishing"
    RESERVED = "reserved"
    UNAVAILABLE = "unavailable"
    CONTACTOR_FAILURE = "contactor_failure"
    NO_CONTACTOR_FAILURE = "no_contactor_failure"
    LAST_RFID_INVALID = "last_rfid_invalid"
    PP_UNDER = "pp_under"
    PP_OVER = "pp_over"
    ANALOG_OVER = "analog_over"  # `Rule.condition_input`, `Rule.condition_mv`
    ANALOG_UNDER = "analog_under"
    RELEASE = "release"
    NO_RELEASE = "no_release"
    EXTERNAL_RELEASE = "external_release"
    NO_EXTERNAL_RELEASE = "no_external_release"
    DERATING = "derating"
    NO_DERATING = "no_derating"
    AUTHORIZING = "authorizing"
    REDUCED = "reduced"  # by a limit from outside
    NOT_REDUCED = "not_reduced"
    PWM_ON = "pwm_on"
    PWM_OFF = "pwm_off"
    BACKEND_OFFLINE = "backend_offline"
    BACKEND_OFFLINE_AVAILABLE = "backend_offline_available"
    BACKEND_ONLINE = "backend_online"
    BACKEND_ONLINE_AVAILABLE = "backend_online_available"

    __hash__ = object.__hash__


class RuleAction(enum.Enum):
    """What a rule does. Actions on the same thing (`slot_of`) replace each other."""

    NONE = "none"
    ENABLE_CHARGING = "enable_charging"  # `Rule.status`
    LOCK = "lock"
    UNLOCK = "unlock"
    OUTPUT_LOW = "output_low"  # `Rule.output`
    OUTPUT_HIGH = "output_high"
    OUTPUT_FLOATING = "output_floating"
    OUTPUT_FLASH_HIGH = "output_flash_high"  # `Rule.flash_pct`
    OUTPUT_FLASH_LOW = "output_flash_low"
    OUTPUT_PULSATING = "output_pulsating"  # swells and fades
    OUTPUT_BUS = "output_bus"  # other programs decide
    LIMIT = "limit"  # `Rule.limit_ma`
    EXTERNAL_RELEASE = "external_release"  # `Rule.status`, `Rule.message`

    __hash__ = object.__hash__


class RuleStatus(enum.Enum):
    """Argument of ENABLE_CHARGING and EXTERNAL_RELEASE; BUS = other programs decide."""

    BUS = "bus"
    ENABLE = "enable"
    DISABLE = "disable"


class RuleStation(enum.Enum):
    """State of the charging point as rules ask for it (OCPP 1.6 words)."""

    AVAILABLE = "available"
    PREPARING = "preparing"
    CHARGING = "charging"
    SUSPENDED_EV = "suspended_ev"
    SUSPENDED_EVSE = "suspended_evse"
    FINISHING = "finishing"
    RESERVED = "reserved"
    UNAVAILABLE = "unavailable"
    FAULTED = "faulted"


INPUT_EVENTS = frozenset({RuleEvent.INPUT_RISING, RuleEvent.INPUT_FALLING})
INPUT_CONDITIONS = frozenset({RuleCondition.INPUT_HIGH, RuleCondition.INPUT_LOW})
ANALOG_CONDITIONS = frozenset({RuleCondition.ANALOG_OVER, RuleCondition.ANALOG_UNDER})
PP_CONDITIONS = frozenset({RuleCondition.PP, RuleCondition.PP_UNDER, RuleCondition.PP_OVER})
FLASH_ACTIONS = frozenset({RuleAction.OUTPUT_FLASH_HIGH, RuleAction.OUTPUT_FLASH_LOW})
STATUS_ACTIONS = frozenset({RuleAction.ENABLE_CHARGING, RuleAction.EXTERNAL_RELEASE})
OUTPUT_ACTIONS = FLASH_ACTIONS | {
    RuleAction.OUTPUT_LOW, RuleAction.OUTPUT_HIGH, RuleAction.OUTPUT_FLOATING, RuleAction.OUTPUT_PULSATING,
    RuleAction.OUTPUT_BUS,
}  # fmt: skip

PP_MA: dict[PpState, int] = {PpState.A13: 13_000, PpState.A20: 20_000, PpState.A32: 32_000, PpState.A63: 63_000}
"""What a cable is coded for, per phase."""

EXTERNAL_FAULTS = frozenset(
    {
        FaultCode.BMS_STALE, FaultCode.VEHICLE_COMMUNICATION, FaultCode.RCD_GROUND_FAILURE, FaultCode.PROXIMITY_NO_CABLE,
        FaultCode.PROXIMITY_INVALID, FaultCode.PROXIMITY_CHANGED, FaultCode.PILOT_DIODE, FaultCode.PILOT_SHORT,
        FaultCode.PILOT_INVALID, FaultCode.OVER_CURRENT, FaultCode.OUT_OF_BALANCE, FaultCode.VEHICLE_IGNORES_PWM,
        FaultCode.HLC_ERROR,
    }
)  # fmt: skip
"""Faults of vehicle and cable; all others are the station's own."""

CONTACTOR_FAULTS = frozenset({FaultCode.CONTACTOR_WELDED, FaultCode.CONTACTOR_NOT_CLOSED})


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One event action. ``number`` = its place, from 1; ``evse_id`` 0 = every AC EVSE. Constructor values do nothing."""

    number: int
    evse_id: int = 0
    event: RuleEvent = RuleEvent.NEVER
    event_input: int = 0
    condition: RuleCondition = RuleCondition.ACTIVE
    condition_input: int = 0
    condition_ma: int = 0
    condition_mv: int = 0
    action: RuleAction = RuleAction.NONE
    output: int = 0
    flash_pct: int = 50
    status: RuleStatus = RuleStatus.BUS
    limit_ma: int = 0
    message: str = ""
    timer_ms: int = 0  # 0 = until revoked
    slot: int = -1  # follows from `action`, whatever is given: `slot_of`

    def __post_init__(self) -> None:
        """Work out the slot once, not on every tick."""
        msgspec.structs.force_setattr(self, "slot", slot_of(self))


class RuleRun(msgspec.Struct, frozen=True):
    """A rule whose action stands. ``slot`` = what it works on, ``until`` 0 = until revoked."""

    number: int
    slot: int
    since: Instant
    until: Instant


class RuleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that rules ask about, as it is now. Constructor values: nothing is known, nothing holds."""

    known: bool = False  # there is a fresh status of the board; else inputs, cable, pilot and plug are not known
    inputs: int = 0  # bit 0 = input 1
    input_mv: tuple[int, ...] = ()
    pp: PpState = PpState.UNKNOWN
    cp: CpState = CpState.UNKNOWN
    pwm: bool = False
    plug: bool | None = None  # in the socket; None = cannot be told
    vehicle: bool = False
    station: RuleStation = RuleStation.UNAVAILABLE
    error_internal: bool = False
    error_external: bool = False
    contactor_failure: bool = False
    derating: bool = False
    release: bool = False
    allowed: bool = False  # external release
    authorizing: bool = False
    token_invalid: bool = False  # the last card
    reduced: bool = False
    backend: bool = False
    serviceable: bool = False  # in service and without a fault
    happened: frozenset[RuleEvent] = frozenset()  # on this tick, beside what follows from levels


def slot_of(rule: Rule) -> int:
    """Return what the action works on: -1 nothing, 0 release, 1 lock, 2 limit, 3 external release, 10+n output n."""
    match rule.action:
        case RuleAction.NONE:
            return -1
        case RuleAction.ENABLE_CHARGING:
            return SLOT_RELEASE
        case RuleAction.LOCK | RuleAction.UNLOCK:
            return SLOT_LOCK
        case RuleAction.LIMIT:
            return SLOT_LIMIT
        case RuleAction.EXTERNAL_RELEASE:
            return SLOT_EXTERNAL
        case _:
            return SLOT_OUTPUT + rule.output


SLOT_RELEASE, SLOT_LOCK, SLOT_LIMIT, SLOT_EXTERNAL, SLOT_OUTPUT = 0, 1, 2, 3, 10

SLOT_NAMES = {SLOT_RELEASE: "charging release", SLOT_LOCK: "lock", SLOT_LIMIT: "limit", SLOT_EXTERNAL: "external release"}


def slot_name(slot: int) -> str:
    """Return what a slot is for people: "output 3"."""
    return SLOT_NAMES.get(slot) or (f"output {slot - SLOT_OUTPUT}" if slot > SLOT_OUTPUT else "nothing")


def rules_version(rules: tuple[Rule, ...]) -> int:
    """Return a number that changes with the rules (CRC-32 of their text), 0 = no rules: memory of other rules is void."""
    return zlib.crc32(msgspec.json.encode(rules)) or 1 if rules else 0
