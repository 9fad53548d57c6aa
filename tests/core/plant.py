"""A tiny plant for core tests: boards, modules and cars as plain values, stepped together with tick and gate.

Not a simulator (that one speaks bytes); it only answers levels with levels. Every step checks the laws.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from evse.core.gate import gate
from evse.core.inputs import AnyCommand, EvseInputs, Inputs, StartSession, TransactionStored
from evse.core.outputs import AnyEffect, CloseTransaction, OpenTransaction, Outputs
from evse.core.tick import initial_state, tick
from evse.core.view import view
from evse.domain.limits import Allocation, GroupAssignment, LimitSource, Plan, PowerLimit
from evse.domain.readings import NEVER, GroupStatus, MeterValues, NoData, NoDataReason, Sample
from evse.domain.session import AuthSource
from evse.domain.signals import (
    Authorization,
    BoardCommand,
    BoardStatus,
    ContactorFeedback,
    CpState,
    EvStop,
    HlcStep,
    IsolationState,
    LockState,
    MatrixContacts,
    SlacState,
)
from evse.domain.station import EvseSpec, GroupSpec, StationSpec
from evse.domain.view import Event, EvseView, StationView
from evse.units import NS_PER_S, TICK_NS
from tests._support.examples import DEEP_EVERY
from tests._support.laws import LawBook

WALL0 = 1_767_225_600 * NS_PER_S


def spec_of(n: int = 2, **changes: Any) -> StationSpec:
    """A station with ``n`` EVSEs, one group of two 30 kW modules each."""
    return StationSpec(
        station_id="test",
        evses=tuple(EvseSpec(evse_id=i, home_group=i) for i in range(1, n + 1)),
        groups=tuple(
            GroupSpec(group_id=i, home_evse=i, modules=2, module_power_w=30_000, module_current_max_ma=100_000)
            for i in range(1, n + 1)
        ),
        **changes,
    )


class Car:
    """One vehicle with its board; attributes are the knobs of the tests."""

    def __init__(self) -> None:
        self.status = BoardStatus(
            cp=CpState.A,
            estop=False,
            contactor=ContactorFeedback.OPEN,
            lock=LockState.UNLOCKED,
            temperature_dc=250,
        )
        self.command = BoardCommand()
        self.silent = False
        self.meter_dead = False
        self.energy_mwh = 1_000_000
        self.battery_mv = 380_000
        self.demand_ma = 100_000
        self.kohm = 800
        self.hold_step: HlcStep | None = None
        self.welded = self.never_closes = self.lock_stuck = self.no_voltage = self.deaf = False
        self.contacts = 0  # matrix contacts that are closed, and masks of those that are wrong
        self.welded_contacts = self.dead_contacts = self.blind_contacts = self.forced_contacts = 0
        self.over_mv = 0
        self.extra_ma = 0
        self.want_stop = False
        self.soc = 30
        self._ticks = 0

    def plug(self) -> None:
        self.status = replace(self.status, cp=CpState.B, step=None, slac=SlacState.UNMATCHED, ev_stop=EvStop.NONE)
        self.want_stop = False
        self._ticks = 0

    def unplug(self) -> None:
        self.status = replace(
            self.status,
            cp=CpState.A,
            step=None,
            slac=SlacState.UNMATCHED,
            demand_mv=0,
            demand_ma=0,
            ev_stop=EvStop.NONE,
            isolation=IsolationState.INVALID,
            isolation_kohm=None,
            soc_pct=None,
            ev_max_w=0,
            ev_age_ms=0,
        )

    def set(self, **changes: Any) -> None:
        self.status = replace(self.status, **changes)

    def moved(self, wanted: int) -> MatrixContacts:
        """Matrix contacts after the command ``wanted``, as their auxiliary contacts report it."""
        closed = (wanted | (self.welded_contacts & self.contacts)) & ~self.dead_contacts | self.forced_contacts
        self.contacts = closed
        return MatrixContacts(closed=closed & ~self.blind_contacts, opened=~closed & ~self.blind_contacts & 0xFFFF_FFFF)

    def follow(self, c: BoardCommand, voltage_mv: int) -> None:
        """The board and the vehicle answer the levels of the last tick."""
        b = self.status
        pilot = b.cp in (CpState.C, CpState.D)
        closed = self.welded or (c.contactor_lease and pilot and not b.estop and not self.never_closes)
        lock = b.lock if self.lock_stuck else (LockState.LOCKED if c.lock else LockState.UNLOCKED)
        step, cp, ev_stop = self._drive(c)
        out = voltage_mv if closed and not self.no_voltage else 0
        if closed and step in (HlcStep.CURR, HlcStep.PD_OFF):
            out = self.battery_mv
        if self.over_mv:
            out = self.over_mv
        testing = c.isolation_test and out > 0
        self.command = c
        self.status = replace(
            b,
            contactor=ContactorFeedback.CLOSED if closed else ContactorFeedback.OPEN,
            lease_active=closed and not self.welded,
            lock=lock,
            step=step,
            cp=cp,
            ev_stop=ev_stop,
            output_mv=out,
            isolation=IsolationState.VALID if testing else IsolationState.INVALID,
            isolation_kohm=self.kohm if testing else None,
            demand_mv=self.battery_mv if step in _DEMANDS else 0,
            demand_ma=self.demand_ma if step is HlcStep.CURR else 0,
            soc_pct=self.soc if step in _DEMANDS else None,
            ev_max_w=100_000 if step is not None else 0,
            evcc_id="0123456789AB" if step is not None else "",
            tie_closed=c.tie_close,
            contacts=None if b.contacts is None else self.moved(c.contacts),
        )

    def _drive(self, c: BoardCommand) -> tuple[HlcStep | None, CpState, EvStop]:
        b = self.status
        step, cp, stop = b.step, b.cp, b.ev_stop
        if cp is CpState.A or self.deaf:
            return step, cp, stop
        if c.restart_slac and step in (None, HlcStep.STOP):
            return HlcStep.SAP, CpState.B, EvStop.NONE
        if step is None:
            if stop is EvStop.NONE and c.permit:
                self.set(slac=SlacState.MATCHED)
                step = HlcStep.SAP
            return step, cp, stop
        self._ticks += 1
        if self._ticks % 2 or step is self.hold_step:
            return step, cp, stop
        if (c.stop or c.emergency or self.want_stop) and step in (
            HlcStep.CABLE,
            HlcStep.PRE_C,
            HlcStep.PD_ON,
            HlcStep.CURR,
        ):
            return HlcStep.PD_OFF, cp, EvStop.NORMAL
        return self._next(c, step, cp, stop)

    def _next(
        self, c: BoardCommand, step: HlcStep, cp: CpState, stop: EvStop
    ) -> tuple[HlcStep | None, CpState, EvStop]:
        order = list(HlcStep)
        following = order[min(order.index(step) + 1, len(order) - 1)]
        if step is HlcStep.PAY_AUTH and c.authorization is not Authorization.GRANTED:
            return step, cp, stop
        if step is HlcStep.CABLE and not c.cable_check_done:
            return step, CpState.C, stop
        if step is HlcStep.PRE_C and abs(self.status.output_mv - self.battery_mv) > 20_000:
            return step, cp, stop
        if step is HlcStep.CURR:
            return step, cp, stop
        if step is HlcStep.WELD:
            return following, CpState.B, stop
        return following, cp, stop


_DEMANDS = (HlcStep.PRE_C, HlcStep.PD_ON, HlcStep.CURR, HlcStep.PD_OFF)


class Plant:
    """Boards, modules, planner and shell in one; ``run`` steps everything and checks the laws on every tick."""

    def __init__(self, spec: StationSpec | None = None, *, assigned_w: int = 60_000) -> None:
        self.spec = spec or spec_of()
        self.now = NS_PER_S
        self.cars = {e.evse_id: Car() for e in self.spec.evses}
        self.state = initial_state(self.spec, self.now)
        self.assigned = {e.evse_id: assigned_w for e in self.spec.evses}
        self.owners: dict[int, int | None] = {g.group_id: g.home_evse for g in self.spec.groups}
        self.limits: tuple[PowerLimit, ...] = ()
        self.storage_ok = True
        self.list_conflict = False
        self.wall_valid = True
        self.loop_fault = ""
        self.updating = False
        self.answer_stored = True
        self.site_dead = False
        self.module_faults: dict[int, tuple[int, int]] = {}  # group -> (missing, faulty)
        self.events: list[Event] = []
        self.effects: list[AnyEffect] = []
        self.pending: list[AnyCommand] = []
        self.seq = 0
        self.outputs: Outputs | None = None
        self.inputs: Inputs | None = None
        self.book = LawBook(DEEP_EVERY)

    def send(self, make: type[AnyCommand], **fields: Any) -> None:
        self.seq += 1
        self.pending.append(make(seq=self.seq, **fields))

    def start(self, evse_id: int = 1, token: str = "T") -> None:
        self.send(StartSession, evse_id=evse_id, id_token=token, source=AuthSource.API)

    def group_output(self, index: int) -> tuple[int, int]:
        """Voltage and current of a group, from the last outputs."""
        if self.outputs is None or not self.outputs.groups[index].on:
            return 0, 0
        g = self.outputs.groups[index]
        car = self.cars.get(g.owner)
        flows = car is not None and car.status.step is HlcStep.CURR and car.status.contactor is ContactorFeedback.CLOSED
        flows = flows and index in self._connected(g.owner)
        mv = car.battery_mv if flows and car is not None else g.voltage_mv
        home = self.spec.groups[index].home_evse == g.owner
        return mv, (g.current_ma + (car.extra_ma if car is not None and home else 0)) if flows else 0

    def _connected(self, owner: int) -> set[int]:
        """Groups that relays connect to the home group of ``owner`` now."""
        homes = [g.home_evse for g in self.spec.groups]
        reach = {homes.index(owner)} if owner in homes else set()
        for _ in homes:
            for i, home in enumerate(homes):
                car = self.cars.get(home or 0)
                pair = {i, (i + 1) % len(homes)}
                if car is not None and car.status.tie_closed and reach & pair:
                    reach |= pair
        return reach

    def snapshot(self) -> Inputs:
        evses = []
        for evse_id, car in self.cars.items():
            board = (
                NoData(reason=NoDataReason.TIMEOUT, since=self.now, detail="/dev/ttyX")
                if car.silent
                else Sample(car.status, self.now)
            )
            meter = (
                NoData(reason=NoDataReason.TIMEOUT, since=self.now, detail="unit 3")
                if car.meter_dead
                else Sample(
                    MeterValues(
                        power_w=car.status.output_mv * self.current(evse_id) // 1_000_000,
                        energy_import_wh=car.energy_mwh // 1000,
                    ),
                    self.now,
                )
            )
            evses.append(EvseInputs(evse_id=evse_id, board=board, meter=meter))
        groups = []
        for i, g in enumerate(self.spec.groups):
            mv, ma = self.group_output(i)
            missing, faulty = self.module_faults.get(g.group_id, (0, 0))
            groups.append(
                Sample(
                    GroupStatus(
                        modules_expected=g.modules,
                        modules_present=g.modules - missing,
                        modules_faulty=faulty,
                        on=mv > 0,
                        voltage_mv=mv,
                        current_ma=ma,
                        available_w=(g.modules - missing - faulty) * g.module_power_w,
                    ),
                    self.now,
                )
            )
        site = NEVER if self.site_dead else Sample(MeterValues(power_w=0), self.now)
        plan = Plan(
            version=1,
            site_limit_w=0,
            groups=tuple(GroupAssignment(group_id=g, owner=o) for g, o in self.owners.items()),
            allocations=tuple(
                Allocation(
                    evse_id=e, requested_w=w, offered_w=w, allowed_w=w, assigned_w=w, chain=(e,), binding=LimitSource.EV
                )
                for e, w in self.assigned.items()
            ),
        )
        commands, self.pending = tuple(self.pending), []
        return Inputs(
            wall=WALL0 + self.now,
            evses=tuple(evses),
            groups=tuple(groups),
            site_meter=site,
            limits=self.limits,
            plan=plan,
            commands=commands,
            storage_ok=self.storage_ok,
            list_conflict=self.list_conflict,
            wall_valid=self.wall_valid,
            loop_fault=self.loop_fault,
            updating=self.updating,
        )

    def current(self, evse_id: int) -> int:
        if self.outputs is None:
            return 0
        return sum(self.group_output(i)[1] for i, g in enumerate(self.outputs.groups) if g.owner == evse_id)

    def step(self) -> None:
        self.now += TICK_NS
        inputs = self.snapshot()
        before = self.state
        after, outputs = tick(self.spec, before, inputs, self.now)
        gated = gate(self.spec, outputs, inputs, self.now)
        self.book.check(self.spec, before, inputs, outputs, gated, after, self.now)
        self.state, self.outputs, self.inputs = after, gated, inputs
        self.events += outputs.events
        self.effects += outputs.effects
        for effect in outputs.effects:
            if isinstance(effect, OpenTransaction) and self.answer_stored:
                self.send(TransactionStored, evse_id=effect.evse_id, session_id=effect.session.session_id)
        for i, out in enumerate(gated.evses):
            car = self.cars[out.evse_id]
            car.follow(out.board, self.bar_mv(i, out.evse_id, gated))
            car.energy_mwh += car.status.output_mv * self.current(out.evse_id) // 1_000_000 * 50 // 3600

    def bar_mv(self, index: int, evse_id: int, gated: Outputs) -> int:
        """Voltage that the modules give to an EVSE: that of its home group."""
        return gated.groups[index].voltage_mv if index < len(gated.groups) and gated.groups[index].on else 0

    def run(self, ticks: int = 1) -> None:
        for _ in range(ticks):
            self.step()

    def until(self, condition: Any, ticks: int = 2000) -> None:
        """Step until ``condition(self)``; fails with the state of the EVSEs when it does not come."""
        for _ in range(ticks):
            if condition(self):
                return
            self.step()
        stages = [(e.evse_id, e.stage.value, e.waiting_for, [r.detail for r in e.faults]) for e in self.state.evses]
        raise AssertionError(f"not reached in {ticks} ticks: {stages}, station {[r.detail for r in self.state.faults]}")

    def view(self) -> StationView:
        assert self.inputs is not None
        return view(self.spec, self.state, self.inputs, self.now)

    def evse(self, evse_id: int = 1) -> EvseView:
        return self.view().evses[evse_id - 1]

    def board(self, evse_id: int = 1) -> BoardCommand:
        assert self.outputs is not None
        return self.outputs.evses[evse_id - 1].board

    def charge(self, evse_id: int = 1) -> None:
        """From whatever idle to current flowing."""
        self.cars[evse_id].plug()
        self.run()
        self.start(evse_id)
        self.until(lambda p: p.current(evse_id) > 0)

    def kinds(self) -> list[str]:
        return [e.kind for e in self.events]

    def closed(self) -> list[CloseTransaction]:
        return [e for e in self.effects if isinstance(e, CloseTransaction)]

    def codes(self, evse_id: int = 1) -> set[str]:
        return {r.code.value for r in (*self.state.faults, *self.state.evses[evse_id - 1].faults)}
