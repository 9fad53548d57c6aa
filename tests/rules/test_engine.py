"""The rule engine alone: events, conditions, timers, order, revocation; and laws over random rules and any tick spacing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.core.rule_engine import RuleLevels, RuleMemory, evaluate, holds, levels, output_high
from evse.domain.ac import PpState
from evse.domain.rules import (
    FLASH_PERIOD_MS,
    SLOT_OUTPUT,
    Rule,
    RuleAction,
    RuleCondition,
    RuleEvent,
    RuleFacts,
    RuleStation,
    RuleStatus,
    rules_version,
    slot_of,
)
from evse.domain.signals import CpState
from evse.units import ms
from tests._support.examples import examples

E, C, A = RuleEvent, RuleCondition, RuleAction
KNOWN = RuleFacts(known=True)


def rule(number: int, event: RuleEvent, action: RuleAction, timer_ms: int = 0, **more: Any) -> Rule:
    return Rule(number=number, event=event, action=action, timer_ms=timer_ms, **more)


def high(number: int, output: int = 1, timer_ms: int = 0, event: RuleEvent = E.ALWAYS, **more: Any) -> Rule:
    return rule(number, event, A.OUTPUT_HIGH, timer_ms, output=output, **more)


class Bench:
    """An engine with its rules; `at` makes one pass at a time in ms."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        self.memory = RuleMemory()
        self.at(0)

    def at(self, time_ms: int, **facts: Any) -> RuleLevels:
        now = ms(1_000_000 + time_ms)
        self.memory = evaluate(self.rules, self.memory, msgspec.structs.replace(KNOWN, **facts), now)
        return levels(self.rules, self.memory, now)


def test_a_condition_alone_holds_as_long_as_it_is_met_and_ends_when_its_timer_is_over() -> None:
    b = Bench(high(1, timer_ms=10, condition=C.INPUT_HIGH, condition_input=2))
    assert b.at(50).high == 0
    assert b.at(100, inputs=0b10).high == 1
    assert b.at(150, inputs=0b10).high == 1
    assert b.at(159).high == 1
    assert b.at(160).high == 0


@pytest.mark.parametrize("step_ms", [1, 7, 50, 333, 1000])
def test_a_timer_is_exact_at_any_distance_of_ticks(step_ms: int) -> None:
    b = Bench(high(1, timer_ms=3000, event=E.RFID_DENIED))
    assert b.at(1, happened=frozenset({E.RFID_DENIED})).high == 1
    for time_ms in range(1 + step_ms, 6000, step_ms):
        assert b.at(time_ms).high == (1 if time_ms < 3001 else 0), time_ms


def test_without_a_timer_an_action_stays_until_another_rule_revokes_it() -> None:
    b = Bench(
        rule(1, E.INPUT_RISING, A.EXTERNAL_RELEASE, event_input=4, status=RuleStatus.DISABLE, message="EmergencyStop"),
        rule(2, E.INPUT_FALLING, A.EXTERNAL_RELEASE, event_input=4, status=RuleStatus.BUS),
    )
    for _ in range(2):  # the earlier rule must win again after the later one
        pressed = b.at(100, inputs=8)
        assert (pressed.allowed, pressed.message) == (False, "EmergencyStop")
        assert b.at(90_000, inputs=8).allowed is False
        assert b.at(90_050).allowed is None
        assert b.at(99_000).allowed is None


def test_a_later_rule_overwrites_an_earlier_one_on_every_pass() -> None:
    b = Bench(high(1, timer_ms=10), rule(2, E.ALWAYS, A.OUTPUT_LOW, 10, output=1))
    assert b.at(50).high == 0
    assert b.memory.by == ((SLOT_OUTPUT + 1, 2),)
    b = Bench(rule(1, E.ALWAYS, A.OUTPUT_LOW, 10, output=1), high(2, timer_ms=10))
    assert b.at(50).high == 1


