"""Bytes on stdout: one place for all formats; the same bytes in a pipe, a redirection and with ``-O FILE``.

``table`` and ``wide`` are for people; ``json``, ``jsonl``, ``yaml``, ``csv``, ``name`` and ``value`` are contracts:
keys are those of the API, numbers carry their unit in the key, times are ISO 8601 UTC, the encoding is UTF-8.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from evsectl import exits
from evsectl.diagnostics import Abort, ReaderGone, nearest, note, usage
from evsectl.layout import Column, Row, Screen, fit, pairs, plain, screen, table
from evsectl.yaml import yaml

API_VERSION = "evse/v1"
FORMATS = ("table", "wide", "json", "jsonl", "yaml", "name", "csv", "value")
FIELDS_HELP = "help"
"""``--fields help`` lists the fields instead of data."""


class Options:
    """How to write: the common output options of every command."""

    __slots__ = ("fields", "file", "format", "headers", "screen")

    def __init__(
        self, format_: str = "table", fields: str = "", *, headers: bool = True, file: str = "", color: str = "auto"
    ) -> None:
        if format_ not in FORMATS:
            known = ", ".join(FORMATS)
            usage(f"{format_!r} is not an output format", nearest(format_, list(FORMATS)) or f"formats: {known}")
        self.format = format_
        self.fields = [field.strip() for field in fields.split(",") if field.strip()]
        self.headers = headers
        self.file = file
        self.screen: Screen = screen(file=file, color=color)

    @property
    def human(self) -> bool:
        """Whether the output is a page for people that a command may lay out itself."""
        return self.format in ("table", "wide") and not self.fields

    @property
    def wide(self) -> bool:
        """Whether all columns are wanted."""
        return self.format == "wide"


def prepare(kind: str, name: str, options: Options) -> bool:
    """Refuse a form that objects of ``kind`` do not have, before anything is asked or done.

    ``name`` as in `emit`. Returns True when ``--fields help`` asked for the list of fields: it is written, all is done.
    """
    if options.fields == [FIELDS_HELP]:
        write("".join(f"{field}\n" for field in known_fields(kind)), options)
        return True
    check_fields(kind, options.fields)
    if options.format == "name" and not name:
        usage(f"-o name: a {kind} has no id", "use -o value --fields FIELD; --fields help lists the fields")
    if options.format == "value" and not options.fields:
        usage("-o value needs --fields", "--fields help lists the fields")
    return False


def emit(
    kind: str,
    items: list[Row],
    columns: list[Column],
    options: Options,
    *,
    name: str = "",
    single: bool = False,
    empty: str = "",
) -> None:
    """Write ``items`` as ``options`` say; `prepare` was called before.

    ``name``: the field that ``-o name`` prints, "" = objects of this kind have no id. ``single``: one object, not a
    list. ``empty``: what to tell a person on stderr when the list is empty.
    """
    rows = [machine(item) for item in items]
    if options.format == "name":
        write("".join(f"{value_text(dig(row, name))}\n" for row in rows), options)
        return
    if options.format in ("table", "wide"):
        _emit_table(items, rows, columns, options, single=single, empty=empty)
        return
    if options.format == "csv":
        keys = options.fields or [key for key in known_fields(kind) if not key.endswith(".*")]
        write(csv([[value_text(dig(row, key)) for key in keys] for row in rows], keys if options.headers else []), options)
        return
    if options.fields:
        rows = [{field: dig(row, field) for field in options.fields} for row in rows]
    write(_document(kind, rows, options, single=single), options)


def _document(kind: str, rows: list[Row], options: Options, *, single: bool) -> str:
    if options.format == "value":
        return "".join("\t".join(map(value_text, row.values())) + "\n" for row in rows)
    if options.format == "jsonl":
        return "".join(json.dumps(_envelope(kind, row), ensure_ascii=False) + "\n" for row in rows)
    body = _envelope(kind, rows[0]) if single else _envelope(f"{kind}List", {"items": rows})
    return yaml(body) if options.format == "yaml" else json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _envelope(kind: str, row: Row) -> Row:
    """An object with its version and kind; one that has a ``kind`` of its own (an event) goes below its name."""
    return {"apiVersion": API_VERSION, "kind": kind, **({kind.lower(): row} if "kind" in row else row)}


def _emit_table(
    items: list[Row], rows: list[Row], columns: list[Column], options: Options, *, single: bool, empty: str
) -> None:
    if not items and empty:
        note(empty)
        return
    if options.fields:
        items, columns = rows, [Column(field, _cell(field)) for field in options.fields]
    elif single and not columns:
        write(pairs(((key, plain(value)) for key, value in flat(rows[0]).items()), options.screen), options)
        return
    shown = [column for column in columns if options.wide or not column.wide]
    fitting = shown if options.wide else fit(items, shown, options.screen)
    write(table(items, fitting, headers=options.headers, where=options.screen), options)
    if len(fitting) < len(shown):
        hidden = ", ".join(column.header for column in shown if column not in fitting)
        note(f"no room for {hidden}: -o wide shows all")


def _cell(field: str) -> Any:
    return lambda row: plain(dig(row, field))


def write(text: str, options: Options) -> None:
    """Write to stdout or to the file of ``-O``, the same bytes. Ends the command when that is not possible."""
    try:
        if options.file:
            with open(options.file, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 - pathlib costs a hot command 5 ms
                file.write(text)
        else:
            sys.stdout.write(text)
            sys.stdout.flush()
    except OSError as error:
        where = options.file or "stdout"
        if not options.file:
            drop_stdout()
            if isinstance(error, BrokenPipeError):
                raise ReaderGone from error
        raise Abort(
            exits.FAILED, f"{where} cannot be written: {error.strerror}", "name a file in a directory you may write to"
        ) from error


def drop_stdout() -> None:
    """What is still buffered goes nowhere, so that the interpreter does not try to write it again when it ends."""
    import os

    handle = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(handle, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
    finally:
        os.close(handle)


# -- fields -------------------------------------------------------------------------------------------------------


def known_fields(kind: str) -> tuple[str, ...]:
    """Every dotted field of a kind, from the generated table; ``data.*`` stands for keys that vary."""
    from evsectl.fields import FIELDS

    return FIELDS[kind]


def check_fields(kind: str, fields: list[str]) -> None:
    """Refuse a field that objects of this kind never have, whether the list is empty or not."""
    if not fields:
        return
    known = known_fields(kind)
    for field in fields:
        if any(field == k or k.startswith(f"{field}.") or (k[-1] == "*" and field.startswith(k[:-1])) for k in known):
            continue
        hint = nearest(field, [key for key in known if not key.endswith(".*")])
        usage(f"a {kind} has no field {field!r}", f"{hint} All fields: --fields help".strip())


def dig(row: Any, field: str) -> Any:
    """The value of a dotted field; None where an object on the way is null or missing."""
    for part in field.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row


def flat(row: Row, prefix: str = "") -> Row:
    """Dotted keys for nested objects; lists stay as they are."""
    out: Row = {}
    for key, value in row.items():
        if isinstance(value, dict):
            out.update(flat(value, f"{prefix}{key}."))
        else:
            out[prefix + key] = value
    return out


# -- values -------------------------------------------------------------------------------------------------------

TIME_KEYS = frozenset(
    {
        "at",
        "departure_at",
        "ended_at",
        "expires_at",
        "first_seen",
        "last_at",
        "last_heartbeat",
        "last_seen",
        "locked_until",
        "plugged_at",
        "since",
        "soc_at",
        "started_at",
        "tested_at",
        "unplugged_at",
        "until",
        "created_at",
        "used_at",
        "wall",
        "changes_at",
        "installed_at",
        "last_boot",
        "set_at",
        "start_at",
        "valid_from",
        "valid_to",
    }
)
"""Keys of the API whose values are `evse.units.WallNs`; a test compares them with the models."""


def machine(item: Row) -> Row:
    """Times of the API (ns since the epoch) become ISO 8601 UTC; everything else stays."""
    return {key: machine_value(key, value) for key, value in item.items()}


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


def value_text(value: Any) -> str:
    """One bare value for a shell script: one line, whatever it holds. Objects and lists as JSON, null as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return value if value.isprintable() else json.dumps(value, ensure_ascii=True)[1:-1]


def csv(rows: list[list[str]], header: list[str]) -> str:
    """RFC 4180: lines end with CRLF, a cell with a comma or a quote is quoted. No header line when ``header`` is empty."""
    lines = [header, *rows] if header else rows
    return "".join(",".join(map(_quote, line)) + "\r\n" for line in lines)


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text
