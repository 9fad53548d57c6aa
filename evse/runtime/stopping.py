"""The end of the process that somebody has ordered: transactions end first, with the meter value of their end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from evse.core.inputs import StopSession
from evse.domain.session import StopReason
from evse.domain.signing import SigningMode
from evse.runtime.views import transaction_runs

if TYPE_CHECKING:
    from evse.runtime.station import Station

log = logging.getLogger(__name__)

STOP_LIMIT_S = 3.0
"""What has not ended by then is closed by the next start, as after a power cut."""

SIGNED_LIMIT_S = 10.0
"""Meters that sign may take so much longer; the service manager waits 20 s."""

LOOK_S = 0.05


def order_end(station: Station) -> list[int]:
    """Order the end of every transaction that runs, with reason Reboot; return the ids of their EVSEs."""
    running = [evse.evse_id for evse in station.view().evses if transaction_runs(evse)]
    for evse_id in running:
        station.loop.submit(_reboot(evse_id))
    return running


async def end_transactions(station: Station, limit_s: float = STOP_LIMIT_S) -> None:
    """Stop what charges with reason Reboot, and wait until its end is recorded, or for ``limit_s``; longer for a signed end."""
    if station.loop.fault:
        return  # it ends none
    running = order_end(station)
    waits = [spec.signing_wait_s for spec in station.spec.evses if spec.evse_id in running and spec.signing is not SigningMode.OFF]
    limit_s += min(SIGNED_LIMIT_S, max(waits, default=0))
    try:
        async with asyncio.timeout(limit_s):
            while any(transaction_runs(evse) for evse in station.view().evses if evse.evse_id in running):
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        log.warning("a transaction has not ended within %g s; the next start closes it", limit_s)


def _reboot(evse_id: int) -> Callable[[int], StopSession]:
    return lambda seq: StopSession(seq=seq, evse_id=evse_id, reason=StopReason.REBOOT)
