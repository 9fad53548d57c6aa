"""Driver and simulated modules over an in-memory CAN bus under virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.devices import infypower as driver_module
from evse.devices.infypower import InfypowerGroup, InfypowerModules
from evse.domain.base import ConfigError, DeviceError
from evse.domain.readings import GroupStatus, NoData, NoDataReason, Sample
from evse.domain.signals import GroupCommand
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.protocols import can_infypower as ip
from evse.protocols.can_infypower import Command
from evse.sim.hw.infypower import SimInfypower
from evse.transports.base import DIRECT, ByteStream, CanBus, CanFrame, DialOptions, SerialSettings, WebSocket
from evse.transports.memory import MemoryCan, MemoryCanBus
from evse.units import NS_PER_MS, NS_PER_S
from tests._support.examples import examples

GROUPS = {1: (0, 1), 2: (2, 3)}
OFF = (GroupCommand(group_id=1), GroupCommand(group_id=2))


def on(voltage_mv: int, current_ma: int) -> tuple[GroupCommand, GroupCommand]:
    return (GroupCommand(group_id=1, owner=1, on=True, voltage_mv=voltage_mv, current_ma=current_ma), OFF[1])


class Bench:
    """Driver, modules, a spy that records every frame, and a bus that can be unplugged."""

    def __init__(self, loop: VirtualLoop, groups: Mapping[int, tuple[int, ...]] = GROUPS) -> None:
        self.clock = VirtualClock(loop)
        self.sim = SimInfypower(groups)
        self.bus = MemoryCanBus()
        self.plugged = True
        self.frames: list[tuple[int, int, CanFrame]] = []
        self.nodes: list[MemoryCan] = []
        self.modules = InfypowerModules(
            [InfypowerGroup(group_id=g, addresses=a) for g, a in groups.items()],
            "virtual", "bench", 125_000, self, self.clock, Random(7),
        )  # fmt: skip
        self.world_mv = 400_000
        self.tasks = [
            asyncio.ensure_future(self.sim.serve(self.bus.node(), self.clock)),
            asyncio.ensure_future(self._spy(self.bus.node())),
            asyncio.ensure_future(self.modules.run()),
        ]

    async def _spy(self, node: MemoryCan) -> None:
        while True:
            frame = await node.recv()
            self.frames.append((self.clock.now(), frame.can_id, frame))

    async def open_can(self, interface: str, channel: str, bitrate: int) -> CanBus:
        if not self.plugged:
            raise DeviceError(f"{interface} {channel}: unplugged")
        node = self.bus.node()
        self.nodes.append(node)
        return node

    async def open_serial(self, settings: SerialSettings) -> ByteStream:
        raise DeviceError(settings.port)

    async def open_tcp(self, host: str, port: int) -> ByteStream:
        raise DeviceError(host)

    async def open_websocket(
        self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float,
        options: DialOptions = DIRECT,
    ) -> WebSocket:
        raise DeviceError(url)

    def list_serial(self) -> list[str]:
        return []

    async def unplug(self) -> None:
        self.plugged = False
        await self.nodes[-1].close()

    async def ticks(self, count: int, levels: Sequence[GroupCommand]) -> None:
        """Control ticks of 50 ms with a battery of ``world_mv`` on each group."""
        for _ in range(count):
            self.modules.command(levels)
            now = self.clock.now()
            for members in self.sim.groups.values():
                voltage, current = self.sim.operating_limits(now, members, self.world_mv)
                if voltage >= self.world_mv:
                    self.sim.set_operating_point(now, members, self.world_mv, current)
                else:
                    self.sim.set_operating_point(now, members, voltage, 0)
            await asyncio.sleep(0.05)

    def status(self, group_id: int) -> GroupStatus:
        reading = self.modules.reading(group_id)
        assert isinstance(reading, Sample), reading
        return reading.value

    def sent(self, command: Command) -> list[tuple[int, CanFrame]]:
        """Frames of the controller with ``command``."""
        return [(at, f) for at, i, f in self.frames if i >> 16 & 0x3F == command and i & 0xFF == ip.CONTROLLER]


def bench_run(body: Callable[[Bench], Awaitable[None]], groups: Mapping[int, tuple[int, ...]] = GROUPS) -> None:
    loop = VirtualLoop()

    async def main() -> None:
        await body(Bench(loop, groups))

    run_virtual(main(), loop)


def test_start_switches_all_off_before_anything_else_and_sets_groups() -> None:
    async def body(bench: Bench) -> None:
        for module in bench.sim.outputs.values():  # as after a crash of the controller: delivering
            module.set_mv, module.set_total_ma, module.on = 500_000, 20_000, True
        assert isinstance(bench.modules.reading(1), NoData)
        await bench.ticks(60, OFF)
        first = bench.frames[0][2]
        assert first == CanFrame(ip.identifier(Command.ON_OFF, ip.BROADCAST), ip.OUTPUT_OFF_DATA)
        assert [m.group for m in bench.sim.outputs.values()] == [1, 1, 2, 2]
        assert not any(m.on for m in bench.sim.outputs.values())
        status = bench.status(1)
        assert (status.modules_present, status.on, status.available_w, status.missing) == (2, False, 60_000, ())

    bench_run(body)


def test_a_change_leaves_in_the_same_instant_and_is_repeated_each_second() -> None:
    async def body(bench: Bench) -> None:
        await bench.ticks(60, OFF)
        bench.frames.clear()
        changed_at = bench.clock.now()
        await bench.ticks(100, on(420_000, 80_000))
        outputs = [(at, f) for at, f in bench.sent(Command.GROUP_OUTPUT) if f.can_id >> 8 & 0xFF == 1]
        # a refresh of the old level may fall on the same instant; the new level is the last word of it
        at_once = [f for at, f in outputs if at == changed_at][-1]
        assert at_once.can_id >> 22 & 0x0F == ip.GROUP
        assert at_once.data == ip.pack_vi(420_000, 80_000)
        switches = [(at, f.data) for at, f in bench.sent(Command.ON_OFF) if f.can_id >> 8 & 0xFF == 1]
        assert [data for at, data in switches if at == changed_at][-1] == ip.OUTPUT_ON_DATA
        times = [at for at, _ in outputs]
        assert all(b - a <= 1_050 * NS_PER_MS for a, b in itertools.pairwise(times))
        status = bench.status(1)
        assert (status.on, status.voltage_mv, status.current_ma) == (True, 400_000, 80_000)
        assert bench.status(2).on is False

    bench_run(body)


def test_off_sends_the_smallest_current_and_off_at_once() -> None:
    async def body(bench: Bench) -> None:
        await bench.ticks(100, on(420_000, 80_000))
        bench.frames.clear()
        stopped_at = bench.clock.now()
        await bench.ticks(1, OFF)
        own = [
            f
            for at, i, f in bench.frames
            if at == stopped_at and i & 0x3FFF == ip.CONTROLLER | 1 << 8 and i >> 22 == 11
        ]
        assert [f.data for f in own[-2:]] == [ip.pack_vi(420_000, driver_module.CURRENT_MIN_MA), ip.OUTPUT_OFF_DATA]
        assert not any(m.on for m in bench.sim.outputs.values())

    bench_run(body)


def test_constant_power_limits_at_high_voltage() -> None:
    async def body(bench: Bench) -> None:
        bench.world_mv = 800_000
        await bench.ticks(120, on(850_000, 200_000))
        status = bench.status(1)
        assert status.voltage_mv == 800_000
        assert status.current_ma == 75_000  # two modules of 30 kW at 800 V
        assert all(m.status_bits(bench.clock.now()) & ip.POWER_LIMITED for m in list(bench.sim.outputs.values())[:2])

    bench_run(body)


def test_a_silent_module_is_named_within_three_polls_and_the_rest_stay_within_their_rating() -> None:
    async def body(bench: Bench) -> None:
        bench.world_mv = 250_000
        await bench.ticks(100, on(300_000, 180_000))
        assert bench.status(1).current_ma == 180_000
        bench.sim.kill(1, on=True)
        lost_at = bench.clock.now()
        while not bench.status(1).missing:
            await bench.ticks(1, on(300_000, 180_000))
        assert bench.clock.now() - lost_at <= 2_100 * NS_PER_MS  # three polls of 500 ms and the one that notices
        await bench.ticks(20, on(300_000, 180_000))
        status = bench.status(1)
        assert (status.missing, status.modules_present, status.available_w) == ((1,), 1, 30_000)
        last = [f.data for _, f in bench.sent(Command.GROUP_OUTPUT) if f.can_id >> 8 & 0xFF == 1][-1]
        assert ip.unpack_vi(last) == (300_000, 100_000)
        assert "no answer from module 1" in bench.modules.health()[0].detail

    bench_run(body)


def test_a_module_that_returns_is_switched_off_and_set_up_before_it_joins() -> None:
    async def body(bench: Bench) -> None:
        await bench.ticks(100, on(420_000, 80_000))
        bench.sim.kill(1, on=True)
        await bench.ticks(80, on(420_000, 80_000))
        bench.frames.clear()
        bench.sim.kill(1, on=False)
        assert bench.sim.outputs[1].group == 0
        await bench.ticks(80, on(420_000, 80_000))
        single = [f for _, i, f in bench.frames if i >> 8 & 0xFF == 1 and i >> 22 & 0x0F == ip.SINGLE]
        writes = [f for f in single if f.can_id >> 16 & 0x3F >= Command.WALK_IN]
        assert writes[0].data == ip.OUTPUT_OFF_DATA
        assert bench.sim.outputs[1].group == 1
        assert bench.status(1).missing == ()
        assert bench.sim.outputs[1].on
        assert bench.status(1).current_ma == 80_000

    bench_run(body)


def test_a_module_fault_is_named_and_takes_its_power_out_of_the_sum() -> None:
    async def body(bench: Bench) -> None:
        await bench.ticks(100, on(420_000, 80_000))
        bench.sim.set_fault(0, "fan fault", on=True)
        bench.sim.set_fault(0, "over temperature", on=True)
        await bench.ticks(20, on(420_000, 80_000))
        status = bench.status(1)
        assert status.faults == ("0: fan fault", "0: over temperature")
        assert (status.modules_faulty, status.modules_present, status.available_w) == (1, 2, 30_000)
        bench.sim.set_fault(0, "fan fault", on=False)
        bench.sim.set_fault(0, "over temperature", on=False)
        await bench.ticks(20, on(420_000, 80_000))
        assert bench.status(1).faults == ()

    bench_run(body)


def test_a_group_without_any_answer_has_no_reading() -> None:
    async def body(bench: Bench) -> None:
        await bench.ticks(60, OFF)
        for address in GROUPS[2]:
            bench.sim.mute(address, on=True)
        await bench.ticks(120, OFF)
        reading = bench.modules.reading(2)
        assert isinstance(reading, NoData)
        assert reading.reason is NoDataReason.TIMEOUT
        assert "group 2: no answer from module 2, 3 in 3 polls" in reading.detail
        assert bench.status(1).modules_present == 2

    bench_run(body)


def test_levels_that_nobody_repeats_are_switched_off() -> None:
    async def body(bench: Bench) -> None:
        await bench.ticks(60, on(420_000, 80_000))
        assert bench.sim.outputs[0].on
        await asyncio.sleep(4.5)
        assert not any(m.on for m in bench.sim.outputs.values())
        await bench.ticks(1, on(420_000, 80_000))
        assert bench.sim.outputs[0].on

    bench_run(body)


def test_a_lost_channel_is_named_and_comes_back_with_everything_off_first() -> None:
    async def body(bench: Bench) -> None:
        await bench.ticks(100, on(420_000, 80_000))
        await bench.unplug()
        await bench.ticks(2, OFF)
        reading = bench.modules.reading(1)
        assert isinstance(reading, NoData)
        assert (reading.reason, "modules[virtual:bench]" in reading.detail) == (NoDataReason.DISCONNECTED, True)
        assert bench.sim.outputs[0].on  # nobody can tell it; its own watchdog does
        await bench.ticks(210, OFF)
        assert not bench.sim.outputs[0].delivers(bench.clock.now())
        assert bench.sim.outputs[0].interrupted
        bench.plugged = True
        bench.frames.clear()
        await bench.ticks(140, OFF)
        assert bench.frames[0][2].data == ip.OUTPUT_OFF_DATA
        assert bench.status(1).modules_present == 2
        assert bench.modules.reconnects >= 3
        assert bench.modules.health()[0].online

    bench_run(body)


def test_the_owner_switches_off_when_it_is_cancelled() -> None:
    async def body(bench: Bench) -> None:
        await bench.ticks(60, on(420_000, 80_000))
        bench.tasks[2].cancel()
        await asyncio.wait([bench.tasks[2]])
        await asyncio.sleep(0)
        assert not any(m.on for m in bench.sim.outputs.values())

    bench_run(body)


def test_a_module_that_loses_only_its_group_number_gets_it_again() -> None:
    async def body(bench: Bench) -> None:
        await bench.ticks(60, OFF)
        bench.sim.outputs[3].group = 9
        await bench.ticks(60, OFF)
        assert bench.sim.outputs[3].group == 2

    bench_run(body)


def test_a_sleeping_module_is_woken_when_its_group_is_wanted() -> None:
    async def body(bench: Bench) -> None:
        bench.sim.outputs[0].sleeping = True
        await bench.ticks(60, OFF)
        assert bench.sim.outputs[0].sleeping
        await bench.ticks(30, on(420_000, 80_000))
        assert not bench.sim.outputs[0].sleeping
        assert bench.status(1).current_ma == 80_000

    bench_run(body)


def test_a_module_that_reports_another_group_for_ever_is_used_and_named() -> None:
    async def stubborn(node: MemoryCan) -> None:
        """Module 0 of a firmware that always reports group 9."""
        while True:
            frame = await node.recv()
            command = frame.can_id >> 16 & 0x3F
            data = {Command.STATUS: ip.pack_status(ip.Status(9, 30, ip.OUTPUT_OFF))}.get(Command(command), frame.data)
            if frame.can_id >> 8 & 0xFF in (0, ip.BROADCAST) and frame.can_id & 0xFF == ip.CONTROLLER:
                node.send_now(CanFrame(ip.identifier(command, ip.CONTROLLER, 0), data))

    async def body(bench: Bench) -> None:
        bench.sim.mute(0, on=True)
        bench.tasks.append(asyncio.ensure_future(stubborn(bench.bus.node())))
        await bench.ticks(600, OFF)
        told = [f for _, f in bench.sent(Command.GROUP_NUMBER) if f.can_id >> 8 & 0xFF == 0]
        assert len(told) == driver_module.SETUPS_MAX
        assert "module 0 reports group 9, it was told 1" in bench.modules.last_error
        assert bench.status(1).modules_present == 2

    bench_run(body)


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.tuples(st.integers(0, (1 << 29) - 1), st.binary(max_size=8), st.booleans()), max_size=30))
def test_any_frames_on_the_bus_leave_driver_and_modules_working(frames: list[tuple[int, bytes, bool]]) -> None:
    async def body(bench: Bench) -> None:
        await bench.ticks(60, OFF)
        noise = bench.bus.node()
        for can_id, data, aimed in frames:
            # half of them look like replies to the controller, so that they reach the parsers
            noise.send_now(CanFrame(can_id & ~0xFFFF | ip.CONTROLLER << 8 | can_id & 3 if aimed else can_id, data))
            await bench.ticks(1, OFF)
        for task in bench.tasks:
            assert not task.done()
        await bench.ticks(120, OFF)
        assert bench.status(1).modules_present == 2
        assert not any(m.on for m in bench.sim.outputs.values())

    bench_run(body)


def test_a_module_that_delivers_outside_its_group_is_switched_off_by_itself() -> None:
    async def body(bench: Bench) -> None:
        await bench.ticks(60, OFF)
        rogue = bench.sim.outputs[3]
        rogue.group, rogue.set_mv, rogue.set_total_ma = 9, 500_000, 20_000
        rogue.switch(bench.clock.now(), on=True)
        await bench.ticks(60, OFF)
        assert not rogue.on

    bench_run(body)


def test_unconfigured_modules_and_refusals_are_named() -> None:
    async def body(bench: Bench) -> None:
        stranger = bench.bus.node()
        stranger.send_now(CanFrame(ip.identifier(Command.STATUS, ip.CONTROLLER, 33), ip.ZEROS))
        await bench.ticks(20, OFF)
        stranger.send_now(CanFrame(ip.identifier(Command.STATUS, ip.CONTROLLER, 33), ip.ZEROS))
        await bench.ticks(2, OFF)
        assert "module 33 answers but is not configured" in bench.modules.health()[0].detail
        stranger.send_now(CanFrame(ip.identifier(Command.MODULE_VI, ip.CONTROLLER, 0), b"\x01"))
        stranger.send_now(CanFrame(ip.identifier(Command.ON_OFF, ip.CONTROLLER, 0, error=3), ip.ZEROS))
        await bench.ticks(2, OFF)
        assert bench.modules.errors == 2
        assert "module 0 answers invalid data to 0x1A" in bench.modules.last_error

    bench_run(body)


def test_walk_in_ramps_slowly_and_soft_start_does_not_jump() -> None:
    async def body(bench: Bench) -> None:
        module = bench.sim.outputs[0]
        module.set_mv, module.set_total_ma = 500_000, 50_000
        module.switch(0, on=True)
        assert module.voltage_now_mv(200 * NS_PER_MS) == 250_000
        assert module.voltage_now_mv(NS_PER_S) == 500_000
        module.walk_in = True
        assert module.voltage_now_mv(2 * NS_PER_S) == 125_000
        await asyncio.sleep(0)

    bench_run(body)


def test_wrong_addresses_are_refused_all_at_once() -> None:
    async def main() -> None:
        bench = Bench(loop)
        with pytest.raises(ConfigError) as caught:
            InfypowerModules(
                [InfypowerGroup(group_id=1, addresses=(1, 2)), InfypowerGroup(group_id=1, addresses=(2, 61))],
                "virtual", "x", 125_000, bench, bench.clock, Random(1),
            )  # fmt: skip
        assert len(caught.value.problems) == 3

    loop = VirtualLoop()
    run_virtual(main(), loop)
