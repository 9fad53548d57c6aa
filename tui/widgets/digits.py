"""Big digits: three rows high, readable at two metres on a 16x32 console font."""

from __future__ import annotations

from typing import Final

from tui.driver.glyphs import Glyphs
from tui.widgets.frame import Frame

ROWS: Final = 3

_BITMAPS: Final[dict[str, tuple[str, ...]]] = {
    "0": ("####", "#  #", "#  #", "#  #", "#  #", "####"),
    "1": ("  # ", " ## ", "  # ", "  # ", "  # ", " ###"),
    "2": ("####", "   #", "####", "#   ", "#   ", "####"),
    "3": ("####", "   #", " ###", "   #", "   #", "####"),
    "4": ("#  #", "#  #", "####", "   #", "   #", "   #"),
    "5": ("####", "#   ", "####", "   #", "   #", "####"),
    "6": ("####", "#   ", "####", "#  #", "#  #", "####"),
    "7": ("####", "   #", "  # ", "  # ", " #  ", " #  "),
    "8": ("####", "#  #", "####", "#  #", "#  #", "####"),
    "9": ("####", "#  #", "####", "   #", "   #", "####"),
    "-": ("    ", "    ", "    ", "### ", "    ", "    "),
    ".": (" ", " ", " ", " ", " ", "#"),
    ":": (" ", "#", " ", " ", "#", " "),
    "%": ("#  #", "   #", "  # ", " #  ", "#   ", "#  #"),
    " ": ("  ", "  ", "  ", "  ", "  ", "  "),
}
_SEGMENTS: Final[dict[str, tuple[str, ...]]] = {
    "0": (" __ ", "|  |", "|__|"),
    "1": ("    ", "   |", "   |"),
    "2": (" __ ", " __|", "|__ "),
    "3": (" __ ", " __|", " __|"),
    "4": ("    ", "|__|", "   |"),
    "5": (" __ ", "|__ ", " __|"),
    "6": (" __ ", "|__ ", "|__|"),
    "7": (" __ ", "   |", "   |"),
    "8": (" __ ", "|__|", "|__|"),
    "9": (" __ ", "|__|", " __|"),
    "-": ("    ", " -- ", "    "),
    ".": (" ", " ", "."),
    ":": (" ", ":", "."),
    "%": ("    ", "o / ", " / o"),
    " ": ("  ", "  ", "  "),
}
_HALVES: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def big_rows(text: str, glyphs: Glyphs, *, scale: int = 1) -> tuple[str, ...]:
    """Return the rows of a number (digits, ``. : - %``, blanks). ``scale`` 2 doubles it (half blocks only)."""
    if not glyphs.half_blocks:
        return tuple(" ".join(_SEGMENTS.get(c, _SEGMENTS["-"])[row] for c in text) for row in range(ROWS))
    gap = " " * scale
    rows: list[str] = []
    pixels = [
        gap.join("".join(p * scale for p in _BITMAPS.get(c, _BITMAPS["-"])[row]) for c in text) for row in range(6)
    ]
    pixels = [row for row in pixels for _ in range(scale)]
    for top, bottom in zip(pixels[::2], pixels[1::2], strict=True):
        rows.append("".join(_HALVES[t == "#", b == "#"] for t, b in zip(top, bottom, strict=True)))
    return tuple(rows)


def put_big(frame: Frame, x: int, y: int, text: str, glyphs: Glyphs, role: str = "big", *, scale: int = 1) -> int:
    """Paint a number; returns the column after it."""
    rows = big_rows(text, glyphs, scale=scale)
    for dy, row in enumerate(rows):
        frame.put(x, y + dy, row, role)
    return x + len(rows[0])
