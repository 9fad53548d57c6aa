"""Pages of section OCPP that are about what was said: the live message viewer, and the state of the link with its history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from evse.api import models_ocpp as o
from tui import format as fmt
from tui.admin.ocpp_data import FACTS_WIDTH, Filter
from tui.driver.glyphs import Glyphs
from tui.widgets.frame import Frame
from tui.widgets.parts import rule, values
from tui.widgets.table import Column, TableState, put_table

DETAIL_ROWS: Final = 7
"""Rows under the list: the chosen message and its other half."""

COLUMNS = (
    Column(title="Time", width=8),
    Column(title="", width=1),
    Column(title="Type", width=9, priority=2),
    Column(title="Action", width=22),
    Column(title="EVSE", width=4, right=True, priority=1),
    Column(title="Answer", width=9, right=True),
    Column(title="Payload", width=12, grow=True, priority=3),
)
EVENTS = (
    Column(title="Time", width=19),
    Column(title="What", width=10),
    Column(title="Target", width=7, priority=1),
    Column(title="Why", width=20, grow=True),
)
ROLES: Final = {"error": "fault", "malformed": "fault", "failed": "fault", "closed": "warn", "registered": "ok"}
SOURCES: Final = {"ntp": "NTP of this station", "csms": "the CSMS", "system": "the clock of this station"}


def latency(row: o.OcppMessage) -> str:
    """``184 ms`` at an answer, ``waits`` at a call without one."""
    if row.latency_ms is not None:
        return f"{row.latency_ms} ms"
    return "waits" if row.type == "call" and row.pair is None else ""


def paint_messages(
    frame: Frame, rows: Sequence[o.OcppMessage], table: TableState, filter_: Filter, glyphs: Glyphs, *, frozen: bool, whole: bool
) -> None:
    """The last messages, newest last, and the chosen one with its other half; ``whole`` = the payload gets the page."""
    words = filter_.words()
    frame.put(1, 1, f"Only {words}" if words else "All messages", "warn" if words else "", limit=frame.width - 22)
    frame.right(frame.width - 1, 1, "FROZEN, Space goes on" if frozen else "live", "warn" if frozen else "ok")
    by_seq = {row.seq: row for row in rows}
    detail = frame.height - 6 if whole else DETAIL_ROWS
    data = [(str(row.seq), _cells(row)) for row in rows]
    marks = {str(row.seq): ROLES[row.type] for row in rows if row.type in ROLES}
    empty = "No message fits; Esc shows all." if words else "Nothing was said yet."
    put_table(frame, 0, 2, frame.width, max(3, frame.height - 2 - detail), COLUMNS, data, table, glyphs, empty=empty, marks=marks)
    chosen = by_seq.get(int(table.key)) if table.key else None
    if chosen is not None:
        _detail(frame, frame.height - detail, chosen, by_seq.get(chosen.pair or 0), glyphs, whole=whole)


def _cells(row: o.OcppMessage) -> tuple[str, ...]:
    return (
        fmt.time_of_day(row.wall), ">" if row.direction == "sent" else "<", row.type, row.action or fmt.NONE,
        "" if row.evse_id is None else str(row.evse_id), latency(row), row.payload,
    )  # fmt: skip


def _detail(frame: Frame, y: int, row: o.OcppMessage, other: o.OcppMessage | None, glyphs: Glyphs, *, whole: bool) -> None:
    rule(frame, y, glyphs)
    way = "to the CSMS" if row.direction == "sent" else "from the CSMS"
    frame.put(1, y, f" {row.action or row.type} {row.type} {way} ", "title", limit=frame.width - 2)
    frame.right(frame.width - 1, y, f" id {row.unique_id[:36]} ", "dim")
    if whole:
        lines = pretty(row.payload)
        room = frame.height - y - 1
        for number, line in enumerate(lines[:room]):
            frame.put(1, y + 1 + number, line, "value", limit=frame.width - 2)
        if len(lines) > room:
            frame.right(frame.width - 1, frame.height - 1, f"and {len(lines) - room} lines more: evsectl ocpp messages -o json", "dim")
        return
    y = frame.wrap(1, y + 1, row.payload.replace(",", ", "), frame.width - 2, "value", rows=3)
    if other is None:
        frame.put(1, y, "no answer yet" if row.type == "call" else "its other half is not in the log any more", "dim")
        return
    answer, call = (other, row) if row.type == "call" else (row, other)
    frame.put(1, y, f"{'answer' if other is answer else 'asked'} {fmt.time_of_day(other.wall)}, {latency(answer)} after {call.action}", "dim")
    frame.wrap(1, y + 1, other.payload.replace(",", ", "), frame.width - 2, "", rows=max(1, frame.height - y - 1))


def pretty(payload: str) -> list[str]:
    """A payload over several lines; one that is not JSON (cut off, or from a peer that broke the rules) as it is."""
    try:
        return json.dumps(json.loads(payload), indent=2, ensure_ascii=False).splitlines()
    except (ValueError, RecursionError):
        return [payload[start : start + 76] for start in range(0, len(payload), 76)]


# -- state ----------------------------------------------------------------------------------------------------------


def paint_state(frame: Frame, state: o.OcppState, log: o.OcppLog, glyphs: Glyphs) -> None:
    """The link, and what happened to it, newest first."""
    if not state.enabled:
        frame.wrap(1, 2, "OCPP is switched off on this station. Set ocpp.enabled and ocpp.url in the configuration.", frame.width - 2)
        return
    word, role = ("connected", "ok") if state.connected else ("NOT CONNECTED", "fault")
    x = frame.put(1, 1, word, role)
    registration = state.registration or "not registered"
    frame.put(x, 1, f"  {registration}  {state.target}  {state.url}", "value", limit=frame.width - x - 1)
    y = values(frame, 1, 2, min(frame.width - 2, FACTS_WIDTH), _facts(state))
    if state.security_note:
        y = frame.wrap(1, y, state.security_note, frame.width - 2, "warn", rows=1)
    if state.last_error:
        y = frame.wrap(1, y, state.last_error, frame.width - 2, "warn", rows=2)
    rule(frame, y, glyphs)
    frame.put(1, y, " What happened to the link ", "title")
    data = [(str(row.seq), (fmt.stamp(row.wall), row.what, row.target, row.text or fmt.NONE)) for row in reversed(log.items)]
    marks = {str(row.seq): ROLES[row.what] for row in log.items if row.what in ROLES}
    put_table(frame, 0, y + 1, frame.width, frame.height - y - 1, EVENTS, data, None, glyphs, empty="Nothing yet.", marks=marks)


def _facts(state: o.OcppState) -> list[tuple[str, str]]:
    failed = state.failures and not state.connected  # a link that stands has ended the row, however young it is
    dial = f"{state.failures} in a row without success" if failed else "none failed since the last link"
    if state.next_dial_s is not None and not state.connected:
        dial += f", the next in {state.next_dial_s} s"
    offset = "" if state.clock_offset_ms is None else f", CSMS {round(state.clock_offset_ms / 1000, 1) + 0.0:+.1f} s"
    held = f"{state.queued} wait"
    held += f", {state.parked} PARKED" if state.parked else ""
    held += f", {state.foreign} FOR ANOTHER BACK END" if state.foreign else ""
    ping = f"every {state.ping_s} s, {state.ping_timeout_s} s to answer" if state.ping_s else "off"
    return [
        ("Since", f"{fmt.stamp(state.since)}{f'  to {state.peer}' if state.peer else ''}"),
        ("Identity", f"{state.charge_point_id}, security profile {state.security_profile}"),
        ("Booted", fmt.stamp(state.last_boot)),
        ("Heartbeat", f"every {state.heartbeat_s} s, last {fmt.time_of_day(state.last_heartbeat)}; ping {ping}"),
        ("Dials", dial),
        ("Time", SOURCES.get(state.time_source, "NOT KNOWN") + offset),
        ("Messages", f"{state.sent} sent, {state.received} received"),
        ("Transactions", held),
    ]
