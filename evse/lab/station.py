"""The whole station in one process under virtual time: simulator, drivers, core, back end, storage.

Every byte between the simulated devices and the drivers is a real one; only the pipes are in memory and time costs
nothing. ``forward`` runs the world; between two calls nothing moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from evse import __version__
from evse.config.model import StationConfig
from evse.devices.polled import inline
from evse.domain.firmware import Firmware
from evse.domain.view import Event, EvseView, StationView
from evse.lab.files import MemoryCarrier
from evse.lab.vloop import VirtualClock, VirtualLoop
from evse.runtime.station import Station
from evse.sim.installer import SimFirmware
from evse.sim.station import SimStation
from evse.storage.db import Store
from evse.storage.executor import InlineExecutor
from evse.transports.base import Openers
from evse.units import NS_PER_S, WallNs

STEP_S = 0.05
WAIT_MAX_S = 600.0


class Lab:
    """A station and its world. Use as ``async with Lab(config, data_dir) as lab`` inside `run_virtual`."""

    def __init__(
        self,
        config: StationConfig,
        data_dir: Path,
        *,
        seed: int = 1,
        fast: bool = False,
        database: Path | str = ":memory:",
        wall_at_start: WallNs | None = None,
        sim: SimStation | None = None,
        clock: VirtualClock | None = None,
        firmware: Firmware | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise TypeError("the laboratory needs a VirtualLoop: start it with run_virtual")
        self.clock = clock or (VirtualClock(loop) if wall_at_start is None else VirtualClock(loop, wall_at_start))
        self.config = config
        self.data_dir = data_dir
        self.seed = seed
        self.events: list[Event] = []
        self.sim = sim or SimStation(config, self.clock, seed=seed, fast=fast)
        self.firmware = firmware or SimFirmware(data_dir / "slots", version=__version__)
        self._sim_given = sim is not None
        self._database = database
        self._sim_task: asyncio.Task[None] | None = None

    async def open_store(self, database: Path | str) -> Store:
        """Open the database; a test may put another disk under it."""
        return await Store.open(database, executor=InlineExecutor())

    def openers(self) -> Openers:
        """The pipes to the simulated station; a test may cut them."""
        return self.sim.openers()

    async def __aenter__(self) -> Self:
        self.store = await self.open_store(self._database)
        self.station = Station(
            self.config,
            config_path=None,
            data_dir=self.data_dir,
            openers=self.openers(),
            clock=self.clock,
            store=self.store,
            rng=Random(self.seed),
            offload=inline,
            firmware=self.firmware,
            carrier=MemoryCarrier(self.sim.files),
        )
        await self.station.open()
        self.station.event_sinks.append(self.events.extend)
        if not self._sim_given:
            self._sim_task = asyncio.get_running_loop().create_task(self.sim.run())
        self.station.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.station.close()
        if self._sim_task is not None:
            self._sim_task.cancel()
            await asyncio.gather(self._sim_task, return_exceptions=True)
        await self.store.close()

    async def kill(self) -> None:
        """End the daemon as SIGKILL would: no goodbye to devices, nothing flushed."""
        await self.station.supervisor.stop()
        await self.store.close()

    async def forward(self, seconds: float) -> None:
        """Let the world run."""
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], bool], what: str, at_most_s: float = WAIT_MAX_S) -> float:
        """Run until ``condition`` holds; return the virtual seconds it took; raise `TimeoutError` naming ``what``."""
        began = self.clock.now()
        while not condition():
            waited = (self.clock.now() - began) / NS_PER_S
            if waited >= at_most_s:
                tail = "\n".join(f"  {e.kind} evse={e.evse_id} {e.data}" for e in self.events[-12:])
                raise TimeoutError(f"seed {self.seed}: {what}: not within {at_most_s:g} s; last events:\n{tail}")
            await asyncio.sleep(STEP_S)
        return (self.clock.now() - began) / NS_PER_S

    async def do(self, **command: Any) -> dict[str, Any]:
        """Give the simulator a command of its control protocol; raise `ValueError` when it refuses."""
        answer = await self.sim.command(command)
        if not answer.get("ok"):
            raise ValueError(f"{command}: {answer}")
        return answer

    def view(self) -> StationView:
        """The station as people see it."""
        return self.station.view()

    def evse(self, evse_id: int) -> EvseView:
        """One EVSE as people see it."""
        return next(e for e in self.view().evses if e.evse_id == evse_id)
