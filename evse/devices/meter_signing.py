"""Signed data sets of a Modbus meter (calibration law): asked for at the begin and the end of a transaction.

Which registers take part is data (`evse.domain.meter_profile.Signing`). A data set takes a meter up to some seconds; meanwhile the
line serves everybody else, because each look at the status is a job of its own between two polls. What a meter tells is never
changed, and only looked at as far as its shape goes: whoever buys the energy checks the signature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from evse.devices.interfaces import LinkHealth
from evse.devices.meter import ModbusMeter
from evse.devices.modbus_bus import NoAnswer
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.meter_profile import Signing, Snapshot
from evse.domain.readings import NoDataReason, Sample
from evse.protocols import ocmf
from evse.protocols.errors import ProtocolError
from evse.protocols.modbus import ACKNOWLEDGE, BUSY, ModbusException
from evse.units import NS_PER_MS, NS_PER_S, Instant, s

LOOK_EVERY_S: Final = 0.2
"""Between two looks at the status."""

STATUS_LAG: Final = s(1)
"""So long a status may still tell of the data set before."""

IDENTIFY_EVERY_S: Final = 10.0
"""Between two attempts to read a public key that is not known yet."""

T = TypeVar("T")


class SigningError(DeviceError):
    """There is no signed data set; the text says why. ``reason`` ERROR = the meter has failed, else it cannot be heard."""

    def __init__(self, text: str, reason: NoDataReason) -> None:
        super().__init__(text)
        self.reason = reason


class MeterIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs: ``public_key`` = SubjectPublicKeyInfo in hexadecimal digits; "" = the meter does not tell it."""

    public_key: str = ""
    serial: str = ""


def _nobody(identity: MeterIdentity) -> None:
    """Nobody wants to know."""


