"""The client on real sockets: a peer that swallows everything while TCP stays open. Real time, a few seconds."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from evse.runtime.clock import RealClock
from evse.sim.csms import SimCsms
from evse.storage.db import Store
from evse.storage.executor import InlineExecutor
from evse.transports.real import RealOpeners
from evse.units import NS_PER_S
from tests.ocpp.support import FakeStation, make_client, ocpp_section

PATIENCE_S = 30.0
LATE_S = 0.5
LOOK_S = 0.05


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


class Lateness:
    """How much later than asked this loop has woken up: what a busy machine adds to every deadline."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asked = loop.time() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self.seconds += loop.time() - asked


def test_a_real_half_open_link_is_noticed_within_interval_plus_timeout_and_dialled_again() -> None:
    async def main() -> None:
        clock = RealClock()
        csms = SimCsms(clock)
        port = await csms.listen("127.0.0.1", 0)
        store = await Store.open(":memory:", executor=InlineExecutor())
        client = make_client(
            ocpp_section(url=f"ws://127.0.0.1:{port}/ocpp", ping_s=1, ping_timeout_s=1), RealOpeners(), clock, store,
            FakeStation(clock), Random(3),
        )
        await client.open()
        task = asyncio.get_running_loop().create_task(client.run())
        try:
            await until(lambda: client.online)
            assert client.summary().peer == f"127.0.0.1:{port}"
            await asyncio.sleep(1.2)  # a ping and its pong
            csms.half_open()
            swallowed, late = clock.wall(), Lateness()
            watch = asyncio.create_task(late.watch())
            await until(lambda: client.link_events(1)[0].kind == "closed")
            closed = client.link_events(1)[0]
            assert closed.text == "link ended: no pong within 1 s"
            watch.cancel()
            assert (closed.wall - swallowed) / NS_PER_S <= 2 + LATE_S + late.seconds
            await until(lambda: client.online)
            assert csms.ledger()["connections"] == 2
            assert csms.ledger()["violations"] == []
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await store.close()
            await csms.close()

    asyncio.run(main())
