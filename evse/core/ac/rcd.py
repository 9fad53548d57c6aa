"""Residual current: the monitor's feedback, its self-test, and three errors with their life cycles.

Charge Control C user guide, 15.15 and 3.3.4.12 to 3.3.4.14; times and order of a test: reference recloser-rcd.md.

* tripped, no vehicle: `RCD_SPURIOUS`, cleared by hand.
* tripped, a vehicle is connected: `RCD_GROUND_FAILURE`, until it has left; still tripped then: spurious.
* a test failed: `RCD_TEST`, cleared by hand. Until the monitor has read normal for `settle` its feedback belongs to the
  failed test: a monitor that answers late, or bounces on its way back, is no residual current.

A feedback that says nothing (`UNKNOWN`) is tripped after `UNKNOWN_LIMIT`. A test runs at start, before each session (each
transaction has its own), every ``period_h`` hours once no transaction is open, and on request; only with the contactor
confirmed open. A passed test is the only way to `passed_for_session`.

A check counts within `WINDOW` after its moment. A tick that comes later than that, or a board that is silent, makes the test
void: nothing is concluded, the output is released, and the test is repeated once the monitor reads normal (a monitor that
does not within its time has failed). A void test never counts as passed, so a station whose ticks are always late does not
charge.
"""

from __future__ import annotations

from evse.core.ac import feedback
from evse.core.ac.memory import RcdStage
from evse.core.context import TEXT_MAX, Conn, Tick
from evse.core.inputs import TestRcd
from evse.core.release import refuse
from evse.domain.ac import RcdSpec, RcdState
from evse.domain.faults import FaultCode
from evse.units import DurationNs, Instant, ms, s

TIME_MIN_MS, TIME_MAX_MS = 1, 5_000

WINDOW = ms(300)
"""Status period of a board and two ticks: so much later than its moment a feedback may arrive."""

UNKNOWN_LIMIT = s(1)
RETRY = s(1)
"""Pause after a void test."""

RUNNING = (RcdStage.TRIGGERED, RcdStage.RELEASED)


def problems(spec: RcdSpec) -> list[str]:
    """Return what is wrong with the three times, each with value and remedy; [] = nothing."""
    found = [
        f"rcd.{name} = {value}: must be {TIME_MIN_MS} to {TIME_MAX_MS} ms"
        for name, value in (
            ("trigger_ms", spec.trigger_ms),
            ("check_tripped_ms", spec.check_tripped_ms),
            ("check_normal_ms", spec.check_normal_ms),
        )
        if not TIME_MIN_MS <= value <= TIME_MAX_MS
    ]
    if spec.check_tripped_ms >= spec.trigger_ms + spec.check_normal_ms:
        found.append(
            f"rcd.check_tripped_ms = {spec.check_tripped_ms}: must be less than trigger_ms + check_normal_ms = "
            f"{spec.trigger_ms + spec.check_normal_ms}, so that \"tripped\" is looked for before \"normal\""
        )
    if spec.test and not spec.fitted:
        found.append("rcd.test = true without a monitor: set rcd.enabled = true or rcd.test = false")
    return found


def observe(t: Tick, conn: Conn) -> None:
    """Judge the feedback, advance a running test, decide whether a new one is due. Nothing without a monitor."""
    if not conn.ac.rcd.fitted:
        return
    a = conn.a
    if a.rcd_stage in RUNNING:
        _advance(t, conn)
    elif conn.b is not None:
        _monitor(t, conn)
        if a.rcd_stage is RcdStage.IDLE and _due(t, conn):
            wrong = problems(conn.ac.rcd)
            if wrong:
                _end(t, conn, wrong[0])
            else:
                a.rcd_stage = RcdStage.WANTED


def tripped(t: Tick, conn: Conn) -> bool:
    """Return True when the monitor reports a residual current, or has not said anything for too long."""
    a, state = conn.a, conn.ab.rcd
    if state is RcdState.UNKNOWN:
        return bool(a.rcd_odd_at) and t.now - a.rcd_odd_at >= UNKNOWN_LIMIT
    return state is RcdState.TRIPPED


