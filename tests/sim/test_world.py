"""Laws of the physics: energy is conserved, limits of modules hold, faults do what they say."""

from __future__ import annotations

import pytest

from evse.domain.base import ConfigError
from evse.domain.signals import ContactorFeedback, LockState
from evse.sim.hw.board_plant import BoardPlant
from evse.sim.world import ConnectorWorld, World
from evse.units import TICK_NS, s
from tests.sim.rig import BenchModule, Rig, bolt


def test_energy_balance_of_a_session() -> None:
    """Site energy x efficiency = meter; meter = battery + heat in the pack."""
    rig = Rig(bolt(battery_wh=10_000, target_soc_pct=60))
    rig.run(600, "done")
    meter = rig.connector.energy_wh
    base = rig.world.base_load_w * rig.now / 3.6e12
    assert (rig.world.site_energy_wh - base) * rig.world.efficiency == pytest.approx(meter, rel=1e-6)
    battery = rig.ev.energy_wh
    assert battery == pytest.approx(2_000, rel=0.01)
    assert 0.90 * meter < battery < meter
    assert not rig.world.violations


def test_constant_power_limits_the_current() -> None:
    """One module of 30 kW into a car that asks for 55 kW: 30 kW flow."""
    rig = Rig(bolt(target_soc_pct=90), modules=1)
    rig.run(20, "Curr")
    rig.run(5)
    assert rig.connector.power_w == pytest.approx(30_000, rel=0.001)
    assert rig.modules[0].read_ma == pytest.approx(rig.connector.current_ma, abs=2)


def test_demand_is_followed_and_limited_by_the_controller() -> None:
    """The current is the demand, or the controller's limit."""
    rig = Rig(bolt(target_soc_pct=90))
    rig.run(20, "Curr")
    rig.run(5)
    assert rig.connector.current_ma == pytest.approx(rig.plant.demand_ma, rel=0.01)
    rig.controller.limit_ma = 20_000
    rig.run(1)
    assert rig.connector.current_ma == pytest.approx(20_000, rel=0.001)


def test_contact_warms_towards_its_end_value() -> None:
    """35 K at 250 A after a long time, ambient without current."""
    rig = Rig(bolt(target_soc_pct=100))
    rig.run(20, "Curr")
    rig.run(600)
    ratio = rig.connector.current_ma / 250_000
    assert 250 < rig.connector.temperature_dc < 250 + 350 * ratio * ratio + 20


def test_welded_and_stuck_contactors() -> None:
    """A weld keeps what was closed; a stuck one never closes; feedback tells the truth."""
    rig = Rig(bolt(target_soc_pct=90))
    rig.run(20, "Curr")
    rig.connector.welded = True
    rig.ev.stop_wanted = True
    rig.run(20, "done")
    assert rig.plant.contactor is ContactorFeedback.CLOSED and not rig.plant.out.contactor_closed
    rig.connector.welded = False
    rig.run(0.1)
    assert rig.plant.contactor.value == "open"
    stuck = Rig(bolt())
    stuck.connector.stuck_open = True
    stuck.run(20)
    assert stuck.plant.out.contactor_closed and stuck.plant.contactor is ContactorFeedback.OPEN
    assert stuck.plant.output_mv == 0


def test_plug_comes_out_only_unlocked_and_without_voltage() -> None:
    """The driver stops in the car first; force tears it off."""
    rig = Rig(bolt(target_soc_pct=90))
    rig.run(20, "Curr")
    rig.run(1)
    assert not rig.world.plug_out(1, force=False)
    assert rig.plant.lock is LockState.LOCKED
    rig.run(10)
    assert rig.connector.ev is None and rig.plant.cp.value == "A"
    with pytest.raises(ConfigError, match="nothing is plugged in"):
        rig.world.plug_out(1, force=False)
    rig.run(5)
    assert rig.world.idle()


def test_two_vehicles_on_one_bar_are_reported() -> None:
    """Closing a tie under two live connectors is a violation that a station test looks for."""
    plants = [BoardPlant(), BoardPlant()]
    connectors = [ConnectorWorld(1, plants[0], 0), ConnectorWorld(2, plants[1], 1)]
    banks = [[BenchModule()], [BenchModule()]]
    world = World(connectors, banks, [plants[0]])
    for n, plant in enumerate(plants, 1):
        ev = world.plug_in(n, bolt(), 0)
        ev.contactor = True
        plant.out.contactor_wanted = True
        plant.cp = type(plant.cp).C
    world.step(TICK_NS, s(1))
    assert not world.violations
    plants[0].out.tie_closed = True
    world.step(TICK_NS, s(1) + TICK_NS)
    assert world.violations == ["connectors 1 and 2 share one bar with both vehicles"]
    assert plants[0].tie_closed


def test_tie_lends_a_bank() -> None:
    """With the tie closed both banks feed connector 1."""
    plants = [BoardPlant(), BoardPlant()]
    connectors = [ConnectorWorld(1, plants[0], 0), ConnectorWorld(2, plants[1], 1)]
    banks = [[BenchModule()], [BenchModule()]]
    world = World(connectors, banks, [plants[0]])
    ev = world.plug_in(1, bolt(), 0)
    ev.contactor = True
    plants[0].cp = type(plants[0].cp).C
    plants[0].out.contactor_wanted = plants[0].out.tie_closed = True
    for bank in banks:
        bank[0].on, bank[0].set_mv, bank[0].set_ma = True, 420_000, 60_000
    for n in range(100):
        world.step(TICK_NS, n * TICK_NS)
    assert connectors[0].current_ma == pytest.approx(120_000, rel=0.001)
    assert banks[1][0].read_ma == pytest.approx(60_000, abs=2)


def test_forced_heat_and_cooling() -> None:
    """A hot contact reaches the forced value and cools when the fault is cleared."""
    rig = Rig(bolt())
    rig.connector.forced_heat_dc = 950
    rig.run(20)
    assert rig.plant.temperature_dc == 950
    rig.connector.forced_heat_dc = None
    rig.run(20)
    assert rig.plant.temperature_dc is not None and rig.plant.temperature_dc < 800
