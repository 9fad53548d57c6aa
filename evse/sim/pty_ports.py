"""Serial ports of the simulated station as pseudo-terminals, reachable under the names of the configuration.

Each `Port` gets a pty; the configured path becomes a symbolic link to its slave side. A path that exists and is not a
link of a former run is refused: the simulator never replaces a real device. Pulling the cable closes the pty, so that
an open driver sees a hang-up, and takes the link away; putting it back makes a new pty.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tty
from pathlib import Path
from typing import Final

from evse.domain.base import ConfigError, DeviceError
from evse.sim.openers import Port

READ_MAX: Final = 4_096


class PtyMaster:
    """The device's end of a pty as `ByteStream`. Bytes written while nobody has the port open are kept by the kernel
    up to its buffer; what does not fit is lost, as on a line without listener."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.lost_bytes = 0
        os.set_blocking(fd, False)

    async def read(self) -> bytes:
        """Return what a driver has written."""
        while True:
            if self._closed:
                raise DeviceError(f"{self._name}: closed")
            try:
                data = os.read(self._fd, READ_MAX)
                if data:
                    return data
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno != errno.EIO:
                    raise DeviceError(f"{self._name}: {error.strerror}") from error
            await self._readable()

    async def _readable(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        self._loop.add_reader(self._fd, self._wake)
        try:
            await waiter
        finally:
            self._waiter = None
            if not self._closed:
                self._loop.remove_reader(self._fd)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def write(self, data: bytes) -> None:
        """Hand bytes to the line."""
        if self._closed:
            raise DeviceError(f"{self._name}: closed")
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise DeviceError(f"{self._name}: {error.strerror}") from error
        self.lost_bytes += len(data) - sent

    async def close(self) -> None:
        """Close; never raises."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._wake()


class PtyPort:
    """Keeps one `Port` reachable at its path."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.path = Path(port.name)
        self._slave: int | None = None
        port.on_plug = self._plug

    def open(self) -> None:
        """Make the pty and the link; `ConfigError` when something else is in the way."""
        if self.path.exists() and not self.path.is_symlink():
            raise ConfigError(
                [f"{self.path}: exists and is not a link of the simulator; choose another port in the configuration"]
            )
        target = self.path.readlink() if self.path.is_symlink() else None
        if target is not None and not str(target).startswith("/dev/pts/"):
            raise ConfigError([f"{self.path}: is a link to {target}, not to a pty; the simulator does not replace it"])
        master, slave = os.openpty()
        tty.setraw(slave)
        self._slave = slave  # kept open: without it a master without driver reads errors
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            self.path.symlink_to(os.ttyname(slave))
        except OSError as error:
            os.close(master)
            self._drop_slave()
            raise ConfigError(
                [f"{self.path}: cannot be made ({error.strerror}); choose ports in a writable directory"]
            ) from error
        self.port.attach(PtyMaster(master, self.port.name))

    def _drop_slave(self) -> None:
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None

    def close(self) -> None:
        """Take the link away and end the pty."""
        if self.path.is_symlink():
            self.path.unlink()
        self.port.detach()
        self._drop_slave()

    def _plug(self, plugged: bool) -> None:
        if plugged:
            self.open()
        else:
            self.close()
