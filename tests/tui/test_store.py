"""The store under virtual time: freshness, back-off, resume; no Textual, no widgets."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.domain.view import Event
from evse.lab.vloop import VirtualLoop, run_virtual
from tests._support import fake_data as fake
from tests.tui.data import ScriptApi, snapshot, status
from tui.state.store import EVENTS_MAX, Link, Store


class Line(ScriptApi):
    """A stream that the test holds in its hand."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: asyncio.Queue[m.StreamItem | None] = asyncio.Queue(maxsize=100)
        self.up = True

    async def stream(self, name: str, since: int | None = None) -> AsyncIterator[m.StreamItem]:
        self.dials += 1
        if not self.up:
            raise ConnectionRefusedError("no daemon")
        while (item := await self.queue.get()) is not None:
            yield item


def make(loop: VirtualLoop) -> tuple[Line, Store]:
    line = Line()
    return line, Store(line, now=lambda: loop.now_ns)


def heartbeat(seq: int) -> m.StreamItem:
    return m.StreamItem(type="heartbeat", seq=seq)


def test_open_stream_is_live_between_heartbeats_then_stale_then_offline() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        line, store = make(loop)
        task = asyncio.ensure_future(store.run())
        assert store.link() is Link.CONNECTING
        await line.queue.put(snapshot())
        await asyncio.sleep(0.1)
        seen = []
        for _ in range(22):
            seen.append(store.link())
            await asyncio.sleep(1)
        assert seen[:13] == [Link.LIVE] * 13, "one heartbeat may be waited for"
        assert seen[14] is Link.STALE and seen[-1] is Link.OFFLINE
        await line.queue.put(heartbeat(1012))
        await asyncio.sleep(0.1)
        assert store.link() is Link.LIVE and store.age_s() == 0
        task.cancel()

    run_virtual(main(), loop)


def test_broken_stream_is_stale_after_3_s_offline_after_10_s_and_keeps_its_values() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        line, store = make(loop)
        task = asyncio.ensure_future(store.run())
        await line.queue.put(snapshot())
        await asyncio.sleep(0.1)
        line.up = False
        await line.queue.put(None)
        await asyncio.sleep(2)
        assert store.link() is Link.LIVE
        await asyncio.sleep(3)
        assert store.link() is Link.STALE
        await asyncio.sleep(7)
        assert store.link() is Link.OFFLINE
        assert store.evse(1) is not None and store.last_error
        frozen = store.station_now()
        await asyncio.sleep(60)
        assert store.station_now() == frozen, "a clock that nobody confirms does not run"
        task.cancel()

    run_virtual(main(), loop)


def test_dials_after_1_2_4_up_to_30_s_and_at_once_on_demand() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        line, store = make(loop)
        line.up = False
        task = asyncio.ensure_future(store.run())
        start = loop.now_ns
        dialled: list[int] = []
        while len(dialled) < 8:
            known = line.dials
            while line.dials == known:
                await asyncio.sleep(0.25)
            dialled.append(round((loop.now_ns - start) / 1e9))
        gaps = [b - a for a, b in itertools.pairwise(dialled)]
        assert gaps == [1, 2, 4, 8, 16, 30, 30]
        known = line.dials
        store.retry_now()
        await asyncio.sleep(0.01)
        assert line.dials == known + 1
        task.cancel()

    run_virtual(main(), loop)


def test_reconnect_counts_missed_events_and_restarts_the_back_off() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        line, store = make(loop)
        task = asyncio.ensure_future(store.run())
        await line.queue.put(snapshot(1000))
        await asyncio.sleep(0.1)
        await line.queue.put(None)
        await asyncio.sleep(0.1)
        await line.queue.put(snapshot(1042))
        await asyncio.sleep(5)
        assert (store.reconnects, store.missed, store.retry_s) == (1, 42, 1.0)
        task.cancel()

    run_virtual(main(), loop)


def test_changes_raise_the_revision_and_events_are_bounded() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        line, store = make(loop)
        task = asyncio.ensure_future(store.run())
        await line.queue.put(snapshot())
        await asyncio.sleep(0.1)
        before = store.revision
        await line.queue.put(heartbeat(1012))
        await asyncio.sleep(0.1)
        assert store.revision == before, "a heartbeat changes nothing on the screen"
        for i in range(EVENTS_MAX + 10):
            await line.queue.put(m.StreamItem(type="event", seq=i, event=Event(seq=i, wall=0, kind="x", evse_id=0)))
            await asyncio.sleep(0)
        await line.queue.put(m.StreamItem(type="changed", seq=2000, status=status(fake.idle_evse(1))))
        await asyncio.sleep(0.1)
        assert len(store.events) == EVENTS_MAX and store.seq == 2000
        assert store.evse(2) is None and store.revision > before
        task.cancel()

    run_virtual(main(), loop)


def test_calls_report_every_trouble_as_api_error() -> None:
    async def main() -> None:
        refused = ApiError(ErrorCode.CONFLICT, "no", "hint")
        api = ScriptApi({"a": ConnectionResetError("gone"), "b": refused})
        store = Store(api, now=lambda: 0)
        with pytest.raises(ApiError) as caught:
            await store.call("a")
        assert caught.value.kind is ErrorCode.UNREACHABLE and "gone" in caught.value.message
        with pytest.raises(ApiError) as same:
            await store.call("b")
        assert same.value is refused

    run_virtual(main())


def test_store_needs_neither_textual_nor_rich() -> None:
    code = "import sys, tui.state.store; print([m for m in ('textual', 'rich', 'aiohttp') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
