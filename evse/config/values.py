"""Judge single values and names: type, range, unit, spelling; with the remedy in every text."""

from __future__ import annotations

import difflib
import re
from fractions import Fraction

from evse.config.options import Option, Table, tree
from evse.config.source import Problems, Source, value_text
from evse.config.toml_lines import Path

_SCALES: dict[str, tuple[str, Fraction]] = {
    "w": ("power", Fraction(1)),
    "kw": ("power", Fraction(1000)),
    "wh": ("energy", Fraction(1)),
    "kwh": ("energy", Fraction(1000)),
    "mv": ("voltage", Fraction(1, 1000)),
    "v": ("voltage", Fraction(1)),
    "kv": ("voltage", Fraction(1000)),
    "ma": ("current", Fraction(1, 1000)),
    "a": ("current", Fraction(1)),
    "amps": ("current", Fraction(1)),
    "ms": ("time", Fraction(1, 1000)),
    "s": ("time", Fraction(1)),
    "sec": ("time", Fraction(1)),
    "seconds": ("time", Fraction(1)),
    "min": ("time", Fraction(60)),
    "minutes": ("time", Fraction(60)),
    "h": ("time", Fraction(3600)),
    "hours": ("time", Fraction(3600)),
    "permille": ("ratio", Fraction(1, 1000)),
    "pct": ("ratio", Fraction(1, 100)),
    "percent": ("ratio", Fraction(1, 100)),
    "c": ("temperature", Fraction(1)),
    "dc": ("temperature", Fraction(1, 10)),
}
"""Unit words: what they measure and how many base units one is."""

_SYMBOLS = {"°c": "c", "%": "pct", "‰": "permille"}


def _suffix(name: str) -> tuple[str, str]:
    """("limit", "kw") of "limit_kw"; no known unit = (name, "")."""
    stem, _, unit = name.rpartition("_")
    return (stem, unit.lower()) if stem and unit.lower() in _SCALES else (name, "")


def converted(value: object, unit: str, to: Option) -> int | None:
    """``value`` in ``unit`` as a whole number in the unit of ``to``; None when that cannot be said."""
    goal = _suffix(to.name)[1]
    if isinstance(value, bool) or not isinstance(value, int | float) or unit not in _SCALES or goal not in _SCALES:
        return None
    if _SCALES[unit][0] != _SCALES[goal][0]:
        return None
    try:
        return round(Fraction(str(value)) * _SCALES[unit][1] / _SCALES[goal][1])
    except (ValueError, OverflowError):
        return None


def unknown_key(table: Table, key: str, value: object) -> str:
    """What to do about a key that ``table`` does not have."""
    stem, unit = _suffix(key)
    same = [o for o in table.options.values() if _suffix(o.name)[0] == stem and o.unit]
    number = value
    if isinstance(value, str):
        parsed = _number_with_unit(value)
        number, unit = (parsed[0], parsed[1] or unit) if parsed else (value, unit)
    for option in same:
        whole = converted(number, unit, option)
        if whole is not None:
            return f"unknown key, wrong unit; use {option.name} = {whole}"
        if not unit:
            ratio = isinstance(number, float) and 0 < number <= 1 and _suffix(option.name)[1] == "permille"
            example = f" = {round(float(number) * 1000)}" if ratio and isinstance(number, float) else ""
            return f"unknown key, the unit belongs to the name; use {option.name}{example} (in {option.unit})"
    known = [*table.options, *table.tables]
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if close:
        return f"unknown key; did you mean {close[0]}?"
    elsewhere = [t.key or "the top of the file" for t in _tables(tree()) if key in t.options and t.key != table.key]
    if elsewhere:
        return f"unknown key here; it belongs to {' or '.join(elsewhere)}"
    where = f"[{table.key.replace('[]', '')}]" if table.key else "the file"
    return f"unknown key; remove it, {where} may have: {', '.join(known)}"


def _tables(table: Table) -> list[Table]:
    return [table, *(t for below in table.tables.values() for t in _tables(below))]


def _number_with_unit(text: str) -> tuple[float, str] | None:
    found = re.fullmatch(r"\s*([0-9]+(?:[.,][0-9]+)?)\s*([A-Za-z°%‰]*)\s*", text)
    if not found:
        return None
    unit = found[2].lower()
    return float(found[1].replace(",", ".")), _SYMBOLS.get(unit, unit)


def _span(option: Option) -> str:
    unit = f" {option.unit}" if option.unit else ""
    if option.low is not None and option.high is not None:
        return f"{option.low}..{option.high}{unit}"
    return unit.strip()


