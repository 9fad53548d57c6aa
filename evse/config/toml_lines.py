"""Where each key of a TOML text stands: ``tomllib`` gives the values, this gives the lines.

The scanner walks a text that ``tomllib`` has accepted, so it only has to find its way, not to judge: tables, arrays of
tables, dotted and quoted keys, inline tables, arrays over several lines, the four kinds of strings, comments.
Paths are tuples of keys and array positions: ``("evse", 0, "board", "port")``.
"""

from __future__ import annotations

import tomllib

Path = tuple[str | int, ...]
Lines = dict[Path, int]

_BARE_END = frozenset(" \t\r\n=.]#,{}[\"'")


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text, self.pos, self.line = text, 0, 1
        self.lines: Lines = {}
        self.rows: dict[Path, int] = {}  # arrays of tables and how many tables each has by now

    def advance(self, count: int = 1) -> None:
        """Move on and count the lines passed."""
        self.line += self.text.count("\n", self.pos, self.pos + count)
        self.pos += count

    def at(self, token: str) -> bool:
        return self.text.startswith(token, self.pos)

    def blank(self) -> None:
        """Skip white space, line ends and comments."""
        while self.pos < len(self.text):
            char = self.text[self.pos]
            if char == "#":
                end = self.text.find("\n", self.pos)
                self.pos = len(self.text) if end < 0 else end
            elif char in " \t\r\n":
                self.advance()
            else:
                return

    def spaces(self) -> None:
        while self.pos < len(self.text) and self.text[self.pos] in " \t":
            self.pos += 1

    def string(self) -> str:
        """Skip a string of any kind; return its value (keys need it)."""
        quote = self.text[self.pos]
        start = self.pos
        if self.at(quote * 3):
            self.advance(3)
            while not self.at(quote * 3):
                self.advance(2 if quote == '"' and self.at("\\") else 1)
            self.advance(3)
            while self.at(quote):  # up to two quotes may stand directly before the end
                self.advance()
            return ""
        self.advance()
        while not self.at(quote):
            self.advance(2 if quote == '"' and self.at("\\") else 1)
        self.advance()
        raw = self.text[start : self.pos]
        value = tomllib.loads(f"k = {raw}")["k"]
        return str(value)

    def key(self) -> list[str]:
        """Read a dotted key."""
        parts: list[str] = []
        while True:
            self.spaces()
            if self.text[self.pos] in "\"'":
                parts.append(self.string())
            else:
                start = self.pos
                while self.pos < len(self.text) and self.text[self.pos] not in _BARE_END:
                    self.pos += 1
                parts.append(self.text[start : self.pos])
            self.spaces()
            if not self.at("."):
                return parts
            self.pos += 1

    def resolve(self, base: Path, keys: list[str], line: int) -> Path:
        """Follow ``keys`` from ``base``, entering the newest table of each array of tables."""
        path = base
        for key in keys:
            path = (*path, key)
            self.lines.setdefault(path, line)
            if path in self.rows:
                path = (*path, self.rows[path] - 1)
        return path

    def pair(self, base: Path) -> None:
        """``key = value``."""
        line = self.line
        keys = self.key()
        parent = self.resolve(base, keys[:-1], line)
        path = (*parent, keys[-1])
        self.lines.setdefault(path, line)
        self.advance()  # the equals sign
        self.spaces()
        self.value(path)

    def value(self, path: Path) -> None:
        char = self.text[self.pos]
        if char in "\"'":
            self.string()
        elif char == "[":
            self.array(path)
        elif char == "{":
            self.inline(path)
        else:
            while self.pos < len(self.text) and self.text[self.pos] not in ",]}#\n\r":
                self.pos += 1

    def array(self, path: Path) -> None:
        self.advance()
        index = 0
        while True:
            self.blank()
            if self.at("]"):
                self.advance()
                return
            self.lines[(*path, index)] = self.line
            self.value((*path, index))
            index += 1
            self.blank()
            if self.at(","):
                self.advance()

    def inline(self, path: Path) -> None:
        self.advance()
        while True:
            self.blank()
            if self.at("}"):
                self.advance()
                return
            self.pair(path)
            self.blank()
            if self.at(","):
                self.advance()

    def header(self) -> Path:
        """``[table]`` or ``[[array of tables]]``: return the path that the following pairs belong to."""
        line = self.line
        double = self.at("[[")
        self.advance(2 if double else 1)
        keys = self.key()
        self.advance(2 if double else 1)
        if not double:
            path = self.resolve((), keys, line)
            self.lines[path] = line
            return path
        parent = self.resolve((), keys[:-1], line)
        path = (*parent, keys[-1])
        self.lines.setdefault(path, line)
        index = self.rows.get(path, 0)
        self.rows[path] = index + 1
        self.lines[(*path, index)] = line
        return (*path, index)

    def run(self) -> Lines:
        base: Path = ()
        self.blank()
        while self.pos < len(self.text):
            if self.at("["):
                base = self.header()
            else:
                self.pair(base)
            self.blank()
        return self.lines


def key_lines(text: str) -> Lines:
    """Return the line (from 1) of every table, key and array element of ``text``, which must be valid TOML."""
    return _Scanner(text).run()
