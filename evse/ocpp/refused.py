"""Transactions whose card the CSMS refuses in StartTransaction (OCPP 1.6, 3.5 "Unknown Offline Authorization").

``StopTransactionOnInvalidId`` true ends them, false only takes their energy away. ``MaxEnergyOnInvalidId`` Wh, counted from the
begin of the transaction, they get all the same, so that a vehicle that has come with an empty battery can leave.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from evse.domain.view import StationView
from evse.ocpp.keys import Keys
from evse.ocpp.ports import StationPort

log = logging.getLogger(__name__)


class _Refused(msgspec.Struct, frozen=True):
    evse_id: int
    transaction_id: int
    parent: str


class RefusedCards:
    """Follows the refused transactions of one station. ``hold`` gets the EVSEs that give no energy, when they change."""

    def __init__(self, station: StationPort, keys: Keys, hold: Callable[[frozenset[int]], None]) -> None:
        self._station = station
        self._keys = keys
        self._hold = hold
        self._refused: dict[str, _Refused] = {}  # by session
        self._held: frozenset[int] = frozenset()

    def numbered(self, evse_id: int, session_id: str, transaction_id: int, status: str, parent: str) -> None:
        """StartTransaction was answered with ``status`` for the card: tell the station, and what follows from it."""
        energy_wh = self._keys.number("MaxEnergyOnInvalidId")
        stop = status != "Accepted" and self._keys.flag("StopTransactionOnInvalidId") and not energy_wh
        self._station.transaction_numbered(evse_id, session_id, transaction_id, not stop, parent)
        if status == "Accepted":
            return
        log.warning("ocpp: the CSMS refuses the card of transaction %d (%s)", transaction_id, status)
        if not stop:
            self._refused[session_id] = _Refused(evse_id, transaction_id, parent)
            self.on_view(self._station.view())

    def on_view(self, view: StationView) -> None:
        """End, or take the energy of, what has had its share; forget what is over."""
        if not self._refused and not self._held:
            return
        running = {e.session.session_id: e.session for e in view.evses if e.session is not None and e.session.ended_at is None}
        held: set[int] = set()
        for session_id, refused in list(self._refused.items()):
            session = running.get(session_id)
            if session is None:
                del self._refused[session_id]
            elif session.energy_wh < self._keys.number("MaxEnergyOnInvalidId"):
                continue
            elif self._keys.flag("StopTransactionOnInvalidId"):
                del self._refused[session_id]
                self._station.transaction_numbered(
                    refused.evse_id, session_id, refused.transaction_id, False, refused.parent
                )
            else:
                held.add(refused.evse_id)
        if held != self._held:
            self._held = frozenset(held)
            self._hold(self._held)
