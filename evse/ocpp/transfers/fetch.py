"""Fetching a file over FTP, FTPS, HTTP or HTTPS: one attempt, which goes on where the last one ended."""

from __future__ import annotations

import asyncio

from evse.ocpp.transfers.attempt import Attempt
from evse.ocpp.transfers.partial import PartFile
from evse.ocpp.transfers.ports import Net, Progress
from evse.ocpp.transfers.target import Target


async def fetch(net: Net, target: Target, into: PartFile, progress: Progress) -> None:
    """Bring ``into`` to its whole length.

    Raises `TransferError`. When it ends, also by cancellation, no connection is open and nothing writes any more; what
    has arrived stays in ``into`` for the next attempt.
    """
    await into.open()
    async with Attempt(target, net.limits) as attempt:

        def moved(done: int, total: int | None) -> None:
            attempt.moved()
            progress(done, total)

        await asyncio.to_thread(load)
        if target.ftp:
            from evse.ocpp.transfers.ftp import fetch_ftp

            await fetch_ftp(net, target, into, moved)
        else:
            from evse.ocpp.transfers.http import fetch_http

            await fetch_http(net, target, into, moved)
    await into.finish()


def load() -> None:
    """Import what speaks the protocols; in a thread, because it takes longer than a tick of the control loop."""
    import evse.ocpp.transfers.ftp
    import evse.ocpp.transfers.http  # noqa: F401
