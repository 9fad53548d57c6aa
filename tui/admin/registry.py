"""Sections of the console. A section is a screen class registered here; places without a screen are not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from tui.admin.section import SectionScreen


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the navigation: its key is fixed for ever, so that fingers can learn it."""

    key: str
    id: str
    title: str


PLACES: Final[tuple[Place, ...]] = tuple(
    Place(key=key, id=title.lower(), title=title)
    for key, title in (
        ("1", "Overview"),
        ("2", "Connectors"),
        ("3", "Sessions"),
        ("4", "Planner"),
        ("5", "Faults"),
        ("6", "Config"),
        ("7", "Settings"),
        ("8", "Network"),
        ("9", "Tunnel"),
        ("0", "PLC"),
        ("T", "Meters"),
        ("W", "Whitelist"),
        ("A", "Rules"),
        ("B", "OCPP"),
        ("L", "Logs"),
        ("M", "Maint"),
        ("K", "License"),
    )
)

_screens: dict[str, type[SectionScreen]] = {}


def register(screen: type[SectionScreen]) -> type[SectionScreen]:
    """Class decorator: put a screen at its place. Raises ValueError for an unknown or taken place."""
    if screen.SECTION not in {place.id for place in PLACES}:
        raise ValueError(f"no place {screen.SECTION!r} in the navigation; known: {', '.join(p.id for p in PLACES)}")
    if _screens.get(screen.SECTION, screen) is not screen:
        raise ValueError(f"place {screen.SECTION!r} is taken by {_screens[screen.SECTION].__name__}")
    _screens[screen.SECTION] = screen
    return screen


def places() -> list[Place]:
    """Places that have a screen, in order."""
    return [place for place in PLACES if place.id in _screens]


def screen_for(place_id: str) -> type[SectionScreen]:
    """Return the screen of a place. Raises KeyError."""
    return _screens[place_id]


def bar(width: int, current: str, marks: dict[str, str]) -> list[tuple[str, str]]:
    """Return (text, role) pieces of the section bar, windowed around the current one with ``<`` and ``>``.

    ``marks`` adds a mark behind a title, e.g. the number of active faults.
    """
    items = [(place.id, f"{place.key} {place.title}{marks.get(place.id, '')}") for place in places()]
    at = next((i for i, (id_, _) in enumerate(items) if id_ == current), 0)
    first = last = at
    used = len(items[at][1])
    while True:
        grow_left = first > 0 and used + len(items[first - 1][1]) + 2 <= width - 4
        grow_right = last < len(items) - 1 and used + len(items[last + 1][1]) + 2 <= width - 4
        if not grow_left and not grow_right:
            break
        if grow_right and (not grow_left or last - at <= at - first):
            last += 1
            used += len(items[last][1]) + 2
        else:
            first -= 1
            used += len(items[first][1]) + 2
    out: list[tuple[str, str]] = [("< " if first > 0 else " ", "")]
    for index in range(first, last + 1):
        out.append((items[index][1], "cursor" if index == at else ""))
        out.append(("  ", ""))
    if last < len(items) - 1:
        out[-1] = (" >", "")
    return out
