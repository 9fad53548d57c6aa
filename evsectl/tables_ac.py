"""Columns of everything around AC connectors: currents in A per phase, words for states."""

from __future__ import annotations

from typing import Any

from evsectl.layout import GREEN, RED, YELLOW, Column, Row, plain
from evsectl.tables import clock, duration, kilo, minute, online_style, tenth


def amps(value: Any) -> str:
    """mA as A, with a decimal only where it says something; -1 = no limit."""
    if value is None:
        return "-"
    return "none" if value < 0 else f"{value / 1000:.1f}".removesuffix(".0")


def three(values: Any) -> str:
    """One value per phase: ``15.8/15.8/15.9``."""
    return "/".join(f"{value / 1000:.1f}" for value in values) if values else "-"


def volts(values: Any) -> str:
    """mV per phase as V."""
    return "/".join(f"{value / 1000:.0f}" for value in values) if values else "-"


def pilot(side: Row) -> str:
    """State and what the station puts on the pilot: ``C 26.7%``, ``B x1``."""
    mode = side["pilot_mode"]
    if mode == "pwm" and side["duty_bp"] is not None:
        mode = f"{side['duty_bp'] / 100:.1f}%"
    return f"{side['pilot']} {mode}"


def lock_word(lock: Row | None) -> str:
    """What the lock does, in words."""
    if lock is None:
        return "-"
    word = str(lock["stage"]).replace("_", " ")
    return word + (", held open" if lock["forced"] else "") + (", held for its owner" if lock["held"] else "")


def rcd_word(rcd: Row | None) -> str:
    """What the residual current monitor says."""
    if rcd is None:
        return "-"
    return "testing" if rcd["testing"] else str(rcd["state"])


def test_word(rcd: Row | None) -> str:
    """How the last self-test ended."""
    if rcd is None or not rcd["testable"]:
        return "-"
    return {None: "none yet", True: "passed", False: "FAILED"}[rcd["passed"]]


def ventilation_word(vent: Row | None) -> str:
    """What the ventilation does."""
    if vent is None:
        return "-"
    running = {True: "runs", False: "stands", None: "unknown"}[vent["running"]]
    return running + (", asked for" if vent["asked"] else "") + ("" if vent["available"] else ", not available")


def v2g_word(v2g: Row | None) -> str:
    """Phase of the ISO 15118 session, and its error."""
    if v2g is None:
        return "-"
    if v2g["error"] != "NONE":
        return f"{v2g['phase']}: {v2g['error']}"
    if v2g["phase"] == "none":
        return "no session"
    return f"{v2g['phase']} {'finished' if v2g['finished'] else 'started'}" + (", paused" if v2g["paused"] else "")


def soc(row: Row) -> str:
    """State of charge: a number, "later" = not known yet, "never" = this vehicle does not tell."""
    told = (row["session"] or {}).get("soc", -1)
    if told >= 0 or row["soc_pct"] is not None:
        return str(told if told >= 0 else row["soc_pct"])
    return "-" if row["session"] is None else "never" if told == -2 else "later"


def cable(side: Row) -> str:
    """Rating of the cable, and which kind it is."""
    if side["cable_ma"] is None:
        return "no valid cable"
    return f"{amps(side['cable_ma'])} A {'in the socket' if side['socket'] else 'fixed'}"


def _side(cell: Any) -> Any:
    """A cell of the AC side; DC connectors have none."""
    return lambda row: cell(row["ac"]) if row.get("ac") else "-"


CONNECTOR_AC = [
    Column("PILOT", _side(pilot), drop=7),
    Column("PH", _side(lambda a: str(a["phases"])), right=True, drop=3),
    Column("OFFER A", _side(lambda a: amps(a["offered_ma"])), right=True, drop=2),
    Column("CABLE A", _side(lambda a: amps(a["cable_ma"])), right=True, wide=True),
    Column("A L1/L2/L3", _side(lambda a: three(a["current_l_ma"])), right=True, wide=True),
    Column("LOCK", _side(lambda a: lock_word(a["lock"])), wide=True),
    Column("RCD", _side(lambda a: rcd_word(a["rcd"])), wide=True),
    Column("CONTACTOR", lambda r: {True: "closed", False: "open", None: "unknown"}[r["contactor_closed"]], wide=True),
    Column("VENTILATION", _side(lambda a: ventilation_word(a["ventilation"])), wide=True),
]
"""What connector tables show beside `evsectl.tables.CONNECTOR` when the station has AC connectors."""

