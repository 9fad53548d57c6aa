"""What the CSMS may ask of the station (OCPP 1.6 Core and RemoteTrigger); other profiles bring their handlers along.

A part that not every station has appends its table to ``extensions``, its messages that may be asked for to ``triggers``.

A handler gets a payload that its schema has accepted and returns the answer, with what it does afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from evse.ocpp.charging import Charging, Refused
from evse.ocpp.data_transfer import BuiltIn
from evse.ocpp.engine import Handler, Reply
from evse.ocpp.key_table import PAGE_KEYS
from evse.ocpp.keys import Keys
from evse.ocpp.local_list import LocalList
from evse.ocpp.messages import CallError, Payload
from evse.ocpp.ports import AuthResult, StationPort, StorePort
from evse.ocpp.reservations import Reservations
from evse.ocpp.resetting import Resetter

log = logging.getLogger(__name__)


class Side(Protocol):
    """What handlers ask of the client itself."""

    @property
    def registration(self) -> str:
        """Accepted, Pending, Rejected, or "" before the first answer."""
        ...

    async def authorize(self, id_token: str, evse_id: int) -> AuthResult:
        """May this token charge? Asks the back end."""
        ...

    async def admit(self, id_token: str, evse_id: int) -> AuthResult:
        """May this token charge? Asks as for a card at a reader."""
        ...

    def evse_of_transaction(self, transaction_id: int) -> int | None:
        """EVSE on which a transaction runs."""
        ...

    async def trigger(self, message: str, connector_id: int | None) -> None:
        """Send a message that the CSMS asked for."""
        ...


TRIGGERS = ("BootNotification", "Heartbeat", "MeterValues", "StatusNotification")
"""What TriggerMessage and ExtendedTriggerMessage can ask of every station."""


class Handlers:
    """The handlers of one station. ``data_handlers`` maps vendorId to who understands its DataTransfer in the station.

    ``triggers`` maps the name of one more message to who sends it; ``extensions`` are tables of action to handler.
    """

    def __init__(
        self, side: Side, station: StationPort, store: StorePort, keys: Keys, charging: Charging,
        local_list: LocalList, reservations: Reservations, resetter: Resetter,
    ) -> None:
        self.data_handlers: dict[str, BuiltIn] = {}
        self.triggers: dict[str, Callable[[], Awaitable[None]]] = {}
        self.extensions: list[Callable[[], dict[str, Handler]]] = []
        self.extended: dict[str, Callable[[], Awaitable[None]]] = {}
        """``triggers`` that ExtendedTriggerMessage answers in another way."""
        self.unlocked: dict[int, str] = {}
        """Session at each EVSE that UnlockConnector came for."""
        self.busy: Callable[[], str] = lambda: ""
        """Why the station must not be restarted now, "" = it may."""
        self._side = side
        self._station = station
        self._store = store
        self._keys = keys
        self._charging = charging
        self._local_list = local_list
        self._reservations = reservations
        self._resetter = resetter

    def table(self) -> dict[str, Handler]:
        """Return action to handler."""
        found: dict[str, Handler] = {
            "ChangeAvailability": self.change_availability,
            "ChangeConfiguration": self.change_configuration,
            "ClearCache": self.clear_cache,
            "ExtendedTriggerMessage": self.extended_trigger_message,
            "GetConfiguration": self.get_configuration,
            "RemoteStartTransaction": self.remote_start,
            "RemoteStopTransaction": self.remote_stop,
            "Reset": self.reset,
            "TriggerMessage": self.trigger_message,
            "UnlockConnector": self.unlock_connector,
            **self._charging.table(),
            **self._local_list.table(),
            **self._reservations.table(),
        }
        for extension in self.extensions:
            found.update(extension())
        return found

    def _has(self, connector_id: int) -> bool:
        return any(evse.evse_id == connector_id for evse in self._station.view().evses)

    async def change_availability(self, payload: Payload) -> Reply:
        """Connector 0 is the whole station. During a transaction the answer is Scheduled."""
        connector_id = int(payload["connectorId"])
        if connector_id != 0 and not self._has(connector_id):
            return Reply({"status": "Rejected"})
        status = await self._station.set_availability(connector_id, payload["type"] == "Operative")
        return Reply({"status": status})

    async def get_configuration(self, payload: Payload) -> Reply:
        """All keys, or those asked for; names that are unknown are listed apart.

        GetConfigurationMaxKeys bounds the names of one request, not the answer: a longer list gets an error that says so.
        """
        wanted = payload.get("key") or []
        if len(wanted) > PAGE_KEYS:
            text = f"/key: {len(wanted)} keys, at most {PAGE_KEYS} at once (GetConfigurationMaxKeys); ask in pages"
            raise CallError("OccurenceConstraintViolation", text)
        wanted = list({name.lower(): name for name in reversed(wanted)}.values())[::-1]
        infos = [self._keys.find(name) for name in wanted] if wanted else list(self._keys.all())
        rows: list[Payload] = []
        for info in infos:
            if info is not None:
                told = {} if info.writeonly else {"value": info.value}
                rows.append({"key": info.key, "readonly": info.readonly, **told})
        answer: Payload = {"configurationKey": rows}
        unknown = [name for name, info in zip(wanted, infos, strict=False) if info is None]
        if unknown:
            answer["unknownKey"] = unknown
        return Reply(answer)

    async def change_configuration(self, payload: Payload) -> Reply:
        """Set a key durably before the answer."""
        return Reply({"status": await self._keys.set(payload["key"], payload["value"])})

    async def clear_cache(self, payload: Payload) -> Reply:
        """Forget all cards."""
        if not self._keys.flag("AuthorizationCacheEnabled"):
            return Reply({"status": "Rejected"})
        await self._store.cache_clear()
        return Reply({"status": "Accepted"})

    async def remote_start(self, payload: Payload) -> Reply:
        """Authorise an EVSE from outside; a charging profile that comes along waits for the transaction."""
        connector_id: int | None = payload.get("connectorId")
        id_tag = str(payload["idTag"])
        if self._side.registration != "Accepted" or (connector_id is not None and not self._has(connector_id)):
            return Reply({"status": "Rejected"})
        if "chargingProfile" in payload:
            try:
                self._charging.expect(connector_id, id_tag, payload["chargingProfile"])
            except Refused as error:
                log.warning("ocpp: RemoteStartTransaction rejected: charging profile: %s", error)
                return Reply({"status": "Rejected"})
        for_group = self._reservations.asks_for_group(connector_id, id_tag)
        if not for_group and not self._keys.flag("AuthorizeRemoteTxRequests"):
            started = await self._remote_start(connector_id, id_tag)
            return Reply({"status": "Accepted" if started else "Rejected"})

        async def ask_first() -> None:
            judge = self._side.authorize if for_group else self._side.admit
            target = connector_id if connector_id is not None else self._plugged_and_free()
            result = await judge(id_tag, target or 0)
            if result.accepted:
                await self._remote_start(target, id_tag, result.parent)
            else:
                self._charging.forget(id_tag)

        return Reply({"status": "Accepted"}, after=ask_first)

    def _plugged_and_free(self) -> int | None:
        """Where a remote start without connector goes: a card may be allowed at one connector only."""
        for evse in self._station.view().evses:
            if evse.plugged and (evse.session is None or evse.session.started_at is None):
                return evse.evse_id
        return None

    async def _remote_start(self, connector_id: int | None, id_tag: str, parent: str = "") -> bool:
        started = await self._station.remote_start(connector_id, id_tag, parent)
        if not started:
            self._charging.forget(id_tag)
        return started

    async def remote_stop(self, payload: Payload) -> Reply:
        """End a transaction by its number."""
        evse_id = self._side.evse_of_transaction(int(payload["transactionId"]))
        if self._side.registration != "Accepted" or evse_id is None:
            return Reply({"status": "Rejected"})
        return Reply({"status": "Accepted" if await self._station.remote_stop(evse_id) else "Rejected"})

    async def reset(self, payload: Payload) -> Reply:
        """Restart once the answer is on its way, and again as often as ResetRetries says if nothing comes of it."""
        hard = payload["type"] == "Hard"
        busy = self.busy()
        if busy:
            log.warning("ocpp: Reset rejected: %s", busy)
            return Reply({"status": "Rejected"})
        await self._charging.save()

        async def restart() -> None:
            self._resetter.ask(hard=hard)

        return Reply({"status": "Accepted"}, after=restart)

    async def trigger_message(self, payload: Payload) -> Reply:
        """Send a message now."""
        return self._trigger(payload, self.triggers)

    async def extended_trigger_message(self, payload: Payload) -> Reply:
        """The same for ExtendedTriggerMessage."""
        return self._trigger(payload, {**self.triggers, **self.extended})

    def _trigger(self, payload: Payload, triggers: dict[str, Callable[[], Awaitable[None]]]) -> Reply:
        message = str(payload["requestedMessage"])
        connector_id: int | None = payload.get("connectorId")
        other = triggers.get(message)
        if message not in TRIGGERS and other is None:
            return Reply({"status": "NotImplemented"})
        if connector_id is not None and connector_id != 0 and not self._has(connector_id):
            return Reply({"status": "Rejected"})

        async def send() -> None:
            if other is not None:
                await other()
            else:
                await self._side.trigger(message, connector_id)

        return Reply({"status": "Accepted"}, after=send)

    async def unlock_connector(self, payload: Payload) -> Reply:
        """Stop, unlock; connector 0, unknown ones and those without a lock are not supported."""
        connector_id = int(payload["connectorId"])
        evse = next((evse for evse in self._station.view().evses if evse.evse_id == connector_id), None)
        if evse is None:
            return Reply({"status": "NotSupported"})
        if evse.session is not None:
            self.unlocked[connector_id] = evse.session.session_id
        return Reply({"status": await self._station.unlock(connector_id)})
