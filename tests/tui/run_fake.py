"""A screen on the terminal against the fake station, for tests over a pty and for looking at it.

USR1 lets the kiosk's own clock (not the station's) go on by a minute.
``python -m tests.tui.run_fake kiosk|admin [--guest] [--ac] [--idle] [--frozen] [--crash] [--drift] [--nobody] [the options of the program]``
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from evse.access.roles import Role
from evse.api.models_whitelist import WhitelistWait, WhitelistWindow
from evse.api.sd_notify import ServiceManager
from evse.api.service import Caller
from evse.domain.session import ChargingState, SessionPhase
from evse.units import NS_PER_S
from tests._support.fake_service import FakeStation, LocalClient
from tests.tui.ac_data import ac_meters, twelve
from tui.app_base import ScreenApp, options, profile_from, run_app, start_log
from tui.state.store import Store

IDLE: Final[dict[str, Any]] = {
    "phase": SessionPhase.IDLE, "charging_state": ChargingState.IDLE, "plugged": False, "session": None, "step": None,
    "auth_state": "none", "power_w": 0, "current_ma": 0, "soc_pct": None, "chain": (), "contactor_closed": False,
}  # fmt: skip
"""What makes the connector that charges a free one."""


class Nobody(FakeStation):
    """A station where nobody shows a card while it learns."""

    async def whitelist_window(self, request: WhitelistWait, caller: Caller) -> WhitelistWindow:
        await asyncio.sleep(request.seconds)
        return await super().whitelist_window(WhitelistWait(number=request.number), caller)


def make(args: argparse.Namespace) -> ScreenApp:
    """Return the app that the arguments ask for."""
    station = Nobody() if args.nobody else FakeStation()
    if args.ac:
        station.set_view(evses=twelve())
        station.meters = ac_meters().items
    if args.idle:
        station.set_evse(1, **IDLE)
    client = LocalClient(station, Role.GUEST if args.guest or args.what == "kiosk" else Role.OPERATOR)
    now: Callable[[], int] = (lambda: 10**12) if args.frozen else time.monotonic_ns
    store = Store(client, now=now)
    profile = profile_from(args, show_cursor=args.what == "admin")
    if args.what == "kiosk":
        from tui.kiosk.app import KioskApp

        ahead = [0]

        def later(_number: int, _frame: object) -> None:
            ahead.append(60 * NS_PER_S)

        signal.signal(signal.SIGUSR1, later)
        class Kiosk(KioskApp):
            def on_mount(self) -> None:
                super().on_mount()
                start(self, station, args)

        manager = ServiceManager(os.environ, time.monotonic_ns)
        return Kiosk(store, profile, now=lambda: now() + sum(ahead), language=args.lang, manager=manager)
    from tui.admin.app import AdminApp

    class Admin(AdminApp):
        def on_mount(self) -> None:
            super().on_mount()
            start(self, station, args)

    return Admin(store, profile, now=now, token_holder=client, readonly=args.readonly)


def start(app: ScreenApp, station: FakeStation, args: argparse.Namespace) -> None:
    """Begin what the arguments want to happen while the app runs."""
    if args.drift:
        app.run_worker(drift(station), exit_on_error=False)
    if args.dump:
        app.set_interval(0.2, lambda: dump(app, args.dump))
    if args.crash:
        app.set_timer(0.5, lambda: 1 / 0)


def dump(app: ScreenApp, path: str) -> None:
    """Write the characters that Textual wants on the screen, for comparison with what the terminal shows."""
    lines = [strip.text for strip in app.screen._compositor.render_strips()]
    Path(path).write_text("\n".join(line.rstrip() for line in lines) + "\n")


async def drift(station: FakeStation) -> None:
    """Values move once a second like in a real session."""
    number = 0
    while True:
        await asyncio.sleep(1.0)
        number += 1
        watt = 17_600 + number * 137 % 900
        current = watt * 1_000_000 // 391_200
        changes: dict[str, Any] = {"power_w": watt, "current_ma": current, "voltage_mv": 391_200 + number * 731 % 9000}
        if (ac := station.evse(1).ac) is not None:
            amps = (15_000 + number * 137 % 900, 15_100 + number * 231 % 800, 14_900 + number * 89 % 950)
            volts = (229_000 + number * 731 % 3000, 228_500 + number * 611 % 3000, 230_000 + number * 433 % 3000)
            changes |= {"current_ma": amps[0], "voltage_mv": volts[0]}
            changes["ac"] = msgspec.structs.replace(ac, current_l_ma=amps, voltage_l_mv=volts)
        station.set_evse(1, **changes)


def main() -> int:
    """Run until the program ends."""
    parser = options("run_fake", "screens against a fake station")
    parser.add_argument("what", choices=["kiosk", "admin"])
    parser.add_argument("--lang", default="")
    parser.add_argument("--dump", default="")
    for name in ("--ac", "--readonly", "--idle", "--guest", "--frozen", "--crash", "--drift", "--nobody"):
        parser.add_argument(name, action="store_true")
    args = parser.parse_args()
    return run_app(make(args), start_log("fake", args.log))


if __name__ == "__main__":
    sys.exit(main())
