"""``python -m tui.kiosk``: the driver's screen."""

from __future__ import annotations

import os
import random
import sys
import time

from tui.app_base import options, profile_from, run_app, start_log
from tui.i18n import LANGUAGES


def main(argv: list[str] | None = None) -> int:
    """Run the kiosk until TERM or HUP; returns the exit code."""
    parser = options("evse-kiosk", "Driver's screen of a charging station")
    parser.add_argument(
        "--lang", choices=LANGUAGES, default="", help="language (default: as the station is configured)"
    )
    parser.add_argument("--allow-quit", action="store_true", help="q leaves (demonstration, never on a station)")
    args = parser.parse_args(argv)
    log_file = start_log("kiosk", args.log)

    from evse.api.sd_notify import ServiceManager
    from tui.kiosk.app import KioskApp
    from tui.state.dial import Dialer
    from tui.state.store import Store

    store = Store(Dialer(args.socket), now=time.monotonic_ns, jitter=random.random)
    profile = profile_from(args, show_cursor=False)
    app = KioskApp(
        store,
        profile,
        now=time.monotonic_ns,
        language=args.lang,
        allow_quit=args.allow_quit,
        manager=ServiceManager(os.environ, time.monotonic_ns),
    )
    return run_app(app, log_file)


if __name__ == "__main__":
    sys.exit(main())
