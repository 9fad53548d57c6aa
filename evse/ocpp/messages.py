"""OCPP 1.6 messages as plain JSON objects, checked by the schemas of the ``ocpp`` package; times; error answers.

Payloads keep the names and values of the wire: nothing is renamed on the way, so vendor data cannot be damaged.
Tests build the same messages with the dataclasses of ``ocpp.v16`` and compare.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any

from evse.ocpp import schema
from evse.units import NS_PER_MS, NS_PER_S, WallNs

Payload = dict[str, Any]

CALL, CALLRESULT, CALLERROR = 2, 3, 4

NS_PER_DAY = 86_400 * NS_PER_S

LATEST: WallNs = (1 << 62) // NS_PER_MS * NS_PER_MS
"""In the year 2116."""


class CallError(Exception):
    """An error answer: ``code`` is one of the words of OCPP-J 1.6 section 4.2.3."""

    def __init__(self, code: str, description: str, details: Payload | None = None) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description[:255]
        self.details = details or {}


def timestamp(wall: WallNs) -> str:
    """Return RFC 3339 UTC with milliseconds, e.g. ``2026-01-01T00:00:00.000Z``."""
    days, rest = divmod(wall, NS_PER_DAY)
    year, month, day = _civil(days)
    seconds, part = divmod(rest, NS_PER_S)
    return (
        f"{year:04}-{month:02}-{day:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        f".{part // NS_PER_MS:03}Z"
    )


def _civil(days: int) -> tuple[int, int, int]:
    """Return (year, month, day) of a count of days since 1970-01-01 (proleptic Gregorian calendar)."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


def parse_timestamp(text: str) -> WallNs | None:
    """Return UTC ns of an RFC 3339 time; None when it is none. A time without zone counts as UTC.

    Times that 64 bits of ns do not hold (9999-12-31 for "never" is common) become the nearest that they do: `LATEST`.
    """
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    try:
        wall = round((value - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000) * NS_PER_MS
    except OverflowError:
        return None
    return min(max(wall, -LATEST), LATEST)


@functools.cache
def known_actions() -> frozenset[str]:
    """Return the actions that OCPP 1.6 (with its security whitepaper) defines."""
    return frozenset(name for name in schema.names() if not name.endswith("Response"))


_CODE_OF = {
    "type": "TypeConstraintViolation",
    "required": "ProtocolError",
    "additionalProperties": "FormationViolation",
    "minItems": "OccurenceConstraintViolation",
    "maxItems": "OccurenceConstraintViolation",
}


def check_call(action: str, payload: object) -> CallError | None:
    """Return what is wrong with a request, None when its schema accepts it. ``action`` must be known."""
    return _error(schema.load(action)(payload, ""))


def check_result(action: str, payload: object) -> CallError | None:
    """Return what is wrong with an answer. Additional fields are tolerated: what matters has arrived."""
    problem = schema.load(f"{action}Response")(payload, "")
    return None if problem is not None and problem[0] == "additionalProperties" else _error(problem)


def _error(problem: schema.Problem | None) -> CallError | None:
    if problem is None:
        return None
    keyword, path, text = problem
    return CallError(_CODE_OF.get(keyword, "PropertyConstraintViolation"), f"{path or 'payload'}: {text}")
