"""Laws of AC EVSEs, checked on every tick from outside: readings in, gated levels out. Ids are used in docs/safety.md."""

from __future__ import annotations

from collections import deque

from evse.core.inputs import Inputs
from evse.core.outputs import EvseOutput, Outputs
from evse.core.state import EvseState, Stage, StationState
from evse.domain.ac import AcCommand, AcSpec, AcStatus, FeedbackType, LockMode, PilotMode, PpState, RcdState
from evse.domain.contactor import ContactorFeedback
from evse.domain.readings import Sample
from evse.domain.signals import BoardStatus, CpState
from evse.domain.station import EvseKind, EvseSpec, StationSpec
from evse.units import Instant, ms, s
from tests._support.laws import broken, fresh_board, law

CABLE_MA = {PpState.A13: 13_000, PpState.A20: 20_000, PpState.A32: 32_000, PpState.A63: 63_000}

FOLLOW = s(6)
"""5 s for the vehicle, the rest for ticks."""

ENDS_WITHIN = s(12)
"""From the end of the time above the threshold to the open contactor: 5 s in which the offer counts that was, 6 s without PWM."""

ENERGY_STAGES = (Stage.CURRENT, Stage.RAMP_DOWN)


def told_ma(duty_bp: int) -> int:
    """What a vehicle takes a duty cycle for (IEC 61851-1, Annex A), typed a second time."""
    if 800 <= duty_bp < 1_000:
        return 6_000
    if 1_000 <= duty_bp <= 8_500:
        return round(0.6 * duty_bp / 100 * 1000)
    if 8_500 < duty_bp <= 9_600:
        return round(2.5 * (duty_bp / 100 - 64) * 1000)
    return 80_000 if 9_600 < duty_bp <= 9_700 else 0


class AcLawBook:
    """Laws with memory for one station over its life, per EVSE."""

    def __init__(self) -> None:
        self._of: dict[int, AcMemory] = {}

    def check(
        self, spec: StationSpec, inputs: Inputs, outputs: Outputs, gated: Outputs, after: StationState, now: Instant
    ) -> None:
        """Check one tick."""
        for e, out, plain, w in zip(spec.evses, gated.evses, outputs.evses, after.evses, strict=True):
            if e.kind is EvseKind.AC:
                if out != plain:
                    broken(23, f"EVSE {e.evse_id}: the tick wants what the gate forbids: {plain} -> {out}")
                board = fresh_board(spec, inputs, e.evse_id, now)
                check_levels(e, board, out)
                memory = self._of.get(e.evse_id)
                if memory is None:
                    memory = self._of[e.evse_id] = AcMemory(e)
                memory.check(board, drawn_ma(inputs, e.evse_id), out, w, now)


def drawn_ma(inputs: Inputs, evse_id: int) -> int | None:
    """Largest phase current of the meter, None = not known."""
    for given in inputs.evses:
        if given.evse_id == evse_id and isinstance(given.meter, Sample) and given.meter.value.current_l_ma is not None:
            return max(given.meter.value.current_l_ma)
    return None


