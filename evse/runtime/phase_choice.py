"""Who is switched between one and three phases by the planner (`ac.phase_switch.mode` "auto"): facts in, commands out.

Every `LOOK_NS` the last question of the planner is asked twice for each such EVSE, with one line and with three. The switch
itself is the one of the operator (`evse.core.inputs.SetPhases`); the core may refuse it, which counts as a switch.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from evse.domain.limits import CurrentRequest
from evse.domain.station import StationSpec
from evse.domain.view import StationView
from evse.planner.ac import solve
from evse.planner.ac_problem import PHASES, AcProblem
from evse.planner.live_ac_memory import AcMemory
from evse.planner.phase_choice import ONE_PHASE_MAX_MA, PhaseFacts, PhaseRule, PhaseState, choose, with_lines
from evse.units import NS_PER_S, Instant

LOOK_NS = 5 * NS_PER_S
MIN_MA = 6_000


class PhaseChooser:
    """Remembers one `PhaseState` for each EVSE that the planner switches."""

    def __init__(self) -> None:
        self._states: dict[int, PhaseState] = {}
        self._uses: dict[int, tuple[str, int]] = {}  # session, lines that its vehicle uses of three
        self._at: Instant | None = None

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
        if self._at is not None and now - self._at < LOOK_NS:
            return []
        self._at = now
        asks = {r.evse_id: r for r in currents if r.other_lines}
        self._states = {i: state for i, state in self._states.items() if i in asks}
        wanted = []
        for evse in spec.evses:
            r = asks.get(evse.evse_id)
            if r is None or evse.ac is None:
                continue
            switch = evse.ac.phase_switch
            facts = self._facts(r, problem, memory, evse.ac.nominal_mv, switch.delay_s)
            rule = PhaseRule(switches_max=switch.switches_max)
            state, phases = choose(self._states.get(r.evse_id, PhaseState()), rule, facts, now)
            self._states[r.evse_id] = state
            if phases:
                wanted.append((r.evse_id, phases))
        return wanted

    def _facts(
        self, r: CurrentRequest, problem: AcProblem | None, memory: AcMemory, volts_mv: int, pause_s: int
    ) -> PhaseFacts:
        point, here = memory.point(r.evse_id), 1 if r.other_lines == PHASES else PHASES
        if here == PHASES and point.lines:
            self._uses[r.evse_id] = (r.session, point.lines)
        session, uses = self._uses.get(r.evse_id, ("", PHASES))
        if session != r.session:
            uses = PHASES
        most = point.draw.ceiling_ma or ONE_PHASE_MAX_MA * 2

        def watts(phases: int, ask_ma: int) -> int:
            ask = min(ask_ma, max(most, MIN_MA), ONE_PHASE_MAX_MA if phases == 1 else ask_ma)
            if ask < MIN_MA:
                return 0
            lines = 1 if phases == 1 else uses
            asked = None if problem is None else with_lines(problem, str(r.evse_id), lines, ask)
            ma = ask if asked is None else solve(asked).current_ma[str(r.evse_id)]
            return ma * lines * volts_mv // 1_000_000

        return PhaseFacts(
            session=r.session, phases=here, here_w=watts(here, r.wanted_ma), there_w=watts(r.other_lines, r.other_ma),
            pause_s=pause_s, switching=r.switching,
        )


__all__ = ["PhaseChooser"]
