"""Tell the service manager how a program is: the datagrams of sd_notify(3), for the daemon and for the kiosk.

The manager names its socket in $NOTIFY_SOCKET and the patience of its watchdog in $WATCHDOG_USEC (sd_watchdog_enabled(3):
ping at least twice in that time, and only the process named by $WATCHDOG_PID). Without them every call does nothing.
A message that the manager does not take is dropped: telling must never hold up what is told about.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, MutableMapping

from evse.units import NS_PER_US, Instant

log = logging.getLogger(__name__)

PINGS_PER_WATCHDOG = 4
"""Twice is what the manual asks for; the double spares a busy machine."""
STATUS_MAX = 200
"""Longest status text in characters."""


class ServiceManager:
    """One process's line to its service manager. ``now`` is monotonic ns.

    Takes its variables out of ``env``: a child of this process must not speak for it.
    """

    def __init__(self, env: MutableMapping[str, str], now: Callable[[], Instant], pid: int | None = None) -> None:
        self._now = now
        self._address = _address(env.pop("NOTIFY_SOCKET", ""))
        usec, named = env.pop("WATCHDOG_USEC", ""), env.pop("WATCHDOG_PID", "")
        mine = not named or named == str(os.getpid() if pid is None else pid)
        self.watchdog_ns = int(usec) * NS_PER_US if usec.isdecimal() and mine and self._address else 0
        """Silence after which the manager ends this process; 0 = it does not watch."""
        self._pinged: Instant | None = None
        self._socket: socket.socket | None = None
        self._told = False

    def ready(self, status: str) -> None:
        """Say that the start is complete, and what there is to say about it in one line."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, text: str) -> None:
        """Replace the line that ``systemctl status`` shows."""
        self._send(f"STATUS={_line(text)}")

    def stopping(self) -> None:
        """Say that the process ends by its own will; the manager's watchdog rests from here on."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Ping the watchdog; may be called as often as one likes, most calls send nothing."""
        if not self.watchdog_ns:
            return
        now = self._now()
        if self._pinged is None or now - self._pinged >= self.watchdog_ns // PINGS_PER_WATCHDOG:
            self._pinged = now
            self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; later calls open it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
            self._socket.sendto(message.encode(), self._address)
            self._told = False
        except OSError as error:
            if not self._told:
                self._told = True
                log.warning("service manager at %r does not take %r: %s", self._address, message, error)


def _address(value: str) -> str:
    """A path, or with @ a name in the abstract namespace; anything else (vsock) is not spoken."""
    if value.startswith("@"):
        return "\0" + value[1:]
    return value if value.startswith("/") else ""


def _line(text: str) -> str:
    return " ".join(text.split())[:STATUS_MAX]
