"""What the terminal can do, decided once at start from the environment, the line and the options."""

from __future__ import annotations

import os
import stat
import termios
from collections.abc import Mapping
from typing import Final

import msgspec

from tui.driver.glyphs import GLYPHS, Glyphs, GlyphSet

PTY_RATE_BPS: Final = 64 * 1024
"""Bytes per second on a pty (ssh, tmux, terminal windows): no line limit, but never a flood."""
LINE_SHARE_PERMILLE: Final = 800
"""Share of a serial line that the screen may use."""
SLOW_BAUD: Final = 19200
"""At and below: no colours, slow refresh, no live plots."""

_BAUDS: Final[dict[int, int]] = {
    getattr(termios, f"B{b}"): b
    for b in (300, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
    if hasattr(termios, f"B{b}")
}


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Repertoire, colours and pace of one terminal."""

    glyph_set: GlyphSet = GlyphSet.UTF8
    encoding: str = "utf-8"
    mono: bool = False
    plain: bool = False  # no attribute at all (TERM=dumb)
    rate_bps: int = PTY_RATE_BPS  # bytes per second
    refresh_s: float = 1.0  # admin screens; the kiosk uses 0.5 s at most
    alt_screen: bool = False
    show_cursor: bool = True
    palette: bool = False  # a Linux virtual console: its sixteen colours are ours while we run

    @property
    def glyphs(self) -> Glyphs:
        """Drawing characters of the repertoire."""
        return GLYPHS[self.glyph_set]


def line_baud(fd: int) -> int:
    """Return the speed of a real serial port in baud, 0 for a pty, a virtual console or no terminal."""
    try:
        if not stat.S_ISCHR(os.fstat(fd).st_mode):
            return 0
        name = os.ttyname(fd)
        if not name.startswith(
            ("/dev/ttyS", "/dev/ttyUSB", "/dev/ttyACM", "/dev/ttyAMA", "/dev/ttymxc", "/dev/ttyO", "/dev/ttySC")
        ):
            return 0
        return _BAUDS.get(termios.tcgetattr(fd)[5], 0)
    except (OSError, termios.error):
        return 0


def _glyph_set(term: str, env: Mapping[str, str]) -> GlyphSet:
    locale = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    utf8 = "UTF-8" in locale.upper() or "UTF8" in locale.upper()
    if term in {"linux", "con", "con80x25"}:
        return GlyphSet.CP437
    if term.startswith(("vt1", "vt2", "vt3", "dumb", "ansi")) or not term:
        return GlyphSet.ASCII
    return GlyphSet.UTF8 if utf8 else GlyphSet.ASCII


def choose_profile(
    env: Mapping[str, str],
    fd: int,
    *,
    name: str = "",
    mono: bool = False,
    baud: int = 0,
    show_cursor: bool = True,
) -> Profile:
    """Decide a profile. ``name`` = utf8, cp437 or ascii overrides the guess; ``baud`` overrides the line's speed.

    Raises ValueError for an unknown name.
    """
    term = env.get("TERM", "")
    glyph_set = GlyphSet(name) if name else _glyph_set(term, env)
    baud = baud or line_baud(fd)
    plain = term == "dumb"
    slow = 0 < baud <= SLOW_BAUD
    return Profile(
        glyph_set=glyph_set,
        encoding={GlyphSet.UTF8: "utf-8", GlyphSet.ASCII: "ascii"}.get(glyph_set) or _cp437_encoding(term, env),
        mono=mono or slow or plain or bool(env.get("NO_COLOR")) or term.startswith(("vt1", "vt2")),
        plain=plain,
        rate_bps=PTY_RATE_BPS if not baud else max(24, baud // 10 * LINE_SHARE_PERMILLE // 1000),
        refresh_s=1.0 if not baud or baud >= 115200 else 2.0 if baud > SLOW_BAUD else 5.0,
        alt_screen=term.startswith(("xterm", "tmux", "screen", "rxvt", "alacritty", "kitty", "foot")),
        show_cursor=show_cursor,
        palette=term == "linux" and not (mono or slow or env.get("NO_COLOR")),
    )


def _cp437_encoding(term: str, env: Mapping[str, str]) -> str:
    """The Linux console reads UTF-8 and maps it to its font; a serial terminal with a PC font takes raw bytes."""
    locale = (env.get("LC_ALL") or env.get("LANG") or "").upper()
    return "utf-8" if term == "linux" or "UTF" in locale else "cp437"
