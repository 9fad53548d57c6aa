"""A session from plug-in to unplug, and the ways to start and stop one."""

from __future__ import annotations

from evse.core.inputs import AuthorizeResult, StopSession, TokenPresented
from evse.core.outputs import OpenTransaction, RequestAuthorization, SaveSession
from evse.core.state import Stage
from evse.domain.session import ChargingState, SessionPhase, StopReason
from evse.domain.signals import HlcStep
from tests.core.plant import Plant


def test_a_session_runs_from_plug_in_to_unplug() -> None:
    p = Plant()
    p.run(5)
    assert p.evse().phase is SessionPhase.IDLE
    p.charge()
    p.run(400)
    v = p.evse()
    assert v.phase is SessionPhase.CHARGING and v.charging_state is ChargingState.CHARGING
    assert v.power_w == 380_000 * 100_000 // 1_000_000
    assert v.step is HlcStep.CURR and v.contactor_closed and v.locked
    p.cars[1].want_stop = True
    p.until(lambda p: p.state.evses[0].stage is Stage.FINISHED)
    (end,) = p.closed()
    assert end.session.stop_reason is StopReason.STOPPED_BY_EV
    assert end.session.energy_wh > 200
    assert end.session.soc_start_pct == 30 and end.session.evcc_id == "0123456789AB"
    assert not p.board().lock
    p.cars[1].unplug()
    p.run(2)
    assert p.evse().phase is SessionPhase.IDLE
    assert isinstance(p.effects[-1], SaveSession) and p.effects[-1].session.unplugged_at is not None
    story = [k for k in p.kinds() if k.split(".")[0] in ("session", "transaction", "insulation")]
    assert story == [
        "session.plugged",
        "session.authorised",
        "transaction.started",
        "insulation.passed",
        "transaction.ended",
        "session.unplugged",
    ]
    assert not p.codes()


def test_energy_waits_until_the_start_is_durable() -> None:
    p = Plant()
    p.answer_stored = False
    p.cars[1].plug()
    p.run()
    p.start()
    p.run(200)
    assert p.state.evses[0].stage is Stage.CABLE_CHECK
    assert p.evse().waiting_for == "the stored start"
    assert not p.board().contactor_lease


def test_a_card_starts_and_the_same_card_stops() -> None:
    p = Plant()
    p.cars[2].plug()
    p.run(3)
    p.send(TokenPresented, reader="r", id_token="04AB", evse_ids=(1, 2))
    p.run()
    (ask,) = [e for e in p.effects if isinstance(e, RequestAuthorization)]
    assert ask.evse_id == 2
    p.send(AuthorizeResult, evse_id=2, id_token="04AB", accepted=True)
    p.until(lambda p: p.current(2) > 0)
    p.send(TokenPresented, reader="r", id_token="04AB", evse_ids=(1, 2))
    p.until(lambda p: bool(p.closed()))
    assert p.closed()[0].session.stop_reason is StopReason.LOCAL
    assert p.closed()[0].session.id_token == "04AB"


def test_a_card_before_the_plug_goes_to_whoever_plugs_in() -> None:
    p = Plant()
    p.run()
    p.send(TokenPresented, reader="r", id_token="04AB", evse_ids=(1, 2))
    p.run()
    p.send(AuthorizeResult, evse_id=1, id_token="04AB", accepted=True)
    p.run(10)
    p.cars[2].plug()
    p.until(lambda p: p.current(2) > 0)
    assert {e.evse_id for e in p.effects if isinstance(e, OpenTransaction)} == {2}


def test_a_stopped_vehicle_may_start_again_without_replugging() -> None:
    p = Plant()
    p.charge()
    p.send(StopSession, evse_id=1, reason=StopReason.REMOTE)
    p.until(lambda p: p.state.evses[0].stage is Stage.FINISHED)
    p.run(200)
    assert not p.board().permit
    p.start()
    p.until(lambda p: p.current(1) > 0)
    ids = [e.session.session_id for e in p.effects if isinstance(e, OpenTransaction)]
    assert len(set(ids)) == 2 and all(len(i) == 16 for i in ids)


def test_the_session_before_a_new_start_has_an_end() -> None:
    """Else it would be shown as active for ever: its vehicle never leaves under that number."""
    p = Plant()
    p.charge()
    p.send(StopSession, evse_id=1, reason=StopReason.REMOTE)
    p.until(lambda p: p.state.evses[0].stage is Stage.FINISHED)
    first = p.state.evses[0].session_id
    p.start()
    p.until(lambda p: p.current(1) > 0)
    saved = [e.session for e in p.effects if isinstance(e, SaveSession) and e.session.session_id == first]
    assert saved[-1].unplugged_at is not None and saved[-1].ended_at is not None
    assert saved[-1].unplugged_at >= saved[-1].ended_at
    now = p.state.evses[0].session()
    assert now is not None and now.session_id != first and now.unplugged_at is None
