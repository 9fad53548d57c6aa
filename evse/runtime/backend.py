"""What the back end may ask of the station: the OCPP client's port onto the control loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from evse.core.inputs import (
    AnyCommand,
    ReserveEvse,
    SetAvailability,
    StartSession,
    StopSession,
    TransactionNumbered,
    UnlockConnector,
)
from evse.domain.limits import LimitSource, PowerLimit
from evse.domain.readings import MeterValues, Sample
from evse.domain.session import AuthSource, OperationalStatus, StopReason
from evse.domain.station import EvseKind, StationSpec
from evse.domain.view import EvseView, StationView
from evse.ocpp.security.facade import Security
from evse.runtime.loop import ControlLoop
from evse.runtime.planning import PlannerShell
from evse.runtime.views import transaction_runs
from evse.units import WallNs

UNLOCK_LIMIT_S: Final = 25.0
"""A vehicle has 6 s to end, its contactor 5 s to open, a motor three movements there and back."""

UNLOCK_LOOK_S: Final = 0.1


class Running(Protocol):
    """What the port needs of a running station."""

    loop: ControlLoop
    planner: PlannerShell
    reset_requested: str
    security: Security | None

    @property
    def spec(self) -> StationSpec:
        """What the station is made of."""
        ...

    def view(self) -> StationView:
        """The station as seen now."""
        ...


class BackendPort:
    """`evse.ocpp.ports.StationPort` on a running station. Every request goes through the core, which may refuse."""

    def __init__(self, station: Running) -> None:
        self._station = station

    def spec(self) -> StationSpec:
        """What the station is made of."""
        return self._station.spec

    def view(self) -> StationView:
        """The station as seen now."""
        return self._station.view()

    def meter(self, evse_id: int) -> MeterValues | None:
        """Latest meter values of an EVSE (0 = site); None without a reading."""
        reading = self._station.loop.meter(evse_id)
        return reading.value if isinstance(reading, Sample) else None

    async def remote_start(self, evse_id: int | None, id_token: str, parent: str = "") -> bool:
        """RemoteStartTransaction: on the named EVSE, or on the first that is plugged and free."""
        if evse_id is None:
            free = [
                e.evse_id
                for e in self.view().evses
                if e.plugged and (e.session is None or e.session.started_at is None)
            ]
            if not free:
                return False
            evse_id = free[0]
        target = evse_id
        refusal = await self._station.loop.ask(
            lambda seq: StartSession(
                seq=seq, evse_id=target, id_token=id_token, source=AuthSource.REMOTE, parent_id=parent
            )
        )
        return refusal == ""

    async def reserve(self, evse_id: int, id_token: str, parent: str, until: WallNs) -> bool:
        """ReserveNow: the core keeps others out until ``until``."""
        return (
            await self._station.loop.ask(
                lambda seq: ReserveEvse(seq=seq, evse_id=evse_id, id_token=id_token, until=until, parent_id=parent)
            )
            == ""
        )

    async def cancel_reservation(self, evse_id: int) -> bool:
        """CancelReservation."""
        return (
            await self._station.loop.ask(lambda seq: ReserveEvse(seq=seq, evse_id=evse_id, id_token="", until=0)) == ""
        )

    async def remote_stop(self, evse_id: int) -> bool:
        """RemoteStopTransaction."""
        return (
            await self._station.loop.ask(lambda seq: StopSession(seq=seq, evse_id=evse_id, reason=StopReason.REMOTE))
            == ""
        )

    async def set_availability(self, evse_id: int, operative: bool) -> str:
        """ChangeAvailability: Accepted, Scheduled (a session goes on) or Rejected."""
        status = OperationalStatus.OPERATIVE if operative else OperationalStatus.INOPERATIVE
        refusal = await self._station.loop.ask(
            lambda seq: SetAvailability(seq=seq, evse_id=evse_id, origin="backend", status=status)
        )
        if refusal:
            return "Rejected"
        busy = any(
            transaction_runs(e)
            for e in self.view().evses
            if evse_id in (0, e.evse_id)
        )
        return "Scheduled" if busy and not operative else "Accepted"

    async def unlock(self, evse_id: int) -> str:
        """UnlockConnector. The lock of a socket is waited for; that of a DC vehicle opens by itself once the voltage is off."""
        ac = self._evse(evse_id).ac
        if ac is not None and ac.lock is None:
            return "NotSupported"
        if await self._station.loop.ask(lambda seq: UnlockConnector(seq=seq, evse_id=evse_id)):
            return "UnlockFailed"
        if ac is None:
            return "Unlocked"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UNLOCK_LIMIT_S):
                return await self._opened(evse_id)
        return "UnlockFailed"

    async def _opened(self, evse_id: int) -> str:
        """Wait until the lock has opened, or has given up."""
        while True:
            await asyncio.sleep(UNLOCK_LOOK_S)
            ac = self._evse(evse_id).ac
            if ac is None or ac.lock is None or ac.lock.stage == "cannot_unlock":
                return "UnlockFailed"
            if ac.lock.stage == "open":
                return "Unlocked"

    def _evse(self, evse_id: int) -> EvseView:
        return next(evse for evse in self.view().evses if evse.evse_id == evse_id)

    async def reset(self, hard: bool) -> bool:
        """Reset: end all transactions, then ask the process to restart."""
        reason = StopReason.IMMEDIATE_RESET if hard else StopReason.REBOOT
        for evse in self.view().evses:
            if transaction_runs(evse):
                self._station.loop.submit(_stop(evse.evse_id, reason))
        if self._station.security is not None:
            self._station.security.log.note("ResetOrReboot", "hard" if hard else "soft")
        self._station.reset_requested = "hard" if hard else "soft"
        return True

    def transaction_numbered(
        self, evse_id: int, session_id: str, transaction_id: int, accepted: bool, parent: str = ""
    ) -> None:
        """The CSMS gave a transaction its number."""
        self._station.loop.submit(
            lambda seq: TransactionNumbered(
                seq=seq, evse_id=evse_id, session_id=session_id, transaction_id=transaction_id, accepted=accepted,
                parent_id=parent,
            )
        )

    def ratings(self) -> Mapping[int, int]:
        """Most power without charging profiles, W: 0 = what the site gives (AC side), n = rating of an EVSE."""
        planner, spec = self._station.planner, self._station.spec
        rated = {evse.evse_id: evse.power_max_w for evse in spec.evses}
        direct = sum(evse.power_max_w for evse in spec.evses if evse.kind is EvseKind.DC)
        site = sum(rated.values()) - direct + direct * 1000 // spec.efficiency_permille  # rectifiers have losses
        caps = [power_w for source, power_w in planner.in_force.site_caps() if source is not LimitSource.CSMS]
        return {0: min([site, *caps]), **rated}

    def set_limits(self, limits: Sequence[PowerLimit]) -> None:
        """Limits of the charging profiles: in force from the next tick on."""
        self._station.planner.set_csms(limits)


def _stop(evse_id: int, reason: StopReason) -> Callable[[int], AnyCommand]:
    return lambda seq: StopSession(seq=seq, evse_id=evse_id, reason=reason)
