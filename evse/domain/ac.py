"""What an AC EVSE is made of and what its board says: pilot, proximity, relays, lock, residual current, digital I/O.

Sources: IEC 61851-1 Annex A and B (pilot, proximity) as far as the reference plc-serial.md quotes them; Charge Control C
user guide, sections 4.2, 7.5 to 7.10 and 14 to 15 (lock, relays, RCD, limits, ventilation, phase switching, fake DC).
"""

from __future__ import annotations

import enum

import msgspec

from evse.domain.contactor import ContactorFeedback

NOMINAL_MV = 230_000
"""Phase to neutral of a public 230/400 V supply (IEC 60038), where nothing says otherwise."""

OFFER_MIN_MA = 6_000
"""The least that a pilot can offer: a duty of 10 % (IEC 61851-1 Annex A). The core, its gate and the simulator have their own on purpose."""


class PpState(enum.Enum):
    """Proximity coding of the plug in the socket: 1500 / 680 / 220 / 100 ohm. UNKNOWN is never a cable."""

    NONE = "none"  # open: no plug
    A13 = "13"
    A20 = "20"
    A32 = "32"
    A63 = "63"  # 70 A on one phase
    INVALID = "invalid"  # a value between the codings, or shorted
    UNKNOWN = "?"

    __hash__ = object.__hash__


class PilotMode(enum.Enum):
    """What the station puts on the pilot."""

    F = "F"  # -12 V: not available
    X1 = "x1"  # +12 V, no PWM: do not charge (yet)
    PWM = "pwm"  # duty in `AcCommand.duty_bp`
    E = "E"  # 0 V: wake-up pulse

    __hash__ = object.__hash__


class FeedbackType(enum.Enum):
    """Auxiliary contact of a contactor or ventilation relay."""

    NC = "nc"
    NO = "no"
    NONE = "none"


class RcdState(enum.Enum):
    """Feedback of the residual current monitor. UNKNOWN counts as tripped."""

    NORMAL = "normal"
    TRIPPED = "tripped"
    UNKNOWN = "unknown"

    __hash__ = object.__hash__


class HlcMode(enum.Enum):
    """Digital communication with an AC vehicle."""

    OFF = "off"  # basic signalling only
    OPTIONAL = "optional"  # ISO 15118 first, basic when there is no answer
    REQUIRED = "required"  # ISO 15118 or nothing
    FAKE_DC = "fake_dc"  # a short DC session tells MAC and SoC, then basic


class V2gPhase(enum.Enum):
    """The four phases of an ISO 15118 AC session (Charge Control C 15.3); each is started, then finished."""

    NONE = "none"
    INIT = "init"
    AUTH = "auth"
    PARAMETER = "parameter"
    CHARGE = "charge"


class V2gError(enum.Enum):
    """Why a session failed, with the names of the manuals (charge-control-c 15, juice and charx texts)."""

    NONE = "NONE"
    SLAC_FAILED = "SLAC_FAILED"
    SDP_FAILED = "SDP_FAILED"
    TCP_CLOSED = "TCP_CLOSED"
    TLS_FAILED = "TLS_FAILED"
    PROTOCOL_NOT_SUPPORTED = "PROTOCOL_NOT_SUPPORTED"
    SEQUENCE_ERROR = "SEQUENCE_ERROR"
    SEQUENCE_TIMEOUT = "SEQUENCE_TIMEOUT"
    SIGNATURE_ERROR = "SIGNATURE_ERROR"
    SESSION_UNKNOWN = "SESSION_UNKNOWN"
    PAYMENT_SELECTION_INVALID = "PAYMENT_SELECTION_INVALID"
    CHARGE_PARAMETER_INVALID = "CHARGE_PARAMETER_INVALID"
    CHARGING_PROFILE_INVALID = "CHARGING_PROFILE_INVALID"
    POWER_DELIVERY_NOT_APPLIED = "POWER_DELIVERY_NOT_APPLIED"
    CONTACTOR_ERROR = "CONTACTOR_ERROR"
    UNEXPECTED_CP_STATE = "UNEXPECTED_CP_STATE"


class V2gStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The board's ISO 15118 session with the vehicle. Constructor values = no session."""

    phase: V2gPhase = V2gPhase.NONE
    finished: bool = False  # of `phase`; False = started
    error: V2gError = V2gError.NONE
    contract: bool = False  # payment option taken by the vehicle: contract (Plug & Charge), else external means
    departure_s: int | None = None  # after now
    energy_request_wh: int | None = None
    ev_max_ma: int | None = None  # per phase
    ev_min_ma: int | None = None
    ready: bool = False  # PowerDelivery start
    renegotiating: bool = False
    paused: bool = False  # SessionStop with Pause


