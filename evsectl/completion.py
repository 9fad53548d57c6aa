"""Candidates for the shells: ``evsectl __complete WORDS...`` prints one per line for the last word.

The command tree comes from a generated table (`evsectl.tree`), live names from the daemon: 150 ms deadline, two
seconds of cache in the user's runtime directory (none without one), silent on every error.
"""

from __future__ import annotations

import json
import os
import sys

from evsectl.tree import TREE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DEADLINE_S = 0.15
CACHE_S = 2.0
NAMES_MAX = 500
"""More names than this help nobody; the rest is left out."""

FORMATS = ("table", "wide", "json", "jsonl", "yaml", "name", "csv", "value")
CONDITIONS = (
    "phase=charging",
    "phase=finished",
    "phase=idle",
    "phase=wait_auth",
    "state=Charging",
    "state=Idle",
    "step=Curr",
    "plugged=no",
    "plugged=yes",
    "fault=any",
    "fault=none",
)

VALUES: dict[str, tuple[str, ...]] = {
    "--output": FORMATS,
    "-o": FORMATS,
    "--accept-risk": ("stop-charging", "energise"),
    "--state": ("all", "active", "completed"),
    "--for": CONDITIONS,
    "--scenario": ("quick", "site-limit", "faults", "offline"),
    "--color": ("auto", "always", "never"),
    "--lang": ("en", "de", "fr"),
    "--profile": ("utf8", "cp437", "ascii"),
    "--direction": ("sent", "received"),
    "--answer": ("Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"),
}

WORDS: dict[str, tuple[str, ...]] = {
    "wait": ("connector",),
    "watch": ("status", "events"),
    "help": ("exit-codes", "output", "environment"),
    "ocpp trigger": (
        "BootNotification", "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Heartbeat", "LogStatusNotification",
        "MeterValues", "SignChargePointCertificate", "StatusNotification",
    ),
    "ocpp security set-profile": ("0", "1", "2", "3"),
    "ocpp transfers cancel": ("firmware", "diagnostics", "log"),
}
"""First argument of commands that know its values."""

CONNECTOR_VERBS = (
    "get", "watch", "start", "stop", "enable", "disable", "unlock", "allow", "pause", "release", "withdraw",
)  # fmt: skip
AC_COMMANDS = (
    "lock status", "lock unlock", "lock lock", "rcd status", "rcd test", "phase show", "phase set", "hlc show",
    "hlc renegotiate", "hlc pause", "hlc resume", "hlc reinit", "ventilation show", "ventilation set",
)  # fmt: skip
"""Commands that name an AC connector first."""

LIVE: dict[str, tuple[str, str]] = {
    **{
        f"connector {verb}": ("connector.list", "evse_id")
        for verb in CONNECTOR_VERBS
    },
    **dict.fromkeys(AC_COMMANDS, ("lock.status", "evse_id")),
    "limits explain": ("connector.list", "evse_id"),
    "limits set": ("limits.list", "name"),
    "limits clear": ("limits.list", "name"),
    "io show": ("io.list", "name"),
    "io set": ("io.list", "name"),
    "recloser status": ("recloser.status", "name"),
    "recloser open": ("recloser.status", "name"),
    "recloser close": ("recloser.status", "name"),
    "rfid show": ("rfid.last", "name"),
    "rfid tap-test": ("rfid.last", "name"),
    "wait connector": ("connector.list", "evse_id"),
    "session get": ("session.list", "session_id"),
    "fault get": ("fault.list", "record.code"),
    "fault clear": ("fault.list", "record.code"),
    "fault explain": ("fault.catalogue", "code"),
    **{f"whitelist {verb}": ("whitelist.list", "id") for verb in ("show", "edit", "remove")},
    "--reader": ("rfid.last", "name"),
    "meter read": ("meter.read", "name"),
    "meter show": ("meter.read", "name"),
    "meter probe": ("meter.read", "name"),
    "ocpp config get": ("ocpp.config", "key"),
    "ocpp config set": ("ocpp.config", "key"),
    "ocpp queue resend": ("ocpp.queue", "row_id"),
    "ocpp certs delete": ("ocpp.certs", "fingerprint"),
    "ocpp schedule explain": ("connector.list", "evse_id"),
    "ocpp schedule composite": ("connector.list", "evse_id"),
    "--connector": ("connector.list", "evse_id"),
}
"""First argument of a command, or value of an option -> operation and field that has the names."""


