"""The recloser by OCPP DataTransfer, with the messages of Charge Control C (user guide 3.3.9).

``data`` of a request is "<connectorId>" or "<connectorId>, <state>", of an answer "<state>", or why not. A state is "open" or
"close". A recloser that moves, is busy or does not arrive within 10 s is "notAvailable": it has no position to tell.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from evse.devices.recloser import ModbusRecloser
from evse.domain.recloser import RecloserOutcome, RecloserState
from evse.domain.station import EvseSpec

log = logging.getLogger(__name__)

RECLOSER_VENDOR: Final = "com.in-tech.smartcharging"
GET_STATE, CHANGE_STATE = "rcdRecloserGetState", "rcdRecloserChangeState"
NOT_PRESENT, NOT_AVAILABLE, INVALID = "notPresent", "notAvailable", "invalidRequestData"

NAMES: Final = {RecloserState.OPEN: "open", RecloserState.CLOSED: "close"}
STATES: Final = {name: state for state, name in NAMES.items()}
CONNECTOR_DIGITS_MAX: Final = 9

Answer = tuple[str, str | None]
"""(status, data) of DataTransfer."""


class RecloserMessages:
    """`evse.ocpp.handlers.DataHandler` for the reclosers of one station, which are given by EVSE."""

    def __init__(self, evses: tuple[EvseSpec, ...], reclosers: Mapping[int, ModbusRecloser]) -> None:
        self._evses = {evse.evse_id for evse in evses}
        self._reclosers = reclosers

    async def __call__(self, message_id: str, data: str) -> Answer:
        """Answer one message."""
        if message_id not in (GET_STATE, CHANGE_STATE):
            return "UnknownMessageId", None
        parts = [part.strip() for part in data.split(",")]
        evse_id = _connector(parts[0])
        wanted = STATES.get(parts[1]) if message_id == CHANGE_STATE and len(parts) == 2 else None
        asked = len(parts) == 1 if message_id == GET_STATE else wanted is not None
        if not asked or evse_id not in self._evses:
            return "Rejected", INVALID
        recloser = self._reclosers.get(evse_id)
        if recloser is None:
            return "Rejected", NOT_PRESENT
        if wanted is None:
            return _told(recloser.state())
        answer = await recloser.request(wanted)
        log.info("ocpp: %s asked to %s: %s %s", recloser.name, NAMES[wanted], answer.outcome.value, answer.detail)
        if answer.outcome is RecloserOutcome.DONE:
            return "Accepted", NAMES[wanted]
        return "Rejected", NOT_PRESENT if answer.outcome is RecloserOutcome.NOT_PRESENT else NOT_AVAILABLE


def _connector(text: str) -> int:
    """Return the number, 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= CONNECTOR_DIGITS_MAX else 0


def _told(state: RecloserState) -> Answer:
    if state in NAMES:
        return "Accepted", NAMES[state]
    return "Rejected", NOT_PRESENT if state is RecloserState.NOT_PRESENT else NOT_AVAILABLE
