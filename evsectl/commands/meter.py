"""``evsectl meter``."""

from __future__ import annotations

from typing import Annotated

import typer

from evsectl import exits, tables
from evsectl.options import Call, data
from evsectl.output import emit

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Energy meters.")

Meter = Annotated[str, typer.Argument(help="Meter name or connector number, 0 = site", metavar="METER")]


@data(app, "Meter", "list", key="name")
def list_(call: Call) -> int:
    """List all meters with their latest values."""
    emit(
        "Meter",
        call.ask("meter.read")["items"],
        tables.METER,
        call.options,
        name="name",
        empty="No meters are configured.",
    )
    return exits.OK


@data(app, "Meter", key="name")
def read(call: Call, meter: Meter) -> int:
    """Show a meter; exit 10 when it does not answer."""
    items = call.ask("meter.read", name=meter)["items"]
    emit("Meter", items, tables.METER, call.options, name="name", single=True)
    return exits.OK if items[0]["online"] else exits.DEVICE


@data(app, "Probe", key="name")
def probe(call: Call, meter: Meter) -> int:
    """Read every register now; exit 10 when some fail."""
    body = call.ask("meter.probe", name=meter)
    if call.human:
        emit("Register", body["registers"], tables.REGISTER, call.options, name="quantity")
    else:
        emit("Probe", [body], [], call.options, name="name", single=True)
    return exits.OK if body["ok"] else exits.DEVICE
