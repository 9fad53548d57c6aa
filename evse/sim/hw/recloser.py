"""A simulated recloser: one breaker and its motor behind the registers of a profile, on Modbus RTU.

The motor needs one to three seconds (a design value, reference recloser-rcd.md); meanwhile the device shows the value
"moving" where its profile has one, and answers "busy" otherwise. New orders are busy in any case.
"""

from __future__ import annotations

import random
from typing import Final

from evse.domain.clock import Clock
from evse.domain.recloser import RecloserProfile
from evse.protocols.modbus import (
    BUSY,
    EXCEPTION_FLAG,
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    WRITE_COIL,
    WRITE_MULTIPLE,
)
from evse.units import Instant, ms

TRAVEL_MS: Final = (1_000, 3_000)
FAULTS: Final = ("mute", "jam", "crc", "exception")
"""Names for `SimRecloser.fault`: no answer, the motor never arrives, broken CRC, exception 4 always."""


class SimRecloser:
    """One device with address ``unit``. `evse.sim.hw.modbus_meter.SimModbusBus` serves it beside meters."""

    def __init__(
        self, profile: RecloserProfile, unit: int, clock: Clock, rng: random.Random, *, closed: bool = True
    ) -> None:
        self.profile = profile
        self.unit = unit
        self.delay_ms = 0
        self.faults: set[str] = set()
        self.requests = 0
        self.orders = 0  # accepted commands
        self._clock = clock
        self._rng = rng
        self._closed = closed
        self._target = closed
        self._arrives: Instant | None = None  # None = the motor rests

    @property
    def closed(self) -> bool:
        """Whether the breaker conducts."""
        self._settle()
        return self._closed

    @property
    def moving(self) -> bool:
        """Whether the motor runs."""
        self._settle()
        return self._arrives is not None

    def trip(self) -> None:
        """The breaker trips: open at once, whatever the motor does."""
        self._arrives = None
        self._closed = self._target = False

    def by_hand(self) -> None:
        """Somebody closes the breaker at its lever."""
        self._arrives = None
        self._closed = self._target = True

    def fault(self, name: str, *, on: bool) -> None:
        """Raise or clear one of `FAULTS`; `ValueError` for another name."""
        if name not in FAULTS:
            raise ValueError(f"recloser fault {name!r}: expected one of {', '.join(FAULTS)}")
        if on:
            self.faults.add(name)
        else:
            self.faults.discard(name)

    def _settle(self) -> None:
        if self._arrives is not None and self._clock.now() >= self._arrives and "jam" not in self.faults:
            self._closed = self._target
            self._arrives = None

    def answer(self, pdu: bytes) -> bytes | None:
        """Return the PDU that the device answers to ``pdu``; None = silence."""
        self.requests += 1
        if "mute" in self.faults:
            return None
        function, r = pdu[0], self.profile.registers
        if "exception" in self.faults:
            return self._refuse(function, 4)
        if len(pdu) < 5:
            return self._refuse(function, ILLEGAL_FUNCTION)
        address = int.from_bytes(pdu[1:3], "big")
        if function == r.state_function:
            return self._read(pdu) if address == r.state_address else self._refuse(function, ILLEGAL_ADDRESS)
        if function == r.command_function:
            return self._write(pdu) if address == r.command_address else self._refuse(function, ILLEGAL_ADDRESS)
        return self._refuse(function, ILLEGAL_FUNCTION)

    @staticmethod
    def _refuse(function: int, code: int) -> bytes:
        return bytes((function | EXCEPTION_FLAG, code))

    def _read(self, pdu: bytes) -> bytes:
        function, r = pdu[0], self.profile.registers
        if pdu[3:5] != b"\x00\x01":
            return self._refuse(function, ILLEGAL_ADDRESS)
        if self.moving:
            if r.state_moving is None:
                return self._refuse(function, BUSY)
            value = r.state_moving
        else:
            value = r.state_closed if self._closed else r.state_open
        if function in (1, 2):
            return bytes((function, 1, value & 1))
        return bytes((function, 2)) + value.to_bytes(2, "big")

    def _write(self, pdu: bytes) -> bytes:
        function, r = pdu[0], self.profile.registers
        if function == WRITE_MULTIPLE and (len(pdu) != 8 or pdu[3:6] != b"\x00\x01\x02"):
            return self._refuse(function, ILLEGAL_VALUE)
        value = int.from_bytes(pdu[6:8] if function == WRITE_MULTIPLE else pdu[3:5], "big")
        if function == WRITE_COIL:
            wanted = {0xFF00: True, 0: False}.get(value)
            close = None if wanted is None else wanted is bool(r.command_close)
        else:
            close = {r.command_close: True, r.command_open: False}.get(value)
        if close is None:
            return self._refuse(function, ILLEGAL_VALUE)
        if self.moving:
            return self._refuse(function, BUSY)
        self.orders += 1
        self._target = close
        if close is not self._closed:
            self._arrives = self._clock.now() + ms(self._rng.randint(*TRAVEL_MS))
        return pdu[:5]

