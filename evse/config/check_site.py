"""What must fit together in ``[site.grid]`` and ``[[site.fuse]]``."""

from __future__ import annotations

from typing import Any

from evse.config.source import Problems
from evse.config.toml_lines import Path

MIN_A = 6
"""IEC 61851-1: less is nothing to a vehicle."""


def check_grid(site: dict[str, Any] | None, evse_ids: set[Any], problems: Problems) -> None:
    """Note every mistake of the tables below ``[site]`` (None = it is absent)."""
    if site is None:
        return
    grid, fuses = site.get("grid"), site.get("fuse")
    if isinstance(grid, dict):
        _grid(grid, problems)
        if _whole(grid.get("failsafe_a", -1)) and grid.get("failsafe_a", -1) >= 0 and not isinstance(site.get("meter"), dict):
            problems.add(
                ("site", "grid", "failsafe_a"), "there is no site meter that could be lost; add [site.meter] or remove it",
                grid["failsafe_a"],
            )  # fmt: skip
    names: set[str] = set()
    behind: dict[int, str] = {}
    for i, row in enumerate(fuses if isinstance(fuses, list) else ()):
        if isinstance(row, dict):
            _fuse(("site", "fuse", i), row, names, behind, evse_ids, problems)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _grid(grid: dict[str, Any], problems: Problems) -> None:
    fuse = grid.get("fuse_a", 0)
    for key in ("fuse_a", "failsafe_a"):
        value = grid.get(key)
        if _whole(value) and isinstance(value, int) and 0 < value < MIN_A:
            problems.add(("site", "grid", key), f"a vehicle needs {MIN_A} A; raise it or write 0", value)
    failsafe = grid.get("failsafe_a", -1)
    if _whole(fuse) and _whole(failsafe) and 0 < fuse < failsafe:
        problems.add(("site", "grid", "failsafe_a"), f"more than the fuse (fuse_a = {fuse}); lower it", failsafe)


def _fuse(
    at: Path, row: dict[str, Any], names: set[str], behind: dict[int, str], evse_ids: set[Any], problems: Problems
) -> None:
    name = row.get("name")
    if isinstance(name, str):
        if name in names:
            problems.add((*at, "name"), "this name of a fuse is used twice; give each its own", name)
        names.add(name)
    evses = row.get("evses")
    for evse in evses if isinstance(evses, list) else ():
        if not _whole(evse):
            continue
        if evse not in evse_ids:
            problems.add((*at, "evses"), f"there is no EVSE {evse}; add [[evse]] id = {evse} or remove it here", evses)
        elif evse in behind:
            problems.add((*at, "evses"), f'EVSE {evse} is behind the fuse "{behind[evse]}" already; name it once', evses)
        behind.setdefault(evse, str(name))
