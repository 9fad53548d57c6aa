"""``evsectl io`` and ``recloser``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from evsectl import exits, tables_ac
from evsectl.diagnostics import nearest, usage
from evsectl.layout import clean
from evsectl.options import AcceptRisk, Call, Host, Output, confirm, data, session
from evsectl.output import API_VERSION, Options, emit, machine, write
from evsectl.reads import Session

POLL_S = 0.5
LEVELS = ("high", "low", "floating", "rules")
MOVE_S = 15.0
"""A recloser needs up to 10 s."""


def _noun(help_: str) -> typer.Typer:
    return typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help=help_)


app = typer.Typer(add_completion=False, rich_markup_mode=None)
io = _noun("Digital inputs and outputs, temperatures, fan.")
recloser = _noun("Motors that close residual current breakers.")
app.add_typer(io, name="io")
app.add_typer(recloser, name="recloser")

Point = Annotated[str, typer.Argument(help="Name of the point: 1.in2, 1.out1, or as configured", metavar="NAME")]


@data(io, "Io", "list", key="name")
def list_(call: Call) -> int:
    """List all inputs, outputs, sensors and the fan."""
    items = call.ask("io.list")["items"]
    emit("Io", items, tables_ac.IO, call.options, name="name", empty="No inputs or outputs are configured.")
    return exits.OK


@data(io, "Io", key="name")
def show(call: Call, name: Point) -> int:
    """Show one point; exit 10 when it is not read."""
    items = call.ask("io.list", name=name)["items"]
    emit("Io", items, tables_ac.IO, call.options, name="name", single=True)
    return exits.OK if items[0]["online"] else exits.DEVICE


@data(io, "Done", "set")
def set_(
    call: Call,
    point: Annotated[str, typer.Argument(help="Name of the output: 1.out1, or as configured", metavar="OUTPUT")],
    level: Annotated[
        str, typer.Argument(help="high, low, floating, or rules = give it back to the event actions", metavar="LEVEL")
    ],
) -> int:
    """Set an output by hand, or give it back."""
    if level not in LEVELS:
        usage(f"there is no level {level!r}", nearest(level, list(LEVELS)) or f"levels: {', '.join(LEVELS)}")
    body = call.ask("io.set", name=point, level=level)
    return call.done(body, f"{point}: given back" if level == "rules" else f"{point}: {level} by hand")


@io.command()
def watch(
    output: Output = "table",
    host: Host = "",
) -> int:
    """Follow all points: one line per change."""
    return watch_io(session(host), Options(output))


def watch_io(asked: Session, options: Options, pause: Callable[[float], None] = time.sleep) -> int:
    """Ask twice a second and write what has changed; never returns: errors and Ctrl-C end it."""
    if options.format not in ("table", "jsonl"):
        usage(f"watch cannot write {options.format!r}", "use -o jsonl, or no -o for people")
    before: dict[str, dict[str, Any]] = {}
    while True:
        rows = asked.call("io.list")["items"]
        now = {row["name"]: row for row in rows}
        for name, row in now.items():
            if before.get(name) != row and (options.format == "jsonl" or _text(before.get(name)) != _text(row)):
                write(_line(row, options), options)
        before = now
        pause(POLL_S)


def _text(row: dict[str, Any] | None) -> str:
    """What people see of a point; millivolts that flicker are no news."""
    if row is None:
        return ""
    value = tables_ac.io_value(row) if row["online"] else f"not read: {row['detail']}"
    return f"{row['name']} {value}" + (" by hand" if row["by_hand"] else "")


def _line(row: dict[str, Any], options: Options) -> str:
    if options.format == "jsonl":
        body = {"apiVersion": API_VERSION, "kind": "Io", "io": machine(row)}
        return json.dumps(body, ensure_ascii=False) + "\n"
    return clean(_text(row)) + "\n"


# -- recloser -----------------------------------------------------------------------------------------------------

Name = Annotated[
    str, typer.Argument(help="Recloser or connector number; may be left out when there is one", metavar="[NAME]")
]


@data(recloser, "Recloser", key="name")
def status(call: Call, name: Name = "") -> int:
    """Show the reclosers; exit 10 when one does not answer."""
    items = call.ask("recloser.status", name=name)["items"]
    emit("Recloser", items, tables_ac.RECLOSER, call.options, name="name", empty="No reclosers are configured.")
    return exits.OK if all(row["online"] for row in items) else exits.DEVICE


@data(recloser, "Done", "open")
def open_(call: Call, name: Name = "", accept_risk: AcceptRisk = "") -> int:
    """Open: the connector loses its supply."""
    confirm(
        f"Open recloser {name}?".replace(" ?", "?"),
        lambda: ["its connectors lose their supply; a running session ends"],
        risk="stop-charging",
        accepted=accept_risk,
    )
    return _move(call, "recloser.open", name)


@data(recloser, "Done")
def close(call: Call, name: Name = "", accept_risk: AcceptRisk = "") -> int:
    """Close: the connector gets its supply."""
    confirm(
        f"Close recloser {name}?".replace(" ?", "?"),
        lambda: ["its connectors become live; why has the breaker tripped?"],
        risk="energise",
        accepted=accept_risk,
    )
    return _move(call, "recloser.close", name)


def _move(call: Call, operation: str, name: str) -> int:
    call.session.timeout_s = max(call.session.timeout_s, MOVE_S)
    body = call.ask(operation, name=name)
    return call.done(body, str(body["detail"]))
