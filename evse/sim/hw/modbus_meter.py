"""Simulated Modbus meters: the register image behind the wire, on RTU or TCP.

The world writes quantities in base units (`SimModbusMeter.set`) or whole readings (`set_values`); they are encoded into
registers when somebody asks. Faults act where real ones do: no answer, frozen registers, broken CRC, exception answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

from evse.domain.base import DeviceError
from evse.domain.meter_profile import MeterProfile, Register
from evse.domain.readings import MeterValues
from evse.protocols.errors import ProtocolError
from evse.protocols.meter_map import encode_register, terms, words
from evse.protocols.modbus import (
    EXCEPTION_FLAG,
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    WRITE_MULTIPLE,
    WRITE_SINGLE,
    RtuRequests,
    TcpRequests,
    rtu_frame,
    tcp_frame,
)
from evse.transports.base import ByteStream

SUNSPEC_BASE: Final = 40_000
COMMON_MODEL_WORDS: Final = 66
"""Length of SunSpec model 1 as this meter has it."""

DIVISORS: Final[dict[str, int]] = {
    "power_w": 1,
    "energy_import_wh": 1,
    "energy_export_wh": 1,
    "voltage_mv": 1000,
    "current_ma": 1000,
    "voltage_l_mv": 1000,
    "current_l_ma": 1000,
    "power_l_w": 1,
    "frequency_mhz": 1000,
    "temperature_dc": 10,
}
"""Parts of the base unit in which the fields of `MeterValues` count."""

FAULTS: Final = ("mute", "freeze", "crc", "exception", "sign_stuck", "sign_failed")
"""Names for `SimModbusMeter.fault`: no answer, registers keep their values, broken CRC, exception 4 always; of one that signs: its
signatures never come, or it says that it has failed."""


class Writes(Protocol):
    """What a meter does with what is written into it."""

    def written(self, address: int, data: bytes) -> bool:
        """Take whole registers from ``address`` (of the profile) on; False = one of them cannot be written."""
        ...

    def refresh(self) -> None:
        """Put what has changed meanwhile into the registers; before each read."""
        ...


class SimModbusMeter:
    """One meter with address ``unit``. ``delay_ms`` is its thinking time before each answer.

    ``strict`` meters refuse blocks that run over registers which the profile does not know (exception 2); others answer
    zero there.
    """

    def __init__(self, profile: MeterProfile, unit: int, *, strict: bool = False, delay_ms: int = 0) -> None:
        self.profile = profile
        self.unit = unit
        self.strict = strict
        self.delay_ms = delay_ms
        self.faults: set[str] = set()
        self.requests = 0
        self.values = MeterValues()
        self.writes: Writes | None = None  # None = nothing can be written
        self._pages = {3: bytearray(131_072), 4: bytearray(131_072)}
        self._known: dict[int, set[int]] = {3: set(), 4: set()}
        self._bounds: dict[tuple[int, int, int], bool] = {}
        self._pending: dict[str, Decimal | int | str | bytes] = {}
        self._exponents: dict[str, int] = {}
        self._offset = 0
        self._registers: dict[str, Register] = {r.quantity: r for r in profile.registers}
        if profile.sunspec_models:
            self._place_sunspec()
        for register in profile.registers:
            start = register.address + self._offset
            self._known[register.function].update(range(start, start + words(register)))
        self._default_exponents()
        self._default_values()

    def _place_sunspec(self) -> None:
        """Put marker, common model and the head of the meter model where the walk of a master finds them."""
        self._offset = SUNSPEC_BASE + 2 + 2 + COMMON_MODEL_WORDS
        length = max(r.address + words(r) for r in self.profile.registers) - 2
        self._write(3, SUNSPEC_BASE, b"SunS")
        self._write(3, SUNSPEC_BASE + 2, (1).to_bytes(2, "big") + COMMON_MODEL_WORDS.to_bytes(2, "big"))
        self._write(3, self._offset + 2 + length, b"\xff\xff\x00\x00")
        self._known[3].update(range(SUNSPEC_BASE, self._offset + length + 4))
        self.set("model_id", self.profile.sunspec_models[0])
        self.set("model_length", length)

    def _default_exponents(self) -> None:
        """Give each exponent register the power of ten with which station values fit a 16 bit register."""
        finest = {"V": -1, "A": -1, "kW": -2, "kVA": -2, "Hz": -2, "W": 1, "VA": 1, "var": 1}
        for register in self.profile.registers:
            if register.exponent and register.exponent not in self._exponents:
                self.set_exponent(register.exponent, finest.get(register.unit, 0) - register.exponent_offset)

    def _default_values(self) -> None:
        """A register that was never set holds zero, not the pattern "not available"."""
        for register in self.profile.registers:
            if self.profile.not_available == "sunspec" and register.type == "acc32":
                continue
            if register.type in ("float32", "t5", "t6") and register.quantity not in self._pending:
                self._write(register.function, register.address + self._offset, self._encode(register, 0))

    def set_exponent(self, quantity: str, raw: int) -> None:
        """Set an exponent register (decimal point, scale factor) to ``raw``."""
        self._exponents[quantity] = raw
        self.set(quantity, raw)

    def has(self, quantity: str) -> bool:
        """Whether the profile has ``quantity``."""
        return quantity in self._registers

    def set(self, quantity: str, value: Decimal | int | str | bytes) -> None:
        """Set a quantity in its base unit (V, A, W, Wh, Hz, °C); `KeyError` when the profile has it not."""
        if quantity not in self._registers:
            raise KeyError(f"{self.profile.name} has no quantity {quantity!r}")
        self._pending[quantity] = value

    def set_values(self, values: MeterValues) -> None:
        """Set everything of ``values`` that the profile can show. The subtrahend of "a - b" gets the negative side."""
        self.values = values
        for target, divisor in DIVISORS.items():
            expression: Any = getattr(self.profile.values, target)
            value: Any = getattr(values, target)
            if not expression or value is None:
                continue
            if isinstance(expression, tuple):
                for one, part in zip(expression, value, strict=True):
                    self._set_terms(one, Decimal(part) / divisor)
            else:
                self._set_terms(expression, Decimal(value) / divisor)

    def place(self, quantity: str, data: bytes) -> None:
        """Write the registers of ``quantity`` as they are: texts of variable length, which may be longer than before."""
        register = self._registers[quantity]
        start = register.address + self._offset
        padded = data + b"\0" * (len(data) % 2)
        self._write(register.function, start, padded)
        self._known[register.function].update(range(start, start + len(padded) // 2))
        self._bounds.clear()

    def _set_terms(self, expression: str, value: Decimal) -> None:
        parts = terms(expression)
        if len(parts) == 1:
            self.set(parts[0][1], value)
            return
        for sign, quantity in parts:
            self.set(quantity, max(Decimal(0), sign * value))

    def fault(self, name: str, *, on: bool) -> None:
        """Raise or clear one of `FAULTS`; `ValueError` for another name."""
        if name not in FAULTS:
            raise ValueError(f"meter fault {name!r}: expected one of {', '.join(FAULTS)}")
        if name == "freeze" and on:
            self._flush()
        if on:
            self.faults.add(name)
        else:
            self.faults.discard(name)

    def _flush(self) -> None:
        for quantity, value in self._pending.items():
            register = self._registers[quantity]
            self._write(register.function, register.address + self._offset, self._encode(register, value))
        self._pending.clear()

    def _encode(self, register: Register, value: Decimal | int | str | bytes) -> bytes:
        exponent = 0
        if register.exponent:
            exponent = self._exponents[register.exponent] + register.exponent_offset
        return encode_register(self.profile, register, value, exponent)

    def _write(self, function: int, address: int, data: bytes) -> None:
        self._pages[function][2 * address : 2 * address + len(data)] = data

    def answer(self, pdu: bytes) -> bytes | None:
        """Return the PDU that the meter answers to ``pdu``; None = silence."""
        self.requests += 1
        if "mute" in self.faults:
            return None
        function = pdu[0]
        if "exception" in self.faults:
            return bytes((function | EXCEPTION_FLAG, 4))
        if function in (WRITE_SINGLE, WRITE_MULTIPLE) and self.writes is not None:
            return self._take(pdu)
        if function not in self._pages or len(pdu) != 5:
            return bytes((function | EXCEPTION_FLAG, ILLEGAL_FUNCTION))
        address, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        if not 1 <= count <= self.profile.bus.max_registers:
            return bytes((function | EXCEPTION_FLAG, ILLEGAL_VALUE))
        if not self._readable(function, address, count):
            return bytes((function | EXCEPTION_FLAG, ILLEGAL_ADDRESS))
        if self.writes is not None:
            self.writes.refresh()
        if self._pending and "freeze" not in self.faults:
            self._flush()
        return bytes((function, 2 * count)) + self._pages[function][2 * address : 2 * (address + count)]

    def _take(self, pdu: bytes) -> bytes:
        """Answer to a write of one register (6) or several (16)."""
        data = pdu[3:] if pdu[0] == WRITE_SINGLE else pdu[6:]
        whole = len(pdu) == 5 if pdu[0] == WRITE_SINGLE else len(pdu) > 7 and len(data) == pdu[5] == 2 * int.from_bytes(pdu[3:5], "big")
        if not whole:
            return bytes((pdu[0] | EXCEPTION_FLAG, ILLEGAL_VALUE))
        address = int.from_bytes(pdu[1:3], "big") - self._offset
        if self.writes is None or not self.writes.written(address, data):
            return bytes((pdu[0] | EXCEPTION_FLAG, ILLEGAL_ADDRESS))
        return pdu[:5]

    def _readable(self, function: int, address: int, count: int) -> bool:
        key = (function, address, count)
        known = self._bounds.get(key)
        if known is None:
            if len(self._bounds) > 1024:
                self._bounds.clear()
            hits = sum(a in self._known[function] for a in range(address, address + count))
            known = hits == count if self.strict else hits > 0
            if self.profile.bus.even_addresses:
                known = known and address % 2 == 0
            self._bounds[key] = known and address + count <= 65_536
        return self._bounds[key]


class SimUnit(Protocol):
    """A device on a Modbus line: a meter, a recloser."""

    unit: int
    delay_ms: int
    faults: set[str]

    def answer(self, pdu: bytes) -> bytes | None:
        """Return the PDU that the device answers to ``pdu``; None = silence."""
        ...


class SimModbusBus:
    """Devices with different addresses on one line; unknown addresses stay silent, as on a real bus."""

    def __init__(self, meters: Sequence[SimUnit]) -> None:
        self.meters = {meter.unit: meter for meter in meters}
        if len(self.meters) != len(meters):
            raise ValueError("two simulated devices have the same address")

    async def serve(self, stream: ByteStream) -> None:
        """Answer RTU requests until the line is gone (then return)."""
        requests = RtuRequests()
        try:
            while True:
                for unit, pdu in requests.feed(await stream.read()):
                    meter = self.meters.get(unit)
                    reply = meter.answer(pdu) if meter is not None else None
                    if meter is None or reply is None:
                        continue
                    if meter.delay_ms:
                        await asyncio.sleep(meter.delay_ms / 1000)
                    frame = rtu_frame(unit, reply)
                    if "crc" in meter.faults:
                        frame = frame[:-1] + bytes((frame[-1] ^ 0x55,))
                    await stream.write(frame)
        except DeviceError:
            return

    async def serve_tcp(self, stream: ByteStream) -> None:
        """Answer Modbus TCP requests until the connection ends or sends nonsense (then return)."""
        requests = TcpRequests()
        try:
            while True:
                for transaction, unit, pdu in requests.feed(await stream.read()):
                    meter = self.meters.get(unit)
                    reply = meter.answer(pdu) if meter is not None else None
                    if meter is None or reply is None:
                        continue
                    if meter.delay_ms:
                        await asyncio.sleep(meter.delay_ms / 1000)
                    await stream.write(tcp_frame(transaction, unit, reply))
        except DeviceError:
            await stream.close()

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Serve Modbus TCP on a socket; port 0 = any free one (see ``server.sockets``)."""
        return await asyncio.start_server(self._client, host, port)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = TcpRequests()
        try:
            while data := await reader.read(4096):
                for transaction, unit, pdu in requests.feed(data):
                    meter = self.meters.get(unit)
                    reply = meter.answer(pdu) if meter is not None else None
                    if reply is not None:
                        writer.write(tcp_frame(transaction, unit, reply))
                await writer.drain()
        except (ProtocolError, OSError):
            pass
        finally:
            writer.close()
