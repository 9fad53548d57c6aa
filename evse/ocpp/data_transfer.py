"""DataTransfer both ways between the CSMS and local programs, and the public keys of meters after a boot.

A local program subscribes to a vendorId, or to one messageId of it, and confirms each request within its time
(charge-control-c 3.3.8: 1 to 60 s). Payloads pass as they came: no field is added, removed or changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from evse.domain.clock import Clock
from evse.ocpp import messages
from evse.ocpp.engine import CallTimeout, Reply
from evse.ocpp.messages import CallError, Payload
from evse.transports.base import WsClosed
from evse.units import NS_PER_S, Instant

log = logging.getLogger(__name__)

CONFIRM_MIN_S, CONFIRM_MAX_S = 1, 60
SUBSCRIPTIONS_MAX = 64
WAITING_MAX = 32
"""Requests of one subscription that nobody has confirmed yet; more are refused at once."""

STATUSES = ("Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId")

KEY_VENDOR, KEY_MESSAGE = "generalConfiguration", "setMeterConfiguration"
"""The public key of a signing meter as has.to.be specified it (charge-control-c 3.3.10)."""

KEYS_WAIT_S = 30
"""So long a boot waits for meters that have not told their key yet; those that have are told then."""

BuiltIn = Callable[[str, str], Awaitable[tuple[str, str | None]]]
"""(messageId, data) to (status, data) of the answer: a vendor that the station itself understands."""

Ask = Callable[[str, Payload], Awaitable[Payload]]


class DataTransferError(Exception):
    """A local program asks for something that is not possible; the text says what to do."""


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A request of the CSMS for a local program. None = the field is absent."""

    request_id: str
    vendor_id: str
    message_id: str | None
    data: str | None
    confirm_by: Instant  # monotonic ns


class Subscription:
    """What one local program wants to hear. Made by `DataTransfers.subscribe`; `close` when the program has gone."""

    def __init__(self, owner: DataTransfers, vendor_id: str, message_id: str | None, confirm_timeout_s: int) -> None:
        self.vendor_id = vendor_id
        self.message_id = message_id
        self.confirm_timeout_s = confirm_timeout_s
        self.waiting: deque[Incoming] = deque()  # not yet taken by `next`
        self.open = 0  # not yet confirmed
        self._owner = owner
        self._kick = asyncio.Event()

    async def next(self) -> Incoming:
        """Return the next request; waits for it. Requests whose time is over are left out."""
        while True:
            while self.waiting:
                incoming = self.waiting.popleft()
                if self._owner.is_open(incoming.request_id):
                    return incoming
            self._kick.clear()
            await self._kick.wait()

    def put(self, incoming: Incoming) -> None:
        """A request has come."""
        self.waiting.append(incoming)
        self._kick.set()

    def close(self) -> None:
        """Nobody listens any more; what waits is refused by its time."""
        self._owner.forget(self)


class MeterKey(msgspec.Struct, frozen=True, kw_only=True):
    """Public key of the meter of a connector, DER as hexadecimal digits."""

    connector_id: int
    serial: str
    public_key: str


