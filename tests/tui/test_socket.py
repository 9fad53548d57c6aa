"""The screens over the real server and a real Unix socket: the daemon comes late, goes and comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from tests._support.api_world import served
from tests._support.fake_service import FakeStation
from tests.tui.test_apps import Clock
from tui.state.dial import Dialer
from tui.state.store import Link, Store


async def reached(store: Store, link: Link) -> None:
    """Wait for a state of the line."""
    async with asyncio.timeout(20):
        while store.link() is not link or (link is Link.LIVE and not store._connected):
            store.retry_now()
            await asyncio.sleep(0.01)


def test_store_follows_a_daemon_that_comes_late_goes_and_comes_back(tmp_path: Path) -> None:
    path, clock = tmp_path / "evsed.sock", Clock()

    async def main() -> None:
        dialer = Dialer(str(path))
        store = Store(dialer, now=clock)
        task = asyncio.ensure_future(store.run())
        try:
            await asyncio.sleep(0)
            assert store.link() is Link.CONNECTING
            station = FakeStation(status_period_s=0.01)
            async with served(path, station):
                await reached(store, Link.LIVE)
                assert store.status is not None and store.status.station_id == "DC-0001"
                station.set_evse(1, power_w=4_200)
                async with asyncio.timeout(20):
                    while (view := store.evse(1)) is None or view.power_w != 4_200:
                        await asyncio.sleep(0.01)
                done = await store.call("connector.stop", m.StopRequest(evse_id=1))
                assert done == m.Done()
            async with asyncio.timeout(20):
                while store._connected:
                    await asyncio.sleep(0.01)
            clock.forward(11)
            assert store.link() is Link.OFFLINE
            try:
                await store.call("planner.get")
            except ApiError as error:
                assert error.kind is ErrorCode.UNREACHABLE
            else:
                raise AssertionError("a call without a daemon must fail")
            async with served(path, station):
                await reached(store, Link.LIVE)
                assert store.reconnects == 1
        finally:
            task.cancel()

    asyncio.run(main())


def test_a_bad_address_is_an_error_of_the_line_not_a_crash() -> None:
    async def main() -> None:
        store = Store(Dialer("tcp://example.org"), now=Clock())
        task = asyncio.ensure_future(store.run())
        await asyncio.sleep(0.01)
        assert "tcp://example.org" in store.last_error and not task.done()
        task.cancel()

    asyncio.run(main())
