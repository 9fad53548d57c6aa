"""What both apps share: the paced driver, the two themes, the fixed page instead of a traceback, the options."""

from __future__ import annotations

import argparse
import logging
import logging.handlers
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.app import App
from textual.binding import BindingType
from textual.events import Key

from tui.driver.base import driver_for
from tui.driver.profiles import Profile, choose_profile
from tui.theme import THEME_16, THEME_MONO, THEMES, roles

log = logging.getLogger("tui")

LOG_BYTES_MAX: Final = 512 * 1024


class ScreenApp(App[None], inherit_bindings=False):
    """Base of kiosk and console: nothing animated, no mouse, no default bindings, no traceback on the screen."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []
    CRASH_TEXT: ClassVar[str] = "This screen stopped because of an internal error. It is written to the log."

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        super().__init__(driver_class=driver_for(profile), ansi_color=True)
        self.animation_level = "none"
        self.role_styles = roles(mono=profile.mono)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEME_MONO if profile.mono else THEME_16

    @property
    def encoding(self) -> str:
        """Encoding of the terminal."""
        return self.profile.encoding

    async def _on_key(self, event: Key) -> None:
        """Give a key typed ahead to the dialog that the key before it opened.

        Textual puts a key into the queue of the screen that is current when it arrives; on slow lines and in scripts
        that may be the screen below. Dialogs take every key themselves, so one that comes here under a dialog is such.
        """
        if getattr(self.screen, "takes_all_keys", False):
            event.prevent_default()
            self.screen.post_message(Key(event.key, event.character))

    def _fatal_error(self) -> None:
        """Textual would print a traceback with local variables: log it instead and leave a fixed text."""
        log.critical("internal error, leaving", exc_info=self._exception or sys.exc_info()[1])
        self._exit_renderables.clear()
        self._close_messages_no_wait()

    def panic(self, *renderables: Any) -> None:
        """Never print what went wrong on a public screen."""
        for renderable in renderables:
            log.critical("panic: %r", renderable)
        self._exit_renderables.clear()
        self._close_messages_no_wait()

    def _print_error_renderables(self) -> None:
        self._exit_renderables.clear()


def options(prog: str, description: str) -> argparse.ArgumentParser:
    """Return the options that both programs take."""
    parser = argparse.ArgumentParser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument("--socket", default="", metavar="PATH", help="socket of the daemon (default: as evsectl)")
    parser.add_argument("--profile", choices=["utf8", "cp437", "ascii"], default="", help="characters the terminal has")
    parser.add_argument("--ascii", action="store_true", help="same as --profile ascii")
    parser.add_argument("--mono", action="store_true", help="no colours")
    parser.add_argument("--baud", type=int, default=0, metavar="N", help="speed of the line when it cannot be asked")
    parser.add_argument(
        "--log", default="", metavar="FILE", help="log file, - = stderr (default: a file in the temporary directory)"
    )
    return parser


def profile_from(args: argparse.Namespace, *, show_cursor: bool) -> Profile:
    """Return the profile for parsed options and the terminal on stdout."""
    return choose_profile(
        os.environ,
        sys.stdout.fileno(),
        name="ascii" if args.ascii else args.profile,
        mono=args.mono,
        baud=args.baud,
        show_cursor=show_cursor,
    )


def start_log(name: str, path: str) -> Path:
    """Send the log to a file (at most twice 512 KiB), never to the screen; returns the file.

    ``-`` = stderr, for a service manager's journal; where that is the screen, the file is used all the same.
    """
    handler: logging.Handler
    if path == "-" and not sys.stderr.isatty():
        file, layout = Path("journal"), "%(levelname)s %(name)s %(message)s"
        handler = logging.StreamHandler(sys.stderr)
    else:
        named = path if path != "-" else ""
        file = Path(named) if named else Path(tempfile.gettempdir()) / f"evse-{name}-{os.getuid()}.log"
        layout = "%(asctime)s %(levelname)s %(name)s %(message)s"
        handler = logging.handlers.RotatingFileHandler(file, maxBytes=LOG_BYTES_MAX, backupCount=1, delay=True)
    handler.setFormatter(logging.Formatter(layout))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    return file


def run_app(app: ScreenApp, log_file: Path) -> int:
    """Run an app to its end; returns the exit code. After an internal error one fixed line is left on the terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("this program needs a terminal; for scripts use evsectl", file=sys.stderr)
        return 2
    app.run(mouse=False)
    code = app.return_code or 0
    if app._exception is not None:
        print(f"{app.CRASH_TEXT} ({log_file})" if app.profile.show_cursor else app.CRASH_TEXT)
        return 70
    return code
