"""What an AC EVSE remembers from one tick to the next, beside `EvseWork`. Each module owns the fields with its prefix.

Flat on purpose: `thaw` and `freeze` are one copy each. All waits are deadlines (`Instant`), 0 = not armed.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import astuple

from evse.domain.ac import PilotMode
from evse.domain.signals import CpState
from evse.units import Instant


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
    cp_told_ma: int = 0  # what the duty cycle says
    cp_follow_ma: int = 0  # what it said before a reduction
    cp_follow_until: Instant = 0
    cp_allowed: bool = True  # external release
    cp_pause: str = ""  # why nothing is offered although a transaction is open
    wake_at: Instant = 0  # then the vehicle is woken up
    wake_until: Instant = 0  # state E until
    # contactor, phases, ventilation (contactor.py, phases.py, ventilation.py)
    k_second: bool = False  # second contactor commanded closed
    k_second_at: Instant = 0  # of the present value
    k_up: bool = False  # has been closed under the present lease
    k_lost: bool = False  # the board has opened under our lease
    k_losses: int = 0  # in this transaction
    ph_set: int = 0  # phases of the next closing with a second contactor, 0 = as configured
    ph_want: int = 0  # asked for, 0 = nothing
    ph_asked_at: Instant = 0
    ph_delay_s: int = 0
    ph_off_at: Instant = 0  # everything open since, 0 = something is closed
    vent_available: bool = False  # external ventilation
    vent_wish: bool = False  # of another program for relay 2
    vent_on: bool = False
    vent_at: Instant = 0  # of the present value
    # proximity and lock (proximity.py, lock.py)
    # residual current (rcd.py)
    # limits and over-current (limits.py, over_current.py)
    # release (release.py)
    # ISO 15118 (hlc.py)
    # outputs and lamps (outputs.py)


class AcState(AcWork, frozen=True):  # type: ignore[misc]  # mypy cannot know that msgspec allows this
    """`AcWork`, frozen."""


def thaw(state: AcState) -> AcWork:
    """Return a writable copy."""
    return AcWork(*astuple(state))


def freeze(work: AcWork, before: AcState | None) -> AcState:
    """Return ``work`` frozen; ``before`` itself when nothing changed."""
    fields = astuple(work)
    return before if before is not None and fields == astuple(before) else AcState(*fields)
