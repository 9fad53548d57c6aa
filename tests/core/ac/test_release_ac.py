"""Who may charge at an AC EVSE: release modes, key switch, held permissions, cards, one reader for several EVSEs."""

from __future__ import annotations

from typing import Any

import pytest

from evse.core import release, shared_reader
from evse.core.ac import release_ac
from evse.core.inputs import AuthorizeResult, SetPermission, StartSession, StopSession
from evse.core.state import AuthState, Stage
from evse.domain.ac import AcSpec, ReleaseMode
from evse.domain.session import AuthSource, StopReason
from evse.domain.station import EvseKind, EvseSpec, StationSpec
from evse.units import NS_PER_S, TICK_NS, s
from tests.core.ac.bench import spec_of
from tests.core.ac.release_rig import Rig

M, A = ReleaseMode, AuthSource


def rig(mode: ReleaseMode = M.OCPP, n: int = 1, **ac: Any) -> Rig:
    return Rig(spec_of(n=n, release=mode, inputs=4, **ac))


def permission(mode: ReleaseMode, allowed: bool = True, **more: Any) -> SetPermission:
    return SetPermission(seq=1, evse_id=1, mode=mode, allowed=allowed, **more)


# -- who gives permission -------------------------------------------------------------------------------------------------

# columns: mode; card remote api autocharge key_switch modbus mqtt
WHO = """
free        -  -  x  -  -  -  -
list        x  -  x  x  -  -  -
ocpp        x  x  x  x  -  -  -
remote      -  -  x  -  -  -  -
modbus      -  -  -  -  -  x  -
mqtt        -  -  -  -  -  -  x
key_switch  -  -  -  -  x  -  -
dashboard   -  -  x  -  -  -  -
"""
SOURCES = (A.RFID, A.REMOTE, A.API, A.AUTOCHARGE, A.KEY_SWITCH, A.MODBUS, A.MQTT)
ROWS = {words[0]: words[1:] for words in (line.split() for line in WHO.strip().splitlines())}


@pytest.mark.parametrize("mode", list(M), ids=lambda x: x.value)
def test_each_mode_takes_permission_from_its_own_sources_only(mode: ReleaseMode) -> None:
    for source, word in zip(SOURCES, ROWS[mode.value], strict=True):
        r = rig(mode, key_switch_input=1)
        r.board(inputs=1)
        r.tick_of(StartSession(seq=1, evse_id=1, id_token="T", source=source))
        assert r.auth() == (("granted", source.value) if word == "x" else ("none", "none")), (mode, source)
        assert word == "x" or mode.value in r.refused


@pytest.mark.parametrize("mode", list(M), ids=lambda x: x.value)
def test_a_card_where_none_is_taken_is_refused_with_the_reason(mode: ReleaseMode) -> None:
    r = rig(mode)
    r.card()
    if mode in (M.LIST, M.OCPP):
        assert r.asked == [(1, "CARD")] and not r.refused
    else:
        assert not r.asked and f"release mode is {mode.value}" in r.refused and r.auth()[0] == "none"


@pytest.mark.parametrize("mode", list(M), ids=lambda x: x.value)
@pytest.mark.parametrize("given", list(M), ids=lambda x: x.value)
def test_a_permission_counts_in_its_own_mode_only(mode: ReleaseMode, given: ReleaseMode) -> None:
    r = rig(mode)
    r.plug()
    r.tick_of(permission(given, id_token="OPERATOR"))
    if mode is given and mode in release_ac.COMMANDED:
        assert r.auth() == ("granted", release_ac.SOURCES[mode].value) and r.evse().auth_token == "OPERATOR"
    else:
        assert r.auth()[1] in ("none", "free") and r.told("command.refused")


def test_what_a_vehicle_waits_for_depends_on_the_mode() -> None:
    texts = set()
    for mode in M:
        t = rig(mode).tick()
        texts.add(release.missing(t.conns[0]))
        t.conns[0].a.rule_release = False
        assert "event action" in release.missing(t.conns[0])
    assert len(texts) == len(M) and "the key switch" in texts


