"""Laws of the shell: a bug of ours or a dead disk takes the energy away or waits; it never goes unseen or loses facts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NoReturn

import pytest

import evse.runtime.loop as loop_module
from evse.domain.faults import FaultCode
from evse.domain.session import SessionPhase, StopReason
from evse.domain.signals import BoardCommand
from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from evse.lab.vloop import VirtualLoop, run_virtual
from evse.runtime.main import _reset_due
from evse.runtime.recorder import read_trace
from evse.runtime.supervisor import PAUSE_MIN_S, Supervisor
from evse.storage.executor import StorageError
from tests._support.examples import seconds
from tests._support.lab_world import Api, demo_config, run_lab


async def _charge(lab: Lab, connector: int = 1) -> None:
    await lab.do(cmd="plug_in", connector=connector, soc_pct=30)
    await lab.do(cmd="swipe", token=f"04A1B2C{connector}", reader=f"reader{connector}")
    await lab.until(lambda: (lab.evse(connector).power_w or 0) > 10_000, "charging", 60)


def _raise(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError("a bug")


def _break_disk(lab: Lab) -> None:
    def refuse(work: Any) -> NoReturn:
        raise StorageError("storage: disk is full", "PersistenceInsertFailed")

    lab.store._in_transaction = refuse  # type: ignore[method-assign]


def _mend_disk(lab: Lab) -> None:
    lab.store.__dict__.pop("_in_transaction")


def test_planner_that_raises_takes_nothing_with_it_and_limits_still_bind(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await _charge(lab)
        lab.station.planner.consider = _raise  # type: ignore[method-assign]
        await lab.forward(5)
        assert (lab.evse(1).power_w or 0) > 10_000
        await Api(lab)("planner.set", {"limit_w": 8_000})
        await lab.forward(0.2)
        assert lab.evse(1).offered_w <= 8_000
        assert "ZeroDivisionError" in lab.station.loop.trouble["planner"]
        assert not lab.station.loop.fault

    run_lab(tmp_path, scenario)


@pytest.mark.parametrize("broken", ["tick", "gate"])
def test_tick_that_raises_for_good_means_no_energy_and_F19_on_the_screens(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(lab: Lab) -> None:
        await _charge(lab)
        monkeypatch.setattr(loop_module, broken, _raise)
        ticks = lab.station.loop.stats.count
        await lab.forward(1)
        assert lab.station.loop.stats.count - ticks >= 19, "the loop must go on sending the safe levels"
        assert not lab.sim.world.by_id[1].closed
        view = lab.view()
        assert [r.code for r in view.faults] == [FaultCode.INTERNAL]
        assert "ZeroDivisionError" in view.faults[0].detail
        assert all(e.phase is SessionPhase.FAULTED for e in view.evses)
        assert not _reset_due(lab.station)
        lab.station.reset_requested = "hard"
        assert _reset_due(lab.station), "the cure of F19 is a restart; it must not wait for a session that cannot end"
        monkeypatch.undo()
        await lab.forward(seconds(60, 20))
        assert not any(c.closed for c in lab.sim.world.connectors), "a bug that came once may come again: stay off"
        assert any(r.code is FaultCode.INTERNAL for r in lab.station.loop.state.faults)

    run_lab(tmp_path, scenario, laws=False)


def test_driver_that_raises_on_command_stops_every_connector(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await _charge(lab, 1)
        await _charge(lab, 2)
        lab.station.devices.boards[1].command = _raise  # type: ignore[method-assign]
        await lab.forward(1)
        assert not any(c.closed for c in lab.sim.world.connectors)
        assert all(c.current_ma == 0 for c in lab.sim.world.connectors)
        assert lab.view().faults[0].code is FaultCode.INTERNAL

    run_lab(tmp_path, scenario, laws=False)


def test_safe_levels_reach_everybody_behind_one_that_raises(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        told: list[BoardCommand] = []
        lab.station.devices.boards[1].command = _raise  # type: ignore[method-assign]
        lab.station.devices.boards[2].command = told.append  # type: ignore[method-assign, assignment]
        lab.station.loop.safe()
        assert told == [BoardCommand()]

    run_lab(tmp_path, scenario, laws=False)


def test_disk_that_fails_for_a_minute_loses_no_event_and_no_transaction(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await _charge(lab)
        _break_disk(lab)
        await lab.do(cmd="set_ev", connector=1, stop=True)
        await lab.forward(60)
        assert lab.station.effects.waiting or lab.station.effects.busy
        (storage,) = (r for r in lab.view().faults if r.code is FaultCode.STORAGE)
        assert storage.detail.startswith("PersistenceInsertFailed: ")
        assert not lab.evse(1).contactor_closed
        await lab.do(cmd="plug_out", connector=1)
        await lab.forward(1)
        _mend_disk(lab)
        await lab.forward(10)
        events, _ = await lab.store.events(limit=1000)
        numbers = sorted(e.seq for e in events)
        assert numbers == list(range(1, lab.station.loop.state.event_seq + 1))
        sessions, _, _ = await lab.store.sessions()
        assert sessions[0].stop_reason is StopReason.STOPPED_BY_EV
        assert lab.station.supervisor.failures == {}
        await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.summary().queued == 0, "queue", 60)
        assert lab.sim.csms is not None
        assert compare_ledger(sessions, lab.sim.csms.ledger()) == []

    run_lab(tmp_path, scenario)


def test_screens_live_while_the_disk_is_dead(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await _charge(lab)
        views: list[int] = []
        _break_disk(lab)
        lab.station.view_sinks.append(lambda view: views.append(view.wall))
        await lab.forward(40)
        assert len(views) >= 75
        _mend_disk(lab)
        await lab.forward(5)

    run_lab(tmp_path, scenario)


def test_clean_stop_does_not_wait_for_a_dead_disk(tmp_path: Path) -> None:
    took: list[float] = []

    async def main() -> None:
        lab = Lab(demo_config(tmp_path), tmp_path / "data", fast=True)
        await lab.__aenter__()
        await lab.forward(3)
        await _charge(lab)
        _break_disk(lab)
        await lab.do(cmd="plug_out", connector=1, force=True)
        await lab.forward(5)
        began = lab.clock.now()
        await lab.station.close()
        took.append((lab.clock.now() - began) / 1e9)
        await lab.__aexit__(None, None, None)

    run_virtual(main(), VirtualLoop())
    assert took[0] < 15


def test_power_cut_never_ends_a_session_below_what_the_back_end_was_told(tmp_path: Path) -> None:
    config, database = demo_config(tmp_path), tmp_path / "station.sqlite3"

    async def main() -> None:
        lab = Lab(config, tmp_path / "data", fast=True, database=database)
        await lab.__aenter__()
        await lab.forward(3)
        await _charge(lab)
        await lab.forward(17.3)  # MeterValues every 5 s, samples of the plot every 10 s and on disk after 30 s
        assert lab.sim.csms is not None
        told = lab.sim.csms.ledger()["transactions"][0]["last_register_wh"]
        assert told > 100
        await lab.kill()
        again = Lab(config, tmp_path / "data", database=database, sim=lab.sim, clock=lab.clock)
        await again.__aenter__()
        await again.until(
            lambda: again.station.ocpp is not None and again.station.ocpp.summary().queued == 0, "queue", 120
        )
        await again.forward(5)
        ledger = lab.sim.csms.ledger()
        assert ledger["violations"] == []
        assert ledger["transactions"][0]["meter_stop_wh"] >= told
        await again.__aexit__(None, None, None)
        assert lab._sim_task is not None
        lab._sim_task.cancel()

    run_virtual(main(), VirtualLoop())


def test_station_taken_out_of_service_as_a_whole_comes_back_as_a_whole(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        assert (await api("connector.disable", {"evse_id": 0}))["changed"]
        await lab.forward(0.2)
        assert all(e.phase is SessionPhase.UNAVAILABLE for e in lab.view().evses)
        one = await api("connector.enable", {"evse_id": 1})
        assert not one["changed"] and "whole station" in one["detail"]
        assert (await api("connector.enable", {"evse_id": 0}))["changed"]
        await lab.forward(0.2)
        assert all(e.phase is SessionPhase.IDLE for e in lab.view().evses)
        assert not (await api("connector.enable", {"evse_id": 0}))["changed"]

    run_lab(tmp_path, scenario)


def test_task_that_recovered_is_restarted_soon_again() -> None:
    starts: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def work() -> None:
            starts.append(loop.time())
            if len(starts) == 8:
                await asyncio.sleep(120)
            raise OSError("the adapter is gone")

        supervisor = Supervisor()
        supervisor.start("driver", work)
        await asyncio.sleep(400)
        await supervisor.stop()

    run_virtual(main(), VirtualLoop())
    assert starts[7] - starts[6] >= 30
    assert starts[8] - starts[7] == pytest.approx(120 + PAUSE_MIN_S)


def test_listener_that_raises_ends_no_session_and_starves_nobody(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        views: list[int] = []
        lab.station.event_sinks.insert(0, _raise)
        lab.station.view_sinks.insert(0, _raise)
        lab.station.view_sinks.append(lambda view: views.append(view.wall))
        await _charge(lab)
        assert len(views) >= 5
        assert lab.station.supervisor.failures == {}
        assert not lab.station.loop.fault

    run_lab(tmp_path, scenario)


@pytest.mark.parametrize("killed", [False, True])
def test_session_over_a_calendar_set_back_ends_not_before_its_start(tmp_path: Path, killed: bool) -> None:
    config, database = demo_config(tmp_path), tmp_path / "station.sqlite3"

    async def main() -> None:
        lab = last = Lab(config, tmp_path / "data", fast=True, database=database)
        await lab.__aenter__()
        await lab.forward(3)
        await _charge(lab)
        lab.clock.jump_wall(lab.clock.wall() - 7200 * 1_000_000_000)
        await lab.forward(12)
        if killed:
            await lab.kill()
            last = Lab(config, tmp_path / "data", database=database, sim=lab.sim, clock=lab.clock)
            await last.__aenter__()
        else:
            await lab.do(cmd="plug_out", connector=1)
            await lab.until(lambda: not lab.evse(1).plugged, "left", 30)
        await last.forward(2)
        await last.until(lambda: last.station.ocpp is not None and last.station.ocpp.summary().queued == 0, "queue", 90)
        assert lab.sim.csms is not None
        ledger = lab.sim.csms.ledger()
        assert len(ledger["transactions"]) == 1 and not ledger["open"]
        assert ledger["violations"] == []
        sessions, _, _ = await last.store.sessions(state="all")
        row = sessions[0]
        assert row.started_at is not None and row.ended_at is not None and row.unplugged_at is not None
        assert row.plugged_at <= row.started_at <= row.ended_at
        assert row.unplugged_at >= row.plugged_at
        await last.__aexit__(None, None, None)
        if last is not lab and lab._sim_task is not None:
            lab._sim_task.cancel()

    run_virtual(main(), VirtualLoop())


def test_trace_holds_ticks_of_one_spec_only(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.forward(10)
        assert lab.station.ocpp is not None
        assert await lab.station.ocpp.set_key("ConnectionTimeOut", "7") == "Accepted"
        await lab.forward(1)
        path, ticks, _ = lab.station.dump_trace("test")
        _, spec, _ = read_trace(path)
        assert spec.connection_timeout_s == 7
        assert 0 < ticks <= 20

    run_lab(tmp_path, scenario)


def test_bug_behind_a_card_is_a_refusal_at_once(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        ocpp = lab.station.ocpp
        assert ocpp is not None
        ocpp.authorize = _raise  # type: ignore[method-assign]
        await lab.do(cmd="plug_in", connector=1, soc_pct=30)
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await lab.forward(2)
        denied = [e for e in lab.events if e.kind == "session.denied"]
        assert denied and "internal error" in str(denied[0].data["why"])
        del ocpp.authorize
        await lab.do(cmd="swipe", token="04A1B2C4", reader="reader1")
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 10_000, "charging", 60)

    run_lab(tmp_path, scenario)


def test_law_that_is_broken_fails_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "gate", lambda spec, outputs, inputs, now: outputs)
    monkeypatch.setattr("evse.core.faults.station_causes", lambda t: None)

    async def scenario(lab: Lab) -> None:
        await _charge(lab)
        await lab.do(cmd="fault", action="raise", fault="emergency_stop", connector=2)
        await lab.forward(1)

    with pytest.raises(AssertionError, match="L01"):
        run_lab(tmp_path, scenario)
