"""One and three phases: what is wired, the switch during a session, and everything that forbids it."""

from __future__ import annotations

from typing import Any

import pytest

from evse.core.inputs import SetPhases, StopSession
from evse.core.state import Stage
from evse.domain.ac import ROTARY_TABLE, HlcMode, PhaseSwitchSpec, PilotMode, VentilationSpec
from evse.domain.session import ChargingState, StopReason
from evse.units import NS_PER_S, TICK_NS
from tests.core.ac.plant_ac import AcPlant

X1, PWM = PilotMode.X1, PilotMode.PWM
SWITCH = PhaseSwitchSpec(enabled=True, delay_s=20)


def phases(p: AcPlant) -> tuple[int, int, int]:
    """(wired, now, next)"""
    ac = p.evse().ac
    assert ac is not None
    return ac.phases_wired, ac.phases, ac.phases_next


@pytest.mark.parametrize("position", range(16))
def test_the_rotary_switch_tells_the_phases(position: int) -> None:
    p = AcPlant(rotary=True)
    p.car.inner = {"rotary": position}
    p.run(1)
    want = ROTARY_TABLE[position].phases
    assert phases(p) == (want, 0, want)
    p.charge()
    p.run(0.1)
    assert phases(p) == (want, want, want)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_installation_with_fewer_phases(count: int) -> None:
    p = AcPlant(phases=count)
    p.charge()
    p.run(0.1)
    assert phases(p) == (count, count, count)


@pytest.mark.parametrize(("first", "then"), [(3, 1), (1, 3)])
def test_a_switch_pauses_the_session_waits_and_resumes_it(first: int, then: int) -> None:
    """Charge Control C, 15.20: everything off, the guard time from then on, then the new number."""
    p = AcPlant(phase_switch=PhaseSwitchSpec(enabled=True, delay_s=20, default_phases=first))
    p.charge()
    p.run(1)
    assert phases(p)[1] == first
    p.send(SetPhases, evse_id=1, phases=then)
    p.step()
    assert p.pilot == (X1, 0) and p.w.lease
    p.run(0.2)
    assert not p.w.lease and not p.car.second and p.w.tx_open and phases(p) == (3, 0, first)
    assert p.evse().charging_state is ChargingState.SUSPENDED_EVSE and p.w.waiting_for == "the switch of phases"
    off = p.now
    p.until(lambda p: p.pilot[0] is PWM, 30)
    assert 19.5 <= (p.now - off) / NS_PER_S <= 20.5
    p.run(1)
    assert p.w.lease and phases(p) == (3, then, then) and p.car.second is (then == 3)
    assert not p.closed() and not p.names()
    assert [e.data["phases"] for e in p.events if e.kind == "phases.changed"] == [then]


@pytest.mark.parametrize("delay_s", [10, 300])
def test_the_guard_time_of_the_command(delay_s: int) -> None:
    p = AcPlant(phase_switch=SWITCH)
    p.charge()
    p.send(SetPhases, evse_id=1, phases=1, delay_s=delay_s)
    p.run(delay_s - 0.5, dt=5 * TICK_NS)
    assert p.pilot[0] is X1
    p.run(2)
    assert p.pilot[0] is PWM


def test_a_vehicle_that_ignores_the_pause_is_cut_off_before_the_switch() -> None:
    p = AcPlant(phase_switch=SWITCH)
    p.charge()
    p.car.stubborn = True
    p.send(SetPhases, evse_id=1, phases=1)
    p.run(5.9)
    assert p.w.lease
    p.run(0.3)
    assert not p.w.lease and "VEHICLE_IGNORES_PWM" in p.names()
    p.run(19)
    assert p.pilot[0] is X1  # 20 s from the opening on
    p.run(2)
    assert phases(p)[2] == 1


def test_without_a_transaction_the_switch_is_at_once() -> None:
    p = AcPlant(phase_switch=SWITCH)
    p.run(1)
    p.send(SetPhases, evse_id=1, phases=1)
    p.run(0.1)
    assert phases(p)[2] == 1
    p.charge()
    p.run(0.1)
    assert phases(p)[1] == 1


def test_a_suspended_vehicle_is_paused_for_the_guard_time_as_well() -> None:
    p = AcPlant(phase_switch=SWITCH)
    p.charge()
    p.car.full = True
    p.run(60)
    p.send(SetPhases, evse_id=1, phases=1)
    p.run(19)
    assert p.pilot[0] is X1
    p.run(2)
    assert p.pilot[0] is PWM


def test_the_number_that_is_set_already_cancels_a_switch() -> None:
    p = AcPlant(phase_switch=SWITCH)
    p.charge()
    p.send(SetPhases, evse_id=1, phases=1)
    p.run(2)
    p.send(SetPhases, evse_id=1, phases=3)
    p.run(8)
    assert p.w.lease and phases(p)[1] == 3 and "phases.changed" not in p.kinds()


def test_a_stop_during_the_switch_ends_the_session() -> None:
    p = AcPlant(phase_switch=SWITCH)
    p.charge()
    p.send(SetPhases, evse_id=1, phases=1)
    p.run(2)
    p.send(StopSession, evse_id=1, reason=StopReason.REMOTE)
    p.run(30)
    assert p.w.stage is Stage.FINISHED and phases(p)[2] == 1 and p.closed()[0].session.stop_reason is StopReason.REMOTE


@pytest.mark.parametrize(
    ("ac", "inner", "fields", "why"),
    [
        ({}, {}, {"phases": 1}, "no second contactor"),
        ({"phase_switch": SWITCH}, {}, {"phases": 2}, "accepted: 1, 3"),
        ({"phase_switch": SWITCH}, {}, {"phases": 0}, "accepted: 1, 3"),
        ({"phase_switch": SWITCH, "ventilation": VentilationSpec(enabled=True)}, {}, {"phases": 1}, "relay 2 is the ventilation"),
        ({"phase_switch": SWITCH, "rotary": True}, {"rotary": 5}, {"phases": 1}, "rotary switch or installation give 1 phase"),
        ({"phase_switch": SWITCH, "phases": 1}, {}, {"phases": 1}, "rotary switch or installation give 1 phase"),
        ({"phase_switch": SWITCH, "hlc": HlcMode.REQUIRED}, {}, {"phases": 1}, "basic signalling only"),
        ({"phase_switch": SWITCH}, {}, {"phases": 1, "delay_s": 9}, "delay 9 s; accepted: 10 to 300 s"),
        ({"phase_switch": SWITCH}, {}, {"phases": 1, "delay_s": 301}, "delay 301 s; accepted: 10 to 300 s"),
    ],
)
def test_a_switch_is_refused_with_its_reason(ac: dict[str, Any], inner: dict[str, Any], fields: dict[str, Any], why: str) -> None:
    p = AcPlant(**ac)
    p.car.inner = inner
    p.run(1)
    p.send(SetPhases, evse_id=1, **fields)
    p.step()
    assert why in p.refused() and "phases.requested" not in p.kinds()
