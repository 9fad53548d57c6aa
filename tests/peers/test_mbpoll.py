"""mbpoll (a Modbus master by somebody else) reads the simulated SDM630 over TCP and over a pty pair."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import shutil
import tty

import pytest

from evse.config.meter_profiles import load_profile
from evse.domain.base import DeviceError
from evse.domain.readings import MeterValues
from evse.sim.hw.modbus_meter import SimModbusBus, SimModbusMeter

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        shutil.which("mbpoll") is None and not os.environ.get("EVSE_PEERS"),
        reason="mbpoll is not installed (apt install mbpoll)",
    ),
]

VALUES = MeterValues(
    power_w=-12_345,
    energy_import_wh=123_450,
    voltage_mv=230_200,
    voltage_l_mv=(230_200, 231_000, 229_500),
    current_l_ma=(17_900, 18_000, 18_100),
    frequency_mhz=50_010,
)
EXPECTED = {1: 230.2, 3: 231.0, 5: 229.5, 7: 17.9, 9: 18.0, 11: 18.1, 53: -12_345.0, 71: 50.01, 73: 123.45}
"""mbpoll counts references from one: protocol address + 1."""


def sim_bus() -> SimModbusBus:
    meter = SimModbusMeter(load_profile("eastron/sdm630"), 1)
    meter.set_values(VALUES)
    return SimModbusBus([meter])


async def mbpoll(*args: str) -> tuple[int, str]:
    """Run mbpoll once; (exit code, output)."""
    process = await asyncio.create_subprocess_exec(
        "mbpoll", *args, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, output.decode()


def values_of(output: str) -> dict[int, float]:
    return {int(ref): float(value) for ref, value in re.findall(r"^\[(\d+)\]:\s+(\S+)", output, re.MULTILINE)}


READ = ("-a", "1", "-t", "3:float", "-B", "-r", "1", "-c", "38", "-1", "-o", "3")


def check_values(output: str) -> None:
    values = values_of(output)
    for reference, expected in EXPECTED.items():
        assert values[reference] == pytest.approx(expected, rel=1e-5), (reference, output)


def test_mbpoll_reads_the_simulated_meter_over_tcp() -> None:
    async def main() -> None:
        server = await sim_bus().listen("127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            code, output = await mbpoll("-m", "tcp", "-p", str(port), *READ, "127.0.0.1")
            assert code == 0, output
            check_values(output)
            code, output = await mbpoll(
                "-m", "tcp", "-p", str(port), "-a", "1", "-t", "3", "-r", "20001", "-1", "127.0.0.1"
            )
            assert "Illegal data address" in output
        finally:
            server.close()

    asyncio.run(main())


class PtyStream:
    """The far end of a pty as a byte stream."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)

    async def read(self) -> bytes:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._fd, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
            return os.read(self._fd, 512)
        except OSError as error:
            raise DeviceError(str(error)) from error
        finally:
            loop.remove_reader(self._fd)

    async def write(self, data: bytes) -> None:
        os.write(self._fd, data)

    async def close(self) -> None:
        return


def test_mbpoll_reads_the_simulated_meter_over_a_serial_line() -> None:
    async def main() -> None:
        ours, theirs = pty.openpty()
        tty.setraw(ours)
        tty.setraw(theirs)
        serving = asyncio.ensure_future(sim_bus().serve(PtyStream(ours)))
        try:
            code, output = await mbpoll("-m", "rtu", "-b", "9600", "-P", "none", *READ, os.ttyname(theirs))
            assert code == 0, output
            check_values(output)
            code, output = await mbpoll("-m", "rtu", "-a", "9", "-t", "3", "-1", "-o", "0.2", os.ttyname(theirs))
            assert "timed out" in output
        finally:
            serving.cancel()
            os.close(theirs)
            os.close(ours)

    asyncio.run(main())
