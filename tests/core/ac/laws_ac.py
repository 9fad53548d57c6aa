"""Laws of AC EVSEs, checked on every tick from outside: readings in, gated levels out. Ids are used in docs/safety.md."""

from __future__ import annotations

from evse.core.inputs import Inputs
from evse.core.outputs import Outputs
from evse.core.state import StationState
from evse.domain.ac import AcSpec, AcStatus, PilotMode, PpState, RcdState
from evse.domain.signals import CpState
from evse.domain.station import EvseKind, EvseSpec, StationSpec
from evse.units import Instant, s
from tests._support.laws import fresh_board, law

CABLE_MA = {PpState.A13: 13_000, PpState.A20: 20_000, PpState.A32: 32_000, PpState.A63: 63_000}


def told_ma(duty_bp: int) -> int:
    """What a vehicle takes a duty cycle for (IEC 61851-1, Annex A), typed a second time."""
    if 800 <= duty_bp < 1_000:
        return 6_000
    if 1_000 <= duty_bp <= 8_500:
        return round(0.6 * duty_bp / 100 * 1000)
    if 8_500 < duty_bp <= 9_600:
        return round(2.5 * (duty_bp / 100 - 64) * 1000)
    return 80_000 if 9_600 < duty_bp <= 9_700 else 0


class AcLawBook:
    """Laws with memory: when each contactor was commanded open, per EVSE."""

    def __init__(self) -> None:
        self.opened: dict[int, Instant] = {}
        self.leased: dict[int, bool] = {}

    def check(
        self, spec: StationSpec, inputs: Inputs, outputs: Outputs, gated: Outputs, after: StationState, now: Instant
    ) -> None:
        """Check one tick."""
        for e, out, plain, w in zip(spec.evses, gated.evses, outputs.evses, after.evses, strict=True):
            if e.kind is not EvseKind.AC:
                continue
            self._levels(spec, e, inputs, gated, now)
            name, lease = f"EVSE {e.evse_id}", out.board.contactor_lease
            law(not lease or w.tx_open, 22, f"{name}: closed without a transaction")
            law(out == plain, 23, f"{name}: the tick wants what the gate forbids: {plain} -> {out}")
            was = self.leased.get(e.evse_id, False)
            if was and not lease:
                self.opened[e.evse_id] = now
            elif lease and not was and e.evse_id in self.opened:
                pause = now - self.opened[e.evse_id]
                law(pause >= s(6), 24, f"{name}: closed again after {pause} ns")
            self.leased[e.evse_id] = lease

    def _levels(self, spec: StationSpec, e: EvseSpec, inputs: Inputs, gated: Outputs, now: Instant) -> None:
        out = next(o.board for o in gated.evses if o.evse_id == e.evse_id)
        b, ac, limits = fresh_board(spec, inputs, e.evse_id, now), out.ac, e.ac or AcSpec()
        name = f"EVSE {e.evse_id}"
        assert ac is not None
        status = b.ac if b is not None and b.ac is not None else AcStatus()
        told = told_ma(ac.duty_bp) if ac.pilot is PilotMode.PWM else 0
        law(ac.pilot is PilotMode.PWM or ac.duty_bp == 0, 25, f"{name}: duty {ac.duty_bp} without PWM")
        law(told <= out.offered_ma, 25, f"{name}: {told} mA promised, {out.offered_ma} mA offered")
        law(out.offered_ma == 0 or out.offered_ma >= 6_000, 25, f"{name}: {out.offered_ma} mA offered")
        law(told <= limits.evse_ma, 26, f"{name}: {told} mA promised, wiring {limits.evse_ma} mA")
        cable = CABLE_MA.get(status.pp, limits.evse_ma) if limits.socket else limits.cable_ma
        law(told <= cable, 26, f"{name}: {told} mA promised, cable {cable} mA")
        law(b is not None or told == 0, 26, f"{name}: a promise without a board")
        second = ac.relay2 and not ac.relay2_free
        law(not second or out.contactor_lease, 27, f"{name}: second contactor without the first")
        law(not ac.relay2 or ac.relay2_free is not limits.phase_switch.enabled, 27, f"{name}: relay 2 has two meanings")
        law(not (ac.rcd_test and out.contactor_lease), 28, f"{name}: residual current test under a closed contactor")
        if out.contactor_lease:
            law(not limits.rcd.fitted or status.rcd is RcdState.NORMAL, 28, f"{name}: closed, monitor {status.rcd.value}")
            high = status.cp_high_mv
            law(high is None or 1_000 < high < 8_000, 3, f"{name}: closed at {high} mV")
            law(b is not None and b.cp in (CpState.C, CpState.D), 3, f"{name}: closed outside C/D")
