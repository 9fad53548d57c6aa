"""What people read: tables, name/value pages, wrapping, colour. Nothing here touches stdout.

On a terminal a table is made to fit: long texts wrap inside their column, then columns of low rank are left out. In a
pipe or a file nothing wraps in a table and no column is missing, so that ``grep`` finds whole lines. Ids are never cut.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]
Cell = Callable[[Row], str]

PAGE_WIDTH = 80
"""Characters per line of a page when the output is no terminal, or a terminal that does not tell its size."""
PAGE_WIDTH_MAX = 100
FLEX_MIN = 16
"""A wrapping column is never narrower than this."""

RED, GREEN, YELLOW = "31", "32", "33"


class Screen:
    """Where the text goes: ``width`` of a terminal in characters (None = a pipe or a file), and whether to colour."""

    __slots__ = ("color", "width")

    def __init__(self, width: int | None = None, *, color: bool = False) -> None:
        self.width = width
        self.color = color

    @property
    def page(self) -> int:
        """Width of prose: lines longer than 100 are hard to read."""
        return min(self.width or PAGE_WIDTH, PAGE_WIDTH_MAX)


def screen(*, file: str = "", color: str = "auto") -> Screen:
    """The screen of stdout, or of a file. ``color``: auto, always, never.

    EVSECTL_FORCE_TTY=WIDTH acts as a terminal of that width; COLUMNS wins over what the terminal says.
    """
    forced = os.environ.get("EVSECTL_FORCE_TTY", "")
    terminal = not file and (forced.isdigit() or sys.stdout.isatty())
    width = (int(forced) if forced.isdigit() else _terminal_width()) if terminal else None
    return Screen(width, color=_colored(color, terminal=terminal))


def _colored(color: str, *, terminal: bool) -> bool:
    environment = os.environ
    if color in ("always", "never"):
        return color == "always"
    if environment.get("NO_COLOR"):
        return False
    if environment.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return terminal and environment.get("TERM") != "dumb"


def _terminal_width() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or PAGE_WIDTH
    except (OSError, ValueError):
        return PAGE_WIDTH


class Column:
    """One table column.

    ``wide``: only shown by ``-o wide``. ``flex``: may wrap on a terminal. ``drop``: on a terminal that is too narrow
    the column with the highest number is left out first; 0 = always there. ``style`` gives an ANSI colour or "".
    """

    __slots__ = ("cell", "drop", "flex", "header", "right", "style", "wide")

    def __init__(
        self,
        header: str,
        cell: Cell | str,
        *,
        right: bool = False,
        wide: bool = False,
        flex: bool = False,
        drop: int = 0,
        style: Cell | None = None,
    ) -> None:
        self.header = header
        self.cell: Cell = _of(cell) if isinstance(cell, str) else cell
        self.right = right
        self.wide = wide
        self.flex = flex
        self.drop = drop
        self.style = style


def _of(key: str) -> Cell:
    return lambda row: plain(row.get(key))


def plain(value: Any) -> str:
    """One value for people: ``-`` for unknown, yes/no for booleans."""
    if value is None or value == "":
        return "-"
    if value is True:
        return "yes"
    if value is False:
        return "no"
    if isinstance(value, list):
        return ",".join(plain(item) for item in value) or "-"
    return str(value)


def clean(text: str) -> str:
    """Text that cannot steer a terminal: what a card, a vehicle or a back end sent may hold control characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "?" for c in text)


def wrap(text: str, width: int) -> list[str]:
    """Break at blanks, long lists behind commas, into lines of at most ``width`` characters; no id is ever broken."""
    if len(text) <= width:
        return [text]
    lines: list[str] = []
    line = ""
    for word in text.split():
        glue = " " if line else ""
        parts = [word] if len(word) <= width or "," not in word else word.replace(",", ",\n").split("\n")
        for part in parts:
            if line and len(line) + len(glue) + len(part) > width:
                lines.append(line)
                line = part
            else:
                line += glue + part
            glue = ""
    return [*lines, line] if line else lines


def fit(items: list[Row], columns: list[Column], where: Screen) -> list[Column]:
    """The columns that a terminal has room for; all of them elsewhere."""
    columns = list(columns)
    if where.width is None:
        return columns
    while sum(_narrow(items, c) for c in columns) + 2 * (len(columns) - 1) > where.width:
        last = max(columns, key=lambda c: c.drop)
        if last.drop == 0:
            break
        columns.remove(last)
    return columns


def _natural(items: list[Row], column: Column) -> int:
    return max([len(column.header), *(len(clean(column.cell(item))) for item in items)])


def _narrow(items: list[Row], column: Column) -> int:
    width = _natural(items, column)
    return min(width, max(FLEX_MIN, len(column.header))) if column.flex else width


def table(items: list[Row], columns: list[Column], *, headers: bool = True, where: Screen | None = None) -> str:
    """A plain table: two blanks between columns, numbers to the right, no trailing blanks."""
    where = where or Screen()
    rows = [[clean(column.cell(item)) for column in columns] for item in items]
    heads = [[column.header for column in columns]] if headers else []
    widths = [max((len(line[i]) for line in heads + rows), default=0) for i in range(len(columns))]
    _squeeze(widths, columns, where)
    out = [_line(cells, widths, columns, None) for cells in heads]
    for item, cells in zip(items, rows, strict=True):
        lines = [wrap(cell, widths[i]) if columns[i].flex else [cell] for i, cell in enumerate(cells)]
        for number in range(max((len(cell) for cell in lines), default=0)):
            part = [cell[number] if number < len(cell) else "" for cell in lines]
            out.append(_line(part, widths, columns, item if where.color else None))
    return "".join(line + "\n" for line in out)


def _squeeze(widths: list[int], columns: list[Column], where: Screen) -> None:
    """Make the wrapping columns as narrow as the terminal needs."""
    if where.width is None:
        return
    flexible = [i for i, column in enumerate(columns) if column.flex]
    left = where.width - 2 * (len(columns) - 1) - sum(w for i, w in enumerate(widths) if i not in flexible)
    for done, i in enumerate(sorted(flexible, key=lambda i: widths[i])):
        widths[i] = min(widths[i], max(left // (len(flexible) - done), FLEX_MIN))
        left -= widths[i]


def _line(cells: list[str], widths: list[int], columns: list[Column], item: Row | None) -> str:
    parts = []
    for text, width, column in zip(cells, widths, columns, strict=True):
        padded = text.rjust(width) if column.right else text.ljust(width)
        style = column.style(item) if item is not None and column.style is not None and text else ""
        parts.append(paint(padded, style))
    return "  ".join(parts).rstrip()


def paint(text: str, style: str) -> str:
    """``text`` in a colour; blanks at the end stay plain so that they can be stripped."""
    if not style:
        return text
    body = text.rstrip()
    return f"\x1b[{style}m{body}\x1b[0m{text[len(body) :]}"


def pairs(rows: Iterable[tuple[str, str]], where: Screen | None = None) -> str:
    """Name and value, aligned, long values wrapped; for one object."""
    rows = list(rows)
    where = where or Screen()
    width = max((len(name) for name, _ in rows), default=0)
    out = []
    for name, value in rows:
        for number, line in enumerate(wrap(clean(value), max(FLEX_MIN, where.page - width - 2))):
            out.append(f"{('' if number else name).ljust(width)}  {line}".rstrip() + "\n")
    return "".join(out)
