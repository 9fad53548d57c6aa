"""Meter driver and bus owner against simulated meters over bytes, under virtual time."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.config.meter_profiles import load_profile
from evse.devices import meter as meter_module
from evse.devices.meter import ModbusMeter
from evse.devices.modbus_bus import TcpEndpoint, endpoint_of
from evse.domain.base import ConfigError, DeviceError
from evse.domain.readings import MeterValues, NoData, NoDataReason, Sample
from evse.sim.hw.modbus_meter import SimModbusBus, SimModbusMeter
from evse.transports.memory import stream_pair
from evse.units import NS_PER_MS, NS_PER_S
from tests._support.examples import examples
from tests.meters._bench import Bench, bench_run

STATION = {1: "eastron/sdm630", 2: "acrel/djsf1352-rn"}
SITE = MeterValues(
    power_w=-12_345, energy_import_wh=123_456, energy_export_wh=1_000, voltage_mv=230_200, current_ma=17_900,
    voltage_l_mv=(230_200, 231_000, 229_500), current_l_ma=(17_900, 18_000, 18_100), power_l_w=(-4_100, -4_120, -4_125),
    frequency_mhz=50_010,
)  # fmt: skip
DC = MeterValues(
    power_w=50_160,
    energy_import_wh=987_654_321,
    energy_export_wh=0,
    voltage_mv=401_300,
    current_ma=125_000,
    temperature_dc=410,
)


@pytest.mark.parametrize("tcp", [False, True])
def test_the_two_meters_of_the_station_end_to_end(tcp: bool) -> None:
    async def body(bench: Bench) -> None:
        assert isinstance(bench.meters[1].reading(), NoData)
        bench.sims[1].set_values(SITE)
        bench.sims[2].set_values(DC)
        await asyncio.sleep(1.5)
        assert bench.values(1) == SITE
        assert bench.values(2) == DC
        bench.sims[2].set("voltage_dc", Decimal("12.3"))
        await asyncio.sleep(1)
        assert bench.values(2).voltage_mv == 12_300
        reading = bench.meters[2].reading()
        assert isinstance(reading, Sample)
        assert bench.clock.now() - reading.at <= 1_000 * NS_PER_MS
        assert [link.online for link in bench.bus.health()] == [True, True]

    bench_run(STATION, body, tcp=tcp)


def test_a_dead_meter_is_named_within_5_s_and_recovers() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(2.9)
        bench.sims[1].fault("mute", on=True)
        died_at = bench.clock.now()
        while isinstance(bench.meters[1].reading(), Sample):
            await asyncio.sleep(0.05)
        assert bench.clock.now() - died_at <= 5 * NS_PER_S
        reading = bench.meters[1].reading()
        assert isinstance(reading, NoData)
        assert reading.reason is NoDataReason.TIMEOUT
        expected = "meter[sdm630@/dev/ttyX#1]: register 0: no answer in 200 ms x4; check termination and unit id"
        assert reading.detail == expected
        since = reading.since
        await asyncio.sleep(30)
        still = bench.meters[1].reading()
        assert isinstance(still, NoData)
        assert still.since == since
        assert bench.meters[1].health()[0].detail.startswith("meter[sdm630@/dev/ttyX#1]: register 0: no answer")
        bench.sims[1].fault("mute", on=False)
        await asyncio.sleep(meter_module.RETRY_MAX_NS / NS_PER_S + 1)
        assert isinstance(bench.meters[1].reading(), Sample)

    bench_run(STATION, body)


def test_one_dead_of_three_costs_the_others_one_timeout_per_retry() -> None:
    models = {1: "eastron/sdm630", 2: "acrel/djsf1352-rn", 3: "acrel/djsf1352-rn"}

    async def body(bench: Bench) -> None:
        bench.sims[2].fault("mute", on=True)
        times: dict[int, list[int]] = {1: [], 3: []}
        while bench.clock.now() < 120 * NS_PER_S:
            for unit, seen in times.items():
                reading = bench.meters[unit].reading()
                if isinstance(reading, Sample) and (not seen or reading.at != seen[-1]):
                    seen.append(reading.at)
            await asyncio.sleep(0.01)
        for seen in times.values():
            assert len(seen) >= 117  # of 119 polls in two minutes
            gaps = [b - a for a, b in pairwise(seen)]
            assert max(gaps) <= 1_600 * NS_PER_MS  # never more than one timeout (200 ms + the line's own time) late
        assert 12 <= bench.sims[2].requests <= 20

    bench_run(models, body)


@pytest.mark.parametrize(
    ("fault", "reason", "text"),
    [
        ("crc", NoDataReason.GARBLED, "CRC 0x"),
        ("exception", NoDataReason.ERROR, "exception 4 (server device failure) to function 4"),
    ],
)
def test_line_faults_become_no_data_with_the_reason(fault: str, reason: NoDataReason, text: str) -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(1.5)
        bench.sims[1].fault(fault, on=True)
        await asyncio.sleep(4)
        reading = bench.meters[1].reading()
        assert isinstance(reading, NoData)
        assert reading.reason is reason
        assert text in reading.detail
        assert isinstance(bench.meters[2].reading(), Sample)
        bench.sims[1].fault(fault, on=False)
        await asyncio.sleep(11)
        assert isinstance(bench.meters[1].reading(), Sample)

    bench_run(STATION, body)


def test_an_unplugged_adapter_is_named_and_comes_back() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(1.5)
        bench.unplug()
        await asyncio.sleep(0.01)
        reading = bench.meters[2].reading()
        assert isinstance(reading, NoData)
        assert reading.reason is NoDataReason.DISCONNECTED
        await asyncio.sleep(20)
        reading = bench.meters[2].reading()
        assert isinstance(reading, NoData)
        assert "no such device; plug the adapter in" in reading.detail
        assert bench.bus.online is False
        bench.plugged = True
        await asyncio.sleep(6)
        assert isinstance(bench.meters[1].reading(), Sample)
        assert isinstance(bench.meters[2].reading(), Sample)
        assert bench.bus.reconnects >= 3

    bench_run(STATION, body)


def test_a_frozen_meter_keeps_answering_and_a_late_answer_is_not_taken_for_the_next() -> None:
    async def body(bench: Bench) -> None:
        bench.sims[1].set("power_active_total", 1_000)
        bench.sims[2].set("power_active_total", 2_000)
        await asyncio.sleep(1.5)
        bench.sims[1].delay_ms = 420  # beyond the timeout: the answer comes while the line rests or the next one speaks
        await asyncio.sleep(8)
        assert bench.values(2).power_w == 2_000
        bench.sims[1].delay_ms = 0
        await asyncio.sleep(12)
        assert bench.values(1).power_w == 1_000
        bench.sims[1].fault("freeze", on=True)
        bench.sims[1].set("power_active_total", 3_000)
        await asyncio.sleep(2)
        assert bench.values(1).power_w == 1_000
        bench.sims[1].fault("freeze", on=False)
        await asyncio.sleep(2)
        assert bench.values(1).power_w == 3_000

    bench_run(STATION, body)


def test_a_strict_meter_makes_the_engine_read_in_parts() -> None:
    async def body(bench: Bench) -> None:
        bench.sims[1].set_values(SITE)
        await asyncio.sleep(1.5)
        assert bench.values(1) == SITE
        before = bench.sims[1].requests
        await asyncio.sleep(10)
        per_poll = (bench.sims[1].requests - before) / 10
        assert 1 < per_poll <= 4  # remembered, not refused again each time

    bench_run(STATION, body, strict=True)


def test_probe_reads_every_register_and_goes_on_polling() -> None:
    async def body(bench: Bench) -> None:
        bench.sims[2].set_values(DC)
        await asyncio.sleep(1.5)
        rows = await bench.meters[2].probe()
        assert len(rows) == len(load_profile("acrel/djsf1352-rn").registers)
        by_name = {row[0]: row for row in rows}
        assert by_name["voltage_dc"] == ("voltage_dc", 0, "0fad", "401.3 V", "")
        assert by_name["energy_import_total"][2:4] == ("3ade 68b1", "987654321 Wh")
        bench.sims[2].fault("mute", on=True)
        rows = await bench.meters[2].probe()
        assert all(row[4] == "no answer in 200 ms" for row in rows)
        bench.unplug()
        await asyncio.sleep(0.1)
        with pytest.raises(DeviceError, match="/dev/ttyX"):
            await bench.meters[2].probe()

    bench_run(STATION, body)


def test_probe_of_a_text_with_its_length_in_a_register() -> None:
    async def body(bench: Bench) -> None:
        bench.sims[33].set("ocmf_metadata_length", 5)
        bench.sims[33].set("serial_number", "ABC123")
        await asyncio.sleep(2)
        by_name = {row[0]: row for row in await bench.meters[33].probe()}
        assert by_name["serial_number"][3] == "ABC123"
        assert by_name["ocmf_data"][4] == "ocmf_data_length is 0"
        assert len(by_name["ocmf_metadata"][2].split()) == 3
        assert "ocmf_command" not in by_name or by_name["ocmf_command"][4] == ""

    bench_run({33: "iskra/wm3m4c"}, body)


def test_a_sunspec_meter_is_found_by_walking_and_named_when_it_is_another() -> None:
    async def body(bench: Bench) -> None:
        bench.sims[1].set_values(SITE)
        await asyncio.sleep(1.5)
        assert bench.values(1).voltage_l_mv == SITE.voltage_l_mv
        other = ModbusMeter("other", load_profile("sunspec/model-213"), 2, bench.bus, 1000, bench.clock)
        sim = SimModbusMeter(load_profile("sunspec/model-203"), 2)
        ours, theirs = stream_pair("x")
        bench.tasks.append(asyncio.ensure_future(SimModbusBus([sim, bench.sims[1]]).serve(theirs)))
        bench.bus._openers = _One(ours, bench)  # type: ignore[assignment]
        assert bench.line is not None
        bench.line.close_now()
        await asyncio.sleep(8)
        reading = other.reading()
        assert isinstance(reading, NoData)
        assert "SunSpec model 213 not found; the device has [1, 203]" in reading.detail

    bench_run({1: "sunspec/model-203"}, body)


class _One:
    """Opens the one stream that it was given."""

    def __init__(self, stream: object, bench: Bench) -> None:
        self.stream = stream
        self.bench = bench

    async def open_serial(self, settings: object) -> object:
        return self.stream


def test_a_tcp_connection_that_went_silent_is_opened_again_and_the_meter_stays_named() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(1.5)
        for sim in bench.sims.values():
            sim.fault("mute", on=True)
        await asyncio.sleep(60)
        assert bench.opened > 2
        reading = bench.meters[1].reading()
        assert isinstance(reading, NoData)
        assert reading.reason is NoDataReason.TIMEOUT
        assert "meter[sdm630@tcp://meter:502#1]: register 0: no answer in 200 ms x" in reading.detail
        for sim in bench.sims.values():
            sim.fault("mute", on=False)
        await asyncio.sleep(11)
        assert isinstance(bench.meters[1].reading(), Sample)
        assert isinstance(bench.meters[2].reading(), Sample)

    bench_run(STATION, body, tcp=True)


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 900)), max_size=12), st.booleans())
def test_noise_on_the_line_never_stops_the_bus(noise: list[tuple[bytes, int]], tcp: bool) -> None:
    async def body(bench: Bench) -> None:
        for data, pause_ms in noise:
            await asyncio.sleep(pause_ms / 1000)
            if bench.line is not None and bench.line.peer is not None and bench.bus.online:
                bench.line.peer.write_now(data)
        await asyncio.sleep(15)
        bench.sims[2].set_values(DC)
        await asyncio.sleep(2)
        assert bench.values(2) == DC
        assert isinstance(bench.meters[1].reading(), Sample)

    bench_run(STATION, body, tcp=tcp)


def test_two_meters_with_one_address_are_refused() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(0)
        with pytest.raises(ConfigError, match="two devices with address 1"):
            ModbusMeter("twin", load_profile("eastron/sdm630"), 1, bench.bus, 1000, bench.clock)

    bench_run(STATION, body)


def test_a_long_night_is_bounded_in_requests_and_time() -> None:
    """Six hours with a noisy line: no meter starves, nothing grows."""

    async def body(bench: Bench) -> None:
        rng = Random(5)
        for _ in range(6 * 60):
            unit = rng.choice((1, 2))
            name = rng.choice(("mute", "crc", "exception"))
            bench.sims[unit].fault(name, on=True)
            await asyncio.sleep(rng.uniform(1, 20))
            bench.sims[unit].fault(name, on=False)
            await asyncio.sleep(40)
            assert isinstance(bench.meters[1].reading(), Sample)
            assert isinstance(bench.meters[2].reading(), Sample)
        assert bench.opened == 1
        assert len(bench.bus._buffer) == 0

    bench_run(STATION, body, poll_ms=5_000)


def test_ports_and_endpoints() -> None:
    assert endpoint_of("/dev/ttyS1") is None
    assert endpoint_of("tcp://10.0.0.5") == TcpEndpoint(host="10.0.0.5", port=502)
    assert endpoint_of("tcp://[fd00::5]:1502") == TcpEndpoint(host="fd00::5", port=1502)
    for wrong in ("tcp://", "tcp://host:0", "tcp://host:x", "tcp://:502"):
        with pytest.raises(ConfigError, match="expected tcp://host:port"):
            endpoint_of(wrong)
