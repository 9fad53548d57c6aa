"""A configuration document with its origin: every value knows its file and line, also after a profile was merged in."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from evse.config.toml_lines import Lines, Path, key_lines
from evse.domain.base import ConfigError

CONFIG_BYTES_MAX = 1_000_000
"""A station file has a few kB; more than this is another file."""

Table = dict[str, Any]


class Source:
    """Merged values and where each came from."""

    def __init__(self, data: Table, file: str, lines: Lines) -> None:
        self.file = file
        self.data = data
        self.origin: dict[Path, tuple[str, int]] = {path: (file, line) for path, line in lines.items()}

    def where(self, path: Path) -> tuple[str, int]:
        """File and line of ``path``, or of the nearest table around it."""
        while path and path not in self.origin:
            path = path[:-1]
        return self.origin.get(path, (self.file, 1))


def read_toml(text: str, file: str) -> Source:
    """Parse ``text``. Raises `ConfigError` with line and column when it is not TOML."""
    if len(text) > CONFIG_BYTES_MAX:
        raise ConfigError([f"{file}:1: {len(text)} characters, at most {CONFIG_BYTES_MAX}; this is not a station file"])
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = re.search(r"\(at line (\d+), column (\d+)\)", message)
        line, column = (int(found[1]), int(found[2])) if found else (text.count("\n") + 1, 1)
        what = re.sub(r"\s*\(at .*\)$", "", message)
        raise ConfigError([f"{file}:{line}:{column}: not valid TOML: {what}; correct this line first"]) from None
    except RecursionError:
        raise ConfigError([f"{file}:1: values are nested too deeply; a station file has three levels"]) from None
    return Source(data, file, key_lines(text))


MERGE_BY: dict[str, str] = {
    "evse": "id", "groups": "id", "reader": "name", "input": "name", "output": "name", "sensor": "name",
}  # fmt: skip
"""Arrays of tables whose elements meet by a key; the others are replaced as a whole."""


def merge(base: Source, over: Source) -> Source:
    """Lay ``over`` (the station file) onto ``base`` (the profile): tables merge, arrays by id, single values win."""
    merged = Source({}, over.file, {})
    merged.origin = {}

    def copy(source: Source, path: Path, to: Path) -> None:
        for known, origin in source.origin.items():
            if known[: len(path)] == path:
                merged.origin[to + known[len(path) :]] = origin

    def tables(low: Table, high: Table, at: tuple[Path, Path, Path]) -> Table:
        low_at, high_at, to = at
        result: Table = {}
        for key in [*low, *(k for k in high if k not in low)]:
            below = ((*low_at, key), (*high_at, key), (*to, key))
            if key not in high:
                result[key] = low[key]
                copy(base, below[0], below[2])
            elif key not in low:
                result[key] = high[key]
                copy(over, below[1], below[2])
            else:
                result[key] = both(key, low[key], high[key], below)
        return result

    def both(key: str, low: object, high: object, at: tuple[Path, Path, Path]) -> object:
        merged.origin[at[2]] = over.where(at[1])
        if isinstance(low, dict) and isinstance(high, dict):
            return tables(low, high, at)
        name = MERGE_BY.get(key)
        if name and _rows(low) and _rows(high):
            return arrays(low, high, name, at)  # type: ignore[arg-type]
        copy(over, at[1], at[2])
        return high

    def arrays(low: list[Table], high: list[Table], name: str, at: tuple[Path, Path, Path]) -> list[Table]:
        result: list[Table] = []
        taken: set[int] = set()
        for i, row in enumerate(low):
            match = next(
                (j for j, other in enumerate(high) if j not in taken and name in row and other.get(name) == row[name]),
                None,
            )
            to = (*at[2], len(result))
            if match is None:
                copy(base, (*at[0], i), to)
                result.append(row)
            else:
                taken.add(match)
                merged.origin[to] = over.where((*at[1], match))
                result.append(tables(row, high[match], ((*at[0], i), (*at[1], match), to)))
        for j, row in enumerate(high):
            if j not in taken:
                copy(over, (*at[1], j), (*at[2], len(result)))
                result.append(row)
        return result

    merged.data = tables(base.data, over.data, ((), (), ()))
    return merged


def _rows(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def key_text(data: Table, path: Path) -> str:
    """A path as people write it: ``evse[2].board.port``; array elements by id or name where they have one, else from
    1."""
    text = ""
    value: Any = data
    for part in path:
        value = _step(value, part)
        if isinstance(part, int):
            label: object = part + 1
            if isinstance(value, dict):
                label = next((value[k] for k in ("id", "name") if isinstance(value.get(k), int | str)), label)
            text += f"[{label}]"
        else:
            text += f".{part}" if text else part
    return text


def _step(value: Any, part: str | int) -> Any:
    if isinstance(part, int):
        return value[part] if isinstance(value, list) and part < len(value) else None
    return value.get(part) if isinstance(value, dict) else None


_SECRET_NAME = re.compile(r"(password|passwd|secret|psk|token|pin|private_key|api_key)$", re.IGNORECASE)
VALUE_TEXT_MAX = 60


def value_text(name: str, value: object) -> str:
    """A value for an error text: short, in TOML spelling, never a secret (by name, or a password in a URL)."""
    if _SECRET_NAME.search(name):
        return "***"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = '"' + re.sub(r"//[^/@\s]*@", "//***@", value) + '"'
    elif isinstance(value, dict):
        return "{...}"
    elif isinstance(value, list):
        return "[...]" if any(isinstance(v, dict | str) for v in value) else str(value)[:VALUE_TEXT_MAX]
    else:
        text = str(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= VALUE_TEXT_MAX else text[: VALUE_TEXT_MAX - 4] + '..."'


class Problems:
    """Mistakes found so far; ordered by file and line at the end."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.rows: list[tuple[str, int, str]] = []

    def add(self, path: Path, text: str, value: object = None, *, show: bool = True) -> None:
        """Note a mistake at ``path``; ``value`` is shown unless it is secret or ``show`` is False."""
        file, line = self.source.where(path)
        key = key_text(self.source.data, path)
        name = str(path[-1]) if path else ""
        shown = f" = {value_text(name, value)}" if show else ""
        self.rows.append((file, line, f"{key}{shown}: {text}"))

    def line(self, path: Path, seen_from: Path) -> str:
        """Where ``path`` stands, for a text about ``seen_from``: "line 9", with its file when that is another one."""
        file, line = self.source.where(path)
        return f"line {line}" if file == self.source.where(seen_from)[0] else f"line {line} of {file}"

    def texts(self) -> list[str]:
        """All mistakes, those of the station file first, each once."""
        unique = dict.fromkeys(sorted(self.rows, key=lambda row: (row[0] != self.source.file, row[0], row[1])))
        return [f"{file}:{line}: {text}" for file, line, text in unique]
