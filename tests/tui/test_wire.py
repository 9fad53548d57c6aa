"""The real programs on a pty, replayed through pyte: byte budgets, allowed sequences, equal grids, clean ends.

Waiting is reading: every wait is a read with a deadline, nothing sleeps. Budgets: architecture.md, "admin screen over
a line".
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyte
import pytest

from tui.driver.glyphs import GlyphSet, Translator

ALLOWED = re.compile(
    r"\x1b\]P[0-9a-f]{7}|\x1b\]R|\x1b\[[0-9;]*m|\x1b\[\d*(;\d+)?H|\x1b\[\d*[ABCDK]|\x1b\[2J|\x1b\[\?(7|25|1049)[hl]|[\r\n\x08]|[\x20-\x7e]|[^\x00-\x7f]"
)
PALETTE = re.compile(rb"\x1b\](?:P[0-9a-f]{7}|R)")
"""Colours of the Linux console; pyte would print their digits."""
FIRST_PAINT_MAX, FIRST_PAINT_MONO_MAX, STEADY_MAX, ECHO_MAX = 4096, 2048, 400, 64
PATIENCE_S = 120.0
WINDOWS = 8


class Program:
    """A program on a pty, and the terminal that shows it."""

    def __init__(
        self, tmp: Path, *args: str, term: str = "linux", size: tuple[int, int] = (80, 24), **env: str
    ) -> None:
        self.width, self.height = size
        self.dump = tmp / "grid.txt"
        self.log = tmp / "log.txt"
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", self.height, self.width, 0, 0))
        self.before = termios.tcgetattr(slave)
        base = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLORTERM", "TERM", "LANG", "LC_ALL"}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.tui.run_fake", *args, "--log", str(self.log), "--dump", str(self.dump)],
            stdin=slave, stdout=slave, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**base, "TERM": term, "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONPATH": ".", **env},
        )  # fmt: skip
        self.slave, self.fd = slave, master
        self.screen = pyte.Screen(self.width, self.height)
        self.stream = pyte.ByteStream(self.screen)
        self.all = self.cut = b""
        self.late_s = 0.0
        """How long this reader has not looked at the line at a time: a busy machine."""

    def read(self, ready: Callable[[], bool], seconds: float = PATIENCE_S, quiet: float = 0.0) -> bytes:
        """Read until ``ready`` and then ``quiet`` seconds without a byte; AssertionError after ``seconds``."""
        got, end, last = b"", time.monotonic() + seconds, time.monotonic()
        looked = last
        while True:
            now = time.monotonic()
            self.late_s, looked = max(self.late_s, now - looked), now
            if ready() and now - last >= quiet:
                return got
            assert now < end, f"not reached:\n{self.text()}\n{self.log.read_text() if self.log.exists() else ''}"
            if select.select([self.fd], [], [], min(0.05, end - now))[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    return got
                got += data
                self.all += data
                self._feed(data)
                last = time.monotonic()

    def _feed(self, data: bytes) -> None:
        """Show what came, without palettes; a palette cut in two waits for its rest."""
        data = PALETTE.sub(b"", self.cut + data)
        start = data.rfind(b"\x1b", -9)
        self.cut = data[start:] if start >= 0 and data[start : start + 2] in {b"\x1b", b"\x1b]"} else b""
        self.stream.feed(data[: len(data) - len(self.cut)])

    def watch(self, seconds: float) -> bytes:
        """Read for a time."""
        end = time.monotonic() + seconds
        return self.read(lambda: time.monotonic() >= end)

    def until(self, text: str, quiet: float = 0.4) -> bytes:
        """Read until a text is on the screen and it is quiet."""
        return self.read(lambda: text in self.text(), quiet=quiet)

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wants(self, glyph_set: GlyphSet) -> str:
        """What Textual itself wants on the screen."""
        text = self.dump.read_text() if self.dump.exists() else ""
        return Translator(glyph_set).text(text).rstrip("\n")

    def key(self, data: bytes) -> None:
        os.write(self.fd, data)

    def end(self, number: signal.Signals) -> int:
        """Send a signal and read to the end; returns the exit code."""
        self.process.send_signal(number)
        self.read(lambda: self.process.poll() is not None)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.fd, self.slave):
            with contextlib.suppress(OSError):
                os.close(fd)

    def assert_restored(self) -> None:
        """The terminal is as it was: line discipline, cursor, attributes."""
        after = termios.tcgetattr(self.slave)
        assert after[:4] == self.before[:4]
        assert b"\x1b[?25h" in self.all[-160:] and b"\x1b[m" in self.all[-160:]
        assert not self.screen.cursor.hidden

    def assert_allowed(self) -> None:
        """Only sequences that a VT and a VT100 know; no query, no mouse, no kitty."""
        rest = ALLOWED.sub("", self.all.decode("utf-8", "replace"))
        assert rest == "", repr(rest[:80])


@pytest.fixture
def start(tmp_path: Path) -> object:
    """Start programs and end them."""
    programs: list[Program] = []

    def make(*args: str, **options: object) -> Program:
        programs.append(Program(tmp_path, *args, **options))  # type: ignore[arg-type]
        return programs[-1]

    yield make
    for program in programs:
        program.close()


@pytest.mark.parametrize(
    ("term", "limit", "glyph_set"),
    [("linux", FIRST_PAINT_MAX, GlyphSet.CP437), ("vt100", FIRST_PAINT_MONO_MAX, GlyphSet.ASCII)],
)
def test_admin_budgets_grid_and_clean_end(
    start: Callable[..., Program], term: str, limit: int, glyph_set: GlyphSet
) -> None:
    program = start("admin", "--frozen", term=term)
    first = program.until("ALL NOMINAL", quiet=0.6)
    assert len(first) <= limit, f"first paint {len(first)} bytes"
    print(f"{term}: first paint {len(first)} bytes")
    program.read(lambda: program.wants(glyph_set) == program.text())
    assert len(program.watch(2.5)) == 0, "an idle screen sends nothing"
    program.key(b"4")
    section = program.until("SITE LIMITS")
    assert len(section) <= limit
    program.read(lambda: program.wants(glyph_set) == program.text())
    program.key(b":")
    program.until("Go to section")
    program.key(b"x")
    echo = program.read(lambda: "x" in program.screen.display[11] or "x" in program.text(), quiet=0.4)
    assert 0 < len(echo) <= ECHO_MAX, f"echo {echo!r}"
    row, column = program.screen.cursor.y, program.screen.cursor.x
    assert program.screen.display[row][column - 1] == "x", "the real cursor stands behind the typed character"
    if term == "vt100":
        assert not re.search(rb"\x1b\[(?:[0-9;]*;)?(?:3|4|9|10)\dm", program.all), "no colour in mono"
        assert program.all.isascii()
    assert program.end(signal.SIGTERM) == 0
    program.assert_restored()
    program.assert_allowed()


def test_forty_changing_cells_cost_at_most_400_bytes_a_second(start: Callable[..., Program]) -> None:
    program = start("admin", "--drift")
    program.until("ALL NOMINAL", quiet=0.2)
    program.key(b"2")
    program.until("Authorisation", quiet=0.2)
    assert any(len(program.watch(4.0)) <= 4 * STEADY_MAX for _ in range(WINDOWS)), "the first ones may hold the rest of the section"
    assert program.end(signal.SIGHUP) == 0
    program.assert_restored()


def test_paced_line_never_exceeds_its_share_and_keys_are_not_queued_behind_frames(
    start: Callable[..., Program],
) -> None:
    program = start("admin", "--frozen", "--baud", "9600", term="vt220")
    program.read(lambda: bool(program.all))
    began = time.monotonic()
    program.until("ALERTS", quiet=0.6)
    took = time.monotonic() - began - 0.6
    assert len(program.all) <= 768 * (took + 0.5 + program.late_s) + 256, "80 % of 960 bytes a second"
    program.key(b"2345")  # four sections at once: only the last one is worth the line
    sent = program.until("Active faults", quiet=0.6)
    assert len(sent) <= 2 * FIRST_PAINT_MONO_MAX
    program.assert_allowed()


def test_kiosk_survives_keys_resize_and_ends_on_end_of_input(start: Callable[..., Program]) -> None:
    program = start("kiosk", "--frozen", "--profile", "utf8", LC_ALL="C.UTF-8")
    program.until("CONNECTOR 1", quiet=0.5)
    program.read(lambda: program.wants(GlyphSet.UTF8) == program.text())
    assert program.screen.cursor.hidden
    program.key(b"q\x03\x11\x10\x1a\x1b[[A")  # quit, ^C, ^Q, ^P, ^Z, F1 of the console
    program.until("live session")
    program.key(b"L")
    program.until("Ladevorgang")
    fcntl.ioctl(program.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 43, 132, 0, 0))
    program.screen.resize(43, 132)
    program.process.send_signal(signal.SIGWINCH)
    program.read(
        lambda: program.wants(GlyphSet.UTF8) == program.text() and "PD-Off Weld Stop" in program.text()
    )
    program.assert_allowed()
    os.close(program.slave)
    program.slave = -1
    os.close(program.fd)  # the line is gone: EIO on read, HUP
    program.fd = os.open(os.devnull, os.O_RDONLY)
    assert program.process.wait(timeout=PATIENCE_S) == 0


def test_crash_leaves_a_fixed_text_and_the_traceback_in_the_log(start: Callable[..., Program]) -> None:
    program = start("kiosk", "--crash")
    program.read(lambda: program.process.poll() is not None)
    assert program.process.returncode == 70
    program.assert_restored()
    shown = program.all.decode("utf-8", "replace")
    assert "Traceback" not in shown and "ZeroDivisionError" not in shown and "internal error" in shown
    assert "ZeroDivisionError" in program.log.read_text()


def test_idle_programs_use_hardly_any_processor_time(start: Callable[..., Program]) -> None:
    program = start("kiosk")
    program.until("CONNECTOR 1", quiet=0.3)
    process = psutil.Process(program.process.pid)

    def used() -> float:
        before = sum(process.cpu_times()[:2])
        program.watch(3.0)
        return sum(process.cpu_times()[:2]) - before

    assert any(used() <= 0.3 for _ in range(WINDOWS)), "under a tenth of a core for 2 Hz; the start may reach into the first ones"
    assert process.memory_info().rss < 96 * 1024 * 1024
