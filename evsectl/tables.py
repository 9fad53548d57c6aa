"""What people read: the columns of every list, and the words and numbers in them."""

from __future__ import annotations

from typing import Any

from evsectl.output import Column as Column
from evsectl.output import Row, iso, pairs
from evsectl.output import plain as plain

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
    word: str = STATES.get(row["phase"], row["phase"])
    return "reserved" if row.get("reserved") and row["phase"] == "idle" else word


def step(row: Row) -> str:
    """``Curr 11/14``."""
    name = row.get("step")
    return f"{name} {STEPS.index(name) + 1}/14" if name in STEPS else "-"


def session_of(row: Row, key: str) -> Any:
    """A value of the running session of a connector."""
    session = row.get("session")
    return None if session is None else session.get(key)


def binding(row: Row) -> str:
    """The offered power and who limits it: ``56.0 (site)``."""
    limits = row.get("limits") or []
    source = next((limit["source"] for limit in limits if limit["binds"]), "")
    if not row.get("session"):
        return "-"
    return f"{kilo(row['offered_w'])} ({source})" if source else kilo(row["offered_w"])


CONNECTOR = [
    Column("ID", "evse_id", right=True),
    Column("STATE", state),
    Column("STEP", step),
    Column("kW", lambda r: kilo(r["power_w"]), right=True),
    Column("kWh", lambda r: kilo(session_of(r, "energy_wh"), 2), right=True),
    Column("SOC%", lambda r: plain(r["soc_pct"]), right=True),
    Column("V", lambda r: whole(r["voltage_mv"]), right=True),
    Column("A", lambda r: whole(r["current_ma"]), right=True),
    Column("ASKS kW", lambda r: kilo(r["demand_w"]), right=True),
    Column("°C", lambda r: tenth(r["temperature_dc"]), right=True),
    Column("LIMIT kW", binding),
    Column("GROUPS", lambda r: plain(r["chain"]), wide=True),
    Column("CARD", lambda r: plain(session_of(r, "id_token")), wide=True),
    Column("VEHICLE", lambda r: plain(session_of(r, "evcc_id")), wide=True),
    Column("BACKEND", lambda r: r["operational_backend"], wide=True),
    Column("LOCAL", lambda r: r["operational_local"], wide=True),
    Column("INSULATION kohm", lambda r: plain(r["isolation_kohm"]), right=True, wide=True),
    Column("SESSION", lambda r: plain(session_of(r, "session_id")), wide=True),
    Column("WAITING FOR", lambda r: plain(r["waiting_for"]), wide=True),
]

SESSION = [
    Column("SESSION", "session_id"),
    Column("EVSE", "evse_id", right=True),
    Column("STARTED", lambda r: clock(r["started_at"] or r["plugged_at"])),
    Column("TIME", lambda r: duration(length(r))),
    Column("kWh", lambda r: kilo(r["energy_wh"], 2), right=True),
    Column("SOC%", lambda r: f"{plain(r['soc_start_pct'])}>{plain(r['soc_end_pct'])}"),
    Column("CARD", lambda r: plain(r["id_token"])),
    Column("STOP", lambda r: plain(r["fault"]) if r["fault"] else plain(r["stop_reason"])),
    Column("METER START kWh", lambda r: kilo(r["meter_start_wh"], 2), right=True, wide=True),
    Column("METER STOP kWh", lambda r: kilo(r["meter_stop_wh"], 2), right=True, wide=True),
    Column("MAX kW", lambda r: kilo(r["power_max_w"]), right=True, wide=True),
    Column("BY", "auth_source", wide=True),
    Column("VEHICLE", lambda r: plain(r["evcc_id"]), wide=True),
    Column("TRANSACTION", lambda r: plain(r["transaction_id"]), right=True, wide=True),
]

FAULT = [
    Column("CODE", lambda r: r["record"]["code"]),
    Column("NAME", "name"),
    Column("EVSE", lambda r: plain(r["record"]["evse_id"] or "all"), right=True),
    Column("SEVERITY", "severity"),
    Column("SINCE", lambda r: clock(r["record"]["first_seen"])),
    Column("N", lambda r: str(r["record"]["count"]), right=True),
    Column("CAUSE", lambda r: "stands" if r["record"]["present"] else "gone"),
    Column("DETAIL", lambda r: plain(r["record"]["detail"])),
]

