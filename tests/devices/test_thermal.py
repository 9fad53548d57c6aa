"""Temperature sensors and fan on a fake kernel."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from evse.devices.interfaces import Fan, FanStatus, TemperatureSensors
from evse.devices.io_spec import TemperatureSpec
from evse.devices.polled import inline
from evse.devices.thermal import LinuxFan, LinuxTemperatures
from evse.domain.readings import NoData, Sample
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.transports.hwmon import HwmonFan, list_w1
from tests._support.fake_sysfs import FakeSysfs

GUN, BOARD = "28-00000a1b2c3d", "28-00000a1b2c3e"
SENSORS = (
    TemperatureSpec(name="gun", bus="w1", device=GUN),
    TemperatureSpec(name="board", bus="w1", device=BOARD),
    TemperatureSpec(name="soc", bus="hwmon", device="imx_thermal_zone"),
)


def with_sensors(path: Path, test: Callable[[FakeSysfs, LinuxTemperatures], Awaitable[None]]) -> None:
    tree = FakeSysfs(path)
    tree.w1(GUN, 23_125)
    tree.file(f"sys/bus/w1/devices/{BOARD}/temperature", "-5060\n")
    tree.file("sys/class/hwmon/hwmon2/name", "imx_thermal_zone\n")
    tree.file("sys/class/hwmon/hwmon2/temp1_input", "41250\n")
    loop = VirtualLoop()

    async def main() -> None:
        sensors = LinuxTemperatures(
            "housing", SENSORS, VirtualClock(loop), random.Random(1), root=path, offload=inline
        )
        port: TemperatureSensors = sensors
        task = asyncio.create_task(port.run())
        await asyncio.sleep(0.1)
        await test(tree, sensors)
        assert not task.done()

    run_virtual(main(), loop)


def values(sensors: LinuxTemperatures) -> dict[str, int | None]:
    return {name: r.value if isinstance(r, Sample) else None for name, r in sensors.readings().items()}


def test_all_sensors_are_read_and_listed(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, sensors: LinuxTemperatures) -> None:
        assert values(sensors) == {"gun": 231, "board": -51, "soc": 413}
        assert list_w1(tmp_path) == [GUN, BOARD]
        assert list_w1(tmp_path / "nothing") == []

    with_sensors(tmp_path, test)


def test_a_damaged_reading_keeps_the_last_value_for_ten_seconds_then_names_the_sensor(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, sensors: LinuxTemperatures) -> None:
        tree.w1(GUN, 30_000, good=False)
        await asyncio.sleep(8)
        assert values(sensors)["gun"] == 231
        assert sensors.lost() == ""
        await asyncio.sleep(6)
        assert values(sensors) == {"gun": None, "board": -51, "soc": 413}
        reading = sensors.readings()["gun"]
        assert isinstance(reading, NoData)
        assert "sensor gun: 1-wire: checksum" in reading.detail
        assert "gun" in sensors.lost()
        tree.w1(GUN, 30_000)
        await asyncio.sleep(4)
        assert values(sensors)["gun"] == 300
        assert sensors.lost() == ""

    with_sensors(tmp_path, test)


def test_a_sensor_that_was_pulled_and_put_back(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, sensors: LinuxTemperatures) -> None:
        (tmp_path / f"sys/bus/w1/devices/{GUN}/w1_slave").unlink()
        await asyncio.sleep(20)
        assert values(sensors)["gun"] is None
        assert GUN in sensors.lost()
        tree.w1(GUN, 25_000)
        await asyncio.sleep(4)
        assert values(sensors)["gun"] == 250

    with_sensors(tmp_path, test)


def with_fan(
    path: Path, test: Callable[[FakeSysfs, LinuxFan], Awaitable[None]], *, rpm: int | None = 1500
) -> FakeSysfs:
    tree = FakeSysfs(path)
    tree.fan("other", index=0, duty=1)
    tree.fan("pwmfan", index=5, rpm=rpm)
    loop = VirtualLoop()

    async def main() -> None:
        fan = LinuxFan(
            "cabinet", HwmonFan("pwmfan", root=path), VirtualClock(loop), random.Random(1), offload=inline
        )
        port: Fan = fan
        task = asyncio.create_task(port.run())
        await asyncio.sleep(0.1)
        await test(tree, fan)
        assert not task.done()

    run_virtual(main(), loop)
    return tree


def status(fan: LinuxFan) -> FanStatus:
    reading = fan.reading()
    assert isinstance(reading, Sample)
    return reading.value


def test_the_kernel_keeps_the_fan_until_a_command_and_gets_it_back(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, fan: LinuxFan) -> None:
        assert status(fan) == FanStatus(duty_permille=502, rpm=1500)
        await asyncio.sleep(5)
        assert tree.text("sys/class/hwmon/hwmon5/pwm1_enable") == "2"
        fan.command(1_200)
        await asyncio.sleep(0.001)
        assert tree.text("sys/class/hwmon/hwmon5/pwm1_enable") == "1"
        assert tree.text("sys/class/hwmon/hwmon5/pwm1") == "255"
        assert status(fan).duty_permille == 1000

    tree = with_fan(tmp_path, test)
    assert tree.text("sys/class/hwmon/hwmon5/pwm1_enable") == "2"


def test_a_fan_that_nobody_controlled_is_left_at_full_speed(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, fan: LinuxFan) -> None:
        tree.file("sys/class/hwmon/hwmon5/pwm1_enable", "1\n")
        fan.command(300)
        await asyncio.sleep(0.01)
        assert tree.text("sys/class/hwmon/hwmon5/pwm1") == "77"

    tree = with_fan(tmp_path, test)
    assert tree.text("sys/class/hwmon/hwmon5/pwm1") == "255"


def test_a_fan_that_stands_still_while_driven_is_stalled(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, fan: LinuxFan) -> None:
        tree.file("sys/class/hwmon/hwmon5/fan1_input", "0\n")
        await asyncio.sleep(4)
        assert not status(fan).stalled
        await asyncio.sleep(3)
        assert status(fan).stalled
        tree.file("sys/class/hwmon/hwmon5/pwm1", "20\n")  # 8 %: it may stand still
        await asyncio.sleep(1.5)
        assert not status(fan).stalled

    with_fan(tmp_path, test)


def test_a_fan_without_tachometer_and_one_that_is_gone(tmp_path: Path) -> None:
    async def test(tree: FakeSysfs, fan: LinuxFan) -> None:
        assert status(fan) == FanStatus(duty_permille=502, rpm=None)
        (tmp_path / "sys/class/hwmon/hwmon5").rename(tmp_path / "gone")
        await asyncio.sleep(12)
        assert isinstance(fan.reading(), NoData)
        assert "no device called 'pwmfan'; there are: other" in fan.lost()
        (tmp_path / "gone").rename(tmp_path / "sys/class/hwmon/hwmon9")  # another number
        await asyncio.sleep(11)
        assert status(fan).duty_permille == 502
        assert fan.lost() == ""

    with_fan(tmp_path, test, rpm=None)
