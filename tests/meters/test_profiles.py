"""The shipped meter profiles: each loads, each maps what a station needs, each value survives the simulated meter."""

from __future__ import annotations

import tomllib
from decimal import Decimal

import pytest

from evse.config import paths
from evse.config.meter_profiles import list_profiles, load_profile, parse_profile
from evse.domain.base import ConfigError
from evse.domain.meter_profile import BusDefaults
from evse.domain.readings import MeterValues
from evse.protocols.meter_map import MeterDecoder
from evse.sim.hw.modbus_meter import SimModbusMeter

NAMES = list_profiles()

VALUES = MeterValues(
    power_w=8_040,
    energy_import_wh=123_450,
    energy_export_wh=60,
    voltage_mv=230_200,
    current_ma=12_500,
    voltage_l_mv=(230_200, 231_000, 229_500),
    current_l_ma=(12_500, 11_300, 10_000),
    power_l_w=(2_880, 2_610, 2_550),
    frequency_mhz=50_000,
    temperature_dc=410,
)

TOLERANCE = {
    # meters whose registers are coarser than the values above
    "power_w": 10, "power_l_w": 10, "energy_import_wh": 100, "energy_export_wh": 100, "frequency_mhz": 100,
    "temperature_dc": 10, "voltage_mv": 100, "voltage_l_mv": 100, "current_ma": 100, "current_l_ma": 100,
}  # fmt: skip


