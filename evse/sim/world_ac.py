"""Physics of an AC charging point: contactors, lock, monitor and the currents of three phases, in steps of 50 ms.

A charging point has vehicle phases L1..L3; ``phase_rotation`` says which grid phase is on which (R, S, T = grid 1, 2, 3).
Without phase switching the main contactor switches all phases of the connection; with it relay 2 switches L2 and L3.
Balance, which a test checks: energy of the site = energy of the AC meters + DC side, and what a battery gets is the
meter's energy times the efficiency of the on-board charger.
"""

from __future__ import annotations

from typing import Final, Protocol

from evse.domain.ac import AcSpec, PpState, RcdState
from evse.domain.base import ConfigError
from evse.domain.signals import CpState
from evse.sim.ev_ac import AC_NORMAL, AcEv, AcEvSpec, AcPace, unplug_ac
from evse.sim.hw.board_ac_plant import AcPlant
from evse.units import DurationNs, Instant

MAINS_MV: Final = 230_000
AMBIENT_DC: Final = 250
HEAT_TAU_S: Final = 600.0
HEAT_RISE_DC: Final = 300.0
HEAT_RATED_MA: Final = 32_000.0
"""A socket contact ends 30 K above ambient at 32 A (assumption)."""
FORCED_HEAT_DC_S: Final = 100.0
NO_CURRENT_MA: Final = 500.0
NO_CURRENTS: Final = [0.0, 0.0, 0.0]
ROTATIONS: Final = {
    "RST": (0, 1, 2), "RTS": (0, 2, 1), "SRT": (1, 0, 2), "STR": (1, 2, 0), "TRS": (2, 0, 1), "TSR": (2, 1, 0),
}  # fmt: skip
"""Index of the grid phase on L1, L2, L3. Other names: as RST."""


class Mains:
    """Voltages of the three grid phases; a lost phase has none. ``sag_permille`` lowers all."""

    def __init__(self) -> None:
        self.lost: set[int] = set()  # indices 0..2
        self.sag_permille = 0
        self.powered = True

    def voltage_mv(self, phase: int) -> float:
        """Voltage of grid phase ``phase`` (0..2) to neutral."""
        if not self.powered or phase in self.lost:
            return 0.0
        return MAINS_MV * (1000 - self.sag_permille) / 1000


class Breaker(Protocol):
    """The residual current breaker before an AC point, with or without a recloser."""

    @property
    def closed(self) -> bool:
        """Whether it conducts."""
        ...

    def trip(self) -> None:
        """Open at once."""
        ...


