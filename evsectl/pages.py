"""Pages for people about one thing: the station, a connector, a session, a fault, the planner."""

from __future__ import annotations

from typing import Any

from evsectl import tables as t
from evsectl import tables_ac as ta
from evsectl.layout import RED, Column, Row, Screen, clean, fit, paint, pairs, plain, table, wrap


def overview(status: Row, where: Screen, *, wide: bool = False) -> str:
    """The page of ``evsectl status``: who, back end, site, devices, faults with what to do, connectors."""
    view = status["view"]
    service = "in service" if view["operational"] == "Operative" else "OUT OF SERVICE"
    site = "-" if view["site_power_w"] is None else f"{t.kilo(view['site_power_w'])} kW"
    site += " measured" if view["site_limit_w"] is None else f" of {t.kilo(view['site_limit_w'])} kW"
    up = t.duration(status["system"]["uptime_s"])
    rows = [
        ("STATION", f"{status['station_id']}  {service}  {t.clock(view['wall'])} UTC  up {up}"),
        ("CSMS", csms(status["ocpp"])),
        ("SITE", f"{site}, {t.kilo(view['assigned_w'])} kW offered to vehicles, plan {view['plan_version']}"),
        *_devices(status["links"]),
        *_faults(view["faults"]),
        *_waiting(status["system"].get("restart_needed", [])),
    ]
    columns = [column for column in t.connectors(view["evses"]) if wide or not column.wide]
    columns = columns if wide else fit(view["evses"], columns, where)
    return pairs(rows, where) + "\n" + table(view["evses"], columns, where=where)


def _devices(links: list[Row]) -> list[tuple[str, str]]:
    offline = [link for link in links if not link["online"]]
    if not offline:
        return [("DEVICES", f"all {len(links)} answer")]
    return [
        ("DEVICES", f"{len(offline)} of {len(links)} DO NOT ANSWER"),
        *(("", f"{link['name']} at {link['where']}: {link['detail'] or 'no answer'}") for link in offline),
    ]


def _faults(faults: list[Row]) -> list[tuple[str, str]]:
    if not faults:
        return [("FAULTS", "none")]
    rows = [("FAULTS", f"{len(faults)} ACTIVE; what to do: evsectl fault get {faults[0]['code']}")]
    for fault in faults:
        where = f"connector {fault['evse_id']}" if fault["evse_id"] else "station"
        gone = "" if fault["present"] else " (cause gone, waits to be cleared)"
        rows.append(("", f"{fault['code']} {where}: {fault['detail'] or 'no detail'}{gone}"))
    return rows


def _waiting(keys: list[str]) -> list[tuple[str, str]]:
    """Changed options that do not hold yet."""
    if not keys:
        return []
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return [("CONFIG", f"A RESTART IS NEEDED for {', '.join(keys[:3])}{more}: systemctl restart evsed")]


def csms(ocpp: Row) -> str:
    """One line about the back end."""
    if not ocpp["enabled"]:
        return "switched off"
    link = (
        f"connected, {ocpp['registration'] or 'not registered yet'}"
        if ocpp["connected"]
        else f"NOT CONNECTED {ocpp['last_error'].removeprefix(ocpp['url'] + ': ')}".rstrip()
    )
    waiting = ocpp["queued"]
    queued = f", {waiting} message{' waits' if waiting == 1 else 's wait'}" if waiting else ""
    return f"{link}{queued}  {ocpp['url']}"


