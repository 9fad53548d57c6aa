"""The register-map engine of meters: which requests to send, and what the answers mean. Pure, exact, no floats kept.

A profile (`evse.domain.meter_profile`) says where values are; `MeterDecoder` plans the fewest requests for the values
that the station uses and turns the answers into one `MeterValues`. Scaling is done with integers (binary floats of a
meter are exact rationals) and rounded once, half to even. `encode_register` is the inverse, for simulated meters.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any, Final

import msgspec

from evse.domain.meter_profile import MeterProfile, Register
from evse.domain.readings import MeterValues
from evse.protocols.errors import ProtocolError

WORDS: Final[dict[str, int]] = {
    "uint16": 1,
    "int16": 1,
    "enum16": 1,
    "sunssf": 1,
    "uint32": 2,
    "int32": 2,
    "float32": 2,
    "acc32": 2,
    "t5": 2,
    "t6": 2,
    "bitfield32": 2,
    "uint64": 4,
    "int64": 4,
}
"""Registers of a type; texts and byte strings give their own count."""

_FORMATS: Final[dict[str, str]] = {
    "uint16": ">H",
    "enum16": ">H",
    "int16": ">h",
    "sunssf": ">h",
    "uint32": ">I",
    "acc32": ">I",
    "bitfield32": ">I",
    "t5": ">I",
    "t6": ">I",
    "int32": ">i",
    "float32": ">f",
    "uint64": ">Q",
    "int64": ">q",
}
_BITS: Final[dict[str, int]] = {"H": 16, "h": 16, "I": 32, "i": 32, "Q": 64, "q": 64}

_SUNSPEC_NA: Final[dict[str, int]] = {
    "int16": -0x8000,
    "sunssf": -0x8000,
    "uint16": 0xFFFF,
    "enum16": 0xFFFF,
    "int32": -0x8000_0000,
    "uint32": 0xFFFF_FFFF,
    "bitfield32": 0xFFFF_FFFF,
    "acc32": 0,
    "int64": -0x8000_0000_0000_0000,
    "uint64": 0xFFFF_FFFF_FFFF_FFFF,
}

TEXT_TYPES: Final = frozenset(("ascii", "ascii_low", "bytes"))
EXPONENT_MAX: Final = 20
"""Powers of ten beyond this are a broken scale register, not a scale."""

KILO: Final = frozenset(("kW", "kWh", "kvar", "kvarh", "kVA", "kVAh"))

Raw = int | float | str | bytes | None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One read: ``count`` registers from ``address`` (relative to the model start for SunSpec)."""

    function: int
    address: int
    count: int
    registers: tuple[Register, ...]


def words(register: Register) -> int:
    """Number of registers that a value takes."""
    return register.count or WORDS.get(register.type, 1)


def plan(profile: MeterProfile, wanted: Iterable[Register]) -> tuple[Request, ...]:
    """Return the fewest requests that read ``wanted``.

    Neighbours are merged while the block keeps within ``bus.max_registers`` and never runs across more than
    ``bus.gap_registers`` registers in a row that the map does not know. Registers marked ``alone`` get a request of
    their own.
    """
    unique = {(r.function, r.address, words(r)): r for r in wanted if r.access != "w"}
    order = sorted(unique.values(), key=lambda r: (r.function, r.address))
    mapped: set[tuple[int, int]] = {
        (r.function, address)
        for r in profile.registers
        if r.access != "w"
        for address in range(r.address, r.address + words(r))
    }
    blocks: list[list[Register]] = []
    end = 0
    for register in order:
        last = blocks[-1] if blocks else None
        after = register.address + words(register)
        if (
            last is not None
            and last[0].function == register.function
            and not register.alone
            and not last[0].alone
            and max(end, after) - last[0].address <= profile.bus.max_registers
            and _unmapped(mapped, register.function, end, register.address) <= profile.bus.gap_registers
        ):
            last.append(register)
            end = max(end, after)
        else:
            blocks.append([register])
            end = after
    return tuple(_request(block) for block in blocks)


def _unmapped(mapped: set[tuple[int, int]], function: int, start: int, stop: int) -> int:
    """Longest run of registers in ``start..stop-1`` that the map does not know."""
    longest = run = 0
    for address in range(start, stop):
        run = 0 if (function, address) in mapped else run + 1
        longest = max(longest, run)
    return longest


