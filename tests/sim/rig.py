"""A tiny controller in place of the product: it drives a board plant and one bank as a station would."""

from __future__ import annotations

from evse.domain.signals import Authorization, HlcStep, IsolationState
from evse.sim.curves import find_car, load_cars
from evse.sim.ev import FAST, NORMAL, EvSpec, Pace, spec_of
from evse.sim.hw.board_plant import BoardPlant
from evse.sim.world import ConnectorWorld, World
from evse.units import TICK_NS, Instant


class BenchModule:
    """A module that obeys at once: constant current up to ``power_max_w``."""

    def __init__(self, power_max_w: int = 30_000) -> None:
        self.on = False
        self.set_mv = 0
        self.set_ma = 0
        self.power_max_w = power_max_w
        self.read_mv = 0
        self.read_ma = 0
        self.current_ma = 0

    def voltage_now_mv(self, now: Instant) -> int:
        """Set-point while on."""
        return self.set_mv if self.on else 0

    def current_limit_ma(self, now: Instant, voltage_mv: int) -> int:
        """Set-point, or what the power allows."""
        return min(self.set_ma, self.power_max_w * 1_000_000 // max(voltage_mv, 1)) if self.on else 0

    def set_operating_point(self, now: Instant, voltage_mv: int, current_ma: int) -> None:
        """Keep what would be read."""
        self.read_mv, self.read_ma = voltage_mv, current_ma
        self.current_ma = current_ma


class Controller:
    """Follows one vehicle: locks, tests insulation, pre-charges, follows demand up to ``limit_ma``."""

    def __init__(self, plant: BoardPlant, modules: list[BenchModule], limit_ma: int = 250_000) -> None:
        self.plant = plant
        self.modules = modules
        self.limit_ma = limit_ma
        self.stop = False
        self.authorization = Authorization.GRANTED
        plant.out.permit = True

    def _modules(self, on: bool, voltage_mv: int = 0, current_ma: int = 0) -> None:
        for module in self.modules:
            module.on, module.set_mv, module.set_ma = on, voltage_mv, current_ma // len(self.modules)

    def step(self) -> None:
        """React to what the plant says now."""
        plant, out, step = self.plant, self.plant.out, self.plant.step
        out.authorization = self.authorization
        out.stop = self.stop
        out.present_mv = plant.output_mv
        out.lock = step in (HlcStep.CABLE, HlcStep.PRE_C, HlcStep.PD_ON, HlcStep.CURR, HlcStep.PD_OFF) or (
            plant.output_mv > 60_000
        )
        if step is HlcStep.CABLE:
            out.contactor_wanted = True
            known = plant.isolation not in (IsolationState.INVALID, IsolationState.TESTING)
            out.isolation_test = not out.cable_check_done
            if known and not out.cable_check_done:
                self._modules(False)
                out.cable_check_done = plant.output_mv < 60_000 and plant.isolation is IsolationState.VALID
            else:
                self._modules(True, 500_000, 1_000)
        elif step is HlcStep.PRE_C:
            out.isolation_test = False
            self._modules(True, plant.demand_mv, 2_000)
        elif step is HlcStep.PD_ON or step is HlcStep.CURR:
            self._modules(True, plant.demand_mv, min(plant.demand_ma, self.limit_ma))
        else:
            self._modules(False)
            out.contactor_wanted = False
            out.cable_check_done = out.isolation_test = False


class Rig:
    """One connector, one bank, one controller."""

    def __init__(self, spec: EvSpec, *, pace: Pace = FAST, modules: int = 6, limit_ma: int = 250_000) -> None:
        self.plant = BoardPlant()
        self.modules = [BenchModule() for _ in range(modules)]
        self.connector = ConnectorWorld(1, self.plant, 0)
        self.world = World([self.connector], [self.modules], [], pace=pace)
        self.controller = Controller(self.plant, self.modules, limit_ma)
        self.now: Instant = 0
        self.steps: list[HlcStep] = []
        self.ev = self.world.plug_in(1, spec, 0)

    def run(self, seconds: float, until: str = "") -> float:
        """Run for ``seconds``, or until the HLC step or stage is named ``until``; return the seconds that passed."""
        start = self.now
        for _ in range(round(seconds * 1e9 / TICK_NS)):
            self.now += TICK_NS
            self.world.step(TICK_NS, self.now)
            self.controller.step()
            step = self.plant.step
            if step is not None and (not self.steps or self.steps[-1] is not step):
                self.steps.append(step)
            if until and ((step is not None and step.value == until) or until == self.ev.stage.value):
                break
        return (self.now - start) / 1e9


def bolt(soc_pct: float = 40, target_soc_pct: float = 42, battery_wh: int = 0) -> EvSpec:
    """A 400 V class car of 55 kW."""
    return spec_of(find_car(load_cars(), "Bolt"), soc_pct=soc_pct, target_soc_pct=target_soc_pct, battery_wh=battery_wh)


__all__ = ["NORMAL", "BenchModule", "Controller", "Rig", "bolt"]
