"""Why a charging schedule allows what it allows: every profile with what it says now, and which of them decides.

Pure, over `evse.planner.composite`: the power told here is the power of the composite schedule at the same instant, and
a test compares both for random profiles. Times are UTC ns, power is W, current mA per phase.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Sequence
from itertools import islice

from evse.domain.ac import AcSpec
from evse.domain.base import Frozen
from evse.ocpp.composite_ac import LINES_W, on_lines
from evse.ocpp.messages import timestamp
from evse.planner import composite
from evse.planner.composite import ChargingProfile, Purpose, Scope, Unit
from evse.units import NS_PER_S, WallNs

LOOK_AHEAD_S = 7 * 86_400
"""How far a change is looked for."""

STEPS_MAX = 1000
"""Instants that are looked at on the way."""

STEPS_AT_ONCE = 16

SILENT_STEPS_MAX = 16
"""The same, for the next period of one profile."""


class Standing(enum.Enum):
    """What became of a profile now."""

    IN_FORCE = "in_force"
    OUTRANKED = "outranked"  # it has a limit now, another profile goes before it
    WAITS = "waits"  # it says nothing now and will later
    OVER = "over"  # it says nothing any more
    ELSEWHERE = "elsewhere"  # it belongs to another connector or transaction


class ProfileLine(Frozen, frozen=True, kw_only=True):
    """One installed profile. ``period`` counts from 0, None = no period now; ``changes_at`` None = never."""

    profile: ChargingProfile
    standing: Standing
    why: str
    binds: bool  # it is the smallest of those in force
    period: int | None
    power_w: int | None
    current_ma: int | None
    changes_at: WallNs | None


class ScheduleExplanation(Frozen, frozen=True, kw_only=True):
    """What the charging profiles allow on an EVSE (0 = the station) at ``at``.

    ``power_w`` = what the composite schedule says, the rating included; ``capped`` = a profile says less than the rating.
    ``current_ma`` per phase: that of the EVSE if it is AC, else of three phases at 230 V. ``changes_at`` = when the
    power changes next, to ``next_power_w``; None = not within `LOOK_AHEAD_S`. ``calendar`` False = nobody knows the
    date, so the smallest that a dated profile could mean holds.
    """

    evse_id: int
    session_id: str
    at: WallNs
    calendar: bool
    rated_w: int
    power_w: int
    current_ma: int
    capped: bool
    changes_at: WallNs | None
    next_power_w: int | None
    lines: tuple[ProfileLine, ...]


def explain_schedule(
    profiles: Sequence[ChargingProfile], scope: Scope, at: WallNs, rated_w: int, *, ac: AcSpec | None = None,
    calendar: bool = True,
) -> ScheduleExplanation:
    """Explain ``scope`` at ``at``. ``rated_w`` = what the hardware gives where no profile says anything."""
    steps = explain_in_steps(profiles, scope, at, rated_w, ac=ac, calendar=calendar)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            told: ScheduleExplanation = end.value
            return told


def explain_in_steps(
    profiles: Sequence[ChargingProfile], scope: Scope, at: WallNs, rated_w: int, *, ac: AcSpec | None = None,
    calendar: bool = True,
) -> Generator[None, None, ScheduleExplanation]:
    """The same in portions of `STEPS_AT_ONCE`: many long profiles take a tenth of a second, and others want a turn."""
    ranked = composite.relevant(profiles, scope)
    caps_of = composite.caps_at if calendar else composite.caps_without_calendar
    caps = [_Cap(profile, *_as_kept(profile, power_w, scope, at, ac, calendar=calendar))
            for power_w, profile in caps_of(ranked, at, scope.tx_start)]  # fmt: skip
    power_w = min([rated_w, *(cap.power_w for cap in caps)])
    hardware_ma = power_w * 1000 // LINES_W if ac is None else ac.evse_ma
    changes_at, next_power_w = None, None
    if calendar:
        changes_at, next_power_w = yield from _next(profiles, ranked, scope, at, rated_w, ac, power_w)
    return ScheduleExplanation(
        evse_id=scope.evse_id, session_id=scope.session_id, at=at, calendar=calendar, rated_w=rated_w, power_w=power_w,
        current_ma=hardware_ma if ac is None else min([hardware_ma, *(cap.current_ma for cap in caps)]),
        capped=power_w < rated_w, changes_at=changes_at, next_power_w=next_power_w,
        lines=tuple(
            _line(profile, ranked, caps, scope, at, calendar=calendar, power_w=power_w, rated_w=rated_w)
            for profile in sorted(profiles, key=_order)
        ),
    )  # fmt: skip


class _Cap(Frozen, frozen=True):
    """A profile in force, and what the EVSE makes of its limit."""

    profile: ChargingProfile
    power_w: int
    current_ma: int


def _as_kept(
    profile: ChargingProfile, power_w: int, scope: Scope, at: WallNs, ac: AcSpec | None, *, calendar: bool
) -> tuple[int, int]:
    """(W, mA per phase): an AC EVSE keeps to a current itself, whatever the period says of phases."""
    ma = composite.limit_ma(profile, at, scope.tx_start, calendar=calendar)
    if ac is None:
        return power_w, power_w * 1000 // LINES_W if ma is None else ma
    if ma is None:
        return power_w, power_w * 1_000_000 // (ac.phases * ac.nominal_mv)
    return ma * ac.phases * ac.nominal_mv // 1_000_000, ma


_RANK = {Purpose.CHARGE_POINT_MAX: 0, Purpose.TX: 1, Purpose.TX_DEFAULT: 2}


def _order(profile: ChargingProfile) -> tuple[int, int, int, int]:
    return (_RANK[profile.purpose], -profile.stack_level, profile.evse_id, profile.profile_id)


def _next(
    profiles: Sequence[ChargingProfile], ranked: Sequence[ChargingProfile], scope: Scope, at: WallNs, rated_w: int,
    ac: AcSpec | None, power_w: int,
) -> Generator[None, None, tuple[WallNs | None, int | None]]:
    end = at + LOOK_AHEAD_S * NS_PER_S
    for number, step in enumerate(islice(composite.walk(profiles, scope, at, end, rated_w), STEPS_MAX), start=1):
        if number % STEPS_AT_ONCE == 0:
            yield
        later = step if ac is None else on_lines(step, ranked, scope, ac, rated_w, Unit.W)
        if later.power_w != power_w:
            return step.at, later.power_w
    return None, None


# -- one profile ----------------------------------------------------------------------------------------------------


def _line(
    profile: ChargingProfile, ranked: Sequence[ChargingProfile], caps: Sequence[_Cap], scope: Scope, at: WallNs, *,
    calendar: bool, power_w: int, rated_w: int,
) -> ProfileLine:
    index = composite.period_index(profile, at, scope.tx_start)
    change = composite.next_change(profile, at, scope.tx_start)
    cap = next((cap for cap in caps if cap.profile is profile), None)
    own_w = composite.limit_w(profile, at, scope.tx_start) if cap is None else cap.power_w
    own_ma = None if index is None else composite.limit_ma(profile, at, scope.tx_start)
    if cap is not None:
        own_ma = composite.limit_ma(profile, at, scope.tx_start, calendar=calendar)
    binds = cap is not None and cap.power_w == power_w < rated_w
    standing, why = _standing(profile, ranked, caps, scope, at, calendar=calendar, limit_w=own_w)
    if cap is not None and not binds:
        why += "; a smaller limit decides" if power_w < cap.power_w else "; the rating is no larger"
    return ProfileLine(
        profile=profile, standing=standing, why=why, binds=binds, period=index, power_w=own_w, current_ma=own_ma,
        changes_at=None if change >= composite.NEVER else change,
    )  # fmt: skip


def _standing(
    profile: ChargingProfile, ranked: Sequence[ChargingProfile], caps: Sequence[_Cap], scope: Scope, at: WallNs, *,
    calendar: bool, limit_w: int | None,
) -> tuple[Standing, str]:
    if all(other is not profile for other in ranked):
        return Standing.ELSEWHERE, _elsewhere(profile, scope)
    if any(cap.profile is profile for cap in caps):
        return Standing.IN_FORCE, _leads(profile, calendar=calendar)
    if not calendar:
        return Standing.OUTRANKED, "the date is not known, so the smallest limit of any dated profile holds"
    if limit_w is None:
        return _silent(profile, scope, at)
    return Standing.OUTRANKED, _beaten(profile, caps)


def _leads(profile: ChargingProfile, *, calendar: bool) -> str:
    if not calendar:
        return "the date is not known, so its smallest limit holds"
    what = {Purpose.CHARGE_POINT_MAX: "the station", Purpose.TX: "the transaction", Purpose.TX_DEFAULT: "transactions here"}
    return f"highest stack level with a period now for {what[profile.purpose]}"


def _elsewhere(profile: ChargingProfile, scope: Scope) -> str:
    if scope.evse_id == 0:
        return f"limits vehicles at {f'connector {profile.evse_id}' if profile.evse_id else 'each connector'}, not the station"
    if profile.evse_id not in (0, scope.evse_id):
        return f"belongs to connector {profile.evse_id}"
    return "belongs to a transaction that does not run here"


def _beaten(profile: ChargingProfile, caps: Sequence[_Cap]) -> str:
    of_station = profile.purpose is Purpose.CHARGE_POINT_MAX
    leader = next(c.profile for c in caps if (c.profile.purpose is Purpose.CHARGE_POINT_MAX) is of_station)
    name = f"profile {leader.profile_id}"
    if leader.purpose is not profile.purpose:
        return f"{name} is a TxProfile, which goes before every TxDefaultProfile"
    if leader.stack_level != profile.stack_level:
        return f"stack level {profile.stack_level} is below {leader.stack_level} of {name}"
    if leader.evse_id != profile.evse_id:
        return f"{name} has the same stack level and belongs to this connector itself"
    return f"{name} has the same stack level and was set later"


def _silent(profile: ChargingProfile, scope: Scope, at: WallNs) -> tuple[Standing, str]:
    """Why a profile that belongs here has no period now, and when it has one."""
    if profile.valid_to is not None and at >= profile.valid_to:
        return Standing.OVER, f"its validity ended at {timestamp(profile.valid_to)}"
    begins = at
    for _ in range(SILENT_STEPS_MAX):
        begins = composite.next_change(profile, begins, scope.tx_start)
        if begins >= composite.NEVER:
            return Standing.OVER, "its schedule is over"
        if composite.period_index(profile, begins, scope.tx_start) is not None:
            break
    when = timestamp(begins)
    if profile.valid_from is not None and at < profile.valid_from:
        return Standing.WAITS, f"it is valid from {timestamp(profile.valid_from)} on; its next period begins at {when}"
    return Standing.WAITS, f"its next period begins at {when}"
