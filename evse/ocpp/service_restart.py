"""ServiceRestart (CHARX server variable): vehicles that are there when the station starts go on under the card ServiceUID.

A restart has ended their transactions with PowerLoss or Reboot; without this they would wait for their drivers' cards.
"""

from __future__ import annotations

import asyncio
import logging

from evse.ocpp.keys import Keys
from evse.ocpp.ports import StationPort

log = logging.getLogger(__name__)

LOOK_S = 1.0
WITHIN_S = 15.0
"""A vehicle that is seen within this time after the start was there before it: boards have to be heard first."""


class ServiceRestart:
    """Starts them once, after the start of the process."""

    def __init__(self, station: StationPort, keys: Keys) -> None:
        self._station = station
        self._keys = keys

    async def run(self) -> None:
        """Look for `WITHIN_S`, then end."""
        token = self._keys.text("ServiceUID")
        if not self._keys.flag("ServiceRestart") or not token:
            return
        asked: set[int] = set()
        for _ in range(int(WITHIN_S / LOOK_S)):
            await asyncio.sleep(LOOK_S)
            for evse in self._station.view().evses:
                if evse.plugged and evse.evse_id not in asked and evse.auth_state == "none":
                    asked.add(evse.evse_id)
                    started = await self._station.remote_start(evse.evse_id, token)
                    log.warning("ocpp: EVSE %d was occupied at the start: %s", evse.evse_id,
                                "it goes on under ServiceUID" if started else "ServiceUID is refused")
