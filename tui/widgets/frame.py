"""A page as cells. Painters are pure functions that fill a `Frame`; one line-API widget shows it.

That keeps a page at the cost of one widget, makes every page a text that a test can compare, and lets the terminal
driver see small changes: only the lines and columns that differ are refreshed.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Offset, Region
from textual.strip import Strip
from textual.widget import Widget


class Frame:
    """``height`` rows of ``width`` cells, each a character and the name of a role (see `tui.theme`)."""

    __slots__ = ("chars", "cursor", "height", "roles", "width")

    def __init__(self, width: int, height: int) -> None:
        self.width = max(1, width)
        self.height = max(1, height)
        self.clear()

    def clear(self) -> None:
        """Make every cell blank."""
        self.chars = [[" "] * self.width for _ in range(self.height)]
        self.roles = [[""] * self.width for _ in range(self.height)]
        self.cursor: tuple[int, int] | None = None  # where the real cursor parks

    def put(self, x: int, y: int, text: str, role: str = "", *, limit: int | None = None) -> int:
        """Write a text at a cell; returns the column after it. Cut at the frame and after ``limit`` cells."""
        if not 0 <= y < self.height:
            return x
        end = self.width if limit is None else min(self.width, x + limit)
        chars, roles = self.chars[y], self.roles[y]
        for char in text:
            size = 1 if char.isascii() else cell_len(char)
            if x + size > end:
                break
            if x >= 0 and size:
                chars[x] = char
                roles[x] = role
                if size == 2:
                    chars[x + 1] = ""
                    roles[x + 1] = role
            x += size
        return x

    def right(self, x: int, y: int, text: str, role: str = "") -> int:
        """Write a text that ends before column ``x``; returns its first column."""
        start = max(0, x - cell_len(text))
        self.put(start, y, text, role)
        return start

    def centre(self, y: int, text: str, role: str = "", *, x: int = 0, width: int | None = None) -> None:
        """Write a text in the middle of ``width`` cells from ``x``."""
        width = self.width - x if width is None else width
        self.put(x + max(0, (width - cell_len(text)) // 2), y, text, role)

    def fill(self, y: int, role: str, *, x: int = 0, width: int | None = None) -> None:
        """Give a role to cells of a row without changing their characters."""
        if 0 <= y < self.height:
            end = self.width if width is None else min(self.width, x + width)
            self.roles[y][x:end] = [role] * max(0, end - x)

    def wrap(self, x: int, y: int, text: str, width: int, role: str = "", *, rows: int = 4) -> int:
        """Write words over at most ``rows`` lines; returns the row after the last one used."""
        line = ""
        for word in text.split():
            if line and cell_len(line) + 1 + cell_len(word) > width:
                rows -= 1
                if not rows:
                    self.put(x, y, line[: max(0, width - 3)] + "...", role, limit=width)
                    return y + 1
                self.put(x, y, line, role, limit=width)
                y, line = y + 1, word
            else:
                line = f"{line} {word}" if line else word
        if line:
            self.put(x, y, line, role, limit=width)
            y += 1
        return y

    def box(self, other: Frame, x: int, y: int) -> None:
        """Copy another frame into this one."""
        for dy in range(min(other.height, self.height - y)):
            size = min(other.width, self.width - x)
            self.chars[y + dy][x : x + size] = other.chars[dy][:size]
            self.roles[y + dy][x : x + size] = other.roles[dy][:size]

    def lines(self) -> list[str]:
        """Rows as text without trailing blanks."""
        return ["".join(row).rstrip() for row in self.chars]

    def __str__(self) -> str:
        return "\n".join(self.lines()) + "\n"


class FrameView(Widget):
    """Shows a frame. The owner calls `show` with the next one; equal lines cost nothing."""

    can_focus = False

    def __init__(self, styles: Mapping[str, Style], *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._styles_by_role = styles
        self.frame = Frame(1, 1)

    def show(self, frame: Frame) -> None:
        """Take a new frame and refresh what differs; parks the cursor where the frame says."""
        old, self.frame = self.frame, frame
        if (old.width, old.height) != (frame.width, frame.height):
            self.refresh()
        else:
            regions = [region for y in range(frame.height) if (region := _changed(old, frame, y)) is not None]
            if regions:
                self.refresh(*regions)
        self.park()

    def park(self) -> None:
        """Put the real cursor on the focused cell (screen readers and braille lines follow it)."""
        if self.frame.cursor is not None and self.is_attached:
            x, y = self.frame.cursor
            self.app.cursor_position = self.region.offset + Offset(x, y)

    def render_line(self, y: int) -> Strip:
        """One row as runs of equal roles."""
        frame = self.frame
        if y >= frame.height:
            return Strip.blank(self.size.width)
        chars, roles = frame.chars[y], frame.roles[y]
        segments: list[Segment] = []
        start = 0
        for x in range(1, frame.width + 1):
            if x == frame.width or roles[x] != roles[start]:
                segments.append(Segment("".join(chars[start:x]), self._styles_by_role[roles[start]]))
                start = x
        return Strip(segments, frame.width).adjust_cell_length(self.size.width)


def _changed(old: Frame, new: Frame, y: int) -> Region | None:
    chars, roles, old_chars, old_roles = new.chars[y], new.roles[y], old.chars[y], old.roles[y]
    if chars == old_chars and roles == old_roles:
        return None
    differ = [x for x in range(new.width) if chars[x] != old_chars[x] or roles[x] != old_roles[x]]
    first = differ[0] - (1 if chars[differ[0]] == "" else 0)
    return Region(first, y, differ[-1] + 1 - first, 1)
