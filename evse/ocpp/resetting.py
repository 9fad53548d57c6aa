"""Reset: asked of the station until it restarts, at most ``ResetRetries`` times again.

A reset has worked when this process is gone. One that the station refuses, or after which the process is still here although
no transaction runs any more, was unsuccessful.
"""

from __future__ import annotations

import asyncio
import logging

from evse.domain.session import SessionRecord
from evse.ocpp.keys import Keys
from evse.ocpp.ports import StationPort

log = logging.getLogger(__name__)

ENDED_S = 60.0
"""So long after the last transaction has ended a restart may take to begin."""

LOOK_S = 1.0


class Resetter:
    """Carries out the resets of one station; `run` for ever."""

    def __init__(self, station: StationPort, keys: Keys) -> None:
        self._station = station
        self._keys = keys
        self._wanted = asyncio.Event()
        self._hard = False
        self.asked = False
        """Whether the CSMS has asked for a reset since the process began."""

    def ask(self, *, hard: bool) -> None:
        """Restart; a hard reset goes before a soft one that is under way."""
        self.asked = True
        self._hard = hard or (self._hard and self._wanted.is_set())
        self._wanted.set()

    async def run(self) -> None:
        """Work for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._reset()

    async def _reset(self) -> None:
        tries = 1 + self._keys.number("ResetRetries")
        for number in range(1, tries + 1):
            hard = self._hard
            accepted = await self._station.reset(hard)
            if await self._asked_again(ENDED_S):
                return
            why = "the station is still running" if accepted else "the station has refused it"
            log.error("ocpp: %s reset failed: %s (try %d of %d)", "hard" if hard else "soft", why, number, tries)

    async def _asked_again(self, seconds: float) -> bool:
        """Wait until nothing charges and ``seconds`` more; True = somebody has asked for a reset meanwhile."""
        left_s = seconds
        while left_s > 0:
            await asyncio.sleep(LOOK_S)
            if self._wanted.is_set():
                return True
            if not any(_charges(evse.session) for evse in self._station.view().evses):
                left_s -= LOOK_S
        return False


def _charges(session: SessionRecord | None) -> bool:
    return session is not None and session.started_at is not None and session.ended_at is None
