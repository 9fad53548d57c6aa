"""Sans-I/O half of the driver: Textual's output language in, the shortest bytes that make the screen equal out.

Theory. Textual writes whole spans of every widget that changed, often several times. `Parser` plays these writes
into a grid of cells that is WANTed; `Differ` knows the grid that the terminal HAS and emits only the cells that
differ, with the cheapest cursor moves, SGR only on change and EL for blank tails. Nothing is queued: when the line
is slow, the next call simply sees a newer WANT.

A cell is a character (``""`` = right half of a wide character) and an attribute integer made by `attr`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from rich.cells import cell_len

from tui.driver.glyphs import Translator

FG_DEFAULT: Final = 16
BOLD: Final = 1 << 10
UNDERLINE: Final = 1 << 11
REVERSE: Final = 1 << 12
DIM: Final = 1 << 13
PLAIN: Final = FG_DEFAULT | FG_DEFAULT << 5
"""Default colours, no attribute. Bits 0-4 foreground 0..15 or 16, bits 5-9 background likewise, then flags."""

GAP_MAX: Final = 4
"""Unchanged cells that are rewritten instead of jumping over them (a jump costs 4-6 bytes)."""
TAIL_MIN: Final = 4
"""Blank tails of at least this length are erased with EL (3 bytes)."""

_TOKEN: Final = re.compile(
    r"\x1b\[([0-9;:?<>=!$ ]*)([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|(\x1b[=>78cM])|"
    r"([\r\n\x07])|([^\x1b\r\n\x07]+)|(\x1b)"
)
_IGNORED_CSI: Final = frozenset("hlnuqtp")  # modes, queries, key protocols: the driver decides those itself

_CUBE: Final = (0, 95, 135, 175, 215, 255)
_RGB16: Final = (
    (0, 0, 0), (170, 0, 0), (0, 170, 0), (170, 85, 0), (0, 0, 170), (170, 0, 170), (0, 170, 170), (170, 170, 170),
    (85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85), (85, 85, 255), (255, 85, 255), (85, 255, 255),
    (255, 255, 255),
)  # fmt: skip


def attr(fg: int = FG_DEFAULT, bg: int = FG_DEFAULT, flags: int = 0) -> int:
    """Pack colours 0..15 (16 = default) and flags into one attribute."""
    return fg | bg << 5 | flags


def nearest16(red: int, green: int, blue: int) -> int:
    """Return the colour 0..15 of the VGA palette that is nearest to an RGB value."""
    return min(range(16), key=lambda i: sum((a - b) ** 2 for a, b in zip(_RGB16[i], (red, green, blue), strict=True)))


def from256(index: int) -> int:
    """Map a colour of the 256-colour palette to 0..15."""
    if index < 16:
        return index
    if index >= 232:
        grey = 8 + (index - 232) * 10
        return nearest16(grey, grey, grey)
    index -= 16
    return nearest16(_CUBE[index // 36 % 6], _CUBE[index // 6 % 6], _CUBE[index % 6])


class Grid:
    """A screen of cells, rows of characters and attributes."""

    __slots__ = ("attrs", "chars", "height", "width")

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.chars = [[" "] * width for _ in range(height)]
        self.attrs = [[PLAIN] * width for _ in range(height)]

    def lines(self) -> list[str]:
        """Text of every row; the right half of a wide character adds nothing."""
        return ["".join(row) for row in self.chars]


class Parser:
    """Plays Textual's output into a grid. ``on_unknown(sequence)`` is called for what it does not know."""

    def __init__(self, grid: Grid, translate: Translator, on_unknown: Callable[[str], None]) -> None:
        self.grid = grid
        self.dirty: set[int] = set()
        self.x = 0
        self.y = 0
        self.attr = PLAIN
        self._translate = translate
        self._on_unknown = on_unknown
        self._partial = ""

    def resize(self, width: int, height: int) -> None:
        """Start a new grid; Textual repaints everything after a resize."""
        self.grid = Grid(width, height)
        self.dirty = set(range(height))

    def feed(self, data: str) -> None:
        """Take one write. A sequence cut at the end waits for the rest (at most 64 characters)."""
        if self._partial:
            data = self._partial + data
            self._partial = ""
        cut = data.rfind("\x1b", max(0, len(data) - 64))
        if cut >= 0 and _incomplete(data[cut:]):
            self._partial = data[cut:]
            data = data[:cut]
        for match in _TOKEN.finditer(data):
            params, final, escape, control, text, lone = match.groups()
            if text is not None:
                self._text(text)
            elif final is not None:
                self._csi(params, final, match.group())
            elif control is not None:
                self._control(control)
            elif escape is not None or lone is not None:
                self._on_unknown(match.group())

    def _control(self, control: str) -> None:
        if control == "\r":
            self.x = 0
        elif control == "\n":
            self.x = 0
            self.y = min(self.y + 1, self.grid.height - 1)

    def _csi(self, params: str, final: str, whole: str) -> None:
        if final == "m":
            self._sgr(params, whole)
        elif final in "Hf":
            row, _, column = params.partition(";")
            self.y = max(0, min(int(row or 1) - 1, self.grid.height - 1)) if row.isdigit() or not row else 0
            self.x = max(0, int(column or 1) - 1) if column.isdigit() or not column else 0
        elif final == "K" and params in {"", "0"}:
            self._fill(self.y, self.x)
        elif final == "J" and params in {"", "0", "2"}:
            for y in range(self.grid.height):
                if params == "2" or y > self.y:
                    self._fill(y, 0)
            if params != "2":
                self._fill(self.y, self.x)
        elif final not in _IGNORED_CSI:
            self._on_unknown(whole)

    def _fill(self, y: int, x: int) -> None:
        grid = self.grid
        _split_wide(grid.chars[y], x, grid.width)
        grid.chars[y][x:] = [" "] * max(0, grid.width - x)
        grid.attrs[y][x:] = [PLAIN] * max(0, grid.width - x)
        self.dirty.add(y)

    def _sgr(self, params: str, whole: str) -> None:
        value = self.attr
        codes = iter([int(p) if p.isdigit() else 0 for p in params.replace(":", ";").split(";")])
        for code in codes:
            if code == 0:
                value = PLAIN
            elif code in _SGR_SET:
                value |= _SGR_SET[code]
            elif code in _SGR_CLEAR:
                value &= ~_SGR_CLEAR[code]
            elif 30 <= code <= 37 or 90 <= code <= 97:
                value = value & ~31 | (code - 30 if code < 40 else code - 82)
            elif 40 <= code <= 47 or 100 <= code <= 107:
                value = value & ~(31 << 5) | (code - 40 if code < 50 else code - 92) << 5
            elif code == 39:
                value = value & ~31 | FG_DEFAULT
            elif code == 49:
                value = value & ~(31 << 5) | FG_DEFAULT << 5
            elif code in {38, 48}:
                colour = _extended(codes)
                value = value & ~31 | colour if code == 38 else value & ~(31 << 5) | colour << 5
            elif code not in _SGR_IGNORED:
                self._on_unknown(whole)
        self.attr = value

    def _text(self, text: str) -> None:
        grid = self.grid
        x, y, value, translate = self.x, self.y, self.attr, self._translate
        if y >= grid.height:
            return
        chars, attrs, width = grid.chars[y], grid.attrs[y], grid.width
        if text.isascii():
            part = text[: max(0, width - x)]
            _split_wide(chars, x, x + len(part))
            chars[x : x + len(part)] = part
            attrs[x : x + len(part)] = [value] * len(part)
            self.x = x + len(text)
            self.dirty.add(y)
            return
        for char in text:
            cells = 1 if char.isascii() else cell_len(char)
            if cells == 0:
                continue
            shown = translate[char]
            if x + cells <= width:
                _split_wide(chars, x, x + cells)
                narrow = cells == 2 and shown.isascii()
                chars[x] = shown
                attrs[x] = value
                if cells == 2:
                    chars[x + 1] = " " if narrow else ""
                    attrs[x + 1] = value
            x += cells
        self.x = x
        self.dirty.add(y)