def test_a_permission_for_an_evse_that_is_not_ac_is_refused() -> None:
    r = Rig(StationSpec(station_id="d", evses=(EvseSpec(evse_id=1),)))
    r.tick_of(permission(M.MQTT))
    assert "no AC EVSE 1" in r.refused


# -- permission for one session -------------------------------------------------------------------------------------------


def test_permission_without_a_vehicle_ends_after_the_connection_timeout() -> None:
    r = rig(M.MQTT)
    r.tick_of(permission(M.MQTT))
    r.pass_s(59.9)
    assert r.auth() == ("granted", "mqtt")
    r.pass_s(0.2)
    assert r.auth() == ("none", "none") and r.told("session.auth_expired")


@pytest.mark.parametrize(("mode", "reason"), [
    (M.REMOTE, StopReason.REMOTE), (M.MODBUS, StopReason.REMOTE), (M.MQTT, StopReason.REMOTE),
    (M.DASHBOARD, StopReason.LOCAL),
])  # fmt: skip
def test_a_permission_that_is_taken_back_ends_the_transaction(mode: ReleaseMode, reason: StopReason) -> None:
    r = rig(mode)
    r.plug()
    r.transaction(token="X", source=release_ac.SOURCES[mode])
    r.tick_of(permission(mode, allowed=False))
    assert r.stop_wanted[1] is reason and not r.refused
    r.finished()
    r.tick_of(permission(mode))
    assert r.auth()[0] == "granted"
    r.tick_of(permission(mode, allowed=False))
    assert r.auth()[0] == "none" and r.told("session.auth_withdrawn")[0].data["reason"] == reason.value and not r.refused
    r.tick_of(permission(mode, allowed=False))
    assert "no permission" in r.refused


@pytest.mark.parametrize(("change", "why"), [
    ({"tx_open": True, "stage": Stage.CURRENT}, "transaction is running"),
    ({"auth": AuthState.GRANTED, "auth_source": A.API, "auth_deadline": s(10**6)}, "already has permission"),
    ({"reserved_deadline": s(10**6), "reserved_token": "Y"}, "reserved"),
])  # fmt: skip
def test_a_permission_that_cannot_be_used_is_refused(change: dict[str, Any], why: str) -> None:
    r = rig(M.REMOTE)
    r.plug()
    r.work(**change)
    r.tick_of(permission(M.REMOTE))
    assert why in r.refused


# -- levels: held permissions and the key switch ----------------------------------------------------------------------------


def level(r: Rig, mode: ReleaseMode, on: bool) -> None:
    """Turn the key, or let another program hold its permission."""
    if mode is M.KEY_SWITCH:
        r.board(inputs=0b1010 if on else 0b1000)  # input 4 is another one
        r.tick_of()
    else:
        r.tick_of(permission(mode, allowed=on, hold=on))


def leveled(mode: ReleaseMode) -> Rig:
    r = rig(mode, key_switch_input=2)
    level(r, mode, False)
    return r


LEVELS = pytest.mark.parametrize("mode", [M.KEY_SWITCH, M.MODBUS, M.MQTT, M.REMOTE, M.DASHBOARD], ids=lambda x: x.value)


@LEVELS
def test_a_level_releases_every_vehicle_that_comes_while_it_stands(mode: ReleaseMode) -> None:
    r = leveled(mode)
    level(r, mode, True)
    r.pass_s(300)
    assert r.auth()[0] == "none", "nobody is there"
    for number in range(2):
        r.plug(session_id=f"s{number}")
        r.tick_of()
        assert r.auth() == ("granted", release_ac.SOURCES[mode].value)
        assert r.evse().auth_token == release_ac.SOURCES[mode].value.upper()
        r.transaction(source=release_ac.SOURCES[mode])
        r.finished()
        r.pass_s(60)
        assert r.auth()[0] == "none", "the same vehicle needs a new rise"
        r.unplug()
        r.tick_of()


