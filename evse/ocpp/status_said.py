"""Says on the link what the status board holds, as soon as it may be said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from evse.config.model_ocpp import OcppSection
from evse.domain.clock import Clock
from evse.domain.faults import FaultCode, FaultSpec
from evse.domain.view import StationView
from evse.ocpp import v16
from evse.ocpp.engine import CallTimeout, Engine
from evse.ocpp.keys import Keys
from evse.ocpp.messages import CallError
from evse.ocpp.status import Detail, Due, StatusBoard, connector_status, station_status
from evse.ocpp.waiting import wait_for
from evse.units import NS_PER_S


class StatusSpeaker:
    """The StatusNotifications of one station. ``note`` takes what went wrong, in plain words."""

    def __init__(
        self, keys: Keys, clock: Clock, specs: Mapping[FaultCode, FaultSpec], note: Callable[[str], None]
    ) -> None:
        self.board = StatusBoard()
        self._keys = keys
        self._clock = clock
        self._specs = specs
        self._note = note
        self._kick = asyncio.Event()

    def kick(self) -> None:
        """Something else may be said now."""
        self._kick.set()

    def on_view(self, view: StationView, config: OcppSection, *, list_conflict: bool) -> None:
        """The station as it stands."""
        detail = Detail(informative=config.status_informative, errors=config.status_errors)
        station = station_status(view, self._specs, detail)
        if list_conflict and detail.informative and station.error_code == "NoError":
            station = msgspec.structs.replace(station, error_code="LocalListConflict")
        changed = self.board.want(0, station, view.wall)
        for evse in view.evses:
            calm = self._clock.now() if evse.ac is not None else None
            changed |= self.board.want(evse.evse_id, connector_status(evse, self._specs, detail), view.wall, calm)
        if changed:
            self._kick.set()

    async def run(self, engine: Engine) -> None:
        """Say what is due as long as the link lives."""
        while True:
            spacing_s = self._keys.number("MinimumStatusDuration")
            now = self._clock.now()
            due = self.board.due(now, spacing_s)
            if due:
                await self._say(engine, due[0])
                continue
            at = self.board.next_at(spacing_s)
            await wait_for(self._kick, None if at is None else (at - now) / NS_PER_S)

    async def say_forced(self, engine: Engine) -> None:
        """Say what the CSMS has asked for, before it has accepted the station."""
        for due in self.board.forced():
            await self._say(engine, due)

    async def _say(self, engine: Engine, due: Due) -> None:
        try:
            await engine.call("StatusNotification", v16.status_payload(due))
        except CallTimeout as error:
            self._note(str(error))
            self.board.not_said(due, self._clock.now())
        except CallError as error:
            self._note(f"StatusNotification: {error}")
            self.board.said(due, self._clock.now())
        else:
            self.board.said(due, self._clock.now())
