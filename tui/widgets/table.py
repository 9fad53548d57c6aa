"""A table with fixed columns over a page of rows: the server pages and filters, the widget only shows.

Columns have a priority; those that do not fit are dropped, the least important first. Numbers are right-aligned and
the unit stands in the header.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.cells import cell_len, set_cell_size

from tui.driver.glyphs import Glyphs
from tui.widgets.frame import Frame


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column. ``priority`` 0 is never dropped; ``grow`` takes the space that is left."""

    title: str
    width: int
    right: bool = False
    priority: int = 0
    grow: bool = False


class TableState(msgspec.Struct, kw_only=True):
    """Cursor and window. The cursor stays on its row's key when data move."""

    cursor: int = 0
    top: int = 0
    key: str = ""

    def move(self, delta: int, keys: Sequence[str]) -> None:
        """Move the cursor by rows; ends at the first and last row."""
        if keys:
            self.cursor = max(0, min(len(keys) - 1, self.cursor + delta))
            self.key = keys[self.cursor]

    def settle(self, keys: Sequence[str], rows: int) -> None:
        """Follow the key after the data changed and keep the cursor inside the window of ``rows``."""
        if self.key in keys:
            self.cursor = list(keys).index(self.key)
        self.cursor = max(0, min(self.cursor, len(keys) - 1))
        if keys:
            self.key = keys[self.cursor]
        self.top = max(0, min(self.top, self.cursor, max(0, len(keys) - rows)))
        if self.cursor >= self.top + rows:
            self.top = self.cursor - rows + 1


def fit(columns: Sequence[Column], width: int) -> list[tuple[int, int]]:
    """Return (index, width) of the columns that fit with one blank between them."""
    kept = list(range(len(columns)))

    def needed() -> int:
        return 2 + sum(columns[i].width for i in kept) + len(kept) - 1

    while needed() > width and len(kept) > 1:
        least = max(kept, key=lambda i: (columns[i].priority, i))
        if columns[least].priority == 0:
            break
        kept.remove(least)
    spare = max(0, width - needed())
    growing = [i for i in kept if columns[i].grow]
    return [(i, columns[i].width + (spare // len(growing) if i in growing else 0)) for i in kept]


def put_table(
    frame: Frame,
    x: int,
    y: int,
    width: int,
    rows: int,
    columns: Sequence[Column],
    data: Sequence[tuple[str, Sequence[str]]],
    state: TableState | None,
    glyphs: Glyphs,
    *,
    empty: str,
    marks: dict[str, str] | None = None,
) -> int:
    """Paint header and rows (``data`` = key, cells); returns the next row. ``marks``: key -> role of the row."""
    shown = fit(columns, width)
    col = x + 2
    for index, size in shown:
        title = columns[index].title
        frame.put(col + (size - cell_len(title) if columns[index].right else 0), y, title, "dim", limit=size)
        col += size + 1
    y += 1
    if not data:
        frame.put(x + 2, y, empty, "", limit=width - 2)
        return y + 1
    keys = [key for key, _ in data]
    if state is not None:
        state.settle(keys, rows - 1)
    top = state.top if state is not None else 0
    for key, cells in data[top : top + rows - 1]:
        here = state is not None and key == state.key
        role = "cursor" if here else (marks or {}).get(key, "")
        if here:
            frame.put(x, y, glyphs.marker, "value")
            frame.cursor = (x, y)
        col = x + 2
        for index, size in shown:
            text = cells[index]
            if cell_len(text) > size:
                text = set_cell_size(text, max(1, size - 1)) + ("." if size > 1 else "")
            pad = size - cell_len(text)
            frame.put(col, y, (" " * pad + text) if columns[index].right else text + " " * pad, role)
            col += size + 1
        y += 1
    return y