def check_levels(e: EvseSpec, b: BoardStatus | None, output: EvseOutput) -> None:
    """What the levels of one tick must be, whatever was before."""
    out, ac, limits = output.board, output.board.ac, e.ac or AcSpec()
    name = f"EVSE {e.evse_id}"
    assert ac is not None
    status = b.ac if b is not None and b.ac is not None else AcStatus()
    told = told_ma(ac.duty_bp) if ac.pilot is PilotMode.PWM else 0
    if ac.pilot is not PilotMode.PWM and ac.duty_bp != 0:
        broken(25, f"{name}: duty {ac.duty_bp} without PWM")
    if told > out.offered_ma:
        broken(25, f"{name}: {told} mA promised, {out.offered_ma} mA offered")
    if out.offered_ma != 0 and out.offered_ma < 6_000:
        broken(25, f"{name}: {out.offered_ma} mA offered")
    if told > limits.evse_ma:
        broken(26, f"{name}: {told} mA promised, wiring {limits.evse_ma} mA")
    cable = CABLE_MA.get(status.pp, limits.evse_ma) if limits.socket else limits.cable_ma
    if told > cable:
        broken(26, f"{name}: {told} mA promised, cable {cable} mA")
    if b is None and told != 0:
        broken(26, f"{name}: a promise without a board")
    second = ac.relay2 and not ac.relay2_free
    if second and not out.contactor_lease:
        broken(27, f"{name}: second contactor without the first")
    if ac.relay2 and ac.relay2_free is limits.phase_switch.enabled:
        broken(27, f"{name}: relay 2 has two meanings")
    if second and ac.phases != 3:
        broken(27, f"{name}: second contactor with {ac.phases} phases")
    if ac.phases > limits.phases:
        broken(27, f"{name}: {ac.phases} phases, wired {limits.phases}")
    if ac.rcd_test and out.contactor_lease:
        broken(28, f"{name}: residual current test under a closed contactor")
    if out.contactor_lease:
        if limits.rcd.fitted and status.rcd is not RcdState.NORMAL:
            broken(28, f"{name}: closed, monitor {status.rcd.value}")
        high = status.cp_high_mv
        if high is not None and not (1_000 < high < 8_000):
            broken(3, f"{name}: closed at {high} mV")
        if b is None or b.cp not in (CpState.C, CpState.D):
            broken(3, f"{name}: closed outside C/D")
        locked = out.lock or not limits.socket or limits.lock_mode is LockMode.NEVER
        if not locked:
            broken(29, f"{name}: closed, and the lock is told to open")


def reads_open(e: EvseSpec, b: BoardStatus | None) -> bool:
    """Whether no auxiliary contact says closed; one that is not there says nothing."""
    spec = e.ac or AcSpec()
    if b is None:
        return False
    rows = [(spec.contactor_feedback, b.contactor)]
    if spec.phase_switch.enabled and b.ac is not None:
        rows.append((spec.phase_switch.feedback, b.ac.relay2))
    closed = {FeedbackType.NO: ContactorFeedback.CLOSED, FeedbackType.NC: ContactorFeedback.OPEN}
    return all(contact is not closed.get(kind) for kind, contact in rows)


