"""A recloser: a motor that closes (and opens) a residual current breaker by request.

Source: Charge Control C user guide 3.3.9 (states, reasons) and 3.4 (10 s), reference recloser-rcd.md.
"""

from __future__ import annotations

import enum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from evse.domain.base import Frozen
from evse.domain.meter_profile import BusDefaults


class RecloserState(enum.Enum):
    """Where the breaker is. Only OPEN and CLOSED are positions."""

    OPEN = "open"
    CLOSED = "closed"
    MOVING = "moving"
    UNAVAILABLE = "unavailable"  # it answered once and does not now, or its registers are not known
    NOT_PRESENT = "not_present"  # nothing is configured, or nothing has ever answered


class RecloserOutcome(enum.Enum):
    """How a request ended."""

    DONE = "done"
    NOT_PRESENT = "not_present"
    NOT_AVAILABLE = "not_available"
    TIMEOUT = "timeout"  # not there within 10 s
    BUSY = "busy"  # another request is running


class RecloserAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a request: the outcome, where the breaker is now, and the reason in words ("" when done)."""

    outcome: RecloserOutcome
    state: RecloserState
    detail: str = ""


Word = Annotated[int, Meta(ge=0, le=0xFFFF)]


class RecloserRegisters(Frozen, frozen=True, kw_only=True):
    """Where a recloser keeps its state and takes its orders. Addresses are decimal, zero-based; None = not known.

    State: ``register & state_mask`` is compared with the three values. Command: one value is written.
    """

    state_address: Word | None = None
    state_function: Literal[1, 2, 3, 4] = 3  # 1 and 2 read one bit, 3 and 4 one register
    state_mask: Word = 0xFFFF
    state_open: Word = 0
    state_closed: Word = 1
    state_moving: Word | None = None  # None = the device has no such value; it answers "busy" instead
    command_address: Word | None = None
    command_function: Literal[5, 6, 16] = 6  # 5 = coil (open 0, closed not 0), 6 and 16 = register
    command_open: Word = 0
    command_close: Word = 1

    @property
    def known(self) -> bool:
        """Whether state and command have an address."""
        return self.state_address is not None and self.command_address is not None


class RecloserProfile(Frozen, frozen=True, kw_only=True):
    """A model. ``name`` is "<vendor>/<model>", the path below profiles/reclosers without ".toml"."""

    name: str
    vendor: str
    model: str
    confidence: Literal["high", "medium", "low"]
    source: str
    bus: BusDefaults = msgspec.field(default_factory=BusDefaults)
    registers: RecloserRegisters = msgspec.field(default_factory=RecloserRegisters)
    notes: tuple[str, ...] = ()
