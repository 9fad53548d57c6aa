"""How much current all EVSEs together may take per phase: limits of installer and operator, by the hour, and load shedding.

Pure. The time is the minute of the local day, or None while the calendar is not set: then the lowest limit of all hours
counts. A shedding input that cannot be read sheds. Load management of the juice web interface: sub-distribution limits,
maximum current scheduler, external input with polarity and offset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from evse.domain.ac import OFFER_MIN_MA
from evse.domain.base import Frozen
from evse.domain.limits import CurrentAllocation, LimitSource
from evse.domain.station import GridSpec
from evse.planner.ac_problem import PHASES, UNLIMITED_MA, Phases
from evse.planner.share import water_level

STEP_MA = 100


class Allowance(Frozen, frozen=True, kw_only=True):
    """Most current per phase, mA, and what says so on each; ``next_minute`` = minute of the day at which an hour changes it."""

    limit_ma: Phases
    words: tuple[str, str, str]
    shedding: bool = False
    next_minute: int | None = None


def shed_active(grid: GridSpec, level: bool | None) -> bool:
    """Tell whether the shedding input sheds; ``level`` None = it cannot be read."""
    return grid.shed is not None and (level is None or level is grid.shed.active_high)


def allowance(grid: GridSpec, operator_ma: Phases | None, minute: int | None, level: bool | None) -> Allowance | None:
    """Return what the EVSEs may take now; None = nothing says anything."""
    rows: list[tuple[Phases, str]] = []
    if grid.own_ma is not None:
        rows.append((grid.own_ma, "the installer's limit"))
    if operator_ma is not None:
        rows.append((operator_ma, "the operator's limit"))
    change = None
    if grid.hours:
        limit, words, change = _hours(grid, minute)
        rows.append((limit, words))
    sheds = shed_active(grid, level)
    if grid.shed is not None and sheds:
        rows += _shed(grid, rows, level)
    if not rows:
        return None
    limits: list[int] = []
    words3: list[str] = []
    for k in range(PHASES):
        row = min(rows, key=lambda pair: pair[0][k])
        limits.append(max(0, row[0][k]))
        words3.append(row[1])
    return Allowance(
        limit_ma=(limits[0], limits[1], limits[2]), words=(words3[0], words3[1], words3[2]), shedding=sheds,
        next_minute=change,
    )


def _hours(grid: GridSpec, minute: int | None) -> tuple[Phases, str, int | None]:
    if minute is None:
        lowest = [min(h.limit_ma[k] for h in grid.hours) for k in range(PHASES)]
        return (lowest[0], lowest[1], lowest[2]), "the lowest limit of all hours (the clock is not set)", None
    now = [h for h in grid.hours if h.hour * 60 <= minute]
    entry = now[-1] if now else grid.hours[-1]
    later = [h.hour * 60 for h in grid.hours if h.hour * 60 > minute]
    until = later[0] if later else grid.hours[0].hour * 60
    return entry.limit_ma, f"the limit from {entry.hour}:00 to {until // 60}:00", until


def _shed(grid: GridSpec, rows: Sequence[tuple[Phases, str]], level: bool | None) -> list[tuple[Phases, str]]:
    shed = grid.shed
    if shed is None:
        return []
    why = f"load shedding (input {shed.input}{' cannot be read' if level is None else ''})"
    found: list[tuple[Phases, str]] = []
    if any(shed.offset_ma):
        fuse = [((grid.fuse_ma, grid.fuse_ma, grid.fuse_ma), "")] if grid.fuse_ma else []
        base = [min(row[0][k] for row in (*rows, *fuse)) if rows or fuse else UNLIMITED_MA for k in range(PHASES)]
        low = [max(0, a + b) for a, b in zip(base, shed.offset_ma, strict=True)]
        found.append(((low[0], low[1], low[2]), why))
    if shed.limit_ma >= 0:
        found.append(((shed.limit_ma, shed.limit_ma, shed.limit_ma), why))
    return found


# -- in the tick in which a limit falls -------------------------------------------------------------------------------


class Cap(Frozen, frozen=True, kw_only=True):
    """A limit per phase over some EVSEs, or over all (``evses`` empty); loads that are not theirs are taken off already."""

    limit_ma: Phases
    evses: tuple[int, ...] = ()


def truncate(
    shares: tuple[CurrentAllocation, ...], caps: Sequence[Cap], beside_ma: Mapping[int, int], last: Sequence[int]
) -> tuple[CurrentAllocation, ...]:
    """Lower shares until every cap holds; nothing rises. For the tick in which a limit falls, before anybody plans again.

    On each phase that is too full everybody comes down to one level. Where that would be less than 6 A, EVSEs stop, those of
    ``last`` first. ``beside_ma`` = what DC EVSEs take of each phase; it stays, the next plan lowers it.
    """
    given = {row.evse_id: row.assigned_ma for row in shares}
    phases = {row.evse_id: row.phases for row in shares}
    for cap in caps:
        inside = [row.evse_id for row in shares if not cap.evses or row.evse_id in cap.evses]
        taken = sum(ma for evse, ma in beside_ma.items() if not cap.evses or evse in cap.evses)
        for k in range(PHASES):
            _lower(given, [e for e in inside if k in phases[e]], max(0, cap.limit_ma[k] - taken), last)
    if all(given[row.evse_id] == row.assigned_ma for row in shares):
        return shares
    return tuple(
        row if given[row.evse_id] == row.assigned_ma else replace(
            row, assigned_ma=given[row.evse_id], target_ma=min(row.target_ma, given[row.evse_id]), binding=LimitSource.GRID,
            paused=row.requested_ma > 0 and given[row.evse_id] == 0, detail="cut at once, a limit of the site has fallen",
        )
        for row in shares
    )  # fmt: skip


def _lower(given: dict[int, int], evses: Sequence[int], limit_ma: int, last: Sequence[int]) -> None:
    """Bring the sum over ``evses`` to at most ``limit_ma``."""
    on = sorted((e for e in evses if given[e]), key=lambda e: last.index(e) if e in last else len(last))
    while on:
        level = water_level([given[e] for e in on], limit_ma)
        if level is None:
            return
        level = level // STEP_MA * STEP_MA
        if level >= OFFER_MIN_MA:
            for e in on:
                given[e] = min(given[e], level)
            return
        given[on.pop(0)] = 0
