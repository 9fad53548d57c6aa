"""Charging profiles of OCPP 1.6 and the limit that follows from them: stacking, recurrence, composite schedules.

Pure: calendar time is an argument (UTC ns), a limit is a whole number of W.

At any instant the *leading* profile of a purpose is the one of the highest stack level among those that are valid and
have a period then; one that has run out, or has not begun, lets the next level through. At equal level a profile of
the connector goes before one of connector 0. TxProfile goes before TxDefaultProfile. What a connector may take is the
smaller of that and of ChargePointMaxProfile; without any of them there is no limit.

What counts from an event of the past (the start of a transaction, the arrival of a profile) is never "not begun": when
the clock stands before that event, because it was set back or lost, the first period is in force.

Ampere means the current of each phase of the supply at `PHASE_V` volts, whatever leaves the station as direct current:
W = A * 230 * numberPhases (3 when not given). 0.1 A is 23 W per phase, so the conversion is exact.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from evse.units import NS_PER_S, WallNs

PHASE_V = 230
"""Nominal voltage from phase to neutral that turns A into W and back."""

PHASES = 3
"""Phases when a period does not name them, and of a composite schedule in A."""

NEVER: WallNs = 1 << 62


class Purpose(enum.Enum):
    """What a profile limits (OCPP 1.6 ChargingProfilePurposeType)."""

    CHARGE_POINT_MAX = "ChargePointMaxProfile"
    TX_DEFAULT = "TxDefaultProfile"
    TX = "TxProfile"


class Kind(enum.Enum):
    """What its periods count from (OCPP 1.6 ChargingProfileKindType)."""

    ABSOLUTE = "Absolute"
    RECURRING = "Recurring"
    RELATIVE = "Relative"


class Unit(enum.Enum):
    """Unit of its limits (OCPP 1.6 ChargingRateUnitType)."""

    A = "A"
    W = "W"


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """From ``start_s`` on the limit is ``limit_deci`` tenths of the unit of the schedule."""

    start_s: int
    limit_deci: int
    phases: int = PHASES


class ChargingProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One profile. ``start`` None = periods count from the start of the transaction, or from ``set_at`` for the station.

    ``recurrence_s`` is 0 unless the kind is Recurring. ``session_id`` names the transaction of a TxProfile.
    """

    profile_id: int
    evse_id: int
    stack_level: int
    purpose: Purpose
    kind: Kind
    unit: Unit
    periods: tuple[Period, ...]  # at least one, by rising start_s
    set_at: WallNs
    valid_from: WallNs | None = None
    valid_to: WallNs | None = None
    start: WallNs | None = None
    recurrence_s: int = 0
    duration_s: int | None = None
    min_rate_deci: int | None = None
    session_id: str = ""


def watts(unit: Unit, limit_deci: int, phases: int) -> int:
    """Return a limit in W, rounded down."""
    return limit_deci // 10 if unit is Unit.W else limit_deci * PHASE_V * phases // 10


def deci(unit: Unit, power_w: int) -> int:
    """Return W as tenths of ``unit``, rounded down; A are those of each of three phases."""
    return power_w * 10 if unit is Unit.W else power_w * 10 // (PHASE_V * PHASES)


def _offset(profile: ChargingProfile, at: WallNs, tx_start: WallNs) -> tuple[WallNs, WallNs] | None:
    """Return (where the schedule that covers ``at`` has begun, where it ends); None = no schedule covers ``at``."""
    if profile.kind is Kind.RELATIVE or profile.start is None:
        begin = profile.set_at if profile.purpose is Purpose.CHARGE_POINT_MAX else tx_start
    else:
        begin = profile.start
        if at < begin:
            return None
    end = NEVER
    if profile.recurrence_s:
        cycle = profile.recurrence_s * NS_PER_S
        begin += (at - begin) // cycle * cycle
        end = begin + cycle
    if profile.duration_s is not None:
        end = min(end, begin + profile.duration_s * NS_PER_S)
    return (begin, end) if at < end else None


def limit_w(profile: ChargingProfile, at: WallNs, tx_start: WallNs) -> int | None:
    """Return what ``profile`` allows at ``at``, in W; None = it says nothing then."""
    period = _period(profile, at, tx_start)
    return None if period is None else watts(profile.unit, period.limit_deci, period.phases)


