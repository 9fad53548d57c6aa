"""Requests of the GPIO character device (Linux 5.10 and newer) as bytes: ``linux/gpio.h``, version 2 of the interface.

Only what named inputs and outputs need: ask for a group of lines, read and write their levels. Debouncing and active
levels stay with the driver, so that both GPIO interfaces behave the same.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

LINES_MAX: Final = 64
CONSUMER_MAX: Final = 31

GET_LINE: Final = 0xC250_B407
GET_VALUES: Final = 0xC010_B40E
SET_VALUES: Final = 0xC010_B40F
"""ioctl numbers: _IOWR(0xB4, 7 | 14 | 15, struct of 592 | 16 | 16 bytes)."""

FLAG_INPUT: Final = 1 << 2
FLAG_OUTPUT: Final = 1 << 3
_ATTRIBUTE_OUTPUT_VALUES: Final = 2

_REQUEST: Final = struct.Struct("=64I32sQI20x240sII20xi")
_ATTRIBUTE: Final = struct.Struct("=IIQQ")
_VALUES: Final = struct.Struct("=QQ")


def line_request(offsets: Sequence[int], consumer: str, levels: Sequence[bool] | None = None) -> bytearray:
    """Return a ``gpio_v2_line_request`` for 1..64 lines; ``levels`` = outputs with their first levels, None = inputs."""
    if not 1 <= len(offsets) <= LINES_MAX:
        raise ValueError(f"GPIO request for {len(offsets)} lines, must be 1..{LINES_MAX}")
    padded = [*offsets, *[0] * (LINES_MAX - len(offsets))]
    attributes = b""
    if levels is not None:
        attributes = _ATTRIBUTE.pack(_ATTRIBUTE_OUTPUT_VALUES, 0, bits_of(levels), (1 << len(offsets)) - 1)
    name = consumer.encode("ascii", "replace")[:CONSUMER_MAX]
    return bytearray(
        _REQUEST.pack(
            *padded,
            name,
            FLAG_INPUT if levels is None else FLAG_OUTPUT,
            0 if levels is None else 1,
            attributes,
            len(offsets),
            0,
            0,
        )
    )


def request_descriptor(answer: bytes | bytearray) -> int:
    """Return the file descriptor that the kernel has put into the request."""
    return int(_REQUEST.unpack(bytes(answer))[-1])


def bits_of(levels: Sequence[bool]) -> int:
    """Return levels as bits, the first line in bit 0."""
    return sum(1 << index for index, level in enumerate(levels) if level)


def values(count: int, bits: int = 0) -> bytearray:
    """Return a ``gpio_v2_line_values`` for the first ``count`` lines of a request."""
    return bytearray(_VALUES.pack(bits, (1 << count) - 1))


def levels_of(answer: bytes | bytearray, count: int) -> list[bool]:
    """Return the levels in a ``gpio_v2_line_values``."""
    bits = _VALUES.unpack(bytes(answer))[0]
    return [bool(bits >> index & 1) for index in range(count)]
