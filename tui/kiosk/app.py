"""The kiosk app: pulls from the store at 2 Hz and paints one frame."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import Event, Key, Resize

from evse.api.errors import ApiError
from evse.api.sd_notify import ServiceManager
from evse.domain.session import SessionRecord
from evse.domain.view import EvseView
from evse.units import NS_PER_S, Instant
from tui import format as fmt
from tui.app_base import ScreenApp
from tui.driver.base import PacedDriver
from tui.driver.profiles import Profile
from tui.i18n import Translate
from tui.keymap import bind
from tui.kiosk.model import PANES_SMALL, KioskModel, Page
from tui.kiosk.pages import paint
from tui.kiosk.rest import Rest, RestWatch
from tui.state.store import Link, Store
from tui.widgets.frame import FrameView
from tui.widgets.table import TableState
from tui.words import energy_flows

log = logging.getLogger("tui.kiosk")

REFRESH_S: Final = 0.5
IDLE_S: Final = 60
"""Without a key for so long: home page and the default language again."""
SUMMARY_S: Final = 120
"""How long the summary stays available after the vehicle left."""
OTHERS_S: Final = 15
"""On a station of many, a driver who pressed a key so recently is not disturbed by the summary of another."""
CURVE_EVERY_S: Final = 5
CURVE_MAX: Final = 240


class KioskApp(ScreenApp):
    """No quit (but for ``allow_quit``), no palette. F1..F4 are enough: next and open (or both connectors), back, language."""

    CSS = "Screen { layout: vertical; } FrameView { width: 100%; height: 100%; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        *[bind(f"kiosk.connector.{n}", str(n), f"open({n - 1})", f"Connector {n}") for n in range(1, 10)],
        bind("kiosk.one", "f1,a", "soft(0)", "Connector 1, or next"),
        bind("kiosk.two", "f2,b", "soft(1)", "Connector 2, or open"),
        bind("kiosk.next", "down,right,j", "move(1)", "Next"),
        bind("kiosk.previous", "up,left,k", "move(-1)", "Previous"),
        bind("kiosk.enter", "enter", "enter", "Open or back"),
        bind("kiosk.home", "0,f3,escape,h,H,backspace", "home", "Back"),
        bind("kiosk.quit", "q", "leave", "Quit", show=False),
        bind("kiosk.language", "l,L,f4", "language", "Language"),
    ]

    def __init__(
        self,
        store: Store,
        profile: Profile,
        *,
        now: Callable[[], Instant],
        language: str = "",
        follow: bool = True,
        allow_quit: bool = False,
        manager: ServiceManager | None = None,
    ) -> None:
        super().__init__(profile)
        self._manager = manager
        self.store = store
        self._now = now
        self._language = language
        self._tr = Translate(language or "en")
        self._chosen = False  # the driver chose a language
        self._last_key = now()
        self._pressed_at = now() - OTHERS_S * NS_PER_S  # by a person
        self._rest = RestWatch(now())
        self._follow = follow
        self._allow_quit = allow_quit
        self._page = Page.HOME
        self._evse_id = 1
        self._table = TableState()
        self._seen: dict[int, SessionRecord] = {}
        self._summaries: dict[int, tuple[SessionRecord, Instant | None]] = {}
        self._curves: dict[int, list[int | None]] = {}
        self._curve_session: dict[int, str] = {}
        self._curve_at: Instant = 0
        self._homes: dict[int, int] = {}
        self._homes_for = -1  # reconnect count they were asked at
        self._view = FrameView(self.role_styles, id="page")

    def compose(self) -> ComposeResult:
        """One widget is the whole screen."""
        yield self._view

    def on_mount(self) -> None:
        """Start following the daemon and repainting."""
        if self._follow:
            self.run_worker(self.store.run(), group="store", exclusive=True, exit_on_error=False)
        self.set_interval(REFRESH_S, self.tick)
        self.tick()
        if self._manager is not None:
            self._manager.ready("the screen is up")

    def on_unmount(self) -> None:
        """The screen ends."""
        if self._manager is not None:
            self._manager.stopping()

    async def on_event(self, event: Event) -> None:
        """Every key wakes the screen, also one that means nothing here."""
        if isinstance(event, Key):
            self._key()
        await super().on_event(event)

    def on_resize(self, _: Resize) -> None:
        """Paint for the new size."""
        self.call_after_refresh(self.tick)

    # -- model -----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Take what is new and paint; the service manager's watchdog is content with that alone."""
        self._reset_when_idle()
        self._remember()
        self._rest.look(self.store.status, self._now())
        size = self.size
        if size.width and size.height:
            self._view.show(paint(self.model(), size.width, size.height))
        if isinstance(self._driver, PacedDriver):
            self._driver.set_night(self._rest.rest(self._now()) is Rest.DIM)
        if self._manager is not None:
            self._manager.alive()

    async def _ask_homes(self) -> None:
        """Learn which module group belongs to which connector; asked once per connection."""
        try:
            answer = await self.store.call("planner.get")
        except ApiError as error:
            log.info("planner.get: %s", error.message)
        else:
            self._homes = {row.group_id: row.home_evse for row in answer.groups if row.home_evse is not None}

    def model(self) -> KioskModel:
        """The model of the present page."""
        store = self.store
        return KioskModel(
            status=store.status,
            link=store.link(),
            silence_s=store.silence_s(),
            age_s=store.age_s(),
            now=store.station_now(),
            tr=self._tr,
            glyphs=self.profile.glyphs,
            page=self._page,
            evse_id=self._evse_id,
            table=self._table,
            summaries={evse_id: record for evse_id, (record, _) in self._summaries.items()},
            curves=self._curves,
            homes=self._homes,
            allow_quit=self._allow_quit,
            rest=self._rest.rest(self._now()),
            shift=self._rest.shift(self._now()),
        )

    def _reset_when_idle(self) -> None:
        default = self._language or (self.store.status.language if self.store.status is not None else "en")
        idle = self._now() - self._last_key >= IDLE_S * NS_PER_S
        if (idle or not self._chosen) and self._tr.language != default:
            self._tr = Translate(default)
            if self._tr.language != default:
                self._language = self._tr.language  # no such catalogue: keep the fallback
        if idle and (self._chosen or self._page is not Page.HOME):
            self._chosen = False
            self._page = Page.HOME

    def _remember(self) -> None:
        """Keep ended sessions for the summary and the power of running ones for the curve."""
        now = self._now()
        status = self.store.status
        if status is None or self.store.link() is Link.OFFLINE:
            return
        if self._homes_for != self.store.reconnects:
            self._homes_for = self.store.reconnects
            self.run_worker(self._ask_homes(), group="homes", exclusive=True, exit_on_error=False)
        sample = now - self._curve_at >= CURVE_EVERY_S * NS_PER_S
        if sample:
            self._curve_at = now
        for view in status.view.evses:
            self._remember_summary(view, now)
            if sample and view.session is not None and energy_flows(view):
                self._remember_power(view, view.session.session_id)

    def _remember_summary(self, view: EvseView, now: Instant) -> None:
        evse_id, record = view.evse_id, view.session
        kept = self._summaries.get(evse_id)
        if record is not None:
            if record.ended_at is not None:
                fresh = kept is None or kept[0].session_id != record.session_id
                if fresh and self._may_turn(record, now):
                    self._page, self._evse_id = Page.CONNECTOR, evse_id  # the driver sees the result without a key
                    self._last_key = now
                self._summaries[evse_id] = (record, None)
            elif kept is not None and kept[0].session_id != record.session_id:
                del self._summaries[evse_id]
        elif kept is not None:
            left_at = kept[1] if kept[1] is not None else now
            self._summaries[evse_id] = (kept[0], left_at)
            if now - left_at >= SUMMARY_S * NS_PER_S:
                del self._summaries[evse_id]

    def _may_turn(self, record: SessionRecord, now: Instant) -> bool:
        """Whether the page may turn to this summary: it is new, and no other driver of a large station is at the keys."""
        age_s = fmt.between(record.ended_at, self.store.station_now()) or 0
        alone = len(self._evses()) <= PANES_SMALL or now - self._pressed_at >= OTHERS_S * NS_PER_S
        return alone and age_s < SUMMARY_S

    def _remember_power(self, view: EvseView, session_id: str) -> None:
        if self._curve_session.get(view.evse_id) != session_id:
            self._curve_session[view.evse_id] = session_id
            self._curves[view.evse_id] = []
        curve = self._curves[view.evse_id]
        curve.append(view.power_w)
        if len(curve) > CURVE_MAX:
            del curve[: CURVE_MAX // 2 : 2]  # older half at half resolution

    # -- keys ------------------------------------------------------------------------------------------------------

    def _key(self) -> None:
        self._last_key = self._pressed_at = self._now()
        self._rest.touch(self._last_key)

    def action_open(self, index: int) -> None:
        """Open a connector of the home page."""
        self._key()
        evses = self._evses()
        if index < len(evses):
            self._page, self._evse_id = Page.CONNECTOR, evses[index].evse_id
            self._table.key = str(self._evse_id)
        self.tick()

    def action_move(self, delta: int) -> None:
        """Choose the next or previous connector; on its page, show it."""
        self._key()
        evses = self._evses()
        if len(evses) > PANES_SMALL:
            keys = [str(view.evse_id) for view in evses]
            at = keys.index(self._table.key) if self._table.key in keys else -delta if delta > 0 else 0
            self._table.key = keys[(at + delta) % len(keys)]
            if self._page is Page.CONNECTOR:
                self._evse_id = int(self._table.key)
        self.tick()

    def action_soft(self, number: int) -> None:
        """The first two of four soft keys: both connectors of a small station, else next and open."""
        if len(self._evses()) <= PANES_SMALL:
            self.action_open(number)
        elif number == 0:
            self.action_move(1)
        else:
            self.action_enter()

    def action_enter(self) -> None:
        """Open the chosen connector, or go back from it."""
        keys = [str(view.evse_id) for view in self._evses()]
        if self._page is Page.HOME and self._table.key in keys:
            self.action_open(keys.index(self._table.key))
        else:
            self.action_home()

    def _evses(self) -> tuple[EvseView, ...]:
        return self.store.status.view.evses if self.store.status is not None else ()

    def action_home(self) -> None:
        """Back to all connectors."""
        self._key()
        self._page = Page.HOME
        self.tick()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A driver cannot leave; a demonstration can."""
        return action != "leave" or self._allow_quit

    def action_leave(self) -> None:
        """End the demonstration."""
        self.exit()

    def action_language(self) -> None:
        """Next language; back to the station's own when nobody presses a key for a minute."""
        self._key()
        self._chosen = True
        self._tr = Translate(self._tr.next_language())
        self.tick()
