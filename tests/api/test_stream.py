"""Streams: resume, heartbeats, slow readers, bounds. Virtual time; one slow reader over a real socket."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from evse.api import models as m
from evse.api.errors import ApiError
from evse.api.stream import EventHub
from evse.domain.base import BugError
from evse.domain.view import Event
from evse.lab.vloop import VirtualLoop, run_virtual
from tests._support.api_world import served
from tests._support.fake_service import FakeStation

FAKE = FakeStation()


def event(seq: int) -> Event:
    return Event(seq=seq, wall=seq, kind="test", evse_id=0)


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    run_virtual(main(loop), loop)


async def take(stream: AsyncIterator[m.StreamItem], count: int) -> list[tuple[str, int]]:
    items = [await anext(stream) for _ in range(count)]
    return [(item.type, item.seq) for item in items]


def test_without_since_a_snapshot_then_events_then_heartbeats() -> None:
    async def main(loop: VirtualLoop) -> None:
        hub = EventHub(seq=41)
        stream = hub.events(None, FAKE.status)
        assert await take(stream, 1) == [("snapshot", 41)]
        hub.publish(event(42))
        hub.publish(event(43))
        began = loop.time()
        assert await take(stream, 2) == [("event", 42), ("event", 43)]
        assert loop.time() == began
        assert await take(stream, 2) == [("heartbeat", 43), ("heartbeat", 43)]
        assert loop.time() == pytest.approx(began + 20)

    run(main)


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (16, [("event", 17), ("event", 18), ("event", 19), ("event", 20)]),
        (19, [("event", 20)]),
        (20, []),
        (15, [("snapshot", 20)]),
        (0, [("snapshot", 20)]),
        (21, [("snapshot", 20)]),
        (None, [("snapshot", 20)]),
    ],
)
def test_resume(since: int | None, expected: list[tuple[str, int]]) -> None:
    """Law: a reader that comes back misses nothing: the ring has it, or it gets a snapshot."""

    async def main(loop: VirtualLoop) -> None:
        hub = EventHub(ring=4)
        for seq in range(1, 21):
            hub.publish(event(seq))
        stream = hub.events(since, FAKE.status)
        assert await take(stream, len(expected)) == expected
        hub.changed()
        task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        hub.publish(event(21))
        assert (await task).seq == 21

    run(main)


def test_a_reader_that_resumes_after_a_restart_of_the_daemon_gets_what_is_new() -> None:
    async def main(loop: VirtualLoop) -> None:
        hub = EventHub(seq=500)
        hub.publish(event(501))
        assert await take(hub.events(500, FAKE.status), 1) == [("event", 501)]
        assert await take(hub.events(499, FAKE.status), 1) == [("snapshot", 501)]

    run(main)


def test_a_slow_reader_loses_its_queue_and_gets_the_truth() -> None:
    async def main(loop: VirtualLoop) -> None:
        hub = EventHub(queue=8)
        slow, fast = hub.events(None, FAKE.status), hub.events(None, FAKE.status)
        await take(slow, 1)
        await take(fast, 1)
        for seq in range(1, 101):
            hub.publish(event(seq))
            assert await take(fast, 1) == [("event", seq)]
        assert hub.dropped == 1
        assert await take(slow, 1) == [("snapshot", 100)]
        hub.publish(event(101))
        assert await take(slow, 1) == [("event", 101)]

    run(main)


def test_the_number_of_readers_is_bounded_and_leavers_make_room() -> None:
    async def main(loop: VirtualLoop) -> None:
        hub = EventHub(readers=2)
        first, second = hub.events(None, FAKE.status), hub.status(FAKE.status)
        await take(first, 1)
        await take(second, 1)
        with pytest.raises(ApiError, match="2 streams"):
            await take(hub.events(None, FAKE.status), 1)
        await first.aclose()  # type: ignore[attr-defined]  # a generator
        assert hub.readers == 1
        await take(hub.events(None, FAKE.status), 1)

    run(main)


def test_events_must_be_numbered_upwards() -> None:
    hub = EventHub(seq=7)
    with pytest.raises(BugError):
        hub.publish(event(7))


def test_status_changes_come_at_most_twice_a_second() -> None:
    async def main(loop: VirtualLoop) -> None:
        station = FakeStation()
        stream = station.status_stream(None)
        await take(stream, 1)
        times: list[float] = []
        powers: list[int | None] = []

        async def read() -> None:
            async for item in stream:
                assert item.type == "changed"
                assert item.status is not None
                times.append(loop.time())
                powers.append(item.status.view.evses[0].power_w)

        reader = asyncio.create_task(read())
        for tick in range(200):  # ten seconds of ticks
            await asyncio.sleep(0.05)
            station.set_evse(1, power_w=10_000 + tick)
        await asyncio.sleep(1)
        reader.cancel()
        assert 18 <= len(times) <= 21
        assert all(b - a >= 0.499 for a, b in itertools.pairwise(times))
        assert powers[-1] == 10_199, "the last state always arrives"

    run(main)


def test_a_status_that_only_ages_is_not_sent() -> None:
    async def main(loop: VirtualLoop) -> None:
        station = FakeStation()
        stream = station.status_stream(None)
        await take(stream, 1)
        task = asyncio.ensure_future(anext(stream))
        for _ in range(25):
            await asyncio.sleep(0.3)
            station.advance(1)
        assert not task.done()
        assert (await task).type == "heartbeat"

    run(main)


def test_a_reader_that_does_not_read_never_holds_up_the_others(tmp_path: Path) -> None:
    """Over a socket: its kernel buffer fills, its queue is dropped, and it ends with a snapshot and the last event."""

    async def main() -> None:
        station = FakeStation()
        path = tmp_path / "s"
        async with served(path, station):
            slow = socket.socket(socket.AF_UNIX)
            slow.connect(str(path))
            slow.sendall(b"GET /v1/events/stream HTTP/1.1\r\nHost: evsed\r\nConnection: close\r\n\r\n")
            while station.hub.readers == 0:
                await asyncio.sleep(0)
            last = 0
            for _ in range(200):
                for _ in range(100):
                    last = station.push_event("flood", 1, text="x" * 200).seq
                await asyncio.sleep(0)
                if station.hub.dropped:
                    break
            assert station.hub.dropped
            last = station.push_event("last", 1).seq
            reader, writer = await asyncio.open_unix_connection(sock=slow)
            seen: list[dict[str, Any]] = []
            async with asyncio.timeout(30):
                while not seen or seen[-1]["seq"] != last:
                    line = await reader.readline()
                    if line.startswith(b"{"):
                        seen.append(json.loads(line))
            writer.close()
            assert [item["type"] for item in seen].count("snapshot") >= 2
            assert [item["seq"] for item in seen] == sorted(item["seq"] for item in seen)

    asyncio.run(main())
