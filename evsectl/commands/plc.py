"""``evsectl plc``."""

from __future__ import annotations

import typer

from evsectl import exits, tables
from evsectl.diagnostics import note
from evsectl.options import Fields, Host, NoHeaders, Output, options, session
from evsectl.output import emit

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Pilot and PLC boards.")


@app.command()
def discover(output: Output = "table", fields: Fields = "", no_headers: NoHeaders = False, host: Host = "") -> int:
    """Compare the boards on USB with the configured ones; exit 10 when they are not in sync."""
    body = session(host).call("plc.discover")
    emit("Plc", body["items"], tables.PLC, options(output, fields, no_headers), name="port")
    if output in ("table", "wide"):
        note("in sync" if body["in_sync"] else "NOT in sync: set board.port of each connector to a detected port")
    return exits.OK if body["in_sync"] else exits.DEVICE
