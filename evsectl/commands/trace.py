"""``evsectl trace``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evsectl import exits
from evsectl.options import Host, Output, options, session
from evsectl.output import emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The flight recorder of the control loop."
)


@app.command()
def dump(output: Output = "table", host: Host = "") -> int:
    """Write the last ten minutes of inputs to a file on the station."""
    body = session(host).call("trace.dump")
    if output == "table":
        write(
            f"{body['path']}  {body['seconds']} s, {body['ticks']} ticks, {body['bytes'] // 1024} KiB\n",
            options(output),
        )
    else:
        emit("TraceDump", [body], [], options(output), single=True)
    return exits.OK


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="Trace file", metavar="FILE")],
    events: Annotated[bool, typer.Option("--events", help="List what happened in the trace")] = False,
    output: Output = "table",
) -> int:
    """Run a trace through the core again; exit 8 when the outputs differ."""
    from evsectl.commands.launch import become

    become("evse.replay", str(file), "-o", output, *(["--events"] if events else []))
