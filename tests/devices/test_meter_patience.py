"""How long a meter may be silent before it counts as lost, what it leaves the factory with, and counting one way only."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.config.meter_profiles import list_profiles, load_profile
from evse.devices.meter import ModbusMeter
from evse.domain.readings import MeterValues, Sample
from evse.protocols.meter_map import import_only
from evse.units import NS_PER_MS, NS_PER_S
from tests.meters._bench import Bench, bench_run

# Charge Control C user guide, table of default Modbus parameters, and 7.3.6.2: baud, parity, unit, unavailability in s.
# Where the note of the table says that the maker ships something else, the profile has that: DZG even parity, SDM230
# 2400 baud even. The unit of DZG and Elecnova comes from the serial number; None = scanned.
MANUAL = {
    "abb/ev3": (9600, "E", 1, 2),
    "bzr-bauer/bsm-ws36a": (19_200, "E", 42, 2),
    "carlo-gavazzi/em340": (9600, "N", 1, 2),
    "carlo-gavazzi/em330": (9600, "N", 1, 2),
    "carlo-gavazzi/et340": (9600, "N", 1, 2),
    "carlo-gavazzi/et330": (9600, "N", 1, 2),
    "carlo-gavazzi/em111": (9600, "N", 1, 2),
    "carlo-gavazzi/em112": (9600, "N", 1, 2),
    "carlo-gavazzi/et112": (9600, "N", 1, 2),
    "dzg/dvh4013": (9600, "E", None, 2),
    "eastron/sdm72dm-v1": (9600, "N", 1, 2),
    "eastron/sdm72dm-v2": (9600, "N", 1, 2),
    "eastron/sdm230": (2400, "E", 1, 2),
    "eastron/sdm630": (9600, "N", 1, 2),
    "elecnova/dds1946": (9600, "N", 1, 2),
    "elecnova/dts1946": (9600, "N", 1, 2),
    "klefr/693x-694x": (9600, "N", 1, 10),
    "iskra/wm3m4c": (115_200, "N", 33, 2),
    "phoenix-contact/eem-350-d-mcb": (9600, "N", 1, 2),
    "socomec/countis-e03": (38_400, "N", 5, 2),
    "socomec/countis-e04": (38_400, "N", 5, 2),
}


@pytest.mark.parametrize("name", MANUAL)
def test_line_defaults_and_patience_of_the_manual(name: str) -> None:
    bus = load_profile(name).bus
    baud, parity, unit, patience_s = MANUAL[name]
    assert (bus.baud, bus.parity, bus.stop_bits, bus.unavailable_ms) == (baud, parity, 1, 1000 * patience_s)
    assert unit in (None, bus.unit)


def test_all_other_models_have_the_patience_of_two_seconds() -> None:
    assert {load_profile(name).bus.unavailable_ms for name in set(list_profiles()) - set(MANUAL)} == {2000}


@pytest.mark.parametrize(("name", "at_least_s", "at_most_s"), [
    ("eastron/sdm630", 2, 5), ("iskra/wm3m4c", 2, 5), ("klefr/693x-694x", 10, 14), ("bzr-bauer/bsm-ws36a", 20, 23),
])  # fmt: skip
def test_silence_is_forgiven_for_the_time_of_the_model(name: str, at_least_s: int, at_most_s: int) -> None:
    unit = load_profile(name).bus.unit

    async def body(bench: Bench) -> None:
        await asyncio.sleep(2.5)
        assert isinstance(bench.meters[unit].reading(), Sample)
        bench.sims[unit].fault("mute", on=True)
        began = bench.clock.now()
        while isinstance(bench.meters[unit].reading(), Sample):
            await asyncio.sleep(0.05)
        lasted = bench.clock.now() - began
        assert at_least_s * NS_PER_S <= lasted <= at_most_s * NS_PER_S
        bench.sims[unit].fault("mute", on=False)
        await asyncio.sleep(21)
        assert isinstance(bench.meters[unit].reading(), Sample)

    bench_run({unit: name}, body)


@pytest.mark.parametrize("name", ["eastron/sdm630", "bzr-bauer/bsm-ws36a"])
def test_one_lost_answer_loses_no_reading(name: str) -> None:
    unit = load_profile(name).bus.unit

    async def body(bench: Bench) -> None:
        await asyncio.sleep(2.5)
        sim, meter = bench.sims[unit], bench.meters[unit]
        before = meter.errors
        sim.fault("mute", on=True)
        while meter.errors == before:
            assert isinstance(meter.reading(), Sample)
            await asyncio.sleep(0.01)
        sim.fault("mute", on=False)
        for _ in range(300):
            assert isinstance(meter.reading(), Sample)
            await asyncio.sleep(0.01)
        assert meter.detail == ""

    bench_run({unit: name}, body)


def test_a_klefr_that_checks_its_firmware_is_no_failure() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(2.5)
        bench.sims[1].fault("mute", on=True)
        for _ in range(9 * 20):
            await asyncio.sleep(0.05)
            assert isinstance(bench.meters[1].reading(), Sample)
        bench.sims[1].fault("mute", on=False)
        await asyncio.sleep(3)
        reading = bench.meters[1].reading()
        assert isinstance(reading, Sample)
        assert bench.clock.now() - reading.at < 2_000 * NS_PER_MS

    bench_run({1: "klefr/693x-694x"}, body)


def test_a_meter_of_an_evse_counts_imports_only_and_the_site_meter_both_ways() -> None:
    export = MeterValues(
        power_w=-690, voltage_mv=230_000, current_ma=-1_000, voltage_l_mv=(230_000,) * 3,
        current_l_ma=(-1_000, -1_000, -1_000), power_l_w=(-230, -230, -230), energy_import_wh=5_000,
        energy_export_wh=700,
    )  # fmt: skip

    async def body(bench: Bench) -> None:
        evse = ModbusMeter("evse", bench.sims[2].profile, 2, bench.bus, 1000, bench.clock, import_only=True)
        for sim in bench.sims.values():
            sim.set_values(export)
        await asyncio.sleep(3)
        assert bench.values(1).power_w == -690
        assert bench.values(1).energy_export_wh == 700
        reading = evse.reading()
        assert isinstance(reading, Sample)
        assert (reading.value.power_w, reading.value.current_ma) == (0, 0)
        assert (reading.value.power_l_w, reading.value.current_l_ma) == ((0, 0, 0), (0, 0, 0))
        assert (reading.value.energy_import_wh, reading.value.energy_export_wh) == (5_000, None)
        assert reading.value.voltage_l_mv == (230_000,) * 3

    models = {1: "eastron/sdm630", 2: "eastron/sdm630"}

    async def without_twin(bench: Bench) -> None:
        bench.bus._members.remove(bench.meters[2])  # its address is taken by the meter of this test
        await body(bench)

    bench_run(models, without_twin)


NUMBERS = st.none() | st.integers(-100_000, 100_000)
TRIPLES = st.none() | st.tuples(*[st.integers(-100_000, 100_000)] * 3)


@given(NUMBERS, NUMBERS, TRIPLES, TRIPLES, st.integers(0, 10**9))
def test_nothing_is_negative_or_invented_when_only_imports_count(
    power: int | None,
    current: int | None,
    power_l: tuple[int, int, int] | None,
    current_l: tuple[int, int, int] | None,
    energy: int,
) -> None:
    values = MeterValues(
        power_w=power, current_ma=current, power_l_w=power_l, current_l_ma=current_l, energy_import_wh=energy
    )
    only = import_only(values)
    assert only == import_only(only)
    for name in MeterValues.__struct_fields__:
        before, after = getattr(values, name), getattr(only, name)
        assert (before is None) == (after is None)
        for a, b in zip(*((v if isinstance(v, tuple) else (v,)) for v in (before, after)), strict=True):
            assert b in (a, 0)
            assert b is None or b >= 0
