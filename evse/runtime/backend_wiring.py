"""How the OCPP client is put together for a running station."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from evse import __version__
from evse.config.model import StationConfig
from evse.core.inputs import CalendarSet
from evse.domain.base import DeviceError
from evse.domain.clock import ClockPort
from evse.ocpp.client import OcppClient
from evse.ocpp.ports import NO_SECURITY, Identity
from evse.ocpp.time_source import VALID_FROM, ClockJump
from evse.runtime.backend import BackendPort
from evse.runtime.key_effects import KeyEffects
from evse.runtime.metering_law import offer_keys
from evse.runtime.recloser_messages import RECLOSER_VENDOR, RecloserMessages
from evse.units import NS_PER_MS

if TYPE_CHECKING:
    from random import Random

    from evse.runtime.station import Station


async def save_backend(station: Station) -> None:
    """Store what the back end's side keeps in memory for a while; at the end of the process."""
    if station.ocpp is not None:
        await station.ocpp.charging.save()
    if station.security is not None:
        with contextlib.suppress(DeviceError):
            await station.security.log.flush()


def make_client(station: Station, rng: Random) -> OcppClient | None:
    """Return the client of a station, not yet opened; None when OCPP is switched off."""
    config = station.config
    if not config.ocpp.enabled:
        return None
    security = station.security
    client = OcppClient(
        config.ocpp if security is None else security.config_in_force(), identity(config, station.firmware_version),
        station.openers, station.clock, station.store, BackendPort(station), rng,
        clock_port=station.clock if isinstance(station.clock, ClockPort) else None,
        dialler=None if security is None else security.dialler,
        security=NO_SECURITY if security is None else security.log.note,
    )
    KeyEffects(station, client)
    offer_keys(station.devices.signers, client)
    if security is not None:
        security.attach(client)
    client.handlers.data_handlers[RECLOSER_VENDOR] = RecloserMessages(
        station.spec.evses, station.devices.field.reclosers
    )

    def jumped(jump: ClockJump) -> None:
        station.announce("clock.jumped", 0, {
            "by_ms": jump.by // NS_PER_MS, "source": jump.source, "first": jump.first,
        })
        if jump.first:
            station.loop.submit(lambda seq: CalendarSet(seq=seq, by=jump.by, valid_from=VALID_FROM))

    client.jumped = jumped
    return client


def identity(config: StationConfig, firmware: str = __version__) -> Identity:
    """Who the station is towards the back end; ``firmware`` = the version that runs."""
    return Identity(
        charge_point_id=config.ocpp.charge_point_id or config.station.id,
        vendor=config.station.vendor,
        model=config.station.model,
        serial=config.station.serial_number,
        firmware=firmware,
    )
