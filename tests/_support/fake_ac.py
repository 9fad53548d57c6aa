"""The AC part of the fake station: two connectors that a test adds, and every operation around them."""

from __future__ import annotations

import msgspec

from evse.api import models as m
from evse.api import models_ac as ac
from evse.api.errors import ApiError, ErrorCode
from evse.api.operation import Empty
from evse.api.service import Caller
from evse.domain.ac import V2gPhase, V2gStatus
from evse.domain.limits import LimitEntry, LimitSource
from evse.domain.session import AuthSource, SessionRecord
from evse.domain.view import EvseView
from evse.domain.view_ac import AcView, DynamicLimitView, HlcView, LockView, RcdView, VentilationView
from tests._support import fake_data as data
from tests._support.fake_state import FakeState


def ac_side() -> AcView:
    """Three phases, 16 A offered because of a named limit, a 32 A cable, everything fitted."""
    return AcView(
        pilot="C",
        pilot_mode="pwm",
        duty_bp=2_667,
        offered_ma=16_000,
        physical_ma=32_000,
        phases=3,
        phases_wired=3,
        phases_next=3,
        phase_switch=True,
        phases_switching=False,
        contactor2_closed=True,
        socket=True,
        cable_ma=32_000,
        allowed=True,
        pause="",
        release="ocpp",
        current_l_ma=(15_820, 15_790, 15_910),
        voltage_l_mv=(230_900, 231_400, 229_800),
        lock=LockView(stage="locked", feedback="locked", commanded=True, charged=True, motor="generic"),
        rcd=RcdView(
            state="normal", testable=True, passed=True, tested_at=data.T0 - data.minutes(13), residual_dc_ua=300,
            residual_rms_ua=1_100,
        ),
        ventilation=VentilationView(external=True, available=True, asked=False, on=False, running=False),
        rotary=13,
        hlc="optional",
        v2g=V2gStatus(phase=V2gPhase.CHARGE, energy_request_wh=18_000, departure_s=14_400, ev_max_ma=16_000, ready=True),
        hlc_session=HlcView(
            stage="session", soc=-1, departure_at=data.T0 + data.minutes(240), energy_request_wh=18_000, schedule_ma=16_000
        ),
        dynamic=(
            DynamicLimitView(name="ems", current_ma=16_000, age_s=12),
            DynamicLimitView(name="peak", current_ma=-1, age_s=95, stale=True),
        ),
        dynamic_ignored="sixth",
        inputs=(True, False, False, False),
        input_mv=(11_400, 0, 120, 0),
        outputs=("high", "low", "floating"),
        outputs_by_hand=(True, False, False),
    )  # fmt: skip


def ac_evse(evse_id: int) -> EvseView:
    """An AC connector that charges at 11 kW."""
    return msgspec.structs.replace(
        data.charging_evse(),
        evse_id=evse_id,
        step=None,
        power_w=10_960,
        voltage_mv=230_900,
        current_ma=15_820,
        soc_pct=None,
        demand_mv=None,
        demand_ma=None,
        demand_w=None,
        temperature_dc=331,
        offered_w=11_040,
        limits=(
            LimitEntry(source=LimitSource.DYNAMIC, power_w=11_040, binds=True, age_s=12, detail="ems", current_ma=16_000),
            LimitEntry(source=LimitSource.PLAN, power_w=15_180, binds=False, detail="shared with 1", current_ma=22_000),
            LimitEntry(source=LimitSource.CABLE, power_w=22_080, binds=False, detail="plug", current_ma=32_000),
            LimitEntry(
                source=LimitSource.EVSE, power_w=22_080, binds=False, detail="wiring inside the station",
                current_ma=32_000,
            ),
        ),
        chain=(),
        isolation_kohm=None,
        session=SessionRecord(
            session_id="s-000031", evse_id=evse_id, connector_id=1, plugged_at=data.T0 - data.minutes(14),
            started_at=data.T0 - data.minutes(13), energy_wh=2_310, meter_start_wh=88_120,
            auth_source=AuthSource.RFID, id_token=data.TOKENS[2], evcc_id="0010BADA5599",
        ),
        ac=ac_side(),
    )  # fmt: skip


