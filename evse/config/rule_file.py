"""Rules as text: sets of ``profiles/rules``, files of installers, and the ``[[rule]]`` tables of a station file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from evse.config.model_leds import LedSection
from evse.config.model_rules import RuleSection
from evse.config.options import tree
from evse.config.paths import profiles_dir
from evse.config.profiles import nearest
from evse.config.source import Problems, read_toml
from evse.config.values import judge, unknown_key
from evse.domain.base import ConfigError


def list_sets() -> list[str]:
    """Names of the shipped sets, e.g. "led-socket"."""
    return sorted(path.stem for path in (profiles_dir() / "rules").glob("*.toml"))


def set_text(name: str) -> str:
    """Return the text of a shipped set. Raises `ConfigError` when there is none of this name."""
    known = list_sets()
    if name not in known:
        raise ConfigError([f"there is no set of rules {name!r}; {nearest(name, known)}"])
    return (profiles_dir() / "rules" / f"{name}.toml").read_text(encoding="utf-8")


def read_rules(text: str, file: str) -> tuple[RuleSection, ...]:
    """Return the rules in ``text``, a file with ``[[rule]]`` tables (a station file too: the rest is not looked at).

    Raises `ConfigError` with every mistake of the rules themselves; what a station has is checked when they are applied.
    """
    source = read_toml(text, file)
    problems = Problems(source)
    rows = source.data.get("rule", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        problems.add(("rule",), "must be an array of tables; write [[rule]]", rows)
        raise ConfigError(problems.texts())
    table = tree().tables["rule"]
    for i, row in enumerate(rows):
        for key, value in row.items():
            wrong = judge(table.options[key], value) if key in table.options else unknown_key(table, key, value)
            if wrong:
                problems.add(("rule", i, key), wrong, value)
    if not rows:
        problems.add((), "there are no [[rule]] tables in this file; name another", show=False)
    if problems.rows:
        raise ConfigError(problems.texts())
    return msgspec.convert(rows, tuple[RuleSection, ...])


def _table(section: msgspec.Struct) -> Any:
    """A table with the keys that are not at their default."""
    table = tomlkit.table()
    for field in msgspec.structs.fields(section):
        value = getattr(section, field.name)
        if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
            rows = tomlkit.aot()
            for row in value:
                rows.append(_table(row))
            table[field.name] = rows
        elif field.required or value != field.default:
            table[field.name] = list(value) if isinstance(value, tuple) else value
    return table


def rules_toml(rules: Sequence[RuleSection]) -> str:
    """Return the rules as text that `read_rules` reads."""
    return _dump("rule", rules) or "# no rules\n"


def _dump(key: str, sections: Sequence[msgspec.Struct]) -> str:
    return "\n".join(f"[[{key}]]\n{tomlkit.dumps(_table(s))}" for s in sections)


def with_rules(text: str, rules: Sequence[RuleSection], file: str = "station.toml") -> str:
    """Return the station file ``text`` with exactly these rules; everything else keeps its place and its comments."""
    return _with(text, "rule", rules, file)


def with_leds(text: str, leds: Sequence[LedSection], file: str = "station.toml") -> str:
    """Return the station file ``text`` with exactly these lamps."""
    return _with(text, "led", leds, file)


def _with(text: str, key: str, sections: Sequence[msgspec.Struct], file: str) -> str:
    read_toml(text, file)
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise ConfigError([f"{file}:1: not valid TOML: {error}; correct the file first"]) from None
    document.pop(key, None)
    rows = tomlkit.aot()
    for section in sections:
        rows.append(_table(section))
    if sections:
        document[key] = rows
    else:
        document[key] = tomlkit.array()  # an empty list: rules of the profile do not come back
    return tomlkit.dumps(document)
