"""One or three phases: hysteresis, cost of the pause, budget, and never a loop whatever the limits do."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.planner.phase_choice import PhaseFacts, PhaseRule, PhaseState, choose
from evse.units import NS_PER_S
from tests._support.examples import examples

RULE = PhaseRule()
NEW = PhaseState()
THREE = PhaseFacts(session="a", phases=3, here_w=0, there_w=3_000, pause_s=20)


def run(facts: PhaseFacts, seconds: int, state: PhaseState = NEW, began_s: int = 1) -> tuple[PhaseState, int, int]:
    """Ask every second. Return the state, what was decided first (0 = nothing), and after how many seconds."""
    for k in range(seconds):
        state, phases = choose(state, RULE, facts, (began_s + k) * NS_PER_S)
        if phases:
            return state, phases, k
    return state, 0, seconds


def test_a_vehicle_that_gets_nothing_on_three_phases_is_switched_after_half_a_minute() -> None:
    _, phases, after = run(THREE, 100)
    assert (phases, after) == (1, 30)


def test_more_power_has_to_last_and_to_be_worth_it() -> None:
    up = PhaseFacts(session="a", phases=1, here_w=7_360, there_w=11_000, pause_s=20)
    assert run(up, 1_000)[1:] == (3, 300)
    assert run(msgspec.structs.replace(up, there_w=8_300), 1_000)[1] == 0  # less than 1 kW more
    assert run(msgspec.structs.replace(up, there_w=8_400, pause_s=20), 1_000)[1] == 3
    assert run(msgspec.structs.replace(up, there_w=8_400, pause_s=300), 1_000)[1] == 0  # the pause costs more
    state, *_ = run(up, 200)
    state, *_ = run(msgspec.structs.replace(up, there_w=0), 1, state, 201)
    assert run(up, 1_000, state, 202)[1:] == (3, 300)  # begins anew
    assert "switched in" in run(up, 200)[0].words


def test_two_switches_lie_apart_and_a_refused_one_counts() -> None:
    state, phases, after = run(THREE, 100)
    assert phases == 1
    _, again, later = run(THREE, 2_000, state, 2 + after)  # the core refused: still on three
    assert (again, later) == (1, 599)


def test_somebody_elses_switch_is_left_alone_for_the_dwell() -> None:
    state, *_ = run(msgspec.structs.replace(THREE, here_w=9_000), 10)
    other = PhaseFacts(session="a", phases=1, here_w=3_000, there_w=9_000, pause_s=20)
    assert run(other, 2_000, state, 11)[1:] == (3, 600)


def test_nothing_is_decided_without_a_session_or_while_a_switch_runs() -> None:
    assert run(msgspec.structs.replace(THREE, session=""), 1_000)[1] == 0
    assert run(msgspec.structs.replace(THREE, switching=True), 1_000)[1] == 0
    assert run(msgspec.structs.replace(THREE, there_w=0), 1_000)[1] == 0


@settings(max_examples=examples(150), deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 900), st.sampled_from([0, 1_380, 7_360, 22_000]), st.sampled_from([0, 1_380, 7_360, 22_000]),
                  st.booleans(), st.booleans()),
        min_size=1, max_size=60,
    ),
    st.integers(0, 4),
)  # fmt: skip
def test_law_never_a_loop(steps: list[tuple[int, int, int, bool, bool]], budget: int) -> None:
    """Limits that change as they like, a core that obeys or refuses, people who switch as well: at most the budget, and
    never two decisions within the dwell."""
    rule = PhaseRule(switches_max=budget)
    state, now, phases = PhaseState(), 0, 3
    decided: list[int] = []
    for seconds, one_w, three_w, obeys, meddles in steps:
        here, there = (three_w, one_w) if phases == 3 else (one_w, three_w)
        facts = PhaseFacts(session="a", phases=phases, here_w=here, there_w=there, pause_s=20)
        for at in (now, now + seconds // 2, now + seconds):
            state, wanted = choose(state, rule, facts, at * NS_PER_S)
            if wanted:
                assert wanted != phases
                decided.append(at)
                if obeys:
                    phases = wanted
                    break
        now += seconds + 1
        if meddles:
            phases = 4 - phases
    assert len(decided) <= budget
    assert all(b - a >= rule.dwell_ns // NS_PER_S for a, b in pairwise(decided))
