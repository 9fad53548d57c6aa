"""Candidates for the shells: ``evsectl __complete WORDS...`` prints one per line for the last word.

The command tree comes from a generated table (`evsectl.tree`), live names from the daemon: 150 ms deadline, two
seconds of cache, silent on every error.
"""

from __future__ import annotations

import json
import os
import sys

from evsectl.output import FORMATS

DEADLINE_S = 0.15
CACHE_S = 2.0

VALUES: dict[str, tuple[str, ...]] = {
    "--output": FORMATS,
    "-o": FORMATS,
    "--accept-risk": ("stop-charging", "energise"),
    "--state": ("all", "active", "completed"),
    "--for": ("phase=charging", "phase=finished", "phase=idle", "state=Charging", "plugged=no", "fault=none"),
    "--scenario": ("quick", "site-limit", "faults", "offline"),
    "--color": ("auto", "always", "never"),
    "--lang": ("en", "de", "fr"),
    "--profile": ("utf8", "cp437", "ascii"),
}

LIVE: dict[tuple[str, ...], tuple[str, str]] = {
    **{
        ("connector", verb): ("connector.list", "evse_id")
        for verb in ("get", "watch", "start", "stop", "enable", "disable", "unlock")
    },
    ("wait", "connector"): ("connector.list", "evse_id"),
    ("session", "get"): ("session.list", "session_id"),
    ("fault", "get"): ("fault.list", "record.code"),
    ("fault", "clear"): ("fault.list", "record.code"),
    ("fault", "explain"): ("fault.catalogue", "code"),
    ("meter", "read"): ("meter.read", "name"),
    ("meter", "probe"): ("meter.read", "name"),
    ("ocpp", "config", "get"): ("ocpp.config", "key"),
    ("ocpp", "config", "set"): ("ocpp.config", "key"),
}


def complete(words: list[str]) -> int:
    """Print the candidates for the last of ``words`` (may be empty)."""
    last = words[-1] if words else ""
    sys.stdout.write("".join(f"{word}\n" for word in candidates(words[:-1], last)))
    return 0


def candidates(before: list[str], last: str) -> list[str]:
    """Candidates for ``last`` after the words ``before``."""
    if before and before[-1] in VALUES:
        return [value for value in VALUES[before[-1]] if value.startswith(last)]
    from evsectl.tree import TREE

    path: list[str] = []
    for word in before:
        if " ".join([*path, word]) in TREE:
            path.append(word)
    node = TREE[" ".join(path)]
    if last.startswith("-"):
        return sorted(option for option in node["options"] if option.startswith(last))
    found = [name for name in node["commands"] if name.startswith(last)]
    if not found and path == ["wait"] and "connector" not in before:
        found = ["connector"]
    key = tuple([*path, "connector"]) if path == ["wait"] and "connector" in before else tuple(path)
    if not found and key in LIVE:
        found = [name for name in live(*LIVE[key]) if name.startswith(last)]
    return found


def live(operation: str, field: str) -> list[str]:
    """Names from the daemon, or from the cache; nothing on any error."""
    import time

    cache = f"{os.environ.get('XDG_RUNTIME_DIR') or '/tmp'}/evsectl-complete-{os.getuid()}-{operation}.json"
    try:
        info = os.lstat(cache)
        if info.st_uid == os.getuid() and time.time() - info.st_mtime < CACHE_S:
            with open(cache, encoding="utf-8") as file:  # noqa: PTH123
                return [str(name) for name in json.load(file)]
    except (OSError, ValueError):
        pass
    try:
        from evse.api.client import Client

        items = Client(os.environ.get("EVSECTL_HOST") or None, timeout_s=DEADLINE_S).call(operation)["items"]
        names = [str(_dig(item, field)) for item in items]
    except Exception:  # noqa: BLE001 - a shell waits for us: no error may reach it
        return []
    try:
        handle = os.open(cache, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(names, file)
    except OSError:
        pass
    return names


def _dig(item: dict[str, object], field: str) -> object:
    value: object = item
    for part in field.split("."):
        value = value[part] if isinstance(value, dict) else ""
    return value
