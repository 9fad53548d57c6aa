"""A random day of the whole station, from one seed: visitors, chaos, and checkers that never look away.

Swarm testing: each seed enables a random half of everything that can happen, so that rare combinations get room.
The same seed gives the same day. `RandomDay.problems` stays empty, or holds what went wrong; `report` tells the story.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import evse.runtime.loop as loop_module
from evse.api.errors import ApiError
from evse.core.inputs import Inputs
from evse.core.outputs import Outputs
from evse.domain.fault_table import FAULTS
from evse.domain.faults import Reaction
from evse.domain.session import SessionPhase
from evse.domain.signals import CpState
from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from evse.lab.vloop import VirtualLoop, run_virtual
from evse.sim.curves import load_cars
from evse.sim.fault_catalogue import names as fault_names
from evse.sim.faults import CATALOGUE
from evse.sim.station import SimStation
from evse.storage.executor import StorageError
from evse.units import NS_PER_MS, NS_PER_S, Instant
from tests._support.lab_world import Api
from tests._support.laws_run import RunLaws
from tests._support.random_ac import AC_CHAOS, AC_MANNERS, AcDay, ac_station
from tests._support.random_chaos import CHAOS, LINE_FAULTS
from tests._support.random_stations import STATIONS, matrix

PROBLEMS_MAX = 20
TRACE_MAX = 4000
CALL_LIMIT_S = 120.0
RECOVERY_S = 60.0
OPEN_GRACE_NS = 450 * NS_PER_MS
"""Lease 300 ms, the board's own opening 100 ms, one tick."""

ENERGY_OFF_NS = 1500 * NS_PER_MS
SITE_SETTLE_NS = 5 * NS_PER_S
AC_SETTLE_NS = 12 * NS_PER_S
"""An AC vehicle follows a lower offer within 5 s; the planner follows the meters and takes its time to lower it."""
SITE_TOLERANCE_W = 3_000
WAYS = ("plug_then_card", "card_then_plug", "api", "remote", "wrong_card", "two_cards", "nothing")
ENDS = ("same_card", "button", "api_stop", "remote_stop", "driver", "wait", "other_card", "unlock")
MANNERS: tuple[dict[str, Any], ...] = (
    {}, {}, {}, {"late_ms": 400}, {"late_ms": 2500}, {"silent": True}, {"ignore_stop": True}, {"stay_in_c": True},
    {"pre_charge_never": True}, {"slac_fails": True}, {"insulation_kohm": 40}, {"stop_energy_wh": 1},
    {"stop_after_s": 3}, {"soc_pct": 100}, {"ignore_stop": True, "stay_in_c": True}, {"silent": True, "stay_in_c": True},
)  # fmt: skip


