"""The engine of event actions: one pass through the rules in their order, on each tick, for one EVSE.

What the manual (see `evse.domain.rules`) says and what it leaves open:

* A rule *triggers* when its event happens on this tick and its condition holds. Without a reading nothing holds and
  nothing has happened.
* With a timer its action stands until the timer is over, counted from the last tick on which the rule triggered; without
  one (0) until another rule for the same thing, without a timer, triggers.
* On each pass every rule that triggers or whose timer runs writes its action again; who comes later in the sequence
  overwrites. An action without a timer is written when it triggers; afterwards it is what remains when nobody else writes.
* A rule with an event (not ALWAYS) ends running timers of all other rules for the same thing: the newer event counts.
* A charging release without a timer ends when the vehicle leaves; the next vehicle needs its own.
* A timer that is over gives the thing back to the last action without a timer, or to nobody.

`RuleMemory` is all that is kept. The engine is total: any rules, any facts, any distance between two passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import assert_never

import msgspec

from evse.domain.rules import (
    ANALOG_CONDITIONS,
    FLASH_PERIOD_MS,
    INPUT_CONDITIONS,
    PP_CONDITIONS,
    PP_MA,
    SLOT_EXTERNAL,
    SLOT_LIMIT,
    SLOT_LOCK,
    SLOT_OUTPUT,
    SLOT_RELEASE,
    Rule,
    RuleAction,
    RuleCondition,
    RuleEvent,
    RuleFacts,
    RuleRun,
    RuleStation,
    RuleStatus,
)
from evse.domain.signals import CpState
from evse.units import NS_PER_MS, Instant

_PLUG, _VEHICLE, _DERATING, _CONTACTOR = 1 << 32, 1 << 33, 1 << 34, 1 << 35
_INPUTS = (1 << 32) - 1


class RuleMemory(msgspec.Struct, frozen=True):
    """What one EVSE remembers between passes: levels for edges (``marks`` -1 = never seen), running actions, who writes."""

    marks: int = -1
    runs: tuple[RuleRun, ...] = ()
    by: tuple[tuple[int, int], ...] = ()  # (slot, number of the rule that writes it), by slot


class RuleLevels(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules want of one EVSE. Constructor values: nothing."""

    release: bool | None = None  # None = other programs decide
    lock: bool | None = None
    limit_ma: int = -1
    allowed: bool | None = None
    message: str = ""  # of an external release that is withdrawn
    high: int = 0  # digital outputs, bit 0 = output 1
    floating: int = 0
    pulsing: int = 0


NOTHING = RuleLevels()


def evaluate(rules: Sequence[Rule], memory: RuleMemory, facts: RuleFacts, now: Instant) -> RuleMemory:
    """Return the memory after one pass through ``rules`` (those of one EVSE, in their order)."""
    marks = _marks(memory.marks, facts)
    happened = _edges(memory.marks, marks, facts)
    known = memory.marks >= 0 and marks != memory.marks
    rising = marks & ~memory.marks & _INPUTS if known else 0
    falling = memory.marks & ~marks & _INPUTS if known else 0
    began = {run.number: run.since for run in memory.runs}  # those that have just run out go on when they trigger again
    runs = {run.number: run for run in memory.runs if not run.until or run.until > now}
    if RuleEvent.EV_DISCONNECTED in happened:
        _forget_release(rules, runs)
    by = {run.slot: n for n, run in runs.items() if not run.until and run.slot >= 0}
    met: dict[RuleCondition, bool] = {RuleCondition.ACTIVE: True}  # asked once per pass
    for rule in rules:
        number, slot, event, condition = rule.number, rule.slot, rule.event, rule.condition
        if event is RuleEvent.ALWAYS or _happens(rule, happened, rising, falling):
            true = met.get(condition)
            if true is None:
                true = holds(rule, facts)
                if condition not in _WITH_ARGUMENTS:
                    met[condition] = true
            if true:
                since = began.get(number, now) if event is RuleEvent.ALWAYS else now
                _trigger(rule, runs, since, now)
                if slot >= 0:
                    by[slot] = number
                continue
        if slot >= 0 and number in runs and runs[number].until:
            by[slot] = number
    after = RuleMemory(marks, tuple([runs[n] for n in sorted(runs)]), tuple(sorted(by.items())))
    return memory if after == memory else after


