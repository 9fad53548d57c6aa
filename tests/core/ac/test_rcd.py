"""Residual current: self-test with its three times, when it runs, the life cycles of three errors, late ticks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.core.ac import rcd
from evse.core.ac.memory import RcdStage
from evse.core.inputs import TestRcd as RcdCommand
from evse.core.state import Stage
from evse.domain.ac import FeedbackType, RcdSpec, RcdState
from evse.domain.contactor import ContactorFeedback
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode, LatchRule
from evse.units import NS_PER_MS, NS_PER_S
from tests._support.examples import examples
from tests.core.ac.bench import Bench, spec_of

WESTERN = RcdSpec(fitted=True, test=True)  # RCM14-01, the defaults
BENDER = RcdSpec(fitted=True, test=True, trigger_ms=50, check_tripped_ms=750, check_normal_ms=2000)


class Monitor(Bench):
    """A bench with a residual current monitor behind the test output."""

    def __init__(self, spec: RcdSpec = WESTERN, **ac: object) -> None:
        super().__init__(spec_of(rcd=spec, **ac))
        self.pulse = spec is BENDER or spec.trigger_ms < spec.check_tripped_ms
        self.deaf = self.sticks = self.leak = False
        self.edges: list[tuple[int, bool]] = []
        self.started = self.ended = 0

    def once(self, dt: int = 50 * NS_PER_MS) -> None:
        self.board(rcd=RcdState.TRIPPED if self.leak or self._trips(self.now + dt) else RcdState.NORMAL)
        self.step(rcd.observe, rcd.act, dt=dt)
        level = self.mem().rcd_trigger
        if not self.edges or self.edges[-1][1] is not level:
            self.edges.append((self.now, level))
            if level:
                self.started = self.now
            else:
                self.ended = self.now

    def _trips(self, now: int) -> bool:
        if self.deaf or not self.started:
            return False
        if self.sticks:
            return True
        since = (now - self.started) // NS_PER_MS
        if self.pulse:
            return 300 <= since < 1500
        held = self.started > self.ended
        return (held and since >= 200) or (not held and (now - self.ended) // NS_PER_MS < 150)

    def go(self, seconds: float, dt: int = 50 * NS_PER_MS) -> None:
        end = self.now + int(seconds * NS_PER_S)
        while self.now < end:
            self.once(dt)

    def passed(self) -> bool:
        t = self.tick()
        return rcd.passed_for_session(t, t.conns[0])

    def busy(self) -> bool:
        return rcd.busy(self.tick().conns[0])

    def tests(self) -> list[bool]:
        return [bool(e.data["passed"]) for e in self.told("rcd.tested")]

    def ask(self) -> str:
        t = self.tick()
        rcd.request_test(t, t.conns[0], RcdCommand(seq=7, evse_id=1))
        self.keep(t)
        return str(t.events[0].data["why"]) if t.events else ""


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [WESTERN, BENDER, RcdSpec()])
def test_the_times_of_the_manual_are_accepted(spec: RcdSpec) -> None:
    assert rcd.problems(spec) == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (RcdSpec(fitted=True, trigger_ms=0), "rcd.trigger_ms = 0"),
        (RcdSpec(fitted=True, check_tripped_ms=5001), "rcd.check_tripped_ms = 5001"),
        (RcdSpec(fitted=True, check_normal_ms=-1), "rcd.check_normal_ms = -1"),
        (RcdSpec(fitted=True, trigger_ms=50, check_tripped_ms=750, check_normal_ms=700), "less than trigger_ms"),
        (RcdSpec(test=True), "rcd.enabled = true"),
    ],
)
def test_times_that_cannot_work_are_named_with_value_and_remedy(spec: RcdSpec, words: str) -> None:
    assert any(words in text for text in rcd.problems(spec))


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_the_order_constraint_is_exactly_that_of_the_manual(trigger: int, tripped: int, normal: int) -> None:
    spec = RcdSpec(fitted=True, test=True, trigger_ms=trigger, check_tripped_ms=tripped, check_normal_ms=normal)
    assert (rcd.problems(spec) == []) is (tripped < trigger + normal)


def test_times_that_cannot_work_fail_the_test_without_running_it() -> None:
    b = Monitor(RcdSpec(fitted=True, test=True, trigger_ms=50, check_tripped_ms=750, check_normal_ms=700))
    b.once()
    assert "less than trigger_ms" in b.causes[1][FaultCode.RCD_TEST] and b.tests() == [False]
    assert "less than trigger_ms" in b.ask()
    b.fault(FaultCode.RCD_TEST)
    b.go(5)
    assert b.tests() == [False] and [level for _, level in b.edges] == [False] and not b.passed()


# -- the test -----------------------------------------------------------------------------------------------------------


def test_western_order_holds_the_output_until_tripped_was_seen() -> None:
    b = Monitor(WESTERN)
    b.go(2)
    assert b.tests() == [True]
    (t0, on), (t1, off) = b.edges[:2] if b.edges[0][1] else b.edges[1:3]
    assert on and not off and 815 <= (t1 - t0) // NS_PER_MS <= 900
    assert 410 <= (b.mem().rcd_tested_at - t1) // NS_PER_MS <= 460


def test_bender_order_releases_before_the_check() -> None:
    b = Monitor(BENDER)
    b.go(4)
    assert b.tests() == [True]
    (t0, _), (t1, _) = b.edges[:2] if b.edges[0][1] else b.edges[1:3]
    assert (t1 - t0) // NS_PER_MS == 50
    assert 2000 <= (b.mem().rcd_tested_at - t1) // NS_PER_MS <= 2100
    assert b.mem().rcd_tested_wall is not None


def test_every_moment_is_kept_to_the_millisecond_when_ticks_come_so_often() -> None:
    """Three different times, each on its own: trigger, look at "tripped", look at "normal"."""
    b = Monitor(RcdSpec(fitted=True, test=True, trigger_ms=500, check_tripped_ms=250, check_normal_ms=200))
    while not b.tests():
        b.once(NS_PER_MS)
        seen, since = b.mem().rcd_tripped_seen, (b.now - b.started) // NS_PER_MS
        assert not b.mem().rcd_trigger or seen is (since >= 250)
    (t0, _), (t1, _) = [e for e in b.edges if e[0] >= b.started]
    assert (t1 - t0) // NS_PER_MS == 500 and (b.mem().rcd_tested_at - t1) // NS_PER_MS == 200 and b.tests() == [True]


def test_the_output_is_held_when_both_moments_are_one() -> None:
    b = Monitor(RcdSpec(fitted=True, test=True, trigger_ms=200, check_tripped_ms=200, check_normal_ms=200))
    b.started, b.pulse = 0, False
    b.deaf = True
    b.go(0.45)
    assert b.mem().rcd_trigger  # still waits for "tripped" within its window
    b.deaf = False
    b.go(1)
    assert b.tests() == [True]


def test_a_bender_that_never_trips_is_not_passed_by_reading_normal() -> None:
    b = Monitor(RcdSpec(fitted=True, test=True, trigger_ms=50, check_tripped_ms=1000, check_normal_ms=960))
    b.deaf = True
    b.go(1.3)
    assert b.tests() == [] and not b.passed()
    b.go(0.3)
    assert b.tests() == [False]


@pytest.mark.parametrize("spec", [WESTERN, BENDER])
@pytest.mark.parametrize(("knob", "words"), [("deaf", "not tripped in time"), ("sticks", "not normal in time")])
def test_a_failed_step_is_an_error_that_a_person_clears(spec: RcdSpec, knob: str, words: str) -> None:
    b = Monitor(spec)
    setattr(b, knob, True)
    while not b.tests():
        b.once()
    assert b.tests() == [False] and words in b.causes[1][FaultCode.RCD_TEST]
    assert FAULTS[FaultCode.RCD_TEST].latch is LatchRule.MANUAL
    b.fault(FaultCode.RCD_TEST, present=False)
    b.go(30)
    assert b.tests() == [False] and not b.passed()  # not tried again while the error waits for a person
    stands = set(b.causes[1])
    assert stands == ({FaultCode.RCD_TEST} if knob == "sticks" else set())  # nobody can clear it while it sticks
    assert words in b.mem().rcd_failed  # people can read why until the next test
    setattr(b, knob, False)
    b.once()
    b.fault()
    b.go(5)
    assert b.tests() == [False, True] and b.mem().rcd_failed == ""


@pytest.mark.parametrize("spec", [WESTERN, BENDER])
def test_an_answer_that_comes_after_the_failure_is_no_residual_current(spec: RcdSpec) -> None:
    """The monitor recovers in the moment the error is cleared: its late answer belongs to the test, with a vehicle or not."""
    b = Monitor(spec)
    b.go(5)
    b.plug()
    b.deaf = True
    while len(b.tests()) < 2:
        b.once()
    b.deaf = False
    b.fault(FaultCode.RCD_TEST)
    settled = rcd.settle(b.tick().conns[0])
    b.leak = True  # as long as it answers
    b.go(0.3)
    b.leak = False
    since, seen = b.now, set()
    while b.causes[1]:
        seen |= set(b.causes[1])
        b.once()
    assert seen == {FaultCode.RCD_TEST}  # stands, so nobody clears it now
    assert settled <= b.now - since <= settled + 100 * NS_PER_MS
    b.leak = True
    b.go(0.2)
    assert set(b.causes[1]) == {FaultCode.RCD_GROUND_FAILURE}  # a trip after that is one


def test_a_monitor_that_bounces_on_its_way_back_keeps_the_error() -> None:
    b = Monitor()
    b.plug()
    b.sticks = True
    while not b.tests():
        b.once()
    for normal in (True, False, True, True, False):
        b.sticks = not normal
        b.go(0.3)
        assert set(b.causes[1]) == {FaultCode.RCD_TEST}


def test_a_test_on_request_waits_until_the_failed_one_is_over() -> None:
    b = Monitor()
    b.deaf = True
    while not b.tests():
        b.once()
    b.deaf = False
    assert b.ask() == ""
    b.go(0.5)
    assert b.tests() == [False] and not b.mem().rcd_trigger
    b.go(3)
    assert b.tests() == [False, True]


def test_tests_at_start_before_each_session_and_for_each_transaction() -> None:
    b = Monitor()
    assert b.tests() == []
    b.go(3)
    assert b.tests() == [True] and not b.busy()
    b.plug(session_id="s1")
    b.once()
    assert b.busy() and not b.passed()
    b.go(2)
    assert b.tests() == [True] * 2 and b.passed() and not b.busy()
    b.energise()
    b.go(60)
    assert b.tests() == [True] * 2
    b.energise(on=False)
    b.work(session_id="s2", stage=Stage.AUTHORISED)
    assert not b.passed()
    b.go(2)
    assert b.tests() == [True] * 3 and b.passed()


def test_every_24_h_but_never_within_a_transaction() -> None:
    b = Monitor()
    b.go(3)
    b.plug()
    b.go(3)
    b.energise()
    b.go(25 * 3600, dt=5 * NS_PER_S)
    assert b.tests() == [True] * 2 and not b.busy()
    b.energise(on=False)
    b.go(5)
    assert b.tests() == [True] * 2  # the transaction is still open
    b.work(tx_open=False, stage=Stage.FINISHED)
    b.go(3)
    assert b.tests() == [True] * 3
    b.unplug()
    b.go(24 * 3600 - 60, dt=5 * NS_PER_S)
    assert b.tests() == [True] * 3
    b.go(65, dt=NS_PER_S)
    b.go(5)
    assert b.tests() == [True] * 4


def test_a_test_waits_for_an_open_contactor() -> None:
    b = Monitor()
    b.board(contactor=ContactorFeedback.CLOSED)
    b.go(10)
    assert b.tests() == [] and b.mem().rcd_stage is RcdStage.WANTED
    b.board(contactor=ContactorFeedback.OPEN)
    b.go(2)
    assert b.tests() == [True]


def test_without_feedback_of_the_contactor_a_test_waits_for_its_opening_time() -> None:
    b = Monitor(contactor_feedback=FeedbackType.NONE)
    b.plug()
    b.go(3)
    assert b.tests() == [True] and b.passed()


def test_monitoring_without_test_needs_a_normal_reading_only() -> None:
    b = Monitor(RcdSpec(fitted=True))
    b.plug()
    b.go(3)
    assert b.passed() and not b.busy() and b.tests() == []
    b.leak = True
    b.once()
    b.once()
    assert not b.passed() and set(b.causes[1]) == {FaultCode.RCD_GROUND_FAILURE}


def test_no_monitor_no_rules() -> None:
    b = Monitor(RcdSpec())
    b.board(rcd=RcdState.UNKNOWN)
    b.step(rcd.observe, rcd.act)
    assert b.passed() and not b.busy() and b.causes[1] == {}
    assert "no residual current monitor" in b.ask()
    assert not b.mem().rcd_trigger
    untested = Monitor(RcdSpec(fitted=True))
    untested.once()
    assert "no residual current monitor with a test output" in untested.ask()


def test_a_request_runs_a_test_and_is_refused_with_a_reason() -> None:
    b = Monitor()
    assert b.ask() == ""
    assert "runs already" in b.ask()
    b.go(3)
    assert b.ask() == ""
    b.go(3)
    assert b.tests() == [True, True]
    b.plug()
    b.go(3)
    b.energise()
    assert "energy flows" in b.ask()
    b.energise(on=False)
    b.board(rcd=RcdState.TRIPPED)
    assert "does not read normal: tripped" in b.ask()


# -- errors -------------------------------------------------------------------------------------------------------------


def test_tripped_without_a_vehicle_is_spurious_and_stays_so_when_one_comes() -> None:
    b = Monitor()
    b.go(3)
    b.leak = True
    b.go(0.1)
    assert set(b.causes[1]) == {FaultCode.RCD_SPURIOUS}
    assert FAULTS[FaultCode.RCD_SPURIOUS].latch is LatchRule.MANUAL
    b.plug()
    b.go(1)
    assert set(b.causes[1]) == {FaultCode.RCD_SPURIOUS}
    b.leak = False
    b.go(0.1)
    assert b.causes[1] == {}


def test_tripped_with_a_vehicle_is_a_ground_failure_and_turns_spurious_when_it_stays_after_unplugging() -> None:
    b = Monitor()
    b.go(3)
    b.plug()
    b.go(3)
    b.energise()
    b.board(residual_dc_ua=7_300)
    b.leak = True
    b.once()
    b.once()
    assert "DC 7.3 mA" in b.causes[1][FaultCode.RCD_GROUND_FAILURE] and set(b.causes[1]) == {
        FaultCode.RCD_GROUND_FAILURE
    }
    assert FAULTS[FaultCode.RCD_GROUND_FAILURE].latch is LatchRule.UNPLUG
    b.work(lease=False)
    b.go(5)
    b.unplug()
    b.once()
    assert set(b.causes[1]) == {FaultCode.RCD_SPURIOUS}


def test_a_ground_failure_that_ends_leaves_nothing_behind() -> None:
    b = Monitor()
    b.go(3)
    b.plug()
    b.leak = True
    b.go(1)
    assert set(b.causes[1]) == {FaultCode.RCD_GROUND_FAILURE}
    b.leak = False
    b.unplug()
    b.go(1)
    assert b.causes[1] == {}


def test_no_feedback_is_tripped_after_a_second() -> None:
    b = Monitor(RcdSpec(fitted=True))
    b.board(rcd=RcdState.UNKNOWN)
    b.step(rcd.observe, rcd.act)
    assert not b.passed() and b.causes[1] == {}
    for _ in range(25):
        b.step(rcd.observe, rcd.act)
    assert "no feedback" in b.causes[1][FaultCode.RCD_SPURIOUS]


def test_a_trip_during_a_test_is_the_test_not_an_error() -> None:
    b = Monitor()
    seen = set()
    while not b.tests():
        b.once()
        seen |= set(b.causes[1])
    assert seen == set()


# -- late ticks and silent boards -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [WESTERN, BENDER])
@pytest.mark.parametrize("dt_ms", [400, 1_000, 3_000, 10_000])
def test_a_check_that_nobody_looked_at_is_void_and_repeated_never_passed(spec: RcdSpec, dt_ms: int) -> None:
    b = Monitor(spec)
    b.plug()
    for _ in range(30):
        b.once(dt_ms * NS_PER_MS)
        assert b.causes[1] == {}, "a late controller is no error of the monitor"
    assert (b.passed() and b.tests()) or (not b.passed() and not b.tests() and b.told("rcd.test_void"))
    b.go(6)
    assert b.tests()[-1] and b.passed()


def test_a_board_that_falls_silent_makes_the_test_void() -> None:
    b = Monitor()
    b.go(0.5)
    assert b.mem().rcd_trigger
    b.silent = {1}
    b.once()
    assert not b.mem().rcd_trigger and b.told("rcd.test_void")[0].data["why"] == "the board does not answer"
    b.silent = set()
    b.go(4)
    assert b.tests() == [True]


def test_a_monitor_that_stays_tripped_after_a_void_test_has_failed() -> None:
    b = Monitor()
    b.go(0.5)
    b.sticks = True
    b.once(3 * NS_PER_S)
    assert "2640 ms late" in str(b.told("rcd.test_void")[0].data["why"]) and b.causes[1] == {}
    b.go(0.65)
    assert b.tests() == [] and b.causes[1] == {}  # its time to fall back: 410 ms and the window
    b.go(0.1)
    assert b.tests() == [False] and "broken off" in b.causes[1][FaultCode.RCD_TEST]


def test_a_lease_during_a_test_ends_it() -> None:
    b = Monitor()
    b.go(0.5)
    b.work(lease=True)
    b.once()
    assert not b.mem().rcd_trigger and not b.mem().rcd_passed


@settings(max_examples=examples(150), deadline=None)
@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.lists(
        st.tuples(
            st.integers(1, 10_000),
            st.sampled_from(RcdState),
            st.sampled_from(["", "plug", "unplug", "silent", "speak", "lease", "open", "ask"]),
        ),
        max_size=60,
    ),
)
def test_only_a_look_at_tripped_and_then_at_normal_ever_passes(
    trigger: int, tripped: int, normal: int, steps: list[tuple[int, RcdState, str]]
) -> None:
    """Any times, feedback and tick spacing: a pass needs both looks within their windows, and no test under a lease."""
    spec = RcdSpec(fitted=True, test=True, trigger_ms=trigger, check_tripped_ms=tripped, check_normal_ms=normal)
    if rcd.problems(spec):
        return
    b = Bench(spec_of(rcd=spec))
    looks: list[tuple[int, RcdState]] = []
    count = 0
    for dt, state, deed in steps:
        b.board(rcd=state)
        if deed == "plug":
            count += 1
            b.plug(session_id=f"s{count}")
        elif deed == "unplug":
            b.unplug()
        elif deed in ("silent", "speak"):
            b.silent = {1} if deed == "silent" else set()
        elif deed in ("lease", "open"):
            b.work(lease=deed == "lease")
        elif deed == "ask":
            t = b.tick()
            rcd.request_test(t, t.conns[0], RcdCommand(seq=1, evse_id=1))
            b.keep(t)
        told = len(b.told("rcd.tested"))
        b.step(rcd.observe, rcd.act, dt=dt * NS_PER_MS)
        m = b.mem()
        if not b.silent:
            looks.append((b.now, state))
        assert not (m.rcd_trigger and b.evse().lease), "driven under a lease"
        if len(b.told("rcd.tested")) > told and b.told("rcd.tested")[-1].data["passed"]:
            start = m.rcd_started
            trips = [at for at, s in looks if s is RcdState.TRIPPED and 0 <= at - start - tripped * NS_PER_MS <= rcd.WINDOW]
            due = m.rcd_released + normal * NS_PER_MS
            assert trips and trips[0] < b.now and state is RcdState.NORMAL and 0 <= b.now - due <= rcd.WINDOW
            assert m.rcd_released - start >= trigger * NS_PER_MS
        t = b.tick()
        if rcd.passed_for_session(t, t.conns[0]):
            assert state is RcdState.NORMAL and m.rcd_passed and m.rcd_for == b.evse().session_id != ""