FAULT_TEXT = [
    Column("CODE", "code"),
    Column("NAME", "name"),
    Column("SCOPE", "scope"),
    Column("SEVERITY", "severity"),
    Column("REACTION", "reaction"),
    Column("LATCH", "latch"),
    Column("OCPP", "ocpp16"),
    Column("DESCRIPTION", "description", wide=True),
]

EVENT = [
    Column("TIME", lambda r: clock(r["wall"])),
    Column("SEQ", "seq", right=True, wide=True),
    Column("EVSE", lambda r: plain(r["evse_id"] or "-"), right=True),
    Column("EVENT", "kind"),
    Column("DETAIL", lambda r: " ".join(f"{key}={plain(value)}" for key, value in r["data"].items())),
]

GROUP = [
    Column("GROUP", "group_id", right=True),
    Column("HOME", lambda r: plain(r["home_evse"]), right=True),
    Column("OWNER", lambda r: plain(r["owner"]), right=True),
    Column("ROLE", "role"),
    Column("ON", "on"),
    Column("RELAY2", "tie"),
    Column("kW", lambda r: kilo(r["contribution_w"]), right=True),
    Column("MODULES", lambda r: f"{r['modules_present']}/{r['modules']}", right=True),
    Column("V", lambda r: whole(r["voltage_mv"]), right=True),
    Column("A", lambda r: whole(r["current_ma"]), right=True),
    Column("°C", lambda r: tenth(r["temperature_dc"]), right=True),
    Column("FAULTS", lambda r: plain(r["faults"])),
]

EXPLANATION = [
    Column("EVSE", "evse_id", right=True),
    Column("OFFERED kW", lambda r: kilo(r["offered_w"]), right=True),
    Column("WHY", "text"),
]

OCPP_MESSAGE = [
    Column("TIME", lambda r: clock(r["wall"])),
    Column("", lambda r: ">" if r["direction"] == "sent" else "<"),
    Column("TYPE", "type"),
    Column("ACTION", "action"),
    Column("PAYLOAD", "payload"),
    Column("ID", "unique_id", wide=True),
]

OCPP_KEY = [
    Column("KEY", "key"),
    Column("VALUE", "value"),
    Column("ACCESS", lambda r: "read-only" if r["readonly"] else "read/write"),
    Column("UNIT", "unit", wide=True),
    Column("MEANING", "help", wide=True),
]

PLC = [
    Column("EVSE", lambda r: plain(r["evse_id"]), right=True),
    Column("DETECTED", "detected"),
    Column("CONFIGURED", "configured"),
    Column("MATCHED", "matched"),
    Column("ONLINE", "online"),
    Column("BOARD", "board_id"),
    Column("FIRMWARE", "firmware"),
    Column("PORT", "port"),
]

METER = [
    Column("METER", "name"),
    Column("ONLINE", "online"),
    Column("kW", lambda r: kilo(r["power_w"], 2), right=True),
    Column("IMPORT kWh", lambda r: kilo(r["energy_import_wh"], 2), right=True),
    Column("V", lambda r: volts(r), right=True),
    Column("A", lambda r: amps(r), right=True),
    Column("AGE ms", lambda r: plain(r["age_ms"]), right=True),
    Column("PROFILE", "profile"),
    Column("WHERE", lambda r: f"{r['port']}#{r['address']}", wide=True),
    Column("DETAIL", "detail"),
]

REGISTER = [
    Column("ADDRESS", "address", right=True),
    Column("QUANTITY", "quantity"),
    Column("RAW", "raw"),
    Column("VALUE", "value", right=True),
    Column("ERROR", "error"),
]

READER = [
    Column("READER", "name"),
    Column("ONLINE", "online"),
    Column("LAST CARD", "last_token"),
    Column("AT", lambda r: clock(r["last_at"])),
    Column("EVSES", "evses"),
    Column("PORT", "port"),
    Column("DETAIL", "detail"),
]

