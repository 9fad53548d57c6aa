"""Quantities are integers with the unit in the name.

Every value inside the product is an ``int`` in the unit that its name ends with:
``_ma`` milliampere, ``_mv`` millivolt, ``_w`` watt, ``_wh`` watt-hour, ``_dc`` tenths of a
degree Celsius, ``_ns`` nanoseconds, ``_kohm`` kilo-ohm, ``_permille``, ``_pct``.
Floats exist only where a human reads a number.

Two clocks, never mixed: ``Instant`` is monotonic (deadlines, ages), ``WallNs`` is UTC since the
epoch (records, OCPP). Pure code gets both as arguments.
"""

from __future__ import annotations

from typing import Final

Instant = int
"""Monotonic nanoseconds; only differences mean something."""

WallNs = int
"""Nanoseconds since 1970-01-01T00:00:00Z."""

DurationNs = int

NS_PER_US: Final = 1_000
NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000

TICK_NS: Final = 50 * NS_PER_MS
"""Period of the control loop (architecture: 50 ms with absolute deadlines)."""


def ms(value: int) -> DurationNs:
    """Return a duration of ``value`` milliseconds in nanoseconds."""
    return value * NS_PER_MS


def s(value: int) -> DurationNs:
    """Return a duration of ``value`` seconds in nanoseconds."""
    return value * NS_PER_S


def power_w(voltage_mv: int, current_ma: int) -> int:
    """Return the power in W of a voltage in mV and a current in mA, rounded towards zero."""
    return (
        voltage_mv * current_ma // 1_000_000
        if voltage_mv * current_ma >= 0
        else -(-voltage_mv * current_ma // 1_000_000)
    )


def clamp(value: int, low: int, high: int) -> int:
    """Return ``value`` limited to ``low..high``; ``low`` wins when the bounds cross (the safe side is the caller's)."""
    if value > high:
        value = high
    if value < low:
        value = low
    return value
