"""Where the Unix socket of the daemon is, for both sides. Imports nothing heavy: `evse.api.client` uses it."""

from __future__ import annotations

import _socket
import os

ENVIRONMENT = "EVSE_SOCKET"
SYSTEM_DIR = "/run/evsed"
SOCKET_NAME = "evsed.sock"
LOGIND_DIR = "/run/user"
TEMPORARY_DIR = "/tmp"  # used with the check of `trusted`
DEMO_PREFIX = "evse-demo-"
"""Begins the names of the folders of demos, in the folder for temporary files."""

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


def demo_socket() -> str:
    """Return the socket of this user's demo that was started last, "" if none runs."""
    folder = os.environ.get("TMPDIR") or TEMPORARY_DIR
    names = os.listdir(folder) if _exists(folder) else []  # noqa: PTH208 - see trusted()
    paths = [f"{folder}/{name}/{SOCKET_NAME}" for name in names if name.startswith(DEMO_PREFIX)]
    return max(((began, path) for path in paths if (began := _listens_since(path))), default=(0.0, ""))[1]


def user_dir() -> str:
    """Return the runtime directory of the user for this program (not created here).

    $XDG_RUNTIME_DIR, what logind makes, or a directory below /tmp, which others could make first: see `trusted`.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "") or f"{LOGIND_DIR}/{os.getuid()}"
    return f"{base}/evsed" if _exists(base) else f"{TEMPORARY_DIR}/evsed-{os.getuid()}"


def trusted(path: str) -> bool:
    """Tell whether a socket may be used: always, unless it is in the directory below /tmp and that is another user's.

    Somebody could have made that directory to wait for a PIN. Named paths are the choice of whoever named them.
    """
    directory = os.path.dirname(path)  # noqa: PTH120 - pathlib costs the fast path 4 ms
    if directory != f"{TEMPORARY_DIR}/evsed-{os.getuid()}":
        return True
    try:
        return os.lstat(directory).st_uid == os.getuid()
    except OSError:
        return True  # nothing there to be deceived by


def _exists(path: str) -> bool:
    try:
        os.stat(path)  # noqa: PTH116 - see trusted()
    except OSError:
        return False
    return True


def _listens_since(path: str) -> float:
    """When somebody of this user began to listen at a socket, 0 if nobody does."""
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        made = os.lstat(path)
        return made.st_mtime if made.st_uid == os.getuid() and probe.connect_ex(path) == 0 else 0.0
    except OSError:
        return 0.0  # it ended while we looked
    finally:
        probe.close()
