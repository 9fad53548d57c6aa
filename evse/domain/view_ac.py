"""What people and back ends see of the AC side of an EVSE. Values that are not known are None, never 0.

Currents are per phase. Names of the control pilot are those of IEC 61851-1.
"""

from __future__ import annotations

import msgspec

from evse.domain.ac import V2gStatus
from evse.units import WallNs


class LockView(msgspec.Struct, frozen=True, kw_only=True):
    """The plug lock of a socket."""

    stage: str  # unknown, open, locking, locked, unlocking, back_to_open, back_to_locked, cannot_lock, cannot_unlock
    feedback: str  # locked, unlocked, unknown
    commanded: bool  # level of the motor: locked
    forced: bool = False  # unlocked by hand until the plug is out
    held: bool = False  # the vehicle side was unplugged, the station side stays locked for its owner
    charged: bool | None = None  # capacitor holds enough to unlock without mains; None = none is needed
    mode: str = "session"  # session, plugged, remote
    motor: str = ""


class RcdView(msgspec.Struct, frozen=True, kw_only=True):
    """The residual current monitor and its self-test."""

    state: str  # normal, tripped, unknown
    testable: bool  # it has a test output
    testing: bool = False  # a test runs or is about to
    passed: bool | None = None  # the last test; None = none since start
    failed: str = ""  # why the last test failed
    tested_at: WallNs | None = None  # end of the last test
    period_h: int = 24
    residual_dc_ua: int | None = None
    residual_rms_ua: int | None = None


class VentilationView(msgspec.Struct, frozen=True, kw_only=True):
    """The ventilation for vehicles that ask for it (pilot state D)."""

    external: bool  # another program says available and switches
    available: bool
    asked: bool  # the vehicle asks for it
    on: bool  # commanded
    running: bool | None  # by its feedback


class DynamicLimitView(msgspec.Struct, frozen=True, kw_only=True):
    """A named current limit of another program. ``current_ma`` -1 = no limit."""

    name: str
    current_ma: int
    age_s: int
    stale: bool = False  # older than the fallback time: the fallback current holds instead


class HlcView(msgspec.Struct, frozen=True, kw_only=True):
    """Digital communication with the vehicle that is plugged in."""

    stage: str  # idle, wait, session, closing, resting, paused, reset, switch, basic, refused
    soc: int = -1  # percent; -1 = not known yet, -2 = not to be known
    soc_at: WallNs | None = None  # of that reading
    vendor: str = ""  # entry of the table of makers that fits the vehicle (fake DC)
    departure_at: WallNs | None = None  # what the vehicle wants
    energy_request_wh: int | None = None
    schedule_ma: int | None = None  # offer in the schedule that the vehicle has
    failed: str = ""  # why the last session failed


class AcView(msgspec.Struct, frozen=True, kw_only=True):
    """The AC side of one EVSE."""

    pilot: str  # judged state: A, B, C, D, E, F or ?
    pilot_mode: str  # what the station puts on the pilot: F, x1, pwm, E
    duty_bp: int | None  # generated now, in 0.01 %; None without a board
    offered_ma: int  # what the vehicle is told, 0 = nothing
    physical_ma: int  # what cable, wiring and grid allow
    phases: int  # that the vehicle has now, 0 = the contactor is open
    phases_wired: int
    phases_next: int  # that the next closing gives
    phase_switch: bool  # there is a second contactor
    phases_switching: bool  # a switch is under way
    contactor2_closed: bool | None  # second contactor
    socket: bool  # False = fixed cable
    cable_ma: int | None  # None = no valid cable
    allowed: bool  # external release; False = paused
    pause: str  # why nothing is offered although a transaction is open
    release: str  # who gives permission: free, list, ocpp, remote, modbus, mqtt, key_switch, dashboard
    current_l_ma: tuple[int, int, int] | None = None
    voltage_l_mv: tuple[int, int, int] | None = None
    lock: LockView | None = None  # None = no lock is fitted
    rcd: RcdView | None = None  # None = no monitor is fitted
    ventilation: VentilationView | None = None
    rotary: int | None = None  # position of the rotary switch, None = there is none or it was not read
    hlc: str = "off"  # off, optional, required, fake_dc
    v2g: V2gStatus | None = None  # None = no digital communication
    hlc_session: HlcView | None = None  # None = digital communication is switched off
    dynamic: tuple[DynamicLimitView, ...] = ()
    dynamic_ignored: str = ""  # name of a limit for which there is no room
    inputs: tuple[bool, ...] = ()  # digital inputs of the board, the first is input 1
    input_mv: tuple[int, ...] = ()
    outputs: tuple[str, ...] = ()  # digital outputs as commanded: high, low, floating, pulsing
    outputs_by_hand: tuple[bool, ...] = ()
    phase_choice: str = ""  # why the planner leaves or changes the number of phases; "" = it does not decide that
