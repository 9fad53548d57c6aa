"""A real WebSocket behind `evse.transports.base.WebSocket`, and how it is opened."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
    WebSocketException,
)
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from evse.transports.base import DIRECT, DialError, DialOptions, DialStep, NotText, WsClosed
from evse.transports.dialling import open_socket

WS_MESSAGE_MAX: Final = 1 << 20
"""Longest text message of a CSMS, bytes; the connection ends with a longer one."""

WS_QUEUE_MAX: Final = 16
WS_CLOSE_TIMEOUT_S: Final = 2.0

_HTTP_HINTS: Final = {
    400: "the CSMS did not understand the request; check the URL",
    401: "the CSMS refuses user or password",
    403: "the CSMS forbids this charge point",
    404: "the CSMS does not know this URL or charge point id",
    429: "the CSMS asks to slow down",
    500: "the CSMS has failed inside",
    502: "a gateway before the CSMS does not reach it",
    503: "the CSMS is not available now",
    504: "a gateway before the CSMS got no answer from it",
}

_OUR_CLOSE: Final = {
    1002: "the CSMS broke the WebSocket protocol",
    1007: "the CSMS sent text that is not UTF-8",
    1009: f"the CSMS sent a message longer than {WS_MESSAGE_MAX} bytes",
}

_CERTIFICATE_HINTS: Final = {
    9: "it is not valid yet; is the clock of this station right?",
    10: "it has expired, or the clock of this station is wrong",
    18: "it is self-signed and not installed here as a root",
    19: "its root is not installed here",
    20: "its issuer is not known here: install the root certificate of the CSMS",
    21: "its issuer is not known here: the CSMS does not send its chain, or the root is missing",
    23: "it has been revoked",
    62: "it is for another host name",
    64: "it is for another address",
}
"""X509_V_ERR numbers of OpenSSL."""


class RealWebSocket:
    """A connected WebSocket as `evse.transports.base.WebSocket`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.subprotocol = str(connection.subprotocol or "")
        self.remote = _address(connection.remote_address)

    @staticmethod
    def _closed(error: ConnectionClosed) -> WsClosed:
        frame = error.rcvd
        if frame is None:
            ours = error.sent
            detail = "" if ours is None else _OUR_CLOSE.get(ours.code, "")
            return WsClosed(clean=False, detail=detail or "connection lost without Close")
        reason = f" ({frame.reason})" if frame.reason else ""
        return WsClosed(clean=error.sent is not None, detail=f"closed by the CSMS with code {frame.code}{reason}")

    async def recv(self) -> str:
        """Return the next text message; `NotText` for a binary one."""
        try:
            message = await self._connection.recv()
        except ConnectionClosed as error:
            raise self._closed(error) from error
        if isinstance(message, bytes):
            raise NotText(len(message))
        return message

    async def send(self, text: str) -> None:
        """Send one text message."""
        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise self._closed(error) from error

    async def ping(self, timeout_s: float) -> None:
        """Return when the pong has come; after ``timeout_s`` drop the connection and raise `WsClosed`."""
        try:
            async with asyncio.timeout(timeout_s):
                await (await self._connection.ping())
        except ConnectionClosed as error:
            raise self._closed(error) from error
        except TimeoutError as error:
            self._connection.transport.abort()
            raise WsClosed(clean=False, detail=f"no pong within {timeout_s:g} s") from error

    async def close(self) -> None:
        """Close with code 1000; gives up after two seconds."""
        try:
            await self._connection.close()
        except (OSError, WebSocketException):
            self._connection.transport.abort()


def _address(pair: object) -> str:
    """Return ``host:port`` of a socket address, with brackets around IPv6; "" when the socket is gone."""
    if not isinstance(pair, tuple) or len(pair) < 2:
        return ""
    return f"[{pair[0]}]:{pair[1]}" if ":" in str(pair[0]) else f"{pair[0]}:{pair[1]}"


