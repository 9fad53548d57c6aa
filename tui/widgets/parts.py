"""Parts of a page: bars, the bar of the 14 HLC steps, value lists, plots. All paint into a `Frame`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

from evse.domain.signals import HLC_STEPS, HlcStep
from tui.driver.glyphs import Glyphs
from tui.widgets.frame import Frame

PLOT_POINTS_MAX: Final = 240
"""Points a plot takes (SessionDetail gives at most as many)."""


def bar(frame: Frame, x: int, y: int, width: int, permille: int, glyphs: Glyphs, role: str = "bar") -> None:
    """Paint a bar filled to 0..1000 ‰."""
    filled = max(0, min(1000, permille)) * width // 1000
    frame.put(x, y, glyphs.full * filled, role)
    frame.put(x + filled, y, glyphs.empty * (width - filled), "dim")


def step_number(step: HlcStep | None) -> int:
    """Return 1..14, or 0 without a step."""
    return 0 if step is None else HLC_STEPS.index(step) + 1


def step_bar(frame: Frame, x: int, y: int, width: int, step: HlcStep | None, glyphs: Glyphs) -> None:
    """Paint one row: done steps full, the current one bold with its name, the others empty.

    From 78 columns every step has its short name; below, 14 equal marks.
    """
    number = step_number(step)
    names = [s.value for s in HLC_STEPS]
    if width >= sum(map(len, names)) + len(names) - 1:
        for index, name in enumerate(names, start=1):
            role = "cursor" if index == number else "value" if index < number else "dim"
            x = frame.put(x, y, name, role) + 1
        return
    cell = max(1, (width - 13) // 14) if width >= 27 else 1
    gap = 1 if width >= 27 else 0
    for index in range(1, 15):
        filled = index <= number
        role = "value" if index == number else "bar" if filled else "dim"
        frame.put(x, y, (glyphs.full if filled else glyphs.empty) * cell, role)
        x += cell + gap


def values(frame: Frame, x: int, y: int, width: int, rows: Sequence[tuple[str, str]], *, role: str = "value") -> int:
    """Paint ``label    value`` lines, labels left, values right-aligned at ``x + width``; returns the next row."""
    for label, value in rows:
        frame.put(x, y, label, "dim", limit=max(1, width - cell_len(value) - 1))
        frame.right(x + width, y, value, role)
        y += 1
    return y


def resample(points: Sequence[int | None], width: int) -> list[int | None]:
    """Return ``width`` values, each the last known of its slice; fewer points than columns stay one column each."""
    count = len(points)
    if count <= width:
        return [*points, *[None] * (width - count)]
    out: list[int | None] = []
    for column in range(width):
        first, last = column * count // width, max(column * count // width + 1, (column + 1) * count // width)
        known = [p for p in points[first:last] if p is not None]
        out.append(known[-1] if known else None)
    return out


def plot(
    frame: Frame,
    x: int,
    y: int,
    width: int,
    height: int,
    points: Sequence[int | None],
    glyphs: Glyphs,
    *,
    top: int,
    role: str = "bar",
) -> None:
    """Paint columns over ``height`` rows; ``top`` is the value of a full column (> 0). Levels come from the glyphs."""
    steps = len(glyphs.levels) - 1
    for column, value in enumerate(resample(points[-PLOT_POINTS_MAX:], width)):
        if value is None:
            continue
        units = max(0, min(height * steps, round(value * height * steps / max(1, top))))
        if value > 0:
            units = max(1, units)
        for row in range(height):
            level = max(0, min(steps, units - row * steps))
            if level:
                frame.put(x + column, y + height - 1 - row, glyphs.levels[level], role)


def step_names(frame: Frame, x: int, y: int, width: int, step: HlcStep | None) -> int:
    """Paint the 14 names over as many rows as they need, the current one reversed; returns the next row."""
    number, start = step_number(step), x
    for index, item in enumerate(HLC_STEPS, start=1):
        if x + len(item.value) > start + width:
            x, y = start, y + 1
        role = "cursor" if index == number else "value" if index < number else "dim"
        x = frame.put(x, y, item.value, role) + 1
    return y + 1


def rule(frame: Frame, y: int, glyphs: Glyphs, *, x: int = 0, width: int | None = None) -> None:
    """Paint one rule line."""
    frame.put(x, y, glyphs.rule * (frame.width - x if width is None else width), "dim")


def section(frame: Frame, x: int, y: int, title: str) -> int:
    """Paint a small heading; returns the next row."""
    frame.put(x, y, title.upper(), "title")
    return y + 1
