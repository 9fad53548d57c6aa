"""Columns of event actions and lamps."""

from __future__ import annotations

from typing import Any

from evsectl.layout import GREEN, YELLOW, Column, Row, plain
from evsectl.tables import clock


def numbers(values: list[Any]) -> str:
    """``1, 3``, "-" for none."""
    return ", ".join(map(str, values)) or "-"


def state(row: Row) -> str:
    """What a rule does now: ``acts at 3``, ``beaten by rule 5``, ``off``."""
    if not row["rule"]["enabled"]:
        return "off"
    if row["decides"]:
        return f"acts at {numbers(row['decides'])}"
    if row["overridden_by"]:
        return f"beaten by {numbers(row['overridden_by'])}"
    return "acts" if row["active"] else "-"


def _style(row: Row) -> str:
    return GREEN if row["decides"] else YELLOW if row["overridden_by"] else ""


RULE = [
    Column("N", "number", right=True),
    Column("EVSE", lambda r: plain(r["rule"]["evse"] or "all"), right=True, drop=2),
    Column("NOW", state, style=_style),
    Column("RULE", "text", flex=True),
    Column("NOTE", lambda r: plain(r["rule"]["note"]), wide=True),
]

FINDING = [
    Column("RULE", "number", right=True),
    Column("WHAT", "what"),
    Column("TEXT", "text", flex=True),
]

STEP = [
    Column("SEQ", "seq", right=True, drop=1),
    Column("TIME UTC", lambda r: clock(r["wall"])),
    Column("EVSE", "evse_id", right=True),
    Column("WHAT", "text", flex=True),
]

SET = [
    Column("SET", "name"),
    Column("RULES", "rules", right=True),
    Column("WHAT IT DOES", lambda r: plain("; ".join(r["notes"])), flex=True),
]


def _inputs(row: Row) -> str:
    levels = {None: "?", True: "high", False: "low"}
    return ", ".join(f"{i['number']} {levels[i['high']]}" for i in row["inputs"]) or "-"


def _outputs(row: Row) -> str:
    return ", ".join(f"{o['number']} {o['level']}{_by(o['by'])}" for o in row["outputs"]) or "-"


def _by(name: str) -> str:
    return f" ({name})" if name else ""


def _wanted(row: Row) -> str:
    parts = [f"{word} {row[key]}" for key, word in (("release", "release"), ("external_release", "external")) if row[key] != "bus"]
    parts += [f"lock: {row['lock']}"] if row["lock"] else []
    parts += [f"limit {row['limit_ma'] / 1000:g} A"] if row["limit_ma"] is not None else []
    return ", ".join(parts) or "-"


STATE = [
    Column("EVSE", "evse_id", right=True),
    Column("CP", "cp"),
    Column("PP", "pp"),
    Column("INPUTS", _inputs, flex=True),
    Column("OUTPUTS", _outputs, flex=True),
    Column("RULES WANT", _wanted, flex=True),
    Column("MESSAGE", lambda r: plain(r["message"]), wide=True),
]

LED = [
    Column("EVSE", "evse_id", right=True),
    Column("LAMP", lambda r: f"{r['lamp']} {numbers(r['outputs'])}" if r["outputs"] else str(r["lamp"])),
    Column("PROFILE", lambda r: plain(r["profile"])),
    Column("SHOWS", lambda r: r["condition"] or "dark"),
    Column("MODE", lambda r: plain(r["mode"]), drop=2),
    Column("COLOUR", "rgb", drop=1),
    Column("BUZZER", lambda r: "on" if r["buzzer"] else "-", wide=True),
]

BEHAVIOUR = [
    Column("CONDITION", "condition"),
    Column("MODE", "mode"),
    Column("COLOUR", "color"),
    Column("BRIGHT %", "brightness_pct", right=True),
    Column("MS", lambda r: plain(r["duration_ms"] or None), right=True),
]

PROFILE = [
    Column("PROFILE", "name"),
    Column("CONDITIONS", lambda r: plain(", ".join(b["condition"] for b in r["behaviours"])), flex=True),
]
