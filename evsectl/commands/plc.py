"""``evsectl plc``."""

from __future__ import annotations

import typer

from evsectl import exits, tables
from evsectl.diagnostics import note
from evsectl.options import Call, data
from evsectl.output import emit

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Pilot and PLC boards.")


@data(app, "Plc", key="port")
def discover(call: Call) -> int:
    """Compare boards on USB with the configured ones."""
    body = call.ask("plc.discover")
    emit("Plc", body["items"], tables.PLC, call.options, name="port", empty="No boards are detected or configured.")
    if call.human:
        note("in sync" if body["in_sync"] else "NOT in sync")
        for row in body["items"]:
            if row.get("hint"):
                note(f"  {row['port']}: {row['hint']}")
    return exits.OK if body["in_sync"] else exits.DEVICE
