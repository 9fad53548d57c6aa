"""Autocharge: a vehicle that says its EVCC ID charges without a card.

Once per plug-in, as soon as the board names the id and as long as nobody else has asked for that EVSE: a card goes first,
also while the back end is being asked about the vehicle. The core takes the permission as a `StartSession` and may refuse
it (a reservation, a fault). A window of `evse.runtime.learning` takes the vehicle instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from evse.core.inputs import StartSession
from evse.domain.ac import ReleaseMode
from evse.domain.session import AuthSource, OperationalStatus, SessionPhase
from evse.domain.station import EvseSpec
from evse.domain.view import EvseView, StationView
from evse.ocpp.ports import AuthResult
from evse.runtime.admission import Admission
from evse.runtime.learning import Announce, Learner
from evse.runtime.loop import ControlLoop
from evse.units import NS_PER_MS, Instant, WallNs

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
CARD_FIRST_NS: Final = 500 * NS_PER_MS
"""After a card was read nothing is started for its EVSEs until the core has shown what it makes of it."""

WAITING_PHASES: Final = frozenset(
    {SessionPhase.PLUGGED, SessionPhase.SLAC, SessionPhase.HLC_SETUP, SessionPhase.WAIT_AUTH}
)
"""Where a vehicle stands that waits for permission."""

OTHER_RELEASE: Final = frozenset(ReleaseMode) - {ReleaseMode.LIST, ReleaseMode.OCPP, ReleaseMode.FREE}
"""Release modes in which an id of the vehicle gives nothing."""


class _Follow(msgspec.Struct, kw_only=True):
    """One EVSE. ``done`` = plug-in (its time) that needs nothing any more, ``card_at`` = last card for it."""

    done: WallNs | None = None
    asking: bool = False
    card_at: Instant | None = None


class Autocharge:
    """Follows all EVSEs of a station. ``evcc_id`` answers what the board of an EVSE says, "" = nothing (yet)."""

    def __init__(
        self,
        loop: ControlLoop,
        admission: Admission,
        learner: Learner,
        *,
        evses: tuple[EvseSpec, ...],
        view: Callable[[], StationView],
        evcc_id: Callable[[int], str],
        now: Callable[[], Instant],
        enabled: Callable[[], bool],
        announce: Announce,
    ) -> None:
        self._loop = loop
        self._admission = admission
        self._learner = learner
        self._view = view
        self._evcc_id = evcc_id
        self._now = now
        self._enabled = enabled
        self._announce = announce
        self._follows = {
            e.evse_id: _Follow() for e in evses if e.ac is None or e.ac.release not in OTHER_RELEASE
        }

    def card_read(self, evse_ids: tuple[int, ...]) -> None:
        """A card was presented at a reader of these EVSEs."""
        for evse_id in evse_ids:
            if evse_id in self._follows:
                self._follows[evse_id].card_at = self._now()

    async def run(self) -> None:
        """Look at every EVSE twice a second; each question to the back end has a task of its own."""
        async with asyncio.TaskGroup() as questions:
            while True:
                await asyncio.sleep(LOOK_S)
                if self._enabled() or self._learner.waiting:
                    for evse in self._view().evses:
                        if evse.evse_id in self._follows:
                            self._look(evse, questions)

    def _look(self, evse: EvseView, questions: asyncio.TaskGroup) -> None:
        follow, session = self._follows[evse.evse_id], evse.session
        if session is None or not evse.plugged:
            follow.done = None
            return
        evcc_id = self._evcc_id(evse.evse_id).upper()
        if evcc_id and self._learner.vehicle(evse.evse_id, evcc_id):
            follow.done = session.plugged_at
        elif session.started_at is not None or evse.auth_state == "granted":
            follow.done = session.plugged_at  # somebody has permission: after this session the vehicle has none of its own
        elif evcc_id and self._enabled() and not follow.asking and self._is_free(evse, follow):
            follow.asking = True
            questions.create_task(self._ask(evse.evse_id, session.plugged_at, evcc_id))

    def _is_free(self, evse: EvseView, follow: _Follow) -> bool:
        """Return True when the vehicle waits and nobody has asked for it."""
        return (
            evse.session is not None
            and evse.session.plugged_at != follow.done
            and evse.session.started_at is None
            and evse.auth_state == "none"
            and evse.phase in WAITING_PHASES
            and evse.operational is OperationalStatus.OPERATIVE
            and (follow.card_at is None or self._now() - follow.card_at >= CARD_FIRST_NS)
        )

    async def _ask(self, evse_id: int, plugged_at: WallNs, evcc_id: str) -> None:
        follow = self._follows[evse_id]
        try:
            await self._decide(evse_id, plugged_at, evcc_id)
        except Exception:  # a card works all the same, and so do the other EVSEs
            log.exception("autocharge of a vehicle on EVSE %d failed", evse_id)
            follow.done = plugged_at
        finally:
            follow.asking = False

    async def _decide(self, evse_id: int, plugged_at: WallNs, evcc_id: str) -> None:
        result = await self._admission.vehicle(evcc_id, evse_id)
        evse = next(e for e in self._view().evses if e.evse_id == evse_id)
        follow = self._follows[evse_id]
        if evse.session is None or evse.session.plugged_at != plugged_at or self._evcc_id(evse_id).upper() != evcc_id:
            return  # another plug-in has begun meanwhile
        window = self._learner.window
        if not self._is_free(evse, follow) or (self._learner.waiting and window.evse_id == evse_id):
            return  # a card came first, looked at again when that was refused; or a technician wants to learn the vehicle
        follow.done = plugged_at
        why = await self._start(evse_id, evcc_id, result) if result.accepted else result.reason
        if why:
            self._announce("autocharge.refused", evse_id, {"evcc_id": evcc_id, "why": why})

    async def _start(self, evse_id: int, evcc_id: str, result: AuthResult) -> str:
        """Give the permission to the core; return "" or the reason of its refusal."""
        return await self._loop.ask(
            lambda seq: StartSession(
                seq=seq,
                evse_id=evse_id,
                id_token=self._admission.token_of(evcc_id),
                source=AuthSource.AUTOCHARGE,
                parent_id=result.parent,
            )
        )
