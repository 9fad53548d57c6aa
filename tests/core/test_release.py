"""Permission, reservation, availability: what is accepted, refused with which words, and what ends by itself."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from evse.core.availability import effective
from evse.core.inputs import (
    AuthorizeResult,
    CalendarSet,
    ReserveEvse,
    SetAvailability,
    StartSession,
    StopSession,
    TokenPresented,
    TransactionNumbered,
    UnlockConnector,
)
from evse.core.outputs import OpenTransaction, RequestAuthorization, SaveSession
from evse.core.state import AvailabilityCell
from evse.domain.session import AuthSource, OperationalStatus, SessionPhase, StopReason
from evse.domain.station import EvseKind, EvseSpec, StationSpec
from evse.units import NS_PER_S
from tests.core.plant import WALL0, Plant, spec_of

ON, OFF = OperationalStatus.OPERATIVE, OperationalStatus.INOPERATIVE


def refused(p: Plant) -> str:
    return str(next(e for e in reversed(p.events) if e.kind == "command.refused").data["why"])


def test_permission_without_a_vehicle_ends_after_the_connection_timeout() -> None:
    p = Plant(spec_of(1, connection_timeout_s=60))
    p.start()
    p.run(60 * 20)
    assert p.evse().auth_state == "granted"
    p.run(1)
    assert p.evse().auth_state == "none" and "session.auth_expired" in p.kinds()


def test_an_answer_that_never_comes_counts_as_refused_after_sixty_seconds() -> None:
    p = Plant()
    p.cars[1].plug()
    p.run()
    p.send(TokenPresented, reader="r", id_token="X", evse_ids=(1,))
    p.run(60 * 20)
    assert p.evse().auth_state == "waiting"
    p.run(2)
    assert p.evse().auth_state == "denied"
    p.send(AuthorizeResult, evse_id=1, id_token="X", accepted=True)
    p.run()
    assert "nobody waits" in refused(p)
    p.run(201)
    assert p.evse().auth_state == "none"


def test_a_refused_card_may_be_followed_by_another() -> None:
    p = Plant()
    p.cars[1].plug()
    p.run()
    p.send(TokenPresented, reader="r", id_token="X", evse_ids=(1,))
    p.run()
    p.send(AuthorizeResult, evse_id=1, id_token="X", accepted=False, reason="Blocked")
    p.run()
    assert p.evse().auth_state == "denied"
    p.send(TokenPresented, reader="r", id_token="Y", evse_ids=(1,))
    p.run()
    assert [e.id_token for e in p.effects if isinstance(e, RequestAuthorization)] == ["X", "Y"]


def test_another_card_does_not_stop_a_session() -> None:
    p = Plant()
    p.charge()
    p.send(TokenPresented, reader="r", id_token="other", evse_ids=(1,))
    p.run(2)
    assert p.state.evses[0].stop_reason is None and "no EVSE" in refused(p)


def test_free_charging_starts_by_itself_once_per_plug_in() -> None:
    spec = StationSpec(
        station_id="f",
        evses=(EvseSpec(evse_id=1, home_group=1, free_charging=True, free_id_token="FREE1"),),
        groups=spec_of(1).groups,
    )
    p = Plant(spec)
    p.cars[1].plug()
    p.until(lambda p: p.current(1) > 0)
    (start,) = [e for e in p.effects if isinstance(e, OpenTransaction)]
    assert start.session.id_token == "FREE1" and start.session.auth_source is AuthSource.FREE
    p.cars[1].want_stop = True
    p.until(lambda p: bool(p.closed()))
    p.run(400)
    assert len([e for e in p.effects if isinstance(e, OpenTransaction)]) == 1


def test_a_transaction_number_is_stored_and_a_refusal_ends_the_session() -> None:
    p = Plant()
    p.charge()
    session_id = p.state.evses[0].session_id
    p.send(TransactionNumbered, evse_id=1, session_id=session_id, transaction_id=77, accepted=False)
    p.run()
    saved = [e for e in p.effects if isinstance(e, SaveSession)]
    assert saved[-1].session.transaction_id == 77
    p.until(lambda p: bool(p.closed()))
    assert p.closed()[0].session.stop_reason is StopReason.DE_AUTHORIZED and p.closed()[0].session.transaction_id == 77


def test_a_reservation_keeps_others_out_and_ends_by_itself() -> None:
    p = Plant()
    p.run()
    p.send(ReserveEvse, evse_id=1, id_token="MINE", until=WALL0 + p.now + 10 * NS_PER_S)
    p.run()
    assert p.evse().reserved
    p.start(1, "OTHER")
    p.run()
    assert "reserved" in refused(p)
    p.run(200)
    assert not p.evse().reserved and "reservation.ended" in p.kinds()


@pytest.mark.parametrize(("token", "parent", "state"), [
    ("mine", "", "granted"), ("OTHER", "fleet", "granted"), ("OTHER", "THEIRS", "denied"), ("OTHER", "", "denied"),
])
def test_a_reserved_evse_serves_its_card_and_its_group_only(token: str, parent: str, state: str) -> None:
    p = Plant()
    p.cars[1].plug()
    p.run()
    until = WALL0 + p.now + 100 * NS_PER_S
    p.send(ReserveEvse, evse_id=1, id_token="MINE", parent_id="FLEET", until=until)
    p.run()
    assert "occupied" in refused(p)
    p = Plant()
    p.run()
    p.send(ReserveEvse, evse_id=1, id_token="MINE", parent_id="FLEET", until=until)
    p.run()
    p.send(TokenPresented, reader="r", id_token=token, evse_ids=(1,))
    p.run()
    p.send(AuthorizeResult, evse_id=1, id_token=token, accepted=True, parent_id=parent)
    p.run()
    assert p.evse().auth_state == state
    assert p.evse().reserved
    if state == "granted":
        p.cars[1].plug()
        p.until(lambda p: "transaction.started" in p.kinds())
        ends = [e.data["why"] for e in p.events if e.kind == "reservation.ended"]
        assert ends == ["used"] and not p.evse().reserved


def test_a_remote_start_with_the_group_may_use_a_reservation() -> None:
    p = Plant()
    p.run()
    until = WALL0 + p.now + 100 * NS_PER_S
    p.send(ReserveEvse, evse_id=1, id_token="MINE", parent_id="FLEET", until=until)
    p.run()
    p.send(StartSession, evse_id=1, id_token="X", source=AuthSource.REMOTE, parent_id="OTHERS")
    p.run()
    assert "reserved" in refused(p)
    p.send(StartSession, evse_id=1, id_token="X", source=AuthSource.REMOTE, parent_id="FLEET")
    p.run()
    assert p.evse().auth_state == "granted"


def test_a_card_for_two_evses_goes_to_the_one_that_is_not_reserved() -> None:
    p = Plant(spec_of(2))
    p.run()
    until = WALL0 + p.now + 100 * NS_PER_S
    p.send(ReserveEvse, evse_id=1, id_token="MINE", parent_id="FLEET", until=until)
    p.run()
    p.send(TokenPresented, reader="r", id_token="X", evse_ids=(1, 2))
    p.run()
    p.send(AuthorizeResult, evse_id=2, id_token="X", accepted=True)
    p.run()
    assert (p.evse(1).auth_state, p.evse(2).auth_state) == ("none", "granted")
    p.cars[1].plug()
    p.run(20)
    assert (p.evse(1).auth_state, p.evse(2).auth_state) == ("none", "granted")


def test_free_charging_does_not_start_on_a_reserved_evse() -> None:
    spec = spec_of(1)
    p = Plant(replace(spec, evses=(replace(spec.evses[0], free_charging=True),)))
    p.run()
    p.send(ReserveEvse, evse_id=1, id_token="MINE", until=WALL0 + p.now + 5 * NS_PER_S)
    p.run()
    p.cars[1].plug()
    p.run(20)
    assert p.evse().auth_state == "none"
    p.run(100)
    assert p.evse().auth_state == "granted"


@pytest.mark.parametrize("station_backend", [ON, OFF])
@pytest.mark.parametrize("station_local", [ON, OFF])
@pytest.mark.parametrize("backend", [ON, OFF])
@pytest.mark.parametrize("local", [ON, OFF])
@pytest.mark.parametrize("tx_open", [True, False])
def test_the_availability_matrix(
    station_backend: OperationalStatus,
    station_local: OperationalStatus,
    backend: OperationalStatus,
    local: OperationalStatus,
    tx_open: bool,
) -> None:
    wishes = (station_backend, station_local, backend, local)
    got = effective(
        AvailabilityCell(backend=station_backend, local=station_local),
        AvailabilityCell(backend=backend, local=local),
        tx_open,
    )
    assert got is (ON if tx_open or OFF not in wishes else OFF)


def test_out_of_service_waits_for_the_end_of_the_session() -> None:
    p = Plant()
    p.charge()
    p.send(SetAvailability, evse_id=0, origin="backend", status=OFF)
    p.run(5)
    assert p.events[-1].data.get("scheduled") is True or any(e.data.get("scheduled") for e in p.events)
    assert p.evse(1).phase is SessionPhase.CHARGING and p.evse(2).phase is SessionPhase.UNAVAILABLE
    p.send(StopSession, evse_id=1, reason=StopReason.LOCAL)
    p.until(lambda p: bool(p.closed()))
    p.until(lambda p: p.evse().phase is SessionPhase.UNAVAILABLE, 200)
    p.start(1)
    p.run()
    assert "out of service" in refused(p)
    p.send(SetAvailability, evse_id=0, origin="backend", status=ON)
    p.run(2)
    assert p.evse(2).phase is SessionPhase.IDLE


def test_nobody_begins_while_firmware_is_installed_and_nobody_is_stopped() -> None:
    p = Plant()
    p.charge()
    p.updating = True
    p.run(5)
    assert p.evse(1).phase is SessionPhase.CHARGING and p.evse(2).phase is SessionPhase.UNAVAILABLE
    p.start(2)
    p.run()
    assert "out of service" in refused(p)
    p.send(StopSession, evse_id=1, reason=StopReason.LOCAL)
    p.until(lambda p: bool(p.closed()))
    p.until(lambda p: p.evse().phase is SessionPhase.UNAVAILABLE, 200)
    p.updating = False
    p.run(2)
    assert p.evse(2).phase is SessionPhase.IDLE


def test_unlock_stops_first_and_unlocks_without_voltage() -> None:
    p = Plant()
    p.charge()
    p.send(UnlockConnector, evse_id=1)
    p.until(lambda p: not p.board().lock, 400)
    assert p.cars[1].status.output_mv < 60_000 and p.closed()


def test_no_start_without_a_meter_value() -> None:
    p = Plant()
    p.cars[1].meter_dead = True
    p.cars[1].plug()
    p.run()
    p.start()
    p.run(20)
    assert not p.state.evses[0].tx_open and p.evse().waiting_for == "the energy meter"


def test_energy_without_a_meter_is_integrated() -> None:
    spec = StationSpec(
        station_id="n", evses=(EvseSpec(evse_id=1, home_group=1, has_meter=False),), groups=spec_of(1).groups
    )
    p = Plant(spec)
    p.cars[1].meter_dead = True
    p.charge()
    p.run(20 * 60)
    assert abs(p.evse().session.energy_wh - 38_000 // 60) <= 3


def test_unplugging_under_load_ends_once_with_the_right_reason() -> None:
    p = Plant()
    p.charge()
    p.cars[1].unplug()
    p.step()
    assert not p.board().contactor_lease and not p.outputs.groups[0].on
    p.until(lambda p: bool(p.closed()), 100)
    assert p.closed()[0].session.stop_reason is StopReason.EV_DISCONNECTED
    p.run(5)
    assert p.evse().phase is SessionPhase.IDLE


def test_an_ac_evse_whose_board_tells_nothing_about_ac_gives_nothing() -> None:
    spec = StationSpec(station_id="a", evses=(EvseSpec(evse_id=1, kind=EvseKind.AC),))
    p = Plant(spec)
    p.cars[1].plug()
    p.start()
    p.run(50)
    command = p.board()
    assert not command.permit and not command.contactor_lease and command.ac is not None and not command.ac.duty_bp
    p.start(9)
    p.run()
    assert "there is no EVSE 9" in refused(p)


def charging_with_group(parent: str = "FAMILY", **spec: object) -> Plant:
    """A session whose card has the group ``parent``."""
    p = Plant(spec_of(1, **spec))
    p.cars[1].plug()
    p.run()
    p.send(TokenPresented, reader="r", id_token="MOTHER", evse_ids=(1,))
    p.run()
    p.send(AuthorizeResult, evse_id=1, id_token="MOTHER", accepted=True, parent_id=parent)
    p.run(20)
    assert p.state.evses[0].tx_open
    return p


def asked_for(p: Plant) -> list[str]:
    return [e.id_token for e in p.effects if isinstance(e, RequestAuthorization)]


@pytest.mark.parametrize(("parent", "accepted", "ends"), [
    ("family", True, True),  # identifiers compare without case
    ("OTHERS", True, False),
    ("", True, False),
    ("FAMILY", False, False),  # a blocked card of the group
])
def test_a_card_of_the_same_group_ends_the_session(parent: str, accepted: bool, ends: bool) -> None:
    p = charging_with_group()
    p.send(TokenPresented, reader="r", id_token="FATHER", evse_ids=(1,))
    p.run()
    assert asked_for(p)[-1] == "FATHER"
    p.send(AuthorizeResult, evse_id=1, id_token="FATHER", accepted=accepted, parent_id=parent, reason="Blocked")
    p.run(200)
    session = p.state.evses[0]
    assert (session.stop_reason is StopReason.LOCAL) is ends
    assert session.stop_token == ("FATHER" if ends else "")
    if not ends:
        assert refused(p) == ("Blocked" if not accepted else "the card belongs to no group that charges here")


def test_a_card_without_any_group_running_is_not_asked_about() -> None:
    p = charging_with_group(parent="")
    p.send(TokenPresented, reader="r", id_token="FATHER", evse_ids=(1,))
    p.run()
    assert asked_for(p)[-1] == "MOTHER" and "no EVSE of this reader is free" in refused(p)


def test_the_group_may_come_with_the_number_of_the_transaction() -> None:
    p = charging_with_group(parent="")
    session = p.state.evses[0].session_id
    p.send(TransactionNumbered, evse_id=1, session_id=session, transaction_id=7, accepted=True, parent_id="FAMILY")
    p.run()
    p.send(TokenPresented, reader="r", id_token="FATHER", evse_ids=(1,))
    p.run()
    p.send(AuthorizeResult, evse_id=1, id_token="FATHER", accepted=True, parent_id="FAMILY")
    p.run(5)
    assert p.state.evses[0].stop_token == "FATHER"


def test_an_answer_about_a_group_that_never_comes_is_forgotten() -> None:
    p = charging_with_group()
    p.send(TokenPresented, reader="r", id_token="FATHER", evse_ids=(1,))
    p.run(61 * 20)
    p.send(AuthorizeResult, evse_id=1, id_token="FATHER", accepted=True, parent_id="FAMILY")
    p.run(5)
    assert p.state.evses[0].stop_token == "" and p.state.evses[0].tx_open


def test_the_card_that_ends_its_own_session_is_named() -> None:
    p = charging_with_group()
    p.send(TokenPresented, reader="r", id_token="MOTHER", evse_ids=(1,))
    p.run(200)
    assert p.state.evses[0].stop_token == "MOTHER"


def test_a_station_that_needs_the_time_waits_for_it() -> None:
    p = Plant(spec_of(1, needs_time=True))
    p.wall_valid = False
    p.cars[1].plug()
    p.start()
    p.run(40)
    assert not p.state.evses[0].tx_open and p.evse().waiting_for == "the time of day"
    p.wall_valid = True
    p.run(40)
    assert p.state.evses[0].tx_open


def test_a_calendar_that_is_set_late_puts_the_running_session_right() -> None:
    p = charging_with_group()
    before = p.state.evses[0]
    p.send(CalendarSet, by=1_000, valid_from=WALL0 + p.now + 10**12)
    p.run()
    after = p.state.evses[0]
    assert (after.plugged_at, after.started_at) == (before.plugged_at + 1_000, (before.started_at or 0) + 1_000)
    assert (after.ended_at, after.unplugged_at, after.tx_open) == (None, None, True)
    p.send(CalendarSet, by=1_000, valid_from=WALL0)  # valid stamps stay
    p.run()
    assert p.state.evses[0].started_at == after.started_at
