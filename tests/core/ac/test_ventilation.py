"""State D: the five rows of Charge Control C, tables 79 and 80, and a ventilation that does not follow."""

from __future__ import annotations

from typing import Any

import pytest

from evse.core.inputs import SetVentilation
from evse.core.state import Stage
from evse.domain.ac import FeedbackType, PhaseSwitchSpec, PilotMode, VentilationSpec
from evse.domain.signals import CpState
from tests.core.ac.plant_ac import AcPlant

X1, PWM = PilotMode.X1, PilotMode.PWM


def plant(**ventilation: Any) -> AcPlant:
    """A vehicle that wants ventilation, authorised."""
    p = AcPlant(ventilation=VentilationSpec(**ventilation))
    p.car.wants = CpState.D
    p.car.plug()
    p.run(7)
    p.start()
    return p


def relay(p: AcPlant) -> tuple[bool, bool]:
    """(relay 2 driven, as ventilation)"""
    assert p.board.ac is not None
    return p.board.ac.relay2, p.board.ac.relay2_free


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("external", [False, True])
def test_row_1_state_d_is_always_accepted(enabled: bool, external: bool) -> None:
    p = plant(always_accept_d=True, enabled=enabled, external=external)
    p.run(5)
    assert p.w.lease and p.car.status.cp is CpState.D
    assert relay(p) == (enabled and not external, True)


def test_row_2_without_ventilation_state_d_is_refused_with_x1_and_a_locked_plug() -> None:
    p = plant()
    p.until(lambda p: p.pilot[0] is PWM)
    p.run(1)
    for _ in range(600):  # x1 and PWM do not take turns
        p.step()
        assert p.pilot == (X1, 0) and not p.board.contactor_lease and not relay(p)[0]
    assert p.board.lock and p.w.tx_open and not p.names() and "ventilation" in p.w.waiting_for
    p.car.unplug()
    p.run(3)
    p.car.wants = CpState.C
    p.charge()  # another vehicle
    assert p.w.lease


def test_row_3_the_relay_is_at_the_disposal_of_another_program_and_state_d_is_refused() -> None:
    p = plant(external=True)
    p.send(SetVentilation, evse_id=1, available=True, on=True)
    p.run(5)
    assert relay(p) == (True, True) and not p.w.lease and p.pilot == (X1, 0)
    p.send(SetVentilation, evse_id=1, on=False)
    p.step()
    assert relay(p) == (False, True)


@pytest.mark.parametrize("kind", list(FeedbackType), ids=lambda x: x.value)
def test_row_4_the_relay_follows_state_d_and_its_feedback_allows_to_close(kind: FeedbackType) -> None:
    p = plant(enabled=True, feedback=kind)
    p.until(lambda p: p.w.lease)
    assert relay(p) == (True, True)
    p.car.wants = CpState.C
    p.run(0.2)
    assert relay(p) == (False, True) and p.w.lease
    p.car.wants = CpState.D
    p.run(0.2)
    assert relay(p) == (True, True)
    p.car.full = True
    p.run(0.2)
    assert relay(p) == (False, True)
    assert not p.names()


def test_row_4_a_ventilation_that_is_not_confirmed_is_a_fault_after_3_s() -> None:
    p = plant(enabled=True)
    p.car.vent_works = False
    p.until(lambda p: p.car.status.cp is CpState.D)
    p.run(2.9)
    assert not p.w.lease and not p.names() and p.w.waiting_for == "the ventilation"
    p.run(0.5)
    assert "VENTILATION_FAILURE" in p.names() or p.closed()
    assert not p.w.lease and any(e.data.get("name") == "VentilationFailure" for e in p.events)


def test_row_4_a_ventilation_that_fails_while_charging_ends_it() -> None:
    p = plant(enabled=True)
    p.until(lambda p: p.w.lease)
    p.run(10)
    p.car.vent_works = False
    p.run(10)
    assert not p.w.lease and p.w.stage is Stage.FINISHED
    assert p.closed()[0].session.fault.startswith("F44")


def test_row_5_charging_waits_until_the_other_program_has_announced_and_switched() -> None:
    p = plant(enabled=True, external=True)
    p.run(5)
    assert not p.w.lease and p.pilot == (X1, 0) and "not announced" in p.w.waiting_for
    p.send(SetVentilation, evse_id=1, available=True)
    p.run(5)
    assert not p.w.lease and p.pilot[0] is PWM and not relay(p)[0] and p.w.waiting_for == "the ventilation"
    p.send(SetVentilation, evse_id=1, on=True)
    p.run(1)
    assert p.w.lease and relay(p) == (True, True)
    p.send(SetVentilation, evse_id=1, available=False)
    p.run(1)
    assert not p.w.lease and p.pilot == (X1, 0)


def test_row_5_an_external_ventilation_has_30_s() -> None:
    p = plant(enabled=True, external=True)
    p.send(SetVentilation, evse_id=1, available=True)
    p.run(29)
    assert not any(e.kind == "fault.raised" for e in p.events)
    p.run(3)
    assert any(e.data.get("name") == "VentilationFailure" for e in p.events)


def test_state_c_needs_no_ventilation() -> None:
    p = plant()
    p.car.wants = CpState.C
    p.run(2)
    assert p.w.lease


@pytest.mark.parametrize(
    ("ac", "why"),
    [
        ({}, "not external"),
        ({"ventilation": VentilationSpec(enabled=True)}, "not external"),
        ({"ventilation": VentilationSpec(external=True), "phase_switch": PhaseSwitchSpec(enabled=True)}, "second contactor"),
    ],
)
def test_the_command_is_refused_with_its_reason(ac: dict[str, Any], why: str) -> None:
    p = AcPlant(**ac)
    p.send(SetVentilation, evse_id=1, available=True, on=True)
    p.run(0.5)
    assert why in p.refused() and not relay(p)[0]
