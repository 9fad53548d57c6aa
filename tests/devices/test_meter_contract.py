"""What every meter profile must do: the driver, with the profile, on bytes of a meter that does not know the profile.

The simulated meter of this file is made from ``meter_registers.csv`` and an encoder of its own, so that profile, codec and
simulator cannot share one mistake.
"""

from __future__ import annotations

import asyncio
import csv
import random
import re
import struct
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import pytest

from evse.config.meter_profiles import list_profiles, load_profile
from evse.devices.meter import ModbusMeter
from evse.devices.modbus_bus import ModbusBus
from evse.domain.readings import MeterValues, NoData, Sample
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.sim.hw.modbus_meter import SimModbusBus
from evse.transports.base import SerialSettings
from evse.transports.memory import MemoryStream
from evse.units import NS_PER_S
from tests.rfid.rig import OneReader

Row = dict[str, str]
TABLE = Path(__file__).with_name("meter_registers.csv")
NAMES = list_profiles()

# What a three-phase feeder carries, in base units; the energy of each direction stays with its counter.
WORLD: dict[str, Decimal] = {
    name: Decimal(value)
    for name, value in {
        "voltage_L1": "230.2", "voltage_L2": "231.4", "voltage_L3": "229.6", "voltage_dc": "401.3",
        "current_L1": "12.34", "current_L2": "11.02", "current_L3": "9.98", "current_dc": "125.2",
        "power_active_L1": "2841", "power_active_L2": "2549", "power_active_L3": "2291", "power_active_total": "7681",
        "power_active_import_total": "7681", "power_active_export_total": "0",
        "energy_import_total": "1234560", "energy_export_total": "7890", "frequency": "49.98", "temperature": "41",
    }.items()
}  # fmt: skip

EXPONENTS = {
    "V_SF": -1, "A_SF": -2, "W_SF": 0, "TotWh_SF": 1, "Hz_SF": -2, "energy_import_exponent": 1,
    "energy_export_exponent": 1, "voltage_decimal_point": 2, "current_decimal_point": 2, "power_decimal_point": 2,
}  # fmt: skip
"""Raw contents of the exponent registers."""

OFFSETS = {"voltage_decimal_point": -3, "current_decimal_point": -3, "power_decimal_point": -3}
REFERENCES = {"reg414": "energy_import_exponent", "reg415": "energy_export_exponent", "(reg1-3)": "voltage_decimal_point",
              "(reg3-3)": "current_decimal_point", "(reg9-3)": "power_decimal_point"}  # fmt: skip

FORMATS = {
    "float32": ">f", "int16": ">h", "uint16": ">H", "sunssf": ">h", "int32": ">i", "uint32": ">I", "acc32": ">I",
    "int64": ">q", "uint64": ">Q",
}  # fmt: skip

UNSIGNED = ("uint16", "uint32", "uint64", "T5")

MODEL_START = 40_070
"""Marker, a common model of 66 words, then the meter model."""

REQUEST_MAX = {"eastron/sdm72dm-v1": 60, "phoenix-contact/eem-350-d-mcb": 11}
"""Registers per request (reference meters-coverage.md: 40 values of Eastron, 30 of its SDM72D-M v1, 11 registers)."""


def rows_of(profile: str) -> list[Row]:
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    return [row for row in csv.DictReader(lines) if row["profile"] == profile]


def resolution(row: Row) -> Decimal:
    """Base units per count; floats and T5/T6 are taken as 0.01."""
    kilo = 1000 if row["unit"].startswith("k") else 1
    if row["type"] in ("float32", "T5", "T6"):
        return Decimal("0.01") * kilo
    if not row["scale"].startswith("10^"):
        return Decimal(row["scale"]) * kilo
    name = row["scale"].removeprefix("10^")
    name = REFERENCES.get(name, name)
    return Decimal(10) ** (EXPONENTS[name] + OFFSETS.get(name, 0)) * kilo


def counts(row: Row, value: Decimal) -> int:
    return int((value / resolution(row)).to_integral_value(ROUND_HALF_EVEN))


def encode(row: Row, value: Decimal) -> bytes:
    if row["type"] in ("T5", "T6"):  # exponent -2 in the high byte, mantissa in the others
        return struct.pack(">I", 0xFE << 24 | counts(row, value) & 0xFF_FFFF)
    if row["type"] == "float32":
        kilo = 1000 if row["unit"].startswith("k") else 1
        data = struct.pack(">f", float(value / kilo / Decimal(row["scale"])))
    else:
        data = struct.pack(FORMATS[row["type"]], counts(row, value))
    if row["words"] == "lsw":
        data = b"".join(data[i : i + 2] for i in range(len(data) - 2, -1, -2))
    return data


