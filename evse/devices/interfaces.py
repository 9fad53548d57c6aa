"""What the runtime expects of a driver, one small Protocol per device class.

Rules for all drivers: ``run()`` is the owner task, it reconnects for ever with jittered back-off and ends only by
cancellation; readings are plain attributes that the control loop takes without waiting; commands are levels, the
newest wins; errors become `NoData` with a detail that names bus, address and register.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from evse.domain.readings import GroupStatus, MeterValues, NoData, Sample
from evse.domain.recloser import RecloserAnswer, RecloserState
from evse.domain.signals import BoardCommand, BoardInfo, BoardStatus, GroupCommand
from evse.units import Instant


class LinkHealth(msgspec.Struct, frozen=True, kw_only=True):
    """State of one device link for people: what it is, where, whether it works, and counters."""

    name: str  # "board 1", "site meter", "modules cab1"
    kind: str  # board, meter, modules, rfid, io, temperature, fan, recloser
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

    def lost(self) -> str:
        """Return why the reader is lost, "" while it works or its time of grace has not passed."""
        ...


class DigitalIo(Driver, Protocol):
    """Named digital inputs and outputs of the controller itself (not those of a pilot board)."""

    name: str

    def inputs(self) -> Mapping[str, Sample[bool] | NoData]:
        """Every input by name: debounced, True = active. `NoData` never means "not pressed"."""
        ...

    def outputs(self) -> Mapping[str, Sample[bool] | NoData]:
        """Every output by name, as read back from the hardware; True = active."""
        ...

    def command(self, levels: Mapping[str, bool]) -> None:
        """Complete levels: outputs that ``levels`` does not name go to rest. Never blocks, newest wins, is a lease."""
        ...

    def lost(self) -> str:
        """Return why the inputs are lost, "" while they are read or their time of grace has not passed."""
        ...


class TemperatureSensors(Driver, Protocol):
    """Named temperature sensors."""

    name: str

    def readings(self) -> Mapping[str, Sample[int] | NoData]:
        """Every sensor by name, d°C."""
        ...

    def lost(self) -> str:
        """Return which sensors are lost and why, "" while all are read or their time of grace has not passed."""
        ...


class FanStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A fan as its controller reports it."""

    duty_permille: int
    rpm: int | None  # None = no tachometer
    stalled: bool = False  # driven, but standing still for some seconds


class Fan(Driver, Protocol):
    """One fan."""

    name: str

    def reading(self) -> Sample[FanStatus] | NoData:
        """Latest status."""
        ...

    def command(self, duty_permille: int) -> None:
        """Wanted duty, 0..1000 permille (clamped). Never blocks, newest wins."""
        ...

    def lost(self) -> str:
        """Return why the fan is lost, "" while it works or its time of grace has not passed."""
        ...


class Recloser(Driver, Protocol):
    """A motor that closes a residual current breaker again."""

    name: str

    def state(self) -> RecloserState:
        """Latest state; everything but OPEN and CLOSED says that the position is not known."""
        ...

    async def request(self, wanted: RecloserState) -> RecloserAnswer:
        """Move to OPEN or CLOSED and answer when it is there, at the latest after 10 s; never raises for the device."""
        ...

    def lost(self) -> str:
        """Return why the recloser is lost, "" while it answers or its time of grace has not passed."""
        ...
