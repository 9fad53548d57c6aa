"""Digital communication with the simulated vehicles of `evse.sim`: whole sessions of every kind, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from evse.core.ac import cp, hlc_board
from evse.core.ac.memory import HlcStage
from evse.core.context import Conn, Tick
from evse.core.state import Stage
from evse.domain.ac import HlcMode, PilotMode, V2gPhase
from evse.domain.faults import FaultCode
from evse.domain.session import StopReason
from evse.domain.signals import CpState, LockState
from evse.sim.ev_ac import AC_FAST, AcEvSpec
from evse.sim.hw.board_ac_plant import AcPlant
from evse.sim.world_ac import AcConnectorWorld, Mains
from evse.units import NS_PER_S, TICK_NS
from tests.core.ac.hlc_rig import Rig


class Street(Rig):
    """One AC point of the simulator under the module; closes when everything that concerns the module allows it."""

    def __init__(self, mode: HlcMode, **ac: Any) -> None:
        super().__init__(mode, **ac)
        spec = self.spec.evses[0].ac
        assert spec is not None
        self.plant = AcPlant(spec)
        self.point = AcConnectorWorld(1, self.plant, Mains(), AC_FAST)
        self.stop = False

    def arrive(self, **fields: Any) -> None:
        self.point.plug_in(AcEvSpec(**{"name": "car", "battery_wh": 50_000, **fields}), self.now)  # type: ignore[arg-type]

    def _drive(self, t: Tick, conn: Conn) -> None:
        plugged = self.plant.cp in (CpState.B, CpState.C, CpState.D)
        if plugged and not conn.w.plugged:
            conn.w.stage, conn.w.plugged_since = Stage.PLUGGED, t.now
        conn.w.plugged = plugged
        super()._drive(t, conn)
        a, w, out, told = conn.a, conn.w, self.plant.out, self.levels
        basic = self.basic and w.tx_open and not self.stop
        if basic:
            a.cp_mode, a.cp_duty_bp = PilotMode.PWM, cp.duty_for_ma(w.offered_ma)
        out.pilot, out.duty_bp = a.cp_mode, a.cp_duty_bp
        out.hlc, out.parameter_finished = told.mode, told.parameter_finished
        out.renegotiate, out.pause, out.stop = told.renegotiate, told.pause, told.stop
        out.authorization = told.authorization
        if told.restart_slac and not self.restarting:
            out.slac_restarts += 1
        self.restarting = told.restart_slac
        out.offered_ma, out.offered_w = w.offered_ma, w.offered_w
        energy = self.plant.cp in (CpState.C, CpState.D)
        w.lease = energy and (w.lease or (self.ready and w.stage in (Stage.AUTHORISED, Stage.CURRENT)))
        out.contactor_wanted = out.main_ready = w.lease
        if w.stage in (Stage.AUTHORISED, Stage.CURRENT):
            w.stage = Stage.CURRENT if w.lease else Stage.AUTHORISED
        if w.stage is Stage.RAMP_DOWN and not w.lease:
            w.stage, w.tx_open = Stage.FINISHED, False

    restarting = False

    def run(self, seconds: float, *_: Any, dt: int = TICK_NS) -> None:
        """The street and the station, step by step."""
        for _i in range(round(seconds * NS_PER_S / dt)):
            self.point.step(dt, self.now + dt)
            status = self.plant.status(lease_active=self.evse().lease, error_flags=0)
            self.boards[1] = status
            self.step(self._drive, dt=dt)

    def authorise(self, offered_ma: int = 16_000) -> None:
        super().authorise(offered_ma)
        self.work(offered_w=offered_ma * 690 // 1000)

    def end(self) -> None:
        """The station ends the transaction."""
        self.work(stage=Stage.RAMP_DOWN)

    @property
    def ma(self) -> int:
        ev = self.point.ev
        return ev.current_ma if ev is not None else 0  # type: ignore[union-attr]

    @property
    def full(self) -> bool:
        """The vehicle takes its 16 A; a duty cycle in steps of 0.01 % tells a little less."""
        return 15_990 <= self.ma <= 16_000


def street(mode: HlcMode, **car: Any) -> Street:
    r = Street(mode)
    r.run(1)
    r.arrive(**car)
    r.run(2)
    return r


@pytest.mark.parametrize("mode", [HlcMode.OPTIONAL, HlcMode.REQUIRED])
def test_an_iso_vehicle_charges_digitally_and_ends_in_order(mode: HlcMode) -> None:
    r = street(mode, hlc="ac", departure_s=3_600)
    r.authorise()
    r.run(10)
    assert r.stage is HlcStage.SESSION and r.full and not r.basic
    r.work(offered_ma=10_000, offered_w=6_900)
    r.run(3)
    assert r.ma == 10_000, "a lower offer holds at once"
    r.end()
    r.run(5)
    assert r.ma == 0 and r.stage is HlcStage.RESTING and not r.causes[1]
    assert r.told("session.v2g")[-1].data == {
        "phase": "charge", "state": "ended", "error": "NONE", "contract": False, "departure_s": None, "energy_wh": None,
    }  # fmt: skip


def test_a_second_transaction_charges_again_without_replugging() -> None:
    r = street(HlcMode.OPTIONAL, hlc="ac")
    r.authorise()
    r.run(10)
    r.end()
    r.run(5)
    r.authorise()
    r.run(10)
    assert r.stage is HlcStage.SESSION and r.full


def test_a_vehicle_without_iso_15118_charges_basically_after_half_a_minute() -> None:
    r = street(HlcMode.OPTIONAL)
    r.authorise()
    r.run(20)
    assert r.ma == 0
    r.run(15)
    assert r.basic and r.full and not r.causes[1]


def test_where_it_is_required_a_basic_vehicle_gets_nothing() -> None:
    r = street(HlcMode.REQUIRED)
    r.authorise()
    r.run(120)
    assert r.stage is HlcStage.REFUSED and r.ma == 0 and r.stop_wanted is StopReason.OTHER
    assert FaultCode.HLC_ERROR in r.causes[1]


@pytest.mark.parametrize("car", [{"slac_fails": True}, {"hlc_error": "CHARGE_PARAMETER_INVALID"}])
def test_a_session_that_fails_gives_way_and_the_vehicle_charges(car: dict[str, Any]) -> None:
    r = street(HlcMode.OPTIONAL, hlc="ac", **car)
    r.authorise()
    r.run(30)
    assert r.basic and r.full
    assert r.causes[1][FaultCode.HLC_ERROR].startswith(str(car.get("hlc_error", "SLAC_FAILED")))


def test_a_late_card_begins_a_new_session() -> None:
    r = street(HlcMode.REQUIRED, hlc="ac")
    r.run(90)
    assert r.stage is HlcStage.RESTING and not r.causes[1]
    r.authorise()
    r.run(10)
    assert r.stage is HlcStage.SESSION and r.full


@pytest.mark.parametrize("by", ["station", "vehicle"])
def test_renegotiation(by: str) -> None:
    r = street(HlcMode.OPTIONAL, hlc="ac", renegotiate_after_s=0 if by == "station" else 10)
    r.authorise()
    r.run(8)
    if by == "station":
        r.request("renegotiate")
    r.run(10)
    told = [(e.data["phase"], e.data["state"]) for e in r.told("session.v2g")]
    assert told.count(("parameter", "started")) == 2 and told[-1] == ("charge", "started")
    assert r.full and not r.told("hlc.unanswered")


def test_pause_and_resume_by_the_vehicle() -> None:
    r = street(HlcMode.OPTIONAL, hlc="ac", pause_after_s=8, pause_s=10)
    r.authorise()
    r.run(15)
    assert r.stage is HlcStage.PAUSED and r.ma == 0
    r.run(12)
    assert r.stage is HlcStage.SESSION and r.full


def test_pause_and_resume_by_the_station() -> None:
    r = street(HlcMode.OPTIONAL, hlc="ac")
    r.authorise()
    r.run(8)
    r.request("pause")
    r.run(60)
    assert r.stage is HlcStage.PAUSED and r.ma == 0
    r.request("resume")
    r.run(10)
    assert r.stage is HlcStage.SESSION and r.full


@pytest.mark.parametrize(("hlc", "soc"), [("dc", 20), ("ac", -1), ("", -1)])
def test_fake_dc_reads_what_the_vehicle_tells_and_charges_basically(hlc: str, soc: int) -> None:
    r = street(HlcMode.FAKE_DC, hlc=hlc)
    r.run(35)
    assert r.basic and r.view is not None and r.view.soc == soc and not r.causes[1]
    assert bool(r.boards[1].evcc_id) is bool(hlc)
    r.authorise()
    r.run(5)
    assert r.full


def test_fake_dc_reads_again_on_request_and_goes_on_charging() -> None:
    r = street(HlcMode.FAKE_DC, hlc="dc", battery_wh=500)
    r.run(20)
    r.authorise()
    r.run(60)
    assert r.full
    r.request("reinit")
    r.run(30)
    assert r.basic and r.full and r.view is not None and r.view.soc > 20
    assert [e.data["soc_pct"] for e in r.told("session.soc")] == [20, r.view.soc]


def test_a_vehicle_that_leaves_in_the_middle_leaves_nothing() -> None:
    r = street(HlcMode.OPTIONAL, hlc="ac")
    r.authorise()
    r.run(8)
    assert r.boards[1].ac is not None and r.boards[1].ac.v2g.phase is V2gPhase.CHARGE
    r.point.plug_out(force=True)
    r.work(tx_open=False, stage=Stage.EMPTY)
    r.run(1)
    assert r.stage is HlcStage.IDLE and r.levels == hlc_board.Levels() and r.plant.lock is not LockState.LOCKED
