"""Where a raised role is kept between commands: one file per user in the runtime directory, mode 0600."""

from __future__ import annotations

import contextlib
import json
import os
import sys

FILE_MODE = 0o600


def path() -> str:
    """File of this user; the runtime directory is gone after a reboot, and so is the token."""
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    if not os.path.isdir(base):  # noqa: PTH112 - no pathlib in hot commands
        import platformdirs

        base = platformdirs.user_cache_dir("evsectl", ensure_exists=True)
    return f"{base}/evsectl-tokens.json"


def _load() -> dict[str, str]:
    try:
        with open(path(), encoding="utf-8") as file:  # noqa: PTH123
            data = json.load(file)
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _store(tokens: dict[str, str]) -> None:
    handle = os.open(path(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(tokens, file)


def load(host: str) -> str:
    """Token for a host; "" without one. EVSECTL_TOKEN wins (for scripts)."""
    return os.environ.get("EVSECTL_TOKEN") or _load().get(host or "local", "")


def save(host: str, token: str) -> None:
    """Keep a token; a directory that cannot be written costs a warning, not the sign-in."""
    try:
        _store({**_load(), host or "local": token})
    except OSError as error:
        sys.stderr.write(
            f"evsectl: the token could not be kept ({error.strerror}); for this shell: export EVSECTL_TOKEN={token}\n"
        )


def forget(host: str) -> None:
    """Drop a token."""
    tokens = _load()
    if tokens.pop(host or "local", None) is not None:
        with contextlib.suppress(OSError):
            _store(tokens)
