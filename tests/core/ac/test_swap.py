"""One vehicle leaves and the next is there before the session before has its last meter value."""

from __future__ import annotations

import pytest

from evse.core.inputs import SetDynamicLimit
from evse.core.outputs import CloseTransaction, SaveSession
from evse.core.state import Stage
from evse.domain.ac import PilotMode, PpState
from tests.core.ac.plant_ac import AcPlant


@pytest.mark.parametrize("gap_s", [0.15, 0.25, 0.6, 1.5])
@pytest.mark.parametrize("socket", [True, False])
def test_the_next_vehicle_has_a_session_of_its_own_and_needs_permission(gap_s: float, socket: bool) -> None:
    p = AcPlant(socket=socket, cable_ma=32_000)
    p.run(7)
    p.charge()
    first = p.w.session_id
    p.car.meter_dead = True  # the last value is awaited for 3 s
    p.car.unplug()
    p.run(gap_s)
    p.car.plug()
    p.run(2)
    p.car.meter_dead = False
    p.run(4)
    assert p.w.session_id not in ("", first) and p.w.stage.value == "plugged" and not p.w.tx_open
    assert p.evse().phase.value == "wait_auth"
    kinds = [type(e) for e in p.effects if isinstance(e, CloseTransaction | SaveSession)]
    assert kinds == [CloseTransaction, SaveSession]
    saved = next(e for e in p.effects if isinstance(e, SaveSession)).session
    assert saved.session_id == first and saved.unplugged_at is not None
    assert not p.names()
    p.run(8)
    p.start()
    p.until(lambda p: p.car.drawn_ma > 0)


def test_a_refused_cable_is_not_held_against_the_next_one() -> None:
    p = AcPlant(reject_13=True)
    p.run(7)
    p.car.plug(PpState.A13)
    p.run(3)
    assert p.names() == {"PROXIMITY_INVALID"}
    p.car.unplug()
    p.until(lambda p: not p.w.plugged)
    p.car.plug(PpState.A20)
    p.run(3)
    assert not p.names()
    p.start()
    p.until(lambda p: p.car.drawn_ma > 0)
    assert p.board.offered_ma == 20_000


def _about_to_close() -> AcPlant:
    p = AcPlant()
    p.run(7)
    p.car.plug()
    p.run(0.3)
    p.start()
    return p


def test_an_offer_that_goes_on_the_tick_that_would_close_closes_nothing() -> None:
    """L30: boards close with PWM only; a vehicle that then stays in C would make it F11."""
    p, steps = _about_to_close(), 0
    while not p.w.lease:
        p.step()
        steps += 1
    p = _about_to_close()
    for _ in range(steps - 1):
        p.step()
    p.car.stubborn = True
    p.send(SetDynamicLimit, evse_id=1, name="x", current_ma=0)
    p.step()
    assert p.w.stage is Stage.CURRENT and p.pilot[0] is PilotMode.X1 and not p.board.contactor_lease
    p.run(10)
    assert not p.names() and not p.board.contactor_lease
    p.send(SetDynamicLimit, evse_id=1, name="x", current_ma=None)
    p.until(lambda p: p.car.main, 15)