DC_ONLY = frozenset({"STEP", "SOC%", "ASKS kW", "GROUPS", "INSULATION kohm"})
"""Columns that say nothing about AC connectors."""


def _limit_style(row: Row) -> str:
    return YELLOW if row["ignored"] or row["stale"] else ""


SHARE = [
    Column("EVSE", "evse_id", right=True),
    Column("WANTS A", lambda r: amps(r["requested_ma"]), right=True),
    Column("TARGET A", lambda r: amps(r["target_ma"]), right=True),
    Column("GETS A", lambda r: amps(r["assigned_ma"]), right=True),
    Column("PHASES", lambda r: " ".join(f"L{k + 1}" for k in r["phases"])),
    Column("PAUSED", "paused"),
    Column("WHY", "detail", flex=True),
]

DYNAMIC = [
    Column("NAME", "name"),
    Column("EVSE", "evse_id", right=True),
    Column("A", lambda r: "-" if r["ignored"] else amps(r["current_ma"]), right=True),
    Column("AGE", lambda r: duration(r["age_s"]), right=True),
    Column(
        "STATE",
        lambda r: "ignored: five names are in use" if r["ignored"] else "stale" if r["stale"] else "in force",
        style=_limit_style,
    ),
]


def _reading(row: Row, key: str) -> Any:
    return (row.get("lock") or row.get("rcd") or row.get("ventilation") or {}).get(key)


LOCK = [
    Column("EVSE", "evse_id", right=True),
    Column("PLUGGED", "plugged"),
    Column("LOCK", lambda r: lock_word(r["lock"]) if r["fitted"] else "not fitted"),
    Column("FEEDBACK", lambda r: plain(_reading(r, "feedback"))),
    Column("CHARGED", lambda r: plain(_reading(r, "charged")), drop=1),
    Column("MODE", lambda r: plain(_reading(r, "mode")), drop=2),
    Column("MOTOR", lambda r: plain(_reading(r, "motor")), drop=3),
]

RCD_STYLES = {"normal": GREEN, "tripped": RED}


def _micro(value: Any) -> str:
    return "-" if value is None else f"{value / 1000:.1f}"


RCD = [
    Column("EVSE", "evse_id", right=True),
    Column(
        "MONITOR",
        lambda r: rcd_word(r["rcd"]) if r["fitted"] else "not fitted",
        style=lambda r: RCD_STYLES.get(str(_reading(r, "state")), ""),
    ),
    Column("LAST TEST", lambda r: test_word(r["rcd"]), style=lambda r: RED if _reading(r, "passed") is False else ""),
    Column("AT UTC", lambda r: clock(_reading(r, "tested_at"))),
    Column("DC mA", lambda r: _micro(_reading(r, "residual_dc_ua")), right=True, drop=1),
    Column("RMS mA", lambda r: _micro(_reading(r, "residual_rms_ua")), right=True, drop=2),
    Column("DETAIL", lambda r: plain(_reading(r, "failed")), flex=True),
]

PHASE = [
    Column("EVSE", "evse_id", right=True),
    Column("NOW", "phases", right=True),
    Column("NEXT", "phases_next", right=True),
    Column("WIRED", "phases_wired", right=True),
    Column("SWITCH", lambda r: "under way" if r["switching"] else "1 or 3" if r["switchable"] else "not fitted"),
    Column("A L1/L2/L3", lambda r: three(r["current_l_ma"]), right=True),
    Column("V L1/L2/L3", lambda r: volts(r["voltage_l_mv"]), right=True, drop=1),
]

