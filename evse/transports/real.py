"""The real world behind `Openers`: serial ports, CAN channels, TCP and WebSocket connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
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

from evse.domain.base import DeviceError
from evse.transports.base import DIRECT, ByteStream, CanBus, DialOptions, SerialSettings, WebSocket, WsClosed
from evse.transports.evdev import is_input, open_input
from evse.transports.serial import open_serial

SERIAL_BY_ID: Final = Path("/dev/serial/by-id")
SERIAL_LIST_MAX: Final = 256
TCP_TIMEOUT_S: Final = 5.0
TCP_READ_MAX: Final = 4096
WS_MESSAGE_MAX: Final = 1 << 20
"""Longest text message of a CSMS, bytes."""

WS_QUEUE_MAX: Final = 16
WS_CLOSE_TIMEOUT_S: Final = 2.0

_HTTP_HINTS: Final = {
    400: "the CSMS did not understand the request; check the URL",
    401: "the CSMS refuses user or password",
    403: "the CSMS forbids this charge point",
    404: "the CSMS does not know this URL or charge point id",
    429: "the CSMS asks to slow down",
    502: "a gateway before the CSMS does not reach it",
    503: "the CSMS is not available now",
}


class TcpStream:
    """A connected TCP stream as `ByteStream`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        self._reader = reader
        self._writer = writer
        self._name = name

    async def read(self) -> bytes:
        """Return what has arrived; `DeviceError` when the peer has closed."""
        try:
            data = await self._reader.read(TCP_READ_MAX)
        except OSError as error:
            raise DeviceError(f"{self._name}: connection lost ({error.strerror or error})") from error
        if not data:
            raise DeviceError(f"{self._name}: the peer has closed the connection")
        return data

    async def write(self, data: bytes) -> None:
        """Send; waits while the socket's buffer is full."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except (OSError, RuntimeError) as error:
            raise DeviceError(f"{self._name}: connection lost ({error})") from error

    async def close(self) -> None:
        """Close without waiting for the peer."""
        self._writer.transport.abort()


async def open_tcp(host: str, port: int, timeout_s: float = TCP_TIMEOUT_S) -> TcpStream:
    """Connect; `DeviceError` with the failed step."""
    name = f"tcp://{host}:{port}"
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError as error:
        raise DeviceError(f"{name}: no answer within {timeout_s:g} s; check address and cable") from error
    except OSError as error:
        raise DeviceError(f"{name}: cannot connect: {error.strerror or error}; check address and port") from error
    return TcpStream(reader, writer, name)


def _address(pair: object) -> str:
    """Return ``host:port`` of a socket address, with brackets around IPv6; "" when the socket is gone."""
    if not isinstance(pair, tuple) or len(pair) < 2:
        return ""
    return f"[{pair[0]}]:{pair[1]}" if ":" in str(pair[0]) else f"{pair[0]}:{pair[1]}"


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
            return WsClosed(clean=False, detail="connection lost without Close")
        reason = f" ({frame.reason})" if frame.reason else ""
        return WsClosed(clean=error.sent is not None, detail=f"closed by the CSMS with code {frame.code}{reason}")

    async def recv(self) -> str:
        """Return the next text message. A binary message ends the connection: OCPP-J has none."""
        try:
            message = await self._connection.recv()
        except ConnectionClosed as error:
            raise self._closed(error) from error
        if isinstance(message, bytes):
            await self._connection.close(1003, "text only")
            raise WsClosed(clean=False, detail="the CSMS sent a binary message")
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


def _websocket_error(url: str, error: Exception, timeout_s: float) -> DeviceError:
    """Return the failure of a connection attempt in plain words."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        phrase = _HTTP_HINTS.get(status, error.response.reason_phrase or "unexpected answer")
        return DeviceError(f"{url}: HTTP {status}: {phrase}")
    if isinstance(error, InvalidURI):
        return DeviceError(f"{url}: not a WebSocket URL; it begins with ws:// or wss://")
    if isinstance(error, NegotiationError):
        return DeviceError(f"{url}: the CSMS answered with a subprotocol that was not offered ({error})")
    if isinstance(error, InvalidHandshake):
        return DeviceError(f"{url}: the answer is not a WebSocket handshake ({error}); is this a CSMS?")
    if isinstance(error, ssl.SSLCertVerificationError):
        return DeviceError(f"{url}: the certificate of the CSMS is not accepted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return DeviceError(f"{url}: TLS failed: {error.reason or error}")
    if isinstance(error, TimeoutError):
        return DeviceError(f"{url}: no answer within {timeout_s:g} s")
    if isinstance(error, OSError):
        return DeviceError(f"{url}: cannot connect: {error.strerror or error}")
    return DeviceError(f"{url}: cannot connect: {error}")


class RealOpeners:
    """`Openers` on real devices."""

    def __init__(self, *, serial_by_id: Path = SERIAL_BY_ID) -> None:
        self._serial_by_id = serial_by_id

    async def open_serial(self, settings: SerialSettings) -> ByteStream:
        """Open a serial port, or a keyboard (``/dev/input/..``, ``input:<name>``), exclusively."""
        if is_input(settings.port):
            return open_input(settings.port)
        return await open_serial(settings)

    async def open_can(self, interface: str, channel: str, bitrate: int) -> CanBus:
        """Open a CAN channel; python-can is loaded only here."""
        from evse.transports.can import open_can

        return await open_can(interface, channel, bitrate)

    async def open_tcp(self, host: str, port: int) -> ByteStream:
        """Connect a TCP stream."""
        return await open_tcp(host, port)

    async def open_websocket(
        self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float,
        options: DialOptions = DIRECT,
    ) -> WebSocket:
        """Connect; the peer must choose one of ``subprotocols``. Pings are the caller's."""
        try:
            connection = await connect(
                url,
                subprotocols=[Subprotocol(name) for name in subprotocols],
                additional_headers=dict(headers),
                open_timeout=timeout_s,
                close_timeout=WS_CLOSE_TIMEOUT_S,
                ping_interval=None,
                max_size=WS_MESSAGE_MAX,
                max_queue=WS_QUEUE_MAX,
                proxy=options.proxy or None,
                ssl=(options.tls or True) if url.startswith("wss://") else None,
            )
        except (OSError, WebSocketException, ValueError) as error:
            raise _websocket_error(url, error, timeout_s) from error
        if subprotocols and connection.subprotocol is None:
            await connection.close(1002, "no subprotocol")
            raise DeviceError(f"{url}: the CSMS chose none of the offered subprotocols ({', '.join(subprotocols)})")
        return RealWebSocket(connection)

    def list_serial(self) -> list[str]:
        """Return the stable names of the USB serial devices present now, sorted; at most 256."""
        try:
            found = sorted(str(entry) for entry in self._serial_by_id.iterdir())
        except OSError:
            return []  # the directory exists only while a device is plugged in
        return found[:SERIAL_LIST_MAX]