def test_a_running_timer_keeps_writing_over_earlier_rules_and_then_gives_back() -> None:
    b = Bench(high(1), rule(2, E.RFID_DENIED, A.OUTPUT_LOW, 3000, output=1))
    assert b.at(50).high == 1
    assert b.at(100, happened=frozenset({E.RFID_DENIED})).high == 0
    assert b.at(3099).high == 0
    assert b.at(3100).high == 1


def test_a_newer_event_ends_older_timers_of_the_same_thing() -> None:
    b = Bench(
        high(1, event=E.RFID_RELEASE, timer_ms=5000),
        rule(2, E.RFID_DENIED, A.OUTPUT_LOW, 5000, output=1),
        high(3, output=2, event=E.RFID_DENIED, timer_ms=5000),
    )
    assert b.at(100, happened=frozenset({E.RFID_DENIED})).high == 0b10
    assert b.at(200, happened=frozenset({E.RFID_RELEASE})).high == 0b11  # rule 2 would come later, but is older news
    assert b.at(250).high == 0b11
    assert b.at(5100).high == 0b01
    assert b.at(5200).high == 0


def test_a_flash_keeps_its_rhythm_while_the_condition_holds() -> None:
    flash = rule(1, E.ALWAYS, A.OUTPUT_FLASH_HIGH, 10, output=1, flash_pct=25, condition=C.CHARGING)
    b = Bench(flash)
    b.at(1000, station=RuleStation.CHARGING)
    seen = [b.at(1000 + n * 50, station=RuleStation.CHARGING).high for n in range(1, 200)]
    assert seen == [int(n * 50 % FLASH_PERIOD_MS < 500) for n in range(1, 200)]


@pytest.mark.parametrize("pct", [0, 1, 50, 80, 99, 100])
def test_flashing_low_is_low_for_its_share(pct: int) -> None:
    up = rule(1, E.ALWAYS, A.OUTPUT_FLASH_HIGH, output=1, flash_pct=pct)
    down = rule(1, E.ALWAYS, A.OUTPUT_FLASH_LOW, output=1, flash_pct=pct)
    times = range(0, FLASH_PERIOD_MS, 10)
    assert sum(output_high(up, ms(t)) for t in times) == pct * 2
    assert sum(output_high(down, ms(t)) for t in times) == 200 - pct * 2


def test_floating_pulsating_and_bus_controlled_outputs() -> None:
    b = Bench(
        rule(1, E.INPUT_RISING, A.OUTPUT_FLOATING, event_input=1, output=1),
        rule(2, E.INPUT_RISING, A.OUTPUT_PULSATING, event_input=1, output=2),
        rule(3, E.INPUT_FALLING, A.OUTPUT_BUS, event_input=1, output=1),
    )
    out = b.at(50, inputs=1)
    assert (out.high, out.floating, out.pulsing) == (0, 1, 2)
    out = b.at(100)
    assert (out.high, out.floating, out.pulsing) == (0, 0, 2)


def test_no_edge_out_of_the_unknown() -> None:
    """Neither the first reading nor a board that comes back makes an event by itself."""
    rising = high(1, event=E.INPUT_RISING, event_input=1, timer_ms=1000)
    memory = evaluate((rising,), RuleMemory(), RuleFacts(), 0)
    memory = evaluate((rising,), memory, RuleFacts(known=True, inputs=1), 50)
    assert memory.runs == ()
    memory = evaluate((rising,), memory, RuleFacts(), 100)
    memory = evaluate((rising,), memory, RuleFacts(known=True, inputs=1), 150)
    assert memory.runs == ()
    memory = evaluate((rising,), memory, RuleFacts(), 200)
    memory = evaluate((rising,), memory, RuleFacts(known=True), 250)
    memory = evaluate((rising,), memory, RuleFacts(known=True, inputs=1), 300)
    assert [run.number for run in memory.runs] == [1]


