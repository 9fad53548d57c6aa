"""A real serial port as `ByteStream`: pyserial opens and configures it, asyncio reads and writes its descriptor.

Exclusive (a second opener is refused), without threads. Works on every tty, pseudo-terminals included. With ``echo``
the adapter hears its own bytes (RS-485 without receiver switch): what was written is taken out of what is read, and a
difference is a collision on the bus.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import termios
from typing import Final

import serial

from evse.domain.base import DeviceError
from evse.transports.base import SerialSettings

READ_MAX: Final = 4096
WRITE_BUFFER_MAX: Final = 1024
"""Unsent bytes above which `write` waits: the line stands still, and commands must not grow old in a buffer."""

ECHO_MAX: Final = 4096
"""Bytes whose echo is outstanding; more means that the adapter does not echo at all."""

_REMEDIES: Final = {
    errno.ENOENT: "is the adapter plugged in? (evsectl plc discover lists what is there)",
    errno.EACCES: "add the user to the group of the port (dialout)",
    errno.EPERM: "add the user to the group of the port (dialout)",
    errno.EBUSY: "another program has it open; stop it or choose another port",
    errno.ENXIO: "the device has gone; plug it in again",
    errno.EIO: "the device has gone; plug it in again",
    errno.ENOTTY: "this is not a serial port",
}


def open_error(settings: SerialSettings, error: Exception) -> DeviceError:
    """Return the `DeviceError` for a port that cannot be opened, with the remedy."""
    number = getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EWOULDBLOCK):  # the exclusive lock is held
        number = errno.EBUSY
    reason = os.strerror(number) if number else str(error)
    remedy = _REMEDIES.get(number or 0, "check port and settings in station.toml")
    return DeviceError(f"{settings.port}: cannot open at {settings.baud} baud: {reason}; {remedy}")


class SerialStream:
    """One open serial port. Create with `open_serial`; one reader and one writer at a time."""

    def __init__(self, port: serial.Serial, settings: SerialSettings) -> None:
        self._port = port
        self._fd: int = port.fileno()
        self._name = settings.port
        self._echo = settings.echo
        self._expected = bytearray()  # echo that has not come yet
        self._out = bytearray()
        self._lost: DeviceError | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        os.set_blocking(self._fd, False)
        # pyserial asks for VMIN = 0, with which an idle line reads as zero bytes; that must mean hang-up only.
        attributes = termios.tcgetattr(self._fd)
        attributes[6][termios.VMIN] = 1
        attributes[6][termios.VTIME] = 0
        termios.tcsetattr(self._fd, termios.TCSANOW, attributes)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def read(self) -> bytes:
        """Return what has arrived, waiting for the first byte.

        `DeviceError` when the port is gone, and on a collision (``echo``): then the port stays open, what was
        outstanding is forgotten, and the caller may go on after a pause.
        """
        while True:
            data = self._read_now()
            if data and self._echo:
                data = self._without_echo(data)
            if data:
                return data
            await self._wait_readable()

    def _read_now(self) -> bytes:
        if self._lost is not None:
            raise self._lost
        try:
            data = os.read(self._fd, READ_MAX)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._fail(error.strerror or str(error)) from error
        if not data:
            raise self._fail("hang-up")
        return data

    async def _wait_readable(self) -> None:
        waiter = self._readable = self._loop.create_future()
        self._loop.add_reader(self._fd, self._on_readable)
        try:
            await waiter
        finally:
            self._readable = None
            if not self._closed:
                self._loop.remove_reader(self._fd)

    def _on_readable(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def _without_echo(self, data: bytes) -> bytes:
        expected = self._expected
        size = min(len(expected), len(data))
        if data[:size] != expected[:size]:
            sent, heard = bytes(expected[:16]), data[:16]
            expected.clear()
            raise DeviceError(
                f"{self._name}: collision: sent {sent.hex(' ').upper()} but heard {heard.hex(' ').upper()}; "
                "another master on the bus, or the adapter does not echo (then set echo = false)"
            )
        del expected[:size]
        return data[size:]

    # -- writing ------------------------------------------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Hand ``data`` to the port; waits while more than 1 KiB is unsent."""
        if self._lost is not None:
            raise self._lost
        if self._echo:
            if len(self._expected) + len(data) > ECHO_MAX:
                raise DeviceError(f"{self._name}: no echo of the last {ECHO_MAX} bytes; set echo = false")
            self._expected += data
        if not self._out:
            data = data[self._send(data) :]
            if not data:
                return
            self._loop.add_writer(self._fd, self._on_writable)
        self._out += data
        while len(self._out) > WRITE_BUFFER_MAX and self._lost is None:
            self._writable = self._loop.create_future()
            await self._writable
        if self._lost is not None:
            raise self._lost

    def write_now(self, data: bytes) -> bool:
        """Hand ``data`` over without waiting; False (nothing taken) while older bytes are unsent, and with ``echo``.

        `DeviceError` when the port is gone.
        """
        if self._lost is not None:
            raise self._lost
        if self._out or self._echo:
            return False
        rest = data[self._send(data) :]
        if rest:
            self._loop.add_writer(self._fd, self._on_writable)
            self._out += rest
        return True

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._fail(error.strerror or str(error)) from error

    def _on_writable(self) -> None:
        try:
            del self._out[: self._send(self._out)]
        except DeviceError:
            return  # `_fail` has told the waiters
        if not self._out:
            self._loop.remove_writer(self._fd)
        if len(self._out) <= WRITE_BUFFER_MAX:
            self._wake_writer()

    def _wake_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # -- the end ------------------------------------------------------------------------------------------------------

    def _fail(self, reason: str) -> DeviceError:
        if self._lost is None:
            self._lost = DeviceError(f"{self._name}: connection lost ({reason}); is the adapter plugged in?")
        self._shut()
        return self._lost

    def _shut(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._out.clear()
            with contextlib.suppress(OSError, serial.SerialException):  # gone: there is nothing left to close
                self._port.close()
        self._on_readable()
        self._wake_writer()

    async def close(self) -> None:
        """Close; a waiting reader or writer gets `DeviceError`."""
        if self._lost is None:
            self._lost = DeviceError(f"{self._name}: closed")
        self._shut()


async def open_serial(settings: SerialSettings) -> SerialStream:
    """Open ``settings.port`` exclusively, 8 data bits; `DeviceError` naming the port and the remedy."""
    try:
        port = serial.Serial(
            port=settings.port,
            baudrate=settings.baud,
            bytesize=8,
            parity=settings.parity,
            stopbits=settings.stop_bits,
            timeout=0,
            write_timeout=0,
            exclusive=True,
        )
    except (OSError, ValueError, serial.SerialException) as error:
        raise open_error(settings, error) from error
    try:
        return SerialStream(port, settings)
    except (OSError, termios.error) as error:
        port.close()
        raise open_error(settings, error) from error
