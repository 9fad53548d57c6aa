"""What a real process adds to a `Station`: the real world's openers, the database file, the API server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from evse.config.model import StationConfig
from evse.runtime.clock import RealClock
from evse.runtime.station import Station
from evse.runtime.thinking import Beside
from evse.storage.db import Store
from evse.storage.executor import ThreadExecutor
from evse.transports.real import RealOpeners

if TYPE_CHECKING:
    from evse.api.server import ApiServer

DATABASE = "station.sqlite3"


async def open_station(config: StationConfig, config_path: Path, data_dir: Path, rng: Random) -> Station:
    """Open the database and wire a station onto the real world. Long plans are worked out in a process beside the loop."""
    store = await Store.open(data_dir / DATABASE, executor=ThreadExecutor())
    station = Station(
        config,
        config_path=config_path,
        data_dir=data_dir,
        openers=RealOpeners(),
        clock=RealClock(set_system=config.ocpp.set_system_clock),
        store=store,
        rng=rng,
    )
    station.thinker = beside = Beside(station.spec)
    await station.open()
    station.supervisor.start("planner process", beside.run)
    return station


async def serve(station: Station, socket: str) -> ApiServer:
    """Open the API on its Unix socket, for a station that runs: its imports are made in a thread, the loop ticks on."""
    make_server = await asyncio.to_thread(_maker)
    server = make_server(station, socket)
    await server.start()
    return server


def _maker() -> Callable[[Station, str], ApiServer]:
    from evse.runtime.api_socket import make_server

    return make_server
