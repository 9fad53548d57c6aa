"""Operations on the back-end link: its state, its messages, its keys, its queue, and the doctor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from evse.api import models as m
from evse.api import models_ocpp as o
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.domain.base import DeviceError
from evse.ocpp.client import OcppClient
from evse.ocpp.doctor import Check, Report
from evse.ocpp.engine import CallTimeout
from evse.ocpp.log_view import Filter, PairedMessage, Pairing, select
from evse.ocpp.messages import CallError, Payload
from evse.ocpp.queue import Outbox, QueueRow
from evse.runtime.station import Station
from evse.transports.base import WsClosed
from evse.units import NS_PER_MS

MESSAGES_MAX: Final = 500
STEP_ROWS: Final = 50
"""Messages that are filtered at once."""

HEARTBEAT_S: Final = 10.0
"""Longest silence of a stream."""

OFFLINE_HINT: Final = "see why: evsectl ocpp doctor"
KEPT: Final = "what is parked has numbers of another back end; only a row that is named is sent: evsectl ocpp queue resend ROW"


class BackendOperations:
    """``ocpp.*`` but charging profiles and security."""

    _station: Station
    _pairing: Pairing

    async def ocpp_status(self, request: Empty, caller: Caller) -> o.OcppState:
        """State of the link; also while OCPP is switched off."""
        station = self._station
        identity = station.config.ocpp.charge_point_id or station.config.station.id
        if station.ocpp is None:
            return o.OcppState(
                enabled=False, url="", connected=False, registration="", since=None, last_error="", sent=0, received=0,
                queued=0, charge_point_id=identity,
            )  # fmt: skip
        s = station.ocpp.summary()
        secured = None if station.security is None else station.security.status()
        profile = 0 if secured is None else secured.profile
        note = "" if secured is None else next(iter(secured.warnings), "")
        return o.OcppState(
            enabled=True, url=s.url, connected=s.connected, registration=s.registration, since=s.since,
            last_error=s.last_error, sent=s.sent, received=s.received, queued=s.queued, heartbeat_s=s.heartbeat_s,
            last_heartbeat=s.last_heartbeat, parked=s.parked, foreign=station.ocpp.queue.foreign,
            clock_offset_ms=s.clock_offset_ms, time_source=s.time_source, last_boot=s.last_boot, target=s.target,
            peer=s.peer, failures=s.failures, next_dial_s=s.next_dial_s, ping_s=s.ping_s, ping_timeout_s=s.ping_timeout_s,
            charge_point_id=identity, security_profile=profile, security_note=note,
        )  # fmt: skip

    # -- messages and events --------------------------------------------------------------------------------------

    async def ocpp_messages(self, request: o.OcppMessageQuery, caller: Caller) -> o.OcppMessages:
        """Last messages, oldest first, with their other halves."""
        wanted = Filter(action=request.action, direction=request.direction, evse_id=request.evse_id, text=request.text)
        rows = self._pairing.update(self._client().log.all())
        found: list[PairedMessage] = []
        for start in range(0, len(rows), STEP_ROWS):
            found += select(rows[start : start + STEP_ROWS], wanted, STEP_ROWS)
            await asyncio.sleep(0)  # the control loop goes on in between
        return o.OcppMessages(items=tuple(_message(row) for row in found[-min(request.limit, MESSAGES_MAX) :]))

    def ocpp_stream(self, since: int | None) -> AsyncIterator[m.StreamItem]:
        """A heartbeat, messages behind ``since`` (None = from now on; one that is not there yet = all), and heartbeats."""
        return self._follow(self._client(), since)

    async def _follow(self, client: OcppClient, since: int | None) -> AsyncIterator[m.StreamItem]:
        log = client.log
        last = log.sent + log.received
        if since is not None:  # numbers begin anew with the daemon
            last = since if since <= last else 0
        with log.watch() as added:
            yield m.StreamItem(type="heartbeat", seq=last)
            while True:
                added.clear()
                for row in [row for row in self._pairing.update(log.all()) if row.message.seq > last]:
                    last = row.message.seq
                    yield m.StreamItem(type="message", seq=last, message=_message(row))
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await added.wait()
                except TimeoutError:
                    yield m.StreamItem(type="heartbeat", seq=last)

    async def ocpp_log(self, request: o.OcppLogQuery, caller: Caller) -> o.OcppLog:
        """What happened to the link, oldest first."""
        return o.OcppLog(items=tuple(
            o.OcppLogRow(seq=e.seq, wall=e.wall, what=e.kind, target=e.target, url=e.url, text=e.text)
            for e in self._client().link_events(request.limit)
        ))  # fmt: skip

    # -- keys -----------------------------------------------------------------------------------------------------

    async def ocpp_config(self, request: Empty, caller: Caller) -> o.OcppKeys:
        """All configuration keys."""
        infos = self._client().keys()
        return o.OcppKeys(items=tuple(
            o.OcppKey(
                key=k.key, value=k.value, readonly=k.readonly, help=k.help, unit=k.unit, type=k.kind, range=k.range,
                profile=k.profile, applies=k.applies, writeonly=k.writeonly,
            )
            for k in infos
        ))  # fmt: skip

    async def ocpp_set(self, request: o.OcppKeySet, caller: Caller) -> o.OcppKeyResult:
        """Set a key as the CSMS could."""
        return o.OcppKeyResult(status=await self._client().set_key(request.key, request.value))

    # -- the queue ------------------------------------------------------------------------------------------------

    async def ocpp_queue(self, request: o.OcppQueueQuery, caller: Caller) -> o.OcppQueue:
        """The first rows in the order of delivery."""
        queue = self._client().queue
        rows = await queue.rows(request.limit, request.after)
        await queue.count()
        return o.OcppQueue(
            items=tuple(_queued(row) for row in rows), waiting=queue.waiting, parked=queue.parked, foreign=queue.foreign,
            backend=queue.backend,
        )  # fmt: skip

    async def ocpp_resend(self, request: o.OcppResend, caller: Caller) -> m.Done:
        """Let parked rows wait again: those of the session of one row, or all."""
        queue = self._client().queue
        count = await queue.resend(request.row_id)
        caller.note.new = f"{count} messages"
        if request.row_id is not None and not count:
            return m.Done(changed=False, detail=f"message {request.row_id} is not parked")
        return m.Done(changed=count > 0, detail=f"{count} messages wait again" if count else KEPT if queue.parked else "no message is parked")

    async def ocpp_queue_move(self, request: o.OcppForeign, caller: Caller) -> m.Done:
        """Give the messages of another back end to this one."""
        queue = await self._foreign(request.confirm)
        moved = await queue.move()
        caller.note.new = f"{moved.moved} moved, {moved.parked} parked"
        parked = f"; {moved.parked} are parked, their transactions have numbers of the other one" if moved.parked else ""
        return m.Done(changed=moved.moved + moved.parked > 0, detail=f"{moved.moved} messages go to {queue.backend}{parked}")

    async def ocpp_queue_discard(self, request: o.OcppForeign, caller: Caller) -> m.Done:
        """Remove the messages of another back end; these transactions are billed by nobody then."""
        queue = await self._foreign(request.confirm)
        count = await queue.discard_all(request.confirm)
        if count is None:
            raise _other_number(request.confirm, queue.foreign)
        caller.note.new = f"{count} messages"
        return m.Done(changed=count > 0, detail=f"{count} messages of another back end are gone")

    async def _foreign(self, confirm: int) -> Outbox:
        queue = self._client().queue
        await queue.count()
        if queue.foreign != confirm:
            raise _other_number(confirm, queue.foreign)
        return queue

    # -- doing ----------------------------------------------------------------------------------------------------

    async def ocpp_trigger(self, request: o.OcppTrigger, caller: Caller) -> m.Done:
        """Send a message as if the CSMS had asked for it."""
        client = self._client()
        caller.note.target = request.message
        if not client.link.connected:
            raise ApiError(ErrorCode.CONFLICT, "there is no link to the CSMS", OFFLINE_HINT)
        known = [0, *(evse.evse_id for evse in self._station.view().evses)]
        if request.evse_id is not None and request.evse_id not in known:
            have = ", ".join(map(str, known))
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no connector {request.evse_id}", f"connectors: {have}")
        asked: Payload = {"requestedMessage": request.message}
        if request.evse_id is not None:
            asked["connectorId"] = request.evse_id
        reply = await client.handlers.trigger_message(asked)
        if reply.after is None:
            raise ApiError(ErrorCode.CONFLICT, f"{request.message}: {reply.payload['status']}", "this station does not send it")
        try:
            await reply.after()
        except (CallError, CallTimeout, WsClosed) as error:
            raise ApiError(ErrorCode.CONFLICT, f"{request.message}: {error}", "see evsectl ocpp messages") from None
        return m.Done(detail=f"{request.message} sent")

    async def ocpp_reconnect(self, request: Empty, caller: Caller) -> m.Done:
        """End the link and dial again."""
        self._client().reconnect(f"closed by {caller.user or 'an operator'}")
        return m.Done(detail="dialling")

    async def ocpp_doctor(self, request: Empty, caller: Caller) -> o.OcppDoctor:
        """Try the steps of a connection; when nothing is wrong with one that is down, dial now."""
        client = self._client()
        report = await self._examined(pause=False)
        if not report.live and not report.failed:
            client.reconnect("the doctor found nothing wrong")
        return _doctor(report)

    async def ocpp_examine(self, request: Empty, caller: Caller) -> o.OcppDoctor:
        """The same with the link ended and nothing dialled meanwhile; the station dials again in any case."""
        return _doctor(await self._examined(pause=True))

    async def _examined(self, *, pause: bool) -> Report:
        try:
            return await self._client().examine(pause=pause)
        except DeviceError as error:
            raise ApiError(ErrorCode.CONFLICT, str(error), "try again in 15 s: a second connection would spoil both") from None

    def _client(self) -> OcppClient:
        return client_of(self._station)


def client_of(station: Station) -> OcppClient:
    """The client, or CONFLICT where OCPP is off."""
    if station.ocpp is None:
        raise ApiError(
            ErrorCode.CONFLICT,
            "OCPP is switched off on this station",
            "set ocpp.enabled and ocpp.url in the configuration",
        )
    return station.ocpp


def _message(row: PairedMessage) -> o.OcppMessage:
    e = row.message
    return o.OcppMessage(
        seq=e.seq, wall=e.wall, direction=e.direction, type=e.type, action=e.action, unique_id=e.unique_id,
        payload=e.payload, evse_id=row.evse_id, pair=row.pair, latency_ms=row.latency_ms,
    )  # fmt: skip


def _queued(found: QueueRow) -> o.OcppQueueRow:
    row = found.row
    return o.OcppQueueRow(
        row_id=row.row_id, state=found.state, action=row.action, session_id=row.session_id,
        transaction_id=row.transaction_id, created_at=row.created, attempts=row.attempts, reason=row.parked,
        unique_id=row.unique_id, payload=row.payload, backend=row.backend,
    )  # fmt: skip


def _other_number(confirm: int, found: int) -> ApiError:
    return ApiError(
        ErrorCode.CONFLICT, f"{found} messages of another back end wait, not {confirm}; nothing was changed",
        "look again: evsectl ocpp queue list",
    )  # fmt: skip


def _doctor(report: Report) -> o.OcppDoctor:
    return o.OcppDoctor(
        url=report.url, target=report.target, live=report.live, failed=report.failed, note=report.note,
        items=tuple(_step(check) for check in report.checks),
    )  # fmt: skip


def _step(check: Check) -> o.OcppDoctorStep:
    took = None if check.took_ns is None else round(check.took_ns / NS_PER_MS)
    return o.OcppDoctorStep(
        name=check.name, result=check.result, detail=check.detail, took_ms=took, remedy=check.remedy,
        facts=tuple(f"{name}: {value}" for name, value in check.facts),
    )  # fmt: skip


def ocpp_summary(station: Station) -> m.OcppSummary:
    """The link in short, as the status of the station has it."""
    if station.ocpp is None:
        return m.OcppSummary(
            enabled=False, url="", connected=False, registration="", since=None, last_error="", sent=0, received=0, queued=0,
        )  # fmt: skip
    s = station.ocpp.summary()
    return m.OcppSummary(
        enabled=True, url=s.url, connected=s.connected, registration=s.registration, since=s.since,
        last_error=s.last_error, sent=s.sent, received=s.received, queued=s.queued, heartbeat_s=s.heartbeat_s,
        last_heartbeat=s.last_heartbeat,
    )  # fmt: skip