def complete(words: list[str]) -> int:
    """Print the candidates for the last of ``words`` (may be empty). Never fails, never says a word on stderr."""
    try:
        *before, last = join_equals(words) or [""]
        found = candidates(before, last)
        glued = len(words) > 1 and words[-1] != last  # bash split the word at "=" and wants only what follows
        cut = last.rpartition("=")[0] + "=" if glued and "=" in last else ""
        sys.stdout.write("".join(f"{word[len(cut) :]}\n" for word in found if word.startswith(cut)))
        sys.stdout.flush()
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)
    return 0


def join_equals(words: list[str]) -> list[str]:
    """Undo what bash does to ``--output=json`` and ``phase=idle``: three words become one again."""
    out: list[str] = []
    glue = False
    for word in words:
        if word == "=" and out:
            out[-1] += "="
            glue = True
        elif glue:
            out[-1] += word
            glue = False
        else:
            out.append(word)
    return out


def candidates(before: list[str], last: str) -> list[str]:
    """Candidates for ``last`` after the words ``before``."""
    option = before[-1] if before else ""
    name, equals, _ = last.partition("=")
    if equals and name in VALUES and name.startswith("--"):
        return _starting((f"{name}={value}" for value in VALUES[name]), last)
    path, arguments, takes_value = _read(before)
    if takes_value:
        if option in LIVE:
            return _starting(live(*LIVE[option]), last)
        return _starting(VALUES.get(option, ()), last)
    node = TREE[path]
    if last.startswith("-"):
        return _starting(node["options"], last)
    if node["commands"]:
        return [] if arguments else _starting(node["commands"], last)
    if path == "wait" and arguments == ["connector"]:
        return _starting(live(*LIVE["wait connector"]), last)
    if arguments:
        return []
    return _starting(live(*LIVE[path]) if path in LIVE else WORDS.get(path, ()), last)


def _starting(words: Iterable[str], last: str) -> list[str]:
    return [word for word in words if word.startswith(last)]


def _read(before: list[str]) -> tuple[str, list[str], bool]:
    """The command of a line, its arguments, and whether the last word is an option that waits for its value."""
    path = ""
    arguments: list[str] = []
    waits = False
    for word in before:
        node = TREE[path]
        if waits:
            waits = False
        elif word.startswith("-") and word != "-":
            waits = "=" not in word and word in node["options"] and word not in node["flags"]
        elif word in node["commands"]:
            path = f"{path} {word}".strip()
        else:
            arguments.append(word)
    return path, arguments, waits


def live(operation: str, field: str) -> list[str]:
    """Names from the daemon, or from the cache; nothing on any error."""
    import time

    host = os.environ.get("EVSECTL_HOST", "")
    cache = cache_file(operation, host)
    if cache:
        try:
            with open(cache, encoding="utf-8") as file:  # noqa: PTH123
                if 0 <= time.time() - os.fstat(file.fileno()).st_mtime < CACHE_S:
                    return [str(name) for name in json.load(file)]
        except (OSError, ValueError):
            pass
    try:
        from evse.api.client import Client
        from evsectl import tokens

        items = Client(host or None, token=tokens.load(host), timeout_s=DEADLINE_S).call(operation)["items"]
        names = [str(_dig(item, field)) for item in items[:NAMES_MAX]]
    except Exception:  # noqa: BLE001 - a shell waits for us: no error may reach it
        return []
    if cache:
        _keep(cache, names)
    return names


def cache_file(operation: str, host: str) -> str:
    """Where names are kept: in a directory that nobody else can write to, one file per host; "" = nowhere."""
    from evsectl.tokens import runtime_dir

    base = runtime_dir()
    place = "".join(c if c.isalnum() else "-" for c in host)[-100:]
    return f"{base}/evsectl-names-{operation}{place}.json" if base else ""


def _keep(cache: str, names: list[str]) -> None:
    try:
        handle = os.open(cache, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(names, file)
    except OSError:
        pass


def _dig(item: dict[str, object], field: str) -> object:
    value: object = item
    for part in field.split("."):
        value = value[part] if isinstance(value, dict) else ""
    return value
