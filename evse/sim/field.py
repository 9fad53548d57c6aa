"""What stands around the boards of a simulated station: values of its meters, reclosers, the plant of an AC point."""

from __future__ import annotations

import random
from typing import Final

from msgspec import UNSET

from evse.config.model import EvseSection
from evse.config.model_ac import AcSection
from evse.config.model_io import RecloserSection
from evse.config.recloser_profiles import load_recloser, with_registers
from evse.config.spec_ac import ac_spec
from evse.domain.clock import Clock
from evse.domain.readings import MeterValues
from evse.domain.recloser import RecloserRegisters
from evse.sim.hw.board_ac_plant import AcPlant
from evse.sim.hw.recloser import SimRecloser
from evse.sim.world import World
from evse.sim.world_ac import AcConnectorWorld

FREQUENCY_MHZ: Final = 50_000


def ac_plant(evse: EvseSection) -> AcPlant:
    """Return the plant of an AC EVSE; its emergency contact is at rest."""
    plant = AcPlant(ac_spec(evse.ac if evse.ac is not None else AcSection()))
    plant.set_input(plant.spec.emergency_input, not plant.spec.emergency_active_high)
    return plant


def make_recloser(section: RecloserSection, clock: Clock, rng: random.Random) -> SimRecloser:
    """Return the recloser of ``section``; without known registers it answers every request with an exception."""
    profile = load_recloser(section.profile)
    own = section.registers
    if own is not None:
        given = {name: getattr(own, name) for name in own.__struct_fields__ if getattr(own, name) is not UNSET}
        profile = with_registers(profile, RecloserRegisters(**given))
    unit = profile.bus.unit if section.address is UNSET else section.address
    return SimRecloser(profile, unit, clock, rng)


def ac_values(point: AcConnectorWorld) -> MeterValues:
    """Return the registers of the meter of an AC connector."""
    v, i, p = point.voltage_l_mv, point.current_l_ma, point.power_l_w
    return MeterValues(
        power_w=round(point.power_w),
        energy_import_wh=int(point.energy_wh),
        energy_export_wh=0,
        voltage_mv=round(v[0]),
        current_ma=round(i[0]),
        voltage_l_mv=(round(v[0]), round(v[1]), round(v[2])),
        current_l_ma=(round(i[0]), round(i[1]), round(i[2])),
        power_l_w=(round(p[0]), round(p[1]), round(p[2])),
        frequency_mhz=FREQUENCY_MHZ,
    )


def site_values(world: World) -> MeterValues:
    """Return the registers of the meter of the site: the DC side in equal parts, AC points on their grid phases."""
    power_w = round(world.site_power_w)
    volts = [round(world.mains.voltage_mv(phase)) for phase in range(3)]
    if world.ac:
        watts = [round(value) for value in world.site_l_w()]
    else:
        third = power_w // 3
        watts = [third, third, power_w - 2 * third]
    amps = [w * 1_000_000 // v if v else 0 for w, v in zip(watts, volts, strict=True)]
    return MeterValues(
        power_w=power_w,
        energy_import_wh=int(world.site_energy_wh),
        energy_export_wh=0,
        voltage_mv=volts[0],
        current_ma=amps[0],
        voltage_l_mv=(volts[0], volts[1], volts[2]),
        current_l_ma=(amps[0], amps[1], amps[2]),
        power_l_w=(watts[0], watts[1], watts[2]),
        frequency_mhz=FREQUENCY_MHZ,
    )
