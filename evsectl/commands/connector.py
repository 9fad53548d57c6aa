"""``evsectl connector``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evsectl import exits, reads, tables
from evsectl.options import AcceptRisk, Call, EvseId, EvseIdOrAll, Host, Output, Wait, confirm, data, session
from evsectl.output import Options, emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Look at connectors and act on them."
)


@data(app, "Connector", "list", key="evse_id")
def list_(call: Call) -> int:
    """List all connectors."""
    return reads.connector_list(call.session, call.options)


@data(app, "Connector", key="evse_id")
def get(call: Call, evse_id: EvseId) -> int:
    """Show all that is known about a connector."""
    return reads.connector_get(call.session, evse_id, call.options)


@app.command()
def watch(
    evse_id: EvseId,
    output: Output = "table",
    no_reconnect: Annotated[bool, typer.Option("--no-reconnect", help="End when the daemon goes away")] = False,
    host: Host = "",
) -> int:
    """Follow a connector: one line per change."""
    return reads.watch(
        session(host), Options(output), stream="status", reconnect=not no_reconnect, evse_id=evse_id
    )


@data(app, "Done")
def start(
    call: Call,
    evse_id: EvseId,
    id_token: Annotated[
        str, typer.Option("--id-token", help="Card number or name to charge on", metavar="TOKEN")
    ] = "API",
    accept_risk: AcceptRisk = "",
    wait: Wait = "",
) -> int:
    """Authorise a connector: energy may flow."""
    limit_s = reads.seconds(wait) if wait else None
    confirm(
        f"Start charging on connector {evse_id}?",
        lambda: ["the connector becomes live as soon as a vehicle is ready"],
        risk="energise",
        accepted=accept_risk,
    )
    body = call.ask("connector.start", evse_id=evse_id, id_token=id_token)
    _done(call, body, f"connector {evse_id}: {body['detail'] or 'authorised'} for {id_token}")
    return _wait(call, evse_id, "phase=charging", limit_s)


@data(app, "Done")
def stop(call: Call, evse_id: EvseId, accept_risk: AcceptRisk = "", wait: Wait = "") -> int:
    """Stop charging."""
    limit_s = reads.seconds(wait) if wait else None
    confirm(
        f"Stop the session on connector {evse_id}?",
        lambda: [*_running(call, evse_id), "the transaction ends; the driver must authorise again"],
        risk="stop-charging",
        accepted=accept_risk,
    )
    body = call.ask("connector.stop", evse_id=evse_id)
    _done(call, body, f"connector {evse_id}: stopping")
    return _wait(call, evse_id, "phase=finished,idle,faulted,unavailable", limit_s)


@data(app, "Done")
def enable(call: Call, evse_id: EvseIdOrAll) -> int:
    """Take a connector into service."""
    _done(call, call.ask("connector.enable", evse_id=evse_id), f"{_name(evse_id)}: in service")
    return exits.OK


@data(app, "Done")
def disable(call: Call, evse_id: EvseIdOrAll, accept_risk: AcceptRisk = "") -> int:
    """Take a connector out of service."""
    confirm(
        f"Take {_name(evse_id)} out of service?",
        lambda: [*_running(call, evse_id), "no new session can start; a running one goes on to its end"],
        risk="stop-charging",
        accepted=accept_risk,
    )
    body = call.ask("connector.disable", evse_id=evse_id)
    busy = [e["evse_id"] for e in _items(call, evse_id) if e["operational"] == "Operative"] if call.human else []
    who = "" if evse_id else "; connector " + ", ".join(map(str, busy))
    waits = f"{who} when the running session has ended" if busy else ""
    _done(call, body, f"{_name(evse_id)}: out of service{waits}")
    return exits.OK


@data(app, "Done")
def unlock(call: Call, evse_id: EvseId, accept_risk: AcceptRisk = "", wait: Wait = "") -> int:
    """Stop charging and unlock the plug."""
    limit_s = reads.seconds(wait) if wait else None
    confirm(
        f"Unlock connector {evse_id}?",
        lambda: [*_running(call, evse_id), "the plug is released when there is no current"],
        risk="stop-charging",
        accepted=accept_risk,
    )
    _done(call, call.ask("connector.unlock", evse_id=evse_id), f"connector {evse_id}: unlocking")
    return _wait(call, evse_id, "phase=finished,idle,faulted,unavailable", limit_s)


def _name(evse_id: int) -> str:
    return f"connector {evse_id}" if evse_id else "the station"


def _items(call: Call, evse_id: int) -> list[dict[str, Any]]:
    """One connector, or all for 0."""
    body = call.ask("connector.get", evse_id=evse_id) if evse_id else call.ask("connector.list")
    items: list[dict[str, Any]] = body["items"]
    return items


def _running(call: Call, evse_id: int) -> list[str]:
    """What is lost: the sessions that run now."""
    return [
        f"connector {e['evse_id']} is {tables.state(e)}: session {e['session']['session_id']},"
        f" {tables.kilo(e['session']['energy_wh'], 2)} kWh so far"
        for e in _items(call, evse_id)
        if e["session"] and e["session"]["ended_at"] is None
    ]


def _done(call: Call, body: dict[str, Any], text: str) -> None:
    if call.human:
        write((text if body["changed"] else f"unchanged: {body['detail'] or 'it stands so already'}") + "\n", call.options)
    else:
        emit("Done", [body], [], call.options, single=True)


def _wait(call: Call, evse_id: int, condition: str, limit_s: float | None) -> int:
    return exits.OK if limit_s is None else reads.wait_connector(call.session, evse_id, condition, limit_s)
