"""Columns and words of the back-end link."""

from __future__ import annotations

from typing import Any

from evsectl.layout import GREEN, RED, YELLOW, Column, Row, plain
from evsectl.tables import clock, kilo

ARROWS = {"sent": ">", "received": "<"}
DAY_S = 86_400


def place(evse_id: Any) -> str:
    """A connector, or the station."""
    return "-" if evse_id is None else str(evse_id) if evse_id else "station"


def latency(row: Row) -> str:
    """Of an answer; ``none yet`` for a call that waits for one."""
    if row["latency_ms"] is not None:
        return f"{row['latency_ms']} ms"
    return "none yet" if row["type"] == "call" and row["pair"] is None else ""


def _message_style(row: Row) -> str:
    return {"error": RED, "malformed": RED, "result": GREEN}.get(row["type"], "")


MESSAGE = [
    Column("SEQ", "seq", right=True, drop=3),
    Column("TIME UTC", lambda r: clock(r["wall"])),
    Column("", lambda r: ARROWS.get(r["direction"], "?")),
    Column("TYPE", "type", style=_message_style),
    Column("ACTION", "action"),
    Column("EVSE", lambda r: place(r["evse_id"]), right=True, drop=1),
    Column("ANSWER", latency, right=True, drop=2),
    Column("ID", "unique_id", wide=True),
    Column("PAIR", lambda r: plain(r["pair"]), right=True, wide=True),
    Column("PAYLOAD", "payload", flex=True),
]

EVENT = [
    Column("SEQ", "seq", right=True, drop=1),
    Column("TIME UTC", lambda r: clock(r["wall"])),
    Column("WHAT", "what", style=lambda r: {"failed": RED, "closed": YELLOW, "registered": GREEN}.get(r["what"], "")),
    Column("TARGET", "target", drop=2),
    Column("URL", "url", wide=True),
    Column("WHY", lambda r: plain(r["text"]), flex=True),
]

def access(row: Row) -> str:
    """What the back end and people may do with a key, in the letters of OCPP."""
    return "R" if row["readonly"] else "W" if row["writeonly"] else "R/W"


KEY = [
    Column("KEY", "key"),
    Column("VALUE", lambda r: "(never told)" if r["writeonly"] else plain(r["value"]), flex=True),
    Column("ACCESS", access),
    Column("UNIT", lambda r: plain(r["unit"]), wide=True),
    Column("RANGE", lambda r: plain(r["range"]), wide=True),
    Column("PROFILE", "profile", wide=True),
    Column("APPLIES", lambda r: plain(r["applies"]), wide=True),
    Column("MEANING", lambda r: plain(r["help"]), wide=True),
]

STATE_STYLE = {"parked": RED, "foreign": YELLOW, "aside": YELLOW}

QUEUE = [
    Column("ROW", "row_id", right=True),
    Column("STATE", "state", style=lambda r: STATE_STYLE.get(r["state"], "")),
    Column("MADE UTC", lambda r: clock(r["created_at"])),
    Column("ACTION", "action"),
    Column("SESSION", "session_id", drop=1),
    Column("TRANSACTION", lambda r: plain(r["transaction_id"]), right=True, drop=2),
    Column("TRIES", "attempts", right=True, drop=3),
    Column("WHY", lambda r: plain(r["reason"] or r["backend"]), flex=True),
    Column("ID", "unique_id", wide=True),
    Column("PAYLOAD", "payload", wide=True),
]


def amount(value: Any, unit: str) -> str:
    """A limit of a profile: ``16 A``, ``11000 W``."""
    return f"{value:g} {unit}"


def repeats(profile: Row) -> str:
    """``daily``, ``weekly``, ``once`` or what it counts from."""
    if profile["recurrence_s"]:
        return "daily" if profile["recurrence_s"] == DAY_S else "weekly"
    return "from the start of charging" if profile["start_at"] is None else "once"


def limits(profile: Row) -> str:
    """Every period: ``0 s 26 A, 37800 s 16 A``."""
    return ", ".join(f"{p['start_s']} s {amount(p['limit'], profile['unit'])}" for p in profile["periods"])


def _validity(profile: Row) -> str:
    begins, ends = profile["valid_from"], profile["valid_to"]
    if begins is None and ends is None:
        return "always"
    return f"{clock(begins) if begins is not None else ''} .. {clock(ends) if ends is not None else ''}".strip()


PROFILE = [
    Column("PROFILE", "profile_id", right=True),
    Column("EVSE", lambda r: "all" if r["purpose"] == "TxDefaultProfile" and not r["evse_id"] else place(r["evse_id"]), right=True),
    Column("PURPOSE", "purpose"),
    Column("LEVEL", "stack_level", right=True),
    Column("COUNTS", repeats, drop=1),
    Column("VALID UTC", _validity, drop=2),
    Column("PERIODS", limits, flex=True),
    Column("SET UTC", lambda r: clock(r["set_at"]), wide=True),
    Column("SESSION", lambda r: plain(r["session_id"]), wide=True),
]

