"""The sync client of evsectl and of scripts: plain sockets and json, nothing that takes long to import.

``Client().call("connector.stop", evse_id=1)`` returns the answer as a dict, ``Client().stream("events.stream")``
yields dicts. A test pins which modules this file may load.
"""

from __future__ import annotations

import _socket
import json
import time

from evse.api import http1, paths
from evse.api.client_table import TABLE
from evse.api.errors import BY_CODE, ErrorCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

TIMEOUT_S = 10.0
STREAM_SILENCE_S = 25.0
"""A stream sends a heartbeat every 10 s; after this long without a byte the daemon is taken for gone."""
READ_BYTES = 65_536


class ApiCallError(Exception):
    """A call failed. ``exit_code`` is what evsectl ends with; ``code`` and ``hint`` are the daemon's if it answered."""

    def __init__(
        self, code: str, message: str, hint: str = "", *, request_id: str = "", field: str = "", value: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.request_id = request_id
        self.field = field
        self.value = value
        self.exit_code = BY_CODE.get(code, ErrorCode.FAILED).exit_code


class Client:
    """Calls the daemon behind a Unix socket. One connection per call; safe to keep for ever.

    ``host``: None = `evse.api.paths.default_socket`, else ``unix:///path`` or a path. ``token`` = bearer token of a
    raised role. ``timeout_s`` bounds a whole call, not each read.
    """

    def __init__(self, host: str | None = None, *, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self.path = socket_path(host)
        self.token = token
        self.timeout_s = timeout_s

    def call(self, name: str, /, **request: Any) -> dict[str, Any]:
        """Call an operation by its name in the registry. Fields that are None are left out. Raises `ApiCallError`."""
        method, path, _ = self._row(name)
        deadline = time.monotonic() + self.timeout_s
        given = {key: value for key, value in request.items() if value is not None}
        if method == "GET":
            wire = self._request(method, path + http1.query(given), None)
        else:
            wire = self._request(method, path, json.dumps(given).encode())
        connection = self._connect(deadline)
        try:
            response = http1.Response()
            body = self._send(connection, wire, response, deadline)
            while not response.done:
                body += response.feed(self._receive(connection, deadline))
                if len(body) > http1.BODY_MAX:
                    raise http1.ProtocolError(f"the answer is larger than {http1.BODY_MAX} bytes")
        except http1.ProtocolError as error:
            raise self._unreachable(str(error)) from error
        finally:
            connection.close()
        return self._answer(response.status, body)

    def stream(
        self, name: str, since: int | None = None, *, lasts_s: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of a stream until the daemon closes it. Raises `ApiCallError`, at once or later.

        ``since`` = ``seq`` of the last item seen. ``lasts_s``: after this long the stream ends with code ``timeout``,
        whatever comes; None = it lasts. Close the iterator to leave.
        """
        method, path, streams = self._row(name)
        if not streams:
            raise ApiCallError("bad_request", f"{name} is not a stream", "use call()")
        wire = self._request(method, path + http1.query({"since": since}), None)
        now = time.monotonic()
        end = now + lasts_s if lasts_s is not None else float("inf")
        deadline = min(now + self.timeout_s, end)
        connection = self._connect(deadline)
        try:
            response = http1.Response()
            lines = http1.Lines()
            data = self._send(connection, wire, response, deadline)
            while True:
                if response.status and response.status != 200:
                    while not response.done:
                        data += response.feed(self._receive(connection, deadline))
                    self._answer(response.status, data)
                for line in lines.feed(data):
                    yield self._object(line)
                if response.done:
                    return
                data = response.feed(self._receive(connection, min(time.monotonic() + STREAM_SILENCE_S, end)))
        except http1.ProtocolError as error:
            raise self._unreachable(str(error)) from error
        finally:
            connection.close()

    # -- steps ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _row(name: str) -> tuple[str, str, bool]:
        row = TABLE.get(name)
        if row is None:
            raise ApiCallError("bad_request", f"there is no operation {name}", "the names are in docs/api.md")
        return row

    def _request(self, method: str, target: str, body: bytes | None) -> bytes:
        try:
            return http1.request(method, target, body, self.token)
        except ValueError as error:
            raise ApiCallError("unauthenticated", str(error), "sign in again: evsectl auth signin") from error

    def _connect(self, deadline: float) -> _socket.socket:
        if not paths.trusted(self.path):
            raise self._unreachable("the directory belongs to another user")
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            connection.connect(self.path)
        except OSError as error:
            connection.close()
            if isinstance(error, PermissionError):
                hint = f"you may not open {self.path}: join its group, or use sudo"
                raise ApiCallError("forbidden", f"{self.path}: permission denied", hint) from error
            raise self._unreachable(error.strerror or str(error)) from error
        return connection

    def _send(self, connection: _socket.socket, wire: bytes, response: http1.Response, deadline: float) -> bytes:
        """Send the request and read until the head is there; return what came of the body."""
        try:
            connection.sendall(wire)
        except TimeoutError as error:
            raise self._timeout() from error
        except OSError:
            pass  # the daemon refused early (a body too large): its answer may still be there to read
        body = b""
        while not response.status:
            body += response.feed(self._receive(connection, deadline))
        return body

    def _receive(self, connection: _socket.socket, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise self._timeout()
        try:
            connection.settimeout(left)
            return connection.recv(READ_BYTES)
        except TimeoutError as error:
            raise self._timeout() from error
        except OSError as error:
            raise self._unreachable(error.strerror or str(error)) from error

    def _answer(self, status: int, body: bytes) -> dict[str, Any]:
        answer = self._object(body)
        if status == 200:
            return answer
        raise ApiCallError(
            str(answer.get("code", "failed")),
            str(answer.get("message", f"HTTP status {status}")),
            str(answer.get("hint", "")),
            request_id=str(answer.get("request_id", "")),
            field=str(answer.get("field", "")),
            value=str(answer.get("value", "")),
        )

    def _object(self, text: bytes) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._unreachable("the answer is not JSON") from error
        if not isinstance(value, dict):
            raise self._unreachable("the answer is not a JSON object")
        return value

    def _unreachable(self, why: str) -> ApiCallError:
        return ApiCallError("unreachable", f"no daemon at {self.path}: {why}", "is it running? systemctl status evsed")

    def _timeout(self) -> ApiCallError:
        return ApiCallError("timeout", f"no answer from {self.path} in time", "try again, or look at the journal")


def socket_path(host: str | None) -> str:
    """Return the path of ``host`` (see `Client`). Raises `ApiCallError` for another scheme or an empty path."""
    if host is None or host == "":
        return paths.default_socket()
    path = host[len("unix://") :] if host.startswith("unix://") else host
    if "://" in path or not path:
        raise ApiCallError("bad_request", f"{host}: not a Unix socket", "give unix:///run/evsed/evsed.sock or a path")
    return path
