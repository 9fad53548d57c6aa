"""Faults of the whole site that came with AC: mains and card readers. They belong to stations of every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evse.domain.base import ConfigError
from evse.domain.faults import FaultCode
from evse.sim.faults import FaultArgs, FaultDef

if TYPE_CHECKING:
    from evse.sim.station import SimStation


def _phase_lost(station: SimStation, args: FaultArgs, on: bool) -> str:
    value = 3 if args.value is None else args.value
    if not 1 <= value <= 3:
        raise ConfigError([f"value = {value}: accepted: a grid phase, 1, 2, 3"])
    lost = station.world.mains.lost
    lost.add(value - 1) if on else lost.discard(value - 1)
    return f"grid phase {value}: {'lost' if on else 'back'}"


def _sag(station: SimStation, args: FaultArgs, on: bool) -> str:
    value = 200 if args.value is None else args.value
    if not 0 <= value <= 900:
        raise ConfigError([f"value = {value}: accepted: 0..900"])
    station.world.mains.sag_permille = value if on else 0
    return f"mains voltage {value} permille low" if on else "mains voltage is right again"


def _reader_lost(station: SimStation, args: FaultArgs, on: bool) -> str:
    sections = [reader for reader in station.config.reader if reader.name in station.readers]
    if args.connector:
        sections = [reader for reader in sections if args.connector in reader.evses]
    if args.port:
        sections = [reader for reader in sections if args.port in (reader.port, reader.name)]
    if not sections:
        known = ", ".join(f"{reader.name} at {reader.port}" for reader in station.config.reader) or "none"
        raise ConfigError([f"reader_lost: no reader there; the configuration has {known}"])
    for reader in sections:
        port = station.serial[reader.port]
        port.unplug() if on else port.replug()
    return f"reader {', '.join(reader.name for reader in sections)}: {'unplugged' if on else 'plugged in again'}"


def _io_lost(station: SimStation, args: FaultArgs, on: bool) -> str:
    del args
    if station.io is None:
        raise ConfigError(["io_lost: the controller has no simulated inputs and outputs ([io] with a root of its own)"])
    station.io.unplug() if on else station.io.replug()
    return f"inputs and outputs of the controller: module {'pulled out' if on else 'in its place again'}"


_ROWS: Final = (
    ("io_lost", FaultCode.IO_LOST, "The module with inputs and outputs of the controller is pulled out", _io_lost, "", 0),
    ("reader_lost", FaultCode.READER_FAILURE, "A card reader is unplugged (those of a connector, or all)",
     _reader_lost, "", 0),
    ("mains_phase_lost", None, "A grid phase has no voltage", _phase_lost, "phase", 3),
    ("mains_sag", None, "The mains voltage is low", _sag, "permille", 200),
)  # fmt: skip

CATALOGUE_SITE: Final[dict[str, FaultDef]] = {
    row[0]: FaultDef(
        name=row[0], code=row[1], scope="station", description=row[2], apply=row[3], unit=row[4], default=row[5]
    )
    for row in _ROWS
}
