"""The driver's pure half: what the terminal shows is what Textual wanted, in the fewest bytes."""

from __future__ import annotations

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st

from tests._support.examples import examples
from tui.driver.diff import BOLD, PLAIN, REVERSE, Differ, Grid, Parser, attr, from256, nearest16
from tui.driver.glyphs import GlyphSet, Translator

WIDTH, HEIGHT = 24, 6


def make_parser(glyph_set: GlyphSet = GlyphSet.UTF8) -> tuple[Parser, list[str]]:
    unknown: list[str] = []
    return Parser(Grid(WIDTH, HEIGHT), Translator(glyph_set), unknown.append), unknown


class Terminal:
    """A terminal that counts bytes."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(WIDTH, HEIGHT)
        self.screen.reset_mode(pyte.modes.DECAWM)
        self.stream = pyte.Stream(self.screen)

    def feed(self, text: str) -> None:
        self.stream.feed(text)

    def cells(self) -> list[list[tuple[str, bool, bool, str, str]]]:
        rows = []
        for y in range(HEIGHT):
            line = self.screen.buffer[y]
            rows.append([(line[x].data, line[x].bold, line[x].reverse, line[x].fg, line[x].bg) for x in range(WIDTH)])
        return rows


COLOURS = ["black", "red", "green", "brown", "blue", "magenta", "cyan", "white"]


def wanted(grid: Grid) -> list[list[tuple[str, bool, bool, str, str]]]:
    def name(index: int) -> str:
        return "default" if index == 16 else COLOURS[index]

    return [
        [
            (char, bool(a & BOLD), bool(a & REVERSE), name(a & 31), name(a >> 5 & 31))
            for char, a in zip(grid.chars[y], grid.attrs[y], strict=True)
        ]
        for y in range(HEIGHT)
    ]


def update(differ: Differ, grid: Grid) -> str:
    return "".join(differ.paint_row(grid, y) for y in range(grid.height) if differ.row_differs(grid, y))


SGR = st.lists(st.sampled_from([0, 1, 7, 22, 27, 31, 34, 36, 39, 44, 45, 49]), min_size=1, max_size=3).map(
    lambda codes: f"\x1b[{';'.join(map(str, codes))}m"
)
MOVE = st.tuples(st.integers(1, HEIGHT), st.integers(1, WIDTH)).map(lambda p: f"\x1b[{p[0]};{p[1]}H")
TEXT = st.text(st.sampled_from("ab 012█░─éß漢"), min_size=1, max_size=30)
WRITES = st.lists(
    st.one_of(SGR, MOVE, TEXT, st.sampled_from(["\n", "\r", "\x1b[K", "\x1b[2J"])), min_size=1, max_size=30
)


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(WRITES, min_size=1, max_size=5))
def test_terminal_shows_exactly_what_was_wanted_after_every_update(frames: list[list[str]]) -> None:
    parser, unknown = make_parser()
    terminal = Terminal()
    differ = Differ(WIDTH, HEIGHT)
    terminal.feed(differ.reset(WIDTH, HEIGHT).decode())
    for writes in frames:
        parser.feed("".join(writes))
        terminal.feed(update(differ, parser.grid))
        assert terminal.cells() == wanted(parser.grid)
        assert update(differ, parser.grid) == "", "an equal screen costs nothing"
    assert unknown == []


@settings(max_examples=examples(60), deadline=None)
@given(WRITES)
def test_writes_cut_anywhere_give_the_same_screen(writes: list[str]) -> None:
    whole, _ = make_parser()
    bytewise, _ = make_parser()
    text = "".join(writes)
    whole.feed(text)
    for char in text:
        bytewise.feed(char)
    assert (whole.grid.chars, whole.grid.attrs) == (bytewise.grid.chars, bytewise.grid.attrs)


@settings(max_examples=examples(100), deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=80), st.text("\x1b[;0123456789mHJKABC?h ]", max_size=40))
def test_garbage_never_raises_and_stays_inside_the_grid(text: str, sequence: str) -> None:
    parser, _ = make_parser()
    parser.feed(text + sequence)
    parser.feed("\x1b[1;1Hend")
    assert all(len(row) == WIDTH for row in parser.grid.chars)
    assert all(len(row) == WIDTH for row in parser.grid.attrs)


def test_mono_drops_colours_and_turns_a_coloured_background_into_reverse() -> None:
    parser, _ = make_parser()
    parser.feed("\x1b[1;1H\x1b[33mwarn\x1b[0m \x1b[37;44mhead\x1b[0m \x1b[1mbold\x1b[0m")
    differ = Differ(WIDTH, HEIGHT, mono=True)
    differ.reset(WIDTH, HEIGHT)
    out = update(differ, parser.grid)
    assert out == "warn \x1b[7mhead\x1b[C\x1b[;1mbold"
    assert update(differ, parser.grid) == ""


def test_plain_terminal_gets_no_attribute_at_all() -> None:
    parser, _ = make_parser()
    parser.feed("\x1b[7;1mx\x1b[0my")
    differ = Differ(WIDTH, HEIGHT, plain=True)
    differ.reset(WIDTH, HEIGHT)
    assert update(differ, parser.grid) == "xy"


def test_one_changed_digit_costs_a_move_and_the_digit() -> None:
    parser, _ = make_parser()
    differ = Differ(WIDTH, HEIGHT)
    differ.reset(WIDTH, HEIGHT)
    parser.feed("\x1b[3;1HPower  17.6 kW")
    update(differ, parser.grid)
    parser.feed("\x1b[3;1HPower  17.9 kW")
    assert len(update(differ, parser.grid)) <= len("\x1b[3;11H9")


def test_blank_tail_is_erased_not_overwritten() -> None:
    parser, _ = make_parser()
    differ = Differ(WIDTH, HEIGHT)
    differ.reset(WIDTH, HEIGHT)
    parser.feed("\x1b[1;1Ha long line of text")
    update(differ, parser.grid)
    parser.feed("\x1b[1;1Ha                  ")
    assert update(differ, parser.grid).endswith("\x1b[K")
    assert differ.have.lines()[0].rstrip() == "a"


def test_unknown_sequence_is_reported_and_known_ones_of_textual_are_not() -> None:
    parser, unknown = make_parser()
    parser.feed("\x1b[?1049h\x1b[?25l\x1b[>1u\x1b[?2026$p\x1b[?2004h\x1b]22;default\x07\x07ok")
    assert unknown == []
    parser.feed("\x1b[3S")
    assert unknown == ["\x1b[3S"]
    assert parser.grid.lines()[0].startswith("ok")


def test_wide_character_takes_two_cells_and_ascii_keeps_the_width() -> None:
    parser, _ = make_parser()
    parser.feed("\x1b[1;1H漢字x")
    assert parser.grid.chars[0][:5] == ["漢", "", "字", "", "x"]
    ascii_parser, _ = make_parser(GlyphSet.ASCII)
    ascii_parser.feed("\x1b[1;1H漢é█x")
    assert ascii_parser.grid.chars[0][:5] == ["?", " ", "e", "#", "x"]


def test_colours_of_larger_palettes_map_to_sixteen() -> None:
    parser, unknown = make_parser()
    parser.feed("\x1b[38;5;196;48;2;0;0;170mx")
    assert parser.grid.attrs[0][0] == attr(from256(196), nearest16(0, 0, 170))
    assert parser.grid.attrs[0][1] == PLAIN
    assert unknown == []
