"""The queue of OCPP messages after a long outage: what its drain costs, and what the control loop notices of it.

The client, its store on a real file with a real writer thread and the CSMS of the simulator share one event loop; the times
include the CSMS, which on a station is somewhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from benchmarks.timing import Figure
from evse.config.model_ocpp import OcppSection
from evse.domain.session import AuthSource, SessionRecord
from evse.ocpp import v16
from evse.ocpp.client import OcppClient
from evse.ocpp.ports import Identity
from evse.runtime.clock import RealClock
from evse.sim.csms import SimCsms
from evse.storage import outbox, sessions
from evse.storage.db import Store
from evse.storage.executor import ThreadExecutor
from evse.transports.base import DIRECT, DialOptions, Openers, WebSocket
from tests.ocpp.support import FakeStation

QUEUED = 10_000
SENT = 1500
"""Messages in one measurement."""

TICK_S = 0.05
LATE_MS = 10.0
WALL = 1_767_261_600 * 10**9
PER_SESSION = 100


def run(queued: int = QUEUED, sent: int = SENT) -> list[Figure]:
    """All figures of the module."""
    with tempfile.TemporaryDirectory() as folder:
        rate, cpu_ms, late_ms, quiet_ms = asyncio.run(_measure(Path(folder) / "queue.sqlite3", queued, sent))
    name = f"OCPP, {queued} queued messages"
    return [
        Figure(name=f"{name}: sent without pace", value=rate, unit="1/s", budget=None, note="disk of this machine"),
        Figure(
            name=f"{name}: event loop per message", value=cpu_ms, unit="ms", budget=None,
            note=f"with the CSMS; at ocpp.queue_per_s = 10 that is {cpu_ms:.1f} % of a core",
        ),
        Figure(
            name=f"{name}: lateness p99 that their drain adds to a 50 ms tick", value=max(0.0, late_ms - quiet_ms),
            unit="ms", budget=LATE_MS, note=f"{late_ms:.2f} ms against {quiet_ms:.2f} ms",
        ),
    ]  # fmt: skip


class _ToCsms(Openers):
    """Dials the CSMS of the simulator."""

    def __init__(self, csms: SimCsms) -> None:
        self._csms = csms

    async def open_websocket(
        self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float,
        options: DialOptions = DIRECT,
    ) -> WebSocket:  # fmt: skip
        return await self._csms.connect(url, subprotocols, headers)


def _fill(db: sqlite3.Connection, queued: int) -> None:
    """Queue whole transactions: a start, readings every minute, a stop."""
    for number in range(queued // PER_SESSION):
        session = SessionRecord(
            session_id=f"s{number}", evse_id=1, connector_id=1, plugged_at=WALL + number * 10**13,
            started_at=WALL + number * 10**13, meter_start_wh=number * 1000, id_token="CARD",
            auth_source=AuthSource.RFID,
        )  # fmt: skip
        sessions.save(db, session)
        outbox.append(db, v16.start_row(session))
        for minute in range(PER_SESSION - 2):
            at = session.plugged_at + minute * 60 * 10**9
            value = {"value": str(minute), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
            outbox.append(db, v16.meter_row(session, at, "Sample.Periodic", [value]))
        outbox.append(db, v16.stop_row(session, session.plugged_at + 10**13 // 2, []))


async def _ticks(late_ms: list[float]) -> None:
    """What the control loop does, without its work: note how late each tick comes, ms."""
    due = time.perf_counter() + TICK_S
    while True:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        late_ms.append((time.perf_counter() - due) * 1000)
        due += TICK_S


async def _late(seconds: float) -> list[float]:
    found: list[float] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _ticks(found)
    return found


async def _measure(path: Path, queued: int, sent: int) -> tuple[float, float, float, float]:
    """Return (messages/s, ms of the loop's thread per message, lateness p99 beside it, and without it, ms)."""
    clock = RealClock()
    store = await Store.open(path, executor=ThreadExecutor())
    await store._write(lambda db: _fill(db, queued))
    quiet = await _late(1.5)
    config = OcppSection(enabled=True, url="ws://csms/ocpp", queue_per_s=1000, sample_interval_s=0)
    client = OcppClient(
        config, Identity(charge_point_id="B"), _ToCsms(SimCsms(clock)), clock, store, FakeStation(clock), Random(1)
    )  # fmt: skip
    await client.open()
    late: list[float] = []
    link = asyncio.create_task(client.run())
    while client.queue.waiting > queued - 100:
        await asyncio.sleep(TICK_S)
    ticker = asyncio.create_task(_ticks(late))
    began, cpu, first = time.perf_counter(), time.thread_time(), client.queue.waiting
    while first - client.queue.waiting < min(sent, first):
        await asyncio.sleep(TICK_S)
    count, took, used = first - client.queue.waiting, time.perf_counter() - began, time.thread_time() - cpu
    for task in (ticker, link):
        task.cancel()
    await asyncio.gather(ticker, link, return_exceptions=True)
    await store.close()
    return count / took, used * 1000 / count, statistics.quantiles(late, n=100)[98], statistics.quantiles(quiet, n=100)[98]