class DataTransfers:
    """DataTransfer of one station. ``built_in`` maps vendorId to who understands it inside the station."""

    def __init__(self, ask: Ask, clock: Clock, built_in: dict[str, BuiltIn]) -> None:
        self._ask = ask
        self._clock = clock
        self._built_in = built_in
        self._subscriptions: dict[tuple[str, str | None], Subscription] = {}
        self._open: dict[str, asyncio.Future[Payload]] = {}
        self._next = 1

    # -- station to CSMS ------------------------------------------------------------------------------------------

    async def send(self, vendor_id: str, message_id: str | None, data: str | None) -> Payload:
        """Send a message and return the answer as it came; None leaves a field out.

        Raises `CallError` (also when the schema forbids the message), `CallTimeout`, `WsClosed` (also while offline).
        """
        fields = {"vendorId": vendor_id, "messageId": message_id, "data": data}
        payload: Payload = {name: value for name, value in fields.items() if value is not None}
        problem = messages.check_call("DataTransfer", payload)
        if problem is not None:
            raise problem
        return await self._ask("DataTransfer", payload)

    async def send_keys(self, keys: Sequence[MeterKey], vendor_id: str = KEY_VENDOR, message_id: str = KEY_MESSAGE) -> None:
        """Tell the CSMS the public keys of the meters; its answer does not matter (charge-control-c 3.3.10)."""
        if not keys:
            return
        meters = [
            {"connectorId": key.connector_id, "meterSerial": key.serial, "type": "SIGNATURE", "publicKey": key.public_key}
            for key in keys
        ]
        try:
            await self.send(vendor_id, message_id, msgspec.json.encode({"meters": meters}).decode())
        except (CallError, CallTimeout) as error:
            log.warning("ocpp: public keys of the meters: %s", error)

    # -- CSMS to station ------------------------------------------------------------------------------------------

    def subscribe(self, vendor_id: str, message_id: str | None = None, confirm_timeout_s: int = 1) -> Subscription:
        """Register a local program for a vendorId (None = all its messages but those subscribed apart)."""
        if not CONFIRM_MIN_S <= confirm_timeout_s <= CONFIRM_MAX_S:
            text = f"confirm timeout {confirm_timeout_s} s: it is {CONFIRM_MIN_S} to {CONFIRM_MAX_S} s"
            raise DataTransferError(text)
        if not vendor_id or len(vendor_id) > 255 or len(message_id or "") > 50:
            raise DataTransferError("a vendorId has 1 to 255 characters, a messageId at most 50")
        name = vendor_id if message_id is None else f"{vendor_id} {message_id}"
        if vendor_id in self._built_in:
            raise DataTransferError(f"{name}: the station answers this vendorId itself; use another")
        if (vendor_id, message_id) in self._subscriptions:
            raise DataTransferError(f"{name}: another program has subscribed to it; end that one first")
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            raise DataTransferError(f"{SUBSCRIPTIONS_MAX} subscriptions exist already; end one first")
        made = Subscription(self, vendor_id, message_id, confirm_timeout_s)
        self._subscriptions[(vendor_id, message_id)] = made
        return made

    def subscriptions(self) -> list[Subscription]:
        """All that exist now."""
        return list(self._subscriptions.values())

    def forget(self, subscription: Subscription) -> None:
        """End a subscription; a second time changes nothing."""
        key = (subscription.vendor_id, subscription.message_id)
        if self._subscriptions.get(key) is subscription:
            del self._subscriptions[key]

    def is_open(self, request_id: str) -> bool:
        """Whether a request still waits for its confirmation."""
        waiting = self._open.get(request_id)
        return waiting is not None and not waiting.done()

    def confirm(self, request_id: str, status: str, data: str | None = None) -> None:
        """Answer a request; raises `DataTransferError` when it is unknown, answered, or its time is over."""
        answer: Payload = {"status": status} if data is None else {"status": status, "data": data}
        if status not in STATUSES:
            raise DataTransferError(f"status {status!r}: it is one of {', '.join(STATUSES)}")
        waiting = self._open.get(request_id)
        if waiting is None or waiting.done():
            raise DataTransferError(f"request {request_id}: unknown, answered already, or its time is over")
        waiting.set_result(answer)

    async def on_request(self, payload: Payload) -> Reply:
        """The handler of DataTransfer: a subscription, else the station itself, else unknown."""
        vendor_id, message_id = str(payload["vendorId"]), payload.get("messageId")
        found = self._subscriptions.get((vendor_id, message_id)) or self._subscriptions.get((vendor_id, None))
        if found is not None:
            return Reply(await self._forward(found, payload))
        built_in = self._built_in.get(vendor_id)
        if built_in is not None:
            status, data = await built_in(payload.get("messageId", ""), payload.get("data", ""))
            return Reply({"status": status} if data is None else {"status": status, "data": data})
        known = any(subscribed == vendor_id for subscribed, _ in self._subscriptions)
        return Reply({"status": "UnknownMessageId" if known else "UnknownVendorId"})

    async def _forward(self, subscription: Subscription, payload: Payload) -> Payload:
        if subscription.open >= WAITING_MAX:
            raise CallError("InternalError", f"{WAITING_MAX} requests wait for the local program already")
        request_id, self._next = f"dt-{self._next}", self._next + 1
        seconds = subscription.confirm_timeout_s
        waiting: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
        self._open[request_id] = waiting
        subscription.open += 1
        subscription.put(Incoming(
            request_id=request_id, vendor_id=str(payload["vendorId"]), message_id=payload.get("messageId"),
            data=payload.get("data"), confirm_by=self._clock.now() + seconds * NS_PER_S,
        ))
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except TimeoutError:
            raise CallError("InternalError", f"the local program did not confirm within {seconds} s") from None
        finally:
            subscription.open -= 1
            del self._open[request_id]
            subscription.waiting = deque(entry for entry in subscription.waiting if entry.request_id != request_id)


def lane_of(action: str, payload: Payload) -> str:
    """Return what keeps its order among requests: those of one action, of DataTransfer those of one vendorId."""
    return f"{action} {payload.get('vendorId')}" if action == "DataTransfer" else action


async def keys_after_boot(
    transfers: DataTransfers, wanted: Callable[[], bool], keys: Callable[[], Sequence[MeterKey]],
    named: Callable[[], tuple[str, str]] = lambda: (KEY_VENDOR, KEY_MESSAGE), known: Callable[[], bool] = lambda: True,
) -> None:
    """What follows a BootNotification: the public keys, if ``wanted``; ``named`` gives vendorId and messageId.

    Right after a start the meters may not have told theirs yet (``known``): that is waited for, at most `KEYS_WAIT_S`.
    """
    for _ in range(KEYS_WAIT_S):
        if known():
            break
        await asyncio.sleep(1.0)
    if not wanted():
        return
    try:
        await transfers.send_keys(keys(), *named())
    except WsClosed:
        log.info("ocpp: public keys of the meters: the link has ended; sent after the next BootNotification")
