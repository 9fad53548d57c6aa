"""What transfers must not forget: their jobs and the status messages about them, written in one commit.

So each change of state is said exactly once: a power cut leaves the old state with nothing said, or the new one with its
message waiting. A message stays until the CSMS has answered it, with the same unique id on every repetition; messages
leave in their order, once the station is registered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from random import Random
from typing import Final

import msgspec

from evse.domain.base import DeviceError
from evse.ocpp.engine import CallTimeout, Engine
from evse.ocpp.messages import CallError, Payload
from evse.ocpp.transfers.ports import JobStore

log = logging.getLogger(__name__)

NAMESPACE: Final = "ocpp.transfers"
NOTICE: Final = "notice."
WAITING_MAX: Final = 200
"""Messages that may wait; beyond it the oldest goes: nobody has asked for them for a long time."""

RETRY_S: Final = 10.0
SILENCES_MAX: Final = 3
"""Messages are not billing: one that the CSMS leaves unanswered so often, while it answers others, is given up."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message that waits."""

    action: str
    payload: Payload
    unique_id: str


class Journal:
    """The durable part of all transfers of a station."""

    def __init__(self, store: JobStore, rng: Random) -> None:
        self.jobs: dict[str, str] = {}
        """What was stored when `load` ran, without messages."""
        self._store = store
        self._rng = rng
        self._waiting: dict[int, Notice] = {}
        self._gone: set[int] = set()
        """Answered, but still on the medium."""
        self._next = 1
        self._kick = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Messages without an answer."""
        return len(self._waiting)

    async def load(self) -> None:
        """Read jobs and messages."""
        for key, text in sorted((await self._store.get_all(NAMESPACE)).items()):
            if not key.startswith(NOTICE):
                self.jobs[key] = text
                continue
            try:
                self._waiting[int(key.removeprefix(NOTICE))] = msgspec.json.decode(text, type=Notice)
            except (ValueError, msgspec.DecodeError) as error:
                log.error("ocpp: stored message %s cannot be read and is left out: %s", key, error)
        self._next = max(self._waiting, default=0) + 1

    async def commit(self, jobs: Mapping[str, str | None], messages: list[tuple[str, Payload]]) -> None:
        """Store jobs (None removes) and messages at once; raises `DeviceError` with nothing stored."""
        values: dict[str, str | None] = dict(jobs)
        made: dict[int, Notice] = {}
        for action, payload in messages:  # numbers are taken before anything is waited for: others commit meanwhile
            notice = Notice(action=action, payload=payload, unique_id=f"{self._rng.getrandbits(128):032x}")
            made[self._next] = notice
            values[_key(self._next)] = msgspec.json.encode(notice).decode()
            self._next += 1
        gone = sorted(self._waiting)[: max(0, len(self._waiting) + len(made) - WAITING_MAX)]
        answered = set(self._gone)
        values |= dict.fromkeys(map(_key, [*gone, *answered]))
        await self._store.put_many(NAMESPACE, values)
        self._gone -= answered
        for number in gone:
            dropped = self._waiting.pop(number, None)
            if dropped is not None:
                log.warning("ocpp: %s was never answered and is given up", dropped.action)
        self._waiting |= made
        if made:
            self._kick.set()

    async def replace(self, key: str, job: str) -> None:
        """Store a job so that nothing of what it was before stays on the medium; raises `DeviceError`."""
        await self._store.put_without_trace(NAMESPACE, key, job)

    async def surely(self, jobs: Mapping[str, str | None], messages: list[tuple[str, Payload]]) -> None:
        """`commit`, again and again while the medium refuses."""
        while True:
            try:
                await self.commit(jobs, messages)
            except DeviceError as error:
                log.error("ocpp: transfers: %s; again in %g s", error, RETRY_S)
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def send(self, engine: Engine) -> None:
        """Say what waits, in order, until the link ends. A job of `evse.ocpp.client.OcppClient.jobs`."""
        silences = 0
        while True:
            number = min(self._waiting, default=None)
            if number is None:
                self._kick.clear()
                await self._kick.wait()
                continue
            notice = self._waiting[number]
            try:
                await engine.call(notice.action, notice.payload, unique_id=notice.unique_id)
            except CallError as error:
                log.warning("ocpp: the CSMS refuses %s %s: %s", notice.action, notice.payload, error)
            except CallTimeout as error:
                silences += 1
                if silences < SILENCES_MAX:
                    await asyncio.sleep(RETRY_S)
                    continue
                log.warning("ocpp: %s %s is given up: %s", notice.action, notice.payload, error)
            silences = 0
            self._waiting.pop(number, None)
            await self._forget(number)

    async def _forget(self, number: int) -> None:
        """Take an answered message off the medium; if that fails, the next write does it."""
        self._gone.add(number)
        gone = set(self._gone)
        try:
            await self._store.put_many(NAMESPACE, dict.fromkeys(map(_key, gone)))
        except DeviceError as error:
            log.error("ocpp: transfers: %s", error)
        else:
            self._gone -= gone


def _key(number: int) -> str:
    return f"{NOTICE}{number:09}"
