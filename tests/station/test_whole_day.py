"""A whole day, every tick of it: 24 hours at 50 ms, a hundred cars, seeded faults, and nothing is lost or left behind.

Unlike `test_day_of_visits`, no hour is jumped over: all timers, heartbeats, meter marks and rings run through the day.
It takes some twenty minutes of a core and is run by `make test-long`.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
import pytest

from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from evse.lab.vloop import VirtualLoop
from evse.units import NS_PER_S, TICK_NS, WallNs
from tests._support.lab_world import Api, demo_config, run_lab
from tests._support.laws_run import RunLaws
from tests._support.visits import draw_fault, visit

SEED = 20261121
HOURS = 24
SESSIONS = 100
CONNECTORS = (1, 2)
TICKS = 1_728_000
HEARTBEAT_S = 300
ALIGNED_S = 900
LONG_STAY_S = 15 * 60
"""Every tenth car stays so long, so that marks of the meter fall into transactions."""

DEEP_EVERY = 19
"""The laws are checked on every tick that differs from the one before; determinism and the round trip of the state on every so many."""

WARM_HOURS = 2
"""By then every ring is full (the flight recorder's, the longest, takes ten minutes)."""

BLOCKS_PER_TICK_MAX = 0.05
"""Budget of docs/performance.md; what stays is the ledger of the simulated back end."""
RSS_GROWTH_MAX = 8 * 1024 * 1024
TASKS_SPARE = 4
"""Tasks of the moment: a request on its way, a line being opened."""


class Hour(NamedTuple):
    """What is alive at the end of an hour."""

    blocks: int
    rss: int
    tasks: int
    timers: int
    waiting: int


class BackEnd:
    """Listens to what the station tells its back end, and when."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        csms = lab.sim.csms
        assert csms is not None
        self._handle = csms.handle
        csms.handle = self._heard  # type: ignore[method-assign]
        self.signs: list[WallNs] = [lab.clock.wall()]
        """When a heartbeat or a boot came."""
        self.aligned: Counter[tuple[str, int]] = Counter()
        self.connections = csms.connections

    def _heard(self, charge_point: str, unique_id: str, action: str, payload: dict[str, Any]) -> Any:
        if action in ("Heartbeat", "BootNotification"):
            self.signs.append(self._lab.clock.wall())
        elif action == "MeterValues":
            for entry in payload["meterValue"]:
                if any(value["context"] == "Sample.Clock" for value in entry["sampledValue"]):
                    self.aligned[entry["timestamp"], payload["connectorId"]] += 1
        return self._handle(charge_point, unique_id, action, payload)


def _alive(lab: Lab) -> Hour:
    """Count what is alive; what the laboratory itself writes down is put away first."""
    csms, ocpp = lab.sim.csms, lab.station.ocpp
    assert csms is not None and ocpp is not None
    lab.events.clear()
    lab.sim.happened.clear()
    csms.received.clear()
    csms._answered.clear()  # every answer it ever gave, to be given again to a repetition
    gc.collect()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return Hour(
        sys.getallocatedblocks(),
        psutil.Process().memory_info().rss,
        len(asyncio.all_tasks()),
        loop.timers,
        ocpp.summary().queued,
    )


async def _connector(lab: Lab, api: Api, connector: int, count: int, length_s: float) -> None:
    """The cars of one connector, each at a moment of its own part of the day."""
    rng = random.Random(SEED * 10 + connector)
    morning = lab.clock.now()
    part_s = length_s / count
    for i in range(count):
        number = (i + 1) * 10 + connector
        stay_s = min(LONG_STAY_S, part_s / 3) if i % 10 == 9 else 0.0
        due_s = part_s * i + rng.uniform(0.1, 0.5) * part_s
        await lab.forward(due_s - (lab.clock.now() - morning) / NS_PER_S)
        await visit(lab, api, rng, connector, number, draw_fault(rng), stay_s=stay_s)


def live(tmp_path: Path, hours: float, sessions: int) -> list[Hour]:
    """Live through ``hours`` and check the books; return what was alive at the end of each hour."""
    length_ns = round(hours * 3600) * NS_PER_S
    alive: list[Hour] = []

    async def scenario(lab: Lab) -> None:
        await lab.forward(TICK_NS / 2 / NS_PER_S)  # the day begins and ends between two ticks: their number is exact
        back_end, api = BackEnd(lab), Api(lab)
        morning, ticks = lab.clock.now(), lab.station.loop.stats.count
        midnight = lab.clock.wall()
        cars = [
            asyncio.create_task(_connector(lab, api, connector, sessions // len(CONNECTORS), length_ns / NS_PER_S))
            for connector in CONNECTORS
        ]
        for hour in range(1, int(hours) + 1):
            await lab.forward((morning + hour * 3600 * NS_PER_S - lab.clock.now()) / NS_PER_S)
            for car in cars:
                if car.done():
                    car.result()  # raises what ended it early
            alive.append(_alive(lab))
            visits = sum(c.visits for c in lab.sim.world.connectors)
            print(f"hour {hour:2}: {visits:3} cars, {alive[-1]}", flush=True)
        await lab.forward((morning + length_ns - lab.clock.now()) / NS_PER_S)

        stats = lab.station.loop.stats
        assert stats.count - ticks == length_ns // TICK_NS
        assert stats.late == 0
        assert all(car.done() for car in cars)
        await asyncio.gather(*cars)
        await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.summary().queued == 0, "queue", 300)
        await _books(lab, sessions)
        _signs_of_life(back_end, midnight, length_ns)

    config = demo_config(tmp_path)
    config = msgspec.structs.replace(config, ocpp=msgspec.structs.replace(config.ocpp, aligned_interval_s=ALIGNED_S))
    checked = run_lab(
        tmp_path,
        scenario,
        config=config,
        check=RunLaws(DEEP_EVERY),
        seed=SEED,
        database=tmp_path / "data" / "evse.db",
    )
    assert checked >= length_ns // TICK_NS
    return alive


async def _books(lab: Lab, sessions: int) -> None:
    """The history, the back end's ledger and the physics agree; nothing hangs."""
    history, total, _ = await lab.store.sessions(limit=1000)
    assert total == sessions
    assert await lab.store.open_transactions() == []
    assert lab.sim.csms is not None
    assert compare_ledger(history, lab.sim.csms.ledger()) == []
    started = [s for s in history if s.started_at is not None]
    assert len(started) >= sessions * 9 // 10
    assert all(s.ended_at is not None and s.stop_reason is not None for s in started)
    assert not lab.view().faults
    assert not lab.station.loop.fault and not lab.station.loop.trouble
    assert not lab.station.supervisor.failures
    assert lab.sim.world.violations == []


def _signs_of_life(back_end: BackEnd, midnight: WallNs, length_ns: int) -> None:
    """Every heartbeat came in time, every mark of the meters once from the site and from each connector."""
    gaps = [(b - a) / NS_PER_S for a, b in zip(back_end.signs, back_end.signs[1:], strict=False)]
    assert max(gaps) <= HEARTBEAT_S + 1
    assert len(gaps) >= length_ns // NS_PER_S // HEARTBEAT_S - 1
    first = midnight // NS_PER_S // ALIGNED_S + 1
    last = (midnight + length_ns) // NS_PER_S // ALIGNED_S
    marks = [
        datetime.fromtimestamp(n * ALIGNED_S, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z") for n in range(first, last + 1)
    ]
    assert back_end.aligned == Counter({(mark, connector): 1 for mark in marks for connector in (0, *CONNECTORS)})


@pytest.mark.slow
@pytest.mark.timeout(4800)
def test_24_hours_with_100_sessions_and_faults_lose_nothing_and_leave_nothing_behind(tmp_path: Path) -> None:
    assert HOURS * 3600 * NS_PER_S // TICK_NS == TICKS
    alive = live(tmp_path, HOURS, SESSIONS)
    warm, evening = alive[WARM_HOURS - 1], alive[-1]
    ticks = (HOURS - WARM_HOURS) * TICKS // HOURS
    assert (evening.blocks - warm.blocks) / ticks <= BLOCKS_PER_TICK_MAX
    assert evening.rss - warm.rss <= RSS_GROWTH_MAX
    assert evening.tasks <= warm.tasks + TASKS_SPARE
    assert max(hour.timers for hour in alive) <= 2 * max(hour.tasks for hour in alive)
    assert evening.waiting == 0
