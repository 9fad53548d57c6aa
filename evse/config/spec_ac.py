"""From ``[evse.ac]`` to `AcSpec`: the unit conversions of the AC side."""

from __future__ import annotations

from evse.config.lock_profiles import load_lock
from evse.config.model_ac import AcSection
from evse.domain.ac import (
    ROTARY_TABLE,
    AcSpec,
    FakeDcVendor,
    FeedbackType,
    HlcMode,
    LockMode,
    OverCurrentSpec,
    PhaseSwitchSpec,
    RcdSpec,
    ReleaseMode,
    RotaryPosition,
    VentilationSpec,
)


def _ma(amps: int) -> int:
    return -1 if amps < 0 else amps * 1000


def _rotary(section: AcSection) -> tuple[RotaryPosition, ...]:
    own = {r.position: RotaryPosition(current_a=r.current_a, phases=r.phases) for r in section.rotary}
    return tuple(own.get(i, factory) for i, factory in enumerate(ROTARY_TABLE))


def ac_spec(section: AcSection) -> AcSpec:
    """Return the AC side that ``section`` describes. Raises `ConfigError` for an unknown lock motor."""
    vent, switch, rcd, over = section.ventilation, section.phase_switch, section.rcd, section.over_current
    socket = section.connection == "socket"
    return AcSpec(
        socket=socket,
        cable_ma=section.cable_a * 1000,
        evse_ma=section.current_max_a * 1000,
        grid_ma=_ma(section.grid_a),
        rotary=section.rotary_switch,
        rotary_table=_rotary(section),
        phases=section.phases,
        phase_rotation=section.phase_rotation,
        nominal_mv=section.nominal_v * 1000,
        weight_pct=section.weight_pct,
        priority=section.priority,
        failsafe_ma=_ma(section.failsafe_a),
        disconnected_ma=_ma(section.disconnected_a),
        fallback_ma=_ma(section.fallback_a),
        fallback_s=section.fallback_s,
        reject_13=section.reject_plugs != "none",
        reject_20=section.reject_plugs == "13+20",
        contactor_feedback=FeedbackType(section.contactor_feedback),
        ventilation=VentilationSpec(
            enabled=vent.enabled,
            external=vent.control == "external",
            feedback=FeedbackType(vent.feedback),
            always_accept_d=vent.always_accept_d,
        ),
        phase_switch=PhaseSwitchSpec(
            enabled=switch.enabled,
            feedback=FeedbackType(switch.feedback),
            delay_s=switch.delay_s,
            default_phases=switch.default_phases,
            auto=switch.mode == "auto",
            switches_max=switch.switches_max,
        ),
        lock_mode=LockMode(section.lock.mode) if socket else LockMode.NEVER,
        lock_motor=load_lock(section.lock.motor),
        unlock_on_ev_disconnect=section.lock.unlock_on_ev_disconnect,
        rcd=RcdSpec(
            fitted=rcd.enabled,
            test=rcd.enabled and rcd.test,
            trigger_ms=rcd.trigger_ms,
            check_tripped_ms=rcd.check_tripped_ms,
            check_normal_ms=rcd.check_normal_ms,
            period_h=rcd.period_h,
        ),
        over_current=OverCurrentSpec(
            low_permille=over.low_pct * 10,
            low_s=over.low_s,
            high_permille=over.high_pct * 10,
            high_s=over.high_s,
            staged=over.staged,
        ),
        out_of_balance_ma=_ma(section.out_of_balance_a),
        derate_start_ma=section.derate_start_a * 1000,
        derate_end_ma=section.derate_end_a * 1000,
        ptc_ma=section.ptc_a * 1000,
        force_wake_up=section.force_wake_up,
        wake_up_after_timeout=section.wake_up_after_30s,
        hlc=HlcMode(section.hlc),
        fake_dc_vendors=tuple(
            FakeDcVendor(
                name=v.name,
                oui=tuple(o.upper() for o in v.oui),
                until_soc=v.ends_after == "soc",
                switch_method=v.switch_method,
            )
            for v in section.fake_dc
        ),
        release=ReleaseMode(section.release),
        token_required_plugged=section.rfid_needs_vehicle,
        same_token_stops=section.same_card_stops,
        key_switch_input=section.key_switch_input,
        emergency_input=section.emergency_input,
        emergency_active_high=section.emergency_active == "high",
        inputs=section.inputs,
        outputs=section.outputs,
        input_threshold_mv=section.input_threshold_mv,
    )
