"""Event actions in words, what changed between two passes, and which rules get in each other's way."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from evse.core.rule_engine import RuleMemory
from evse.domain.rules import (
    ANALOG_CONDITIONS,
    FLASH_ACTIONS,
    INPUT_CONDITIONS,
    INPUT_EVENTS,
    PP_CONDITIONS,
    STATUS_ACTIONS,
    Rule,
    RuleAction,
    RuleCondition,
    RuleEvent,
    RuleStatus,
    slot_name,
)

C = RuleCondition


def describe(rule: Rule) -> str:
    """Return a rule as one line: ``input 1 rising, status b: charging release enable, until revoked``."""
    when = event_text(rule)
    if rule.condition is not C.ACTIVE:
        when = condition_text(rule) if rule.event is RuleEvent.ALWAYS else f"{when}, {condition_text(rule)}"
    return f"{when}: {action_text(rule)}, {timer_text(rule.timer_ms)}"


def event_text(rule: Rule) -> str:
    """Return the event: "input 4 rising"."""
    if rule.event in INPUT_EVENTS:
        return f"input {rule.event_input} {rule.event.value.rpartition('_')[2]}"
    return rule.event.value.replace("_", " ")


def condition_text(rule: Rule) -> str:
    """Return the condition: "input 2 low", "analog 1 over 5000 mV", "pp under 20 A"."""
    word = rule.condition.value
    if rule.condition in INPUT_CONDITIONS:
        return f"input {rule.condition_input} {word.rpartition('_')[2]}"
    if rule.condition in ANALOG_CONDITIONS:
        return f"analog {rule.condition_input} {word.rpartition('_')[2]} {rule.condition_mv} mV"
    if rule.condition in PP_CONDITIONS:
        return f"{word.replace('_', ' ')} {rule.condition_ma // 1000} A"
    return word.replace("_", " ")


def action_text(rule: Rule) -> str:
    """Return the action: "output 3 flash high 50 %", "limit 16 A"."""
    word = rule.action.value
    if rule.action is RuleAction.LIMIT:
        return f"limit {rule.limit_ma // 1000} A"
    if rule.action in STATUS_ACTIONS:
        text = f"{slot_name(rule.slot)} {rule.status.value}"
        return f'{text} "{rule.message}"' if rule.message else text
    if word.startswith("output_"):
        text = f"output {rule.output} {word.removeprefix('output_').replace('_', ' ')}"
        return f"{text} {rule.flash_pct} %" if rule.action in FLASH_ACTIONS else text
    return "nothing" if rule.action is RuleAction.NONE else word


def timer_text(timer_ms: int) -> str:
    """Return how long: "for 3000 ms", "until revoked"."""
    return f"for {timer_ms} ms" if timer_ms else "until revoked"


# -- what happened --------------------------------------------------------------------------------------------------


class RuleStep(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a pass has changed. ``other`` = the rule that was or is stronger, 0 = none.

    fired: the rule has triggered. ended: its action does not stand any more. decides: it has the thing now (from
    ``other``, whose action stands too). overridden: it has triggered, ``other`` keeps the thing. free: nobody has it.
    """

    what: str
    number: int
    thing: str
    other: int = 0


def changes(rules: Sequence[Rule], before: RuleMemory, after: RuleMemory) -> list[RuleStep]:
    """Return what one pass has changed, rules in their order, then things."""
    if before is after or (before.runs == after.runs and before.by == after.by):
        return []
    slots = {rule.number: rule.slot for rule in rules}
    old, new = ({run.number: run.since for run in memory.runs} for memory in (before, after))
    had, has = dict(before.by), dict(after.by)
    steps: list[RuleStep] = []
    for number, slot in slots.items():
        thing = slot_name(slot)
        if number in new and old.get(number) != new[number]:
            steps.append(RuleStep(what="fired", number=number, thing=thing))
            if slot >= 0 and has.get(slot, number) != number:
                steps.append(RuleStep(what="overridden", number=number, thing=thing, other=has[slot]))
        elif number in old and number not in new:
            steps.append(RuleStep(what="ended", number=number, thing=thing))
    for slot in sorted(had.keys() | has.keys()):
        loser, winner = had.get(slot, 0), has.get(slot, 0)
        if winner and winner != loser:
            beaten = loser if loser in new else 0
            steps.append(RuleStep(what="decides", number=winner, thing=slot_name(slot), other=beaten))
        elif loser and not winner:
            steps.append(RuleStep(what="free", number=loser, thing=slot_name(slot)))
    return steps


def step_text(step: RuleStep) -> str:
    """Return a step as a sentence: ``rule 7 overrides rule 3 (output 1)``."""
    match step.what:
        case "fired":
            return f"rule {step.number} fires"
        case "ended":
            return f"rule {step.number} ends"
        case "overridden":
            return f"rule {step.other} overrides rule {step.number} ({step.thing})"
        case "decides" if step.other:
            return f"rule {step.number} overrides rule {step.other} ({step.thing})"
        case "decides":
            return f"rule {step.number} decides about {step.thing}"
        case _:
            return f"nobody decides about {step.thing}"


# -- what can happen ------------------------------------------------------------------------------------------------


class RuleFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a set of rules that its author should know. ``certain`` False = only while both hold.

    overrides: rule ``number`` overwrites rule ``other``. latched: the action of ``number`` is never revoked.
    useless: the rule can never do anything.
    """

    what: str
    number: int
    other: int = 0
    thing: str = ""
    certain: bool = True
    text: str


_EXCLUSIVE: tuple[frozenset[RuleCondition], ...] = (
    frozenset({C.STATUS_A, C.STATUS_B, C.STATUS_C, C.STATUS_D}),
    frozenset({
        C.AVAILABLE, C.PREPARING, C.CHARGING, C.SUSPENDED_EV, C.SUSPENDED_EVSE, C.FINISHING, C.RESERVED, C.UNAVAILABLE,
    }),
    frozenset({C.EV_CONNECTED, C.EV_NOT_CONNECTED}), frozenset({C.CONTACTOR_FAILURE, C.NO_CONTACTOR_FAILURE}),
    frozenset({C.RELEASE, C.NO_RELEASE}), frozenset({C.EXTERNAL_RELEASE, C.NO_EXTERNAL_RELEASE}),
    frozenset({C.DERATING, C.NO_DERATING}), frozenset({C.REDUCED, C.NOT_REDUCED}), frozenset({C.PWM_ON, C.PWM_OFF}),
    frozenset({C.BACKEND_OFFLINE, C.BACKEND_ONLINE}), frozenset({C.BACKEND_OFFLINE_AVAILABLE, C.BACKEND_ONLINE}),
    frozenset({C.BACKEND_OFFLINE, C.BACKEND_ONLINE_AVAILABLE}),
    frozenset({C.BACKEND_OFFLINE_AVAILABLE, C.BACKEND_ONLINE_AVAILABLE}),
)  # fmt: skip
"""Of the conditions in one of these sets at most one holds at a time."""


BRIEF_MS = 100
"""An action that outlives its condition by no more than this gets in nobody's way."""


def together(a: Rule, b: Rule) -> bool:
    """Return False when the conditions of two rules never hold at the same time."""
    if C.NEVER in (a.condition, b.condition):
        return False
    if {a.condition, b.condition} == {C.INPUT_HIGH, C.INPUT_LOW}:
        return a.condition_input != b.condition_input
    if a.condition in PP_CONDITIONS and b.condition in PP_CONDITIONS:
        return any(_codes(a, ma) and _codes(b, ma) for ma in (13_000, 20_000, 32_000, 63_000))
    if {a.condition, b.condition} == {C.ANALOG_OVER, C.ANALOG_UNDER} and a.condition_input == b.condition_input:
        over, under = (a, b) if a.condition is C.ANALOG_OVER else (b, a)
        return over.condition_mv + 1 < under.condition_mv
    return a.condition is b.condition or not any({a.condition, b.condition} <= group for group in _EXCLUSIVE)


def _codes(rule: Rule, ma: int) -> bool:
    if rule.condition is C.PP:
        return ma == rule.condition_ma
    return ma > rule.condition_ma if rule.condition is C.PP_OVER else ma < rule.condition_ma


def same_condition(a: Rule, b: Rule) -> bool:
    """Return True when two rules have the same condition with the same arguments."""
    return (a.condition, a.condition_input, a.condition_ma, a.condition_mv) == (
        b.condition, b.condition_input, b.condition_ma, b.condition_mv,
    )  # fmt: skip


def findings(rules: tuple[Rule, ...]) -> list[RuleFinding]:
    """Return what is odd about ``rules``: who overwrites whom, what is never revoked, what never does anything."""
    found: list[RuleFinding] = []
    for i, rule in enumerate(rules):
        found += _alone(rule, rules)
        found += [f for later in rules[i + 1 :] if (f := _pair(rule, later)) is not None]
    return sorted(found, key=lambda f: (f.number, f.other))


def _alone(rule: Rule, rules: tuple[Rule, ...]) -> list[RuleFinding]:
    slot = rule.slot
    if rule.event is RuleEvent.NEVER or rule.condition is C.NEVER or slot < 0:
        return [RuleFinding(what="useless", number=rule.number, text=f"rule {rule.number} never does anything")]
    given = rule.action is RuleAction.ENABLE_CHARGING and rule.status is RuleStatus.ENABLE
    neutral = rule.status is RuleStatus.BUS if rule.action in STATUS_ACTIONS else rule.action is RuleAction.OUTPUT_BUS
    if rule.timer_ms or given or neutral or any(_revokes(other, rule, slot) for other in rules):
        return []
    text = f"rule {rule.number}: {action_text(rule)} is never revoked: no timer, and no other rule for {slot_name(slot)}"
    return [RuleFinding(what="latched", number=rule.number, thing=slot_name(slot), text=text)]


def _revokes(other: Rule, rule: Rule, slot: int) -> bool:
    usable = other.event is not RuleEvent.NEVER and other.condition is not C.NEVER
    reaches = other.evse_id in (0, rule.evse_id)
    return usable and reaches and other.number != rule.number and not other.timer_ms and other.slot == slot


def _pair(rule: Rule, later: Rule) -> RuleFinding | None:
    """Both work on the same thing, want different values, and may do so at the same time."""
    slot = rule.slot
    apart = 0 not in (rule.evse_id, later.evse_id) and rule.evse_id != later.evse_id
    if slot < 0 or later.slot != slot or apart or action_text(rule) == action_text(later):
        return None
    if RuleEvent.NEVER in (rule.event, later.event) or C.NEVER in (rule.condition, later.condition):
        return None
    levels = rule.event is RuleEvent.ALWAYS and later.event is RuleEvent.ALWAYS
    if levels and later.timer_ms <= BRIEF_MS and not together(rule, later):
        return None
    if not levels and not rule.timer_ms and not later.timer_ms:
        return None  # moments that revoke each other: that is how they are meant to be used
    wider = later.condition is C.ACTIVE or same_condition(rule, later)
    certain = levels and wider and later.evse_id in (0, rule.evse_id)
    when = "always" if certain else "while both act"
    text = f"rule {later.number} overrides rule {rule.number} {when}: {slot_name(slot)}"
    return RuleFinding(
        what="overrides", number=later.number, other=rule.number, thing=slot_name(slot), certain=certain, text=text
    )
