"""Inputs of the controller as files: read by the driver of the product, taken away by a fault, nothing outside their root."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from evse.config.model_io import InputSection, IoSection, OutputSection
from evse.devices.digital_io import LinuxIo
from evse.devices.io_spec import GpioLine, InputSpec, OutputSpec
from evse.devices.polled import inline
from evse.domain.base import ConfigError
from evse.domain.readings import NoData, Sample
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.sim.fault_catalogue import apply_fault
from evse.sim.faults import FaultArgs
from evse.sim.hw.sysfs_io import SimIo
from evse.sim.station import SimStation
from tests.sim.bench_ac import mixed


def section(root: Path) -> IoSection:
    """Two inputs, one active low, and an output."""
    return IoSection(
        root=str(root),
        evses=(2,),
        input=(InputSection(name="door", line=4), InputSection(name="fuse", line=5, active_low=True)),
        output=(OutputSection(name="fan", line=6),),
    )


def with_driver(root: Path, body: Callable[[LinuxIo, Callable[[float], Awaitable[None]]], Awaitable[None]]) -> None:
    """Run ``body`` with the product's driver on the files below ``root``."""
    loop = VirtualLoop()
    clock = VirtualClock(loop)

    async def main() -> None:
        import asyncio

        io = LinuxIo(
            "controller",
            [
                InputSpec(name="door", source=GpioLine(chip="", line=4)),
                InputSpec(name="fuse", source=GpioLine(chip="", line=5), active_low=True),
            ],
            [OutputSpec(name="fan", source=GpioLine(chip="", line=6))],
            clock,
            random.Random(1),
            root=root,
            offload=inline,
        )
        task = asyncio.create_task(io.run())
        try:
            await body(io, asyncio.sleep)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run_virtual(main(), loop)


def test_the_driver_reads_inputs_and_sets_outputs(tmp_path: Path) -> None:
    sim = SimIo.of(section(tmp_path))
    assert sim is not None

    async def body(io: LinuxIo, sleep: Callable[[float], Awaitable[None]]) -> None:
        await sleep(1)
        assert {n: r.value for n, r in io.inputs().items() if isinstance(r, Sample)} == {"door": False, "fuse": False}
        sim.drive(4, high=True)
        sim.drive(5, high=False)
        io.command({"fan": True})
        await sleep(1)
        assert {n: r.value for n, r in io.inputs().items() if isinstance(r, Sample)} == {"door": True, "fuse": True}
        assert (tmp_path / "sys/class/gpio/gpio6/value").read_text() == "1"

    with_driver(tmp_path, body)


def test_a_module_that_is_pulled_out_is_lost_after_the_time_of_grace_and_comes_back(tmp_path: Path) -> None:
    sim = SimIo.of(section(tmp_path))
    assert sim is not None

    async def body(io: LinuxIo, sleep: Callable[[float], Awaitable[None]]) -> None:
        await sleep(1)
        sim.unplug()
        sim.drive(4, high=True)  # nothing is there to be driven
        await sleep(9)
        assert io.lost() == ""
        await sleep(3)
        assert "gpio4" in io.lost() and all(isinstance(r, NoData) for r in io.inputs().values())
        sim.replug()
        await sleep(15)
        assert io.lost() == "" and all(isinstance(r, Sample) for r in io.inputs().values())

    with_driver(tmp_path, body)


def test_what_is_no_file_or_the_real_machine_is_left_alone(tmp_path: Path) -> None:
    assert SimIo.of(None) is None
    assert SimIo.of(msgspec.structs.replace(section(tmp_path), root="/")) is None
    chip = IoSection(root=str(tmp_path), input=(InputSection(name="a", chip="gpiochip0", line=1),))
    assert SimIo.of(chip) is None and not list(tmp_path.iterdir())
    sim = SimIo.of(section(tmp_path))
    assert sim is not None
    with pytest.raises(ConfigError, match="line = 6: no input of the controller; accepted: 4, 5"):
        sim.drive(6, high=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        SimIo.of(section(tmp_path / "file"))


def test_the_fault_acts_on_the_files_and_needs_them(tmp_path: Path) -> None:
    loop = VirtualLoop()
    with pytest.raises(ConfigError, match="io_lost: the controller has no simulated inputs"):
        apply_fault(SimStation(mixed(), VirtualClock(loop)), "io_lost", FaultArgs(), True)
    config = msgspec.structs.replace(mixed(), io=section(tmp_path))
    station = SimStation(config, VirtualClock(loop))
    line = tmp_path / "sys/class/gpio/gpio4"
    assert line.exists()
    apply_fault(station, "io_lost", FaultArgs(), True)
    assert not line.exists()
    apply_fault(station, "io_lost", FaultArgs(), False)
    assert line.exists()
    loop.close()
