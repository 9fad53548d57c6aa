"""The station as people and back ends see it, derived from state and inputs; decides nothing."""

from __future__ import annotations

from evse.core import availability, faults, limits, power_path
from evse.core.ac import feedback, step
from evse.core.ac import view as ac_view
from evse.core.context import Conn, Tick
from evse.core.inputs import Inputs
from evse.core.session import STEP_NUMBER, present_w
from evse.core.state import AuthState, EvseWork, Stage, StationState, session_record
from evse.domain.limits import LimitSource
from evse.domain.readings import Sample
from evse.domain.session import ChargingState, OperationalStatus, SessionPhase
from evse.domain.signals import BoardStatus, ContactorFeedback, HlcStep, LockState, SlacState
from evse.domain.station import EvseKind, StationSpec
from evse.domain.view import EvseView, StationView
from evse.units import NS_PER_MS, Instant

_PHASES = {
    Stage.EMPTY: SessionPhase.IDLE,
    Stage.CABLE_CHECK: SessionPhase.CABLE_CHECK,
    Stage.PRE_CHARGE: SessionPhase.PRE_CHARGE,
    Stage.POWER_ON: SessionPhase.PRE_CHARGE,
    Stage.RAMP_DOWN: SessionPhase.STOPPING,
    Stage.DISCHARGE: SessionPhase.STOPPING,
    Stage.FINISHED: SessionPhase.FINISHED,
}
_AC_OPEN = (Stage.AUTHORISED, Stage.CURRENT)
"""Stages of an AC EVSE in which a vehicle may charge."""

_PAY_AUTH = STEP_NUMBER[HlcStep.PAY_AUTH]


def phase_of(w: EvseWork, b: BoardStatus | None, *, operative: bool, blocked: bool, kind: EvseKind) -> SessionPhase:
    """Return the word that kiosk and CLI show. Faults win over service, service over the stage."""
    if blocked:
        return SessionPhase.FAULTED
    if not operative:
        return SessionPhase.UNAVAILABLE
    if kind is EvseKind.AC and w.stage in _AC_OPEN:
        return SessionPhase.CHARGING if _ac_flows(w) else SessionPhase.SUSPENDED
    if kind is EvseKind.AC and w.stage is Stage.PLUGGED:
        return SessionPhase.PLUGGED if w.auth is AuthState.GRANTED else SessionPhase.WAIT_AUTH
    if w.stage is Stage.CURRENT:
        return SessionPhase.CHARGING if w.cmd_ma > 0 else SessionPhase.SUSPENDED
    known = _PHASES.get(w.stage)
    if known is not None:
        return known
    if b is None or (b.step is None and b.slac in (SlacState.UNMATCHED, SlacState.FAILED)):
        return SessionPhase.PLUGGED
    if b.step is None:
        return SessionPhase.SLAC if b.slac is SlacState.MATCHING else SessionPhase.HLC_SETUP
    if w.stage is Stage.PLUGGED and STEP_NUMBER[b.step] >= _PAY_AUTH:
        return SessionPhase.WAIT_AUTH
    return SessionPhase.HLC_SETUP


def _ac_flows(w: EvseWork) -> bool:
    """The contactor of an AC EVSE is closed for a vehicle that has an offer; how much it takes is its own business."""
    return w.stage is Stage.CURRENT and w.lease and w.offered_ma > 0


def charging_state(w: EvseWork, kind: EvseKind = EvseKind.DC) -> ChargingState:
    """Return the OCPP 2.0.1 state. Suspended by us = nothing is offered; by the vehicle = it asks for nothing."""
    if w.stage is Stage.EMPTY:
        return ChargingState.IDLE
    if kind is EvseKind.AC and w.stage in _AC_OPEN:
        if _ac_flows(w):
            return ChargingState.CHARGING
        return ChargingState.SUSPENDED_EVSE if w.offered_ma == 0 else ChargingState.SUSPENDED_EV
    if w.stage is not Stage.CURRENT:
        return ChargingState.EV_CONNECTED
    if w.cmd_ma > 0:
        return ChargingState.CHARGING
    return ChargingState.SUSPENDED_EVSE if w.offered_w == 0 or w.offered_ma == 0 else ChargingState.SUSPENDED_EV


