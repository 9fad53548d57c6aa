"""A screen nobody looks at: when it rests, what it shows then, and how it spares its panel.

Two minutes without a key or a session bring the invitation, ten darken it, and once a minute everything moves by one
cell so that nothing burns in. A key, a vehicle, a card or a fault end all of it at once.
"""

from __future__ import annotations

import enum
from typing import Final

from evse.api.models import Status
from evse.domain.session import SessionPhase
from evse.units import NS_PER_S, Instant
from tui import format as fmt
from tui.driver.glyphs import Glyphs
from tui.i18n import Translate
from tui.widgets.digits import ROWS, big_rows
from tui.widgets.frame import Frame

ATTRACT_S: Final = 120
DIM_S: Final = 600
SHIFT_EVERY_S: Final = 60
SHIFTS: Final = ((0, 0), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
"""Columns and rows by which the picture moves, one pair a minute: each cell is dark in turn."""
_QUIET: Final = frozenset({SessionPhase.IDLE, SessionPhase.UNAVAILABLE, SessionPhase.FAULTED, SessionPhase.FINISHED})
"""Phases that need no eye: a vehicle that is full may stay overnight."""


class Rest(enum.Enum):
    """How awake the screen is."""

    AWAKE = "awake"
    ATTRACT = "attract"
    DIM = "dim"


class RestWatch:
    """Knows when somebody was last here. Times are monotonic ns and given by the caller."""

    def __init__(self, now: Instant) -> None:
        self._last = now
        self._seen: object = None
        self._occupied = False

    def touch(self, now: Instant) -> None:
        """A key was pressed."""
        self._last = now

    def look(self, status: Status | None, now: Instant) -> None:
        """Compare the station with what it was: whatever a person or a vehicle does counts like a key."""
        views = status.view.evses if status is not None else ()
        seen = tuple(
            (v.phase, v.plugged, v.auth_state, v.reserved, v.operational, tuple(f.code for f in v.faults))
            for v in views
        )
        if seen != self._seen:
            self._seen = seen
            self._last = now
        self._occupied = any(view.phase not in _QUIET for view in views)

    def rest(self, now: Instant) -> Rest:
        """How awake the screen is now; a session at any connector keeps it from resting."""
        idle_s = (now - self._last) // NS_PER_S
        if self._occupied or idle_s < ATTRACT_S:
            return Rest.AWAKE
        return Rest.DIM if idle_s >= DIM_S else Rest.ATTRACT

    def shift(self, now: Instant) -> tuple[int, int]:
        """Columns and rows to move the picture by; also beside a vehicle that charges for hours."""
        idle_s = (now - self._last) // NS_PER_S
        if idle_s < ATTRACT_S:
            return (0, 0)
        return SHIFTS[(idle_s - ATTRACT_S) // SHIFT_EVERY_S % len(SHIFTS)]


def shifted(frame: Frame, columns: int, rows: int) -> Frame:
    """Return the picture moved by at most one cell each way; what leaves at an edge is lost, the other edge is blank."""
    if not columns and not rows:
        return frame
    moved = Frame(frame.width, frame.height)
    for y in range(max(0, rows), min(frame.height, frame.height + rows)):
        moved.chars[y] = _slid(frame.chars[y - rows], columns)
        roles = frame.roles[y - rows]
        moved.roles[y] = ["", *roles[:-1]] if columns > 0 else [*roles[1:], ""] if columns < 0 else list(roles)
    return moved


def _slid(chars: list[str], columns: int) -> list[str]:
    """One row; a wide character that loses one of its two cells becomes a blank."""
    if columns > 0:
        kept = [" ", *chars[:-1]]
        if chars[-1] == "":
            kept[-1] = " "
        return kept
    if columns < 0:
        kept = [*chars[1:], " "]
        if kept[0] == "":
            kept[0] = " "
        return kept
    return list(chars)


def attract(frame: Frame, tr: Translate, glyphs: Glyphs, status: Status, clock: str, available: int, title: str) -> None:
    """Paint the invitation under the station's ``title``: few cells in the middle.

    The first and last row and column stay free for `shifted`.
    """
    middle = frame.height // 2
    frame.centre(middle - 7, title, "title")
    frame.centre(middle - 6, status.station_id, "dim")
    if clock != fmt.NONE:
        for dy, row in enumerate(big_rows(clock, glyphs)):
            frame.centre(middle - 3 + dy, row, "big")
    frame.centre(middle + ROWS - 1, tr("home.hello"), "title")
    frame.centre(middle + ROWS, tr("home.counts", available=available, charging=0))
    if status.support_phone:
        frame.centre(middle + ROWS + 3, tr("key.support", phone=status.support_phone))
    frame.centre(frame.height - 3, f"L {tr('key.language')} {tr.language.upper()}", "dim")
