"""A tree of plain files that looks like the parts of ``/sys`` and ``/dev`` which drivers use."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from evse.protocols.w1 import slave_text
from evse.transports import gpio_v2


class FakeSysfs:
    """``root`` is given to the code under test. What the kernel would do by itself is a method here."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, path: str, text: str = "") -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def text(self, path: str) -> str:
        return (self.root / path).read_text().strip()

    # -- GPIO ---------------------------------------------------------------------------------------------------------

    def gpio(self, number: int, *, high: bool = False) -> None:
        """An exported line."""
        self.file("sys/class/gpio/export")
        self.file(f"sys/class/gpio/gpio{number}/direction", "in")
        self.file(f"sys/class/gpio/gpio{number}/value", f"{int(high)}\n")

    def drive(self, number: int, *, high: bool) -> None:
        """The world puts a level on an input."""
        (self.root / f"sys/class/gpio/gpio{number}/value").write_text(f"{int(high)}\n")

    # -- ADC, PWM -----------------------------------------------------------------------------------------------------

    def adc(self, name: str, *, index: int = 0, channel: int = 0, raw: int = 0, scale: str = "0.805664062") -> None:
        base = f"sys/bus/iio/devices/iio:device{index}"
        self.file(f"{base}/name", f"{name}\n")
        self.file(f"{base}/in_voltage_scale", f"{scale}\n")
        self.file(f"{base}/in_voltage{channel}_raw", f"{raw}\n")

    def adc_raw(self, raw: int, *, index: int = 0, channel: int = 0) -> None:
        (self.root / f"sys/bus/iio/devices/iio:device{index}/in_voltage{channel}_raw").write_text(f"{raw}\n")

    def pwm(self, chip: int = 1, channel: int = 0) -> None:
        for name in ("duty_cycle", "period", "enable"):
            self.file(f"sys/class/pwm/pwmchip{chip}/pwm{channel}/{name}", "0\n")

    # -- temperature, fan ---------------------------------------------------------------------------------------------

    def w1(self, sensor: str, value_mdegc: int, *, good: bool = True, reserved: int = 0x10) -> None:
        text = slave_text(value_mdegc, good=good, reserved=reserved)
        self.file(f"sys/bus/w1/devices/{sensor}/w1_slave", text)

    def fan(self, name: str, *, index: int = 0, duty: int = 128, rpm: int | None = 1500, mode: str = "2") -> None:
        base = f"sys/class/hwmon/hwmon{index}"
        self.file(f"{base}/name", f"{name}\n")
        self.file(f"{base}/pwm1", f"{duty}\n")
        self.file(f"{base}/pwm1_enable", f"{mode}\n")
        if rpm is not None:
            self.file(f"{base}/fan1_input", f"{rpm}\n")


class FakeChip:
    """The kernel's side of ``/dev/gpiochipN``: understands the three requests byte for byte."""

    def __init__(self, tree: FakeSysfs, chip: str = "gpiochip0") -> None:
        self.levels: dict[int, bool] = {}
        self.outputs: set[int] = set()
        self.taken: set[int] = set()
        self.broken = False
        self._groups: dict[int, list[int]] = {}
        self._file = tree.file(f"dev/{chip}")

    def ioctl(self, descriptor: int, number: int, argument: bytearray) -> int:
        if self.broken:
            raise OSError(errno.ENODEV, "No such device")
        if number == gpio_v2.GET_LINE:
            self._request(argument)
        elif number == gpio_v2.GET_VALUES:
            offsets = self._groups[descriptor]
            argument[:8] = gpio_v2.bits_of([self.levels.get(o, False) for o in offsets]).to_bytes(8, "little")
        elif number == gpio_v2.SET_VALUES:
            self._set(self._groups[descriptor], int.from_bytes(argument[:8], "little"))
        else:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        return 0

    def _request(self, argument: bytearray) -> None:
        # Offsets of the fields as the compiler lays out struct gpio_v2_line_request (592 bytes).
        assert len(argument) == 592
        count = int.from_bytes(argument[560:564], "little")
        offsets = [int.from_bytes(argument[4 * i : 4 * i + 4], "little") for i in range(count)]
        if self.taken & set(offsets):
            raise OSError(errno.EBUSY, "Device or resource busy")
        flags = int.from_bytes(argument[288:296], "little")
        descriptor = os.open(self._file, os.O_RDONLY)  # of the test; the code under test closes it
        self._groups[descriptor] = offsets
        if flags == 1 << 3:
            assert int.from_bytes(argument[296:300], "little") == 1
            assert int.from_bytes(argument[320:324], "little") == 2
            self.outputs |= set(offsets)
            self._set(offsets, int.from_bytes(argument[328:336], "little"))
        else:
            assert flags == 1 << 2
        argument[588:592] = descriptor.to_bytes(4, "little", signed=True)

    def _set(self, offsets: list[int], bits: int) -> None:
        for index, offset in enumerate(offsets):
            self.levels[offset] = bool(bits >> index & 1)
