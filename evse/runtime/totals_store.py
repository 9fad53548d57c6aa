"""Keeps the analytics of the planner over a restart: one row of the database.

Written at most once a minute and at a clean stop, and only when energy, a limiting source or a peak has changed: an idle
station writes nothing. A power cut costs the last minute. Figures, not money: a row that cannot be read is left behind with a
line in the log, and counting begins anew.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from evse.runtime.totals import AccountKept, Totals, TotalsKept
from evse.storage.db import Store
from evse.storage.executor import StorageError

log = logging.getLogger(__name__)

NAMESPACE = "runtime"
KEY = "totals"
EVERY_S = 60.0


class TotalsKeeper:
    """Stores what `Totals` has counted."""

    def __init__(self, store: Store, totals: Totals) -> None:
        self._store = store
        self._totals = totals
        self._written = _worth(totals.kept())

    @classmethod
    async def open(cls, store: Store, totals: Totals) -> TotalsKeeper:
        """Go on from what was stored."""
        text = await store.get(NAMESPACE, KEY)
        if text is not None:
            try:
                totals.restore(msgspec.json.decode(text, type=TotalsKept))
            except msgspec.DecodeError as error:
                log.warning("analytics totals: %s; they begin anew", error)
        return cls(store, totals)

    async def run(self) -> None:
        """Store what has changed, once a minute."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.save()

    async def save(self) -> None:
        """Store what has changed; a store that refuses is told, the next call tries again."""
        kept = self._totals.kept()
        worth = _worth(kept)
        if worth == self._written:
            return
        try:
            await self._store.put(NAMESPACE, KEY, msgspec.json.encode(kept).decode())
        except StorageError as error:
            log.warning("analytics totals are not stored: %s", error)
            return
        self._written = worth


def _worth(kept: TotalsKept) -> tuple[AccountKept, AccountKept]:
    """Return what is worth a write: all but the time that passed."""
    return msgspec.structs.replace(kept.total, passed_ns=0), msgspec.structs.replace(kept.today, passed_ns=0)


__all__ = ["TotalsKeeper"]
