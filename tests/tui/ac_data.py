"""A believable AC station for the screens: twelve connectors, each in another situation."""

from __future__ import annotations

from typing import Any

import msgspec

from evse.api import models as m
from evse.domain.ac import V2gPhase, V2gStatus
from evse.domain.faults import FaultCode
from evse.domain.limits import LimitEntry, LimitSource
from evse.domain.session import AuthSource, ChargingState, OperationalStatus, SessionPhase, SessionRecord, StopReason
from evse.domain.view import EvseView
from evse.domain.view_ac import AcView, DynamicLimitView, LockView, RcdView, VentilationView
from evse.runtime.service.faults import fault_info
from tests._support import fake_data as fake
from tests.tui.data import fault, status

OFFERED_W = 11_040


def ac_view(**changes: Any) -> AcView:
    """Three phases, 16 A offered on a 32 A cable in a socket, lock and residual current monitor."""
    base = AcView(
        pilot="C",
        pilot_mode="pwm",
        duty_bp=2667,
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
        current_l_ma=(15_960, 15_910, 15_870),
        voltage_l_mv=(231_200, 230_400, 229_900),
        lock=LockView(stage="locked", feedback="locked", commanded=True, charged=True, motor="hella-micro-actuator-1"),
        rcd=RcdView(
            state="normal", testable=True, passed=True, tested_at=fake.T0 - fake.minutes(13), residual_dc_ua=400,
            residual_rms_ua=1_900,
        ),
        rotary=5,
        hlc="optional",
        v2g=V2gStatus(),
        dynamic=(DynamicLimitView(name="ems", current_ma=16_000, age_s=4),),
        inputs=(True, False, False, True),
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


LIMITS = (
    LimitEntry(source=LimitSource.DYNAMIC, power_w=11_040, binds=True, age_s=4, detail="ems", current_ma=16_000),
    LimitEntry(source=LimitSource.PLAN, power_w=13_800, binds=False, detail="share of the site", current_ma=20_000),
    LimitEntry(source=LimitSource.CABLE, power_w=22_080, binds=False, detail="plug in the socket", current_ma=32_000),
    LimitEntry(source=LimitSource.EVSE, power_w=22_080, binds=False, detail="evse_ma", current_ma=32_000),
    LimitEntry(source=LimitSource.GRID, power_w=22_080, binds=False, detail="rotary switch 5", current_ma=32_000),
    LimitEntry(source=LimitSource.FAILSAFE, power_w=22_080, binds=False, detail="ended: a program has set a limit"),
)


def ac_session(evse_id: int = 1) -> SessionRecord:
    """A session that runs since 34 minutes; the vehicle does not tell its state of charge."""
    return SessionRecord(
        session_id=f"s-1{evse_id:05d}",
        evse_id=evse_id,
        connector_id=1,
        plugged_at=fake.T0 - fake.minutes(35),
        started_at=fake.T0 - fake.minutes(34),
        energy_wh=6_180,
        meter_start_wh=401_220,
        power_max_w=11_020,
        auth_source=AuthSource.RFID,
        id_token="04A3B2C1D0E5F6",
        transaction_id=5000 + evse_id,
    )


def ac_charging(evse_id: int = 1, **changes: Any) -> EvseView:
    """An AC connector that charges with three phases."""
    view = msgspec.structs.replace(
        fake.idle_evse(evse_id),
        phase=SessionPhase.CHARGING,
        charging_state=ChargingState.CHARGING,
        plugged=True,
        power_w=10_990,
        voltage_mv=230_500,
        current_ma=15_960,
        temperature_dc=318,
        offered_w=OFFERED_W,
        limits=LIMITS,
        contactor_closed=True,
        locked=True,
        auth_state="granted",
        session=ac_session(evse_id),
        waiting_for="",
        ac=ac_view(),
    )
    return msgspec.structs.replace(view, **changes)


def ac_idle(evse_id: int = 2, **changes: Any) -> EvseView:
    """A free socket."""
    ac = ac_view(
        pilot="A", pilot_mode="x1", duty_bp=10_000, offered_ma=0, physical_ma=0, phases=0, contactor2_closed=False,
        cable_ma=None, current_l_ma=(0, 0, 0), lock=LockView(stage="open", feedback="unlocked", commanded=False),
    )  # fmt: skip
    return msgspec.structs.replace(fake.idle_evse(evse_id), ac=ac, **changes)


def ac_one_phase(evse_id: int, **changes: Any) -> EvseView:
    """A fixed cable, one phase, ventilation, ISO 15118."""
    ac = ac_view(
        pilot="D", phases=1, phases_wired=1, phases_next=1, phase_switch=False, contactor2_closed=None, socket=False,
        cable_ma=20_000, physical_ma=20_000, duty_bp=500, lock=None, rcd=None, rotary=None,
        current_l_ma=(15_700, 0, 0), voltage_l_mv=(228_400, 0, 0),
        ventilation=VentilationView(external=False, available=True, asked=True, on=True, running=True),
        hlc="required", v2g=V2gStatus(phase=V2gPhase.CHARGE, ready=True, energy_request_wh=31_000, departure_s=14_400),
    )  # fmt: skip
    return ac_charging(evse_id, power_w=3_590, current_ma=15_700, offered_w=3_680, ac=ac, **changes)


def ac_waiting(evse_id: int, waiting_for: str, phase: SessionPhase = SessionPhase.PLUGGED, **ac: Any) -> EvseView:
    """A vehicle that is plugged in and waits."""
    values = {"pilot": "B", "offered_ma": 0, "phases": 0, "current_l_ma": (0, 0, 0), **ac}
    return ac_charging(
        evse_id, phase=phase, charging_state=ChargingState.EV_CONNECTED, power_w=0, current_ma=0, offered_w=0,
        waiting_for=waiting_for, contactor_closed=False, ac=ac_view(**values),
        session=msgspec.structs.replace(ac_session(evse_id), started_at=None, energy_wh=0),
    )  # fmt: skip


def ac_ended(evse_id: int = 1) -> SessionRecord:
    """The session after the driver ended it with the card."""
    return msgspec.structs.replace(
        ac_session(evse_id), ended_at=fake.T0 - fake.minutes(1), meter_stop_wh=407_400, stop_reason=StopReason.LOCAL
    )


def ac_finished(evse_id: int = 1) -> EvseView:
    """Ended and still plugged in."""
    return ac_charging(
        evse_id, phase=SessionPhase.FINISHED, charging_state=ChargingState.EV_CONNECTED, session=ac_ended(evse_id),
        power_w=0, current_ma=0, contactor_closed=False,
        ac=ac_view(pilot="B", pilot_mode="x1", duty_bp=10_000, offered_ma=0, phases=0, current_l_ma=(0, 0, 0)),
    )  # fmt: skip


def ac_faulted(evse_id: int, code: FaultCode = FaultCode.RCD_SPURIOUS) -> EvseView:
    """Held by a fault."""
    return ac_idle(evse_id, phase=SessionPhase.FAULTED, faults=(fault(code, evse_id, "residual current 6.2 mA DC"),))


def twelve() -> tuple[EvseView, ...]:
    """Twelve connectors, each another situation."""
    closed = ac_idle(8, phase=SessionPhase.UNAVAILABLE, operational=OperationalStatus.INOPERATIVE)
    return (
        ac_charging(1),
        ac_idle(2),
        ac_one_phase(3),
        ac_waiting(4, "a card or a start from the app", SessionPhase.WAIT_AUTH),
        ac_waiting(5, "the vehicle", SessionPhase.SUSPENDED, offered_ma=16_000),
        ac_waiting(6, "an offer of at least 6 A", SessionPhase.SUSPENDED),
        ac_faulted(7),
        closed,
        ac_finished(9),
        ac_idle(10, reserved=True),
        ac_waiting(11, "", SessionPhase.SUSPENDED, pause="the switch of phases", phases_switching=True, phases_next=1),
        ac_charging(12, power_w=None, current_ma=None, voltage_mv=None, ac=ac_view(current_l_ma=None, voltage_l_mv=None)),
    )


def ac_status(*evses: EvseView, **changes: Any) -> m.Status:
    """A status with AC connectors; without arguments all twelve."""
    views = evses or twelve()
    faults = tuple(record for view in views for record in view.faults)
    made = status(*views, faults=faults, assigned_w=sum(v.offered_w for v in views), **changes)
    return msgspec.structs.replace(made, station_id="AC-0001")


def ac_meters() -> m.Meters:
    """A three-phase site meter, one that is lost, one with bad polls, and a DC meter."""
    site, dc = fake.METERS[0], fake.METERS[1]
    site = msgspec.structs.replace(
        site, voltage_l_mv=(231_400, 230_800, 229_700), current_l_ma=(27_310, 27_060, 27_480), power_l_w=(6_310, 6_240, 6_390)
    )
    lost = msgspec.structs.replace(
        site, name="meter-3", evse_id=3, profile="carlo-gavazzi/em340", address=13, online=False, age_ms=None, power_w=None,
        energy_import_wh=None, energy_export_wh=None, voltage_mv=None, current_ma=None, voltage_l_mv=None,
        current_l_ma=None, power_l_w=None, frequency_mhz=None, errors=212,
        detail="meter[em340@/dev/ttyRS485#13]: register 0x0000: timeout after 200 ms x3; check termination and unit id",
    )  # fmt: skip
    poor = msgspec.structs.replace(site, name="meter-4", evse_id=4, profile="eastron/sdm72dm-v2", address=14, errors=2_100)
    return m.Meters(items=(site, dc, lost, poor))


def ac_faults() -> m.Faults:
    """Active faults with the texts and vendor codes of the real table."""
    records = (
        fault(FaultCode.RCD_GROUND_FAILURE, 7, "residual current 6.2 mA DC"),
        fault(FaultCode.PLUG_LOCK_CANNOT_UNLOCK, 3, "not unlocked after 3 movements of 300 ms: feedback locked"),
        fault(FaultCode.DYNAMIC_LIMIT_IGNORED, 1, "'six' is the sixth name; five are possible"),
    )
    return m.Faults(items=tuple(fault_info(record) for record in records))
