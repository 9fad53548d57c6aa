"""``evsectl ocpp``."""

from __future__ import annotations

from typing import Annotated

import typer

from evsectl import exits, tables
from evsectl.diagnostics import Abort, nearest, note
from evsectl.options import Fields, Host, NoHeaders, OutFile, Output, options, session
from evsectl.output import emit, pairs, write

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The link to the back end.")
config_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="OCPP configuration keys."
)
app.add_typer(config_app, name="config")


@app.command()
def status(output: Output = "table", host: Host = "") -> int:
    """Show the state of the link."""
    s = session(host).call("ocpp.status")
    if output != "table":
        emit("Ocpp", [s], [], options(output), single=True)
        return exits.OK
    write(
        pairs(
            [
                ("CSMS", tables.csms(s)),
                ("Since", tables.clock(s["since"])),
                ("Heartbeat", f"every {s['heartbeat_s']} s, last {tables.clock(s['last_heartbeat'])}"),
                ("Messages", f"{s['sent']} sent, {s['received']} received, {s['queued']} waiting for an answer"),
                ("Last error", tables.plain(s["last_error"])),
            ]
        ),
        options(output),
    )
    return exits.OK


@app.command()
def messages(
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=500)] = 50,
    action: Annotated[str, typer.Option("--action", help="Only this action, e.g. MeterValues")] = "",
    output: Output = "table",
    fields: Fields = "",
    no_headers: NoHeaders = False,
    file: OutFile = "",
    host: Host = "",
) -> int:
    """Show the last messages both ways, newest last."""
    items = session(host).call("ocpp.messages", limit=limit, action=action)["items"]
    how = options(output, fields, no_headers, file)
    if not items and how.format in ("table", "wide"):
        note("No messages yet.")
        return exits.OK
    emit("OcppMessage", items, tables.OCPP_MESSAGE, how, name="unique_id")
    return exits.OK


@config_app.command("get")
def config_get(
    key: Annotated[str, typer.Argument(help="Key; without it all keys", metavar="[KEY]")] = "",
    output: Output = "table",
    fields: Fields = "",
    no_headers: NoHeaders = False,
    host: Host = "",
) -> int:
    """Show OCPP configuration keys."""
    items = session(host).call("ocpp.config")["items"]
    if key:
        found = [item for item in items if item["key"].lower() == key.lower()]
        if not found:
            raise Abort(
                exits.NOT_FOUND, f"there is no key {key!r}", nearest(key, [item["key"] for item in items]), "not_found"
            )
        items = found
    emit("OcppKey", items, tables.OCPP_KEY, options(output, fields, no_headers), name="key", single=bool(key))
    return exits.OK


@config_app.command("set")
def config_set(
    key: Annotated[str, typer.Argument(help="Key")],
    value: Annotated[str, typer.Argument(help="Value")],
    output: Output = "table",
    host: Host = "",
) -> int:
    """Set an OCPP configuration key, as the back end could."""
    body = session(host).call("ocpp.set", key=key, value=value)
    if output == "table":
        write(f"{key}: {body['status']}\n", options(output))
    else:
        emit("OcppKeyResult", [{"key": key, **body}], [], options(output), single=True)
    return exits.OK if body["status"] in ("Accepted", "RebootRequired") else exits.CONFLICT
