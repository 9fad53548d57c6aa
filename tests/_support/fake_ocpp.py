"""The back end of the fake station: every ``ocpp.*`` operation over data in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from evse.api import models as m
from evse.api import models_ocpp as o
from evse.api import models_ocpp_data as d
from evse.api.errors import ApiError, ErrorCode
from evse.api.operation import Empty
from evse.api.service import Caller
from evse.domain.limits import LimitEntry, LimitSource
from evse.ocpp.messages import parse_timestamp
from evse.ocpp.schedule_explain import explain_schedule
from evse.planner.composite import Scope, Unit, deci, walk
from evse.runtime.service.schedules import explained, profile_model
from evse.units import NS_PER_S
from tests._support import fake_ocpp_data as data
from tests._support.fake_ocpp_security import REQUESTS as REQUESTS_SECURITY
from tests._support.fake_ocpp_security import FakeOcppSecurity

REQUESTS: dict[str, dict[str, object]] = {
    "ocpp.set": {"key": "HeartbeatInterval", "value": "60"},
    "ocpp.resend": {"row_id": 61},
    "ocpp.queue_move": {"confirm": 1},
    "ocpp.queue_discard": {"confirm": 1},
    "ocpp.composite": {"evse_id": 1, "duration_s": 3600},
    "ocpp.explain": {"evse_id": 1},
    "ocpp.trigger": {"message": "Heartbeat"},
    **REQUESTS_SECURITY,
    "ocpp.data_subscribe": {"vendor_id": "com.example"},
    "ocpp.data_next": {"subscription": 1},
    "ocpp.data_confirm": {"request_id": "dt-1"},
    "ocpp.data_unsubscribe": {"subscription": 1},
    "ocpp.data_send": {"vendor_id": "com.example", "data": "hello"},
}
"""A request that succeeds, for every operation that needs one."""

RATED_W = 50_000


class FakeOcpp(FakeOcppSecurity):
    """``self.ocpp`` is the summary of `FakeState`; ``link`` adds what only the full state tells."""

    def __init__(self, *, heartbeat_s: float = 10.0, status_period_s: float = 0.5) -> None:
        super().__init__(heartbeat_s=heartbeat_s, status_period_s=status_period_s)
        self.link: dict[str, object] = {
            "parked": 1, "foreign": 1, "clock_offset_ms": 310, "time_source": "ntp", "last_boot": self.wall - 172 * 60 * NS_PER_S,
            "target": "active", "peer": "203.0.113.7:443", "ping_s": 30, "ping_timeout_s": 10, "charge_point_id": "DC-0001", "security_profile": 2,
        }  # fmt: skip
        self.link_events = data.LINK_EVENTS
        self.queue = data.QUEUE
        self.profiles = data.PROFILES
        self.doctor = data.DOCTOR_OK
        self.requests: tuple[d.OcppDataRequest, ...] = data.DATA_REQUESTS
        self._added = asyncio.Event()
        self._ended = False

    def reset_ocpp(self) -> None:
        """Everything that operations take away is there again."""
        self.queue, self.certificates, self.transfers = data.QUEUE, data.CERTIFICATES, data.TRANSFERS

    def push_message(self, direction: str, kind: str, action: str, payload: str = "{}", **more: int) -> None:
        """Add a message to the log and tell the streams."""
        seq = self.messages[-1].seq + 1 if self.messages else 1
        row = o.OcppMessage(
            seq=seq, wall=self.wall, direction=direction, type=kind, action=action, unique_id=f"n-{seq}", payload=payload, **more
        )
        self.messages = (*self.messages, row)
        self._added.set()

    def end_stream(self) -> None:
        """Let every stream of messages end."""
        self._ended = True
        self._added.set()

    async def ocpp_status(self, request: Empty, caller: Caller) -> o.OcppState:
        self.enter("ocpp.status", request)
        return o.OcppState(**msgspec.structs.asdict(self.ocpp), **self.link)  # type: ignore[arg-type]

    async def ocpp_messages(self, request: o.OcppMessageQuery, caller: Caller) -> o.OcppMessages:
        self.enter("ocpp.messages", request)
        found = [
            row for row in self.messages
            if request.action in ("", row.action) and request.direction in ("", row.direction)
            and request.evse_id in (None, row.evse_id) and request.text in row.payload + row.unique_id + row.action
        ]
        return o.OcppMessages(items=tuple(found[-request.limit :]))

    async def ocpp_stream(self, since: int | None) -> AsyncIterator[m.StreamItem]:
        newest = self.messages[-1].seq if self.messages else 0
        last = newest if since is None else since if since <= newest else 0
        yield m.StreamItem(type="heartbeat", seq=last)
        while not self._ended:
            self._added.clear()
            for row in self.messages:
                if row.seq > last:
                    last = row.seq
                    yield m.StreamItem(type="message", seq=row.seq, message=row)
            await self._added.wait()

    async def ocpp_log(self, request: o.OcppLogQuery, caller: Caller) -> o.OcppLog:
        self.enter("ocpp.log", request)
        return o.OcppLog(items=self.link_events[-request.limit :])

    async def ocpp_config(self, request: Empty, caller: Caller) -> o.OcppKeys:
        self.enter("ocpp.config", request)
        return o.OcppKeys(items=tuple(self.keys.values()))

    async def ocpp_set(self, request: o.OcppKeySet, caller: Caller) -> o.OcppKeyResult:
        self.enter("ocpp.set", request)
        key = self.keys.get(request.key)
        if key is None:
            return o.OcppKeyResult(status="NotSupported")
        low, _, high = key.range.partition("..")
        fits = not high or (request.value.isdigit() and int(low) <= int(request.value) <= int(high))
        if key.readonly or not fits:
            return o.OcppKeyResult(status="Rejected")
        shown = "" if key.writeonly else request.value
        self.keys[request.key] = msgspec.structs.replace(key, value=shown)
        return o.OcppKeyResult(status="Accepted")

    # -- queue ----------------------------------------------------------------------------------------------------

    async def ocpp_queue(self, request: o.OcppQueueQuery, caller: Caller) -> o.OcppQueue:
        self.enter("ocpp.queue", request)
        count = {state: sum(1 for row in self.queue if row.state == state) for state in ("waiting", "parked", "foreign")}
        items = tuple(row for row in self.queue if row.row_id > request.after)[: request.limit]
        return o.OcppQueue(items=items, backend="csms.example.org/ocpp/DC-0001", **count)

    async def ocpp_resend(self, request: o.OcppResend, caller: Caller) -> m.Done:
        self.enter("ocpp.resend", request)
        chosen = [row.row_id for row in self.queue if row.state == "parked" and request.row_id in (None, row.row_id)]
        if not chosen:
            return m.Done(changed=False, detail="no message is parked")
        self.queue = tuple(
            msgspec.structs.replace(row, state="waiting", reason="", attempts=0) if row.row_id in chosen else row
            for row in self.queue
        )
        return m.Done(detail=f"{len(chosen)} messages wait again")

    async def ocpp_queue_move(self, request: o.OcppForeign, caller: Caller) -> m.Done:
        self.enter("ocpp.queue_move", request)
        self._confirm(request.confirm)
        self.queue = tuple(
            msgspec.structs.replace(row, state="waiting", backend="") if row.state == "foreign" else row for row in self.queue
        )
        return m.Done(detail=f"{request.confirm} messages go to csms.example.org/ocpp/DC-0001")

    async def ocpp_queue_discard(self, request: o.OcppForeign, caller: Caller) -> m.Done:
        self.enter("ocpp.queue_discard", request)
        self._confirm(request.confirm)
        self.queue = tuple(row for row in self.queue if row.state != "foreign")
        return m.Done(detail=f"{request.confirm} messages of another back end are gone")

    def _confirm(self, count: int) -> None:
        found = sum(1 for row in self.queue if row.state == "foreign")
        if found != count:
            message = f"{found} messages of another back end wait, not {count}; nothing was changed"
            raise ApiError(ErrorCode.CONFLICT, message, "look again: evsectl ocpp queue list")

    # -- charging profiles ----------------------------------------------------------------------------------------

    def _scope(self, evse_id: int) -> Scope:
        if evse_id:
            session = self.evse(evse_id).session
            if session is not None and session.started_at is not None and session.ended_at is None:
                return Scope(evse_id=evse_id, tx_start=session.started_at, session_id=session.session_id)
        return Scope(evse_id=evse_id, tx_start=self.wall)

    async def ocpp_profiles(self, request: Empty, caller: Caller) -> o.OcppProfiles:
        self.enter("ocpp.profiles", request)
        return o.OcppProfiles(items=tuple(map(profile_model, self.profiles)))

    async def ocpp_composite(self, request: o.OcppCompositeQuery, caller: Caller) -> o.OcppComposite:
        self.enter("ocpp.composite", request)
        unit = Unit(request.unit or "W")
        start = parse_timestamp("2026-01-01T10:00:00Z") or 0
        steps = walk(self.profiles, self._scope(request.evse_id), self.wall, self.wall + request.duration_s * NS_PER_S, RATED_W)
        return o.OcppComposite(
            evse_id=request.evse_id, start_at=start, duration_s=request.duration_s, unit=unit.value,
            items=tuple(
                o.OcppCompositePeriod(
                    at=step.at, start_s=(step.at - start) // NS_PER_S, limit=deci(unit, step.power_w) / 10,
                    phases=3 if unit is Unit.A else None,
                )
                for step in steps
            ),
        )  # fmt: skip

    async def ocpp_explain(self, request: o.OcppScheduleQuery, caller: Caller) -> o.OcppScheduleExplanations:
        self.enter("ocpp.explain", request)
        wanted = (request.evse_id,) if request.evse_id is not None else (0, *(v.evse_id for v in self.view.evses))
        items = []
        for evse_id in wanted:
            told = explain_schedule(self.profiles, self._scope(evse_id), self.wall, RATED_W if evse_id else 120_000)
            busy = evse_id and self.evse(evse_id).offered_w
            binding = LimitEntry(source=LimitSource.CSMS, power_w=told.power_w, binds=True) if busy else None
            items.append(explained(told, binding))
        return o.OcppScheduleExplanations(items=tuple(items))

    # -- doing ----------------------------------------------------------------------------------------------------

    async def ocpp_trigger(self, request: o.OcppTrigger, caller: Caller) -> m.Done:
        self.enter("ocpp.trigger", request)
        if not self.ocpp.connected:
            raise ApiError(ErrorCode.CONFLICT, "there is no link to the CSMS", "see why: evsectl ocpp doctor")
        self.push_message("sent", "call", request.message)
        return m.Done(detail=f"{request.message} sent")

    async def ocpp_reconnect(self, request: Empty, caller: Caller) -> m.Done:
        self.enter("ocpp.reconnect", request)
        return m.Done(detail="dialling")

    async def ocpp_data_send(self, request: d.OcppDataSend, caller: Caller) -> d.OcppDataAnswer:
        self.enter("ocpp.data_send", request)
        if request.vendor_id != "com.example":
            return d.OcppDataAnswer(status="UnknownVendorId")
        return d.OcppDataAnswer(status="Accepted", data=(request.data or "")[::-1])

    async def ocpp_data_subscribe(self, request: d.OcppDataSubscribe, caller: Caller) -> d.OcppDataSubscription:
        self.enter("ocpp.data_subscribe", request)
        return d.OcppDataSubscription(subscription=1)

    async def ocpp_data_next(self, request: d.OcppDataNext, caller: Caller) -> d.OcppDataRequests:
        self.enter("ocpp.data_next", request)
        first, self.requests = self.requests[:1], self.requests[1:]
        if not first and request.seconds:
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no subscription {request.subscription}", "subscribe again")
        return d.OcppDataRequests(items=first)

    async def ocpp_data_confirm(self, request: d.OcppDataConfirm, caller: Caller) -> m.Done:
        self.enter("ocpp.data_confirm", request)
        return m.Done(detail="confirmed")

    async def ocpp_data_unsubscribe(self, request: d.OcppDataUnsubscribe, caller: Caller) -> m.Done:
        self.enter("ocpp.data_unsubscribe", request)
        return m.Done()

    async def ocpp_doctor(self, request: Empty, caller: Caller) -> o.OcppDoctor:
        self.enter("ocpp.doctor", request)
        return self.doctor

    async def ocpp_examine(self, request: Empty, caller: Caller) -> o.OcppDoctor:
        self.enter("ocpp.examine", request)
        return self.doctor
