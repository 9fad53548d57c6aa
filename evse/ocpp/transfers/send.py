"""Sending a file over FTP, FTPS, HTTP or HTTPS: one attempt."""

from __future__ import annotations

import asyncio
from pathlib import Path

from evse.ocpp.transfers.attempt import Attempt
from evse.ocpp.transfers.fetch import load
from evse.ocpp.transfers.ports import Net, Progress
from evse.ocpp.transfers.target import Target


async def send(net: Net, target: Target, path: Path, name: str, progress: Progress) -> None:
    """Store ``path`` as ``name`` in the directory that ``target`` names; FTP goes on where a former attempt ended.

    Raises `TransferError`. When it ends, also by cancellation, no connection is open.
    """
    async with Attempt(target, net.limits) as attempt:

        def moved(done: int, total: int | None) -> None:
            attempt.moved()
            progress(done, total)

        await asyncio.to_thread(load)
        if target.ftp:
            from evse.ocpp.transfers.ftp import send_ftp

            await send_ftp(net, target, path, name, moved)
        else:
            from evse.ocpp.transfers.http import send_http

            await send_http(net, target, path, name, moved)