def idle_ac_evse(evse_id: int) -> EvseView:
    """A fixed cable without a vehicle, one phase, no lock, no monitor."""
    side = AcView(
        pilot="A", pilot_mode="x1", duty_bp=10_000, offered_ma=0, physical_ma=16_000, phases=0, phases_wired=1,
        phases_next=1, phase_switch=False, phases_switching=False, contactor2_closed=False, socket=False,
        cable_ma=20_000, allowed=True, pause="", release="dashboard", inputs=(False,), input_mv=(0,),
    )  # fmt: skip
    return msgspec.structs.replace(data.idle_evse(evse_id), ac=side)


IO_CONTROLLER = (
    ac.IoRow(name="door", kind="input", where="controller", online=True, active=False),
    ac.IoRow(name="lamp", kind="output", where="controller", online=True, active=True, level="high", by_hand=True),
    ac.IoRow(name="housing", kind="temperature", where="controller", online=True, temperature_dc=412),
    ac.IoRow(
        name="inlet", kind="temperature", where="controller", online=False,
        detail="sensor inlet: 1-wire: checksum of 50 05 is wrong; check cable and pull-up",
    ),
    ac.IoRow(name="fan", kind="fan", where="controller", online=True, duty_permille=420, rpm=1_980),
)  # fmt: skip
RECLOSER = ac.RecloserRow(
    name="recloser 3", profile="geya/grd9m", port="/dev/ttyRS485", address=3, evses=(3,), state="closed", online=True,
    detail="",
)  # fmt: skip
FOUND = ac.DetectFound(
    port="/dev/ttyRS486", baud=9_600, parity="E", unit=17, profile="eastron/sdm630",
    text="/dev/ttyRS486 9600 8E1 unit 17: eastron/sdm630 (SDM630 serial 21290517)",
    candidates=(
        ac.DetectCandidate(profile="eastron/sdm630", certainty="identified", model="SDM630", serial="21290517"),
    ),
)  # fmt: skip
VAGUE = ac.DetectFound(
    port="/dev/ttyRS486", baud=19_200, parity="N", unit=2, profile="",
    text="/dev/ttyRS486 19200 8N1 unit 2: answers, plausible as: klefr/693x, acrel/adl400",
    candidates=(
        ac.DetectCandidate(profile="klefr/693x", certainty="plausible", model="", serial=""),
        ac.DetectCandidate(profile="acrel/adl400", certainty="plausible", model="", serial=""),
    ),
)  # fmt: skip


REQUESTS: dict[str, dict[str, object]] = {
    "connector.allow": {"evse_id": 3},
    "connector.pause": {"evse_id": 3},
    "connector.release": {"evse_id": 4},
    "connector.withdraw": {"evse_id": 4},
    "limits.set": {"name": "ems", "current_ma": 10_000},
    "limits.clear": {"name": "ems"},
    "lock.unlock": {"evse_id": 3, "hold": True},
    "lock.lock": {"evse_id": 3},
    "rcd.test": {"evse_id": 3},
    "phase.set": {"evse_id": 3, "phases": 1},
    "hlc.request": {"evse_id": 3, "what": "pause"},
    "ventilation.set": {"evse_id": 3, "on": True},
    "io.set": {"name": "lamp", "level": "low"},
    "meter.detect": {"port": "/dev/ttyRS486"},
    "rfid.tap": {"reader": "front"},
}
"""A request that succeeds after `FakeAc.add_ac`, for every operation that needs one."""