def _trigger(rule: Rule, runs: dict[int, RuleRun], since: Instant, now: Instant) -> None:
    """Start or prolong the action of ``rule`` and end those that it revokes."""
    slot, moment, number = rule.slot, rule.event is not RuleEvent.ALWAYS, rule.number
    if slot >= 0 and (moment or not rule.timer_ms):
        for other in [n for n, run in runs.items() if run.slot == slot and n != number]:
            if (not rule.timer_ms and not runs[other].until) or (moment and runs[other].until):
                del runs[other]
    if rule.timer_ms:
        runs[number] = RuleRun(number, slot, since, now + rule.timer_ms * NS_PER_MS)
    elif slot >= 0:
        runs[number] = RuleRun(number, slot, since, 0)


def _forget_release(rules: Sequence[Rule], runs: dict[int, RuleRun]) -> None:
    """A release that a rule has given without a timer is for one vehicle."""
    for rule in rules:
        given = rule.action is RuleAction.ENABLE_CHARGING and rule.status is RuleStatus.ENABLE
        if given and rule.number in runs and not runs[rule.number].until:
            del runs[rule.number]


def _marks(before: int, facts: RuleFacts) -> int:
    """Levels whose edges are events. What the board does not tell keeps its last value."""
    marks = _VEHICLE * facts.vehicle | _DERATING * facts.derating | _CONTACTOR * facts.contactor_failure
    if facts.known:
        marks |= facts.inputs & _INPUTS
        marks |= _PLUG * facts.plug if facts.plug is not None else max(before, 0) & _PLUG
        return marks
    return marks | (max(before, 0) & (_INPUTS | _PLUG)) if before >= 0 else -1


def _edges(before: int, after: int, facts: RuleFacts) -> AbstractSet[RuleEvent]:
    """Return the events of this tick, those of digital inputs left out."""
    if before < 0 or after < 0 or before == after:
        return facts.happened
    happened = set(facts.happened)
    for bit, up, down in (
        (_PLUG, RuleEvent.PLUG_CONNECTED, RuleEvent.PLUG_DISCONNECTED),
        (_VEHICLE, RuleEvent.EV_CONNECTED, RuleEvent.EV_DISCONNECTED),
        (_DERATING, RuleEvent.DERATING_STARTED, RuleEvent.DERATING_ENDED),
        (_CONTACTOR, RuleEvent.CONTACTOR_FAILURE, None),
    ):
        if after & bit and not before & bit:
            happened.add(up)
        elif before & bit and not after & bit and down is not None:
            happened.add(down)
    return happened


def _happens(rule: Rule, happened: AbstractSet[RuleEvent], rising: int, falling: int) -> bool:
    """Return True when the event of ``rule``, which is not ALWAYS, has happened on this tick."""
    event = rule.event
    if event is RuleEvent.INPUT_RISING:
        return _bit(rising, rule.event_input)
    if event is RuleEvent.INPUT_FALLING:
        return _bit(falling, rule.event_input)
    return event in happened and event is not RuleEvent.NEVER


def _bit(bits: int, number: int) -> bool:
    return number > 0 and bool(bits >> (number - 1) & 1)


_WITH_ARGUMENTS = INPUT_CONDITIONS | ANALOG_CONDITIONS | PP_CONDITIONS

_STATUS = {
    RuleCondition.STATUS_A: CpState.A,
    RuleCondition.STATUS_B: CpState.B,
    RuleCondition.STATUS_C: CpState.C,
    RuleCondition.STATUS_D: CpState.D,
}
_STATION = {RuleCondition(s.value): s for s in RuleStation if s is not RuleStation.FAULTED}


def holds(rule: Rule, facts: RuleFacts) -> bool:
    """Return True when the condition of ``rule`` is met."""
    condition = rule.condition
    if condition is RuleCondition.ACTIVE:
        return True
    if condition in INPUT_CONDITIONS:
        wanted = condition is RuleCondition.INPUT_HIGH
        return facts.known and rule.condition_input > 0 and _bit(facts.inputs, rule.condition_input) is wanted
    if condition in ANALOG_CONDITIONS:
        return facts.known and _analog(rule, facts)
    if condition in PP_CONDITIONS:
        return facts.known and _cable(rule, facts)
    if condition in _STATUS:
        return facts.known and facts.cp is _STATUS[condition]
    if condition in _STATION:
        return facts.station is _STATION[condition]
    return _plain(condition, facts)


def _analog(rule: Rule, facts: RuleFacts) -> bool:
    index = rule.condition_input - 1
    if not 0 <= index < len(facts.input_mv):
        return False
    measured = facts.input_mv[index]
    return measured > rule.condition_mv if rule.condition is RuleCondition.ANALOG_OVER else measured < rule.condition_mv


def _cable(rule: Rule, facts: RuleFacts) -> bool:
    rating = PP_MA.get(facts.pp)
    if rating is None:
        return False
    if rule.condition is RuleCondition.PP:
        return rating == rule.condition_ma
    return rating > rule.condition_ma if rule.condition is RuleCondition.PP_OVER else rating < rule.condition_ma


