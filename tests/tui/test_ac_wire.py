"""AC connectors over a line: what the pages cost, and what a connector that charges costs every second."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.tui.test_wire import FIRST_PAINT_MAX, FIRST_PAINT_MONO_MAX, STEADY_MAX, Program
from tests.tui.test_wire import start as start
from tui.driver.glyphs import GlyphSet


@pytest.mark.parametrize(
    ("term", "limit", "glyph_set"),
    [("linux", FIRST_PAINT_MAX, GlyphSet.CP437), ("vt100", FIRST_PAINT_MONO_MAX, GlyphSet.ASCII)],
)
def test_pages_of_twelve_connectors_stay_in_their_budgets(
    start: Callable[..., Program], term: str, limit: int, glyph_set: GlyphSet
) -> None:
    program = start("admin", "--frozen", "--ac", term=term)
    assert len(program.until("ALERTS", quiet=0.6)) <= limit
    for key, word in ((b"2", "C2 wants energy"), (b"d", "Residual DC / RMS"), (b"T", "4 meters, 1 lost")):
        program.key(key)
        page = program.until(word)
        assert 0 < len(page) <= limit, f"{word}: {len(page)} bytes"
        print(f"{term} {word}: {len(page)} bytes")
    program.read(lambda: program.wants(glyph_set) == program.text(), seconds=5)
    program.assert_allowed()


def test_a_charging_ac_connector_costs_at_most_400_bytes_a_second(start: Callable[..., Program]) -> None:
    program = start("admin", "--ac", "--drift")
    program.until("ALERTS", quiet=0.2)
    program.key(b"2")
    program.until("C2 wants energy", quiet=0.2)
    seen = len(program.watch(4.0))
    print(f"{seen // 4} bytes a second")
    assert 0 < seen <= 4 * STEADY_MAX


def test_the_list_of_the_kiosk_moves_its_cursor_for_little(start: Callable[..., Program]) -> None:
    program = start("kiosk", "--frozen", "--ac", "--profile", "cp437")
    program.until("summary", quiet=0.5)
    program.key(b"0")
    assert len(program.until("12 [>]")) <= FIRST_PAINT_MAX
    program.key(b"j")
    moved = program.read(lambda: "Plug in your vehicle" in program.text(), quiet=0.4)
    assert len(moved) <= STEADY_MAX
    program.assert_allowed()
