"""Who is switched between one and three phases by the planner (`ac.phase_switch.mode` "auto"): facts in, commands out.

Every `LOOK_NS` the last question of the planner is asked twice for each such EVSE, with one line and with three: for one EVSE
in each tick, and on large sites not within the tick (`evse.runtime.thinking`), so a round over many takes as many ticks. The
switch itself is the one of the operator (`evse.core.inputs.SetPhases`); the core may refuse it, which counts as a switch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from evse.domain.ac import OFFER_MIN_MA, AcSpec
from evse.domain.limits import CurrentRequest
from evse.domain.station import StationSpec
from evse.domain.view import StationView
from evse.planner.ac_problem import PHASES, AcProblem
from evse.planner.live_ac_memory import AcMemory
from evse.planner.phase_choice import ONE_PHASE_MAX_MA, PhaseFacts, PhaseRule, PhaseState, choose
from evse.planner.questions import Answer, Gain, Gained
from evse.runtime.thinking import Here, Thinker
from evse.units import NS_PER_S, Instant

LOOK_NS = 5 * NS_PER_S


class PhaseChooser:
    """Remembers one `PhaseState` for each EVSE that the planner switches."""

    def __init__(self, thinker: Thinker | None = None) -> None:
        self._thinker = thinker or Here()
        self._thinks = False  # about one EVSE
        self._states: dict[int, PhaseState] = {}
        self._uses: dict[int, tuple[str, int]] = {}  # session, lines that its vehicle uses of three
        self._at: Instant | None = None  # of the round
        self._round: deque[int] = deque()  # EVSEs still to look at
        self._wanted: list[tuple[int, int]] = []

    def shown(self, view: StationView) -> StationView:
        """Return the view with the words of each EVSE that the planner switches."""
        if not self._states:
            return view
        evses = tuple(
            e if e.ac is None else replace(e, ac=replace(e.ac, phase_choice=self.words(e.evse_id))) for e in view.evses
        )
        return replace(view, evses=evses)

    def words(self, evse_id: int) -> str:
        """Why an EVSE stays on its phases or leaves them; "" = nobody decides that now."""
        state = self._states.get(evse_id)
        return "" if state is None else state.words

    def look(
        self, spec: StationSpec, currents: Sequence[CurrentRequest], problem: AcProblem | None, memory: AcMemory, now: Instant
    ) -> list[tuple[int, int]]:
        """Return (EVSE, phases) to switch now."""
        if not self._round and (self._at is None or now - self._at >= LOOK_NS):
            self._at = now
            asks = {r.evse_id for r in currents if r.other_lines}
            self._states = {i: state for i, state in self._states.items() if i in asks}
            self._round.extend(e.evse_id for e in spec.evses if e.ac is not None and e.evse_id in asks)
        while self._round and not self._thinks:
            evse_id = self._round.popleft()
            evse = next((e for e in spec.evses if e.evse_id == evse_id), None)
            request = next((r for r in currents if r.evse_id == evse_id and r.other_lines), None)
            if evse is not None and evse.ac is not None and request is not None:
                self._ask(evse.ac, request, problem, memory, now)
                break
        wanted, self._wanted = self._wanted, []
        return wanted

    def _ask(self, ac: AcSpec, r: CurrentRequest, problem: AcProblem | None, memory: AcMemory, now: Instant) -> None:
        """Find out what an EVSE would get on the phases in force and on the others; `_decide` gets it."""
        point, here = memory.point(r.evse_id), 1 if r.other_lines == PHASES else PHASES
        if here == PHASES and point.lines:
            self._uses[r.evse_id] = (r.session, point.lines)
        session, uses = self._uses.get(r.evse_id, ("", PHASES))
        if session != r.session:
            uses = PHASES
        most = max(point.draw.ceiling_ma or ONE_PHASE_MAX_MA * 2, OFFER_MIN_MA)
        asks = []
        for phases, ask_ma in ((here, r.wanted_ma), (r.other_lines, r.other_ma)):
            ask_ma = min(ask_ma, most, ONE_PHASE_MAX_MA if phases == 1 else ask_ma)
            asks.append((1 if phases == 1 else uses, ask_ma))
        decide = partial(self._decide, ac, r, tuple(asks), now)
        possible = tuple(ask for ask in asks if ask[1] >= OFFER_MIN_MA)
        if problem is None or not possible:
            decide(Gained(current_ma=()))
            return
        self._thinks = True
        try:
            self._thinker.ask(Gain(problem=problem, name=str(r.evse_id), asks=possible), decide)
        except Exception:
            self._thinks = False
            raise

    def _decide(
        self, ac: AcSpec, r: CurrentRequest, asks: tuple[tuple[int, int], ...], now: Instant, a: Answer | None
    ) -> None:
        """Choose with what would flow for each of ``asks`` (lines, mA): what is asked, where the planner is not."""
        self._thinks = False
        if not isinstance(a, Gained):
            return
        given = iter(a.current_ma)
        watts = []
        for lines, ask_ma in asks:
            ma = 0
            if ask_ma >= OFFER_MIN_MA:
                answered = next(given, None)
                ma = ask_ma if answered is None else answered
            watts.append(ma * lines * ac.nominal_mv // 1_000_000)
        facts = PhaseFacts(
            session=r.session, phases=1 if r.other_lines == PHASES else PHASES, here_w=watts[0], there_w=watts[1],
            pause_s=ac.phase_switch.delay_s, switching=r.switching,
        )  # fmt: skip
        rule = PhaseRule(switches_max=ac.phase_switch.switches_max)
        state, phases = choose(self._states.get(r.evse_id, PhaseState()), rule, facts, now)
        self._states[r.evse_id] = state
        if phases:
            self._wanted.append((r.evse_id, phases))


__all__ = ["PhaseChooser"]
