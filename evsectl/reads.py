"""The hot reads: status, lists, waiting and watching, with nothing imported but json and sockets.

The typer commands call the same functions, so a hot read and its documented command cannot differ.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from evse.api.client import ApiCallError, Client
from evsectl import exits, tables, tokens
from evsectl.diagnostics import Abort, note
from evsectl.output import API_VERSION, Column, Options, Row, emit, iso, machine, write


class Session:
    """One call's connection settings: where the daemon is and how long to wait."""

    def __init__(self, host: str = "", timeout_s: float = 10.0) -> None:
        self.host = host
        self.timeout_s = timeout_s

    def call(self, name: str, /, **request: Any) -> Row:
        """Call an operation; errors of the daemon end the command with their exit code."""
        try:
            return Client(self.host or None, token=tokens.load(self.host), timeout_s=self.timeout_s).call(name, **request)
        except ApiCallError as error:
            raise Abort(error.exit_code, error.message, error.hint, error.code) from error

    def stream(self, name: str, since: int | None = None) -> Any:
        """Open a stream; items as they come."""
        return Client(self.host or None, timeout_s=self.timeout_s).stream(name, since=since)


def status(session: Session, options: Options) -> int:
    """The whole station on one page."""
    body = session.call("status.get")
    if options.format in ("table", "wide"):
        write(tables.overview(body), options)
    else:
        emit("Status", [body], [], options, name="station_id", single=True)
    return exits.OK


def connector_list(session: Session, options: Options) -> int:
    """All connectors."""
    emit("Connector", session.call("connector.list")["items"], tables.CONNECTOR, options, name="evse_id")
    return exits.OK


def connector_get(session: Session, evse_id: int, options: Options) -> int:
    """One connector."""
    emit(
        "Connector",
        session.call("connector.get", evse_id=evse_id)["items"],
        tables.CONNECTOR,
        options,
        name="evse_id",
        single=True,
    )
    return exits.OK


def fault_list(session: Session, options: Options) -> int:
    """Active faults; an empty list says so on stderr."""
    items = session.call("fault.list")["items"]
    flat = [{**item, "code": item["record"]["code"], "evse_id": item["record"]["evse_id"]} for item in items]
    if not flat and options.format in ("table", "wide"):
        note("No active faults.")
        return exits.OK
    emit("Fault", flat, tables.FAULT, options, name="code")
    return exits.OK


CONDITION_KEYS = ("phase", "state", "step", "plugged", "fault")


def wait_connector(session: Session, evse_id: int, condition: str, timeout_s: float) -> int:
    """Wait until a connector is as ``condition`` says (key=value); 124 when the time runs out."""
    key, _, wanted = condition.partition("=")
    if key not in CONDITION_KEYS or not wanted:
        raise Abort(
            exits.USAGE,
            f"--for {condition!r} is not a condition",
            f"use one of {', '.join(CONDITION_KEYS)} with =VALUE, e.g. --for phase=charging",
        )
    deadline = _monotonic() + timeout_s
    last = "nothing was heard of it"
    try:
        for item in Client(session.host or None, timeout_s=min(timeout_s, 12.0)).stream("status.stream"):
            if item.get("status"):
                evse = next((e for e in item["status"]["view"]["evses"] if e["evse_id"] == evse_id), None)
                if evse is None:
                    raise Abort(exits.NOT_FOUND, f"there is no connector {evse_id}")
                last = f"phase={evse['phase']} state={evse['charging_state']}"
                if matches(evse, key, wanted):
                    return exits.OK
            if _monotonic() >= deadline:
                break
    except ApiCallError as error:
        if error.exit_code != exits.TIMEOUT:
            raise Abort(error.exit_code, error.message, error.hint, error.code) from error
    raise Abort(
        exits.TIMEOUT, f"connector {evse_id}: not {condition} within {timeout_s:g} s", f"it is {last}", "timeout"
    )


def matches(evse: Row, key: str, wanted: str) -> bool:
    """Whether a connector view meets one condition."""
    if key == "fault":
        codes = [fault["code"] for fault in evse["faults"]]
        return not codes if wanted == "none" else wanted.upper() in codes
    value = {
        "phase": evse["phase"],
        "state": evse["charging_state"],
        "step": evse["step"],
        "plugged": "yes" if evse["plugged"] else "no",
    }[key]
    return str(value).lower() == wanted.lower()


def _monotonic() -> float:
    import time

    return time.monotonic()


def watch(
    session: Session, options: Options, *, stream: str, since: int | None, reconnect: bool, pick: Any = None
) -> int:
    """Follow a stream: JSON lines for machines, one line per change for people; reconnects unless told not to."""
    last = since
    pause_s = 1.0
    while True:
        try:
            for item in Client(session.host or None, timeout_s=30.0).stream(stream, since=last):
                pause_s = 1.0
                last = item["seq"]
                text = _stream_line(item, options, pick)
                if text:
                    sys.stdout.write(text)
                    sys.stdout.flush()
        except ApiCallError as error:
            if not reconnect or error.exit_code in (exits.AUTH, exits.FORBIDDEN, exits.USAGE):
                raise Abort(error.exit_code, error.message, error.hint, error.code) from error
            note(f"evsectl: {error.message}; trying again in {pause_s:.0f} s")
        else:
            if not reconnect:
                return exits.OK
        import time

        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 30.0)


def _stream_line(item: Row, options: Options, pick: Any) -> str:
    if options.format == "jsonl":
        body = {**machine(item), "status": item["status"]} if item.get("status") else machine(item)
        return json.dumps({"apiVersion": API_VERSION, "kind": "StreamItem", **body}, ensure_ascii=False) + "\n"
    if item.get("event"):
        event = item["event"]
        detail = " ".join(f"{key}={value}" for key, value in event["data"].items())
        where = f"connector {event['evse_id']}" if event["evse_id"] else "station"
        return f"{tables.clock(event['wall'])}  {where:12} {event['kind']:24} {detail}".rstrip() + "\n"
    if item.get("status"):
        view = item["status"]["view"]
        evses = [evse for evse in view["evses"] if pick is None or evse["evse_id"] == pick]
        parts = [
            f"{e['evse_id']} {tables.state(e)} {tables.kilo(e['power_w'])} kW {tables.plain(e['soc_pct'])} %"
            for e in evses
        ]
        return f"{iso(view['wall'])[11:19]}  {'   '.join(parts)}   site {tables.kilo(view['site_power_w'])} kW\n"
    return ""


__all__ = [
    "CONDITION_KEYS",
    "Column",
    "Session",
    "connector_get",
    "connector_list",
    "fault_list",
    "matches",
    "status",
    "wait_connector",
    "watch",
]
