"""Whole ticks and the gate with simulated ISO 15118 vehicles: permission, digital session, contactor, end."""

from __future__ import annotations

from typing import Any

import pytest

from evse.core.gate import gate
from evse.core.inputs import (
    AnyCommand,
    EvseInputs,
    HlcRequest,
    Inputs,
    SetChargingAllowed,
    StartSession,
    StopSession,
    TransactionStored,
)
from evse.core.outputs import CloseTransaction, OpenTransaction
from evse.core.tick import initial_state, tick
from evse.core.view import view
from evse.domain.ac import AcCommand, AcSpec, HlcMode, PilotMode, ReleaseMode
from evse.domain.readings import NEVER, Sample
from evse.domain.session import AuthSource, SessionRecord, StopReason
from evse.domain.signals import BoardCommand
from evse.domain.station import EvseKind, EvseSpec, StationSpec
from evse.domain.view import Event
from evse.sim.ev_ac import AC_FAST, AcEvSpec
from evse.sim.hw.board_ac_plant import AcPlant
from evse.sim.world_ac import AcConnectorWorld, Mains
from evse.units import NS_PER_S, TICK_NS

WALL0 = 1_767_225_600 * NS_PER_S


class Town:
    """One AC EVSE with a fixed cable: tick, gate, board, vehicle; the database answers at once."""

    def __init__(self, mode: HlcMode, **ac: Any) -> None:
        spec = AcSpec(hlc=mode, socket=False, cable_ma=32_000, evse_ma=32_000, **ac)
        self.spec = StationSpec(station_id="t", evses=(EvseSpec(evse_id=1, kind=EvseKind.AC, has_meter=False, ac=spec),))
        self.plant = AcPlant(spec)
        self.point = AcConnectorWorld(1, self.plant, Mains(), AC_FAST)
        self.now = NS_PER_S
        self.state = initial_state(self.spec, self.now)
        self.pending: list[AnyCommand] = []
        self.events: list[Event] = []
        self.closed: list[SessionRecord] = []
        self.restarting = False
        self.duties: list[int] = []

    def _apply(self, c: BoardCommand) -> None:
        """What a board does with its levels (docs/board-link.md)."""
        out, ac = self.plant.out, c.ac or AcCommand()
        out.pilot, out.duty_bp = ac.pilot, ac.duty_bp if ac.pilot is PilotMode.PWM else 0
        out.hlc, out.parameter_finished, out.renegotiate, out.pause = ac.hlc, ac.parameter_finished, ac.renegotiate, ac.pause
        out.authorization, out.stop, out.emergency = c.authorization, c.stop, c.emergency
        out.offered_ma, out.offered_w = c.offered_ma, c.offered_w
        out.contactor_wanted = out.main_ready = c.contactor_lease
        out.slac_restarts += c.restart_slac and not self.restarting
        self.restarting = c.restart_slac
        if not self.duties or self.duties[-1] != out.generated_bp:
            self.duties.append(out.generated_bp)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * NS_PER_S / TICK_NS)):
            self.now += TICK_NS
            self.point.step(TICK_NS, self.now)
            status = self.plant.status(lease_active=self.plant.out.contactor_wanted, error_flags=0)
            board = Sample(value=status, at=self.now)
            inputs = Inputs(
                wall=WALL0 + self.now, evses=(EvseInputs(evse_id=1, board=board, meter=NEVER),), groups=(), site_meter=NEVER,
                commands=tuple(self.pending),
            )  # fmt: skip
            self.pending = []
            self.state, outputs = tick(self.spec, self.state, inputs, self.now)
            self._apply(gate(self.spec, outputs, inputs, self.now).evses[0].board)
            self.events += outputs.events
            self.view = view(self.spec, self.state, inputs, self.now).evses[0]
            for effect in outputs.effects:
                if isinstance(effect, OpenTransaction):
                    stored = TransactionStored(seq=1, evse_id=1, session_id=effect.session.session_id)
                    self.pending.append(stored)
                elif isinstance(effect, CloseTransaction):
                    self.closed.append(effect.session)

    def arrive(self, **car: Any) -> None:
        self.run(6)
        self.point.plug_in(AcEvSpec(**{"name": "car", "battery_wh": 50_000, **car}), self.now)  # type: ignore[arg-type]
        self.run(2)

    def start(self) -> None:
        self.pending.append(StartSession(seq=1, evse_id=1, id_token="T", source=AuthSource.API))

    @property
    def ma(self) -> float:
        ev = self.point.ev
        return ev.current_ma if ev is not None else 0  # type: ignore[union-attr]

    @property
    def charges(self) -> bool:
        return bool(self.view.contactor_closed) and 15_990 <= self.ma <= 16_000

    def kinds(self) -> list[str]:
        return [e.kind for e in self.events]


