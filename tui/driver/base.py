"""The Textual driver: raw mode, keys, signals and the paced pump that sends what `diff` works out.

Threads. Textual calls `write` on the event loop; the parser plays it into WANT under a lock. One pump thread
compares WANT with what the terminal has and sends pieces no faster than the profile's rate, the row of the cursor
first. One input thread reads keys. Neither ever waits for the other, so a slow or stopped line never stops the UI;
intermediate frames are dropped because a piece is made only when the line is free.

End of the line: TERM, HUP, end of file or EIO on the input all end the app in the ordinary way, once, and the
terminal is restored on every path (`stop_application_mode` is called by Textual, `restore` also by `atexit`).
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import select
import shutil
import signal
import sys
import termios
import threading
import time
import tty
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any, Final

from textual import events
from textual._xterm_parser import XTermParser
from textual.driver import Driver
from textual.geometry import Size

from tui.driver.diff import Differ, Grid, Parser
from tui.driver.glyphs import Translator
from tui.driver.palette import RESET, palette
from tui.driver.profiles import Profile

if TYPE_CHECKING:
    from textual.app import App

log = logging.getLogger("tui.driver")

COALESCE_S: Final = 0.012
"""Wait after the first write of a burst, so that one update of several spans is sent once."""
FIRST_PAINT_S: Final = 0.05
"""The same for the first paint, which Textual does two to four times."""
PIECE_MAX: Final = 512
"""Bytes handed to the terminal at once; on slow lines a quarter of a second's worth."""
STUCK_S: Final = 1.0
"""How long leaving waits for a line that takes nothing (XOFF, dead modem) before its output is thrown away."""
UNKNOWN_LOG_MAX: Final = 20
"""Unknown sequences that are logged; more of them are repainted silently."""


