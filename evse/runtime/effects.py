"""Carries out what the core wants: durable starts and stops in order, authorisations beside them.

The order of a transaction's rows is the order of the effects: one queue, one worker. Authorisation may wait for the
back end and gets a task of its own, bounded by `AUTHORIZATIONS_MAX`. A store that refuses is tried again for ever:
a start that is not durable means no energy, a stop is kept in the queue until it is on disk. The queue is bounded
by what it holds: no transaction starts while writes fail; plug-ins without one are dropped beyond `WAITING_MAX`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping

import msgspec

from evse.core.inputs import AuthorizeResult, TransactionStored
from evse.core.outputs import (
    AnyEffect,
    CloseTransaction,
    OpenTransaction,
    RequestAuthorization,
    RequestSignature,
    SaveSession,
)
from evse.devices.meter_signing import MeterSigner
from evse.ocpp.client import OcppClient
from evse.runtime.admission import Admission
from evse.runtime.loop import ControlLoop
from evse.runtime.metering_law import sign
from evse.storage.db import Store
from evse.storage.executor import StorageError

log = logging.getLogger(__name__)

AUTHORIZATIONS_MAX = 16
RETRY_S = 1.0
WAITING_MAX = 1000
DRAIN_LIMIT_S = 10.0
"""A clean stop does not wait longer for a disk that refuses; the next start closes what is then open."""


class EffectRunner:
    """One worker for durable effects, one bounded set of tasks for questions about cards."""

    def __init__(
        self, store: Store, loop: ControlLoop, ocpp: OcppClient | None, admission: Admission,
        signers: Mapping[int, MeterSigner] | None = None,
    ) -> None:
        self._signers = signers or {}
        self._store = store
        self._loop = loop
        self._ocpp = ocpp
        self._admission = admission
        self._queue: asyncio.Queue[AnyEffect] = asyncio.Queue()
        self._now: AnyEffect | None = None  # taken from the queue, not on disk yet
        self._asking: set[asyncio.Task[None]] = set()
        self._signing: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Durable effects not on disk yet."""
        return self._queue.qsize()

    @property
    def busy(self) -> bool:
        """True while one effect is on its way to the disk."""
        return self._now is not None

    def put(self, effect: AnyEffect) -> None:
        """Take an effect of a tick; never waits."""
        if isinstance(effect, RequestAuthorization):
            self._ask(effect)
        elif isinstance(effect, RequestSignature):
            self._begin(self._sign(effect), self._signing)
        elif isinstance(effect, SaveSession) and self._queue.qsize() >= WAITING_MAX:
            log.error("session %s is not stored: %d writes wait", effect.session.session_id, WAITING_MAX)
        else:
            self._queue.put_nowait(effect)

    async def run(self) -> None:
        """Work for ever."""
        while True:
            effect = await self._queue.get()
            self._now = effect
            await self._store_until_done(effect)
            self._now = None

    async def drain(self) -> None:
        """Store what is still waiting, the one in work included; for a clean stop. Gives up after `DRAIN_LIMIT_S`."""
        try:
            async with asyncio.timeout(DRAIN_LIMIT_S):
                if self._now is not None:
                    await self._store_until_done(self._now)
                while not self._queue.empty():
                    await self._store_until_done(self._queue.get_nowait())
        except TimeoutError:
            log.error("storage: %d writes are lost at the end: the disk refuses", self.waiting + 1)

    async def _store_until_done(self, effect: AnyEffect) -> None:
        while True:
            try:
                await self._store_once(effect)
            except StorageError as error:
                self._loop.storage_ok, self._loop.storage_code = False, error.code
                log.error("storage: %s; trying again in %.0f s", error, RETRY_S)
                await asyncio.sleep(RETRY_S)
            else:
                self._loop.storage_ok, self._loop.storage_code = True, ""
                return

    async def _store_once(self, effect: AnyEffect) -> None:
        match effect:
            case OpenTransaction(evse_id=evse_id, session=session):
                row = self._ocpp.start_row(session) if self._ocpp else None
                await self._store.begin_transaction(session, row)
                self._loop.submit(
                    lambda seq: TransactionStored(seq=seq, evse_id=evse_id, session_id=session.session_id)
                )
            case CloseTransaction(session=session):
                row = self._ocpp.stop_row(session) if self._ocpp else None
                await self._store.end_transaction(session, row)
            case SaveSession(session=session):
                await self._store.save_session(session)
                return
            case RequestAuthorization() | RequestSignature():
                return
        if self._ocpp is not None:
            self._ocpp.kick()

    def _ask(self, effect: RequestAuthorization) -> None:
        if len(self._asking) >= AUTHORIZATIONS_MAX:
            self._answer(effect, accepted=False, reason="too many cards at once")
            return
        self._begin(self._authorize(effect), self._asking)

    @staticmethod
    def _begin(work: Coroutine[None, None, None], among: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)

    async def _sign(self, effect: RequestSignature) -> None:
        """One per EVSE at most: the core asks again only when the time of the one before is over."""
        signed = await sign(self._signers.get(effect.evse_id), effect)
        self._loop.submit(lambda seq: msgspec.structs.replace(signed, seq=seq))

    async def _authorize(self, effect: RequestAuthorization) -> None:
        try:
            result = await self._admission.card(effect.id_token, effect.evse_id)
        except Exception:  # the driver stands there: a bug behind the card is a refusal, not a minute of waiting
            log.exception("authorisation of a card on EVSE %d failed", effect.evse_id)
            self._answer(effect, accepted=False, reason="internal error; try again or call support")
            return
        self._answer(effect, accepted=result.accepted, reason=result.reason, parent_id=result.parent)

    def _answer(self, effect: RequestAuthorization, *, accepted: bool, reason: str, parent_id: str = "") -> None:
        self._loop.submit(
            lambda seq: AuthorizeResult(
                seq=seq,
                evse_id=effect.evse_id,
                id_token=effect.id_token,
                accepted=accepted,
                parent_id=parent_id,
                reason=reason,
            )
        )
