"""What digital inputs, outputs and temperature sensors are called and where they sit. Filled from the configuration."""

from __future__ import annotations

from typing import Literal

import msgspec


class GpioLine(msgspec.Struct, frozen=True, kw_only=True):
    """A pin: ``chip`` and ``line`` (``/dev/gpiochip0``, current kernels), or with chip "" the number of ``/sys/class/gpio``."""

    line: int
    chip: str = ""  # "gpiochip0"


class AdcChannel(msgspec.Struct, frozen=True, kw_only=True):
    """An analog input: channel of the IIO device called ``device``; ``gain_permille`` undoes the divider before it."""

    device: str  # "2198000.adc"
    channel: int
    gain_permille: int = 1000


class InputSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A named input. Threshold and hysteresis count for an `AdcChannel` only."""

    name: str
    source: GpioLine | AdcChannel
    active_low: bool = False
    debounce_ms: int = 20
    threshold_mv: int = 6_000  # Charge Control C: io/digital_input_threshold_voltage
    hysteresis_mv: int = 500


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A named output; at rest (not active) without a command."""

    name: str
    source: GpioLine
    active_low: bool = False


class TemperatureSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A named sensor: 1-wire id ("28-00000a1b2c3d"), or channel of the hwmon device of that name."""

    name: str
    bus: Literal["w1", "hwmon"]
    device: str
    channel: int = 1  # hwmon only
