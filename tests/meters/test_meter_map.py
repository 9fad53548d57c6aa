"""The register-map engine: every decoding example of the reference, exact scaling, request planning."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.config.meter_profiles import load_profile
from evse.domain.meter_profile import BusDefaults, MeterProfile, Register, ValueMap
from evse.protocols.errors import ProtocolError
from evse.protocols.meter_map import Field, MeterDecoder, divide_half_even, encode_register, plan, split


def profile(*registers: Register, **keys: Any) -> MeterProfile:
    return MeterProfile(
        name="t/t", vendor="t", model="T", confidence="high", source="test", registers=registers, **keys
    )


def milli(words: str, kind: str, factor: int = 1000, **keys: Any) -> int:
    """Decode the registers ``words`` (hex) as ``kind`` to an integer in 1/factor of the base unit."""
    register = Register(quantity="q", address=0, type=kind, **keys)  # type: ignore[arg-type]
    field = Field(profile(register), register)
    raw = field.read(bytes.fromhex(words))
    assert isinstance(raw, int | float)
    return field.scaled(raw, 0, factor)


@pytest.mark.parametrize(
    ("words", "kind", "keys", "expected"),
    [
        ("4366 3333", "float32", {"unit": "V"}, 230_200),
        ("449A 5000", "float32", {}, 1_234_500),
        ("0000 4182", "float32", {"word_order": "lsw"}, 16_250),
        ("CFC7 FFFF", "int32", {"word_order": "lsw", "scale": Decimal("0.1"), "unit": "W"}, -1_234_500),
        ("08FD 0000", "int32", {"word_order": "lsw", "scale": Decimal("0.1"), "unit": "V"}, 230_100),
        ("FFFF CFC7", "int32", {}, -12_345_000),
        ("0000 0000 0012 D687", "uint64", {"scale": Decimal("0.01"), "unit": "kWh"}, 12_345_670_000),
        ("0000 0000 0012 D687", "uint64", {"scale": Decimal("0.0001"), "unit": "kWh"}, 123_456_700),
        ("FC27", "int16", {"scale": Decimal("0.001")}, -985),
        ("FF00 0900", "t5", {}, 230_400),
        ("00FF D4E0", "t6", {}, -11_040_000),
    ],
)
def test_decoding_examples_of_the_reference(words: str, kind: str, keys: dict[str, Any], expected: int) -> None:
    assert milli(words, kind, **keys) == expected


def test_bcd_of_the_reference_is_shown_as_its_digits() -> None:
    register = Register(quantity="time", address=0, type="bytes", count=2)
    assert Field(profile(register), register).text_of(bytes.fromhex("0014 2530"), 0) == "00142530"


def test_sunspec_scale_factor_of_the_reference() -> None:
    volt = Register(quantity="v", address=0, type="int16", exponent="sf", unit="V")
    scale = Register(quantity="sf", address=1, type="sunssf")
    decoder = MeterDecoder(profile(volt, scale, not_available="sunspec", values=ValueMap(voltage_mv="v")))
    request = decoder.requests[0]
    assert (request.address, request.count) == (0, 2)
    assert decoder.decode([(request, bytes.fromhex("08FE FFFF"))]).voltage_mv == 230_200
    assert decoder.decode([(request, bytes.fromhex("8000 FFFF"))]).voltage_mv is None
    assert decoder.decode([(request, bytes.fromhex("08FE 8000"))]).voltage_mv is None
    with pytest.raises(ProtocolError, match="power of ten 77"):
        decoder.decode([(request, bytes.fromhex("08FE 004D"))])


@pytest.mark.parametrize(
    ("kind", "words", "na"),
    [
        ("int16", "8000", "sunspec"), ("uint16", "FFFF", "sunspec"), ("int32", "80000000", "sunspec"),
        ("uint32", "FFFFFFFF", "sunspec"), ("acc32", "00000000", "sunspec"), ("float32", "7FC00000", "sunspec"),
        ("sunssf", "8000", "sunspec"), ("uint32", "FFFFFFFF", "all_ones"), ("int32", "7FFFFFFF", "all_ones"),
        ("uint64", "FFFFFFFFFFFFFFFF", "all_ones"), ("int16", "7FFF", "all_ones"), ("float32", "7F800000", "none"),
    ],
)  # fmt: skip
def test_not_available_is_no_value(kind: Any, words: str, na: Any) -> None:
    register = Register(quantity="q", address=0, type=kind)
    field = Field(profile(register, not_available=na), register)
    assert field.read(bytes.fromhex(words)) is None
    assert field.text_of(None, 0) == "not available"


@given(st.integers(-(10**18), 10**18), st.integers(1, 10**9))
def test_rounding_is_half_to_even(numerator: int, denominator: int) -> None:
    assert divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**40), max_value=2.0**40))
def test_float_registers_are_scaled_without_drift(value: float) -> None:
    register = Register(quantity="q", address=0, type="float32", unit="kWh")
    field = Field(profile(register), register)
    assert field.scaled(value, 0, 1) == round(Fraction(value) * 1000)


NUMERIC = ("uint16", "int16", "uint32", "int32", "uint64", "int64", "t5", "t6")


@given(st.sampled_from(NUMERIC), st.sampled_from(("msw", "lsw")), st.integers(-32_000, 60_000),
       st.sampled_from(("1", "0.1", "0.001", "10")))  # fmt: skip
def test_encoding_and_decoding_are_inverse(kind: Any, order: Any, number: int, scale: str) -> None:
    register = Register(quantity="q", address=0, type=kind, word_order=order, scale=Decimal(scale), unit="A")
    owner = profile(register)
    value = number * Decimal(scale)
    try:
        data = encode_register(owner, register, value)
    except ProtocolError:
        assert (number < 0 and kind in ("uint16", "uint32", "uint64", "t5")) or (number > 32_767 and kind == "int16")
        return
    field = Field(owner, register)
    raw = field.read(data)
    assert isinstance(raw, int)
    assert field.scaled(raw, 0, 1000) == int(value * 1000)


@given(st.sampled_from((*NUMERIC, "float32", "acc32", "sunssf", "ascii", "ascii_low", "bytes")), st.binary(max_size=20))
def test_any_bytes_decode_or_raise_protocol_error(kind: Any, data: bytes) -> None:
    register = Register(quantity="q", address=0, type=kind, count=4 if kind in ("ascii", "ascii_low", "bytes") else 0)
    field = Field(profile(register), register)
    try:
        raw = field.read(data)
        field.text_of(raw, 0)
        if isinstance(raw, int | float):
            field.scaled(raw, 0, 1000)
    except ProtocolError:
        return
    assert len(data) >= field.size


def test_text_registers() -> None:
    plain = Register(quantity="a", address=0, type="ascii", count=3)
    low = Register(quantity="b", address=0, type="ascii_low", count=3)
    owner = profile(plain, low)
    assert Field(owner, plain).read(b"AB\x1b1\0\0") == "AB?1"
    assert Field(owner, low).read(b"\0A\0B\0C") == "ABC"
    assert encode_register(owner, low, "ABC") == b"\0A\0B\0C"


def registers(*addresses: int, **keys: Any) -> list[Register]:
    return [Register(quantity=f"q{a}", address=a, type="uint32", **keys) for a in addresses]


def requests_of(rows: list[Register], wanted: list[Register] | None = None, **bus: Any) -> list[tuple[int, int]]:
    owner = profile(*rows, bus=BusDefaults(**bus))
    return [(r.address, r.count) for r in plan(owner, wanted if wanted is not None else rows)]


def test_planning_merges_neighbours_up_to_the_limits() -> None:
    rows = registers(0, 2, 4)
    assert requests_of(rows) == [(0, 6)]
    assert requests_of(rows, max_registers=4) == [(0, 4), (4, 2)]
    assert requests_of(registers(0, 6), gap_registers=4) == [(0, 8)]
    assert requests_of(registers(0, 7), gap_registers=4) == [(0, 2), (7, 2)]
    # registers that the map knows are no gap
    assert requests_of(registers(0, 2, 4, 6, 8, 10), [*registers(0), *registers(10)], gap_registers=0) == [(0, 12)]


def test_planning_keeps_functions_and_lonely_registers_apart() -> None:
    assert requests_of([*registers(0), *registers(2, function=4)]) == [(0, 2), (2, 2)]
    assert requests_of([*registers(0, 4), *registers(2, alone=True)]) == [(0, 2), (2, 2), (4, 2)]
    assert requests_of([*registers(0), *registers(2, access="w")]) == [(0, 2)]


def test_a_refused_request_is_parted_at_gaps_then_in_halves() -> None:
    owner = profile(*registers(0, 2, 8, 10))
    (request,) = plan(owner, owner.registers)
    parts = split(request)
    assert [(p.address, p.count) for p in parts] == [(0, 4), (8, 4)]
    halves = split(parts[0])
    assert [(p.address, p.count) for p in halves] == [(0, 2), (2, 2)]
    assert split(halves[0]) == ()


def test_the_two_meters_of_the_station_need_one_request_each() -> None:
    for name, expected in (("eastron/sdm630", (4, 0, 76)), ("acrel/djsf1352-rn", (3, 0, 16))):
        (request,) = MeterDecoder(load_profile(name)).requests
        assert (request.function, request.address, request.count) == expected


def test_import_minus_export_gives_a_signed_power() -> None:
    owner = msgspec.structs.replace(
        profile(*registers(0, 2), bus=BusDefaults()), values=ValueMap(power_w="q0 - q2", energy_import_wh="q0")
    )
    decoder = MeterDecoder(owner)
    values = decoder.decode([(decoder.requests[0], (100).to_bytes(4, "big") + (350).to_bytes(4, "big"))])
    assert (values.power_w, values.energy_import_wh) == (-250, 100)
