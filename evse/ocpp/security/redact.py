"""What must not reach the message log: values of AuthorizationKey, user, password and query of URLs."""

from __future__ import annotations

import re
from typing import Any

import msgspec

HIDDEN = "***"

_URL = re.compile(r"(:(?:\\?/){2})((?:[^\s\"\\]|\\.)+)")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_WORD = "authorizationkey"


def redact(action: str, payload: str) -> str:
    """Return the JSON text of a payload (or of a malformed message, ``action`` "") without secrets."""
    if "/" in payload:
        payload = _URL.sub(_url, payload)
    lowered = payload.lower()
    if "\\u" in lowered:
        lowered = _ESCAPE.sub(lambda m: chr(int(m.group(1), 16)), payload).lower()
    if _WORD not in lowered:
        return payload
    if action == "GetConfiguration":
        return payload  # names only; the key cannot be read
    try:
        body = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        body = None
    if action == "ChangeConfiguration" and isinstance(body, dict):
        return msgspec.json.encode({name: _shown(name, value) for name, value in body.items()}).decode()
    return f'"{HIDDEN} a message of {len(payload)} characters that names AuthorizationKey is not shown"'


def _url(match: re.Match[str]) -> str:
    """Hide what stands before the last @ and behind the first ?; an address that is not well-formed loses more, never less."""
    rest = match[2]
    front, mark, query = rest.partition("?")
    if "@" in query and "/" not in front:  # a password with ? in it
        front, mark, query = rest, "", ""
    _, at, place = front.rpartition("@")
    return match[1] + (f"{HIDDEN}@{place}" if at else front) + (f"?{HIDDEN}" if mark else "")


def _shown(name: str, value: Any) -> Any:
    return value if name == "key" else HIDDEN