class AcMemory:
    """One AC EVSE over its life."""

    def __init__(self, e: EvseSpec) -> None:
        self._e, self._spec, self._name = e, e.ac or AcSpec(), f"EVSE {e.evse_id}"
        self._lease = False
        self._opened: Instant | None = None
        self._phases = 0
        self._session, self._stage, self._tx = "", Stage.EMPTY, False
        self._pwm_off: Instant | None = None
        self._offers: deque[tuple[Instant, int]] = deque()  # falling: the largest of `FOLLOW` is the first
        self._over: dict[int, Instant] = {}  # permille: above it since
        self._pilot: PilotMode | None = None
        self._pilot_at: Instant = 0
        self._after_pulse = False
        self._meaning: bool | None = None  # of the last PWM: True = digital communication

    def check(self, b: BoardStatus | None, drawn: int | None, output: EvseOutput, w: EvseState, now: Instant) -> None:
        """Check one tick."""
        out, ac = output.board, output.board.ac
        assert ac is not None
        self._closing(out.contactor_lease, ac, w, now)
        self._switch(b, out.contactor_lease, ac, w)
        self._visit(w)
        self._current(drawn, out.contactor_lease, out.offered_ma, now)
        self._steps(ac, w, now)
        self._lease, self._stage = out.contactor_lease, w.stage

    def _closing(self, lease: bool, ac: AcCommand, w: EvseState, now: Instant) -> None:
        name = self._name
        if lease and not w.tx_open:
            broken(22, f"{name}: closed without a transaction")
        if lease and w.stage not in ENERGY_STAGES:
            broken(22, f"{name}: closed in stage {w.stage.value}")
        if self._lease and not lease:
            self._opened = now
        elif lease and not self._lease:
            if self._opened is not None and now - self._opened < s(6):
                broken(24, f"{name}: closed again after {now - self._opened} ns")
            if ac.pilot is not PilotMode.PWM:
                broken(30, f"{name}: closes with pilot {ac.pilot.value}")
        if ac.pilot is PilotMode.PWM:
            self._pwm_off = None
        elif self._pwm_off is None:
            self._pwm_off = now
        ends = lease and w.stage is Stage.RAMP_DOWN and self._pwm_off is not None
        if ends and now - (self._pwm_off or now) > s(6):
            broken(30, f"{name}: a stop leaves it closed for more than 6 s without PWM")

    def _switch(self, b: BoardStatus | None, lease: bool, ac: AcCommand, w: EvseState) -> None:
        if self._phases and ac.phases != self._phases:
            text = f"{self._name}: {self._phases} -> {ac.phases} phases under a closed contactor"
            law(not lease and not self._lease, 31, text)
            if w.tx_open and not reads_open(self._e, b):
                broken(31, f"{text} (its feedback)")
        self._phases = ac.phases

    def _visit(self, w: EvseState) -> None:
        """One session from plug-in to unplugging; a second permission at the same plug begins a new one."""
        same = not self._session or w.session_id in ("", self._session)
        if not same and self._stage not in (Stage.DISCHARGE, Stage.FINISHED, Stage.EMPTY):
            broken(32, f"{self._name}: another session in stage {self._stage.value}")
        if (self._tx and w.tx_open) and w.session_id != self._session:
            broken(32, f"{self._name}: another session, the transaction is open")
        told = w.stage is not Stage.AUTHORISED or bool(w.waiting_for)
        if not told:
            broken(33, f"{self._name}: does not charge and says no reason")
        self._session, self._tx = w.session_id, w.tx_open

    def _current(self, drawn: int | None, lease: bool, offered_ma: int, now: Instant) -> None:
        """A vehicle that takes more than it is offered is cut off in time, as far as the meter tells."""
        offers = self._offers
        while offers and offers[-1][1] <= offered_ma:
            offers.pop()
        offers.append((now, offered_ma))
        while now - offers[0][0] > FOLLOW and len(offers) > 1:
            offers.popleft()
        o = self._spec.over_current
        if not lease or drawn is None or o.staged:
            self._over.clear()
            return
        allowed = offers[0][1]
        for permille, time_s in ((o.low_permille, o.low_s), (o.high_permille, o.high_s)):
            if drawn <= max(allowed * permille // 1000, allowed + o.tolerance_ma):
                self._over.pop(permille, None)
            else:
                since = self._over.setdefault(permille, now)
                long = (now - since) // s(1)
                if now - since > s(time_s) + ENDS_WITHIN:
                    broken(34, f"{self._name}: {drawn} mA for {long} s, {allowed} mA allowed")

    def _steps(self, ac: AcCommand, w: EvseState, now: Instant) -> None:
        """Pulses and changes of meaning take their time (ISO 15118-3: T_step_EF, T_step_X1)."""
        if not w.plugged:
            self._meaning = None
        mode, since, name = self._pilot or ac.pilot, now - self._pilot_at, self._name
        if ac.pilot is PilotMode.PWM:
            meaning = ac.duty_bp <= 700
            if mode is not PilotMode.PWM and (mode is not PilotMode.X1 or (self._after_pulse and since < ms(750))):
                broken(35, f"{name}: PWM {since} ns after {mode.value}")
            if self._meaning is not None and meaning is not self._meaning and (mode is not PilotMode.X1 or since < s(3)):
                broken(35, f"{name}: another meaning of PWM after {since} ns of {mode.value}")
            self._meaning = meaning
        if ac.pilot is not self._pilot:
            if mode is PilotMode.E and ac.pilot not in (mode, PilotMode.F) and since < s(4):
                broken(35, f"{name}: a pulse of {since} ns")
            self._after_pulse = self._pilot in (PilotMode.E, PilotMode.F)
            self._pilot, self._pilot_at = ac.pilot, now


__all__ = ["AcLawBook", "AcMemory", "check_levels", "told_ma"]
