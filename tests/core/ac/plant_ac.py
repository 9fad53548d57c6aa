"""A plant of AC EVSEs for whole ticks: board, lock, contactors, monitor, meter and vehicle as plain values.

Not a simulator (that one speaks bytes); it answers levels with levels, as docs/board-link.md, "AC boards", says a board does.
Every step checks the laws of the core and those of AC EVSEs.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from evse.core.gate import gate
from evse.core.inputs import AnyCommand, EvseInputs, Inputs, StartSession, TransactionStored
from evse.core.outputs import AnyEffect, CloseTransaction, OpenTransaction, Outputs
from evse.core.state import EvseState
from evse.core.tick import initial_state, tick
from evse.core.view import view
from evse.domain.ac import AcStatus, FeedbackType, PilotMode, PpState, RcdState
from evse.domain.contactor import ContactorFeedback
from evse.domain.limits import PowerLimit
from evse.domain.readings import NEVER, MeterValues, NoData, NoDataReason, Sample
from evse.domain.session import AuthSource
from evse.domain.signals import BoardCommand, BoardStatus, CpState, LockState
from evse.domain.station import EvseSpec, StationSpec
from evse.domain.view import Event, EvseView
from evse.units import NS_PER_S, TICK_NS
from tests._support.examples import DEEP_EVERY
from tests._support.laws import LawBook
from tests._support.laws_ac import AcLawBook
from tests.core.ac.bench import STATUS, WALL0, spec_of

LEVEL_MV = {CpState.A: 12_000, CpState.B: 9_000, CpState.C: 6_000, CpState.D: 3_000}


def contact(closed: bool, kind: FeedbackType) -> ContactorFeedback:
    """What the auxiliary contact of a contactor says."""
    if kind is FeedbackType.NONE:
        return ContactorFeedback.UNKNOWN
    return ContactorFeedback.CLOSED if closed is (kind is FeedbackType.NO) else ContactorFeedback.OPEN


class Car:
    """One vehicle with its board; attributes are the knobs of the tests."""

    def __init__(self, spec: EvseSpec) -> None:
        assert spec.ac is not None
        self.spec, self.ac = spec, spec.ac
        self.command = BoardCommand()
        self.status: BoardStatus = replace(STATUS, cp=CpState.F, ac=replace(STATUS.ac or AcStatus(), duty_bp=0))
        self.plugged = False
        self.cable = PpState.A32
        self.takes_ma = 32_000  # per phase
        self.wants = CpState.C  # what the vehicle goes to when it is told a current
        self.full = False  # stays in B
        self.stubborn = False  # ignores that the PWM is gone
        self.early = False  # C before it is told anything
        self.sleeping = False  # reacts after a pulse of state E only
        self.measures = True
        self.diode = True
        self.main = self.second = False
        self.welded = self.stuck = self.second_welded = self.second_stuck = False
        self.silent = self.meter_dead = self.lock_stuck = False
        self.rcd = RcdState.NORMAL
        self.rcd_deaf = False  # the monitor does not answer its test
        self.vent_works = True
        self.locked = False
        self.lock_moved = 0
        self.energy_uwh = 1_000_000_000
        self.extra: dict[str, Any] = {}  # of BoardStatus
        self.inner: dict[str, Any] = {}  # of AcStatus

    def plug(self, cable: PpState = PpState.A32) -> None:
        self.plugged, self.cable = True, cable

    def unplug(self) -> None:
        self.plugged = False

    def _pilot(self, c: BoardCommand) -> CpState:
        ac = c.ac
        if ac is None or ac.pilot is PilotMode.F:
            return CpState.F
        if ac.pilot is PilotMode.E:
            self.sleeping = False
            return CpState.E
        if not self.plugged:
            return CpState.A
        told = ac.pilot is PilotMode.PWM and 800 <= ac.duty_bp <= 9_700
        stays = self.stubborn and self.status.cp in (CpState.C, CpState.D)
        if (told and not self.full and not self.sleeping) or stays or self.early:
            return self.wants
        return CpState.B

    def follow(self, c: BoardCommand) -> None:
        """The board and the vehicle answer the levels of the last tick."""
        cp, ac = self._pilot(c), c.ac
        assert ac is not None
        pwm = ac.pilot is PilotMode.PWM
        power = cp in (CpState.C, CpState.D)
        was = self.status.lease_active
        lease = c.contactor_lease and power and not self.extra.get("estop", False) and (pwm or was)
        lease = lease and self.rcd is RcdState.NORMAL
        self.main = self.welded or (lease and not self.stuck)
        free = ac.relay2_free
        second = (ac.relay2 and (self.vent_works if free else lease)) or self.second_welded
        self.second = second and not (self.second_stuck and not free)
        if not self.lock_stuck:
            self.locked = c.lock
        rcd = self.rcd
        if ac.rcd_test and not self.rcd_deaf:
            rcd = RcdState.TRIPPED
        pp = (self.cable if self.plugged else PpState.NONE) if self.ac.socket else PpState.UNKNOWN
        high = {CpState.F: -12_000, CpState.E: 0}.get(cp, LEVEL_MV.get(cp))
        low = (-12_000 if self.diode or cp is CpState.A else -(high or 0)) if pwm else None
        kind2 = self.ac.ventilation.feedback if free else self.ac.phase_switch.feedback
        self.command = c
        inner: dict[str, Any] = {
            "pp": pp,
            "rcd": rcd,
            "duty_bp": ac.duty_bp if pwm else (10_000 if ac.pilot is PilotMode.X1 else 0),
            "cp_high_mv": high if self.measures else None,
            "cp_low_mv": low if self.measures else None,
            "relay2": contact(self.second, kind2),
        } | self.inner
        outer: dict[str, Any] = {
            "cp": cp,
            "estop": False,
            "door_open": False,
            "stop_button": False,
            "contactor": contact(self.main, self.ac.contactor_feedback),
            "lease_active": lease,
            "lock": LockState.LOCKED if self.locked else LockState.UNLOCKED,
        } | self.extra
        self.status = replace(self.status, ac=replace(self.status.ac or AcStatus(), **inner), **outer)

    @property
    def drawn_ma(self) -> int:
        """Current per phase."""
        if not self.main or self.status.cp not in (CpState.C, CpState.D):
            return 0
        ac = self.command.ac
        duty = ac.duty_bp if ac is not None and ac.pilot is PilotMode.PWM else 0
        told = duty * 6 if duty <= 8_500 else (duty - 6_400) * 25
        return self.takes_ma if self.stubborn else min(self.takes_ma, told if duty >= 800 else 0)

    @property
    def phases(self) -> int:
        """Phases that the vehicle has."""
        if not self.ac.phase_switch.enabled:
            return self.ac.phases
        return 3 if self.second else 1


class AcPlant:
    """Boards, vehicles and shell in one; ``run`` steps everything and checks the laws on every tick."""

    def __init__(self, spec: StationSpec | None = None, *, now: int = 100 * NS_PER_S, **ac: Any) -> None:
        self.spec = spec or spec_of(**ac)
        self.now = now
        self.cars = {e.evse_id: Car(e) for e in self.spec.evses}
        self.state = initial_state(self.spec, self.now)
        self.limits: tuple[PowerLimit, ...] = ()
        self.storage_ok = True
        self.loop_fault = ""
        self.answer_stored = True
        self.events: list[Event] = []
        self.effects: list[AnyEffect] = []
        self.pending: list[AnyCommand] = []
        self.seq = 0
        self.outputs: Outputs | None = None
        self.inputs: Inputs | None = None
        self.book = LawBook(DEEP_EVERY)
        self.laws = AcLawBook()
        self.step(0)

    @property
    def car(self) -> Car:
        return self.cars[1]

    @property
    def w(self) -> EvseState:
        return self.state.evses[0]

    @property
    def board(self) -> BoardCommand:
        assert self.outputs is not None
        return self.outputs.evses[0].board

    @property
    def pilot(self) -> tuple[PilotMode, int]:
        assert self.board.ac is not None
        return self.board.ac.pilot, self.board.ac.duty_bp

    def send(self, make: type[AnyCommand], **fields: Any) -> None:
        self.seq += 1
        self.pending.append(make(seq=self.seq, **fields))

    def start(self, evse_id: int = 1, token: str = "T") -> None:
        self.send(StartSession, evse_id=evse_id, id_token=token, source=AuthSource.API)

    def snapshot(self) -> Inputs:
        evses = []
        for evse_id, car in self.cars.items():
            gone = NoData(reason=NoDataReason.TIMEOUT, since=self.now, detail="/dev/ttyX")
            ma, n = car.drawn_ma, car.phases
            currents = (ma, ma if n > 1 else 0, ma if n > 2 else 0)
            values = MeterValues(
                power_w=sum(currents) * 230 // 1000,
                energy_import_wh=car.energy_uwh // 1_000_000,
                current_l_ma=currents,
                voltage_l_mv=(230_000, 230_000, 230_000),
            )
            board = gone if car.silent else Sample(car.status, self.now)
            meter = gone if car.meter_dead else Sample(values, self.now)
            evses.append(EvseInputs(evse_id=evse_id, board=board, meter=meter))
        commands, self.pending = tuple(self.pending), []
        return Inputs(
            wall=WALL0 + self.now,
            evses=tuple(evses),
            groups=(),
            site_meter=NEVER,
            limits=self.limits,
            commands=commands,
            storage_ok=self.storage_ok,
            loop_fault=self.loop_fault,
        )

    def step(self, dt: int = TICK_NS) -> None:
        self.now += dt
        inputs, before = self.snapshot(), self.state
        after, outputs = tick(self.spec, before, inputs, self.now)
        gated = gate(self.spec, outputs, inputs, self.now)
        self.book.check(self.spec, before, inputs, outputs, gated, after, self.now)
        self.laws.check(self.spec, inputs, outputs, gated, after, self.now)
        self.state, self.outputs, self.inputs = after, gated, inputs
        self.events += outputs.events
        self.effects += outputs.effects
        for effect in outputs.effects:
            if isinstance(effect, OpenTransaction) and self.answer_stored:
                self.send(TransactionStored, evse_id=effect.evse_id, session_id=effect.session.session_id)
        for out in gated.evses:
            car = self.cars[out.evse_id]
            car.follow(out.board)
            car.energy_uwh += car.drawn_ma * car.phases * 230 * dt // 3_600_000_000

    def run(self, seconds: float, dt: int = TICK_NS) -> None:
        end = self.now + round(seconds * NS_PER_S)
        while self.now < end:
            self.step(dt)

    def until(self, condition: Any, seconds: float = 60, dt: int = TICK_NS) -> None:
        """Step until ``condition(self)``; fails with the state when it does not come."""
        end = self.now + round(seconds * NS_PER_S)
        while self.now < end:
            if condition(self):
                return
            self.step(dt)
        w = self.w
        raise AssertionError(
            f"not reached in {seconds} s: {w.stage.value}, waits for {w.waiting_for!r}, {self.pilot}, cp {self.car.status.cp}, "
            f"{[r.detail for r in w.faults]}"
        )

    def charge(self) -> None:
        """From whatever idle to current flowing."""
        self.car.plug()
        self.run(0.3)
        self.start()
        self.until(lambda p: p.car.drawn_ma > 0)

    def evse(self, evse_id: int = 1) -> EvseView:
        assert self.inputs is not None
        return view(self.spec, self.state, self.inputs, self.now).evses[evse_id - 1]

    def kinds(self) -> list[str]:
        return [e.kind for e in self.events]

    def refused(self) -> str:
        return str(next(e for e in reversed(self.events) if e.kind == "command.refused").data["why"])

    def closed(self) -> list[CloseTransaction]:
        return [e for e in self.effects if isinstance(e, CloseTransaction)]

    def names(self, evse_id: int = 1) -> set[str]:
        return {r.code.name for r in (*self.state.faults, *self.state.evses[evse_id - 1].faults)}