def limit_ma(profile: ChargingProfile, at: WallNs, tx_start: WallNs, *, calendar: bool = True) -> int | None:
    """Return the current of each phase that a profile in A allows at ``at``, in mA; None = the profile is in W.

    ``calendar`` False = nobody knows the date: the smallest of the periods of a dated profile holds.
    """
    if profile.unit is not Unit.A:
        return None
    known = calendar or not _dated(profile)
    period = _period(profile, at, tx_start) if known else None
    return 100 * (min(p.limit_deci for p in profile.periods) if period is None else period.limit_deci)


def _period(profile: ChargingProfile, at: WallNs, tx_start: WallNs) -> Period | None:
    index = period_index(profile, at, tx_start)
    return None if index is None else profile.periods[index]


def period_index(profile: ChargingProfile, at: WallNs, tx_start: WallNs) -> int | None:
    """Return which of its periods, from 0, is in force at ``at``; None = it says nothing then."""
    if profile.valid_from is not None and at < profile.valid_from:
        return None
    if profile.valid_to is not None and at >= profile.valid_to:
        return None
    span = _offset(profile, at, tx_start)
    if span is None:
        return None
    index = bisect_right(profile.periods, max(0, at - span[0]) // NS_PER_S, key=_start_s) - 1
    return None if index < 0 else index


def _start_s(period: Period) -> int:
    return period.start_s


def next_change(profile: ChargingProfile, at: WallNs, tx_start: WallNs) -> WallNs:
    """Return the first instant after ``at`` at which the limit of ``profile`` may be another; `NEVER` = none."""
    if profile.valid_to is not None and at >= profile.valid_to:
        return NEVER
    times = [time for time in (profile.valid_from, profile.valid_to) if time is not None and time > at]
    span = _offset(profile, at, tx_start)
    if span is None:
        times.append(_next_begin(profile, at, tx_start))
    else:
        begin, end = span
        index = bisect_right(profile.periods, max(0, at - begin) // NS_PER_S, key=_start_s)
        if index < len(profile.periods):
            end = min(end, begin + profile.periods[index].start_s * NS_PER_S)
        times.append(end)
    return min((time for time in times if time > at), default=NEVER)


def _next_begin(profile: ChargingProfile, at: WallNs, tx_start: WallNs) -> WallNs:
    if profile.kind is Kind.RELATIVE or profile.start is None:
        begin = profile.set_at if profile.purpose is Purpose.CHARGE_POINT_MAX else tx_start
    else:
        begin = profile.start
    if begin > at:
        return begin
    if not profile.recurrence_s:
        return NEVER
    cycle = profile.recurrence_s * NS_PER_S
    return begin + ((at - begin) // cycle + 1) * cycle


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Whose limit is asked for. ``evse_id`` 0 = the station. ``tx_start`` = start of the transaction on the EVSE; where
    none runs, the instant at which one is supposed to start. ``session_id`` "" = none runs."""

    evse_id: int
    tx_start: WallNs
    session_id: str = ""


def _applies(profile: ChargingProfile, scope: Scope) -> bool:
    match profile.purpose:
        case Purpose.CHARGE_POINT_MAX:
            return True
        case Purpose.TX_DEFAULT:
            return scope.evse_id != 0 and profile.evse_id in (0, scope.evse_id)
        case Purpose.TX:
            return profile.evse_id == scope.evse_id and profile.session_id == scope.session_id != ""


def relevant(profiles: Sequence[ChargingProfile], scope: Scope) -> list[ChargingProfile]:
    """Return the profiles that can limit ``scope``, the ones that lead first within their purpose."""
    found = [profile for profile in profiles if _applies(profile, scope)]
    return sorted(found, key=lambda p: (p.stack_level, p.evse_id != 0, p.set_at), reverse=True)


def leading(ranked: Sequence[ChargingProfile], purpose: Purpose, at: WallNs, tx_start: WallNs) -> tuple[
    int, ChargingProfile
] | None:
    """Return the limit in W and the leading profile of ``purpose``; ``ranked`` comes from `relevant`."""
    for profile in ranked:
        if profile.purpose is purpose:
            power_w = limit_w(profile, at, tx_start)
            if power_w is not None:
                return power_w, profile
    return None


def caps_at(ranked: Sequence[ChargingProfile], at: WallNs, tx_start: WallNs) -> list[tuple[int, ChargingProfile]]:
    """Return the caps in force: that of the station, and that of the transaction; none, one or two of them."""
    station = leading(ranked, Purpose.CHARGE_POINT_MAX, at, tx_start)
    own = leading(ranked, Purpose.TX, at, tx_start) or leading(ranked, Purpose.TX_DEFAULT, at, tx_start)
    return [cap for cap in (station, own) if cap is not None]


def caps_without_calendar(
    ranked: Sequence[ChargingProfile], at: WallNs, tx_start: WallNs
) -> list[tuple[int, ChargingProfile]]:
    """Return caps while nobody knows the date: the smallest that any profile could mean, whatever its level.

    Only profiles that count from the start of the transaction say exactly what holds.
    """
    result = []
    for purposes in ((Purpose.CHARGE_POINT_MAX,), (Purpose.TX, Purpose.TX_DEFAULT)):
        found = []
        for profile in ranked:
            if profile.purpose not in purposes:
                continue
            if _dated(profile):
                power_w = min(watts(profile.unit, p.limit_deci, p.phases) for p in profile.periods)
                found.append((power_w, profile))
            elif (exact := limit_w(profile, at, tx_start)) is not None:
                found.append((exact, profile))
        if found:
            result.append(min(found, key=lambda cap: cap[0]))
    return result


def _dated(profile: ChargingProfile) -> bool:
    """Return True when a profile counts from the calendar, not from the start of the transaction."""
    dates = (profile.start, profile.valid_from, profile.valid_to)
    return profile.purpose is Purpose.CHARGE_POINT_MAX or any(date is not None for date in dates)


def change_after(ranked: Sequence[ChargingProfile], at: WallNs, tx_start: WallNs) -> WallNs:
    """Return the first instant after ``at`` at which any of the caps may be another; `NEVER` = none."""
    return min((next_change(profile, at, tx_start) for profile in ranked), default=NEVER)


class Step(msgspec.Struct, frozen=True):
    """From ``at`` on the composite limit is ``power_w``; ``min_rate_w`` is the largest that its profiles name."""

    at: WallNs
    power_w: int
    min_rate_w: int = 0


def walk(
    profiles: Sequence[ChargingProfile], scope: Scope, start: WallNs, end: WallNs, rated_w: int
) -> Iterator[Step]:
    """Yield the composite limit from ``start`` on, one step for every possible change before ``end``; the first always.

    ``rated_w`` = what the hardware gives where no profile says anything. Lazily, so that a caller may pause in between.
    """
    ranked = relevant(profiles, scope)
    at = start
    while True:
        caps = caps_at(ranked, at, scope.tx_start)
        rates = [watts(p.unit, p.min_rate_deci, p.periods[0].phases) for _, p in caps if p.min_rate_deci]
        yield Step(at, min([rated_w, *(power_w for power_w, _ in caps)]), max(rates, default=0))
        at = change_after(ranked, at, scope.tx_start)
        if at >= end:
            return


def whole_seconds(steps: Sequence[Step], start: WallNs) -> list[tuple[int, int]]:
    """Return (offset in s, W) of ``steps``: every second carries the smallest limit within it, equal neighbours merge.

    A change between two seconds so acts early when it lowers the limit and late when it raises it.
    """
    offsets = sorted({edge for step in steps for edge in _edges(step.at - start)})
    result: list[tuple[int, int]] = []
    first = 0
    for index, offset in enumerate(offsets):
        begin = start + offset * NS_PER_S
        end = start + offsets[index + 1] * NS_PER_S if index + 1 < len(offsets) else NEVER
        while first + 1 < len(steps) and steps[first + 1].at <= begin:
            first += 1
        power_w = steps[first].power_w
        later = first + 1
        while later < len(steps) and steps[later].at < end:
            power_w = min(power_w, steps[later].power_w)
            later += 1
        if not result or result[-1][1] != power_w:
            result.append((offset, power_w))
    return result


def _edges(offset_ns: int) -> tuple[int, int]:
    return offset_ns // NS_PER_S, -(-offset_ns // NS_PER_S)
