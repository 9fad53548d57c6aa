"""Which characters a terminal can show, and what to send instead of the others.

The screens use only characters of code page 437 and Latin-1 (the fonts of the Linux console and of serial
terminals); the driver translates every cell once more as the last defence, 1:1, so that no layout moves.
"""

from __future__ import annotations

import enum
import unicodedata
from typing import Final

import msgspec


class GlyphSet(enum.Enum):
    """Repertoire of the terminal's font."""

    UTF8 = "utf8"
    CP437 = "cp437"
    ASCII = "ascii"


class Glyphs(msgspec.Struct, frozen=True, kw_only=True):
    """The drawing characters of one repertoire. Every string is a sequence of one-cell characters."""

    levels: str  # sparkline and plot, empty to full; levels[0] is a blank
    full: str  # filled part of a bar
    empty: str  # unfilled part of a bar
    rule: str
    vertical: str
    marker: str  # cursor of a list
    bullet: str
    arrow: str
    degree: str
    half_blocks: bool  # big digits from half blocks; False = seven segments of _ and |


GLYPHS: Final[dict[GlyphSet, Glyphs]] = {
    GlyphSet.UTF8: Glyphs(
        levels=" ▁▂▃▄▅▆▇█",
        full="█",
        empty="░",
        rule="─",
        vertical="│",
        marker="►",
        bullet="•",
        arrow="→",
        degree="°",
        half_blocks=True,
    ),
    GlyphSet.CP437: Glyphs(
        levels=" ▄█",
        full="█",
        empty="░",
        rule="─",
        vertical="│",
        marker="►",
        bullet="•",
        arrow="→",
        degree="°",
        half_blocks=True,
    ),
    GlyphSet.ASCII: Glyphs(
        levels=" .:-=+*#",
        full="#",
        empty=".",
        rule="-",
        vertical="|",
        marker=">",
        bullet="*",
        arrow=">",
        degree="",
        half_blocks=False,
    ),
}

_CP437_HIGH = bytes(range(0x80, 0x100)).decode("cp437")
_CP437_LOW = "☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"  # 0x01..0x1F as the console font draws them
_PRINTABLE_ASCII = "".join(map(chr, range(0x20, 0x7F)))
_LATIN1 = "".join(map(chr, range(0xA0, 0x100)))

CP437_CHARS: Final[frozenset[str]] = frozenset(_PRINTABLE_ASCII + _CP437_HIGH + _CP437_LOW)
CONSOLE_CHARS: Final[frozenset[str]] = CP437_CHARS | frozenset(_LATIN1)
"""What a message catalogue may use: CP437 and Latin-1."""

_TO_CP437: Final[dict[str, str]] = {
    "▁": "_", "▂": "▄", "▃": "▄", "▅": "▄", "▆": "█", "▇": "█", "▉": "█", "▊": "█", "▋": "▌", "▍": "▌", "▎": "│",
    "▏": "│", "▔": "▀", "▕": "│", "▖": "▄", "▗": "▄", "▘": "▀", "▙": "█", "▛": "█", "▜": "█", "▝": "▀", "▞": "▒",
    "▟": "█", "╭": "┌", "╮": "┐", "╰": "└", "╯": "┘", "━": "─", "┃": "│", "┏": "┌", "┓": "┐", "┗": "└", "┛": "┘",
    "┣": "├", "┫": "┤", "╸": "─", "╺": "─", "▶": "►", "◀": "◄", "●": "•", "⭘": "○", "✓": "√", "…": ".", "–": "-",
    "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "×": "x", "À": "A", "Á": "A", "Â": "A", "Ã": "A", "È": "E",
    "Ê": "E", "Ë": "E", "Ì": "I", "Í": "I", "Î": "I", "Ï": "I", "Ò": "O", "Ó": "O", "Ô": "O", "Õ": "O", "Ù": "U",
    "Ú": "U", "Û": "U", "ã": "a", "õ": "o", "€": "E",
}  # fmt: skip

_TO_ASCII: Final[dict[str, str]] = {
    "█": "#", "▀": '"', "▄": "_", "▌": "|", "▐": "|", "░": ".", "▒": ":", "▓": "%", "─": "-", "│": "|", "┌": "+",
    "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+", "═": "=", "║": "|", "╔": "+",
    "╗": "+", "╚": "+", "╝": "+", "•": "*", "►": ">", "◄": "<", "▲": "^", "▼": "v", "↑": "^", "↓": "v", "→": ">",
    "←": "<", "°": " ", "√": "v", "ß": "s", "Æ": "A", "æ": "a", "ø": "o", "Ø": "O", "«": '"', "»": '"', "·": ".",
    "²": "2", "µ": "u", "±": "+", "○": "o", "■": "#", "§": "S", "¿": "?", "¡": "!", "\xa0": " ",
}  # fmt: skip


def _reduce(char: str, glyph_set: GlyphSet) -> str:
    if char in CP437_CHARS and (glyph_set is GlyphSet.CP437 or "\x20" <= char <= "\x7e"):
        return char
    char = _TO_CP437.get(char, char)
    if glyph_set is GlyphSet.CP437 and char in CP437_CHARS:
        return char
    char = _TO_ASCII.get(char, char)
    if "\x20" <= char <= "\x7e":
        return char
    base = unicodedata.normalize("NFD", char)[0]
    return base if "\x20" <= base <= "\x7e" else "?"


class Translator(dict[str, str]):
    """``translator[char]`` = what to show instead, one cell for one cell. Bounded by the characters that occur."""

    def __init__(self, glyph_set: GlyphSet) -> None:
        super().__init__()
        self._set = glyph_set

    def __missing__(self, char: str) -> str:
        result = char if self._set is GlyphSet.UTF8 or char < " " else _reduce(char, self._set)
        if len(self) < 4096:
            self[char] = result
        return result

    def text(self, text: str) -> str:
        """Translate a whole text; wide characters become two cells so that widths stay."""
        if self._set is GlyphSet.UTF8 or text.isascii():
            return text
        return "".join([self[char] for char in text])
