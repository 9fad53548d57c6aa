"""One seeded run: a station that dies again and again under a CSMS that misbehaves, and the books afterwards.

Real: client, store on `PowerDisk`, the worker of the runtime that makes starts and stops durable. Played: the core
(`_visit`, as it asks for starts and stops) and the meters. The same seed gives the same run.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from evse.core.inputs import TransactionStored
from evse.core.outputs import CloseTransaction, OpenTransaction, SaveSession
from evse.domain.readings import MeterValues
from evse.domain.records import OutboxRow, PointRecord
from evse.domain.session import AuthSource, ChargingState, SessionPhase, SessionRecord, StopReason
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.runtime.effects import EffectRunner
from evse.runtime.station import cut_session
from evse.storage.db import InlineExecutor, Store
from evse.storage.executor import StorageError
from evse.units import NS_PER_S, Instant, WallNs
from tests.ocpp.support import FakeStation, make_client, ocpp_section
from tests.ocpp_kill.executor import LaggingExecutor
from tests.ocpp_kill.fuse import Cut, Fuse
from tests.ocpp_kill.mischief import Mischief
from tests.ocpp_kill.network import FusedNetwork
from tests.ocpp_kill.power_disk import PowerDisk
from tests.ocpp_kill.truth import BookCsms, Visit, Witness, judge, signed_of

EVSES = (1, 2)
LEASE_S = 0.3
POINT_S = 10
DRAIN_MAX_S = 4 * 3600
NOT_DRAINED = "the queue did not drain"
LIFE_S = (20.0, 150.0)


class Report(msgspec.Struct):
    """How a run went. ``problems`` empty = the books agree."""

    seed: int
    problems: list[str]
    story: list[str]
    deaths: int = 0
    transactions: int = 0
    messages: int = 0
    repeats: int = 0
    operations: int = 0
    energy_wh: int = 0
    virtual_s: float = 0.0


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """How a life ends: at which operation, before or after it, and by what ("kill" or "power")."""

    at: int
    late: bool
    kind: str


class StationClock:
    """The clock of the station: without a battery it says 1970 after the power was away, until somebody sets it."""

    def __init__(self, true: VirtualClock) -> None:
        self._true = true
        self.behind = 0

    def now(self) -> Instant:
        """Monotonic ns."""
        return self._true.now()

    def wall(self) -> WallNs:
        """UTC ns as the station believes."""
        return self._true.wall() - self.behind

    def wall_valid(self) -> bool:
        """Whether it was set since the power came."""
        return self.behind == 0

    def power_away(self) -> None:
        """It begins at zero again."""
        self.behind = self._true.wall()


class _Core:
    """What `EffectRunner` needs of the control loop."""

    def __init__(self) -> None:
        self.storage_ok = True
        self.storage_code = ""
        self.stored: dict[str, asyncio.Event] = {}

    def submit(self, make: Callable[[int], Any], answer: object = None) -> None:
        command = make(1)
        if isinstance(command, TransactionStored):
            self.stored.setdefault(command.session_id, asyncio.Event()).set()


class Run:
    """One seed. `report` plays it. ``death``: one life only, without mischief, that ends so; ``disk`` replaces the good one.

    ``drain_s``: virtual seconds after which a queue that is not empty is a problem.
    """

    def __init__(
        self, folder: Path, seed: int, *, death: Death | None = None, disk: PowerDisk | None = None, drain_s: int = DRAIN_MAX_S
    ) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.story: list[str] = []
        self.problems: list[str] = []
        self.visits: list[Visit] = []
        self.promised: list[OutboxRow] = []
        self.ended: set[str] = set()
        self.parked: set[str] = set()
        self.aside: set[str] = set()
        pages = self.rng.choice((1000, 30, 8))
        self.disk = disk or PowerDisk(checkpoint_pages=pages)
        self.path = folder / "station.sqlite3"
        self.death = death
        self.drain_s = drain_s
        self.forgets_time = self.rng.random() < 0.25 and death is None
        self.lives = self.rng.randint(1, 4) if death is None else 1
        self.lag_s = self.rng.choice((0.0, 0.0, 0.02, 0.3))
        self.sample_s = self.rng.choice((0, 7, 10, 30))
        self.registers = {evse: 1000 * evse for evse in EVSES}
        self.operations = 0
        self.deaths = 0
        self.blown = False  # the last fuse was blown by its operation

    # -- the whole -------------------------------------------------------------------------------------------------

    def report(self) -> Report:
        """Play the run to its end and compare the books."""
        watch = _Errors(self.problems)
        logger = logging.getLogger("evse")
        before = (logger.level, logger.propagate)
        logger.addHandler(watch)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        loop = VirtualLoop()
        unraisable = sys.unraisablehook
        sys.unraisablehook = lambda told: None if isinstance(told.exc_value, Cut) else unraisable(told)
        try:
            run_virtual(self._main(), loop)
        except Exception as error:  # noqa: BLE001 - whatever ends the run is a finding
            self.problems.append(f"{type(error).__name__}: {error}")
        finally:
            logger.removeHandler(watch)
            logger.setLevel(before[0])
            logger.propagate = before[1]
            sys.unraisablehook = unraisable
            self.disk.fuse.blow("the run is over")
            self.disk.abandon()
        return Report(
            seed=self.seed, problems=self.problems, story=self.story, deaths=self.deaths,
            transactions=len(self.csms.ledger()["transactions"]), messages=len(self.csms.book),
            repeats=self.csms.repeats, operations=self.operations,
            energy_wh=sum(v.now_wh - v.start_wh for v in self.visits if v.energised), virtual_s=loop.now_ns / NS_PER_S,
        )

    def say(self, text: str) -> None:
        """A line of the story."""
        self.story.append(f"{self.clock.now() / NS_PER_S:9.3f} {text}")

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.set_exception_handler(self._unhandled)
        true = VirtualClock(loop)
        self.clock = StationClock(true)
        self.csms = BookCsms(true)
        self.mischief = Mischief(self.csms, Random(self.rng.random()), self.say, quiet=self.death is not None)
        for _ in range(self.lives):
            await self._life(Life(self, self._fuse()))
            await asyncio.sleep(self.rng.choice((0.05, 1.0, 20.0)))
        self.mischief.stop()
        self.disk.full = False
        await self._last_life()

    def _unhandled(self, _: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Cut):
            self.problems.append(f"unhandled: {context.get('message')}: {error!r}")

    def _fuse(self) -> Fuse:
        if self.death is not None:
            return Fuse(self.death.at, late=self.death.late)
        few = self.rng.random() < 0.2
        at = self.rng.randint(1, 90) if few else self.rng.randint(1, 900)
        return Fuse(at, late=self.rng.random() < 0.5)

    async def _life(self, life: Life) -> None:
        kind = self.rng.choice(("kill", "power", "power", "stop")) if self.death is None else self.death.kind
        self.disk.insert(life.fuse)
        self._set_clock(life)
        main = asyncio.get_running_loop().create_task(life.run())
        dead = asyncio.get_running_loop().create_task(life.fuse.wait())
        misery = asyncio.get_running_loop().create_task(self.mischief.run(life))
        await asyncio.wait([main, dead], timeout=self.rng.uniform(*LIFE_S), return_when=asyncio.FIRST_COMPLETED)
        if not life.fuse.blown and kind == "stop":
            self.say("clean stop")
            await life.stop()
        self.blown = life.fuse.blown
        life.fuse.blow("in between")
        self.deaths += 1
        self.operations += life.fuse.count
        self.say(f"{kind} {life.fuse.where} (operation {life.fuse.count})")
        if kind == "power":
            life.network.powerless(self.rng)
        else:
            life.network.killed()
        ends = await _end([main, dead, misery, *life.tasks])
        for end in ends:
            if isinstance(end, Exception) and not (isinstance(end, StorageError) and self.mischief.disk_was_full):
                self.problems.append(f"a life failed: {''.join(traceback.format_exception(end))[-2500:]}")
        life.unplug_all()
        self.disk.abandon()
        self.disk.full = False
        if kind == "power":
            self.disk.cut(self.rng)
            if self.forgets_time:
                self.clock.power_away()

    def _set_clock(self, life: Life) -> None:
        """Somebody sets the clock while this life lasts, or the CSMS does."""

        async def later(seconds: float) -> None:
            await asyncio.sleep(seconds)
            self.clock.behind = 0

        if self.forgets_time:
            life.tasks.append(asyncio.get_running_loop().create_task(later(self.rng.uniform(1, 100))))

    async def _last_life(self) -> None:
        life = Life(self, Fuse(), visits=1)
        self.disk.insert(life.fuse)
        self._set_clock(life)
        main = asyncio.get_running_loop().create_task(life.run())
        began = self.clock.now()
        while not main.done() or life.client.summary().queued or self.csms.ledger()["open"]:
            if main.done() and main.exception() is not None:
                raise main.exception() or AssertionError
            if self.clock.now() - began > self.drain_s * NS_PER_S:
                rows = [(r.action, r.session_id, r.attempts, r.parked) for r in await life.store.outbox_rows()]
                self.problems.append(f"{NOT_DRAINED}: {life.client.summary()}: {rows}")
                break
            await asyncio.sleep(1)
            if main.done() and (summary := life.client.summary()).queued == summary.parked:
                await life.client.queue.resend()  # as a technician would
        await asyncio.sleep(5)
        stored, _, _ = await life.store.sessions(limit=10_000)
        self.problems += judge(self.csms, self.promised, self.ended, self.visits, stored, self.parked, self.aside)
        if await life.store.open_transactions():
            self.problems.append("a transaction is still open in the store")
        if life.store.set_aside is not None:
            self.problems.append(f"the database was damaged: {life.store.set_aside}")
        await life.stop()
        self.operations += life.fuse.count
        await _end([*life.tasks])


class Life:
    """One process: opens the store, closes what was cut, serves vehicles until it dies."""

    def __init__(self, run: Run, fuse: Fuse, *, visits: int = 0) -> None:
        self.fuse = fuse
        self.disk = run.disk
        self.network = FusedNetwork(run.csms, fuse)
        self.tasks: list[asyncio.Task[None]] = []
        self.rng = Random(run.rng.random())
        self._run = run
        self._left = visits  # 0 = as many as come
        self.opened = False
        self.core = _Core()
        self._points: dict[str, float] = {}
        self._untold: set[str] = set()
        self._refused_since: Instant | None = None  # by the full disk, samples that had to be written

    async def run(self) -> None:
        """Open as the runtime does, then serve."""
        run = self._run
        executor = InlineExecutor() if run.lag_s == 0 else LaggingExecutor(self.rng, run.lag_s)
        self.store = await Store.open(run.path, executor=executor, connect=run.disk.connect)
        if self.store.set_aside is not None:
            run.problems.append(f"the database was damaged: {self.store.set_aside}")
        witness: Any = Witness(self.store, run.promised, run.ended, run.parked, run.aside)
        self.witness = witness
        self.station = FakeStation(run.clock, len(EVSES))
        config = ocpp_section(sample_interval_s=run.sample_s, call_timeout_s=10)
        self.client = make_client(config, self.network, run.clock, witness, self.station, self.rng)
        await self.client.open()
        self.opened = True
        for session in await self.store.open_transactions():
            closed = cut_session(session, await self.store.last_point(session.session_id))
            await witness.end_transaction(closed, self.client.stop_row(closed))
        for session in await self.store.open_sessions():
            await self.store.save_session(msgspec.structs.replace(session, unplugged_at=run.clock.wall()))
        self.effects = EffectRunner(witness, self.core, self.client, None)  # type: ignore[arg-type]
        self._start(self.effects.run())
        self._start(self.client.run())
        self._start(self._look())
        async with asyncio.TaskGroup() as group:
            for evse_id in EVSES:
                group.create_task(self._serve(evse_id))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def stop(self) -> None:
        """As the runtime ends on SIGTERM."""
        await _end(self.tasks)
        self.tasks.clear()
        if hasattr(self, "effects"):
            try:
                await self.effects.drain()
                await self.store.close()
            except Cut:
                return

    def unplug_all(self) -> None:
        """The boards drop the contactors when nobody renews the lease; the vehicles leave."""
        now = self._run.clock.now()
        refused_s = -(-(now - (self._refused_since or now)) // NS_PER_S)
        for visit in self._run.visits:
            if visit.energised and visit.ended_wh is None and not visit.cut:
                visit.now_wh += int(visit.power_w * LEASE_S) // 3600
                self._run.registers[visit.evse_id] = visit.now_wh
            if visit.session_id not in self._run.ended:
                visit.cut, visit.refused_s = True, visit.refused_s or refused_s

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.client.on_view(self.station.view())
            points = []
            for evse in self.station.view().evses:
                session, now = evse.session, self._run.clock.now() / NS_PER_S
                if session is None or session.ended_at is not None or session.meter_start_wh is None:
                    continue
                if now - self._points.get(session.session_id, -1e9) >= POINT_S:
                    self._points[session.session_id] = now
                    points.append(PointRecord(
                        session_id=session.session_id, wall=self._run.clock.wall(), power_w=evse.power_w or 0,
                        energy_wh=session.energy_wh, meter_wh=session.meter_start_wh + session.energy_wh,
                    ))  # fmt: skip
            try:
                await self.store.add_points(points)
                self._refused_since = None
            except StorageError:
                self._refused_since = self._refused_since or self._run.clock.now()

    # -- vehicles --------------------------------------------------------------------------------------------------

    async def _serve(self, evse_id: int) -> None:
        served = 0
        while not self._left or served < self._left:
            await asyncio.sleep(self.rng.uniform(0.1, 15))
            await self._visit(evse_id)
            served += 1

    async def _visit(self, evse_id: int) -> None:
        run, rng = self._run, self.rng
        number = len(run.visits) + 1
        start_wh = run.registers[evse_id]
        visit = Visit(
            session_id=f"s{number}", evse_id=evse_id, id_token=f"CARD{number}", start_wh=start_wh,
            power_w=rng.choice((7_000, 50_000, 150_000)), now_wh=start_wh,
        )  # fmt: skip
        run.visits.append(visit)
        session = SessionRecord(
            session_id=visit.session_id, evse_id=evse_id, connector_id=1, plugged_at=run.clock.wall(),
            started_at=run.clock.wall(), meter_start_wh=start_wh, soc_start_pct=20, id_token=visit.id_token,
            auth_source=AuthSource.RFID, signed=signed_of(visit.session_id),
        )  # fmt: skip
        run.say(f"{visit.session_id}: plugged in at EVSE {evse_id}, {start_wh} Wh")
        durable = self.core.stored.setdefault(visit.session_id, asyncio.Event())
        self.effects.put(OpenTransaction(evse_id=evse_id, session=session))
        self._show(visit, session)
        await durable.wait()
        visit.energised = True
        until = run.clock.now() + int(rng.choice((0.2, 5.0, rng.uniform(1, 100))) * NS_PER_S)
        carry, looked = 0, 0
        while run.clock.now() < until:
            await asyncio.sleep(0.5)
            looked += 1
            if looked % 20 == 0:
                await self._check_number(visit.session_id)
            carry += visit.power_w
            visit.now_wh, carry = visit.now_wh + carry // 7200, carry % 7200
            run.registers[evse_id] = visit.now_wh
            self._show(visit, session)
        await self._end_visit(visit, session)

    async def _check_number(self, session_id: str) -> None:
        """The core is told the number of a running transaction soon after it is durable, on this link or the next."""
        if not self.client.online:
            self._untold.discard(session_id)
            return
        if session_id in self._untold and session_id not in self.station.numbered:
            self._run.problems.append(f"{session_id}: the core was never told its number")
        stored = await self.store.session(session_id)
        if stored is not None and stored.transaction_id is not None and session_id not in self.station.numbered:
            self._untold.add(session_id)

    async def _end_visit(self, visit: Visit, session: SessionRecord) -> None:
        run, rng = self._run, self.rng
        visit.ended_wh = visit.now_wh
        current = self.station.evses[visit.evse_id].session or session
        closed = msgspec.structs.replace(
            current, ended_at=run.clock.wall(), meter_stop_wh=visit.now_wh, energy_wh=visit.now_wh - visit.start_wh,
            soc_end_pct=60, stop_reason=rng.choice((StopReason.LOCAL, StopReason.REMOTE, StopReason.EV_DISCONNECTED)),
            signed=signed_of(visit.session_id, end=True),
        )  # fmt: skip
        run.say(f"{visit.session_id}: ends at {visit.now_wh} Wh")
        self.effects.put(CloseTransaction(evse_id=visit.evse_id, session=closed))
        self.station.change(
            visit.evse_id, session=closed, phase=SessionPhase.FINISHED, charging_state=ChargingState.EV_CONNECTED,
            power_w=0,
        )  # fmt: skip
        self.client.on_view(self.station.view())
        await asyncio.sleep(rng.choice((0.0, 1.0, 8.0)))
        self.effects.put(SaveSession(
            evse_id=visit.evse_id, session=msgspec.structs.replace(closed, unplugged_at=run.clock.wall())
        ))  # fmt: skip
        self.station.change(
            visit.evse_id, session=None, phase=SessionPhase.IDLE, charging_state=ChargingState.IDLE, plugged=False
        )
        self.client.on_view(self.station.view())

    def _show(self, visit: Visit, session: SessionRecord) -> None:
        known = self.station.evses[visit.evse_id].session
        number = known.transaction_id if known is not None and known.session_id == visit.session_id else None
        self.station.meters[visit.evse_id] = MeterValues(
            power_w=visit.power_w, energy_import_wh=visit.now_wh, voltage_mv=400_000, current_ma=100_000
        )
        self.station.change(
            visit.evse_id, plugged=True, phase=SessionPhase.CHARGING, charging_state=ChargingState.CHARGING,
            power_w=visit.power_w, session=msgspec.structs.replace(
                session, energy_wh=visit.now_wh - visit.start_wh, transaction_id=number
            ),
        )  # fmt: skip


async def _end(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    for task in tasks:
        task.cancel()
    return [
        end for end in await asyncio.gather(*tasks, return_exceptions=True)
        if not isinstance(end, Cut | asyncio.CancelledError)
    ]  # fmt: skip


class _Errors(logging.Handler):
    """Errors in the log that are no refusal of a CSMS and no full disk are bugs."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._problems = problems

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what has a traceback of an `Exception`."""
        if record.exc_info and isinstance(record.exc_info[1], Exception):
            self._problems.append(f"log: {record.getMessage()}: {record.exc_info[1]!r}")
