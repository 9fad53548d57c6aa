"""The real world behind `Openers`: serial ports, CAN channels, TCP and WebSocket connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from evse.domain.base import DeviceError
from evse.transports.base import DIRECT, ByteStream, CanBus, DialOptions, SerialSettings, WebSocket
from evse.transports.evdev import is_input, open_input
from evse.transports.serial import open_serial
from evse.transports.websocket import open_websocket

SERIAL_BY_ID: Final = Path("/dev/serial/by-id")
SERIAL_LIST_MAX: Final = 256
TCP_TIMEOUT_S: Final = 5.0
TCP_READ_MAX: Final = 4096


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
        """Connect a WebSocket."""
        return await open_websocket(url, subprotocols, headers, timeout_s, options)

    def list_serial(self) -> list[str]:
        """Return the stable names of the USB serial devices present now, sorted; at most 256."""
        try:
            found = sorted(str(entry) for entry in self._serial_by_id.iterdir())
        except OSError:
            return []  # the directory exists only while a device is plugged in
        return found[:SERIAL_LIST_MAX]
