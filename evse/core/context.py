"""The workbench of one tick: writable copies of the state, readings looked up once, events and effects collected.

Nothing here outlives the tick. `Conn` is one EVSE: its ratings, its state (`w`), its readings, and what the modules of
the core decided for it so far. A reading that is too old or absent is ``None`` here, and None is never safe.
"""

from __future__ import annotations

from evse.core.ac.memory import AcWork
from evse.core.ac.memory import thaw as thaw_ac
from evse.core.inputs import EvseInputs, Inputs
from evse.core.outputs import AnyEffect
from evse.core.state import ENERGY_STAGES, AvailabilityCell, EvseWork, StationState, TieState, thaw
from evse.domain.ac import AcSpec, AcStatus
from evse.domain.faults import FaultCode, FaultRecord
from evse.domain.limits import Allocation, CurrentAllocation, LimitSource
from evse.domain.readings import GroupStatus, MeterValues, NoData, NoDataReason, Sample
from evse.domain.session import StopReason
from evse.domain.signals import BoardStatus, CpState
from evse.domain.station import EvseKind, EvseSpec, StationSpec, Topology
from evse.domain.view import Event
from evse.units import NS_PER_MS, Instant, s

START_GRACE = s(5)
"""After start a device may stay silent for so long before its absence is a fault (energy stays off meanwhile)."""

GROUP_MAX_AGE = s(3)
"""A module group is read about every 0.5 s while on and every 1 s idle; three idle periods make it lost."""

TEXT_MAX = 200
"""Texts that come from devices or back ends are cut to this length before they enter events or records."""


_AC_SPEC = AcSpec()
_AC_UNKNOWN = AcStatus()


class Conn:
    """One EVSE within one tick. ``a`` is its AC memory (of a DC EVSE: unused, dropped), ``ac`` its AC ratings."""

    __slots__ = (
        "a",
        "ab",
        "ac",
        "allocation",
        "b",
        "blocked",
        "bus_why",
        "capped_ma",
        "capped_w",
        "causes",
        "chain",
        "contactor_open",
        "current",
        "energy_ok",
        "hold",
        "hold_now",
        "home",
        "index",
        "m",
        "m_at",
        "meter_unplugged",
        "meter_why",
        "modules_w",
        "no_board",
        "no_meter",
        "on_bus",
        "operative",
        "present_known",
        "present_ma",
        "pulses",
        "row",
        "spec",
        "stop_wanted",
        "w",
        "want_ma",
        "want_mv",
        "want_on",
    )

    def __init__(self, spec: EvseSpec, index: int, w: EvseWork) -> None:
        self.spec = spec
        self.index = index
        self.w = w
        self.b: BoardStatus | None = None  # fresh
        self.ab = _AC_UNKNOWN  # its AC part; everything unknown without one
        self.no_board = ""  # why there is no fresh reading
        self.m: MeterValues | None = None  # fresh
        self.m_at: Instant = 0
        self.no_meter = ""
        self.meter_unplugged = False
        self.meter_why: NoDataReason | None = None
        self.home = -1  # index of the home group
        self.on_bus = False  # fed by module groups that can change hands
        self.bus_why = ""  # why its output may not be connected to its groups yet
        self.row = 0  # in a matrix: index of its first contact in the ties
        self.chain: tuple[int, ...] = ()  # indices of connected groups
        self.modules_w = 0  # what they can give
        self.hold = False  # a tie moves: current down to zero
        self.hold_now = False  # ... at once: nobody knows how long the tie stays closed
        self.present_ma = 0
        self.present_known = False
        self.contactor_open = False  # confirmed
        self.operative = True
        self.blocked = ""  # name of a fault that forbids energy
        self.energy_ok = False
        self.stop_wanted: StopReason | None = None
        self.causes: list[tuple[FaultCode, str]] = []  # standing now
        self.pulses: list[tuple[FaultCode, str]] = []  # happened on this tick
        self.allocation: Allocation | None = None
        self.current: CurrentAllocation | None = None  # AC
        self.capped_w: list[tuple[int, LimitSource]] = []
        self.a: AcWork = thaw_ac(w.ac) if w.ac is not None else AcWork()
        self.ac: AcSpec = spec.ac if spec.ac is not None else _AC_SPEC
        self.capped_ma: list[tuple[int, LimitSource, str]] = []  # AC: mA per phase, source, detail
        self.want_on = False
        self.want_mv = 0
        self.want_ma = 0

    @property
    def voltage_mv(self) -> int:
        """Present voltage at the vehicle in mV, 0 when unknown."""
        return self.b.output_mv if self.b is not None and self.b.output_mv > 0 else 0


