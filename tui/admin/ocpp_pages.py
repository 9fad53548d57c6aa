"""Pages of section OCPP: keys, queue, schedules, certificates, security, files, doctor. Pure painters."""

from __future__ import annotations

from typing import Final

from evse.api import models_ocpp as o
from evse.api import models_ocpp_security as s
from tui import format as fmt
from tui.admin.ocpp_data import FACTS_WIDTH, PAGES
from tui.driver.glyphs import Glyphs
from tui.widgets.frame import Frame
from tui.widgets.parts import rule, values
from tui.widgets.table import Column, TableState, put_table

RESULTS: Final = {"ok": ("[OK]", "ok"), "warning": ("[!]", "warn"), "failed": ("[X]", "fault"), "skipped": ("", "dim")}
KEYS = (
    Column(title="Key", width=39),
    Column(title="Value", width=16, grow=True),
    Column(title="Access", width=6),
    Column(title="Profile", width=12, priority=1),
)
QUEUE = (
    Column(title="Row", width=5, right=True),
    Column(title="State", width=7),
    Column(title="Made", width=12),
    Column(title="Action", width=16),
    Column(title="Session", width=10, priority=1),
    Column(title="Tries", width=5, right=True, priority=2),
    Column(title="Why", width=12, grow=True),
)
SCHEDULES = (
    Column(title="No", width=5, right=True),
    Column(title="Purpose", width=21),
    Column(title="Level", width=5, right=True),
    Column(title="Now", width=9),
    Column(title="Limit", width=16),
    Column(title="Changes", width=12, grow=True),
)
CERTS = (
    Column(title="Fingerprint", width=16),
    Column(title="For", width=13),
    Column(title="Subject", width=18, grow=True),
    Column(title="Until", width=10),
    Column(title="In use", width=18, priority=1),
)
EVENTS = (
    Column(title="Time", width=19),
    Column(title="State", width=7),
    Column(title="Event", width=35),
    Column(title="Detail", width=10, grow=True),
)
FILES = (
    Column(title="What", width=11),
    Column(title="State", width=20),
    Column(title="Told", width=18),
    Column(title="Try", width=7, priority=1),
    Column(title="Why", width=10, grow=True),
)
STEPS = (
    Column(title="Step", width=11),
    Column(title="", width=4),
    Column(title="ms", width=5, right=True),
    Column(title="What", width=30, grow=True),
)
WITHOUT_CSMS: Final = (
    "S lets the CSMS sign a certificate of the station. Another authority: evsectl ocpp certs request --csr FILE, then "
    "evsectl ocpp certs install-client FILE."
)
CSMS_ROOT: Final = "CentralSystemRootCertificate"
PURPOSES: Final = {
    CSMS_ROOT: "CSMS root", "ManufacturerRootCertificate": "firmware root", "ChargePointCertificate": "this station",
}  # fmt: skip
PROFILES: Final = {0: "nothing", 1: "password, no TLS", 2: "TLS and password", 3: "TLS and certificate"}


def strip(frame: Frame, page: str) -> None:
    """The names of all pages with their keys; the present one stands out."""
    x = 1
    for name, _, title in PAGES:
        x = frame.put(x, 0, title, "cursor" if name == page else "dim") + 2


def access(key: o.OcppKey) -> str:
    """What may be done with a key, in the letters of OCPP."""
    return "R" if key.readonly else "W" if key.writeonly else "R/W"


def paint_keys(frame: Frame, keys: tuple[o.OcppKey, ...], table: TableState, text: str, glyphs: Glyphs) -> None:
    """The keys, and what is known about the chosen one."""
    frame.put(1, 1, f'Keys with "{text}"' if text else "Configuration keys", "warn" if text else "")
    frame.right(frame.width - 1, 1, f"{len(keys)} keys", "value")
    data = [(k.key, (k.key, "(never told)" if k.writeonly else k.value or fmt.NONE, access(k), k.profile)) for k in keys]
    marks = {k.key: "dim" for k in keys if k.readonly}
    empty = "No key holds this text; Esc shows all." if text else "No keys."
    put_table(frame, 0, 2, frame.width, frame.height - 7, KEYS, data, table, glyphs, empty=empty, marks=marks)
    chosen = next((k for k in keys if k.key == table.key), None)
    if chosen is None:
        return
    y = frame.height - 5
    rule(frame, y, glyphs)
    frame.put(1, y, f" {chosen.key} ", "title")
    y = frame.wrap(1, y + 1, f"{chosen.value} {chosen.unit}".strip() or "no value", frame.width - 2, "value", rows=2)
    y = frame.wrap(1, y, chosen.help or "no help", frame.width - 2, rows=1)
    facts = [
        "read-only" if chosen.readonly else "", chosen.type, chosen.range and f"range {chosen.range}",
        chosen.applies and f"a change counts {chosen.applies}",
    ]
    frame.put(1, y, ", ".join(fact for fact in facts if fact), "dim", limit=frame.width - 2)


