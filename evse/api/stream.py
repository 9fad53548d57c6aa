"""Streams for many readers: a bounded ring of events, one bounded queue per reader, snapshots when either overflows.

Publishing never waits and costs O(readers): a reader that does not keep up loses its queue and gets a new snapshot
instead, so it always ends up with the truth and never slows the daemon.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.domain.base import check
from evse.domain.view import Event, StationView

RING_EVENTS = 4096
QUEUE_EVENTS = 256
READERS_MAX = 64
HEARTBEAT_S = 10.0
STATUS_PERIOD_S = 0.5

Snapshot = Callable[[], m.Status]


class _Reader:
    """One open stream. ``lost`` = its queue overflowed and was dropped: it needs a snapshot."""

    __slots__ = ("lost", "queue", "wake")

    def __init__(self) -> None:
        self.queue: deque[Event] = deque()  # bounded by EventHub.publish
        self.wake = asyncio.Event()
        self.lost = False


class EventHub:
    """Distributes events and status changes. One loop, no locks; ``publish`` and ``changed`` are for the loop's thread.

    ``seq`` = number of the last event known at start (events are numbered for ever, over restarts too).
    """

    def __init__(
        self,
        *,
        seq: int = 0,
        ring: int = RING_EVENTS,
        queue: int = QUEUE_EVENTS,
        readers: int = READERS_MAX,
        heartbeat_s: float = HEARTBEAT_S,
        status_period_s: float = STATUS_PERIOD_S,
    ) -> None:
        self.seq = seq
        self._ring: deque[Event] = deque(maxlen=ring)
        self._queue_max = queue
        self._readers_max = readers
        self._heartbeat_s = heartbeat_s
        self._status_period_s = status_period_s
        self._event_readers: set[_Reader] = set()
        self._status_readers: set[_Reader] = set()
        self.dropped = 0  # times a reader was too slow

    @property
    def readers(self) -> int:
        """Number of open streams."""
        return len(self._event_readers) + len(self._status_readers)

    def publish(self, event: Event) -> None:
        """Add an event; its ``seq`` must be greater than all before."""
        check(event.seq > self.seq, f"event seq {event.seq} after {self.seq}")
        self.seq = event.seq
        self._ring.append(event)
        for reader in self._event_readers:
            if reader.lost:
                continue
            if len(reader.queue) >= self._queue_max:
                reader.queue.clear()
                reader.lost = True
                self.dropped += 1
            else:
                reader.queue.append(event)
            reader.wake.set()
        self.changed()

    def changed(self) -> None:
        """Say that the status may have changed. Cheap: may be called on every tick."""
        for reader in self._status_readers:
            reader.wake.set()

    def recent(self) -> tuple[Event, ...]:
        """Return the events of the ring, oldest first."""
        return tuple(self._ring)

    async def events(self, since: int | None, snapshot: Snapshot) -> AsyncIterator[m.StreamItem]:
        """Yield the events after ``since``, then new ones as they come, and a heartbeat when nothing comes.

        Without ``since``, or when the ring does not reach back to it (or it is from the future: another database),
        the stream begins with a snapshot.
        """
        with self._reader(self._event_readers) as reader:
            backlog = self._after(since)
            if backlog is None:
                yield self._snapshot(snapshot)
            else:
                for event in backlog:
                    yield m.StreamItem(type="event", seq=event.seq, event=event)
            while True:
                if reader.lost:
                    reader.lost = False
                    reader.queue.clear()
                    yield self._snapshot(snapshot)
                elif reader.queue:
                    event = reader.queue.popleft()
                    yield m.StreamItem(type="event", seq=event.seq, event=event)
                elif not await self._woken(reader, self._heartbeat_s):
                    yield m.StreamItem(type="heartbeat", seq=self.seq)

    async def status(self, snapshot: Snapshot) -> AsyncIterator[m.StreamItem]:
        """Yield a snapshot, then the status whenever it differs, at most once per period, and heartbeats."""
        with self._reader(self._status_readers) as reader:
            loop = asyncio.get_running_loop()
            last = snapshot()
            sent_at = loop.time()
            yield m.StreamItem(type="snapshot", seq=self.seq, status=last)
            while True:
                quiet = sent_at + self._heartbeat_s - loop.time()
                if quiet <= 0 or not await self._woken(reader, quiet):
                    sent_at = loop.time()
                    yield m.StreamItem(type="heartbeat", seq=self.seq)
                    continue
                pause = sent_at + self._status_period_s - loop.time()
                if pause > 0:
                    await asyncio.sleep(pause)
                    reader.wake.clear()
                status = snapshot()
                if not same_status(last, status):
                    last = status
                    sent_at = loop.time()
                    yield m.StreamItem(type="changed", seq=self.seq, status=status)

    def _snapshot(self, snapshot: Snapshot) -> m.StreamItem:
        return m.StreamItem(type="snapshot", seq=self.seq, status=snapshot())

    def _after(self, since: int | None) -> list[Event] | None:
        """Events after ``since``; None = they are not all in the ring."""
        if since is None or since > self.seq:
            return None
        if since == self.seq:
            return []
        if not self._ring or self._ring[0].seq > since + 1:
            return None
        return [event for event in self._ring if event.seq > since]

    @contextmanager
    def _reader(self, readers: set[_Reader]) -> Iterator[_Reader]:
        if self.readers >= self._readers_max:
            message = f"all {self._readers_max} streams are in use"
            raise ApiError(ErrorCode.CONFLICT, message, "close another console or watch command and try again")
        reader = _Reader()
        readers.add(reader)
        try:
            yield reader
        finally:
            readers.discard(reader)

    @staticmethod
    async def _woken(reader: _Reader, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await reader.wake.wait()
        except TimeoutError:
            return False
        reader.wake.clear()
        return True


def same_status(a: m.Status, b: m.Status) -> bool:
    """Compare two statuses without what always moves: the clock of the view, uptime, counters of links and ticks."""
    return (
        _same_view(a.view, b.view)
        and a.station_id == b.station_id
        and a.support_phone == b.support_phone
        and a.language == b.language
        and a.ocpp == b.ocpp
        and [(x.name, x.online, x.detail) for x in a.links] == [(x.name, x.online, x.detail) for x in b.links]
    )


def _same_view(a: StationView, b: StationView) -> bool:
    return (
        a.evses == b.evses
        and a.faults == b.faults
        and a.site_power_w == b.site_power_w
        and a.site_limit_w == b.site_limit_w
        and a.assigned_w == b.assigned_w
        and a.operational is b.operational
        and a.plan_version == b.plan_version
    )