def connector_card(e: Row, where: Screen) -> str:
    """Everything that is known about one connector."""
    if e.get("ac"):
        from evsectl import pages_ac

        return pages_ac.connector_card(e, where)
    s = e["session"] or {}
    known = {True: "yes", False: "no", None: "unknown"}
    rows = [
        ("Connector", str(e["evse_id"])),
        ("State", t.state(e)),
        ("Waits for", plain(e["waiting_for"])),
        ("Step", t.step(e)),
        ("In service", f"backend {e['operational_backend']}, local {e['operational_local']}"),
        ("Authorisation", f"{e['auth_state']} {s.get('id_token', '')}".strip()),
        ("Vehicle", plain(s.get("evcc_id"))),
        ("Output", f"{t.kilo(e['power_w'])} kW, {t.whole(e['voltage_mv'])} V, {t.whole(e['current_ma'])} A"),
        ("Vehicle asks", f"{t.kilo(e['demand_w'])} kW, {t.whole(e['demand_mv'])} V, {t.whole(e['demand_ma'])} A"),
        ("Offered", _offered(e)),
        ("State of charge", _unit(e["soc_pct"], "%")),
        ("Energy", _unit(s and t.kilo(s["energy_wh"], 2), "kWh")),
        ("Module groups", plain(e["chain"])),
        ("Contactor", {True: "closed", False: "open", None: "unknown"}[e["contactor_closed"]]),
        ("Plug locked", known[e["locked"]]),
        ("Insulation", _unit(e["isolation_kohm"], "kohm")),
        ("Temperature", f"{t.tenth(e['temperature_dc'])} °C"),
        ("Session", plain(s.get("session_id"))),
        ("Transaction", plain(s.get("transaction_id"))),
        ("Faults", ", ".join(f"{f['code']} {f['detail']}" for f in e["faults"]) or "none"),
    ]
    return pairs(rows, where)


def _offered(e: Row) -> str:
    if not e["session"] or e["session"]["ended_at"] is not None:
        return "-"
    source = t.SOURCES.get(t.binding_source(e), t.binding_source(e))
    return f"{t.kilo(e['offered_w'])} kW" + (f", limited by {source}" if source else "")


def _unit(value: Any, unit: str) -> str:
    return "-" if value in (None, "", {}) else f"{value} {unit}"


def meter_card(row: Row, where: Screen) -> str:
    """All that one meter says, one column per phase."""
    v, a = row["voltage_l_mv"] or [row["voltage_mv"]], row["current_l_ma"] or [row["current_ma"]]
    names = ["L1", "L2", "L3"] if len(v) == 3 or len(a) == 3 else ["Value"]
    phases = [
        {"name": n, "v": v[i] if i < len(v) else None, "a": a[i] if i < len(a) else None} for i, n in enumerate(names)
    ]
    columns = [
        Column("", "name"),
        Column("V", lambda r: "-" if r["v"] is None else f"{r['v'] / 1000:.1f}", right=True),
        Column("A", lambda r: "-" if r["a"] is None else f"{r['a'] / 1000:.2f}", right=True),
    ]
    rows = [
        ("Meter", f"{row['name']}, {'connector ' + str(row['evse_id']) if row['evse_id'] else 'the site'}"),
        ("Model", row["profile"]),
        ("Where", f"{row['port']} unit {row['address']}"),
        ("Answers", "yes" if row["online"] else f"NO: {row['detail'] or 'silent'}"),
        ("Age", _unit(row["age_ms"], "ms")),
        ("Power", f"{t.kilo(row['power_w'], 2)} kW"),
        ("Import", f"{t.kilo(row['energy_import_wh'], 2)} kWh"),
        ("Export", f"{t.kilo(row['energy_export_wh'], 2)} kWh"),
        ("Frequency", "-" if row["frequency_mhz"] is None else f"{row['frequency_mhz'] / 1000:.2f} Hz"),
        ("Temperature", f"{t.tenth(row['temperature_dc'])} °C"),
    ]
    if row["signed"]:
        rows.append(("Signs", row["not_signed"] or f"yes, {'required' if row['signed'] == 'require' else row['signed']}"))
        rows.append(("Serial number", plain(row["serial"])))
        rows.append(("Public key", plain(row["public_key"])))
    return pairs(rows, where) + "\n" + table(phases, columns, where=where)


def signed_rows(signed: Row | None) -> list[tuple[str, str]]:
    """What the meter has signed of a session; nothing for a meter that does not sign."""
    if signed is None:
        return []
    ends = " and ".join(word for word in ("begin", "end") if signed[word])
    return [
        ("Signed", f"{ends or 'nothing'} as {signed['format']}; for a verifier: evsectl session signed"),
        ("Signed by", f"meter {plain(signed['meter_serial'])}, public key {plain(signed['public_key'])}"),
    ]