def paint_queue(frame: Frame, queue: o.OcppQueue, table: TableState, glyphs: Glyphs) -> None:
    """Transaction messages in the order of delivery, and the chosen one."""
    x = frame.put(1, 1, f"{queue.waiting} waiting", "value")
    x = frame.put(x, 1, f"  {queue.parked} parked", "fault" if queue.parked else "")
    frame.put(x, 1, f"  {queue.foreign} for another back end than {queue.backend}", "warn" if queue.foreign else "", limit=frame.width - x)
    data = [
        (str(r.row_id), (
            str(r.row_id), r.state, fmt.day_time(r.created_at), r.action, r.session_id, str(r.attempts), r.reason or r.backend or fmt.NONE,
        ))
        for r in queue.items
    ]  # fmt: skip
    marks = {str(r.row_id): {"parked": "fault", "foreign": "warn", "aside": "warn"}.get(r.state, "") for r in queue.items}
    put_table(frame, 0, 2, frame.width, frame.height - 8, QUEUE, data, table, glyphs, empty="Every message is answered.", marks=marks)
    chosen = next((r for r in queue.items if str(r.row_id) == table.key), None)
    if chosen is None:
        return
    y = frame.height - 6
    rule(frame, y, glyphs)
    number = "no number yet" if chosen.transaction_id is None else f"transaction {chosen.transaction_id}"
    frame.put(1, y, f" {chosen.action} of session {chosen.session_id}, {number} ", "title", limit=frame.width - 2)
    why = {
        "waiting": "It waits for its turn.", "parked": f"Parked after {chosen.attempts} refusals: {chosen.reason}",
        "aside": f"Refused {chosen.attempts} times, kept to be read; its session has gone on: {chosen.reason.removeprefix('set aside: ')}",
        "foreign": f"It was made for {chosen.backend}. V gives all of these to the present back end, X removes them for ever.",
    }.get(chosen.state, "")  # fmt: skip
    y = frame.wrap(1, y + 1, why, frame.width - 2, "warn" if chosen.state != "waiting" else "", rows=2)
    frame.wrap(1, y, chosen.payload.replace(",", ", "), frame.width - 2, "value", rows=frame.height - y)


# -- schedules ------------------------------------------------------------------------------------------------------


def _limit(row: o.OcppScheduleRow) -> str:
    if row.power_w is None:
        return fmt.NONE
    return f"{fmt.kw(row.power_w)} kW" + ("" if row.current_ma is None else f" {row.current_ma / 1000:g} A")


def paint_schedule(frame: Frame, told: o.OcppScheduleExplanation, table: TableState, glyphs: Glyphs) -> None:
    """What the profiles allow at one place, every profile, and why the chosen one is as it is."""
    who = f"Connector {told.evse_id}" if told.evse_id else "Station"
    x = frame.put(1, 1, who, "title")
    frame.put(x, 1, f"  {fmt.kw(told.power_w)} kW, {told.current_ma / 1000:.1f} A of {fmt.kw(told.rated_w)} kW", "value")
    changes = "no change within 7 days" if told.calendar else "the date is not known"
    if told.changes_at is not None:
        changes = f"{fmt.day_time(told.changes_at)} to {fmt.kw(told.next_power_w)} kW"
    frame.right(frame.width - 1, 1, changes, "dim")
    y = frame.wrap(1, 2, told.text, frame.width - 2, "warn" if told.binds else "", rows=2)
    data = [
        (str(row.profile.profile_id), (
            str(row.profile.profile_id), row.profile.purpose, str(row.profile.stack_level),
            "decides" if row.decides else row.standing.replace("_", " "), _limit(row), fmt.day_time(row.changes_at),
        ))
        for row in told.items
    ]  # fmt: skip
    marks = {str(row.profile.profile_id): "ok" if row.decides else "" if row.standing == "in_force" else "dim" for row in told.items}
    rows = max(3, frame.height - y - 6)
    put_table(frame, 0, y, frame.width, rows, SCHEDULES, data, table, glyphs, empty="No charging profile is installed.", marks=marks)
    chosen = next((row for row in told.items if str(row.profile.profile_id) == table.key), None)
    if chosen is None:
        return
    p = chosen.profile
    y = frame.height - 5
    rule(frame, y, glyphs)
    frame.put(1, y, f" Profile {p.profile_id}, {p.profile_kind} ", "title")
    y = frame.wrap(1, y + 1, chosen.why, frame.width - 2, "value", rows=2)
    place = f"connector {p.evse_id}" if p.evse_id else "the station" if p.purpose == "ChargePointMaxProfile" else "every connector"
    valid = f"valid {fmt.day_time(p.valid_from)} .. {fmt.day_time(p.valid_to)}" if p.valid_from or p.valid_to else "always valid"
    frame.put(1, y, f"for {place}, {valid}, set {fmt.stamp(p.set_at)}", "dim", limit=frame.width - 2)
    periods = ", ".join(f"{x.start_s} s {x.limit:g} {p.unit}" for x in p.periods)
    frame.put(1, y + 1, f"{len(p.periods)} periods: {periods}", "", limit=frame.width - 2)