HLC = [
    Column("EVSE", "evse_id", right=True),
    Column("MODE", lambda r: str(r["mode"]).replace("_", " ")),
    Column("SESSION", lambda r: v2g_word(r["v2g"])),
    Column("VEHICLE", "evcc_id"),
    Column("STAGE", lambda r: plain((r["session"] or {}).get("stage")), drop=2),
    Column("SOC%", soc, right=True, drop=1),
    Column("WANTS kWh", lambda r: kilo((r["session"] or {}).get("energy_request_wh")), right=True, drop=3),
    Column("LEAVES UTC", lambda r: minute((r["session"] or {}).get("departure_at")), drop=4),
    Column("MAX A", lambda r: amps((r["v2g"] or {}).get("ev_max_ma")), right=True, drop=5),
    Column("FAILED", lambda r: plain((r["session"] or {}).get("failed")), flex=True),
]

VENTILATION = [
    Column("EVSE", "evse_id", right=True),
    Column("VENTILATION", lambda r: ventilation_word(r["ventilation"]) if r["fitted"] else "not fitted"),
    Column(
        "SWITCHED BY",
        lambda r: "-" if not r["fitted"] else "another program" if _reading(r, "external") else "the station",
    ),
    Column("AVAILABLE", lambda r: plain(_reading(r, "available"))),
    Column("ASKED FOR", lambda r: plain(_reading(r, "asked"))),
    Column("ON", lambda r: plain(_reading(r, "on"))),
]


def io_value(row: Row) -> str:
    """What a point shows now."""
    if row["kind"] == "temperature":
        return "-" if row["temperature_dc"] is None else f"{tenth(row['temperature_dc'])} °C"
    if row["kind"] == "fan":
        duty = "-" if row["duty_permille"] is None else f"{row['duty_permille'] / 10:.0f} %"
        return duty if row["rpm"] is None else f"{duty}, {row['rpm']} rpm"
    if row["kind"] == "output":
        return str(row["level"] or "-")
    return {True: "high", False: "low", None: "-"}[row["active"]]


IO = [
    Column("NAME", "name"),
    Column("KIND", "kind"),
    Column("VALUE", io_value),
    Column("V", lambda r: "-" if r["voltage_mv"] is None else f"{r['voltage_mv'] / 1000:.1f}", right=True),
    Column("BY HAND", lambda r: "yes" if r["by_hand"] else "-"),
    Column("ONLINE", "online", style=online_style),
    Column("WHERE", "where", drop=1),
    Column("DETAIL", "detail", flex=True),
]

RECLOSER = [
    Column("RECLOSER", "name"),
    Column("STATE", lambda r: str(r["state"]).replace("_", " ")),
    Column("ONLINE", "online", style=online_style),
    Column("EVSES", "evses"),
    Column("PROFILE", "profile", drop=1),
    Column("WHERE", lambda r: f"{r['port']}#{r['address']}"),
    Column("DETAIL", "detail", flex=True),
]

def _says(row: Row) -> str:
    if not row["candidates"]:
        return "answers, fits no known meter"
    first = row["candidates"][0]
    if first["certainty"] == "identified":
        serial = f"serial {first['serial']}" if first["serial"] else ""
        return " ".join(word for word in (first["model"], serial) if word) or "identified"
    return f"plausible as {', '.join(c['profile'] for c in row['candidates'])}"


FOUND = [
    Column("UNIT", "unit", right=True),
    Column("LINE", lambda r: f"{r['baud']} 8{r['parity']}1" if r["baud"] else "TCP"),
    Column("PROFILE", lambda r: plain(r["profile"])),
    Column("SAYS", _says, flex=True),
]


METER_MODEL = [
    Column("PROFILE", "name"),
    Column("MODEL", "model"),
    Column("LINE", lambda r: "TCP" if r["tcp"] else f"{r['baud']} 8{r['parity']}{r['stop_bits']}"),
    Column("UNIT", "unit", right=True),
    Column("LOST AFTER ms", "unavailable_ms", right=True, drop=1),
    Column("CONFIDENCE", "confidence"),
    Column("SOURCE", "source", wide=True),
]
