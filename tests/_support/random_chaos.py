"""What may go wrong on a random day: faults, limits, back end, disk, power, calendar, and the daemon itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from evse.config.model import StationConfig
from evse.lab.station import Lab
from evse.sim.faults import CATALOGUE
from evse.storage.db import Store
from evse.storage.executor import StorageError
from evse.units import NS_PER_S, Instant

LINE_FAULTS = tuple(name for name, fault in CATALOGUE.items() if fault.scope == "line" and name != "freeze")
CHAOS = (
    "fault", "line_fault", "estop", "limit", "limit_zero", "ocpp_limit", "csms_down", "csms_half_open", "csms_script",
    "power_cut", "kill", "wall", "disable", "unlock", "disk", "reset_connectors", "clear_faults", "recompute",
)  # fmt: skip

MATRIX_FAULTS = ("matrix_contact_welded", "matrix_contact_stuck_open", "matrix_contact_unknown")
"""Not the contact that closes by itself: physics rightly calls that harm (tests/station/test_matrix.py)."""


class Chaos:
    """The chaotic half of `tests._support.random_day.RandomDay`: every method ``_chaos_<name>`` is one thing."""

    seed: int
    lives: int
    chaos: list[str]
    faults: list[str]
    connectors: tuple[int, ...]
    busy_s: float
    _lab: Lab
    _alive: bool
    _closing: bool
    _disk_bad: bool
    _bad_store: Store
    _tasks: set[asyncio.Task[None]]
    _config: StationConfig
    _folder: Path

    def _say(self, text: str) -> None:
        raise NotImplementedError

    async def _do(self, **command: Any) -> bool:
        raise NotImplementedError

    async def _api(self, operation: str, request: dict[str, Any] | None = None) -> Any:
        raise NotImplementedError

    def _check_life(self, lab: Lab) -> None:
        raise NotImplementedError

    def _born(self, lab: Lab) -> None:
        raise NotImplementedError

    async def _technician(self) -> None:
        raise NotImplementedError

    def _car(self, c: int) -> bool:
        raise NotImplementedError

    def _db(self) -> Path:
        return self._folder / "station.sqlite3"

    def _background(self, work: Awaitable[Any]) -> None:
        async def run() -> None:
            await work

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, message: str, payload: dict[str, Any]) -> None:
        self._background(self._do(cmd="csms", action="send", message=message, payload=payload))

    async def _chaos(self, end: Instant, rng: Random) -> None:
        while self._lab.clock.now() < end and self.chaos:
            await asyncio.sleep(rng.uniform(0.1, 2 * self.busy_s))
            what = rng.choice(self.chaos)
            method: Callable[[Random], Awaitable[None]] = getattr(self, f"_chaos_{what}")
            await method(rng)

    async def _later(self, seconds: float, work: Callable[[], Awaitable[Any]]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            if not self._closing:
                await work()

        self._background(wait())

    async def _raise(self, rng: Random, name: str, seconds: float, **where: Any) -> None:
        if await self._do(cmd="fault", action="raise", fault=name, seed=rng.getrandbits(30), **where):
            await self._later(seconds, lambda: self._do(cmd="fault", action="clear", fault=name, **where))

    async def _chaos_fault(self, rng: Random) -> None:
        await self._raise(
            rng, rng.choice(self.faults), rng.uniform(0.2, 25), connector=rng.choice((0, *self.connectors))
        )

    async def _chaos_contact(self, rng: Random) -> None:
        """A contact of a matrix, or all of a connector, go wrong."""
        name = rng.choice(MATRIX_FAULTS)
        group = rng.randint(0, len(self._config.modules.groups)) if self._config.modules is not None else 0
        await self._raise(rng, name, rng.uniform(0.2, 25), connector=rng.choice(self.connectors), value=group)

    async def _chaos_line_fault(self, rng: Random) -> None:
        port = rng.choice(("", *self._lab.sim.lines()))
        await self._raise(rng, rng.choice(LINE_FAULTS), rng.uniform(0.2, 15), port=port)

    async def _chaos_estop(self, rng: Random) -> None:
        await self._raise(rng, "emergency_stop", rng.uniform(0.1, 10), connector=rng.choice((0, *self.connectors)))

    async def _chaos_limit(self, rng: Random) -> None:
        await self._api("planner.set", {"limit_w": rng.choice((8_000, 20_000, 60_000, 120_000, 300_000))})

    async def _chaos_limit_zero(self, rng: Random) -> None:
        await self._api("planner.set", {"limit_w": rng.choice((0, 1, 500))})
        await self._later(rng.uniform(1, 30), lambda: self._api("planner.set", {"limit_w": 120_000}))

    async def _chaos_ocpp_limit(self, rng: Random) -> None:
        change = {"ocpp_limit_w": rng.choice((0, 1, 30_000)), "allow_cross": rng.random() < 0.5, "max_groups": 2}
        await self._api("planner.set", change)

    async def _chaos_recompute(self, rng: Random) -> None:
        await self._api("planner.recompute")

    async def _chaos_csms_down(self, rng: Random) -> None:
        await self._do(cmd="csms", action="down")
        await self._later(rng.uniform(1, 60), lambda: self._do(cmd="csms", action="up"))

    async def _chaos_csms_half_open(self, rng: Random) -> None:
        await self._do(cmd="csms", action="half_open")

    async def _chaos_csms_script(self, rng: Random) -> None:
        message = rng.choice(("Authorize", "StartTransaction", "StopTransaction", "MeterValues", "StatusNotification"))
        how: dict[str, Any] = rng.choice((
            {"delay_ms": rng.randint(100, 45_000)}, {"silence": True}, {"garbage": "[3,"}, {"garbage": '[3,"{id}",7]'},
            {"garbage": "null"}, {"garbage": '[3,"{id}",[]]'}, {"error": "InternalError"},
        ))  # fmt: skip
        await self._do(cmd="csms", action="answer", message=message, count=rng.randint(1, 2), **how)

    async def _chaos_power_cut(self, rng: Random) -> None:
        await self._do(cmd="power_cut", duration_ms=rng.choice((60, 500, 5_000, 20_000)))

    async def _chaos_wall(self, rng: Random) -> None:
        clock = self._lab.clock
        by = rng.choice((-7200, -60, -1, 1, 60, 7200))
        self._say(f"> wall jumps by {by} s")
        clock.jump_wall(clock.wall() + by * NS_PER_S)

    async def _chaos_disable(self, rng: Random) -> None:
        c = rng.choice((0, *self.connectors))
        if rng.random() < 0.5:
            await self._api("connector.disable", {"evse_id": c})
            await self._later(rng.uniform(0.1, 40), lambda: self._api("connector.enable", {"evse_id": c}))
        else:
            await self._send("ChangeAvailability", {"connectorId": c, "type": "Inoperative"})
            on = {"connectorId": c, "type": "Operative"}
            await self._later(rng.uniform(0.1, 40), lambda: self._send("ChangeAvailability", on))

    async def _chaos_unlock(self, rng: Random) -> None:
        if rng.random() < 0.5:
            await self._api("connector.unlock", {"evse_id": rng.choice(self.connectors)})
        else:
            await self._send("UnlockConnector", {"connectorId": rng.choice(self.connectors)})

    async def _chaos_reset_connectors(self, rng: Random) -> None:
        for c in self.connectors:
            if self._car(c) and rng.random() < 0.7:
                await self._do(cmd="plug_out", connector=c, force=True)

    async def _chaos_clear_faults(self, rng: Random) -> None:
        await self._technician()

    async def _chaos_disk(self, rng: Random) -> None:
        """The database refuses every write for a while."""
        if not self._alive or self._disk_bad:
            return
        self._disk_bad, store = True, self._lab.store
        self._say("> disk full")

        def refuse(work: Any) -> NoReturn:
            raise StorageError("storage: database or disk is full (a test)")

        store._in_transaction = refuse  # type: ignore[method-assign]
        self._bad_store = store
        self._background(self._disk_returns(rng.choice((0.5, 5.0, 40.0))))

    async def _disk_returns(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if self._disk_bad:
            self._say("> disk back")
            self._bad_store.__dict__.pop("_in_transaction", None)
            self._disk_bad = False

    async def _chaos_kill(self, rng: Random) -> None:
        if not self._alive:
            return
        self._say("> kill -9")
        self._alive = False
        old = self._lab
        self._check_life(old)
        await old.kill()
        self._disk_bad = False
        if rng.random() < 0.5:
            await self._do(cmd="power_cut", duration_ms=rng.choice((500, 5_000)))
        await asyncio.sleep(rng.choice((0.05, 0.6, 3.0, 20.0)))
        lab = Lab(
            self._config,
            self._folder / "data",
            seed=self.seed + self.lives,
            database=self._db(),
            sim=old.sim,
            clock=old.clock,
        )
        self._say("> daemon starts")
        await lab.__aenter__()
        self._lab, self.lives, self._alive = lab, self.lives + 1, True
        self._born(lab)


__all__ = ["CHAOS", "LINE_FAULTS", "Chaos"]