# -- certificates, security, files ----------------------------------------------------------------------------------


def paint_certs(frame: Frame, certs: s.OcppCertificates, table: TableState, glyphs: Glyphs) -> None:
    """Certificates, and the chosen one in full."""
    frame.put(1, 1, "Certificates")
    frame.right(frame.width - 1, 1, "install: evsectl ocpp certs install FILE", "dim")
    data = [
        (c.fingerprint, (
            c.fingerprint[:16], PURPOSES.get(c.type, c.type), c.subject, fmt.stamp(c.valid_to)[:10],
            c.note or ("yes" if c.in_use else fmt.NONE),
        ))
        for c in certs.items
    ]  # fmt: skip
    marks = {c.fingerprint: "ok" for c in certs.items if c.in_use}
    put_table(frame, 0, 2, frame.width, frame.height - 8, CERTS, data, table, glyphs, empty="No certificate is installed.", marks=marks)
    chosen = next((c for c in certs.items if c.fingerprint == table.key), None)
    if chosen is None:
        frame.wrap(1, 5, WITHOUT_CSMS, frame.width - 2, "dim", rows=3)
        return
    y = frame.height - 6
    rule(frame, y, glyphs)
    frame.put(1, y, f" {PURPOSES.get(chosen.type, chosen.type)}{', ' + chosen.note if chosen.note else ''} ", "title", limit=frame.width - 2)
    frame.put(1, y + 1, chosen.subject, "value", limit=frame.width - 2)
    frame.put(1, y + 2, f"issued by {chosen.issuer}, serial {chosen.serial_number}", "", limit=frame.width - 2)
    frame.put(1, y + 3, f"{fmt.stamp(chosen.valid_from)} to {fmt.stamp(chosen.valid_to)}, {chosen.public_key}", "", limit=frame.width - 2)
    frame.put(1, y + 4, f"SHA-256 {chosen.fingerprint}", "dim", limit=frame.width - 2)


def paint_security(frame: Frame, state: s.OcppSecurityState, events: s.OcppSecurityEvents, glyphs: Glyphs) -> None:
    """Warnings first, then how the link is secured, then the security log."""
    y = 1
    for text in state.warnings:
        y = frame.wrap(1, y, f"[!] {text}", frame.width - 2, "warn", rows=2)
    y = values(frame, 1, y, min(frame.width - 2, FACTS_WIDTH), _secured(state))
    if state.request_pending or state.signing:
        y = frame.wrap(1, y, f"Signing: {state.signing or 'a request waits for its certificate'}", frame.width - 2, "dim", rows=2)
    if state.staged is not None:
        change, turn = state.staged, "next" if state.staged.next else "later"
        text = f"Change waits: {change.changed} by {change.by}, try {change.tries + 1} of {change.limit} {turn}, "
        text += f"to profile {change.profile} at {change.url}"
        y = frame.wrap(1, y, text + (f": {change.last_error}" if change.last_error else ""), frame.width - 2, "warn", rows=2)
    if state.given_up is not None:
        gone = state.given_up
        y = frame.wrap(1, y, f"Given up {fmt.stamp(gone.at)}: {gone.changed}: {gone.error}", frame.width - 2, "fault", rows=2)
    rule(frame, y, glyphs)
    frame.put(1, y, " Security events, newest first ", "title")
    data = [(str(e.seq), (fmt.stamp(e.wall), e.state, e.type, e.detail or fmt.NONE)) for e in reversed(events.items)]
    marks = {str(e.seq): {"refused": "fault", "waiting": "warn"}.get(e.state, "") for e in events.items}
    put_table(frame, 0, y + 1, frame.width, frame.height - y - 1, EVENTS, data, None, glyphs, empty="None yet.", marks=marks)


