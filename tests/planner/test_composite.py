"""Charging profiles against a brute-force oracle that knows nothing of stacking tricks: it looks at every second."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from msgspec.structs import replace

from evse.planner.composite import (
    NEVER,
    ChargingProfile,
    Kind,
    Period,
    Purpose,
    Scope,
    Step,
    Unit,
    change_after,
    deci,
    limit_ma,
    limit_w,
    next_change,
    relevant,
    walk,
    watts,
    whole_seconds,
)
from evse.units import NS_PER_S
from tests._support.examples import examples

T0 = 1_767_225_600 * NS_PER_S  # 2026-01-01T00:00:00Z
DAY_S = 86_400


def profile(profile_id: int = 1, **changes: object) -> ChargingProfile:
    values: dict[str, object] = {
        "profile_id": profile_id, "evse_id": 0, "stack_level": 0, "purpose": Purpose.TX_DEFAULT, "kind": Kind.ABSOLUTE,
        "unit": Unit.W, "periods": (Period(start_s=0, limit_deci=100_000),), "set_at": T0, "start": T0,
    }
    return ChargingProfile(**(values | changes))  # type: ignore[arg-type]


def steps(*profiles: ChargingProfile, scope: Scope, seconds: int, start: int = T0) -> list[tuple[int, int]]:
    return whole_seconds(list(walk(profiles, scope, start, start + seconds * NS_PER_S, 99_000)), start)


HERE = Scope(evse_id=1, tx_start=T0, session_id="s1")


def test_amperes_are_those_of_a_phase_and_come_back_exactly() -> None:
    assert watts(Unit.A, 163, 3) == 11_247
    assert watts(Unit.A, 163, 1) == 3_749
    assert all(deci(Unit.A, watts(Unit.A, tenths, 3)) == tenths for tenths in range(2000))
    assert (watts(Unit.W, 109, 3), deci(Unit.W, 10)) == (10, 100)


def test_the_current_of_a_phase_is_kept_beside_the_power() -> None:
    two = (Period(start_s=0, limit_deci=163, phases=1), Period(start_s=60, limit_deci=60))
    amps = profile(unit=Unit.A, periods=two, kind=Kind.RELATIVE, start=None)
    assert limit_ma(profile(), T0, T0) is None  # in W
    assert (limit_ma(amps, T0, T0), limit_w(amps, T0, T0)) == (16_300, 3_749)
    assert limit_ma(amps, T0 + 60 * NS_PER_S, T0) == 6_000
    assert limit_ma(amps, T0, T0, calendar=False) == 16_300  # counts from the transaction: exact without a date
    dated = profile(unit=Unit.A, periods=two)
    assert (limit_ma(dated, T0, T0), limit_ma(dated, T0, T0, calendar=False)) == (16_300, 6_000)


def test_highest_level_leads_and_lets_the_next_through_when_it_has_run_out() -> None:
    low = profile(1, stack_level=0, periods=(Period(start_s=0, limit_deci=50_000),))
    high = profile(2, stack_level=3, duration_s=60, periods=(Period(start_s=0, limit_deci=80_000),))
    assert steps(low, high, scope=HERE, seconds=300) == [(0, 8_000), (60, 5_000)]


def test_connector_goes_before_station_at_equal_level_and_tx_before_default() -> None:
    station = profile(1, periods=(Period(start_s=0, limit_deci=50_000),))
    own = profile(2, evse_id=1, periods=(Period(start_s=0, limit_deci=90_000),))
    tx = profile(3, evse_id=1, purpose=Purpose.TX, session_id="s1", duration_s=10)
    assert steps(station, own, scope=HERE, seconds=60) == [(0, 9_000)]
    assert steps(station, own, tx, scope=HERE, seconds=60) == [(0, 10_000), (10, 9_000)]
    assert steps(station, own, tx, scope=Scope(evse_id=2, tx_start=T0), seconds=60) == [(0, 5_000)]
    assert steps(tx, scope=replace(HERE, session_id="s2"), seconds=60) == [(0, 99_000)]
    assert steps(tx, scope=replace(HERE, session_id=""), seconds=60) == [(0, 99_000)]


def test_a_period_that_begins_inside_the_window_is_there_and_duration_0_gives_the_present_limit() -> None:
    falling = profile(periods=(Period(start_s=0, limit_deci=500_000), Period(start_s=100, limit_deci=70_000)))
    assert steps(falling, scope=HERE, seconds=50, start=T0 + 80 * NS_PER_S) == [(0, 50_000), (20, 7_000)]
    assert steps(falling, scope=HERE, seconds=0, start=T0 + 200 * NS_PER_S) == [(0, 7_000)]


def test_station_profile_bounds_a_connector_and_does_not_see_the_connectors_profiles() -> None:
    top = profile(1, purpose=Purpose.CHARGE_POINT_MAX, periods=(Period(start_s=0, limit_deci=60_000),))
    own = profile(2, evse_id=1)
    assert steps(top, own, scope=HERE, seconds=9) == [(0, 6_000)]
    assert steps(top, own, scope=Scope(evse_id=0, tx_start=T0), seconds=9) == [(0, 6_000)]
    assert steps(own, scope=Scope(evse_id=0, tx_start=T0), seconds=9) == [(0, 99_000)]


def test_daily_and_weekly_recur_and_are_silent_before_their_start_and_after_their_duration() -> None:
    night = (Period(start_s=0, limit_deci=110_000), Period(start_s=6 * 3600, limit_deci=0))
    daily = profile(kind=Kind.RECURRING, recurrence_s=DAY_S, duration_s=8 * 3600, periods=night)
    found = steps(daily, scope=HERE, seconds=2 * DAY_S, start=T0 - 3600 * NS_PER_S)
    hour = 3600
    assert found == [
        (0, 99_000), (hour, 11_000), (7 * hour, 0), (9 * hour, 99_000), (25 * hour, 11_000), (31 * hour, 0),
        (33 * hour, 99_000),
    ]
    weekly = replace(daily, recurrence_s=7 * DAY_S)
    at = T0 + 70 * 7 * DAY_S * NS_PER_S
    assert limit_w(weekly, at, T0) == 11_000
    assert limit_w(weekly, at - 1, T0) is None
    assert next_change(weekly, at - DAY_S * NS_PER_S, T0) == at


def test_relative_counts_from_the_transaction_and_for_the_station_from_its_arrival() -> None:
    ramp = (Period(start_s=0, limit_deci=200_000), Period(start_s=30, limit_deci=10_000))
    relative = profile(kind=Kind.RELATIVE, start=None, periods=ramp)
    later = replace(HERE, tx_start=T0 - 5 * NS_PER_S)
    assert steps(relative, scope=later, seconds=60) == [(0, 20_000), (25, 1_000)]
    station = replace(relative, purpose=Purpose.CHARGE_POINT_MAX, set_at=T0 - 10 * NS_PER_S)
    assert steps(station, scope=later, seconds=60) == [(0, 20_000), (20, 1_000)]


def test_a_clock_that_stands_before_the_start_of_the_transaction_gives_the_first_period() -> None:
    ramp = (Period(start_s=0, limit_deci=200_000), Period(start_s=30, limit_deci=10_000))
    relative = profile(kind=Kind.RELATIVE, start=None, periods=ramp)
    later = replace(HERE, tx_start=T0 + 5 * NS_PER_S)
    assert steps(relative, scope=later, seconds=60) == [(0, 20_000), (35, 1_000)]


def test_validity_ends_a_profile_at_its_very_instant() -> None:
    short = profile(valid_from=T0 + NS_PER_S, valid_to=T0 + 2 * NS_PER_S)
    asked = [limit_w(short, T0 + ns, T0) for ns in (NS_PER_S - 1, NS_PER_S, 2 * NS_PER_S - 1, 2 * NS_PER_S)]
    assert asked == [None, 10_000, 10_000, None]
    assert next_change(short, T0 + 2 * NS_PER_S, T0) == NEVER


def test_a_change_between_two_seconds_falls_early_and_rises_late() -> None:
    half = NS_PER_S // 2
    assert whole_seconds([Step(0, 9), Step(10 * NS_PER_S + half, 4)], 0) == [(0, 9), (10, 4)]
    assert whole_seconds([Step(0, 4), Step(10 * NS_PER_S + half, 9)], 0) == [(0, 4), (11, 9)]
    dip = [Step(0, 9), Step(10 * NS_PER_S + 1, 2), Step(10 * NS_PER_S + 2, 7)]
    assert whole_seconds(dip, 0) == [(0, 9), (10, 2), (11, 7)]


def _random_profile(rng: Random, number: int) -> ChargingProfile:
    purpose = rng.choice(list(Purpose))
    kind = rng.choice(list(Kind))
    evse_id = 0 if purpose is Purpose.CHARGE_POINT_MAX else rng.choice((1, 2) if purpose is Purpose.TX else (0, 1, 2))
    starts = sorted({rng.randrange(0, 400) for _ in range(rng.randint(1, 5))} | ({0} if rng.random() < 0.8 else set()))
    unit = rng.choice(list(Unit))
    most = 400 if unit is Unit.A else 900_000

    def moment(odds: float) -> int | None:
        return T0 + rng.randrange(-900_000, 900_000) * 1_000_000 if rng.random() < odds else None

    return ChargingProfile(
        profile_id=number, evse_id=evse_id, stack_level=rng.randrange(4), purpose=purpose, kind=kind, unit=unit,
        periods=tuple(
            Period(start_s=s, limit_deci=rng.randrange(0, most), phases=rng.choice((1, 2, 3))) for s in starts
        ),
        set_at=T0 - rng.randrange(500) * NS_PER_S, valid_from=moment(0.3), valid_to=moment(0.3),
        start=None if kind is Kind.RELATIVE else moment(1.0 if kind is Kind.RECURRING else 0.8),
        recurrence_s=rng.choice((150, 600)) if kind is Kind.RECURRING else 0,
        duration_s=rng.choice((None, 60, 300)), session_id="s1" if purpose is Purpose.TX else "",
    )


def _oracle(profiles: list[ChargingProfile], scope: Scope, at: int) -> int:
    """The specification read out loud, without bisection, sorting or jumps."""

    def says(p: ChargingProfile) -> int | None:
        if (p.valid_from or 0) > at or (p.valid_to is not None and p.valid_to <= at):
            return None
        begin = p.start
        if begin is None:
            begin = p.set_at if p.purpose is Purpose.CHARGE_POINT_MAX else scope.tx_start
        since = at - begin
        if since < 0 and p.start is not None:
            return None
        while p.recurrence_s and since >= p.recurrence_s * NS_PER_S:
            since -= p.recurrence_s * NS_PER_S
        if p.duration_s is not None and since >= p.duration_s * NS_PER_S:
            return None
        power = None
        for period in p.periods:
            if max(0, since) >= period.start_s * NS_PER_S:
                factor = 230 * period.phases if p.unit is Unit.A else 1
                power = period.limit_deci * factor // 10
        return power

    def best(purpose: Purpose, evses: tuple[int, ...]) -> int | None:
        for level in range(9, -1, -1):
            for evse_id in evses:
                same = [p for p in profiles if (p.purpose, p.stack_level, p.evse_id) == (purpose, level, evse_id)]
                found = [power for p in same if (power := says(p)) is not None]
                if found:
                    return found[0]
        return None

    limits = [99_000, best(Purpose.CHARGE_POINT_MAX, (0,))]
    if scope.evse_id:
        tx = best(Purpose.TX, (scope.evse_id,)) if scope.session_id else None
        limits.append(tx if tx is not None else best(Purpose.TX_DEFAULT, (scope.evse_id, 0)))
    return min(x for x in limits if x is not None)


@pytest.mark.parametrize("seed", range(examples(24, 8)))
def test_composite_is_the_oracle_at_every_instant_and_never_above_it_in_whole_seconds(seed: int) -> None:
    rng = Random(seed)
    made = [_random_profile(rng, n) for n in range(rng.randint(1, 8))]
    unique = {(p.purpose, p.stack_level, p.evse_id): p for p in made}
    profiles = list(unique.values())
    scope = Scope(
        evse_id=rng.choice((0, 1, 1, 2)), tx_start=T0 + rng.randrange(-300_000, 200_000) * 1_000_000,
        session_id=rng.choice(("", "s1", "s1")),
    )
    found = list(walk(profiles, scope, T0, T0 + 700 * NS_PER_S, 99_000))
    assert [step.at for step in found] == sorted({step.at for step in found})
    seconds = whole_seconds(found, T0)
    assert all(a[1] != b[1] and a[0] < b[0] for a, b in pairwise(seconds))
    for second in range(700):
        said = next(power for offset, power in reversed(seconds) if offset <= second)
        within = []
        for ns in (0, 1, 250_000_000, 500_000_000, 750_000_000, 999_999_999):
            at = T0 + second * NS_PER_S + ns
            exact = next(step.power_w for step in reversed(found) if step.at <= at)
            expected = _oracle(profiles, scope, at)
            assert exact == expected, (seed, second, ns)
            within.append(expected)
        assert said <= min(within), (seed, second)
    ranked = relevant(profiles, scope)
    for step in found[1:]:
        assert change_after(ranked, step.at - 1, scope.tx_start) == step.at
