"""Parts of an AC charging point below the board: lock motor with its capacitor, residual current monitor, contactor.

Each has ``step(now, ...)``, called by physics every 50 ms, and fault fields that `evse.sim.faults_ac` sets. Travel times,
charging and release times are design values of such parts; the times of the self-tests are those for which the two
monitors of the reference recloser-rcd.md are configured (a "level" type that stays tripped while the test output is
driven, a "pulse" type that runs its own test after a short pulse).
"""

from __future__ import annotations

from typing import Final

from evse.domain.ac import FeedbackType, LockMotor, RcdSpec, RcdState
from evse.domain.contactor import ContactorFeedback
from evse.domain.signals import LockState
from evse.units import DurationNs, Instant, ms

FULL: Final = 1000
CHARGE_FULL: Final = ms(4_000)
"""The capacitor is full after so long on mains."""
CHARGE_ENOUGH: Final = 600
"""Permille of a full capacitor that move the motor once."""
MOVE_COST: Final = 150
TRAVEL_PERMILLE: Final = 600
"""A sound motor needs this part of the longest time that its data sheet gives it."""
CAP_LIMIT: Final = ms(30_000)
"""The board reports a capacitor that is not charged after this time."""

RDC_TRIP_UA: Final = 6_000  # IEC 62955: 6 mA direct current
RAC_TRIP_UA: Final = 30_000
RELEASE_NS: Final = ms(300)
LEVEL_TRIP: Final = ms(300)
LEVEL_NORMAL: Final = ms(200)
PULSE_TRIP: Final = ms(500)
PULSE_NORMAL: Final = ms(1_500)