class AcStatus(msgspec.Struct, frozen=True, kw_only=True):
    """AC part of a board's status. Constructor values are the safe ones: unknown everywhere."""

    pp: PpState = PpState.UNKNOWN
    cp_high_mv: int | None = None  # positive half wave of the pilot; None = the board does not measure it
    cp_low_mv: int | None = None  # negative half wave (with PWM)
    duty_bp: int = 0  # generated now, in 0.01 %: 10000 = no PWM (x1), 0 = state F or E
    relay2: ContactorFeedback = ContactorFeedback.UNKNOWN  # ventilation, or the second contactor
    rcd: RcdState = RcdState.UNKNOWN
    residual_dc_ua: int | None = None
    residual_rms_ua: int | None = None
    lock_charged: bool = False  # capacitor of the lock motor holds enough to unlock without mains
    rotary: int | None = None  # position of the rotary switch, 0..15
    inputs: int = 0  # digital inputs, bit 0 = input 1; meaningful up to `AcSpec.inputs`
    input_mv: tuple[int, ...] = ()
    ptc_hot: bool = False
    board_temperature_dc: int | None = None
    v2g: V2gStatus = V2gStatus()


class AcCommand(msgspec.Struct, frozen=True, kw_only=True):
    """AC part of a board's levels. Constructor values are safe: state F, everything off."""

    pilot: PilotMode = PilotMode.F
    duty_bp: int = 0  # with PilotMode.PWM: 500 = digital communication, 1000..9700 = current
    phases: int = 3  # how many the vehicle gets: 3 = second contactor closes before the first
    relay2: bool = False  # ventilation, or the second contactor (then only under the lease)
    relay2_free: bool = False  # relay 2 is a ventilation or serves another purpose: it needs no lease
    rcd_test: bool = False  # drive the self-test output
    outputs: int = 0  # digital outputs that are high, bit 0 = output 1
    floating: int = 0  # digital outputs without potential
    pulsing: int = 0  # digital outputs that swell and fade, generated by the board
    input_threshold_mv: int = 6_000
    led_rgb: int = 0  # 0xRRGGBB, brightness included
    rfid_rgb: int = 0  # lamp of the reader
    buzzer: bool = False
    hlc: HlcMode = HlcMode.OFF
    parameter_finished: bool = False  # EVSEProcessing Finished in ChargeParameterDiscovery
    renegotiate: bool = False
    pause: bool = False
    switch_method: int = 0  # 1..4: how the board leaves a fake DC session; 0 = its own way


class LockMode(enum.Enum):
    """When the plug is locked in the socket."""

    SESSION = "session"  # from the start of a transaction to its end (OCPP UnlockConnectorOnEVSideDisconnect applies)
    PLUGGED = "plugged"  # as long as a plug is in
    REMOTE = "remote"  # only when another program, an operator or an event action says so; no energy without
    NEVER = "never"  # fixed cable, or no lock


class ReleaseMode(enum.Enum):
    """Who gives permission to charge (charx-web-management: charging release; charge-control-c: user_authentication)."""

    FREE = "free"  # permanent
    LIST = "list"  # card or vehicle in the local whitelist
    OCPP = "ocpp"  # card, RemoteStart
    REMOTE = "remote"  # another program through the API or a rule
    MODBUS = "modbus"
    MQTT = "mqtt"
    KEY_SWITCH = "key_switch"
    DASHBOARD = "dashboard"  # an operator on site

    __hash__ = object.__hash__


class LockMotor(msgspec.Struct, frozen=True, kw_only=True):
    """Data of a plug lock motor (profiles/locks). Times in ms."""

    name: str = "generic"
    drive_ms: int = 300  # longest time of one movement
    pause_ms: int = 500  # between two movements
    feedback: str = "switch"  # "switch", "sense" (potentiometer) or "none"
    needs_capacitor: bool = True
    tries: int = 3


class RcdSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Residual current monitor and its self-test (charge-control-c 15.15). Times in ms, 1..5000."""

    fitted: bool = False
    test: bool = False
    trigger_ms: int = 815
    check_tripped_ms: int = 810  # from the start of the trigger
    check_normal_ms: int = 410  # from the end of the trigger
    period_h: int = 24


class RotaryPosition(msgspec.Struct, frozen=True, kw_only=True):
    """One position of the rotary switch: grid current and phases."""

    current_a: int
    phases: int


ROTARY_TABLE: tuple[RotaryPosition, ...] = tuple(
    RotaryPosition(current_a=a, phases=p) for p in (1, 3) for a in (6, 10, 13, 16, 20, 32, 40, 63)
)
"""Charge Control C, table 16."""


class VentilationSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Relay 2 as ventilation (charge-control-c 15.19, five use cases)."""

    enabled: bool = False
    external: bool = False  # another program says available and switches
    feedback: FeedbackType = FeedbackType.NO
    always_accept_d: bool = False


class PhaseSwitchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Relay 2 as second contactor (charge-control-c 15.20)."""

    enabled: bool = False
    feedback: FeedbackType = FeedbackType.NO
    delay_s: int = 20  # 10..300
    default_phases: int = 3
    auto: bool = False  # the planner decides
    switches_max: int = 6  # of the planner, per session


class OverCurrentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Over-current of the vehicle, in permille of what is offered."""

    low_permille: int = 1100
    low_s: int = 100
    high_permille: int = 1200
    high_s: int = 10
    staged: bool = False  # lower the offer in steps instead of ending
    retry_s: int = 60  # one retry, then the fault stays until unplugged
    tolerance_ma: int = 500


class FakeDcVendor(msgspec.Struct, frozen=True, kw_only=True):
    """How vehicles of one maker are read (charge-control-c 14.1, fake_highlevel_dc_vendors)."""

    name: str
    oui: tuple[str, ...]  # starts of the MAC, upper case, with colons
    until_soc: bool = True  # False = end after the MAC is known
    switch_method: int = 1  # 1..4


class AcSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Ratings and habits of one AC EVSE. Currents are per phase. -1 = no limit where a field says so."""

    socket: bool = True  # False = fixed cable
    cable_ma: int = 6_000  # fixed cable only
    evse_ma: int = 6_000  # internal wiring: hard limit, the gate enforces it
    grid_ma: int = -1  # without a rotary switch
    rotary: bool = False
    rotary_table: tuple[RotaryPosition, ...] = ROTARY_TABLE
    phases: int = 3
    phase_rotation: str = "RST"  # OCPP ConnectorPhaseRotation
    nominal_mv: int = NOMINAL_MV
    weight_pct: int = 100  # share against others where current is scarce
    priority: int = 0  # a larger one is served first
    failsafe_ma: int = -1  # until a back end or program has set a limit for the first time
    disconnected_ma: int = -1  # while the back end is not connected
    fallback_ma: int = -1  # after `fallback_s` without a fresh dynamic limit
    fallback_s: int = 0  # 0 = dynamic limits do not age
    reject_13: bool = False  # plugs that are too weak (charx: 13 A, or 13 A and 20 A)
    reject_20: bool = False
    contactor_feedback: FeedbackType = FeedbackType.NO
    ventilation: VentilationSpec = VentilationSpec()
    phase_switch: PhaseSwitchSpec = PhaseSwitchSpec()
    lock_mode: LockMode = LockMode.SESSION
    lock_motor: LockMotor = LockMotor()
    unlock_on_ev_disconnect: bool = True  # vehicle side
    rcd: RcdSpec = RcdSpec()
    over_current: OverCurrentSpec = OverCurrentSpec()
    out_of_balance_ma: int = -1  # 20000 = single-phase vehicles get at most 20 A (VDE-AR-N 4100)
    derate_start_ma: int = 32_000  # Pt1000: offered at `EvseSpec.derate_start_dc`, falling linearly
    derate_end_ma: int = 6_000  # offered just below `EvseSpec.derate_end_dc`, where charging stops
    ptc_ma: int = 0  # offered while a PTC chain reports hot; 0 = stop
    force_wake_up: bool = False  # after authorisation
    wake_up_after_timeout: bool = False  # 30 s without reaction
    hlc: HlcMode = HlcMode.OFF
    fake_dc_vendors: tuple[FakeDcVendor, ...] = ()
    release: ReleaseMode = ReleaseMode.OCPP
    token_required_plugged: bool = False  # OCPP rfidRequiresEvPresent: card only with a vehicle
    same_token_stops: bool = True  # OCPP rfidStopTransaction
    key_switch_input: int = 0  # number of the digital input, 0 = none
    emergency_input: int = 0
    emergency_active_high: bool = True
    inputs: int = 0
    outputs: int = 0
    input_threshold_mv: int = 6_000
