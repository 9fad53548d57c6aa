"""The API on a Unix socket: HTTP/1.1 + JSON, NDJSON streams. ``curl --unix-socket PATH http://evsed/v1/status`` works.

The only module of the API that imports aiohttp. What calls mean is `evse.api.routes`; here are the socket, its rights,
the peer's credentials, limits of size and time, and the streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import logging
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from aiohttp import web

from evse.access.control import AccessControl
from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import OPERATIONS, Operation
from evse.api.paths import PATH_MAX, trusted
from evse.api.requests import RequestError, shorten
from evse.api.routes import Answer, AuditPort, Dispatcher, Incoming, Peer
from evse.api.service import StationService
from evse.domain.clock import Clock

BODY_MAX_S: Final = 10.0
"""A request body must be complete within this time."""
WRITE_MAX_S: Final = 60.0
"""A reader that takes nothing for this long is disconnected."""
WRITE_BUFFER_BYTES: Final = 32 * 1024
"""Bytes of a stream that wait in the daemon for a slow reader; beyond them its queue fills and is then dropped."""
KEEPALIVE_S: Final = 30.0
SHUTDOWN_S: Final = 2.0
BACKLOG: Final = 64
PROBE_S: Final = 0.5

log = logging.getLogger("evse.api")


class ApiServer:
    """One listening socket. ``start`` and ``close`` may be called once each.

    ``group`` = Unix group that owns the socket (mode 0660); "" leaves the primary group of the daemon.
    """

    def __init__(
        self,
        service: StationService,
        access: AccessControl,
        audit: AuditPort,
        clock: Clock,
        *,
        path: str | os.PathLike[str],
        group: str = "",
    ) -> None:
        self.path = Path(path)
        self._group = group
        self._dispatcher = Dispatcher(service, access, audit, clock)
        self._routes = {(op.method, op.path): op for op in OPERATIONS}
        self._methods = {op.path: op.method for op in OPERATIONS}
        self._streams: set[asyncio.Task[object]] = set()
        self._calls: set[asyncio.Task[Answer]] = set()
        self._runner: web.AppRunner | None = None
        self._inode = 0
        self._boot = os.urandom(3).hex()
        self._count = 0

    async def start(self) -> None:
        """Listen. Raises OSError: EADDRINUSE when another daemon answers on the path, others as the system says."""
        listener = await asyncio.to_thread(self._bind)
        try:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self._handle)
            self._runner = web.AppRunner(
                app,
                access_log=None,
                handle_signals=False,
                keepalive_timeout=KEEPALIVE_S,
                shutdown_timeout=SHUTDOWN_S,
                handler_cancellation=True,  # a reader that leaves ends its stream at once
            )
            await self._runner.setup()
            await web.SockSite(self._runner, listener, backlog=BACKLOG).start()
        except BaseException:
            listener.close()
            raise
        self._inode = self.path.stat().st_ino

    async def close(self) -> None:
        """End all streams, finish running calls (2 s), stop listening, remove the socket if it is still ours."""
        for task in tuple(self._streams):
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=SHUTDOWN_S)
            for call in late:
                call.cancel()
        with contextlib.suppress(OSError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()

    # -- socket ---------------------------------------------------------------------------------------------------

    def _bind(self) -> socket.socket:
        if len(os.fsencode(self.path)) > PATH_MAX:
            raise OSError(errno.ENAMETOOLONG, f"longer than {PATH_MAX} bytes; set a shorter api.socket", str(self.path))
        if not self.path.parent.exists():
            self.path.parent.mkdir(mode=0o755, parents=True)
        if not trusted(os.fspath(self.path)):
            raise OSError(errno.EPERM, "the directory belongs to another user; set api.socket", str(self.path))
        self._remove_stale()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(os.fspath(self.path))
            # Nobody can connect before listen(): the rights are right from the first moment on.
            self.path.chmod(0o660)
            self._give_to_group()
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        return listener

    def _remove_stale(self) -> None:
        """Remove a socket that nobody answers on. Anything else at the path is left alone and refused."""
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise OSError(errno.EEXIST, "exists and is not a socket; remove it or set api.socket", str(self.path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(PROBE_S)
            try:
                probe.connect(os.fspath(self.path))
            except (ConnectionRefusedError, FileNotFoundError):
                self.path.unlink(missing_ok=True)
                return
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ETIMEDOUT) and not isinstance(error, TimeoutError):
                    raise
        raise OSError(errno.EADDRINUSE, "another daemon answers here; stop it first", str(self.path))

    def _give_to_group(self) -> None:
        if not self._group:
            return
        try:
            os.chown(self.path, -1, grp.getgrnam(self._group).gr_gid)
        except KeyError:
            log.warning("group %s does not exist: %s stays with the daemon's group", self._group, self.path)
        except PermissionError:
            log.warning("%s cannot be given to group %s: the daemon is not a member", self.path, self._group)

    # -- requests -------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._count += 1
        request_id = f"{self._boot}-{self._count}"
        try:
            operation = self._find(request)
            incoming = await self._incoming(request, operation)
            if operation.stream:
                return await self._stream(request, operation, incoming, request_id)
        except Exception as error:  # noqa: BLE001 - becomes the answer
            return _response(self._dispatcher.error(request.path, error, request_id), request_id)
        # A call that has begun is carried out and audited even when the caller hangs up meanwhile.
        call = asyncio.create_task(self._dispatcher.call(operation, incoming, request_id))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return _response(await asyncio.shield(call), request_id)

    def _find(self, request: web.Request) -> Operation:
        operation = self._routes.get((request.method, request.path))
        if operation is not None:
            return operation
        method = self._methods.get(request.path)
        if method is not None:
            message = f"{request.path} is called with {method}, not {shorten(request.method)}"
            raise RequestError(ErrorCode.BAD_REQUEST, message, f"use {method}")
        from difflib import get_close_matches

        near = get_close_matches(request.path[:128], self._methods, n=1)
        hint = f"did you mean {near[0]}?" if near else "the paths are in docs/openapi.json"
        raise ApiError(ErrorCode.NOT_FOUND, f"there is no {shorten(request.path)}", hint)

    @staticmethod
    async def _incoming(request: web.Request, operation: Operation) -> Incoming:
        body = b""
        if request.can_read_body:
            try:
                async with asyncio.timeout(BODY_MAX_S):
                    body = await _body(request, operation.body_max_bytes)
            except TimeoutError:
                message = f"the body of {operation.name} was not complete after {BODY_MAX_S:.0f} s"
                raise RequestError(ErrorCode.BAD_REQUEST, message, "send the body at once") from None
        return Incoming(
            peer=_peer(request),
            query=tuple(request.query.items()),
            body=body,
            authorization=request.headers.get("Authorization", ""),
        )

    async def _stream(
        self, request: web.Request, operation: Operation, incoming: Incoming, request_id: str
    ) -> web.StreamResponse:
        items = self._dispatcher.stream(operation, incoming)
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            first = await anext(items)  # an error before the first item is an ordinary error answer
            headers = {"Content-Type": "application/x-ndjson", "X-Request-Id": request_id, "Cache-Control": "no-store"}
            response = web.StreamResponse(headers=headers)
            if request.transport is not None:
                request.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
            await response.prepare(request)
            await self._copy(first, items, response, request)
            return response
        finally:
            self._streams.discard(task)
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    async def _copy(
        self,
        first: m.StreamItem,
        items: AsyncIterator[m.StreamItem],
        response: web.StreamResponse,
        request: web.Request,
    ) -> None:
        """Write items until the reader leaves, takes nothing for a minute, or the daemon closes."""
        try:
            await _write(response, self._dispatcher.encode(first))
            async for item in items:
                await _write(response, self._dispatcher.encode(item))
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        except Exception:
            log.exception("stream %s failed", request.path)
            if request.transport is not None:
                request.transport.abort()  # headers are out: a cut stream is the only honest answer


async def _body(request: web.Request, most: int) -> bytes:
    """Read a body of at most ``most`` bytes; `RequestError` for a longer one, as soon as that is known."""
    body = bytearray()
    too_long = (request.content_length or 0) > most
    while not too_long and not request.content.at_eof():
        body += await request.content.readany()
        too_long = len(body) > most
    if too_long:
        raise RequestError(ErrorCode.BAD_REQUEST, f"the body is larger than {most} bytes", "send less")
    return bytes(body)


async def _write(response: web.StreamResponse, line: bytes) -> None:
    async with asyncio.timeout(WRITE_MAX_S):
        await response.write(line)


def _response(answer: Answer, request_id: str) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        content_type="application/json",
        headers={"X-Request-Id": request_id, "Cache-Control": "no-store"},
    )


def _peer(request: web.Request) -> Peer:
    """Ask the kernel who opened the other end (Linux SO_PEERCRED: pid, uid, gid)."""
    transport = request.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return Peer(None)
    _, uid, gid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(uid, gid)
