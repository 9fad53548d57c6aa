"""One owner per Modbus line: a serial port with several meters, or a TCP endpoint.

The owner task serves its members by due time, one request at a time. A member that does not answer costs the others
one timeout per attempt, and its attempts grow apart (`evse.devices.meter`). Frames are kept apart by 3.5 characters of
silence (Modbus over serial line V1.02, 2.5.1.1), and after a timeout the line rests a little longer, so that a late
answer is thrown away and not taken for the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Protocol

import msgspec

from evse.devices.interfaces import LinkHealth
from evse.domain.base import ConfigError, DeviceError
from evse.domain.clock import Clock
from evse.protocols.errors import ProtocolError
from evse.protocols.modbus import RtuAnswer, TcpAnswer, rtu_frame, tcp_frame
from evse.transports.backoff import Backoff
from evse.transports.base import ByteStream, Openers, SerialSettings
from evse.units import NS_PER_S, Instant

JOBS_MAX = 8
"""Waiting extra jobs (probes); the ninth is refused with `DeviceError`."""

BUFFER_MAX = 4096
"""Unread bytes of a talkative line; older ones are dropped, they belong to no request."""

REST_AFTER_TIMEOUT_MS = 50
"""Rest of the line after a timeout: a late answer ends in it."""

TCP_CONNECT_TIMEOUT_S = 5

TCP_SILENT_MAX = 6
"""Requests in a row without an answer after which a TCP connection is opened anew: the peer may have lost its power
without a word. A serial port has no such state."""

BITS_PER_CHARACTER = 11  # start, 8 data, parity or second stop bit, stop


class _Silent(DeviceError):
    """A TCP connection that is open but dead, or a line that was asked back."""


class _Loan:
    """A line in the hands of somebody else: when its owner has closed it, and when it is given back."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.free: asyncio.Future[None] = loop.create_future()
        self.returned: asyncio.Future[None] = loop.create_future()


class NoAnswer(DeviceError):
    """Nothing, or not all, arrived in time. The text says how long was waited."""


class TcpEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A Modbus TCP server."""

    host: str
    port: int = 502


class BusMember(Protocol):
    """What the bus serves: a meter, a recloser."""

    address: int

    @property
    def due(self) -> Instant:
        """When the member wants to be served next."""
        ...

    async def poll(self) -> None:
        """Do one exchange; catches its own errors. `DeviceError` only when the line itself is gone."""
        ...

    def connected(self) -> None:
        """The line was opened."""
        ...

    def disconnected(self, detail: str) -> None:
        """The line is gone; ``detail`` says why."""
        ...

    def link(self) -> LinkHealth:
        """State for people."""
        ...


def endpoint_of(port: str) -> TcpEndpoint | None:
    """Return the endpoint of ``tcp://host:port`` (default 502), None for a serial port; `ConfigError` for nonsense."""
    if not port.startswith("tcp://"):
        return None
    host, colon, number = port.removeprefix("tcp://").rpartition(":")
    if not colon:
        host, number = number, "502"
    host = host.strip("[]")
    if not host or not number.isdigit() or not 1 <= int(number) <= 65_535:
        raise ConfigError([f"meter port {port!r}: expected tcp://host:port with port 1..65535"])
    return TcpEndpoint(host=host, port=int(number))


