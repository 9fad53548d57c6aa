"""``evsectl audit``."""

from __future__ import annotations

from typing import Annotated

import typer

from evsectl import exits, tables
from evsectl.options import Call, data
from evsectl.output import emit

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Who changed what.")


@data(app, "Audit", "list")
def list_(
    call: Call,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=1000, metavar="N")] = 50,
    offset: Annotated[int, typer.Option("--offset", help="Skip this many", min=0, metavar="N")] = 0,
) -> int:
    """List the audit log, newest first."""
    body = call.ask("audit.list", limit=limit, offset=offset)
    emit("Audit", body["items"], tables.AUDIT, call.options, empty="Nothing has been changed yet.")
    return exits.OK
