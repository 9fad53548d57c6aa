"""What an AC EVSE remembers from one tick to the next, beside `EvseWork`. Each module owns the fields with its prefix.

Flat on purpose: `thaw` and `freeze` are one copy each. All waits are deadlines (`Instant`), 0 = not armed.
"""

from __future__ import annotations

import enum

import msgspec
from msgspec.structs import astuple

from evse.domain.ac import PilotMode, PpState, V2gError, V2gPhase
from evse.domain.leds import LedCondition
from evse.domain.rules import RuleRun
from evse.domain.signals import CpState
from evse.units import Instant, WallNs


class LockStage(enum.Enum):
    """Stages of a plug lock; `evse.core.ac.lock.TABLE` connects them."""

    UNKNOWN = "unknown"  # since start: nobody knows where the bolt is
    OPEN = "open"
    LOCKING = "locking"
    LOCKED = "locked"
    UNLOCKING = "unlocking"
    BACK_TO_OPEN = "back_to_open"  # locking failed: to the last valid position, then once more
    BACK_TO_LOCKED = "back_to_locked"  # unlocking failed
    CANNOT_LOCK = "cannot_lock"  # tries are spent: stands still until something new is wanted
    CANNOT_UNLOCK = "cannot_unlock"


class RcdStage(enum.Enum):
    """Stages of a self-test; `evse.core.ac.rcd` moves through them."""

    IDLE = "idle"
    WANTED = "wanted"  # starts as soon as nothing flows and the monitor reads normal
    TRIGGERED = "triggered"  # test output driven
    RELEASED = "released"  # test output off, the last readings are awaited


class HlcStage(enum.Enum):
    """Where digital communication stands; `evse.core.ac.hlc.TABLE` connects the stages."""

    IDLE = "idle"  # no vehicle
    WAIT = "wait"  # 5 % on the pilot, the vehicle may begin
    SESSION = "session"  # from the first SLAC frame to the end of the session
    CLOSING = "closing"  # the station ends or pauses the session in order, the pilot stays at 5 %
    RESTING = "resting"  # 5 % on the pilot, no session; the vehicle may begin another one
    PAUSED = "paused"  # SessionStop with Pause
    RESET = "reset"  # x1 before another session
    SWITCH = "switch"  # x1 before the duty cycle tells the current
    BASIC = "basic"  # the duty cycle tells the current until the vehicle leaves
    REFUSED = "refused"  # digital communication is required and does not work

    __hash__ = object.__hash__


class DynamicLimit(msgspec.Struct, frozen=True):
    """A named limit of another program; ``current_ma`` -1 = none."""

    name: str
    current_ma: int
    set_at: Instant


