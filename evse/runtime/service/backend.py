"""Operations on the back-end link."""

from __future__ import annotations

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.ocpp.client import OcppClient
from evse.runtime.station import Station

MESSAGES_MAX = 500


class BackendOperations:
    """``ocpp.*``."""

    _station: Station

    async def ocpp_status(self, request: Empty, caller: Caller) -> m.OcppSummary:
        """State of the link; also while OCPP is switched off."""
        return ocpp_summary(self._station)

    async def ocpp_messages(self, request: m.OcppMessageQuery, caller: Caller) -> m.OcppMessages:
        """Last messages, oldest first."""
        rows = self._client().messages(max(1, min(request.limit, MESSAGES_MAX)), request.action)
        return m.OcppMessages(
            items=tuple(
                m.OcppMessage(
                    seq=r.seq,
                    wall=r.wall,
                    direction=r.direction,
                    type=r.type,
                    action=r.action,
                    unique_id=r.unique_id,
                    payload=r.payload,
                )
                for r in rows
            )
        )

    async def ocpp_config(self, request: Empty, caller: Caller) -> m.OcppKeys:
        """All configuration keys."""
        return m.OcppKeys(
            items=tuple(
                m.OcppKey(key=k.key, value=k.value, readonly=k.readonly, help=k.help, unit=k.unit)
                for k in self._client().keys()  # noqa: SIM118 - a method of the client
            )
        )

    async def ocpp_set(self, request: m.OcppKeySet, caller: Caller) -> m.OcppKeyResult:
        """Set a key as the CSMS could."""
        return m.OcppKeyResult(status=await self._client().set_key(request.key, request.value))

    def _client(self) -> OcppClient:
        if self._station.ocpp is None:
            raise ApiError(
                ErrorCode.CONFLICT,
                "OCPP is switched off on this station",
                "set ocpp.enabled and ocpp.url in the configuration",
            )
        return self._station.ocpp


def ocpp_summary(station: Station) -> m.OcppSummary:
    """The link as people see it."""
    if station.ocpp is None:
        return m.OcppSummary(
            enabled=False,
            url="",
            connected=False,
            registration="",
            since=None,
            last_error="",
            sent=0,
            received=0,
            queued=0,
        )
    s = station.ocpp.summary()
    return m.OcppSummary(
        enabled=True,
        url=s.url,
        connected=s.connected,
        registration=s.registration,
        since=s.since,
        last_error=s.last_error,
        sent=s.sent,
        received=s.received,
        queued=s.queued,
        heartbeat_s=s.heartbeat_s,
        last_heartbeat=s.last_heartbeat,
    )