class ModbusBus:
    """Owner of one line. Give it to each `ModbusMeter`; run exactly one `run` task (further ones just wait)."""

    def __init__(self, where: SerialSettings | TcpEndpoint, openers: Openers, clock: Clock, rng: Random) -> None:
        self.settings = where
        self.where = where.port if isinstance(where, SerialSettings) else f"tcp://{where.host}:{where.port}"
        self._openers = openers
        self._clock = clock
        self._backoff = Backoff(rng, 250, 5_000)
        self._members: list[BusMember] = []
        self._jobs: list[tuple[Callable[[], Awaitable[None]], asyncio.Future[None]]] = []
        self._stream: ByteStream | None = None
        self._reader: asyncio.Task[None] | None = None
        self._buffer = bytearray()
        self._wake: asyncio.Future[None] | None = None
        self._owned = False
        self._loan: _Loan | None = None
        self._line_error: DeviceError | None = None
        self._transaction = 0
        self._unanswered = 0
        if isinstance(where, SerialSettings):
            self._character_ns = BITS_PER_CHARACTER * NS_PER_S // where.baud
            # Above 19200 baud the standard fixes the silence at 1.75 ms.
            self._gap_s = max(3.5 * self._character_ns / NS_PER_S, 0.00175)
        else:
            self._character_ns = 0
            self._gap_s = 0.0
        self._rest_until: Instant = 0
        self.bytes_in = 0
        self.frames_in = 0
        self.frames_out = 0
        self.reconnects = 0
        self.error = "not opened yet"

    def add(self, member: BusMember) -> None:
        """Serve ``member`` too. `ConfigError` when its unit address is taken on this line."""
        if any(m.address == member.address for m in self._members):
            raise ConfigError(
                [f"{self.where}: two devices with address {member.address}; give each its own"]
            )
        self._members.append(member)

    def health(self) -> Sequence[LinkHealth]:
        """One entry per meter."""
        return [member.link() for member in self._members]

    @property
    def online(self) -> bool:
        """Whether the line is open."""
        return self._stream is not None

    async def run(self) -> None:
        """Own the line until cancelled: open, serve, reopen with jittered back-off."""
        if self._owned:
            await asyncio.get_running_loop().create_future()
        self._owned = True
        try:
            while True:
                loan = self._loan
                if loan is not None:
                    if not loan.free.done():
                        loan.free.set_result(None)
                    await loan.returned
                try:
                    await self._session()
                except _Silent as error:
                    self.error = str(error)  # the meters have named what is wrong with them
                except DeviceError as error:
                    self.error = str(error)
                    for member in self._members:
                        member.disconnected(self.error)
                finally:
                    await self._drop()
                if self._loan is None:
                    await self._backoff.sleep()
                self.reconnects += 1
        finally:
            self._owned = False
            if self._loan is not None and not self._loan.free.done():
                self._loan.free.set_result(None)

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Close the line while the body runs and open it again afterwards; its members wait and their values age.

        `DeviceError` when it is lent already. An exchange that is under way ends first (one timeout at most).
        """
        if self._loan is not None:
            raise DeviceError(f"{self.where}: the line is lent already; try again later")
        loan = self._loan = _Loan()
        try:
            if self._owned:
                self._signal()
                await loan.free
            yield
        finally:
            self._loan = None
            if not loan.returned.done():
                loan.returned.set_result(None)

    def wake(self) -> None:
        """A member wants to be served earlier than it said."""
        self._signal()

    async def _open(self) -> ByteStream:
        if isinstance(self.settings, SerialSettings):
            return await self._openers.open_serial(self.settings)
        try:
            async with asyncio.timeout(TCP_CONNECT_TIMEOUT_S):
                return await self._openers.open_tcp(self.settings.host, self.settings.port)
        except TimeoutError:
            what = f"no connection within {TCP_CONNECT_TIMEOUT_S} s; check host and network"
            raise DeviceError(f"{self.where}: {what}") from None

    async def _session(self) -> None:
        stream = await self._open()
        self._stream = stream
        self._line_error = None
        self._unanswered = 0
        self.error = ""
        self._buffer.clear()
        self._reader = asyncio.get_running_loop().create_task(self._read(stream))
        for member in self._members:
            member.connected()
        while self._members or self._jobs:
            if self._line_error is not None:
                raise self._line_error
            if self._loan is not None:
                raise _Silent(f"{self.where}: lent")
            if self._reader.done():
                self._reader.result()  # our own mistake in the reader must not look like a silent line
            if self._jobs:
                await self._do(*self._jobs.pop(0))
                continue
            member = min(self._members, key=_due)
            delay_ns = member.due - self._clock.now()
            if delay_ns > 0:
                await self._sleep(delay_ns / NS_PER_S)
                continue
            frames = self.frames_in
            await member.poll()
            if self.frames_in > frames:
                self._backoff.reset()
            elif self._unanswered >= TCP_SILENT_MAX and isinstance(self.settings, TcpEndpoint):
                raise _Silent(f"{self.where}: {self._unanswered} requests without an answer; opening it again")
        await asyncio.get_running_loop().create_future()

    async def _drop(self) -> None:
        stream, self._stream = self._stream, None
        reader, self._reader = self._reader, None
        jobs, self._jobs = self._jobs, []
        for _, done in jobs:
            if not done.done():
                done.set_exception(DeviceError(f"{self.where}: {self.error or 'closed'}"))
        if reader is not None:
            reader.cancel()
        if stream is not None:
            await stream.close()

    async def _read(self, stream: ByteStream) -> None:
        try:
            while True:
                data = await stream.read()
                self.bytes_in += len(data)
                self._buffer += data
                if len(self._buffer) > BUFFER_MAX:
                    del self._buffer[:-BUFFER_MAX]
                self._signal()
        except DeviceError as error:
            self._line_error = error
            self._signal()

    def _signal(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _sleep(self, seconds: float) -> None:
        """Wait; bytes of the line, a lost line and new jobs end it early."""
        loop = asyncio.get_running_loop()
        wake = self._wake = loop.create_future()
        timer = loop.call_later(seconds, _expire, wake)
        try:
            await wake
        finally:
            timer.cancel()
            self._wake = None

    async def job(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` on the line between two polls and return when it is done; its error is raised here."""
        if self._stream is None:
            raise DeviceError(f"{self.where}: {self.error or 'not open'}")
        if len(self._jobs) >= JOBS_MAX:
            raise DeviceError(f"{self.where}: {JOBS_MAX} jobs are waiting; try again later")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs.append((work, done))
        self._signal()
        await done

    @staticmethod
    async def _do(work: Callable[[], Awaitable[None]], done: asyncio.Future[None]) -> None:
        try:
            await work()
        except DeviceError as error:
            if not done.done():
                done.set_exception(error)
        finally:
            if not done.done():
                done.set_result(None)

    async def transact(self, unit: int, pdu: bytes, answer_bytes: int, timeout_ms: int) -> bytes:
        """Send a request and return the PDU of the answer. Only for members and jobs.

        ``timeout_ms`` is the silence before the answer; the time that ``answer_bytes`` take on the line is added.
        `NoAnswer` when it is not complete by then, `ProtocolError` for a broken frame, `DeviceError` for a lost line.
        """
        stream = self._stream
        if stream is None:
            raise DeviceError(f"{self.where}: not open")
        rest_ns = self._rest_until - self._clock.now()
        if rest_ns > 0:
            await asyncio.sleep(rest_ns / NS_PER_S)
        self._buffer.clear()
        answer: RtuAnswer | TcpAnswer
        if isinstance(self.settings, SerialSettings):
            frame = rtu_frame(unit, pdu)
            answer = RtuAnswer(unit)
        else:
            self._transaction = (self._transaction + 1) & 0xFFFF
            frame = tcp_frame(self._transaction, unit, pdu)
            answer = TcpAnswer(self._transaction, unit)
        await stream.write(frame)
        self.frames_out += 1
        wait_ns = timeout_ms * 1_000_000 + (len(frame) + answer_bytes) * self._character_ns
        deadline = self._clock.now() + wait_ns
        try:
            body = await self._collect(answer, deadline, timeout_ms)
        except ProtocolError:
            self._rest(REST_AFTER_TIMEOUT_MS / 1000)
            raise
        self.frames_in += 1
        self._unanswered = 0
        self._rest(0.0)
        return body

    async def _collect(self, answer: RtuAnswer | TcpAnswer, deadline: Instant, timeout_ms: int) -> bytes:
        while True:
            if self._buffer:
                data = bytes(self._buffer)
                self._buffer.clear()
                body = answer.feed(data)
                if body is not None:
                    return body
            if self._line_error is not None:
                raise self._line_error
            left_ns = deadline - self._clock.now()
            if left_ns <= 0:
                self._unanswered += 1
                self._rest(REST_AFTER_TIMEOUT_MS / 1000)
                if answer.received:
                    raise NoAnswer(f"answer cut after {answer.received} bytes")
                raise NoAnswer(f"no answer in {timeout_ms} ms")
            await self._sleep(left_ns / NS_PER_S)

    def _rest(self, extra_s: float) -> None:
        self._rest_until = self._clock.now() + int((self._gap_s + extra_s) * NS_PER_S)


def _due(member: BusMember) -> Instant:
    return member.due


def _expire(wake: asyncio.Future[None]) -> None:
    if not wake.done():
        wake.set_result(None)