class AcWork(msgspec.Struct):
    """Fields of one AC EVSE, writable: private to one tick. Constructor values are those of an empty, safe EVSE."""

    # pilot and machine (cp.py, machine.py)
    cp_raw: CpState = CpState.UNKNOWN  # of this tick
    cp_seen: CpState = CpState.UNKNOWN
    cp_seen_at: Instant = 0
    cp_state: CpState = CpState.UNKNOWN  # that has stood long enough
    cp_away_at: Instant = 0
    cp_diode_ok: bool = False  # measured with PWM since the vehicle came
    cp_diode_bad_at: Instant = 0
    cp_no_diode: bool = False
    cp_pwm_at: Instant = 0  # the board has reported PWM since
    cp_mode: PilotMode = PilotMode.X1  # commanded on the last tick
    cp_mode_at: Instant = 0
    cp_duty_bp: int = 0
    cp_digital: bool = False  # meaning of the last PWM
    cp_pwm_used: bool = False  # since the vehicle came
    cp_pwm_off_at: Instant = 0
    cp_x1_until: Instant = 0  # no PWM before
    cp_quiet_until: Instant = 0  # E and F on the pilot may still be our own
    cp_allowed: bool = True  # external release
    cp_pause: str = ""  # why nothing is offered although a transaction is open
    wake_at: Instant = 0  # then the vehicle is woken up
    wake_until: Instant = 0  # state E until
    wake_offered: bool = False  # the present offer has been noticed
    wake_force: bool = False  # a transaction has begun: wake the vehicle up with its first offer
    # contactor, phases, ventilation (contactor.py, phases.py, ventilation.py)
    k_second: bool = False  # second contactor commanded closed
    k_second_at: Instant = 0  # of the present value
    k_up: bool = False  # has been closed under the present lease
    k_lost: bool = False  # the board has opened under our lease
    k_losses: int = 0  # in this transaction
    k_blind_at: Instant = 0  # the auxiliary contact says nothing since
    ph_set: int = 0  # phases of the next closing with a second contactor, 0 = as configured
    ph_want: int = 0  # asked for, 0 = nothing
    ph_asked_at: Instant = 0
    ph_delay_s: int = 0
    ph_off_at: Instant = 0  # everything open since, 0 = something is closed
    vent_available: bool = False  # external ventilation
    vent_wish: bool = False  # of another program for relay 2
    vent_on: bool = False
    vent_at: Instant = 0  # of the present value
    vent_refused: bool = False  # the vehicle has asked for what there is not
    # proximity and lock (proximity.py, lock.py)
    pp_seen: PpState = PpState.UNKNOWN  # last reading
    pp_seen_at: Instant = 0
    pp_state: PpState = PpState.UNKNOWN  # that has stood long enough
    pp_low_ma: int = -1  # smallest cable since the vehicle came, -1 = none yet
    pp_changed: str = ""  # "32 -> 20 A": the coding has changed since the vehicle came
    lock_stage: LockStage = LockStage.UNKNOWN
    lock_wanted: bool = False  # target of the last tick
    lock_cmd: bool = False  # level of the board
    lock_cmd_at: Instant = 0  # of the present level
    lock_deadline: Instant = 0  # of the stage
    lock_tries: int = 0  # movements of the present wish that have failed
    lock_odd_at: Instant = 0  # the feedback contradicts the stage since
    lock_broken: str = ""  # "open" or "close": has moved by itself, not back in its place yet
    lock_empty_at: Instant = 0  # the capacitor is needed and not charged since
    lock_rule: bool | None = None  # an event action moves the lock; None = by itself
    lock_forced: bool = False  # unlocked by hand until the plug is out
    lock_remote: bool = False  # mode REMOTE: another program wants it locked, until it says otherwise or the plug is out
    lock_hold: bool = False  # the vehicle side was unplugged, the station side stays locked
    lock_token: str = ""  # who may end `lock_hold`
    lock_fault_at: Instant = 0  # a fault wants the lock open since
    # residual current (rcd.py)
    rcd_stage: RcdStage = RcdStage.IDLE
    rcd_trigger: bool = False  # level of the test output
    rcd_started: Instant = 0
    rcd_released: Instant = 0
    rcd_tripped_seen: bool = False  # in the running test, at its moment
    rcd_retry_at: Instant = 0  # no new attempt before
    rcd_settle_at: Instant = 0  # after a void or failed test: until then "tripped" is the answer to our own trigger
    rcd_passed: bool = False  # the last test
    rcd_failed: str = ""  # why the last test failed; "" = it did not
    rcd_stuck: bool = False  # it failed, and the monitor has not read normal for long enough since
    rcd_tested_at: Instant = 0  # end of the last test
    rcd_tested_wall: WallNs | None = None
    rcd_for: str = ""  # session that the last passed test belongs to
    rcd_odd_at: Instant = 0  # not normal since, outside a test
    rcd_spurious: bool = False  # tripped without a vehicle and not normal since
    # limits and over-current (limits.py, over_current.py)
    lim_dynamic: tuple[DynamicLimit, ...] = ()
    lim_ignored: str = ""  # name of a dynamic limit for which there was no room
    lim_contact: bool = False  # a limit has been received since start
    lim_dynamic_at: Instant = 0  # last word about dynamic limits, 0 = never
    lim_rotary: int = -1  # position at start, -1 = not read yet
    lim_rule_ma: int = -1  # event actions
    lim_free_ma: int = 0  # offer without the reduction for over-current
    lim_ask_ma: int = 0  # what every limit but the plan and the site allows
    lim_other_ma: int = 0  # the same on the other number of phases, 0 = the planner does not switch them
    lim_hot: bool = False  # board above the stop temperature, and not below the start temperature since
    lim_hot_contact: bool = False  # the same of the connector's contacts
    lim_single: bool = False  # the vehicle uses fewer phases than it could
    lim_skew_at: Instant = 0  # imbalance above its limit since
    oc_ref_ma: int = 0  # what the vehicle must keep to
    oc_ref_until: Instant = 0  # so long it may follow a lower offer
    oc_low_at: Instant = 0  # above the lower threshold since
    oc_high_at: Instant = 0
    oc_trips: int = 0  # since the vehicle came
    oc_pause_until: Instant = 0  # nothing offered before
    oc_cap_ma: int = -1  # staged derating
    # release (release_ac.py)
    rel_hold: bool = False  # another program gives permission until it takes it back
    rel_token: str = ""  # identifier of that permission
    rel_level: bool = False  # key switch or held permission on the last tick
    # ISO 15118 (hlc.py)
    hlc_stage: HlcStage = HlcStage.IDLE
    hlc_deadline: Instant = 0  # of the stage
    hlc_phase: V2gPhase = V2gPhase.NONE  # last told
    hlc_finished: bool = False  # last told
    hlc_last: V2gPhase = V2gPhase.NONE  # furthest phase of this session
    hlc_begun: bool = False  # messages were exchanged in this session
    hlc_param: bool = False  # this session has reached the charge parameters
    hlc_read: bool = False  # this session has told what it can about the state of charge
    hlc_stale: V2gError = V2gError.NONE  # of a session before; boards show it until SLAC is restarted
    hlc_fault: str = ""  # why digital communication failed
    hlc_tries: int = 0  # new sessions after a failure, where digital communication is required
    hlc_restart_until: Instant = 0  # SLAC restart is driven
    hlc_param_at: Instant = 0  # start of the parameter phase
    hlc_told_ma: int = -1  # offer in the schedule that the vehicle has, -1 = none yet
    hlc_ask_until: Instant = 0  # the vehicle is asked to renegotiate
    hlc_pause: bool = False  # somebody wants the session paused
    hlc_again: bool = False  # another session shall begin as soon as possible
    hlc_tx: bool = False  # transaction open on the last tick
    hlc_soc: int = -1  # percent, -1 = not known yet, -2 = not to be known (Charge Control C, 15.21)
    hlc_soc_at: WallNs | None = None
    hlc_vendor: str = ""  # entry of the table of makers that fits the MAC
    hlc_departure_at: WallNs | None = None
    hlc_energy_wh: int | None = None  # what the vehicle wants
    # outputs and lamps (outputs.py; rules.py and leds.py set them)
    out_outputs: int = 0  # digital outputs that are high, bit 0 = output 1
    out_floating: int = 0
    out_pulsing: int = 0
    out_hand: int = 0  # set by hand: the rules have no say
    out_hand_high: int = 0
    out_hand_floating: int = 0
    out_marks: tuple[tuple[LedCondition, Instant], ...] = ()  # what lamps can show, and since when
    out_accepted_at: Instant = 0  # the last card that was
    out_rejected_at: Instant = 0
    out_led_rgb: int = 0
    out_rfid_rgb: int = 0
    out_buzzer: bool = False
    # event actions (rules.py)
    rule_version: int = 0  # of the rules that the rest belongs to
    rule_marks: int = -1  # levels of the last tick, for edges
    rule_runs: tuple[RuleRun, ...] = ()
    rule_by: tuple[tuple[int, int], ...] = ()  # (slot, number of the rule that decides)
    rule_token_invalid: bool = False  # the last card
    rule_release: bool | None = None  # charging release; None = not by a rule
    rule_allowed: bool | None = None  # external release; None = as other programs say
    rule_message: str = ""  # with an external release that is withdrawn


class AcState(AcWork, frozen=True):  # type: ignore[misc]  # mypy cannot know that msgspec allows this
    """`AcWork`, frozen."""


def thaw(state: AcState) -> AcWork:
    """Return a writable copy."""
    return AcWork(*astuple(state))


def freeze(work: AcWork, before: AcState | None) -> AcState:
    """Return ``work`` frozen; ``before`` itself when nothing changed."""
    fields = astuple(work)
    return before if before is not None and fields == astuple(before) else AcState(*fields)
