"""``evsectl session``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evsectl import exits, tables
from evsectl.diagnostics import note
from evsectl.options import Fields, Host, NoHeaders, OutFile, Output, options, session
from evsectl.output import Options, Row, emit, pairs, table, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Charging sessions: plug-in to unplug."
)

PAGE = 500
State = Annotated[str, typer.Option("--state", help="all, active or completed")]
Evse = Annotated[int, typer.Option("--connector", help="Only this connector, 0 = all")]
Text = Annotated[str, typer.Option("--filter", help="Text in card, vehicle, session id, stop reason or fault")]


@app.command("list")
def list_(
    state: State = "all",
    connector: Evse = 0,
    text: Text = "",
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=PAGE)] = 50,
    offset: Annotated[int, typer.Option("--offset", help="Skip this many", min=0)] = 0,
    output: Output = "table",
    fields: Fields = "",
    no_headers: NoHeaders = False,
    file: OutFile = "",
    host: Host = "",
) -> int:
    """List sessions, newest first."""
    body = session(host).call("session.list", state=state, evse_id=connector, text=text, limit=limit, offset=offset)
    how = options(output, fields, no_headers, file)
    if not body["items"] and how.format in ("table", "wide"):
        note("No sessions match." if text or connector or state != "all" else "No sessions yet.")
        return exits.OK
    emit("Session", body["items"], tables.SESSION, how, name="session_id")
    if how.format in ("table", "wide") and not how.file:
        note(
            f"{offset + 1}-{offset + len(body['items'])} of {body['total']} sessions, {tables.kilo(body['energy_wh'], 2)} kWh in all"
        )
    return exits.OK


@app.command()
def get(
    session_id: Annotated[str, typer.Argument(help="Session id", metavar="SESSION")],
    output: Output = "table",
    fields: Fields = "",
    file: OutFile = "",
    host: Host = "",
) -> int:
    """Show one session with its events."""
    body = session(host).call("session.get", session_id=session_id)
    how = options(output, fields, file=file)
    if how.format in ("table", "wide"):
        write(_card(body), how)
    else:
        emit("SessionDetail", [body], [], how, single=True)
    return exits.OK


def _card(body: Row) -> str:
    s = body["session"]
    rows = [
        ("Session", s["session_id"]),
        ("Connector", str(s["evse_id"])),
        ("Plugged in", tables.clock(s["plugged_at"])),
        ("Started", tables.clock(s["started_at"])),
        ("Ended", tables.clock(s["ended_at"])),
        ("Unplugged", tables.clock(s["unplugged_at"])),
        ("Duration", tables.duration(tables.length(s))),
        ("Energy", f"{tables.kilo(s['energy_wh'], 2)} kWh"),
        ("Meter", f"{tables.kilo(s['meter_start_wh'], 2)} to {tables.kilo(s['meter_stop_wh'], 2)} kWh"),
        ("State of charge", f"{tables.plain(s['soc_start_pct'])} % to {tables.plain(s['soc_end_pct'])} %"),
        ("Highest power", f"{tables.kilo(s['power_max_w'])} kW"),
        ("Card", f"{tables.plain(s['id_token'])} by {s['auth_source']}"),
        ("Vehicle", tables.plain(s["evcc_id"])),
        ("Transaction", tables.plain(s["transaction_id"])),
        ("Stop reason", tables.plain(s["stop_reason"])),
        ("Fault", tables.plain(s["fault"])),
    ]
    return pairs(rows) + (
        "\n" + table(body["events"], [c for c in tables.EVENT if not c.wide], headers=True) if body["events"] else ""
    )


@app.command()
def export(
    state: State = "completed", connector: Evse = 0, text: Text = "", file: OutFile = "", host: Host = ""
) -> int:
    """Export all matching sessions as CSV."""
    rows: list[dict[str, Any]] = []
    caller = session(host)
    while True:
        body = caller.call("session.list", state=state, evse_id=connector, text=text, limit=PAGE, offset=len(rows))
        rows += body["items"]
        if not body["items"] or len(rows) >= body["total"]:
            break
    emit("Session", rows, tables.SESSION, Options("csv", file=file), name="session_id")
    note(f"{len(rows)} sessions")
    return exits.OK
