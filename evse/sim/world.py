"""Physics of the station: module banks, ties, contactors, cables, heat and meters, in steps of 50 ms.

AC connectors are `evse.sim.world_ac`; this is the DC side, and the site that both share.

A *bank* is the bus bar of one module group. Closed ties join banks of neighbours to one island. All modules of an
island that are on work in parallel: no load, and the bar follows the highest set voltage; with a battery behind closed
contactors they give the lesser of two currents: the sum of what they may give (setting, rating, constant power) and
what the set voltage drives through the pack's resistance. Changes of voltage and current take
time (`VOLTAGE_SLEW_MV_S`, `CURRENT_RISE_MA_S`, `CURRENT_FALL_MA_S`).

Energy balance, which a test checks: site energy x efficiency = energy of all DC meters = energy into the inlets, and
the battery takes the inlet energy less what its inner resistance turns to heat.

Values are floats in mV, mA, W and Wh; whole numbers leave through boards, modules and meters. The constants of heat and
slew are assumptions of an ordinary 250 A cable and of module data sheets (walk-in), not measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from evse.domain.base import ConfigError
from evse.domain.signals import ContactorFeedback, IsolationState, LockState
from evse.sim.ev import NORMAL, Ev, EvSpec, Pace, Stage, unplug
from evse.sim.ev_ac import AcEv, AcEvSpec
from evse.sim.hw.board_plant import BoardPlant
from evse.sim.matrix import HARM_MV, ContactRow, harm, joined, short_ma
from evse.sim.rails import AMBIENT_DC, ConnectorWorld, Island, Module
from evse.sim.world_ac import AcConnectorWorld, Mains
from evse.units import DurationNs, Instant, ms

VOLTAGE_SLEW_MV_S: Final = 2_000_000
CURRENT_RISE_MA_S: Final = 200_000
CURRENT_FALL_MA_S: Final = 2_000_000
DISCHARGE_PER_S: Final = 6.0
"""A bar or cable without source loses its voltage with a time constant of 1/6 s (bleeder resistors)."""
DEAD_BELOW_MV: Final = 500.0
REST_TELL: Final = ms(2_000)
"""Modules of a dead bar are told so this often (they cool down)."""

HEAT_TAU_S: Final = 600.0
HEAT_RISE_DC: Final = 350.0
HEAT_RATED_MA: Final = 250_000.0
"""A contact ends 35 K above ambient at 250 A, with a time constant of ten minutes."""
FORCED_HEAT_DC_S: Final = 100.0
FORCED_COOL_DC_S: Final = 100.0

ISOLATION_FAULT_KOHM: Final = 100
ISOLATION_WARNING_KOHM: Final = 500
ISOLATION_MIN_MV: Final = 150_000
"""The monitor needs some voltage to measure."""

BASE_LOAD_W: Final = 120.0
EFFICIENCY_GAIN_PERMILLE: Final = 5
"""Real modules are a little better than the efficiency the configuration plans with."""
CONNECTORS_MAX: Final = 48


class World:
    """All of it. ``banks[i]`` are the modules of group i in bus order; ``tie_plants[i]`` joins bank i and i+1.

    ``pace`` gives the time the insulation monitor needs. ``violations`` collects states that destroy hardware, such as
    two vehicles on one bar: they must stay empty (bounded to 100 texts).
    """

    def __init__(
        self,
        connectors: Sequence[ConnectorWorld],
        banks: Sequence[Sequence[Module]],
        tie_plants: Sequence[BoardPlant | None],
        *,
        efficiency_permille: int = 950,
        pace: Pace = NORMAL,
        ac: Sequence[AcConnectorWorld] = (),
        mains: Mains | None = None,
        matrix: Sequence[ContactRow] = (),
    ) -> None:
        if len(connectors) + len(ac) > CONNECTORS_MAX:
            raise ConfigError([f"sim: {len(connectors) + len(ac)} connectors; at most {CONNECTORS_MAX} are simulated"])
        self.connectors = tuple(connectors)  # DC
        self.by_id = {connector.evse_id: connector for connector in connectors}
        self.ac = tuple(ac)
        self.ac_by_id = {connector.evse_id: connector for connector in ac}
        self.mains = mains if mains is not None else Mains()
        self.banks = tuple(tuple(bank) for bank in banks)
        self.tie_plants = tuple(tie_plants)
        self.matrix = tuple(matrix)  # one row per connector, in their order
        self.short_ma = 0.0  # highest current between two vehicles on one bar
        self.pace = pace
        self.efficiency = min(efficiency_permille + EFFICIENCY_GAIN_PERMILLE, 1000) / 1000
        self.base_load_w = BASE_LOAD_W if efficiency_permille < 1000 else 0.0
        self.now: Instant = 0
        self.site_power_w = 0.0
        self.dc_site_w = 0.0  # of it for DC and the cabinet, an equal part on each phase
        self.site_power_max_w = 0.0
        self.site_energy_wh = 0.0
        self.violations: list[str] = []
        for point in self.ac:
            point.violations = self.violations
        self.on_unplugged: Callable[[int], None] | None = None
        self._tie_bits = -1
        self._islands: list[Island] = []

    @property
    def powered(self) -> bool:
        """Whether the station has mains."""
        return self.mains.powered

    @powered.setter
    def powered(self, on: bool) -> None:
        self.mains.powered = on

    def numbers(self) -> list[int]:
        """Numbers of all connectors, in order."""
        return sorted([*self.by_id, *self.ac_by_id])

    # -- driver and cable ----------------------------------------------------------------------

    def plug_in_ac(self, evse_id: int, spec: AcEvSpec, now: Instant) -> AcEv:
        """Plug an AC vehicle in; `ConfigError` when the connector is taken."""
        return self.ac_by_id[evse_id].plug_in(spec, now)

    def plug_in(self, evse_id: int, spec: EvSpec, now: Instant) -> Ev:
        """Plug a vehicle in; `ConfigError` when the connector is taken."""
        connector = self.by_id[evse_id]
        if connector.ev is not None:
            raise ConfigError([f"connector {evse_id}: {connector.ev.spec.name} is plugged in; plug_out first"])
        connector.ev = Ev(spec, connector.plant, now, self.pace)
        connector.leaving = False
        connector.visits += 1
        return connector.ev

    def plug_out(self, evse_id: int, *, force: bool) -> bool:
        """Let the vehicle leave: ended by its driver first, or torn off with ``force``. True = gone already."""
        point = self.ac_by_id.get(evse_id)
        if point is not None:
            gone = point.plug_out(force=force)
            if gone and self.on_unplugged is not None:
                self.on_unplugged(evse_id)
            return gone
        connector = self.by_id[evse_id]
        ev = connector.ev
        if ev is None:
            raise ConfigError([f"connector {evse_id}: nothing is plugged in"])
        connector.leaving = True
        if force or self._may_pull(connector):
            self._pull(connector)
            return True
        ev.stop_wanted = True
        return False

    def _may_pull(self, connector: ConnectorWorld) -> bool:
        ev = connector.ev
        return (
            ev is not None
            and connector.plant.lock is not LockState.LOCKED
            and not ev.contactor
            and not connector.closed
        )

    def _pull(self, connector: ConnectorWorld) -> None:
        connector.ev = None
        connector.leaving = False
        connector.current_ma = 0.0
        plant = connector.plant
        unplug(plant)
        plant.isolation = IsolationState.INVALID
        plant.isolation_kohm = None
        connector.isolation_level = 0
        if self.on_unplugged is not None:
            self.on_unplugged(connector.evse_id)

    # -- the step -------------------------------------------------------------------------------

    def step(self, dt_ns: DurationNs, now: Instant) -> None:
        """Advance everything by ``dt_ns`` to the instant ``now``."""
        self.now = now
        for connector in self.connectors:
            if connector.ev is not None:
                connector.ev.step(now)
                if connector.leaving and self._may_pull(connector):
                    self._pull(connector)
            self._switchgear(connector)
        bits = 0
        for index, plant in enumerate(self.tie_plants):
            if plant is not None and plant.out.tie_closed and self.powered:
                bits |= 1 << index
        if self.matrix:
            self._move_contacts()
        elif bits != self._tie_bits:
            self._join(bits)
        dt_s = dt_ns / 1e9
        for island in self._islands:
            self._bar(island, dt_ns, dt_s)
        total_w = 0.0
        for connector in self.connectors:
            self._cable(connector, now, dt_s)
            total_w += connector.voltage_mv * connector.current_ma
        total_w = total_w / 1e6 / self.efficiency + (self.base_load_w if self.powered else 0.0)
        self.dc_site_w = total_w
        for point in self.ac:
            plugged = point.ev is not None
            point.step(dt_ns, now)
            total_w += point.power_w
            if plugged and point.ev is None and self.on_unplugged is not None:
                self.on_unplugged(point.evse_id)
        self.site_power_w = total_w
        self.site_power_max_w = max(self.site_power_max_w, total_w)
        self.site_energy_wh += total_w * dt_s / 3600

    def _switchgear(self, connector: ConnectorWorld) -> None:
        plant = connector.plant
        out = plant.out
        drive = out.contactor_wanted and self.powered and out.contactor_closed
        closed = (drive and not connector.stuck_open) or (connector.welded and (connector.closed or drive))
        if closed is not connector.closed:
            connector.closed = closed
            plant.contactor = ContactorFeedback.CLOSED if closed else ContactorFeedback.OPEN
        if not connector.lock_stuck:
            plant.lock = LockState.LOCKED if out.lock else LockState.UNLOCKED
        plant.tie_closed = out.tie_closed

    def _join(self, bits: int) -> None:
        """Build islands anew after a tie moved. The bar of an island takes the highest voltage of its parts."""
        before, self._tie_bits = max(0, self._tie_bits), bits
        count = len(self.banks)
        label = list(range(count))
        for index in range(len(self.tie_plants)):
            if bits >> index & 1 and count > 1:
                a, b = label[index], label[(index + 1) % count]
                label = [a if value == b else value for value in label]
        old = {id(module): island.voltage_mv for island in self._islands for module in island.modules}
        for index in range(len(self.tie_plants)):
            pair = [max((old.get(id(m), 0.0) for m in self.banks[i]), default=0.0) for i in (index, (index + 1) % count)]
            if old and bits >> index & 1 and abs(pair[0] - pair[1]) > HARM_MV and not before >> index & 1:
                self._violation(f"tie of banks {index + 1} and {(index + 1) % count + 1} closed over {abs(pair[0] - pair[1]) / 1000:.0f} V")
        self._islands = []
        for value in dict.fromkeys(label):
            members = [index for index in range(count) if label[index] == value]
            modules = tuple(module for index in members for module in self.banks[index])
            connectors = tuple(c for c in self.connectors if c.home_bank in members)
            voltage = max((old.get(id(module), 0.0) for module in modules), default=0.0)
            self._islands.append(Island(modules, connectors, voltage))

    def _move_contacts(self) -> None:
        """Move the contacts of a matrix, judge the movements, and build islands anew when one has moved."""
        moved = [row.move(self.now, powered=self.powered) for row in self.matrix]
        if any(moved) or not self._islands:
            if self.powered:
                for text in harm(self._islands, self.connectors, self.banks, self.matrix, moved):
                    self._violation(text)
            self._islands = joined(self._islands, self.connectors, self.banks, self.matrix)

    def _bar(self, island: Island, dt_ns: DurationNs, dt_s: float) -> None:
        set_mv = set_ma = excess_ma = 0.0
        limits: list[tuple[Module, int]] = []
        if self.powered:
            now, bar_mv = self.now, int(island.voltage_mv)
            for module in island.modules:
                if module.on:
                    voltage = module.voltage_now_mv(now)
                    if voltage:
                        limit = module.current_limit_ma(now, bar_mv)
                        limits.append((module, limit))
                        set_ma += limit
                        if voltage > set_mv:
                            set_mv = voltage
        load: ConnectorWorld | None = None
        for connector in island.connectors:
            if connector.closed:
                if connector.ev is not None and connector.ev.contactor:
                    if load is not None and load.ev is not None:
                        a, b = load.ev, connector.ev
                        self.short_ma = max(
                            self.short_ma, short_ma(a.ocv_mv, b.ocv_mv, a.resistance_mohm, b.resistance_mohm)
                        )
                        self._violation(
                            f"connectors {load.evse_id} and {connector.evse_id} share one bar with both vehicles"
                        )
                    load = connector
                if connector.over_voltage_permille:
                    set_mv += set_mv * connector.over_voltage_permille / 1000
                if set_ma > 0:
                    excess_ma += connector.over_current_ma
        if load is None and set_mv == 0.0 and island.voltage_mv < DEAD_BELOW_MV:
            if not island.idle or self.now - island.told > REST_TELL:
                self._rest(island)
            return
        island.idle = False
        if load is not None and load.ev is not None:
            self._drive(island, load.ev, set_mv, set_ma + excess_ma, dt_s)
        else:
            island.current_ma = 0.0
            self._no_load(island, set_mv, dt_s)
        for connector in island.connectors:
            if connector.closed:
                connector.voltage_mv = island.voltage_mv
            current = island.current_ma if connector is load else 0.0
            connector.current_ma = current
            if connector.ev is not None and (current or connector.ev.current_ma):
                connector.ev.take(current, dt_ns)
        self._tell(island, limits, set_ma)

    def _violation(self, text: str) -> None:
        if len(self.violations) < 100 and text not in self.violations:
            self.violations.append(text)

    def _rest(self, island: Island) -> None:
        """Leave a dead bar alone until something moves."""
        island.idle = True
        island.told = self.now
        island.voltage_mv = island.current_ma = 0.0
        for module in island.modules:
            module.set_operating_point(self.now, 0, 0)
        for connector in island.connectors:
            connector.current_ma = 0.0
            if connector.closed:
                connector.voltage_mv = 0.0
            if connector.ev is not None:
                connector.ev.current_ma = 0.0

    def _drive(self, island: Island, ev: Ev, set_mv: float, set_ma: float, dt_s: float) -> None:
        """Give current into a battery: what the modules may (current, power) or their voltage drives, the lesser."""
        ocv_mv = ev.ocv_mv
        resistance = ev.resistance_mohm / 1000
        target = 0.0
        if set_mv > ocv_mv:
            target = min(set_ma, (set_mv - ocv_mv) / resistance)
        now_ma = island.current_ma
        if target > now_ma:
            now_ma = min(target, now_ma + CURRENT_RISE_MA_S * dt_s)
        else:
            now_ma = max(target, now_ma - CURRENT_FALL_MA_S * dt_s)
        island.current_ma = now_ma
        island.voltage_mv = ocv_mv + resistance * now_ma

    def _no_load(self, island: Island, set_mv: float, dt_s: float) -> None:
        volt = island.voltage_mv
        if set_mv >= volt:
            volt = min(set_mv, volt + VOLTAGE_SLEW_MV_S * dt_s)
        else:
            volt = max(set_mv, volt - volt * DISCHARGE_PER_S * dt_s)
        island.voltage_mv = volt

    def _tell(self, island: Island, limits: list[tuple[Module, int]], set_ma: float) -> None:
        """Tell the modules their operating point; those that are on share the current by what they may give."""
        now, volt = self.now, int(island.voltage_mv)
        share = island.current_ma / set_ma if set_ma > 0 else 0.0
        if len(limits) < len(island.modules):
            for module in island.modules:
                if not module.on:
                    module.set_operating_point(now, volt, 0)
        for module, limit in limits:
            module.set_operating_point(now, volt, int(limit * share))

    def _cable(self, connector: ConnectorWorld, now: Instant, dt_s: float) -> None:
        plant = connector.plant
        if not connector.closed:
            ev = connector.ev
            if connector.current_ma:
                connector.current_ma = 0.0
                if ev is not None:
                    ev.current_ma = 0.0
            if ev is not None and ev.contactor:
                connector.voltage_mv = ev.ocv_mv
            elif connector.voltage_mv:
                volt = connector.voltage_mv * (1 - DISCHARGE_PER_S * dt_s)
                connector.voltage_mv = volt if volt > DEAD_BELOW_MV else 0.0
        current = connector.current_ma
        if current:
            watts = connector.voltage_mv * current / 1e6
            connector.energy_wh += watts * dt_s / 3600
            if watts > connector.power_max_w:
                connector.power_max_w = watts
        plant.output_mv = int(connector.voltage_mv)
        self._heat(connector, current, dt_s)
        if plant.out.isolation_test or connector.isolation_level:
            self._insulation(connector, now)

    def _heat(self, connector: ConnectorWorld, current_ma: float, dt_s: float) -> None:
        temperature = connector.temperature_dc
        forced = connector.forced_heat_dc
        if forced is not None and temperature < forced:
            temperature = min(temperature + FORCED_HEAT_DC_S * dt_s, forced)
        else:
            ratio = current_ma / HEAT_RATED_MA
            end = AMBIENT_DC + HEAT_RISE_DC * ratio * ratio
            if temperature > AMBIENT_DC + HEAT_RISE_DC * 1.5 and forced is None:
                temperature -= FORCED_COOL_DC_S * dt_s
            elif forced is None:
                temperature += (end - temperature) * dt_s / HEAT_TAU_S
        connector.temperature_dc = temperature
        connector.plant.temperature_dc = int(temperature)

    def _insulation(self, connector: ConnectorWorld, now: Instant) -> None:
        """The monitor: a timed test while asked for, then a standing watch until unplugged."""
        plant = connector.plant
        ev = connector.ev
        kohm = connector.insulation_kohm
        if kohm is None:
            kohm = ev.spec.insulation_kohm if ev is not None else 2_000
        asked = plant.out.isolation_test
        if asked and not connector.isolation_asked:
            connector.isolation_level = 0
        connector.isolation_asked = asked
        if connector.isolation_level < 2:
            if not plant.out.isolation_test:
                connector.isolation_level = 0
                plant.isolation = IsolationState.INVALID
                return
            if connector.isolation_level == 0 or connector.voltage_mv < ISOLATION_MIN_MV:
                connector.isolation_level = 1
                connector.isolation_since = now
                plant.isolation = IsolationState.TESTING
                plant.isolation_kohm = None
                return
            if connector.isolation_stuck:
                return
            if connector.isolation_since is not None and now - connector.isolation_since < ms(self.pace.isolation_ms):
                return
            connector.isolation_level = 2
        if plant.isolation_kohm != kohm or plant.isolation is IsolationState.TESTING:
            plant.isolation_kohm = kohm
            plant.isolation = (
                IsolationState.FAULT
                if kohm < ISOLATION_FAULT_KOHM
                else IsolationState.WARNING
                if kohm < ISOLATION_WARNING_KOHM
                else IsolationState.VALID
            )

    def idle(self) -> bool:
        """Return True when no vehicle is plugged in and nothing is live: time may be skipped."""
        return (
            all(c.ev is None and not c.closed and c.voltage_mv == 0.0 for c in self.connectors)
            and all(island.idle for island in self._islands)
            and all(point.idle() for point in self.ac)
        )

    def site_l_w(self) -> list[float]:
        """Power of the site by grid phase in W."""
        total = [self.dc_site_w / 3] * 3
        for point in self.ac:
            for phase, watts in enumerate(point.grid_w()):
                total[phase] += watts
        return total


__all__ = ["ConnectorWorld", "Island", "Module", "Stage", "World"]
