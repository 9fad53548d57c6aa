"""`evsectl ocpp schedule explain`: the explained value is the composite's, whatever is installed; and the words fit."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evse.domain.ac import AcSpec
from evse.ocpp.composite_ac import on_lines
from evse.ocpp.schedule_explain import LOOK_AHEAD_S, STEPS_MAX, ScheduleExplanation, Standing, explain_schedule
from evse.planner import composite
from evse.planner.composite import ChargingProfile, Kind, Period, Purpose, Scope, Unit
from evse.units import NS_PER_S
from tests._support.examples import examples

T0 = 1_767_225_600 * NS_PER_S  # 2026-01-01T00:00:00Z
HOUR = 3600 * NS_PER_S
RATED_W = 50_000
AC = AcSpec(evse_ma=32_000)


def profile(number: int, **changes: object) -> ChargingProfile:
    values: dict[str, object] = {
        "profile_id": number, "evse_id": 1, "stack_level": 0, "purpose": Purpose.TX_DEFAULT, "kind": Kind.ABSOLUTE,
        "unit": Unit.W, "periods": (Period(start_s=0, limit_deci=100_000),), "set_at": T0, "start": T0,
    }
    return ChargingProfile(**(values | changes))  # type: ignore[arg-type]


instants = st.integers(-48, 48).map(lambda quarter: T0 + quarter * HOUR // 4)


@st.composite
def profiles(draw: st.DrawFn) -> tuple[ChargingProfile, ...]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        purpose = draw(st.sampled_from(Purpose))
        kind = draw(st.sampled_from(Kind))
        starts = sorted(draw(st.sets(st.integers(0, 7200), min_size=1, max_size=4)))
        valid_from, valid_h = draw(st.none() | instants), draw(st.none() | st.integers(1, 40))
        found.append(ChargingProfile(
            profile_id=number, purpose=purpose, kind=kind, unit=draw(st.sampled_from(Unit)), set_at=draw(instants),
            evse_id=0 if purpose is Purpose.CHARGE_POINT_MAX else draw(st.integers(0 if purpose is Purpose.TX_DEFAULT else 1, 2)),
            stack_level=draw(st.integers(0, 3)),
            periods=tuple(Period(start_s=s, limit_deci=draw(st.integers(0, 400_000)), phases=draw(st.integers(1, 3))) for s in starts),
            valid_from=valid_from,
            valid_to=None if valid_h is None else (valid_from or T0) + valid_h * HOUR,
            start=None if kind is Kind.RELATIVE else draw(instants if kind is Kind.RECURRING else st.none() | instants),
            recurrence_s=draw(st.sampled_from((86_400, 604_800))) if kind is Kind.RECURRING else 0,
            duration_s=draw(st.none() | st.integers(1, 90_000)),
            session_id=draw(st.sampled_from(("s1", "s2"))) if purpose is Purpose.TX else "",
        ))  # fmt: skip
    return tuple(found)


scopes = st.sampled_from((
    Scope(evse_id=0, tx_start=T0), Scope(evse_id=1, tx_start=T0 - HOUR, session_id="s1"), Scope(evse_id=1, tx_start=T0),
    Scope(evse_id=2, tx_start=T0 + HOUR, session_id="s2"),
))  # fmt: skip


def check_lines(told: ScheduleExplanation, installed: tuple[ChargingProfile, ...]) -> None:
    assert sorted(line.profile.profile_id for line in told.lines) == sorted(p.profile_id for p in installed)
    in_force = [line for line in told.lines if line.standing is Standing.IN_FORCE]
    assert len(in_force) <= 2
    assert all(line.power_w is not None and line.power_w >= told.power_w for line in in_force)
    assert any(line.binds for line in told.lines) is told.capped
    assert all(line.why for line in told.lines)


@settings(max_examples=examples(150), deadline=None)
@given(profiles(), scopes, instants)
def test_the_explained_power_and_its_change_are_those_of_the_composite(
    installed: tuple[ChargingProfile, ...], scope: Scope, at: int
) -> None:
    told = explain_schedule(installed, scope, at, RATED_W)
    steps = list(islice(composite.walk(installed, scope, at, at + LOOK_AHEAD_S * NS_PER_S, RATED_W), STEPS_MAX))
    assert told.power_w == steps[0].power_w
    assert told.capped is (steps[0].power_w < RATED_W)
    other = next(((s.at, s.power_w) for s in steps if s.power_w != steps[0].power_w), (None, None))
    assert (told.changes_at, told.next_power_w) == other
    check_lines(told, installed)


@settings(max_examples=examples(100), deadline=None)
@given(profiles(), st.sampled_from((1, 2)), instants)
def test_an_ac_connector_keeps_to_its_own_current(installed: tuple[ChargingProfile, ...], evse_id: int, at: int) -> None:
    scope = Scope(evse_id=evse_id, tx_start=T0, session_id="s1")
    rated_w = AC.evse_ma * AC.phases * AC.nominal_mv // 1_000_000
    told = explain_schedule(installed, scope, at, rated_w, ac=AC)
    ranked = composite.relevant(installed, scope)
    first = next(composite.walk(installed, scope, at, at + NS_PER_S, rated_w))
    assert told.power_w == on_lines(first, ranked, scope, AC, rated_w, Unit.W).power_w
    in_amps = on_lines(first, ranked, scope, AC, rated_w, Unit.A).power_w
    assert told.current_ma * 690 // 1000 == in_amps
    check_lines(told, installed)


@settings(max_examples=examples(60), deadline=None)
@given(profiles(), scopes, instants)
def test_without_a_date_the_smallest_holds(installed: tuple[ChargingProfile, ...], scope: Scope, at: int) -> None:
    told = explain_schedule(installed, scope, at, RATED_W, calendar=False)
    caps = composite.caps_without_calendar(composite.relevant(installed, scope), at, scope.tx_start)
    assert told.power_w == min([RATED_W, *(cap for cap, _ in caps)])
    assert told.changes_at is None
    check_lines(told, installed)


HERE = Scope(evse_id=1, tx_start=T0, session_id="s1")
STATION = profile(1, evse_id=0, purpose=Purpose.CHARGE_POINT_MAX, periods=(Period(start_s=0, limit_deci=400_000),))
TX = profile(2, purpose=Purpose.TX, session_id="s1", kind=Kind.RELATIVE, start=None, periods=(
    Period(start_s=0, limit_deci=160, phases=3), Period(start_s=3600, limit_deci=320, phases=3)), unit=Unit.A)  # fmt: skip
LOW = profile(3, stack_level=1)
HIGH = profile(4, stack_level=2, valid_from=T0 + HOUR)


@pytest.mark.parametrize(
    ("one", "standing", "why"),
    [
        (profile(9, evse_id=2), Standing.ELSEWHERE, "belongs to connector 2"),
        (profile(9, purpose=Purpose.TX, session_id="s9"), Standing.ELSEWHERE, "belongs to a transaction that does not run here"),
        (profile(9, valid_to=T0), Standing.OVER, "its validity ended at 2026-01-01T00:00:00.000Z"),
        (profile(9, duration_s=60), Standing.OVER, "its schedule is over"),
        (profile(9, start=T0 + HOUR), Standing.WAITS, "its next period begins at 2026-01-01T01:00:00.000Z"),
        (profile(9, kind=Kind.RECURRING, recurrence_s=86_400, duration_s=60), Standing.WAITS,
         "its next period begins at 2026-01-02T00:00:00.000Z"),
        (HIGH, Standing.WAITS, "it is valid from 2026-01-01T01:00:00.000Z on; its next period begins at 2026-01-01T01:00:00.000Z"),
        (LOW, Standing.OUTRANKED, "profile 2 is a TxProfile, which goes before every TxDefaultProfile"),
        (replace(STATION, profile_id=9, stack_level=3), Standing.IN_FORCE,
         "highest stack level with a period now for the station; a smaller limit decides"),
    ],
)  # fmt: skip
def test_why_not(one: ChargingProfile, standing: Standing, why: str) -> None:
    told = explain_schedule((STATION, TX, one), HERE, T0 + 120 * NS_PER_S, RATED_W)
    line = next(line for line in told.lines if line.profile is one)
    assert (line.standing, line.why) == (standing, why)


def test_who_goes_first_at_equal_level() -> None:
    own, of_all = profile(5), profile(6, evse_id=0, set_at=T0 + 1)
    lines = explain_schedule((own, of_all), HERE, T0 + 1, RATED_W).lines
    assert [line.why for line in lines] == [
        "profile 5 has the same stack level and belongs to this connector itself",
        "highest stack level with a period now for transactions here",
    ]
    older = replace(own, profile_id=7, set_at=T0 - 1)
    assert "was set later" in next(
        line.why for line in explain_schedule((own, older), HERE, T0 + 1, RATED_W).lines if line.profile is older
    )


def test_the_change_is_told_with_its_power() -> None:
    told = explain_schedule((STATION, TX), HERE, T0 + 60 * NS_PER_S, RATED_W)
    assert (told.power_w, told.current_ma) == (11_040, 16_000)
    assert (told.changes_at, told.next_power_w) == (T0 + HOUR, 22_080)
    tx = next(line for line in told.lines if line.profile is TX)
    assert (tx.period, tx.current_ma, tx.binds, tx.changes_at) == (0, 16_000, True, T0 + HOUR)
