"""Files of the kernel below /sys as devices: GPIO lines, ADC channels, the reference voltage of digital inputs.

Everything here blocks for as long as the kernel takes (microseconds for a pin of the processor, longer behind I2C), so
the owners call it from a worker thread (`evse.devices.polled`). Each object takes the directory under which it finds
``sys``: "/" on a device, a tree of plain files in tests. Numbers of IIO and hwmon devices change with what is plugged
in, so those are found by their name (Charge Control C user guide 7.6: the ADC is the one called 2198000.adc).
"""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from pathlib import Path
from typing import Final

from evse.domain.base import DeviceError

FILE_BYTES_MAX: Final = 4096
"""A kernel attribute is one page at most."""

NAMES_MAX: Final = 256
REFERENCE_FULL_MV: Final = 12_000
"""Reference voltage of the digital inputs at 100 % duty (Charge Control C user guide 7.9.1)."""

_REMEDIES: Final = {
    errno.ENOENT: "check the number in the configuration and that the kernel driver is loaded",
    errno.EACCES: "give the user of the service access to it (udev rule, group gpio)",
    errno.EPERM: "give the user of the service access to it (udev rule, group gpio)",
    errno.EBUSY: "another program or driver uses it",
    errno.EIO: "the device does not answer; check its wiring",
    errno.ENXIO: "the device has gone",
    errno.ENODEV: "the device has gone",
}


def file_error(path: Path, what: str, error: OSError) -> DeviceError:
    """Return the `DeviceError` of a failed access, with the remedy."""
    remedy = _REMEDIES.get(error.errno or 0, "check device and kernel log")
    return DeviceError(f"{path}: cannot {what}: {error.strerror or error}; {remedy}")


def read_text(path: Path) -> str:
    """Return the content of an attribute without its line end, at most 4096 bytes; `DeviceError` names the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise file_error(path, "open", error) from error
    try:
        return os.read(descriptor, FILE_BYTES_MAX).decode("ascii", "replace").strip()
    except OSError as error:
        raise file_error(path, "read", error) from error
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to an attribute; `DeviceError` names the file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    except OSError as error:
        raise file_error(path, "open", error) from error
    try:
        os.write(descriptor, text.encode("ascii"))
    except OSError as error:
        raise file_error(path, f"write {text!r} to it", error) from error
    finally:
        os.close(descriptor)


def read_number(path: Path, low: int, high: int) -> int:
    """Return the integer in an attribute; `DeviceError` when it is none or outside ``low..high``."""
    text = read_text(path)
    try:
        value = int(text)
    except ValueError:
        raise DeviceError(f"{path}: {text[:40]!r} is not a whole number; is this the right device?") from None
    if not low <= value <= high:
        raise DeviceError(f"{path}: {value} is outside {low}..{high}; is this the right device?")
    return value


def find_named(directory: Path, pattern: str, name: str) -> Path:
    """Return the first entry ``pattern`` of ``directory`` whose file ``name`` holds ``name``.

    `DeviceError` lists the names that are there.
    """
    seen = []
    for entry in sorted(directory.glob(pattern))[:NAMES_MAX]:
        try:
            found = read_text(entry / "name")
        except DeviceError:
            continue
        if found == name:
            return entry
        seen.append(found)
    there = ", ".join(seen) or "none"
    raise DeviceError(f"{directory}: no device called {name!r}; there are: {there}; is the kernel driver loaded?")


class SysfsGpio:
    """GPIO lines by their global number through ``/sys/class/gpio``, the interface of older kernels."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._base = root / "sys/class/gpio"
        self._values: dict[int, Path] = {}

    def open_input(self, number: int) -> None:
        """Make line ``number`` available as input."""
        write_text(self._exported(number) / "direction", "in")

    def open_output(self, number: int, *, high: bool) -> None:
        """Make line ``number`` an output that begins at the level ``high``, without a spike between."""
        write_text(self._exported(number) / "direction", "high" if high else "low")

    def read(self, number: int) -> bool:
        """Return the electrical level."""
        return read_number(self._value(number), 0, 1) == 1

    def write(self, number: int, *, high: bool) -> None:
        """Set the electrical level of an output."""
        write_text(self._value(number), "1" if high else "0")

    def _value(self, number: int) -> Path:
        """Return the attribute of a line; it is asked for twenty times a second."""
        path = self._values.get(number)
        if path is None:
            path = self._values[number] = self._base / f"gpio{number}/value"
        return path

    def _exported(self, number: int) -> Path:
        directory = self._base / f"gpio{number}"
        if not directory.is_dir():
            write_text(self._base / "export", str(number))
            if not directory.is_dir():
                raise DeviceError(f"{directory}: not there after export; check the number in the configuration")
        return directory


