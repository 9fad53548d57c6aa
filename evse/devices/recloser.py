"""A recloser on Modbus: polls the position, moves it on request, and never guesses registers.

It shares its line with meters (`evse.devices.modbus_bus`). "Busy" (exceptions 5 and 6) is an answer: the motor runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from evse.devices.interfaces import LinkHealth
from evse.devices.modbus_bus import ModbusBus, NoAnswer
from evse.domain.clock import Clock
from evse.domain.recloser import RecloserAnswer, RecloserOutcome, RecloserProfile, RecloserState
from evse.protocols.errors import ProtocolError
from evse.protocols.modbus import (
    ACKNOWLEDGE,
    BUSY,
    ModbusException,
    check_write_answer,
    read_answer,
    read_bit_answer,
    read_bit_request,
    read_request,
    write_request,
)
from evse.units import NS_PER_MS, NS_PER_S, Instant, ms, s

POLL_MS: Final = 1_000
MOVING_POLL_NS: Final = ms(200)
"""Period while a request is under way or the motor runs."""

REQUEST_TIMEOUT_S: Final = 10
"""Charge Control C user guide 3.4: a change request fails after 10 s."""

UNAVAILABLE_NS: Final = s(2)
"""The last position is shown so long after the first unanswered poll (7.3.6.2, as for meters)."""

LOST_AFTER_NS: Final = s(10)
"""Time of grace until the fault is reported; 7.3.7 gives none."""

RETRY_MAX_NS: Final = s(10)
ANSWER_BYTES: Final = 8
NEVER_DUE_NS: Final = s(3_600)


class ModbusRecloser:
    """`evse.devices.interfaces.Recloser` on a `ModbusBus`; adds itself to the bus. ``poll_ms`` 100..60000."""

    def __init__(
        self,
        name: str,
        profile: RecloserProfile,
        address: int,
        bus: ModbusBus,
        clock: Clock,
        poll_ms: int = POLL_MS,
        lost_after_ns: int = LOST_AFTER_NS,
    ) -> None:
        self.name = name
        self.profile = profile
        self.address = address
        self.where = f"recloser[{profile.name.rpartition('/')[2]}@{bus.where}#{address}]"
        self._bus = bus
        self._clock = clock
        self._poll_ns = poll_ms * NS_PER_MS
        self._lost_after_ns = lost_after_ns
        self._position: RecloserState | None = None  # None = nothing ever answered
        self._good_at: Instant = 0
        self._bad_since: Instant | None = clock.now()
        self._failures = 0
        self._moving_since: Instant | None = None
        self._due: Instant = clock.now()
        self._wanted: RecloserState | None = None
        self._sent = False
        self._done: asyncio.Future[None] | None = None
        self.polls = 0
        self.errors = 0
        self.detail = (
            f"{self.where}: nothing read yet"
            if profile.registers.known
            else f"{self.where}: the registers of {profile.model} are not known; fill [registers] of its profile"
        )
        bus.add(self)

    # -- what the station sees ----------------------------------------------------------------------------------------

    def state(self) -> RecloserState:
        """Latest position, or why there is none."""
        if not self.profile.registers.known:
            return RecloserState.UNAVAILABLE
        if self._position is None:
            return RecloserState.NOT_PRESENT
        now = self._clock.now()
        silent = self._bad_since is not None and now - self._bad_since >= UNAVAILABLE_NS
        if silent or now - self._good_at >= 3 * self._poll_ns + UNAVAILABLE_NS:
            return RecloserState.UNAVAILABLE
        return self._position

    async def request(self, wanted: RecloserState) -> RecloserAnswer:
        """Move to OPEN or CLOSED; `ValueError` for another state. The answer comes after 10 s at the latest."""
        if wanted not in (RecloserState.OPEN, RecloserState.CLOSED):
            raise ValueError(f"{self.where}: cannot move to {wanted.value!r}, only to 'open' or 'closed'")
        state = self.state()
        if state is RecloserState.NOT_PRESENT:
            return self._answer(RecloserOutcome.NOT_PRESENT, self.detail)
        if state is RecloserState.UNAVAILABLE:
            return self._answer(RecloserOutcome.NOT_AVAILABLE, self.detail)
        if self._wanted is not None:
            return self._answer(RecloserOutcome.BUSY, f"{self.where}: still moving to {self._wanted.value}")
        if state is wanted:
            return self._answer(RecloserOutcome.DONE)
        self._wanted, self._sent = wanted, False
        self._done = asyncio.get_running_loop().create_future()
        self._due = self._clock.now()
        self._bus.wake()
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._done
        except TimeoutError:
            what = self.detail or f"{self.where}: {self.state().value} after {REQUEST_TIMEOUT_S} s, not {wanted.value}"
            outcome = RecloserOutcome.TIMEOUT if self._bad_since is None else RecloserOutcome.NOT_AVAILABLE
            return self._answer(outcome, what)
        finally:
            self._wanted = self._done = None
        return self._answer(RecloserOutcome.DONE)

    def _answer(self, outcome: RecloserOutcome, detail: str = "") -> RecloserAnswer:
        return RecloserAnswer(outcome=outcome, state=self.state(), detail=detail)

    def lost(self) -> str:
        """Why the recloser is lost, "" while it answers or its time of grace has not passed.

        A motor that has been running for longer than a request may take has failed as well.
        """
        moving = 0 if self._moving_since is None else self._clock.now() - self._moving_since
        if self._bad_since is None and moving > s(REQUEST_TIMEOUT_S):
            return f"{self.where}: the motor has been running for {moving // NS_PER_S} s; check motor and breaker"
        if self._bad_since is None or self._clock.now() - self._bad_since < self._lost_after_ns:
            return ""
        return self.detail

    async def run(self) -> None:
        """Own the bus together with the other devices on it."""
        await self._bus.run()

    def health(self) -> Sequence[LinkHealth]:
        """The one link of this recloser."""
        return (self.link(),)

    # -- what the bus asks for ----------------------------------------------------------------------------------------

    @property
    def due(self) -> Instant:
        """When the recloser wants to be polled next."""
        return self._due

    def link(self) -> LinkHealth:
        """State of the link."""
        return LinkHealth(
            name=self.name,
            kind="recloser",
            where=f"{self._bus.where}#{self.address}",
            online=self.state() not in (RecloserState.UNAVAILABLE, RecloserState.NOT_PRESENT),
            detail=self.detail,
            frames_in=self.polls - self.errors,
            frames_out=self.polls,
            errors=self.errors,
            reconnects=self._bus.reconnects,
        )

    def connected(self) -> None:
        """The line is open: ask at once."""
        self._due = self._clock.now()
        self._failures = 0

    def disconnected(self, detail: str) -> None:
        """The line is gone."""
        if self.profile.registers.known:
            self.detail = f"{self.where}: {detail}"
        if self._bad_since is None:
            self._bad_since = self._clock.now()

    async def poll(self) -> None:
        """One command if one is wanted, then one reading. Its own failures end here; a lost line is raised."""
        if not self.profile.registers.known:
            self._due = self._clock.now() + NEVER_DUE_NS
            return
        self.polls += 1
        try:
            if self._wanted is not None and not self._sent:
                await self._write(self._wanted)
                self._sent = True
            position = await self._read()
        except ModbusException as error:
            if error.code not in (ACKNOWLEDGE, BUSY):
                self._failed(f"{error}; check the registers of {self.profile.name}")
                return
            position = RecloserState.MOVING
        except (NoAnswer, ProtocolError) as error:
            self._failed(f"{error}; check termination, address and supply")
            return
        self._position, self._good_at, self._bad_since, self._failures = position, self._clock.now(), None, 0
        self.detail = ""
        self._moving_since = (self._moving_since or self._good_at) if position is RecloserState.MOVING else None
        if self._wanted is position and self._sent and self._done is not None and not self._done.done():
            self._done.set_result(None)
        busy = self._wanted is not None or position is RecloserState.MOVING
        self._due = self._clock.now() + (min(MOVING_POLL_NS, self._poll_ns) if busy else self._poll_ns)

    async def _write(self, wanted: RecloserState) -> None:
        r = self.profile.registers
        value = r.command_close if wanted is RecloserState.CLOSED else r.command_open
        pdu = write_request(r.command_function, r.command_address or 0, value)
        check_write_answer(await self._ask(pdu), pdu)

    async def _read(self) -> RecloserState:
        r = self.profile.registers
        address = r.state_address or 0
        if r.state_function in (1, 2):
            value = int(read_bit_answer(await self._ask(read_bit_request(r.state_function, address)), r.state_function))
        else:
            pdu = await self._ask(read_request(r.state_function, address, 1))
            value = int.from_bytes(read_answer(pdu, r.state_function, 1), "big") & r.state_mask
        if value == r.state_closed:
            return RecloserState.CLOSED
        if value == r.state_open:
            return RecloserState.OPEN
        if value == r.state_moving:
            return RecloserState.MOVING
        known = f"open {r.state_open}, closed {r.state_closed}"
        raise ProtocolError(f"register {address} holds {value}, which is none of {known}")

    async def _ask(self, pdu: bytes) -> bytes:
        return await self._bus.transact(self.address, pdu, ANSWER_BYTES, self.profile.bus.timeout_ms)

    def _failed(self, what: str) -> None:
        now = self._clock.now()
        self.errors += 1
        self._failures += 1
        if self._bad_since is None:
            self._bad_since = now
        self.detail = f"{self.where}: {what}"
        if self._wanted is not None:
            self._due = now + MOVING_POLL_NS
        else:
            self._due = now + min(self._poll_ns << min(self._failures // 3, 5), RETRY_MAX_NS)
