"""``evsectl rfid``."""

from __future__ import annotations

import typer

from evsectl import exits, tables
from evsectl.options import Fields, Host, NoHeaders, Output, options, session
from evsectl.output import emit

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Card readers.")


@app.command()
def last(output: Output = "table", fields: Fields = "", no_headers: NoHeaders = False, host: Host = "") -> int:
    """Show the readers and the last card each has seen."""
    emit(
        "Reader",
        session(host).call("rfid.last")["items"],
        tables.READER,
        options(output, fields, no_headers),
        name="name",
    )
    return exits.OK
