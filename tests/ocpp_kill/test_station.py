"""The whole station (devices, core, client, store) killed or without power in a session; the simulated plant is the truth."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest

from evse.config.model import StationConfig
from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from evse.lab.vloop import VirtualLoop, run_virtual
from evse.storage.db import InlineExecutor, Store
from evse.transports.base import Openers, WebSocket
from tests._support.lab_world import demo_config
from tests.ocpp_kill.fuse import Cut, Fuse
from tests.ocpp_kill.network import FusedNetwork
from tests.ocpp_kill.power_disk import PowerDisk
from tests.ocpp_kill.truth import BEHIND_MAX_S

CARD = "04A1B2C3"


class _Pipes:
    """The simulator's pipes, the back end's through the fuse."""

    def __init__(self, inner: Openers, network: FusedNetwork) -> None:
        self._inner = inner
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def open_websocket(self, *arguments: Any, **options: Any) -> WebSocket:
        return await self._network.open_websocket(*arguments, **options)


class MortalLab(Lab):
    """A laboratory whose process ends when its fuse blows."""

    def __init__(self, config: StationConfig, data_dir: Path, disk: PowerDisk, fuse: Fuse, **options: Any) -> None:
        super().__init__(config, data_dir, **options)
        self.disk, self.fuse = disk, fuse
        disk.insert(fuse)

    async def open_store(self, database: Path | str) -> Store:
        """On the disk that can lose its power."""
        return await Store.open(database, executor=InlineExecutor(), connect=self.disk.connect)

    def openers(self) -> Openers:
        """With a network that ends with the process."""
        assert self.sim.csms is not None
        self.network = FusedNetwork(self.sim.csms, self.fuse)
        pipes: Any = _Pipes(self.sim.openers(), self.network)
        return pipes  # type: ignore[no-any-return]

    async def die(self, power: bool, rng: Random) -> None:
        """Give up everything the process had."""
        self.fuse.blow("in between")
        if power:
            self.network.powerless(rng)
        else:
            self.network.killed()
        await self.station.supervisor.stop()
        self.sim.drop_clients()
        self.disk.abandon()
        if power:
            self.disk.cut(rng)


@pytest.mark.parametrize("seed", range(8))
def test_a_station_that_dies_in_a_session_reports_it_once_with_what_the_plant_delivered(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    power = seed % 2 == 0
    config = demo_config(tmp_path)
    disk = PowerDisk(checkpoint_pages=rng.choice((1000, 20)))
    options: dict[str, Any] = {"database": tmp_path / "station.sqlite3", "seed": seed}

    async def serve(lab: Lab, connector: int, energy_wh: int) -> None:
        await lab.do(cmd="plug_in", connector=connector, soc_pct=30, stop_energy_wh=energy_wh)
        await lab.do(cmd="swipe", token=CARD, reader=f"reader{connector}")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: None if isinstance(context.get("exception"), Cut) else
                                   pytest.fail(f"unhandled: {context}"))  # fmt: skip
        first = MortalLab(config, tmp_path / "data", disk, Fuse(), fast=True, **options)
        await first.__aenter__()
        await first.forward(3)
        await serve(first, 1, 50_000)
        await first.forward(2)
        first.fuse.at, first.fuse.late = first.fuse.count + rng.randint(1, 60), rng.random() < 0.5
        await asyncio.wait([loop.create_task(first.fuse.wait())], timeout=rng.uniform(5, 60))
        power_w = first.sim.world.by_id[1].power_w
        await first.die(power, rng)
        await asyncio.sleep(rng.choice((0.4, 3.0)))
        plant_wh = first.sim.world.by_id[1].energy_wh
        await first.do(cmd="plug_out", connector=1, force=True)
        again = MortalLab(config, tmp_path / "data", disk, Fuse(), sim=first.sim, clock=first.clock, **options)
        await again.__aenter__()
        await serve(again, 2, 100)
        await again.until(lambda: again.evse(2).phase.value == "finished", "the next session ends", 120)
        await again.do(cmd="plug_out", connector=2)
        await again.until(lambda: not again.evse(2).plugged, "left", 30)
        client = again.station.ocpp
        assert client is not None
        await again.until(lambda: client.summary().queued == 0 and not again.sim.csms.ledger()["open"], "queue", 600)  # type: ignore[union-attr]
        sessions, _, _ = await again.store.sessions()
        assert again.sim.csms is not None
        ledger = again.sim.csms.ledger()
        assert compare_ledger(sessions, ledger) == []
        for row in ledger["transactions"]:
            if row["connector_id"] == 1:
                assert row["stop_reason"] == "PowerLoss"
                energy = row["meter_stop_wh"] - row["meter_start_wh"]
                behind = max(power_w, 60_000) * BEHIND_MAX_S / 3600
                assert plant_wh - behind - 2 <= energy <= plant_wh + 2, f"{energy} Wh told, {plant_wh} Wh delivered"
        if plant_wh > 2:
            assert 1 in [row["connector_id"] for row in ledger["transactions"]]
        again.fuse.blow("the test is over")
        await again.station.supervisor.stop()
        disk.abandon()
        task = first._sim_task
        assert task is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(main(), VirtualLoop())
