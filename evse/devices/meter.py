"""A Modbus meter: a profile, a unit address and a place on a bus.

A reading is replaced only by a complete new one. When answers stay away for the time that the profile grants
(``bus.unavailable_ms``) it turns into `NoData` that names meter, bus, address and register; a value is never shown older
than ``stale_after_ns``. Attempts on a silent meter grow apart up to ``RETRY_MAX_NS``, each costing the bus one timeout.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from evse.devices.interfaces import LinkHealth
from evse.devices.modbus_bus import ModbusBus, NoAnswer
from evse.devices.sunspec import find_model
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.meter_profile import MeterProfile, Register
from evse.domain.readings import MeterValues, NoData, NoDataReason, Sample
from evse.protocols.errors import ProtocolError
from evse.protocols.meter_map import (
    Field,
    MeterDecoder,
    Raw,
    Request,
    encode_register,
    exponent_of,
    import_only,
    split,
    words,
)
from evse.protocols.modbus import (
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    WRITE_MULTIPLE,
    WRITE_REGISTERS_MAX,
    ModbusException,
    check_write_answer,
    read_answer,
    read_request,
    write_many_request,
    write_request,
)
from evse.units import NS_PER_MS, Instant, ms, s

ATTEMPTS_MIN = 2
"""A reading is never given up because of one lost answer, however long the model may think about it."""

QUICK_RETRY_NS = ms(250)
"""Distance of the attempts until then."""

RETRY_MIN_NS = s(1)
RETRY_MAX_NS = s(10)
"""Afterwards the distance doubles from one to the other."""

STALE_AFTER_NS = ms(4_500)
"""Oldest value that is shown of a model with the usual patience that is polled every second or faster (a dead meter is
named within 5 s)."""

ANSWER_OVERHEAD_BYTES = 5
WRITE_ANSWER_BYTES = 8

VARIABLE_WORDS_MAX = 2048
"""Registers of a text that gives its own length; a longer one is nonsense."""

ProbeRow: TypeAlias = tuple[str, int, str, str, str]
"""(quantity, address, raw registers in hex, value with unit, error)."""


class _Unusable(DeviceError):
    """Whole answers whose values cannot be: another model, or a defect."""


class ModbusMeter:
    """`evse.devices.interfaces.Meter` on a `ModbusBus`; adds itself to the bus. ``poll_ms`` 100..60000.

    ``import_only``: what the meter counts the other way reads as zero (an EVSE that cannot be fed from a vehicle).
    """

    def __init__(
        self,
        name: str,
        profile: MeterProfile,
        address: int,
        bus: ModbusBus,
        poll_ms: int,
        clock: Clock,
        *,
        import_only: bool = False,
    ) -> None:
        self.name = name
        self.profile = profile
        self.address = address
        self.poll_ms = poll_ms
        self.import_only = import_only
        self.where = f"meter[{profile.name.rpartition('/')[2]}@{bus.where}#{address}]"
        self._bus = bus
        self._clock = clock
        self._decoder = MeterDecoder(profile)
        self._requests: list[Request] = list(self._decoder.requests)
        self._answered: list[tuple[Request, bytes | None]] = []
        self._values = MeterValues()
        self._missing: list[Request] = []  # single optional registers that the device has not
        self._current = 0  # register of the request in flight, for error texts
        self._offset: int | None = None if profile.sunspec_models else 0
        self._due: Instant = clock.now()
        self._retry_ns = RETRY_MIN_NS
        self._failures = 0
        self._failing_since: Instant = 0  # begin of the first of `_failures`
        self._unavailable_ns = ms(profile.bus.unavailable_ms)
        self._reading: Sample[MeterValues] | NoData = NoData(
            reason=NoDataReason.NEVER, since=clock.now(), detail=f"{self.where}: nothing read yet"
        )
        patience = max(self._unavailable_ns, ms(profile.bus.timeout_ms)) + ms(profile.bus.timeout_ms)
        self.stale_after_ns = max(STALE_AFTER_NS, 3 * poll_ms * NS_PER_MS, poll_ms * NS_PER_MS + patience + s(1))
        self.polls = 0
        self.errors = 0
        self.detail = ""
        bus.add(self)

    @property
    def due(self) -> Instant:
        """When the meter wants to be polled next."""
        return self._due

    async def run(self) -> None:
        """Own the bus together with the other meters on it."""
        await self._bus.run()

    def reading(self) -> Sample[MeterValues] | NoData:
        """Latest complete values, or why there are none."""
        reading = self._reading
        if isinstance(reading, Sample) and self._clock.now() - reading.at > self.stale_after_ns:
            text = self.detail or f"{self.where}: no values for {self.stale_after_ns // NS_PER_MS} ms"
            self._lose(NoDataReason.TIMEOUT, text)
            return self._reading
        return reading

    def health(self) -> Sequence[LinkHealth]:
        """The one link of this meter."""
        return (self.link(),)

    def link(self) -> LinkHealth:
        """State of the link."""
        reading = self.reading()
        return LinkHealth(
            name=self.name,
            kind="meter",
            where=f"{self._bus.where}#{self.address}",
            online=isinstance(reading, Sample),
            detail=reading.detail if isinstance(reading, NoData) else self.detail,
            frames_in=self.polls - self.errors,
            frames_out=self.polls,
            errors=self.errors,
            reconnects=self._bus.reconnects,
        )

    def connected(self) -> None:
        """The line is open: ask at once."""
        self._due = self._clock.now()
        self._failures = 0
        self._retry_ns = RETRY_MIN_NS

    def disconnected(self, detail: str) -> None:
        """The line is gone."""
        self.detail = f"{self.where}: {detail}"
        self._lose(NoDataReason.DISCONNECTED, self.detail)

    async def poll(self) -> None:
        """Read everything once and set the next due time. Its own failures end here; a lost line is raised."""
        began = self._clock.now()
        self.polls += 1
        try:
            values = self._decode(await self._read_answers())
        except NoAnswer as error:
            self._failed(began, NoDataReason.TIMEOUT, str(error), "check termination and unit id")
        except ModbusException as error:
            self._failed(began, NoDataReason.ERROR, str(error), f"check that the meter is a {self.profile.model}")
        except _Unusable as error:
            self._failed(began, NoDataReason.ERROR, str(error), f"check that the meter is a {self.profile.model}")
        except ProtocolError as error:
            self._failed(began, NoDataReason.GARBLED, str(error), "check baud rate, parity and shielding")
        else:
            self._reading = Sample(value=import_only(values) if self.import_only else values, at=self._clock.now())
            self._failures = 0
            self._retry_ns = RETRY_MIN_NS
            self.detail = ""
            period = self.poll_ms * NS_PER_MS
            due = self._due + period
            self._due = due if due > began else began + period

    def _decode(self, answers: list[tuple[Request, bytes | None]]) -> MeterValues:
        if answers == self._answered:  # a meter at rest says the same again
            return self._values
        try:
            values = self._decoder.decode(answers)
        except ProtocolError as error:
            raise _Unusable(str(error)) from error
        self._answered, self._values = answers, values
        return values

    async def _read_answers(self) -> list[tuple[Request, bytes | None]]:
        if self._offset is None:
            self._current = 0
        offset = await self._located()
        answers: list[tuple[Request, bytes | None]] = [(request, None) for request in self._missing]
        index = 0
        while index < len(self._requests):
            request = self._requests[index]
            try:
                answers.append(
                    (request, await self.read(request.function, request.address + offset, request.count))
                )
                index += 1
            except ModbusException as error:
                if error.code not in (ILLEGAL_ADDRESS, ILLEGAL_VALUE):
                    raise
                self._refused(index, error)
        return answers

    def _refused(self, index: int, error: ModbusException) -> None:
        """The device refuses a block: read it in parts from now on, and do without optional registers."""
        request = self._requests[index]
        parts = split(request)
        if not parts:
            if not request.registers[0].optional:
                raise error
            self._missing.append(self._requests.pop(index))
            return
        self._requests[index : index + 1] = parts

    async def read(self, function: int, address: int, count: int) -> bytes:
        """Read registers at their absolute address; errors as `ModbusBus.transact`."""
        self._current = address
        pdu = await self._bus.transact(
            self.address,
            read_request(function, address, count),
            ANSWER_OVERHEAD_BYTES + 2 * count,
            self.profile.bus.timeout_ms,
        )
        return read_answer(pdu, function, count)

    async def job(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` on the line between two polls; its error is raised here, `DeviceError` also while the line is not open."""
        await self._bus.job(work)

    async def fetch(self, quantity: str) -> Raw:
        """Read one quantity of the profile; only inside a `job`. A text of variable length is read with its length."""
        register = self._register(quantity)
        count = words(register)
        if register.length:
            length = await self.fetch(register.length)
            count = (length + 1) // 2 if isinstance(length, int) else 0
            if not 0 < count <= VARIABLE_WORDS_MAX:
                return None
        offset = await self._located()
        data = b""
        while len(data) < 2 * count:
            part = min(count - len(data) // 2, self.profile.bus.max_registers)
            data += await self.read(register.function, register.address + offset + len(data) // 2, part)
        if register.length and isinstance(length, int):
            return data[:length] if register.type == "bytes" else data[:length].split(b"\0", 1)[0].decode("ascii", "replace")
        return Field(self.profile, register, count).read(data)

    async def put(self, quantity: str, value: int | str, function: int = WRITE_MULTIPLE) -> None:
        """Write one quantity of the profile; only inside a `job`. ``function`` 6 or 16 for one register, longer ones take 16."""
        register = self._register(quantity)
        address = register.address + await self._located()
        data = encode_register(self.profile, register, value)
        self._current = address
        for start in range(0, len(data), 2 * WRITE_REGISTERS_MAX):
            part, at = data[start : start + 2 * WRITE_REGISTERS_MAX], address + start // 2
            request = (
                write_request(function, at, int.from_bytes(part, "big")) if len(data) == 2 else write_many_request(at, part)
            )
            answer = await self._bus.transact(self.address, request, WRITE_ANSWER_BYTES, self.profile.bus.timeout_ms)
            check_write_answer(answer, request)

    def _register(self, quantity: str) -> Register:
        register = self.profile.register(quantity)
        if register is None:
            raise ProtocolError(f"{self.where}: profile {self.profile.name} has no quantity {quantity!r}")
        return register

    async def _located(self) -> int:
        if self._offset is None:
            self._offset = await find_model(self.read, self.profile)
        return self._offset

    def _failed(self, began: Instant, reason: NoDataReason, what: str, remedy: str) -> None:
        self.errors += 1
        if self._failures == 0:
            self._failing_since = began
        self._failures += 1
        self.detail = f"{self.where}: register {self._current}: {what} x{self._failures}; {remedy}"
        now = self._clock.now()
        if self._failures < ATTEMPTS_MIN or now - self._failing_since < self._unavailable_ns:
            self._due = now + min(QUICK_RETRY_NS, self.poll_ms * NS_PER_MS)
            return
        self._lose(reason, self.detail)
        self._due = now + self._retry_ns
        self._retry_ns = min(2 * self._retry_ns, RETRY_MAX_NS)

    def _lose(self, reason: NoDataReason, detail: str) -> None:
        """Turn the reading into `NoData`; ``since`` stays at the first loss."""
        old = self._reading
        since = old.since if isinstance(old, NoData) and old.reason is not NoDataReason.NEVER else self._clock.now()
        self._reading = NoData(reason=reason, since=since, detail=detail)

    async def probe(self) -> list[ProbeRow]:
        """Read every readable register by itself, between two polls; `DeviceError` when the line is not open."""
        rows: list[ProbeRow] = []

        async def work() -> None:
            await self._located()
            raws: dict[str, Raw] = {}
            readable = [r for r in self.profile.registers if r.access != "w"]
            # Exponents and lengths first: the others need them.
            helpers = {r.exponent for r in readable} | {r.length for r in readable}
            order = sorted(readable, key=lambda r: r.quantity not in helpers)
            found = {r.quantity: await self._probe(r, raws) for r in order}
            rows.extend(found[r.quantity] for r in readable)

        await self._bus.job(work)
        return rows

    async def _probe(self, register: Register, raws: dict[str, Raw]) -> ProbeRow:
        address = register.address + (self._offset or 0)
        count = words(register)
        if register.length:
            length = raws.get(register.length)
            count = (length + 1) // 2 if isinstance(length, int) else 0
            if not 0 < count <= 512:
                return (register.quantity, address, "", "", f"{register.length} is {length!r}")
        try:
            data = b""
            while len(data) < 2 * count:
                part = min(count - len(data) // 2, self.profile.bus.max_registers)
                data += await self.read(register.function, address + len(data) // 2, part)
            field = Field(self.profile, register, count)
            raw = raws[register.quantity] = field.read(data)
            exponent = exponent_of(register, raws)
            value = field.text_of(raw, exponent) if exponent is not None else "not available"
            return (register.quantity, address, data.hex(" ", 2), value, "")
        except (NoAnswer, ProtocolError) as error:
            return (register.quantity, address, "", "", str(error))


__all__ = ["DeviceError", "ModbusMeter", "ProbeRow"]
