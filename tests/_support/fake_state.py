"""State of `FakeStation` and the handles by which tests change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from evse.access.roles import Role
from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.service import Caller
from evse.api.stream import EventHub
from evse.domain.faults import FaultCode, FaultRecord
from evse.domain.session import ChargingState, SessionPhase, SessionRecord, StopReason
from evse.domain.view import Event, EvseView, StationView
from evse.units import NS_PER_S
from tests._support import fake_data as data
from tests._support import fake_ocpp_data as ocpp

PIN = "4711"
"""Service PIN of the fake."""
CODE = "246810"
"""The one-time code that fits, each time."""
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
"""Secret that ``auth.totp_begin`` of the fake answers with."""


class FakeState:
    """What the fake shows, and the handles by which tests change it. Use `tests._support.fake_service.FakeStation`."""

    def __init__(self, *, heartbeat_s: float = 10.0, status_period_s: float = 0.5) -> None:
        self.hub = EventHub(seq=1000, heartbeat_s=heartbeat_s, status_period_s=status_period_s)
        self.wall = data.T0
        self.view: StationView = data.station_view()
        self.ocpp = data.ocpp_summary()
        self.links: tuple[m.DeviceLink, ...] = data.LINKS
        self.system = data.SYSTEM
        self.past: list[SessionRecord] = [data.past_session(n) for n in range(24, 0, -1)]
        self.history: list[Event] = []
        self.settings = data.SETTINGS
        self.plan = data.plan()
        self.groups = data.group_rows()
        self.meters: tuple[m.MeterRow, ...] = data.METERS
        self.readers = data.READERS
        self.plc = data.PLC
        self.checks = data.CHECKS
        self.keys = {key.key: key for key in ocpp.KEYS}
        self.messages = ocpp.MESSAGES
        self.catalogue = m.FaultCatalogue(items=tuple(data.FAULT_TEXTS.values()))
        self.config_text = data.CONFIG_TEXT
        self.config_version = 3
        self.audit_rows: list[m.AuditRow] = []
        self.pin = PIN
        self.wrong_pins = 0
        self.totp_enrolled = False
        self.locked_until: int | None = None
        self.tokens: dict[str, Role] = {}
        self.calls: list[tuple[str, m.Model]] = []
        self._fail: dict[str, Exception] = {}
        self.do: Callable[[Callable[[], Any]], Any] = lambda job: job()
        """Runs a job where the streams live: ``station.do(lambda: station.plug_in(2))`` from another thread."""
        for event in data.first_events():
            self.history.append(event)
            self.hub.publish(event)

    # -- test handles ---------------------------------------------------------------------------------------------

    def advance(self, seconds: int) -> None:
        """Move the calendar of the fake."""
        self.wall += seconds * NS_PER_S
        self.view = msgspec.structs.replace(self.view, wall=self.wall)
        self.system = msgspec.structs.replace(self.system, uptime_s=self.system.uptime_s + seconds)
        self.hub.changed()

    def push_event(self, kind: str, evse_id: int = 0, **values: str | int | bool | None) -> Event:
        """Publish an event with the next number."""
        event = Event(seq=self.hub.seq + 1, wall=self.wall, kind=kind, evse_id=evse_id, data=values)
        self.history.append(event)
        self.hub.publish(event)
        return event

    def evse(self, evse_id: int) -> EvseView:
        """Return the view of an EVSE; ApiError NOT_FOUND when there is none."""
        for view in self.view.evses:
            if view.evse_id == evse_id:
                return view
        have = ", ".join(str(v.evse_id) for v in self.view.evses)
        raise ApiError(ErrorCode.NOT_FOUND, f"there is no connector {evse_id}", f"connectors: {have}")

    def set_evse(self, evse_id: int, **changes: Any) -> None:
        """Change fields of an `EvseView` and tell the streams."""
        new = msgspec.structs.replace(self.evse(evse_id), **changes)
        self.set_view(evses=tuple(new if v.evse_id == evse_id else v for v in self.view.evses))

    def set_view(self, **changes: Any) -> None:
        """Change fields of the `StationView` and tell the streams."""
        self.view = msgspec.structs.replace(self.view, **changes)
        self.hub.changed()

    def set_ocpp(self, **changes: Any) -> None:
        """Change fields of the `OcppSummary` and tell the streams."""
        self.ocpp = msgspec.structs.replace(self.ocpp, **changes)
        self.hub.changed()

    def set_link(self, name: str, **changes: Any) -> None:
        """Change fields of a `DeviceLink` and tell the streams."""
        self.links = tuple(msgspec.structs.replace(x, **changes) if x.name == name else x for x in self.links)
        self.hub.changed()

    def fail_next(self, name: str, error: Exception) -> None:
        """Let the next call of operation ``name`` raise ``error``."""
        self._fail[name] = error

    def raise_fault(self, code: FaultCode, evse_id: int = 0, detail: str = "raised by the test") -> None:
        """Add a fault; an EVSE fault that is not a warning ends charging and shows FAULTED."""
        record = FaultRecord(
            code=code, evse_id=evse_id, detail=detail, first_seen=self.wall, last_seen=self.wall, count=1, present=True
        )
        if evse_id:
            view = self.evse(evse_id)
            loud = self.text(code).severity != "warning"
            changes: dict[str, Any] = {"faults": (*view.faults, record)}
            if loud:
                changes |= {"phase": SessionPhase.FAULTED, "power_w": 0, "current_ma": 0, "offered_w": 0, "limits": ()}
                changes |= {"contactor_closed": False, "stop_reason": StopReason.OTHER, "step": None}
                changes |= {"charging_state": ChargingState.EV_CONNECTED if view.plugged else ChargingState.IDLE}
            self.set_evse(evse_id, **changes)
        self.set_view(faults=tuple(sorted((*self.view.faults, record), key=lambda f: (f.evse_id, f.code.value))))
        self.push_event("fault.raised", evse_id, code=code.value, detail=detail)

    def end_cause(self, code: FaultCode, evse_id: int = 0) -> None:
        """Let the cause of a fault go away; it stays latched until it is cleared."""

        def ended(record: FaultRecord) -> FaultRecord:
            mine = record.code is code and record.evse_id == evse_id
            return msgspec.structs.replace(record, present=False, last_seen=self.wall) if mine else record

        if evse_id:
            self.set_evse(evse_id, faults=tuple(ended(f) for f in self.evse(evse_id).faults))
        self.set_view(faults=tuple(ended(f) for f in self.view.faults))

    def plug_in(self, evse_id: int) -> None:
        """A car arrives and waits for authorisation."""
        session = SessionRecord(
            session_id=f"s-{len(self.past) + 2:06d}", evse_id=evse_id, connector_id=1, plugged_at=self.wall
        )
        self.set_evse(
            evse_id, phase=SessionPhase.WAIT_AUTH, charging_state=ChargingState.EV_CONNECTED, plugged=True, locked=True,
            auth_state="waiting", session=session, waiting_for="present a card",
        )  # fmt: skip
        self.push_event("connector.plugged", evse_id)

    def plug_out(self, evse_id: int) -> None:
        """The car leaves; its session goes to the history."""
        session = self.evse(evse_id).session
        if session is not None:
            ended = session.ended_at or self.wall
            self.past.insert(0, msgspec.structs.replace(session, ended_at=ended, unplugged_at=self.wall))
        self.set_view(
            evses=tuple(data.idle_evse(v.evse_id) if v.evse_id == evse_id else v for v in self.view.evses)
        )
        self.push_event("connector.unplugged", evse_id)

    def status(self) -> m.Status:
        """Return the whole status as it stands."""
        return m.Status(
            station_id="DC-0001", support_phone="+49 30 1234567", language="en", view=self.view, ocpp=self.ocpp,
            links=self.links, system=self.system,
        )  # fmt: skip

    def sessions(self) -> list[SessionRecord]:
        """Return all sessions, newest first: 25 at the beginning."""
        running = [v.session for v in self.view.evses if v.session is not None]
        return sorted([*running, *self.past], key=lambda s: s.plugged_at, reverse=True)

    def planner(self) -> m.PlannerState:
        """Return the state of the planner."""
        return m.PlannerState(
            settings=self.settings, plan=self.plan, groups=self.groups, requested_w=18_000, offered_w=60_000,
            allowed_w=60_000, assigned_w=self.view.assigned_w, shared_chains=0, bms_stale=0,
            site_power_w=self.view.site_power_w,
        )  # fmt: skip

    def audit(self, caller: Caller, operation: str, target: str, result: str = "ok") -> None:
        """Add an audit row."""
        row = m.AuditRow(
            wall=self.wall, who=caller.user, origin=caller.origin, operation=operation, target=target, old="", new="",
            result=result,
        )  # fmt: skip
        self.audit_rows.append(row)

    def enter(self, name: str, request: m.Model) -> None:
        """Note a call, or fail it as `fail_next` asked."""
        self.calls.append((name, request))
        error = self._fail.pop(name, None)
        if error is not None:
            raise error

    @staticmethod
    def text(code: FaultCode) -> m.FaultText:
        """Return the texts of a fault; those not in the table get a plain row."""
        known = data.FAULT_TEXTS.get(code)
        if known is not None:
            return known
        name = code.name.title().replace("_", "")
        return msgspec.structs.replace(
            data.FAULT_TEXTS[FaultCode.BMS_STALE], code=code.value, name=name, description=f"{name} of the test."
        )