def _split_wide(chars: list[str], start: int, end: int) -> None:
    """Before cells ``start..end-1`` are overwritten: a wide character cut in half there becomes a blank."""
    if 0 < start < len(chars) and chars[start] == "":
        chars[start - 1] = " "
    if start < end < len(chars) and chars[end] == "":
        chars[end] = " "


_SGR_SET: Final = {1: BOLD, 2: DIM, 4: UNDERLINE, 7: REVERSE}
_SGR_CLEAR: Final = {22: BOLD | DIM, 24: UNDERLINE, 27: REVERSE}
_SGR_IGNORED: Final = frozenset({3, 5, 6, 8, 9, 21, 23, 25, 28, 29, 51, 52, 53, 54, 55})


def _incomplete(tail: str) -> bool:
    return re.fullmatch(r"\x1b(?:\[[0-9;:?<>=!$ ]*|\][^\x07\x1b]*)?", tail) is not None and len(tail) < 64


def _extended(codes: Iterable[int]) -> int:
    """Read the rest of 38/48: ``5;n`` or ``2;r;g;b``."""
    it = iter(codes)
    kind = next(it, 0)
    if kind == 5:
        return from256(next(it, 7) & 255)
    if kind == 2:
        return nearest16(next(it, 0), next(it, 0), next(it, 0))
    return FG_DEFAULT


