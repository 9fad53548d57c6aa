"""Progress on stderr: a bar on a terminal, one line per tenth elsewhere. Nothing before a second has passed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

WIDTH = 24
QUIET_S = 1.0
EVERY_S = 0.5
"""A slow line must not be filled by a bar."""


class Bar:
    """How far something is. ``now`` = seconds of a clock that only grows."""

    def __init__(self, what: str, now: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._now = now
        self._began = now()
        self._shown_at = 0.0
        self._tenth = 0
        self._length = 0

    def show(self, done: int, total: int, detail: str) -> None:
        """``done`` of ``total``; ``detail`` is what is done now."""
        now = self._now()
        if now - self._began < QUIET_S or total <= 0:
            return
        if sys.stderr.isatty():
            if now - self._shown_at >= EVERY_S:
                self._shown_at = now
                self._paint(f"{self._what} [{bar(done, total)}] {done}/{total} {detail}")
        elif done * 10 // total > self._tenth:
            self._tenth = done * 10 // total
            sys.stderr.write(f"{self._what}: {self._tenth * 10} % {detail}\n")
            sys.stderr.flush()

    def end(self) -> None:
        """Take the bar away."""
        if self._length:
            self._paint("")
            sys.stderr.write("\r")
            sys.stderr.flush()
            self._length = 0

    def _paint(self, text: str) -> None:
        text = text[:79]
        sys.stderr.write("\r" + text.ljust(self._length))
        sys.stderr.flush()
        self._length = len(text)


def bar(done: int, total: int) -> str:
    """``######------------``."""
    full = min(WIDTH, max(0, done) * WIDTH // total)
    return "#" * full + "-" * (WIDTH - full)