@pytest.mark.parametrize(
    ("event", "before", "after"),
    [
        (E.PLUG_CONNECTED, {"plug": False}, {"plug": True}),
        (E.PLUG_DISCONNECTED, {"plug": True}, {"plug": False}),
        (E.EV_CONNECTED, {}, {"vehicle": True}),
        (E.EV_DISCONNECTED, {"vehicle": True}, {}),
        (E.DERATING_STARTED, {}, {"derating": True}),
        (E.DERATING_ENDED, {"derating": True}, {}),
        (E.CONTACTOR_FAILURE, {}, {"contactor_failure": True}),
        (E.INPUT_RISING, {}, {"inputs": 4}),
        (E.INPUT_FALLING, {"inputs": 4}, {"inputs": 3}),
        *(
            (e, {}, {"happened": frozenset({e})})
            for e in (E.NEW_ERROR, E.ERROR_RESOLVED, E.RFID_RELEASE, E.RFID_DENIED, E.TEACH_IN, E.TEACH_OUT, E.TEACH_IN_FAILED)
        ),
    ],
)
def test_every_event_fires_once(event: RuleEvent, before: dict[str, Any], after: dict[str, Any]) -> None:
    b = Bench(high(1, event=event, event_input=3, timer_ms=10))
    b.at(1000, **before)
    assert b.at(2000, **after).high == 1
    after.pop("happened", None)
    assert b.at(3000, **after).high == 0


def test_never_never_fires() -> None:
    b = Bench(high(1, event=E.NEVER), high(2, output=2, condition=C.NEVER))
    everything = frozenset(RuleEvent) - {E.NEVER, E.ALWAYS}
    assert b.at(50, inputs=255, vehicle=True, happened=everything).high == 0


HOLDS: list[tuple[RuleCondition, dict[str, Any], dict[str, Any]]] = [
    (C.INPUT_HIGH, {"inputs": 2}, {"inputs": 5}),
    (C.INPUT_LOW, {"inputs": 5}, {"inputs": 2}),
    (C.PLUGGED, {"plug": True}, {"plug": None}),
    (C.ERROR, {"error_internal": True}, {}),
    (C.ERROR, {"error_external": True}, {}),
    (C.ERROR_INTERNAL, {"error_internal": True}, {"error_external": True}),
    (C.ERROR_EXTERNAL, {"error_external": True}, {"error_internal": True}),
    (C.PP, {"pp": PpState.A20}, {"pp": PpState.A32}),
    (C.PP_UNDER, {"pp": PpState.A13}, {"pp": PpState.A20}),
    (C.PP_OVER, {"pp": PpState.A32}, {"pp": PpState.A20}),
    (C.PP_OVER, {"pp": PpState.A63}, {"pp": PpState.INVALID}),
    (C.STATUS_A, {"cp": CpState.A}, {"cp": CpState.B}),
    (C.STATUS_B, {"cp": CpState.B}, {"cp": CpState.C}),
    (C.STATUS_C, {"cp": CpState.C}, {"cp": CpState.D}),
    (C.STATUS_D, {"cp": CpState.D}, {"cp": CpState.UNKNOWN}),
    (C.EV_CONNECTED, {"vehicle": True}, {}),
    (C.EV_NOT_CONNECTED, {}, {"vehicle": True}),
    *((RuleCondition(s.value), {"station": s}, {"station": RuleStation.FAULTED}) for s in RuleStation if s is not RuleStation.FAULTED),
    (C.CONTACTOR_FAILURE, {"contactor_failure": True}, {}),
    (C.NO_CONTACTOR_FAILURE, {}, {"contactor_failure": True}),
    (C.LAST_RFID_INVALID, {"token_invalid": True}, {}),
    (C.ANALOG_OVER, {"input_mv": (0, 5001)}, {"input_mv": (9000, 5000)}),
    (C.ANALOG_UNDER, {"input_mv": (9000, 4999)}, {"input_mv": (0, 5000)}),
    (C.ANALOG_UNDER, {"input_mv": (0, 0)}, {"input_mv": (0,)}),
    (C.RELEASE, {"release": True}, {}),
    (C.NO_RELEASE, {}, {"release": True}),
    (C.EXTERNAL_RELEASE, {"allowed": True}, {}),
    (C.NO_EXTERNAL_RELEASE, {}, {"allowed": True}),
    (C.DERATING, {"derating": True}, {}),
    (C.NO_DERATING, {}, {"derating": True}),
    (C.AUTHORIZING, {"authorizing": True}, {}),
    (C.REDUCED, {"reduced": True}, {}),
    (C.NOT_REDUCED, {}, {"reduced": True}),
    (C.PWM_ON, {"pwm": True}, {}),
    (C.PWM_OFF, {}, {"pwm": True}),
    (C.BACKEND_OFFLINE, {}, {"backend": True}),
    (C.BACKEND_OFFLINE_AVAILABLE, {"serviceable": True}, {}),
    (C.BACKEND_ONLINE, {"backend": True}, {}),
    (C.BACKEND_ONLINE_AVAILABLE, {"backend": True, "serviceable": True}, {"backend": True}),
]


