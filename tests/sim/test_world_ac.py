"""Physics of AC points and of the mixed site: balance, phases, grid rotation, lost phases, heat, violations."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.domain.ac import AcSpec, PhaseSwitchSpec, PilotMode, PpState, RcdSpec
from evse.domain.base import ConfigError
from evse.domain.signals import ContactorFeedback, CpState
from evse.sim.ev_ac import AC_FAST
from evse.sim.hw.board_ac_plant import AcPlant
from evse.sim.hw.board_plant import BoardPlant
from evse.sim.world import ConnectorWorld, World
from evse.sim.world_ac import ROTATIONS, AcConnectorWorld, Mains
from evse.units import TICK_NS, Instant, s
from tests._support.examples import examples
from tests.sim.ac_rig import AcRig, car
from tests.sim.rig import BenchModule, bolt


def site(*rotations: str) -> World:
    """A world with one idle DC connector and one AC point per rotation, all closed and offering 16 A."""
    mains = Mains()
    points = []
    for number, rotation in enumerate(rotations, 2):
        plant = AcPlant(AcSpec(evse_ma=32_000, phase_rotation=rotation))
        plant.out.pilot, plant.out.duty_bp = PilotMode.PWM, 2_667
        plant.out.contactor_wanted = plant.out.main_ready = True
        points.append(AcConnectorWorld(number, plant, mains, AC_FAST))
    return World([ConnectorWorld(1, BoardPlant(), 0)], [[BenchModule()]], [], ac=points, mains=mains)


def run(world: World, seconds: float) -> None:
    for _ in range(round(seconds * 20)):
        world.step(TICK_NS, world.now + TICK_NS)


def test_energy_of_the_site_is_that_of_the_meters() -> None:
    world = site("RST", "STR", "TRS")
    for number, phases in ((2, 1), (3, 3), (4, 2)):
        world.plug_in_ac(number, car(phases=phases), 0)
    run(world, 60)
    meters = sum(point.energy_wh for point in world.ac)
    base = world.base_load_w * 60 / 3_600
    assert meters > 50
    assert world.site_energy_wh == pytest.approx(meters + base, rel=1e-9)
    assert sum(world.site_l_w()) == pytest.approx(world.site_power_w, rel=1e-9)
    assert world.violations == []


@pytest.mark.parametrize("rotation", sorted(ROTATIONS))
def test_one_phase_car_loads_the_grid_phase_of_the_rotation(rotation: str) -> None:
    world = site(rotation)
    world.plug_in_ac(2, car(phases=1), 0)
    run(world, 10)
    loaded = [round(watts - world.dc_site_w / 3) > 1_000 for watts in world.site_l_w()]
    assert loaded.index(True) == "RST".index(rotation[0])
    assert sum(loaded) == 1
    assert world.ac[0].current_l_ma[0] > 15_000 and world.ac[0].current_l_ma[1:] == [0, 0]


def test_mixed_site_adds_dc_and_ac() -> None:
    world = site("RST")
    world.plug_in_ac(2, car(), 0)
    ev = world.plug_in(1, bolt(), 0)
    ev.contactor = True
    world.by_id[1].plant.cp = CpState.C
    world.by_id[1].plant.out.contactor_wanted = True
    module = world.banks[0][0]
    assert isinstance(module, BenchModule)
    module.on, module.set_mv, module.set_ma = True, 420_000, 20_000
    run(world, 10)
    dc = world.by_id[1].power_w / world.efficiency + world.base_load_w
    assert world.site_power_w == pytest.approx(dc + world.ac[0].power_w, rel=1e-9)
    assert world.by_id[1].power_w > 5_000 and world.ac[0].power_w > 10_000
    assert world.numbers() == [1, 2]


def test_lost_grid_phase_and_dead_mains() -> None:
    world = site("RST", "STR")
    world.plug_in_ac(2, car(phases=3), 0)
    world.plug_in_ac(3, car(phases=3), 0)
    run(world, 10)
    world.mains.lost.add(2)
    run(world, 2)
    assert [round(v) for v in world.ac[0].voltage_l_mv] == [230_000, 230_000, 0]
    assert world.ac[0].live == 2 and world.ac[1].live == 1, "STR has grid phase 3 on L2"
    assert world.ac[0].current_l_ma[2] == 0
    world.mains.lost.clear()
    world.powered = False
    run(world, 1)
    assert world.site_power_w == 0 and not world.ac[0].closed
    assert world.ac[0].plant.cp is CpState.C, "the pilot is what the board makes of it"


def test_phase_switch_gives_one_or_three_phases() -> None:
    rig = AcRig(AcSpec(evse_ma=32_000, phase_switch=PhaseSwitchSpec(enabled=True)))
    rig.phases = 1
    rig.plug(car())
    rig.run(5)
    assert (rig.point.live, sum(c > 0 for c in rig.point.current_l_ma)) == (1, 1)
    assert rig.plant.ac_status().relay2 is ContactorFeedback.OPEN
    rig.close = False
    rig.run(1)
    rig.phases, rig.close = 3, True
    rig.run(5)
    assert (rig.point.live, sum(c > 0 for c in rig.point.current_l_ma)) == (3, 3)
    assert rig.plant.ac_status().relay2 is ContactorFeedback.CLOSED
    assert rig.point.violations == []


def test_one_phase_connection_has_no_other_phases() -> None:
    rig = AcRig(AcSpec(evse_ma=32_000, phases=1))
    rig.plug(car())
    rig.run(6)
    assert rig.point.live == 1 and rig.point.power_w == pytest.approx(3_680, rel=0.001)
    assert rig.point.voltage_l_mv == [230_000, 0, 0]


def test_violations_name_what_would_do_harm() -> None:
    """Relay 2 under load, and energy without a vehicle, are seen by every station test."""
    rig = AcRig(AcSpec(evse_ma=32_000, phase_switch=PhaseSwitchSpec(enabled=True)))
    rig.plug(car())
    rig.run(5)
    rig.plant.out.relay2_closed = False
    rig.point.step(TICK_NS, rig.now + TICK_NS)
    assert rig.point.violations == ["connector 1: relay 2 switched phases 2 and 3 under load"]


def test_welded_and_stuck_contactor_and_lost_feedback() -> None:
    rig = AcRig()
    rig.plug(car())
    rig.run(5)
    rig.plant.main.welded = True
    rig.close = False
    rig.run(1)
    assert rig.point.closed and rig.plant.contactor is ContactorFeedback.CLOSED
    rig.plant.main.welded = False
    rig.run(0.1)
    assert not rig.point.closed
    rig.plant.main.stuck = True
    rig.close = True
    rig.run(2)
    assert rig.plant.out.contactor_closed and not rig.point.closed
    rig.plant.main.feedback_lost = True
    rig.run(0.1)
    assert rig.plant.contactor is ContactorFeedback.UNKNOWN


def test_contact_warms_and_a_bad_one_gets_hot() -> None:
    rig = AcRig()
    rig.offer_ma = 32_000
    rig.plug(car(max_ma=32_000))
    rig.run(600)
    assert 350 < rig.point.temperature_dc < 550
    rig.point.forced_heat_dc = 950
    rig.run(10)
    assert rig.plant.temperature_dc == 950
    rig.point.forced_heat_dc = None
    rig.run(20)
    assert rig.point.temperature_dc < 850


def test_plug_stays_while_locked_and_faulty_proximity_shows() -> None:
    rig = AcRig()
    rig.plug(car(stop_after_s=1))
    rig.run(6)
    assert rig.plant.drive is not None
    rig.plant.drive.jam_closed = True
    rig.plant.drive.place = 1_000
    assert not rig.point.plug_out(force=False)
    rig.run(2)
    assert rig.point.ev is not None
    rig.plant.drive.jam_closed = False
    rig.plant.drive.place = 0
    rig.run(1)
    assert rig.point.ev is None
    with pytest.raises(ConfigError, match="nothing is plugged in"):
        rig.point.plug_out(force=False)
    rig.point.pp_forced = PpState.INVALID
    rig.run(0.1)
    assert rig.plant.pp is PpState.INVALID
    rig.point.pp_forced = None
    rig.plug(car())
    with pytest.raises(ConfigError, match="car is plugged in"):
        rig.plug(car())


def test_fixed_cable_has_neither_lock_nor_coding() -> None:
    rig = AcRig(AcSpec(socket=False, cable_ma=32_000, evse_ma=32_000))
    rig.plug(car(cable=PpState.A13))
    rig.run(3)
    assert rig.plant.pp is PpState.UNKNOWN and rig.plant.drive is None
    rig.point.plug_out(force=False)
    rig.run(5)
    assert rig.point.ev is None


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3]), st.booleans())
def test_random_handling_keeps_currents_in_their_laws(seed: int, phases: int, switch: bool) -> None:
    """Whatever offer, contactor and driver do: no current without closed contacts, none above offer or charger, balance."""
    rng = random.Random(seed)
    rig = AcRig(AcSpec(evse_ma=32_000, phase_switch=PhaseSwitchSpec(enabled=switch), rcd=RcdSpec(fitted=True)))
    point = rig.point
    highest = rig.offer_ma
    since: Instant = 0
    for _ in range(60):
        match rng.randrange(7):
            case 0 if point.ev is None:
                rig.plug(car(phases=phases, max_ma=rng.choice([10_000, 16_000, 32_000]), ventilation=rng.random() < 0.2))
            case 1 if point.ev is not None:
                point.plug_out(force=rng.random() < 0.3)
            case 2:
                rig.offer_ma = rng.choice([0, 6_000, 13_000, 32_000])
                since = rig.now
            case 3:
                rig.close = rng.random() < 0.7
            case 4 if switch and not point.closed:
                rig.phases = rng.choice([1, 3])
            case 5:
                rig.mains.lost = {rng.randrange(3)} if rng.random() < 0.2 else set()
            case _:
                rig.plant.rcd.spurious = rng.random() < 0.1
        highest = max(highest, rig.offer_ma) if rig.now - since < s(5) else rig.offer_ma
        for _ in range(rng.randrange(1, 40)):
            rig.run(0.05)
            assert point.closed or not any(point.current_l_ma)
            if point.ev is not None:
                assert point.current_ma <= min(max(highest, rig.offer_ma), point.ev.spec.max_ma) + 10
                used = sum(current > 0 for current in point.current_l_ma)
                assert used <= min(phases, point.live)
            for index in range(point.live, 3):
                assert point.current_l_ma[index] == 0
    assert point.violations == []
