"""The sixteen colours of a Linux virtual console, and the same at night.

``ESC ] P n rrggbb`` sets one colour, ``ESC ] R`` gives all back (console_codes(4)). The sequence has no end mark, so other
terminals wait for one and swallow the screen: only `tui.driver.profiles.Profile.palette` lets it out, for TERM=linux.
"""

from __future__ import annotations

from typing import Final

DAY: Final[tuple[tuple[int, int, int], ...]] = (
    (0, 0, 0), (190, 60, 60), (60, 170, 90), (215, 160, 0), (0, 70, 160), (200, 70, 160), (40, 170, 200),
    (200, 200, 200), (90, 90, 90), (240, 110, 110), (110, 220, 140), (255, 215, 60), (80, 150, 255), (255, 120, 210),
    (110, 220, 245), (255, 255, 255),
)  # fmt: skip
"""Colours 0..15. Blue, yellow and magenta differ in brightness too, for those who do not see all colours."""
NIGHT_PERMILLE: Final = 280
"""Brightness that is left of every colour while the screen rests: readable in the dark, gentle to the panel."""
NIGHT: Final = tuple(
    (r * NIGHT_PERMILLE // 1000, g * NIGHT_PERMILLE // 1000, b * NIGHT_PERMILLE // 1000) for r, g, b in DAY
)
RESET: Final = b"\x1b]R"


def palette(*, night: bool) -> bytes:
    """Return the sequences that set all sixteen colours (160 bytes)."""
    colours = NIGHT if night else DAY
    return b"".join(b"\x1b]P%x%02x%02x%02x" % (number, *colour) for number, colour in enumerate(colours))
