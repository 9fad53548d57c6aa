"""A tiny controller in place of the product: it drives the plant of one AC point as a board under a station would."""

from __future__ import annotations

from typing import Any

from evse.domain.ac import AcSpec, HlcMode, PilotMode, V2gPhase
from evse.domain.signals import Authorization, CpState
from evse.sim.ev_ac import AC_FAST, AcEv, AcEvSpec
from evse.sim.hw.board_ac_plant import AcPlant
from evse.sim.world_ac import AcConnectorWorld, Mains
from evse.units import TICK_NS, Instant

SPEC = AcSpec(evse_ma=32_000)


def car(**fields: object) -> AcEvSpec:
    """A three-phase car of 16 A with 50 kWh."""
    return AcEvSpec(**{"name": "car", "battery_wh": 50_000, **fields})  # type: ignore[arg-type]


class AcRig:
    """One AC point and a controller that offers ``offer_ma`` and closes while the vehicle is in C or D."""

    def __init__(self, spec: AcSpec = SPEC) -> None:
        self.mains = Mains()
        self.plant: Any = AcPlant(spec)  # Any: what it says changes between two looks
        self.point: Any = AcConnectorWorld(1, self.plant, self.mains, AC_FAST)
        self.now: Instant = 0
        self.offer_ma = 16_000
        self.phases = 3
        self.digital = False
        self.close = True
        self.phases_seen: list[str] = []
        out = self.plant.out
        out.hlc = HlcMode.OPTIONAL
        out.authorization = Authorization.GRANTED

    def plug(self, spec: AcEvSpec) -> AcEv:
        self.point.plug_in(spec, self.now)
        return self.ev

    @property
    def ev(self) -> AcEv:
        ev = self.point.ev
        assert isinstance(ev, AcEv)
        return ev

    def control(self) -> None:
        """React to what the plant says now."""
        plant, out = self.plant, self.plant.out
        if self.digital:
            out.pilot, out.duty_bp = PilotMode.PWM, 500
        elif self.offer_ma >= 6_000:
            out.pilot, out.duty_bp = PilotMode.PWM, self.offer_ma // 6
        else:
            out.pilot, out.duty_bp = PilotMode.X1, 0
        out.offered_ma = self.offer_ma
        out.contactor_wanted = self.close and plant.cp in (CpState.C, CpState.D)
        if not out.contactor_wanted:
            out.main_ready = False
            out.relay2_closed = False
        else:
            out.relay2_closed = self.phases == 3 if not out.main_ready else out.relay2_closed
            out.main_ready = plant.relay2.closed or self.phases == 1 or not plant.spec.phase_switch.enabled
        out.lock = self.point.ev is not None and (out.contactor_wanted or self.ev.s2)
        phase = plant.v2g.phase
        if phase is not V2gPhase.NONE:
            text = phase.value + ("." if plant.v2g.finished else "")
            if not self.phases_seen or self.phases_seen[-1] != text:
                self.phases_seen.append(text)

    def run(self, seconds: float) -> None:
        """Let time pass in steps of 50 ms."""
        for _ in range(round(seconds * 20)):
            self.now += TICK_NS
            self.point.step(TICK_NS, self.now)
            self.control()
