"""``evsectl ocpp``: the link to the back end."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from evse.api.client import ApiCallError
from evsectl import exits, pages_ocpp, reads
from evsectl import tables_ocpp as tables
from evsectl.commands import ocpp_data, ocpp_schedule, ocpp_security
from evsectl.commands.ocpp_security import secret
from evsectl.diagnostics import Abort, nearest, note, usage
from evsectl.layout import Row
from evsectl.options import Call, Yes, confirm, data
from evsectl.output import emit, write

GROUP: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "no_args_is_help": True}

app = typer.Typer(**GROUP, help="The link to the back end.")
config_app = typer.Typer(**GROUP, help="OCPP configuration keys.")
queue_app = typer.Typer(**GROUP, help="Transaction messages that are not answered yet.")
app.add_typer(config_app, name="config")
app.add_typer(queue_app, name="queue")
app.add_typer(ocpp_schedule.app, name="schedule")
app.add_typer(ocpp_security.certs_app, name="certs")
app.add_typer(ocpp_security.security_app, name="security")
app.add_typer(ocpp_data.app, name="data-transfer")
app.add_typer(ocpp_security.transfers_app, name="transfers")

DOCTOR_S = 30.0
"""Longest wait for the doctor: each step has a limit of its own in the daemon."""

PAGE = 1000
"""Rows that one call brings at most."""

Connector = Annotated[int | None, typer.Option("--connector", help="Only this connector, 0 = the station", min=0, max=48, metavar="ID")]


@data(app, "Ocpp")
def status(call: Call) -> int:
    """Show the state of the link."""
    s = call.ask("ocpp.status")
    if call.human:
        write(pages_ocpp.state(s, call.screen), call.options)
    else:
        emit("Ocpp", [s], [], call.options, single=True)
    return exits.OK


@data(app, "OcppMessage", key="unique_id")
def messages(
    call: Call,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=500, metavar="N")] = 50,
    action: Annotated[str, typer.Option("--action", help="Only this action, e.g. MeterValues", metavar="ACTION")] = "",
    direction: Annotated[str, typer.Option("--direction", help="sent or received", metavar="WAY")] = "",
    connector: Connector = None,
    text: Annotated[str, typer.Option("--text", help="Only what holds this, in action, id or payload", metavar="TEXT")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new messages until Ctrl-C")] = False,
) -> int:
    """Show the last messages both ways, newest last."""
    if direction not in ("", "sent", "received"):
        usage(f"--direction: there is no {direction!r}", nearest(direction, ["sent", "received"]) or "sent or received")
    wanted = {"action": action, "direction": direction, "evse_id": connector, "text": text}
    if follow and call.options.format not in ("table", "jsonl"):
        usage(f"--follow cannot write {call.options.format!r}", "use -o jsonl, or no -o for people")
    items = call.ask("ocpp.messages", limit=limit, **wanted)["items"]
    if follow:
        return _follow(call, items, wanted)
    if call.human and not call.options.wide and items and call.screen.width is not None:
        write(pages_ocpp.messages(items, call.screen), call.options)
        return exits.OK
    filtered = any(value not in ("", None) for value in wanted.values())
    empty = "No message fits." if filtered else "No messages yet."
    emit("OcppMessage", items, tables.MESSAGE, call.options, name="unique_id", empty=empty)
    return exits.OK


def _follow(call: Call, items: list[Row], wanted: Row) -> int:
    """What there is, then every new message; never returns by itself."""
    _say(call, items)
    last = items[-1]["seq"] if items else None
    try:
        for item in call.session.stream("ocpp.stream", since=last, signed=True):
            row = item.get("message")
            if row is not None and fits(row, wanted):
                _say(call, [row])
    except ApiCallError as error:
        raise reads.abort(error) from error
    raise Abort(exits.UNREACHABLE, "the daemon ended the stream", "is it running? systemctl status evsed", "unreachable")


def fits(row: Row, wanted: Row) -> bool:
    """Whether a message of the stream meets the filters; the daemon judges those of the list the same way."""
    texts = (row["action"], row["unique_id"], row["payload"])
    return (
        wanted["action"].lower() in ("", row["action"].lower())
        and wanted["direction"] in ("", row["direction"])
        and wanted["evse_id"] in (None, row["evse_id"])
        and any(wanted["text"].lower() in text.lower() for text in texts)
    )


def _say(call: Call, items: list[Row]) -> None:
    if call.options.format == "jsonl":
        emit("OcppMessage", items, tables.MESSAGE, call.options, name="unique_id")
    else:
        write("".join(map(pages_ocpp.message_line, items)), call.options)


@data(app, "OcppEvent", key="seq")
def log(
    call: Call,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=1000, metavar="N")] = 50,
) -> int:
    """Show when the link was dialled, up, closed."""
    items = call.ask("ocpp.log", limit=limit)["items"]
    emit("OcppEvent", items, tables.EVENT, call.options, name="seq", empty="Nothing has happened yet.")
    return exits.OK


# -- keys -----------------------------------------------------------------------------------------------------------


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
        if call.human and not call.options.wide:
            write(pages_ocpp.key(items[0], call.screen), call.options)
            return exits.OK
    emit("OcppKey", items, tables.KEY, call.options, name="key", single=bool(key), empty="No keys.")
    return exits.OK


REFUSED = ("Rejected", "NotSupported")
LATER = {"RebootRequired": "it holds after a restart: systemctl restart evsed"}


@data(config_app, "OcppKeyResult", "set", key="key")
def config_set(
    call: Call,
    key: Annotated[str, typer.Argument(help="Key", metavar="KEY")],
    value: Annotated[str, typer.Argument(help="Value; - = read it from standard input", metavar="VALUE")],
) -> int:
    """Set an OCPP configuration key, as the back end could."""
    if key.lower() == "authorizationkey":
        if value != "-":
            usage("a password on the command line is seen by every user of this machine", "use -, and write it to standard input")
        value = secret("AuthorizationKey")
    elif value == "-":
        value = sys.stdin.readline().rstrip("\n")
    body = call.ask("ocpp.set", key=key, value=value)
    if body["status"] in REFUSED:
        raise Abort(exits.CONFLICT, f"{key}: {body['status']}", _why_refused(call, key), "conflict")
    if call.human:
        write(f"{key}: {body['status']}\n", call.options)
    else:
        emit("OcppKeyResult", [{"key": key, **body}], [], call.options, name="key", single=True)
    if body["status"] in LATER:
        note(LATER[body["status"]])
    return exits.OK


def _why_refused(call: Call, key: str) -> str:
    """What a refused change can be about: the station tells the status alone, as to a back end."""
    items = call.ask("ocpp.config")["items"]
    row = next((item for item in items if item["key"].lower() == key.lower()), None)
    if row is None:
        return nearest(key, [item["key"] for item in items]) or "all keys: evsectl ocpp config get"
    if row["readonly"]:
        return f"{row['key']} is read-only"
    if row["key"] in ("SecurityProfile", "CentralSystemURI", "NewBackendURL"):
        return f"it takes {pages_ocpp.takes(row)}; evsectl ocpp security set-profile says what else is missing"
    return f"it takes {pages_ocpp.takes(row)}; more: evsectl ocpp config get {row['key']}"


# -- the queue ------------------------------------------------------------------------------------------------------


@data(queue_app, "OcppQueueRow", "list", key="row_id")
def queue_list(
    call: Call,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=PAGE, metavar="N")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="All rows")] = False,
) -> int:
    """List transaction messages in the order of their delivery."""
    body = call.ask("ocpp.queue", limit=PAGE if everything else limit)
    items = body["items"]
    while everything and body["items"]:
        items += (body := call.ask("ocpp.queue", limit=PAGE, after=items[-1]["row_id"]))["items"]
    emit("OcppQueueRow", items, tables.QUEUE, call.options, name="row_id", empty="Every message is answered.")
    if not everything and len(items) == limit:
        note(f"the first {limit}; all: evsectl ocpp queue list --all")
    if call.human and not call.options.file and items:
        note(f"{body['waiting']} waiting, {body['parked']} parked, {body['foreign']} for another back end than {body['backend']}")
        if body["parked"]:
            note("send parked ones again: evsectl ocpp queue resend --all")
            note("a parked session keeps its own order, and comes behind those that went on")
        if body["foreign"]:
            note("decide about the others: evsectl ocpp queue move, or discard")
    return exits.OK


@data(queue_app, "Done", "resend")
def queue_resend(
    call: Call,
    row: Annotated[int, typer.Argument(help="Row; all parked ones of its session go", metavar="[ROW]", min=0)] = 0,
    everything: Annotated[bool, typer.Option("--all", help="All parked messages")] = False,
) -> int:
    """Send parked messages again, at their old places."""
    if bool(row) is everything:
        usage("which messages?", "a ROW of evsectl ocpp queue list, or --all")
    return call.done(*_told(call.ask("ocpp.resend", row_id=row or None)))


@data(queue_app, "Done", "move")
def queue_move(call: Call, yes: Yes = False) -> int:
    """Give messages that were made for another back end to this one."""
    body = _foreign(call)
    confirm(
        f"Send {body['foreign']} messages to {body['backend']}?",
        lambda: ["they were made for another back end, which may hold their beginning already",
                 "what continues a transaction of the other one is parked: this one does not know its number"],
        yes=yes,
    )  # fmt: skip
    return call.done(*_told(call.ask("ocpp.queue_move", confirm=body["foreign"])))


@data(queue_app, "Done", "discard")
def queue_discard(call: Call, yes: Yes = False) -> int:
    """Remove messages that were made for another back end, for ever."""
    body = _foreign(call)
    confirm(
        f"Remove {body['foreign']} transaction messages for ever?",
        lambda: ["nobody will bill what they tell of", "a copy first: evsectl ocpp queue list --all -o json -O FILE"],
        yes=yes,
    )
    return call.done(*_told(call.ask("ocpp.queue_discard", confirm=body["foreign"])))


def _foreign(call: Call) -> Row:
    body = call.ask("ocpp.queue", limit=1)
    if not body["foreign"]:
        raise Abort(exits.NOT_FOUND, "no message is for another back end", "all messages: evsectl ocpp queue list", "not_found")
    return body


def _told(body: Row) -> tuple[Row, str]:
    return body, body["detail"]


# -- doing ----------------------------------------------------------------------------------------------------------

MESSAGES = (
    "BootNotification", "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Heartbeat", "LogStatusNotification",
    "MeterValues", "SignChargePointCertificate", "StatusNotification",
)  # fmt: skip
"""What can be sent on request; a test compares with the API."""


@data(app, "Done")
def trigger(
    call: Call,
    message: Annotated[str, typer.Argument(help="Heartbeat, BootNotification, StatusNotification, MeterValues, and others", metavar="MESSAGE")],
    connector: Connector = None,
) -> int:
    """Send a message to the CSMS now."""
    known = {name.lower(): name for name in MESSAGES}
    if message.lower() not in known:
        usage(f"{message!r} is not sent on request", nearest(message, list(MESSAGES)) or f"messages: {', '.join(MESSAGES)}")
    name = known[message.lower()]
    body = call.ask("ocpp.trigger", message=name, evse_id=connector)
    if name == "SignChargePointCertificate":
        note("whether the CSMS signs: evsectl ocpp security status")
    return call.done(body, f"{name} sent")


@data(app, "Done")
def reconnect(call: Call, yes: Yes = False) -> int:
    """End the link and dial again."""
    confirm("End the link to the CSMS and dial again?", lambda: ["transactions go on; their messages wait meanwhile"], yes=yes)
    return call.done(call.ask("ocpp.reconnect"), "dialling; evsectl ocpp status tells how it went")


@data(app, "OcppDoctorStep", key="name")
def doctor(
    call: Call,
    pause: Annotated[bool, typer.Option(
        "--pause", help="End the link and keep the station from dialling meanwhile, so that every step is tried"
    )] = False,
) -> int:
    """Check the steps of a connection in order."""
    call.session.timeout_s = max(call.session.timeout_s, DOCTOR_S)
    body = call.ask("ocpp.examine" if pause else "ocpp.doctor")
    if call.human and not call.options.wide:
        write(pages_ocpp.doctor(body, call.screen), call.options)
    else:
        emit("OcppDoctorStep", body["items"], tables.DOCTOR, call.options, name="name")
    return exits.DEVICE if body["failed"] else exits.OK
