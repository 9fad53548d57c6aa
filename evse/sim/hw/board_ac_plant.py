"""What lies on the far side of a simulated AC board: pilot line, cable coding, monitor, lock, relays and terminals.

The pilot is a voltage: the generator's half waves, loaded by the vehicle, with the faults of the line. What the firmware
calls ``cp`` is judged from that voltage, so a pilot in state F or E hides the vehicle, as on a real line.
"""

from __future__ import annotations

from typing import Final

from evse.domain.ac import AcSpec, AcStatus, HlcMode, PilotMode, PpState, RcdState, V2gStatus
from evse.domain.signals import BoardStatus, ContactorFeedback, CpState, LockState
from evse.protocols import board_link_messages as m
from evse.sim.hw.ac_parts import Contactor, LockDrive, RcdMonitor
from evse.sim.hw.board_plant import BoardOutputs, BoardPlant
from evse.units import clamp

TOP_MV: Final = 12_000
LOADED_MV: Final = {CpState.A: 12_000, CpState.B: 9_000, CpState.C: 6_000, CpState.D: 3_000}
BAND_MV: Final = 1_000
"""A level within this of its nominal value is the state; between two bands the firmware says unknown."""
DIODE_ABOVE_MV: Final = -10_800
INPUT_HIGH_MV: Final = 12_000
NO_PWM_BP: Final = 10_000


class AcOutputs(BoardOutputs):
    """Outputs of an AC board. Constructor values: state F, everything off."""

    def __init__(self, plant: AcPlant) -> None:
        super().__init__(plant)
        self._ac = plant
        self.pilot = PilotMode.F
        self.duty_bp = 0
        self.phases = 3
        self.main_ready = False  # the second contactor has had its time
        self.relay2_wanted = False
        self.relay2_free = False
        self.relay2_closed = False  # drive of relay 2
        self.rcd_test = False  # drive of the test output
        self.outputs = 0
        self.floating = 0
        self.pulsing = 0
        self.input_threshold_mv = 6_000
        self.led_rgb = 0
        self.rfid_rgb = 0
        self.buzzer = False
        self.hlc = HlcMode.OFF
        self.parameter_finished = False
        self.renegotiate = False
        self.pause = False

    @property
    def contactor_closed(self) -> bool:
        """Drive of the main contactor's coil: firmware wish, its turn after relay 2, and the hardware chain."""
        return self.contactor_wanted and self.main_ready and self._ac.chain_closed()

    @property
    def generated_bp(self) -> int:
        """Duty on the line now in 0.01 %: 10000 = no PWM, 0 = state F or E."""
        if self.pilot is PilotMode.PWM:
            return self.duty_bp
        return NO_PWM_BP if self.pilot is PilotMode.X1 else 0

    def make_safe(self) -> None:
        """Energy and offer away; a pilot that was there goes to x1. Lock, lamps and outputs keep their levels."""
        super().make_safe()
        if self.pilot is not PilotMode.F:
            self.pilot = PilotMode.X1
        self.duty_bp = 0
        self.relay2_wanted = False
        self.rcd_test = False
        self.hlc = HlcMode.OFF
        self.parameter_finished = self.renegotiate = self.pause = False


