"""Where a raised role is kept between commands: one file per user in the runtime directory, mode 0600."""

from __future__ import annotations

import contextlib
import json
import os

from evsectl.diagnostics import note

FILE_MODE = 0o600


def runtime_dir() -> str:
    """A directory that is this user's alone and gone after a reboot; "" when the system has none."""
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    try:
        info = os.stat(base)  # noqa: PTH116 - no pathlib in hot commands
    except OSError:
        return ""
    return base if info.st_uid == os.getuid() and not info.st_mode & 0o022 else ""


def path() -> str:
    """File of this user: in the runtime directory, else in the cache of the user."""
    base = runtime_dir() or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return f"{base}/evsectl-tokens.json"


def _load() -> dict[str, str]:
    try:
        with open(path(), encoding="utf-8") as file:  # noqa: PTH123
            data = json.load(file)
    except (OSError, ValueError):
        return {}
    return {str(k): v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}


def _store(tokens: dict[str, str]) -> None:
    file_path = path()
    os.makedirs(os.path.dirname(file_path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
    handle = os.open(file_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        os.fchmod(handle, FILE_MODE)
        json.dump(tokens, file)


def load(host: str) -> str:
    """Token for a host; "" without one. EVSECTL_TOKEN wins (for scripts)."""
    return os.environ.get("EVSECTL_TOKEN") or _load().get(host or "local", "")


def save(host: str, token: str) -> None:
    """Keep a token; a directory that cannot be written costs a warning, not the sign-in."""
    try:
        _store({**_load(), host or "local": token})
    except OSError as error:
        note(f"evsectl: {path()}: {error.strerror}: the sign-in is not kept\n  for this shell: export EVSECTL_TOKEN={token}")


def forget(host: str) -> bool:
    """Drop a token; tell whether there was one."""
    tokens = _load()
    if tokens.pop(host or "local", None) is None:
        return False
    with contextlib.suppress(OSError):
        _store(tokens)
    return True


def forget_ended(host: str, token: str) -> bool:
    """Drop ``token`` if it came from the file; False when it did not (a script's own, or none at all)."""
    return bool(token) and token == _load().get(host or "local") and forget(host)
