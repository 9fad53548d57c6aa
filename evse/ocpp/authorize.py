"""May this token charge? The CSMS decides; when it cannot be asked the local list, the cache and the offline policy do."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.records import CachedToken
from evse.ocpp.engine import CallTimeout
from evse.ocpp.keys import Keys
from evse.ocpp.local_list import LocalList
from evse.ocpp.messages import CallError, Payload, parse_timestamp
from evse.ocpp.ports import AuthResult, StorePort
from evse.ocpp.v16 import ID_TAG_MAX
from evse.transports.base import WsClosed

Ask = Callable[[str, Payload], Awaitable[Payload]]


class Authorizer:
    """Answers for tokens. ``ask`` sends a call and raises `WsClosed` when the station is offline."""

    def __init__(self, store: StorePort, keys: Keys, clock: Clock, ask: Ask, local_list: LocalList) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._ask = ask
        self._local_list = local_list

    async def authorize(self, id_token: str) -> AuthResult:
        """Return the answer for a token; waits at most for one call."""
        if not id_token or len(id_token) > ID_TAG_MAX:
            reason = f"an idTag has 1 to {ID_TAG_MAX} characters, this has {len(id_token)}"
            return AuthResult(accepted=False, reason=reason)
        cached, source = await self._known(id_token)
        fresh = cached is not None and cached.status == "Accepted" and not self._expired(cached)
        if fresh and cached is not None and self._keys.flag("LocalPreAuthorize"):
            return AuthResult(accepted=True, parent=cached.parent, reason=f"known card ({source})")
        try:
            answer = await self._ask("Authorize", {"idTag": id_token})
        except WsClosed:
            return self._offline(cached, source, "offline")
        except (CallError, CallTimeout) as error:
            return self._offline(cached, source, f"CSMS does not decide ({error})")
        info: Payload = answer["idTagInfo"]
        await self.learn(id_token, info)
        status = str(info["status"])
        return AuthResult(accepted=status == "Accepted", parent=str(info.get("parentIdTag", "")), reason=status)

    async def learn(self, id_token: str, info: Payload) -> None:
        """Remember an ``idTagInfo`` of the CSMS, and notice when it contradicts the local list.

        A failing store costs the memory only.
        """
        if info["status"] in ("Blocked", "Expired", "Invalid"):
            entry = await self._listed(id_token)
            if entry is not None and entry.status == "Accepted" and not self._expired(entry):
                self._local_list.conflict = True
        if not self._keys.flag("AuthorizationCacheEnabled") or info["status"] == "ConcurrentTx":
            return
        expiry = info.get("expiryDate")
        token = CachedToken(
            id_token=id_token.upper(), status=str(info["status"]), parent=str(info.get("parentIdTag", "")),
            expires_at=parse_timestamp(expiry) if isinstance(expiry, str) else None, updated_at=self._clock.wall(),
        )
        with contextlib.suppress(DeviceError):
            await self._store.cache_put(token)

    async def _known(self, id_token: str) -> tuple[CachedToken | None, str]:
        """What is known of a card and from where; the list goes before the cache (OCPP 1.6 section 3.5)."""
        entry = await self._listed(id_token)
        return (entry, "local list") if entry is not None else (await self._cached(id_token), "cache")

    async def _listed(self, id_token: str) -> CachedToken | None:
        try:
            return await self._local_list.find(id_token)
        except DeviceError:
            return None

    async def _cached(self, id_token: str) -> CachedToken | None:
        if not self._keys.flag("AuthorizationCacheEnabled"):
            return None
        try:
            return await self._store.cache_get(id_token)
        except DeviceError:
            return None

    def _expired(self, token: CachedToken) -> bool:
        return token.expires_at is not None and self._clock.wall() >= token.expires_at

    def _offline(self, cached: CachedToken | None, source: str, why: str) -> AuthResult:
        """OCPP 1.6 section 3.5: known cards by LocalAuthorizeOffline, unknown ones by AllowOfflineTxForUnknownId."""
        if cached is None:
            allowed = self._keys.flag("AllowOfflineTxForUnknownId")
            reason = f"{why}: {'unknown cards may charge' if allowed else 'not in cache and not in the local list'}"
            return AuthResult(accepted=allowed, reason=reason, decided=False)
        if cached.status != "Accepted":
            return AuthResult(accepted=False, reason=f"{why}: {source} says {cached.status}")
        if self._expired(cached):
            return AuthResult(accepted=False, reason=f"{why}: Expired")
        if not self._keys.flag("LocalAuthorizeOffline"):
            return AuthResult(accepted=False, reason=f"{why}: cards are not accepted offline (LocalAuthorizeOffline)")
        return AuthResult(accepted=True, parent=cached.parent, reason=f"{why}: known card ({source})")