@pytest.mark.parametrize(("condition", "yes", "no"), HOLDS, ids=lambda x: getattr(x, "value", None))
def test_every_condition(condition: RuleCondition, yes: dict[str, Any], no: dict[str, Any]) -> None:
    r = Rule(number=1, condition=condition, condition_input=2, condition_ma=20_000, condition_mv=5_000)
    assert holds(r, msgspec.structs.replace(KNOWN, **yes))
    assert not holds(r, msgspec.structs.replace(KNOWN, **no))


def test_every_condition_has_a_row() -> None:
    assert {row[0] for row in HOLDS} == set(RuleCondition) - {C.NEVER, C.ACTIVE}


BOARD = {C.INPUT_HIGH, C.INPUT_LOW, C.PLUGGED, C.PP, C.PP_UNDER, C.PP_OVER, C.ANALOG_OVER, C.ANALOG_UNDER, C.PWM_ON, C.PWM_OFF}
BOARD |= {C.STATUS_A, C.STATUS_B, C.STATUS_C, C.STATUS_D}


@pytest.mark.parametrize("condition", sorted(BOARD, key=lambda c: c.value))
def test_what_only_the_board_knows_never_holds_without_it(condition: RuleCondition) -> None:
    r = Rule(number=1, condition=condition, condition_input=1, condition_ma=20_000, condition_mv=5_000)
    for inputs in (0, 1):
        for mv in (0, 9000):
            for pp in PpState:
                for cp in CpState:
                    assert not holds(r, RuleFacts(inputs=inputs, input_mv=(mv,), pp=pp, cp=cp, plug=True, pwm=bool(mv)))


def test_a_release_by_an_event_is_for_one_vehicle() -> None:
    b = Bench(rule(1, E.INPUT_RISING, A.ENABLE_CHARGING, event_input=1, status=RuleStatus.ENABLE, condition=C.STATUS_B))
    assert b.at(50, inputs=1).release is None
    b.at(100, vehicle=True, cp=CpState.B)
    assert b.at(150, vehicle=True, cp=CpState.B, inputs=1).release is True
    assert b.at(200, vehicle=True, cp=CpState.C).release is True
    assert b.at(250, cp=CpState.A).release is None
    assert b.at(300, vehicle=True, cp=CpState.B).release is None


def test_lock_and_limit() -> None:
    b = Bench(
        rule(1, E.ALWAYS, A.LIMIT, 10, limit_ma=16_000, condition=C.INPUT_HIGH, condition_input=3),
        rule(2, E.INPUT_RISING, A.LOCK, 500, event_input=1),
        rule(3, E.INPUT_FALLING, A.UNLOCK, 500, event_input=1),
    )
    out = b.at(50, inputs=0b101)
    assert (out.limit_ma, out.lock) == (16_000, True)
    out = b.at(100)
    assert (out.limit_ma, out.lock) == (-1, False)
    assert b.at(700).lock is None


def test_other_rules_have_another_version() -> None:
    assert rules_version(()) == 0
    assert len({rules_version((high(n),)) for n in range(1, 33)}) == 32


def test_without_rules_nothing_is_wanted() -> None:
    out = Bench().at(50, inputs=255, vehicle=True)
    assert (out.release, out.lock, out.allowed, out.limit_ma, out.message) == (None, None, None, -1, "")
    assert (out.high, out.floating, out.pulsing) == (0, 0, 0)


