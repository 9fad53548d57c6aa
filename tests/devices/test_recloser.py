"""The recloser: profile without registers, every way to reach it, moving, busy, jams, loss, and a bus shared with a meter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from evse.config.meter_profiles import load_profile
from evse.config.recloser_profiles import list_reclosers, load_recloser, parse_recloser, with_registers
from evse.devices.interfaces import Recloser
from evse.devices.meter import ModbusMeter
from evse.devices.modbus_bus import ModbusBus
from evse.devices.recloser import ModbusRecloser
from evse.domain.base import ConfigError, DeviceError
from evse.domain.readings import MeterValues, Sample
from evse.domain.recloser import RecloserOutcome, RecloserProfile, RecloserRegisters, RecloserState
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.sim.hw.modbus_meter import SimModbusBus, SimModbusMeter
from evse.sim.hw.recloser import SimRecloser
from evse.transports.base import ByteStream, SerialSettings
from evse.units import NS_PER_S
from tests.rfid.rig import OneReader

# Invented for the test: the map of the real device is not public.
WAYS = {
    "registers": RecloserRegisters(state_address=10, state_moving=2, command_address=20),
    "registers, busy": RecloserRegisters(state_address=10, command_address=20, command_function=16),
    "bits": RecloserRegisters(state_address=3, state_function=2, command_address=4, command_function=5),
    "mask": RecloserRegisters(
        state_address=0, state_function=4, state_mask=0x0F00, state_open=0x0500, state_closed=0x0A00,
        state_moving=0x0700, command_address=0, command_open=0x55, command_close=0xAA,
    ),
}  # fmt: skip


class Bench:
    def __init__(self, loop: VirtualLoop, profile: RecloserProfile, sim: RecloserProfile | None = None) -> None:
        self.clock = VirtualClock(loop)
        self.sim = SimRecloser(sim or profile, 3, self.clock, random.Random(5))
        self.meter_sim = SimModbusMeter(load_profile("eastron/sdm630"), 1)
        self.openers = OneReader(self._attach)
        self.tasks: list[asyncio.Task[None]] = []
        settings = SerialSettings(port="/dev/ttyX", baud=9600)
        self.bus = ModbusBus(settings, self.openers, self.clock, random.Random(3))
        self.recloser = ModbusRecloser("recloser", profile, 3, self.bus, self.clock)
        self.meter = ModbusMeter("meter", self.meter_sim.profile, 1, self.bus, 1000, self.clock)
        port: Recloser = self.recloser
        self.owner = asyncio.create_task(port.run())

    def _attach(self, device: ByteStream) -> None:
        self.tasks.append(asyncio.create_task(SimModbusBus([self.sim, self.meter_sim]).serve(device)))


def bench_run(
    profile: RecloserProfile, body: Callable[[Bench], Awaitable[None]], sim: RecloserProfile | None = None
) -> None:
    loop = VirtualLoop()

    async def main() -> None:
        bench = Bench(loop, profile, sim)
        await body(bench)
        assert not bench.owner.done()

    run_virtual(main(), loop)


def profile(way: str) -> RecloserProfile:
    return with_registers(load_recloser("geya/grd9m"), WAYS[way])


def test_the_shipped_profile_has_the_evidenced_line_and_no_registers() -> None:
    assert list_reclosers() == ["geya/grd9m"]
    geya = load_recloser("geya/grd9m")
    assert (geya.bus.baud, geya.bus.parity, geya.bus.stop_bits, geya.bus.unit) == (9600, "N", 1, 3)
    assert not geya.registers.known


def test_without_registers_it_is_unavailable_and_nothing_is_sent() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(60)
        assert bench.recloser.state() is RecloserState.UNAVAILABLE
        assert bench.sim.requests == 0
        assert "fill [registers]" in bench.recloser.lost()
        answer = await bench.recloser.request(RecloserState.CLOSED)
        assert answer.outcome is RecloserOutcome.NOT_AVAILABLE
        assert isinstance(bench.meter.reading(), Sample)

    bench_run(load_recloser("geya/grd9m"), body)


@pytest.mark.parametrize("way", WAYS)
def test_it_moves_both_ways_and_is_moving_meanwhile(way: str) -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(1)
        assert bench.recloser.state() is RecloserState.CLOSED
        for wanted in (RecloserState.OPEN, RecloserState.CLOSED):
            began = bench.clock.now()
            request = asyncio.create_task(bench.recloser.request(wanted))
            await asyncio.sleep(0.8)
            assert bench.recloser.state() is RecloserState.MOVING
            answer = await request
            assert (answer.outcome, answer.state, answer.detail) == (RecloserOutcome.DONE, wanted, "")
            assert NS_PER_S <= bench.clock.now() - began <= 4 * NS_PER_S
            assert bench.sim.closed is (wanted is RecloserState.CLOSED)
            await asyncio.sleep(2)
            assert bench.recloser.state() is wanted
        assert bench.sim.orders == 2
        assert (await bench.recloser.request(RecloserState.CLOSED)).outcome is RecloserOutcome.DONE  # it is there
        assert bench.sim.orders == 2
        assert bench.recloser.health()[0].online

    bench_run(profile(way), body)


def test_a_trip_is_seen_and_the_motor_closes_again() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(1)
        bench.sim.trip()
        await asyncio.sleep(1.2)
        assert bench.recloser.state() is RecloserState.OPEN
        assert (await bench.recloser.request(RecloserState.CLOSED)).outcome is RecloserOutcome.DONE
        assert bench.sim.closed

    bench_run(profile("registers"), body)


def test_a_request_waits_until_the_motor_rests_and_only_one_runs() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(1)
        opening = asyncio.create_task(bench.recloser.request(RecloserState.OPEN))
        await asyncio.sleep(0.5)
        assert (await bench.recloser.request(RecloserState.CLOSED)).outcome is RecloserOutcome.BUSY
        opening.cancel()
        await asyncio.wait([opening])
        answer = await bench.recloser.request(RecloserState.CLOSED)  # the motor still runs: the order waits
        assert (answer.outcome, answer.state) == (RecloserOutcome.DONE, RecloserState.CLOSED)
        assert bench.sim.orders == 2

    bench_run(profile("registers, busy"), body)


def test_a_jam_ends_the_request_after_ten_seconds() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(1)
        bench.sim.fault("jam", on=True)
        began = bench.clock.now()
        answer = await bench.recloser.request(RecloserState.OPEN)
        assert bench.clock.now() - began == 10 * NS_PER_S
        assert (answer.outcome, answer.state) == (RecloserOutcome.TIMEOUT, RecloserState.MOVING)
        assert "moving after 10 s, not open" in answer.detail
        assert bench.recloser.lost() == ""  # it answers
        await asyncio.sleep(1.5)
        assert "the motor has been running for 1" in bench.recloser.lost()
        bench.sim.fault("jam", on=False)
        await asyncio.sleep(1.5)
        assert bench.recloser.lost() == "" and bench.recloser.state() is RecloserState.OPEN

    bench_run(profile("registers"), body)


@pytest.mark.parametrize("fault", ["mute", "crc", "exception"])
def test_silence_and_nonsense_are_named_and_end_by_themselves(fault: str) -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(1)
        bench.sim.fault(fault, on=True)
        await asyncio.sleep(1.9)
        assert bench.recloser.state() is RecloserState.CLOSED  # for two seconds it may be a disturbance
        await asyncio.sleep(3)
        assert bench.recloser.state() is RecloserState.UNAVAILABLE
        assert bench.recloser.lost() == ""
        request = await bench.recloser.request(RecloserState.OPEN)
        assert request.outcome is RecloserOutcome.NOT_AVAILABLE
        await asyncio.sleep(8)
        assert "recloser[grd9m@/dev/ttyX#3]: " in bench.recloser.lost()
        assert isinstance(bench.meter.reading(), Sample)
        bench.sim.fault(fault, on=False)
        await asyncio.sleep(11)
        assert bench.recloser.state() is RecloserState.CLOSED
        assert bench.recloser.lost() == ""

    bench_run(profile("registers"), body)


def test_one_that_goes_silent_while_moving() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(1)
        request = asyncio.create_task(bench.recloser.request(RecloserState.OPEN))
        await asyncio.sleep(0.5)
        bench.sim.fault("mute", on=True)
        answer = await request
        assert answer.outcome is RecloserOutcome.NOT_AVAILABLE
        assert "no answer in 500 ms" in answer.detail

    bench_run(profile("registers"), body)


def test_one_that_never_answered_is_not_present() -> None:
    async def body(bench: Bench) -> None:
        bench.sim.fault("mute", on=True)
        await asyncio.sleep(5)
        assert bench.recloser.state() is RecloserState.NOT_PRESENT
        assert (await bench.recloser.request(RecloserState.OPEN)).outcome is RecloserOutcome.NOT_PRESENT
        await asyncio.sleep(6)
        assert "no answer" in bench.recloser.lost()
        bench.sim.fault("mute", on=False)
        await asyncio.sleep(11)
        assert bench.recloser.state() is RecloserState.CLOSED  # the search never ends

    bench_run(profile("registers"), body)


def test_a_value_that_is_no_position_is_no_position() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(12)
        assert bench.recloser.state() is RecloserState.NOT_PRESENT
        assert "register 10 holds 7, which is none of open 0, closed 1" in bench.recloser.lost()

    odd = RecloserRegisters(state_address=10, command_address=20, state_closed=7)
    bench_run(profile("registers"), body, with_registers(load_recloser("geya/grd9m"), odd))


def test_only_positions_can_be_asked_for() -> None:
    async def body(bench: Bench) -> None:
        with pytest.raises(ValueError, match="only to 'open' or 'closed'"):
            await bench.recloser.request(RecloserState.MOVING)

    bench_run(profile("registers"), body)


def test_a_lent_line_is_closed_and_comes_back() -> None:
    async def body(bench: Bench) -> None:
        await asyncio.sleep(2)
        requests = bench.sim.requests
        async with bench.bus.lent():
            assert not bench.bus.online
            with pytest.raises(DeviceError, match="lent already"):
                async with bench.bus.lent():
                    pass
            await asyncio.sleep(30)
            assert bench.sim.requests == requests
        await asyncio.sleep(2)
        assert bench.recloser.state() is RecloserState.CLOSED
        assert isinstance(bench.meter.reading(), Sample)
        assert bench.sim.requests > requests

    bench_run(profile("registers"), body)


def test_meter_values_stay_right_beside_a_recloser() -> None:
    async def body(bench: Bench) -> None:
        bench.meter_sim.set_values(MeterValues(power_w=1234, voltage_mv=230_000))
        await asyncio.sleep(5)
        reading = bench.meter.reading()
        assert isinstance(reading, Sample)
        assert reading.value.power_w == 1234

    bench_run(profile("mask"), body)


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("state_address = 1", "needed together"),
        ("state_address = 1\ncommand_address = 2\nstate_open = 1", "are equal"),
        ("command_open = 1", "command_open and command_close are both 1"),
        ("state_function = 1\nstate_moving = 2", "reads one bit"),
        ("state_mask = 1\nstate_closed = 2", "state_mask 1 hides bits"),
        ("command_function = 5\ncommand_open = 2", "writes a coil"),
        ("state_adress = 1", "unknown field `state_adress`"),
        ("state_address = 70000", "<= 65535"),
        ("command_function = 3", "3"),
    ],
)
def test_mistakes_in_a_profile_are_named(section: str, text: str) -> None:
    good = 'vendor = "x"\nmodel = "X"\nconfidence = "low"\nsource = "test"\n[registers]\n'
    assert parse_recloser("x/x", good, "x.toml").vendor == "x"
    with pytest.raises(ConfigError) as caught:
        parse_recloser("x/x", good + section, "x.toml")
    assert any(text in problem and problem.startswith("x.toml: ") for problem in caught.value.problems)


def test_an_unknown_model_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match='did you mean "geya/grd9m"'):
        load_recloser("geya/grd9")
