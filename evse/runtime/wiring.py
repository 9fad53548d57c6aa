"""From the configuration to drivers: which device sits where, and who owns which bus."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

import msgspec
from msgspec import UnsetType

from evse.config.meter_profiles import load_profile
from evse.config.model import MeterSection, ReaderSection, StationConfig
from evse.config.model_io import RecloserSection
from evse.core.inputs import LostDevice
from evse.devices.board_link import BoardLinkDriver
from evse.devices.infypower import InfypowerGroup, InfypowerModules
from evse.devices.interfaces import Driver, LinkHealth
from evse.devices.meter import ModbusMeter
from evse.devices.meter_signing import MeterSigner
from evse.devices.modbus_bus import ModbusBus, endpoint_of
from evse.devices.polled import Offload, in_thread
from evse.devices.rfid_base import CardReader
from evse.devices.rfid_hid import HidDriver
from evse.devices.rfid_line import LineDriver
from evse.devices.rfid_pn532 import Pn532Driver
from evse.devices.rfid_sl032 import Sl032Driver
from evse.devices.rfid_twn4 import Twn4Driver
from evse.domain.clock import Clock
from evse.domain.meter_profile import BusDefaults
from evse.runtime.field import FieldDevices
from evse.transports.base import Openers, SerialSettings

READERS: Final[dict[str, type[CardReader]]] = {
    "sl032": Sl032Driver,
    "pn532": Pn532Driver,
    "twn4": Twn4Driver,
    "line": LineDriver,
    "hid": HidDriver,
}
READER_BAUD: Final = {"pn532": 115_200}
"""Default of a family; 9600 for all others."""


class Devices(msgspec.Struct, kw_only=True):
    """All drivers of a station. ``meters`` by EVSE, 0 = site."""

    boards: dict[int, BoardLinkDriver]
    meters: dict[int, ModbusMeter]
    modules: InfypowerModules | None
    readers: dict[str, CardReader]
    buses: dict[str, ModbusBus]  # by port
    sections: dict[int, MeterSection]
    field: FieldDevices
    served: dict[str, tuple[int, ...]]  # EVSEs of each reader
    signers: dict[int, MeterSigner]  # by EVSE: meters that sign

    def drivers(self) -> Iterator[tuple[str, Driver]]:
        """Name and owner task of every driver."""
        for evse_id, board in self.boards.items():
            yield f"board {evse_id}", board
        if self.modules is not None:
            yield "modules", self.modules
        for bus in self.buses.values():
            yield f"bus {bus.where}", bus
        for name, reader in self.readers.items():
            yield f"reader {name}", reader
        for evse_id, signer in self.signers.items():
            yield f"signing meter {evse_id}", signer
        yield from self.field.drivers()

    def health(self) -> tuple[LinkHealth, ...]:
        """State of every link."""
        return tuple(link for _, driver in self.drivers() for link in driver.health())

    def lost(self) -> tuple[LostDevice, ...]:
        """Field devices that do not answer, after their own patience."""
        lost = list(self.field.lost())
        for name, reader in self.readers.items():
            text = reader.lost()
            if text:
                lost.append(LostDevice(kind="reader", name=name, evse_ids=self.served[name], detail=text))
        return tuple(lost)

    def apply_live(self, config: StationConfig) -> None:
        """Put the options of ``config`` in force that need no restart; devices it does not name stay as they are."""
        for section in config.reader:
            reader = self.readers.get(section.name)
            if reader is not None:
                reader.turn(section.byte_order, section.character_order)
        self.field.apply_live(config.io)


def build_devices(
    config: StationConfig, openers: Openers, clock: Clock, rng: Random, *, offload: Offload = in_thread
) -> Devices:
    """Create all drivers that ``config`` names; nothing is opened before their tasks run.

    ``offload`` runs what blocks on kernel files.
    """
    boards = {
        evse.id: BoardLinkDriver(
            evse.id, SerialSettings(port=evse.board.port, baud=evse.board.baud), openers, clock, rng
        )
        for evse in config.evse
    }
    buses: dict[str, ModbusBus] = {}

    def bus_of(section: MeterSection | RecloserSection, defaults: BusDefaults) -> ModbusBus:
        """One owner per line."""
        if section.port not in buses:
            endpoint = endpoint_of(section.port)
            buses[section.port] = ModbusBus(endpoint or serial_settings(section, defaults), openers, clock, rng)
        return buses[section.port]

    meters: dict[int, ModbusMeter] = {}
    sections: dict[int, MeterSection] = {}
    wanted = [(0, config.site.meter), *((evse.id, evse.meter) for evse in config.evse)]
    one_way = {evse.id for evse in config.evse if evse.kind == "ac"}  # nothing comes back from the vehicle
    for evse_id, section in wanted:
        if section is None:
            continue
        profile = load_profile(section.profile)
        bus = bus_of(section, profile.bus)
        name = f"meter {evse_id}" if evse_id else "site meter"
        meters[evse_id] = ModbusMeter(
            name, profile, section.address, bus, section.poll_ms, clock, import_only=evse_id in one_way
        )
        sections[evse_id] = section
    signers = {
        evse_id: MeterSigner(meter, meter.profile.signing, clock)
        for evse_id, meter in meters.items()
        if evse_id and meter.profile.signing is not None and sections[evse_id].signed != "off"
    }
    modules = None
    if config.modules is not None:
        modules = InfypowerModules(
            _groups(config),
            config.modules.interface,
            config.modules.channel,
            config.modules.bitrate,
            openers,
            clock,
            rng,
        )
    readers = {section.name: _reader(section, openers, clock, rng) for section in config.reader}
    return Devices(
        boards=boards,
        meters=meters,
        modules=modules,
        readers=readers,
        buses=buses,
        sections=sections,
        field=FieldDevices(config, clock, rng, bus_of, offload),
        served={section.name: section.evses for section in config.reader},
        signers=signers,
    )


def _reader(section: ReaderSection, openers: Openers, clock: Clock, rng: Random) -> CardReader:
    return READERS[section.driver](
        section.name,
        reader_settings(section),
        openers,
        clock,
        rng,
        byte_order=section.byte_order,
        character_order=section.character_order,
    )


def reader_settings(section: ReaderSection) -> SerialSettings:
    """Serial settings of a reader: what the section names, else the default of its family."""
    default = READER_BAUD.get(section.driver, 9600)
    return SerialSettings(port=section.port, baud=default if isinstance(section.baud, UnsetType) else section.baud)


def serial_settings(section: MeterSection | RecloserSection, defaults: BusDefaults) -> SerialSettings:
    """Serial settings of a Modbus line: what the section names, else the defaults of the profile."""
    return SerialSettings(
        port=section.port,
        baud=defaults.baud if isinstance(section.baud, UnsetType) else section.baud,
        parity=defaults.parity if isinstance(section.parity, UnsetType) else section.parity,
        stop_bits=defaults.stop_bits,
        echo=section.echo,
    )


def _groups(config: StationConfig) -> list[InfypowerGroup]:
    """Module groups as the driver needs them; the voltage range is that of the station's EVSEs."""
    if config.modules is None:
        return []
    return [
        InfypowerGroup(
            group_id=group.id,
            addresses=group.addresses,
            module_power_w=group.module_power_w,
            module_current_ma=group.module_current_a * 1000,
        )
        for group in config.modules.groups
    ]
