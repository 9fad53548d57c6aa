"""Serial transport on real pseudo-terminals: real time, generous deadlines, no latency asserted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
import tty
from collections.abc import Callable
from pathlib import Path

import pytest

from evse.devices.board_link import BoardLinkDriver
from evse.domain.base import DeviceError
from evse.domain.readings import Sample
from evse.protocols import board_link_messages as m
from evse.sim.hw.board import BoardPlant, SimBoard
from evse.transports.base import SerialSettings
from evse.transports.real import RealOpeners
from evse.transports.serial import WRITE_BUFFER_MAX, open_serial

DEADLINE_S = 20.0


class WallClock:
    """The machine's clocks."""

    def now(self) -> int:
        return time.monotonic_ns()

    def wall(self) -> int:
        return time.time_ns()

    def wall_valid(self) -> bool:
        return True


class Pty:
    """A pseudo-terminal behind a stable name, as udev makes one. `unplug` takes both away, `plug` makes new ones."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.master = -1
        self.plug()

    def plug(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.master, False)
        self.link.symlink_to(os.ttyname(slave))
        os.close(slave)

    def unplug(self) -> None:
        self.link.unlink()
        os.close(self.master)
        self.master = -1


class MasterStream:
    """The far end of a pty as `ByteStream` for the simulated board."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._closed = False

    async def read(self) -> bytes:
        loop = asyncio.get_running_loop()
        while not self._closed:
            with contextlib.suppress(BlockingIOError, OSError):  # EIO until the other side opens
                data = os.read(self._fd, 4096)
                if data:
                    return data
            ready = loop.create_future()
            loop.call_later(0.005, ready.set_result, None)
            await ready
        raise DeviceError("closed")

    async def write(self, data: bytes) -> None:
        if self._closed:
            raise DeviceError("closed")
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._fd, data)

    async def close(self) -> None:
        self._closed = True


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` or fail after the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


def run(main: Callable[[Pty, SerialSettings], object], tmp_path: Path, *, echo: bool = False) -> None:
    pty = Pty(tmp_path / "port")
    settings = SerialSettings(port=str(pty.link), baud=115_200, echo=echo)

    async def guarded() -> None:
        result = main(pty, settings)
        assert asyncio.iscoroutine(result)
        async with asyncio.timeout(3 * DEADLINE_S):
            await result

    try:
        asyncio.run(guarded())
    finally:
        if pty.master >= 0:
            os.close(pty.master)


def test_bytes_pass_both_ways_unchanged(tmp_path: Path) -> None:
    async def main(pty: Pty, settings: SerialSettings) -> None:
        stream = await open_serial(settings)
        everything = bytes(range(256))
        await stream.write(everything)
        async with asyncio.timeout(DEADLINE_S):
            heard = b""
            while len(heard) < 256:
                with contextlib.suppress(BlockingIOError):
                    heard += os.read(pty.master, 4096)
                await asyncio.sleep(0)
            assert heard == everything
            os.write(pty.master, everything)
            got = b""
            while len(got) < 256:
                got += await stream.read()
            assert got == everything
        await stream.close()

    run(main, tmp_path)


def test_second_opener_is_refused_with_the_remedy(tmp_path: Path) -> None:
    async def main(pty: Pty, settings: SerialSettings) -> None:
        stream = await open_serial(settings)
        with pytest.raises(DeviceError, match="another program has it open"):
            await open_serial(settings)
        await stream.close()
        again = await open_serial(settings)
        await again.close()

    run(main, tmp_path)


def test_missing_port_and_ordinary_file_are_named(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(DeviceError, match=r"nothing.*is the adapter plugged in"):
            await open_serial(SerialSettings(port=str(tmp_path / "nothing")))
        (tmp_path / "file").write_text("x")
        with pytest.raises(DeviceError, match="file"):
            await open_serial(SerialSettings(port=str(tmp_path / "file")))

    asyncio.run(main())


def test_hang_up_ends_a_waiting_read_and_later_writes(tmp_path: Path) -> None:
    async def main(pty: Pty, settings: SerialSettings) -> None:
        stream = await open_serial(settings)
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        pty.unplug()
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(DeviceError, match="connection lost"):
                await reading
        with pytest.raises(DeviceError):
            await stream.write(b"x")
        await stream.close()

    run(main, tmp_path)


def test_close_ends_a_waiting_read(tmp_path: Path) -> None:
    async def main(pty: Pty, settings: SerialSettings) -> None:
        stream = await open_serial(settings)
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        await stream.close()
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(DeviceError, match="closed"):
                await reading

    run(main, tmp_path)


def test_write_waits_while_nobody_reads_and_goes_on_when_somebody_does(tmp_path: Path) -> None:
    async def main(pty: Pty, settings: SerialSettings) -> None:
        stream = await open_serial(settings)
        block = b"\x55" * 4096
        sent = 0

        async def fill() -> None:
            nonlocal sent
            while sent < 40:
                await stream.write(block)
                sent += 1

        writer = asyncio.create_task(fill())
        for _ in range(200):
            await asyncio.sleep(0)
        assert not writer.done()
        assert len(stream._out) <= WRITE_BUFFER_MAX + len(block)
        heard = 0
        async with asyncio.timeout(DEADLINE_S):
            while heard < 40 * len(block):
                with contextlib.suppress(BlockingIOError):
                    heard += len(os.read(pty.master, 65536))
                await asyncio.sleep(0)
            await writer
        await stream.close()

    run(main, tmp_path)


def test_echo_is_removed_and_the_answer_stays(tmp_path: Path) -> None:
    async def main(pty: Pty, settings: SerialSettings) -> None:
        stream = await open_serial(settings)
        await stream.write(b"\x01\x02\x03")
        os.write(pty.master, b"\x01\x02")
        os.write(pty.master, b"\x03\xaa\xbb")
        async with asyncio.timeout(DEADLINE_S):
            got = b""
            while len(got) < 2:
                got += await stream.read()
        assert got == b"\xaa\xbb"
        await stream.close()

    run(main, tmp_path, echo=True)


def test_wrong_echo_is_a_collision_and_the_port_can_be_used_further(tmp_path: Path) -> None:
    async def main(pty: Pty, settings: SerialSettings) -> None:
        stream = await open_serial(settings)
        await stream.write(b"\x01\x02\x03")
        os.write(pty.master, b"\x01\xff\x03")
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(DeviceError, match=r"collision: sent .*02 03 but heard"):
                while True:
                    await stream.read()
            os.write(pty.master, b"ok")
            got = b""
            while b"ok" not in got:
                got += await stream.read()
        await stream.close()

    run(main, tmp_path, echo=True)


def test_board_survives_unplug_and_replug_without_restart(tmp_path: Path) -> None:
    async def main(pty: Pty, settings: SerialSettings) -> None:
        clock = WallClock()
        board = SimBoard(BoardPlant(), random.Random(5))
        driver = BoardLinkDriver(1, settings, RealOpeners(), clock, random.Random(6))
        owner = asyncio.create_task(driver.run())
        far = MasterStream(pty.master)
        serving = asyncio.create_task(board.serve(far, clock))
        await until(lambda: isinstance(driver.reading(), Sample))

        await far.close()
        pty.unplug()
        await until(lambda: not isinstance(driver.reading(), Sample))
        await serving

        pty.plug()
        serving = asyncio.create_task(board.serve(MasterStream(pty.master), clock))
        await until(lambda: isinstance(driver.reading(), Sample))
        assert driver.counters.reconnects >= 1
        assert driver.info is not None
        assert driver.info.capabilities & m.Capability.DC
        for task in (owner, serving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    run(main, tmp_path)


def test_write_now_takes_bytes_until_the_line_stands_still_and_keeps_their_order(tmp_path: Path) -> None:
    async def main(pty: Pty, settings: SerialSettings) -> None:
        stream = await open_serial(settings)
        taken = 0
        while stream.write_now(taken.to_bytes(4, "big") * 64):
            taken += 1
            assert taken < 10_000
        assert taken > 0
        heard = b""
        async with asyncio.timeout(DEADLINE_S):
            while len(heard) < taken * 256:
                with contextlib.suppress(BlockingIOError):
                    heard += os.read(pty.master, 65536)
                await asyncio.sleep(0)
        assert heard == b"".join(number.to_bytes(4, "big") * 64 for number in range(taken))
        assert stream.write_now(b"again")
        pty.unplug()
        with pytest.raises(DeviceError):
            while stream.write_now(b"x"):
                await asyncio.sleep(0)
        await stream.close()

    run(main, tmp_path)


def test_write_now_is_refused_with_echo(tmp_path: Path) -> None:
    async def main(pty: Pty, settings: SerialSettings) -> None:
        stream = await open_serial(settings)
        assert not stream.write_now(b"x")
        await stream.close()

    run(main, tmp_path, echo=True)
