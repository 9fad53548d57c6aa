"""``evsectl audit``."""

from __future__ import annotations

from typing import Annotated

import typer

from evsectl import exits, tables
from evsectl.diagnostics import note
from evsectl.options import Fields, Host, NoHeaders, OutFile, Output, options, session
from evsectl.output import emit

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Who changed what.")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=500)] = 50,
    offset: Annotated[int, typer.Option("--offset", help="Skip this many", min=0)] = 0,
    output: Output = "table",
    fields: Fields = "",
    no_headers: NoHeaders = False,
    file: OutFile = "",
    host: Host = "",
) -> int:
    """List the audit log, newest first."""
    body = session(host).call("audit.list", limit=limit, offset=offset)
    how = options(output, fields, no_headers, file)
    if not body["items"] and how.format in ("table", "wide"):
        note("Nothing has been changed yet.")
        return exits.OK
    emit("Audit", body["items"], tables.AUDIT, how, name="wall")
    return exits.OK
