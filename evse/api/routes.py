"""Calls of the API without a transport: who may, what is asked, what happened, what is written down.

`evse.api.server` puts HTTP around it. One order for every call: identify the caller, check the role, read the request,
run the operation under a deadline, write the audit row, answer. Nothing that changes something is answered before its
audit row is on the medium.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import cache
from typing import Final

import msgspec

from evse.access.control import AccessControl, Identity
from evse.access.ports import AccessError, Denial, SecretsError
from evse.access.roles import Role
from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import OPERATIONS, Operation
from evse.api.requests import SECRET_FIELDS, Reader, RequestError, shorten
from evse.api.service import Caller, StationService
from evse.domain.base import ConfigError, DeviceError
from evse.domain.clock import Clock
from evse.domain.records import AuditRecord
from evse.units import NS_PER_S, Instant

CALL_MAX_S: Final = 60.0
AUDIT_TEXT_MAX: Final = 500
REFUSED_ROWS_PER_MINUTE: Final = 30
"""Audit rows for refused calls of guests; more are counted only, so nobody can fill the database from outside."""

AuditPort = Callable[[AuditRecord], Awaitable[None]]

log = logging.getLogger("evse.api")

DENIALS: Final = {
    Denial.WRONG: ErrorCode.UNAUTHENTICATED,
    Denial.EXPIRED: ErrorCode.UNAUTHENTICATED,
    Denial.NO_PIN: ErrorCode.CONFLICT,
    Denial.LOCKED: ErrorCode.LOCKED_OUT,
    Denial.BAD_PIN: ErrorCode.INVALID,
    Denial.NOT_OWNER: ErrorCode.FORBIDDEN,
    Denial.CODE_NEEDED: ErrorCode.UNAUTHENTICATED,
    Denial.ENROLLED: ErrorCode.CONFLICT,
    Denial.NOT_BEGUN: ErrorCode.CONFLICT,
}


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end of the socket (SO_PEERCRED). ``uid`` None = the kernel did not say."""

    uid: int | None
    gid: int = -1


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it came in. ``authorization`` = that header."""

    peer: Peer
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    authorization: str = ""


class Answer(msgspec.Struct, frozen=True):
    """JSON body and HTTP status."""

    status: int
    body: bytes


@cache
def _readers() -> dict[str, Reader]:
    """One reader per operation, for every dispatcher: they keep nothing of a call."""
    return {operation.name: Reader(operation) for operation in OPERATIONS}


class Dispatcher:
    """All operations of one station."""

    def __init__(self, service: StationService, access: AccessControl, audit: AuditPort, clock: Clock) -> None:
        self._service = service
        self._access = access
        self._audit_port = audit
        self._clock = clock
        self._readers = _readers()
        self._encoder = msgspec.json.Encoder()
        self._refused: deque[Instant] = deque(maxlen=REFUSED_ROWS_PER_MINUTE)
        self.not_recorded = 0

    async def call(self, operation: Operation, incoming: Incoming, request_id: str) -> Answer:
        """Carry out one operation that is not a stream. Never raises, except when it is cancelled."""
        caller: Caller | None = None
        request: m.Model | None = None
        try:
            caller = self._caller(incoming)
            self._check_role(operation, caller)
            request = self._read(operation, incoming)
            async with asyncio.timeout(CALL_MAX_S):
                method = getattr(self._service, operation.name.replace(".", "_"))
                response = await method(request, caller)
            body = self._encoder.encode(response)
        except Exception as error:  # noqa: BLE001 - the last line before the peer
            answer, code = self._error(operation.name, error, request_id)
            if operation.audit and caller is not None and not isinstance(error, RequestError):
                await self._audit(operation, caller, request, code)
            return answer
        if operation.audit and not await self._audit(operation, caller, request, "ok"):
            message = f"{operation.name} was carried out, but its audit row could not be written"
            answer, _ = self._error(
                operation.name, ApiError(ErrorCode.FAILED, message, "check the storage: evsectl doctor"), request_id
            )
            return answer
        return Answer(200, body)

    def stream(self, operation: Operation, incoming: Incoming) -> AsyncIterator[m.StreamItem]:
        """Open a stream. Raises `ApiError`, `AccessError`."""
        caller = self._caller(incoming)
        self._check_role(operation, caller)
        request = self._read(operation, incoming)
        assert isinstance(request, m.StreamQuery)
        opened: AsyncIterator[m.StreamItem] = getattr(self._service, operation.name.replace(".", "_"))(request.since)
        return opened

    def error(self, where: str, error: Exception, request_id: str) -> Answer:
        """Return the answer for an exception; a bug is logged with its traceback and answered without."""
        return self._error(where, error, request_id)[0]

    def encode(self, item: m.StreamItem) -> bytes:
        """Return one NDJSON line."""
        return self._encoder.encode(item) + b"\n"

    # -- steps ----------------------------------------------------------------------------------------------------

    def _caller(self, incoming: Incoming) -> Caller:
        token = _bearer(incoming.authorization)
        who: Identity = self._access.identify(incoming.peer.uid, incoming.peer.gid, token)
        origin = "unix" if who.uid is None else f"unix:uid={who.uid}"
        raised = who.role > who.base
        return Caller(role=who.role, user=who.user, uid=who.uid, origin=origin, token=token, raised=raised)

    @staticmethod
    def _check_role(operation: Operation, caller: Caller) -> None:
        if caller.role >= operation.role:
            return
        need, have = operation.role.name.lower(), caller.role.name.lower()
        hint = "sign in with the service PIN: evsectl auth signin"
        if operation.role > Role.OPERATOR:
            hint = "ask a member of the manufacturer's group (api.manufacturer_group)"
        raise ApiError(ErrorCode.FORBIDDEN, f"{operation.name} needs role {need}, you are {have}", hint)

    def _read(self, operation: Operation, incoming: Incoming) -> m.Model:
        reader = self._readers[operation.name]
        if operation.method == "GET":
            if incoming.body:
                raise RequestError(ErrorCode.BAD_REQUEST, "a GET request has no body", "use query parameters")
            return reader.query(incoming.query)
        if incoming.query:
            name = incoming.query[0][0]
            message = f"{operation.name} takes no query parameters ({shorten(name)})"
            raise RequestError(ErrorCode.BAD_REQUEST, message, "send a JSON body", shorten(name))
        return reader.body(incoming.body)

    def _error(self, where: str, error: Exception, request_id: str) -> tuple[Answer, str]:
        kind, message, hint, field, value = ErrorCode.FAILED, str(error), "", "", ""
        match error:
            case RequestError():
                kind, message, hint, field, value = error.kind, error.message, error.hint, error.field, error.value
            case ApiError():
                kind, message, hint = error.kind, error.message, error.hint
            case AccessError():
                kind, message, hint = DENIALS[error.why], error.message, error.hint
            case ConfigError():
                kind, hint = ErrorCode.INVALID, "correct the file and try again"
            case SecretsError():
                kind = ErrorCode.DEVICE
                hint = "to get in meanwhile, as root on the station: evsectl auth totp disable --recover"
            case DeviceError():
                kind, hint = ErrorCode.DEVICE, "evsectl doctor names what does not answer"
            case TimeoutError():
                kind, message = ErrorCode.TIMEOUT, f"{where}: no result in {CALL_MAX_S:.0f} s"
                hint = "look at evsectl status, then try again"
            case _:
                log.error("%s: request %s failed", where, request_id, exc_info=error)
                message = f"{where}: internal error {type(error).__name__}"
                hint = f"this is a bug: send the journal around request {request_id} to the manufacturer"
        body = m.ErrorBody(code=kind.code, message=message, hint=hint, request_id=request_id, field=field, value=value)
        return Answer(kind.status, self._encoder.encode(body)), kind.code

    # -- audit ----------------------------------------------------------------------------------------------------

    async def _audit(self, operation: Operation, caller: Caller, request: m.Model | None, result: str) -> bool:
        """Write the row of a call; False when the storage did not take it."""
        if result != "ok" and caller.role == Role.GUEST and not self._may_record():
            return True
        note = caller.note
        target, asked = ("", "") if request is None else describe(request)
        row = AuditRecord(
            wall=self._clock.wall(),
            who=(caller.user or "unknown") + ("+pin" if caller.raised else ""),
            origin=caller.origin,
            operation=operation.name,
            target=(note.target or target)[:AUDIT_TEXT_MAX],
            old=note.old[:AUDIT_TEXT_MAX],
            new=(note.new or asked)[:AUDIT_TEXT_MAX],
            result=result,
        )
        try:
            async with asyncio.timeout(CALL_MAX_S):
                await self._audit_port(row)
        except Exception as error:  # noqa: BLE001 - any storage may be behind the port
            log.error("audit of %s by %s (%s) not written: %r", row.operation, row.who, result, error)
            return False
        return True

    def _may_record(self) -> bool:
        now = self._clock.now()
        if len(self._refused) == REFUSED_ROWS_PER_MINUTE and now - self._refused[0] < 60 * NS_PER_S:
            self.not_recorded += 1
            return False
        self._refused.append(now)
        if self.not_recorded:
            log.warning("%d refused calls were not recorded", self.not_recorded)
            self.not_recorded = 0
        return True


def describe(request: m.Model) -> tuple[str, str]:
    """Return (target, what was asked) of a request for the audit row, without secrets."""
    fields: Iterable[str] = request.__struct_fields__
    target = ""
    asked = []
    for name in fields:
        value = getattr(request, name)
        if not target and name in ("evse_id", "session_id", "code", "key", "name"):
            target = f"{name}={value}"
        elif name in SECRET_FIELDS:
            hidden = name in ("pin", "totp", "secret") or isinstance(request, m.SetPin) or (
                isinstance(request, m.OcppKeySet) and request.key.lower() == "authorizationkey"
            )
            asked.append(f"{name}=***" if hidden else f"{name}={shorten(value)}")
        elif value is not None:
            asked.append(f"{name}={shorten(value)}")
    if isinstance(request, m.ConfigCandidate):
        asked[0] = f"text={len(request.text)} characters"
    return target, " ".join(asked)


def _bearer(header: str) -> str:
    if not header:
        return ""
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > 128:
        raise ApiError(ErrorCode.UNAUTHENTICATED, "Authorization is not 'Bearer <token>'", "evsectl auth signin")
    return token