@pytest.mark.parametrize("mode", [HlcMode.OPTIONAL, HlcMode.REQUIRED])
def test_a_digital_session_from_plug_to_unplug(mode: HlcMode) -> None:
    town = Town(mode)
    town.arrive(hlc="ac", departure_s=3_600)
    town.start()
    town.run(12)
    assert town.charges and town.duties[-1] == 500, (town.view, town.duties)
    hlc = town.view.ac.hlc_session if town.view.ac is not None else None
    assert hlc is not None and hlc.stage == "session" and hlc.departure_at is not None and hlc.energy_request_wh
    town.pending.append(StopSession(seq=2, evse_id=1, reason=StopReason.REMOTE))
    town.run(10)
    assert not town.view.contactor_closed and town.ma == 0
    assert [x.stop_reason for x in town.closed] == [StopReason.REMOTE]
    ended = [e for e in town.events if e.kind == "session.v2g" and e.data["state"] == "ended"]
    assert [e.data["error"] for e in ended] == ["NONE"], "in order, with the pilot at 5 %"
    assert not town.view.faults
    assert town.point.plug_out(force=False)
    town.run(2)
    assert not town.view.plugged


def test_a_basic_vehicle_charges_after_the_change_through_x1() -> None:
    town = Town(HlcMode.OPTIONAL)
    town.arrive()
    town.start()
    town.run(45)
    assert town.charges and town.duties[-1] == 5_333, town.duties
    assert town.duties[-3:-1] == [500, 10_000] and not town.view.faults


def test_a_failed_session_is_a_warning_and_the_vehicle_charges_basically() -> None:
    town = Town(HlcMode.OPTIONAL)
    town.arrive(hlc="ac", hlc_error="CHARGE_PARAMETER_INVALID")
    town.start()
    town.run(40)
    assert town.charges
    assert [(f.code.name, f.detail) for f in town.view.faults] == [
        ("HLC_ERROR", "CHARGE_PARAMETER_INVALID in phase parameter")
    ]


def test_required_refuses_a_basic_vehicle_and_ends_its_transaction() -> None:
    town = Town(HlcMode.REQUIRED)
    town.arrive()
    town.start()
    town.run(150)
    assert not town.view.contactor_closed and town.ma == 0
    assert [x.stop_reason for x in town.closed] == [StopReason.OTHER] and "HlcError" in town.closed[0].fault


def test_a_digital_vehicle_is_paused_and_goes_on() -> None:
    town = Town(HlcMode.OPTIONAL)
    town.arrive(hlc="ac")
    town.start()
    town.run(12)
    town.pending.append(SetChargingAllowed(seq=2, evse_id=1, allowed=False))
    town.run(30)
    assert not town.view.contactor_closed and not town.closed
    town.pending.append(SetChargingAllowed(seq=3, evse_id=1, allowed=True))
    town.run(20)
    assert town.charges and "UNEXPECTED_CP_STATE" not in {e.data.get("error") for e in town.events}


@pytest.mark.parametrize("what", ["renegotiate", "pause"])
def test_requests_reach_the_vehicle(what: str) -> None:
    town = Town(HlcMode.OPTIONAL)
    town.arrive(hlc="ac")
    town.start()
    town.run(12)
    town.pending.append(HlcRequest(seq=2, evse_id=1, what=what))
    town.run(20)
    if what == "pause":
        assert not town.view.contactor_closed
        town.pending.append(HlcRequest(seq=3, evse_id=1, what="resume"))
        town.run(20)
    assert town.charges and not town.closed and not town.view.faults


def test_an_emergency_ends_a_digital_session_on_its_tick() -> None:
    town = Town(HlcMode.OPTIONAL)
    town.arrive(hlc="ac")
    town.start()
    town.run(12)
    assert town.charges
    town.plant.estop = True
    town.run(0.05)
    assert not town.plant.out.contactor_wanted and town.plant.out.pilot is not PilotMode.PWM


def test_fake_dc_reads_then_charges_and_reads_again() -> None:
    town = Town(HlcMode.FAKE_DC)
    town.arrive(hlc="dc", battery_wh=2_000)
    town.run(20)
    assert town.view.ac is not None and town.view.ac.hlc_session is not None and town.view.ac.hlc_session.soc == 20
    town.start()
    town.run(60)
    assert town.charges and town.duties[-1] == 5_333
    town.pending.append(HlcRequest(seq=2, evse_id=1, what="reinit"))
    town.run(40)
    assert town.charges and town.view.ac.hlc_session is not None and town.view.ac.hlc_session.soc > 20
    record = town.view.session
    assert record is not None and record.soc_start_pct == 20 and record.soc_end_pct is not None and record.soc_end_pct > 20
    assert record.evcc_id and not town.closed and not town.view.faults


def test_the_key_switch_starts_and_ends_a_session() -> None:
    town = Town(HlcMode.OFF, release=ReleaseMode.KEY_SWITCH, key_switch_input=1, inputs=1)
    town.arrive()
    assert town.view.waiting_for == "the key switch"
    town.plant.input_mv[0] = 12_000
    town.run(10)
    assert town.charges
    town.plant.input_mv[0] = 0
    town.run(10)
    assert not town.view.contactor_closed and [x.stop_reason for x in town.closed] == [StopReason.LOCAL]
    assert town.closed[0].auth_source is AuthSource.KEY_SWITCH
