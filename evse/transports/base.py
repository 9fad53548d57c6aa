"""The pipes that drivers are given. Real ones open devices; in-memory ones connect to the simulator or a test."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from evse.domain.base import DeviceError


class SerialSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to open a serial port. ``echo``: the adapter hears its own bytes and the transport removes them."""

    port: str
    baud: int = 9600
    parity: str = "N"  # N, E, O
    stop_bits: int = 1
    echo: bool = False


class CanFrame(msgspec.Struct, frozen=True):
    """One CAN data frame. ``data`` has 0..8 bytes."""

    can_id: int
    data: bytes
    extended: bool = True


class ByteStream(Protocol):
    """A duplex byte pipe with one owner."""

    async def read(self) -> bytes:
        """Return at least one byte as soon as there is some; raise `DeviceError` when the pipe is gone."""
        ...

    async def write(self, data: bytes) -> None:
        """Hand ``data`` to the line; may wait while the (bounded) buffer is full; raise `DeviceError` when the pipe is gone."""
        ...

    async def close(self) -> None:
        """Close; never raises."""
        ...


class CanBus(Protocol):
    """A CAN channel with one owner."""

    async def recv(self) -> CanFrame:
        """Return the next frame; raise `DeviceError` when the channel is gone."""
        ...

    async def send(self, frame: CanFrame) -> None:
        """Send one frame; raise `DeviceError` when the channel is gone."""
        ...

    async def close(self) -> None:
        """Close; never raises."""
        ...


class WsClosed(Exception):
    """The WebSocket has ended; ``clean`` tells a Close frame from a broken line."""

    def __init__(self, clean: bool, detail: str) -> None:
        super().__init__(detail)
        self.clean = clean
        self.detail = detail


class NotText(Exception):
    """A message that is not text has arrived; the WebSocket lives on. ``size`` in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"binary message of {size} bytes")
        self.size = size


class WebSocket(Protocol):
    """A connected WebSocket that carries text messages."""

    subprotocol: str
    remote: str  # address of the other end, for people

    async def recv(self) -> str:
        """Return the next text message; raise `WsClosed`, or `NotText` for a binary message."""
        ...

    async def send(self, text: str) -> None:
        """Send one text message; raise `WsClosed`."""
        ...

    async def ping(self, timeout_s: float) -> None:
        """Send a ping and wait for its pong; raise `WsClosed` when none came in time."""
        ...

    async def close(self) -> None:
        """Close; never raises."""
        ...


class DialStep(StrEnum):
    """Where a connection attempt has failed, in the order of the steps."""

    URL = "url"
    INTERFACE = "interface"
    DNS = "dns"
    TCP = "tcp"
    PROXY = "proxy"
    TLS = "tls"
    TLS_VERSION = "tls-version"
    TLS_CIPHER = "tls-cipher"
    CERTIFICATE = "certificate"
    HTTP = "http"
    CREDENTIALS = "credentials"
    SUBPROTOCOL = "subprotocol"
    TIMEOUT = "timeout"


class DialError(DeviceError):
    """A connection attempt has failed at ``step``. ``http_status`` is 0 before there was an answer of a web server."""

    def __init__(self, step: DialStep, text: str, http_status: int = 0) -> None:
        super().__init__(text)
        self.step = step
        self.http_status = http_status


class DialOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a server beyond its address.

    ``tls``: context for wss://, None = the system's trust store; one with an attribute ``failure`` that is not None after a
    failed handshake (``step`` and ``text``) is believed. ``proxy``: URL of an HTTP or HTTPS (CONNECT) or SOCKS proxy,
    "" = none. ``proxy_tls``: context for an https:// proxy, None = the system's trust store. ``interface``: network
    interface or own address to go out by, "" = as the routes say. ``tcp_user_timeout_s``: the connection ends when sent
    bytes stay unacknowledged that long; 0 = the system's time.
    """

    tls: ssl.SSLContext | None = None
    proxy: str = ""
    proxy_tls: ssl.SSLContext | None = None
    interface: str = ""
    tcp_user_timeout_s: int = 0


DIRECT: Final = DialOptions()
"""No proxy, any interface, the system's trust store and times."""


class Openers(Protocol):
    """How the runtime reaches the world. The only place where real and simulated differ."""

    async def open_serial(self, settings: SerialSettings) -> ByteStream:
        """Open exclusively; raise `DeviceError` naming the port and the remedy."""
        ...

    async def open_can(self, interface: str, channel: str, bitrate: int) -> CanBus:
        """Open a CAN channel ("socketcan", "udp_multicast", "slcan", "virtual"); raise `DeviceError`."""
        ...

    async def open_tcp(self, host: str, port: int) -> ByteStream:
        """Connect a TCP stream; raise `DeviceError`."""
        ...

    async def open_websocket(
        self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float,
        options: DialOptions = DIRECT,
    ) -> WebSocket:
        """Connect; raise `DialError` with the HTTP status or the failed step in plain words."""
        ...

    def list_serial(self) -> list[str]:
        """Return the stable names (``/dev/serial/by-id/*``) of the USB serial devices present now, sorted."""
        ...