class TableMeter:
    """A meter made from the rows of one model; it refuses what is wholly unknown and what is too long."""

    def __init__(self, profile: str, unit: int, *, sign: int = 1) -> None:
        self.unit = unit
        self.delay_ms = 0
        self.faults: set[str] = set()
        self.even = profile.startswith("eastron/")
        self.request_max = REQUEST_MAX.get(profile, 80 if self.even else 125)
        self.words: dict[tuple[int, int], int] = {}
        rows = rows_of(profile)
        if profile.startswith("sunspec/"):
            self._chain(int(profile[-3:]), max(int(row["address"]) for row in rows))
        for row in rows:
            self._place(row, profile, sign)

    def _chain(self, model: int, last: int) -> None:
        end = MODEL_START + last + 8
        for address, word in (
            (40_000, 0x5375), (40_001, 0x6E53), (40_002, 1), (40_003, 66), (end, 0xFFFF), (end + 1, 0),
        ):
            self.words[3, address] = word
        self.words[3, MODEL_START], self.words[3, MODEL_START + 1] = model, last + 6

    def _place(self, row: Row, profile: str, sign: int) -> None:
        name = row["quantity"].removesuffix("_highres")
        if name in ("model_id", "model_length"):
            return
        value = WORLD.get(name)
        if value is None:
            data = struct.pack(FORMATS[row["type"]], EXPONENTS[name])
        else:
            if name.startswith(("power_active", "current")) and row["type"] not in UNSIGNED:
                value *= sign
            data = encode(row, value)
        start = int(row["address"]) + (MODEL_START if row["base"] else 0)
        for index in range(len(data) // 2):
            self.words[int(row["function"]), start + index] = int.from_bytes(data[2 * index : 2 * index + 2], "big")

    def answer(self, pdu: bytes) -> bytes | None:
        if "mute" in self.faults:
            return None
        function, address, count = struct.unpack(">BHH", pdu)
        if not 1 <= count <= self.request_max:
            return bytes((function | 0x80, 3))
        keys = [(function, address + i) for i in range(count)]
        if (self.even and address % 2) or not any(key in self.words for key in keys):
            return bytes((function | 0x80, 2))
        return bytes((function, 2 * count)) + b"".join(self.words.get(key, 0).to_bytes(2, "big") for key in keys)


def read(name: str, sim: TableMeter, *, import_only: bool = False) -> MeterValues:
    """Return what the driver reads from ``sim`` in two seconds, and check that silence becomes `NoData` in time."""
    profile = load_profile(name)
    loop = VirtualLoop()
    result = []

    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []

        def attach(device: MemoryStream) -> None:
            tasks.append(asyncio.create_task(SimModbusBus([sim]).serve(device)))

        clock = VirtualClock(loop)
        bus = ModbusBus(SerialSettings(port="/dev/ttyX", baud=profile.bus.baud), OneReader(attach), clock, random.Random(1))
        meter = ModbusMeter("m", profile, sim.unit, bus, 1000, clock, import_only=import_only)
        tasks.append(asyncio.create_task(bus.run()))
        assert isinstance(meter.reading(), NoData)
        await asyncio.sleep(2)
        reading = meter.reading()
        assert isinstance(reading, Sample), reading
        result.append(reading.value)
        sim.faults.add("mute")
        began = clock.now()
        while isinstance(meter.reading(), Sample):
            await asyncio.sleep(0.1)
        limit_s = 2 * profile.bus.timeout_ms // 1000 + profile.bus.unavailable_ms // 1000 + 3
        assert profile.bus.unavailable_ms // 1000 <= (clock.now() - began) // NS_PER_S <= limit_s

    run_virtual(main(), loop)
    return result[0]


FIELDS: dict[str, tuple[tuple[str, ...], int]] = {
    "power_w": (("power_active_total",), 1),
    "energy_import_wh": (("energy_import_total",), 1),
    "energy_export_wh": (("energy_export_total",), 1),
    "voltage_l_mv": (("voltage_L1", "voltage_L2", "voltage_L3"), 1000),
    "current_l_ma": (("current_L1", "current_L2", "current_L3"), 1000),
    "power_l_w": (("power_active_L1", "power_active_L2", "power_active_L3"), 1),
    "frequency_mhz": (("frequency",), 1000),
    "temperature_dc": (("temperature",), 10),
}


def expected(name: str, kind: str) -> dict[str, tuple[tuple[int, int], ...]]:
    """Field -> (value, tolerance) of each of its parts, from the table alone; fields that the table has not are left out."""
    steps: dict[str, Decimal] = {}
    for row in rows_of(name):
        quantity = row["quantity"].removesuffix("_highres")
        if quantity in WORLD:
            steps[quantity] = max(steps.get(quantity, Decimal(0)), resolution(row))
    if "power_active_import_total" in steps and "power_active_total" not in steps:
        steps["power_active_total"] = steps["power_active_import_total"]
    fields = dict(FIELDS)
    suffix = "dc" if kind == "dc" else "L1"
    fields |= {"voltage_mv": ((f"voltage_{suffix}",), 1000), "current_ma": ((f"current_{suffix}",), 1000)}
    found: dict[str, tuple[tuple[int, int], ...]] = {}
    for field, (quantities, factor) in fields.items():
        if all(quantity in steps for quantity in quantities):
            found[field] = tuple(
                (round(WORLD[quantity] * factor), 1 + int(steps[quantity] * factor / 2)) for quantity in quantities
            )
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_reads_the_meter_of_the_table(name: str) -> None:
    profile = load_profile(name)
    values = read(name, TableMeter(name, 7))
    for field, parts in expected(name, profile.kind).items():
        got = getattr(values, field)
        assert got is not None, (name, field)
        for number, (value, tolerance) in zip(got if isinstance(got, tuple) else (got,), parts, strict=True):
            assert abs(number - value) <= tolerance, (name, field, number, value)
    for field in MeterValues.__struct_fields__:
        assert (getattr(values, field) is None) == (field not in expected(name, profile.kind)), (name, field)


def has_sign(name: str) -> bool:
    """Whether the power register of this model can be negative."""
    rows = [row for row in rows_of(name) if row["quantity"] == "power_active_total"]
    return bool(rows) and all(row["type"] not in UNSIGNED for row in rows)


@pytest.mark.parametrize("name", [name for name in NAMES if has_sign(name)])
def test_what_flows_back_is_negative_at_the_site_and_zero_at_an_evse(name: str) -> None:
    sim = TableMeter(name, 7, sign=-1)
    site = read(name, sim)
    assert site.power_w is not None
    assert site.power_w < 0
    sim.faults.clear()
    evse = read(name, sim, import_only=True)
    assert evse.power_w == 0
    assert evse.power_l_w in (None, (0, 0, 0))
    assert evse.energy_export_wh is None
    assert evse.energy_import_wh == site.energy_import_wh
    if site.power_l_w is not None:
        assert evse.current_l_ma == (0, 0, 0)


# Charge Control C user guide 7.3.3: serial number, and voltage / current / power of each phase. A profile may show less
# where no register is evidenced (reference meters-coverage.md); these gaps are listed and nothing else may be missing.
FEATURES = {
    "abb/ev3": "SVIP", "bzr-bauer/bsm-ws36a": "SVIP", "carlo-gavazzi/em340": "SVIP", "carlo-gavazzi/et330": "SVIP",
    "dzg/dvh4013": "SVI", "eastron/sdm72dm-v1": "", "eastron/sdm72dm-v2": "SVIP", "eastron/sdm630": "VIP",
    "elecnova/dts1946": "VIP", "klefr/693x-694x": "SVIP", "iskra/wm3m4c": "SVIP",
    "phoenix-contact/eem-350-d-mcb": "SVIP", "socomec/countis-e04": "SVIP",
}  # fmt: skip
NOT_EVIDENCED = {"dzg/dvh4013": "S", "klefr/693x-694x": "S", "phoenix-contact/eem-350-d-mcb": "SP", "socomec/countis-e04": "S"}


@pytest.mark.parametrize("name", FEATURES)
def test_the_measurands_of_the_manual_are_there(name: str) -> None:
    profile = load_profile(name)
    has = {
        "S": bool(profile.identify.serial), "V": profile.values.voltage_l_mv is not None,
        "I": profile.values.current_l_ma is not None, "P": profile.values.power_l_w is not None,
    }  # fmt: skip
    promised = set(FEATURES[name]) - set(NOT_EVIDENCED.get(name, ""))
    assert {letter for letter in promised if not has[letter]} == set()
    assert profile.values.power_w
    assert profile.values.energy_import_wh


def test_the_table_covers_every_profile_and_nothing_else() -> None:
    profiles = {line.partition(",")[0] for line in TABLE.read_text().splitlines() if re.match(r"[a-z-]+/", line)}
    assert profiles == set(NAMES)