def _secured(state: s.OcppSecurityState) -> list[tuple[str, str]]:
    tls, own = state.tls, state.certificate
    age = "" if state.key_age_s is None else f" {state.key_age_s // 86_400} days ago"
    return [
        ("Profile", f"{state.profile}: {PROFILES[state.profile]}" + ("" if state.proven else ", not accepted yet")),
        ("URL", state.url),
        ("Password", (f"set{age}" if state.key_set else "not set") + (f", user {state.user}" if state.user else "")),
        ("TLS", "none yet" if tls is None else f"{tls.version}, {tls.peer}, until {fmt.stamp(tls.valid_to)[:10]}"),
        *([("Revoked?", state.revocation)] if state.revocation and not state.url.startswith("ws://") else []),
        ("Certificate", "none" if own is None else f"{own.subject}, until {fmt.stamp(own.valid_to)[:10]}"),
    ]


def paint_files(frame: Frame, files: s.OcppTransfers, table: TableState, glyphs: Glyphs) -> None:
    """What runs, and how the last ones ended."""
    frame.put(1, 1, "Firmware updates, diagnostics and logs")
    frame.right(frame.width - 1, 1, f"{files.unanswered} messages unanswered" if files.unanswered else "", "warn")
    data = [(str(index), _file(t)) for index, t in enumerate(files.items)]
    marks = {str(i): {"failed": "fault", "running": "warn", "done": ""}[t.state] for i, t in enumerate(files.items)}
    put_table(frame, 0, 2, frame.width, frame.height - 7, FILES, data, table, glyphs, empty="No transfer runs or has run.", marks=marks)
    if not files.installer:
        frame.put(1, frame.height - 5, "This station cannot install firmware: no installer is configured.", "dim")
    if not files.items:
        return
    chosen = files.items[min(table.cursor, len(files.items) - 1)]
    y = frame.height - 4
    rule(frame, y, glyphs)
    frame.put(1, y, f" {chosen.transfer}{'' if chosen.request_id is None else f', request {chosen.request_id}'} ", "title")
    frame.put(1, y + 1, chosen.location or "no place is known", "value", limit=frame.width - 2)
    frame.wrap(1, y + 2, chosen.detail, frame.width - 2, rows=2)


def _file(t: s.OcppTransfer) -> tuple[str, ...]:
    percent = "" if t.percent is None else f" {t.percent} %"
    state = f"{t.stage}{percent}" if t.state == "running" else f"{t.state} {fmt.day_time(t.at)}"
    return (t.transfer, state, t.status or fmt.NONE, "" if t.attempt is None else f"{t.attempt} of {t.attempts}", t.detail or fmt.NONE)


# -- doctor ---------------------------------------------------------------------------------------------------------


def paint_doctor(frame: Frame, report: o.OcppDoctor | None, table: TableState, glyphs: Glyphs, *, running: bool) -> None:
    """The steps, and what was measured at the chosen one."""
    if report is None or running:
        text = "Examining ..." if running else "Enter tries every step of a connection in order; a link that stands is not touched."
        frame.wrap(1, 2, text, frame.width - 2)
        return
    verdict, role = (f"{report.failed} fails", "fault") if report.failed else ("nothing is wrong", "ok")
    x = frame.put(1, 1, verdict, role)
    how = "while connected" if report.live else "on a link of its own"
    frame.put(x, 1, f"  {report.url}, {how}", "", limit=frame.width - x - 1)
    data = [
        (step.name, (step.name, RESULTS[step.result][0], fmt.NONE if step.took_ms is None else str(step.took_ms), step.detail))
        for step in report.items
    ]
    marks = {step.name: RESULTS[step.result][1] for step in report.items}
    y = put_table(frame, 0, 2, frame.width, len(data) + 1, STEPS, data, table, glyphs, empty="", marks=marks)
    chosen = next((step for step in report.items if step.name == table.key), None)
    if chosen is None or y >= frame.height:
        return
    rule(frame, y, glyphs)
    frame.put(1, y, f" {chosen.name} ", "title")
    y += 1
    if chosen.remedy:
        y = frame.wrap(1, y, f"To do: {chosen.remedy}", frame.width - 2, "warn", rows=2)
    y = frame.wrap(1, y, chosen.detail, frame.width - 2, "value", rows=2)
    for fact in chosen.facts:
        frame.put(1, y, fact, "", limit=frame.width - 2)
        y += 1
    if report.note and y < frame.height:
        frame.wrap(1, y, report.note, frame.width - 2, "warn", rows=frame.height - y)
