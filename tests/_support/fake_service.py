"""`FakeStation`: the whole API of a two-connector DC station in memory, for tests of the server, evsectl and the TUI.

Time stands still at `fake_data.T0` until a test calls ``advance``. EVSE 1 charges at 17.6 kW with SoC 18 %, EVSE 2 is
idle, 25 sessions, a connected back end, four module groups. Every call is kept in ``calls``. The handles that change
what it shows (plug_in, raise_fault, set_evse, push_event, fail_next ...) are in `tests._support.fake_state`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from evse.access.roles import Role
from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.domain.faults import FaultRecord, LatchRule
from evse.domain.session import AuthSource, ChargingState, OperationalStatus, SessionPhase, SessionRecord, StopReason
from evse.domain.view import Event, EvseView
from evse.units import NS_PER_S
from tests._support import fake_data as data
from tests._support.fake_ocpp import FakeOcpp
from tests._support.fake_rules import FakeRules
from tests._support.fake_state import CODE as CODE
from tests._support.fake_state import PIN as PIN
from tests._support.fake_state import TOTP_SECRET as TOTP_SECRET
from tests._support.fake_whitelist import FakeWhitelist
from tests._support.local_client import LocalClient as LocalClient


class FakeStation(FakeWhitelist, FakeRules, FakeOcpp):
    """Implements `evse.api.service.StationService`."""

    # -- system ---------------------------------------------------------------------------------------------------

    async def version_get(self, request: Empty, caller: Caller) -> m.Version:
        self.enter("version.get", request)
        return m.Version(version="0.1.0", python="3.11.7")

    async def status_get(self, request: Empty, caller: Caller) -> m.Status:
        self.enter("status.get", request)
        return self.status()

    def status_stream(self, since: int | None) -> AsyncIterator[m.StreamItem]:
        self.enter("status.stream", m.StreamQuery(since=since))
        return self.hub.status(self.status)

    async def doctor_run(self, request: Empty, caller: Caller) -> m.Doctor:
        self.enter("doctor.run", request)
        return m.Doctor(checks=self.checks)

    async def events_list(self, request: m.HistoryQuery, caller: Caller) -> m.Events:
        self.enter("events.list", request)
        found = [
            e
            for e in reversed(self.history)
            if e.kind.startswith(request.kind) and request.evse_id in (-1, e.evse_id)
        ]
        return m.Events(items=tuple(found[request.offset : request.offset + request.limit]), total=len(found))

    def events_stream(self, since: int | None) -> AsyncIterator[m.StreamItem]:
        self.enter("events.stream", m.StreamQuery(since=since))
        return self.hub.events(since, self.status)

    # -- connectors -----------------------------------------------------------------------------------------------

    async def connector_list(self, request: Empty, caller: Caller) -> m.Connectors:
        self.enter("connector.list", request)
        return m.Connectors(items=self.view.evses)

    async def connector_get(self, request: m.EvseRef, caller: Caller) -> m.Connectors:
        self.enter("connector.get", request)
        return m.Connectors(items=(self.evse(request.evse_id),))

    async def connector_start(self, request: m.StartRequest, caller: Caller) -> m.Done:
        self.enter("connector.start", request)
        view = self.evse(request.evse_id)
        if view.phase is SessionPhase.CHARGING:
            return m.Done(changed=False, detail="already charging")
        if view.operational is OperationalStatus.INOPERATIVE:
            message = f"connector {view.evse_id} is out of service"
            raise ApiError(ErrorCode.CONFLICT, message, f"evsectl connector enable {view.evse_id}")
        if view.faults:
            message = f"connector {view.evse_id} has fault {view.faults[0].code.value}"
            raise ApiError(ErrorCode.CONFLICT, message, "evsectl fault list")
        session = view.session
        if session is not None:
            session = msgspec.structs.replace(
                session, started_at=self.wall, auth_source=AuthSource.API, id_token=request.id_token, soc_start_pct=44
            )
        self.set_evse(
            view.evse_id, phase=SessionPhase.CHARGING if session else SessionPhase.IDLE, auth_state="granted",
            charging_state=ChargingState.CHARGING if session else ChargingState.IDLE, session=session, waiting_for="",
        )  # fmt: skip
        self.push_event("auth.granted", view.evse_id, source="api")
        return m.Done(detail="authorised" if session else "authorised; plug in within 60 s")

    async def connector_stop(self, request: m.StopRequest, caller: Caller) -> m.Done:
        self.enter("connector.stop", request)
        view = self.evse(request.evse_id)
        if view.session is None or view.session.ended_at is not None:
            return m.Done(changed=False, detail="nothing to stop")
        self._end(view, StopReason.LOCAL)
        return m.Done()

    def _end(self, view: EvseView, reason: StopReason) -> None:
        session = view.session
        if session is not None and session.ended_at is None:
            meter = None if session.meter_start_wh is None else session.meter_start_wh + session.energy_wh
            session = msgspec.structs.replace(
                session, ended_at=self.wall, meter_stop_wh=meter, soc_end_pct=view.soc_pct, stop_reason=reason
            )
        self.set_evse(
            view.evse_id, phase=SessionPhase.FINISHED if view.plugged else SessionPhase.IDLE, session=session,
            charging_state=ChargingState.EV_CONNECTED, power_w=0, current_ma=0, offered_w=0, limits=(), step=None,
            contactor_closed=False, stop_reason=reason, chain=(), waiting_for="unplug the vehicle",
        )  # fmt: skip
        self.push_event("session.ended", view.evse_id, reason=reason.value)

    async def connector_enable(self, request: m.AvailabilityRequest, caller: Caller) -> m.Done:
        self.enter("connector.enable", request)
        return self._available(request.evse_id, OperationalStatus.OPERATIVE)

    async def connector_disable(self, request: m.AvailabilityRequest, caller: Caller) -> m.Done:
        self.enter("connector.disable", request)
        return self._available(request.evse_id, OperationalStatus.INOPERATIVE)

    def _available(self, evse_id: int, status: OperationalStatus) -> m.Done:
        changed = False
        for view in self.view.evses if evse_id == 0 else (self.evse(evse_id),):
            if view.operational is status:
                continue
            changed = True
            phase = view.phase
            if status is OperationalStatus.INOPERATIVE and phase is SessionPhase.IDLE:
                phase = SessionPhase.UNAVAILABLE
            elif phase is SessionPhase.UNAVAILABLE:
                phase = SessionPhase.IDLE
            self.set_evse(view.evse_id, operational=status, operational_local=status, phase=phase)
            self.push_event("availability.changed", view.evse_id, status=status.value)
        if evse_id == 0 and self.view.operational is not status:
            self.set_view(operational=status)
        return m.Done(changed=changed)

    async def connector_unlock(self, request: m.EvseRef, caller: Caller) -> m.Done:
        self.enter("connector.unlock", request)
        view = self.evse(request.evse_id)
        if not view.locked:
            return m.Done(changed=False, detail="not locked")
        self._end(view, StopReason.LOCAL)
        self.set_evse(view.evse_id, locked=False)
        return m.Done()

    # -- sessions -------------------------------------------------------------------------------------------------

    async def session_list(self, request: m.SessionQuery, caller: Caller) -> m.Sessions:
        self.enter("session.list", request)
        text = request.text.lower()
        found = []
        for row in self.sessions():
            active = row.unplugged_at is None
            if request.state != "all" and active != (request.state == "active"):
                continue
            if request.evse_id not in (0, row.evse_id):
                continue
            reason = row.stop_reason.value if row.stop_reason else ""
            if text in f"{row.id_token} {row.evcc_id} {row.session_id} {reason} {row.fault}".lower():
                found.append(row)
        page = tuple(found[request.offset : request.offset + request.limit])
        return m.Sessions(items=page, total=len(found), energy_wh=sum(row.energy_wh for row in found))

    async def session_get(self, request: m.SessionRef, caller: Caller) -> m.SessionDetail:
        self.enter("session.get", request)
        for row in self.sessions():
            if row.session_id == request.session_id:
                return m.SessionDetail(session=row, points=data.points(row, self.wall), events=self._events_of(row))
        raise ApiError(ErrorCode.NOT_FOUND, f"there is no session {request.session_id}", "evsectl session list")

    def _events_of(self, row: SessionRecord) -> tuple[Event, ...]:
        end = row.unplugged_at or self.wall
        return tuple(e for e in self.history if e.evse_id == row.evse_id and row.plugged_at <= e.wall <= end)

    # -- faults ---------------------------------------------------------------------------------------------------

    async def fault_list(self, request: Empty, caller: Caller) -> m.Faults:
        self.enter("fault.list", request)
        items = []
        for record in self.view.faults:
            text = self.text(record.code)
            why = self._why_not(record, text)
            info = m.FaultInfo(
                record=record, name=text.name, severity=text.severity, reaction=text.reaction, latch=text.latch,
                description=text.description, cause=text.cause, impact=text.impact, remedy_remote=text.remedy_remote,
                remedy_on_site=text.remedy_on_site, clearable=not why, why_not=why, vendor_code=text.vendor_code,
            )  # fmt: skip
            items.append(info)
        return m.Faults(items=tuple(items))

    @staticmethod
    def _why_not(record: FaultRecord, text: m.FaultText) -> str:
        if record.present:
            return f"the cause still stands: {record.detail}"
        if text.latch == LatchRule.AUTO.value:
            return "it goes away by itself"
        return ""

    async def fault_clear(self, request: m.FaultRef, caller: Caller) -> m.Done:
        self.enter("fault.clear", request)
        for record in self.view.faults:
            if record.code.value == request.code and request.evse_id in (0, record.evse_id):
                why = self._why_not(record, self.text(record.code))
                if why:
                    raise ApiError(ErrorCode.CONFLICT, f"{request.code} cannot be cleared: {why}", "remove the cause")
                self._remove(record)
                return m.Done()
        raise ApiError(ErrorCode.NOT_FOUND, f"fault {request.code} is not active", "evsectl fault list")

    def _remove(self, record: FaultRecord) -> None:
        self.set_view(faults=tuple(f for f in self.view.faults if f is not record))
        if record.evse_id:
            left = tuple(f for f in self.evse(record.evse_id).faults if f.code is not record.code)
            phase = SessionPhase.FINISHED if self.evse(record.evse_id).plugged else SessionPhase.IDLE
            self.set_evse(record.evse_id, faults=left, phase=SessionPhase.FAULTED if left else phase)
        self.push_event("fault.cleared", record.evse_id, code=record.code.value)

    async def fault_catalogue(self, request: Empty, caller: Caller) -> m.FaultCatalogue:
        self.enter("fault.catalogue", request)
        return self.catalogue

    # -- planner --------------------------------------------------------------------------------------------------

    async def planner_get(self, request: Empty, caller: Caller) -> m.PlannerState:
        self.enter("planner.get", request)
        return self.planner()

    async def planner_set(self, request: m.PlannerChange, caller: Caller) -> m.PlannerState:
        self.enter("planner.set", request)
        now = data.SETTINGS if request.reset else self.settings
        names = ("limit_w", "ocpp_limit_w", "group_power_w", "max_groups", "allow_cross")
        wanted = {n: getattr(request, n) for n in names if getattr(request, n) is not None}
        new = msgspec.structs.replace(now, **wanted)
        override = any(getattr(new, n) != getattr(new, f"file_{n}") for n in names)
        caller.note.old, caller.note.new = f"limit_w={self.settings.limit_w}", f"limit_w={new.limit_w}"
        self.settings = msgspec.structs.replace(new, override=override)
        self.plan = msgspec.structs.replace(self.plan, version=self.plan.version + 1, site_limit_w=new.limit_w)
        self.set_view(site_limit_w=new.limit_w or None, plan_version=self.plan.version)
        self.push_event("plan.changed", 0, version=self.plan.version)
        return self.planner()

    async def planner_recompute(self, request: Empty, caller: Caller) -> m.PlannerState:
        self.enter("planner.recompute", request)
        self.plan = msgspec.structs.replace(self.plan, version=self.plan.version + 1, reason="asked for")
        self.set_view(plan_version=self.plan.version)
        return self.planner()

    async def planner_explain(self, request: m.ExplainQuery, caller: Caller) -> m.Explanations:
        self.enter("planner.explain", request)
        items = []
        for view in self.view.evses:
            if request.evse_id not in (0, view.evse_id):
                continue
            more = ("site limit +2.2 kW (to 62.2 kW)",) if request.evse_id and view.limits else ()
            text = f"Connector {view.evse_id} is idle."
            if view.limits:
                first = view.limits[0]
                text = f"Connector {view.evse_id} gets {view.offered_w} W because {first.detail or first.source.value}."
            items.append(
                m.Explanation(evse_id=view.evse_id, offered_w=view.offered_w, text=text, limits=view.limits, more=more)
            )
        return m.Explanations(items=tuple(items))

    # -- configuration, devices, traces --------------------------------------------------------------------------

    async def config_show(self, request: Empty, caller: Caller) -> m.ConfigText:
        self.enter("config.show", request)
        return m.ConfigText(path=self.system.config_path, text=self.config_text, version=self.config_version)

    async def config_validate(self, request: m.ConfigCandidate, caller: Caller) -> m.ConfigResult:
        self.enter("config.validate", request)
        return self._candidate(request, apply=False)

    async def config_apply(self, request: m.ConfigCandidate, caller: Caller) -> m.ConfigResult:
        self.enter("config.apply", request)
        if request.if_version is not None and request.if_version != self.config_version:
            message = f"the configuration is at version {self.config_version}, not {request.if_version}"
            raise ApiError(ErrorCode.CONFLICT, message, "evsectl config show, then try again")
        return self._candidate(request, apply=not request.dry_run)

    def _candidate(self, request: m.ConfigCandidate, *, apply: bool) -> m.ConfigResult:
        problems, changes = data.compare(self.config_text, request.text)
        valid = not problems
        apply = apply and valid and bool(changes)
        if apply:
            self.config_text = request.text
            self.config_version += 1
        return m.ConfigResult(
            valid=valid, problems=problems, changes=changes, applied=apply,
            restart_needed=any(c.apply == "restart" for c in changes), version=self.config_version,
        )  # fmt: skip

    async def plc_discover(self, request: Empty, caller: Caller) -> m.PlcDiscovery:
        self.enter("plc.discover", request)
        return self.plc

    def _meters(self, name: str) -> tuple[m.MeterRow, ...]:
        rows = tuple(row for row in self.meters if name in ("", row.name))
        if not rows:
            have = ", ".join(row.name for row in self.meters)
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no meter {name!r}", f"meters: {have}")
        return rows

    async def meter_read(self, request: m.MeterRef, caller: Caller) -> m.Meters:
        self.enter("meter.read", request)
        return m.Meters(items=self._meters(request.name))

    async def meter_probe(self, request: m.ProbeRequest, caller: Caller) -> m.ProbeResult:
        self.enter("meter.probe", request)
        row = self._meters(request.name)[0]
        registers = (
            m.ProbeRegister(quantity="voltage", address=0, raw="43671eb8", value="231.12 V"),
            m.ProbeRegister(quantity="power", address=12, raw="", value="", error="illegal data address (2)"),
        )
        return m.ProbeResult(name=row.name, ok=False, detail="1 of 2 registers read", registers=registers)

    async def rfid_last(self, request: Empty, caller: Caller) -> m.Readers:
        self.enter("rfid.last", request)
        return self.readers

    async def trace_dump(self, request: Empty, caller: Caller) -> m.TraceDump:
        self.enter("trace.dump", request)
        path = "/var/lib/evse/traces/20260101T100000Z.trace"
        return m.TraceDump(path=path, ticks=12_000, seconds=600, bytes=381_204)

    # -- access ---------------------------------------------------------------------------------------------------

    async def auth_signin(self, request: m.SignIn, caller: Caller) -> m.Token:
        self.enter("auth.signin", request)
        if not self.pin:
            raise ApiError(ErrorCode.CONFLICT, "no PIN is set", "set the first one as root: evsectl auth set-pin")
        if self.locked_until is not None and self.wall < self.locked_until:
            left = (self.locked_until - self.wall) // NS_PER_S
            raise ApiError(ErrorCode.LOCKED_OUT, f"too many wrong PINs; try again in {left} s", "wait")
        if self.totp_enrolled and not request.totp:
            raise ApiError(ErrorCode.UNAUTHENTICATED, "a one-time code is needed beside the PIN", "give the code")
        if request.pin != self.pin or (self.totp_enrolled and request.totp != CODE):
            self.wrong_pins += 1
            if self.wrong_pins >= 3:
                self.locked_until = self.wall + 30 * NS_PER_S
            raise ApiError(ErrorCode.UNAUTHENTICATED, "the PIN (or code) is wrong", "check it and try again")
        self.wrong_pins, self.locked_until = 0, None
        token = f"fake-token-{len(self.tokens) + 1}"
        self.tokens[token] = Role.OPERATOR
        return m.Token(token=token, role="operator", expires_at=self.wall + data.minutes(30))

    async def auth_signout(self, request: Empty, caller: Caller) -> m.Done:
        self.enter("auth.signout", request)
        return m.Done(changed=self.tokens.pop(caller.token, None) is not None)

    async def auth_set_pin(self, request: m.SetPin, caller: Caller) -> m.Done:
        self.enter("auth.set_pin", request)
        if request.old != self.pin:
            raise ApiError(ErrorCode.UNAUTHENTICATED, "the old PIN is wrong", "check the PIN and try again")
        if not (request.new.isascii() and request.new.isdigit() and 4 <= len(request.new) <= 12):
            raise ApiError(ErrorCode.INVALID, "a PIN has 4 to 12 digits", "choose another one")
        self.pin = request.new
        self.tokens.clear()
        return m.Done()

    async def auth_totp_begin(self, request: Empty, caller: Caller) -> m.TotpEnrolment:
        self.enter("auth.totp_begin", request)
        if self.totp_enrolled:
            hint = "turn them off first: evsectl auth totp disable"
            raise ApiError(ErrorCode.CONFLICT, "one-time codes are enrolled already", hint)
        uri = f"otpauth://totp/EVSE:DC-0001?secret={TOTP_SECRET}&issuer=EVSE"
        return m.TotpEnrolment(uri=uri, secret=TOTP_SECRET, expires_at=self.wall + data.minutes(10))

    async def auth_totp_confirm(self, request: m.TotpConfirm, caller: Caller) -> m.Done:
        self.enter("auth.totp_confirm", request)
        if request.totp != CODE:
            raise ApiError(ErrorCode.UNAUTHENTICATED, "the code does not fit the new secret", "4 more tries")
        self.totp_enrolled = True
        return m.Done(detail="every sign-in needs a code now")

    async def auth_totp_disable(self, request: m.TotpDisable, caller: Caller) -> m.Done:
        self.enter("auth.totp_disable", request)
        if (request.pin, request.totp) not in (("", ""), (self.pin, CODE)):
            raise ApiError(ErrorCode.UNAUTHENTICATED, "the PIN (or code) is wrong", "check it and try again")
        changed, self.totp_enrolled = self.totp_enrolled, False
        return m.Done(changed=changed)

    async def auth_whoami(self, request: Empty, caller: Caller) -> m.WhoAmI:
        self.enter("auth.whoami", request)
        return m.WhoAmI(
            role=caller.role.name.lower(), user=caller.user, uid=caller.uid, pin_set=bool(self.pin),
            locked_until=self.locked_until, totp_enrolled=self.totp_enrolled,
        )  # fmt: skip

    async def audit_list(self, request: m.HistoryQuery, caller: Caller) -> m.Audit:
        self.enter("audit.list", request)
        rows = [r for r in reversed(self.audit_rows) if r.operation.startswith(request.kind)]
        return m.Audit(items=tuple(rows[request.offset : request.offset + request.limit]), total=len(rows))
