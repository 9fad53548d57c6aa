"""What must not reach the message log: values of AuthorizationKey, and credentials inside URLs."""

from __future__ import annotations

import re
from typing import Any

import msgspec

HIDDEN = "***"

_URL = re.compile(r"(://)[^/@\s\"\\]*@")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_WORD = "authorizationkey"


def redact(action: str, payload: str) -> str:
    """Return the JSON text of a payload (or of a malformed message, ``action`` "") without secrets."""
    if "@" in payload:
        payload = _URL.sub(rf"\1{HIDDEN}@", payload)
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


def _shown(name: str, value: Any) -> Any:
    return value if name == "key" else HIDDEN