class AcPlant(BoardPlant):
    """Mutable mirror of `AcStatus` beside that of `BoardStatus`. ``vehicle`` = load on the pilot: A, B, C or D."""

    out: AcOutputs

    def __init__(self, spec: AcSpec) -> None:
        self.spec = spec
        self.vehicle = CpState.A
        # faults of the pilot line
        self.diode_missing = False
        self.pilot_short = False
        self.pilot_offset_mv = 0
        super().__init__()
        self.out = AcOutputs(self)
        self.main = Contactor(spec.contactor_feedback)
        vent, switch = spec.ventilation, spec.phase_switch
        self.relay2 = Contactor(switch.feedback if switch.enabled else vent.feedback)
        self.rcd = RcdMonitor(spec.rcd)
        self.drive: LockDrive | None = LockDrive(spec.lock_motor) if spec.socket else None
        self.pp = PpState.NONE if spec.socket else PpState.UNKNOWN
        self.rotary_at = 11 if spec.phases == 3 else 3  # where the switch was put: 16 A
        self.rotary: int | None = self.rotary_at if spec.rotary else None  # as it is read
        self.input_mv = [0] * spec.inputs
        self.ptc_hot = False
        self.board_temperature_dc: int | None = 300
        self.v2g = V2gStatus()
        self.follow_parts()

    # -- pilot --------------------------------------------------------------------------------------------------------

    @property
    def cp(self) -> CpState:
        """The state as the firmware judges it from the level."""
        pilot = self.out.pilot
        if pilot is PilotMode.F:
            return CpState.F
        if not self.pilot_offset_mv and pilot is not PilotMode.E and not self.pilot_short and self.vehicle in LOADED_MV:
            return self.vehicle  # its level is the nominal one
        high = self.cp_high_mv()
        if high < BAND_MV:
            return CpState.E
        near = min(LOADED_MV, key=lambda state: abs(LOADED_MV[state] - high))
        return near if abs(LOADED_MV[near] - high) <= BAND_MV else CpState.UNKNOWN

    @cp.setter
    def cp(self, state: CpState) -> None:
        """Set the vehicle's load; the line decides what is seen of it."""
        self.vehicle = state

    def cp_high_mv(self) -> int:
        """Highest level of the pilot in mV."""
        if self.out.pilot is PilotMode.F:
            return -TOP_MV
        if self.out.pilot is PilotMode.E or self.pilot_short or self.vehicle not in LOADED_MV:
            return 0
        return clamp(LOADED_MV[self.vehicle] + self.pilot_offset_mv, 0, 15_000)

    def cp_low_mv(self) -> int | None:
        """Lowest level in mV while PWM runs, None without PWM."""
        if self.out.pilot is not PilotMode.PWM:
            return None
        if self.pilot_short:
            return 0
        return -self.cp_high_mv() if self.diode_missing and self.vehicle is not CpState.A else -TOP_MV

    # -- chain and reset ----------------------------------------------------------------------------------------------

    def chain_closed(self) -> bool:
        """As on DC, and the residual current monitor in series."""
        if self.estop or not self.rcd.lets_close:
            return False
        cp = self.cp
        return cp is CpState.C or cp is CpState.D

    def may_close(self) -> bool:
        """Only towards a vehicle that has an offer: with PWM."""
        return self.chain_closed() and self.out.pilot is PilotMode.PWM

    def may_reset(self) -> bool:
        """The auxiliary contact may be of any type here: the coil decides."""
        return not self.out.contactor_closed

    # -- terminals ----------------------------------------------------------------------------------------------------

    def set_input(self, number: int, high: bool) -> None:
        """Put 12 V or 0 V on digital input ``number`` (1..n); a number beyond the board is nothing."""
        if 1 <= number <= len(self.input_mv):
            self.input_mv[number - 1] = INPUT_HIGH_MV if high else 0

    def inputs(self) -> int:
        """Levels as bits, by the threshold that the host has set."""
        bits = 0
        for index, level in enumerate(self.input_mv):
            bits |= (level > self.out.input_threshold_mv) << index
        return bits

    def follow_parts(self) -> None:
        """Take the feedbacks of the parts."""
        self.contactor = self.main.feedback()
        self.lock = LockState.UNKNOWN if self.drive is None else self.drive.feedback

    def own_flags(self) -> int:
        """Error bits that the firmware finds by itself (docs/board-link.md, section 5)."""
        flags = 0
        low = self.cp_low_mv()
        if low is not None and low > DIODE_ABOVE_MV and not self.pilot_short and self.vehicle is not CpState.A:
            flags |= m.ErrorFlag.CP_DIODE
        if self.cp is CpState.E and self.out.pilot in (PilotMode.X1, PilotMode.PWM):
            flags |= m.ErrorFlag.CP_SHORT
        if self.pp is PpState.INVALID:
            flags |= m.ErrorFlag.PP_INVALID
        if self.drive is not None and self.drive.failed:
            flags |= m.ErrorFlag.LOCK_MOTOR
        if self.drive is not None and self.drive.cap_late:
            flags |= m.ErrorFlag.LOCK_CAPACITOR
        if self.rcd.fitted and self.rcd.dead:
            flags |= m.ErrorFlag.RCD_MONITOR
        if self.spec.rotary and self.rotary is None:
            flags |= m.ErrorFlag.ROTARY_SWITCH
        return flags

    def ac_status(self) -> AcStatus:
        """Return the AC part of the status as it stands."""
        rcd = self.rcd
        vent = self.spec.ventilation
        second = self.spec.phase_switch.enabled or vent.enabled or vent.external
        return AcStatus(
            pp=self.pp,
            cp_high_mv=self.cp_high_mv(),
            cp_low_mv=self.cp_low_mv(),
            duty_bp=self.out.generated_bp,
            relay2=self.relay2.feedback() if second else ContactorFeedback.UNKNOWN,
            rcd=rcd.state,
            residual_dc_ua=rcd.dc_ua if rcd.fitted and rcd.state is not RcdState.UNKNOWN else None,
            residual_rms_ua=rcd.rms_ua if rcd.fitted and rcd.state is not RcdState.UNKNOWN else None,
            lock_charged=self.drive is not None and self.drive.charged,
            rotary=self.rotary,
            inputs=self.inputs(),
            input_mv=tuple(self.input_mv),
            ptc_hot=self.ptc_hot,
            board_temperature_dc=self.board_temperature_dc,
            v2g=self.v2g,
        )

    def status(self, *, lease_active: bool, error_flags: int) -> BoardStatus:
        """Return the whole status; ``error_flags`` are those of the link."""
        return BoardStatus(
            cp=self.cp,
            estop=self.estop,
            contactor=self.contactor,
            lock=self.lock,
            slac=self.slac,
            step=self.step,
            evcc_id=self.evcc_id,
            protocol=self.protocol,
            soc_pct=self.soc_pct,
            ev_age_ms=self.ev_age_ms,
            ev_stop=self.ev_stop,
            temperature_dc=self.temperature_dc,
            lease_active=lease_active,
            stop_button=self.stop_button,
            door_open=self.door_open,
            error_flags=self.error_flags | error_flags | self.own_flags(),
            ac=self.ac_status(),
        )
