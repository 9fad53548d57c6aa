"""Pages for people about AC connectors: one connector, why it offers what it offers, the result of a search."""

from __future__ import annotations

from evsectl import tables as t
from evsectl import tables_ac as ta
from evsectl.layout import Column, Row, Screen, clean, pairs, plain, table, wrap

RELEASES = {
    "free": "free",
    "list": "cards and vehicles of the white list",
    "ocpp": "cards and the back end",
    "remote": "another program",
    "modbus": "another program over Modbus",
    "mqtt": "another program over MQTT",
    "key_switch": "the key switch",
    "dashboard": "an operator on site",
}


def connector_card(e: Row, where: Screen) -> str:
    """Everything that is known about one AC connector."""
    a, s = e["ac"], e["session"] or {}
    second = {True: "closed", False: "open", None: "unknown"}[a["contactor2_closed"]]
    contactor = {True: "closed", False: "open", None: "unknown"}[e["contactor_closed"]]
    rows = [
        ("Connector", str(e["evse_id"])),
        ("State", t.state(e)),
        ("Waits for", plain(e["waiting_for"])),
        ("In service", f"backend {e['operational_backend']}, local {e['operational_local']}"),
        ("Authorisation", f"{e['auth_state']} {s.get('id_token', '')}".strip()),
        ("Permission by", RELEASES.get(a["release"], a["release"])),
        ("Vehicle", plain(s.get("evcc_id"))),
        ("Output", f"{t.kilo(e['power_w'])} kW, {ta.three(a['current_l_ma'])} A, {ta.volts(a['voltage_l_mv'])} V"),
        ("Phases", _phases(a)),
        ("Offered", _offered(e)),
        ("Physical limit", f"{ta.amps(a['physical_ma'])} A"),
        ("Paused", f"by {a['pause'] or 'the external release'}" if a["pause"] or not a["allowed"] else "no"),
        ("Pilot", ta.pilot(a)),
        ("Cable", ta.cable(a)),
        ("Energy", "-" if not s else f"{t.kilo(s['energy_wh'], 2)} kWh"),
        ("Contactor", f"{contactor}, second {second}" if a["phase_switch"] else contactor),
        ("Plug lock", ta.lock_word(a["lock"])),
        ("Residual current", _rcd(a["rcd"])),
        ("Ventilation", ta.ventilation_word(a["ventilation"])),
        ("ISO 15118", _hlc(a)),
        ("Inputs", _inputs(a)),
        ("Outputs", ", ".join(a["outputs"]) or "-"),
        ("Temperature", f"{t.tenth(e['temperature_dc'])} °C"),
        ("Session", plain(s.get("session_id"))),
        ("Transaction", plain(s.get("transaction_id"))),
        ("Faults", ", ".join(f"{f['code']} {f['detail']}" for f in e["faults"]) or "none"),
    ]
    if a.get("phase_choice"):
        rows.insert(rows.index(("Phases", _phases(a))) + 1, ("Phases, why", a["phase_choice"]))
    return pairs(rows, where)


def _phases(a: Row) -> str:
    text = f"{a['phases']} of {a['phases_wired']}"
    if a["phases_switching"]:
        return f"{text}, switching to {a['phases_next']}"
    return f"{text}, next {a['phases_next']}" if a["phase_switch"] else text


def _offered(e: Row) -> str:
    if not e["session"] or e["session"]["ended_at"] is not None:
        return "-"
    source = t.SOURCES.get(t.binding_source(e), t.binding_source(e))
    text = f"{ta.amps(e['ac']['offered_ma'])} A, {t.kilo(e['offered_w'])} kW"
    return text + (f", limited by {source}" if source else "")


def _rcd(rcd: Row | None) -> str:
    if rcd is None:
        return "-"
    test = ta.test_word(rcd)
    return f"{ta.rcd_word(rcd)}, last test {test} {'' if rcd['tested_at'] is None else t.clock(rcd['tested_at'])}".rstrip()


def _hlc(a: Row) -> str:
    return "off" if a["hlc"] == "off" else f"{a['hlc'].replace('_', ' ')}, {ta.v2g_word(a['v2g'])}"


def _inputs(a: Row) -> str:
    return ", ".join(f"{i} {'high' if high else 'low'}" for i, high in enumerate(a["inputs"], 1)) or "-"


def limits(row: Row, where: Screen) -> str:
    """Why a connector offers what it offers: the sentence, offered and physical, every limit with the binding one marked."""
    columns = [
        Column("", lambda r: ">" if r["binds"] else " "),
        Column("A", lambda r: ta.amps(r["current_ma"]), right=True),
        Column("kW", lambda r: t.kilo(r["power_w"]), right=True),
        Column("SOURCE", "source"),
        Column("AGE", lambda r: t.duration(r.get("age_s")), right=True),
        Column("DETAIL", "detail", flex=True),
    ]
    if row["kind"] == "dc":
        columns.pop(1)
    text = "".join(line + "\n" for line in wrap(clean(row["text"]), where.page))
    if row["kind"] == "ac":
        text += f"Offered {ta.amps(row['offered_ma'])} A, {t.kilo(row['offered_w'])} kW; "
        text += f"cable, wiring and grid allow {ta.amps(row['physical_ma'])} A, {t.kilo(row['physical_w'])} kW.\n"
    return text + (table(row["limits"], columns, where=where) if row["limits"] else "")


def detected(state: Row, where: Screen) -> str:
    """What a search has found, and what to write into the configuration."""
    text = table(state["found"], ta.FOUND, where=where) if state["found"] else ""
    rows = [
        ("Searched", f"{state['port']}, {state['done']} of {state['total']} places in {t.duration(state['seconds'])}"),
        *(("Noise" if not i else "", line) for i, line in enumerate(state["noise"])),
        *(("Trouble" if not i else "", line) for i, line in enumerate(state["problems"])),
    ]
    return text + ("\n" if text else "") + pairs(rows, where)