def view(spec: StationSpec, state: StationState, inputs: Inputs, now: Instant) -> StationView:
    """Return the view after the tick that led to ``state``; give it the same inputs and the same ``now``."""
    t = Tick(spec, state, inputs, now)
    t.read()
    power_path.measure(t)
    power_path.available(t)
    limits.site_caps(t)
    for conn in t.conns:
        availability.apply(t, conn)
        faults.react(t, conn)
        if conn.spec.kind is EvseKind.AC:
            step.measure(conn)
    evses = tuple(_evse(t, conn) for conn in t.conns)
    site_cap = None if t.site_dc_w is None else _site_cap_w(t)
    meter = inputs.site_meter
    fresh = isinstance(meter, Sample) and now - meter.at <= spec.meter_max_age_ms * NS_PER_MS
    station = t.availability[0]
    return StationView(
        wall=inputs.wall,
        evses=evses,
        faults=(*t.faults, *(record for conn in t.conns for record in conn.w.faults)),
        site_power_w=meter.value.power_w if fresh and isinstance(meter, Sample) else None,
        site_limit_w=site_cap,
        assigned_w=sum(c.w.offered_w for c in t.conns if c.w.lease),
        operational=OperationalStatus.OPERATIVE if station.operative else OperationalStatus.INOPERATIVE,
        plan_version=inputs.plan.version if inputs.plan is not None else 0,
    )


def _site_cap_w(t: Tick) -> int | None:
    """The cap at the AC side itself, as it was set."""
    live = [x for x in t.inputs.limits if x.evse_id == 0 and (x.expires_at is None or x.expires_at > t.now)]
    values = [max(0, x.power_w) for x in live]
    if t.spec.site_limit_w > 0 and not any(x.source is LimitSource.SITE for x in live):
        values.append(t.spec.site_limit_w)
    return min(values) if values else None


def _soc(conn: Conn) -> int | None:
    """State of charge of the vehicle that is here; a vehicle that has left has none."""
    if not conn.w.plugged:
        return None
    return conn.w.soc_end_pct if conn.w.soc_end_pct is not None else (conn.b.soc_pct if conn.b is not None else None)


def _evse(t: Tick, conn: Conn) -> EvseView:
    w, b, row = conn.w, conn.b, t.availability[conn.index + 1]
    energised = w.lease
    if w.session_id and conn.spec.kind is EvseKind.DC:
        conn.capped_w = limits.caps(t, conn)
        if w.tx_open:
            conn.capped_w.append(
                (max(0, conn.allocation.assigned_w) if conn.allocation is not None else 0, LimitSource.PLAN)
            )
            conn.capped_w.append((conn.modules_w, LimitSource.MODULES))
    told = b is not None and b.demand_mv > 0
    return EvseView(
        evse_id=w.evse_id,
        connector_id=w.connector_id,
        phase=phase_of(w, b, operative=conn.operative, blocked=bool(conn.blocked), kind=conn.spec.kind),
        charging_state=charging_state(w, conn.spec.kind),
        step=w.step,
        plugged=w.plugged,
        operational=OperationalStatus.OPERATIVE if conn.operative else OperationalStatus.INOPERATIVE,
        operational_backend=row.backend,
        operational_local=row.local,
        reserved=bool(w.reserved_deadline),
        power_w=(present_w(conn) if energised else 0) if b is not None else None,
        voltage_mv=_voltage(conn),
        current_ma=(conn.present_ma if conn.present_known else None) if energised else (0 if b is not None else None),
        soc_pct=_soc(conn),
        demand_mv=b.demand_mv if told and b is not None else None,
        demand_ma=b.demand_ma if told and b is not None else None,
        demand_w=b.demand_mv * b.demand_ma // 1_000_000 if told and b is not None else None,
        temperature_dc=b.temperature_dc if b is not None else None,
        offered_w=w.offered_w,
        limits=limits.explain(t, conn),
        chain=tuple(t.spec.groups[i].group_id for i in conn.chain),
        isolation_kohm=b.isolation_kohm if b is not None else None,
        contactor_closed=_closed(conn),
        locked=_locked(b),
        bms_stale=b is not None and w.stage is Stage.CURRENT and b.ev_age_ms > t.spec.bms_max_age_ms,
        auth_state="waiting" if w.auth is AuthState.WAITING else w.auth.value,
        stop_reason=w.stop_reason,
        session=session_record(w) if w.session_id else None,
        faults=w.faults,
        waiting_for=w.waiting_for,
        ac=ac_view.view(t, conn) if conn.spec.kind is EvseKind.AC else None,
    )


def _closed(conn: Conn) -> bool | None:
    if conn.spec.kind is EvseKind.AC:
        return feedback.closed(conn)
    b = conn.b
    return None if b is None or b.contactor is ContactorFeedback.UNKNOWN else b.contactor is ContactorFeedback.CLOSED


def _voltage(conn: Conn) -> int | None:
    """Return the voltage at the vehicle: the board's, of an AC EVSE the meter's (L1 to N)."""
    if conn.spec.kind is EvseKind.DC:
        return conn.b.output_mv if conn.b is not None else None
    m = conn.m
    return None if m is None else m.voltage_l_mv[0] if m.voltage_l_mv is not None else m.voltage_mv


def _locked(b: BoardStatus | None) -> bool | None:
    return None if b is None or b.lock is LockState.UNKNOWN else b.lock is LockState.LOCKED
