"""What a real process adds to a `Station`: the real world's openers, the database file, the API server."""

from __future__ import annotations

import asyncio
import grp
import os
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from evse.access.control import AccessControl
from evse.access.pin import PinGuard
from evse.access.ports import ThreadRunner
from evse.access.roles import RolePolicy
from evse.access.tokens import Tokens
from evse.api.paths import server_socket
from evse.api.stream import EventHub
from evse.config.model import StationConfig
from evse.runtime.clock import RealClock
from evse.runtime.station import Station
from evse.storage.db import Store
from evse.storage.executor import ThreadExecutor
from evse.transports.real import RealOpeners

if TYPE_CHECKING:
    from evse.api.server import ApiServer
    from evse.runtime.service.station import RuntimeService

DATABASE = "station.sqlite3"


async def open_station(config: StationConfig, config_path: Path, data_dir: Path, rng: Random) -> Station:
    """Open the database and wire a station onto the real world."""
    store = await Store.open(data_dir / DATABASE, executor=ThreadExecutor())
    station = Station(
        config,
        config_path=config_path,
        data_dir=data_dir,
        openers=RealOpeners(),
        clock=RealClock(),
        store=store,
        rng=rng,
    )
    await station.open()
    return station


def _api_classes() -> tuple[type[ApiServer], type[RuntimeService]]:
    """Import the web server: the longest import of the daemon, so it happens in a thread while the loop ticks already."""
    from evse.api.server import ApiServer
    from evse.runtime.service.station import RuntimeService

    return ApiServer, RuntimeService


async def serve(station: Station, socket: str) -> ApiServer:
    """Open the API on its Unix socket; the roles of callers come from Unix groups and the service PIN."""
    server_class, service_class = await asyncio.to_thread(_api_classes)
    api = station.config.api
    policy = RolePolicy(os.getuid(), lambda: (station.config.api.operator_group, station.config.api.manufacturer_group))
    control = AccessControl(
        policy=policy,
        pin=PinGuard(station.store, ThreadRunner(), station.clock),
        tokens=Tokens(station.clock),
        clock=station.clock,
        token_minutes=lambda: station.config.api.token_minutes,
    )
    hub = EventHub(seq=station.loop.state.event_seq)
    service = service_class(station, control, hub)
    path = server_socket(socket or api.socket)
    server = server_class(
        service, control, station.store.audit, station.clock, path=path, group=_known_group(api.socket_group)
    )
    await server.start()
    return server


def _known_group(name: str) -> str:
    """The group of the socket, if the machine has it; else the daemon's own."""
    try:
        return grp.getgrnam(name).gr_name if name else ""
    except KeyError:
        return ""
