"""A reader of the YAML that evsectl writes, after the YAML rules and not after the writer: block maps and lists,
double-quoted scalars, plain keys, with the plain words that YAML 1.1 takes for booleans or null."""

from __future__ import annotations

import json
import re
from typing import Any

PLAIN_WORDS: dict[str, Any] = {
    **dict.fromkeys(("y", "yes", "on", "true"), True),
    **dict.fromkeys(("n", "no", "off", "false"), False),
    **dict.fromkeys(("null", "~", ""), None),
}
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
KEY = re.compile(r'("(?:[^"\\]|\\.)*"|[A-Za-z0-9_]+):(?: |$)')


def read_yaml(text: str) -> Any:
    """The value of a document; ValueError for what is not in the subset."""
    bad = re.search("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f]", text)
    if bad:
        raise ValueError(f"{bad.group()!r} may not stand in YAML")
    lines = [(len(line) - len(line.lstrip(" ")), line.lstrip(" ")) for line in text.split("\n") if line]
    value, rest = _block(lines, 0, lines[0][0])
    if rest != len(lines):
        raise ValueError(f"line {rest}: not understood: {lines[rest]}")
    return value


def _block(lines: list[tuple[int, str]], at: int, indent: int) -> tuple[Any, int]:
    if lines[at][1].startswith("- "):
        return _list(lines, at, indent)
    if KEY.match(lines[at][1]):
        return _map(lines, at, indent)
    return _scalar(lines[at][1]), at + 1


def _list(lines: list[tuple[int, str]], at: int, indent: int) -> tuple[list[Any], int]:
    out = []
    while at < len(lines) and lines[at][0] == indent and lines[at][1].startswith("- "):
        lines[at] = (indent + 2, lines[at][1][2:])
        value, at = _block(lines, at, indent + 2)
        out.append(value)
    return out, at


def _map(lines: list[tuple[int, str]], at: int, indent: int) -> tuple[dict[Any, Any], int]:
    out: dict[Any, Any] = {}
    while at < len(lines) and lines[at][0] == indent:
        found = KEY.match(lines[at][1])
        if found is None:
            break
        key = _scalar(found.group(1))
        rest = lines[at][1][found.end() :]
        at += 1
        if rest:
            out[key] = _scalar(rest)
        else:
            out[key], at = _block(lines, at, lines[at][0])
    return out, at


def _scalar(text: str) -> Any:
    if text in ("[]", "{}") or text.startswith('"'):
        return json.loads(text)
    if text.lower() in PLAIN_WORDS:
        return PLAIN_WORDS[text.lower()]
    if NUMBER.fullmatch(text):
        return json.loads(text)
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        return text
    raise ValueError(f"{text!r} is not a scalar of the subset")