def _request(block: list[Register]) -> Request:
    start = block[0].address
    stop = max(r.address + words(r) for r in block)
    return Request(function=block[0].function, address=start, count=stop - start, registers=tuple(block))


def split(request: Request) -> tuple[Request, ...]:
    """Return a refused ``request`` in parts: at its gaps, or in halves; () when it is one register."""
    runs: list[list[Register]] = []
    end = -1
    for register in request.registers:
        if register.address != end:
            runs.append([])
        runs[-1].append(register)
        end = register.address + words(register)
    if len(runs) == 1:
        middle = len(request.registers) // 2
        runs = [list(request.registers[:middle]), list(request.registers[middle:])]
    return tuple(_request(run) for run in runs) if all(runs) else ()


class Field:
    """One register of a profile, ready to be cut from an answer."""

    __slots__ = ("_lsw", "_na", "_unpack", "denominator", "numerator", "register", "size", "text")

    def __init__(self, profile: MeterProfile, register: Register, count: int = 0) -> None:
        """``count`` registers for a text of variable length; 0 = as the profile says."""
        self.register = register
        self.size = 2 * (count or words(register))
        self.text = register.type in TEXT_TYPES
        self._lsw = (register.word_order or profile.word_order) == "lsw"
        self._unpack: Callable[..., tuple[Any, ...]] | None = None
        self._na: int | None = None
        if not self.text:
            form = _FORMATS[register.type]
            self._unpack = struct.Struct(form).unpack_from
            self._na = _not_available(profile, register.type, form)
        scale = Fraction(register.scale) * (1000 if register.unit in KILO else 1)
        self.numerator = scale.numerator
        self.denominator = scale.denominator

    def read(self, data: bytes, offset: int = 0) -> Raw:
        """Return the raw value at byte ``offset`` of ``data``; None = the meter says that it has no value."""
        size = self.size
        if offset < 0 or offset + size > len(data):
            raise ProtocolError(f"register {self.register.address}: {len(data) - offset} bytes instead of {size}")
        if self._unpack is None:
            return self._read_text(data[offset : offset + size])
        if self._lsw and size > 2:
            data = b"".join(data[i : i + 2] for i in range(offset + size - 2, offset - 1, -2))
            offset = 0
        raw: int | float = self._unpack(data, offset)[0]
        if raw == self._na or (isinstance(raw, float) and not math.isfinite(raw)):
            return None
        return raw

    def _read_text(self, data: bytes) -> str | bytes:
        if self.register.type == "bytes":
            return data
        if self.register.type == "ascii_low":
            data = data[1::2]
        text = data.split(b"\0", 1)[0].decode("ascii", "replace")
        return "".join(c if c.isprintable() else "?" for c in text).strip()

    def scaled(self, raw: float, exponent: int, factor: int) -> int:
        """Return ``raw`` in base units (W, V, ...) times ``factor``, rounded half to even."""
        if self.register.type in ("t5", "t6"):
            raw, own = split_t(int(raw), signed=self.register.type == "t6")
            exponent += own
        if abs(exponent) > EXPONENT_MAX:
            raise ProtocolError(f"register {self.register.address}: power of ten {exponent} is beyond ±{EXPONENT_MAX}")
        numerator, denominator = self.numerator * factor, self.denominator
        if exponent > 0:
            numerator *= 10**exponent
        elif exponent < 0:
            denominator *= 10**-exponent
        if isinstance(raw, int):
            return divide_half_even(raw * numerator, denominator)
        # A float32 has 24 bits: times a factor below 2**29 it is still exact in a double, and round() is half-even.
        if denominator == 1 and numerator < 1 << 29:
            return round(raw * numerator)
        return round(Fraction(raw) * Fraction(numerator, denominator))

    def text_of(self, raw: Raw, exponent: int) -> str:
        """Return the value with its unit as people read it, e.g. ``230.2 V``; "not available" for None."""
        if raw is None:
            return "not available"
        if isinstance(raw, bytes):
            return raw.hex()
        if isinstance(raw, str):
            return raw
        register = self.register
        if register.type in ("t5", "t6"):
            raw, own = split_t(int(raw), signed=register.type == "t6")
            exponent += own
        number = Decimal(f"{raw:.7g}") if isinstance(raw, float) else Decimal(raw)
        number = number * register.scale * Decimal(10) ** exponent
        return f"{number.normalize() + 0:f} {register.unit}".rstrip()


