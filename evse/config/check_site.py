"""What must fit together in ``[site.grid]`` and ``[[site.fuse]]``."""

from __future__ import annotations

import zoneinfo
from typing import Any

from evse.config.source import Problems
from evse.config.toml_lines import Path

MIN_A = 6
"""IEC 61851-1: less is nothing to a vehicle."""


def check_grid(site: dict[str, Any] | None, evse_ids: set[Any], inputs: set[Any], problems: Problems) -> None:
    """Note every mistake of the tables below ``[site]`` (None = it is absent). ``inputs`` = names of ``[[io.input]]``."""
    if site is None:
        return
    grid, fuses = site.get("grid"), site.get("fuse")
    if isinstance(grid, dict):
        _grid(grid, problems)
        _phases(grid, inputs, problems)
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


def _phases(grid: dict[str, Any], inputs: set[Any], problems: Problems) -> None:
    """Limits per phase: of installer and operator, by the hour, and while an input sheds."""
    top = ("site", "grid")
    own = _three(grid.get("own_a"), (*top, "own_a"), problems)
    operator = _three(grid.get("operator_a"), (*top, "operator_a"), problems)
    if own and operator and any(a > b for a, b in zip(operator, own, strict=True)):
        problems.add((*top, "operator_a"), f"more than the installer's limit (own_a = {own}); lower it", operator)
    hours = grid.get("hours")
    rows = [(i, row) for i, row in enumerate(hours if isinstance(hours, list) else ()) if isinstance(row, dict)]
    if len(rows) == 1:
        problems.add((*top, "hours"), "one entry would hold the whole day; add another, or set own_a", hours)
    seen: set[Any] = set()
    for i, row in rows:
        _three(row.get("limit_a"), (*top, "hours", i, "limit_a"), problems)
        if row.get("hour") in seen:
            problems.add((*top, "hours", i, "hour"), "this hour is named twice; give each its own", row.get("hour"))
        seen.add(row.get("hour"))
    shed = grid.get("shed")
    if isinstance(shed, dict):
        _shed((*top, "shed"), grid, shed, inputs, problems)


def _shed(at: Path, grid: dict[str, Any], shed: dict[str, Any], inputs: set[Any], problems: Problems) -> None:
    name = shed.get("input")
    if isinstance(name, str) and name not in inputs:
        known = ", ".join(sorted(map(str, inputs))) or "none"
        problems.add((*at, "input"), f"there is no such [[io.input]]; known: {known}", name)
    offset = _three(shed.get("offset_a"), (*at, "offset_a"), problems, low=-4000, high=0)
    if not offset and shed.get("limit_a", -1) == -1:
        problems.add(at, "shedding changes nothing; set offset_a or limit_a", shed)
    if offset and not (grid.get("own_a") or grid.get("operator_a") or grid.get("hours") or grid.get("fuse_a")):
        problems.add((*at, "offset_a"), "there is no limit that it could lower; set own_a, or use limit_a", offset)


def _three(value: object, at: Path, problems: Problems, *, low: int = 0, high: int = 4000) -> list[int]:
    """The three numbers of ``value``; empty when it is absent, empty or wrong."""
    if not isinstance(value, list) or not value:
        return []
    if len(value) != 3 or not all(_whole(v) and low <= v <= high for v in value):
        problems.add(at, f"write three whole numbers [L1, L2, L3] from {low} to {high} A", value)
        return []
    return value


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


def io_inputs(io: dict[str, Any] | None) -> set[Any]:
    """Names of the inputs of the controller."""
    rows = io.get("input") if isinstance(io, dict) else None
    return {row.get("name") for row in rows if isinstance(row, dict)} if isinstance(rows, list) else set()


def check_timezone(station: dict[str, Any] | None, problems: Problems) -> None:
    """Note a time zone that this machine does not know."""
    name = station.get("timezone") if isinstance(station, dict) else None
    if not isinstance(name, str):
        return
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        problems.add(("station", "timezone"), "no such time zone here; write e.g. Europe/Berlin or UTC", name)