@LEVELS
def test_a_level_that_rises_releases_the_vehicle_that_is_there(mode: ReleaseMode) -> None:
    r = leveled(mode)
    r.plug()
    r.pass_s(10)
    assert r.auth()[0] == "none"
    level(r, mode, True)
    assert r.auth()[0] == "granted"
    r.pass_s(200)
    assert r.auth()[0] == "granted" and len(r.told("session.authorised")) == 1, "no timeout while it stands"
    r.transaction(source=release_ac.SOURCES[mode])
    r.finished()
    r.tick_of()
    level(r, mode, False)
    level(r, mode, True)
    assert r.auth()[0] == "granted", "a second session after a new rise"


def test_a_held_permission_keeps_its_identifier_and_others_have_the_tag_of_the_evse() -> None:
    r = Rig(spec_of(release=M.MQTT, evse={"free_id_token": "TAG"}))
    r.tick_of(permission(M.MQTT, hold=True, id_token="FLEET"))
    r.plug()
    r.tick_of()
    assert r.evse().auth_token == "FLEET"
    r.tick_of(permission(M.MQTT, allowed=False))
    r.tick_of(permission(M.MQTT, hold=True))
    assert r.evse().auth_token == "TAG"


@LEVELS
def test_a_level_that_falls_ends_the_session_or_the_permission(mode: ReleaseMode) -> None:
    r = leveled(mode)
    level(r, mode, True)
    r.plug()
    r.tick_of()
    level(r, mode, False)
    assert r.auth()[0] == "none" and r.told("session.auth_withdrawn")
    level(r, mode, True)
    r.transaction(source=release_ac.SOURCES[mode])
    level(r, mode, False)
    expected = StopReason.LOCAL if mode in (M.KEY_SWITCH, M.DASHBOARD) else StopReason.REMOTE
    assert r.stop_wanted[1] is expected


def test_a_key_switch_that_nobody_can_read_changes_nothing() -> None:
    r = leveled(M.KEY_SWITCH)
    r.plug()
    level(r, M.KEY_SWITCH, True)
    r.transaction(source=A.KEY_SWITCH)
    r.silent.add(1)
    r.pass_s(5)
    assert r.stop_wanted[1] is None
    r.silent.clear()
    r.tick_of()
    assert r.stop_wanted[1] is None


def test_a_key_that_was_turned_off_unseen_still_ends_the_session() -> None:
    r = leveled(M.KEY_SWITCH)
    r.plug()
    r.transaction(source=A.KEY_SWITCH)
    r.tick_of(dt=10 * NS_PER_S)
    assert r.stop_wanted[1] is StopReason.LOCAL


def test_the_key_of_a_board_without_that_input_gives_nothing() -> None:
    r = rig(M.KEY_SWITCH, key_switch_input=0)
    r.board(inputs=0xFFFF)
    r.plug()
    r.tick_of()
    assert r.auth()[0] == "none"


def test_a_level_does_not_release_a_reserved_evse() -> None:
    r = leveled(M.KEY_SWITCH)
    r.plug()
    r.work(reserved_token="MINE", reserved_deadline=r.now + s(5))
    level(r, M.KEY_SWITCH, True)
    assert r.auth()[0] == "none"


# -- free charging, event actions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "evse", "token"), [
    (M.FREE, {}, "FREE"), (M.FREE, {"free_id_token": "freecharging"}, "freecharging"),
    (M.OCPP, {"free_charging": True, "free_id_token": "freecharging"}, "freecharging"),
])  # fmt: skip
def test_free_charging_releases_once_per_vehicle_with_its_tag(mode: ReleaseMode, evse: Any, token: str) -> None:
    r = Rig(spec_of(release=mode, evse=evse))
    r.plug()
    r.tick_of()
    assert r.auth() == ("granted", "free") and r.evse().auth_token == token
    r.transaction(token=token, source=A.FREE)
    r.tick_of(StopSession(seq=1, evse_id=1, reason=StopReason.LOCAL))
    assert r.stop_wanted[1] is StopReason.LOCAL
    r.finished()
    r.pass_s(60)
    assert r.auth()[0] == "none"
    r.tick_of(StartSession(seq=2, evse_id=1, id_token="ops", source=A.API))
    assert r.auth() == ("granted", "api")


