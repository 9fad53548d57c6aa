"""Laws of AC EVSEs over long lives: visitors, faults and clumsy people by seed, ticks 1 ms to 10 s apart.

Every step of the plant checks the laws L01..L28; the walks must also have met what the laws are about.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from evse.core.inputs import ClearFault, ForceUnlock, SetChargingAllowed, SetDynamicLimit, SetPhases, StopSession
from evse.domain.ac import FeedbackType, LockMode, PhaseSwitchSpec, PpState, RcdSpec, RcdState, VentilationSpec
from evse.domain.limits import LimitSource, PowerLimit
from evse.domain.session import StopReason
from evse.domain.signals import CpState
from evse.units import NS_PER_MS, NS_PER_S, TICK_NS
from tests._support.examples import examples
from tests.core.ac.bench import spec_of
from tests.core.ac.plant_ac import AcPlant, Car

SPECS: dict[str, dict[str, Any]] = {
    "socket": {},
    "cable": {"socket": False, "cable_ma": 32_000, "contactor_feedback": FeedbackType.NC},
    "phases": {"phase_switch": PhaseSwitchSpec(enabled=True, delay_s=10)},
    "fan": {"ventilation": VentilationSpec(enabled=True), "force_wake_up": True},
    "monitor": {"rcd": RcdSpec(fitted=True, test=True), "lock_mode": LockMode.PLUGGED},
    "remote": {"lock_mode": LockMode.REMOTE},
    "blind": {"contactor_feedback": FeedbackType.NONE, "wake_up_after_timeout": True, "lock_mode": LockMode.NEVER},
}
SPACINGS = [TICK_NS] * 6 + [NS_PER_MS, 7 * NS_PER_MS, 250 * NS_PER_MS, NS_PER_S, 10 * NS_PER_S]


def visit(p: AcPlant, rng: random.Random, evse: int) -> None:
    """Something happens at one EVSE."""
    car = p.cars[evse]
    if car.plugged and car.spec.ac is not None and car.spec.ac.lock_mode is LockMode.REMOTE:
        p.send(ForceUnlock, evse_id=evse, on=False)
    match rng.randrange(15):
        case 0 | 1 | 2 | 3:
            if not car.plugged:
                car.plug(rng.choice([PpState.A32, PpState.A32, PpState.A20, PpState.INVALID]))
            p.start(evse)
        case 4:
            car.unplug()
        case 5 | 6:
            car.full = not car.full
        case 7:
            car.wants = rng.choice([CpState.C, CpState.C, CpState.D])
        case 8:
            car.stubborn, car.early = rng.random() < 0.3, rng.random() < 0.3
        case 9:
            p.send(SetPhases, evse_id=evse, phases=rng.choice([1, 3]), delay_s=10)
        case 10:
            p.send(SetDynamicLimit, evse_id=evse, name="x", current_ma=rng.choice([0, 5_900, 6_000, 13_000, 32_000, None]))
        case 11:
            p.send(SetChargingAllowed, evse_id=evse, allowed=rng.random() < 0.7)
        case 12:
            p.send(StopSession, evse_id=evse, reason=StopReason.REMOTE)
        case 13:
            site = rng.choice([0, 4_000, 12_000, 40_000])
            p.limits = (PowerLimit(source=LimitSource.CSMS, evse_id=0, power_w=site, set_at=p.now),)
        case 14:
            clear(p)


def clear(p: AcPlant) -> None:
    """A technician clears what can be cleared."""
    for record in (*p.state.faults, *(r for e in p.state.evses for r in e.faults)):
        p.send(ClearFault, evse_id=record.evse_id, code=record.code.value)


def trouble(p: AcPlant, rng: random.Random, car: Car) -> None:
    """Something breaks, or is mended."""
    name = rng.choice(["welded", "stuck", "second_stuck", "silent", "meter_dead", "lock_stuck", "vent_works", "rcd", "estop", "cp"])
    match name:
        case "rcd":
            car.rcd = rng.choice(list(RcdState))
        case "estop":
            car.extra = {"estop": rng.random() < 0.3, "door_open": rng.random() < 0.3}
        case "cp":
            car.extra = rng.choice([{}, {"cp": CpState.E}, {"cp": CpState.UNKNOWN}, {"cp": CpState.B}])
        case _:
            setattr(car, name, rng.random() < 0.5)


def mend(p: AcPlant, car: Car) -> None:
    """Everything in order again."""
    car.welded = car.stuck = car.second_stuck = car.silent = car.meter_dead = car.lock_stuck = False
    car.vent_works, car.rcd, car.extra = True, RcdState.NORMAL, {}
    car.stubborn = car.early = False
    car.unplug()
    p.send(ForceUnlock, evse_id=car.spec.evse_id, on=False)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("seed", range(examples(2, 1)))
def test_long_lives_by_seed(name: str, seed: int) -> None:
    """A biased walk through many sessions; the seed reproduces it."""
    rng = random.Random(seed)
    p = AcPlant(spec_of(n=2, station={"site_limit_w": 40_000}, **SPECS[name]))
    met: set[str] = set()
    for i in range(120):
        visit(p, rng, rng.choice([1, 2]))
        if i % 20 in (10, 12):
            trouble(p, rng, p.cars[rng.choice([1, 2])])
        elif i % 20 == 15:
            for car in p.cars.values():
                mend(p, car)
            p.run(2)
            clear(p)
        dt = rng.choice(SPACINGS)
        for _ in range(rng.choice([1, 3, 20, 60])):
            p.step(dt)
            met |= {f"{e.stage.value}{'+' if e.lease else ''}" for e in p.state.evses}
    assert {"empty", "authorised", "current+", "discharge", "finished"} <= met
    assert len(p.closed()) >= 3


@pytest.mark.parametrize("dt_ms", [1, 50, 333, 1_000, 10_000])
def test_a_vehicle_that_starts_and_stops_all_the_time_is_never_closed_within_6_s(dt_ms: int) -> None:
    """L24, whatever the spacing of the ticks."""
    p = AcPlant(socket=False, cable_ma=32_000)
    p.car.plug()
    p.run(7)
    p.start()
    closings, was = 0, False
    for i in range(3_000 if dt_ms == 1 else 1_500 if dt_ms < 1_000 else 200):
        if i % 3 == 0:
            p.car.full = not p.car.full and p.car.main
        p.step(dt_ms * NS_PER_MS)
        closings += p.board.contactor_lease and not was
        was = p.board.contactor_lease
    assert closings >= (1 if dt_ms == 1 else 2)