class RandomDay(AcDay):
    """One seed. `run` on a virtual loop; afterwards `problems` is empty or says what happened.

    ``kind`` "dc": the stations of `tests._support.random_stations`; "matrix": its matrix cabinet; "ac": AC stations of any
    make, some of them mixed. ``enough``: the day ends with the first problem that holds this text.
    """

    def __init__(self, folder: Path, seed: int, minutes: float, kind: str = "dc", enough: str = "") -> None:
        self.seed = seed
        self.problems: list[str] = []
        self.trace: deque[str] = deque(maxlen=TRACE_MAX)
        self.ticks = 0
        self.lives = 1
        self._enough = enough
        self._ended: asyncio.Event | None = None
        self._rng = Random(seed)
        self._minutes = minutes
        self._folder = folder
        dc_station = matrix if kind == "matrix" else STATIONS[seed % len(STATIONS)]
        self._config = ac_station(folder, seed) if kind == "ac" else dc_station(folder)
        self.connectors = tuple(evse.id for evse in self._config.evse)
        self._readers = {c: section.name for section in self._config.reader for c in section.evses}
        self._alive = True
        self._closing = False
        self._disk_bad = False
        self._offences: dict[str, Instant] = {}
        self._limit_since: Instant = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._cards = 0
        pick = self._rng.random
        self.ways = [x for x in WAYS if pick() < 0.6] or ["plug_then_card"]
        self.ends = [x for x in ENDS if pick() < 0.6] or ["wait"]
        self.chaos = [x for x in CHAOS if pick() < 0.5]
        self.manners = [x for x in MANNERS if pick() < 0.5] or [{}]
        self.faults = [x for x in CATALOGUE if pick() < 0.4 and x not in LINE_FAULTS] or ["door_open"]
        self.cars = [car.name for car in load_cars()]
        self.busy_s = self._rng.choice((1.0, 3.0, 8.0, 20.0))
        if kind == "matrix" and pick() < 0.8:
            self.chaos += ["contact"] * 3
        if kind == "ac":
            self.chaos += [x for x in AC_CHAOS if pick() < 0.5]
            self.ac_manners = [x for x in AC_MANNERS if pick() < 0.4] or [{}]
            self.faults = [x for x in fault_names("ac") if pick() < 0.3 and x not in LINE_FAULTS] or ["door_open"]

    # -- the whole -------------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        """Live through the day; return the problems."""
        handler = _Errors(self.problem)
        root = logging.getLogger("evse")
        level, propagate = root.level, root.propagate
        root.addHandler(handler)
        root.setLevel(logging.ERROR)
        root.propagate = False
        tick, gate = loop_module.tick, loop_module.gate  # type: ignore[attr-defined]
        self._tick, self._gate = tick, gate
        loop_module.tick, loop_module.gate = self._checked_tick, self._checked_gate  # type: ignore[attr-defined]
        try:
            run_virtual(self._until_enough() if self._enough else self._main(), VirtualLoop())
        except Exception as error:  # noqa: BLE001  (whatever ends the day is a finding)
            self.problem(f"{type(error).__name__}: {error}")
        finally:
            loop_module.tick, loop_module.gate = tick, gate  # type: ignore[attr-defined]
            root.removeHandler(handler)
            root.setLevel(level)
            root.propagate = propagate
        return self.problems

    def report(self) -> str:
        """What was enabled, the end of the story, the problems."""
        head = f"ways {self.ways}\nends {self.ends}\nchaos {self.chaos}\nmanners {self.manners}\nfaults {self.faults}\n"
        return head + "\n".join(self.trace) + "\n" + "\n".join(f"PROBLEM {text}" for text in self.problems)

    def problem(self, text: str) -> None:
        """Note something that must not be."""
        if len(self.problems) < PROBLEMS_MAX and text not in self.problems:
            self.problems.append(text)
            self._say(f"PROBLEM {text}")
            if self._ended is not None and self._enough in text:
                self._ended.set()

    def _say(self, text: str) -> None:
        now = self._lab.clock.now() if hasattr(self, "_lab") else 0
        self.trace.append(f"{now / NS_PER_S:9.2f} {text}")

    async def _until_enough(self) -> None:
        self._ended = asyncio.Event()
        day = asyncio.create_task(self._main())
        seen = asyncio.create_task(self._ended.wait())
        await asyncio.wait((day, seen), return_when=asyncio.FIRST_COMPLETED)
        if day.done():
            day.result()

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.problem(f"unhandled: {context}"))
        first = Lab(self._config, self._folder / "data", seed=self.seed, fast=True, database=self._db())
        await first.__aenter__()
        self._lab = first
        self._born(first)
        self._watch(first.sim)
        await asyncio.sleep(self._rng.choice((0.0, 1.0, 6.0)))
        end = first.clock.now() + int(self._minutes * 60 * NS_PER_S)
        people = [self._visitor(evse.id, end, Random(self._rng.random())) for evse in self._config.evse]
        await asyncio.gather(*people, self._chaos(end, Random(self._rng.random())))
        self._closing = True
        await self._come_to_rest()
        await self._normal_visits()
        await self._books()
        if first._sim_task is not None and first._sim_task.done():
            self.problem(f"the simulator died: {first._sim_task}")
        await self._lab.__aexit__(None, None, None)

    def _born(self, lab: Lab) -> None:
        self._book = RunLaws(deep_every=23)
        self._last_events = 0
        lab.station.event_sinks.append(self._events)

    def _events(self, events: Any) -> None:
        for e in events:
            if e.kind != "limit.changed":
                self._say(f"  {e.kind} evse={e.evse_id} {e.data}")

    # -- checkers --------------------------------------------------------------------------------------------------

    def _checked_tick(self, spec: Any, state: Any, inputs: Inputs, now: int) -> Any:
        self._before = state
        self._after, self._wanted = self._tick(spec, state, inputs, now)
        return self._after, self._wanted

    def _checked_gate(self, spec: Any, outputs: Outputs, inputs: Inputs, now: int) -> Outputs:
        gated = self._gate(spec, outputs, inputs, now)
        self.ticks += 1
        try:
            self._book(spec, self._before, inputs, outputs, gated, self._after, now)
        except AssertionError as error:
            self.problem(f"law broken: {error}")
        return gated

    def _watch(self, sim: SimStation) -> None:
        """Look at physics on every step of it, also while no daemon lives."""
        step = sim._step

        def watched(now: Instant) -> None:
            step(now)
            self._physics(sim, now)

        sim._step = watched  # type: ignore[method-assign]

    def _physics(self, sim: SimStation, now: Instant) -> None:
        world, state = sim.world, self._lab.station.loop.state
        self._ac_physics(sim, now)
        for connector in world.connectors:
            n, plant = connector.evse_id, connector.plant
            closed = connector.closed and not connector.welded
            self._offence(
                f"EVSE {n}: contactor closed in pilot {plant.cp.value}",
                closed and plant.cp not in (CpState.C, CpState.D),
                OPEN_GRACE_NS,
                now,
            )
            self._offence(
                f"EVSE {n}: contactor closed without a daemon", closed and not self._alive, OPEN_GRACE_NS, now
            )
            estop = any(c.plant.estop for c in world.connectors)
            self._offence(f"EVSE {n}: contactor closed under emergency stop", closed and estop, 2 * OPEN_GRACE_NS, now)
            emergency = self._alive and any(
                r.present and FAULTS[r.code].reaction is Reaction.EMERGENCY
                for r in (*state.faults, *next(e.faults for e in state.evses if e.evse_id == n))
            )
            self._offence(
                f"EVSE {n}: {connector.current_ma:.0f} mA during an EMERGENCY fault",
                emergency and not connector.welded and connector.current_ma > 1000,
                ENERGY_OFF_NS,
                now,
                f"emergency {n}",
            )
        limit = self._lab.station.planner.settings.site_limit_w
        fine = {"output_over_current", "output_over_voltage", "freeze", *LINE_FAULTS}
        calm = not any(row["fault"] in fine for row in sim.active_faults.values())
        over = self._alive and limit > 0 and calm and world.site_power_w > limit + SITE_TOLERANCE_W
        patience = AC_SETTLE_NS if world.ac else SITE_SETTLE_NS
        over = over and not any(self._misbehaves(point) for point in world.ac)
        self._offence(f"site takes {world.site_power_w:.0f} W, limit {limit} W", over, patience, now, "site")

    def _offence(self, text: str, wrong: bool, patience: int, now: Instant, key: str = "") -> None:
        key = key or text
        if not wrong:
            self._offences.pop(key, None)
        elif now - self._offences.setdefault(key, now) > patience:
            self.problem(f"physics: {text} for {patience / NS_PER_S:g} s")

    # -- what people do --------------------------------------------------------------------------------------------

    async def _do(self, **command: Any) -> bool:
        answer = await self._lab.sim.command(command)
        self._say(f"> {command}{'' if answer.get('ok') else ' refused: ' + str(answer.get('error'))}")
        return bool(answer.get("ok"))

    async def _api(self, operation: str, request: dict[str, Any] | None = None) -> Any:
        """Ask the daemon; None when it refuses, is dead or dies meanwhile."""
        if not self._alive:
            return None
        life = self.lives
        self._say(f"> api {operation} {request or ''}")
        try:
            async with asyncio.timeout(CALL_LIMIT_S):
                return await Api(self._lab)(operation, request)
        except (ApiError, StorageError) as error:
            self._say(f"  refused: {error}")
        except TimeoutError:
            if life == self.lives and self._alive:
                self.problem(f"api {operation} {request}: no answer within {CALL_LIMIT_S:g} s")
        except Exception as error:  # noqa: BLE001  (a finding, unless the daemon was just killed)
            if life == self.lives and self._alive:
                self.problem(f"api {operation} {request}: {type(error).__name__}: {error}")
        return None

    def _card(self) -> str:
        self._cards += 1
        return f"04{self._cards:06X}"

    async def _visitor(self, c: int, end: Instant, rng: Random) -> None:
        lab = self._lab
        while lab.clock.now() < end:
            await asyncio.sleep(rng.choice((0.0, 1.0, rng.uniform(0, 25))))
            manners = self.ac_manners if self._is_ac(c) else self.manners
            car = {"car": rng.choice(self.cars), "soc_pct": rng.randint(5, 85), **rng.choice(manners)}
            way, card, reader = rng.choice(self.ways), self._card(), self._readers[c]
            if way == "card_then_plug":
                await self._do(cmd="swipe", token=card, reader=reader)
                await asyncio.sleep(rng.choice((0.2, 2.0, rng.uniform(0, 40))))
            await self._do(cmd="plug_in", connector=c, **car)
            await asyncio.sleep(rng.choice((0.05, 0.5, rng.uniform(0, 10))))
            await self._authorise(way, c, card, reader, rng)
            await asyncio.sleep(rng.choice((rng.uniform(0, 8), rng.uniform(4, 30), rng.uniform(20, 70))))
            await self._end(rng.choice(self.ends), c, card, reader)
            await asyncio.sleep(rng.choice((0.0, rng.uniform(0, 5), rng.uniform(5, 30))))
            await self._leave(c, rng)

    async def _authorise(self, way: str, c: int, card: str, reader: str, rng: Random) -> None:
        if way == "plug_then_card":
            await self._do(cmd="swipe", token=card, reader=reader)
        elif way == "api":
            await self._api("connector.start", {"evse_id": c, "id_token": card})
        elif way == "remote":
            await self._send("RemoteStartTransaction", {"connectorId": c, "idTag": card})
        elif way in ("wrong_card", "two_cards"):
            csms = self._lab.sim.csms
            if way == "wrong_card" and csms is not None:
                csms.tokens["04BADBAD"] = "Blocked"
            await self._do(cmd="swipe", token="04BADBAD" if way == "wrong_card" else self._card(), reader=reader)
            await asyncio.sleep(rng.choice((0.1, 1.0, 12.0)))
            await self._do(cmd="swipe", token=card, reader=reader)

    async def _end(self, how: str, c: int, card: str, reader: str) -> None:
        if how in ("same_card", "other_card"):
            await self._do(cmd="swipe", token=card if how == "same_card" else self._card(), reader=reader)
        elif how == "button":
            await self._do(cmd="button", connector=c)
        elif how == "api_stop":
            await self._api("connector.stop", {"evse_id": c})
        elif how == "unlock":
            await self._api("connector.unlock", {"evse_id": c})
        elif how == "driver":
            await self._do(cmd="set_ev", connector=c, stop=True)
        elif how == "remote_stop" and self._alive:
            session = self._lab.evse(c).session
            if session is not None and session.transaction_id is not None:
                await self._send("RemoteStopTransaction", {"transactionId": session.transaction_id})

    async def _leave(self, c: int, rng: Random) -> None:
        if rng.random() < 0.5:
            await self._do(cmd="plug_out", connector=c)
            for _ in range(80):
                if not self._car(c):
                    return
                await asyncio.sleep(0.5)
        if self._car(c):
            await self._do(cmd="plug_out", connector=c, force=True)

    # -- the end of the day ----------------------------------------------------------------------------------------

    async def _technician(self) -> None:
        for row in ((await self._api("fault.list")) or {"items": []})["items"]:
            if row["clearable"] and row["latch"] == "manual":
                await self._api("fault.clear", {"code": row["record"]["code"], "evse_id": row["record"]["evse_id"]})

    async def _come_to_rest(self) -> None:
        """Everything is repaired and everybody leaves: within a minute both connectors must be free again."""
        self._say("> --- rest")
        await self._disk_returns(0)
        await self._do(cmd="fault", action="clear", fault="all")
        await self._do(cmd="csms", action="up")
        sim = self._lab.sim
        if sim.csms is not None:
            sim.csms._scripts.clear()
        for c in self.connectors:
            if self._car(c):
                await self._do(cmd="plug_out", connector=c, force=True)
        await asyncio.sleep(22)  # a power cut ends
        await self._ac_rest()
        await self._api("planner.set", {"reset": True})
        for c in (0, *self.connectors):
            await self._api("connector.enable", {"evse_id": c})
        began = self._lab.clock.now()
        online = 240 * NS_PER_S
        while self._lab.clock.now() - began < online and not self._lab.station.loop.backend_online:
            await asyncio.sleep(1)
        if not self._lab.station.loop.backend_online:
            self.problem("the back end is up and the station does not come back within 240 s")
        for c in (0, *self.connectors):
            change = {"connectorId": c, "type": "Operative"}
            while not await self._do(cmd="csms", action="send", message="ChangeAvailability", payload=change):
                if self._lab.clock.now() - began > 2 * online:  # the link was half open: it needs its time
                    self.problem("the back end cannot reach the station")
                    break
                await asyncio.sleep(2)
        began = self._lab.clock.now()
        while self._lab.clock.now() - began < RECOVERY_S * NS_PER_S:
            await self._technician()
            view = self._lab.view()
            if not view.faults and all(e.phase is SessionPhase.IDLE and not e.plugged for e in view.evses):
                return
            await asyncio.sleep(1)
        view = self._lab.view()
        text = "; ".join(f"{e.evse_id} {e.phase.value} waits for {e.waiting_for!r}" for e in view.evses)
        faults = ", ".join(f"{r.code.value}@{r.evse_id}{'*' if r.present else ''} {r.detail}" for r in view.faults)
        self.problem(f"not at rest after {RECOVERY_S:g} s: {text}; faults {faults}")

    async def _normal_visits(self) -> None:
        """A normal car charges on each connector."""
        for c in self.connectors:
            await self._do(cmd="plug_in", connector=c, soc_pct=30, **self._normal_car(c))
            await asyncio.sleep(1.5 if self._is_ac(c) else 0)  # there, a card without a vehicle may count for nothing
            await self._permit(c)
            await asyncio.sleep(1.5)  # one reader may serve all of them
        for c in self.connectors:
            began = self._lab.clock.now()
            enough = 900 if self._is_ac(c) else 5_000
            while (self._lab.evse(c).power_w or 0) < enough:
                if self._lab.clock.now() - began > RECOVERY_S * NS_PER_S:
                    e = self._lab.evse(c)
                    self.problem(f"connector {c}: a normal car does not charge: {e.phase.value} {e.waiting_for!r}")
                    break
                await asyncio.sleep(0.5)
        await asyncio.sleep(3)
        for c in self.connectors:
            if self._is_ac(c):
                await self._api("connector.stop", {"evse_id": c})  # the plug is locked until somebody ends it
            await self._do(cmd="plug_out", connector=c, force=self._keeps_plug(c))
        for c in self.connectors:
            began = self._lab.clock.now()
            while self._lab.evse(c).phase is not SessionPhase.IDLE:
                if self._lab.clock.now() - began > RECOVERY_S * NS_PER_S:
                    self.problem(f"connector {c}: the normal car does not get away: {self._lab.evse(c).phase.value}")
                    break
                await asyncio.sleep(0.5)

    async def _books(self) -> None:
        """Ledger, history, queues, tasks."""
        lab = self._lab
        ocpp = lab.station.ocpp
        began = lab.clock.now()
        while ocpp is not None and ocpp.summary().queued and lab.clock.now() - began < 600 * NS_PER_S:
            if ocpp.summary().queued == ocpp.summary().parked and "csms_script" in self.chaos:
                break  # refused three times, as scripted: rightly set aside until the next registration
            await asyncio.sleep(1)
        aside = ocpp is not None and ocpp.summary().parked > 0 and "csms_script" in self.chaos
        if ocpp is not None and ocpp.summary().queued and not aside:
            self.problem(f"the queue does not drain: {ocpp.summary()}")
        await asyncio.sleep(7)
        if await lab.store.open_transactions():
            self.problem(f"open transactions: {await lab.store.open_transactions()}")
        sessions, _, _ = await lab.store.sessions(state="all", limit=10_000)
        for s in sessions:
            if s.started_at is not None and (s.ended_at is None or s.stop_reason is None or s.meter_stop_wh is None):
                self.problem(f"session {s.session_id} never ended: {s}")
        if lab.sim.csms is not None:
            ledger = lab.sim.csms.ledger()
            for text in (
                [f"ledger: {text}" for text in ledger["violations"]] if aside else compare_ledger(sessions, ledger)
            ):
                self.problem(text)
        for text in lab.sim.world.violations:
            self.problem(f"world: {text}")
        self._check_life(lab)

    def _check_life(self, lab: Lab) -> None:
        for name, text in lab.station.supervisor.failures.items():
            self.problem(f"task {name} failed: {text}")
        if lab.station.loop.fault:
            self.problem(f"BugError: {lab.station.loop.fault}")
        for name, text in lab.station.loop.trouble.items():
            self.problem(f"{name}: {text}")
        sizes = {
            "commands": (len(lab.station.loop._commands), 32), "events": (len(lab.station._events), 4096),
            "points": (len(lab.store._points), 400), "numbers": (len(ocpp._numbers) if (ocpp := lab.station.ocpp) else 0, 512),
        }  # fmt: skip
        for name, (size, most) in sizes.items():
            if size > most:
                self.problem(f"{name}: {size} waiting, more than {most}")


class _Errors(logging.Handler):
    """Turns errors with a traceback into problems: those are bugs, not bad weather."""

    def __init__(self, problem: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._problem = problem

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            at = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where is not None else "?"
            self._problem(f"log: {record.getMessage()}: {type(error).__name__}: {error} at {at}")


__all__ = ["RandomDay"]
