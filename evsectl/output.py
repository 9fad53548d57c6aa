"""Bytes on stdout: one place for all formats, the same bytes on a terminal, in a pipe and with ``-O FILE``.

``table`` and ``wide`` are for people (never truncated when piped); ``json``, ``jsonl``, ``yaml``, ``csv``, ``name``
and ``value`` are contracts: keys are those of the API, numbers carry their unit in the key, times are ISO 8601 UTC.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from evsectl.diagnostics import nearest, usage

API_VERSION = "evse/v1"
FORMATS = ("table", "wide", "json", "jsonl", "yaml", "name", "csv", "value")

Row = dict[str, Any]
Cell = Callable[[Row], str]


class Column:
    """One table column: header, how to fill it, alignment, and whether only ``wide`` shows it."""

    __slots__ = ("cell", "header", "right", "wide")

    def __init__(self, header: str, cell: Cell | str, *, right: bool = False, wide: bool = False) -> None:
        self.header = header
        self.cell: Cell = _of(cell) if isinstance(cell, str) else cell
        self.right = right
        self.wide = wide


def _of(key: str) -> Cell:
    return lambda row: plain(row.get(key))


class Options:
    """How to write: the common output options of every command."""

    __slots__ = ("fields", "file", "format", "headers")

    def __init__(self, format_: str = "table", fields: str = "", *, headers: bool = True, file: str = "") -> None:
        if format_ not in FORMATS:
            usage(
                f"output format {format_!r} is not known",
                f"formats: {', '.join(FORMATS)}. {nearest(format_, list(FORMATS))}".rstrip(),
            )
        self.format = format_
        self.fields = [field for field in fields.split(",") if field]
        self.headers = headers
        self.file = file


def plain(value: Any) -> str:
    """One value for people: empty for unknown, yes/no for booleans."""
    if value is None or value == "":
        return "-"
    if value is True:
        return "yes"
    if value is False:
        return "no"
    if isinstance(value, list):
        return ",".join(plain(item) for item in value) or "-"
    return str(value)


def emit(
    kind: str, items: list[Row], columns: list[Column], options: Options, *, name: str = "id", single: bool = False
) -> None:
    """Write ``items`` as ``options`` say. ``name`` is the key that ``-o name`` prints; ``single``: one object, not a list."""
    rows = [machine(item) for item in items]
    if options.fields and options.format not in ("table", "wide"):
        rows = [pick(row, options.fields) for row in rows]
    match options.format:
        case "json":
            body: Any = (
                {"apiVersion": API_VERSION, "kind": kind, **rows[0]}
                if single
                else {"apiVersion": API_VERSION, "kind": f"{kind}List", "items": rows}
            )
            text = json.dumps(body, indent=2, ensure_ascii=False) + "\n"
        case "jsonl":
            text = "".join(
                json.dumps({"apiVersion": API_VERSION, "kind": kind, **row}, ensure_ascii=False) + "\n" for row in rows
            )
        case "yaml":
            text = yaml(
                {"apiVersion": API_VERSION, "kind": kind, **rows[0]}
                if single
                else {"apiVersion": API_VERSION, "kind": f"{kind}List", "items": rows}
            )
        case "name":
            text = "".join(f"{row.get(name, '')}\n" for row in (machine(item) for item in items))
        case "value":
            if not options.fields:
                usage(
                    "-o value needs --fields",
                    f"fields: {', '.join(sorted(flat(rows[0]))) if rows else 'none, the list is empty'}",
                )
            text = "".join("\t".join(value_text(row.get(field)) for field in options.fields) + "\n" for row in rows)
        case "csv":
            text = csv(rows, options)
        case _:
            text = table(items, [c for c in columns if options.format == "wide" or not c.wide], headers=options.headers)
    write(text, options)


def write(text: str, options: Options) -> None:
    """Write to stdout or to the file of ``-O``, the same bytes."""
    if options.file:
        with open(options.file, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 - pathlib costs a hot command 5 ms
            file.write(text)
        return
    sys.stdout.write(text)
    sys.stdout.flush()


def table(items: list[Row], columns: list[Column], *, headers: bool) -> str:
    """A plain table: two blanks between columns, numbers to the right, no trailing blanks."""
    cells = [[column.cell(item) for column in columns] for item in items]
    heads = [column.header for column in columns]
    widths = [max([len(heads[i]) if headers else 0, *(len(row[i]) for row in cells)]) for i in range(len(columns))]
    lines = [heads, *cells] if headers else cells
    out = []
    for line in lines:
        parts = [
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        ]
        out.append("  ".join(parts).rstrip())
    return "".join(line + "\n" for line in out)


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Name and value, aligned; for one object."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    return "".join(f"{name.ljust(width)}  {value}".rstrip() + "\n" for name, value in rows)


def machine(item: Row) -> Row:
    """Times of the API (ns since the epoch) become ISO 8601 UTC; everything else stays."""
    return {key: machine_value(key, value) for key, value in item.items()}


TIME_KEYS = frozenset(
    {
        "wall",
        "started_at",
        "ended_at",
        "plugged_at",
        "unplugged_at",
        "first_seen",
        "last_seen",
        "since",
        "last_heartbeat",
        "expires_at",
        "locked_until",
        "last_at",
    }
)


def machine_value(key: str, value: Any) -> Any:
    """See `machine`; goes into objects and lists."""
    if isinstance(value, dict):
        return machine(value)
    if isinstance(value, list):
        return [machine_value(key, entry) for entry in value]
    if key in TIME_KEYS and isinstance(value, int) and not isinstance(value, bool):
        return iso(value)
    return value


def iso(wall_ns: int) -> str:
    """ISO 8601 UTC with milliseconds, without the time and datetime modules (start-up budget)."""
    days, rest = divmod(wall_ns // 1_000_000, 86_400_000)
    year, month, day = civil(days)
    hour, rest = divmod(rest, 3_600_000)
    minute, rest = divmod(rest, 60_000)
    second, milli = divmod(rest, 1000)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"


def civil(days: int) -> tuple[int, int, int]:
    """Days since 1970-01-01 to year, month, day in the proleptic Gregorian calendar."""
    days += 719_468
    era, doe = divmod(days, 146_097)
    yoe = (doe - doe // 1460 + doe // 36_524 - doe // 146_096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    return yoe + era * 400 + (month <= 2), month, doy - (153 * mp + 2) // 5 + 1


def flat(row: Row, prefix: str = "") -> Row:
    """Dotted keys for nested objects; lists stay as they are."""
    out: Row = {}
    for key, value in row.items():
        if isinstance(value, dict):
            out.update(flat(value, f"{prefix}{key}."))
        else:
            out[prefix + key] = value
    return out


def pick(row: Row, fields: list[str]) -> Row:
    """Only ``fields`` (dotted names reach into objects), in their order."""
    values = flat(row)
    values.update(row)
    missing = [field for field in fields if field not in values]
    if missing:
        usage(
            f"there is no field {missing[0]!r}",
            f"fields: {', '.join(sorted(values))}. {nearest(missing[0], list(values))}".rstrip(),
        )
    return {field: values[field] for field in fields}


def value_text(value: Any) -> str:
    """One bare value for a shell script."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def csv(rows: list[Row], options: Options) -> str:
    """RFC 4180 with a header line."""
    flats = [flat(row) for row in rows]
    keys = options.fields or (list(flats[0]) if flats else [])
    lines = [",".join(keys)] if options.headers and keys else []
    lines += [",".join(_quote(value_text(row.get(key))) for key in keys) for row in flats]
    return "".join(line + "\r\n" for line in lines)


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def yaml(value: Any, indent: int = 0) -> str:
    """YAML of JSON values; strings are quoted as JSON, which every YAML reader takes."""
    pad = "  " * indent
    if isinstance(value, dict):
        if not value:
            return f"{pad}{{}}\n"
        return "".join(
            f"{pad}{key}:\n{yaml(entry, indent + 1)}"
            if isinstance(entry, dict | list) and entry
            else f"{pad}{key}: {_scalar(entry)}\n"
            for key, entry in value.items()
        )
    if isinstance(value, list):
        if not value:
            return f"{pad}[]\n"
        out = ""
        for entry in value:
            if isinstance(entry, dict | list) and entry:
                block = yaml(entry, indent + 1)
                out += f"{pad}- {block[len(pad) + 2 :]}"
            else:
                out += f"{pad}- {_scalar(entry)}\n"
        return out
    return f"{pad}{_scalar(value)}\n"


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
