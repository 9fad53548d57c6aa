"""Where the Unix socket of the daemon is, for both sides. Imports nothing heavy: `evse.api.client` uses it."""

from __future__ import annotations

import os

ENVIRONMENT = "EVSE_SOCKET"
SYSTEM_DIR = "/run/evsed"
SOCKET_NAME = "evsed.sock"
PATH_MAX = 107
"""Longest path of a Unix socket on Linux, in bytes."""


def default_socket() -> str:
    """Return the path a client tries: $EVSE_SOCKET, the system's socket if there is one, the user's socket."""
    path = os.environ.get(ENVIRONMENT, "")
    if path:
        return path
    system = f"{SYSTEM_DIR}/{SOCKET_NAME}"
    return system if _exists(system) else f"{user_dir()}/{SOCKET_NAME}"


def server_socket(configured: str) -> str:
    """Return the path a daemon listens on.

    ``configured`` (api.socket) wins, then $EVSE_SOCKET, the system's directory if it may be written to, the user's.
    """
    if configured:
        return configured
    path = os.environ.get(ENVIRONMENT, "")
    if path:
        return path
    directory = SYSTEM_DIR if os.access(SYSTEM_DIR, os.W_OK | os.X_OK) else user_dir()
    return f"{directory}/{SOCKET_NAME}"


def user_dir() -> str:
    """Return the runtime directory of the user for this program (not created here)."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base:
        return f"{base}/evsed"
    from platformdirs import user_runtime_dir

    return user_runtime_dir("evsed", appauthor=False)


def trusted(path: str) -> bool:
    """Tell whether the directory of a socket belongs to root or to this user.

    A fallback directory below /tmp could have been made by somebody else who waits for a PIN.
    """
    try:
        owner = os.stat(os.path.dirname(path) or ".").st_uid  # noqa: PTH116, PTH120 - pathlib costs the fast path 4 ms
    except OSError:
        return True  # nothing there to be deceived by
    return owner in (0, os.getuid())


def _exists(path: str) -> bool:
    try:
        os.stat(path)  # noqa: PTH116 - see trusted()
    except OSError:
        return False
    return True
