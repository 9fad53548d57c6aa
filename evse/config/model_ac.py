"""The shape of ``[evse.ac]``: everything that is special to an AC EVSE. See `evse.config.model` for the rules.

Currents are per phase. -1 = no such limit (charge-control-c 15.16).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from evse.domain.base import Frozen

Live = {"x-apply": "live"}
Restart = {"x-apply": "restart"}

Amps = Annotated[int, Meta(ge=-1, le=125)]


class VentilationSection(Frozen, frozen=True, kw_only=True):
    """Relay 2 of the board as ventilation, for vehicles that ask for it (pilot state D)."""

    enabled: Annotated[bool, Meta(title="Relay 2 switches a ventilation", extra_json_schema=Restart)] = False
    control: Annotated[
        Literal["internal", "external"],
        Meta(title="Who switches it: this controller, or another program", extra_json_schema=Restart),
    ] = "internal"
    feedback: Annotated[
        Literal["nc", "no", "none"], Meta(title="Auxiliary contact of the ventilation relay", extra_json_schema=Restart)
    ] = "no"
    always_accept_d: Annotated[
        bool, Meta(title="Charge in state D without ventilation (outdoors)", extra_json_schema=Live)
    ] = False


class PhaseSwitchSection(Frozen, frozen=True, kw_only=True):
    """Relay 2 of the board as second contactor, to switch between one and three phases."""

    enabled: Annotated[bool, Meta(title="Relay 2 switches phases 2 and 3", extra_json_schema=Restart)] = False
    feedback: Annotated[
        Literal["nc", "no", "none"], Meta(title="Auxiliary contact of the second contactor", extra_json_schema=Restart)
    ] = "no"
    delay_s: Annotated[
        int,
        Meta(
            title="Pause between switching off and offering the new phases, s", ge=10, le=300, extra_json_schema=Live
        ),
    ] = 20
    default_phases: Annotated[
        Literal[1, 3], Meta(title="Phases offered to a new vehicle", extra_json_schema=Live)
    ] = 3
    mode: Annotated[
        Literal["manual", "auto"],
        Meta(title="Who switches: other programs and people, or the planner as well", extra_json_schema=Live),
    ] = "manual"
    switches_max: Annotated[
        int, Meta(title="Switches of the planner per session", ge=0, le=100, extra_json_schema=Live)
    ] = 6


class LockSection(Frozen, frozen=True, kw_only=True):
    """The plug lock of a socket."""

    motor: Annotated[
        str, Meta(title="Motor profile of profiles/locks, e.g. ev-t2m3s-e-lock12v", extra_json_schema=Restart)
    ] = "generic"
    mode: Annotated[
        Literal["session", "plugged", "remote", "never"],
        Meta(
            title="Lock while a transaction runs, as long as a plug is in, on command only, or never", extra_json_schema=Live
        ),
    ] = "session"
    unlock_on_ev_disconnect: Annotated[
        bool,
        Meta(
            title="Unlock when the vehicle side is unplugged",
            extra_json_schema={**Live, "x-ocpp": "UnlockConnectorOnEVSideDisconnect"},
        ),
    ] = True


class RcdSection(Frozen, frozen=True, kw_only=True):
    """The residual current monitor (6 mA DC) and its self-test."""

    enabled: Annotated[bool, Meta(title="A monitor is fitted", extra_json_schema=Restart)] = False
    test: Annotated[
        bool, Meta(title="Test it at start, before each session and every period_h", extra_json_schema=Restart)
    ] = True
    trigger_ms: Annotated[
        int, Meta(title="How long the test output is driven, ms", ge=1, le=5000, extra_json_schema=Restart)
    ] = 815
    check_tripped_ms: Annotated[
        int,
        Meta(title="Must read tripped so long after the start of the trigger, ms", ge=1, le=5000, extra_json_schema=Restart),
    ] = 810
    check_normal_ms: Annotated[
        int,
        Meta(title="Must read normal so long after the end of the trigger, ms", ge=1, le=5000, extra_json_schema=Restart),
    ] = 410
    period_h: Annotated[int, Meta(title="Longest time between two tests, h", ge=1, le=168, extra_json_schema=Live)] = 24


class OverCurrentSection(Frozen, frozen=True, kw_only=True):
    """What happens when a vehicle takes more than it is offered."""

    low_pct: Annotated[int, Meta(title="Lower threshold, % of the offer", ge=101, le=200, extra_json_schema=Live)] = 110
    low_s: Annotated[int, Meta(title="Time above the lower threshold, s", ge=1, le=3600, extra_json_schema=Live)] = 100
    high_pct: Annotated[int, Meta(title="Upper threshold, % of the offer", ge=101, le=300, extra_json_schema=Live)] = (
        120
    )
    high_s: Annotated[int, Meta(title="Time above the upper threshold, s", ge=1, le=3600, extra_json_schema=Live)] = 10
    staged: Annotated[
        bool, Meta(title="Lower the offer in steps instead of ending the session", extra_json_schema=Live)
    ] = False


class FakeDcSection(Frozen, frozen=True, kw_only=True):
    """How the vehicles of one maker are read with hlc = "fake_dc"."""

    name: Annotated[str, Meta(title="Maker", min_length=1, max_length=40, extra_json_schema=Live)]
    oui: Annotated[
        tuple[str, ...],
        Meta(title='Starts of the MAC address, e.g. "98:ED:5C"', min_length=1, extra_json_schema=Live),
    ]
    ends_after: Annotated[
        Literal["mac", "soc"], Meta(title="What is read before the switch to PWM", extra_json_schema=Live)
    ] = "soc"
    switch_method: Annotated[
        int, Meta(title="How the board switches from digital to PWM, 1..4", ge=1, le=4, extra_json_schema=Live)
    ] = 1


class RotarySection(Frozen, frozen=True, kw_only=True):
    """One position of the rotary switch; the others keep the factory table."""

    position: Annotated[int, Meta(title="Position, 0..15", ge=0, le=15, extra_json_schema=Restart)]
    current_a: Annotated[int, Meta(title="Grid current, A", ge=1, le=125, extra_json_schema=Restart)]
    phases: Annotated[Literal[1, 3], Meta(title="Phases of the connection", extra_json_schema=Restart)] = 3


class AcSection(Frozen, frozen=True, kw_only=True):
    """The AC side of an EVSE."""

    connection: Annotated[
        Literal["socket", "cable"], Meta(title="Socket, or fixed cable", extra_json_schema=Restart)
    ] = "socket"
    current_max_a: Annotated[
        int, Meta(title="Wiring inside the station, A (hard limit)", ge=6, le=80, extra_json_schema=Restart)
    ] = 16
    cable_a: Annotated[
        int, Meta(title="Rating of the fixed cable, A", ge=6, le=80, extra_json_schema=Restart)
    ] = 6
    grid_a: Annotated[
        Amps, Meta(title="Fuse and cable to the station, A; -1 = none", extra_json_schema=Restart)
    ] = -1
    rotary_switch: Annotated[
        bool, Meta(title="The board's rotary switch sets grid current and phases", extra_json_schema=Restart)
    ] = False
    rotary: tuple[RotarySection, ...] = ()
    phases: Annotated[Literal[1, 3], Meta(title="Phases of the connection", extra_json_schema=Restart)] = 3
    phase_rotation: Annotated[
        Literal["RST", "RTS", "SRT", "STR", "TRS", "TSR", "NotApplicable", "Unknown"],
        Meta(
            title="Grid phases at L1, L2, L3", extra_json_schema={**Restart, "x-ocpp": "ConnectorPhaseRotation"}
        ),
    ] = "RST"
    nominal_v: Annotated[int, Meta(title="Voltage phase to neutral, V", ge=100, le=277, extra_json_schema=Restart)] = (
        230
    )
    weight_pct: Annotated[
        int, Meta(title="Share against others where current is scarce, %", ge=10, le=1000, extra_json_schema=Live)
    ] = 100
    priority: Annotated[
        int, Meta(title="Served before all with a smaller number", ge=0, le=9, extra_json_schema=Live)
    ] = 0
    failsafe_a: Annotated[
        Amps,
        Meta(title="Until a limit was received for the first time, A; -1 = none", extra_json_schema=Live),
    ] = -1
    disconnected_a: Annotated[
        Amps, Meta(title="While the back end is not connected, A; -1 = none", extra_json_schema=Live)
    ] = -1
    fallback_a: Annotated[
        Amps, Meta(title="While limits are older than fallback_s, A; -1 = none", extra_json_schema=Live)
    ] = -1
    fallback_s: Annotated[
        int, Meta(title="Age at which a dynamic limit is stale, s; 0 = never", ge=0, le=86_400, extra_json_schema=Live)
    ] = 0
    reject_plugs: Annotated[
        Literal["none", "13", "13+20"], Meta(title="Plugs that are refused as too weak", extra_json_schema=Live)
    ] = "none"
    contactor_feedback: Annotated[
        Literal["nc", "no", "none"],
        Meta(title="Auxiliary contact of the contactor; without one a weld is not seen", extra_json_schema=Restart),
    ] = "no"
    out_of_balance_a: Annotated[
        Amps, Meta(title="Most that a one-phase vehicle gets on three phases, A; -1 = none", extra_json_schema=Live)
    ] = -1
    derate_start_a: Annotated[
        int, Meta(title="Offer at derate_start_c, A", ge=6, le=80, extra_json_schema=Live)
    ] = 32
    derate_end_a: Annotated[
        int, Meta(title="Offer just below derate_end_c, A", ge=6, le=80, extra_json_schema=Live)
    ] = 6
    ptc_a: Annotated[
        int, Meta(title="Offer while a PTC chain is hot, A; 0 = stop", ge=0, le=80, extra_json_schema=Live)
    ] = 0
    release: Annotated[
        Literal["free", "list", "ocpp", "remote", "modbus", "mqtt", "key_switch", "dashboard"],
        Meta(title="Who gives permission to charge", extra_json_schema=Restart),
    ] = "ocpp"
    rfid_needs_vehicle: Annotated[bool, Meta(title="A card counts only with a vehicle", extra_json_schema=Live)] = False
    same_card_stops: Annotated[bool, Meta(title="The card that started also stops", extra_json_schema=Live)] = True
    force_wake_up: Annotated[bool, Meta(title="Wake-up pulse after authorisation", extra_json_schema=Live)] = False
    wake_up_after_30s: Annotated[
        bool, Meta(title="Wake-up pulse when the vehicle does not react for 30 s", extra_json_schema=Live)
    ] = False
    hlc: Annotated[
        Literal["off", "optional", "required", "fake_dc"],
        Meta(title="Digital communication (ISO 15118)", extra_json_schema=Restart),
    ] = "off"
    fake_dc: Annotated[tuple[FakeDcSection, ...], Meta(extra_json_schema=Live)] = ()
    inputs: Annotated[int, Meta(title="Digital inputs of the board", ge=0, le=16, extra_json_schema=Restart)] = 0
    outputs: Annotated[int, Meta(title="Digital outputs of the board", ge=0, le=16, extra_json_schema=Restart)] = 0
    input_threshold_mv: Annotated[
        int, Meta(title="A digital input is high above, mV", ge=0, le=12_000, extra_json_schema=Live)
    ] = 6000
    key_switch_input: Annotated[
        int, Meta(title="Digital input of the key switch, 0 = none", ge=0, le=16, extra_json_schema=Restart)
    ] = 0
    emergency_input: Annotated[
        int, Meta(title="Digital input of the emergency contact, 0 = none", ge=0, le=16, extra_json_schema=Restart)
    ] = 0
    emergency_active: Annotated[
        Literal["high", "low"], Meta(title="Level of the emergency contact that means danger", extra_json_schema=Restart)
    ] = "high"
    ventilation: VentilationSection = field(default_factory=VentilationSection)
    phase_switch: PhaseSwitchSection = field(default_factory=PhaseSwitchSection)
    lock: LockSection = field(default_factory=LockSection)
    rcd: RcdSection = field(default_factory=RcdSection)
    over_current: OverCurrentSection = field(default_factory=OverCurrentSection)
