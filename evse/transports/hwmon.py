"""Fans and temperature sensors of the kernel: hwmon attributes and the files of 1-wire sensors. Blocking, see `sysfs`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from evse.domain.base import DeviceError
from evse.transports.sysfs import find_named, read_number, read_text, write_text

PWM_FULL: Final = 255
"""hwmon counts a duty from 0 to 255 (kernel document hwmon/sysfs-interface)."""

PWM_MANUAL: Final = 1
RPM_MAX: Final = 100_000
W1_DEVICES: Final = "sys/bus/w1/devices"
SENSORS_MAX: Final = 64


class HwmonFan:
    """Fan ``number`` (1..) of the hwmon device called ``device``: duty by pwmN, speed by fanN_input where it exists."""

    def __init__(self, device: str, number: int = 1, root: Path = Path("/")) -> None:
        self._devices = root / "sys/class/hwmon"
        self._name = device
        self._number = number
        self._directory: Path | None = None
        self._mode_before: str | None = None

    def open(self) -> None:
        """Find the device; the kernel goes on to control the fan until the first `write`."""
        self._directory = find_named(self._devices, "hwmon*", self._name)
        self._mode_before = None

    def read(self) -> tuple[int, int | None]:
        """Return the duty in permille and the speed in rpm (None = no tachometer)."""
        duty = read_number(self._file(f"pwm{self._number}"), 0, PWM_FULL)
        tachometer = self._file(f"fan{self._number}_input")
        rpm = read_number(tachometer, 0, RPM_MAX) if tachometer.exists() else None
        return (duty * 1000 + PWM_FULL // 2) // PWM_FULL, rpm

    def write(self, duty_permille: int) -> None:
        """Take the control over and set the duty."""
        mode = self._file(f"pwm{self._number}_enable")
        if self._mode_before is None and mode.exists():
            self._mode_before = read_text(mode)
            write_text(mode, str(PWM_MANUAL))
        write_text(self._file(f"pwm{self._number}"), str((duty_permille * PWM_FULL + 500) // 1000))

    def close(self) -> None:
        """Give the control back to who had it; at full speed when that is not known."""
        directory, self._directory = self._directory, None
        if directory is None:
            return
        if self._mode_before is not None and self._mode_before != str(PWM_MANUAL):
            write_text(directory / f"pwm{self._number}_enable", self._mode_before)
        elif self._mode_before is not None:
            write_text(directory / f"pwm{self._number}", str(PWM_FULL))
        self._mode_before = None

    def _file(self, name: str) -> Path:
        if self._directory is None:
            raise DeviceError(f"fan {self._name}: not open")
        return self._directory / name


def list_w1(root: Path = Path("/")) -> list[str]:
    """Return the ids ("28-00000a1b2c3d") of the 1-wire temperature sensors that are on the bus now, sorted."""
    families = ("10-", "22-", "28-", "3b-", "42-")
    try:
        names = [entry.name for entry in (root / W1_DEVICES).iterdir()]
    except OSError:
        return []  # no 1-wire master
    return sorted(name for name in names if name.startswith(families))[:SENSORS_MAX]


def read_w1(sensor: str, root: Path = Path("/")) -> str:
    """Return what a 1-wire sensor shows: the two lines of ``w1_slave``, or where that is missing one number of m°C.

    A conversion takes up to 750 ms (DS18B20, 12 bits). `DeviceError` when the sensor is gone.
    """
    directory = root / W1_DEVICES / sensor
    slave = directory / "w1_slave"  # preferred, because it shows the checksum
    return read_text(slave if slave.exists() else directory / "temperature")


def read_hwmon_temperature(device: str, number: int = 1, root: Path = Path("/")) -> str:
    """Return the temperature ``number`` of the hwmon device called ``device``, a number of m°C."""
    return read_text(find_named(root / "sys/class/hwmon", "hwmon*", device) / f"temp{number}_input")
