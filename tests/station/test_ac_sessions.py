"""Sessions in which something changes: phases, ISO 15118, the supply of the controller, what other programs allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evse.domain.ac import PilotMode, V2gPhase
from evse.domain.session import StopReason
from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from evse.lab.vloop import VirtualLoop, run_virtual
from evse.units import NS_PER_S
from tests._support.ac_world import (
    CARD_REST_S,
    OTHER,
    books,
    charge,
    charging,
    codes,
    happened,
    leave,
    locked,
    one_point,
    plug,
    point,
    record,
    tap,
)
from tests._support.examples import seconds
from tests._support.lab_world import Api, LawfulTick, run_lab
from tests._support.laws_run import Lives

# -- phases -----------------------------------------------------------------------------------------------------------


def live(lab: Lab) -> tuple[bool, bool, bool]:
    """Which phases carry current."""
    one, two, three = (ma > 1_000 for ma in point(lab).current_l_ma)
    return one, two, three


def test_three_phases_to_one_and_back_in_one_session(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await charge(lab, max_ma=16_000)
        await charging(lab, 15_500)
        session = lab.evse(1).session
        began_wh = point(lab).energy_wh
        for phases, expected in ((1, (True, False, False)), (3, (True, True, True))):
            await lab.forward(10)
            await api("phase.set", {"evse_id": 1, "phases": phases})
            seen = await record(lab, 40, lambda: (point(lab).plant.out.pilot, point(lab).closed, live(lab)))
            words = [(pilot, closed) for _, (pilot, closed, _) in seen]
            assert words[0][1] and words[-1] == (PilotMode.PWM, True)
            off = next(t for t, (_, closed, _) in seen if not closed)
            offer = next(t for t, (pilot, closed, _) in seen if t > off and pilot is PilotMode.PWM)
            again = next(t for t, (_, closed, _) in seen if t > off and closed)
            assert next(t for t, (pilot, _, _) in seen if pilot is PilotMode.X1) < off
            assert 9.9 <= offer - off <= 11, "the guard time, everything open"
            assert offer < again < offer + 3
            assert seen[-1][1][2] == expected and lab.evse(1).session is not None
            assert (await api("phase.show", {"evse_id": 1}))["items"][0]["phases"] == phases
        assert session is not None and lab.evse(1).session.session_id == session.session_id  # type: ignore[union-attr]
        assert [(e["before"], e["phases"]) for e in happened(lab, "phases.changed")] == [(3, 1), (1, 3)]
        await leave(lab)
        (stored,) = await books(lab, 1)
        assert stored.energy_wh == pytest.approx(point(lab).energy_wh - began_wh, abs=25)  # of the ramp before
        assert len(lab.sim.csms.calls("StartTransaction")) == 1  # type: ignore[union-attr]

    run_lab(tmp_path, scenario, config=one_point(tmp_path, "phase_switch = { enabled = true, delay_s = 10 }"))


def test_a_switch_of_phases_that_is_taken_back_changes_nothing(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await charge(lab, max_ma=16_000)
        await api("phase.set", {"evse_id": 1, "phases": 1, "delay_s": 30})
        await lab.forward(5)
        await api("phase.set", {"evse_id": 1, "phases": 3})
        assert await charging(lab, 15_000) < 15
        assert live(lab) == (True, True, True) and not happened(lab, "phases.changed")
        await leave(lab)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path, "phase_switch = { enabled = true, delay_s = 10 }"))


# -- ISO 15118 --------------------------------------------------------------------------------------------------------


def pilots(lab: Lab) -> tuple[str, bool]:
    """ "x1", "digital" or "current", and whether the contactor is closed."""
    out = point(lab).plant.out
    word = "digital" if out.duty_bp <= 700 else "current"
    return (word if out.pilot is PilotMode.PWM else out.pilot.value), point(lab).closed


def test_a_session_over_iso_15118_is_renegotiated_paused_and_goes_on(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await charge(lab, hlc="ac", evcc_id="0200AABBCCDD", energy_request_wh=9_000)
        await charging(lab, 31_000)
        assert pilots(lab) == ("digital", True)
        side = lab.evse(1)
        assert side.session is not None and side.session.evcc_id == "0200AABBCCDD"
        await api("limits.set", {"name": "ems", "current_ma": 10_000})
        await lab.until(lambda: point(lab).current_ma <= 10_000, "a lower offer holds at once", 6)
        await api("limits.set", {"name": "ems", "current_ma": 20_000})
        await lab.forward(5)
        await api("hlc.request", {"evse_id": 1, "what": "renegotiate"})
        await lab.until(lambda: point(lab).plant.v2g.phase is V2gPhase.PARAMETER, "renegotiating", 5)
        await lab.until(lambda: point(lab).plant.v2g.phase is V2gPhase.CHARGE, "and on", 20)
        await charging(lab, 19_500)
        await api("hlc.request", {"evse_id": 1, "what": "pause"})
        await lab.until(lambda: point(lab).plant.v2g.paused and not point(lab).closed, "paused", 30)
        await lab.forward(15)
        assert point(lab).current_ma == 0 and lab.evse(1).phase.value == "suspended"
        await api("hlc.request", {"evse_id": 1, "what": "resume"})
        await charging(lab, 19_500, at_most_s=60)
        assert lab.evse(1).session is not None and lab.evse(1).session.session_id == side.session.session_id  # type: ignore[union-attr]
        await leave(lab)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path, 'hlc = "required"'))


def test_a_car_renegotiates_and_pauses_by_itself(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab, hlc="ac", renegotiate_after_s=5, pause_after_s=20, pause_s=8)
        phases = await record(lab, 60, lambda: (point(lab).plant.v2g.phase, point(lab).plant.v2g.paused))
        order = [phase for _, (phase, _) in phases]
        charge_at = order.index(V2gPhase.CHARGE)
        assert V2gPhase.PARAMETER in order[charge_at:], "renegotiated"
        assert any(paused for _, (_, paused) in phases)
        await charging(lab)
        assert not codes(lab)
        await leave(lab)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path, 'hlc = "required"'))


def test_fake_dc_reads_mac_and_state_of_charge_then_charges_with_basic_signalling(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await plug(lab, hlc="dc", evcc_id="0200AABBCC01", soc_pct=37)
        await lab.forward(0.3)
        await tap(lab)
        seen = await record(lab, 40, lambda: pilots(lab))
        words = [word for _, word in seen]
        assert words[-1] == ("current", True) and ("digital", False) in words
        assert ("digital", True) not in words, "energy never flows in the short DC session"
        at = words.index(("digital", False))
        digital_end = seen[at + 1][0]
        offer = next(t for t, word in seen if word[0] == "current")
        assert words[at + 1] == ("x1", False) and 2.95 <= offer - digital_end <= 15
        row = (await Api(lab)("hlc.show", {"evse_id": 1}))["items"][0]
        assert (row["soc_pct"], row["evcc_id"]) == (37, "0200AABBCC01"), row
        assert lab.evse(1).session is not None and lab.evse(1).session.evcc_id == "0200AABBCC01"  # type: ignore[union-attr]
        await leave(lab)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path, 'hlc = "fake_dc"'))


@pytest.mark.parametrize("car", [{"hlc": ""}, {"hlc": "ac"}, {"hlc": "dc", "slac_fails": True}])
def test_fake_dc_charges_cars_that_do_not_tell_as_well(tmp_path: Path, car: dict[str, Any]) -> None:
    async def scenario(lab: Lab) -> None:
        await plug(lab, **car)
        await lab.forward(0.3)
        await tap(lab)
        assert await charging(lab, at_most_s=70) < 45, "20 s of silence, then the current"
        assert pilots(lab) == ("current", True) and not codes(lab)
        await leave(lab)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path, 'hlc = "fake_dc"'))


# -- power cut --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stays", "mains"), [(True, False), (False, False), (True, True), (False, True)])
def test_a_restart_in_a_session_ends_it_once_with_power_loss_and_frees_the_plug(tmp_path: Path, stays: bool, mains: bool) -> None:
    """``stays``: the car is still there after the restart. ``mains``: the cabinet has no power meanwhile either."""
    config, database = one_point(tmp_path, "rcd = { enabled = true }"), tmp_path / "station.sqlite3"
    lives = Lives()

    async def main() -> None:
        lab = Lab(config, tmp_path / "data", fast=True, database=database)
        await lab.__aenter__()
        await lab.forward(3)
        await charge(lab)
        await lab.forward(seconds(30, 10))
        cut = lab.evse(1).session
        assert cut is not None and locked(lab)
        await lab.kill()
        if mains:
            await lab.do(cmd="power_cut", duration_ms=4_000)
        opened = await lab.until(lambda: not point(lab).closed, "nobody renews the lease", 2)
        assert opened <= 0.45
        await lab.forward(5)
        if not stays:
            await lab.do(cmd="plug_out", connector=1, force=True)
        again = Lab(config, tmp_path / "data", database=database, sim=lab.sim, clock=lab.clock)
        lives.begin()
        await again.__aenter__()
        await again.forward(10)
        assert not point(again).closed, "a new daemon has no permission"
        assert not locked(again), "the plug is free"
        session = await again.store.session(cut.session_id)
        assert session is not None and session.stop_reason is StopReason.POWER_LOSS
        assert 0 < session.energy_wh <= cut.energy_wh
        if stays:
            assert again.evse(1).phase.value == "wait_auth", again.evse(1).faults
            await again.do(cmd="plug_out", connector=1)
            await again.until(lambda: not again.evse(1).plugged, "it leaves by itself", 10)
        await again.forward(CARD_REST_S)
        await charge(again, OTHER)
        await leave(again, OTHER)
        await again.until(lambda: again.station.ocpp is not None and again.station.ocpp.summary().queued == 0, "queue", 120)
        await again.forward(2)
        rows, _, _ = await again.store.sessions(state="all")
        ended = [s for s in rows if s.started_at is not None]
        assert sorted(s.stop_reason.value for s in ended if s.stop_reason) == ["Local", "PowerLoss"]
        assert await again.store.open_transactions() == []
        assert again.sim.csms is not None
        assert compare_ledger(rows, again.sim.csms.ledger()) == []
        stops = [c["reason"] for c in again.sim.csms.calls("StopTransaction")]
        assert stops.count("PowerLoss") == 1 and again.sim.world.violations == []
        await again.__aexit__(None, None, None)
        await lab.__aexit__(None, None, None)

    with LawfulTick(lives):
        run_virtual(main(), VirtualLoop())


# -- limits -----------------------------------------------------------------------------------------------------------


def test_failsafe_until_the_first_limit_fallback_when_it_is_not_repeated(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)

        async def offered() -> tuple[int, str]:
            row = (await api("limits.explain", {"evse_id": 1}))["items"][0]
            return row["offered_ma"], row["limits"][0]["source"]

        await charge(lab)
        await lab.forward(6)
        assert await offered() == (8_000, "failsafe") and 7_800 <= point(lab).current_ma <= 8_000
        for _ in range(4):  # a program that repeats itself
            await api("limits.set", {"name": "ems", "current_ma": 20_000})
            await lab.forward(9)
            assert await offered() == (20_000, "dynamic")
        assert 19_800 <= point(lab).current_ma <= 20_000
        await api("limits.set", {"name": "house", "current_ma": 14_250})
        await lab.until(lambda: point(lab).current_ma <= 14_200, "the smaller name, in steps of 0.1 A", 6)
        assert await offered() == (14_200, "dynamic")
        silent = await lab.until(lambda: point(lab).plant.out.duty_bp == 1_000, "the fallback of 6 A", 30)
        assert 9 < silent < 12, "20 s after the last word of the first name"
        assert await offered() == (6_000, "fallback")
        await lab.until(lambda: point(lab).current_ma <= 6_000, "the car follows", 5)
        await api("limits.set", {"name": "ems", "current_ma": 32_000})
        await lab.forward(0.1)
        assert await offered() == (14_200, "dynamic"), "the other name is still fresh"
        await lab.until(lambda: point(lab).plant.out.duty_bp == 1_000, "until it is not", 15)
        await api("limits.clear", {"name": "house"})
        await charging(lab, 31_000)
        await leave(lab)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path, "failsafe_a = 8", "fallback_a = 6", "fallback_s = 20"))


@pytest.mark.parametrize("limit_ma", [0, 5_999])
def test_a_limit_below_6_a_takes_the_pwm_and_leaves_the_contactor_to_the_car(tmp_path: Path, limit_ma: int) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await charge(lab)
        before = lab.evse(1).session
        await api("limits.set", {"name": "ems", "current_ma": limit_ma})
        seen = await record(lab, 20, lambda: pilots(lab))
        assert [word for _, word in seen if word[0] == "x1"] == [("x1", True), ("x1", False)]
        assert seen[-1][0] < 3.1, "the car opens within 3 s"
        assert lab.evse(1).charging_state.value == "SuspendedEVSE"
        opened = lab.clock.now()
        await api("limits.set", {"name": "ems", "current_ma": -1})
        await charging(lab)
        assert (lab.clock.now() - opened) / NS_PER_S < 6
        assert before is not None and lab.evse(1).session.session_id == before.session_id  # type: ignore[union-attr]
        await leave(lab)
        await books(lab, 1)

    run_lab(tmp_path, scenario, config=one_point(tmp_path))


# -- residual current -------------------------------------------------------------------------------------------------


def test_the_monitor_is_tested_before_every_session_and_nothing_closes_before_it_has_passed(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.until(lambda: len(happened(lab, "rcd.tested")) == 1, "at start", 10)
        for number in (2, 3):
            await plug(lab, starts_in_c=True)
            await lab.forward(0.3)
            await tap(lab)
            seen = await record(lab, 8, lambda: (len(happened(lab, "rcd.tested")), point(lab).closed))
            assert [value for _, value in seen] == [(number - 1, False), (number, False), (number, True)]
            await leave(lab)
        assert all(row["passed"] for row in happened(lab, "rcd.tested"))
        await lab.do(cmd="fault", action="raise", fault="rcd_test_fail", connector=1)
        await plug(lab)
        await lab.forward(0.3)
        await tap(lab)
        await lab.until(lambda: "F31" in codes(lab), "the test fails", 20)
        await lab.forward(10)
        assert not point(lab).closed and point(lab).energy_wh >= 0
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.do(cmd="plug_out", connector=1, force=True)
        await lab.until(lambda: not lab.evse(1).plugged, "gone", 40)
        await lab.forward(8)
        for row in (await Api(lab)("fault.list"))["items"]:
            await Api(lab)("fault.clear", {"code": row["record"]["code"], "evse_id": row["record"]["evse_id"]})
        await lab.until(lambda: not codes(lab), "a technician has cleared it", 20)
        await charge(lab)
        await leave(lab)
        assert [s.energy_wh > 0 for s in await books(lab, 4)] == [True, True, False, True]

    run_lab(tmp_path, scenario, config=one_point(tmp_path, "rcd = { enabled = true }"))
