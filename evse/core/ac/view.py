"""The AC side of an EVSE as people see it, derived from state and readings; decides nothing."""

from __future__ import annotations

from evse.core.ac import feedback, hlc_board, limits, lock, phases, proximity, rcd
from evse.core.context import Conn, Tick
from evse.domain.ac import HlcMode
from evse.domain.signals import CpState
from evse.domain.view_ac import AcView, DynamicLimitView, LockView, RcdView, VentilationView
from evse.units import NS_PER_S, s


def view(t: Tick, conn: Conn) -> AcView:
    """Return the AC side after the tick that led to the state of ``t``."""
    a, spec, w, board = conn.a, conn.ac, conn.w, conn.b
    outputs, by_hand = _outputs(conn)
    return AcView(
        pilot=a.cp_state.value,
        pilot_mode=a.cp_mode.value,
        duty_bp=conn.ab.duty_bp if board is not None else None,
        offered_ma=w.offered_ma,
        physical_ma=limits.physical_ma(conn),
        phases=phases.count(conn),
        phases_wired=phases.wired(conn),
        phases_next=phases.usable(conn),
        phase_switch=spec.phase_switch.enabled,
        phases_switching=phases.switching(conn),
        contactor2_closed=feedback.second_closed(conn),
        socket=spec.socket,
        cable_ma=proximity.cable_ma(conn),
        allowed=a.cp_allowed,
        pause=a.cp_pause,
        release=spec.release.value,
        current_l_ma=conn.m.current_l_ma if conn.m is not None else None,
        voltage_l_mv=conn.m.voltage_l_mv if conn.m is not None else None,
        lock=_lock(conn),
        rcd=_rcd(conn),
        ventilation=_ventilation(conn),
        rotary=a.lim_rotary if spec.rotary and a.lim_rotary >= 0 else None,
        hlc=spec.hlc.value,
        v2g=conn.ab.v2g if board is not None and spec.hlc is not HlcMode.OFF else None,
        hlc_session=hlc_board.view(conn),
        dynamic=_dynamic(t, conn),
        dynamic_ignored=a.lim_ignored,
        inputs=tuple(bool(conn.ab.inputs >> i & 1) for i in range(spec.inputs)) if board is not None else (),
        input_mv=conn.ab.input_mv[: spec.inputs] if board is not None else (),
        outputs=outputs,
        outputs_by_hand=by_hand,
    )


def _lock(conn: Conn) -> LockView | None:
    if not lock.fitted(conn):
        return None
    a, spec = conn.a, conn.ac
    charged = conn.ab.lock_charged if spec.lock_motor.needs_capacitor else None
    return LockView(
        stage=a.lock_stage.value,
        feedback=lock.reading(conn).value,
        commanded=a.lock_cmd,
        forced=a.lock_forced,
        held=a.lock_hold,
        charged=charged,
        mode=spec.lock_mode.value,
        motor=spec.lock_motor.name,
    )


def _rcd(conn: Conn) -> RcdView | None:
    a, spec = conn.a, conn.ac.rcd
    if not spec.fitted:
        return None
    return RcdView(
        state=conn.ab.rcd.value,
        testable=spec.test,
        testing=rcd.busy(conn),
        passed=a.rcd_passed if a.rcd_tested_wall is not None else None,
        failed=a.rcd_failed,
        tested_at=a.rcd_tested_wall,
        period_h=spec.period_h,
        residual_dc_ua=conn.ab.residual_dc_ua,
        residual_rms_ua=conn.ab.residual_rms_ua,
    )


def _ventilation(conn: Conn) -> VentilationView | None:
    a, spec = conn.a, conn.ac.ventilation
    if not spec.enabled and not spec.external:
        return None
    return VentilationView(
        external=spec.external,
        available=a.vent_available if spec.external else spec.enabled,
        asked=a.cp_raw is CpState.D,
        on=a.vent_on,
        running=feedback.meaning(conn.ab.relay2, spec.feedback) if conn.b is not None else None,
    )


def _dynamic(t: Tick, conn: Conn) -> tuple[DynamicLimitView, ...]:
    spec = conn.ac
    ages = spec.fallback_s > 0 and spec.fallback_ma >= 0
    return tuple(
        DynamicLimitView(
            name=x.name,
            current_ma=x.current_ma,
            age_s=(t.now - x.set_at) // NS_PER_S,
            stale=ages and t.now - x.set_at > s(spec.fallback_s),
        )
        for x in conn.a.lim_dynamic
    )


def _outputs(conn: Conn) -> tuple[tuple[str, ...], tuple[bool, ...]]:
    """What each digital output is told, and whether by hand."""
    a, bits = conn.a, range(conn.ac.outputs)
    levels = tuple(
        "floating" if a.out_floating >> i & 1 else "pulsing" if a.out_pulsing >> i & 1 else _level(a.out_outputs, i)
        for i in bits
    )
    return levels, tuple(bool(a.out_hand >> i & 1) for i in bits)


def _level(outputs: int, bit: int) -> str:
    return "high" if outputs >> bit & 1 else "low"
