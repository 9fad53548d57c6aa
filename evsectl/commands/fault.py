"""``evsectl fault``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evsectl import exits, pages, reads, tables
from evsectl.diagnostics import Abort, nearest, usage
from evsectl.options import Call, data
from evsectl.output import emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Faults, and what to do about them."
)

Code = Annotated[str, typer.Argument(help="Fault code or name, e.g. F4 or Insulation", metavar="CODE")]


@data(app, "Fault", "list", key="record.code")
def list_(call: Call) -> int:
    """List active faults."""
    return reads.fault_list(call.session, call.options)


@data(app, "Fault", key="record.code")
def get(call: Call, code: Code) -> int:
    """Show an active fault and its remedies."""
    items = call.ask("fault.list")["items"]
    found = [i for i in items if code.lower() in (i["record"]["code"].lower(), i["name"].lower())]
    if not found:
        _text(call, code)  # an unknown code is told apart from one that is not active
        raise Abort(exits.NOT_FOUND, f"{code} is not active", f"its texts: evsectl fault explain {code}", "not_found")
    if call.human:
        write("\n".join(pages.fault_card(item, call.screen) for item in found), call.options)
    else:
        emit("Fault", found, tables.FAULT, call.options, name="record.code")
    return exits.OK


@data(app, "Done")
def clear(
    call: Call,
    code: Code,
    connector: Annotated[
        int | None, typer.Option("--connector", help="Connector, 0 = station", min=0, max=48, metavar="ID")
    ] = None,
) -> int:
    """Clear a latched fault whose cause is gone."""
    text = _text(call, code)
    evse_id = _place(call, text["code"]) if connector is None else connector
    body = call.ask("fault.clear", code=text["code"], evse_id=evse_id)
    if call.human:
        write((f"{text['code']} cleared" if body["changed"] else f"unchanged: {body['detail']}") + "\n", call.options)
    else:
        emit("Done", [body], [], call.options, single=True)
    return exits.OK


@data(app, "FaultText", key="code")
def explain(
    call: Call,
    code: Annotated[
        str,
        typer.Argument(help="Fault code, name or vendor code; without it the whole catalogue", metavar="[CODE]"),
    ] = "",
) -> int:
    """Explain a fault: cause, effect, remedies."""
    catalogue = call.ask("fault.catalogue")
    if not code:
        emit("FaultText", catalogue["items"], tables.FAULT_TEXT, call.options, name="code")
        return exits.OK
    found = _explained(catalogue, code)
    if not call.human:
        emit("FaultText", found, tables.FAULT_TEXT, call.options, name="code", single=len(found) == 1)
        return exits.OK
    write("\n".join(pages.fault_page(item, call.screen) for item in found), call.options)
    return exits.OK


@data(app, "FaultText", key="code")
def codes(
    call: Call,
    kind: Annotated[
        str, typer.Option("--kind", help="Only faults of connectors of this kind: ac or dc", metavar="KIND")
    ] = "",
) -> int:
    """List what a back end is told, by priority."""
    if kind not in ("", "ac", "dc"):
        usage(f"--kind {kind!r}: there is no such kind", "kinds: ac, dc")
    catalogue = call.ask("fault.catalogue")
    rows = [row for row in catalogue["items"] + catalogue["variants"] if row["kinds"] in ("both", kind or row["kinds"])]
    rows.sort(key=lambda row: row["priority"])
    emit("FaultText", rows, tables.FAULT_CODE, call.options, name="code")
    return exits.OK


def _place(call: Call, code: str) -> int:
    """Where a fault is active, 0 = station or nowhere; ends the command when that is not one place."""
    places = sorted({i["record"]["evse_id"] for i in call.ask("fault.list")["items"] if i["record"]["code"] == code})
    if len(places) > 1:
        names = ", ".join(f"connector {place}" if place else "the station" for place in places)
        usage(f"{code} is active in several places: {names}", f"name one: evsectl fault clear {code} --connector {places[-1]}")
    return places[0] if places else 0


def _text(call: Call, code: str) -> dict[str, Any]:
    """The catalogue's row of a code or a name; ends the command when there is none."""
    items: list[dict[str, Any]] = call.ask("fault.catalogue")["items"]
    for item in items:
        if code.lower() in (item["code"].lower(), item["name"].lower()):
            return item
    raise _unknown(code, [i["name"] for i in items] + [i["code"] for i in items])


def _explained(catalogue: dict[str, Any], code: str) -> list[dict[str, Any]]:
    """Every row that a word means: two faults may share a word, one as its name, one as its vendor code."""
    rows: list[dict[str, Any]] = [*catalogue["items"], *catalogue["variants"]]
    by_number = [row for row in catalogue["items"] if row["code"].lower() == code.lower()]
    found = by_number or [row for row in rows if code.lower() in (row["name"].lower(), row["vendor_code"].lower())]
    if not found:
        raise _unknown(code, [word for row in rows for word in (row["vendor_code"], row["name"], row["code"])])
    return found


def _unknown(code: str, known: list[str]) -> Abort:
    hint = nearest(code, known) or "the catalogue: evsectl fault explain"
    return Abort(exits.NOT_FOUND, f"there is no fault {code!r}", hint, "not_found")


@data(app, "Event", key="seq")
def history(
    call: Call,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=1000, metavar="N")] = 50,
    connector: Annotated[
        int | None, typer.Option("--connector", help="Only this connector, 0 = station", min=0, max=48, metavar="ID")
    ] = None,
) -> int:
    """Show when faults came and went, newest first."""
    body = call.ask("events.list", kind="fault.", limit=limit, evse_id=-1 if connector is None else connector)
    empty = "No fault has ever been recorded." if connector is None else "No fault has been recorded there."
    emit("Event", body["items"], tables.EVENT, call.options, name="seq", empty=empty)
    return exits.OK
