"""mbpoll (a Modbus master by somebody else) reads the simulated meters: every profile over TCP, the SDM630 also on a line.

What the driver makes of a meter must be what mbpoll shows, scaled here by other code than `evse.protocols.meter_map`.
"""

from __future__ import annotations

import asyncio
import os
import pty
import re
import shutil
import tty
from fractions import Fraction
from random import Random
from typing import NamedTuple

import pytest

from evse.config.meter_profiles import list_profiles, load_profile
from evse.devices.meter import ModbusMeter
from evse.devices.modbus_bus import ModbusBus, TcpEndpoint
from evse.domain.base import DeviceError
from evse.domain.meter_profile import MeterProfile, Register
from evse.domain.readings import MeterValues, Sample
from evse.runtime.clock import RealClock
from evse.sim.hw.modbus_meter import SimModbusBus, SimModbusMeter
from evse.transports.real import RealOpeners

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
        ready = asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        try:
            await ready.wait()
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


PLAUSIBLE = MeterValues(
    power_w=-12_345,
    energy_import_wh=98_765_430,
    energy_export_wh=7_654_320,
    voltage_mv=231_400,
    current_ma=17_900,
    voltage_l_mv=(231_400, 228_600, 235_100),
    current_l_ma=(17_900, 18_300, 16_200),
    power_l_w=(-4_142, -4_183, -4_020),
    frequency_mhz=49_980,
    temperature_dc=312,
)
"""More than 16 bits of energy and a negative power: a wrong word order or sign cannot look right."""

PARTS = {"power_w": 1, "energy_import_wh": 1, "voltage_mv": 1000, "current_ma": 1000, "voltage_l_mv": 1000, "current_l_ma": 1000}
"""Compared fields and their parts of V, A, W, Wh; of three phases the first."""

TABLES = {3: "4", 4: "3"}
"""Function code -> number of the table in mbpoll's -t."""

DISPLAYED = {"int32": "int", "uint32": "int", "acc32": "int", "float32": "float"}
"""Types that mbpoll knows beside registers of 16 bits; all others are read as registers in hex."""

HEX_WORDS = {"int64": 4, "uint64": 4, "t5": 2, "t6": 2, "sunssf": 1}

DIGITS = Fraction(1, 10**5)
"""mbpoll prints floats with six digits."""


class Term(NamedTuple):
    """A quantity as mbpoll shows it, in V, A, W, Wh; not ``exact``: a float, printed rounded."""

    value: Fraction
    tolerance: Fraction  # what the registers cannot resolve
    exact: bool


class Peer:
    """mbpoll in front of one Modbus TCP server, reading by the rows of ``profile``."""

    def __init__(self, profile: MeterProfile, port: int) -> None:
        self._profile = profile
        self._port = port
        self._start = 0

    async def poll(self, data_type: str, address: int, count: int = 1, *flags: str) -> list[str]:
        """Displayed texts of ``count`` values from the zero-based ``address``."""
        target = ("-m", "tcp", "-p", str(self._port), "-a", "1", "-0", "-1", "-o", "5")
        code, output = await mbpoll(*target, "-t", data_type, *flags, "-r", str(address), "-c", str(count), "127.0.0.1")
        texts = re.findall(r"^\[\d+\]:\s+(.+?)\s*$", output, re.MULTILINE)
        assert code == 0 and len(texts) == count, output
        return texts

    async def hex_words(self, table: str, address: int, count: int) -> list[int]:
        return [int(text, 16) for text in await self.poll(f"{table}:hex", address, count)]

    async def find_model(self) -> None:
        """Follow the chain of SunSpec models (marker "SunS", then id and length each) to the one of the profile."""
        if not self._profile.sunspec_models:
            return
        for base in self._profile.sunspec_bases:
            if await self.hex_words("4", base, 2) == [0x5375, 0x6E53]:
                break
        else:
            pytest.fail(f"no SunSpec marker at {self._profile.sunspec_bases}")
        address = base + 2
        while (head := await self.hex_words("4", address, 2))[0] not in self._profile.sunspec_models:
            assert head[0] != 0xFFFF, f"the chain ends at {address}"
            address += 2 + head[1]
        self._start = address

    async def number(self, register: Register) -> Fraction:
        """The number that the registers hold, without its scale."""
        table, address, kind = TABLES[register.function], register.address + self._start, register.type
        high_first = (register.word_order or self._profile.word_order) == "msw"
        if kind in DISPLAYED:
            (text,) = await self.poll(f"{table}:{DISPLAYED[kind]}", address, 1, *(["-B"] if high_first else []))
            number = Fraction(text)
            return number + (1 << 32) if kind in ("uint32", "acc32") and number < 0 else number
        if kind in HEX_WORDS:
            words = await self.hex_words(table, address, HEX_WORDS[kind])
            return from_words(kind, words if high_first else words[::-1])
        assert kind in ("int16", "uint16"), f"{register.quantity}: the test does not know {kind}"
        (text,) = await self.poll(table, address)
        unsigned, *signed = re.findall(r"-?\d+", text)  # "65534 (-2)" from 32768 up
        return Fraction(signed[0] if signed and kind == "int16" else unsigned)

    async def term(self, quantity: str) -> Term:
        """A quantity in V, A, W, Wh."""
        register = self._row(quantity)
        step = Fraction(register.scale) * (1000 if register.unit.startswith("k") else 1)
        if register.exponent:
            step *= Fraction(10) ** int(await self.number(self._row(register.exponent)) + register.exponent_offset)
        value = await self.number(register) * step
        is_float = register.type == "float32"
        by_digits = is_float or register.type in ("t5", "t6")
        return Term(value, abs(value) * DIGITS if by_digits else abs(step) / 2, exact=not is_float)

    def _row(self, quantity: str) -> Register:
        return next(r for r in self._profile.registers if r.quantity == quantity)

    async def terms(self, expression: str) -> list[Term]:
        """The signed terms of "a", "a - b" or "a + b"."""
        found: list[Term] = []
        sign = 1
        for word in expression.split():
            if word in ("+", "-"):
                sign = 1 if word == "+" else -1
            else:
                term = await self.term(word)
                found.append(term._replace(value=sign * term.value))
        return found


