"""The 50 ms control loop: collect a snapshot, tick, gate, send levels; nothing here waits for a device.

Deadlines are absolute: a late tick does not shift the next one, and several missed periods are skipped, not caught up.
If tick, gate or a driver's `command` raises, that is our bug: every board and module gets its safe levels in the same
pass, and the loop goes on with the fault text in its inputs (F19) until the daemon is restarted. The planner and the
flight recorder are not part of the control path: when they raise, the last plan stays, limits go on binding in the
tick, and `ControlLoop.trouble` names it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from evse.core.ac.request import current_requests
from evse.core.gate import gate
from evse.core.inputs import MAX_COMMANDS_PER_TICK, AnyCommand, EvseInputs, Inputs, SetPhases
from evse.core.outputs import Outputs
from evse.core.state import StationState
from evse.core.tick import tick
from evse.domain.base import BugError
from evse.domain.clock import Clock
from evse.domain.readings import MeterValues, NoData, NoDataReason, Sample
from evse.domain.signals import BoardCommand, GroupCommand
from evse.domain.station import StationSpec
from evse.domain.view import Event
from evse.runtime.planning import PlannerShell
from evse.runtime.recorder import Recorder
from evse.runtime.rule_trace import RuleTrace
from evse.runtime.wiring import Devices
from evse.units import NS_PER_MS, NS_PER_S, NS_PER_US, TICK_NS, Instant

log = logging.getLogger(__name__)

COMMANDS_WAITING_MAX = 256
NOT_FITTED = NoData(reason=NoDataReason.NOT_FITTED, since=0, detail="not fitted")


LATENESS_STEP_NS = 100 * NS_PER_US
LATENESS_STEPS = TICK_NS // LATENESS_STEP_NS
"""Resolution and reach of the distribution of lateness; the last step holds everything later than one period."""


class LoopStats:
    """How well the loop keeps time."""

    def __init__(self) -> None:
        self.count = 0
        self._lateness = [0] * (LATENESS_STEPS + 1)
        self.late = 0
        self.lateness_max_ns = 0
        self.duration_sum_ns = 0
        self.limit_changes = 0
        self.limit_ticks_last = 0
        self.limit_ticks_max = 0
        """Ticks from a changed site limit to outputs within it."""

    def add(self, lateness_ns: int, duration_ns: int) -> None:
        """Count one tick; late = began more than one period after its deadline."""
        self.count += 1
        self.duration_sum_ns += duration_ns
        if lateness_ns > self.lateness_max_ns:
            self.lateness_max_ns = lateness_ns
        if lateness_ns > TICK_NS:
            self.late += 1
        self._lateness[min(max(lateness_ns, 0) // LATENESS_STEP_NS, LATENESS_STEPS)] += 1

    def started(self) -> None:
        """Begin the distribution of lateness anew: while the daemon starts, imports share the interpreter with the loop."""
        self._lateness = [0] * (LATENESS_STEPS + 1)

    def lateness_ms(self, permille: int) -> float:
        """Lateness that ``permille`` of all ticks since `started` did not exceed, rounded up to 0.1 ms, at most 50.1."""
        wanted, seen = sum(self._lateness) * permille / 1000, 0
        for step, count in enumerate(self._lateness):
            seen += count
            if seen >= wanted and seen:
                return (step + 1) * LATENESS_STEP_NS / NS_PER_MS
        return 0.0


class ControlLoop:
    """Owns the core state. Everybody else reads `state` and `inputs` of the last tick, and submits commands."""

    def __init__(
        self,
        spec: StationSpec,
        state: StationState,
        devices: Devices,
        clock: Clock,
        planner: PlannerShell,
        recorder: Recorder,
        on_outputs: Callable[[Outputs, Inputs, Instant], None],
    ) -> None:
        self.spec = spec
        self.state = state
        self.inputs: Inputs | None = None
        self.outputs: Outputs | None = None
        self.now: Instant = clock.now()
        self.stats = LoopStats()
        self.fault = ""
        """Text of the first bug that switched everything off; stays until the daemon is restarted."""
        self.trouble: dict[str, str] = {}
        """Bugs beside the control path: planner, recorder -> text of the last one."""
        self.storage_ok = True
        self.storage_code = ""  # of the last failed write, a name of `PERSISTENCE_CODES`
        self.backend_online = False
        self.updating = False  # a firmware update is being installed
        self.list_conflict = False
        self.rules = RuleTrace()
        self._devices = devices
        self._clock = clock
        self._planner = planner
        self._recorder = recorder
        self._on_outputs = on_outputs
        self._commands: deque[tuple[AnyCommand, asyncio.Future[str] | None]] = deque()
        self._seq = 0
        self._limits: object = None
        self._limit_ticks = 0
        self._told = ""

    def change_spec(self, spec: StationSpec) -> None:
        """Put other ratings in force from the next tick on: same EVSEs and groups, other numbers."""
        if spec != self.spec:
            self.spec = spec
            self._recorder.change_spec(spec)

    def number(self, kind: str, evse_id: int, data: dict[str, str | int | bool | None]) -> Event:
        """Return a fact of the shell as an event with the next number; between two ticks only."""
        self.state = msgspec.structs.replace(self.state, event_seq=self.state.event_seq + 1)
        self._beside("recorder", self._recorder.cut)
        return Event(seq=self.state.event_seq, wall=self._clock.wall(), kind=kind, evse_id=evse_id, data=data)

    def submit(self, make: Callable[[int], AnyCommand], answer: asyncio.Future[str] | None = None) -> None:
        """Queue a command for the next tick. ``make`` gets the sequence number. ``answer`` receives "" or the reason of refusal."""
        if len(self._commands) >= COMMANDS_WAITING_MAX:
            log.error("command dropped: %d commands are waiting", COMMANDS_WAITING_MAX)
            if answer is not None and not answer.done():
                answer.set_result("the controller is overloaded; try again")
            return
        self._seq += 1
        self._commands.append((make(self._seq), answer))

    async def ask(self, make: Callable[[int], AnyCommand]) -> str:
        """`submit` and wait for the tick that decides; return "" or the reason of refusal."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.submit(make, answer)
        return await answer

    async def run(self) -> None:
        """Tick for ever on absolute deadlines."""
        deadline = self._clock.now()
        while True:
            began = self._clock.now()
            try:
                self.step(began)
            except BugError as error:  # the safe levels are out; a loop that paused now would only hide the fault
                if self.fault != self._told:
                    self._told = self.fault
                    log.critical(
                        "control loop: %s; energy stays off until the daemon is restarted", error, exc_info=error
                    )
            self.stats.add(began - deadline, self._clock.now() - began)
            deadline += TICK_NS
            late = self._clock.now() - deadline
            if late > TICK_NS:  # skip what was missed; timers in the state are deadlines, so nothing is lost
                deadline += late // TICK_NS * TICK_NS
            await asyncio.sleep(max(0, deadline - self._clock.now()) / NS_PER_S)

    def step(self, now: Instant) -> Outputs:
        """Do one tick and send its levels; `BugError` after the safe levels went out when something of ours raised."""
        taken = [self._commands.popleft() for _ in range(min(len(self._commands), MAX_COMMANDS_PER_TICK))]
        try:
            inputs = self.snapshot(tuple(command for command, _ in taken))
            before = self.state
            after, wanted = tick(self.spec, before, inputs, now)
            outputs = gate(self.spec, wanted, inputs, now)
            self._send(outputs)
        except Exception as error:
            self._fail(error, taken)
            raise BugError(self.fault) from error
        self.state, self.inputs, self.outputs, self.now = after, inputs, outputs, now
        self._follow_limit(inputs, outputs)
        self._beside("recorder", lambda: self._recorder.add(before, now, inputs, outputs))
        self._beside("rule trace", lambda: self.rules.follow(self.spec, before, after, inputs.wall))
        self._beside("planner", lambda: self._plan(outputs, inputs, now))
        self._answer(taken, outputs)
        if outputs.events or outputs.effects:
            try:
                self._on_outputs(outputs, inputs, now)
            except Exception as error:  # a start or an end may be lost: nobody may charge on such a base
                self._fail(error, [])
                raise BugError(self.fault) from error
        return outputs

    def _plan(self, outputs: Outputs, inputs: Inputs, now: Instant) -> None:
        currents = current_requests(self.spec, self.state, inputs, now)
        self._planner.consider(outputs.requests, inputs, now, currents)
        self._planner.totals.look(self.spec, self.state, inputs, inputs.plan, now)
        for evse_id, phases in self._planner.phase_switches(currents, now):
            self._switch(evse_id, phases)

    def _switch(self, evse_id: int, phases: int) -> None:
        if len(self._commands) < COMMANDS_WAITING_MAX:
            self.submit(lambda seq: SetPhases(seq=seq, evse_id=evse_id, phases=phases))

    def _beside(self, name: str, work: Callable[[], None]) -> None:
        """Do what the control path does not need; a bug there is told once and takes nothing with it."""
        try:
            work()
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if self.trouble.get(name) != text:
                log.exception("%s failed; the control loop goes on", name)
            self.trouble[name] = text

    def snapshot(self, commands: tuple[AnyCommand, ...]) -> Inputs:
        """Everything the drivers know now, with ``commands``."""
        devices = self._devices
        wall, wall_valid = self._clock.wall(), self._clock.wall_valid()
        return Inputs(
            wall=wall,
            evses=tuple(
                [
                    EvseInputs(
                        evse_id=e.evse_id, board=devices.boards[e.evse_id].reading(), meter=self.meter(e.evse_id)
                    )
                    for e in self.spec.evses
                ]
            ),
            groups=tuple([devices.modules.reading(g.group_id) for g in self.spec.groups]) if devices.modules else (),
            site_meter=self.meter(0),
            limits=self._planner.limits,
            plan=self._planner.plan_now(wall, wall_valid=wall_valid),
            commands=commands,
            storage_ok=self.storage_ok,
            storage_code=self.storage_code,
            loop_fault=self.fault,
            backend_online=self.backend_online,
            wall_valid=wall_valid,
            list_conflict=self.list_conflict,
            lost=devices.lost(),
            updating=self.updating,
        )

    def meter(self, evse_id: int) -> Sample[MeterValues] | NoData:
        """Latest reading of the meter of an EVSE, or of the site (0)."""
        meter = self._devices.meters.get(evse_id)
        return NOT_FITTED if meter is None else meter.reading()

    def _send(self, outputs: Outputs) -> None:
        for evse in outputs.evses:
            self._devices.boards[evse.evse_id].command(evse.board)
        if self._devices.modules is not None:
            self._devices.modules.command(outputs.groups)

    def _follow_limit(self, inputs: Inputs, outputs: Outputs) -> None:
        """Count the ticks from a changed site limit to outputs whose offers fit under it."""
        if inputs.limits is not self._limits:
            if self._limits is not None:
                self.stats.limit_changes += 1
            self._limits, self._limit_ticks = inputs.limits, 0
        if self._limit_ticks < 0:
            return
        self._limit_ticks += 1
        caps = [limit.power_w for limit in inputs.limits if limit.evse_id == 0]
        offered_w = sum(evse.board.offered_w for evse in outputs.evses if evse.board.contactor_lease)
        if not caps or offered_w * 1000 <= min(caps) * self.spec.efficiency_permille:
            self.stats.limit_ticks_last = self._limit_ticks
            self.stats.limit_ticks_max = max(self.stats.limit_ticks_max, self._limit_ticks)
            self._limit_ticks = -1

    def _answer(self, taken: list[tuple[AnyCommand, asyncio.Future[str] | None]], outputs: Outputs) -> None:
        if not taken:
            return
        refused = {
            e.data.get("seq"): str(e.data.get("why", "refused")) for e in outputs.events if e.kind == "command.refused"
        }
        for command, answer in taken:
            if answer is not None and not answer.done():
                answer.set_result(refused.get(command.seq, ""))

    def _fail(self, error: Exception, taken: list[tuple[AnyCommand, asyncio.Future[str] | None]]) -> None:
        self.fault = self.fault or f"{type(error).__name__}: {error}"
        self.safe()
        for _, answer in taken:
            if answer is not None and not answer.done():
                answer.set_result(f"internal error: {self.fault}")

    def safe(self) -> None:
        """Send the safe levels to everything: no lease, no offer, modules off, ties open. One that raises spares none."""
        modules = self._devices.modules
        sends: list[tuple[str, Callable[[], None]]] = [
            (f"board {evse_id}", partial(board.command, BoardCommand()))
            for evse_id, board in self._devices.boards.items()
        ]
        if modules is not None:
            off = [GroupCommand(group_id=g.group_id) for g in self.spec.groups]
            sends.append(("modules", partial(modules.command, off)))
        for name, send in sends:
            self._beside(f"safe levels of {name}", send)


__all__ = ["ControlLoop", "LoopStats"]