class MeterSigner:
    """The signing side of a meter. One data set at a time; a second request waits for the first."""

    def __init__(self, meter: ModbusMeter, signing: Signing, clock: Clock) -> None:
        self.meter = meter
        self.identity: MeterIdentity | None = None  # None = not read yet
        self.problem = ""  # why the last data set or key did not come, "" = it did
        self.identified: Callable[[MeterIdentity], None] = _nobody  # told when the meter has said who it is
        self._signing = signing
        self._clock = clock
        self._one = asyncio.Lock()
        self._last: dict[str, str] = {}  # newest text by its quantity

    def health(self) -> Sequence[LinkHealth]:
        """None of its own: the link is the meter's."""
        return ()

    async def run(self) -> None:
        """Read who signs as soon as the meter answers, and again when it was away, for ever."""
        away = True
        while True:
            if not isinstance(self.meter.reading(), Sample):
                away = True
            elif away:
                away = not await self._identify()
            await asyncio.sleep(1.0 if self.identity is not None else IDENTIFY_EVERY_S if self.problem else LOOK_EVERY_S)

    async def _identify(self) -> bool:
        serial = self.meter.profile.identify.serial
        try:
            key = await self._job(lambda: self.meter.fetch(self._signing.public_key)) if self._signing.public_key else b""
            told = await self._job(lambda: self.meter.fetch(serial)) if serial else ""
            public_key = ocmf.key_hex(key, self._signing.key_form) if isinstance(key, bytes) and key else ""
        except DeviceError as error:
            self.problem = f"{self.meter.where}: public key: {error}"
            return False
        self.identity = MeterIdentity(public_key=public_key, serial="" if told is None else str(told).strip())
        self.problem = ""
        self.identified(self.identity)
        return True

    async def sign(self, *, end: bool, id_token: str, deadline: Instant) -> str:
        """Return the signed text of the begin or end of a transaction.

        `SigningError` at the latest when ``deadline`` and one answer's time are over. ``id_token`` is told to meters that take it.
        """
        async with self._one:
            try:
                text = await self._sign(end=end, id_token=id_token, deadline=deadline)
            except SigningError as error:
                self.problem = str(error)
                raise
            self.problem = ""
            return text

    async def _sign(self, *, end: bool, id_token: str, deadline: Instant) -> str:
        signing = self._signing
        if not end:
            if await self._measures(deadline):  # a begin that had no end: a power cut, or a vehicle that left before it charged
                await self._snapshot(signing.end, deadline)
            await self._prepare(id_token, deadline)
        return await self._snapshot(signing.end if end else signing.begin, deadline)

    async def _measures(self, deadline: Instant) -> bool:
        name = self._signing.measuring
        if not name:
            return False
        value = await self._until(lambda: self.meter.fetch(name), deadline, name)
        return isinstance(value, int) and value not in self._signing.measuring_idle

    async def _prepare(self, id_token: str, deadline: Instant) -> None:
        signing = self._signing
        if signing.id_token:
            text = signing.id_text.replace("{id}", id_token)
            await self._put(signing.id_token, text, deadline)
            await self._put(signing.id_length, len(text.encode("ascii", "replace")), deadline)
        if self._clock.wall_valid():
            await self._put(signing.time_zone, 0, deadline)
            await self._put(signing.time, self._clock.wall() // NS_PER_S, deadline)
            await self._put(signing.time_set, signing.time_set_value, deadline)

    async def _put(self, quantity: str, value: int | str, deadline: Instant) -> None:
        if quantity:
            await self._until(lambda: self.meter.put(quantity, value, self._signing.write), deadline, quantity)

    async def _snapshot(self, shot: Snapshot, deadline: Instant) -> str:
        before = await self._until(lambda: self.meter.fetch(shot.status), deadline, shot.status)
        if shot.data not in self._last:  # the first since the start: what stands there is of a time before
            self._last[shot.data] = await self._text(shot, deadline) if before in shot.done else ""
        await self._put(shot.command, shot.value, deadline)
        heard = self._clock.now() + STATUS_LAG
        while True:
            status = await self._until(lambda: self.meter.fetch(shot.status), deadline, shot.status)
            if status in shot.done:
                text = await self._text(shot, deadline)
                if text and text != self._last[shot.data]:
                    self._parse(text)
                    self._last[shot.data] = text
                    return text
            elif status not in shot.busy and (status != before or self._clock.now() >= heard):
                raise self._failed(f"{shot.status} = {status!r}: the meter has not signed")
            await self._wait(deadline, f"{shot.status} = {status!r}, no new signed data")

    async def _text(self, shot: Snapshot, deadline: Instant) -> str:
        data = await self._until(lambda: self.meter.fetch(shot.data), deadline, shot.data)
        signature = await self._until(lambda: self.meter.fetch(shot.signature), deadline, shot.signature) if shot.signature else None
        if not isinstance(data, str) or not data:
            return ""
        return ocmf.assemble(data, signature if isinstance(signature, bytes) else None)

    def _parse(self, text: str) -> None:
        try:
            ocmf.parse(text)
        except ProtocolError as error:
            raise self._failed(str(error)) from error

    def _failed(self, what: str) -> SigningError:
        return SigningError(f"{self.meter.where}: {what}; compare with the display, exchange the meter", NoDataReason.ERROR)

    async def _until(self, work: Callable[[], Awaitable[T]], deadline: Instant, what: str) -> T:
        """Do one job on the line; again while it cannot be heard, until ``deadline``."""
        while True:
            try:
                return await self._job(work)
            except ModbusException as error:
                if error.code in (ACKNOWLEDGE, BUSY):
                    await self._wait(deadline, f"{what}: {error}")
                    continue
                raise self._failed(f"{what}: {error}") from error
            except DeviceError as error:
                silent = isinstance(error, NoAnswer | ProtocolError)
                await self._wait(deadline, f"{what}: {error}", NoDataReason.TIMEOUT if silent else NoDataReason.DISCONNECTED)

    async def _wait(self, deadline: Instant, what: str, reason: NoDataReason = NoDataReason.ERROR) -> None:
        left_ns = deadline - self._clock.now()
        if left_ns <= 0:
            raise SigningError(f"{self.meter.where}: {what}; the time for the signed reading is over", reason)
        await asyncio.sleep(min(LOOK_EVERY_S, max(left_ns, NS_PER_MS) / NS_PER_S))

    async def _job(self, work: Callable[[], Awaitable[T]]) -> T:
        found: list[T] = []

        async def run() -> None:
            found.append(await work())

        await self.meter.job(run)
        return found[0]