def _not_integer(option: Option, value: object) -> str:
    span = _span(option)
    expected = f"must be a whole number ({span})" if span else "must be a whole number"
    if isinstance(value, str):
        parsed = _number_with_unit(value)
        if parsed is not None:
            number, unit = parsed
            whole = converted(number, unit, option) if unit else (int(number) if number.is_integer() else None)
            if whole is not None:
                return f"{expected}, not text; use {option.name} = {whole}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"{expected}; use {option.name} = {int(value)}"
    if isinstance(value, float) and 0 < value < 1 and option.unit == "permille":
        return f"{expected}; use {option.name} = {round(value * 1000)}"
    example = option.default if isinstance(option.default, int) else option.low
    return f"{expected}; for example {option.name} = {example}" if example is not None else f"{expected}; write one"


def judge(option: Option, value: object) -> str:
    """Return what is wrong with ``value`` and what to write instead; "" when it is right."""
    match option.kind:
        case "integer":
            if isinstance(value, bool) or not isinstance(value, int):
                return _not_integer(option, value)
            low, high = option.low, option.high
            if (low is not None and value < low) or (high is not None and value > high):
                return f"outside {_span(option)}; choose a value in this range"
        case "yes/no":
            if not isinstance(value, bool):
                hint = {
                    "yes": "true",
                    "on": "true",
                    "true": "true",
                    "1": "true",
                    "no": "false",
                    "off": "false",
                    "false": "false",
                    "0": "false",
                }
                word = hint.get(str(value).lower())
                return (
                    f"must be true or false; use {option.name} = {word}"
                    if word
                    else "must be true or false; choose one"
                )
        case "choice":
            if isinstance(value, bool) or value not in option.choices:
                words = [str(c) for c in option.choices]
                close = difflib.get_close_matches(str(value).lower(), words, n=1, cutoff=0.5)
                shown = ", ".join(value_text("", c) for c in option.choices)
                return f"must be one of {shown}" + (f'; did you mean "{close[0]}"?' if close else "; choose one")
        case "text":
            return _judge_text(option, value)
        case "list of texts":
            return _judge_texts(option, value)
        case _:
            whole = isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
            if not whole or not isinstance(value, list):
                return f"must be a list of whole numbers; for example {option.name} = [1, 2]"
            if len(value) < (option.length_min or 0):
                return f"must not be empty; for example {option.name} = [1]"
            if len(set(value)) != len(value) and not option.positions:
                return "has an entry twice; remove one"
    return ""


def _judge_text(option: Option, value: object) -> str:
    if not isinstance(value, str):
        return f'must be text in quotes; for example {option.name} = "..."'
    if len(value) < (option.length_min or 0):
        return "must not be empty; fill it in"
    if option.length_max is not None and len(value) > option.length_max:
        return f"has {len(value)} characters, at most {option.length_max}; shorten it"
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        return "holds a control character; remove it"
    return ""


def _judge_texts(option: Option, value: object) -> str:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        return f'must be a list of texts; for example {option.name} = ["..."]'
    if len(value) < (option.length_min or 0):
        return f'must not be empty; for example {option.name} = ["..."]'
    if len(set(value)) != len(value):
        return "has an entry twice; remove one"
    return "holds a control character; remove it" if any(ord(c) < 32 or ord(c) == 127 for v in value for c in v) else ""


def check_tables(source: Source, problems: Problems) -> None:
    """Compare the whole document with the declarations and note every difference."""
    _check(tree(), source.data, (), problems)


def _check(table: Table, data: object, path: Path, problems: Problems) -> None:
    if not isinstance(data, dict):
        problems.add(
            path, f"must be a table; write [{table.key.replace('[]', '')}] on its own line and the keys below it", data
        )
        return
    for key, value in data.items():
        if key in table.options:
            wrong = judge(table.options[key], value)
            if wrong:
                problems.add((*path, key), wrong, value)
        elif key not in table.tables:
            problems.add((*path, key), unknown_key(table, key, value), value)
    for key, option in table.options.items():
        if option.required and key not in data:
            problems.add((*path, key), f"is missing; add it ({option.help})", show=False)
    for key, below in table.tables.items():
        if key not in data:
            if below.required:
                brackets = f"[[{key}]]" if below.many else f"[{below.key.replace('[]', '')}]"
                about = f" ({below.help})" if below.help else ""
                problems.add((*path, key), f"is missing; add a table {brackets}{about}", show=False)
        elif not below.many:
            _check(below, data[key], (*path, key), problems)
        elif not isinstance(data[key], list):
            problems.add(
                (*path, key), f"must be an array of tables; write [[{below.key.replace('[]', '')}]]", data[key]
            )
        else:
            if len(data[key]) < below.length_min:
                problems.add((*path, key), f"needs at least {below.length_min} entry; add one", data[key])
            for i, row in enumerate(data[key]):
                _check(below, row, (*path, key, i), problems)
