"""``evsectl meter``."""

from __future__ import annotations

from typing import Annotated

import typer

from evsectl import exits, tables
from evsectl.options import Fields, Host, NoHeaders, Output, options, session
from evsectl.output import emit

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Energy meters.")


@app.command("list")
def list_(output: Output = "table", fields: Fields = "", no_headers: NoHeaders = False, host: Host = "") -> int:
    """List all meters with their latest values."""
    emit(
        "Meter",
        session(host).call("meter.read")["items"],
        tables.METER,
        options(output, fields, no_headers),
        name="name",
    )
    return exits.OK


@app.command()
def read(
    meter: Annotated[str, typer.Argument(help="Meter name or connector number, 0 = site", metavar="METER")],
    output: Output = "table",
    fields: Fields = "",
    no_headers: NoHeaders = False,
    host: Host = "",
) -> int:
    """Show the latest values of one meter; exit 10 when it does not answer."""
    items = session(host).call("meter.read", name=meter)["items"]
    emit("Meter", items, tables.METER, options(output, fields, no_headers), name="name", single=True)
    return exits.OK if items[0]["online"] else exits.DEVICE


@app.command()
def probe(
    meter: Annotated[str, typer.Argument(help="Meter name or connector number, 0 = site", metavar="METER")],
    output: Output = "table",
    host: Host = "",
) -> int:
    """Read every register of a meter now; exit 10 when some do not answer."""
    body = session(host).call("meter.probe", name=meter)
    if output in ("table", "wide"):
        emit("Register", body["registers"], tables.REGISTER, options(output), name="quantity")
    else:
        emit("Probe", [body], [], options(output), single=True)
    return exits.OK if body["ok"] else exits.DEVICE
