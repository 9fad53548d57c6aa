"""``python -m tui.admin``: the technician's console."""

from __future__ import annotations

import random
import sys
import time

from tui.app_base import options, profile_from, run_app, start_log


def main(argv: list[str] | None = None) -> int:
    """Run the console until the user quits; returns the exit code."""
    parser = options("evsectl admin", "Service console of a charging station")
    parser.add_argument("--readonly", action="store_true", help="look only: no action is offered, no PIN is asked")
    args = parser.parse_args(argv)
    log_file = start_log("admin", args.log)

    from tui.admin.app import AdminApp
    from tui.state.dial import Dialer
    from tui.state.store import Store

    client = Dialer(args.socket)
    store = Store(client, now=time.monotonic_ns, jitter=random.random)
    profile = profile_from(args, show_cursor=True)
    app = AdminApp(store, profile, now=time.monotonic_ns, token_holder=client, readonly=args.readonly)
    return run_app(app, log_file)


if __name__ == "__main__":
    sys.exit(main())
