"""``evsectl ocpp data-transfer``: vendor messages, both ways."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from evsectl import exits
from evsectl import tables_ocpp as tables
from evsectl.diagnostics import nearest, note, usage
from evsectl.layout import Row, clean
from evsectl.options import Call, data
from evsectl.output import emit, write

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Vendor messages, both ways.")

ANSWER_S = 40.0
"""Longest wait for an answer of the CSMS (ocpp.call_timeout_s)."""

WAIT_S = 8
"""Longest wait of one call for the next request; below the time limit of a call."""

STATUSES = ("Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId")

Vendor = Annotated[str, typer.Argument(help="vendorId, e.g. com.example", metavar="VENDOR")]
Message = Annotated[str | None, typer.Option("--message", help="messageId; without it none", metavar="ID")]


@data(app, "OcppDataAnswer")
def send(
    call: Call,
    vendor: Vendor,
    message: Message = None,
    text: Annotated[str | None, typer.Option("--data", help="Data, sent unchanged; - = standard input", metavar="TEXT")] = None,
) -> int:
    """Send a DataTransfer to the CSMS and show its answer."""
    call.session.timeout_s = max(call.session.timeout_s, ANSWER_S)
    body = call.ask("ocpp.data_send", vendor_id=vendor, message_id=message, data=sys.stdin.read() if text == "-" else text)
    if call.human:
        write(body["status"] + (f"\n{body['data']}" if body["data"] is not None else "") + "\n", call.options)
    else:
        emit("OcppDataAnswer", [body], [], call.options, single=True)
    return exits.OK if body["status"] == "Accepted" else exits.CONFLICT


@data(app, "OcppDataRequest", key="request_id")
def listen(
    call: Call,
    vendor: Vendor,
    message: Annotated[str | None, typer.Option("--message", help="Only this messageId; without it all", metavar="ID")] = None,
    answer: Annotated[str, typer.Option("--answer", help="Status that each request gets", metavar="STATUS")] = "Accepted",
    text: Annotated[str | None, typer.Option("--data", help="Data of that answer; without it none", metavar="TEXT")] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="End after so many, 0 = go on until Ctrl-C", min=0, metavar="N")] = 0,
) -> int:
    """Show requests of the CSMS as they come, and answer each."""
    if answer not in STATUSES:
        usage(f"--answer: there is no {answer!r}", nearest(answer, list(STATUSES)) or ", ".join(STATUSES))
    if call.options.format not in ("table", "jsonl"):
        usage(f"listen cannot write {call.options.format!r}", "use -o jsonl, or no -o for people")
    number = call.ask("ocpp.data_subscribe", vendor_id=vendor, message_id=message)["subscription"]
    note(f"waiting for {vendor} {message or ''}".rstrip() + "; Ctrl-C ends it")
    pause = max(1, min(WAIT_S, int(call.session.timeout_s) - 2))
    seen = 0
    try:
        while not count or seen < count:
            for row in call.ask("ocpp.data_next", subscription=number, seconds=pause)["items"]:
                call.ask("ocpp.data_confirm", request_id=row["request_id"], status=answer, data=text)
                _say(call, row)
                seen += 1
    finally:
        call.ask("ocpp.data_unsubscribe", subscription=number)
    return exits.OK


def _say(call: Call, row: Row) -> None:
    if call.options.format == "jsonl":
        emit("OcppDataRequest", [row], tables.DATA_REQUEST, call.options, name="request_id")
    else:
        write(clean(f"{row['request_id']} {row['message_id'] or '-'} {row['data'] if row['data'] is not None else '-'}") + "\n", call.options)
