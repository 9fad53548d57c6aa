"""Section W, Whitelist: the station's own cards and vehicles, paged and searched by the daemon; add, edit, learn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar, Final

from textual.binding import BindingType

from evse.api.errors import ApiError
from evse.api.models import Readers
from evse.api.models_whitelist import Whitelist, WhitelistEntry, WhitelistQuery, WhitelistRef, WhitelistWindow
from tui import format as fmt
from tui.admin.registry import register
from tui.admin.section import WIDE, SectionScreen, list_bindings
from tui.admin.whitelist_forms import (
    KINDS,
    add_request,
    edit_fields,
    edit_request,
    entry_fields,
    expires_text,
    learn_fields,
    learn_request,
)
from tui.admin.whitelist_learn import LearnDialog
from tui.driver.glyphs import Glyphs
from tui.keymap import bind
from tui.widgets.dialogs import Field, FormDialog, PromptDialog
from tui.widgets.frame import Frame
from tui.widgets.parts import rule
from tui.widgets.table import Column, TableState, put_table

DAY: Final = len("2027-12-31")
BELOW: Final = 5
"""Rows under the table: rule, the chosen entry, place in the list."""
COLUMNS = (
    Column(title="Id", width=16),
    Column(title="Type", width=7, priority=3),
    Column(title="Name", width=18, grow=True),
    Column(title="Answer", width=12),
    Column(title="Expires", width=10, priority=1),
    Column(title="Last used", width=10, priority=2),
)
COLUMNS_WIDE = (
    Column(title="Id", width=22),
    Column(title="Type", width=7),
    Column(title="Name", width=24, grow=True),
    Column(title="Answer", width=12),
    Column(title="Expires UTC", width=20),
    Column(title="Last used", width=19),
    Column(title="Added", width=19, priority=1),
)
SAYS: Final = {
    "allowed": ("[OK] allowed", "", "may charge"),
    "blocked": ("[X] blocked", "fault", "is refused, whatever others say"),
    "expired": ("[!] expired", "warn", "is refused: its day has come"),
    "no_clock": ("[!] no time", "warn", "is no answer: it ends some day, and the station does not know the time"),
}
"""What an entry answers -> word of the list, role, what it means."""
IMPORT: Final = "CSV file: evsectl whitelist import FILE"


@register
class WhitelistScreen(SectionScreen):
    """A page of the list with the chosen entry in full below it."""

    SECTION = "whitelist"
    RELOAD_S = 10
    WRITES = frozenset({"add", "edit", "remove", "learn"})
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("whitelist.add", "C", "add", "Create"),
        bind("whitelist.edit", "E,enter", "edit", "Edit"),
        bind("whitelist.remove", "X", "remove", "Remove"),
        bind("whitelist.learn", "S", "learn", "Learn"),
        bind("whitelist.search", "slash", "search", "Search"),
        bind("whitelist.back", "escape", "back", "All again", show=False),
        bind("whitelist.next", "n,pagedown,right", "page(1)", "Next page"),
        bind("whitelist.previous", "N,p,pageup,left", "page(-1)", "Previous", show=False),
        *list_bindings("whitelist"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.table = TableState()
        self.page: Whitelist | None = None
        self.skip = 0
        self.text = ""
        self.problem = ""  # why there is no page

    def rows_per_page(self) -> int:
        """As many as the body shows."""
        return max(1, self.size.height - 4 - 2 - BELOW)

    async def load(self) -> None:
        """Fetch the page; the last one when the list has become shorter. Raises ApiError."""
        limit = self.rows_per_page()
        try:
            page = await self._fetch(limit)
            if page.total and self.skip >= page.total:
                self.skip = (page.total - 1) // limit * limit
                page = await self._fetch(limit)
        except ApiError as error:
            self.problem = error.message
            raise
        self.page, self.problem = page, ""

    async def _fetch(self, limit: int) -> Whitelist:
        query = WhitelistQuery(text=self.text, limit=limit, offset=self.skip)
        page: Whitelist = await self.admin.store.call("whitelist.list", query)
        return page

    def paint(self, frame: Frame) -> None:
        """The page, or why there is none."""
        if self.page is None:
            frame.wrap(1, 1, self.problem or "Loading the list ...", frame.width - 2, "fault" if self.problem else "")
        else:
            paint_whitelist(frame, self.page, self.table, self.skip, self.text, self.admin.profile.glyphs)

    def chosen(self) -> WhitelistEntry | None:
        """The entry under the cursor."""
        items = self.page.items if self.page is not None else ()
        self.table.settle([entry.id for entry in items], self.rows_per_page())
        return next((entry for entry in items if entry.id == self.table.key), None)

    # -- moving ----------------------------------------------------------------------------------------------------

    def action_move(self, delta: int) -> None:
        """Move the cursor."""
        if self.page is not None:
            self.table.move(delta, [entry.id for entry in self.page.items])
            self.paint_all()

    def action_page(self, step: int) -> None:
        """Next or previous page."""
        offset = self.skip + step * self.rows_per_page()
        if self.page is not None and (0 <= offset < self.page.total or offset < 0 < self.skip):
            self._show(self.text, max(0, offset))

    def action_search(self) -> None:
        """Ask for a text; the daemon searches."""

        def answered(text: str | None) -> None:
            if text is not None:
                self._show(text.strip(), 0)

        help_ = "Part of an id or a name; empty = all"
        self.admin.push_screen(PromptDialog("Search the list", self.text, help_=help_), answered)

    def action_back(self) -> None:
        """No search."""
        if self.text:
            self._show("", 0)

    def _show(self, text: str, skip: int) -> None:
        self.text, self.skip, self.table = text, skip, TableState()
        self.reload()

    # -- changing --------------------------------------------------------------------------------------------------

    def action_add(self) -> None:
        """A form for a new entry."""

        def form(typed: dict[str, str] | None) -> list[Field]:
            return entry_fields(typed)

        async def send(values: dict[str, str]) -> None:
            self._done(await self.admin.store.call("whitelist.add", add_request(values)), "added")
            await self.load()

        self._ask("Add a card or a vehicle", "Add", form, send, fresh=True)

    def action_edit(self) -> None:
        """A form with the chosen entry; only what was changed is sent."""
        entry = self.chosen()
        if entry is None:
            return

        def form(typed: dict[str, str] | None) -> list[Field]:
            return edit_fields(entry, typed)

        async def send(values: dict[str, str]) -> None:
            self._done(await self.admin.store.call("whitelist.edit", edit_request(entry.id, values)), "changed")
            await self.load()

        self._ask(f"Edit {entry.id}", "Change", form, send)

    def action_remove(self) -> None:
        """Remove the chosen entry, behind a question."""
        entry = self.chosen()
        if entry is None:
            return
        lines = [
            f"{KINDS.get(entry.type, entry.type)} {entry.name}, last used {fmt.stamp(entry.used_at)}",
            "It charges only if somebody else allows it then. A session that runs goes on.",
        ]
        if not entry.allow:
            lines[1] = "It is blocked now; without the entry others decide, and may allow it."
        self.confirm(
            "Remove", f"Remove {entry.id}", lines,
            lambda: self.admin.store.call("whitelist.remove", WhitelistRef(id=entry.id)), done=f"{entry.id} removed",
            cli=f"evsectl whitelist remove {entry.id}",
        )  # fmt: skip

    def action_learn(self) -> None:
        """Ask where, then wait for what comes."""

        async def act() -> None:
            readers: Readers = await self.admin.store.call("rfid.last")
            status = self.admin.store.status
            evses = status.view.evses if status is not None else ()
            places = (*(f"reader {row.name}" for row in readers.items), *(f"connector {v.evse_id}" for v in evses))
            if not places:
                self.refuse("There is no card reader and no connector to learn at")
                return
            self._ask("Learn a card or a vehicle", "Wait", lambda typed: learn_fields(places, typed), self._learn, fresh=True)

        self.call_then(act)

    async def _learn(self, values: dict[str, str]) -> None:
        window: WhitelistWindow = await self.admin.store.call("whitelist.learn", learn_request(values))

        def ended(last: WhitelistWindow | None) -> None:
            if last is not None and last.entry is not None:
                self.table.key = last.entry.id
            self.reload()

        self.admin.push_screen(LearnDialog(self.admin.store, window), ended)

    def _ask(
        self, title: str, apply: str, form: Callable[[dict[str, str] | None], list[Field]],
        send: Callable[[dict[str, str]], Awaitable[None]], *, fresh: bool = False,
        typed: dict[str, str] | None = None, refused: str = "",
    ) -> None:  # fmt: skip
        """Show a form and send what was typed; a refusal brings the form back with the reason."""

        def answered(values: dict[str, str] | None) -> None:
            async def act() -> None:
                assert values is not None
                try:
                    await send(values)
                except ApiError as error:
                    self._ask(title, apply, form, send, fresh=fresh, typed=values, refused=error.message)

            if values is not None:
                self.call_then(act)

        self.admin.push_screen(FormDialog(title, form(typed), apply, fresh=fresh, refused=refused), answered)

    def _done(self, entry: WhitelistEntry, verb: str) -> None:
        self.table.key = entry.id
        self.admin.toast(f"{entry.id} {verb}", "ok")


def paint_whitelist(
    frame: Frame, page: Whitelist, table: TableState, offset: int, text: str, glyphs: Glyphs
) -> None:
    """Paint title, table, the chosen entry and the place in the list."""
    frame.put(1, 0, f'Whitelist  search "{text}"' if text else "Whitelist", "title", limit=frame.width - 20)
    frame.right(frame.width - 1, 0, f"{page.total} {'found' if text else 'entries'}", "value")
    wide = frame.width >= WIDE
    data = [(entry.id, _row(entry, wide=wide)) for entry in page.items]
    marks = {entry.id: SAYS[entry.says][1] for entry in page.items if entry.says in SAYS}
    empty = (
        "No id and no name holds this text; Esc shows all again." if text
        else "The list is empty. C creates an entry, S learns the next card or vehicle."
    )  # fmt: skip
    columns = COLUMNS_WIDE if wide else COLUMNS
    rows = frame.height - 1 - BELOW
    put_table(frame, 0, 1, frame.width, rows, columns, data, table, glyphs, empty=empty, marks=marks)
    y = frame.height - BELOW
    chosen = next((entry for entry in page.items if entry.id == table.key), None)
    if y > 2 and chosen is not None:
        rule(frame, y, glyphs)
        _chosen(frame, y + 1, chosen)
    last = frame.height - 1
    if page.total:
        frame.put(1, last, f"Showing {offset + 1}-{offset + len(page.items)} of {page.total}", "dim")
    frame.right(frame.width - 1, last, IMPORT, "dim")


def _row(entry: WhitelistEntry, *, wide: bool) -> tuple[str, ...]:
    expires = expires_text(entry.expires_at) or "never"
    used = fmt.stamp(entry.used_at)
    cells = (
        entry.id, KINDS.get(entry.type, entry.type), entry.name or fmt.NONE,
        SAYS[entry.says][0] if entry.says in SAYS else entry.says,
    )  # fmt: skip
    return (*cells, expires, used, fmt.stamp(entry.created_at)) if wide else (*cells, expires[:DAY], used[:DAY])


def _chosen(frame: Frame, y: int, entry: WhitelistEntry) -> None:
    """Three lines with everything that the columns may cut."""
    x = frame.put(1, y, f"{entry.id}  ", "title")
    word, role, meaning = SAYS.get(entry.says, (entry.says, "", ""))
    frame.put(x, y, f"{word}: {KINDS.get(entry.type, entry.type)} {meaning}", role, limit=frame.width - x - 1)
    frame.put(1, y + 1, entry.name or "no name", "value" if entry.name else "dim", limit=frame.width - 2)
    times = f"Expires {expires_text(entry.expires_at) or 'never'}   Last used {fmt.stamp(entry.used_at)}"
    x = frame.put(1, y + 2, times, "dim", limit=frame.width - 2)
    frame.put(x, y + 2, f"   Added {fmt.stamp(entry.created_at)}", "dim")
