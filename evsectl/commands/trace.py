"""``evsectl trace``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evsectl import exits
from evsectl.commands.launch import Output, become, report_format
from evsectl.options import Call, data
from evsectl.output import emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The flight recorder of the control loop."
)


@data(app, "TraceDump", key="path")
def dump(call: Call) -> int:
    """Write the last ten minutes of inputs to a file."""
    body = call.ask("trace.dump")
    if call.human:
        size = f"{body['seconds']} s, {body['ticks']} ticks, {body['bytes'] // 1024} KiB"
        write(f"{body['path']}  {size}\n", call.options)
    else:
        emit("TraceDump", [body], [], call.options, name="path", single=True)
    return exits.OK


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="Trace file", metavar="FILE")],
    events: Annotated[bool, typer.Option("--events", help="List what happened in the trace")] = False,
    output: Output = "table",
) -> int:
    """Run a trace again; exit 8 when outputs differ."""
    become("evse.replay", str(file), "-o", report_format(output), *(["--events"] if events else []))
