"""The hot reads: status, lists, waiting and watching, with nothing imported but json and sockets.

The typer commands call the same functions, so a hot read and its documented command cannot differ.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from evse.api.client import ApiCallError, Client
from evse.api.paths import demo_socket
from evsectl import exits, pages, tables, tokens
from evsectl.diagnostics import Abort, nearest, note, usage
from evsectl.layout import Row
from evsectl.output import API_VERSION, Options, emit, iso, machine, write

CALL_S = 10.0
WAIT_DEFAULT = "60s"
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 30.0
ELSEWHERE = "is it running? systemctl status evsed; a socket elsewhere: -H unix:///PATH or EVSECTL_HOST"


class Session:
    """One call's connection settings: where the daemon is (default EVSECTL_HOST) and how many seconds to wait."""

    def __init__(self, host: str = "", timeout_s: float = CALL_S) -> None:
        self.host = host or os.environ.get("EVSECTL_HOST", "")
        self.timeout_s = timeout_s

    def call(self, name: str, /, **request: Any) -> Row:
        """Call an operation; errors of the daemon end the command with their exit code."""
        token = "" if name == "auth.signin" else tokens.load(self.host)
        try:
            try:
                return self._client(token).call(name, **request)
            except ApiCallError as error:
                if not (error.code == "unauthenticated" and tokens.forget_ended(self.host, token)):
                    raise
                note("your sign-in has ended")
                return self._client("").call(name, **request)
        except ApiCallError as error:
            raise abort(error) from error

    def stream(self, name: str, since: int | None = None, lasts_s: float | None = None, *, signed: bool = False) -> Any:
        """Open a stream; items as they come. Raises `evse.api.client.ApiCallError`. ``signed``: it needs a raised role."""
        return self._client(tokens.load(self.host) if signed else "").stream(name, since=since, lasts_s=lasts_s)

    def _client(self, token: str) -> Client:
        return Client(self.host or None, token=token, timeout_s=self.timeout_s)


def abort(error: ApiCallError) -> Abort:
    """What a failed call means for the command."""
    hint = _elsewhere(error.message) if error.code == "unreachable" else error.hint
    return Abort(error.exit_code, error.message, hint, error.code, request_id=error.request_id)


def _elsewhere(message: str) -> str:
    demo = demo_socket()
    return f"a demo is running: export EVSECTL_HOST=unix://{demo}" if demo and demo not in message else ELSEWHERE


def status(session: Session, options: Options) -> int:
    """The whole station on one page."""
    body = session.call("status.get")
    if options.human:
        write(pages.overview(body, options.screen, wide=options.wide), options)
    else:
        emit("Status", [body], [], options, name="station_id", single=True)
    return exits.OK


def connector_list(session: Session, options: Options) -> int:
    """All connectors."""
    items = session.call("connector.list")["items"]
    emit("Connector", items, tables.connectors(items), options, name="evse_id")
    return exits.OK


def connector_get(session: Session, evse_id: int, options: Options) -> int:
    """One connector."""
    items = session.call("connector.get", evse_id=evse_id)["items"]
    if options.human:
        write(pages.connector_card(items[0], options.screen), options)
    else:
        emit("Connector", items, tables.connectors(items), options, name="evse_id", single=True)
    return exits.OK


def fault_list(session: Session, options: Options) -> int:
    """Active faults; an empty list says so on stderr."""
    items = session.call("fault.list")["items"]
    emit("Fault", items, tables.FAULT, options, name="record.code", empty="No active faults.")
    if items and options.human and not options.file:
        note("what to do: evsectl fault get CODE")
    return exits.OK


# -- wait ---------------------------------------------------------------------------------------------------------

CONDITIONS: dict[str, tuple[str, ...]] = {
    "phase": tuple(tables.STATES),
    "state": ("Idle", "EVConnected", "Charging", "SuspendedEV", "SuspendedEVSE"),
    "step": tables.STEPS,
    "plugged": ("yes", "no"),
    "fault": ("none", "any", *(f"F{number}" for number in range(1, 56))),
}
"""What ``--for KEY=VALUE`` may ask; a test compares the values with `evse.domain`."""


def condition(text: str) -> tuple[str, frozenset[str]]:
    """Read ``phase=charging`` or ``phase=finished,idle`` (any of them); values in lower case."""
    key, _, values = text.partition("=")
    if key not in CONDITIONS or not values:
        example = nearest(key, list(CONDITIONS)) or "for example: --for phase=charging"
        usage(f"--for {text!r} is not KEY=VALUE with one of {', '.join(CONDITIONS)}", example)
    wanted = values.split(",")
    known = {value.lower() for value in CONDITIONS[key]}
    for value in wanted:
        if value.lower() not in known:
            hint = nearest(value, list(CONDITIONS[key]))
            usage(f"--for {key}: there is no {value!r}", hint or f"values: {', '.join(CONDITIONS[key])}")
    return key, frozenset(value.lower() for value in wanted)


