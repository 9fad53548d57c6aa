"""Infypower CAN protocol V1.13 (REG, CEG, LRG rectifier modules), sans-IO.

Extended data frames of 8 bytes at 125 kbit/s, big-endian. Identifier: bits 28..26 error code, 25..22 device number
(0x0A a single module, 0x0B a group), 21..16 command, 15..8 destination, 7..0 source. The controller is 0xF0, modules
are 0..60, destination 0x3F means all. A read request carries eight zero bytes; a reply has the same command and source
and destination changed places. Set commands are acknowledged by the same command with error code 0.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

import msgspec

from evse.protocols.errors import ProtocolError

CONTROLLER: Final = 0xF0
BROADCAST: Final = 0x3F
ADDRESS_MAX: Final = 60
SINGLE: Final = 0x0A
GROUP: Final = 0x0B
BITRATE: Final = 125_000
COMM_LOSS_S: Final = 10
"""A module that hears nothing for this long switches its output off."""

ZEROS: Final = bytes(8)


class Command(enum.IntEnum):
    """Command numbers. Reads below 0x10, writes above."""

    SYSTEM_VI_FLOAT = 0x01
    MODULE_COUNT = 0x02
    MODULE_VI_FLOAT = 0x03
    STATUS = 0x04
    AC_INPUT = 0x06
    SYSTEM_VI = 0x08
    MODULE_VI = 0x09
    LIMITS = 0x0A
    BARCODE = 0x0B
    TERMINALS = 0x0C
    WALK_IN = 0x13
    LED_BLINK = 0x14
    GROUP_NUMBER = 0x16
    SLEEP = 0x19
    ON_OFF = 0x1A
    GROUP_OUTPUT = 0x1B
    MODULE_OUTPUT = 0x1C
    ADDRESS_MODE = 0x1F


COMMANDS: Final[dict[int, Command]] = {int(c): c for c in Command}

ERROR_NAMES: Final[dict[int, str]] = {
    0: "ok",
    2: "invalid command",
    3: "invalid data",
    4: "invalid address",
    7: "starting up",
}

STATUS_BITS: Final[dict[int, str]] = {
    # bits of byte 5 << 16 | byte 6 << 8 | byte 7
    0: "output short circuit",
    4: "sleeping",
    5: "discharge abnormal",
    8: "DC output off",
    9: "module fault",
    10: "module protection",
    11: "fan fault",
    12: "over temperature",
    13: "output over voltage",
    14: "walk-in enabled",
    15: "communication interrupted",
    16: "power limited",
    17: "module id repeated",
    18: "load sharing fault",
    19: "input phase lost",
    20: "input unbalance",
    21: "input under voltage",
    22: "input over voltage",
    23: "PFC off",
}
"""Names of the status bits of command 0x04 by bit number of its last three bytes."""

STATUS_BIT_OF: Final[dict[str, int]] = {name: bit for bit, name in STATUS_BITS.items()}

SLEEPING: Final = 1 << 4
OUTPUT_OFF: Final = 1 << 8
WALK_IN_ENABLED: Final = 1 << 14
COMM_INTERRUPTED: Final = 1 << 15
POWER_LIMITED: Final = 1 << 16
PFC_OFF: Final = 1 << 23

FAULT_MASK: Final = sum(
    1 << bit
    for bit, name in STATUS_BITS.items()
    if name
    not in ("sleeping", "DC output off", "walk-in enabled", "communication interrupted", "power limited", "PFC off")
)
"""Bits that mean that the module is not well. The others describe what it does."""

_VI = struct.Struct(">II")
_VI_FLOAT = struct.Struct(">ff")
_WORDS = struct.Struct(">HHHH")
_WORDS3 = struct.Struct(">HHH")


class Header(msgspec.Struct, frozen=True):
    """The fields of an identifier."""

    command: int
    destination: int
    source: int
    device: int = SINGLE
    error: int = 0


def identifier(command: int, destination: int, source: int = CONTROLLER, device: int = SINGLE, error: int = 0) -> int:
    """Return the 29 bit identifier; `ProtocolError` when a field does not fit."""
    if not (0 <= command <= 0x3F and 0 <= destination <= 0xFF and 0 <= source <= 0xFF):
        raise ProtocolError(
            f"Infypower: command {command}, destination {destination} or source {source} is out of range"
        )
    if not (0 <= device <= 0x0F and 0 <= error <= 7):
        raise ProtocolError(f"Infypower: device {device} or error code {error} is out of range")
    return error << 26 | device << 22 | command << 16 | destination << 8 | source


def parse_identifier(can_id: int) -> Header:
    """Return the fields of an identifier; `ProtocolError` when it is not a 29 bit one."""
    if not 0 <= can_id < 1 << 29:
        raise ProtocolError(f"Infypower: identifier 0x{can_id:X} has more than 29 bits")
    return Header(can_id >> 16 & 0x3F, can_id >> 8 & 0xFF, can_id & 0xFF, can_id >> 22 & 0x0F, can_id >> 26)


def error_name(code: int) -> str:
    """Name of an error code."""
    return ERROR_NAMES.get(code, f"error code {code}")


def _eight(data: bytes, what: str) -> None:
    if len(data) != 8:
        raise ProtocolError(f"Infypower {what}: {len(data)} data bytes instead of 8")


def pack_vi(voltage_mv: int, current_ma: int) -> bytes:
    """Data of 0x1B, 0x1C and of the integer replies 0x08, 0x09: mV and mA, 0..2**32-1."""
    if not (0 <= voltage_mv < 1 << 32 and 0 <= current_ma < 1 << 32):
        raise ProtocolError(f"Infypower set-point: {voltage_mv} mV or {current_ma} mA does not fit 32 bits")
    return _VI.pack(voltage_mv, current_ma)


def unpack_vi(data: bytes) -> tuple[int, int]:
    """(mV, mA) of an integer reply."""
    _eight(data, "V/I")
    voltage_mv, current_ma = _VI.unpack(data)
    return voltage_mv, current_ma


def pack_vi_float(voltage_mv: int, current_ma: int) -> bytes:
    """Data of the float replies 0x01, 0x03."""
    return _VI_FLOAT.pack(voltage_mv / 1000, current_ma / 1000)


def unpack_vi_float(data: bytes) -> tuple[int, int]:
    """(mV, mA) of a float reply (V and A on the wire); `ProtocolError` for NaN, infinity or beyond ±10 MV."""
    _eight(data, "V/I float")
    volt, ampere = _VI_FLOAT.unpack(data)
    if not (-1e7 < volt < 1e7 and -1e7 < ampere < 1e7):
        raise ProtocolError(f"Infypower V/I float: {volt} V, {ampere} A is not a measurement")
    return round(volt * 1000), round(ampere * 1000)


def pack_flag(value: int) -> bytes:
    """Data of a write with one byte: on/off (0 = on), walk-in, LED, sleep, group number, address mode. 0..255."""
    if not 0 <= value <= 0xFF:
        raise ProtocolError(f"Infypower: {value} does not fit one byte")
    return bytes((value, 0, 0, 0, 0, 0, 0, 0))


OUTPUT_ON_DATA: Final = pack_flag(0)
OUTPUT_OFF_DATA: Final = pack_flag(1)


class Status(msgspec.Struct, frozen=True):
    """Reply 0x04. ``bits`` are named by `STATUS_BITS`; temperature in whole °C, -128..127."""

    group: int
    temperature_c: int
    bits: int

    def names(self, mask: int = 0xFF_FFFF) -> list[str]:
        """Names of the bits that are set within ``mask``; unknown ones as "bit n"."""
        bits = self.bits & mask
        return [STATUS_BITS.get(bit, f"bit {bit}") for bit in range(24) if bits >> bit & 1]


def pack_status(status: Status) -> bytes:
    """Data of the reply 0x04."""
    return bytes((0, 0, status.group & 0xFF, 0, status.temperature_c & 0xFF)) + (status.bits & 0xFF_FFFF).to_bytes(
        3, "big"
    )


def unpack_status(data: bytes) -> Status:
    """Parse the reply 0x04."""
    _eight(data, "status")
    temperature = data[4]
    return Status(
        data[2], temperature - 256 if temperature > 127 else temperature, data[5] << 16 | data[6] << 8 | data[7]
    )


class Limits(msgspec.Struct, frozen=True):
    """Reply 0x0A: what the module can do."""

    voltage_max_mv: int
    voltage_min_mv: int
    current_max_ma: int
    power_max_w: int


def pack_limits(limits: Limits) -> bytes:
    """Data of the reply 0x0A (V, V, 0.1 A, 10 W)."""
    try:
        return _WORDS.pack(
            limits.voltage_max_mv // 1000,
            limits.voltage_min_mv // 1000,
            limits.current_max_ma // 100,
            limits.power_max_w // 10,
        )
    except struct.error as error:
        raise ProtocolError(f"Infypower limits: {limits} does not fit") from error


def unpack_limits(data: bytes) -> Limits:
    """Parse the reply 0x0A."""
    _eight(data, "limits")
    v_max, v_min, i_max, p_max = _WORDS.unpack(data)
    return Limits(v_max * 1000, v_min * 1000, i_max * 100, p_max * 10)


def pack_ac_input(ab_mv: int, bc_mv: int, ca_mv: int) -> bytes:
    """Data of the reply 0x06 from line voltages in mV (0.1 V on the wire)."""
    return _WORDS3.pack(ab_mv // 100, bc_mv // 100, ca_mv // 100) + b"\0\0"


def unpack_ac_input(data: bytes) -> tuple[int, int, int]:
    """Line voltages AB, BC, CA in mV of the reply 0x06."""
    _eight(data, "AC input")
    ab, bc, ca = _WORDS3.unpack_from(data)
    return ab * 100, bc * 100, ca * 100


def pack_terminals(voltage_mv: int, current_available_ma: int) -> bytes:
    """Data of the reply 0x0C: voltage behind the blocking diode and available current (0.1 V, 0.1 A on the wire)."""
    return struct.pack(">HH", voltage_mv // 100, current_available_ma // 100) + bytes(4)


def unpack_terminals(data: bytes) -> tuple[int, int]:
    """(mV behind the blocking diode, available mA) of the reply 0x0C."""
    _eight(data, "terminals")
    voltage, current = struct.unpack_from(">HH", data)
    return voltage * 100, current * 100


def pack_count(count: int) -> bytes:
    """Data of the reply 0x02 (byte 2)."""
    return bytes((0, 0, count & 0xFF, 0, 0, 0, 0, 0))


def unpack_count(data: bytes) -> int:
    """Number of modules of the reply 0x02."""
    _eight(data, "module count")
    return data[2]


def unpack_barcode(data: bytes) -> str:
    """Return the printed code of the reply 0x0B, e.g. ``081807123451V1704``.

    Found from the vendor's example: byte 0 is the letter, bytes 1..5 the twelve digits before it as one number, bytes
    6..7 the four digits behind it. `ProtocolError` when a part is out of its range.
    """
    _eight(data, "barcode")
    first, last = int.from_bytes(data[1:6], "big"), int.from_bytes(data[6:8], "big")
    if not 0x21 <= data[0] <= 0x7E or first >= 10**12 or last >= 10**4:
        raise ProtocolError(f"Infypower barcode: {data.hex(' ')} is not a packed code")
    return f"{first:012d}{chr(data[0])}{last:04d}"


def pack_barcode(code: str) -> bytes:
    """Inverse of `unpack_barcode`; `ProtocolError` unless ``code`` is twelve digits, a character and four digits."""
    head, letter, tail = code[:12], code[12:13], code[13:]
    digits = head.isascii() and head.isdigit() and tail.isascii() and tail.isdigit()
    if len(code) != 17 or not digits or not "!" <= letter <= "~":
        raise ProtocolError(f"Infypower barcode: {code!r} is not 12 digits, a character and 4 digits")
    return letter.encode() + int(head).to_bytes(5, "big") + int(tail).to_bytes(2, "big")
