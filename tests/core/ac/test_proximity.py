"""Proximity: codings, debounce, rejected plugs, and what each error means."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.core.ac import proximity
from evse.domain.ac import PpState
from evse.domain.faults import FaultCode
from evse.units import NS_PER_MS, NS_PER_S
from tests._support.examples import examples
from tests.core.ac.bench import Bench, spec_of

CODINGS = {PpState.A13: 13_000, PpState.A20: 20_000, PpState.A32: 32_000, PpState.A63: 63_000}


def cable(bench: Bench) -> int | None:
    return proximity.cable_ma(bench.tick().conns[0])


@pytest.mark.parametrize(("pp", "ma"), CODINGS.items())
def test_each_coding_is_a_cable_after_the_debounce(pp: PpState, ma: int) -> None:
    b = Bench()
    b.plug(pp)
    b.step(proximity.observe)
    assert cable(b) is None  # seen once only
    b.run(0.25, proximity.observe)
    assert cable(b) == ma and b.causes[1] == {}


@pytest.mark.parametrize("pp", [PpState.NONE, PpState.INVALID, PpState.UNKNOWN])
def test_nothing_else_is_a_cable(pp: PpState) -> None:
    b = Bench()
    b.plug(pp)
    b.run(10, proximity.observe)
    assert cable(b) is None
    wanted = FaultCode.PROXIMITY_NO_CABLE if pp is PpState.NONE else FaultCode.PROXIMITY_INVALID
    assert set(b.causes[1]) == {wanted}


def test_a_plug_that_has_just_come_gets_time_before_it_is_an_error() -> None:
    b = Bench()
    b.plug(PpState.NONE)
    b.run(1.9, proximity.observe)
    assert b.causes[1] == {}
    b.board(pp=PpState.A20)
    b.run(1, proximity.observe)
    assert b.causes[1] == {} and cable(b) == 20_000


def test_a_coding_that_settles_while_the_plug_goes_in_is_no_change() -> None:
    b = Bench()
    b.plug(PpState.A13)
    b.run(0.5, proximity.observe)
    b.board(pp=PpState.A32)
    b.run(1, proximity.observe)
    assert cable(b) == 32_000 and b.causes[1] == {}
    late = Bench()
    late.plug(PpState.A13)
    late.run(2.1, proximity.observe)
    late.board(pp=PpState.A32)
    late.run(1, proximity.observe)
    assert cable(late) == 13_000 and FaultCode.PROXIMITY_CHANGED in late.causes[1]
    live = Bench()
    live.plug(PpState.A13)
    live.run(0.5, proximity.observe)
    live.energise()
    live.board(pp=PpState.A32)
    live.run(1, proximity.observe)
    assert cable(live) == 13_000 and "13 A before, 32 A now; 13 A until" in live.causes[1][FaultCode.PROXIMITY_CHANGED].replace("cable ", "")


def test_a_damaged_socket_is_reported_without_a_vehicle() -> None:
    b = Bench()
    for pp, damaged in ((PpState.NONE, False), (PpState.UNKNOWN, False), (PpState.A32, False), (PpState.INVALID, True)):
        b.board(pp=pp)
        b.run(1, proximity.observe)
        assert (set(b.causes[1]) == {FaultCode.PROXIMITY_INVALID}) is damaged
    b.silent = {1}
    b.step(proximity.observe)
    assert b.causes[1] == {}


def test_whether_a_plug_is_in_is_known_or_not() -> None:
    b = Bench()
    for pp, plug in ((PpState.UNKNOWN, None), (PpState.NONE, False), (PpState.A20, True), (PpState.INVALID, True)):
        b.board(pp=pp)
        b.run(1, proximity.observe)
        assert proximity.plug_in(b.tick().conns[0]) is plug
    b.silent = {1}
    assert proximity.plug_in(b.tick().conns[0]) is None
    assert proximity.plug_in(Bench(spec_of(socket=False)).tick().conns[0]) is False


def test_a_fixed_cable_has_its_rating_and_no_errors() -> None:
    b = Bench(spec_of(socket=False, cable_ma=16_000))
    b.plug(PpState.INVALID)
    b.run(5, proximity.observe)
    assert cable(b) == 16_000 and b.causes[1] == {}


@pytest.mark.parametrize(
    ("fields", "refused"),
    [({}, ()), ({"reject_13": True}, ("13",)), ({"reject_13": True, "reject_20": True}, ("13", "20"))],
)
def test_weak_plugs_are_refused_as_configured(fields: dict[str, bool], refused: tuple[str, ...]) -> None:
    for pp, ma in CODINGS.items():
        b = Bench(spec_of(**fields))
        b.plug(pp)
        b.run(3, proximity.observe)
        assert cable(b) == (None if pp.value in refused else ma)
        assert (FaultCode.PROXIMITY_INVALID in b.causes[1]) is (pp.value in refused)


def test_a_flicker_changes_nothing() -> None:
    b = Bench()
    b.plug(PpState.A32)
    b.run(3, proximity.observe)
    b.board(pp=PpState.NONE)
    b.run(0.15, proximity.observe)
    assert b.causes[1] == {} and cable(b) == 32_000
    b.board(pp=PpState.A32)
    b.run(3, proximity.observe)
    assert b.causes[1] == {} and cable(b) == 32_000


def test_a_change_during_the_session_keeps_the_smaller_current_until_the_vehicle_has_left() -> None:
    b = Bench()
    b.plug(PpState.A32)
    b.run(3, proximity.observe)
    b.energise()
    b.board(pp=PpState.A20)
    b.step(proximity.observe)
    assert cable(b) == 20_000  # at once
    b.run(1, proximity.observe)
    assert "32 A before, 20 A now" in b.causes[1][FaultCode.PROXIMITY_CHANGED]
    b.board(pp=PpState.A63)
    b.run(1, proximity.observe)
    assert cable(b) == 20_000 and FaultCode.PROXIMITY_CHANGED in b.causes[1]
    b.unplug()
    b.run(1, proximity.observe)
    b.plug(PpState.A63)
    b.run(1, proximity.observe)
    assert cable(b) == 63_000 and b.causes[1] == {}


def test_the_contact_opens_during_a_session() -> None:
    b = Bench()
    b.plug(PpState.A32)
    b.run(3, proximity.observe)
    b.energise()
    b.board(pp=PpState.NONE)
    b.run(0.3, proximity.observe)
    assert cable(b) is None and set(b.causes[1]) == {FaultCode.PROXIMITY_NO_CABLE}


def test_a_late_tick_believes_the_worse_at_once_and_the_better_not() -> None:
    b = Bench()
    b.plug(PpState.A20)
    b.run(3, proximity.observe)
    b.board(pp=PpState.INVALID)
    b.step(proximity.observe, dt=10 * NS_PER_S)
    assert cable(b) is None
    b.board(pp=PpState.A63)
    b.step(proximity.observe, dt=10 * NS_PER_S)
    assert cable(b) is None


def test_a_lost_board_is_no_cable_and_forgets_nothing() -> None:
    b = Bench()
    b.plug(PpState.A20)
    b.run(3, proximity.observe)
    b.silent = {1}
    b.run(1, proximity.observe)
    assert cable(b) is None and b.causes[1] == {}
    b.silent = set()
    b.step(proximity.observe)
    assert cable(b) == 20_000


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PpState), st.integers(1, 10_000)), max_size=40))
def test_never_more_than_any_cable_seen_in_two_looks_since_the_vehicle_came(steps: list[tuple[PpState, int]]) -> None:
    """Whatever the contact does and however late the ticks are: what stood for two looks caps what follows."""
    b = Bench()
    b.plug(PpState.A63)
    b.run(3, proximity.observe)
    lowest = 63_000
    before: PpState | None = None
    for pp, dt in steps:
        b.board(pp=pp)
        b.step(proximity.observe, dt=dt * NS_PER_MS)
        if pp is before and pp in CODINGS and dt >= 200:
            lowest = min(lowest, CODINGS[pp])
        before = pp
        found = cable(b)
        assert found is None or found <= min(lowest, CODINGS.get(pp, 63_000))
        if pp in (PpState.NONE, PpState.INVALID) and dt >= 200:
            assert found is None
