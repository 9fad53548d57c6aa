"""A keyboard of Linux as `ByteStream`: raw input events of ``/dev/input/event*``, grabbed, so that nothing is typed.

A port is a path below ``/dev/input`` (best a stable one of ``by-id``) or ``input:<name>``, the name that the device gives
itself. Reading is the only thing it can do.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from evse.domain.base import DeviceError
from evse.transports.sysfs import read_text

EVIOCGRAB: Final = 0x4004_4590
"""_IOW('E', 0x90, int): events come to this reader alone."""

READ_MAX: Final = 24 * 64
DEVICES_MAX: Final = 256
BY_NAME: Final = "input:"

_REMEDIES: Final = {
    errno.ENOENT: "is the reader plugged in?",
    errno.ENODEV: "the reader has gone; plug it in again",
    errno.EACCES: "add the user to the group of the device (input)",
    errno.EPERM: "add the user to the group of the device (input)",
    errno.EBUSY: "another program has grabbed it; stop that one",
}

Grab = Callable[[int], None]


class InputDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A keyboard that is plugged in now. ``port`` = the stable name to configure."""

    port: str
    name: str  # what the device calls itself
    event: str  # "event3"; changes with the order of plugging


def is_input(port: str) -> bool:
    """Return whether ``port`` names a keyboard and not a serial port."""
    return port.startswith(("/dev/input/", BY_NAME))


def list_inputs(root: Path = Path("/")) -> list[InputDevice]:
    """Return the keyboards that are plugged in, those with a name in ``by-id`` by it, sorted by port."""
    stable: dict[str, str] = {}
    with contextlib.suppress(OSError):  # the directory exists only while a device is plugged in
        for link in sorted((root / "dev/input/by-id").iterdir()):
            if link.name.endswith("-event-kbd"):
                stable[link.resolve().name] = f"/dev/input/by-id/{link.name}"
    found = []
    for entry in sorted((root / "sys/class/input").glob("event*"))[:DEVICES_MAX]:
        try:
            name = read_text(entry / "device/name")
        except DeviceError:
            continue
        if entry.name in stable or _types_digits(entry):
            found.append(InputDevice(port=stable.get(entry.name, BY_NAME + name), name=name, event=entry.name))
    return sorted(found, key=lambda device: device.port)


def _types_digits(entry: Path) -> bool:
    """Whether the device has the keys 1 to 0 and Enter (bits of the last words of ``capabilities/key``)."""
    try:
        word = int((read_text(entry / "device/capabilities/key").split() or ["0"])[-1], 16)
    except (DeviceError, ValueError):
        return False
    return all(word >> code & 1 for code in (*range(2, 12), 28))


def _path_of(port: str, root: Path) -> Path:
    if not port.startswith(BY_NAME):
        return root / port.removeprefix("/")
    name = port.removeprefix(BY_NAME)
    devices = list_inputs(root)
    events = [device.event for device in devices if device.name == name]
    if len(events) != 1:
        there = ", ".join(repr(device.name) for device in devices) or "none"
        what = f"{len(events)} devices have" if events else "no device has"
        raise DeviceError(f"{port}: {what} this name; there are: {there}; use the name below /dev/input/by-id")
    return root / "dev/input" / events[0]


def grab(descriptor: int) -> None:
    """Take all events of an input device; `OSError` when somebody else has them."""
    fcntl.ioctl(descriptor, EVIOCGRAB, 1)


class EvdevStream:
    """One open keyboard. Create with `open_input`; one reader at a time."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._fd = descriptor
        self._name = name
        self._lost: DeviceError | None = None
        self._loop = asyncio.get_running_loop()
        self._readable: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """Return whole events, waiting for the first; `DeviceError` when the device is gone."""
        while True:
            if self._lost is not None:
                raise self._lost
            try:
                data = os.read(self._fd, READ_MAX)
            except BlockingIOError:
                await self._wait()
                continue
            except OSError as error:
                raise self._fail(error.strerror or str(error)) from error
            if not data:
                raise self._fail("hang-up")
            return data

    async def _wait(self) -> None:
        waiter = self._readable = self._loop.create_future()
        self._loop.add_reader(self._fd, self._on_readable)
        try:
            await waiter
        finally:
            self._readable = None
            if self._fd >= 0:
                self._loop.remove_reader(self._fd)

    def _on_readable(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    async def write(self, data: bytes) -> None:
        """Nothing can be said to a keyboard."""
        raise DeviceError(f"{self._name}: a keyboard takes no data ({len(data)} bytes); choose the driver 'hid'")

    def _fail(self, reason: str) -> DeviceError:
        self._lost = DeviceError(f"{self._name}: connection lost ({reason}); is the reader plugged in?")
        self._shut()
        return self._lost

    def _shut(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            with contextlib.suppress(OSError):  # gone: there is nothing left to close
                os.close(self._fd)
            self._fd = -1
        self._on_readable()

    async def close(self) -> None:
        """Close; the grab ends with it; a waiting reader gets `DeviceError`."""
        if self._lost is None:
            self._lost = DeviceError(f"{self._name}: closed")
        self._shut()


def open_input(port: str, root: Path = Path("/"), grab: Grab = grab) -> EvdevStream:
    """Open and grab a keyboard; `DeviceError` naming the port and the remedy."""
    path = _path_of(port, root)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check the port of the reader in station.toml")
        raise DeviceError(f"{port}: cannot open: {error.strerror or error}; {remedy}") from error
    try:
        grab(descriptor)
    except OSError as error:
        os.close(descriptor)
        remedy = _REMEDIES.get(error.errno or 0, "this is not an input device")
        raise DeviceError(f"{port}: cannot grab: {error.strerror or error}; {remedy}") from error
    return EvdevStream(descriptor, port)
