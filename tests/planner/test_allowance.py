"""Limits per phase of installer and operator, by the hour and by load shedding; and the cut in the tick in which one falls."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.domain.limits import CurrentAllocation
from evse.domain.station import GridSpec, HourLimit, ShedSpec
from evse.planner.allowance import Cap, allowance, truncate
from evse.runtime.local_time import LocalDay

DAY_AND_NIGHT = (HourLimit(hour=8, limit_ma=(10_000,) * 3), HourLimit(hour=22, limit_ma=(63_000,) * 3))
"""The example of the juice text: 10 A by day, 63 A at night."""


def test_nothing_said_is_no_limit() -> None:
    assert allowance(GridSpec(fuse_ma=63_000), None, 0, None) is None


def test_the_smallest_counts_on_each_phase() -> None:
    now = allowance(GridSpec(own_ma=(63_000, 63_000, 32_000)), (40_000, 63_000, 63_000), 0, None)
    assert now is not None and now.limit_ma == (40_000, 63_000, 32_000)
    assert now.words == ("the operator's limit", "the installer's limit", "the installer's limit")


@pytest.mark.parametrize(
    ("minute", "limit", "until"),
    [(0, 63_000, 480), (479, 63_000, 480), (480, 10_000, 1320), (1319, 10_000, 1320), (1320, 63_000, 480), (1439, 63_000, 480)],
)
def test_hours_go_around_midnight(minute: int, limit: int, until: int) -> None:
    now = allowance(GridSpec(hours=DAY_AND_NIGHT), None, minute, None)
    assert now is not None and now.limit_ma == (limit,) * 3 and now.next_minute == until


def test_without_a_clock_the_lowest_hour_counts() -> None:
    now = allowance(GridSpec(hours=DAY_AND_NIGHT), None, None, None)
    assert now is not None and now.limit_ma == (10_000,) * 3 and "clock is not set" in now.words[0]


@pytest.mark.parametrize(("level", "active_high", "limit"), [(True, True, 6_000), (False, True, 16_000), (False, False, 6_000),
                                                             (True, False, 16_000), (None, True, 6_000), (None, False, 6_000)])
def test_shedding_by_offset_and_polarity(level: bool | None, active_high: bool, limit: int) -> None:
    """16 A less 10 A are 6 A (juice); an input that cannot be read sheds."""
    shed = ShedSpec(input="opto1", active_high=active_high, offset_ma=(-10_000,) * 3)
    now = allowance(GridSpec(own_ma=(16_000,) * 3, shed=shed), None, 0, level)
    assert now is not None and now.limit_ma == (limit,) * 3
    assert now.shedding is (limit == 6_000)


def test_shedding_to_a_fixed_limit_and_never_below_nothing() -> None:
    grid = GridSpec(shed=ShedSpec(input="x", limit_ma=0))
    assert allowance(grid, None, 0, False) is None
    now = allowance(grid, None, 0, True)
    assert now is not None and now.limit_ma == (0, 0, 0)
    deep = allowance(GridSpec(own_ma=(16_000,) * 3, shed=ShedSpec(input="x", offset_ma=(-20_000,) * 3)), None, 0, True)
    assert deep is not None and deep.limit_ma == (0, 0, 0)
    of_fuse = allowance(GridSpec(fuse_ma=32_000, shed=ShedSpec(input="x", offset_ma=(-10_000, 0, 0))), None, 0, True)
    assert of_fuse is not None and of_fuse.limit_ma == (22_000, 32_000, 32_000)


def test_summer_time_belongs_to_the_zone() -> None:
    berlin = LocalDay("Europe/Berlin")
    before, after = 1_774_745_940, 1_774_746_000  # 2026-03-29 00:59 and 01:00 UTC: 01:59 becomes 03:00
    assert berlin.minute(before * 10**9) == 119
    assert berlin.minute(after * 10**9) == 180
    assert LocalDay("UTC").minute(after * 10**9) == 60
    assert LocalDay("No/Where").minute(after * 10**9) == 60


# -- truncation ---------------------------------------------------------------------------------------------------------


def share(evse: int, ma: int, *phases: int) -> CurrentAllocation:
    return CurrentAllocation(evse_id=evse, requested_ma=32_000, target_ma=ma, assigned_ma=ma, phases=phases or (0, 1, 2))


def given_(rows: tuple[CurrentAllocation, ...]) -> list[int]:
    return [row.assigned_ma for row in rows]


def test_everybody_comes_down_to_one_level() -> None:
    rows = (share(1, 16_000), share(2, 16_000), share(3, 8_000))
    assert given_(truncate(rows, [Cap(limit_ma=(30_000,) * 3)], {}, [])) == [11_000, 11_000, 8_000]


def test_only_the_phase_that_is_too_full() -> None:
    rows = (share(1, 16_000, 0), share(2, 16_000, 1), share(3, 10_000, 0))
    assert given_(truncate(rows, [Cap(limit_ma=(20_000, 32_000, 32_000))], {}, [])) == [10_000, 16_000, 10_000]


def test_below_the_minimum_somebody_stops_the_longest_charging_first() -> None:
    rows = (share(1, 16_000), share(2, 16_000), share(3, 16_000))
    cut = truncate(rows, [Cap(limit_ma=(13_000,) * 3)], {}, [2, 1, 3])
    assert given_(cut) == [6_500, 0, 6_500] and cut[1].paused


def test_a_fuse_concerns_those_behind_it_and_dc_stays() -> None:
    rows = (share(1, 16_000), share(2, 16_000))
    assert given_(truncate(rows, [Cap(limit_ma=(10_000,) * 3, evses=(2,))], {}, [])) == [16_000, 10_000]
    assert given_(truncate(rows, [Cap(limit_ma=(40_000,) * 3)], {9: 20_000}, [])) == [10_000, 10_000]
    assert truncate(rows, [Cap(limit_ma=(40_000,) * 3)], {}, []) is rows


@given(
    rows=st.lists(st.tuples(st.integers(6_000, 32_000), st.sampled_from([(0,), (1,), (2,), (0, 1), (0, 1, 2)])), max_size=8),
    limits=st.tuples(*[st.integers(0, 150_000)] * 3), inner=st.integers(0, 60_000),
)
def test_every_cap_holds_and_nothing_rises(
    rows: list[tuple[int, tuple[int, ...]]], limits: tuple[int, int, int], inner: int
) -> None:
    shares = tuple(share(i, ma // 100 * 100, *phases) for i, (ma, phases) in enumerate(rows, 1))
    caps = [Cap(limit_ma=limits), Cap(limit_ma=(inner,) * 3, evses=(1, 2, 3))]
    cut = truncate(shares, caps, {}, [3, 1])
    for cap in caps:
        for k in range(3):
            assert sum(r.assigned_ma for r in cut if k in r.phases and (not cap.evses or r.evse_id in cap.evses)) <= cap.limit_ma[k]
    for before, after in zip(shares, cut, strict=True):
        assert after.assigned_ma <= before.assigned_ma and (after.assigned_ma == 0 or after.assigned_ma >= 6_000)
        assert msgspec.structs.replace(after, assigned_ma=0).evse_id == before.evse_id
