"""Every option of ``station.toml`` as data, read from the declarations in `evse.config.model`.

Documentation, man page, JSON Schema, error messages and the list of changes come from here. A key is written with its
tables and dots; ``[]`` marks an array of tables: ``evse[].board.port``.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from functools import cache
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import inspect

from evse.config.model import StationConfig
from evse.config.source import value_text
from evse.domain.base import Frozen

UNITS = {
    "w": "W",
    "wh": "Wh",
    "v": "V",
    "mv": "mV",
    "a": "A",
    "ma": "mA",
    "c": "°C",
    "h": "h",
    "s": "s",
    "ms": "ms",
    "minutes": "min",
    "permille": "permille",
    "pct": "%",
    "baud": "baud",
    "bitrate": "bit/s",
}
"""Unit by the last word of a name."""

HIDDEN = "***"


class Option(Frozen, frozen=True, kw_only=True):
    """One option. ``kind``: integer, text, yes/no, choice, list of integers, list of texts.
    ``default`` None = none (see ``required``)."""

    key: str
    kind: str
    unit: str = ""
    low: int | None = None
    high: int | None = None
    length_min: int | None = None
    length_max: int | None = None
    choices: tuple[str | int, ...] = ()
    required: bool = False
    default: str | int | bool | tuple[int, ...] | tuple[str, ...] | None = None
    apply: str = "restart"  # live | idle | restart
    ocpp: str = ""
    secret: bool = False
    positions: bool = False  # a list in which each place has a meaning: the same number may stand in it again
    help: str = ""

    @property
    def name(self) -> str:
        """Last part of the key."""
        return self.key.rsplit(".", 1)[-1]


class Table(Frozen, frozen=True, kw_only=True):
    """A table or an array of tables (``many``), with what may stand in it. ``apply`` "live" = the array as a whole,
    rows added and removed included."""

    key: str
    help: str
    required: bool
    many: bool
    length_min: int
    options: dict[str, Option]
    tables: dict[str, Table]
    apply: str = ""


def unit_of(name: str) -> str:
    """Unit of an option by its name: "limit_w" -> "W"; "" when it has none."""
    return UNITS.get(name.rsplit("_", 1)[-1], "")


def _unwrap(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any], bool]:
    """Remove metadata and ``| None`` / ``| UNSET``: the type, its metadata, and whether it may be absent."""
    extra: dict[str, Any] = {}
    optional = False
    while True:
        if isinstance(kind, inspect.Metadata):
            extra.update(kind.extra_json_schema or {})
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            optional = True
            kind = next(t for t in kind.types if not isinstance(t, inspect.NoneType))
        else:
            return kind, extra, optional


def _leaf(key: str, name: str, field: inspect.Field, kind: inspect.Type, extra: dict[str, Any]) -> Option:
    default = None if field.default is msgspec.NODEFAULT or field.default is msgspec.UNSET else field.default
    common: dict[str, Any] = {
        "key": key,
        "required": field.required,
        "default": default,
        "apply": extra.get("x-apply", "restart"),
        "positions": extra.get("x-positions", False),
        "ocpp": extra.get("x-ocpp", ""),
        "secret": extra.get("x-secret", False),
        "help": extra.get("title", ""),
    }
    if isinstance(kind, inspect.IntType):
        return Option(kind="integer", unit=unit_of(name), low=kind.ge, high=kind.le, **common)
    if isinstance(kind, inspect.BoolType):
        return Option(kind="yes/no", **common)
    if isinstance(kind, inspect.StrType):
        return Option(kind="text", length_min=kind.min_length, length_max=kind.max_length, **common)
    if isinstance(kind, inspect.LiteralType):
        return Option(kind="choice", choices=tuple(v for v in kind.values if isinstance(v, str | int)), **common)
    if isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.IntType):
        return Option(kind="list of integers", length_min=kind.min_length, **common)
    if isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.StrType):
        return Option(kind="list of texts", length_min=kind.min_length, **common)
    raise TypeError(f"{key}: no rendering for {kind}; add it to evse.config.options")


def _table(
    key: str, kind: inspect.StructType, help_: str, required: bool, many: bool, length_min: int, apply: str = ""
) -> Table:
    options: dict[str, Option] = {}
    tables: dict[str, Table] = {}
    for field in kind.fields:
        below = f"{key}.{field.name}" if key else field.name
        inner, extra, optional = _unwrap(field.type)
        title = extra.get("title", "")
        needed = field.required and not optional
        if isinstance(inner, inspect.StructType):
            tables[field.name] = _table(below, inner, title or _doc(inner), needed, False, 0)
        elif isinstance(inner, inspect.VarTupleType) and isinstance(inner.item_type, inspect.StructType):
            item = inner.item_type
            least = inner.min_length or 0
            tables[field.name] = _table(
                f"{below}[]", item, _doc(item) or title, needed, True, least, extra.get("x-apply", "")
            )
        else:
            options[field.name] = _leaf(below, field.name, field, inner, extra)
    return Table(
        key=key, help=help_, required=required, many=many, length_min=length_min, options=options, tables=tables,
        apply=apply,
    )  # fmt: skip


def _doc(kind: inspect.StructType) -> str:
    own = kind.cls.__dict__.get("__doc__") or ""
    return own.strip().split("\n")[0]


@cache
def tree() -> Table:
    """The whole file as nested tables."""
    return _table("", cast(inspect.StructType, inspect.type_info(StationConfig)), "", True, False, 0)


def _walk(table: Table) -> Iterator[Option]:
    yield from table.options.values()
    for below in table.tables.values():
        yield from _walk(below)


def tables() -> tuple[Table, ...]:
    """Every table in the order of the declarations, the whole file first."""

    def walk(table: Table) -> Iterator[Table]:
        yield table
        for below in table.tables.values():
            yield from walk(below)

    return tuple(walk(tree()))


@cache
def options() -> tuple[Option, ...]:
    """Every option in the order of the declarations."""
    return tuple(_walk(tree()))


def option(key: str) -> Option | None:
    """The option of a concrete or general key: ``evse[2].board.port`` and ``evse[].board.port`` are the same option."""
    general = "".join("[]" if part.startswith("[") else part for part in _split_brackets(key))
    return next((o for o in options() if o.key == general), None)


def _split_brackets(key: str) -> list[str]:
    parts: list[str] = []
    rest = key
    while "[" in rest:
        before, _, after = rest.partition("[")
        inside, _, rest = after.partition("]")
        parts += [before, f"[{inside}]"]
    return [*parts, rest]


def _flat(value: object, key: str) -> Iterator[tuple[str, object]]:
    """(key, value) of every leaf of a configuration; array elements are named by their id or name where they have
    one."""
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            inner = getattr(value, field)
            if inner is None or inner is msgspec.UNSET:
                continue
            yield from _flat(inner, f"{key}.{field}" if key else field)
    elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        for index, item in enumerate(value):
            name = getattr(item, "id", getattr(item, "name", index + 1))
            yield from _flat(item, f"{key}[{name}]")
    elif not (isinstance(value, tuple) and not value):
        yield key, value


def shown(value: object, secret: bool = False) -> str:
    """A value as people see it: TOML spelling, secrets hidden, "" for none."""
    if value is None:
        return ""
    if secret and value != "":
        return HIDDEN
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(shown(v) for v in value) + "]"
    return str(value)


class Change(NamedTuple):
    """One changed option. ``old`` / ``new`` as people see them, "" = absent; ``apply`` = live | idle | restart."""

    key: str
    old: str
    new: str
    apply: str


def diff(old: StationConfig, new: StationConfig) -> list[Change]:
    """Every option that differs, in the order of the declarations. An added or removed table lists its keys."""
    before, after = dict(_flat(old, "")), dict(_flat(new, ""))
    changes: list[Change] = []
    for key in [*before, *(k for k in after if k not in before)]:
        if before.get(key) == after.get(key) and key in before and key in after:
            continue
        found = option(key)
        secret = found.secret if found else False
        apply = found.apply if found else "restart"
        if _in_live_array(key):
            apply = "live"
        elif key not in before or key not in after:
            apply = "restart" if "[" in key or "meter." in key or key.startswith("modules.") else apply
        changes.append(Change(key, shown(before.get(key), secret), shown(after.get(key), secret), apply))
    return changes


def _in_live_array(key: str) -> bool:
    """Tell whether ``key`` belongs to an array that is live as a whole."""
    table = tree()
    for part in key.split(".")[:-1]:
        inner = table.tables.get(part.partition("[")[0])
        if inner is None:
            return False
        if inner.apply == "live":
            return True
        table = inner
    return False


def redact(text: str) -> str:
    """Return ``text`` for people: values of secret options and passwords in URLs replaced by ``***``; layout kept."""
    import tomlkit  # only the daemon shows files; the checks above need not load it

    document = tomlkit.parse(text)

    def walk(table: MutableMapping[str, Any], key: str) -> None:
        for name, value in list(table.items()):
            below = f"{key}.{name}" if key else name
            if isinstance(value, MutableMapping):
                walk(value, below)
            elif isinstance(value, list) and value and isinstance(value[0], MutableMapping):
                for row in value:
                    walk(row, f"{below}[]")
            elif isinstance(value, str) and value:
                found = option(below)
                if found.secret if found else value_text(name, value) == HIDDEN:
                    table[name] = HIDDEN
                elif "://" in value and "@" in value:
                    table[name] = _without_password(value)

    walk(document, "")
    return tomlkit.dumps(document)


def _without_password(url: str) -> str:
    try:
        netloc = urlsplit(url).netloc
    except ValueError:
        return HIDDEN
    return url.replace(netloc, f"{HIDDEN}@{netloc.rpartition('@')[2]}", 1) if "@" in netloc else url