def test_a_level_that_stays_is_no_event_while_others_change() -> None:
    b = Bench(*(high(n, n, timer_ms=10, event=e) for n, e in enumerate((E.EV_CONNECTED, E.PLUG_CONNECTED, E.PLUG_DISCONNECTED), 1)))
    assert b.at(50, plug=True).high == 0b010
    assert b.at(100, plug=True, vehicle=True).high == 0b001
    assert b.at(150, plug=True, vehicle=True, inputs=1, derating=True).high == 0
    assert b.at(200, plug=False, vehicle=True, derating=True).high == 0b100


def test_no_falling_edge_and_no_plug_out_of_the_unknown() -> None:
    rules = (high(1, event=E.INPUT_FALLING, event_input=1, timer_ms=10), high(2, 2, event=E.PLUG_CONNECTED, timer_ms=10))
    memory = evaluate(rules, RuleMemory(), RuleFacts(known=True, plug=True), 0)
    assert memory.runs == ()
    assert evaluate(rules, evaluate(rules, RuleMemory(), RuleFacts(), 0), RuleFacts(known=True, plug=True), 50).runs == ()


def test_a_release_may_have_a_timer_and_a_newer_event_ends_it() -> None:
    b = Bench(
        rule(1, E.INPUT_RISING, A.ENABLE_CHARGING, 1000, event_input=1, status=RuleStatus.ENABLE),
        rule(2, E.INPUT_RISING, A.ENABLE_CHARGING, 500, event_input=2, status=RuleStatus.DISABLE),
    )
    assert b.at(100, inputs=1).release is True
    assert b.at(900, inputs=1).release is True
    assert b.at(1099, inputs=3).release is False
    assert b.at(1150, inputs=3).release is False
    assert b.at(1599).release is None


def test_a_withdrawn_release_stays_withdrawn_for_the_next_vehicle() -> None:
    b = Bench(rule(1, E.INPUT_RISING, A.ENABLE_CHARGING, event_input=1, status=RuleStatus.DISABLE))
    assert b.at(50, inputs=1, vehicle=True).release is False
    assert b.at(100).release is False


def test_a_flash_begins_when_its_rule_does_whatever_the_clock_says() -> None:
    b = Bench(rule(1, E.RFID_DENIED, A.OUTPUT_FLASH_HIGH, 5000, output=1))
    assert b.at(1300, happened=frozenset({E.RFID_DENIED})).high == 1
    assert [b.at(at).high for at in (2299, 2300, 3299, 3300)] == [1, 0, 0, 1]


def test_a_limit_of_nothing_is_a_limit_and_the_first_analog_input_counts() -> None:
    b = Bench(rule(1, E.ALWAYS, A.LIMIT, 10, limit_ma=0, condition=C.ANALOG_UNDER, condition_input=1, condition_mv=100))
    assert b.at(50, input_mv=(99,)).limit_ma == 0
    assert b.at(100, input_mv=(100,)).limit_ma == -1


# -- laws -----------------------------------------------------------------------------------------------------------

