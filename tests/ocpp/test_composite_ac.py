"""Composite schedules of AC EVSEs against the caps that are in force, profile by profile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evse.domain.ac import AcSpec
from evse.ocpp.composite_ac import on_lines
from evse.planner import composite
from evse.planner.composite import ChargingProfile, Kind, Period, Purpose, Scope, Step, Unit

SCOPE = Scope(evse_id=1, tx_start=0, session_id="s")


def profile(purpose: Purpose, unit: Unit, limit_deci: int, phases: int, least: int | None) -> ChargingProfile:
    return ChargingProfile(
        profile_id=len(purpose.value), evse_id=0 if purpose is Purpose.CHARGE_POINT_MAX else 1, stack_level=0, purpose=purpose,
        kind=Kind.RELATIVE, unit=unit, periods=(Period(start_s=0, limit_deci=limit_deci, phases=phases),), set_at=0,
        session_id="s" if purpose is Purpose.TX else "", min_rate_deci=least,
    )  # fmt: skip


limits = st.tuples(st.sampled_from(Unit), st.integers(0, 200_000), st.integers(1, 3), st.none() | st.integers(1, 400))


@given(st.none() | limits, st.none() | limits, st.sampled_from([1, 3]), st.integers(6, 80))
def test_the_smallest_cap_is_told_in_either_unit(
    station: tuple[Unit, int, int, int | None] | None, own: tuple[Unit, int, int, int | None] | None, lines: int, evse_a: int
) -> None:
    ac = AcSpec(phases=lines, evse_ma=evse_a * 1000)
    rated_w = evse_a * 230 * lines
    given_caps = [(Purpose.CHARGE_POINT_MAX, station), (Purpose.TX, own)]
    profiles = [profile(purpose, *cap) for purpose, cap in given_caps if cap is not None]
    ranked = composite.relevant(profiles, SCOPE)
    step = next(composite.walk(profiles, SCOPE, 0, 1, rated_w))
    assert isinstance(step, Step)
    caps = [cap for _, cap in given_caps if cap is not None]
    amps = min([evse_a * 10, *(x if unit is Unit.A else x // 10 * 10 // (230 * lines) for unit, x, _, _ in caps)])
    told = on_lines(step, ranked, SCOPE, ac, rated_w, Unit.A)
    assert composite.deci(Unit.A, told.power_w) in (amps, amps - 1), "in steps of 0.1 A, never above a cap"
    if all(unit is Unit.A for unit, *_ in caps):
        assert composite.deci(Unit.A, told.power_w) == amps
        least = max((rate for *_, rate in caps if rate), default=0)
        assert composite.deci(Unit.A, told.min_rate_w) == least
    watts = min([rated_w, *(x // 10 if unit is Unit.W else x * 23 * lines for unit, x, _, _ in caps)])
    assert on_lines(step, ranked, SCOPE, ac, rated_w, Unit.W).power_w == watts