def matches(evse: Row, key: str, wanted: frozenset[str]) -> bool:
    """Whether a connector view meets one condition."""
    if key == "fault":
        codes = {fault["code"].lower() for fault in evse["faults"]}
        return bool(codes & wanted) or (bool(codes) and "any" in wanted) or (not codes and "none" in wanted)
    value = {
        "phase": evse["phase"],
        "state": evse["charging_state"],
        "step": evse["step"] or "",
        "plugged": "yes" if evse["plugged"] else "no",
    }[key]
    return value.lower() in wanted


def wait_connector(session: Session, evse_id: int, text: str, limit_s: float) -> int:
    """Wait until a connector is as ``text`` (KEY=VALUE[,VALUE]) says; 124 when ``limit_s`` have passed."""
    key, wanted = condition(text)
    last = "nothing was heard of it"
    try:
        for item in session.stream("status.stream", lasts_s=limit_s):
            if not item.get("status"):
                continue
            view = item["status"]["view"]
            evse = next((e for e in view["evses"] if e["evse_id"] == evse_id), None)
            if evse is None:
                have = ", ".join(str(e["evse_id"]) for e in view["evses"])
                raise Abort(exits.NOT_FOUND, f"there is no connector {evse_id}", f"connectors: {have}", "not_found")
            if matches(evse, key, wanted):
                return exits.OK
            faults = ",".join(fault["code"] for fault in evse["faults"])
            last = f"it is phase={evse['phase']} state={evse['charging_state']} fault={faults or 'none'}"
    except ApiCallError as error:
        if error.exit_code != exits.TIMEOUT:
            raise abort(error) from error
        message = f"connector {evse_id}: not {text} within {limit_s:g} s; {last}"
        raise Abort(exits.TIMEOUT, message, f"look at: evsectl connector get {evse_id}", "timeout") from error
    raise Abort(exits.UNREACHABLE, "the daemon ended the stream", ELSEWHERE, "unreachable")


def seconds(text: str) -> float:
    """``90``, ``90s``, ``2m``, ``1h`` in seconds, at most a day."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        value = float(number) * unit
    except ValueError:
        usage(f"{text!r} is not a time", "write 30s, 2m or 1h")
    if not 0 <= value <= 86_400:
        usage(f"{text!r} is not a time between 0 and 24h", "write 30s, 2m or 1h")
    return value


# -- watch --------------------------------------------------------------------------------------------------------

STREAMS = ("status", "events")


def watch(
    session: Session,
    options: Options,
    *,
    stream: str,
    since: int | None = None,
    reconnect: bool = True,
    evse_id: int | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Follow a stream: JSON lines for machines, one line per change for people.

    Without ``reconnect`` the end of the daemon ends the command with 6. With it the stream is opened again after 1, 2,
    4 ... 30 s, resumed behind the last item; ``pause`` waits. Never returns 0: only the reader or Ctrl-C end it.
    """
    if stream not in STREAMS:
        usage(f"there is no stream {stream!r}", nearest(stream, list(STREAMS)) or f"streams: {', '.join(STREAMS)}")
    if options.format not in ("table", "jsonl"):
        usage(f"watch cannot write {options.format!r}", "use -o jsonl, or no -o for people")
    last = since
    retry_s = RETRY_FIRST_S
    before = ""
    while True:
        try:
            for item in session.stream(f"{stream}.stream", since=last):
                retry_s = RETRY_FIRST_S
                last = item["seq"]
                text = _line(item, options, evse_id)
                if text and text[20:] != before:
                    before = text[20:] if options.format == "table" and item.get("status") else ""
                    write(text, options)
            raise ApiCallError("unreachable", "the daemon ended the stream")
        except ApiCallError as error:
            if not reconnect or error.exit_code in (exits.AUTH, exits.FORBIDDEN, exits.USAGE, exits.CONFLICT):
                raise abort(error) from error
            note(f"evsectl: {error.message}; next try in {retry_s:.0f} s")
        pause(retry_s)
        retry_s = min(retry_s * 2, RETRY_MAX_S)


def _line(item: Row, options: Options, evse_id: int | None) -> str:
    """One item as text; "" when people need not see it."""
    if options.format == "jsonl":
        return json.dumps({"apiVersion": API_VERSION, "kind": "StreamItem", **machine(item)}, ensure_ascii=False) + "\n"
    if item.get("event"):
        return tables.event_line(item["event"])
    if not item.get("status"):
        return ""
    view = item["status"]["view"]
    words = [tables.connector_words(e) for e in view["evses"] if evse_id in (None, e["evse_id"])]
    if evse_id is None:
        words.append(f"site {tables.kilo(view['site_power_w'])} kW")
    return f"{iso(view['wall'])[:19].replace('T', ' ')} {' | '.join(words)}\n"