@pytest.mark.parametrize("mode", [M.FREE, M.OCPP, M.REMOTE, M.KEY_SWITCH], ids=lambda x: x.value)
def test_an_event_action_that_forbids_is_stronger_than_every_mode(mode: ReleaseMode) -> None:
    r = rig(mode, key_switch_input=1)
    r.board(inputs=1)
    r.memory(rule_release=False)
    r.plug()
    r.card()
    assert "event action" in r.told("command.refused")[-1].data["why"] and not r.asked
    r.tick_of(StartSession(seq=1, evse_id=1, id_token="T", source=A.API))
    assert "event action" in str(r.told("command.refused")[-1].data["why"])
    r.pass_s(2)
    assert r.auth()[0] == "none"


def test_an_answer_that_comes_after_an_event_action_forbade_is_a_refusal() -> None:
    r = rig()
    r.plug()
    r.card()
    r.memory(rule_release=False)
    r.tick_of(AuthorizeResult(seq=2, evse_id=1, id_token="CARD", accepted=True))
    assert r.auth()[0] == "denied" and "event action" in r.evse().auth_reason


# -- cards at one EVSE ------------------------------------------------------------------------------------------------------


def test_card_first_or_plug_first() -> None:
    for plug_first in (True, False):
        r = rig()
        if plug_first:
            r.plug()
        r.card()
        assert r.asked == [(1, "CARD")]
        r.tick_of(AuthorizeResult(seq=2, evse_id=1, id_token="CARD", accepted=True))
        assert r.auth() == ("granted", "rfid")


def test_a_card_counts_only_with_a_vehicle_where_that_is_wanted() -> None:
    r = rig(token_required_plugged=True)
    r.card()
    assert not r.asked and "plug the vehicle in first" in r.refused
    r.plug()
    r.card()
    assert r.asked == [(1, "CARD")]


def test_the_same_card_stops_unless_that_is_switched_off() -> None:
    for stops in (True, False):
        r = rig(same_token_stops=stops)
        r.plug()
        r.transaction()
        r.card()
        assert r.stop_wanted[1] is (StopReason.LOCAL if stops else None)
        assert stops or "does not stop" in r.refused
        r.card("OTHER")
        assert r.stop_wanted[1] is None and "no EVSE of this reader is free" in r.refused


# -- one reader for several EVSEs: Charge Control C, 15.18.1 -------------------------------------------------------------------


def shared(n: int = 2, **ac: Any) -> Rig:
    """As the manual configures it: a card needs a vehicle and does not stop."""
    return rig(n=n, token_required_plugged=True, same_token_stops=False, **ac)


def test_no_vehicle_the_card_is_ignored() -> None:
    r = shared()
    r.card()
    assert not r.asked and r.refused == shared_reader.NO_VEHICLE


def test_one_waiting_vehicle_gets_the_card_however_long_it_waits() -> None:
    r = shared()
    r.plug(evse_id=2)
    r.pass_s(200)
    r.card()
    assert r.asked == [(2, "CARD")]


def test_one_waits_and_one_charges_the_waiting_one_gets_the_card() -> None:
    r = shared()
    r.plug(evse_id=1)
    r.transaction(1, token="CARD")
    r.plug(evse_id=2)
    r.pass_s(200)
    r.card("CARD")
    assert r.asked == [(2, "CARD")] and r.stop_wanted[1] is None, "even the card that charges next door"


@pytest.mark.parametrize(("seconds", "evse_id"), [(0, 1), (0, 2), (60, 1), (60, 2)])
def test_two_wait_for_up_to_60_s_the_last_one_gets_the_card(seconds: int, evse_id: int) -> None:
    r = shared()
    r.plug(evse_id=3 - evse_id)
    r.pass_s(90)
    r.plug(evse_id=evse_id)
    r.now += seconds * NS_PER_S - TICK_NS
    r.card()
    assert r.asked == [(evse_id, "CARD")]


