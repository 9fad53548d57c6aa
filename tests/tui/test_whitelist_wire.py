"""The white list over a line: what the page, a form and the waiting for a card cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.tui.test_wire import ECHO_MAX, FIRST_PAINT_MAX, FIRST_PAINT_MONO_MAX, Program
from tests.tui.test_wire import start as start
from tui.driver.glyphs import GlyphSet

COUNT_MAX = 32
"""Bytes of one second of the countdown."""


@pytest.mark.parametrize(
    ("term", "limit", "glyph_set"),
    [("linux", FIRST_PAINT_MAX, GlyphSet.CP437), ("vt100", FIRST_PAINT_MONO_MAX, GlyphSet.ASCII)],
)
def test_page_form_and_waiting_stay_in_their_budgets(
    start: Callable[..., Program], term: str, limit: int, glyph_set: GlyphSet
) -> None:
    program = start("admin", "--nobody", term=term)
    program.until("ALL NOMINAL", quiet=0.6)
    program.key(b"W")
    page = program.until("4 entries")
    assert len(page) <= limit
    program.key(b"S")
    form = program.until("Wait at most")
    assert len(form) <= limit
    program.key(b"\x1b[B")
    program.read(lambda: program.screen.display[program.screen.cursor.y].find("Name") > 0, quiet=0.4)
    program.key(b"J")
    echo = program.read(lambda: "J" in program.screen.display[program.screen.cursor.y], quiet=0.4)
    assert 0 < len(echo) <= ECHO_MAX
    program.key(b"\x1b[A\x1b[A\r")
    learning = program.read(lambda: "Seconds left" in program.text(), quiet=0.2)
    assert len(learning) <= limit
    before = program.text()
    waited = program.watch(4.0)
    assert before != program.text(), "it counts"
    assert len(waited) <= 4 * COUNT_MAX
    print(f"{term}: page {len(page)}, form {len(form)}, learning {len(learning)}, 4 s of waiting {len(waited)} bytes")
    program.key(b"\x1b")
    program.read(lambda: "Seconds left" not in program.text() or "Stopped" in program.text(), quiet=0.2)
    program.assert_allowed()