class Differ:
    """Knows what the terminal HAS and emits what makes it equal to a wanted grid.

    ``mono`` drops colours (reverse, bold and underline stay); ``plain`` drops every attribute (TERM=dumb).
    """

    def __init__(self, width: int, height: int, *, mono: bool = False, plain: bool = False) -> None:
        self._mask = 0 if plain else (BOLD | UNDERLINE | REVERSE) if mono else (1 << 14) - 1
        self._mono = mono or plain
        self.have = Grid(width, height)
        self.x = -1  # -1 = not known
        self.y = -1
        self._attr = -1

    def reset(self, width: int, height: int) -> bytes:
        """Clear the terminal and start again; returns the bytes that do it."""
        self.have = Grid(width, height)
        self.x = self.y = 0
        self._attr = self._reduce(PLAIN)
        return b"\x1b[m\x1b[H\x1b[2J"

    def _reduce(self, value: int) -> int:
        if not self._mono:
            return value
        flags = value & self._mask
        if self._mask and value >> 5 & 31 not in {FG_DEFAULT, 0}:
            flags ^= REVERSE  # a coloured background becomes reverse video
        return PLAIN | flags

    def row_differs(self, want: Grid, y: int) -> bool:
        """Return whether row ``y`` needs anything."""
        if want.chars[y] != self.have.chars[y]:
            return True
        if not self._mono:
            return want.attrs[y] != self.have.attrs[y]
        reduce = self._reduce
        return [reduce(a) for a in want.attrs[y]] != self.have.attrs[y]

    def paint_row(self, want: Grid, y: int) -> str:
        """Return the text that makes row ``y`` equal, and remember that the terminal has it."""
        chars, width = want.chars[y], want.width
        attrs = want.attrs[y] if not self._mono else [self._reduce(a) for a in want.attrs[y]]
        old_chars, old_attrs = self.have.chars[y], self.have.attrs[y]
        blank_from = width
        plain = self._reduce(PLAIN)
        while blank_from and chars[blank_from - 1] == " " and attrs[blank_from - 1] == plain:
            blank_from -= 1
        out: list[str] = []
        x = 0
        while x < width:
            if chars[x] == old_chars[x] and attrs[x] == old_attrs[x]:
                x += 1
                continue
            if x >= blank_from and self._tail_changed(x, y) >= TAIL_MIN:
                out.append(self._move(x, y) + self._sgr(plain) + "\x1b[K")
                break
            if chars[x] == "":
                x -= 1  # repaint a wide character from its left half
            out.append(self._gap(chars, attrs, x, y))
            out.append(self._sgr(attrs[x]) + chars[x])
            step = 2 if x + 1 < width and chars[x + 1] == "" else 1
            self.x = x + step if x + step < width else -1
            x += step
        self.have.chars[y] = list(chars)
        self.have.attrs[y] = list(attrs)
        return "".join(out)

    def _tail_changed(self, x: int, y: int) -> int:
        """Number of cells from ``x`` to the end that are not blank on the terminal."""
        plain = self._reduce(PLAIN)
        chars, attrs = self.have.chars[y], self.have.attrs[y]
        return sum(1 for i in range(x, self.have.width) if chars[i] != " " or attrs[i] != plain)

    def _gap(self, chars: list[str], attrs: list[int], x: int, y: int) -> str:
        """Get the cursor to ``x``: by writing the unchanged cells again when that is short, else by a move."""
        gap = x - self.x
        if self.y == y and 0 < gap <= GAP_MAX and self.x >= 0:
            cells = chars[self.x : x]
            if "" not in cells and all(a == self._attr for a in attrs[self.x : x]) and "".join(cells).isascii():
                self.x = x
                return "".join(cells)
        return self._move(x, y)

    def _move(self, x: int, y: int) -> str:
        if self.x == x and self.y == y:
            return ""
        best = f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H" if y else "\x1b[H"
        if self.x >= 0 and self.y == y:
            best = min(best, _steps(x - self.x, "C", "D"), key=len)
            if x == 0:
                best = "\r"
            elif 0 < self.x - x <= 2:
                best = "\b" * (self.x - x)
        elif self.x == x and self.y >= 0:
            best = min(best, _steps(y - self.y, "B", "A"), key=len)
        if 0 < y - self.y <= 3 and self.y >= 0:
            best = min(best, "\r" + "\n" * (y - self.y) + (_steps(x, "C", "D") if x else ""), key=len)
        self.x, self.y = x, y
        return best

    def _sgr(self, value: int) -> str:
        if value == self._attr or not self._mask:
            return ""
        old, self._attr = self._attr, value
        if value == PLAIN:
            return "\x1b[m"
        codes: list[str] = []
        if old < 0 or (old & ~value) >> 10:
            codes.append("")  # an empty parameter is 0: all off
            old = PLAIN
        new_flags = value & ~old
        codes += [
            code for flag, code in ((BOLD, "1"), (DIM, "2"), (UNDERLINE, "4"), (REVERSE, "7")) if new_flags & flag
        ]
        if value & 31 != old & 31:
            codes.append(_colour(value & 31, 30))
        if value >> 5 & 31 != old >> 5 & 31:
            codes.append(_colour(value >> 5 & 31, 40))
        return f"\x1b[{';'.join(codes)}m"

    def park(self, x: int, y: int) -> str:
        """Return the move that puts the real cursor at a cell."""
        return self._move(max(0, min(x, self.have.width - 1)), max(0, min(y, self.have.height - 1)))


def _steps(count: int, forward: str, back: str) -> str:
    size = abs(count)
    return f"\x1b[{size if size > 1 else ''}{forward if count > 0 else back}"


def _colour(index: int, base: int) -> str:
    if index == FG_DEFAULT:
        return str(base + 9)
    return str(base + index if index < 8 else base + 60 + index - 8)
