"""``evsectl ocpp``."""

from __future__ import annotations

from typing import Annotated

import typer

from evsectl import exits, pages, tables
from evsectl.diagnostics import Abort, nearest
from evsectl.layout import pairs, plain
from evsectl.options import Call, data
from evsectl.output import emit, write

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The link to the back end.")
config_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="OCPP configuration keys."
)
app.add_typer(config_app, name="config")


@data(app, "Ocpp")
def status(call: Call) -> int:
    """Show the state of the link."""
    s = call.ask("ocpp.status")
    if not call.human:
        emit("Ocpp", [s], [], call.options, single=True)
        return exits.OK
    rows = [
        ("CSMS", pages.csms(s)),
        ("Since", tables.clock(s["since"])),
        ("Heartbeat", f"every {s['heartbeat_s']} s, last {tables.clock(s['last_heartbeat'])}"),
        ("Messages", f"{s['sent']} sent, {s['received']} received, {s['queued']} waiting for an answer"),
        ("Last error", plain(s["last_error"])),
    ]
    write(pairs(rows, call.screen), call.options)
    return exits.OK


@data(app, "OcppMessage", key="unique_id")
def messages(
    call: Call,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=1000, metavar="N")] = 50,
    action: Annotated[
        str, typer.Option("--action", help="Only this action, e.g. MeterValues", metavar="ACTION")
    ] = "",
) -> int:
    """Show the last messages both ways, newest last."""
    items = call.ask("ocpp.messages", limit=limit, action=action)["items"]
    if call.human and not call.options.wide and items and call.screen.width is not None:
        write(pages.messages(items, call.screen), call.options)
        return exits.OK
    empty = f"No {action} messages." if action else "No messages yet."
    emit("OcppMessage", items, tables.OCPP_MESSAGE, call.options, name="unique_id", empty=empty)
    return exits.OK


@data(config_app, "OcppKey", "get", key="key")
def config_get(
    call: Call, key: Annotated[str, typer.Argument(help="Key; without it all keys", metavar="[KEY]")] = ""
) -> int:
    """Show OCPP configuration keys."""
    items = call.ask("ocpp.config")["items"]
    if key:
        found = [item for item in items if item["key"].lower() == key.lower()]
        if not found:
            hint = nearest(key, [item["key"] for item in items]) or "all keys: evsectl ocpp config get"
            raise Abort(exits.NOT_FOUND, f"there is no key {key!r}", hint, "not_found")
        items = found
    emit("OcppKey", items, tables.OCPP_KEY, call.options, name="key", single=bool(key), empty="No keys.")
    return exits.OK


REFUSED = {
    "Rejected": "the key is read-only, or the value does not fit; evsectl ocpp config get -o wide",
    "NotSupported": "the keys: evsectl ocpp config get",
}


@data(config_app, "OcppKeyResult", "set", key="key")
def config_set(
    call: Call,
    key: Annotated[str, typer.Argument(help="Key", metavar="KEY")],
    value: Annotated[str, typer.Argument(help="Value", metavar="VALUE")],
) -> int:
    """Set an OCPP configuration key, as the back end could."""
    body = call.ask("ocpp.set", key=key, value=value)
    if body["status"] in REFUSED:
        raise Abort(exits.CONFLICT, f"{key}: {body['status']}", REFUSED[body["status"]], "conflict")
    if call.human:
        write(f"{key}: {body['status']}\n", call.options)
    else:
        emit("OcppKeyResult", [{"key": key, **body}], [], call.options, name="key", single=True)
    return exits.OK