def _not_available(profile: MeterProfile, data_type: str, form: str) -> int | None:
    if profile.not_available == "sunspec":
        return _SUNSPEC_NA.get(data_type)
    if profile.not_available == "all_ones" and form[1] in _BITS:
        bits = _BITS[form[1]]
        return (1 << bits) - 1 if form[1].isupper() else (1 << (bits - 1)) - 1
    return None


def split_t(raw: int, *, signed: bool) -> tuple[int, int]:
    """Return (mantissa, power of ten) of an Iskra T5/T6 value."""
    exponent = raw >> 24
    mantissa = raw & 0xFF_FFFF
    if exponent & 0x80:
        exponent -= 0x100
    if signed and mantissa & 0x80_0000:
        mantissa -= 0x100_0000
    return mantissa, exponent


def divide_half_even(numerator: int, denominator: int) -> int:
    """Return ``numerator / denominator`` (> 0) rounded half to even."""
    if denominator == 1:
        return numerator
    quotient, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and quotient & 1):
        quotient += 1
    return quotient


_TARGETS: Final[tuple[tuple[str, int], ...]] = (
    ("power_w", 1),
    ("energy_import_wh", 1),
    ("energy_export_wh", 1),
    ("voltage_mv", 1000),
    ("current_ma", 1000),
    ("voltage_l_mv", 1000),
    ("current_l_ma", 1000),
    ("power_l_w", 1),
    ("frequency_mhz", 1000),
    ("temperature_dc", 10),
)
"""Fields of `MeterValues` and what their unit is in parts of the base unit."""


def terms(expression: str) -> list[tuple[int, str]]:
    """Return the signed quantities of "a", "a - b" or "a + b"."""
    parts = expression.split()
    signs = [1 if p == "+" else -1 for p in parts[1::2]]
    return list(zip([1, *signs], parts[0::2], strict=True))


def value_quantities(profile: MeterProfile) -> list[str]:
    """Return the quantities that `ValueMap` uses, without their exponents, in the order of `MeterValues`."""
    found: list[str] = []
    for target, _ in _TARGETS:
        expression = getattr(profile.values, target)
        for one in expression if isinstance(expression, tuple) else (expression,) if expression else ():
            found += [quantity for _, quantity in terms(one) if quantity not in found]
    return found


class MeterDecoder:
    """The polled part of a profile: ``requests`` to send, and `decode` for their answers in the same order."""

    def __init__(self, profile: MeterProfile) -> None:
        self.profile = profile
        wanted: list[Register] = []
        for quantity in value_quantities(profile):
            register = _named(profile, quantity)
            wanted.append(register)
            if register.exponent:
                wanted.append(_named(profile, register.exponent))
        self._fields = {r.quantity: Field(profile, r) for r in wanted}
        self.requests = plan(profile, wanted)
        self._targets = [
            (target, factor, [terms(one) for one in (e if isinstance(e, tuple) else (e,))], isinstance(e, tuple))
            for target, factor in _TARGETS
            if (e := getattr(profile.values, target))
        ]

    def decode(self, answers: Sequence[tuple[Request, bytes | None]]) -> MeterValues:
        """Return the values of all answers (None = the meter has not these registers); `ProtocolError` for nonsense."""
        raws: dict[str, Raw] = {}
        fields = self._fields
        for request, data in answers:
            for register in request.registers:
                field = fields[register.quantity]
                raws[register.quantity] = (
                    None if data is None else field.read(data, 2 * (register.address - request.address))
                )
        values: dict[str, Any] = {}
        for target, factor, parts, is_tuple in self._targets:
            numbers = [self._sum(part, raws, factor) for part in parts]
            if is_tuple:
                if None not in numbers:
                    values[target] = tuple(numbers)
            else:
                values[target] = numbers[0]
        return MeterValues(**values)

    def _sum(self, part: list[tuple[int, str]], raws: dict[str, Raw], factor: int) -> int | None:
        total = 0
        for sign, quantity in part:
            field = self._fields[quantity]
            raw = raws.get(quantity)
            exponent = exponent_of(field.register, raws)
            if raw is None or exponent is None or isinstance(raw, str | bytes):
                return None
            total += sign * field.scaled(raw, exponent, factor)
        return total