def session_card(body: Row, where: Screen) -> str:
    """One session with its events."""
    s = body["session"]
    rows = [
        ("Session", s["session_id"]),
        ("Connector", str(s["evse_id"])),
        ("Plugged in", t.clock(s["plugged_at"])),
        ("Started", t.clock(s["started_at"])),
        ("Ended", t.clock(s["ended_at"])),
        ("Unplugged", t.clock(s["unplugged_at"])),
        ("Duration", t.duration(t.length(s))),
        ("Energy", f"{t.kilo(s['energy_wh'], 2)} kWh"),
        ("Meter", f"{t.kilo(s['meter_start_wh'], 2)} to {t.kilo(s['meter_stop_wh'], 2)} kWh"),
        ("State of charge", f"{plain(s['soc_start_pct'])} % to {plain(s['soc_end_pct'])} %"),
        ("Highest power", f"{t.kilo(s['power_max_w'])} kW"),
        ("Card", f"{plain(s['id_token'])} by {s['auth_source']}"),
        ("Vehicle", plain(s["evcc_id"])),
        ("Transaction", plain(s["transaction_id"])),
        ("Stop reason", plain(s["stop_reason"])),
        ("Fault", plain(s["fault"])),
        *signed_rows(s["signed"]),
    ]
    events = [c for c in t.EVENT if not c.wide]
    return pairs(rows, where) + ("\n" + table(body["events"], events, where=where) if body["events"] else "")


LATCH = {
    "auto": "goes away by itself",
    "unplug": "goes away when the vehicle has left",
    "manual": "a technician clears it",
}


def fault_texts(item: Row) -> list[tuple[str, str]]:
    """What a technician needs to know about a fault."""
    return [
        ("What", item["description"]),
        ("Caused by", item["cause"]),
        ("Effect", item["impact"]),
        ("From afar", item["remedy_remote"]),
        ("On site", item["remedy_on_site"]),
        ("Reaction", item["reaction"]),
        ("Latch", LATCH.get(item["latch"], item["latch"])),
    ]


def fault_page(item: Row, where: Screen) -> str:
    """A fault of the catalogue: what it is, what to do, what a back end is told."""
    kind = {"ac": ", AC", "dc": ", DC"}.get(item["kinds"], "")
    status = "Faulted" if item["faulted"] else "status stays as it is"
    rows = [
        ("Fault", f"{item['code']} {item['name']}, {item['severity']}, {item['scope']}{kind}"),
        *fault_texts(item),
        ("OCPP 1.6", f"{item['ocpp16']}, vendor code {item['vendor_code']}, priority {item['priority']}, {status}"),
    ]
    return pairs(rows, where)


def fault_card(item: Row, where: Screen) -> str:
    """An active fault, what to do, and whether it can be cleared."""
    record = item["record"]
    place = f"connector {record['evse_id']}" if record["evse_id"] else "station"
    clear = f"evsectl fault clear {record['code']}" + (f" --connector {record['evse_id']}" if record["evse_id"] else "")
    times = "once" if record["count"] == 1 else f"{record['count']} times"
    rows = [
        ("Fault", f"{record['code']} {item['name']}, {place}, {item['severity']}"),
        ("Detail", plain(record["detail"])),
        ("Since", f"{t.clock(record['first_seen'])} UTC, last {t.clock(record['last_seen'])}, {times}"),
        ("Cause", "stands" if record["present"] else "gone"),
        *fault_texts(item),
        ("Clear", clear if item["clearable"] else f"not now: {item['why_not']}"),
    ]
    return pairs(rows, where)


def planner(body: Row, where: Screen, *, wide: bool = False) -> str:
    """Limits in force, the plan, shares of AC EVSEs, and who owns which module group."""
    s = body["settings"]
    plan = body["plan"]
    rows = [
        ("Site limit", _limit(s["limit_w"], s["file_limit_w"])),
        ("OCPP limit", _limit(s["ocpp_limit_w"], s["file_ocpp_limit_w"])),
        ("Group power", _limit(s["group_power_w"], s["file_group_power_w"])),
        ("Max groups", _set(s["max_groups"] or "no cap", s["file_max_groups"] or "no cap")),
        ("Borrowing", _set(*("allowed" if may else "forbidden" for may in (s["allow_cross"], s["file_allow_cross"])))),
        ("Measured", f"{t.kilo(body['site_power_w'])} kW at the site meter"),
        ("Plan", _plan(plan)),
    ]
    if s["own_ma"] or s["operator_ma"]:
        rows.insert(1, ("Per phase", f"installer {_phases(s['own_ma'])}, operator {_phases(s['operator_ma'])}"))
    if body["allowed"]:
        rows.insert(2, ("Now", _allowed(body["allowed"])))
    rows += [(name, words) for name, words in (("Today", _totals(body["today"])), (_since(body["total"]), _totals(body["total"]))) if words]
    text = pairs(rows, where)
    tables = (
        (plan["allocations"] if plan else [], t.ALLOCATION),
        (plan["currents"] if plan else [], ta.SHARE),
        (body["groups"], t.GROUP),
    )
    for items, columns in tables:
        if items:
            shown = [column for column in columns if wide or not column.wide]
            text += "\n" + table(items, shown if wide else fit(items, shown, where), where=where)
    return text


