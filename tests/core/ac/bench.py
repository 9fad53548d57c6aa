"""One or more AC EVSEs on a bench: the protective modules are stepped alone, without the machine around them.

The bench plays the machine: stage, transaction and lease are set by the test. Readings are a plain `BoardStatus`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from evse.core.ac.memory import AcState, AcWork, freeze
from evse.core.context import Conn, Tick
from evse.core.inputs import EvseInputs, Inputs
from evse.core.state import EvseWork, Stage, StationState, initial_state
from evse.core.state import freeze as freeze_evse
from evse.domain.ac import AcSpec, AcStatus, PpState, RcdState
from evse.domain.contactor import ContactorFeedback
from evse.domain.faults import FaultCode, FaultRecord
from evse.domain.limits import Plan, PowerLimit
from evse.domain.readings import NEVER, MeterValues, Sample
from evse.domain.signals import BoardStatus, CpState, LockState
from evse.domain.station import EvseKind, EvseSpec, StationSpec
from evse.domain.view import Event
from evse.units import NS_PER_MS, NS_PER_S, TICK_NS

Step = Callable[[Tick, Conn], None]

WALL0 = 1_767_225_600 * NS_PER_S

STATUS = BoardStatus(
    cp=CpState.A,
    estop=False,
    contactor=ContactorFeedback.OPEN,
    lock=LockState.UNLOCKED,
    temperature_dc=250,
    ac=AcStatus(pp=PpState.NONE, rcd=RcdState.NORMAL, lock_charged=True, relay2=ContactorFeedback.OPEN),
)


def spec_of(*, n: int = 1, evse: dict[str, Any] | None = None, station: dict[str, Any] | None = None, **ac: Any) -> StationSpec:
    """A station with ``n`` equal AC EVSEs; ``ac`` are fields of `AcSpec` (32 A wiring unless told)."""
    ac.setdefault("evse_ma", 32_000)
    return StationSpec(
        station_id="bench",
        evses=tuple(
            EvseSpec(evse_id=i, kind=EvseKind.AC, ac=AcSpec(**ac), **(evse or {})) for i in range(1, n + 1)
        ),
        **(station or {}),
    )


class Bench:
    """State and readings between ticks; ``step`` runs functions on one tick and remembers what they left."""

    def __init__(self, spec: StationSpec | None = None, *, start_s: int = 1_000) -> None:
        self.spec = spec or spec_of()
        self.now = start_s * NS_PER_S
        self.state: StationState = initial_state(self.spec, self.now)
        self.boards = {e.evse_id: STATUS for e in self.spec.evses}
        self.silent: set[int] = set()
        self.meters: dict[int, MeterValues | None] = {e.evse_id: None for e in self.spec.evses}
        self.limits: tuple[PowerLimit, ...] = ()
        self.plan: Plan | None = None
        self.backend_online = False
        self.events: list[Event] = []
        self.causes: dict[int, dict[FaultCode, str]] = {}

    # -- knobs ------------------------------------------------------------------------------------------------------

    def board(self, evse_id: int = 1, **changes: Any) -> None:
        """Change fields of the board status; those of `AcStatus` are recognised by their names."""
        status = self.boards[evse_id]
        known = set(AcStatus.__struct_fields__)
        inner = {k: v for k, v in changes.items() if k in known}
        outer = {k: v for k, v in changes.items() if k not in known}
        self.boards[evse_id] = replace(status, ac=replace(status.ac or AcStatus(), **inner), **outer)

    def work(self, evse_id: int = 1, **changes: Any) -> None:
        """Set fields of the EVSE between two ticks, as the machine would."""
        if "lease" in changes:
            changes.setdefault("lease_since", self.now)
        self._replace(evse_id, replace(self.state.evses[evse_id - 1], **changes))

    def memory(self, evse_id: int = 1, **changes: Any) -> None:
        """Set fields of the AC memory between two ticks."""
        self.work(evse_id, ac=replace(self.mem(evse_id), **changes))

    def fault(self, *codes: FaultCode, evse_id: int = 1, present: bool = True) -> None:
        """Let exactly these faults be active."""
        self.work(
            evse_id,
            faults=tuple(
                FaultRecord(code=c, evse_id=evse_id, detail="", first_seen=0, last_seen=0, count=1, present=present)
                for c in codes
            ),
        )

    def plug(self, pp: PpState = PpState.A32, evse_id: int = 1, session_id: str = "s1") -> None:
        """A cable and a vehicle."""
        self.board(evse_id, cp=CpState.B, pp=pp)
        self.work(evse_id, plugged=True, plugged_since=self.now, session_id=session_id, stage=Stage.PLUGGED)

    def unplug(self, evse_id: int = 1) -> None:
        self.board(evse_id, cp=CpState.A, pp=PpState.NONE)
        self.work(evse_id, plugged=False, session_id="", stage=Stage.EMPTY, tx_open=False, lease=False)

    def energise(self, evse_id: int = 1, *, on: bool = True) -> None:
        """Close or open the contactor, feedback included."""
        self.board(
            evse_id,
            cp=CpState.C if on else CpState.B,
            contactor=ContactorFeedback.CLOSED if on else ContactorFeedback.OPEN,
            lease_active=on,
        )
        self.work(evse_id, lease=on, tx_open=True, stage=Stage.CURRENT if on else Stage.AUTHORISED)

    # -- time -------------------------------------------------------------------------------------------------------

    def inputs(self) -> Inputs:
        return Inputs(
            wall=WALL0 + self.now,
            evses=tuple(
                EvseInputs(
                    evse_id=i,
                    board=NEVER if i in self.silent else Sample(value=b, at=self.now),
                    meter=NEVER if (m := self.meters[i]) is None else Sample(value=m, at=self.now),
                )
                for i, b in self.boards.items()
            ),
            groups=(),
            site_meter=NEVER,
            limits=self.limits,
            plan=self.plan,
            backend_online=self.backend_online,
        )

    def tick(self) -> Tick:
        """A tick of the present state and readings, nothing stepped yet."""
        t = Tick(self.spec, self.state, self.inputs(), self.now)
        t.read()
        return t

    def step(self, *steps: Step, station: Callable[[Tick], None] | None = None, dt: int = TICK_NS) -> Tick:
        """Advance the time by ``dt``, run the steps for every EVSE and ``station`` after them, keep what they leave."""
        self.now += dt
        t = self.tick()
        for conn in t.conns:
            for run in steps:
                run(t, conn)
        if station is not None:
            station(t)
        self.keep(t)
        return t

    def run(self, seconds: float, *steps: Step, dt: int = TICK_NS) -> None:
        end = self.now + int(seconds * NS_PER_S)
        while self.now < end:
            self.step(*steps, dt=dt)

    def keep(self, t: Tick) -> None:
        self.events += t.events
        self.causes = {c.spec.evse_id: dict(reversed([*c.causes, *c.pulses])) for c in t.conns}
        evses = []
        for conn, before in zip(t.conns, self.state.evses, strict=True):
            conn.w.ac = freeze(conn.a, before.ac) if before.ac is not None else None
            evses.append(freeze_evse(conn.w, before))
        self.state = replace(self.state, evses=tuple(evses), last_tick=self.now, event_seq=t.seq)

    # -- looks ------------------------------------------------------------------------------------------------------

    def mem(self, evse_id: int = 1) -> AcState:
        ac = self.state.evses[evse_id - 1].ac
        assert ac is not None
        return ac

    def evse(self, evse_id: int = 1) -> EvseWork:
        return self.state.evses[evse_id - 1]

    def told(self, kind: str) -> list[Event]:
        return [e for e in self.events if e.kind == kind]

    def _replace(self, evse_id: int, evse: Any) -> None:
        evses = list(self.state.evses)
        evses[evse_id - 1] = evse
        self.state = replace(self.state, evses=tuple(evses))


def ms_of(now: int, since: int) -> int:
    return (now - since) // NS_PER_MS


__all__ = ["STATUS", "AcWork", "Bench", "ms_of", "spec_of"]
