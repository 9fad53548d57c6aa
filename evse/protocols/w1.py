"""The text in which the kernel shows a 1-wire temperature sensor, with its checksum.

Two lines: nine bytes of the scratchpad with "crc=xx YES|NO", then the bytes again with "t=<m°C>". The checksum is
computed here too: "YES" was decided when the kernel read the sensor, the bytes are what we got.
"""

from __future__ import annotations

import re
from typing import Final

from evse.protocols.errors import ProtocolError

SCRATCHPAD_BYTES: Final = 9
RANGE_MDEGC: Final = (-55_000, 125_000)
"""DS18x20 data sheets: measuring range."""

POWER_ON_MDEGC: Final = 85_000
POWER_ON_BYTES: Final = (0x50, 0x05)
POWER_ON_RESERVED: Final = 0x0C
"""What a DS18B20 shows before its first conversion: 85 °C, and 0x0C in byte 6. A measured 85 °C has another byte 6."""

_FIRST = re.compile(r"((?:[0-9a-f]{2} ){9}): crc=[0-9a-f]{2} (YES|NO)")
_SECOND = re.compile(r"(?:[0-9a-f]{2} ){9}t=(-?\d{1,6})")


def crc8(data: bytes) -> int:
    """Return the CRC-8 of Dallas/Maxim (polynomial 0x8C reflected, start 0)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8C if crc & 1 else crc >> 1
    return crc


def parse_slave(text: str) -> int:
    """Return the temperature in d°C (rounded to the nearest) of a ``w1_slave`` file; `ProtocolError` says why not."""
    lines = text.splitlines()
    first = _FIRST.fullmatch(lines[0].strip()) if lines else None
    second = _SECOND.fullmatch(lines[1].strip()) if len(lines) == 2 else None
    if first is None or second is None:
        raise ProtocolError(f"1-wire: {text[:40]!r} is no reading; check the sensor type")
    scratchpad = bytes.fromhex(first.group(1))
    if first.group(2) != "YES" or crc8(scratchpad[:-1]) != scratchpad[-1]:
        raise ProtocolError(f"1-wire: checksum of {scratchpad.hex(' ')} is wrong; check cable and pull-up")
    if not any(scratchpad):
        raise ProtocolError("1-wire: all bytes are zero (their checksum is right): the data line is shorted to ground")
    value = int(second.group(1))
    if value == POWER_ON_MDEGC and tuple(scratchpad[:2]) == POWER_ON_BYTES and scratchpad[6] == POWER_ON_RESERVED:
        raise ProtocolError("1-wire: 85 °C of a sensor that has just been switched on; check its supply")
    return _in_range(value)


def parse_sensor(text: str) -> int:
    """Return the temperature in d°C of either file of a 1-wire sensor: two lines with checksum, or a number of m°C."""
    return parse_slave(text) if "\n" in text or ":" in text else parse_millidegrees(text)


def parse_millidegrees(text: str) -> int:
    """Return the temperature in d°C of an attribute that holds m°C; `ProtocolError` when it is none."""
    if not re.fullmatch(r"-?[0-9]{1,6}", text):
        raise ProtocolError(f"temperature: {text[:40]!r} is not a number of m°C")
    return _in_range(int(text))


def _in_range(value_mdegc: int) -> int:
    low, high = RANGE_MDEGC
    if not low <= value_mdegc <= high:
        raise ProtocolError(f"temperature: {value_mdegc} m°C is outside {low}..{high}; check the sensor")
    return (value_mdegc + 50) // 100


def slave_text(value_mdegc: int, *, good: bool = True, reserved: int = 0x10) -> str:
    """Return the ``w1_slave`` file of a DS18B20 (1/16 °C per count) at ``value_mdegc``; for tests and simulation."""
    raw = (value_mdegc * 16 // 1000) & 0xFFFF
    head = bytes((raw & 0xFF, raw >> 8, 0x4B, 0x46, 0x7F, 0xFF, reserved, 0x10))
    crc = crc8(head)
    shown = (head + bytes((crc if good else crc ^ 1,))).hex(" ")
    return f"{shown} : crc={crc:02x} {'YES' if good else 'NO'}\n{shown} t={value_mdegc}\n"