def _phases(values: list[int] | None) -> str:
    """``63/63/32 A``; no limit."""
    return "no limit" if values is None else "/".join(f"{ma / 1000:g}" for ma in values) + " A"


TOTALS_MAX = 4
"""Limiting sources named in one line; all of them are in the other output formats."""


def _totals(totals: Row | None) -> str:
    """``41.2 kWh, peak 22.0 kW (site 25.1 kW); ev 30.1 kWh 3:10:00, grid 11.1 kWh 0:50:00``; "" = nothing was counted."""
    if not totals or not totals["evses"]:
        return ""
    energy = sum(row["energy_wh"] for row in totals["evses"])
    site = "" if totals["site_peak_w"] is None else f" (site {t.kilo(totals['site_peak_w'])} kW)"
    each = ", ".join(
        f"{row['source']} {t.kilo(row['energy_wh'])} kWh in {t.duration(row['limited_s'])}" for row in totals["sources"][:TOTALS_MAX]
    )
    peak = f"{t.kilo(energy)} kWh, peak {t.kilo(totals['peak_w'])} kW{site}"
    return f"{peak}; limited by {each}" if each else peak


def _since(totals: Row | None) -> str:
    """``Since 2026-11-21``; without a clock that was ever set ``In all``."""
    return "In all" if not totals or totals["since"] is None else f"Since {t.clock(totals['since'])[:10]}"


def _allowed(now: Row) -> str:
    """What may be taken now, and why: "10/10/10 A: the limit from 8:00 to 22:00"."""
    why = "; ".join(dict.fromkeys(now["words"]))
    return f"{_phases(now['limit_ma'])}: {why}"


def _plan(plan: Row | None) -> str:
    if plan is None:
        return "none yet"
    return f"version {plan['version']}" + (f", {plan['reason']}" if plan["reason"] else "")


def _limit(value: int, from_file: int) -> str:
    return _set(*(f"{t.kilo(w)} kW" if w else "none" for w in (value, from_file)))


def _set(value: object, from_file: object) -> str:
    return f"{value}" if value == from_file else f"{value} (set by an operator; the file says {from_file})"


def limits(row: Row, where: Screen) -> str:
    """Why a connector gets what it gets: the sentence, then its caps, the binding one marked."""
    columns = [
        Column("", lambda r: ">" if r["binds"] else " "),
        Column("kW", lambda r: t.kilo(r["power_w"]), right=True),
        Column("SOURCE", "source"),
        Column("AGE", lambda r: t.duration(r.get("age_s")), right=True),
        Column("DETAIL", "detail", flex=True),
    ]
    sentence = "".join(line + "\n" for line in wrap(clean(row["text"]), where.page))
    if row.get("phases"):
        sentence += "".join(line + "\n" for line in wrap(f"phases: {clean(row['phases'])}", where.page))
    caps = table(row["limits"], columns, where=where) if row["limits"] else ""
    ways = "".join(line + "\n" for way in row.get("more", ()) for line in wrap(f"more with: {clean(way)}", where.page))
    return sentence + caps + ways


def doctor(checks: list[Row], where: Screen) -> str:
    """The checks, the remedy below what is not in order."""
    columns = [column for column in t.CHECK if column.header != "REMEDY"]
    lines = table(checks, columns, where=where)
    wrong = [check for check in checks if check["result"] not in ("ok", "skipped")]
    if not wrong:
        return lines
    todo = [(check["name"], check["remedy"] or "no remedy is known") for check in wrong]
    return f"{lines}\n{paint('To do', RED if where.color else '')}\n{pairs(todo, where)}"