RULES = st.lists(
    st.builds(
        Rule,
        number=st.just(0),
        event=st.sampled_from(RuleEvent),
        event_input=st.integers(0, 4),
        condition=st.sampled_from(RuleCondition),
        condition_input=st.integers(0, 4),
        condition_ma=st.sampled_from((0, 13_000, 20_000, 32_000)),
        condition_mv=st.integers(0, 12_000),
        action=st.sampled_from(RuleAction),
        output=st.integers(0, 3),
        flash_pct=st.integers(0, 100),
        status=st.sampled_from(RuleStatus),
        limit_ma=st.integers(0, 63_000),
        timer_ms=st.sampled_from((0, 1, 10, 50, 1000, 86_400_000)),
    ),
    max_size=32,
).map(lambda rows: tuple(msgspec.structs.replace(r, number=n) for n, r in enumerate(rows, 1)))
FACTS = st.builds(
    RuleFacts,
    known=st.booleans(),
    inputs=st.integers(0, 15),
    input_mv=st.lists(st.integers(0, 12_000), max_size=4).map(tuple),
    pp=st.sampled_from(PpState),
    cp=st.sampled_from(CpState),
    pwm=st.booleans(),
    plug=st.sampled_from((None, True, False)),
    vehicle=st.booleans(),
    station=st.sampled_from(RuleStation),
    error_internal=st.booleans(),
    error_external=st.booleans(),
    contactor_failure=st.booleans(),
    derating=st.booleans(),
    release=st.booleans(),
    allowed=st.booleans(),
    authorizing=st.booleans(),
    token_invalid=st.booleans(),
    reduced=st.booleans(),
    backend=st.booleans(),
    serviceable=st.booleans(),
    happened=st.frozensets(st.sampled_from(RuleEvent)),
)
TRACE = st.lists(st.tuples(st.integers(1, 10_000), FACTS), min_size=1, max_size=12)


@settings(max_examples=examples(150), deadline=None)
@given(RULES, TRACE)
def test_laws_of_random_rules(rules: tuple[Rule, ...], trace: list[tuple[int, RuleFacts]]) -> None:
    """Total and deterministic; memory is bounded; who writes is a rule of that thing that stands; timers are exact."""
    memory, again, now, slots = RuleMemory(), RuleMemory(), 0, {r.number: slot_of(r) for r in rules}
    fired: dict[int, int] = {}
    by_number = {r.number: r for r in rules}
    for step_ms, facts in trace:
        now += ms(step_ms)
        before, memory = memory, evaluate(rules, memory, facts, now)
        again = evaluate(rules, msgspec.convert(msgspec.to_builtins(again), RuleMemory), facts, now)
        assert again == memory
        runs = {run.number: run for run in memory.runs}
        assert len(runs) == len(memory.runs) <= len(rules)
        latched = [slots[n] for n, run in runs.items() if not run.until]
        assert len(latched) == len(set(latched))  # at most one action without a timer for a thing
        for slot, number in memory.by:
            assert slots[number] == slot >= 0
            assert number in runs
        assert {slots[n] for n in runs if slots[n] >= 0} == {slot for slot, _ in memory.by}
        for number, run in runs.items():
            r, started = by_number[number], run.until and run.until - ms(r_timer(by_number, number))
            if run.until:
                assert run.until > now
                assert run.since <= started <= now
                if started == now:
                    fired[number] = now
                    assert holds(r, facts)
                else:
                    assert fired[number] == started  # prolonged only by triggering
        assert levels(rules, memory, now) == levels(rules, memory, now)
        assert evaluate(rules, memory, msgspec.structs.replace(facts, happened=frozenset()), now).marks == memory.marks
        assert before.marks == memory.marks or memory.marks >= 0


def r_timer(rules: dict[int, Rule], number: int) -> int:
    return rules[number].timer_ms


@settings(max_examples=examples(100), deadline=None)
@given(RULES, TRACE, st.data())
def test_the_order_of_passes_does_not_depend_on_their_distance(
    rules: tuple[Rule, ...], trace: list[tuple[int, RuleFacts]], data: st.DataObject
) -> None:
    """Passes between two changes alter nothing but timers: with the same facts at the end both end in the same state."""
    now = 0
    coarse = fine = RuleMemory()
    for step_ms, facts in trace:
        quiet = msgspec.structs.replace(facts, happened=frozenset())
        now += ms(step_ms)
        coarse, fine = evaluate(rules, coarse, facts, now), evaluate(rules, fine, facts, now)
        for extra in sorted(data.draw(st.lists(st.integers(1, 999_999), max_size=4))):
            fine = evaluate(rules, fine, quiet, now + extra)
        coarse, fine = (evaluate(rules, m, quiet, now + ms(1)) for m in (coarse, fine))
        now += ms(1)
        assert coarse.marks == fine.marks
        assert levels(rules, coarse, now).high == levels(rules, fine, now).high