class PacedDriver(Driver):
    """See the module. ``profile`` is a class attribute set by `driver_for`."""

    profile: Profile = Profile()

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = False, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=False, size=size)
        assert sys.__stdin__ is not None and sys.__stdout__ is not None
        self._in_fd = sys.__stdin__.fileno()
        self._out_fd = sys.__stdout__.fileno()
        self._fixed_size = size
        width, height = size or terminal_size(self._out_fd)
        self._lock = threading.Condition()
        self._parser = Parser(Grid(width, height), Translator(self.profile.glyph_set), self._on_unknown)
        self._differ = Differ(width, height, mono=self.profile.mono, plain=self.profile.plain)
        self._attrs_before: list[Any] | None = None
        self._running = False
        self._leaving = False
        self._dead = False
        self._unknown = 0
        self._wake_r, self._wake_w = os.pipe()
        self._pump: threading.Thread | None = None
        self._keys: threading.Thread | None = None
        self._repaint = True
        self._night = False
        self._colours = b""  # palette that waits to be sent
        self.bytes_sent = 0

    # -- output, called by Textual ---------------------------------------------------------------------------------

    def write(self, data: str) -> None:
        """Play Textual's output into the wanted grid and wake the pump. Never blocks on the line."""
        with self._lock:
            self._parser.feed(data)
            self._lock.notify()

    def flush(self) -> None:
        """Nothing to do: the pump sends by its own pace."""

    def set_night(self, night: bool) -> None:
        """Darken the palette of a Linux console, or light it again; other terminals keep their colours."""
        with self._lock:
            if self.profile.palette and night is not self._night:
                self._night = night
                self._colours = palette(night=night)
                self._lock.notify()

    @property
    def can_suspend(self) -> bool:
        """Suspending is refused: a kiosk has no shell to go to, an operator uses tmux."""
        return False

    def _on_unknown(self, sequence: str) -> None:
        self._unknown += 1
        if self._unknown <= UNKNOWN_LOG_MAX:
            log.warning("unknown output sequence %r: screen is painted again", sequence)
            self._loop.call_soon_threadsafe(self._refresh_app)
        self._repaint = True

    def _refresh_app(self) -> None:
        with contextlib.suppress(Exception):  # no screen yet or any more
            self._app.screen.refresh()

    # -- life ------------------------------------------------------------------------------------------------------

    def start_application_mode(self) -> None:
        """Raw mode, signals, threads; asks the terminal nothing."""
        self._raw_mode()
        self._running = True
        self._send_size()
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._loop.add_signal_handler(number, self._hang_up, f"signal {signal.Signals(number).name}")
        self._loop.add_signal_handler(signal.SIGWINCH, self._resized)
        self._loop.add_signal_handler(signal.SIGCONT, self._continued)
        atexit.register(self.restore)
        self._pump = threading.Thread(target=self._run_pump, name="tui-pump", daemon=True)
        self._pump.start()
        self._keys = threading.Thread(target=self._run_input, name="tui-keys", daemon=True)
        self._keys.start()

    def disable_input(self) -> None:
        """Stop reading keys; called first when the app ends."""
        if self._keys is not None:
            keys, self._keys = self._keys, None
            os.write(self._wake_w, b"x")
            if keys is not threading.current_thread():
                keys.join(timeout=2.0)

    def stop_application_mode(self) -> None:
        """Stop the threads and give the terminal back as it was found."""
        self.disable_input()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGCONT):
            with contextlib.suppress(ValueError, RuntimeError):
                self._loop.remove_signal_handler(number)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second one must not cut the restoring short
        with self._lock:
            self._leaving = True
            self._lock.notify()
        if self._pump is not None:
            self._pump.join(timeout=STUCK_S * 2)
            self._pump = None
        self.restore()
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    def close(self) -> None:
        """Restore again (does nothing the second time)."""
        self.restore()

    def restore(self) -> None:
        """Leave the terminal usable: attributes off, cursor shown, screen clear, line discipline as before."""
        if not self._running:
            return
        self._running = False
        atexit.unregister(self.restore)
        leave = b"\x1b[m\x1b[?7h\x1b[?25h" + (b"\x1b[?1049l" if self.profile.alt_screen else b"\x1b[2J\x1b[H")
        if self.profile.plain:
            leave = b"\x1b[2J\x1b[H"
        if self.profile.palette:
            leave = RESET + leave
        self._send(leave)
        if self._attrs_before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._in_fd, termios.TCSANOW, self._attrs_before)

    def _raw_mode(self) -> None:
        try:
            before = termios.tcgetattr(self._in_fd)
        except termios.error:
            return
        if self._attrs_before is None:
            self._attrs_before = [*before[:6], list(before[6])]
        mode = [*before[:6], list(before[6])]
        mode[tty.LFLAG] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
        mode[tty.IFLAG] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR)  # IXON stays as the line needs it
        mode[tty.OFLAG] &= ~termios.OPOST  # a line feed is one byte, nothing is expanded
        mode[tty.CC][termios.VMIN] = 1
        mode[tty.CC][termios.VTIME] = 0
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._in_fd, termios.TCSANOW, mode)

    # -- signals, on the loop --------------------------------------------------------------------------------------

    def _hang_up(self, why: str) -> None:
        log.info("leaving: %s", why)
        self._app.exit(return_code=0)

    def _resized(self) -> None:
        self._send_size()

    def _continued(self) -> None:
        """After SIGSTOP/SIGCONT somebody else may have used the terminal."""
        self._raw_mode()
        with self._lock:
            self._repaint = True
            if self.profile.palette:
                self._colours = palette(night=self._night)
            self._lock.notify()

    def _send_size(self) -> None:
        width, height = self._fixed_size or terminal_size(self._out_fd)
        with self._lock:
            grid = self._parser.grid
            if (grid.width, grid.height) != (width, height):
                self._parser.resize(width, height)
                self._repaint = True
        size = Size(width, height)
        asyncio.run_coroutine_threadsafe(self._app._post_message(events.Resize(size, size)), loop=self._loop)

    # -- pump thread -----------------------------------------------------------------------------------------------

    def _run_pump(self) -> None:
        try:
            if self.profile.alt_screen:
                self._send(b"\x1b[?1049h")
            if self.profile.palette:
                self._send(palette(night=False))
            if not self.profile.plain:
                self._send(b"\x1b[?7l" + (b"" if self.profile.show_cursor else b"\x1b[?25l"))
            self._wait_for_writes(FIRST_PAINT_S)
            while not self._leaving and not self._dead:
                piece = self._next_piece()
                if piece:
                    self._send(piece)
                    time.sleep(len(piece) / self.profile.rate_bps)
                else:
                    self._wait_for_writes(COALESCE_S)
        except Exception:
            log.exception("screen output failed")
            self._loop.call_soon_threadsafe(self._hang_up, "screen output failed")

    def _wait_for_writes(self, coalesce_s: float) -> None:
        with self._lock:
            while not (self._parser.dirty or self._repaint or self._colours or self._leaving or self._cursor_moved()):
                self._lock.wait()
        time.sleep(coalesce_s)

    def _cursor_moved(self) -> bool:
        return self.profile.show_cursor and (self._parser.x, self._parser.y) != (self._differ.x, self._differ.y)

    def _next_piece(self) -> bytes:
        """Return the next bytes to send: the cursor's row first, then top-down, up to one piece; b"" = all is equal."""
        limit = min(PIECE_MAX, max(32, self.profile.rate_bps // 4))
        with self._lock:
            parser, differ = self._parser, self._differ
            grid = parser.grid
            if self._colours:
                colours, self._colours = self._colours, b""
                self._repaint = True  # a frame buffer with true colours keeps the old ones until a cell is drawn again
                return colours
            if self._repaint or (grid.width, grid.height) != (differ.have.width, differ.have.height):
                self._repaint = False
                parser.dirty = set(range(grid.height))
                return differ.reset(grid.width, grid.height)
            out: list[str] = []
            size = 0
            for y in sorted(parser.dirty, key=lambda row: (row != parser.y, row)):
                if size and size >= limit:
                    break
                parser.dirty.discard(y)
                if y < grid.height and differ.row_differs(grid, y):
                    out.append(differ.paint_row(grid, y))
                    size += len(out[-1])
            if self.profile.show_cursor and not parser.dirty:
                parser.x = min(parser.x, grid.width - 1)
                out.append(differ.park(parser.x, parser.y))
        return "".join(out).encode(self.profile.encoding, "replace")

    def _send(self, data: bytes) -> None:
        """Write to the terminal, waiting while it takes nothing; gives up when the line is gone or we are leaving."""
        view = memoryview(data)
        deadline = 0.0
        while view and not self._dead:
            try:
                ready = select.select([], [self._out_fd], [], 0.25)[1]
                if ready:
                    sent = os.write(self._out_fd, view[:PIECE_MAX])
                    self.bytes_sent += sent
                    view = view[sent:]
                    deadline = 0.0
                    continue
            except OSError as error:
                self._dead = True
                log.info("terminal is gone: %s", error)
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._hang_up, "terminal gone")
                return
            if self._leaving or not self._running:
                deadline = deadline or time.monotonic() + STUCK_S
                if time.monotonic() > deadline:
                    with contextlib.suppress(termios.error):
                        termios.tcflush(self._out_fd, termios.TCOFLUSH)
                    return

    # -- input thread ----------------------------------------------------------------------------------------------

    def _run_input(self) -> None:
        try:
            why = self._read_keys()
        except Exception:
            log.exception("reading keys failed")
            why = "reading keys failed"
        if why:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._hang_up, why)

    def _read_keys(self) -> str:
        """Feed keys to Textual until told to stop (returns "") or the input ends (returns why)."""
        parser = XTermParser(False)
        decode = getincrementaldecoder("utf-8")("replace").decode
        pending = False  # a lone ESC waits for its deadline in the parser
        while True:
            ready = select.select([self._in_fd, self._wake_r], [], [], 0.05 if pending else None)[0]
            if self._wake_r in ready:
                return ""
            if self._in_fd in ready:
                try:
                    data = os.read(self._in_fd, 4096)
                except OSError as error:
                    return f"input: {error}"
                if not data:
                    return "end of input"
                pending = b"\x1b" in data
                quiet = 0
                for message in parser.feed(decode(data)):
                    self.process_message(message)
            elif pending:
                quiet += 1
                pending = quiet < 10
            for message in parser.tick():
                self.process_message(message)


def terminal_size(fd: int) -> tuple[int, int]:
    """Return columns and rows; a serial line that does not know its size (0x0) counts as 80x24."""
    try:
        width, height = os.get_terminal_size(fd)
    except OSError:
        width, height = shutil.get_terminal_size((80, 24))
    return (width or 80, height or 24)


def driver_for(profile: Profile) -> type[PacedDriver]:
    """Return a driver class bound to a profile (Textual wants a class)."""
    return type("BoundPacedDriver", (PacedDriver,), {"profile": profile})
