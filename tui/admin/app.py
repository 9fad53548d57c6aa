"""The console: sign-in, navigation, toast line, automatic sign-out. Sections come from the registry."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ClassVar, Final, Protocol

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.screen import Screen

from evse.api.errors import ApiError
from evse.api.models import SignIn, Token, WhoAmI
from evse.units import NS_PER_S, Instant
from tui.admin import connectors, faults, meters, ocpp, overview, planner, registry, rules, sessions, whitelist  # noqa: F401  register themselves
from tui.admin.section import SectionScreen
from tui.app_base import ScreenApp
from tui.driver.profiles import Profile
from tui.keymap import bind, shown
from tui.state.store import Link, Store
from tui.widgets.dialogs import ConfirmDialog, PromptDialog, TextDialog
from tui.widgets.frame import Frame, FrameView

log = logging.getLogger("tui.admin")

IDLE_S: Final = 300
"""Signed out after so long without a key (policy 1-30 min)."""
WARN_S: Final = 30
TOAST_S: Final = 5
HELP_SPARE: Final = 6
"""Rows of the screen that the list of keys leaves free."""
WRITERS: Final = frozenset({"operator", "manufacturer"})


class TokenHolder(Protocol):
    """The part of the client that carries the raised role."""

    token: str


class SignInScreen(Screen[None], inherit_bindings=False):
    """PIN page; Enter opens the masked entry. Back-off and lockout are the daemon's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("signin.pin", "enter,p", "pin", "Enter PIN"),
        bind("signin.quit", "q", "quit", "Quit"),
    ]
    DEFAULT_CSS = "SignInScreen { background: ansi_default; } SignInScreen FrameView { width: 100%; height: 100%; }"

    def __init__(self) -> None:
        super().__init__()
        self.message = ""
        self._page: FrameView | None = None

    @property
    def admin(self) -> AdminApp:
        """The app, typed."""
        assert isinstance(self.app, AdminApp)
        return self.app

    def compose(self) -> ComposeResult:
        """One widget."""
        self._page = FrameView(self.admin.role_styles)
        yield self._page

    def on_screen_resume(self) -> None:
        """Show again."""
        self.call_after_refresh(self.paint_all)

    def on_resize(self) -> None:
        """New size."""
        self.call_after_refresh(self.paint_all)

    def paint_all(self) -> None:
        """Station, who may come in, what happened."""
        if self._page is None or not self.size.width:
            return
        frame, status, who = Frame(*self.size), self.admin.store.status, self.admin.who
        y = max(1, frame.height // 2 - 5)
        frame.centre(y, "SERVICE CONSOLE", "title")
        frame.centre(y + 1, status.station_id if status is not None else "waiting for the daemon", "value")
        if who is not None and not who.pin_set:
            frame.centre(y + 3, "No service PIN is set. On the device, as root: evsectl auth set-pin", "warn")
        else:
            code = ", then a one-time code" if who is not None and who.totp_enrolled else ""
            frame.centre(y + 3, f"Press Enter and type the service PIN (4 to 12 digits){code}.")
        frame.centre(y + 4, "You are signed out after five minutes without a key.")
        frame.centre(y + 6, self.message, "warn")
        frame.centre(y + 8, "Enter PIN   q Quit", "dim")
        frame.cursor = (frame.width // 2, y + 6)
        self._page.show(frame)

    def action_pin(self) -> None:
        """Ask for the PIN."""
        help_ = "4-12 digits   Enter sign in   Esc cancel"
        dialog = PromptDialog("Service PIN", mask="*", accept=str.isdecimal, help_=help_)
        self.admin.push_screen(dialog, self._answered)

    def _answered(self, pin: str | None) -> None:
        if pin:
            self.run_worker(self.admin.sign_in(pin), group="signin", exclusive=True, exit_on_error=False)

    def action_quit(self) -> None:
        """Leave."""
        self.admin.exit()


class AdminApp(ScreenApp):
    """See the module. ``token_holder`` gets the bearer token; None when the client keeps it itself."""

    CSS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("app.help", "question_mark,f1", "help", "Help"),
        bind("app.command", "colon,f2", "command", "Jump"),
        bind("app.next", "tab", "step(1)", "Next section", show=False),
        bind("app.previous", "shift+tab", "step(-1)", "Previous section", show=False),
        bind("app.refresh", "r", "refresh_now", "Refresh"),
        bind("app.signout", "O,f4", "sign_out", "Sign out", show=False),
        bind("app.quit", "q", "leave", "Quit"),
        *[
            bind(f"app.go.{place.id}", place.key, f"go('{place.id}')", place.title, show=False)
            for place in registry.places()
        ],
    ]

    def __init__(
        self, store: Store, profile: Profile, *, now: Callable[[], Instant], token_holder: TokenHolder | None = None,
        readonly: bool = False, follow: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(profile)
        self.store = store
        self.readonly = readonly
        self.who: WhoAmI | None = None
        self._holder = token_holder
        self._now = now
        self._follow = follow
        self._token: Token | None = None
        self._last_key = now()
        self._toast: tuple[str, str, Instant] | None = None
        self._reconnects = 0
        self._place = "overview"
        self._signed_in = False

    def get_default_screen(self) -> Screen[None]:
        """The sign-in page stands below everything."""
        return SignInScreen()

    def on_mount(self) -> None:
        """Follow the daemon, ask who we are, repaint by the profile's pace."""
        if self._follow:
            self.run_worker(self.store.run(), group="store", exclusive=True, exit_on_error=False)
        self.run_worker(self.ask_role(), group="role", exclusive=True, exit_on_error=False)
        self.set_interval(self.profile.refresh_s, self.tick)

    # -- sign-in ---------------------------------------------------------------------------------------------------

    async def ask_role(self) -> None:
        """Enter at once when the daemon already trusts this user, or for reading only."""
        try:
            self.who = await self.store.call("auth.whoami")
        except ApiError as error:
            if isinstance(self.screen, SignInScreen):
                self.screen.message = error.message
                self.screen.paint_all()
            return
        if self.who is not None and (self.who.role in WRITERS or self.readonly):
            self._enter()
        elif isinstance(self.screen, SignInScreen):
            self.screen.paint_all()

    async def sign_in(self, pin: str, code: str = "") -> None:
        """Raise the role with the PIN; ask for a one-time code first when the daemon wants one."""
        screen = self.screen
        try:
            if not code:
                self.who = await self.store.call("auth.whoami")
                if self.who is not None and self.who.totp_enrolled:
                    self._ask_code(pin)
                    return
            token: Token = await self.store.call("auth.signin", SignIn(pin=pin, totp=code))
        except ApiError as error:
            if isinstance(screen, SignInScreen):
                screen.message = f"{error.message}. {error.hint}" if error.hint else error.message
                screen.paint_all()
            return
        self._token = token
        if self._holder is not None:
            self._holder.token = token.token
        self._enter()

    def _ask_code(self, pin: str) -> None:
        def answered(code: str | None) -> None:
            if code:
                self.run_worker(self.sign_in(pin, code), group="signin", exclusive=True, exit_on_error=False)

        help_ = "6 digits from the app   Enter sign in   Esc cancel"
        self.push_screen(PromptDialog("One-time code", mask="*", accept=str.isdecimal, help_=help_), answered)

    def _enter(self) -> None:
        self._signed_in = True
        self._last_key = self._now()
        if not isinstance(self.screen, SectionScreen):
            self.push_screen(registry.screen_for(self._place)())

    def action_sign_out(self) -> None:
        """Sign out now."""
        self.run_worker(self._sign_out("Signed out."), group="signin", exit_on_error=False)

    async def _sign_out(self, message: str) -> None:
        if self._token is not None:
            try:
                await self.store.call("auth.signout")
            except ApiError as error:
                log.warning("sign-out: %s", error.message)
        self._token, self._signed_in = None, False
        if self._holder is not None:
            self._holder.token = ""
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        if isinstance(self.screen, SignInScreen):
            self.screen.message = message
            self.screen.paint_all()

    def may_write(self) -> bool:
        """Return whether actions are offered: a writing role, not read-only, not offline."""
        if self.readonly or self.store.link() is Link.OFFLINE:
            return False
        role = self._token.role if self._token is not None else self.who.role if self.who is not None else "guest"
        return role in WRITERS

    def role_text(self) -> str:
        """Role and the countdown of the automatic sign-out, in steps of 10 s near the end, else minutes."""
        if self._token is None:
            role = self.who.role if self.who is not None else "guest"
            return f"{role}{' readonly' if self.readonly else ''}"
        left = self._left_s()
        return f"{self._token.role} {f'{(left + 9) // 10 * 10}s' if left <= WARN_S else f'{(left + 59) // 60}m'}"

    def _left_s(self) -> int:
        return IDLE_S - (self._now() - self._last_key) // NS_PER_S

    # -- tick ------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Sign out when idle, tell about reconnects, repaint."""
        if self._token is not None:
            left = self._left_s()
            if left <= 0:
                self._token_expired()
                return
            if left <= WARN_S:
                self._toast = ("You will be signed out soon: press any key to stay", "warn", self._now())
        if self.store.reconnects != self._reconnects:
            self._reconnects = self.store.reconnects
            self.toast(f"Reconnected, missed {self.store.missed} events", "ok")
            if isinstance(self.screen, SectionScreen):
                self.screen.reload()
        if not self._signed_in and self.who is None and self.store.link() is Link.LIVE:
            self.run_worker(self.ask_role(), group="role", exclusive=True, exit_on_error=False)
        if isinstance(self.screen, SectionScreen):
            self.screen.reload_if_due(self._now())
        self.repaint()

    def _token_expired(self) -> None:
        self.run_worker(
            self._sign_out("Signed out after five minutes without a key."),
            group="signin",
            exclusive=True,
            exit_on_error=False,
        )

    def repaint(self) -> None:
        """Paint the section (also under a dialog) or the sign-in page."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, SectionScreen | SignInScreen):
                screen.paint_all()
                return

    def toast(self, text: str, role: str = "") -> None:
        """Show one line for 5 s; faults stay until the next key."""
        word = {"fault": "ERROR", "warn": "WARNING", "ok": "OK"}.get(role, "")
        self._toast = (f"{word} {text}".strip(), role, self._now())

    def toast_now(self) -> tuple[str, str]:
        """(text, role) of the toast line."""
        if self._toast is None:
            return "", ""
        text, role, at = self._toast
        if role != "fault" and self._now() - at > TOAST_S * NS_PER_S:
            self._toast = None
            return "", ""
        return text, role

    async def on_event(self, event: object) -> None:
        """Every key extends the session and ends an error's toast."""
        if isinstance(event, Key):
            self._last_key = self._now()
            if self._toast is not None and self._toast[1] in {"fault", "warn"}:
                self._toast = None
        await super().on_event(event)  # type: ignore[arg-type]

    # -- navigation ------------------------------------------------------------------------------------------------

    def action_go(self, place: str) -> None:
        """Show a section."""
        if not self._signed_in or place == self._place:
            return
        self._place = place
        self.switch_screen(registry.screen_for(place)())

    def action_step(self, step: int) -> None:
        """Next or previous section."""
        ids = [p.id for p in registry.places()]
        self.action_go(ids[(ids.index(self._place) + step) % len(ids)])

    def action_refresh_now(self) -> None:
        """Fetch again; dial at once when offline."""
        self.store.retry_now()
        if isinstance(self.screen, SectionScreen):
            self.screen.reload()

    def action_leave(self) -> None:
        """Quit, behind a question."""
        dialog = ConfirmDialog("Quit", "Quit the console", ["Charging goes on; only this screen ends."])
        self.push_screen(dialog, lambda yes: self.exit() if yes else None)

    def action_command(self) -> None:
        """``:`` jumps to a section by the beginning of its name."""

        def answered(text: str | None) -> None:
            wanted = (text or "").strip().lower()
            hits = [p for p in registry.places() if p.id.startswith(wanted)] if wanted else []
            if wanted in {"q", "quit"}:
                self.action_leave()
            elif len(hits) == 1:
                self.action_go(hits[0].id)
            elif wanted:
                known = " ".join(p.id for p in (hits or registry.places()))
                self.toast(f"{wanted!r} is {'not clear' if hits else 'no section'}: {known}", "warn")
                self.repaint()

        help_ = " ".join(p.id for p in registry.places())
        self.push_screen(PromptDialog("Go to section", help_=help_), answered)

    def action_help(self) -> None:
        """All keys, from the bindings."""
        lines: list[tuple[str, str]] = []
        if isinstance(self.screen, SectionScreen):
            screen = self.screen
            own = [b for b in screen.own_bindings() if screen.check_action(b.action.partition("(")[0], ()) is not False]
            lines += [(_keys(b), b.description) for b in own]
            lines.append(("", ""))
        lines += [(_keys(b), b.description) for b in self.common_bindings()]
        if len(lines) > self.size.height - HELP_SPARE:
            lines = two_columns(lines)
        self.push_screen(TextDialog("Keys", lines))

    def common_bindings(self) -> list[Binding]:
        """Bindings of the app in their order."""
        return [b for b in self.BINDINGS if isinstance(b, Binding)]


def two_columns(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The second half beside the first, so that all keys are on one page."""
    half = (len(lines) + 1) // 2
    wide = max(len(text) for _, text in lines[:half])
    right = [f"{keys:<{max(len(k) for k, _ in lines[half:])}}  {text}" for keys, text in lines[half:]]
    right += [""] * (half - len(right))
    return [(keys, f"{text:<{wide}}   {other}".rstrip()) for (keys, text), other in zip(lines[:half], right, strict=True)]


def _keys(binding: Binding) -> str:
    return " ".join(shown(key.strip()) for key in binding.key.split(","))