AUDIT = [
    Column("TIME", lambda r: clock(r["wall"])),
    Column("WHO", "who"),
    Column("FROM", "origin"),
    Column("OPERATION", "operation"),
    Column("TARGET", "target"),
    Column("RESULT", "result"),
    Column("OLD", "old", wide=True),
    Column("NEW", "new", wide=True),
]

CHECK = [Column("CHECK", "name"), Column("RESULT", "result"), Column("DETAIL", "detail"), Column("REMEDY", "remedy")]

SIM_FAULT = [Column("FAULT", "name"), Column("CODE", "code"), Column("DESCRIPTION", "description")]


def length(row: Row) -> int | None:
    """Seconds of a session: of its transaction, else of the plug-in; None while it runs and nothing is known."""
    begin = row["started_at"] or row["plugged_at"]
    end = row["ended_at"] or row["unplugged_at"]
    return None if end is None else int((end - begin) // 1_000_000_000)


def volts(row: Row) -> str:
    """DC voltage, or the three phases."""
    return "/".join(whole(v) for v in row["voltage_l_mv"]) if row.get("voltage_l_mv") else whole(row["voltage_mv"])


def amps(row: Row) -> str:
    """DC current, or the three phases."""
    return "/".join(whole(v) for v in row["current_l_ma"]) if row.get("current_l_ma") else whole(row["current_ma"])


def overview(status: Row) -> str:
    """The page of ``evsectl status``: who, back end, site, faults, connectors."""
    view, ocpp = status["view"], status["ocpp"]
    service = "in service" if view["operational"] == "Operative" else "OUT OF SERVICE"
    site = "-" if view["site_power_w"] is None else f"{kilo(view['site_power_w'])} kW"
    site += " measured" if view["site_limit_w"] is None else f" of {kilo(view['site_limit_w'])} kW"
    offline = [link for link in status["links"] if not link["online"]]
    rows = [
        (
            "STATION",
            f"{status['station_id']}  {service}  {clock(view['wall'])} UTC  up {duration(status['system']['uptime_s'])}",
        ),
        ("CSMS", csms(ocpp)),
        ("SITE", f"{site}, {kilo(view['assigned_w'])} kW offered to vehicles, plan {view['plan_version']}"),
        (
            "DEVICES",
            f"all {len(status['links'])} answer"
            if not offline
            else f"{len(offline)} of {len(status['links'])} do not answer",
        ),
        *[("", f"{link['name']} at {link['where']}: {link['detail']}") for link in offline],
        ("FAULTS", "none" if not view["faults"] else f"{len(view['faults'])} active"),
        *[
            (
                "",
                f"{f['code']} {'connector ' + str(f['evse_id']) if f['evse_id'] else 'station'}: {f['detail']}  (evsectl fault explain {f['code']})",
            )
            for f in view["faults"]
        ],
    ]
    from evsectl.output import table

    return pairs(rows) + "\n" + table(view["evses"], [c for c in CONNECTOR if not c.wide], headers=True)


def csms(ocpp: Row) -> str:
    """One line about the back end."""
    if not ocpp["enabled"]:
        return "switched off"
    link = (
        f"connected, {ocpp['registration'] or 'not registered yet'}"
        if ocpp["connected"]
        else f"NOT CONNECTED {ocpp['last_error']}".rstrip()
    )
    queued = f", {ocpp['queued']} messages wait" if ocpp["queued"] else ""
    return f"{link}{queued}  {ocpp['url']}"


def limits(row: Row) -> str:
    """The caps of one connector, the binding one marked."""
    from evsectl.output import table

    columns = [
        Column("", lambda r: ">" if r["binds"] else " "),
        Column("kW", lambda r: kilo(r["power_w"]), right=True),
        Column("SOURCE", "source"),
        Column("AGE", lambda r: duration(r.get("age_s"))),
        Column("DETAIL", lambda r: plain(r.get("detail"))),
    ]
    return row["text"] + "\n" + table(row["limits"], columns, headers=True)
