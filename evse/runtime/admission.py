"""May this card or vehicle charge here? The station's own list and the back end, in the order that is configured.

The first one who knows the token decides: the list by an entry (allowed, blocked, expired), the back end by its answer,
its local list or its cache. When nobody does, the offline rules of OCPP have the next word (AllowOfflineTxForUnknownId),
then ``access.if_in_doubt_allow``, for cards only: a vehicle has not asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from evse.access.whitelist import Verdict, WhitelistKeeper
from evse.config.model_access import AccessSection
from evse.domain.ac import ReleaseMode
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.station import EvseSpec
from evse.ocpp.ports import AuthResult

log = logging.getLogger(__name__)

USES_WAITING_MAX: Final = 100
"""Uses of entries that wait for the medium; more are not noted."""

LISTED: Final = {
    Verdict.ALLOWED: AuthResult(accepted=True, reason="on the whitelist"),
    Verdict.BLOCKED: AuthResult(accepted=False, reason="blocked on the whitelist"),
    Verdict.EXPIRED: AuthResult(accepted=False, reason="expired on the whitelist"),
    Verdict.UNKNOWN: AuthResult(accepted=False, reason="not on the whitelist", decided=False),
    Verdict.NO_CLOCK: AuthResult(
        accepted=False, reason="the whitelist entry ends some day and the station does not know the time", decided=False
    ),
}


class Asked(Protocol):
    """The back end as far as permissions go (`evse.ocpp.client.OcppClient`)."""

    async def authorize(self, id_token: str, evse_id: int) -> AuthResult:
        """Return what it says about a token."""
        ...


class Admission:
    """Decides for one station. ``access`` answers the options in force, ``backend`` None = OCPP is switched off."""

    def __init__(
        self,
        keeper: WhitelistKeeper,
        access: Callable[[], AccessSection],
        clock: Clock,
        backend: Asked | None,
        evses: tuple[EvseSpec, ...],
    ) -> None:
        self._keeper = keeper
        self._access = access
        self._clock = clock
        self._backend = backend
        self._list_only = {e.evse_id for e in evses if e.ac is not None and e.ac.release is ReleaseMode.LIST}
        self._uses: dict[str, int] = {}
        self._used = asyncio.Event()

    async def card(self, id_token: str, evse_id: int) -> AuthResult:
        """Return whether a card may charge at an EVSE; waits at most for one question to the back end."""
        result = await self._decide(id_token, id_token, evse_id, self._sources(evse_id))
        if result.decided or result.accepted:
            return result
        if self._access().if_in_doubt_allow:
            return AuthResult(accepted=True, reason=f"allowed in doubt: {result.reason}", decided=False)
        return result

    async def vehicle(self, evcc_id: str, evse_id: int) -> AuthResult:
        """Return whether a vehicle may charge at an EVSE without a card; nobody is asked when autocharge is off."""
        access = self._access()
        if not access.autocharge:
            return AuthResult(accepted=False, reason="autocharge is switched off", decided=False)
        sources = [s for s in self._sources(evse_id) if s != "ocpp" or access.autocharge_ocpp]
        return await self._decide(evcc_id, self.token_of(evcc_id), evse_id, sources)

    def token_of(self, evcc_id: str) -> str:
        """Return what the back end calls a vehicle."""
        return self._access().autocharge_prefix + evcc_id

    def _sources(self, evse_id: int) -> list[str]:
        """Who is asked, in order; an EVSE whose release is the list asks nobody else."""
        return ["whitelist"] if evse_id in self._list_only else list(self._access().mode)

    async def _decide(self, listed: str, asked: str, evse_id: int, sources: list[str]) -> AuthResult:
        """Ask one after the other; what nobody decides carries every reason, and the offline rules of the back end."""
        reasons: list[str] = []
        allowed = False
        for source in sources:
            result = self._listed(listed, evse_id) if source == "whitelist" else await self._ask(asked, evse_id)
            if result.decided:
                return result
            reasons.append(result.reason)
            allowed = allowed or result.accepted
        return AuthResult(accepted=allowed, reason="; ".join(reasons) or "nobody is asked", decided=False)

    def _listed(self, entry_id: str, evse_id: int) -> AuthResult:
        now = self._clock.wall() if self._clock.wall_valid() else None
        verdict = self._keeper.list.decide(entry_id, evse_id, now)
        entry = self._keeper.list.match(entry_id, evse_id)
        if verdict is Verdict.ALLOWED and entry is not None and len(self._uses) < USES_WAITING_MAX:
            self._uses[entry.id] = self._clock.wall()
            self._used.set()
        return LISTED[verdict]

    async def _ask(self, id_token: str, evse_id: int) -> AuthResult:
        if self._backend is None:
            return AuthResult(accepted=False, reason="no back end is configured", decided=False)
        return await self._backend.authorize(id_token, evse_id)

    async def run(self) -> None:
        """Note on the medium when entries gave permission; for ever."""
        while True:
            await self._used.wait()
            self._used.clear()
            while self._uses:
                entry_id, at = self._uses.popitem()
                try:
                    await self._keeper.used(entry_id, at)
                except DeviceError as error:  # the permission counts, not the note
                    log.error("the last use of %s is not stored: %s", entry_id, error)
