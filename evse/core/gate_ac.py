"""The gate's rules for AC EVSEs. Reads readings and levels only; shares no code with the tick; can only take energy away.

Rules (docs/safety.md): G13 a closed contactor needs a fresh board, pilot C/D by the board's state and by its own measurement,
the lock where one is fitted, known feedback, a residual current monitor that says normal, no emergency contact, and to close
also a valid cable; G14 the duty cycle promises no more than wiring and cable allow, and no more than what is offered; G15
relay 2 as second contactor closes with the first only, and is no ventilation at the same time; G16 no residual current test
under a closed contactor.
"""

from __future__ import annotations

from msgspec.structs import replace

from evse.domain.ac import AcSpec, AcStatus, FeedbackType, LockMode, PilotMode, PpState, RcdState
from evse.domain.contactor import ContactorFeedback
from evse.domain.signals import BoardCommand, BoardStatus, CpState, LockState
from evse.domain.station import EvseSpec

CABLE_MA = {PpState.A13: 13_000, PpState.A20: 20_000, PpState.A32: 32_000, PpState.A63: 63_000}
C_D_MV = (1_000, 8_000)
"""The positive half wave lies between these in states C (6 V) and D (3 V), both with everything that is tolerated."""

MIN_MA = 6_000
_UNKNOWN = AcStatus()
_DEFAULT = AcSpec()


def may_lease(e: EvseSpec, b: BoardStatus | None, *, storage: bool) -> bool:
    """Return True when the readings justify a closed contactor. ``storage`` = a start can be made durable (or need not)."""
    if b is None or b.estop or b.door_open or b.cp not in (CpState.C, CpState.D):
        return False
    spec, ac = e.ac or _DEFAULT, b.ac or _UNKNOWN
    if spec.emergency_input and bool(ac.inputs >> (spec.emergency_input - 1) & 1) is spec.emergency_active_high:
        return False
    if ac.cp_high_mv is not None and not C_D_MV[0] < ac.cp_high_mv < C_D_MV[1]:
        return False
    if spec.socket and spec.lock_mode is not LockMode.NEVER and b.lock is LockState.UNLOCKED:
        return False
    if spec.rcd.fitted and ac.rcd is not RcdState.NORMAL:
        return False
    closed = b.lease_active
    if spec.contactor_feedback is not FeedbackType.NONE:
        if b.contactor is ContactorFeedback.UNKNOWN:
            return False
        closed = _closed(b.contactor, spec.contactor_feedback)
        if closed and not b.lease_active:
            return False  # closed without a lease is welded
    return closed or (storage and (not spec.socket or ac.pp in CABLE_MA))


def _closed(contact: ContactorFeedback, kind: FeedbackType) -> bool:
    """An auxiliary contact of type NC goes against its contactor."""
    return contact is (ContactorFeedback.CLOSED if kind is FeedbackType.NO else ContactorFeedback.OPEN)


def allowed_ma(e: EvseSpec, b: BoardStatus | None) -> int:
    """Return what wiring and cable allow per phase, in mA; 0 without a fresh board.

    A coding that cannot be read is left to the tick, which filters it: without a valid one nothing closes.
    """
    spec = e.ac or _DEFAULT
    if b is None:
        return 0
    cable = CABLE_MA.get((b.ac or _UNKNOWN).pp, spec.evse_ma) if spec.socket else spec.cable_ma
    return max(0, min(spec.evse_ma, cable))


def promised_ma(c: BoardCommand) -> int:
    """Return what the vehicle is told per phase, in mA: by the duty cycle, with 5 % by ISO 15118."""
    ac = c.ac
    if ac is None or ac.pilot is not PilotMode.PWM or ac.duty_bp > 9_700:
        return 0
    if ac.duty_bp < 800:
        return max(0, c.offered_ma) if 300 <= ac.duty_bp <= 700 else 0
    if ac.duty_bp <= 1_000:
        return MIN_MA
    return ac.duty_bp * 6 if ac.duty_bp <= 8_500 else min(80_000, (ac.duty_bp - 6_400) * 25)


def promised_w(e: EvseSpec, c: BoardCommand) -> int:
    """Return the power of what the vehicle is told, in W at the AC side."""
    phases = c.ac.phases if c.ac is not None else 0
    return promised_ma(c) * max(0, phases) * (e.ac or _DEFAULT).nominal_mv // 1_000_000


def trim(e: EvseSpec, b: BoardStatus | None, c: BoardCommand, *, lease: bool, promise: bool) -> BoardCommand:
    """Return ``c`` without what is not justified. ``promise`` False = nothing may be promised to the vehicle."""
    most = min(allowed_ma(e, b), max(0, c.offered_ma)) if promise else 0
    offered_ma = max(0, min(c.offered_ma, most))
    offered_w = c.offered_w if offered_ma == c.offered_ma else min(c.offered_w, c.offered_w * offered_ma // max(1, c.offered_ma))
    ac = c.ac
    if ac is not None:
        pwm = ac.pilot is PilotMode.PWM and ac.duty_bp > 700 and promised_ma(c) > most
        spec = e.ac or _DEFAULT
        relay2 = ac.relay2 and (not spec.phase_switch.enabled if ac.relay2_free else lease and spec.phase_switch.enabled)
        if pwm or relay2 is not ac.relay2 or (ac.rcd_test and lease):
            ac = replace(
                ac,
                pilot=PilotMode.X1 if pwm else ac.pilot,
                duty_bp=0 if pwm else ac.duty_bp,
                relay2=relay2,
                rcd_test=ac.rcd_test and not lease,
            )
    if ac is c.ac and lease is c.contactor_lease and offered_ma == c.offered_ma and offered_w == c.offered_w:
        return c
    return replace(c, contactor_lease=lease, offered_ma=offered_ma, offered_w=offered_w, ac=ac)
