"""Redistribution by threshold, reservation until the meter confirms, and dwell."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from evse.planner.feedback import Draw, DrawRule, demand_ma, observe
from evse.units import NS_PER_S, s
from tests._support.examples import examples


def _after(rule: DrawRule, setpoint_ma: int, measured_ma: int | None, seconds: int, state: Draw | None = None) -> Draw:
    state = state or Draw()
    for second in range(seconds + 1):
        state = observe(state, rule, setpoint_ma, measured_ma, s(second))
    return state


def test_sixteen_set_thirteen_drawn_keeps_at_four_and_lowers_at_two() -> None:
    assert _after(DrawRule(threshold_ma=4_000), 16_000, 13_000, 600).ceiling_ma is None
    assert _after(DrawRule(threshold_ma=2_000), 16_000, 13_000, 600).ceiling_ma == 14_000


def test_a_short_dip_changes_nothing() -> None:
    rule = DrawRule()
    dip = _after(rule, 16_000, 5_000, 29)
    assert dip.ceiling_ma is None
    assert observe(dip, rule, 16_000, 15_500, s(30)) == Draw()


def test_without_a_reading_nothing_is_concluded() -> None:
    assert _after(DrawRule(), 16_000, None, 600) == Draw()
    assert _after(DrawRule(), 0, 0, 600) == Draw()


def test_a_car_that_wants_more_again_is_raised_stepwise_until_it_is_free() -> None:
    rule = DrawRule()
    state = _after(rule, 16_000, 10_000, 40)
    assert state.ceiling_ma == 11_000
    seen: list[int | None] = []
    for second in range(41, 1200):
        setpoint = min(16_000, state.ceiling_ma or 16_000)
        state = observe(state, rule, setpoint, setpoint, s(second))
        if not seen or seen[-1] != state.ceiling_ma:
            seen.append(state.ceiling_ma)
    assert seen[:3] == [11_000, 12_000, 13_000]
    assert seen[-1] is None


def test_a_lowered_car_keeps_its_minimum_and_no_demand_stays_none() -> None:
    assert demand_ma(Draw(ceiling_ma=3_000), 32_000, 6_000) == 6_000
    assert demand_ma(Draw(ceiling_ma=14_000), 32_000, 6_000) == 14_000
    assert demand_ma(Draw(), 32_000, 6_000) == 32_000
    assert demand_ma(Draw(ceiling_ma=14_000), 0, 6_000) == 0


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.tuples(st.none() | st.integers(0, 40_000), st.integers(1, 90)), max_size=40))
def test_a_ceiling_never_falls_below_what_was_drawn(samples: list[tuple[int | None, int]]) -> None:
    rule, state, now = DrawRule(), Draw(), 0
    for measured, seconds in samples:
        now += seconds * NS_PER_S
        setpoint = min(32_000, state.ceiling_ma or 32_000)
        after = observe(state, rule, setpoint, measured, now)
        if measured is not None and after.ceiling_ma is not None and after.ceiling_ma != state.ceiling_ma:
            assert after.ceiling_ma > measured or after.ceiling_ma == (state.ceiling_ma or 0) + rule.margin_ma
        state = after