def from_words(kind: str, words: list[int]) -> Fraction:
    """The number of hex registers, high word first. Iskra's T5, T6: bits 31..24 signed power of ten, 23..0 mantissa."""
    bits = 0
    for word in words:
        bits = bits * 65_536 + word
    if kind in ("t5", "t6"):
        power, mantissa = divmod(bits, 1 << 24)
        return signed_of(mantissa, 24 if kind == "t6" else 0) * Fraction(10) ** signed_of(power, 8)
    return Fraction(signed_of(bits, 0 if kind == "uint64" else 16 * len(words)))


def signed_of(bits: int, width: int) -> int:
    """Two's complement of ``width`` bits; 0 = unsigned."""
    return bits - (1 << width) if width and bits >> (width - 1) else bits


async def driver_values(profile: MeterProfile, port: int) -> MeterValues:
    """The first reading of the driver."""
    clock = RealClock()
    bus = ModbusBus(TcpEndpoint(host="127.0.0.1", port=port), RealOpeners(), clock, Random(1))
    meter = ModbusMeter("meter", profile, 1, bus, 1000, clock)
    running = asyncio.ensure_future(bus.run())
    try:
        for _ in range(1000):
            reading = meter.reading()
            if isinstance(reading, Sample):
                return reading.value
            await asyncio.sleep(0.01)
        pytest.fail(f"no reading: {meter.detail or reading}")
    finally:
        running.cancel()


def first(value: object) -> object:
    return value[0] if isinstance(value, tuple) else value


def check_field(where: str, ours: object, told: object, parts: int, terms: list[Term]) -> None:
    """The driver's value is what mbpoll shows, and that is what the meter was told."""
    assert isinstance(ours, int) and isinstance(told, int), where
    value = parts * sum((term.value for term in terms), Fraction(0))
    tolerance = parts * sum((term.tolerance for term in terms), Fraction(0))
    text = f"{where}: driver {ours}, mbpoll {float(value)}, meter {told}"
    assert abs(told - value) <= tolerance, text
    if all(term.exact for term in terms):
        assert ours == sum(round(parts * term.value) for term in terms), text
    else:
        assert abs(ours - value) <= tolerance + Fraction(1, 2), text


@pytest.mark.parametrize("name", list_profiles())
def test_mbpoll_and_the_driver_read_the_same_from_every_profile(name: str) -> None:
    profile = load_profile(name)
    wanted = {field: str(first(getattr(profile.values, field)) or "") for field in PARTS}
    assert wanted["power_w"] and wanted["energy_import_wh"]

    async def main() -> None:
        meter = SimModbusMeter(profile, 1)
        meter.set_values(PLAUSIBLE)
        server = await SimModbusBus([meter]).listen("127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            read = await driver_values(profile, port)
            peer = Peer(profile, port)
            await peer.find_model()
            for field, expression in wanted.items():
                if expression:
                    ours, told = first(getattr(read, field)), first(getattr(PLAUSIBLE, field))
                    check_field(f"{field} = {expression}", ours, told, PARTS[field], await peer.terms(expression))
        finally:
            server.close()

    asyncio.run(main())
