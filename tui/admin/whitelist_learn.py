"""The dialog that waits for the next card or vehicle: seconds left, then what became of it."""

from __future__ import annotations

from typing import Final

from evse.api.errors import ApiError
from evse.api.models_whitelist import WhitelistWait, WhitelistWindow
from evse.units import NS_PER_S, WallNs
from tui.admin.whitelist_forms import KINDS
from tui.driver.glyphs import Glyphs
from tui.state.store import Store
from tui.widgets.dialogs import CellDialog, box
from tui.widgets.frame import Frame

WAIT_S: Final = 8
"""Longest wait of one call, below the time limit of a call."""
WIDTH, HEIGHT = 62, 9
WAITING: Final = "waiting"


def seconds_left(window: WhitelistWindow, now: WallNs) -> int:
    """Return the seconds until the window closes, rounded up."""
    return max(0, -((now - window.until) // NS_PER_S))


def result(window: WhitelistWindow) -> tuple[str, str, str]:
    """(headline, role, second line) of a window that has ended."""
    entry = window.entry
    what = "" if entry is None else f"{entry.id} {KINDS.get(entry.type, entry.type)} {entry.name}".rstrip()
    if window.stage == "learned":
        return "[OK] Learned", "ok", what
    if window.stage == "known":
        return "[OK] On the list already, unchanged", "ok", what
    if window.stage == "expired":
        hint = "Hold the card still for a second." if window.reader else "Not every vehicle tells its address."
        return "[!] Nothing came in time", "warn", f"{hint} Or wait longer."
    if window.stage == "failed":
        return "[X] Not learned", "fault", window.why
    return "[!] Stopped, nothing was learned", "warn", ""


def paint_learning(window: WhitelistWindow, left_s: int, glyphs: Glyphs, *, problem: str = "") -> Frame:
    """Paint the dialog; ``problem`` = why the end of the window is not known."""
    frame = box("Learn", WIDTH, HEIGHT, ascii_only=not glyphs.half_blocks)
    room, close = WIDTH - 6, "Enter close"
    if problem:
        y = frame.wrap(3, 2, "[X] It is not known what became of it", room, "fault")
        frame.wrap(3, y, problem, room)
    elif window.stage == WAITING:
        where = f"reader {window.reader}" if window.reader else f"connector {window.evse_id}"
        text = f"Hold the card to {where} now." if window.reader else f"Plug the vehicle in at {where}, if it is not yet."
        y = frame.wrap(3, 2, text, room, "title", rows=2)
        frame.wrap(3, y, "What comes first goes on the list and starts nothing.", room)
        frame.put(3, 5, "Seconds left", "dim")
        frame.right(20, 5, str(left_s), "value")
        close = "Esc stop learning"
    else:
        headline, role, more = result(window)
        y = frame.wrap(3, 2, headline, room, role)
        frame.wrap(3, y, more, room, "value", rows=3)
    frame.put(3, HEIGHT - 2, close, "dim")
    frame.cursor = (3, HEIGHT - 2)
    return frame


class LearnDialog(CellDialog[WhitelistWindow]):
    """Follows one window to its end; Esc stops the learning, then any of Enter, Esc, q closes."""

    def __init__(self, store: Store, window: WhitelistWindow) -> None:
        super().__init__()
        self.window = window
        self.problem = ""
        self._store = store
        self._number = window.number

    @property
    def waiting(self) -> bool:
        """Whether the window is open as far as we know."""
        return self.window.stage == WAITING and not self.problem

    def on_mount(self) -> None:
        """Draw, follow, count down by the pace of the line."""
        super().on_mount()
        self.run_worker(self._follow(), group="learn", exit_on_error=False)
        self.set_interval(self.cell_app.profile.refresh_s, self._count)

    def draw(self, width: int) -> Frame:
        """The dialog as things stand."""
        left_s = seconds_left(self.window, self._store.station_now())
        return paint_learning(self.window, left_s, self.cell_app.profile.glyphs, problem=self.problem)

    def typed(self, key: str, character: str | None) -> None:
        """Stop or close."""
        if self.waiting:
            if key == "escape":
                self.run_worker(self._stop(), group="stop", exit_on_error=False)
        elif key in {"escape", "enter"} or character == "q":
            self.answer(self.window)

    def _count(self) -> None:
        if self.waiting:
            self.redraw()

    async def _follow(self) -> None:
        """Wait for the end, one call after the other."""
        try:
            while self.waiting:
                asked = WhitelistWait(number=self._number, seconds=WAIT_S)
                window: WhitelistWindow = await self._store.call("whitelist.window", asked)
                if window.number != self._number:
                    self.problem = "Somebody else has begun to learn meanwhile. Look at the list."
                else:
                    self.window = window
        except ApiError as error:
            self.problem = error.message
        self.redraw()

    async def _stop(self) -> None:
        """Ask the daemon; what came a moment before still counts, so the end is `_follow`'s to tell."""
        try:
            await self._store.call("whitelist.cancel")
        except ApiError as error:
            self.problem = error.message
            self.redraw()
