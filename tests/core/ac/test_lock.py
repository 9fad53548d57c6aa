"""Plug lock: table, every motor, documented recovery, capacitor; the motor never fights."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evse.config.lock_profiles import list_locks, load_lock
from evse.core.ac import lock
from evse.core.ac.lock import DRIVEN, TABLE, Signal
from evse.core.ac.memory import LockStage
from evse.core.state import Stage
from evse.domain.ac import LockMode, PpState
from evse.domain.contactor import ContactorFeedback
from evse.domain.faults import FaultCode
from evse.domain.signals import LockState
from evse.units import NS_PER_MS, NS_PER_S
from tests._support.examples import examples
from tests.core.ac.bench import spec_of
from tests.core.ac.locked import MOTOR, Locked

# -- the table ---------------------------------------------------------------------------------------------------------


def test_every_stage_and_signal_has_a_known_answer() -> None:
    """The product walk: what is not in the table stays; nothing leads to UNKNOWN; each movement can succeed and fail."""
    for stage, signal in itertools.product(LockStage, Signal):
        target = TABLE.get((stage, signal), stage)
        assert (isinstance(target, LockStage) and signal is not Signal.NONE) or target is stage
        if (stage, signal) in TABLE:
            assert target is not LockStage.UNKNOWN and target is not stage
        if signal is Signal.LOCK and (stage, signal) in TABLE:
            assert target in DRIVEN
        if signal is Signal.OPEN and (stage, signal) in TABLE:
            assert target not in DRIVEN
    reached = {LockStage.UNKNOWN}
    for _ in LockStage:
        reached |= {target for (stage, _), target in TABLE.items() if stage in reached}
    assert reached == set(LockStage)


def test_recovery_drives_back_to_the_last_valid_position_and_then_to_the_wanted_one() -> None:
    assert TABLE[LockStage.LOCKING, Signal.LATE] is LockStage.BACK_TO_OPEN
    assert TABLE[LockStage.BACK_TO_OPEN, Signal.LATE] is LockStage.LOCKING
    assert TABLE[LockStage.UNLOCKING, Signal.LATE] is LockStage.BACK_TO_LOCKED
    assert TABLE[LockStage.BACK_TO_LOCKED, Signal.LATE] is LockStage.UNLOCKING


# -- the happy path and modes -------------------------------------------------------------------------------------------


def test_locks_for_a_session_and_unlocks_after_it() -> None:
    b = Locked().locked()
    b.wanted = False
    b.go(2)
    assert b.stage is LockStage.OPEN and not b.mem().lock_cmd and not b.ready()
    assert [level for _, level in b.levels] == [False, True, False]


def test_plugged_mode_locks_with_the_vehicle_and_opens_when_it_leaves() -> None:
    b = Locked(spec_of(lock_mode=LockMode.PLUGGED, lock_motor=MOTOR))
    b.board(pp=PpState.A32)
    b.go(2)
    assert b.stage is LockStage.OPEN  # a plug without vehicle can be pulled
    b.plug()
    b.go(2)
    assert b.stage is LockStage.LOCKED
    b.work(plugged=False)
    b.go(2)
    assert b.stage is LockStage.OPEN


def test_remote_mode_moves_on_command_only_and_energy_still_needs_a_locked_plug() -> None:
    b = Locked(spec_of(lock_mode=LockMode.REMOTE, lock_motor=MOTOR))
    b.board(pp=PpState.NONE)
    b.go(1)
    b.send(on=False)
    assert "no plug is in the socket" in str(b.told("command.refused")[0].data["why"])
    b.board(pp=PpState.A32)
    b.plug()
    b.wanted = True  # a transaction
    b.work(tx_open=True, id_token="T", stage=Stage.AUTHORISED)
    b.go(5)
    assert b.stage is LockStage.OPEN and not b.ready()
    b.send(on=False, seq=2)
    b.go(2)
    assert b.stage is LockStage.LOCKED and b.ready()
    b.wanted = False
    b.work(tx_open=False)
    b.go(60)
    assert b.stage is LockStage.LOCKED  # the end of the session unlocks nothing
    b.send(on=True, seq=3)
    b.go(2)
    assert b.stage is LockStage.OPEN and b.mem().lock_forced
    b.send(on=False, seq=4)
    b.go(2)
    assert b.stage is LockStage.LOCKED  # taken back: locked again
    b.work(plugged=False)
    b.board(pp=PpState.NONE)
    b.go(2)
    assert b.stage is LockStage.OPEN
    b.board(pp=PpState.A32)
    b.work(plugged=True)
    b.go(5)
    assert b.stage is LockStage.OPEN  # the next plug needs its own command


def test_in_remote_mode_a_rule_locks_and_opens_no_plug_of_a_session() -> None:
    b = Locked(spec_of(lock_mode=LockMode.REMOTE, lock_motor=MOTOR))
    b.plug()
    b.work(tx_open=True, id_token="T", stage=Stage.AUTHORISED)
    b.memory(lock_rule=False)
    b.go(5)
    assert b.stage is LockStage.OPEN  # nobody has locked it
    b.memory(lock_rule=True)
    b.go(2)
    assert b.stage is LockStage.LOCKED
    b.memory(lock_rule=False)
    b.go(5)
    assert b.stage is LockStage.LOCKED
    b.work(tx_open=False)
    b.go(2)
    assert b.stage is LockStage.OPEN


@pytest.mark.parametrize("fields", [{"lock_mode": LockMode.NEVER}, {"socket": False}])
def test_without_a_lock_energy_needs_none(fields: dict[str, object]) -> None:
    b = Locked(spec_of(**fields))
    b.plug()
    b.wanted = True
    b.go(2)
    b.board(lock_charged=False)
    b.go(40)
    assert b.ready() and not b.mem().lock_cmd and b.causes[1] == {}
    b.send(on=True)
    assert "no plug lock" in str(b.told("command.refused")[0].data["why"])


def test_an_empty_socket_is_never_locked() -> None:
    b = Locked()
    b.go(1)
    b.wanted = True
    b.go(2)
    assert b.stage is LockStage.OPEN and len(b.levels) == 1


def test_a_motor_without_feedback_is_believed_after_its_drive_time() -> None:
    b = Locked(spec_of(lock_motor=replace(MOTOR, feedback="none")))
    b.stuck = True
    b.board(lock=LockState.UNKNOWN)
    b.plug()
    b.go(1)
    b.wanted = True
    b.once()
    assert not b.ready()
    b.go(2)
    assert b.ready() and b.causes[1] == {}


def test_after_a_restart_in_a_locked_state_the_lock_opens() -> None:
    b = Locked()
    b.board(lock=LockState.LOCKED)
    b.plug()
    b.moves_at = (b.now + NS_PER_S, False)
    b.go(2)
    assert b.stage is LockStage.OPEN and b.causes[1] == {}


NAMES = (
    "kuester-02s", "kuester-04s", "ev-t2m3s-e-lock12v", "ev-t2m3sm-e-lock12v", "hella-micro-actuator-1",
    "walther-werke-9798999009", "intramco-603205", "scame-200.23260bs", "scame-200.23261bs", "scame-200.23261bp",
    "scame-200.23261bl",
)  # fmt: skip
"""Charge Control C user guide, table 47, plug_lock/type."""


def test_every_motor_of_the_manual_has_a_profile() -> None:
    assert set(list_locks()) == {*NAMES, "generic"}
    for name in NAMES:
        assert load_lock(name).name == name


@pytest.mark.parametrize("name", [*NAMES, "generic"])
def test_every_profile_locks_and_unlocks_and_overcomes_a_jam(name: str) -> None:
    motor = load_lock(name)
    b = Locked(spec_of(lock_motor=motor))
    if motor.feedback == "none":
        b.board(lock=LockState.UNKNOWN)
        b.stuck = True  # nobody sees where it is
    b.plug()
    b.go(6)
    b.wanted, b.jams = True, motor.feedback != "none"
    b.go(20)
    assert b.ready() and b.causes[1] == {}
    b.wanted = False
    b.go(10)
    assert b.stage is LockStage.OPEN
    for (a, _), (c, _) in itertools.pairwise(b.levels[1:]):
        assert c - a >= (motor.drive_ms + motor.pause_ms) * NS_PER_MS


# -- failures -----------------------------------------------------------------------------------------------------------


def test_one_jam_is_overcome_by_driving_back_and_again() -> None:
    b = Locked()
    b.plug()
    b.go(1)
    b.jams, b.wanted = 1, True
    b.go(5)
    assert b.ready() and b.causes[1] == {}
    assert [level for _, level in b.levels] == [False, True, False, True]


def test_cannot_lock_after_all_tries_then_stands_still() -> None:
    b = Locked()
    b.plug()
    b.go(1)
    b.stuck, b.wanted = True, True
    b.go(20)
    assert b.stage is LockStage.CANNOT_LOCK and not b.ready() and not b.mem().lock_cmd
    assert "after 3 movements of 300 ms" in b.causes[1][FaultCode.PLUG_LOCK_CANNOT_LOCK]
    assert [level for _, level in b.levels].count(True) == 3
    count = len(b.levels)
    b.go(60)
    assert len(b.levels) == count
    b.stuck = False
    b.wanted = False
    b.unplug()
    b.go(3)
    assert b.stage is LockStage.OPEN and b.causes[1] == {}


def test_cannot_unlock_and_an_unlock_command_tries_again() -> None:
    b = Locked().locked()
    b.stuck, b.wanted = True, False
    b.go(20)
    assert b.stage is LockStage.CANNOT_UNLOCK and set(b.causes[1]) == {FaultCode.PLUG_LOCK_CANNOT_UNLOCK}
    b.stuck = False
    t = b.tick()
    lock.retry(t.conns[0])
    b.keep(t)
    b.moves_at = (b.now, False)
    b.go(2)
    assert b.stage is LockStage.OPEN and b.causes[1] == {}


def test_a_movement_may_take_its_time_and_the_way_of_its_report() -> None:
    """Drive time and 500 ms: not earlier, whatever pause the motor needs."""
    b = Locked(spec_of(lock_motor=replace(MOTOR, pause_ms=0, drive_ms=100)))
    b.motor = replace(MOTOR, drive_ms=550)  # the feedback is as slow as it may be
    b.plug()
    b.go(1)
    b.wanted = True
    b.go(2)
    assert b.ready() and [level for _, level in b.levels] == [False, True]
    b.wanted = False
    b.go(2)
    assert b.stage is LockStage.OPEN and [level for _, level in b.levels] == [False, True, False]


def test_an_unlock_command_moves_a_failed_lock_again() -> None:
    b = Locked().locked()
    b.stuck, b.wanted = True, False
    b.go(20)
    count = len(b.levels)
    t = b.tick()
    lock.retry(t.conns[0])
    b.keep(t)
    b.go(20)
    assert len(b.levels) > count and b.stage is LockStage.CANNOT_UNLOCK


def test_a_plug_that_nobody_can_see_stays_locked_and_is_not_locked_anew() -> None:
    b = Locked().locked()
    b.board(pp=PpState.UNKNOWN)
    b.go(5)
    assert b.stage is LockStage.LOCKED
    b.wanted = False
    b.go(2)
    b.wanted = True
    b.go(5)
    assert b.stage is LockStage.OPEN


def test_unexpected_open_ends_ready_at_once_and_is_a_fault_after_two_looks() -> None:
    b = Locked().locked()
    b.board(lock=LockState.UNLOCKED)
    assert not b.ready()
    b.once()
    assert b.causes[1] == {}
    b.go(0.3)
    assert set(b.causes[1]) == {FaultCode.PLUG_LOCK_UNEXPECTED_OPEN}
    b.go(5)  # back to open, then locked again
    assert b.ready() and b.causes[1] == {}


def test_unexpected_open_is_over_when_the_session_has_ended_because_of_it() -> None:
    b = Locked().locked()
    b.stuck = True
    b.board(lock=LockState.UNLOCKED)
    b.go(0.3)
    assert set(b.causes[1]) == {FaultCode.PLUG_LOCK_UNEXPECTED_OPEN}
    b.wanted = False
    b.go(3)
    assert b.stage is LockStage.OPEN and b.causes[1] == {}


def test_unexpected_close_is_a_fault_and_is_driven_open() -> None:
    b = Locked()
    b.plug()
    b.go(1)
    b.board(lock=LockState.LOCKED)
    b.go(0.3)
    assert set(b.causes[1]) == {FaultCode.PLUG_LOCK_UNEXPECTED_CLOSE}
    b.go(5)
    assert b.stage is LockStage.OPEN and b.causes[1] == {}
    assert [level for _, level in b.levels] == [False, True, False]


def test_no_attempt_with_an_empty_capacitor_and_a_fault_after_its_time() -> None:
    b = Locked()
    b.board(lock_charged=False)
    b.plug()
    b.wanted = True
    b.go(29)
    assert len(b.levels) == 1 and b.causes[1] == {}
    b.go(2)
    assert set(b.causes[1]) == {FaultCode.PLUG_LOCK_CAP_NOT_CHARGED} and len(b.levels) == 1
    b.board(lock_charged=True)
    b.go(2)
    assert b.ready() and b.causes[1] == {}
    b.board(lock_charged=False)
    b.wanted = False
    b.go(2)
    assert b.stage is LockStage.OPEN  # unlocking is always tried


def test_a_slow_capacitor_delays_the_next_try_and_tries_are_still_counted() -> None:
    """Each movement takes its charge: the lock waits for it and gives up after three movements all the same."""
    b = Locked()
    b.plug()
    b.go(1)
    b.stuck, b.wanted = True, True
    moves = 0
    for _ in range(60):
        before = len(b.levels)
        b.go(0.5)
        moved = len(b.levels) > before
        moves += moved
        b.board(lock_charged=not moved)
    assert b.stage is LockStage.CANNOT_LOCK and [level for _, level in b.levels].count(True) == 3


# -- laws ---------------------------------------------------------------------------------------------------------------

KNOBS = st.one_of(
    st.tuples(st.just("wanted"), st.booleans()),
    st.tuples(st.just("lock"), st.sampled_from(LockState)),
    st.tuples(st.just("stuck"), st.booleans()),
    st.tuples(st.just("charged"), st.booleans()),
    st.tuples(st.just("pp"), st.sampled_from(PpState)),
    st.tuples(st.just("plugged"), st.booleans()),
    st.tuples(st.just("contactor"), st.sampled_from(ContactorFeedback)),
    st.tuples(st.just("lease"), st.booleans()),
    st.tuples(st.just("fault"), st.sampled_from([None, *sorted(lock.KEEP, key=str), FaultCode.RCD_SPURIOUS])),
    st.tuples(st.just("silent"), st.booleans()),
    st.tuples(st.just("force"), st.booleans()),
)


def _turn(b: Locked, knob: str, value: object) -> None:
    if knob in ("wanted", "stuck"):
        setattr(b, knob, value)
    elif knob == "charged":
        b.board(lock_charged=value)
    elif knob in ("lock", "pp", "contactor"):
        b.board(**{knob: value})
    elif knob in ("plugged", "lease"):
        b.work(**{knob: value})
    elif knob == "fault":
        b.fault(*([value] if isinstance(value, FaultCode) else []))
    elif knob == "silent":
        b.silent = {1} if value else set()
    else:
        b.send(on=bool(value))


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(st.tuples(KNOBS, st.integers(1, 10_000)), max_size=60))
def test_the_motor_never_fights(steps: list[tuple[tuple[str, object], int]]) -> None:
    """Any readings, wishes and tick spacing: levels apart, no opening under a closed contactor, ready only when locked."""
    b = Locked()
    for (knob, value), dt in steps:
        _turn(b, knob, value)
        was = b.mem().lock_cmd
        b.once(dt * NS_PER_MS)
        m, w = b.mem(), b.evse()
        closed = b.boards[1].contactor is ContactorFeedback.CLOSED and not b.silent
        if was and not m.lock_cmd and not b.silent:
            recovering = m.lock_stage in (LockStage.BACK_TO_OPEN, LockStage.CANNOT_LOCK)
            assert recovering or not (closed or w.lease)
        assert m.lock_cmd is (m.lock_stage in DRIVEN)
        assert m.lock_tries <= MOTOR.tries
    for (a, _), (c, _) in itertools.pairwise(b.levels[1:]):
        assert c - a >= 800 * NS_PER_MS
