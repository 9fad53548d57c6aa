"""Whole sessions of an AC EVSE, tick by tick."""

from __future__ import annotations

from evse.core.state import Stage
from evse.domain.ac import PilotMode
from evse.domain.session import SessionPhase
from tests.core.ac.plant_ac import AcPlant


def test_a_session_from_plug_in_to_unplug() -> None:
    p = AcPlant()
    p.run(1)
    assert p.pilot == (PilotMode.X1, 0) and p.w.stage is Stage.EMPTY
    p.charge()
    assert p.pilot == (PilotMode.PWM, 5_333) and p.w.lease and p.evse().phase is SessionPhase.CHARGING
    p.run(20)
    p.car.full = True
    p.step()
    p.step()
    assert not p.board.contactor_lease and p.w.stage is Stage.AUTHORISED and p.w.tx_open
    p.car.unplug()
    p.run(5)
    assert p.w.stage is Stage.EMPTY and len(p.closed()) == 1
    record = p.closed()[0].session
    assert record.energy_wh > 0 and record.stop_reason is not None and record.stop_reason.value == "EVDisconnected"