STANDING = {
    "in_force": "in force",
    "outranked": "outranked",
    "waits": "waits",
    "over": "over",
    "elsewhere": "elsewhere",
}


def _own(row: Row) -> str:
    if row["power_w"] is None:
        return "-"
    amps = "" if row["current_ma"] is None else f" ({row['current_ma'] / 1000:g} A)"
    return f"{kilo(row['power_w'])} kW{amps}"


def _standing_style(row: Row) -> str:
    return GREEN if row["decides"] else YELLOW if row["standing"] == "in_force" else ""


STANDINGS = [
    Column("PROFILE", lambda r: str(r["profile"]["profile_id"]), right=True),
    Column("PURPOSE", lambda r: r["profile"]["purpose"]),
    Column("LEVEL", lambda r: str(r["profile"]["stack_level"]), right=True),
    Column("NOW", lambda r: ("decides" if r["decides"] else STANDING[r["standing"]]), style=_standing_style),
    Column("LIMIT", _own),
    Column("PERIOD", lambda r: "-" if r["period"] is None else f"{r['period'] + 1} of {len(r['profile']['periods'])}", drop=2),
    Column("CHANGES UTC", lambda r: clock(r["changes_at"]), drop=1),
    Column("WHY", "why", flex=True),
]

EXPLANATION = [
    Column("EVSE", lambda r: place(r["evse_id"]), right=True),
    Column("MAY kW", lambda r: kilo(r["power_w"]), right=True),
    Column("A", lambda r: f"{r['current_ma'] / 1000:.1f}", right=True),
    Column("CHANGES UTC", lambda r: clock(r["changes_at"])),
    Column("BINDS", lambda r: plain(r["binds"])),
    Column("WHY", "text", flex=True),
]

COMPOSITE = [
    Column("FROM UTC", lambda r: clock(r["at"])),
    Column("AFTER s", "start_s", right=True),
    Column("LIMIT", "limit", right=True),
    Column("UNIT", "unit"),
    Column("PHASES", lambda r: plain(r["phases"]), right=True),
]

RESULT_STYLE = {"ok": GREEN, "warning": YELLOW, "failed": RED}

DOCTOR = [
    Column("STEP", "name"),
    Column("RESULT", "result", style=lambda r: RESULT_STYLE.get(r["result"], "")),
    Column("MS", lambda r: plain(r["took_ms"]), right=True),
    Column("WHAT", "detail", flex=True),
    Column("FACTS", lambda r: "; ".join(r["facts"]) or "-", wide=True),
    Column("REMEDY", lambda r: plain(r["remedy"]), wide=True),
]

DATA_REQUEST = [
    Column("REQUEST", "request_id"),
    Column("MESSAGE", lambda r: plain(r["message_id"])),
    Column("DATA", lambda r: plain(r["data"]), flex=True),
]

CERTIFICATE_USES = {
    "CentralSystemRootCertificate": "CSMS root",
    "ManufacturerRootCertificate": "firmware root",
    "ChargePointCertificate": "this station",
}

CERTIFICATE = [
    Column("FINGERPRINT", lambda r: r["fingerprint"][:16]),
    Column("FOR", lambda r: CERTIFICATE_USES.get(r["type"]) or plain(r["type"])),
    Column("SUBJECT", "subject", flex=True),
    Column("UNTIL", lambda r: clock(r["valid_to"])[:10]),
    Column("IN USE", lambda r: plain(r["note"]) if r["note"] else plain(r["in_use"]), style=lambda r: GREEN if r["in_use"] else "", drop=1),
    Column("KEY", "public_key", drop=2),
    Column("ISSUER", "issuer", wide=True),
    Column("SERIAL", "serial_number", wide=True),
    Column("SHA-256", "fingerprint", wide=True),
]

SECURITY_EVENT = [
    Column("SEQ", "seq", right=True, drop=1),
    Column("TIME UTC", lambda r: clock(r["wall"])),
    Column("STATE", "state", style=lambda r: {"refused": RED, "waiting": YELLOW}.get(r["state"], "")),
    Column("EVENT", "type"),
    Column("DETAIL", lambda r: plain(r["detail"]), flex=True),
]


def _progress(row: Row) -> str:
    if row["state"] != "running":
        return plain(row["state"])
    percent = "" if row["percent"] is None else f" {row['percent']} %"
    return f"{row['stage']}{percent}"


TRANSFER = [
    Column("WHAT", "transfer"),
    Column("STATE", _progress, style=lambda r: {"failed": RED, "done": GREEN}.get(r["state"], YELLOW)),
    Column("TOLD", lambda r: plain(r["status"])),
    Column("TRY", lambda r: "-" if r["attempt"] is None else f"{r['attempt']} of {r['attempts']}", drop=2),
    Column("AT UTC", lambda r: clock(r["at"]), drop=1),
    Column("WHERE", lambda r: plain(r["location"]), wide=True),
    Column("REQUEST", lambda r: plain(r["request_id"]), right=True, wide=True),
    Column("WHY", lambda r: plain(r["detail"]), flex=True),
]
