"""The emergency contact at a digital input: off on the tick that sees it, in tick and gate."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from evse.core import gate_ac
from evse.domain.ac import AcStatus
from evse.domain.faults import FaultCode
from tests.core.ac.plant_ac import AcPlant


@pytest.mark.parametrize("active_high", [True, False])
def test_the_contact_opens_on_the_tick_that_sees_it_and_names_the_input(active_high: bool) -> None:
    p = AcPlant(emergency_input=3, emergency_active_high=active_high, inputs=4)
    quiet = 0 if active_high else 0b0100
    p.car.inner["inputs"] = quiet
    p.run(1)
    p.charge()
    p.run(5)
    assert p.board.contactor_lease
    p.car.inner["inputs"] = quiet ^ 0b0100
    p.step()  # the board reports it
    p.step()
    assert not p.board.contactor_lease
    (record,) = p.w.faults
    assert record.code is FaultCode.EMERGENCY_SHUTDOWN and "digital input 3" in record.detail
    p.car.inner["inputs"] = quiet
    p.run(3)
    assert not p.w.faults


@pytest.mark.parametrize(("inputs", "active_high", "closed"), [(0b10, True, False), (0, True, True), (0, False, False)])
def test_the_gate_looks_for_itself(inputs: int, active_high: bool, closed: bool) -> None:
    p = AcPlant(inputs=2)
    p.run(1)
    p.charge()
    p.run(5)
    assert p.board.contactor_lease
    assert p.car.spec.ac is not None
    spec = replace(
        p.car.spec, ac=replace(p.car.spec.ac, emergency_input=2, emergency_active_high=active_high)
    )
    status = replace(p.car.status, ac=replace(p.car.status.ac or AcStatus(), inputs=inputs))
    assert gate_ac.may_lease(spec, status, storage=True) is closed
