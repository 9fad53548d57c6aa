"""The complete levels for the board of an AC EVSE, after machine and limits of this tick."""

from __future__ import annotations

from evse.core.ac import hlc_board, machine, phases
from evse.core.context import Conn, Tick
from evse.core.state import Stage
from evse.domain.ac import AcCommand, HlcMode
from evse.domain.signals import BoardCommand


def board(t: Tick, conn: Conn, led: int) -> BoardCommand:
    """Set the pilot and return all levels. ``led`` = lamp code of boards without colours."""
    machine.pilot(t, conn)
    a, w, spec = conn.a, conn.w, conn.ac
    told = hlc_board.levels(t, conn)
    switch = spec.phase_switch.enabled
    return BoardCommand(
        permit=told.mode is not HlcMode.OFF,
        authorization=told.authorization,
        contactor_lease=w.lease,
        lock=a.lock_cmd,
        offered_ma=w.offered_ma,
        offered_w=w.offered_w,
        stop=told.stop,
        emergency=w.stage is Stage.DISCHARGE and w.emergency,
        led=led,
        restart_slac=told.restart_slac,
        ac=AcCommand(
            pilot=a.cp_mode,
            duty_bp=a.cp_duty_bp,
            phases=phases.usable(conn),
            relay2=a.k_second if switch else a.vent_on,
            relay2_free=not switch,
            rcd_test=a.rcd_trigger,
            outputs=a.out_outputs,
            floating=a.out_floating,
            pulsing=a.out_pulsing,
            input_threshold_mv=spec.input_threshold_mv,
            led_rgb=a.out_led_rgb,
            rfid_rgb=a.out_rfid_rgb,
            buzzer=a.out_buzzer,
            hlc=told.mode,
            parameter_finished=told.parameter_finished,
            renegotiate=told.renegotiate,
            pause=told.pause,
            switch_method=told.switch_method,
        ),
    )
