"""``evsectl rfid``."""

from __future__ import annotations

import typer

from evsectl import exits, tables
from evsectl.options import Call, data
from evsectl.output import emit

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Card readers.")


@data(app, "Reader", key="name")
def last(call: Call) -> int:
    """Show the readers and the last card each has seen."""
    emit(
        "Reader",
        call.ask("rfid.last")["items"],
        tables.READER,
        call.options,
        name="name",
        empty="No card readers are configured.",
    )
    return exits.OK
