"""``evsectl connector``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evsectl import exits, reads, tables
from evsectl.options import AcceptRisk, Call, EvseId, EvseIdOrAll, Host, Output, Wait, confirm, data, session
from evsectl.output import Options

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
    call.done(body, f"connector {evse_id}: {body['detail'] or 'authorised'} for {id_token}")
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
    call.done(body, f"connector {evse_id}: stopping")
    return _wait(call, evse_id, "phase=finished,idle,faulted,unavailable", limit_s)


@data(app, "Done")
def enable(call: Call, evse_id: EvseIdOrAll) -> int:
    """Take a connector into service."""
    call.done(call.ask("connector.enable", evse_id=evse_id), f"{_name(evse_id)}: in service")
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
    call.done(body, f"{_name(evse_id)}: out of service{waits}")
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
    call.done(call.ask("connector.unlock", evse_id=evse_id), f"connector {evse_id}: unlocking")
    return _wait(call, evse_id, "phase=finished,idle,faulted,unavailable", limit_s)


@data(app, "Done")
def allow(call: Call, evse_id: EvseId, accept_risk: AcceptRisk = "") -> int:
    """Let a paused AC connector go on."""
    confirm(
        f"Let connector {evse_id} go on?",
        lambda: ["an authorised vehicle goes on charging at once"],
        risk="energise",
        accepted=accept_risk,
    )
    return call.done(call.ask("connector.allow", evse_id=evse_id), f"connector {evse_id}: may charge")


@data(app, "Done")
def pause(call: Call, evse_id: EvseId, accept_risk: AcceptRisk = "") -> int:
    """Pause an AC connector; its session goes on."""
    confirm(
        f"Pause connector {evse_id}?",
        lambda: [*_running(call, evse_id), "nothing is offered until: evsectl connector allow"],
        risk="stop-charging",
        accepted=accept_risk,
    )
    return call.done(call.ask("connector.pause", evse_id=evse_id), f"connector {evse_id}: paused")


@data(app, "Done")
def release(
    call: Call,
    evse_id: EvseId,
    id_token: Annotated[
        str, typer.Option("--id-token", help="Card number or name to charge on", metavar="TOKEN")
    ] = "",
    accept_risk: AcceptRisk = "",
) -> int:
    """Give permission to charge (release mode dashboard)."""
    confirm(
        f"Give connector {evse_id} permission to charge?",
        lambda: ["the connector becomes live as soon as a vehicle is ready"],
        risk="energise",
        accepted=accept_risk,
    )
    body = call.ask("connector.release", evse_id=evse_id, id_token=id_token)
    return call.done(body, f"connector {evse_id}: permission given")


@data(app, "Done")
def withdraw(call: Call, evse_id: EvseId, accept_risk: AcceptRisk = "") -> int:
    """Take the permission back (release mode dashboard)."""
    confirm(
        f"Take the permission of connector {evse_id} back?",
        lambda: [*_running(call, evse_id), "a running session ends"],
        risk="stop-charging",
        accepted=accept_risk,
    )
    return call.done(call.ask("connector.withdraw", evse_id=evse_id), f"connector {evse_id}: permission taken back")


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


def _wait(call: Call, evse_id: int, condition: str, limit_s: float | None) -> int:
    return exits.OK if limit_s is None else reads.wait_connector(call.session, evse_id, condition, limit_s)
