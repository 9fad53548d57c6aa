"""The white list as CSV: what a spreadsheet exports, and one column of ids as older stations wrote it.

With a header ``type,id,name,allow,expires`` (any order, only ``id`` is needed), or without one a single column of ids.
Comma or semicolon, with or without a byte order mark. Nothing is taken from a file with a mistake: all mistakes are named
with their line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from evse.access.whitelist import ENTRIES_MAX, WhitelistError, check_name, parse_id
from evse.domain.whitelist import Entry, Kind
from evse.units import WallNs

TEXT_MAX: Final = 4 * 1024 * 1024
"""Longest file, characters; 10 000 full lines have less than 2 million."""
PORTION: Final = 100
"""Lines between two pauses: about 2 ms of work."""
COLUMNS: Final = ("type", "id", "name", "allow", "expires")
YES: Final = frozenset(("1", "yes", "true", "y", "x", ""))
NO: Final = frozenset(("0", "no", "false", "n"))
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
YEARS: Final = range(1970, 2201)

T = TypeVar("T")


def parse(text: str) -> dict[str, Entry]:
    """Return the entries of a file by id, at most 10 000; `WhitelistError` with every bad line otherwise."""
    return _finish(parse_in_portions(text))


def parse_in_portions(text: str) -> Generator[None, None, dict[str, Entry]]:
    """`parse` that pauses every `PORTION` lines: the control loop need not wait for a long file."""
    if len(text) > TEXT_MAX:
        raise WhitelistError([f"the file has {len(text)} characters, at most {TEXT_MAX} are possible"])
    text = text.removeprefix("\ufeff")
    head = text.split("\n", 1)[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=";" if head.count(";") > head.count(",") else ",", strict=True)
    entries: dict[str, Entry] = {}
    lines: dict[str, int] = {}
    problems: list[str] = []
    columns: Sequence[str] | None = None
    try:
        for cells in rows:
            if rows.line_num % PORTION == 0:
                yield
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if columns is None:
                columns, is_header = _columns(cells, rows.line_num)
                if is_header:
                    continue
            try:
                entry = _entry(columns, cells)
                if entry.id in lines:
                    raise WhitelistError([f"id '{entry.id}': is in line {lines[entry.id]} already"])
                entries[entry.id] = entry
                lines[entry.id] = rows.line_num
            except WhitelistError as error:
                problems += [f"line {rows.line_num}: {problem}" for problem in error.problems]
    except csv.Error as error:
        problems.append(f"line {rows.line_num}: not CSV: {error}")
    if len(entries) > ENTRIES_MAX:
        problems.append(f"the file has {len(entries)} entries, at most {ENTRIES_MAX} are possible")
    if not entries and not problems:
        problems.append("the file holds no entries")
    if problems:
        raise WhitelistError(problems)
    return entries


def _columns(cells: Sequence[str], line: int) -> tuple[Sequence[str], bool]:
    """Return the meaning of the columns, and whether the line is a header."""
    names = [cell.lower() for cell in cells]
    if "id" not in names:
        if len([cell for cell in cells if cell]) == 1:
            return ("id",), False
        raise WhitelistError(
            [f"line {line}: no column 'id'; a file with more than one column begins with a header: {','.join(COLUMNS)}"]
        )
    unknown = [name for name in names if name and name not in COLUMNS]
    if unknown or len(set(filter(None, names))) != len([name for name in names if name]):
        what = f"column '{unknown[0][:20]}' is not known" if unknown else "a column is there twice"
        raise WhitelistError([f"line {line}: {what}; columns: {','.join(COLUMNS)}"])
    return names, True


def _entry(columns: Sequence[str], cells: Sequence[str]) -> Entry:
    """Return the entry of a line."""
    if any(cells[len(columns) :]):
        raise WhitelistError([f"{len(cells)} columns, the header has {len(columns)}; a name with the separator needs quotes"])
    row = dict(zip(columns, cells, strict=False))
    kind, entry_id = parse_id(row.get("id", ""))
    wanted = row.get("type", "").upper()
    if wanted and wanted not in (k.value for k in Kind):
        raise WhitelistError([f"type '{row['type'][:20]}': accepted: RFID, EVCC"])
    if wanted and wanted != kind.value:
        raise WhitelistError([f"id '{entry_id}': is of type {kind.value}, not {wanted}"])
    allow = row.get("allow", "").lower()
    if allow not in YES and allow not in NO:
        raise WhitelistError([f"allow '{allow[:20]}': accepted: yes, no"])
    return Entry(
        kind=kind,
        id=entry_id,
        name=check_name(row.get("name", "")),
        allow=allow in YES,
        expires_at=parse_time(row["expires"]) if row.get("expires") else None,
    )


def parse_time(text: str) -> WallNs:
    """Return a wall time in ns: a date (its 00:00 UTC) or ISO 8601 with a time zone; `WhitelistError` otherwise."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is not None and when.tzinfo is None and len(text) <= len("2027-12-31"):
        when = when.replace(tzinfo=UTC)
    if when is None or when.tzinfo is None or when.year not in YEARS:
        raise WhitelistError(
            [f"expires '{text[:40]}': accepted: 2027-12-31, or with time and zone 2027-12-31T18:00:00Z; years 1970..2200"]
        )
    return (when - EPOCH) // timedelta(microseconds=1) * 1_000


def time_text(at: WallNs) -> str:
    """Return a wall time as ISO 8601 in UTC, to the microsecond, without a fraction when it is a whole second."""
    return (EPOCH + timedelta(microseconds=at // 1_000)).isoformat().replace("+00:00", "Z")


def write(entries: Iterable[Entry]) -> str:
    """Return the file of ``entries`` with a header; `parse` gives the same entries back."""
    return _finish(write_in_portions(entries))


def write_in_portions(entries: Iterable[Entry]) -> Generator[None, None, str]:
    """`write` that pauses every `PORTION` lines."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for number, entry in enumerate(entries, start=1):
        expires = "" if entry.expires_at is None else time_text(entry.expires_at)
        writer.writerow((entry.kind.value, entry.id, entry.name, "yes" if entry.allow else "no", expires))
        if number % PORTION == 0:
            yield
    return out.getvalue()


def _finish(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            done: T = end.value
            return done