class SysfsAdc:
    """One ADC channel of the IIO subsystem: ``(raw + offset) * scale`` is mV, times ``gain`` of the divider before it."""

    def __init__(self, device: str, channel: int, gain_permille: int = 1000, root: Path = Path("/")) -> None:
        self._devices = root / "sys/bus/iio/devices"
        self._name = device
        self._channel = f"in_voltage{channel}"
        self._gain = Fraction(gain_permille, 1000)
        self._directory: Path | None = None
        self._scale = Fraction(1)
        self._offset = 0

    def open(self) -> None:
        """Find the device by its name and read what does not change."""
        directory = find_named(self._devices, "iio:device*", self._name)
        self._scale = self._factor(directory)
        offset = self._first(directory, "offset")
        self._offset = read_number(offset, -(1 << 31), 1 << 31) if offset is not None else 0
        self._directory = directory

    def read_mv(self) -> int:
        """Return the voltage in mV, rounded to the nearest."""
        if self._directory is None:
            self.open()
        assert self._directory is not None
        raw = read_number(self._directory / f"{self._channel}_raw", -(1 << 31), (1 << 31) - 1)
        return round((raw + self._offset) * self._scale * self._gain)

    def close(self) -> None:
        """Look for the device again at the next reading."""
        self._directory = None

    def _first(self, directory: Path, what: str) -> Path | None:
        """The attribute of this channel, else the one of all channels, else None."""
        for name in (f"{self._channel}_{what}", f"in_voltage_{what}"):
            if (directory / name).exists():
                return directory / name
        return None

    def _factor(self, directory: Path) -> Fraction:
        path = self._first(directory, "scale")
        if path is None:
            raise DeviceError(f"{directory}: no scale for {self._channel}; is this a voltage channel?")
        text = read_text(path)
        try:
            scale = Fraction(text)
        except (ValueError, ZeroDivisionError):
            raise DeviceError(f"{path}: {text[:40]!r} is not a number") from None
        if not 0 < scale < 100_000:
            raise DeviceError(f"{path}: scale {text[:40]} is outside 0..100000 mV")
        return scale


class ReferencePwm:
    """The voltage against which all digital inputs are compared, made by a PWM channel: 100 % duty = 12 V."""

    def __init__(self, chip: int = 1, channel: int = 0, period_ns: int = 40_000, root: Path = Path("/")) -> None:
        self._chip = root / f"sys/class/pwm/pwmchip{chip}"
        self._channel = channel
        self._period_ns = period_ns

    def set_mv(self, threshold_mv: int) -> None:
        """Compare with ``threshold_mv`` (clamped to 0..12000) from now on."""
        directory = self._chip / f"pwm{self._channel}"
        if not directory.is_dir():
            write_text(self._chip / "export", str(self._channel))
            if not directory.is_dir():
                raise DeviceError(f"{directory}: not there after export; check chip and channel")
        threshold_mv = min(max(threshold_mv, 0), REFERENCE_FULL_MV)
        # A duty beyond the period is refused by the kernel: shorten first, then set the period.
        write_text(directory / "duty_cycle", "0")
        write_text(directory / "period", str(self._period_ns))
        write_text(directory / "duty_cycle", str(threshold_mv * self._period_ns // REFERENCE_FULL_MV))
        write_text(directory / "enable", "1")
