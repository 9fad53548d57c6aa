"""Two themes: sixteen ANSI colours and none. Style names are roles, never colours.

Colours are for the colour-blind too: blue and plain for good, yellow for attention, reverse magenta for faults; every
state also has its word and its mark, so monochrome loses nothing.
"""

from __future__ import annotations

from typing import Final

from rich.style import Style
from textual.theme import Theme

THEME_16: Final = "evse-16"
THEME_MONO: Final = "evse-mono"


def _theme(name: str, accent: str, warning: str, error: str) -> Theme:
    return Theme(
        name=name,
        ansi=True,
        primary=accent,
        secondary=accent,
        warning=warning,
        error=error,
        success=accent,
        accent=accent,
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        dark=True,
        variables={
            "ansi-background": "ansi_black",
            "ansi-foreground": "ansi_white",
            "border-blurred": "ansi_black",
            "block-cursor-foreground": "ansi_black",
            "block-cursor-background": "ansi_white",
            "input-cursor-background": "ansi_white",
            "input-cursor-foreground": "ansi_black",
            "input-cursor-text-style": "none",
            "input-selection-background": "ansi_white",
            "input-selection-foreground": "ansi_black",
            "screen-selection-background": "ansi_white",
            "screen-selection-foreground": "ansi_black",
        },
    )


THEMES: Final[tuple[Theme, ...]] = (
    _theme(THEME_16, "ansi_cyan", "ansi_yellow", "ansi_magenta"),
    _theme(THEME_MONO, "ansi_default", "ansi_default", "ansi_default"),
)

ROLES: Final[dict[str, Style]] = {
    "": Style(),
    "title": Style(bold=True),
    "dim": Style(color="cyan"),
    "value": Style(bold=True),
    "ok": Style(color="cyan", bold=True),
    "warn": Style(color="yellow", bold=True),
    "fault": Style(color="magenta", bold=True, reverse=True),
    "big": Style(bold=True),
    "bar": Style(color="cyan"),
    "cursor": Style(reverse=True),
    "key": Style(bold=True, reverse=True),
    "head": Style(color="white", bgcolor="blue"),
}
"""Roles used by the painters. ``dim`` is a label, ``head`` the header line."""

ROLES_MONO: Final[dict[str, Style]] = {
    name: Style(bold=style.bold, reverse=style.reverse or style.bgcolor is not None, underline=style.underline)
    if name not in {"dim", "value", "big", "bar", "ok"}
    else Style()
    for name, style in ROLES.items()
}


def roles(*, mono: bool) -> dict[str, Style]:
    """Return the styles of a theme."""
    return ROLES_MONO if mono else ROLES
