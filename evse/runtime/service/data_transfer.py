"""DataTransfer for local programs: send, subscribe, take requests of the CSMS, confirm them.

A program that subscribes asks for the next request again and again; one that has not asked for `LEASE_S` is gone, and its
subscription ends.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from evse.api import models as m
from evse.api import models_ocpp_data as d
from evse.api.errors import ApiError, ErrorCode
from evse.api.service import Caller
from evse.ocpp.data_transfer import DataTransferError, Incoming, Subscription
from evse.ocpp.engine import CallTimeout
from evse.ocpp.messages import CallError
from evse.runtime.service.backend import OFFLINE_HINT, client_of
from evse.runtime.station import Station
from evse.transports.base import WsClosed

LEASE_S: Final = 60.0


class Lease(msgspec.Struct):
    """A subscription of one program, and when it ends unless the program asks."""

    subscription: Subscription
    user: str
    end: asyncio.TimerHandle


class DataLeases:
    """The subscriptions of the API, by their numbers."""

    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}
        self._next = 1

    def add(self, subscription: Subscription, user: str) -> int:
        """Keep a subscription; return its number."""
        number, self._next = self._next, self._next + 1
        self._leases[number] = Lease(subscription, user, self._later(number))
        return number

    def renew(self, number: int) -> Subscription:
        """Return a subscription whose program is there; NOT_FOUND without it."""
        lease = self._leases.get(number)
        if lease is None:
            raise ApiError(
                ErrorCode.NOT_FOUND, f"there is no subscription {number}", f"subscribe again; {LEASE_S:.0f} s without a question end one"
            )
        lease.end.cancel()
        lease.end = self._later(number)
        return lease.subscription

    def close(self, number: int) -> bool:
        """End one; tell whether there was one."""
        lease = self._leases.pop(number, None)
        if lease is None:
            return False
        lease.end.cancel()
        lease.subscription.close()
        return True

    def _later(self, number: int) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(LEASE_S, self.close, number)


class DataOperations:
    """``ocpp.data_*``."""

    _station: Station
    _leases: DataLeases

    async def ocpp_data_send(self, request: d.OcppDataSend, caller: Caller) -> d.OcppDataAnswer:
        """DataTransfer to the CSMS."""
        caller.note.target = f"{request.vendor_id} {request.message_id or ''}".rstrip()
        try:
            answer = await client_of(self._station).data_transfer(request.vendor_id, request.message_id, request.data)
        except CallTimeout as error:
            raise ApiError(ErrorCode.TIMEOUT, str(error), OFFLINE_HINT) from None
        except CallError as error:
            raise ApiError(ErrorCode.CONFLICT, f"the CSMS refuses: {error}", "see evsectl ocpp messages") from None
        except WsClosed:
            raise ApiError(ErrorCode.CONFLICT, "the CSMS has not accepted this station now", OFFLINE_HINT) from None
        return d.OcppDataAnswer(status=str(answer["status"]), data=answer.get("data"))

    async def ocpp_data_subscribe(self, request: d.OcppDataSubscribe, caller: Caller) -> d.OcppDataSubscription:
        """Hear the requests of a vendorId, or of one messageId of it."""
        caller.note.target = f"{request.vendor_id} {request.message_id or ''}".rstrip()
        try:
            made = client_of(self._station).data.subscribe(request.vendor_id, request.message_id, request.confirm_s)
        except DataTransferError as error:
            raise ApiError(ErrorCode.CONFLICT, str(error), "") from None
        return d.OcppDataSubscription(subscription=self._leases.add(made, caller.user))

    async def ocpp_data_next(self, request: d.OcppDataNext, caller: Caller) -> d.OcppDataRequests:
        """The next request of a subscription; none when none came in time."""
        subscription = self._leases.renew(request.subscription)
        try:
            async with asyncio.timeout(request.seconds):
                incoming = await subscription.next()
        except TimeoutError:
            return d.OcppDataRequests(items=())
        return d.OcppDataRequests(items=(_incoming(incoming),))

    async def ocpp_data_confirm(self, request: d.OcppDataConfirm, caller: Caller) -> m.Done:
        """Answer a request; the payload goes to the CSMS unchanged."""
        caller.note.target = f"request {request.request_id}"
        try:
            client_of(self._station).data.confirm(request.request_id, request.status, request.data)
        except DataTransferError as error:
            raise ApiError(ErrorCode.CONFLICT, str(error), "confirm within the time of the subscription") from None
        return m.Done(detail="confirmed")

    async def ocpp_data_unsubscribe(self, request: d.OcppDataUnsubscribe, caller: Caller) -> m.Done:
        """End a subscription."""
        done = self._leases.close(request.subscription)
        return m.Done(changed=done, detail="" if done else f"there is no subscription {request.subscription}")


def _incoming(found: Incoming) -> d.OcppDataRequest:
    return d.OcppDataRequest(
        request_id=found.request_id, vendor_id=found.vendor_id, message_id=found.message_id, data=found.data
    )
