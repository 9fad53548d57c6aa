"""``evsectl fault``."""

from __future__ import annotations

from typing import Annotated

import typer

from evsectl import exits, reads, tables
from evsectl.diagnostics import Abort, nearest, note
from evsectl.options import Fields, Host, NoHeaders, OutFile, Output, options, session
from evsectl.output import emit, pairs, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Faults, and what to do about them."
)

Code = Annotated[str, typer.Argument(help="Fault code or name, e.g. F4 or Insulation", metavar="CODE")]


@app.command("list")
def list_(
    output: Output = "table", fields: Fields = "", no_headers: NoHeaders = False, file: OutFile = "", host: Host = ""
) -> int:
    """List active faults."""
    return reads.fault_list(session(host), options(output, fields, no_headers, file))


@app.command()
def get(code: Code, output: Output = "table", host: Host = "") -> int:
    """Show an active fault with its remedies; exit 3 when it is not active."""
    items = [
        i
        for i in session(host).call("fault.list")["items"]
        if code.lower() in (i["record"]["code"].lower(), i["name"].lower())
    ]
    if not items:
        raise Abort(exits.NOT_FOUND, f"{code} is not active", f"its texts: evsectl fault explain {code}", "not_found")
    if output != "table":
        emit("Fault", items, tables.FAULT, options(output), name="name")
        return exits.OK
    for item in items:
        record = item["record"]
        where = f"connector {record['evse_id']}" if record["evse_id"] else "station"
        write(
            pairs(
                [
                    ("Fault", f"{record['code']} {item['name']}, {where}, {item['severity']}"),
                    ("Detail", tables.plain(record["detail"])),
                    (
                        "Since",
                        f"{tables.clock(record['first_seen'])}, last {tables.clock(record['last_seen'])}, {record['count']} times",
                    ),
                    ("Cause", "stands" if record["present"] else "gone"),
                    *_texts(item),
                    (
                        "Clear",
                        f"evsectl fault clear {record['code']}"
                        + (f" --connector {record['evse_id']}" if record["evse_id"] else "")
                        if item["clearable"]
                        else f"not now: {item['why_not']}",
                    ),
                ]
            ),
            options(output),
        )
    return exits.OK


@app.command()
def clear(
    code: Code,
    connector: Annotated[int, typer.Option("--connector", help="Connector, 0 = station", min=0)] = 0,
    output: Output = "table",
    host: Host = "",
) -> int:
    """Clear a latched fault; refused with the reason while its cause stands."""
    body = session(host).call("fault.clear", code=code, evse_id=connector)
    if output == "table":
        write((f"{code} cleared" if body["changed"] else body["detail"]) + "\n", options(output))
    else:
        emit("Done", [body], [], options(output), single=True)
    return exits.OK


@app.command()
def explain(
    code: Annotated[
        str, typer.Argument(help="Fault code or name; without it the whole catalogue", metavar="[CODE]")
    ] = "",
    output: Output = "table",
    host: Host = "",
) -> int:
    """Explain a fault: what it is, what causes it, what to do from afar and on site."""
    items = session(host).call("fault.catalogue")["items"]
    if not code:
        emit("FaultText", items, tables.FAULT_TEXT, options(output), name="code")
        return exits.OK
    found = [i for i in items if code.lower() in (i["code"].lower(), i["name"].lower())]
    if not found:
        hint = nearest(code, [i["name"] for i in items] + [i["code"] for i in items])
        raise Abort(
            exits.NOT_FOUND, f"there is no fault {code!r}", hint or "the catalogue: evsectl fault explain", "not_found"
        )
    if output != "table":
        emit("FaultText", found, tables.FAULT_TEXT, options(output), name="code", single=True)
        return exits.OK
    item = found[0]
    write(
        pairs(
            [
                ("Fault", f"{item['code']} {item['name']}, {item['severity']}, {item['scope']}"),
                *_texts(item),
                ("OCPP 1.6", item["ocpp16"]),
            ]
        ),
        options(output),
    )
    return exits.OK


LATCH = {
    "auto": "goes away by itself",
    "unplug": "goes away when the vehicle has left",
    "manual": "a technician clears it",
}


def _texts(item: dict[str, str]) -> list[tuple[str, str]]:
    return [
        ("What", item["description"]),
        ("Caused by", item["cause"]),
        ("Effect", item["impact"]),
        ("From afar", item["remedy_remote"]),
        ("On site", item["remedy_on_site"]),
        ("Reaction", item["reaction"]),
        ("Latch", LATCH.get(item["latch"], item["latch"])),
    ]


@app.command()
def history(
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=500)] = 50,
    output: Output = "table",
    fields: Fields = "",
    no_headers: NoHeaders = False,
    file: OutFile = "",
    host: Host = "",
) -> int:
    """Show when faults were raised and cleared, newest first."""
    body = session(host).call("events.list", kind="fault.", limit=limit)
    how = options(output, fields, no_headers, file)
    if not body["items"] and how.format in ("table", "wide"):
        note("No fault has ever been recorded.")
        return exits.OK
    emit("Event", body["items"], tables.EVENT, how, name="seq")
    return exits.OK
