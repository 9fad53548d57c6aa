"""One or three phases: whether a vehicle should be switched, given what it would get either way.

Three phases need 3 x 6 A (4.14 kW at 230 V), one gives 1.38 to 7.4 kW. A switch is worth it when it gives `PhaseRule.gain_w`
more, has done so for a while, and makes up for the pause in which nothing flows. Never a loop: two decisions of a session lie
at least `PhaseRule.dwell_ns` apart, whoever switched in between, and there are no more than `PhaseRule.switches_max`.

Pure: `choose` takes what was remembered and the facts of one moment.
"""

from __future__ import annotations

import msgspec

from evse.domain.base import Frozen
from evse.planner.ac_problem import PHASES, AcProblem
from evse.units import NS_PER_S, DurationNs, Instant

ONE_PHASE_MAX_MA = 32_000
"""7.4 kW at 230 V."""


class PhaseRule(Frozen, frozen=True, kw_only=True):
    """``stuck_ns`` = so long nothing can flow before a switch helps, ``better_ns`` = so long more would flow."""

    gain_w: int = 1_000
    stuck_ns: DurationNs = 30 * NS_PER_S
    better_ns: DurationNs = 300 * NS_PER_S
    dwell_ns: DurationNs = 600 * NS_PER_S
    switches_max: int = 6


class PhaseFacts(Frozen, frozen=True, kw_only=True):
    """One moment of an EVSE. ``session`` "" = there is nobody to decide for; ``phases`` = in force, 1 or 3; ``here_w`` and
    ``there_w`` = what the vehicle would get on them and on the other number, 0 = not even 6 A."""

    session: str
    phases: int
    here_w: int
    there_w: int
    pause_s: int
    switching: bool = False


class PhaseState(Frozen, frozen=True, kw_only=True):
    """What is remembered of a session. ``decided`` = switches asked for; ``words`` = why it stays or goes, for people."""

    session: str = ""
    phases: int = 0
    decided: int = 0
    switched_at: Instant | None = None
    better_since: Instant | None = None
    words: str = ""


def choose(state: PhaseState, rule: PhaseRule, facts: PhaseFacts, now: Instant) -> tuple[PhaseState, int]:
    """Return what to remember, and the number of phases to switch to now (0 = stay)."""
    if not facts.session:
        return PhaseState(), 0
    if facts.session != state.session:
        state = PhaseState(session=facts.session, phases=facts.phases)
    if facts.phases != state.phases:  # a switch is done, or somebody else asked for one
        state = msgspec.structs.replace(state, phases=facts.phases, switched_at=now, better_since=None)
    there = 1 if facts.phases == PHASES else PHASES
    if facts.switching:
        return msgspec.structs.replace(state, better_since=None, words=f"switching to {there} phase{_s(there)}"), 0
    if not _better(rule, facts):
        return msgspec.structs.replace(state, better_since=None, words=_stays(facts, there)), 0
    since = now if state.better_since is None else state.better_since
    wait = since + (rule.stuck_ns if not facts.here_w else rule.better_ns) - now
    if state.switched_at is not None:
        wait = max(wait, state.switched_at + rule.dwell_ns - now)
    gain = f"{there} phase{_s(there)} would give {_kw(facts.there_w)} instead of {_kw(facts.here_w)}"
    if state.decided >= rule.switches_max:
        words = f"{gain}, but all {rule.switches_max} switches of this session are used up"
        return msgspec.structs.replace(state, better_since=since, words=words), 0
    if wait > 0:
        words = f"{gain}; it is switched in {-(-wait // NS_PER_S)} s if that lasts"
        return msgspec.structs.replace(state, better_since=since, words=words), 0
    state = msgspec.structs.replace(
        state, decided=state.decided + 1, switched_at=now, better_since=None, words=f"{gain}; it is being switched"
    )
    return state, there


def _better(rule: PhaseRule, facts: PhaseFacts) -> bool:
    """Tell whether the other number gives enough more, the pause counted over the time until the next switch."""
    gain = facts.there_w - facts.here_w
    if not facts.here_w:
        return gain > 0
    return gain >= rule.gain_w and gain * rule.dwell_ns >= facts.there_w * facts.pause_s * NS_PER_S


def _stays(facts: PhaseFacts, there: int) -> str:
    if not facts.here_w and not facts.there_w:
        return "6 A are not possible now, on one phase or three"
    here = f"{facts.phases} phase{_s(facts.phases)} give{'s' if facts.phases == 1 else ''} {_kw(facts.here_w)}"
    other = _kw(facts.there_w) if facts.there_w else "nothing, 6 A do not fit"
    return f"{here}, {there} would give {other}"


def _s(phases: int) -> str:
    return "" if phases == 1 else "s"


def _kw(watts: int) -> str:
    return f"{watts / 1000:.1f} kW"


def with_lines(problem: AcProblem, name: str, lines: int, ask_ma: int) -> AcProblem | None:
    """Return the question with a connector on ``lines`` lines that asks for ``ask_ma``; None = it is not in the question."""
    if all(c.id != name for c in problem.connectors):
        return None
    return msgspec.structs.replace(
        problem,
        connectors=tuple(
            msgspec.structs.replace(c, lines=lines, max_ma=max(ask_ma, c.min_ma), demand_ma=ask_ma) if c.id == name else c
            for c in problem.connectors
        ),
    )


__all__ = ["ONE_PHASE_MAX_MA", "PhaseFacts", "PhaseRule", "PhaseState", "choose", "with_lines"]
