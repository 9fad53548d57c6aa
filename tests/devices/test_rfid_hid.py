"""Keyboard readers: the driver on event bytes, the grabbed device, discovery by name."""

from __future__ import annotations

import asyncio
import errno
import os
import random
from pathlib import Path

import pytest

from evse.devices.rfid_hid import HidDriver
from evse.domain.base import DeviceError
from evse.protocols.rfid_hid import event, typed
from evse.sim.hw.rfid_hid import SimHid
from evse.transports.base import SerialSettings
from evse.transports.evdev import InputDevice, is_input, list_inputs, open_input
from evse.transports.real import RealOpeners
from tests._support.fake_sysfs import FakeSysfs
from tests.rfid.rig import PORT, Rig, with_rig
from tests.rfid.test_contract import ReaderContract

HidRig = Rig[HidDriver, SimHid]
CARD = bytes.fromhex("04A1B2C3")


class TestHid(ReaderContract):
    driver = HidDriver
    sim = SimHid


def test_decimal_cards() -> None:
    async def test(rig: HidRig) -> None:
        await rig.forward_ms(100)
        rig.sim.present(CARD)
        await rig.forward_ms(10)
        assert rig.driver.take() == ["04A1B2C3"]

    with_rig(HidDriver, lambda: SimHid(decimal=True), test)


def test_keys_with_a_long_pause_between_are_no_card() -> None:
    async def test(rig: HidRig) -> None:
        await rig.forward_ms(100)
        assert rig.openers.line is not None
        assert rig.openers.line.peer is not None
        keyboard = rig.openers.line.peer
        half = typed("0000")[:-96]  # without Enter
        keyboard.write_now(half)
        await rig.forward_ms(400)
        keyboard.write_now(typed("0001"))
        await rig.forward_ms(10)
        assert rig.driver.take() == ["00000001"]
        keyboard.write_now(half)
        await rig.forward_ms(600)
        keyboard.write_now(typed("04A1B2C3"))
        await rig.forward_ms(10)
        assert rig.driver.take() == ["04A1B2C3"]
        assert rig.driver.health()[0].errors == 1
        keyboard.write_now(event(1, 16, 1) + typed("04A1B2C3"))  # somebody typed a q before
        await rig.forward_ms(10)
        assert rig.driver.take() == []
        assert "'?04A1B2C3' is no card" in rig.driver.health()[0].detail
        assert rig.driver.lost() == ""

    with_rig(HidDriver, SimHid, test)


def test_a_pulled_reader_is_lost_after_its_time_of_grace() -> None:
    async def test(rig: HidRig) -> None:
        await rig.forward_ms(100)
        rig.unplug()
        await rig.forward_ms(9_900)
        assert rig.driver.lost() == ""
        assert not rig.driver.health()[0].online
        await rig.forward_ms(200)
        assert PORT in rig.driver.lost()
        rig.openers.plugged = True
        await rig.forward_ms(11_000)
        assert rig.driver.lost() == ""

    with_rig(HidDriver, SimHid, test)


def keyboards(path: Path) -> FakeSysfs:
    tree = FakeSysfs(path)
    tree.file("sys/class/input/event0/device/name", "Power Button\n")
    tree.file("sys/class/input/event0/device/capabilities/key", "10000000000000 0\n")
    tree.file("sys/class/input/event3/device/name", "Sycreader RFID\n")
    tree.file("sys/class/input/event3/device/capabilities/key", "e080ffdf01cfffff fffffffffffffffe\n")
    tree.file("sys/class/input/event4/device/name", "HID 6352:213a\n")
    tree.file("sys/class/input/event4/device/capabilities/key", "fffffffffffffffe\n")
    tree.file("dev/input/event4")
    (path / "dev/input/by-id").mkdir()
    (path / "dev/input/by-id/usb-6352_213a-event-kbd").symlink_to(path / "dev/input/event4")
    return tree


def test_keyboards_are_found_with_their_stable_names(tmp_path: Path) -> None:
    keyboards(tmp_path)
    assert list_inputs(tmp_path) == [
        InputDevice(port="/dev/input/by-id/usb-6352_213a-event-kbd", name="HID 6352:213a", event="event4"),
        InputDevice(port="input:Sycreader RFID", name="Sycreader RFID", event="event3"),
    ]
    assert list_inputs(tmp_path / "nothing") == []
    assert is_input("input:x")
    assert not is_input("/dev/ttyUSB0")


def test_an_event_device_is_grabbed_read_and_given_back(tmp_path: Path) -> None:
    """Tier R on a FIFO: only the grab itself is not the kernel's."""
    keyboards(tmp_path)
    os.mkfifo(tmp_path / "dev/input/event3")
    grabbed: list[int] = []

    async def main() -> None:
        stream = open_input("input:Sycreader RFID", tmp_path, grabbed.append)
        assert len(grabbed) == 1
        keyboard = os.open(tmp_path / "dev/input/event3", os.O_WRONLY)
        waiting = asyncio.ensure_future(stream.read())
        await asyncio.sleep(0)
        assert not waiting.done()
        os.write(keyboard, typed("04"))
        async with asyncio.timeout(20):
            assert await waiting == typed("04")
        with pytest.raises(DeviceError, match="takes no data"):
            await stream.write(b"x")
        waiting = asyncio.ensure_future(stream.read())
        await asyncio.sleep(0)
        os.close(keyboard)
        async with asyncio.timeout(20):
            with pytest.raises(DeviceError, match="is the reader plugged in"):
                await waiting
        with pytest.raises(DeviceError, match="plugged in"):
            await stream.read()
        await stream.close()

    asyncio.run(main())


def test_why_a_device_cannot_be_opened(tmp_path: Path) -> None:
    tree = keyboards(tmp_path)
    tree.file("sys/class/input/event5/device/name", "Sycreader RFID\n")
    tree.file("sys/class/input/event5/device/capabilities/key", "fffffffffffffffe\n")

    def busy(descriptor: int) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    with pytest.raises(DeviceError, match="another program has grabbed it"):
        open_input("/dev/input/event4", tmp_path, busy)
    with pytest.raises(DeviceError, match="2 devices have this name"):
        open_input("input:Sycreader RFID", tmp_path)
    with pytest.raises(DeviceError, match="no device has this name; there are: 'HID 6352:213a'"):
        open_input("input:Nobody", tmp_path)
    with pytest.raises(DeviceError, match="is the reader plugged in"):
        open_input("/dev/input/event9", tmp_path)
    with pytest.raises(DeviceError, match="this is not an input device"):
        open_input("/dev/input/event4", tmp_path)


def test_the_real_openers_open_keyboards_too() -> None:
    async def main() -> None:
        with pytest.raises(DeviceError, match=r"input:No such reader .*: no device has this name"):
            await RealOpeners().open_serial(SerialSettings(port=f"input:No such reader {random.Random(1).random()}"))

    asyncio.run(main())