def test_every_model_of_the_reference_has_a_profile() -> None:
    assert len(NAMES) == 41
    assert {"eastron/sdm630", "acrel/djsf1352-rn", "bzr-bauer/bsm-ws36a", "sunspec/model-203"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_reading_survives_the_simulated_meter(name: str) -> None:
    profile = load_profile(name)
    sim = SimModbusMeter(profile, profile.bus.unit)
    sim.set_values(VALUES)
    decoder = MeterDecoder(profile)
    answers = []
    for request in decoder.requests:
        address = request.address + sim._offset
        pdu = sim.answer(bytes((request.function,)) + address.to_bytes(2, "big") + request.count.to_bytes(2, "big"))
        assert pdu is not None
        assert pdu[:2] == bytes((request.function, 2 * request.count)), (name, request)
        answers.append((request, pdu[2:]))
    values = decoder.decode(answers)
    assert values.energy_import_wh is not None
    assert values.power_w is not None
    for field in MeterValues.__struct_fields__:
        mapped, got, want = getattr(profile.values, field), getattr(values, field), getattr(VALUES, field)
        if not mapped:
            assert got is None
            continue
        got, want = (got, want) if isinstance(got, tuple) else ((got,), (want,))
        if field in ("voltage_mv", "current_ma") and profile.values.voltage_l_mv:
            continue
        for a, b in zip(got, want, strict=True):
            assert abs(a - b) <= TOLERANCE[field], (name, field, a, b)


@pytest.mark.parametrize("name", NAMES)
def test_requests_keep_to_what_the_model_allows(name: str) -> None:
    profile = load_profile(name)
    for request in MeterDecoder(profile).requests:
        assert 0 < request.count <= profile.bus.max_registers
        assert not profile.bus.even_addresses or request.address % 2 == 0
        assert not any(r.alone for r in request.registers) or len(request.registers) == 1


def test_bus_defaults_of_the_coverage_list() -> None:
    assert load_profile("eastron/sdm630").bus == BusDefaults(max_registers=80, even_addresses=True)
    assert load_profile("eastron/sdm72dm-v1").bus.max_registers == 60
    assert load_profile("eastron/sdm230").bus.baud == 2400
    assert load_profile("bzr-bauer/bsm-ws36a").bus.unit == 42
    assert load_profile("iskra/wm3m4c").bus.baud == 115_200
    assert load_profile("phoenix-contact/eem-350-d-mcb").bus.max_registers == 11
    assert load_profile("carlo-gavazzi/em340").word_order == "lsw"
    assert load_profile("carlo-gavazzi/em340").register("model_id").alone  # type: ignore[union-attr]


def test_traps_of_the_reference() -> None:
    apparent = load_profile("eastron/sdm630").register("power_apparent_L1")
    parity = load_profile("eastron/sdm630").register("cfg_parity_stop")
    assert apparent is not None
    assert parity is not None
    assert (apparent.function, apparent.address) == (4, 18)
    assert (parity.function, parity.address) == (3, 18)
    ev3, b23 = (load_profile(f"abb/{m}").register("energy_import_total") for m in ("ev3", "b23"))
    assert ev3 is not None
    assert b23 is not None
    assert (ev3.scale, b23.scale) == (Decimal("0.0001"), Decimal("0.01"))
    acrel = load_profile("acrel/djsf1352-rn").register("voltage_dc")
    assert acrel is not None
    assert (acrel.exponent, acrel.exponent_offset) == ("voltage_decimal_point", -3)


def test_every_vendor_states_its_quality() -> None:
    vendors = {n.partition("/")[0] for n in NAMES}
    for vendor in vendors:
        text = (paths.profiles_dir() / "meters" / vendor / "quality.toml").read_text()
        rules = tomllib.loads(text)["rules"]
        assert "captures" in rules
        for rule, entry in rules.items():
            assert entry["state"] in ("done", "exempt"), (vendor, rule)
            assert entry["state"] == "done" or entry["comment"], (vendor, rule)


GOOD = """
vendor = "t"
model = "T"
confidence = "high"
source = "test"
registers = [
  { quantity = "v", address = 0, type = "float32", unit = "V" },
  { quantity = "w", address = 2, type = "float32", unit = "W" },
]
[values]
voltage_mv = "v"
power_w = "w"
"""


def test_a_good_profile_loads() -> None:
    profile = parse_profile("t/t", GOOD, "t.toml")
    assert profile.values.power_w == "w"
    assert profile.registers[1].address == 2


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            'type = "float32", unit = "V"',
            'type = "float", unit = "V"',
            "t.toml:7: register v: Invalid enum value 'float'",
        ),
        ("address = 2", "address = 70000", "t.toml:8: register w: Expected `int` <= 65535"),
        ('quantity = "w"', 'quantity = "v"', "register v: the name is used twice"),
        ('unit = "V"', 'unit = "V", colour = "red"', "t.toml:7: register v: Object contains unknown field `colour`"),
        ('unit = "V"', 'unit = "V", exponent = "sf"', "t.toml:7: register v: exponent 'sf' is not in this profile"),
        ('unit = "V"', 'unit = "V", count = 3', "register v: count 3 does not fit type float32"),
        ('unit = "V"', 'unit = "V", scale = 0', "register v: scale 0 makes every value zero"),
        ('type = "float32", unit = "V"', 'type = "ascii"', "register v: type ascii needs count or length"),
        ('power_w = "w"', 'power_w = "watt"', "t.toml: values.power_w: 'watt' is not a register"),
        ('power_w = "w"', 'power_w = "w * v"', "values.power_w: 'w * v' is not"),
        ('confidence = "high"', 'confidence = "sure"', "Invalid enum value 'sure'"),
        ('model = "T"', "model = T", "t.toml: Invalid value"),
        ("[values]", '[identify]\nserial = "sn"\n[values]', "identify.serial: 'sn' is not a register"),
        ("[values]", '[identify]\nquantity = "v"\n[values]', "identify.values: v has type float32, list its values"),
        ("[values]", "[identify]\nvalues = [1]\n[values]", "identify.values and identify.texts need identify.quantity"),
        ("[values]", "[bus]\nbaud = 1\n[values]", "Expected `int` >= 1200 - at `$.bus.baud`"),
    ],
)
def test_mistakes_in_a_profile_are_named(old: str, new: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_profile("t/t", GOOD.replace(old, new, 1), "t.toml")
    assert any(text in problem for problem in caught.value.problems), caught.value.problems


def test_all_mistakes_come_at_once() -> None:
    text = GOOD.replace("address = 2", "address = -2").replace('voltage_mv = "v"', 'voltage_mv = "volt"')
    with pytest.raises(ConfigError) as caught:
        parse_profile("t/t", text, "t.toml")
    assert len(caught.value.problems) == 3  # the register, and two values that now point nowhere


def test_an_unknown_profile_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'eastron/sdm630'"):
        load_profile("eastron/sdm-630")