def _monitor(t: Tick, conn: Conn) -> None:
    """Outside a test: whose error is it?"""
    a = conn.a
    normal = conn.ab.rcd is RcdState.NORMAL
    if a.rcd_stuck:
        _after_failure(t, conn, normal=normal)
        return
    if normal:
        a.rcd_odd_at, a.rcd_settle_at, a.rcd_spurious = 0, 0, False
        return
    a.rcd_odd_at = a.rcd_odd_at or t.now
    if a.rcd_settle_at:
        if t.now >= a.rcd_settle_at:
            a.rcd_settle_at = 0
            _end(t, conn, f"not normal after a test that was broken off: {conn.ab.rcd.value}")
        return
    if not tripped(t, conn):
        return
    said = "tripped" if conn.ab.rcd is RcdState.TRIPPED else "no feedback"
    values = [
        f"{name} {value / 1000:.1f} mA"
        for name, value in (("DC", conn.ab.residual_dc_ua), ("RMS", conn.ab.residual_rms_ua))
        if value is not None
    ]
    text = ", ".join([f"residual current monitor: {said}", *values])
    if not conn.w.plugged or a.rcd_spurious:
        a.rcd_spurious = True
        conn.causes.append((FaultCode.RCD_SPURIOUS, f"{text}, no vehicle connected"))
    else:
        conn.causes.append((FaultCode.RCD_GROUND_FAILURE, f"{text}, vehicle connected"))


def _after_failure(t: Tick, conn: Conn, *, normal: bool) -> None:
    """The failed test is over when the monitor has read normal for so long that no answer to it can come any more."""
    a = conn.a
    if not normal:
        a.rcd_settle_at = t.now + settle(conn)
    elif t.now >= a.rcd_settle_at:
        a.rcd_odd_at, a.rcd_settle_at, a.rcd_spurious, a.rcd_stuck = 0, 0, False, False
        return
    conn.causes.append((FaultCode.RCD_TEST, a.rcd_failed))


def settle(conn: Conn) -> DurationNs:
    """Return how long the monitor may still answer a test whose output is off."""
    return ms(conn.ac.rcd.check_normal_ms) + WINDOW


# -- self-test ------------------------------------------------------------------------------------------------------


def _due(t: Tick, conn: Conn) -> bool:
    """At start, before each session, after ``period_h``; not while a failed test waits for a person."""
    a, w, spec = conn.a, conn.w, conn.ac.rcd
    if not spec.test or a.rcd_stuck or any(r.code is FaultCode.RCD_TEST for r in w.faults):
        return False
    if not a.rcd_passed or (w.plugged and w.session_id and a.rcd_for != w.session_id):
        return not w.lease
    return t.now - a.rcd_tested_at >= s(spec.period_h * 3600) and not w.tx_open


def passed_for_session(t: Tick, conn: Conn) -> bool:
    """Return True when the contactor may close as far as the monitor is concerned: normal, and tested for this session."""
    spec, a, w = conn.ac.rcd, conn.a, conn.w
    if not spec.fitted:
        return True
    if conn.b is None or conn.ab.rcd is not RcdState.NORMAL or a.rcd_stage in RUNNING:
        return False
    return not spec.test or (a.rcd_passed and bool(w.session_id) and a.rcd_for == w.session_id)


def busy(conn: Conn) -> bool:
    """Return True while a test is pending or runs: the contactor stays open."""
    return conn.a.rcd_stage is not RcdStage.IDLE


def act(t: Tick, conn: Conn) -> None:
    """Start a wanted test once nothing flows and the monitor is normal; set `rcd_trigger`."""
    a = conn.a
    if not conn.ac.rcd.fitted:
        a.rcd_trigger, a.rcd_stage = False, RcdStage.IDLE
        return
    quiet = feedback.is_open(t, conn) and conn.ab.rcd is RcdState.NORMAL and not a.rcd_stuck
    if a.rcd_stage is RcdStage.WANTED and quiet and t.now >= a.rcd_retry_at:
        a.rcd_stage, a.rcd_started, a.rcd_released = RcdStage.TRIGGERED, t.now, 0
        a.rcd_tripped_seen, a.rcd_failed, a.rcd_passed, a.rcd_for = False, "", False, conn.w.session_id
    elif a.rcd_stage in RUNNING and conn.w.lease:
        _void(t, conn, "the contactor is commanded closed")
    a.rcd_trigger = a.rcd_stage is RcdStage.TRIGGERED


