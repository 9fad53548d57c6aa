"""A change of the link: staged, tried, kept or given up; and nothing ever locks a station out."""

from __future__ import annotations

import contextlib

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from evse.ocpp.security import link_state
from evse.ocpp.security.link_state import ACTIVE, STAGED, LinkSettings, LinkState

OLD = LinkSettings(url="ws://old", profile=1, key="a")
NEW = LinkSettings(url="ws://new", profile=1, key="a")
LIMIT = 3


def state() -> LinkState:
    return link_state.stage(LinkState(active=OLD, proven=True), NEW, "csms", 7)


def fail(present: LinkState, which: str, *, refused: bool = False) -> LinkState:
    return link_state.failed(present, which, "no", refused=refused, limit=LIMIT)


def test_a_staged_change_is_tried_next_and_becomes_active_only_when_accepted() -> None:
    present = state()
    assert link_state.in_turn(present) == (STAGED, NEW) and present.active == OLD
    done = link_state.registered(present, STAGED, LIMIT, 9)
    assert done.active == NEW and done.staged is None and done.given_up is None


def test_after_the_limit_the_old_settings_have_their_turn_and_the_change_is_given_up_when_they_work() -> None:
    present = state()
    for n in range(LIMIT):
        assert link_state.in_turn(present)[0] == STAGED, n
        present = fail(present, STAGED)
    assert link_state.in_turn(present) == (ACTIVE, OLD)
    done = link_state.registered(present, ACTIVE, LIMIT, 9)
    assert done.active == OLD and done.staged is None
    assert done.given_up is not None and (done.given_up.url, done.given_up.error, done.given_up.at) == ("ws://new", "no", 9)


def test_when_the_old_settings_fail_as_often_the_new_ones_are_tried_again() -> None:
    present = state()
    for _ in range(LIMIT):
        present = fail(present, STAGED)
    for _ in range(LIMIT):
        assert link_state.in_turn(present)[0] == ACTIVE
        present = fail(present, ACTIVE)
    assert link_state.in_turn(present)[0] == STAGED and present.tries == 0


def test_an_outage_of_both_does_not_cost_the_change_its_chance() -> None:
    present = state()
    for _ in range(LIMIT):
        present = fail(present, STAGED)
    present = fail(present, ACTIVE)
    present = link_state.registered(present, ACTIVE, LIMIT, 9)
    assert present.staged == NEW and present.tries == 0 and link_state.in_turn(present)[0] == STAGED


def test_a_refused_key_gives_way_at_once_and_takes_turns_with_the_old_one() -> None:
    key = msgspec.structs.replace(OLD, key="b")
    present = link_state.stage(LinkState(active=OLD, proven=True), key, "csms", 7)
    present = fail(present, STAGED, refused=True)
    assert link_state.in_turn(present) == (ACTIVE, OLD)
    present = link_state.registered(present, ACTIVE, LIMIT, 9)
    assert present.staged == key and link_state.in_turn(present)[0] == STAGED
    present = fail(present, STAGED, refused=True)
    present = fail(present, ACTIVE)
    assert link_state.in_turn(present)[0] == STAGED


def test_a_refused_key_for_another_url_is_an_ordinary_failure() -> None:
    assert link_state.in_turn(fail(state(), STAGED, refused=True))[0] == STAGED


def test_a_key_that_was_staged_with_another_url_is_tried_at_the_old_one_where_the_old_key_is_refused() -> None:
    both = msgspec.structs.replace(NEW, key="b")
    present = link_state.stage(LinkState(active=OLD, proven=True), both, "csms", 7)
    for _ in range(LIMIT):
        present = fail(present, STAGED)
    assert link_state.in_turn(fail(present, ACTIVE)) == (ACTIVE, OLD), "an outage says nothing about the key"
    present = fail(present, ACTIVE, refused=True)
    mixed = msgspec.structs.replace(OLD, key="b")
    assert link_state.in_turn(present) == (link_state.KEYED, mixed)
    done = link_state.registered(present, link_state.KEYED, LIMIT, 9)
    assert done.active == mixed and done.staged is None and done.key_since == 9
    assert done.given_up is not None and (done.given_up.url, done.given_up.changed) == ("ws://new", "URL")
    seen = []
    for _ in range(3 * LIMIT):
        which = link_state.in_turn(present)[0]
        seen.append(which)
        present = fail(present, which, refused=True)
    assert seen[: 2 * LIMIT] == [link_state.KEYED, ACTIVE, link_state.KEYED, ACTIVE, link_state.KEYED, STAGED]


def test_going_back_to_the_active_settings_ends_the_change() -> None:
    assert link_state.stage(state(), OLD, "local", 8).staged is None


def test_a_change_says_what_it_changes() -> None:
    present = link_state.stage(
        LinkState(active=OLD), LinkSettings(url="wss://n", profile=2, key="b", certificate="a"), "local", 1
    )
    assert link_state.changed(present) == "URL, profile 1 to 2, AuthorizationKey, certificate of the station"
    assert link_state.changed(LinkState(active=OLD)) == ""


@given(
    limit=st.integers(1, 6), works=st.sampled_from([ACTIVE, STAGED, link_state.KEYED]), what=st.sampled_from(["url", "key", "both"]),
    before=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40),
)
def test_whichever_settings_work_are_reached_within_bounded_dials(
    limit: int, works: str, what: str, before: list[tuple[bool, bool]]
) -> None:
    """Whatever has happened before: from when on one of them works, few dials lead to it (never locked out)."""
    keyed = msgspec.structs.replace(OLD, key="b")
    wanted = {"url": NEW, "key": keyed, "both": msgspec.structs.replace(NEW, key="b")}[what]
    assume(works != link_state.KEYED or what == "both")
    present = link_state.stage(LinkState(active=OLD, proven=True), wanted, "csms", 1)
    for succeeds, refused in before:
        which, _ = link_state.in_turn(present)
        if succeeds and which == ACTIVE:
            present = link_state.registered(present, which, limit, 2)
        else:
            present = link_state.failed(present, which, "x", refused=refused, limit=limit)
        if present.staged is None:  # given up: the old settings work, and only they count
            assert present.active == OLD and link_state.in_turn(present)[0] == ACTIVE
            return
    for _ in range(3 * limit + 2):
        which, settings = link_state.in_turn(present)
        if which == works:
            assert settings == {ACTIVE: OLD, STAGED: wanted, link_state.KEYED: keyed}[works]
            return
        refused = which == ACTIVE and works == link_state.KEYED
        present = link_state.failed(present, which, "x", refused=refused, limit=limit)
    raise AssertionError(f"{works} settings had no turn: {present}")


@given(st.binary(max_size=200))
def test_a_damaged_record_is_an_error_and_nothing_else(data: bytes) -> None:
    with contextlib.suppress(msgspec.DecodeError):
        msgspec.json.decode(data, type=LinkState)