_YES_NO = {
    RuleCondition.ERROR_INTERNAL: ("error_internal", True),
    RuleCondition.ERROR_EXTERNAL: ("error_external", True),
    RuleCondition.EV_CONNECTED: ("vehicle", True),
    RuleCondition.EV_NOT_CONNECTED: ("vehicle", False),
    RuleCondition.CONTACTOR_FAILURE: ("contactor_failure", True),
    RuleCondition.NO_CONTACTOR_FAILURE: ("contactor_failure", False),
    RuleCondition.LAST_RFID_INVALID: ("token_invalid", True),
    RuleCondition.RELEASE: ("release", True),
    RuleCondition.NO_RELEASE: ("release", False),
    RuleCondition.EXTERNAL_RELEASE: ("allowed", True),
    RuleCondition.NO_EXTERNAL_RELEASE: ("allowed", False),
    RuleCondition.DERATING: ("derating", True),
    RuleCondition.NO_DERATING: ("derating", False),
    RuleCondition.AUTHORIZING: ("authorizing", True),
    RuleCondition.REDUCED: ("reduced", True),
    RuleCondition.NOT_REDUCED: ("reduced", False),
    RuleCondition.BACKEND_OFFLINE: ("backend", False),
    RuleCondition.BACKEND_ONLINE: ("backend", True),
}
"""Conditions that are one fact, or its opposite."""


def _plain(condition: RuleCondition, facts: RuleFacts) -> bool:
    found = _YES_NO.get(condition)
    if found is not None:
        return bool(getattr(facts, found[0])) is found[1]
    match condition:
        case RuleCondition.PLUGGED:
            return facts.known and facts.plug is True
        case RuleCondition.ERROR:
            return facts.error_internal or facts.error_external
        case RuleCondition.PWM_ON:
            return facts.known and facts.pwm
        case RuleCondition.PWM_OFF:
            return facts.known and not facts.pwm
        case RuleCondition.BACKEND_OFFLINE_AVAILABLE:
            return not facts.backend and facts.serviceable
        case RuleCondition.BACKEND_ONLINE_AVAILABLE:
            return facts.backend and facts.serviceable
        case _:
            return False  # NEVER


def levels(rules: Sequence[Rule], memory: RuleMemory, now: Instant) -> RuleLevels:
    """Return what the rules want now."""
    if not memory.by:
        return NOTHING
    found = {rule.number: rule for rule in rules}
    since = {run.number: run.since for run in memory.runs}
    release: bool | None = None
    lock: bool | None = None
    allowed: bool | None = None
    limit_ma, message = -1, ""
    high = floating = pulsing = 0
    for slot, number in memory.by:
        rule = found.get(number)
        if rule is None:
            continue
        if slot == SLOT_RELEASE:
            release = _switched(rule.status)
        elif slot == SLOT_LOCK:
            lock = rule.action is RuleAction.LOCK
        elif slot == SLOT_LIMIT:
            limit_ma = max(0, rule.limit_ma)
        elif slot == SLOT_EXTERNAL:
            allowed = _switched(rule.status)
            message = rule.message if allowed is False else ""
        elif rule.action is not RuleAction.OUTPUT_BUS and rule.output > 0:
            bit = 1 << (slot - SLOT_OUTPUT - 1)
            high |= bit * output_high(rule, now - since.get(number, now))
            floating |= bit * (rule.action is RuleAction.OUTPUT_FLOATING)
            pulsing |= bit * (rule.action is RuleAction.OUTPUT_PULSATING)
    return RuleLevels(
        release=release, lock=lock, limit_ma=limit_ma, allowed=allowed, message=message, high=high, floating=floating,
        pulsing=pulsing,
    )  # fmt: skip


def output_high(rule: Rule, age_ns: int) -> bool:
    """Return the level of an output ``age_ns`` after its action began. A flash begins with the level it is named after."""
    if rule.action is RuleAction.OUTPUT_HIGH:
        return True
    named = age_ns // NS_PER_MS % FLASH_PERIOD_MS * 100 < rule.flash_pct * FLASH_PERIOD_MS
    if rule.action is RuleAction.OUTPUT_FLASH_HIGH:
        return named
    return not named if rule.action is RuleAction.OUTPUT_FLASH_LOW else False


def _switched(status: RuleStatus) -> bool | None:
    match status:
        case RuleStatus.BUS:
            return None
        case RuleStatus.ENABLE:
            return True
        case RuleStatus.DISABLE:
            return False
        case _:
            assert_never(status)