def _advance(t: Tick, conn: Conn) -> None:
    """One tick of a running test: "tripped" at its moment, release, "normal" at its moment."""
    a, spec, now = conn.a, conn.ac.rcd, t.now
    if conn.b is None:
        _void(t, conn, "the board does not answer")
        return
    state = conn.ab.rcd
    moment = a.rcd_started + ms(spec.check_tripped_ms)
    release = a.rcd_started + ms(spec.trigger_ms)
    held = spec.check_tripped_ms <= spec.trigger_ms  # the output is held until "tripped" was seen
    if not a.rcd_tripped_seen and now >= moment:
        if now > moment + WINDOW:
            _late(t, conn, "tripped", moment)
            return
        if state is RcdState.TRIPPED:
            a.rcd_tripped_seen = True
    if a.rcd_stage is RcdStage.TRIGGERED and now >= release and (a.rcd_tripped_seen or not held):
        due = max(release, moment + WINDOW) if held else release
        if now > due + WINDOW:
            _void(t, conn, f"test output released {(now - release) // ms(1)} ms late")
            return
        a.rcd_stage, a.rcd_released = RcdStage.RELEASED, now
    if a.rcd_stage is RcdStage.RELEASED and a.rcd_tripped_seen:
        _back_to_normal(t, conn, a.rcd_released + ms(spec.check_normal_ms))


def _back_to_normal(t: Tick, conn: Conn, moment: Instant) -> None:
    if t.now < moment:
        return
    if t.now > moment + WINDOW:
        _late(t, conn, "normal", moment)
    elif conn.ab.rcd is RcdState.NORMAL:
        _end(t, conn, "")


def _late(t: Tick, conn: Conn, what: str, moment: Instant) -> None:
    """The window for ``what`` is over. Was there a tick in its second half, the monitor failed, else nobody looked."""
    if t.state.last_tick >= moment + WINDOW // 2:
        said = conn.ab.rcd.value
        after = (t.state.last_tick - conn.a.rcd_started) // ms(1)
        _end(t, conn, f"not {what} in time: {said} {after} ms after the start of the test")
    else:
        _void(t, conn, f"no look at \"{what}\" in time: {(t.now - moment) // ms(1)} ms late")


def _void(t: Tick, conn: Conn, why: str) -> None:
    a = conn.a
    a.rcd_stage, a.rcd_for, a.rcd_retry_at = RcdStage.WANTED, "", t.now + RETRY
    a.rcd_settle_at = t.now + settle(conn)
    t.event("rcd.test_void", conn.spec.evse_id, why=why)


def _end(t: Tick, conn: Conn, failed: str) -> None:
    a = conn.a
    a.rcd_stage, a.rcd_passed, a.rcd_failed, a.rcd_stuck = RcdStage.IDLE, not failed, failed[:TEXT_MAX], bool(failed)
    a.rcd_tested_at, a.rcd_tested_wall = t.now, t.wall
    t.event("rcd.tested", conn.spec.evse_id, passed=not failed, detail=failed)
    if failed:
        a.rcd_for, a.rcd_settle_at = "", t.now + settle(conn)
        conn.causes.append((FaultCode.RCD_TEST, a.rcd_failed))


def request_test(t: Tick, conn: Conn, c: TestRcd) -> None:
    """Run a test soon; refused without test output, while energy flows, or while a test runs."""
    spec, why = conn.ac.rcd, ""
    if not spec.fitted or not spec.test:
        why = f"EVSE {c.evse_id} has no residual current monitor with a test output"
    elif problems(spec):
        why = problems(spec)[0]
    elif conn.w.lease:
        why = "energy flows; stop the session first"
    elif busy(conn):
        why = "a test runs already or is about to"
    elif conn.b is None or conn.ab.rcd is not RcdState.NORMAL:
        why = f"the monitor does not read normal: {conn.ab.rcd.value}"
    if why:
        refuse(t, c.evse_id, "rcd_test", c.seq, why)
        return
    conn.a.rcd_stage = RcdStage.WANTED
