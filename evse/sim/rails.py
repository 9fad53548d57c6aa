"""Parts of the station's physics that hold state: power modules (what is needed of them), connectors, islands."""

from __future__ import annotations

from typing import Final, Protocol

from evse.sim.ev import Ev
from evse.sim.hw.board_plant import BoardPlant
from evse.units import Instant

AMBIENT_DC: Final = 250


class Module(Protocol):
    """What physics needs of a simulated power module. ``on`` = switched on; the methods tell what that gives now."""

    on: bool
    current_ma: int

    def voltage_now_mv(self, now: Instant) -> int:
        """Voltage that it regulates to, 0 = off."""
        ...

    def current_limit_ma(self, now: Instant, voltage_mv: int) -> int:
        """Most current at ``voltage_mv``."""
        ...

    def set_operating_point(self, now: Instant, voltage_mv: int, current_ma: int) -> None:
        """Tell the module what is at its terminals."""
        ...


class ConnectorWorld:
    """One connector: board plant, vehicle, contactors, cable and DC meter. `evse.sim.faults` sets the fault fields."""

    def __init__(self, evse_id: int, plant: BoardPlant, home_bank: int) -> None:
        self.evse_id = evse_id
        self.plant = plant
        self.home_bank = home_bank  # index, -1 = none
        self.ev: Ev | None = None
        self.leaving = False
        self.closed = False  # output contactors, physically
        self.voltage_mv = 0.0  # vehicle side of the output contactors
        self.current_ma = 0.0
        self.temperature_dc = float(AMBIENT_DC)
        self.energy_wh = 0.0  # DC meter register
        self.power_max_w = 0.0
        self.visits = 0
        # faults
        self.welded = False
        self.stuck_open = False
        self.lock_stuck = False
        self.insulation_kohm: int | None = None
        self.isolation_stuck = False
        self.forced_heat_dc: int | None = None
        self.over_voltage_permille = 0
        self.over_current_ma = 0
        self.isolation_since: Instant | None = None
        self.isolation_level = 0  # 0 not measured, 1 testing, 2 known
        self.isolation_asked = False

    @property
    def power_w(self) -> float:
        """Power at the meter in W."""
        return self.voltage_mv * self.current_ma / 1e6


class Island:
    """Banks joined by closed ties, with the connectors whose home they are; in a matrix what closed contacts join.
    ``nodes``: numbers of its banks, then of its bars (`evse.sim.matrix`)."""

    nodes: tuple[int, ...] = ()

    def __init__(self, modules: tuple[Module, ...], connectors: tuple[ConnectorWorld, ...], voltage_mv: float) -> None:
        self.modules = modules
        self.connectors = connectors
        self.voltage_mv = voltage_mv
        self.current_ma = 0.0
        self.idle = False
        self.told: Instant = 0
