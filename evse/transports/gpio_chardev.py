"""GPIO lines by chip and offset through ``/dev/gpiochipN``, the interface of current kernels.

Blocking for microseconds; may be used from a worker thread while the owner closes it, so each access holds a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from evse.domain.base import DeviceError
from evse.transports import gpio_v2
from evse.transports.sysfs import file_error

Ioctl = Callable[[int, int, bytearray], object]
CONSUMER: Final = "evse"


def _ioctl(descriptor: int, number: int, argument: bytearray) -> object:
    return fcntl.ioctl(descriptor, number, argument, True)


class ChipLines:
    """A group of lines of one chip, all inputs or all outputs. ``chip`` = "gpiochip0"; 1..64 offsets."""

    def __init__(
        self, chip: str, offsets: Sequence[int], root: Path = Path("/"), ioctl: Ioctl = _ioctl
    ) -> None:
        self._path = root / "dev" / chip
        self._offsets = tuple(offsets)
        self._call = ioctl
        self._lock = threading.Lock()
        self._descriptor = -1

    def open_inputs(self) -> None:
        """Ask for the lines as inputs; `DeviceError` when another program has one of them."""
        self._open(None)

    def open_outputs(self, levels: Sequence[bool]) -> None:
        """Ask for the lines as outputs that begin at ``levels``, without a spike between."""
        self._open(levels)

    def _open(self, levels: Sequence[bool] | None) -> None:
        self.close()
        try:
            chip = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise file_error(self._path, "open", error) from error
        request = gpio_v2.line_request(self._offsets, CONSUMER, levels)
        try:
            self._call(chip, gpio_v2.GET_LINE, request)
        except OSError as error:
            raise file_error(self._path, f"use lines {list(self._offsets)}", error) from error
        finally:
            os.close(chip)
        with self._lock:
            self._descriptor = gpio_v2.request_descriptor(request)

    def read(self) -> list[bool]:
        """Return the electrical levels in the order of the offsets."""
        argument = gpio_v2.values(len(self._offsets))
        self._transfer(gpio_v2.GET_VALUES, argument, "read")
        return gpio_v2.levels_of(argument, len(self._offsets))

    def write(self, levels: Sequence[bool]) -> None:
        """Set the electrical levels of all lines at once."""
        argument = gpio_v2.values(len(self._offsets), gpio_v2.bits_of(levels))
        self._transfer(gpio_v2.SET_VALUES, argument, "write")

    def _transfer(self, number: int, argument: bytearray, what: str) -> None:
        with self._lock:
            if self._descriptor < 0:
                raise DeviceError(f"{self._path}: not open")
            try:
                self._call(self._descriptor, number, argument)
            except OSError as error:
                raise file_error(self._path, f"{what} lines {list(self._offsets)}", error) from error

    def close(self) -> None:
        """Give the lines back; never raises."""
        with self._lock:
            if self._descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(self._descriptor)
            self._descriptor = -1
