"""The last lines of the daemon's log in memory, for bundles that the back end asks for. What is older has the journal."""

from __future__ import annotations

import logging
import re
from collections import deque
from typing import Final

from evse.units import NS_PER_S, WallNs

LINES_MAX: Final = 10_000
LINE_MAX: Final = 500

_CREDENTIALS: Final = re.compile(r"(://)[^/@\s\"']*@")


class LogRing(logging.Handler):
    """Keeps `LINES_MAX` lines of at most `LINE_MAX` characters, without credentials of URLs."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[tuple[WallNs, str]] = deque(maxlen=LINES_MAX)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        try:
            text = without_credentials(self.format(record))[:LINE_MAX]
        except (TypeError, ValueError, KeyError):  # a line that cannot be made is reported on stderr, as logging does
            self.handleError(record)
            return
        self._lines.append((int(record.created * NS_PER_S), text))

    def lines(self, since: WallNs | None, until: WallNs | None) -> list[str]:
        """Lines of a time window, oldest first; None = no bound."""
        rows = list(self._lines)
        return [
            text for wall, text in rows if (since is None or wall >= since) and (until is None or wall <= until)
        ]


def without_credentials(text: str) -> str:
    """Return ``text`` with user names and passwords in URLs hidden."""
    return _CREDENTIALS.sub(r"\1***@", text) if "@" in text else text


def installed() -> LogRing | None:
    """The ring of this process, None = it has none."""
    return next((handler for handler in logging.getLogger().handlers if isinstance(handler, LogRing)), None)
