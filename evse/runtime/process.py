"""What a real process adds to a `Station`: the real world's openers, the database file, the API server."""

from __future__ import annotations

from pathlib import Path
from random import Random

from evse.api.server import ApiServer
from evse.config.model import StationConfig
from evse.runtime.clock import RealClock
from evse.runtime.service.station import RuntimeService
from evse.runtime.station import Station
from evse.storage.db import Store
from evse.storage.executor import ThreadExecutor
from evse.transports.real import RealOpeners

DATABASE = "station.sqlite3"


async def open_station(config: StationConfig, config_path: Path, data_dir: Path, rng: Random) -> Station:
    """Open the database and wire a station onto the real world."""
    store = await Store.open(data_dir / DATABASE, executor=ThreadExecutor())
    station = Station(
        config, config_path=config_path, data_dir=data_dir, openers=RealOpeners(), clock=RealClock(), store=store, rng=rng
    )
    await station.open()
    return station


async def serve(station: Station, socket: str) -> ApiServer:
    """Open the API on its Unix socket."""
    raise NotImplementedError
