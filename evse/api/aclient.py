"""The asyncio client of the TUI: the same calls as `evse.api.client`, with typed requests and answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from evse.api import http1, paths
from evse.api import models as m
from evse.api.client import READ_BYTES, STREAM_SILENCE_S, TIMEOUT_S, ApiCallError, socket_path
from evse.api.errors import BY_CODE, ApiError, ErrorCode
from evse.api.operations import BY_NAME, Operation

CLOSE_MAX_S: Final = 1.0


class AsyncClient:
    """Calls the daemon behind a Unix socket; one connection per call. Every failure is an `ApiError`.

    ``host`` as for `evse.api.client.Client`; ``token`` may be set at any time and counts from the next call on.
    """

    def __init__(self, host: str | None = None, *, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        try:
            self.path = socket_path(host)
        except ApiCallError as error:
            raise ApiError(BY_CODE[error.code], error.message, error.hint) from error
        self.token = token
        self.timeout_s = timeout_s
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {}

    async def call(self, name: str, request: m.Model | None = None) -> Any:
        """Call an operation; return an instance of its response type. ``request`` None = no fields."""
        operation = BY_NAME[name]
        given = operation.request() if request is None else request
        try:
            async with asyncio.timeout(self.timeout_s):
                status, body = await self._exchange(self._wire(operation, given))
        except TimeoutError:
            raise self._timeout(name) from None
        if status != 200:
            raise self._error(status, body)
        return self._decode(operation, body)

    async def stream(self, name: str, since: int | None = None) -> AsyncIterator[m.StreamItem]:
        """Yield the items of a stream until the daemon closes it. UNREACHABLE after 25 s without a byte."""
        operation = BY_NAME[name]
        wire = self._wire(operation, m.StreamQuery(since=since))
        response, lines = http1.Response(), http1.Lines()
        reader, writer = await self._open()
        try:
            writer.write(wire)
            while not response.done:
                data = response.feed(await self._read(reader, STREAM_SILENCE_S))
                if response.status not in (0, 200):
                    while not response.done:
                        data += response.feed(await self._read(reader, self.timeout_s))
                    raise self._error(response.status, data)
                for line in lines.feed(data):
                    yield self._decode(operation, line)
        except http1.ProtocolError as error:
            raise self._unreachable(str(error)) from error
        finally:
            await _close(writer)

    def _wire(self, operation: Operation, request: m.Model) -> bytes:
        given = {key: value for key, value in msgspec.to_builtins(request).items() if value is not None}
        try:
            if operation.method == "GET":
                return http1.request("GET", operation.path + http1.query(given), None, self.token)
            return http1.request("POST", operation.path, msgspec.json.encode(given), self.token)
        except ValueError as error:
            raise ApiError(ErrorCode.UNAUTHENTICATED, str(error), "sign in again") from error

    async def _exchange(self, wire: bytes) -> tuple[int, bytes]:
        response = http1.Response()
        body = bytearray()
        reader, writer = await self._open()
        try:
            writer.write(wire)
            while not response.done:
                body += response.feed(await self._read(reader, self.timeout_s))
                if len(body) > http1.BODY_MAX:
                    raise http1.ProtocolError(f"the answer is larger than {http1.BODY_MAX} bytes")
        except http1.ProtocolError as error:
            raise self._unreachable(str(error)) from error
        finally:
            await _close(writer)
        return response.status, bytes(body)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not paths.trusted(self.path):
            raise self._unreachable("the directory belongs to another user")
        try:
            async with asyncio.timeout(self.timeout_s):
                return await asyncio.open_unix_connection(self.path)
        except PermissionError as error:
            hint = f"you may not open {self.path}: join its group"
            raise ApiError(ErrorCode.FORBIDDEN, f"{self.path}: permission denied", hint) from error
        except OSError as error:  # TimeoutError too
            raise self._unreachable(error.strerror or str(error) or "no answer") from error

    async def _read(self, reader: asyncio.StreamReader, timeout_s: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                return await reader.read(READ_BYTES)
        except OSError as error:
            raise self._unreachable(error.strerror or str(error) or f"silent for {timeout_s:.0f} s") from error

    def _decode(self, operation: Operation, body: bytes) -> Any:
        decoder = self._decoders.get(operation.name)
        if decoder is None:
            decoder = self._decoders[operation.name] = msgspec.json.Decoder(operation.response)
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            message = f"{operation.name}: the answer does not fit this version: {error}"
            raise ApiError(ErrorCode.FAILED, message, "daemon and console must have the same version") from error

    @staticmethod
    def _error(status: int, body: bytes) -> ApiError:
        try:
            error = msgspec.json.decode(body, type=m.ErrorBody)
        except msgspec.DecodeError:
            return ApiError(ErrorCode.FAILED, f"HTTP status {status}", "look at the journal of evsed")
        return ApiError(BY_CODE.get(error.code, ErrorCode.FAILED), error.message, error.hint)

    def _unreachable(self, why: str) -> ApiError:
        message = f"no daemon at {self.path}: {why}"
        return ApiError(ErrorCode.UNREACHABLE, message, "is it running? systemctl status evsed")

    def _timeout(self, name: str) -> ApiError:
        return ApiError(ErrorCode.TIMEOUT, f"{name}: no answer in {self.timeout_s:.0f} s", "try again")


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_MAX_S):
            await writer.wait_closed()
