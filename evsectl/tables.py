"""What people read: the columns of every list, and the words and numbers in them."""

from __future__ import annotations

from typing import Any

from evsectl.layout import GREEN, RED, YELLOW, Column, Row, clean, plain
from evsectl.output import iso

STEPS = (
    "SAP",
    "Setup",
    "Disco",
    "Detail",
    "Pay-Sel",
    "PayAuth",
    "Param",
    "Cable",
    "PreC",
    "PD-On",
    "Curr",
    "PD-Off",
    "Weld",
    "Stop",
)

STATES = {
    "idle": "available",
    "plugged": "plugged in",
    "slac": "matching",
    "hlc_setup": "connecting",
    "wait_auth": "needs card",
    "cable_check": "cable check",
    "pre_charge": "pre-charge",
    "charging": "charging",
    "suspended": "paused",
    "stopping": "stopping",
    "finished": "finished",
    "faulted": "FAULT",
    "unavailable": "out of service",
}


def kilo(value: Any, digits: int = 1) -> str:
    """W or Wh as kW or kWh."""
    return "-" if value is None else f"{value / 1000:.{digits}f}"


def whole(value: Any) -> str:
    """mV or mA as V or A."""
    return "-" if value is None else f"{value / 1000:.0f}"


def tenth(value: Any) -> str:
    """Tenths of a degree as °C."""
    return "-" if value is None else f"{value / 10:.1f}"


def minute(value: Any) -> str:
    """Date and time, UTC, to the minute: enough for a list."""
    return "-" if value is None else iso(value)[:16].replace("T", " ")


def clock(value: Any) -> str:
    """Date and time, UTC, to the second."""
    return "-" if value is None else iso(value)[:19].replace("T", " ")


