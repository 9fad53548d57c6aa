"""Section B, OCPP: the link to the back end on nine pages, from its state to the doctor.

``<`` and ``>`` go through the pages, each also has a letter of its own. What a key does is said in the hints of its page.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from textual.binding import Binding, BindingType

from evse.api import models_ocpp as o
from evse.api import models_ocpp_security as s
from evse.domain.security import link_weakened
from tui.admin import ocpp_pages as pages
from tui.admin.ocpp_data import ACTS, PAGES, WRITING, Data, Filter
from tui.admin.ocpp_forms import filter_fields, filter_of, profile_fields, trigger_fields, trigger_of
from tui.admin.ocpp_messages import paint_messages, paint_state
from tui.admin.registry import register
from tui.admin.section import SectionScreen, list_bindings
from tui.keymap import bind
from tui.widgets.dialogs import ConfirmDialog, FormDialog, PromptDialog
from tui.widgets.frame import Frame
from tui.widgets.table import TableState

MESSAGES: Final = 200
"""Messages that the viewer holds."""

SCHEDULE_TURNS: Final = 5
"""Schedules are asked for at each such turn of `OcppScreen.RELOAD_S`."""

LOG_ROWS: Final = 60
QUEUE_ROWS: Final = 100

ACTIONS: Final = frozenset(action for acts in ACTS.values() for action in acts)


@register
class OcppScreen(SectionScreen):
    """One page at a time; only what it shows is asked for."""

    SECTION = "ocpp"
    RELOAD_S = 1
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("ocpp.edit", "enter,E", "edit", "Edit"),
        bind("ocpp.search", "slash", "search", "Filter"),
        bind("ocpp.freeze", "space", "freeze", "Freeze"),
        bind("ocpp.send", "S", "send", "Send"),
        bind("ocpp.every", "U", "every", "All"),
        bind("ocpp.shift", "V", "shift", "Move"),
        bind("ocpp.password", "P", "password", "Password"),
        bind("ocpp.remove", "X", "remove", "Remove"),
        bind("ocpp.other", "n", "other", "Next place"),
        bind("ocpp.next", "greater_than_sign,right", "turn(1)", "Next page"),
        bind("ocpp.previous", "less_than_sign,left", "turn(-1)", "Previous page", show=False),
        bind("ocpp.back", "escape", "back", "Back", show=False),
        *(bind(f"ocpp.page.{name}", key, f"page('{name}')", title, show=False) for name, key, title in PAGES),
        *list_bindings("ocpp"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.page = PAGES[0][0]
        self.data = Data()
        self.tables = {name: TableState() for name, _, _ in PAGES}
        self.filter = Filter()
        self.search = ""  # of the keys
        self.frozen = False
        self.whole = False  # the payload of the chosen message gets the page
        self.chosen = 0  # connector whose schedules are shown
        self.examining = False
        self._turns = 0

    # -- data ------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Fetch what the present page shows. Raises ApiError."""
        ask, data = self.admin.store.call, self.data
        match self.page:
            case "status":
                data.state, data.log = await ask("ocpp.status"), await ask("ocpp.log", o.OcppLogQuery(limit=LOG_ROWS))
            case "messages":
                if not self.frozen:
                    await self._load_messages()
            case "keys":
                data.keys = await ask("ocpp.config")
            case "queue":
                data.queue = await ask("ocpp.queue", o.OcppQueueQuery(limit=QUEUE_ROWS))
            case "schedules":
                await self._load_schedules()
            case "certs":
                data.certs = await ask("ocpp.certs")
            case "security":
                data.security = await ask("ocpp.security")
                data.events = await ask("ocpp.security_events", s.OcppSecurityEventsQuery(limit=LOG_ROWS))
            case "files":
                data.files = await ask("ocpp.transfers")

    async def _load_schedules(self) -> None:
        """Of the chosen place only, and every few seconds: a schedule is looked at far ahead."""
        self._turns += 1
        told = self.told()
        if told is None or self._turns % SCHEDULE_TURNS == 0:
            self.data.schedules = await self.admin.store.call("ocpp.explain", o.OcppScheduleQuery(evse_id=self.chosen))

    async def _load_messages(self) -> None:
        table, before = self.tables["messages"], self.data.messages
        at_end = before is None or not before.items or table.key in ("", str(before.items[-1].seq))
        found: o.OcppMessages = await self.admin.store.call("ocpp.messages", self.filter.query(MESSAGES))
        self.data.messages = found
        if at_end and found.items:
            table.key = str(found.items[-1].seq)

    def keys_shown(self) -> list[str]:
        """Keys of the rows of the present page, in their order."""
        data, text = self.data, self.search.lower()
        match self.page:
            case "messages":
                return [str(row.seq) for row in data.messages.items] if data.messages else []
            case "keys":
                return [row.key for row in data.keys.items if text in row.key.lower()] if data.keys else []
            case "queue":
                return [str(row.row_id) for row in data.queue.items] if data.queue else []
            case "schedules":
                told = self.told()
                return [str(row.profile.profile_id) for row in told.items] if told else []
            case "certs":
                return [row.fingerprint for row in data.certs.items] if data.certs else []
            case "files":
                return [str(index) for index in range(len(data.files.items))] if data.files else []
            case "doctor":
                return [step.name for step in data.doctor.items] if data.doctor else []
        return []

    def told(self) -> o.OcppScheduleExplanation | None:
        """The explanation of the chosen place; None until it has come."""
        items = self.data.schedules.items if self.data.schedules else ()
        return next((item for item in items if item.evse_id == self.chosen), None)

    # -- painting --------------------------------------------------------------------------------------------------

    def paint(self, frame: Frame) -> None:
        """Names of the pages, then the present one."""
        data, table, glyphs = self.data, self.tables[self.page], self.admin.profile.glyphs
        pages.strip(frame, self.page)
        match self.page:
            case "status" if data.state is not None and data.log is not None:
                paint_state(frame, data.state, data.log, glyphs)
            case "messages" if data.messages is not None:
                rows = data.messages.items
                paint_messages(frame, rows, table, self.filter, glyphs, frozen=self.frozen, whole=self.whole)
            case "keys" if data.keys is not None:
                shown = tuple(k for k in data.keys.items if self.search.lower() in k.key.lower())
                pages.paint_keys(frame, shown, table, self.search, glyphs)
            case "queue" if data.queue is not None:
                pages.paint_queue(frame, data.queue, table, glyphs)
            case "schedules" if (told := self.told()) is not None:
                pages.paint_schedule(frame, told, table, glyphs)
            case "certs" if data.certs is not None:
                pages.paint_certs(frame, data.certs, table, glyphs)
            case "security" if data.security is not None and data.events is not None:
                pages.paint_security(frame, data.security, data.events, glyphs)
            case "files" if data.files is not None:
                pages.paint_files(frame, data.files, table, glyphs)
            case "doctor":
                pages.paint_doctor(frame, data.doctor, table, glyphs, running=self.examining)
            case _:
                frame.put(1, 2, "Loading ...")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key that means nothing on this page, or that the role may not use, is not there."""
        if action not in ACTIONS:
            return True
        return action in ACTS[self.page] and ((self.page, action) not in WRITING or self.admin.may_write())

    def hinted(self) -> list[Binding]:
        """The keys of this page by the names they have here."""
        named = ACTS[self.page]
        return [
            dataclasses.replace(b, description=named[b.action]) if b.action in named else b
            for b in self.own_bindings()
            if b.action not in ACTIONS or b.action in named
        ]

    # -- moving ----------------------------------------------------------------------------------------------------

    def action_page(self, name: str) -> None:
        """Go to a page."""
        self.page = name
        self.reload()
        self.paint_all()

    def action_turn(self, step: int) -> None:
        """Next or previous page."""
        names = [name for name, _, _ in PAGES]
        self.action_page(names[(names.index(self.page) + step) % len(names)])

    def action_move(self, delta: int) -> None:
        """Move the cursor of the present page."""
        keys = self.keys_shown()
        self.tables[self.page].settle(keys, max(1, self.size.height))
        self.tables[self.page].move(delta, keys)
        self.paint_all()

    def action_other(self) -> None:
        """Schedules of the next place."""
        status = self.admin.store.status
        places = [0, *(view.evse_id for view in status.view.evses)] if status is not None else [0]
        at = places.index(self.chosen) if self.chosen in places else -1
        self.chosen = places[(at + 1) % len(places)]
        self.tables["schedules"] = TableState()
        self.reload()
        self.paint_all()

    def action_back(self) -> None:
        """No filter, no frozen list, no whole payload."""
        if self.page == "messages":
            self.whole, self.frozen, self.filter = False, False, self.filter if self.whole else Filter()
        self.search = ""
        self.reload()
        self.paint_all()

    def action_freeze(self) -> None:
        """Stop the list of messages, or let it go on."""
        self.frozen = not self.frozen
        self.reload()
        self.paint_all()

    def action_search(self) -> None:
        """Filter messages, or search keys."""
        if self.page == "messages":

            def filtered(changed: dict[str, str] | None) -> None:
                if changed is not None:
                    self.filter = filter_of(self.filter, changed)
                    self.tables["messages"] = TableState()
                    self.frozen = False
                    self.reload()

            self.admin.push_screen(FormDialog("Filter messages", filter_fields(self.filter), "Filter", fresh=True), filtered)
            return

        def searched(text: str | None) -> None:
            if text is not None:
                self.search = text.strip()
                self.tables["keys"] = TableState()
                self.paint_all()

        self.admin.push_screen(PromptDialog("Search keys", self.search, help_="Part of a name; empty = all"), searched)

    # -- doing -----------------------------------------------------------------------------------------------------

    def action_edit(self) -> None:
        """Whole payload, another value, another profile, or examine."""
        match self.page:
            case "messages":
                self.whole = not self.whole
                self.paint_all()
            case "keys":
                self._edit_key()
            case "security":
                self._edit_profile()
            case "doctor":
                self._examine()

    def _edit_key(self) -> None:
        chosen = next((k for k in self.data.keys.items if k.key == self.tables["keys"].key), None) if self.data.keys else None
        if chosen is None:
            return
        if chosen.readonly:
            self.refuse(f"{chosen.key} is read-only")
            return

        def answered(value: str | None) -> None:
            if value is None or (value == chosen.value and not chosen.writeonly):
                return

            async def act() -> None:
                result: o.OcppKeyResult = await self.admin.store.call("ocpp.set", o.OcppKeySet(key=chosen.key, value=value))
                good = result.status in ("Accepted", "RebootRequired")
                self.admin.toast(f"{chosen.key}: {result.status}", "ok" if good else "fault")
                await self.load()

            self.call_then(act)

        hint = f"{chosen.range} {chosen.unit}".strip() or chosen.type
        dialog = PromptDialog(chosen.key, chosen.value, mask="*" if chosen.writeonly else "", help_=f"{hint}   Enter set   Esc cancel")
        self.admin.push_screen(dialog, answered)

    def _edit_profile(self) -> None:
        state = self.data.security
        if state is None:
            return

        def answered(values: dict[str, str] | None) -> None:
            if values is None:
                return
            profile, url = int(values["profile"][0]), values["url"].strip()
            other = "" if url == state.url else url
            newest = (state.staged or state).url
            weaker = link_weakened((state.profile, state.url), (profile, other or newest))
            request = s.OcppSetProfile(profile=profile, url=other, confirm=bool(weaker))
            lines = [
                f"Profile {profile}: {pages.PROFILES[profile]}, at {other or newest}",
                "The link is dialled anew. When the CSMS does not accept, the station goes back by itself.",
            ]
            if request.confirm:
                lines.append("Everything that is said can then be read and changed on its way.")
            severe = str(profile) if request.confirm else ""
            self._secure("Change", "Change the security profile", lines, "ocpp.set_profile", request, type_this=severe,
                         cli=f"evsectl ocpp security set-profile {profile}")  # fmt: skip

        self.admin.push_screen(FormDialog("Security profile", profile_fields(state), "Next", fresh=True), answered)

    def _examine(self) -> None:
        if self.examining:
            return
        self.examining = True
        self.paint_all()

        async def act() -> None:
            try:
                self.data.doctor = await self.admin.store.call("ocpp.doctor")
                self.tables["doctor"].key = self.data.doctor.failed or self.data.doctor.items[0].name if self.data.doctor else ""
            finally:
                self.examining = False

        self.call_then(act)

    def action_send(self) -> None:
        """A message now, a parked one again, a request for a certificate."""
        match self.page:
            case "status":
                self.admin.push_screen(FormDialog("Send a message now", trigger_fields(), "Send", fresh=True), self._trigger)
            case "queue":
                key = self.tables["queue"].key
                if key:
                    self._do("ocpp.resend", o.OcppResend(row_id=int(key)), "sent again")
            case "certs":
                self._secure("Request", "Request a certificate", ["A new key is made; the CSMS is asked to sign a certificate for it."],
                             "ocpp.cert_request", None, cli="evsectl ocpp certs request")  # fmt: skip

    def _trigger(self, values: dict[str, str] | None) -> None:
        if values is not None:
            self._do("ocpp.trigger", trigger_of(values), "sent")

    def action_every(self) -> None:
        """Every parked message again."""
        self._do("ocpp.resend", o.OcppResend(), "sent again")

    def action_shift(self) -> None:
        """Messages of another back end to this one."""
        queue = self.data.queue
        if queue is None or not queue.foreign:
            self.refuse("No message is for another back end")
            return
        lines = [
            f"{queue.foreign} messages were made for another back end and go to {queue.backend}.",
            "What continues a transaction of the other one is parked: this one does not know its number.",
        ]
        request = o.OcppForeign(confirm=queue.foreign)
        self.confirm("Move", "Move messages", lines, lambda: self.admin.store.call("ocpp.queue_move", request), done="moved",
                     cli="evsectl ocpp queue move")  # fmt: skip

    def action_password(self) -> None:
        """Another password towards the CSMS."""

        def answered(secret: str | None) -> None:
            if secret:
                lines = ["The link is dialled anew with the new password.", "The old one is kept until the CSMS has accepted the new one."]
                self._secure("Set", "Set the password", lines, "ocpp.set_password", s.OcppSetPassword(secret=secret))

        help_ = "16 to 40 characters   Enter accept   Esc cancel"
        self.admin.push_screen(PromptDialog("Password towards the CSMS", mask="*", help_=help_), answered)

    def action_remove(self) -> None:
        """Reconnect, discard, delete, drop, give up: each behind a question."""
        match self.page:
            case "status":
                lines = ["The link is closed and dialled again.", "Transactions go on; their messages wait meanwhile."]
                self.confirm("Reconnect", "Reconnect", lines, lambda: self.admin.store.call("ocpp.reconnect"), done="dialling",
                             cli="evsectl ocpp reconnect")  # fmt: skip
            case "queue":
                self._discard()
            case "certs":
                self._delete()
            case "security":
                self._do("ocpp.cancel_change", None, "dropped")
            case "files":
                self._give_up()

    def _discard(self) -> None:
        queue = self.data.queue
        if queue is None or not queue.foreign:
            self.refuse("Only messages for another back end can be discarded, and there is none")
            return
        lines = [f"{queue.foreign} transaction messages for another back end are removed for ever.", "Nobody will bill what they tell of."]
        request = o.OcppForeign(confirm=queue.foreign)
        self.confirm("Discard", "Discard messages", lines, lambda: self.admin.store.call("ocpp.queue_discard", request), done="discarded",
                     type_this=str(queue.foreign), cli="evsectl ocpp queue discard")  # fmt: skip

    def _delete(self) -> None:
        items: Sequence[s.OcppCertificate] = self.data.certs.items if self.data.certs else ()
        chosen = next((c for c in items if c.fingerprint == self.tables["certs"].key), None)
        if chosen is None:
            return
        lines = [f"{pages.PURPOSES.get(chosen.type, chosen.type)}: {chosen.subject}", "What it has signed is not trusted any more."]
        last = chosen.type == pages.CSMS_ROOT and sum(c.type == pages.CSMS_ROOT for c in items) == 1
        if last:
            lines.append("It is the last root of the CSMS: TLS then works with the roots of the system only.")
        request = s.OcppCertDelete(fingerprint=chosen.fingerprint, confirm=last)
        self._secure("Delete", f"Delete {chosen.fingerprint[:16]}", lines, "ocpp.cert_delete", request,
                     type_this=chosen.fingerprint[:4] if last else "", cli=f"evsectl ocpp certs delete {chosen.fingerprint[:16]}")  # fmt: skip

    def _give_up(self) -> None:
        files, table = self.data.files, self.tables["files"]
        if files is None or not files.items:
            return
        chosen = files.items[min(table.cursor, len(files.items) - 1)]
        if chosen.state != "running":
            self.refuse(f"This {chosen.transfer} transfer has ended")
            return
        request = s.OcppTransferRef(transfer=chosen.transfer)  # type: ignore[arg-type]  # the daemon names its own kinds
        self.confirm("Give up", f"Give up {chosen.transfer}", ["The CSMS is told; it may ask again."],
                     lambda: self.admin.store.call("ocpp.transfer_cancel", request), done="given up",
                     cli=f"evsectl ocpp transfers cancel {chosen.transfer}")  # fmt: skip

    def _do(self, operation: str, request: Any, done: str) -> None:
        """Carry out something that takes nothing away."""

        async def act() -> None:
            answer = await self.admin.store.call(operation, request)
            self.admin.toast(answer.detail or done, "ok" if answer.changed else "warn")
            await self.load()

        self.call_then(act)

    def _secure(
        self, verb: str, title: str, lines: list[str], operation: str, request: Any, *, type_this: str = "", cli: str = ""
    ) -> None:
        """Ask, then change something of the security; a refusal is told with its reason."""

        def answered(yes: bool | None) -> None:
            async def act() -> None:
                result: s.OcppSecurityResult = await self.admin.store.call(operation, request)
                good = result.status in ("Accepted", "RebootRequired")
                self.admin.toast(f"{result.status}{': ' + result.reason if result.reason else ''}", "ok" if good else "fault")
                await self.load()

            if yes:
                self.call_then(act)

        self.admin.push_screen(ConfirmDialog(verb, title, lines, type_this=type_this, cli=cli), answered)
