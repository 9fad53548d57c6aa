"""Section 5, Faults: active ones with what to do, clearing with the reason of a refusal, history."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.binding import BindingType

from evse.api.models import Events, FaultInfo, FaultRef, Faults, HistoryQuery
from tui import format as fmt
from tui.admin.registry import register
from tui.admin.section import SectionScreen, list_bindings
from tui.driver.glyphs import Glyphs
from tui.keymap import bind
from tui.widgets.frame import Frame
from tui.widgets.parts import rule
from tui.widgets.table import Column, TableState, put_table

KINDS: Final = ("fault", "")
"""Histories: fault events, all events."""

COLUMNS = (
    Column(title="Code", width=4),
    Column(title="Where", width=8),
    Column(title="Fault", width=22),
    Column(title="Severity", width=8, priority=2),
    Column(title="Since", width=8, priority=1),
    Column(title="Count", width=5, right=True, priority=3),
    Column(title="Now", width=7),
    Column(title="Detail", width=10, priority=4, grow=True),
)
USEFUL: Final = (5, 4, 2, 3, 0, 1)
"""Which texts of a fault get more rows first: on site, remote, cause, impact, what, detail."""

TEXT_ROWS: Final = 6
REACTION: Final = {
    "none": "charging goes on",
    "derate": "less power",
    "stop": "the session ends",
    "emergency": "energy off at once",
}
LATCH: Final = {
    "auto": "by itself",
    "unplug": "when the vehicle has left",
    "manual": "when somebody clears it",
}
HISTORY = (
    Column(title="Time", width=19),
    Column(title="Event", width=22),
    Column(title="No", width=2, right=True),
    Column(title="Detail", width=20, grow=True),
)


@register
class FaultsScreen(SectionScreen):
    """Active faults with remedies; ``h`` shows the history."""

    SECTION = "faults"
    WRITES = frozenset({"clear"})
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("faults.clear", "C", "clear", "Clear fault"),
        bind("faults.history", "h", "history", "Active/history"),
        bind("faults.kinds", "exclamation_mark", "kinds", "Faults only/all"),
        bind("faults.next", "n,pagedown,right", "page(1)", "Next page"),
        bind("faults.previous", "N,p,pageup,left", "page(-1)", "Previous", show=False),
        bind("faults.back", "escape", "back", "Back", show=False),
        *list_bindings("faults"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.table = TableState()
        self.past = TableState()
        self.active: Faults | None = None
        self.events: Events | None = None
        self.in_history = False
        self.kind = KINDS[0]
        self.skip = 0
        self._shown: tuple[object, ...] = ()

    def rows_per_page(self) -> int:
        """As many as the body shows."""
        return max(5, self.size.height - 4 - 3)

    async def load(self) -> None:
        """Fetch active faults and the page of the history."""
        self.active = await self.admin.store.call("fault.list")
        query = HistoryQuery(kind=self.kind, limit=self.rows_per_page(), offset=self.skip)
        self.events = await self.admin.store.call("events.list", query)

    def paint(self, frame: Frame) -> None:
        """Paint; a change of faults in the stream fetches again."""
        status = self.admin.store.status
        if status is not None:
            shown = (status.view.faults, tuple(v.faults for v in status.view.evses))
            if shown != self._shown:
                first, self._shown = not self._shown, shown
                if not first:
                    self.reload()
        glyphs = self.admin.profile.glyphs
        if self.active is None or self.events is None:
            frame.put(1, 1, "Loading faults ...")
        elif self.in_history:
            paint_history(frame, self.events, self.past, self.skip, self.kind, glyphs)
        else:
            paint_faults(frame, self.active, self.table, glyphs)

    def action_move(self, delta: int) -> None:
        """Move the cursor."""
        if self.in_history and self.events is not None:
            self.past.move(delta, [str(e.seq) for e in self.events.items])
        elif self.active is not None:
            self.table.move(delta, [fault_key(f) for f in self.active.items])
        self.paint_all()

    def action_history(self) -> None:
        """Switch between active faults and history."""
        self.in_history = not self.in_history
        self.reload()

    def action_back(self) -> None:
        """History -> active."""
        self.in_history = False
        self.paint_all()

    def action_kinds(self) -> None:
        """Fault events only, or all."""
        self.kind = KINDS[1 - KINDS.index(self.kind)]
        self.skip, self.in_history = 0, True
        self.reload()

    def action_page(self, step: int) -> None:
        """Next or previous page of the history."""
        if not self.in_history or self.events is None:
            return
        skip = self.skip + step * self.rows_per_page()
        if skip < self.events.total and (skip >= 0 or self.skip):
            self.skip = max(0, skip)
            self.reload()

    def action_clear(self) -> None:
        """Clear the chosen fault; the daemon may refuse and says why."""
        if self.active is None or not self.active.items or self.in_history:
            return
        info = next((f for f in self.active.items if fault_key(f) == self.table.key), self.active.items[0])
        record = info.record
        if not info.clearable:
            self.admin.toast(f"{record.code.value} cannot be cleared: {info.why_not or 'its cause stands'}", "fault")
            self.paint_all()
            return
        lines = [
            f"{info.name} on {where(record.evse_id)}: {record.detail}",
            "The connector becomes usable again.",
            info.remedy_on_site,
        ]
        request = FaultRef(code=record.code.value, evse_id=record.evse_id)
        self.confirm(
            "Clear",
            f"Clear fault {record.code.value}",
            lines,
            lambda: self.admin.store.call("fault.clear", request),
            done=f"{record.code.value} cleared",
            cli=f"evsectl fault clear {record.code.value} --connector {record.evse_id}",
        )


def where(evse_id: int) -> str:
    """Station or connector."""
    return f"connector {evse_id}" if evse_id else "station"


def fault_key(info: FaultInfo) -> str:
    """Row key."""
    return f"{info.record.code.value}@{info.record.evse_id}"


def paint_faults(frame: Frame, faults: Faults, table: TableState, glyphs: Glyphs) -> None:
    """Paint counts, the list and the texts of the chosen fault."""
    warnings = sum(1 for f in faults.items if f.severity == "warning")
    connectors = len({f.record.evse_id for f in faults.items if f.record.evse_id and f.severity != "warning"})
    frame.put(1, 0, "Active faults", "title")
    text = f"{len(faults.items) - warnings} faults  {warnings} warnings  {connectors} connectors faulted"
    frame.right(frame.width - 1, 0, text, "value")
    data, marks = [], {}
    for info in faults.items:
        record, key = info.record, fault_key(info)
        marks[key] = "warn" if info.severity == "warning" else "fault"
        place = f"conn {record.evse_id}" if record.evse_id else "station"
        now = "present" if record.present else "latched"
        cells = (
            record.code.value,
            place,
            info.name,
            info.severity,
            fmt.time_of_day(record.first_seen),
            str(record.count),
            now,
            record.detail,
        )
        data.append((key, cells))
    rows = min(len(data) + 1, max(3, frame.height - 13)) if data else 2
    empty = "[OK] No active fault. Press h for the history."
    y = put_table(frame, 0, 1, frame.width, rows, COLUMNS, data, table, glyphs, empty=empty, marks=marks)
    chosen = next((f for f in faults.items if fault_key(f) == table.key), None)
    if chosen is None:
        return
    rule(frame, y, glyphs)
    frame.put(1, y, f" {chosen.record.code.value} {chosen.name} ", "title")
    if chosen.vendor_code:
        frame.right(frame.width - 1, y, f" vendor code {chosen.vendor_code} ", "value")
    y += 1
    clear = "yes, press C" if chosen.clearable else f"no: {chosen.why_not or 'its cause stands'}"
    texts = (
        ("What", chosen.description),
        ("Detail", chosen.record.detail),
        ("Cause", chosen.cause),
        ("Impact", chosen.impact),
        ("Remote", chosen.remedy_remote),
        ("On site", chosen.remedy_on_site),
        ("Reaction", f"{REACTION.get(chosen.reaction, chosen.reaction)}; goes away {LATCH.get(chosen.latch, chosen.latch)}"),
        ("Clear", clear),
    )
    rows_of = _rows([words for _, words in texts], frame.width - 12, frame.height - y)
    for (label, words), most in zip(texts, rows_of, strict=True):
        if y < frame.height:
            frame.put(1, y, label, "dim")
            y = frame.wrap(11, y, words or fmt.NONE, frame.width - 12, "value" if label == "Clear" else "", rows=most)


def _rows(texts: list[str], width: int, room: int) -> list[int]:
    """Rows for each text: up to two, and what is left of ``room`` for the longer ones, remedies first."""
    need = [max(1, Frame(width, TEXT_ROWS).wrap(0, 0, words, width, rows=TEXT_ROWS)) for words in texts]
    rows = [min(2, n) for n in need]
    spare = max(0, room - sum(rows))
    for i in USEFUL:
        more = min(need[i] - rows[i], spare)
        rows[i], spare = rows[i] + more, spare - more
    return rows


def paint_history(frame: Frame, events: Events, table: TableState, skip: int, kind: str, glyphs: Glyphs) -> None:
    """Paint a page of events."""
    frame.put(1, 0, "Fault history" if kind else "Event history", "title")
    last = skip + len(events.items)
    frame.right(frame.width - 1, 0, f"{skip + 1 if last else 0}-{last} of {events.total}", "value")
    data = []
    for event in events.items:
        text = " ".join(f"{k}={v}" for k, v in event.data.items())
        data.append((str(event.seq), (fmt.stamp(event.wall), event.kind, str(event.evse_id or "-"), text)))
    empty = "No such event yet. Press ! to see all events."
    put_table(frame, 0, 1, frame.width, frame.height - 1, HISTORY, data, table, glyphs, empty=empty)