def import_only(values: MeterValues) -> MeterValues:
    """Return ``values`` of which all that flows out of the vehicle is zero.

    Charge Control C user guide 7.3.3: meters that count both ways are read for consumption only, exported current and
    power read as zero. A phase whose current has no sign of its own counts by the sign of its power.
    """
    power_l, current_l = values.power_l_w, values.current_l_ma
    if current_l is not None:
        signs = power_l or (0, 0, 0)
        current_l = tuple(0 if p < 0 else max(c, 0) for c, p in zip(current_l, signs, strict=True))  # type: ignore[assignment]
    backwards = values.power_w is not None and values.power_w < 0
    if power_l is not None:
        backwards = power_l[0] < 0
    return msgspec.structs.replace(
        values,
        power_w=None if values.power_w is None else max(values.power_w, 0),
        power_l_w=None if power_l is None else tuple(max(p, 0) for p in power_l),
        current_l_ma=current_l,
        current_ma=None if values.current_ma is None else 0 if backwards else max(values.current_ma, 0),
        energy_export_wh=None,
    )


def exponent_of(register: Register, raws: dict[str, Raw]) -> int | None:
    """Return the power of ten of ``register``; None when its exponent register has no value."""
    if not register.exponent:
        return 0
    raw = raws.get(register.exponent)
    return raw + register.exponent_offset if isinstance(raw, int) else None


def _named(profile: MeterProfile, quantity: str) -> Register:
    register = profile.register(quantity)
    if register is None:
        raise ProtocolError(f"profile {profile.name}: no register for quantity {quantity!r}")
    return register


def encode_register(
    profile: MeterProfile, register: Register, value: Decimal | int | str | bytes, exponent: int = 0
) -> bytes:
    """Return the register bytes of ``value`` (base unit: V, A, W, Wh, Hz, °C ...), rounded half to even.

    ``exponent`` is the power of ten that the exponent register stands for. `ProtocolError` when it does not fit.
    """
    size = 2 * words(register)
    if isinstance(value, str | bytes):
        data = value.encode("ascii", "replace") if isinstance(value, str) else value
        if register.type == "ascii_low":
            data = b"".join(bytes((0, c)) for c in data)
        return data[:size].ljust(size, b"\0")
    number = Decimal(value) / (register.scale * (1000 if register.unit in KILO else 1)) / Decimal(10) ** exponent
    form = _FORMATS.get(register.type)
    if form is None:
        raise ProtocolError(f"register {register.address} ({register.quantity}) holds text, not the number {value}")
    try:
        if register.type == "float32":
            data = struct.pack(form, float(number))
        elif register.type in ("t5", "t6"):
            data = struct.pack(form, _pack_t(number, signed=register.type == "t6"))
        else:
            data = struct.pack(form, int(number.to_integral_value(ROUND_HALF_EVEN)))
    except (struct.error, OverflowError) as error:
        where = f"register {register.address} ({register.quantity})"
        raise ProtocolError(f"{where}: {value} does not fit {register.type}") from error
    if (register.word_order or profile.word_order) == "lsw" and size > 2:
        data = b"".join(data[i : i + 2] for i in range(size - 2, -1, -2))
    return data


def _pack_t(number: Decimal, *, signed: bool) -> int:
    """Pack with the finest power of ten from -4 up that the mantissa allows."""
    if number < 0 and not signed:
        raise OverflowError(f"{number} is negative, a T5 value is not")
    limit = 1 << (23 if signed else 24)
    for exponent in range(-4, 20):
        mantissa = int(number.scaleb(-exponent).to_integral_value(ROUND_HALF_EVEN))
        if (-limit if signed else 0) <= mantissa < limit:
            return (exponent & 0xFF) << 24 | mantissa & 0xFF_FFFF
    raise OverflowError(f"{number} does not fit a T5/T6 value")