def duration(seconds: int | None) -> str:
    """``57m 22s``, ``2h 05m``."""
    if seconds is None:
        return "-"
    hours, rest = divmod(max(0, seconds), 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {secs:02}s" if minutes else f"{secs}s"


def state(row: Row) -> str:
    """The state word of a connector."""
    word = STATES.get(row["phase"]) or str(row["phase"])
    return "reserved" if row.get("reserved") and row["phase"] == "idle" else word


STATE_STYLES = {"charging": GREEN, "faulted": RED, "unavailable": YELLOW, "suspended": YELLOW}
RESULT_STYLES = {"ok": GREEN, "warning": YELLOW, "failed": RED, "fault": RED, "critical": RED}


def state_style(row: Row) -> str:
    """Colour of the state word."""
    return STATE_STYLES.get(row["phase"], "")


def result_style(row: Row) -> str:
    """Colour of a check's result or a fault's severity."""
    word = str(row.get("result") or row.get("severity"))
    return RESULT_STYLES.get(word, "")


def online_style(row: Row) -> str:
    """Colour of "online: no"."""
    return "" if row["online"] else RED


def step(row: Row) -> str:
    """``Curr 11/14``."""
    name = row.get("step")
    return f"{name} {STEPS.index(name) + 1}/14" if name in STEPS else "-"


def session_of(row: Row, key: str) -> Any:
    """A value of the running session of a connector."""
    session = row.get("session")
    return None if session is None else session.get(key)


def binding(row: Row) -> str:
    """The offered power and who limits it: ``56.0 (site)``. After the end nothing is offered, and nobody's limit is why."""
    if not row.get("session") or session_of(row, "ended_at") is not None:
        return "-"
    source = binding_source(row)
    return f"{kilo(row['offered_w'])} ({source})" if source else kilo(row["offered_w"])


SOURCES = {
    "site": "the site limit",
    "ocpp_static": "the OCPP limit",
    "csms": "the back end",
    "cable": "the cable",
    "hardware": "the hardware",
    "modules": "the power modules",
    "thermal": "the temperature",
    "ev": "the vehicle",
    "plan": "the planner",
    "user": "the operator",
    "failsafe": "fail-safe",
    "grid": "the grid connection",
    "evse": "the wiring of the station",
    "dynamic": "another program",
    "fallback": "the fallback limit",
    "rule": "an event action",
    "over_current": "over-current",
    "out_of_balance": "the balance of the phases",
}


def binding_source(row: Row) -> str:
    """Who limits a connector; "" when nobody does."""
    return next((str(limit["source"]) for limit in row["limits"] if limit["binds"]), "")


def hours(seconds: int | None) -> str:
    """``1:04``."""
    return "-" if seconds is None else f"{seconds // 3600}:{seconds // 60 % 60:02}"


def stop_word(row: Row) -> str:
    """The code of the fault that ended a session, else the stop reason."""
    return plain(row["fault"].partition(" ")[0] or row["stop_reason"])


CONNECTOR = [
    Column("ID", "evse_id", right=True),
    Column("STATE", state, style=state_style),
    Column("STEP", step, drop=5),
    Column("kW", lambda r: kilo(r["power_w"]), right=True),
    Column("kWh", lambda r: kilo(session_of(r, "energy_wh"), 2), right=True),
    Column("SOC%", lambda r: plain(r["soc_pct"]), right=True),
    Column("V", lambda r: whole(r["voltage_mv"]), right=True, drop=3),
    Column("A", lambda r: whole(r["current_ma"]), right=True, drop=2),
    Column("ASKS kW", lambda r: kilo(r["demand_w"]), right=True, drop=6),
    Column("°C", lambda r: tenth(r["temperature_dc"]), right=True, drop=4),
    Column("LIMIT kW", binding, drop=1),
    Column("GROUPS", lambda r: plain(r["chain"]), wide=True),
    Column("CARD", lambda r: plain(session_of(r, "id_token")), wide=True),
    Column("VEHICLE", lambda r: plain(session_of(r, "evcc_id")), wide=True),
    Column("BACKEND", "operational_backend", wide=True),
    Column("LOCAL", "operational_local", wide=True),
    Column("INSULATION kohm", "isolation_kohm", right=True, wide=True),
    Column("SESSION", lambda r: plain(session_of(r, "session_id")), wide=True),
    Column("WAITING FOR", "waiting_for", wide=True),
]


def connectors(items: list[Row]) -> list[Column]:
    """Columns of a table of connectors: AC connectors bring their own, and without DC ones what is theirs goes."""
    if not any(item.get("ac") for item in items):
        return CONNECTOR
    from evsectl.tables_ac import CONNECTOR_AC, DC_ONLY

    mixed = any(not item.get("ac") for item in items)
    columns = [column for column in CONNECTOR if mixed or column.header not in DC_ONLY]
    at = next(i for i, column in enumerate(columns) if column.header == "LIMIT kW")
    return [*columns[:at], *CONNECTOR_AC, *columns[at:]]


SESSION = [
    Column("SESSION", "session_id"),
    Column("EVSE", "evse_id", right=True, drop=1),
    Column("STARTED UTC", lambda r: minute(r["started_at"] or r["plugged_at"])),
    Column("h:mm", lambda r: hours(length(r)), right=True, drop=3),
    Column("kWh", lambda r: kilo(r["energy_wh"], 2), right=True),
    Column("SOC%", lambda r: f"{plain(r['soc_start_pct'])}>{plain(r['soc_end_pct'])}", drop=4),
    Column("STOP", stop_word, drop=2),
    Column("CARD", "id_token"),
    Column("METER START kWh", lambda r: kilo(r["meter_start_wh"], 2), right=True, wide=True),
    Column("METER STOP kWh", lambda r: kilo(r["meter_stop_wh"], 2), right=True, wide=True),
    Column("MAX kW", lambda r: kilo(r["power_max_w"]), right=True, wide=True),
    Column("BY", "auth_source", wide=True),
    Column("VEHICLE", "evcc_id", wide=True),
    Column("TRANSACTION", "transaction_id", right=True, wide=True),
]

FAULT = [
    Column("CODE", lambda r: r["record"]["code"]),
    Column("NAME", "name", drop=1),
    Column("EVSE", lambda r: plain(r["record"]["evse_id"] or "all"), right=True),
    Column("SEVERITY", "severity", style=result_style),
    Column("SINCE UTC", lambda r: minute(r["record"]["first_seen"]), drop=2),
    Column("N", lambda r: str(r["record"]["count"]), right=True),
    Column("CAUSE", lambda r: "stands" if r["record"]["present"] else "gone"),
    Column("DETAIL", lambda r: plain(r["record"]["detail"]), flex=True),
]

FAULT_TEXT = [
    Column("CODE", "code"),
    Column("NAME", "name"),
    Column("SCOPE", "scope"),
    Column("SEVERITY", "severity", style=result_style),
    Column("REACTION", "reaction"),
    Column("LATCH", "latch"),
    Column("OCPP", "ocpp16", drop=1),
    Column("DESCRIPTION", "description", wide=True),
]

FAULT_CODE = [
    Column("PRIO", "priority", right=True),
    Column("CODE", "code"),
    Column("NAME", "name"),
    Column("OCPP", "ocpp16"),
    Column("VENDOR CODE", "vendor_code"),
    Column("KIND", "kinds", drop=1),
    Column("STATUS", lambda r: "Faulted" if r["faulted"] else "-", drop=2),
    Column("SEVERITY", "severity", style=result_style, wide=True),
    Column("REACTION", "reaction", wide=True),
    Column("LATCH", "latch", wide=True),
]

EVENT = [
    Column("TIME UTC", lambda r: clock(r["wall"])),
    Column("SEQ", "seq", right=True, wide=True),
    Column("EVSE", lambda r: plain(r["evse_id"] or "-"), right=True),
    Column("EVENT", "kind"),
    Column("DETAIL", lambda r: values(r["data"]), flex=True),
]

GROUP = [
    Column("GROUP", "group_id", right=True),
    Column("HOME", "home_evse", right=True),
    Column("OWNER", "owner", right=True),
    Column("ROLE", "role"),
    Column("ON", "on"),
    Column("RELAY2", lambda r: " ".join([r["tie"], *(f"to {evse_id}" for evse_id in r["feeds"])])),
    Column("kW", lambda r: kilo(r["contribution_w"]), right=True),
    Column("MODULES", lambda r: f"{r['modules_present']}/{r['modules']}", right=True),
    Column("V", lambda r: whole(r["voltage_mv"]), right=True, drop=2),
    Column("A", lambda r: whole(r["current_ma"]), right=True, drop=1),
    Column("°C", lambda r: tenth(r["temperature_dc"]), right=True),
    Column("FAULTS", "faults", flex=True),
]

ALLOCATION = [
    Column("EVSE", "evse_id", right=True),
    Column("ASKED kW", lambda r: kilo(r["requested_w"]), right=True),
    Column("OFFERED kW", lambda r: kilo(r["offered_w"]), right=True),
    Column("ALLOWED kW", lambda r: kilo(r["allowed_w"]), right=True),
    Column("GIVEN kW", lambda r: kilo(r["assigned_w"]), right=True),
    Column("GROUPS", "chain"),
    Column("BOUND BY", lambda r: plain(r["binding"]) if r["chain"] else "-"),
    Column("DETAIL", "detail", wide=True),
]

EXPLANATION = [
    Column("EVSE", "evse_id", right=True),
    Column("OFFERED kW", lambda r: kilo(r["offered_w"]), right=True),
    Column("WHY", "text", flex=True),
]

PLC = [
    Column("EVSE", "evse_id", right=True),
    Column("DETECTED", "detected"),
    Column("CONFIGURED", "configured"),
    Column("MATCHED", "matched"),
    Column("ONLINE", "online", style=online_style),
    Column("BOARD", "board_id"),
    Column("FIRMWARE", "firmware", drop=1),
    Column("PORT", "port"),
]

METER = [
    Column("METER", "name"),
    Column("ONLINE", "online", style=online_style),
    Column("kW", lambda r: kilo(r["power_w"], 2), right=True),
    Column("IMPORT kWh", lambda r: kilo(r["energy_import_wh"], 2), right=True),
    Column("V", lambda r: _three(r, "voltage_mv", "voltage_l_mv"), right=True),
    Column("A", lambda r: _three(r, "current_ma", "current_l_ma"), right=True),
    Column("AGE ms", "age_ms", right=True, drop=2),
    Column("PROFILE", "profile", drop=1),
    Column("WHERE", lambda r: f"{r['port']}#{r['address']}", wide=True),
    Column("DETAIL", "detail", flex=True),
]

REGISTER = [
    Column("ADDRESS", "address", right=True),
    Column("QUANTITY", "quantity"),
    Column("RAW", "raw"),
    Column("VALUE", "value", right=True),
    Column("ERROR", "error", flex=True, style=lambda r: RED if r["error"] else ""),
]

READER = [
    Column("READER", "name"),
    Column("ONLINE", "online", style=online_style),
    Column("LAST CARD", "last_token"),
    Column("AT UTC", lambda r: clock(r["last_at"])),
    Column("EVSES", "evses"),
    Column("PORT", "port"),
    Column("DETAIL", "detail", flex=True),
]

WHITELIST_TYPES: dict[str, str] = {"RFID": "card", "EVCC": "vehicle"}
WHITELIST_SAYS: dict[str, str] = {
    "allowed": "may charge",
    "blocked": "blocked",
    "expired": "expired",
    "no_clock": "unknown: the station has no time",
}

WHITELIST = [
    Column("ID", "id"),
    Column("TYPE", lambda r: WHITELIST_TYPES.get(r["type"]) or str(r["type"])),
    Column("NAME", lambda r: plain(r["name"]), flex=True),
    Column("ANSWER", lambda r: WHITELIST_SAYS.get(r["says"]) or str(r["says"])),
    Column("EXPIRES", lambda r: clock(r["expires_at"])[:10] if r["expires_at"] else "never"),
    Column("LAST USED", lambda r: clock(r["used_at"])),
    Column("ADDED", lambda r: clock(r["created_at"]), wide=True),
]

AUDIT = [
    Column("TIME UTC", lambda r: clock(r["wall"])),
    Column("WHO", "who"),
    Column("FROM", "origin", drop=1),
    Column("OPERATION", "operation"),
    Column("TARGET", "target", flex=True),
    Column("RESULT", "result"),
    Column("OLD", "old", wide=True),
    Column("NEW", "new", wide=True),
]

CHECK = [
    Column("CHECK", "name"),
    Column("RESULT", "result", style=result_style),
    Column("DETAIL", "detail", flex=True),
    Column("REMEDY", "remedy", flex=True),
]


def values(data: Row) -> str:
    """``key=value`` pairs of an event."""
    return " ".join(f"{key}={plain(value)}" for key, value in data.items())


def event_line(event: Row) -> str:
    """One event for people who watch."""
    where = f"connector {event['evse_id']}" if event["evse_id"] else "station"
    return clean(f"{clock(event['wall'])} {where:12} {event['kind']:24} {values(event['data'])}").rstrip() + "\n"


def connector_words(row: Row) -> str:
    """``1 charging 17.6 kW 18 %``: what is not known is left out."""
    words = [str(row["evse_id"]), state(row)]
    words += [f"{kilo(row['power_w'])} kW"] if row["power_w"] else []
    words += [f"{row['soc_pct']} %"] if row["soc_pct"] is not None else []
    return " ".join([*words, *(fault["code"] for fault in row["faults"])])


def length(row: Row) -> int | None:
    """Seconds of a session: of its transaction, else of the plug-in; None while it runs and nothing is known."""
    begin = row["started_at"] or row["plugged_at"]
    end = row["ended_at"] or row["unplugged_at"]
    return None if end is None else int((end - begin) // 1_000_000_000)


def _three(row: Row, key: str, phases: str) -> str:
    """A DC value, or one per phase."""
    return "/".join(map(whole, row[phases])) if row.get(phases) else whole(row[key])
