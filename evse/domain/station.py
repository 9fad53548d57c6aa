"""What a station is made of, as the core and the planner need it (numbers only; ports and addresses are configuration)."""

from __future__ import annotations

import enum

import msgspec

from evse.domain.ac import NOMINAL_MV, AcSpec
from evse.domain.leds import LedSpec
from evse.domain.rules import Rule
from evse.domain.signing import SigningMode


class EvseKind(enum.Enum):
    """Current type of an EVSE."""

    AC = "ac"
    DC = "dc"


class Topology(enum.Enum):
    """How module groups of a cabinet are connected."""

    CHAIN = "chain"
    RING = "ring"
    MATRIX = "matrix"


class EvseSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Ratings of one EVSE and its connector. Limits are hard limits: the gate enforces them on its own."""

    evse_id: int  # 1..n
    kind: EvseKind = EvseKind.DC
    connector_id: int = 1
    home_group: int = 0  # group id, 0 = none
    voltage_max_mv: int = 1_000_000
    voltage_min_mv: int = 150_000
    current_max_ma: int = 250_000
    power_max_w: int = 180_000
    derate_start_dc: int = 800  # 80.0 °C: linear derating begins
    derate_end_dc: int = 900  # 90.0 °C: zero, fault
    insulation_min_kohm: int = 100  # IEC 61851-23: 100 ohm per volt of the rated voltage
    cable_check_mv: int = 500_000
    has_meter: bool = True
    signing: SigningMode = SigningMode.OFF
    signing_wait_s: int = 10  # longest wait for a signed reading
    free_charging: bool = False
    free_id_token: str = ""
    ac: AcSpec | None = None  # of an AC EVSE


class GroupSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A group of power modules on the DC bus of a cabinet, in bus order."""

    group_id: int  # 1..n, bus order
    home_evse: int | None
    modules: int
    module_power_w: int
    module_current_max_ma: int
    voltage_max_mv: int = 1_000_000
    voltage_min_mv: int = 150_000


class FuseSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A fuse below the grid connection that some EVSEs share; ``fuse_ma`` per phase."""

    name: str
    fuse_ma: int
    evses: tuple[int, ...]


class HourLimit(msgspec.Struct, frozen=True, kw_only=True):
    """From an hour of the local day on: all EVSEs together, mA per phase."""

    hour: int  # 0..23
    limit_ma: tuple[int, int, int]


class ShedSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Load shedding by an input of the controller. Either or both of ``offset_ma`` and ``limit_ma`` (-1 = none) act."""

    input: str
    active_high: bool = True
    offset_ma: tuple[int, int, int] = (0, 0, 0)
    limit_ma: int = -1


class GridSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The connection that AC EVSEs share. Currents are per phase; ``fuse_ma`` 0 = no limit, the others -1 = none."""

    fuse_ma: int = 0
    imbalance_ma: int = -1  # largest difference between two phases
    failsafe_ma: int = -1  # for all vehicles together while the site meter is lost; -1 = what they had
    nominal_mv: int = NOMINAL_MV  # phase to neutral
    max_served: bool = False  # when 6 A do not fit for all: the most vehicles, instead of the longest charging paused
    threshold_ma: int = 2_000  # a vehicle that draws so much less than its share gives the rest to the others
    dwell_s: int = 300  # shortest time on or paused
    fuses: tuple[FuseSpec, ...] = ()
    own_ma: tuple[int, int, int] | None = None  # all EVSEs together, set by the installer
    operator_ma: tuple[int, int, int] | None = None  # the operator's, never above it
    hours: tuple[HourLimit, ...] = ()  # by hour, rising
    shed: ShedSpec | None = None


class StationSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The whole station. ``tie i`` connects ``groups[i]`` and ``groups[i+1]``; its relay sits on the board of groups[i].home_evse."""

    station_id: str
    evses: tuple[EvseSpec, ...]
    groups: tuple[GroupSpec, ...] = ()
    topology: Topology = Topology.CHAIN
    site_limit_w: int = 0  # AC side; 0 = none
    has_site_meter: bool = False
    efficiency_permille: int = 950
    min_power_w: int = 3_000  # a vehicle is admitted with at least this much
    dwell_s: int = 300  # a DC vehicle charges or waits at least so long before turns change
    allow_cross: bool = True  # borrowing between home groups
    max_groups: int = 0  # groups per owner, 0 = no cap
    group_power_w: int = 0  # cap per owner, 0 = none
    connection_timeout_s: int = 60  # authorised but nobody plugs in
    meter_max_age_ms: int = 5_000
    bms_max_age_ms: int = 2_000
    board_max_age_ms: int = 300  # three heartbeats of 100 ms
    charge_without_storage: bool = False  # policy while the database refuses writes
    needs_time: bool = False  # no transaction begins before the calendar is set
    rules: tuple[Rule, ...] = ()  # event actions, in their order
    rules_version: int = 0  # `evse.domain.rules.rules_version`
    leds: tuple[LedSpec, ...] = ()
    light_pct: int = 100  # brightness of all lamps
    blink_repeat: int = 0  # how often a lamp blinks to answer a card, 0 = as its profile shows it
    grid: GridSpec | None = None

    @property
    def nominal_mv(self) -> int:
        """Phase to neutral."""
        return NOMINAL_MV if self.grid is None else self.grid.nominal_mv
