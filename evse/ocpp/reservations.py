"""Reservation of OCPP 1.6: one card, or one group of cards, has an EVSE for itself until it comes or the time is over.

The core keeps others out and ends a reservation by its own deadline; here are its number and its durable copy, from
which it is made again after a restart as soon as the EVSE is free. A reservation of connector 0, some EVSE of the station,
holds a free one; it holds another when that one fails, or is reserved by its own number, and ends when its card charges anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping

import msgspec

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.faults import FaultCode, FaultSpec
from evse.domain.session import SessionRecord
from evse.domain.view import Event, StationView
from evse.ocpp.engine import Handler, Reply
from evse.ocpp.messages import Payload, parse_timestamp
from evse.ocpp.ports import StationPort, StorePort
from evse.ocpp.status import connector_status
from evse.units import WallNs

log = logging.getLogger(__name__)

NAMESPACE = "ocpp.reservations"

LOOK_AGAIN_S = 1.0
NUMBERED_MAX = 64
"""Transactions whose reservation is remembered, so that their start message can be made again unchanged."""


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """One reservation. ``parent`` = group whose other cards may use it too, "" = none.

    ``anywhere`` = of connector 0: ``evse_id`` is the one that is held for it now.
    """

    reservation_id: int
    evse_id: int
    id_token: str
    until: WallNs
    made_at: WallNs
    parent: str = ""
    anywhere: bool = False

    def serves(self, session: SessionRecord) -> bool:
        """Tell whether ``session`` is the use of this reservation; who is of the group the core knows for its EVSE only."""
        started = session.started_at
        if started is None or not self.made_at <= started <= self.until:
            return False
        own = session.id_token.upper() == self.id_token.upper()
        return (own or self.parent != "") if session.evse_id == self.evse_id else own and self.anywhere


class Reservations:
    """The reservations of one station, at most one for each EVSE."""

    def __init__(
        self, station: StationPort, store: StorePort, clock: Clock, specs: Mapping[FaultCode, FaultSpec]
    ) -> None:
        self._station = station
        self._store = store
        self._clock = clock
        self._specs = specs
        self._by_id: dict[int, Reservation] = {}
        self._taken: dict[int, Reservation] = {}  # by EVSE: used, its start message is not made yet
        self._numbers: dict[str, int] = {}  # session -> reservation
        self._gone: set[int] = set()  # durable copies to remove
        self._free: set[int] = set()  # EVSEs that are held for nobody any more
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()

    def table(self) -> dict[str, Handler]:
        """Return action to handler."""
        return {"CancelReservation": self.cancel, "ReserveNow": self.reserve_now}

    async def load(self) -> None:
        """Read what was reserved before."""
        for key, text in (await self._store.get_all(NAMESPACE)).items():
            try:
                found = msgspec.json.decode(text, type=Reservation)
            except msgspec.DecodeError as error:
                log.error("ocpp: stored reservation %s cannot be read and is left out: %s", key, error)
                continue
            self._by_id[found.reservation_id] = found

    def all(self) -> list[Reservation]:
        """The reservations that stand, by EVSE."""
        return sorted(self._by_id.values(), key=lambda found: found.evse_id)

    # -- requests -------------------------------------------------------------------------------------------------

    async def reserve_now(self, payload: Payload) -> Reply:
        """Reserve an EVSE; the same reservationId changes its reservation."""
        async with self._turn:
            return Reply({"status": await self._reserve(payload)})

    async def _reserve(self, payload: Payload) -> str:
        number, connector_id = int(payload["reservationId"]), int(payload["connectorId"])
        until, wall = parse_timestamp(str(payload["expiryDate"])), self._clock.wall()
        if until is None or until <= wall:
            return "Rejected"
        self._prune(wall)
        before = self._by_id.get(number)
        evse_id, status = self._anywhere(before) if connector_id == 0 else (connector_id, self._obstacle(connector_id, before))
        if status == "Occupied" and connector_id != 0:
            status = await self._make_room(connector_id)
        if status:
            return status
        again = before is not None and before.evse_id == evse_id
        wanted = Reservation(
            reservation_id=number, evse_id=evse_id, id_token=str(payload["idTag"]), until=until, made_at=wall,
            parent=str(payload.get("parentIdTag", "")), anywhere=connector_id == 0,
        )
        if not await self._station.reserve(evse_id, wanted.id_token, wanted.parent, until):
            return "Occupied"
        try:
            await self._store.put_many(NAMESPACE, {str(number): msgspec.json.encode(wanted).decode()})
        except DeviceError:
            if before is None or not again:
                await self._station.cancel_reservation(evse_id)
            raise
        self._gone.discard(number)
        self._by_id[number] = wanted
        if before is not None and not again:
            await self._station.cancel_reservation(before.evse_id)
        return "Accepted"

    def _obstacle(self, evse_id: int, before: Reservation | None) -> str:
        """Return why an EVSE cannot be reserved now, "" when it can; ``before`` = what the same number reserves."""
        evse = next((e for e in self._station.view().evses if e.evse_id == evse_id), None)
        if evse is None:
            return "Rejected"
        again = before is not None and before.evse_id == evse_id
        status = connector_status(evse, self._specs).status
        if status in ("Faulted", "Unavailable"):
            return status
        if status != "Available" and not (status == "Reserved" and again):
            return "Occupied"
        if not again and any(other.evse_id == evse_id for other in self._by_id.values()):
            return "Occupied"
        return ""

    def _anywhere(self, before: Reservation | None) -> tuple[int, str]:
        """Return (EVSE to hold, why there is none): the one that is held already, else the last that is free."""
        found = {evse.evse_id: self._obstacle(evse.evse_id, before) for evse in self._station.view().evses}
        free = [evse_id for evse_id, obstacle in found.items() if not obstacle]
        if before is not None and before.anywhere and before.evse_id in free:
            return before.evse_id, ""
        if free:
            return free[-1], ""
        obstacles = set(found.values())
        return 0, obstacles.pop() if len(obstacles) == 1 else "Occupied" if "Occupied" in obstacles else "Unavailable"

    async def _make_room(self, evse_id: int) -> str:
        """Let what is reserved anywhere hold another EVSE than this; return "" or Occupied."""
        held = next((found for found in self._by_id.values() if found.evse_id == evse_id and found.anywhere), None)
        return "" if held is not None and await self._hold_another(held) else "Occupied"

    async def _hold_another(self, found: Reservation) -> bool:
        free = [e.evse_id for e in self._station.view().evses if not self._obstacle(e.evse_id, None)]
        if not free or not await self._station.reserve(free[-1], found.id_token, found.parent, found.until):
            return False
        moved = msgspec.structs.replace(found, evse_id=free[-1])
        self._by_id[found.reservation_id] = moved
        await self._station.cancel_reservation(found.evse_id)
        await self._store.put_many(NAMESPACE, {str(found.reservation_id): msgspec.json.encode(moved).decode()})
        return True

    async def cancel(self, payload: Payload) -> Reply:
        """End a reservation by its number."""
        number = int(payload["reservationId"])
        async with self._turn:
            self._prune(self._clock.wall())
            found = self._by_id.get(number)
            if found is None:
                return Reply({"status": "Rejected"})
            await self._store.put_many(NAMESPACE, {str(number): None})
            self._by_id.pop(number, None)
            await self._station.cancel_reservation(found.evse_id)
        return Reply({"status": "Accepted"})

    def asks_for_group(self, evse_id: int | None, id_tag: str) -> bool:
        """Tell whether only the group of a card can say if it may use a reserved EVSE."""
        return any(
            found.evse_id == evse_id and found.parent and found.id_token.upper() != id_tag.upper()
            for found in self._by_id.values()
        )

    # -- what becomes of them -------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """The core has ended a reservation: it was used or its time is over."""
        why = event.data.get("why")
        if event.kind != "reservation.ended" or why not in ("used", "expired"):
            return
        for found in [r for r in self._by_id.values() if r.evse_id == event.evse_id]:
            if why == "used" and found.reservation_id not in self._numbers.values():
                self._taken[event.evse_id] = found
            self._drop(found)

    def number_for(self, session: SessionRecord) -> int | None:
        """Return the reservation that a transaction uses; the same for the same session."""
        known = self._numbers.get(session.session_id)
        if known is not None:
            return known
        found = self._taken.pop(session.evse_id, None)
        if found is None:
            found = next((r for r in self._by_id.values() if r.serves(session)), None)
        if found is None:
            return None
        self._let_go(found, session)
        self._numbers[session.session_id] = found.reservation_id
        while len(self._numbers) > NUMBERED_MAX:
            self._numbers.pop(next(iter(self._numbers)))
        return found.reservation_id

    def ended_with(self, session: SessionRecord) -> None:
        """A transaction is over, perhaps by a power cut: what it has used is not made again."""
        for found in [r for r in self._by_id.values() if r.serves(session)]:
            self._let_go(found, session)
            self._drop(found)

    def _let_go(self, found: Reservation, session: SessionRecord) -> None:
        """A card that has reserved anywhere charges elsewhere: the EVSE that is held for it is free."""
        if found.anywhere and found.evse_id != session.evse_id:
            self._free.add(found.evse_id)
            self._drop(found)

    def _drop(self, found: Reservation) -> None:
        self._by_id.pop(found.reservation_id, None)
        self._gone.add(found.reservation_id)
        self._changed.set()

    def _prune(self, wall: WallNs) -> None:
        for found in [r for r in self._by_id.values() if r.until <= wall]:
            self._drop(found)

    def on_view(self, view: StationView) -> None:
        """An EVSE that should be reserved and is not (after a restart, after a fault) is looked at by `run`."""
        if self._by_id:
            shown = {evse.evse_id for evse in view.evses if evse.reserved}
            if any(found.evse_id not in shown for found in self._by_id.values()):
                self._changed.set()

    async def run(self) -> None:
        """Make reservations again and remove what is over from the store, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            with contextlib.suppress(DeviceError):
                async with self._turn:
                    await self._tidy()
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _tidy(self) -> None:
        self._prune(self._clock.wall())
        if self._gone:
            gone = set(self._gone)
            self._changed.set()  # in case the store refuses
            await self._store.put_many(NAMESPACE, {str(number): None for number in gone})
            self._gone -= gone
        for evse_id in self._free - {found.evse_id for found in self._by_id.values()}:
            await self._station.cancel_reservation(evse_id)
        self._free.clear()
        states = {evse.evse_id: connector_status(evse, self._specs).status for evse in self._station.view().evses}
        for found in self.all():
            if states.get(found.evse_id) == "Available":
                await self._station.reserve(found.evse_id, found.id_token, found.parent, found.until)
            elif found.anywhere and states.get(found.evse_id) != "Reserved":
                await self._hold_another(found)
