"""The real screens on a pty: bytes of the first paint, of changing values, of an idle screen and of a key."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.timing import Figure
from tests.tui.test_wire import ECHO_MAX, FIRST_PAINT_MAX, FIRST_PAINT_MONO_MAX, STEADY_MAX, Program

WATCH_S = 6.0


def run() -> list[Figure]:
    """All figures of the module."""
    return [
        *admin("linux", "colour", FIRST_PAINT_MAX),
        *admin("vt100", "mono", FIRST_PAINT_MONO_MAX),
        *changing(),
        *kiosk(),
    ]


@contextmanager
def program(*words: str, term: str) -> Iterator[Program]:
    """A screen on its pty, 80x24, against the fake station."""
    with tempfile.TemporaryDirectory(prefix="evse-bench-") as folder:
        running = Program(Path(folder), *words, term=term)
        try:
            yield running
        finally:
            running.close()


def admin(term: str, name: str, budget: int) -> list[Figure]:
    """First paint, idle, a whole new section, and the echo of a key."""
    with program("admin", "--frozen", term=term) as screen:
        first = screen.until("ALL NOMINAL", quiet=0.6)
        idle = screen.watch(3.0)
        screen.key(b"4")
        section = screen.until("SITE LIMITS", quiet=0.6)
        screen.key(b":")
        screen.until("Go to section", quiet=0.6)
        screen.key(b"x")
        echo = screen.read(lambda: "x" in screen.screen.display[11], quiet=0.4)
    return [
        Figure(name=f"admin screen 80x24, first paint, {name}", value=len(first), unit="B", budget=budget),
        Figure(name=f"admin screen, another section, {name}", value=len(section), unit="B", budget=budget),
        Figure(name=f"admin screen, idle, {name}", value=len(idle) / 3, unit="B/s", budget=0),
        Figure(name=f"admin screen, echo of a key, {name}", value=len(echo), unit="B", budget=ECHO_MAX),
    ]


def changing(seconds: float = WATCH_S) -> list[Figure]:
    """Values that move once a second."""
    with program("admin", "--drift", term="linux") as screen:
        screen.until("ALL NOMINAL", quiet=0.2)
        screen.key(b"2")
        screen.until("Authorisation", quiet=0.2)
        sent = screen.watch(seconds)
    if not sent:
        raise AssertionError("values move and the screen sends nothing")
    return [
        Figure(name="admin screen, changing values, colour", value=len(sent) / seconds, unit="B/s", budget=STEADY_MAX)
    ]


def kiosk() -> list[Figure]:
    """First paint of the kiosk on the console."""
    with program("kiosk", "--frozen", term="linux") as screen:
        first = screen.until("CONNECTOR 1", quiet=0.6)
    return [Figure(name="kiosk 80x24, first paint, colour", value=len(first), unit="B", budget=None)]
