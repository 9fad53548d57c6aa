"""The last messages of the link, both ways, for people who look at it live."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from evse.ocpp.security.redact import redact
from evse.units import WallNs

log = logging.getLogger(__name__)

LOG_MAX = 500
"""Messages kept; the oldest goes first."""

PAYLOAD_MAX = 4096
"""Characters kept of one payload."""


class LoggedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message. A result or error carries the action of the call that it answers."""

    seq: int
    wall: WallNs
    direction: str  # sent, received
    type: str  # call, result, error, malformed
    action: str
    unique_id: str
    payload: str  # JSON text


class MessageLog:
    """A ring of `LOG_MAX` messages with counters of all there ever were."""

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self._ring: deque[LoggedMessage] = deque(maxlen=LOG_MAX)
        self._watchers: set[asyncio.Event] = set()

    def add(self, wall: WallNs, direction: str, kind: str, action: str, unique_id: str, payload: str) -> None:
        """Append a message; control characters of the peer do not reach a terminal."""
        if direction == "sent":
            self.sent += 1
        else:
            self.received += 1
        text = redact(action, payload)[:PAYLOAD_MAX]
        if not text.isprintable():
            text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
        self._ring.append(LoggedMessage(
            seq=self.sent + self.received, wall=wall, direction=direction, type=kind, action=action,
            unique_id=unique_id, payload=text,
        ))
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s %s %s %s", direction, kind, action, unique_id, text)
        for watcher in self._watchers:
            watcher.set()

    def last(self, limit: int, action: str = "") -> list[LoggedMessage]:
        """Return up to ``limit`` messages, newest last; ``action`` "" = all."""
        found = [entry for entry in self._ring if not action or entry.action == action]
        return found[-limit:] if limit > 0 else []

    def all(self) -> list[LoggedMessage]:
        """Return every message that is kept, newest last."""
        return list(self._ring)

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever a message has been added; the reader clears it."""
        added = asyncio.Event()
        self._watchers.add(added)
        try:
            yield added
        finally:
            self._watchers.discard(added)
