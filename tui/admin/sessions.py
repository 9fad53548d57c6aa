"""Section 3, Sessions: active and completed, paged and filtered by the daemon; detail with power and SoC plots."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from textual.binding import BindingType

from evse.api.models import SessionDetail, SessionQuery, SessionRef, Sessions
from evse.domain.session import SessionRecord
from tui import format as fmt
from tui.admin.registry import register
from tui.admin.section import SectionScreen, list_bindings
from tui.driver.glyphs import Glyphs
from tui.keymap import bind
from tui.widgets.dialogs import PromptDialog
from tui.widgets.frame import Frame
from tui.widgets.parts import plot, rule, values
from tui.widgets.table import Column, TableState, put_table
from tui.words import AUTH_SOURCES, REASONS

State = Literal["all", "active", "completed"]
STATES: Final[tuple[State, ...]] = ("all", "active", "completed")
COLUMNS = (
    Column(title="No", width=2, right=True),
    Column(title="Started", width=19),
    Column(title="Ended", width=19, priority=6),
    Column(title="Duration", width=8, right=True, priority=1),
    Column(title="Meter start", width=11, right=True, priority=8),
    Column(title="Meter stop", width=11, right=True, priority=8),
    Column(title="kWh", width=7, right=True),
    Column(title="SoC %", width=9, priority=2),
    Column(title="Source", width=8, priority=5),
    Column(title="Identity", width=14, priority=4),
    Column(title="Stop", width=14, priority=3, grow=True),
)


@register
class SessionsScreen(SectionScreen):
    """A page of sessions; Enter opens one, Esc comes back."""

    SECTION = "sessions"
    RELOAD_S = 5
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("sessions.open", "enter,d", "open", "Detail"),
        bind("sessions.back", "escape", "back", "Back", show=False),
        bind("sessions.filter", "slash", "filter", "Filter"),
        bind("sessions.state", "a", "state", "All/active/done"),
        bind("sessions.next", "n,pagedown,right", "page(1)", "Next page"),
        bind("sessions.previous", "N,p,pageup,left", "page(-1)", "Previous"),
        *list_bindings("sessions"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.table = TableState()
        self.page: Sessions | None = None
        self.detail: SessionDetail | None = None
        self.skip = 0
        self.text = ""
        self.state: State = "all"

    def rows_per_page(self) -> int:
        """As many as the body shows."""
        return max(5, self.size.height - 4 - 3)

    async def load(self) -> None:
        """Fetch the page."""
        query = SessionQuery(state=self.state, text=self.text, limit=self.rows_per_page(), offset=self.skip)
        page = await self.admin.store.call("session.list", query)
        if page.total and self.skip >= page.total:
            self.skip = max(0, page.total - query.limit)
            page = await self.admin.store.call(
                "session.list", SessionQuery(state=self.state, text=self.text, limit=query.limit, offset=self.skip)
            )
        self.page = page

    def paint(self, frame: Frame) -> None:
        """The page or the detail."""
        if self.detail is not None:
            paint_detail(frame, self.detail, self.admin.profile.glyphs)
        elif self.page is None:
            frame.put(1, 1, "Loading sessions ...")
        else:
            paint_sessions(frame, self.page, self.table, self.skip, self.state, self.text, self.admin.profile.glyphs)

    def action_move(self, delta: int) -> None:
        """Move the cursor."""
        if self.page is not None and self.detail is None:
            self.table.move(delta, [s.session_id for s in self.page.items])
            self.paint_all()

    def action_page(self, step: int) -> None:
        """Next or previous page."""
        if self.page is None or self.detail is not None:
            return
        size = self.rows_per_page()
        offset = self.skip + step * size
        if 0 <= offset < self.page.total or (offset < 0 < self.skip):
            self.skip = max(0, offset)
            self.table = TableState()
            self.reload()

    def action_state(self) -> None:
        """All, active, completed."""
        self.state = STATES[(STATES.index(self.state) + 1) % len(STATES)]
        self.skip = 0
        self.reload()

    def action_filter(self) -> None:
        """Ask for a text; the daemon filters."""

        def answered(text: str | None) -> None:
            if text is not None:
                self.text, self.skip, self.table = text.strip(), 0, TableState()
                self.reload()

        help_ = "Identity, vehicle, session, stop reason or fault; empty = all"
        self.admin.push_screen(PromptDialog("Filter sessions", self.text, help_=help_), answered)

    def action_open(self) -> None:
        """Fetch and show one session."""
        if self.page is None or not self.page.items or self.detail is not None:
            return
        keys = [s.session_id for s in self.page.items]
        self.table.settle(keys, self.rows_per_page())

        async def act() -> None:
            self.detail = await self.admin.store.call("session.get", SessionRef(session_id=self.table.key))

        self.call_then(act)

    def action_back(self) -> None:
        """Detail -> list -> no filter."""
        if self.detail is not None:
            self.detail = None
        elif self.text:
            self.text, self.skip = "", 0
            self.reload()
        self.paint_all()


def _soc(record: SessionRecord) -> str:
    return f"{fmt.percent(record.soc_start_pct)} > {fmt.percent(record.soc_end_pct)}"


def _row(record: SessionRecord) -> tuple[str, ...]:
    stop = REASONS[record.stop_reason] if record.stop_reason else ("active" if record.ended_at is None else fmt.NONE)
    return (
        str(record.evse_id),
        fmt.stamp(record.started_at or record.plugged_at),
        fmt.stamp(record.ended_at),
        fmt.duration(fmt.between(record.started_at, record.ended_at)),
        fmt.kwh(record.meter_start_wh),
        fmt.kwh(record.meter_stop_wh),
        fmt.kwh(record.energy_wh),
        _soc(record),
        AUTH_SOURCES[record.auth_source],
        record.id_token or fmt.NONE,
        f"{stop}{' ' + record.fault if record.fault else ''}",
    )


def paint_sessions(
    frame: Frame, page: Sessions, table: TableState, offset: int, state: str, text: str, glyphs: Glyphs
) -> None:
    """Paint title line with totals, the table and the place in the history."""
    filtered = f'  filter "{text}"' if text else ""
    frame.put(1, 0, f"Sessions ({state}){filtered}", "title")
    frame.right(frame.width - 1, 0, f"{page.total} sessions  {fmt.kwh(page.energy_wh)} kWh", "value")
    data = [(s.session_id, _row(s)) for s in page.items]
    marks = {s.session_id: "warn" if s.fault else "ok" if s.ended_at is None else "" for s in page.items}
    empty = (
        "No session matches; Esc clears the filter." if text or state != "all" else "No session yet: plug in a vehicle."
    )
    put_table(frame, 0, 1, frame.width, frame.height - 2, COLUMNS, data, table, glyphs, empty=empty, marks=marks)
    last = offset + len(page.items)
    if page.total:
        frame.put(1, frame.height - 1, f"Showing {offset + 1}-{last} of {page.total}", "dim")


def paint_detail(frame: Frame, detail: SessionDetail, glyphs: Glyphs) -> None:
    """Paint one session: figures, plots, events."""
    record, half = detail.session, frame.width // 2
    frame.put(1, 0, f"Session {record.session_id}", "title")
    frame.right(frame.width - 1, 0, "Esc back", "dim")
    left = [
        ("Connector", str(record.evse_id)),
        ("Plugged in", fmt.stamp(record.plugged_at)),
        ("Started", fmt.stamp(record.started_at)),
        ("Ended", fmt.stamp(record.ended_at)),
        ("Duration", fmt.duration(fmt.between(record.started_at, record.ended_at)) if record.ended_at else "active"),
        ("Stop reason", REASONS[record.stop_reason] if record.stop_reason else fmt.NONE),
        ("Fault", record.fault or "none"),
    ]
    right = [
        ("Energy kWh", fmt.kwh(record.energy_wh)),
        ("Meter start kWh", fmt.kwh(record.meter_start_wh)),
        ("Meter stop kWh", fmt.kwh(record.meter_stop_wh)),
        ("SoC %", _soc(record)),
        ("Peak kW", fmt.kw(record.power_max_w)),
        ("Identity", f"{record.id_token or fmt.NONE} ({AUTH_SOURCES[record.auth_source]})"),
        ("Transaction", str(record.transaction_id) if record.transaction_id is not None else fmt.NONE),
    ]
    values(frame, 1, 1, half - 3, left)
    y = values(frame, half, 1, frame.width - half - 1, right)
    height = max(2, min(8, (frame.height - y - 4) // 2))
    y = _plot(frame, y, half, height, detail, glyphs)
    rule(frame, y, glyphs)
    frame.put(1, y, " Events ", "title")
    for event in detail.events[: max(0, frame.height - y - 1)]:
        y += 1
        data = " ".join(f"{k}={v}" for k, v in event.data.items())
        frame.put(1, y, f"{fmt.time_of_day(event.wall)} {event.kind:<22} {data}", "", limit=frame.width - 2)


def _plot(frame: Frame, y: int, half: int, height: int, detail: SessionDetail, glyphs: Glyphs) -> int:
    powers = [p.power_w for p in detail.points]
    socs = [p.soc_pct for p in detail.points]
    known = [s for s in socs if s is not None]
    width = half - 3
    if powers:
        text = f"Power kW  last {fmt.kw(powers[-1])}  min {fmt.kw(min(powers))}  max {fmt.kw(max(powers))}"
        frame.put(1, y, text, "dim", limit=width)
        plot(frame, 1, y + 1, width, height, powers, glyphs, top=max(1, *powers))
    else:
        frame.put(1, y, "No power recorded", "dim")
    if known:
        frame.put(half, y, f"SoC %  start {known[0]}  last {known[-1]}", "dim", limit=frame.width - half - 1)
        plot(frame, half, y + 1, frame.width - half - 1, height, socs, glyphs, top=100)
    else:
        frame.put(half, y, "No SoC reported by the vehicle", "dim")
    return y + height + 1
