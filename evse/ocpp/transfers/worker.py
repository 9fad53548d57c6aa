"""What firmware updates and uploads have in common: one job at a time, waiting for moments, what people see of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from evse.domain.clock import Clock
from evse.ocpp.messages import CallError, Payload, parse_timestamp
from evse.units import NS_PER_S, WallNs

log = logging.getLogger(__name__)

ATTEMPTS: Final = 3
PAUSE_S: Final = 60
"""Attempts and the pause between them where the CSMS names none."""

ATTEMPTS_MAX, PAUSE_MIN_S, PAUSE_MAX_S = 1000, 1, 86_400
LOOK_S: Final = 10.0
"""The calendar may be set at any time, so a moment is waited for in steps."""

RESULTS_MAX: Final = 10


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer under way, as people see it. ``percent`` is of the stage it is in; None = not known."""

    kind: str  # firmware, diagnostics, log
    stage: str  # scheduled, downloading, downloaded, verified, waiting, installing, installed, rebooting; making, uploading
    request_id: int | None
    location: str  # without credentials
    said: str  # status that the CSMS was told last
    percent: int | None
    bytes_done: int
    bytes_total: int | None
    attempt: int  # the present one, from 1
    attempts: int
    due: WallNs | None  # when what it waits for comes; None = it waits for no time
    detail: str  # why the last attempt failed, or what it waits for


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a transfer ended."""

    kind: str
    ok: bool
    status: str  # what the CSMS was told
    at: WallNs
    request_id: int | None
    location: str
    text: str


class Meter:
    """Bytes moved, for people."""

    def __init__(self) -> None:
        self.done = 0
        self.total: int | None = None
        self.percent_given: int | None = None

    def moved(self, done: int, total: int | None) -> None:
        """Take progress in bytes."""
        self.done, self.total, self.percent_given = done, total, None

    def installed(self, percent: int) -> None:
        """Take progress in percent."""
        self.percent_given = min(100, max(0, percent))

    @property
    def percent(self) -> int | None:
        """0 to 100, None = not known."""
        if self.percent_given is not None:
            return self.percent_given
        return self.done * 100 // self.total if self.total else None


class Worker:
    """Runs ``work`` as a task, from `run` on, whenever `start` asks for it."""

    def __init__(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._work = work
        self._open = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin or go on with the job that stands; nothing happens while one runs."""
        if self._open and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._guarded())

    async def _guarded(self) -> None:
        try:
            await self._work()
        except Exception:  # a bug must not take the link along; the job stays as it is stored
            log.exception("ocpp: %s failed", self._name)

    async def stop(self) -> None:
        """Break the job off and wait until it has ended."""
        task = self._task
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait([task])

    async def run(self) -> None:
        """Work for ever."""
        self._open = True
        self.start()
        try:
            await asyncio.Event().wait()
        finally:
            self._open = False
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)


async def until(clock: Clock, wall: WallNs) -> None:
    """Wait for a moment of the calendar."""
    while (left := wall - clock.wall()) > 0:
        await asyncio.sleep(min(LOOK_S, left / NS_PER_S))


async def until_true(condition: Callable[[], bool], step_s: float = 1.0) -> None:
    """Look now and every ``step_s``."""
    while not condition():
        await asyncio.sleep(step_s)


def tries_of(payload: Payload) -> tuple[int, int]:
    """Return (attempts, pause in s) of a request: ``retries`` is how often to try in all (OCPP 1.6, 6.19 and 6.49)."""
    attempts = int(payload.get("retries", ATTEMPTS))
    pause_s = int(payload.get("retryInterval", PAUSE_S))
    return min(max(attempts, 1), ATTEMPTS_MAX), min(max(pause_s, PAUSE_MIN_S), PAUSE_MAX_S)


def moment(payload: Payload, name: str) -> WallNs | None:
    """Return a time of a request as UTC ns, None when it is not there; raises `CallError` when it is none."""
    if payload.get(name) is None:
        return None
    wall = parse_timestamp(str(payload[name]))
    if wall is None:
        text = f"/{name}: {str(payload[name])[:40]!r} is not a time; write it like 2026-01-31T12:00:00Z"
        raise CallError("PropertyConstraintViolation", text)
    return wall


def remove(path: Path) -> None:
    """Remove a file if it is there and can be removed."""
    with contextlib.suppress(OSError):
        path.unlink()