class LockDrive:
    """Motor, capacitor and feedback of a plug lock. ``place`` 0 = open .. 1000 = locked."""

    def __init__(self, motor: LockMotor) -> None:
        self.motor = motor
        self.place = 0
        self.charge = FULL
        self.failed = False  # the last movement did not reach its end
        self.cap_late = False
        # faults
        self.jam_open = False  # a locking movement stays at the open end
        self.jam_closed = False
        self.cap_broken = False
        self.forced: bool | None = None  # somebody holds the bolt by hand: True = locked
        self._wanted = False
        self._due = False  # a movement waits for the capacitor
        self._until: Instant = 0
        self._low_since: Instant | None = None

    @property
    def travel(self) -> DurationNs:
        """Time of one movement."""
        return ms(self.motor.drive_ms) * TRAVEL_PERMILLE // 1000

    @property
    def charged(self) -> bool:
        """Whether the capacitor moves the motor without mains."""
        return not self.motor.needs_capacitor or self.charge >= CHARGE_ENOUGH

    @property
    def locked(self) -> bool:
        """Whether the bolt holds the plug."""
        return self.place > FULL // 2

    @property
    def feedback(self) -> LockState:
        """What the board reads; unknown with a motor that tells nothing."""
        if self.motor.feedback == "none":
            return LockState.UNKNOWN
        return LockState.LOCKED if self.place >= FULL * 9 // 10 else LockState.UNLOCKED

    def by_hand(self, locked: bool | None) -> None:
        """Somebody holds the bolt locked or open; None = it is let go and put back where the motor had it."""
        self.forced = locked
        if locked is None:
            self.place = FULL if self._wanted else 0

    def step(self, now: Instant, dt: DurationNs, wanted: bool, *, mains: bool) -> None:
        """Charge, and move when ``wanted`` (locked) has changed. Without mains the board unlocks with the capacitor."""
        self._charge(now, dt, mains=mains)
        wanted = wanted and mains
        if wanted is not self._wanted:
            self._wanted = wanted
            self._due = True
            self.failed = False
        if self._due and not self._until and self.charged:
            self._due = False
            self._until = now + ms(self.motor.drive_ms)
            if self.motor.needs_capacitor:
                self.charge = max(0, self.charge - MOVE_COST)
        if self._until:
            self._move(now, dt)
        if self.forced is not None:
            self.place = FULL if self.forced else 0

    def _move(self, now: Instant, dt: DurationNs) -> None:
        end = FULL if self._wanted else 0
        stuck = (self.jam_open and self._wanted) or (self.jam_closed and not self._wanted)
        if not stuck:
            way = max(1, FULL * dt // max(self.travel, 1))
            self.place = min(end, self.place + way) if self._wanted else max(end, self.place - way)
        if now >= self._until or self.place == end:
            self._until = 0
            self.failed = self.place != end and self.motor.feedback != "none"

    def _charge(self, now: Instant, dt: DurationNs, *, mains: bool) -> None:
        if self.cap_broken:
            self.charge = 0
        elif mains:
            self.charge = min(FULL, self.charge + FULL * dt // CHARGE_FULL)
        if self.charged:
            self._low_since = None
            self.cap_late = False
        elif self._low_since is None:
            self._low_since = now
        elif now - self._low_since >= CAP_LIMIT:
            self.cap_late = True


class RcdMonitor:
    """Residual current monitor with its test input; ``spec.fitted`` False = there is none."""

    def __init__(self, spec: RcdSpec) -> None:
        self.fitted = spec.fitted
        self.pulse_type = spec.trigger_ms < spec.check_tripped_ms
        self.state = RcdState.NORMAL if spec.fitted else RcdState.UNKNOWN
        self.dc_ua = 0
        self.rms_ua = 0
        # faults
        self.test_fails = False
        self.spurious = False
        self.dead = False
        self._test_since: Instant | None = None
        self._test_end: Instant = 0
        self._driven = False
        self._over_until: Instant = 0

    @property
    def lets_close(self) -> bool:
        """Its contact in the coil's chain; bridged where none is fitted."""
        return not self.fitted or self.state is RcdState.NORMAL

    def step(self, now: Instant, dc_ua: int, rms_ua: int, *, test: bool) -> None:
        """Measure; ``test`` = level of the test output."""
        if not self.fitted:
            return
        self.dc_ua, self.rms_ua = dc_ua, rms_ua
        if abs(dc_ua) >= RDC_TRIP_UA or rms_ua >= RAC_TRIP_UA:
            self._over_until = now + RELEASE_NS
        tripped = now < self._over_until or self.spurious or self._testing(now, test)
        if self.dead:
            self.state = RcdState.UNKNOWN
        else:
            self.state = RcdState.TRIPPED if tripped else RcdState.NORMAL

    def _testing(self, now: Instant, test: bool) -> bool:
        if test and not self._driven:
            self._test_since = now
        self._driven = test
        if test:
            self._test_end = now
        since = self._test_since
        if since is None or self.test_fails:
            return False
        if self.pulse_type:
            return PULSE_TRIP <= now - since < PULSE_NORMAL
        return now - since >= LEVEL_TRIP and now - self._test_end < LEVEL_NORMAL


class Contactor:
    """A contactor and its auxiliary contact. It follows its coil within one step of physics."""

    def __init__(self, feedback: FeedbackType) -> None:
        self.type = feedback
        self.closed = False
        # faults
        self.welded = False
        self.stuck = False
        self.feedback_lost = False

    def step(self, drive: bool) -> bool:
        """Follow the coil; return True when the main contacts moved."""
        closed = (drive and not self.stuck) or (self.welded and (self.closed or drive))
        moved = closed is not self.closed
        self.closed = closed
        return moved

    def feedback(self) -> ContactorFeedback:
        """The auxiliary contact as it is wired: NO goes with the contactor, NC against it."""
        if self.type is FeedbackType.NONE or self.feedback_lost:
            return ContactorFeedback.UNKNOWN
        contact = self.closed if self.type is FeedbackType.NO else not self.closed
        return ContactorFeedback.CLOSED if contact else ContactorFeedback.OPEN