async def open_websocket(
    url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float, options: DialOptions = DIRECT,
) -> RealWebSocket:
    """Connect within ``timeout_s``; the peer must choose one of ``subprotocols``. Redirects are not followed (they
    would carry the password elsewhere), pings are the caller's. `DialError` names the failed step."""
    try:
        place = parse_uri(url)
    except InvalidURI as error:
        raise DialError(DialStep.URL, f"{url}: not a WebSocket URL; it begins with ws:// or wss://") from error
    step = "TCP connection"
    try:
        async with asyncio.timeout(timeout_s):
            try:
                sock = await open_socket(place.host, place.port, options, timeout_s)
            except DialError as error:
                raise DialError(error.step, f"{url}: {error}", error.http_status) from error
            step = "TLS and HTTP upgrade" if place.secure else "HTTP upgrade"
            try:
                connection = await connect(
                    url,
                    sock=sock,
                    subprotocols=[Subprotocol(name) for name in subprotocols],
                    additional_headers=dict(headers),
                    open_timeout=None,
                    close_timeout=WS_CLOSE_TIMEOUT_S,
                    ping_interval=None,
                    max_size=WS_MESSAGE_MAX,
                    max_queue=WS_QUEUE_MAX,
                    proxy=None,
                    ssl=(options.tls or True) if place.secure else None,
                )
            except BaseException:
                sock.close()
                raise
    except TimeoutError as error:
        raise DialError(DialStep.TIMEOUT, f"{url}: no answer within {timeout_s:g} s ({step})") from error
    except (OSError, WebSocketException, ValueError, EOFError) as error:
        told = getattr(options.tls, "failure", None)  # a context may know more than the error that comes out here
        if told is not None:
            raise DialError(told.step, f"{url}: {told.text}") from error
        raise explain(url, error) from error
    if subprotocols and connection.subprotocol is None:
        await connection.close(1002, "no subprotocol")
        text = f"{url}: the CSMS chose none of the offered subprotocols ({', '.join(subprotocols)})"
        raise DialError(DialStep.SUBPROTOCOL, text)
    return RealWebSocket(connection)


def explain(url: str, error: BaseException) -> DialError:
    """Return the failure of a TLS handshake or an upgrade in plain words."""
    for cause in (error, error.__cause__, error.__context__):  # a redirect that is not followed has another error
        if isinstance(cause, InvalidStatus):
            return _http_error(url, cause)
    if isinstance(error, NegotiationError):
        text = f"{url}: the CSMS answered with a subprotocol that was not offered ({error})"
        return DialError(DialStep.SUBPROTOCOL, text)
    if isinstance(error, InvalidHandshake):
        text = f"{url}: the answer is not a WebSocket handshake ({error}); is this a CSMS?"
        return DialError(DialStep.HTTP, text)
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _CERTIFICATE_HINTS.get(error.verify_code, "")
        why = f"{error.verify_message}: {hint}" if hint else error.verify_message
        return DialError(DialStep.CERTIFICATE, f"{url}: the certificate of the CSMS is not accepted: {why}")
    if isinstance(error, ssl.SSLError):
        return _tls_error(url, error)
    if isinstance(error, OSError):
        return DialError(DialStep.TCP, f"{url}: connection lost: {error.strerror or error}")
    return DialError(DialStep.HTTP, f"{url}: cannot connect: {error}")


def _http_error(url: str, error: InvalidStatus) -> DialError:
    status = error.response.status_code
    step = DialStep.CREDENTIALS if status in (401, 403) else DialStep.HTTP
    if 300 <= status < 400:
        where = next(iter(error.response.headers.get_all("Location")), "another place")
        hint = f"the CSMS redirects to {where[:200]}, which is not followed; if that is right, set it as ocpp.url"
    elif 200 <= status < 300:
        hint = "a web server answers, but it does not speak WebSocket here; check the URL"
    else:
        hint = _HTTP_HINTS.get(status, error.response.reason_phrase or "unexpected answer")
    return DialError(step, f"{url}: HTTP {status}: {hint}", status)


def _tls_error(url: str, error: ssl.SSLError) -> DialError:
    reason = error.reason or str(error)
    if "VERSION" in reason or "PROTOCOL" in reason:
        step, hint = DialStep.TLS_VERSION, "the CSMS and this station have no TLS version in common"
    elif "CIPHER" in reason or "HANDSHAKE_FAILURE" in reason:
        step, hint = DialStep.TLS_CIPHER, "the CSMS and this station have no cipher suite in common"
    elif "CERTIFICATE" in reason:
        step, hint = DialStep.TLS, "the CSMS refuses this station's certificate, or wants one"
    else:
        step, hint = DialStep.TLS, "is there TLS at this port?"
    return DialError(step, f"{url}: TLS failed ({reason}): {hint}")
