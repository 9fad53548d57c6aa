"""What the runtime expects of a driver, one small Protocol per device class.

Rules for all drivers: ``run()`` is the owner task, it reconnects for ever with jittered back-off and ends only by
cancellation; readings are plain attributes that the control loop takes without waiting; commands are levels, the
newest wins; errors become `NoData` with a detail that names bus, address and register.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from evse.domain.readings import GroupStatus, MeterValues, NoData, Sample
from evse.domain.signals import BoardCommand, BoardInfo, BoardStatus, GroupCommand
from evse.units import Instant


class LinkHealth(msgspec.Struct, frozen=True, kw_only=True):
    """State of one device link for people: what it is, where, whether it works, and counters."""

    name: str  # "board 1", "site meter", "modules cab1"
    kind: str  # board, meter, modules, rfid
    where: str  # "/dev/serial/by-id/..#17", "can0"
    online: bool
    detail: str  # error in plain words, "" when online
    frames_in: int = 0
    frames_out: int = 0
    errors: int = 0
    reconnects: int = 0


class Driver(Protocol):
    """Any driver."""

    async def run(self) -> None:
        """Own the device until cancelled."""
        ...

    def health(self) -> Sequence[LinkHealth]:
        """Return the state of every link this driver owns."""
        ...


class Board(Driver, Protocol):
    """A pilot/PLC/SECC board (dev-plc)."""

    evse_id: int
    info: BoardInfo | None

    def reading(self) -> Sample[BoardStatus] | NoData:
        """Latest status; `NoData` when the link is down."""
        ...

    def command(self, levels: BoardCommand) -> None:
        """Send complete levels now (each call renews the lease); never blocks, newest wins."""
        ...


class PowerModules(Driver, Protocol):
    """All module groups on one CAN bus (dev-power)."""

    def reading(self, group_id: int) -> Sample[GroupStatus] | NoData:
        """Latest status of a group."""
        ...

    def command(self, levels: Sequence[GroupCommand]) -> None:
        """Levels for the groups of this bus; a change leaves at once, unchanged levels are refreshed at the poll rate."""
        ...


class Meter(Driver, Protocol):
    """One meter (dev-meter). Several meters may share one bus owner."""

    name: str

    def reading(self) -> Sample[MeterValues] | NoData:
        """Latest values."""
        ...


class TokenReader(Driver, Protocol):
    """An RFID reader (dev-rfid)."""

    name: str
    last: tuple[Instant, str] | None  # last token and when, for people

    def take(self) -> list[str]:
        """Return and forget the id tokens (upper-case hex) read since the last call; bounded to 8."""
        ...
