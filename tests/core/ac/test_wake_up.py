"""Vehicles that sleep: a pulse of state E after authorisation, or after 30 s without a reaction."""

from __future__ import annotations

from evse.core.inputs import SetDynamicLimit
from evse.domain.ac import PilotMode
from evse.units import TICK_NS
from tests.core.ac.plant_ac import AcPlant

X1, PWM = PilotMode.X1, PilotMode.PWM


def test_a_vehicle_is_woken_up_after_authorisation_when_configured() -> None:
    p = AcPlant(force_wake_up=True)
    p.car.sleeping = True
    p.car.plug()
    p.run(1)
    p.start()
    p.step()
    assert p.pilot[0] is PilotMode.E
    modes = []
    for _ in range(100):
        p.step()
        modes.append(p.pilot[0])
    assert modes.count(PilotMode.E) == 79 and modes.count(X1) == 15  # 4 s and 750 ms
    assert p.w.lease and p.kinds().count("pilot.wake_up") == 1 and p.w.plugged and not p.names()


def test_a_sleeping_vehicle_is_woken_up_once_after_30_s() -> None:
    p = AcPlant(wake_up_after_timeout=True)
    p.car.sleeping = True
    p.car.plug()
    p.run(1)
    p.start()
    p.run(29.9)
    assert p.pilot[0] is PWM and p.car.sleeping
    p.run(0.3)
    assert p.pilot[0] is PilotMode.E
    p.run(8)
    assert p.w.lease and p.kinds().count("pilot.wake_up") == 1


def test_a_vehicle_that_does_not_wake_up_is_left_alone_after_one_pulse() -> None:
    p = AcPlant(wake_up_after_timeout=True)
    p.car.plug()
    p.car.full = True
    p.run(1)
    p.start()
    p.run(200, dt=5 * TICK_NS)
    assert p.kinds().count("pilot.wake_up") == 1 and p.pilot[0] is PWM
    p.send(SetDynamicLimit, evse_id=1, name="x", current_ma=0)
    p.run(5)
    p.send(SetDynamicLimit, evse_id=1, name="x", current_ma=16_000)
    p.run(40)
    assert p.kinds().count("pilot.wake_up") == 2  # a new offer


def test_a_vehicle_that_has_charged_is_not_woken_up() -> None:
    p = AcPlant(wake_up_after_timeout=True)
    p.charge()
    p.run(5)
    p.car.full = True
    p.run(120, dt=5 * TICK_NS)
    assert "pilot.wake_up" not in p.kinds()


def test_nobody_is_woken_up_unless_configured() -> None:
    p = AcPlant()
    p.car.sleeping = True
    p.car.plug()
    p.run(1)
    p.start()
    p.run(60, dt=5 * TICK_NS)
    assert p.pilot[0] is PWM and "pilot.wake_up" not in p.kinds()