class Tick:
    """The whole station within one tick."""

    __slots__ = (
        "availability",
        "by_id",
        "causes",
        "conns",
        "contacts_fail",
        "dc",
        "effects",
        "estop",
        "events",
        "faults",
        "groups",
        "inputs",
        "now",
        "owners",
        "past",
        "ramps",
        "seq",
        "site_at",
        "site_dc_w",
        "site_source",
        "site_w",
        "spec",
        "state",
        "ties",
        "wall",
    )

    def __init__(self, spec: StationSpec, state: StationState, inputs: Inputs, now: Instant) -> None:
        self.spec = spec
        self.state = state
        self.inputs = inputs
        self.now = now
        self.wall = inputs.wall
        self.seq = state.event_seq
        self.events: list[Event] = []
        self.effects: list[AnyEffect] = []
        self.conns = [Conn(e, i, thaw(w)) for i, (e, w) in enumerate(zip(spec.evses, state.evses, strict=False))]
        self.by_id = {c.spec.evse_id: c for c in self.conns}
        self.dc = {c.spec.evse_id: c for c in self.conns if c.spec.kind is EvseKind.DC}
        self.owners: list[int] = list(state.owners)
        self.ties: list[TieState] = list(state.ties)
        self.availability: list[AvailabilityCell] = list(state.availability)
        self.faults: tuple[FaultRecord, ...] = state.faults
        self.past: tuple[FaultRecord, ...] = state.past
        self.causes: list[tuple[FaultCode, str]] = []
        self.contacts_fail = False  # some contact of a matrix is not as it should be
        self.ramps: dict[int, int] = {}  # index of a group that leaves a connector -> most it may give, mA
        self.groups: list[GroupStatus | None] = []
        self.estop = False  # pressed at any board that can be read
        self.site_at = state.site_meter_at
        self.site_w: int | None = None  # smallest site cap in force
        self.site_dc_w: int | None = None  # the same at the DC side
        self.site_source = LimitSource.SITE

    def event(self, kind: str, evse_id: int, **data: str | int | bool | None) -> None:
        """Record a fact; the number grows by one for ever."""
        self.seq += 1
        self.events.append(Event(seq=self.seq, wall=self.wall, kind=kind, evse_id=evse_id, data=data))

    def read(self) -> None:
        """Take the readings that are fresh, and why the others are missing."""
        now, inputs = self.now, self.inputs
        oldest_group = now - GROUP_MAX_AGE
        for reading in inputs.groups[: len(self.spec.groups)]:
            fresh = isinstance(reading, Sample) and reading.at >= oldest_group
            self.groups.append(reading.value if fresh and isinstance(reading, Sample) else None)
        while len(self.groups) < len(self.spec.groups):
            self.groups.append(None)
        for i, group in enumerate(self.spec.groups):
            home = self.dc.get(group.home_evse or 0)
            if home is not None and home.spec.home_group == group.group_id:
                home.home, home.on_bus = i, True
        if self.spec.topology is Topology.MATRIX and self.groups:
            for row, conn in enumerate(self.dc.values()):
                conn.on_bus, conn.row = True, row * len(self.groups)
        for conn in self.conns:
            given = _find(inputs, conn)
            if given is not None:
                self._read_board(conn, given)
                self._read_meter(conn, given)
            else:
                conn.no_board = conn.no_meter = "the shell gave no reading"
        if inputs.plan is not None:
            for allocation in inputs.plan.allocations:
                owner = self.by_id.get(allocation.evse_id)
                if owner is not None:
                    owner.allocation = allocation
            shares = {x.evse_id: x for x in inputs.plan.currents}
            for conn in self.conns:
                conn.current = shares.get(conn.spec.evse_id)
        meter = inputs.site_meter
        if isinstance(meter, Sample) and now - meter.at <= self.spec.meter_max_age_ms * NS_PER_MS:
            self.site_at = now

    def _read_board(self, conn: Conn, given: EvseInputs) -> None:
        reading = given.board
        if isinstance(reading, NoData):
            conn.no_board = (
                f"{reading.reason.value}: {reading.detail}"[:TEXT_MAX] if reading.detail else reading.reason.value
            )
            return
        age_ms = (self.now - reading.at) // NS_PER_MS
        if age_ms > self.spec.board_max_age_ms:
            conn.no_board = f"last status {age_ms} ms ago, limit {self.spec.board_max_age_ms} ms"
            return
        conn.b = reading.value
        if reading.value.ac is not None:
            conn.ab = reading.value.ac
        self.estop = self.estop or reading.value.estop
        conn.w.board_at = self.now

    def _read_meter(self, conn: Conn, given: EvseInputs) -> None:
        reading = given.meter
        if isinstance(reading, NoData):
            conn.meter_unplugged = reading.reason is NoDataReason.DISCONNECTED
            conn.meter_why = reading.reason
            conn.no_meter = (
                f"{reading.reason.value}: {reading.detail}"[:TEXT_MAX] if reading.detail else reading.reason.value
            )
            return
        age_ms = (self.now - reading.at) // NS_PER_MS
        if age_ms > self.spec.meter_max_age_ms:
            conn.no_meter = f"last value {age_ms} ms ago, limit {self.spec.meter_max_age_ms} ms"
        elif reading.value.energy_import_wh is None:
            conn.no_meter, conn.meter_why = "the meter has no energy register", NoDataReason.ERROR
        else:
            conn.m = reading.value
            conn.m_at = reading.at
            conn.w.meter_at = self.now

    def pilot_wants_energy(self, conn: Conn) -> bool:
        """Return True in pilot states C and D (IEC 61851-1): the only ones in which the output may be connected."""
        return conn.b is not None and (conn.b.cp is CpState.C or conn.b.cp is CpState.D)

    def group_index(self, group_id: int) -> int:
        """Return the index of a group id, -1 when there is none."""
        for i, group in enumerate(self.spec.groups):
            if group.group_id == group_id:
                return i
        return -1


def _find(inputs: Inputs, conn: Conn) -> EvseInputs | None:
    evses = inputs.evses
    if conn.index < len(evses) and evses[conn.index].evse_id == conn.spec.evse_id:
        return evses[conn.index]
    for given in evses:
        if given.evse_id == conn.spec.evse_id:
            return given
    return None


def uses_energy(conn: Conn) -> bool:
    """Return True while the output contactors of the EVSE may be closed or are not confirmed open."""
    return conn.w.stage in ENERGY_STAGES or not conn.contactor_open
