"""A Modbus line in the hands of one caller who asks step by step: for searches, not for operation."""

from __future__ import annotations

import asyncio
from typing import Final

from evse.devices.modbus_bus import BITS_PER_CHARACTER, REST_AFTER_TIMEOUT_MS, NoAnswer, TcpEndpoint
from evse.domain.clock import Clock
from evse.protocols.errors import ProtocolError
from evse.protocols.modbus import RtuAnswer, TcpAnswer, read_answer, read_request, rtu_frame, tcp_frame
from evse.transports.base import ByteStream, Openers, SerialSettings
from evse.units import NS_PER_MS, NS_PER_S, Instant

DRAIN_READS_MAX: Final = 8
"""Late or foreign bytes are thrown away before a question, but not for ever."""

DRAIN_S: Final = 0.001


class ProbeLine:
    """One open line. Create with `open_line`; `close` it."""

    def __init__(self, stream: ByteStream, where: SerialSettings | TcpEndpoint, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._serial = isinstance(where, SerialSettings)
        self._character_ns = BITS_PER_CHARACTER * NS_PER_S // where.baud if isinstance(where, SerialSettings) else 0
        self._gap_ns = max(7 * self._character_ns // 2, 1_750_000) if self._serial else 0
        self._rest_until: Instant = 0
        self._transaction = 0

    async def read(self, unit: int, function: int, address: int, count: int, timeout_ms: int) -> bytes:
        """Return the bytes of ``count`` registers.

        `NoAnswer`, `ModbusException`, `ProtocolError` for noise; any other `DeviceError` means that the line is gone.
        """
        pdu = await self._ask(unit, read_request(function, address, count), 5 + 2 * count, timeout_ms)
        return read_answer(pdu, function, count)

    async def _ask(self, unit: int, pdu: bytes, answer_bytes: int, timeout_ms: int) -> bytes:
        rest_ns = self._rest_until - self._clock.now()
        if rest_ns > 0:
            await asyncio.sleep(rest_ns / NS_PER_S)
        await self._drain()
        answer: RtuAnswer | TcpAnswer
        if self._serial:
            frame, answer = rtu_frame(unit, pdu), RtuAnswer(unit)
        else:
            self._transaction = (self._transaction + 1) & 0xFFFF
            frame, answer = tcp_frame(self._transaction, unit, pdu), TcpAnswer(self._transaction, unit)
        await self._stream.write(frame)
        wait_ns = timeout_ms * NS_PER_MS + (len(frame) + answer_bytes) * self._character_ns
        deadline = self._clock.now() + wait_ns
        try:
            body = await self._collect(answer, deadline, timeout_ms)
        except (ProtocolError, NoAnswer):
            self._rest(REST_AFTER_TIMEOUT_MS * NS_PER_MS)
            raise
        self._rest(0)
        return body

    async def _collect(self, answer: RtuAnswer | TcpAnswer, deadline: Instant, timeout_ms: int) -> bytes:
        while True:
            left_ns = deadline - self._clock.now()
            data = b""
            if left_ns > 0:
                try:
                    async with asyncio.timeout(left_ns / NS_PER_S):
                        data = await self._stream.read()
                except TimeoutError:
                    data = b""
            if data:
                body = answer.feed(data)
                if body is not None:
                    return body
            elif answer.received:
                raise ProtocolError(f"answer cut after {answer.received} bytes")
            else:
                raise NoAnswer(f"no answer in {timeout_ms} ms")

    async def _drain(self) -> None:
        for _ in range(DRAIN_READS_MAX):
            try:
                async with asyncio.timeout(DRAIN_S):
                    await self._stream.read()
            except TimeoutError:
                return

    def _rest(self, extra_ns: int) -> None:
        self._rest_until = self._clock.now() + self._gap_ns + extra_ns

    async def close(self) -> None:
        """Close; never raises."""
        await self._stream.close()


async def open_line(where: SerialSettings | TcpEndpoint, openers: Openers, clock: Clock) -> ProbeLine:
    """Open the line exclusively; `DeviceError` with the remedy."""
    if isinstance(where, SerialSettings):
        return ProbeLine(await openers.open_serial(where), where, clock)
    return ProbeLine(await openers.open_tcp(where.host, where.port), where, clock)