def test_two_wait_for_more_than_60_s_the_card_is_ignored() -> None:
    r = shared()
    r.plug(evse_id=1)
    r.pass_s(5)
    r.plug(evse_id=2)
    r.now += 60 * NS_PER_S
    r.card()
    assert not r.asked and r.refused == shared_reader.AMBIGUOUS


def test_two_charge_the_card_is_ignored() -> None:
    r = shared()
    for evse_id in (1, 2):
        r.plug(evse_id=evse_id)
        r.transaction(evse_id, token=f"C{evse_id}")
    r.card("OTHER")
    assert not r.asked and r.refused == shared_reader.ALL_CHARGE
    r.card("C2")
    assert not r.asked and "does not stop" in r.refused and r.stop_wanted == {1: None, 2: None}


def test_a_vehicle_with_permission_is_not_waiting_any_more() -> None:
    r = shared()
    r.plug(evse_id=1)
    r.pass_s(5)
    r.plug(evse_id=2)
    r.card("A")
    assert r.asked == [(2, "A")]
    r.card("B")
    assert r.asked == [(1, "B")], "the other one is the only one left"
    r.card("C")
    assert not r.asked and r.refused == shared_reader.ALL_CHARGE


def test_two_that_came_together_are_not_told_apart() -> None:
    """After a restart every vehicle seems to have come at the same time."""
    r = shared()
    r.plug(evse_id=1)
    r.plug(evse_id=2)
    r.card()
    assert not r.asked and r.refused == shared_reader.AMBIGUOUS


def test_four_ports_follow_the_same_table() -> None:
    r = shared(4)
    r.plug(evse_id=1)
    r.transaction(1, token="X")
    for evse_id in (2, 4, 3):
        r.pass_s(10)
        r.plug(evse_id=evse_id)
    r.card()
    assert r.asked == [(3, "CARD")]
    r.transaction(3)
    r.pass_s(61)
    r.card("D")
    assert not r.asked and r.refused == shared_reader.AMBIGUOUS
    r.unplug(4)
    r.card("E")
    assert r.asked == [(2, "E")], "one waiting vehicle"


def test_a_faulted_or_reserved_evse_is_none_of_the_waiting_ones() -> None:
    r = shared()
    for evse_id in (1, 2):
        r.plug(evse_id=evse_id)
        r.pass_s(70)
    r.work(2, reserved_token="MINE", reserved_deadline=r.now + s(500))
    r.card()
    assert r.asked == [(1, "CARD")]


def test_the_same_card_stops_at_a_shared_reader_where_that_is_switched_on() -> None:
    r = rig(n=2)
    r.plug(evse_id=1)
    r.transaction(1)
    r.plug(evse_id=2)
    r.card()
    assert r.stop_wanted == {1: StopReason.LOCAL, 2: None} and not r.asked


def test_evses_of_other_release_modes_do_not_take_part() -> None:
    spec = StationSpec(station_id="m", evses=(
        EvseSpec(evse_id=1, kind=EvseKind.AC, ac=AcSpec(release=M.MQTT)),
        EvseSpec(evse_id=2, kind=EvseKind.AC, ac=AcSpec(release=M.OCPP)),
    ))  # fmt: skip
    r = Rig(spec)
    r.plug(evse_id=2)
    r.pass_s(100)
    r.plug(evse_id=1)
    r.card()
    assert r.asked == [(2, "CARD")]


def test_dc_evses_with_one_reader_keep_their_rules() -> None:
    r = Rig(StationSpec(station_id="d", evses=(EvseSpec(evse_id=1), EvseSpec(evse_id=2))))
    r.card()
    assert r.asked == [(1, "CARD")] and r.evse(1).auth_evses == (1, 2), "card first"
    r = Rig(StationSpec(station_id="d", evses=(EvseSpec(evse_id=1), EvseSpec(evse_id=2))))
    r.plug(evse_id=2)
    r.pass_s(5)
    r.plug(evse_id=1)
    r.pass_s(200)
    r.card()
    assert r.asked == [(1, "CARD")], "the last one, for ever"