class FakeAc(FakeState):
    """``limits.*``, ``lock.*`` and the others of `evse.api.operations_ac`. ``detection`` counts down while it is asked for."""

    def __init__(self, *, heartbeat_s: float = 10.0, status_period_s: float = 0.5) -> None:
        super().__init__(heartbeat_s=heartbeat_s, status_period_s=status_period_s)
        self.io_rows = IO_CONTROLLER
        self.recloser = RECLOSER
        self.detection = ac.DetectState(number=0, state="idle")
        self.tap_token = "04A3B2C1D0E5F6"

    def add_ac(self) -> None:
        """Connector 3 charges, connector 4 is idle; both AC."""
        if not any(e.ac is not None for e in self.view.evses):
            self.set_view(evses=(*self.view.evses, ac_evse(3), idle_ac_evse(4)))

    def _side(self, evse_id: int) -> AcView:
        side = self.evse(evse_id).ac
        if side is None:
            have = ", ".join(str(e.evse_id) for e in self.view.evses if e.ac is not None) or "none"
            raise ApiError(
                ErrorCode.CONFLICT, f"connector {evse_id} is a DC connector", f"AC connectors: {have}"
            )
        return side

    def _sides(self, evse_id: int) -> list[tuple[EvseView, AcView]]:
        if evse_id:
            return [(self.evse(evse_id), self._side(evse_id))]
        return [(e, e.ac) for e in self.view.evses if e.ac is not None]

    def _change(self, evse_id: int, **changes: object) -> m.Done:
        side = self._side(evse_id)
        new = msgspec.structs.replace(side, **changes)
        self.set_evse(evse_id, ac=new)
        return m.Done(changed=new != side, detail="" if new != side else "it stands so already")

    # -- limits -------------------------------------------------------------------------------------------------------

    async def limits_explain(self, request: ac.AcQuery, caller: Caller) -> ac.LimitsExplanations:
        self.enter("limits.explain", request)
        items = []
        for e in self.view.evses if not request.evse_id else (self.evse(request.evse_id),):
            side = e.ac
            text = f"Connector {e.evse_id} offers {e.offered_w} W." if e.offered_w else f"Connector {e.evse_id} is idle."
            items.append(
                ac.LimitsExplanation(
                    evse_id=e.evse_id, kind="dc" if side is None else "ac", text=text, offered_w=e.offered_w,
                    offered_ma=None if side is None else side.offered_ma,
                    physical_ma=None if side is None else side.physical_ma,
                    physical_w=None if side is None else side.physical_ma * side.phases_next * 230 // 1000,
                    limits=e.limits,
                )
            )  # fmt: skip
        return ac.LimitsExplanations(items=tuple(items))

    async def limits_list(self, request: ac.AcQuery, caller: Caller) -> ac.DynamicLimits:
        self.enter("limits.list", request)
        rows: list[ac.DynamicLimitRow] = []
        for e, side in self._sides(request.evse_id):
            rows += [
                ac.DynamicLimitRow(name=x.name, evse_id=e.evse_id, current_ma=x.current_ma, age_s=x.age_s, stale=x.stale)
                for x in side.dynamic
            ]
            if side.dynamic_ignored:
                rows.append(
                    ac.DynamicLimitRow(
                        name=side.dynamic_ignored, evse_id=e.evse_id, current_ma=None, age_s=None, ignored=True
                    )
                )
        return ac.DynamicLimits(items=tuple(rows))

    async def limits_set(self, request: ac.LimitSet, caller: Caller) -> m.Done:
        self.enter("limits.set", request)
        for e, side in self._sides(request.evse_id):
            new = DynamicLimitView(name=request.name, current_ma=request.current_ma, age_s=0)
            others = tuple(x for x in side.dynamic if x.name != request.name)
            if len(others) >= 5:
                raise ApiError(ErrorCode.CONFLICT, f"{request.name!r} is the sixth name and is ignored")
            self._change(e.evse_id, dynamic=(*others, new))
        return m.Done()

    async def limits_clear(self, request: ac.LimitRef, caller: Caller) -> m.Done:
        self.enter("limits.clear", request)
        changed = False
        for e, side in self._sides(request.evse_id):
            left = tuple(x for x in side.dynamic if x.name != request.name)
            changed |= self._change(e.evse_id, dynamic=left).changed
        return m.Done(changed=changed, detail="" if changed else f"there is no limit {request.name!r}")

    # -- release ------------------------------------------------------------------------------------------------------

    async def connector_allow(self, request: m.EvseRef, caller: Caller) -> m.Done:
        self.enter("connector.allow", request)
        return self._change(request.evse_id, allowed=True, pause="")

    async def connector_pause(self, request: m.EvseRef, caller: Caller) -> m.Done:
        self.enter("connector.pause", request)
        return self._change(request.evse_id, allowed=False, pause="the external release", offered_ma=0)

    async def connector_release(self, request: ac.PermissionRequest, caller: Caller) -> m.Done:
        self.enter("connector.release", request)
        side = self._side(request.evse_id)
        if side.release != "dashboard":
            raise ApiError(ErrorCode.CONFLICT, f"the release mode is {side.release}, not dashboard")
        return m.Done()

    async def connector_withdraw(self, request: m.EvseRef, caller: Caller) -> m.Done:
        self.enter("connector.withdraw", request)
        side = self._side(request.evse_id)
        if side.release != "dashboard":
            raise ApiError(ErrorCode.CONFLICT, f"the release mode is {side.release}, not dashboard")
        return m.Done()

    # -- parts --------------------------------------------------------------------------------------------------------

    async def lock_status(self, request: ac.AcQuery, caller: Caller) -> ac.Locks:
        self.enter("lock.status", request)
        rows = [
            ac.LockRow(evse_id=e.evse_id, plugged=e.plugged, fitted=s.lock is not None, lock=s.lock)
            for e, s in self._sides(request.evse_id)
        ]
        return ac.Locks(items=tuple(rows))

    async def lock_unlock(self, request: ac.UnlockRequest, caller: Caller) -> m.Done:
        self.enter("lock.unlock", request)
        lock = self._side(request.evse_id).lock
        if lock is None:
            raise ApiError(ErrorCode.CONFLICT, f"connector {request.evse_id} has no plug lock")
        new = msgspec.structs.replace(lock, stage="open", feedback="unlocked", commanded=False, forced=request.hold)
        return self._change(request.evse_id, lock=new)

    async def lock_lock(self, request: m.EvseRef, caller: Caller) -> m.Done:
        self.enter("lock.lock", request)
        lock = self._side(request.evse_id).lock
        if lock is None:
            raise ApiError(ErrorCode.CONFLICT, f"connector {request.evse_id} has no plug lock")
        return self._change(request.evse_id, lock=msgspec.structs.replace(lock, forced=False))

    async def rcd_status(self, request: ac.AcQuery, caller: Caller) -> ac.Rcds:
        self.enter("rcd.status", request)
        rows = [
            ac.RcdRow(evse_id=e.evse_id, fitted=s.rcd is not None, rcd=s.rcd) for e, s in self._sides(request.evse_id)
        ]
        return ac.Rcds(items=tuple(rows))

    async def rcd_test(self, request: m.EvseRef, caller: Caller) -> m.Done:
        self.enter("rcd.test", request)
        rcd = self._side(request.evse_id).rcd
        if rcd is None:
            raise ApiError(ErrorCode.CONFLICT, f"EVSE {request.evse_id} has no residual current monitor with a test output")
        return self._change(request.evse_id, rcd=msgspec.structs.replace(rcd, passed=True, tested_at=self.wall))

    async def phase_show(self, request: ac.AcQuery, caller: Caller) -> ac.Phases:
        self.enter("phase.show", request)
        rows = [
            ac.PhaseRow(
                evse_id=e.evse_id, phases=s.phases, phases_next=s.phases_next, phases_wired=s.phases_wired,
                switchable=s.phase_switch, switching=s.phases_switching, current_l_ma=s.current_l_ma,
                voltage_l_mv=s.voltage_l_mv,
            )
            for e, s in self._sides(request.evse_id)
        ]  # fmt: skip
        return ac.Phases(items=tuple(rows))

    async def phase_set(self, request: ac.PhaseSet, caller: Caller) -> m.Done:
        self.enter("phase.set", request)
        side = self._side(request.evse_id)
        if not side.phase_switch:
            raise ApiError(ErrorCode.CONFLICT, "no second contactor is configured (phase_switch.enabled)")
        return self._change(
            request.evse_id, phases_next=request.phases, phases_switching=request.phases != side.phases_next
        )

    async def hlc_show(self, request: ac.AcQuery, caller: Caller) -> ac.HlcRows:
        self.enter("hlc.show", request)
        rows = [
            ac.HlcRow(
                evse_id=e.evse_id, mode=s.hlc, evcc_id=e.session.evcc_id if e.session else "", soc_pct=e.soc_pct,
                v2g=s.v2g, session=s.hlc_session,
            )
            for e, s in self._sides(request.evse_id)
        ]  # fmt: skip
        return ac.HlcRows(items=tuple(rows))

    async def hlc_request(self, request: ac.HlcAsk, caller: Caller) -> m.Done:
        self.enter("hlc.request", request)
        if self._side(request.evse_id).v2g is None:
            raise ApiError(ErrorCode.CONFLICT, "no ISO 15118 session runs")
        return m.Done()

    async def ventilation_show(self, request: ac.AcQuery, caller: Caller) -> ac.Ventilations:
        self.enter("ventilation.show", request)
        rows = [
            ac.VentilationRow(evse_id=e.evse_id, fitted=s.ventilation is not None, ventilation=s.ventilation)
            for e, s in self._sides(request.evse_id)
        ]
        return ac.Ventilations(items=tuple(rows))

    async def ventilation_set(self, request: ac.VentilationSet, caller: Caller) -> m.Done:
        self.enter("ventilation.set", request)
        vent = self._side(request.evse_id).ventilation
        if vent is None or not vent.external:
            raise ApiError(ErrorCode.CONFLICT, "the ventilation is not external (ventilation.external)")
        given = {k: v for k, v in (("available", request.available), ("on", request.on)) if v is not None}
        return self._change(request.evse_id, ventilation=msgspec.structs.replace(vent, **given))

    # -- devices ------------------------------------------------------------------------------------------------------

    async def io_list(self, request: ac.IoRef, caller: Caller) -> ac.IoRows:
        self.enter("io.list", request)
        rows: list[ac.IoRow] = []
        for e, side in self._sides(0):
            rows += [
                ac.IoRow(
                    name=f"{e.evse_id}.in{i + 1}", kind="input", where=f"board {e.evse_id}", online=True, active=value,
                    voltage_mv=side.input_mv[i],
                )
                for i, value in enumerate(side.inputs)
            ]  # fmt: skip
            rows += [
                ac.IoRow(
                    name=f"{e.evse_id}.out{i + 1}", kind="output", where=f"board {e.evse_id}", online=True,
                    active=level == "high", level=level, by_hand=side.outputs_by_hand[i],
                )
                for i, level in enumerate(side.outputs)
            ]  # fmt: skip
        rows += self.io_rows
        found = [row for row in rows if request.name in ("", row.name)]
        if request.name and not found:
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no {request.name!r}", "known here: door, lamp")
        return ac.IoRows(items=tuple(found))

    async def io_set(self, request: ac.IoSet, caller: Caller) -> m.Done:
        self.enter("io.set", request)
        if request.name != "lamp":
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no {request.name!r}", "known here: lamp")
        on = request.level == "high"
        self.io_rows = tuple(
            msgspec.structs.replace(
                row, active=on, level="high" if on else "low", by_hand=request.level != "rules"
            )
            if row.name == "lamp"
            else row
            for row in self.io_rows
        )
        return m.Done()

    async def recloser_status(self, request: ac.RecloserRef, caller: Caller) -> ac.Reclosers:
        self.enter("recloser.status", request)
        return ac.Reclosers(items=(self.recloser,))

    async def recloser_open(self, request: ac.RecloserRef, caller: Caller) -> m.Done:
        self.enter("recloser.open", request)
        return self._move("open")

    async def recloser_close(self, request: ac.RecloserRef, caller: Caller) -> m.Done:
        self.enter("recloser.close", request)
        return self._move("closed")

    def _move(self, wanted: str) -> m.Done:
        if self.recloser.state == wanted:
            return m.Done(changed=False, detail=f"recloser 3 is {wanted} already")
        self.recloser = msgspec.structs.replace(self.recloser, state=wanted)
        return m.Done(detail=f"recloser 3 is {wanted}")

    async def meter_detect(self, request: ac.DetectStart, caller: Caller) -> ac.DetectState:
        self.enter("meter.detect", request)
        if request.port == "/dev/ttyRS485" and not request.disturb:
            raise ApiError(
                ErrorCode.CONFLICT, "/dev/ttyRS485 is in use by meter-1: their values would stop while it is searched",
                "charging with these meters would end; if that is meant: --disturb",
            )  # fmt: skip
        self.detection = ac.DetectState(
            number=self.detection.number + 1, state="running", port=request.port, total=40, what="9600 8N1 unit 1"
        )
        return self.detection

    async def meter_detected(self, request: Empty, caller: Caller) -> ac.DetectState:
        self.enter("meter.detected", request)
        now = self.detection
        if now.state == "running":
            done = now.done + 20
            self.detection = msgspec.structs.replace(now, done=done, what="9600 8E1 unit 17", seconds=done // 4)
            if done >= now.total:
                self.detection = msgspec.structs.replace(
                    self.detection, state="done", what="", found=(FOUND, VAGUE), noise=("2400 8N1 unit 1: bytes",)
                )
        return self.detection

    async def meter_detect_stop(self, request: Empty, caller: Caller) -> m.Done:
        self.enter("meter.detect_stop", request)
        running = self.detection.state == "running"
        if running:
            self.detection = msgspec.structs.replace(self.detection, state="stopped", what="")
        return m.Done(changed=running, detail="" if running else "no search is running")

    async def rfid_tap(self, request: ac.TapRequest, caller: Caller) -> ac.Tap:
        self.enter("rfid.tap", request)
        token = self.tap_token
        return ac.Tap(reader=request.reader, id_token=token, at=self.wall if token else None, waited_ms=2_150)
