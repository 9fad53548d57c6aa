"""``evsectl connector``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evsectl import exits, reads, tables
from evsectl.commands.top import seconds
from evsectl.diagnostics import usage
from evsectl.options import AcceptRisk, EvseId, Fields, Host, NoHeaders, OutFile, Output, confirm, options, session
from evsectl.output import pairs, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Look at connectors and act on them."
)

Wait = Annotated[str, typer.Option("--wait", help="Wait until it is done, at most this long, e.g. 30s")]


@app.command("list")
def list_(
    output: Output = "table", fields: Fields = "", no_headers: NoHeaders = False, file: OutFile = "", host: Host = ""
) -> int:
    """List all connectors."""
    return reads.connector_list(session(host), options(output, fields, no_headers, file))


@app.command()
def get(evse_id: EvseId, output: Output = "table", fields: Fields = "", file: OutFile = "", host: Host = "") -> int:
    """Show one connector with everything that is known about it."""
    if output != "table":
        return reads.connector_get(session(host), evse_id, options(output, fields, file=file))
    write(_card(session(host).call("connector.get", evse_id=evse_id)["items"][0]), options(output, file=file))
    return exits.OK


def _card(e: dict[str, Any]) -> str:
    s = e["session"] or {}
    rows = [
        ("Connector", str(e["evse_id"])),
        ("State", tables.state(e) + (f" ({e['waiting_for']})" if e["waiting_for"] else "")),
        ("Step", tables.step(e)),
        ("In service", f"backend {e['operational_backend']}, local {e['operational_local']}"),
        ("Authorisation", f"{e['auth_state']} {s.get('id_token', '')}".strip()),
        ("Vehicle", tables.plain(s.get("evcc_id"))),
        (
            "Output",
            f"{tables.kilo(e['power_w'])} kW, {tables.whole(e['voltage_mv'])} V, {tables.whole(e['current_ma'])} A",
        ),
        (
            "Vehicle asks",
            f"{tables.kilo(e['demand_w'])} kW, {tables.whole(e['demand_mv'])} V, {tables.whole(e['demand_ma'])} A",
        ),
        ("Offered", f"{tables.binding(e)} kW" if e["session"] else "-"),
        ("State of charge", f"{tables.plain(e['soc_pct'])} %"),
        ("Energy", f"{tables.kilo(s.get('energy_wh'), 2)} kWh"),
        ("Module groups", tables.plain(e["chain"])),
        ("Contactor", {True: "closed", False: "open", None: "unknown"}[e["contactor_closed"]]),
        ("Lock", {True: "locked", False: "unlocked", None: "unknown"}[e["locked"]]),
        ("Insulation", f"{tables.plain(e['isolation_kohm'])} kohm"),
        ("Temperature", f"{tables.tenth(e['temperature_dc'])} °C"),
        ("Session", tables.plain(s.get("session_id"))),
        ("Transaction", tables.plain(s.get("transaction_id"))),
        ("Faults", ", ".join(f"{f['code']} {f['detail']}" for f in e["faults"]) or "none"),
    ]
    return pairs(rows)


@app.command()
def watch(evse_id: EvseId, output: Output = "table", host: Host = "") -> int:
    """Follow one connector."""
    if output not in ("table", "jsonl"):
        usage(f"watch cannot write {output!r}", "use -o jsonl, or nothing")
    return reads.watch(session(host), options(output), stream="status.stream", since=None, reconnect=True, pick=evse_id)


@app.command()
def start(
    evse_id: EvseId,
    id_token: Annotated[
        str, typer.Option("--id-token", help="Card number or name to charge on", metavar="TOKEN")
    ] = "API",
    accept_risk: AcceptRisk = "",
    wait: Wait = "",
    output: Output = "table",
    host: Host = "",
) -> int:
    """Authorise a connector: energy flows as soon as a vehicle is ready."""
    confirm(
        f"Start charging on connector {evse_id}?",
        ["the connector becomes live when a vehicle is ready"],
        risk="energise",
        accepted=accept_risk,
    )
    body = session(host).call("connector.start", evse_id=evse_id, id_token=id_token)
    return _done(body, f"connector {evse_id}: authorised for {id_token}", output, evse_id, "phase=charging", wait, host)


@app.command()
def stop(
    evse_id: EvseId, accept_risk: AcceptRisk = "", wait: Wait = "", output: Output = "table", host: Host = ""
) -> int:
    """Stop charging."""
    confirm(
        f"Stop the session on connector {evse_id}?",
        ["the transaction ends; the driver must authorise again"],
        risk="stop-charging",
        accepted=accept_risk,
    )
    body = session(host).call("connector.stop", evse_id=evse_id)
    return _done(body, f"connector {evse_id}: stopping", output, evse_id, "phase=finished", wait, host)


@app.command()
def enable(evse_id: EvseId, output: Output = "table", host: Host = "") -> int:
    """Take a connector into service (0 = the whole station)."""
    body = session(host).call("connector.enable", evse_id=evse_id)
    return _done(body, f"{_name(evse_id)}: in service", output)


@app.command()
def disable(evse_id: EvseId, accept_risk: AcceptRisk = "", output: Output = "table", host: Host = "") -> int:
    """Take a connector out of service, after a running session (0 = the whole station)."""
    confirm(
        f"Take {_name(evse_id)} out of service?",
        ["no new session can start; a running one goes on"],
        risk="stop-charging",
        accepted=accept_risk,
    )
    body = session(host).call("connector.disable", evse_id=evse_id)
    return _done(body, f"{_name(evse_id)}: out of service", output)


@app.command()
def unlock(evse_id: EvseId, accept_risk: AcceptRisk = "", output: Output = "table", host: Host = "") -> int:
    """Stop charging, wait until there is no current, and unlock the plug."""
    confirm(
        f"Unlock connector {evse_id}?",
        ["a running session is stopped first"],
        risk="stop-charging",
        accepted=accept_risk,
    )
    body = session(host).call("connector.unlock", evse_id=evse_id)
    return _done(body, f"connector {evse_id}: unlocking", output)


def _name(evse_id: int) -> str:
    return f"connector {evse_id}" if evse_id else "the station"


def _done(
    body: dict[str, Any], text: str, output: str, evse_id: int = 0, condition: str = "", wait: str = "", host: str = ""
) -> int:
    if output == "table":
        write((text if body["changed"] else body["detail"] or "unchanged") + "\n", options(output))
    else:
        from evsectl.output import emit

        emit("Done", [body], [], options(output), single=True)
    if wait and body["changed"]:
        return reads.wait_connector(session(host), evse_id, condition, seconds(wait))
    return exits.OK
