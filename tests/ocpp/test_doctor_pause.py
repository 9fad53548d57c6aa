"""The doctor beside a station that is connected or dials: what it leaves out, and the pause that lets it try everything."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from evse.domain.base import DeviceError
from evse.ocpp.doctor import PAUSE_S, STEPS, Report
from evse.runtime.clock import RealClock
from evse.storage.db import Store
from evse.storage.executor import InlineExecutor
from evse.transports.base import DialOptions
from evse.transports.real import RealOpeners
from evse.units import NS_PER_S
from tests._support.frames import Watched
from tests.ocpp.support import Bench, FakeStation, make_client, ocpp_section, under_virtual_time


class Jealous:
    """A CSMS that ends the link of a station when a second one comes, as many do."""

    def __init__(self) -> None:
        self.links: list[ServerConnection] = []
        self.kicked = 0
        self.greeted = 0
        self.boots = 0

    async def serve(self, connection: ServerConnection) -> None:
        self.greeted += 1
        for other in self.links:
            self.kicked += 1
            await other.close(1008, "another link of this station")
        self.links.append(connection)
        try:
            watched = Watched(connection)
            async for text in watched:
                kind, unique_id, action, *_ = json.loads(text)
                if kind == 2:
                    self.boots += action == "BootNotification"
                    answer: dict[str, Any] = {}
                    if action in ("BootNotification", "Heartbeat"):
                        answer["currentTime"] = "2026-01-01T00:00:00Z"
                    if action == "BootNotification":
                        answer |= {"status": "Accepted", "interval": 300}
                    await watched.send(json.dumps([3, unique_id, answer]))
        finally:
            self.links.remove(connection)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_jealous_back_end_is_examined_whole_in_a_pause_and_never_has_two_links_of_the_station() -> None:
    async def main() -> None:
        jealous, clock = Jealous(), RealClock()
        async with serve(jealous.serve, "127.0.0.1", 0, subprotocols=["ocpp1.6"]) as server:  # type: ignore[list-item]
            port = next(iter(server.sockets)).getsockname()[1]
            store = await Store.open(":memory:", executor=InlineExecutor())
            client = make_client(
                ocpp_section(url=f"ws://127.0.0.1:{port}/ocpp"), RealOpeners(), clock, store, FakeStation(clock), Random(3)
            )
            await client.open()
            task = asyncio.get_running_loop().create_task(client.run())
            try:
                await until(lambda: client.online)
                beside = await client.examine()
                assert beside.live and "HTTP, credentials, subprotocol and BootNotification were not tried anew" in beside.note
                assert client.online and jealous.greeted == 1
                first = asyncio.get_running_loop().create_task(client.examine(pause=True))
                await asyncio.sleep(0)
                for pause in (False, True):  # a second one would make a second connection, or end the pause of the first
                    with pytest.raises(DeviceError, match="somebody else"):
                        await client.examine(pause=pause)
                alone = await first
                assert (alone.live, alone.failed, alone.note) == (False, "", "")
                assert {check.name: check.result for check in alone.checks} == {
                    **dict.fromkeys(STEPS, "ok"), "clock": alone.checks[6].result,
                }
                await until(lambda: client.online)
                assert (jealous.greeted, jealous.kicked) == (3, 0)  # ours, the doctor's, ours again
                kinds = [(event.kind, event.text) for event in client.link_events(9)]
                assert ("closed", "link ended: ended for an examination") in kinds
                assert len(jealous.links) == 1
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("state", ["connected", "dialling", "back-off"])
def test_a_pause_ends_everything_and_is_over_at_its_moment_whatever_becomes_of_the_caller(state: str) -> None:
    async def main() -> None:
        bench = await Bench().start()
        link, real = bench.client.link, bench.openers.open_websocket
        failed: list[str] = []

        async def hangs(*arguments: Any) -> Any:
            await asyncio.Event().wait()

        async def refuses(*arguments: Any) -> Any:
            raise DeviceError("nobody there")

        async def told(target: Any, error: str) -> None:
            failed.append(error)

        bench.client.dialler.failed = told  # type: ignore[method-assign]
        if state != "connected":
            bench.openers.open_websocket = hangs if state == "dialling" else refuses  # type: ignore[method-assign]
            bench.openers.sockets[-1].end(clean=False, detail="test")
            await asyncio.sleep(15)
        assert (link.connected, link.dialling) == (state == "connected", state == "dialling")
        before, counted = link.dials, len(failed)
        await link.pause(PAUSE_S, "test")
        began = bench.clock.now()
        assert not link.connected and not link.dialling
        bench.openers.open_websocket = real  # type: ignore[method-assign]
        await asyncio.sleep(PAUSE_S - 1)
        assert (link.dials, len(failed)) == (before, counted)  # nothing was dialled, and no target has failed by it
        await asyncio.sleep(2)
        assert bench.client.online and link.dials == before + 1
        assert bench.clock.now() - began < (PAUSE_S + 2) * NS_PER_S

    under_virtual_time(main)


def test_an_examination_that_is_broken_off_lets_the_station_dial_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def hangs(*arguments: Any) -> Report:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("evse.ocpp.client.examine", hangs)

    async def main() -> None:
        bench = await Bench().start()
        task = asyncio.get_running_loop().create_task(bench.client.examine(pause=True))
        await begun.wait()
        assert not bench.client.online
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.5)
        assert bench.client.online

    under_virtual_time(main)


def test_the_name_is_told_to_be_asked_by_the_routes_of_the_system() -> None:
    """``ocpp.interface`` does not bind name resolution, and the DNS step says so; without it nothing is said."""
    from evse.ocpp.doctor import examine
    from evse.ocpp.ports import DialTarget

    async def facts(interface: str) -> dict[str, str]:
        target = DialTarget(url="ws://localhost:1/x", options=DialOptions(interface=interface))
        report = await examine(target, RealClock(), {})
        return dict(report.checks[0].facts)

    assert "asked by" not in asyncio.run(facts(""))
    assert "ocpp.interface does not bind DNS" in asyncio.run(facts("lo"))["asked by"]
