"""The apps through Textual's pilot against the fake station: keys, dialogs, sign-in, offline, random keys.

The clock is frozen or moved by the test; nothing sleeps. Textual holds keys back for a moment after a screen switch,
so `press` waits until the app has settled.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot

from evse.access.roles import Role
from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.domain.faults import FaultCode
from evse.units import NS_PER_S
from tests._support.fake_service import CODE, PIN, FakeStation, LocalClient
from tui.admin.app import IDLE_S, AdminApp, SignInScreen
from tui.admin.section import SectionScreen
from tui.driver.glyphs import GlyphSet
from tui.driver.profiles import Profile
from tui.kiosk.app import KioskApp
from tui.state.store import Link, Store
from tui.widgets.dialogs import CellDialog

CHARACTERS = {
    "question_mark": "?", "colon": ":", "slash": "/", "full_stop": ".", "enter": "\r", "tab": "\t", "space": " ",
    "less_than_sign": "<", "greater_than_sign": ">", "exclamation_mark": "!", "backspace": "\x7f", "escape": "\x1b",
}  # fmt: skip
NAMES = {character: name for name, character in CHARACTERS.items() if character.isprintable()}


class Clock:
    """Monotonic time that the test moves."""

    def __init__(self) -> None:
        self.now_ns = 10**12

    def __call__(self) -> int:
        return self.now_ns

    def forward(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS_PER_S)


class Rig:
    """Station, client, store and an app of one kind."""

    def __init__(
        self, kind: str = "admin", role: Role = Role.OPERATOR, *, station: FakeStation | None = None, **options: Any
    ) -> None:
        self.clock = Clock()
        self.station = station or FakeStation(status_period_s=0.001)
        self.client = LocalClient(self.station, role)
        self.store = Store(self.client, now=self.clock)
        profile = Profile(glyph_set=GlyphSet.UTF8, refresh_s=3600)
        if kind == "kiosk":
            self.app: Any = KioskApp(self.store, profile, now=self.clock, **options)
        else:
            self.app = AdminApp(self.store, profile, now=self.clock, token_holder=self.client, **options)
        self.pilot: Pilot[None]

    async def settle(self, ready: Callable[[], bool] = lambda: True) -> None:
        """Let workers and messages run until ``ready``; at most some hundred rounds of the loop."""
        for _ in range(1000):
            await self.rounds(3)
            if not self.busy():
                self.app.tick()
                await self.rounds(3)
                if not self.busy() and ready():
                    return
            await asyncio.sleep(0.002)
        raise AssertionError(f"not reached; screen:\n{self.text()}")

    @staticmethod
    async def rounds(count: int) -> None:
        """Let everything that is ready run."""
        for _ in range(count * 5):
            await asyncio.sleep(0)

    def busy(self) -> bool:
        """Whether messages wait or a worker other than the stream runs."""
        if any(w.group != "store" and not w.is_finished for w in self.app.workers):
            return True
        pumps = [self.app, *self.app.screen_stack, *self.app.screen.walk_children()]
        return any(not pump._message_queue.empty() for pump in pumps)

    async def press(self, *keys: str) -> None:
        """Type keys as fast as a paste does: each reaches the app before the one before it has done its work."""
        for key in keys:
            character = CHARACTERS.get(key, key if len(key) == 1 else None)
            event = Key(key, character)
            event.set_sender(self.app)
            self.app.post_message(event)
        await self.settle()

    def later(self, seconds: int) -> None:
        """Time passes on both sides and the daemon says something."""
        self.clock.forward(seconds)
        self.station.advance(seconds)
        self.station.set_evse(2, temperature_dc=(self.station.evse(2).temperature_dc or 0) + 1)

    def text(self) -> str:
        """Characters on the screen."""
        return "\n".join(strip.text.rstrip() for strip in self.app.screen._compositor.render_strips())


def run(rig: Rig, test: Callable[[Rig], Awaitable[None]], size: tuple[int, int] = (80, 24)) -> None:
    """Run a test inside the app."""

    async def main() -> None:
        async with rig.app.run_test(size=size) as pilot:
            rig.pilot = pilot
            await rig.settle(lambda: rig.store.status is not None)
            await test(rig)

    asyncio.run(main())


def calls(rig: Rig, name: str) -> list[m.Model]:
    return [request for called, request in rig.station.calls if called == name]


def test_operator_walks_all_sections_and_stops_a_session_behind_a_dialog() -> None:
    async def walk(rig: Rig) -> None:
        await rig.settle(lambda: isinstance(rig.app.screen, SectionScreen))
        assert "SYSTEM HEALTH" in rig.text() and "operator" in rig.text()
        for key, word in (("2", "Authorisation"), ("3", "25 sessions"), ("4", "SITE LIMITS"), ("5", "Active faults")):
            await rig.press(key)
            await rig.settle(lambda word=word: word in rig.text())  # type: ignore[misc]
        await rig.press("2", "X")
        assert isinstance(rig.app.screen, CellDialog)
        assert "Stop session on connector 1" in rig.text() and "Charging with 17.6 kW at 18 %" in rig.text()
        await rig.press("enter")  # focus stands on Cancel
        assert calls(rig, "connector.stop") == []
        await rig.press("X", "tab", "enter")
        await rig.settle(lambda: bool(calls(rig, "connector.stop")))
        assert calls(rig, "connector.stop") == [m.StopRequest(evse_id=1)]
        await rig.settle(lambda: "[OK] Finished" in rig.text())
        await rig.press("j", "S", "tab", "enter")
        assert calls(rig, "connector.start") == [], "energising needs the number typed"
        await rig.press("S", "2", "tab", "enter")
        assert calls(rig, "connector.start") == [m.StartRequest(evse_id=2)]
        await rig.press("question_mark")
        assert "Unlock" in rig.text() and "Next section" in rig.text()
        await rig.press("escape", "colon", "f", "a", "u", "enter")
        assert "Active faults" in rig.text()
        await rig.press("q", "tab", "enter")
        assert rig.app._exit

    run(Rig(), walk)


def test_sessions_page_filter_and_detail() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("3")
        await rig.settle(lambda: "Showing 1-17 of 25" in rig.text())
        await rig.press("n")
        await rig.settle(lambda: "Showing 18-25 of 25" in rig.text())
        await rig.press("n")
        assert "Showing 18-25 of 25" in rig.text(), "no page after the last"
        await rig.press("p", "slash", *"8804", "enter")
        await rig.settle(lambda: 'filter "8804"' in rig.text())
        assert calls(rig, "session.list")[-1].text == "8804"  # type: ignore[attr-defined]
        await rig.press("escape", "j", "enter")
        await rig.settle(lambda: "Session s-0000" in rig.text())
        assert "Power kW" in rig.text() and "Peak kW" in rig.text()
        await rig.press("escape", "a")
        await rig.settle(lambda: "Sessions (active)" in rig.text())

    run(Rig(), walk)


def test_planner_form_validates_reviews_and_applies_and_resets() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("4")
        await rig.settle(lambda: "Site limit kW" in rig.text())
        await rig.press("e", "9", "9", "x", "enter")
        assert "is not a number of kW" in rig.text()
        await rig.press("up", "u", "5", "6", "full_stop", "5", "enter", "up", "up", "enter")
        assert "Site limit: 80 > 56.5 kW" in rig.text()
        assert calls(rig, "planner.set") == []
        await rig.press("tab", "enter")
        await rig.settle(lambda: bool(calls(rig, "planner.set")))
        assert calls(rig, "planner.set") == [m.PlannerChange(limit_w=56_500)]
        await rig.settle(lambda: "overrides the file" in rig.text())
        await rig.press("R")
        assert "Site limit: 56.5 > 80 kW" in rig.text()
        await rig.press("tab", "enter")
        await rig.settle(lambda: "overrides the file" not in rig.text())
        assert calls(rig, "planner.set")[-1] == m.PlannerChange(reset=True)

    run(Rig(), walk)


def test_planner_tells_what_would_give_more_when_asked() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("4")
        await rig.settle(lambda: "Site limit kW" in rig.text())
        assert "more with" not in rig.text()
        assert {call.evse_id for call in calls(rig, "planner.explain")} == {0}
        await rig.press("m")
        await rig.settle(lambda: "more with: site limit +2.2 kW (to 62.2 kW)" in rig.text())
        assert "SITE LIMITS" in rig.text() and "lines 1-20 of " in rig.text()
        await rig.press("pagedown")
        assert "SITE LIMITS" not in rig.text() and "Assignments" in rig.text()
        await rig.press("G", "down")
        bottom = rig.text()
        await rig.press("m")  # a shorter page never ends above the last line
        await rig.settle(lambda: "more with" not in rig.text())
        assert "none" in bottom and "lines 1-20" not in bottom
        await rig.press("g")
        assert "SITE LIMITS" in rig.text()

    run(Rig(), walk)


def test_fault_shows_remedy_and_the_reason_of_a_refused_clear() -> None:
    async def walk(rig: Rig) -> None:
        rig.station.raise_fault(FaultCode.INSULATION, 2)
        await rig.press("5")
        await rig.settle(lambda: "F4" in rig.text())
        assert "5 Faults(1)" in rig.text() and "Measure the cable" in rig.text()
        await rig.press("C")
        assert calls(rig, "fault.clear") == [] and "cannot be cleared" in rig.text()
        rig.station.end_cause(FaultCode.INSULATION, 2)
        await rig.press("r")
        await rig.settle(lambda: "yes, press C" in rig.text())
        await rig.press("C", "tab", "enter")
        await rig.settle(lambda: "No active fault" in rig.text())

    run(Rig(), walk)


def test_guest_signs_in_with_pin_and_one_time_code_when_the_daemon_wants_one() -> None:
    async def walk(rig: Rig) -> None:
        app: AdminApp = rig.app
        assert "one-time code" not in rig.text()
        rig.station.totp_enrolled = True  # somebody else enrols while the page is shown
        await rig.press("enter", *PIN, "enter")
        await rig.settle(lambda: "One-time code" in rig.text())
        assert calls(rig, "auth.signin") == [], "the daemon is asked once, with both"
        await rig.press("escape")
        assert isinstance(app.screen, SignInScreen) and "then a one-time code" in rig.text()
        await rig.press("enter", *PIN, "enter")
        await rig.settle(lambda: "One-time code" in rig.text())
        await rig.press(*"111111", "x")
        assert "******" in rig.text() and "111111" not in rig.text()
        await rig.press("enter")
        await rig.settle(lambda: isinstance(app.screen, SignInScreen) and bool(app.screen.message))
        assert "wrong" in rig.text() and not app.may_write()
        await rig.press("enter", *PIN, "enter")
        await rig.settle(lambda: "One-time code" in rig.text())
        await rig.press(*CODE, "enter")
        await rig.settle(lambda: isinstance(app.screen, SectionScreen))
        assert rig.client.token and app.may_write()
        assert calls(rig, "auth.signin") == [m.SignIn(pin=PIN, totp="111111"), m.SignIn(pin=PIN, totp=CODE)]

    run(Rig(role=Role.GUEST), walk)


def test_guest_signs_in_with_the_pin_and_is_signed_out_after_five_idle_minutes() -> None:
    async def walk(rig: Rig) -> None:
        app: AdminApp = rig.app
        assert isinstance(app.screen, SignInScreen)
        await rig.press("2")
        assert isinstance(app.screen, SignInScreen), "no way around the PIN"
        await rig.press("enter", *"9999", "x")
        assert "****" in rig.text() and "9999" not in rig.text()
        await rig.press("enter")
        await rig.settle(lambda: isinstance(app.screen, SignInScreen) and bool(app.screen.message))
        await rig.press("enter", *PIN, "enter")
        await rig.settle(lambda: isinstance(app.screen, SectionScreen))
        assert rig.client.token and app.may_write()
        rig.clock.forward(IDLE_S - 25)
        app.tick()
        await rig.settle()
        assert "signed out soon" in rig.text() and "30s" in rig.text()
        await rig.press("j")
        assert "signed out soon" not in rig.text() and "5m" in rig.text()
        await rig.press("2", "X")
        rig.clock.forward(IDLE_S + 1)
        app.tick()
        await rig.settle(lambda: isinstance(app.screen, SignInScreen))
        assert not rig.client.token and not app.may_write()
        assert len(calls(rig, "auth.signout")) == 1
        assert "Connector 1" not in rig.text()

    run(Rig(role=Role.GUEST), walk)


def test_readonly_offers_no_action_and_offline_disables_them_and_keeps_values() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("2")
        assert "Stop" not in rig.text().splitlines()[-1]
        await rig.press("X", "D")
        assert not isinstance(rig.app.screen, CellDialog)
        rig.client.offline = True
        rig.store._connected = False  # the stream of the fake has no wire that could break
        rig.clock.forward(5)
        await rig.settle()
        assert "STALE 5s" in rig.text()
        rig.clock.forward(10)
        await rig.settle()
        assert rig.store.link() is Link.OFFLINE
        assert "OFFLINE" in rig.text() and "17.6" in rig.text()

    run(Rig(readonly=True), walk)


def test_refused_call_is_shown_with_its_hint_until_the_next_key() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("2", "j", "E", "tab")
        rig.station.fail_next(
            "connector.enable", ApiError(ErrorCode.CONFLICT, "the back end holds it", "ask the back end")
        )
        await rig.press("enter")
        await rig.settle(lambda: "the back end holds it - ask the back end" in rig.text())
        rig.clock.forward(60)
        await rig.settle()
        assert "ERROR" in rig.text()
        await rig.press("k")
        assert "ERROR" not in rig.text()

    run(Rig(), walk)


def test_kiosk_opens_pages_shows_the_summary_by_itself_and_resets_the_language() -> None:
    async def walk(rig: Rig) -> None:
        await rig.settle(lambda: "own modules" in rig.text())
        assert "[>] CHARGING" in rig.text()
        await rig.press("1", "l")
        assert "Ladepunkt 1 - Ladevorgang" in rig.text()
        for key in ("q", "ctrl+q", "ctrl+c", "ctrl+p", "escape", "colon"):
            await rig.press(key)
        assert not rig.app._exit, "a driver cannot leave the kiosk"
        rig.later(61)
        await rig.settle(lambda: "CONNECTOR 1" in rig.text())
        await rig.station.connector_stop(m.StopRequest(evse_id=1), rig.client.caller)
        await rig.settle(lambda: "summary" in rig.text())
        assert "stopped at the station" in rig.text() and "1287.43" in rig.text()
        rig.later(61)
        await rig.settle(lambda: "Hello" in rig.text())
        rig.store._connected = False
        rig.clock.forward(20)
        await rig.settle()
        assert "Data" in rig.text() and "Out of service".upper() not in rig.text()
        rig.clock.forward(40)
        await rig.settle()
        assert "OUT OF SERVICE" in rig.text() and "+49 30 1234567" in rig.text()

    run(Rig("kiosk", Role.GUEST), walk)


KEYS = [
    *"12345jkghanpNRCEDUXSOTPHFdbq/:?!e<>", "tab", "enter", "escape", "up", "down", "left", "right", "pageup", "pagedown",
    "home", "end", "backspace", "f1", "f2", "f3", "f4", "space", "u", "x", "ctrl+u",
]  # fmt: skip


FUZZ = [("admin", 1, (80, 24)), ("admin", 2, (50, 12)), ("kiosk", 3, (80, 24))]


def test_kiosk_of_a_demonstration_can_be_left() -> None:
    async def walk(rig: Rig) -> None:
        await rig.settle(lambda: " Q  Quit" in rig.text())
        await rig.press("q")
        assert rig.app._exit

    run(Rig("kiosk", Role.GUEST, allow_quit=True), walk)


@pytest.mark.parametrize(("kind", "seed", "size"), FUZZ)
def test_random_keys_never_raise(kind: str, seed: int, size: tuple[int, int]) -> None:
    rng = random.Random(seed)

    async def walk(rig: Rig) -> None:
        for step in range(120):
            key = rng.choice(KEYS)
            await rig.press(NAMES.get(key, key))
            if step % 10 == 0 and not rig.app._exit:
                rig.clock.forward(rng.choice([0, 1, 20, 400]))
                rig.station.set_evse(1, power_w=rng.choice([None, 0, 350_000]), soc_pct=rng.choice([None, 0, 100]))
                await rig.settle(lambda: True)
            if rig.app._exit:
                return
        assert rig.app._exception is None

    run(Rig(kind, Role.OPERATOR if kind == "admin" else Role.GUEST), walk, size)
