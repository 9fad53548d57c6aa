"""``evsectl session``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evsectl import exits, pages, tables
from evsectl.diagnostics import Abort, nearest, note, usage
from evsectl.options import Call, Host, OutFile, data, session
from evsectl.output import Options, emit, write
from evsectl.signed_export import FORMATS
from evsectl.signed_export import export as signed_export

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Charging sessions: plug-in to unplug."
)

PAGE = 500
STATES = ("all", "active", "completed")
State = Annotated[str, typer.Option("--state", help="all, active or completed", metavar="STATE")]
Evse = Annotated[int, typer.Option("--connector", help="Only this connector, 0 = all", min=0, max=48, metavar="ID")]
Text = Annotated[
    str, typer.Option("--filter", help="Text in card, vehicle, session id, stop reason or fault", metavar="TEXT")
]


def _state(state: str) -> str:
    if state not in STATES:
        usage(f"--state: there is no {state!r}", nearest(state, list(STATES)) or f"states: {', '.join(STATES)}")
    return state


@data(app, "Session", "list", key="session_id")
def list_(
    call: Call,
    state: State = "all",
    connector: Evse = 0,
    text: Text = "",
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=PAGE, metavar="N")] = 50,
    offset: Annotated[int, typer.Option("--offset", help="Skip this many", min=0, metavar="N")] = 0,
) -> int:
    """List sessions, newest first."""
    body = call.ask(
        "session.list", state=_state(state), evse_id=connector, text=text, limit=limit, offset=offset
    )
    filtered = text or connector or offset or state != "all"
    emit(
        "Session",
        body["items"],
        tables.SESSION,
        call.options,
        name="session_id",
        empty="No sessions match." if filtered else "No sessions yet.",
    )
    if body["items"] and call.human and not call.options.file:
        last = offset + len(body["items"])
        note(f"{offset + 1}-{last} of {body['total']} sessions, {tables.kilo(body['energy_wh'], 2)} kWh in all")
    return exits.OK


@data(app, "SessionDetail", key="session.session_id")
def get(
    call: Call, session_id: Annotated[str, typer.Argument(help="Session id", metavar="SESSION")]
) -> int:
    """Show one session with its events."""
    body = call.ask("session.get", session_id=session_id)
    if call.human:
        write(pages.session_card(body, call.screen), call.options)
    else:
        emit("SessionDetail", [body], [], call.options, name="session.session_id", single=True)
    return exits.OK


@app.command()
def signed(
    session_id: Annotated[str, typer.Argument(help="Session id", metavar="SESSION")],
    form: Annotated[str, typer.Option("--format", help="xml for the transparency software, or ocmf", metavar="FORMAT")] = "xml",
    file: OutFile = "",
    host: Host = "",
) -> int:
    """Export signed readings for a verifier; exit 3 without any."""
    if form not in FORMATS:
        usage(f"--format: there is no {form!r}", nearest(form, list(FORMATS)) or f"formats: {', '.join(FORMATS)}")
    found = session(host).call("session.get", session_id=session_id)["session"]
    if found["signed"] is None:
        hint = "only meters with [signing] in their profile sign, and meter.signed must not be off; see: evsectl meter show"
        raise Abort(exits.NOT_FOUND, f"session {session_id} has no signed readings", hint, "not_found")
    write(signed_export(found, form), Options(file=file))
    if not found["signed"]["public_key"]:
        note("the meter does not tell its public key; a verifier needs it from its label")
    return exits.OK


@app.command()
def export(
    state: State = "completed", connector: Evse = 0, text: Text = "", file: OutFile = "", host: Host = ""
) -> int:
    """Export all matching sessions as CSV."""
    rows: list[dict[str, Any]] = []
    caller = session(host)
    request = {"state": _state(state), "evse_id": connector, "text": text, "limit": PAGE}
    while True:
        body = caller.call("session.list", **request, offset=len(rows))
        rows += body["items"]
        if not body["items"] or len(rows) >= body["total"]:
            break
    emit("Session", rows, tables.SESSION, Options("csv", file=file), name="session_id")
    note(f"{len(rows)} sessions")
    return exits.OK
