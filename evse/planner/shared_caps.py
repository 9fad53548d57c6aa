"""Caps of ``[site.grid]`` that several connectors share, as rows of an explanation. A share is what they leave together."""

from __future__ import annotations

from evse.domain.base import Frozen
from evse.domain.limits import LimitEntry, LimitSource
from evse.domain.station import GridSpec
from evse.planner.ac_problem import PHASES, Phases
from evse.planner.allowance import Allowance

ALL = "all connectors together"


class SharedCap(Frozen, frozen=True, kw_only=True):
    """One cap: what it is called whatever its value, that value per phase, its row, and the EVSEs below it (empty = all)."""

    name: str
    value: tuple[int, ...]
    entry: LimitEntry
    evses: tuple[int, ...] = ()


def shared_caps(grid: GridSpec | None, operator_ma: Phases | None, allowed: Allowance | None) -> tuple[SharedCap, ...]:
    """Return every cap of the grid connection, from the top down; ``allowed`` = what hours and shedding make of it now."""
    if grid is None:
        return ()
    rows = []
    if grid.fuse_ma:
        rows.append(_cap(grid, LimitSource.GRID, (grid.fuse_ma,) * PHASES, f"fuse of the grid connection, {ALL} and other loads"))
    if grid.imbalance_ma >= 0:
        words = "imbalance limit, the largest difference between two phases"
        rows.append(_cap(grid, LimitSource.OUT_OF_BALANCE, (grid.imbalance_ma,) * PHASES, words))
    if grid.own_ma is not None:
        rows.append(_cap(grid, LimitSource.GRID, grid.own_ma, f"installer's limit, {ALL}"))
    if operator_ma is not None:
        rows.append(_cap(grid, LimitSource.SITE, operator_ma, f"operator's limit, {ALL}"))
    if allowed is not None and (grid.hours or allowed.shedding):
        words = next((w for w in allowed.words if not w.endswith("r's limit")), "")
        if words:
            rows.append(_cap(grid, LimitSource.GRID, allowed.limit_ma, f"{words}, {ALL}"))
    for fuse in grid.fuses:
        words = f"fuse {fuse.name}, connectors {', '.join(map(str, fuse.evses))} together"
        rows.append(_cap(grid, LimitSource.GRID, (fuse.fuse_ma,) * PHASES, words, fuse.evses))
    return tuple(rows)


def _cap(grid: GridSpec, source: LimitSource, limit_ma: tuple[int, ...], words: str, evses: tuple[int, ...] = ()) -> SharedCap:
    each = ": " + ", ".join(f"L{k} {ma / 1000:.1f} A" for k, ma in enumerate(limit_ma, 1)) if len(set(limit_ma)) > 1 else ""
    power_w = sum(limit_ma) * grid.nominal_mv // 1_000_000
    entry = LimitEntry(source=source, power_w=power_w, binds=False, detail=words + each, current_ma=min(limit_ma))
    return SharedCap(name=words, value=limit_ma, entry=entry, evses=evses)
