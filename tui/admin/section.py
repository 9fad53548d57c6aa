"""Base of the sections: header, section bar, body, toast line and key hints, each one widget of cells."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from evse.api.errors import ApiError
from evse.api.models import Done
from evse.domain.session import OperationalStatus
from evse.units import NS_PER_S, Instant
from tui import format as fmt
from tui.admin import registry
from tui.keymap import bind, hint_line
from tui.state.store import Link
from tui.widgets.dialogs import ConfirmDialog
from tui.widgets.frame import Frame, FrameView
from tui.words import SERVICE, all_faults

if TYPE_CHECKING:
    from tui.admin.app import AdminApp

log = logging.getLogger("tui.admin")

WIDE: Final = 120
"""From this width a second pane fits."""

LINES_AROUND: Final = 4
"""Header, section bar, toast line and key hints: what is not the body."""


class SectionScreen(Screen[None], inherit_bindings=False):
    """One section. Subclasses set SECTION, BINDINGS and WRITES, load data and paint the body."""

    SECTION: ClassVar[str] = ""
    RELOAD_S: ClassVar[int] = 0  # fetch again at least so often; 0 = only when asked
    WRITES: ClassVar[frozenset[str]] = frozenset()  # actions that change state: gone with --readonly or a low role
    BINDINGS: ClassVar[list[BindingType]] = []
    DEFAULT_CSS = """
    SectionScreen { layout: vertical; background: ansi_default; }
    SectionScreen .line { width: 100%; height: 1; }
    SectionScreen #body { width: 100%; height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.busy = ""  # "working..." text of a call that runs
        self._views: dict[str, FrameView] = {}
        self._loaded_at: Instant = 0

    @property
    def admin(self) -> AdminApp:
        """The app, typed."""
        from tui.admin.app import AdminApp

        assert isinstance(self.app, AdminApp)
        return self.app

    def compose(self) -> ComposeResult:
        """Five widgets, top to bottom."""
        styles = self.admin.role_styles
        for name in ("head", "bar", "body", "toast", "hints"):
            self._views[name] = FrameView(styles, id=name, classes="" if name == "body" else "line")
            yield self._views[name]

    def on_screen_resume(self) -> None:
        """Shown again: fresh data, fresh picture."""
        self.reload()
        self.call_after_refresh(self.paint_all)

    def on_resize(self) -> None:
        """New size."""
        self.call_after_refresh(self.paint_all)

    # -- to be filled by sections ----------------------------------------------------------------------------------

    async def load(self) -> None:
        """Fetch what the stream does not carry. Raises ApiError."""

    def paint(self, frame: Frame) -> None:
        """Paint the body."""
        raise NotImplementedError

    def place(self) -> str:
        """Which part of the body is shown, for the line below it; "" = all."""
        return ""

    # -- painting --------------------------------------------------------------------------------------------------

    def paint_all(self) -> None:
        """Paint every line; equal cells cost nothing."""
        width, height = self.size
        if not width or "body" not in self._views or not self._views["body"].is_attached:
            return
        self._views["head"].show(self._head(width))
        self._views["bar"].show(self._bar(width))
        body = Frame(width, max(1, height - LINES_AROUND))
        self.paint(body)
        self._views["body"].show(body)
        self._views["toast"].show(self._toast(width))
        self._views["hints"].show(self._hints(width))

    def _head(self, width: int) -> Frame:
        frame, app = Frame(width, 1), self.admin
        store, status = app.store, app.store.status
        frame.fill(0, "head")
        link = store.link()
        parts = ["--"] if status is None else [status.station_id]
        if link in {Link.STALE, Link.OFFLINE}:
            parts.append(f"{link.value.upper()} {store.silence_s() // 5 * 5}s")
        elif status is not None:
            good = status.view.operational is OperationalStatus.OPERATIVE
            parts.append(f"{'[OK]' if good else '[X]'} {SERVICE[status.view.operational]}")
        else:
            parts.append("connecting")
        if status is not None:
            ocpp = status.ocpp
            parts.append("CSMS off" if not ocpp.enabled else "CSMS up" if ocpp.connected else "CSMS DOWN")
            online = sum(1 for item in status.links if item.online)
            parts.append(f"links {online}/{len(status.links)}")
        frame.put(1, 0, " | ".join(parts), "head")
        frame.right(width - 1, 0, f"{fmt.clock(store.station_now() or None)} | {app.role_text()}", "head")
        return frame

    def _bar(self, width: int) -> Frame:
        frame, status = Frame(width, 1), self.admin.store.status
        faults = 0 if status is None else len(all_faults(status.view))
        x = 0
        for text, role in registry.bar(width, self.SECTION, {"faults": f"({faults})"} if faults else {}):
            x = frame.put(x, 0, text, role)
        return frame

    def _toast(self, width: int) -> Frame:
        frame, app = Frame(width, 1), self.admin
        text, role = app.toast_now()
        link = app.store.link()
        if not text and link is Link.OFFLINE:
            text, role = (
                f"OFFLINE: {app.store.last_error or 'the daemon does not answer'}; values are old, r tries now",
                "warn",
            )
        if not text and self.busy:
            text = self.busy
        frame.put(1, 0, text, role)
        if not text:
            frame.right(width - 1, 0, self.place(), "dim")
        return frame

    def _hints(self, width: int) -> Frame:
        frame = Frame(width, 1)
        own = [b for b in self.hinted() if self.check_action(b.action.partition("(")[0], ()) is not False]
        common = [b for b in self.admin.common_bindings() if b.show]
        line = hint_line(own + common, width - 2)
        help_ = hint_line(common[:1], width - 2)
        if help_ not in line:  # the way to all keys is always there
            line = f"{hint_line(own, width - 4 - len(help_))}  {help_}"
        frame.put(1, 0, line, "dim")
        return frame

    def hinted(self) -> list[Binding]:
        """Bindings worth a hint as things stand; sections with many keys leave some to the help."""
        return self.own_bindings()

    def own_bindings(self) -> list[Binding]:
        """Bindings of this section in their order."""
        return [b for b in self.BINDINGS if isinstance(b, Binding)]

    # -- calls -----------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """State-changing actions are not there when reading only or offline."""
        return action not in self.WRITES or self.admin.may_write()

    def reload_if_due(self, now: Instant) -> None:
        """Fetch again when the last time was `RELOAD_S` ago; not while the daemon is away."""
        if self.RELOAD_S and now - self._loaded_at >= self.RELOAD_S * NS_PER_S:
            self._loaded_at = now
            if self.admin.store.link() is Link.LIVE:
                self.reload()

    def reload(self) -> None:
        """Load in the background; a newer load replaces an older one."""
        self.run_worker(self._guarded(self.load), group=f"load-{self.SECTION}", exclusive=True, exit_on_error=False)

    def call_then(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run an operation in the background and report what went wrong."""
        self.run_worker(self._guarded(work), group="act", exit_on_error=False)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ApiError as error:
            self.admin.toast(f"{error.message}{' - ' + error.hint if error.hint else ''}", "fault")
        if self.is_current:
            self.paint_all()

    def refuse(self, text: str) -> None:
        """Say at once why something cannot be done here."""
        self.admin.toast(text, "fault")
        self.paint_all()

    def confirm(
        self, verb: str, title: str, consequences: list[str], call: Callable[[], Awaitable[Any]], *, done: str,
        type_this: str = "", cli: str = "",
    ) -> None:  # fmt: skip
        """Ask, then call; the answer or the refusal goes to the toast line."""

        def answered(yes: bool | None) -> None:
            async def act() -> None:
                answer = await call()
                text = done
                if isinstance(answer, Done):
                    text = answer.detail or (done if answer.changed else f"unchanged: {done}")
                self.admin.toast(text, "ok")
                await self.load()

            if yes:
                self.call_then(act)

        dialog = ConfirmDialog(verb, title, consequences, type_this=type_this, cli=cli)
        self.admin.push_screen(dialog, answered)


def list_bindings(prefix: str) -> list[BindingType]:
    """Cursor keys of a list: actions ``move(n)`` and ``move_end(0|1)``."""
    return [
        bind(f"{prefix}.up", "up,k", "move(-1)", "Up", show=False),
        bind(f"{prefix}.down", "down,j", "move(1)", "Down", show=False),
        bind(f"{prefix}.first", "g,home", "move(-10000)", "First", show=False),
        bind(f"{prefix}.last", "G,end", "move(10000)", "Last", show=False),
    ]
