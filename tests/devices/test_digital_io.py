"""Digital inputs and outputs on a fake kernel: polarity, debouncing, thresholds, leases, loss and return."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.devices.digital_io import LinuxIo
from evse.devices.interfaces import DigitalIo
from evse.devices.io_filter import InputFilter, rotary_position
from evse.devices.io_spec import AdcChannel, GpioLine, InputSpec, OutputSpec
from evse.devices.polled import in_thread, inline
from evse.domain.base import ConfigError
from evse.domain.readings import NoData, NoDataReason, Sample
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.runtime.clock import RealClock
from evse.transports.gpio_chardev import ChipLines
from evse.transports.sysfs import ReferencePwm
from evse.units import NS_PER_MS, ms
from tests._support.fake_sysfs import FakeChip, FakeSysfs

INPUTS = (
    InputSpec(name="emergency", source=GpioLine(line=121)),
    InputSpec(name="door", source=GpioLine(line=122), active_low=True, debounce_ms=100),
    InputSpec(name="sense", source=AdcChannel(device="2198000.adc", channel=0, gain_permille=4000), debounce_ms=0),
)
OUTPUTS = (
    OutputSpec(name="led", source=GpioLine(line=84)),
    OutputSpec(name="trigger", source=GpioLine(line=87), active_low=True),
)


def tree_of(path: Path) -> FakeSysfs:
    tree = FakeSysfs(path)
    for number in (121, 122, 84, 87):
        tree.gpio(number)
    tree.adc("other.adc", index=0, raw=4095)
    tree.adc("2198000.adc", index=3, raw=0)
    return tree


def run(
    path: Path,
    test: Callable[[FakeSysfs, LinuxIo, VirtualClock], Awaitable[None]],
    prepare: Callable[[FakeSysfs], None] = lambda tree: None,
    reference: bool = False,
) -> FakeSysfs:
    tree = tree_of(path)
    prepare(tree)
    loop = VirtualLoop()
    clock = VirtualClock(loop)

    async def main() -> None:
        io = LinuxIo(
            "board", INPUTS, OUTPUTS, clock, random.Random(1), root=path, offload=inline,
            reference=ReferencePwm(root=path) if reference else None, reference_mv=6_000,
        )
        port: DigitalIo = io
        task = asyncio.create_task(port.run())
        await asyncio.sleep(0.03)
        await test(tree, io, clock)
        assert not task.done()

    run_virtual(main(), loop)
    return tree


def active(io: LinuxIo, name: str) -> bool:
    reading = io.inputs()[name]
    assert isinstance(reading, Sample), reading
    return reading.value


def test_levels_polarity_and_debouncing(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, io: LinuxIo, clock: VirtualClock) -> None:
        assert active(io, "emergency") is False
        assert active(io, "door") is True  # low, active low
        tree.drive(122, high=True)
        await asyncio.sleep(0.08)
        assert active(io, "door") is True  # not stable for 100 ms yet
        tree.drive(122, high=False)
        await asyncio.sleep(0.04)
        tree.drive(122, high=True)
        await asyncio.sleep(0.09)
        assert active(io, "door") is True  # the bounce began the time anew
        await asyncio.sleep(0.06)
        assert active(io, "door") is False
        tree.drive(121, high=True)
        await asyncio.sleep(0.065)
        assert active(io, "emergency") is True

    run(tmp_path, test)


def test_an_analog_input_has_a_threshold_with_hysteresis_and_is_found_by_name(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, io: LinuxIo, clock: VirtualClock) -> None:
        for raw, millivolts, expected in (
            (1_855, 5_978, False), (1_862, 6_001, True), (1_710, 5_511, True), (1_700, 5_479, False),
            (1_855, 5_978, False),
        ):
            tree.adc_raw(raw, index=3)
            await asyncio.sleep(0.03)
            voltage = io.millivolts()["sense"]
            assert isinstance(voltage, Sample)
            assert voltage.value == millivolts
            assert active(io, "sense") is expected, raw

    run(tmp_path, test)


def test_a_broken_adc_takes_its_own_input_only_and_comes_back(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, io: LinuxIo, clock: VirtualClock) -> None:
        tree.file("sys/bus/iio/devices/iio:device3/in_voltage0_raw", "garbage")
        await asyncio.sleep(1)
        reading = io.inputs()["sense"]
        assert isinstance(reading, NoData)
        assert reading.reason is NoDataReason.ERROR
        assert "'garbage' is not a whole number" in reading.detail
        assert active(io, "emergency") is False
        assert io.lost() == ""
        await asyncio.sleep(10)
        assert "input sense" in io.lost()
        tree.adc_raw(2_000, index=3)
        await asyncio.sleep(0.05)
        assert active(io, "sense") is True
        assert io.lost() == ""

    run(tmp_path, test)


def test_outputs_begin_at_rest_follow_at_once_and_fall_back_without_commands(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, io: LinuxIo, clock: VirtualClock) -> None:
        assert tree.text("sys/class/gpio/gpio84/direction") == "low"
        assert tree.text("sys/class/gpio/gpio87/direction") == "high"
        io.command({"led": True, "trigger": True})
        await asyncio.sleep(0.001)  # far less than a period
        assert (tree.text("sys/class/gpio/gpio84/value"), tree.text("sys/class/gpio/gpio87/value")) == ("1", "0")
        assert io.outputs()["trigger"] == Sample(value=True, at=clock.now() - NS_PER_MS)
        io.command({"led": True})
        await asyncio.sleep(2.9)
        assert (tree.text("sys/class/gpio/gpio84/value"), tree.text("sys/class/gpio/gpio87/value")) == ("1", "1")
        await asyncio.sleep(0.2)
        assert tree.text("sys/class/gpio/gpio84/value") == "0"
        io.command({"led": True})
        await asyncio.sleep(0.1)
        assert tree.text("sys/class/gpio/gpio84/value") == "1"
        with pytest.raises(KeyError, match="no output called buzzer"):
            io.command({"buzzer": True})

    tree = run(tmp_path, test)
    assert tree.text("sys/class/gpio/gpio84/value") == "0"  # the driver has ended


def test_a_missing_pin_is_named_the_rest_waits_and_it_comes_back(tmp_path: Path) -> None:
    gone = "sys/class/gpio/gpio121"

    def prepare(tree: FakeSysfs) -> None:
        (tree.root / gone).rename(tree.root / "aside")

    async def test(tree: FakeSysfs, io: LinuxIo, clock: VirtualClock) -> None:
        reading = io.inputs()["emergency"]
        assert isinstance(reading, NoData)
        assert reading.reason is NoDataReason.NEVER
        assert "gpio121: not there after export" in io.health()[0].detail
        assert tree.text("sys/class/gpio/export") == "121"
        assert io.lost() == ""
        await asyncio.sleep(11)
        assert "gpio121" in io.lost()
        assert not io.health()[0].online
        (tree.root / "aside").rename(tree.root / gone)
        await asyncio.sleep(11)
        assert active(io, "emergency") is False
        assert io.lost() == ""
        assert io.health()[0].online

    run(tmp_path, test, prepare)


def test_the_reference_voltage_of_the_inputs_is_set(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, io: LinuxIo, clock: VirtualClock) -> None:
        base = "sys/class/pwm/pwmchip1/pwm0"
        # 25 kHz, 6 V of 12 V: the example of the manual.
        assert [tree.text(f"{base}/{name}") for name in ("period", "duty_cycle", "enable")] == ["40000", "20000", "1"]

    run(tmp_path, test, lambda tree: tree.pwm(), reference=True)


def test_lines_of_a_chip_are_asked_for_read_and_written_together(tmp_path: Path) -> None:
    tree = FakeSysfs(tmp_path)
    chip = FakeChip(tree)
    chip.levels[4] = True
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    inputs = [InputSpec(name=f"in{n}", source=GpioLine(chip="gpiochip0", line=n), debounce_ms=0) for n in (3, 4)]
    outputs = [
        OutputSpec(name="a", source=GpioLine(chip="gpiochip0", line=9)),
        OutputSpec(name="b", source=GpioLine(chip="gpiochip0", line=7), active_low=True),
    ]

    def lines_of(name: str, offsets: Sequence[int]) -> ChipLines:
        return ChipLines(name, offsets, tmp_path, chip.ioctl)

    async def main() -> None:
        io = LinuxIo(
            "pins", inputs, outputs, clock, random.Random(1), root=tmp_path, offload=inline, lines_of=lines_of
        )
        task = asyncio.create_task(io.run())
        await asyncio.sleep(0.03)
        assert [active(io, name) for name in ("in3", "in4")] == [False, True]
        assert chip.outputs == {9, 7}
        assert (chip.levels[9], chip.levels[7]) == (False, True)
        io.command({"a": True, "b": True})
        await asyncio.sleep(0.03)
        assert (chip.levels[9], chip.levels[7]) == (True, False)
        chip.broken = True
        await asyncio.sleep(0.05)
        assert isinstance(io.inputs()["in3"], NoData)
        assert "gpiochip0" in io.health()[0].detail
        assert "the device has gone" in io.health()[0].detail
        chip.broken = False
        chip.taken = {3}
        await asyncio.sleep(1)
        assert "another program or driver uses it" in io.health()[0].detail
        chip.taken = set()
        io.command({"a": True})
        await asyncio.sleep(5)
        io.command({"a": True})
        await asyncio.sleep(0.03)
        assert chip.levels[9] is True
        task.cancel()
        await asyncio.wait([task])
        assert (chip.levels[9], chip.levels[7]) == (False, True)

    run_virtual(main(), loop)


def test_names_and_pins_are_used_once() -> None:
    loop = VirtualLoop()
    twice = (*INPUTS, InputSpec(name="door", source=GpioLine(line=121)))
    with pytest.raises(ConfigError) as caught:
        LinuxIo("board", twice, OUTPUTS, VirtualClock(loop), random.Random(1))
    assert len(caught.value.problems) == 2
    loop.close()


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=40), st.booleans(), st.integers(0, 100))
def test_an_input_changes_only_to_a_level_that_stood_for_its_time(
    samples: list[tuple[int, bool]], active_low: bool, debounce_ms: int
) -> None:
    spec = InputSpec(name="x", source=GpioLine(line=1), active_low=active_low, debounce_ms=debounce_ms)
    filter_ = InputFilter(spec)
    now, before, stood_since, last = 0, None, 0, None
    for step, high in samples:
        now += ms(step)
        if high is not last:
            last, stood_since = high, now
        result = filter_.level(high, now)
        if before is not None and result is not before:
            assert result is (high is not active_low)
            assert now - stood_since >= ms(debounce_ms)
        if before is None or now - stood_since > ms(debounce_ms):
            assert before is None or result is (high is not active_low)
        before = result


def test_rotary_switch_needs_all_four_inputs() -> None:
    bits: list[Sample[bool] | NoData] = [Sample(value=v, at=5) for v in (True, False, True, True)]
    assert rotary_position(bits) == Sample(value=13, at=5)
    bits[2] = NoData(reason=NoDataReason.ERROR, since=1, detail="x")
    assert isinstance(rotary_position(bits), NoData)
    assert isinstance(rotary_position(bits[:2]), NoData)


def test_a_worker_thread_reads_a_real_tree(tmp_path: Path) -> None:
    """Tier R: the thread, real time, no assertion on latency."""
    tree = tree_of(tmp_path)
    tree.drive(121, high=True)

    async def main() -> None:
        io = LinuxIo("board", INPUTS, OUTPUTS, RealClock(), random.Random(1), root=tmp_path, offload=in_thread)
        task = asyncio.create_task(io.run())
        async with asyncio.timeout(20):
            while not isinstance(io.inputs()["emergency"], Sample):
                await asyncio.sleep(0)
        assert active(io, "emergency") is True
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
