"""A YAML writer for JSON values that YAML 1.1 and 1.2 readers understand the same way."""

from __future__ import annotations

import json
from typing import Any

AMBIGUOUS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Plain words that YAML 1.1 reads as something else than a string."""


def yaml(value: Any, indent: int = 0) -> str:
    """Block style; strings are double-quoted with JSON's escapes, which YAML shares."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(
            f"{pad}{_key(key)}:\n{yaml(entry, indent + 1)}"
            if isinstance(entry, dict | list) and entry
            else f"{pad}{_key(key)}: {_scalar(entry)}\n"
            for key, entry in value.items()
        )
    if isinstance(value, list) and value:
        out = ""
        for entry in value:
            if isinstance(entry, dict | list) and entry:
                out += f"{pad}- {yaml(entry, indent + 1)[len(pad) + 2 :]}"
            else:
                out += f"{pad}- {_scalar(entry)}\n"
        return out
    return f"{pad}{_scalar(value)}\n"


def _key(key: str) -> str:
    word = key.replace("_", "a")
    plain = word.isascii() and word.isalnum() and not word[0].isdigit() and key.lower() not in AMBIGUOUS
    return key if plain else _scalar(key)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    # YAML has no surrogate pairs: what is beyond the BMP stays as it is, unprintable characters below are escaped.
    return "".join(c if c.isprintable() or ord(c) > 0xFFFF else f"\\u{ord(c):04x}" for c in text)