class AcConnectorWorld:
    """One AC connector: plant, vehicle, currents and meter registers. `evse.sim.faults_ac` sets the fault fields."""

    kind: Final = "ac"

    def __init__(self, evse_id: int, plant: AcPlant, mains: Mains, pace: AcPace = AC_NORMAL) -> None:
        self.evse_id = evse_id
        self.plant = plant
        self.mains = mains
        self.pace = pace
        self.breaker: Breaker | None = None  # None = one that stays closed
        self.ev: AcEv | None = None
        self.leaving = False
        self.visits = 0
        self.grid = ROTATIONS.get(plant.spec.phase_rotation, (0, 1, 2))
        self.voltage_l_mv = [0.0, 0.0, 0.0]  # before the contactor: L1..L3 at the meter
        self.current_l_ma = [0.0, 0.0, 0.0]
        self.live = 0  # phases with voltage behind the contactors
        self.energy_wh = 0.0  # meter register
        self.power_max_w = 0.0
        self.temperature_dc = float(AMBIENT_DC)
        self.violations: list[str] = []
        # faults
        self.leak_dc_ua = 0  # of the station's own wiring, flows while the contactor is closed
        self.leak_rms_ua = 0
        self.forced_heat_dc: int | None = None
        self.extra_ma = 0  # somebody taps in behind the meter, per phase, while the contactor is closed
        self.pp_forced: PpState | None = None
        self.vent_broken = False

    @property
    def spec(self) -> AcSpec:
        """Ratings."""
        return self.plant.spec

    @property
    def closed(self) -> bool:
        """Main contacts."""
        return self.plant.main.closed

    @property
    def power_l_w(self) -> tuple[float, float, float]:
        """Power of L1..L3 in W."""
        v, i = self.voltage_l_mv, self.current_l_ma
        if i == NO_CURRENTS:
            return (0.0, 0.0, 0.0)
        return (v[0] * i[0] / 1e6, v[1] * i[1] / 1e6, v[2] * i[2] / 1e6)

    @property
    def power_w(self) -> float:
        """Power at the meter in W."""
        return sum(self.power_l_w)

    @property
    def voltage_mv(self) -> float:
        """L1 to neutral at the meter in mV."""
        return self.voltage_l_mv[0]

    @property
    def current_ma(self) -> float:
        """Highest current of a phase in mA."""
        return max(self.current_l_ma)

    # -- driver and cable ---------------------------------------------------------------------------------------------

    def plug_in(self, spec: AcEvSpec, now: Instant) -> AcEv:
        """Plug a vehicle in; `ConfigError` when the connector is taken."""
        if self.ev is not None:
            raise ConfigError([f"connector {self.evse_id}: {self.ev.spec.name} is plugged in; plug_out first"])
        self.ev = AcEv(spec, self.plant, now, self.pace)
        self.leaving = False
        self.visits += 1
        self._proximity()
        return self.ev

    def plug_out(self, *, force: bool) -> bool:
        """Let the vehicle leave: ended by its driver first, or torn off with ``force``. True = gone already."""
        ev = self.ev
        if ev is None:
            raise ConfigError([f"connector {self.evse_id}: nothing is plugged in"])
        self.leaving = True
        if force or self.may_pull():
            self.pull()
            return True
        ev.stop_wanted = True
        return False

    def may_pull(self) -> bool:
        """Whether the plug can be drawn: not locked in the socket, and the vehicle has opened S2 and lets go."""
        drive = self.plant.drive
        ev = self.ev
        return ev is not None and not ev.s2 and ev.current_ma < NO_CURRENT_MA and not (drive and drive.locked)

    def pull(self) -> None:
        """Take the vehicle away."""
        self.ev = None
        self.leaving = False
        unplug_ac(self.plant)
        self._proximity()

    def _proximity(self) -> None:
        if self.pp_forced is not None:
            self.plant.pp = self.pp_forced
        elif self.spec.socket:
            self.plant.pp = PpState.NONE if self.ev is None else self.ev.spec.cable

    # -- step ---------------------------------------------------------------------------------------------------------

    def step(self, dt_ns: DurationNs, now: Instant) -> None:
        """Advance by ``dt_ns`` to ``now``."""
        ev = self.ev
        if ev is not None:
            ev.live = self.live
            ev.step(now, dt_ns)
            if self.leaving and self.may_pull():
                self.pull()
                ev = None
        self._proximity()
        self._switchgear(now, dt_ns)
        self._currents(ev, dt_ns)
        self._heat(dt_ns / 1e9)

    def _switchgear(self, now: Instant, dt_ns: DurationNs) -> None:
        plant, out, powered = self.plant, self.plant.out, self.mains.powered
        loaded = max(self.current_l_ma[1:]) > NO_CURRENT_MA
        plant.main.step(out.contactor_closed and powered)
        second = self.spec.phase_switch.enabled
        drive2 = out.relay2_closed and powered and not (self.vent_broken and not second)
        if plant.relay2.step(drive2) and second and loaded and plant.main.closed:
            self._violation("relay 2 switched phases 2 and 3 under load")
        if plant.main.closed and not plant.main.welded and plant.vehicle is CpState.A:
            self._violation("contactor closed without a vehicle")
        if plant.main.closed and not plant.main.welded and plant.rcd.state is RcdState.TRIPPED:
            self._violation("contactor closed with a tripped residual current monitor")
        if plant.drive is not None:
            plant.drive.step(now, dt_ns, out.lock, mains=powered)
        leak = self.closed
        ev_dc = self.ev.spec.leak_dc_ua if self.ev is not None else 0
        ev_rms = self.ev.spec.leak_rms_ua if self.ev is not None else 0
        plant.rcd.step(
            now,
            self.leak_dc_ua + ev_dc if leak else 0,
            self.leak_rms_ua + ev_rms if leak else 0,
            test=out.rcd_test and powered,
        )
        if not plant.out.contactor_closed:
            plant.main.step(False)  # the monitor is in the coil's chain
        plant.follow_parts()

    def _phases(self) -> int:
        """How many vehicle phases, counted from L1, are switched through by a closed contactor."""
        if self.spec.phases == 1:
            return 1
        if self.spec.phase_switch.enabled:
            return 3 if self.plant.relay2.closed else 1
        return 3

    def _currents(self, ev: AcEv | None, dt_ns: DurationNs) -> None:
        mains, grid = self.mains, self.grid
        fed = self.breaker is None or self.breaker.closed
        for index in range(3):
            there = fed and (index == 0 or self.spec.phases == 3)
            self.voltage_l_mv[index] = mains.voltage_mv(grid[index]) if there else 0.0
        if not self.closed:
            self.live = 0
            self.current_l_ma[:] = NO_CURRENTS
            if ev is not None:
                ev.current_ma = 0.0
            return
        switched = self._phases()
        self.live = 0
        for index in range(switched):
            if self.voltage_l_mv[index] <= 0:
                break
            self.live += 1
        used = 0
        current = 0.0
        if ev is not None:
            if self.live == 0:
                ev.current_ma = 0.0
            current = ev.current_ma
            used = ev.phases_used(self.live)
        for index in range(3):
            amps = current if index < used else 0.0
            if self.extra_ma and index < self.live:
                amps += self.extra_ma
            self.current_l_ma[index] = amps
        watts = self.power_w
        if watts:
            self.energy_wh += watts * dt_ns / 3.6e12
            self.power_max_w = max(self.power_max_w, watts)
            if ev is not None:
                ev.take(sum(self.voltage_l_mv[i] * current for i in range(used)) / 1e6, dt_ns)

    def grid_w(self) -> list[float]:
        """Power by grid phase 1..3 in W."""
        total = [0.0, 0.0, 0.0]
        for index, watts in enumerate(self.power_l_w):
            total[self.grid[index]] += watts
        return total

    def _heat(self, dt_s: float) -> None:
        forced, now = self.forced_heat_dc, self.temperature_dc
        if forced is not None and now < forced:
            now = min(now + FORCED_HEAT_DC_S * dt_s, forced)
        elif forced is None:
            ratio = self.current_ma / HEAT_RATED_MA
            end = AMBIENT_DC + HEAT_RISE_DC * ratio * ratio
            now = now - FORCED_HEAT_DC_S * dt_s if now > end + HEAT_RISE_DC else now + (end - now) * dt_s / HEAT_TAU_S
        self.temperature_dc = now
        self.plant.temperature_dc = int(now)

    def _violation(self, text: str) -> None:
        line = f"connector {self.evse_id}: {text}"
        if line not in self.violations and len(self.violations) < 20:
            self.violations.append(line)

    def idle(self) -> bool:
        """Return True when nothing is plugged in, live, warm or moving: time may be skipped."""
        return self.ev is None and not self.closed and not any(self.current_l_ma)


