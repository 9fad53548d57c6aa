"""Plug lock: what faults, people and a vehicle side that is unplugged do to it."""

from __future__ import annotations

import pytest

from evse.core.ac import lock
from evse.core.ac.memory import LockStage
from evse.core.state import AuthState
from evse.domain.ac import LockMode
from evse.domain.faults import FaultCode
from evse.domain.session import StopReason
from tests.core.ac.bench import spec_of
from tests.core.ac.locked import MOTOR, Locked

# -- faults, force, hold ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(lock.KEEP, key=lambda c: c.value))
def test_faults_that_keep_the_lock_until_the_vehicle_has_left(code: FaultCode) -> None:
    b = Locked().locked()
    b.fault(code)
    b.wanted = False
    b.go(30)
    assert b.stage is LockStage.LOCKED
    b.work(plugged=False)
    b.go(2)
    assert b.stage is LockStage.OPEN
    fresh = Locked()
    fresh.plug()
    fresh.go(1)
    fresh.fault(code)
    fresh.wanted = True
    fresh.go(5)
    assert fresh.stage is LockStage.OPEN  # not in charging: stays unlocked


@pytest.mark.parametrize("code", [FaultCode.RCD_SPURIOUS, FaultCode.EMERGENCY_SHUTDOWN, FaultCode.PILOT_SHORT])
def test_other_faults_open_within_5_s_and_prevent_locking(code: FaultCode) -> None:
    b = Locked(spec_of(lock_mode=LockMode.PLUGGED, lock_motor=MOTOR)).locked()
    b.fault(code)
    b.go(4)
    assert b.stage is LockStage.LOCKED
    b.go(2)
    assert b.stage is LockStage.OPEN
    b.go(10)
    assert b.stage is LockStage.OPEN


def test_nothing_is_unlocked_under_a_closed_contactor_unless_it_is_welded() -> None:
    b = Locked().locked()
    b.energise()
    b.wanted = False
    b.fault(FaultCode.EMERGENCY_SHUTDOWN)
    b.go(20)
    assert b.stage is LockStage.LOCKED
    b.work(lease=False)
    b.go(20)
    assert b.stage is LockStage.LOCKED  # the feedback still says closed
    b.fault(FaultCode.EMERGENCY_SHUTDOWN, FaultCode.CONTACTOR_WELDED)
    b.go(2)
    assert b.stage is LockStage.OPEN


def test_forced_unlock_stops_the_session_and_holds_until_the_plug_is_out() -> None:
    b = Locked().locked()
    b.energise()
    assert b.send(on=True) is StopReason.OTHER
    b.go(2)
    assert b.stage is LockStage.LOCKED and not b.ready()  # current first
    b.energise(on=False)
    b.go(2)
    assert b.stage is LockStage.OPEN
    b.go(60)
    assert b.stage is LockStage.OPEN and not b.ready()  # the session still wants it locked
    b.unplug()
    b.wanted = False
    b.go(1)
    assert not b.mem().lock_forced and b.told("lock.forced")[-1].data == {"on": False, "why": "the plug is out"}
    b.locked()


def test_forced_unlock_can_be_taken_back() -> None:
    b = Locked().locked()
    b.send(on=True)
    b.go(2)
    assert b.stage is LockStage.OPEN
    b.send(on=False, seq=2)
    b.go(2)
    assert b.ready()


def test_the_cable_is_kept_when_the_vehicle_side_is_unplugged_until_its_owner_comes() -> None:
    b = Locked(spec_of(unlock_on_ev_disconnect=False, lock_motor=MOTOR)).locked()
    b.work(plugged=False, session_id="S", auth=AuthState.GRANTED, auth_token="T")
    b.go(1)
    b.work(tx_open=False)
    b.go(1)
    assert b.mem().lock_hold, "the permission of the session that ends is no return of its owner"
    b.work(session_id="", auth=AuthState.NONE, auth_token="")
    b.wanted = False
    b.go(30)
    assert b.stage is LockStage.LOCKED
    b.work(auth=AuthState.GRANTED, auth_token="other")
    b.go(5)
    assert b.stage is LockStage.LOCKED
    b.work(auth=AuthState.GRANTED, auth_token="T")
    b.go(2)
    assert b.stage is LockStage.OPEN


def test_an_unlock_command_ends_the_hold() -> None:
    b = Locked(spec_of(unlock_on_ev_disconnect=False, lock_motor=MOTOR)).locked()
    b.work(plugged=False, tx_open=False, session_id="")
    b.wanted = False
    b.go(5)
    t = b.tick()
    lock.retry(t.conns[0])
    b.keep(t)
    b.go(2)
    assert b.stage is LockStage.OPEN


def test_an_event_action_moves_the_lock_but_not_out_of_a_session() -> None:
    b = Locked()
    b.plug()
    b.go(1)
    b.memory(lock_rule=True)
    b.go(2)
    assert b.stage is LockStage.LOCKED
    b.memory(lock_rule=False)
    b.work(tx_open=True)
    b.go(2)
    assert b.stage is LockStage.LOCKED
    b.work(tx_open=False)
    b.go(2)
    assert b.stage is LockStage.OPEN
