"""``evsectl rfid``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evsectl import exits, tables
from evsectl.diagnostics import Abort, nearest, note
from evsectl.options import Call, data
from evsectl.output import emit

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Card readers.")

Reader = Annotated[str, typer.Argument(help="Name of the reader", metavar="READER")]
SPARE_S = 5.0


@data(app, "Reader", "list", key="name")
def list_(call: Call) -> int:
    """List the readers and the last card each has seen."""
    return _readers(call, call.ask("rfid.last")["items"])


@data(app, "Reader", key="name")
def last(call: Call) -> int:
    """Show the readers and the last card each has seen."""
    return _readers(call, call.ask("rfid.last")["items"])


def _readers(call: Call, items: list[dict[str, Any]]) -> int:
    emit("Reader", items, tables.READER, call.options, name="name", empty="No card readers are configured.")
    return exits.OK


@data(app, "Reader", key="name")
def show(call: Call, reader: Reader) -> int:
    """Show a reader; exit 10 when it does not answer."""
    items = call.ask("rfid.last")["items"]
    found = [item for item in items if item["name"] == reader]
    if not found:
        names = [item["name"] for item in items]
        hint = nearest(reader, names) or f"readers: {', '.join(names) or 'none'}"
        raise Abort(exits.NOT_FOUND, f"there is no reader {reader!r}", hint, "not_found")
    emit("Reader", found, tables.READER, call.options, name="name", single=True)
    return exits.OK if found[0]["online"] else exits.DEVICE


@data(app, "Tap")
def tap_test(
    call: Call,
    reader: Reader,
    seconds: Annotated[
        int, typer.Option("--seconds", help="How long to wait for a card", min=1, max=50, metavar="S")
    ] = 30,
) -> int:
    """Hold a card to a reader: it is shown and starts nothing."""
    if call.human:
        note(f"hold a card to reader {reader} now; {seconds} s")
    call.session.timeout_s = max(call.session.timeout_s, seconds + SPARE_S)
    body = call.ask("rfid.tap", reader=reader, seconds=seconds)
    if not body["id_token"]:
        hint = "is the reader online? evsectl rfid list"
        raise Abort(exits.TIMEOUT, f"reader {reader}: no card within {seconds} s", hint, "timeout")
    emit("Tap", [body], [], call.options, single=True)
    return exits.OK
