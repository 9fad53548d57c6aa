"""From ``[[rule]]`` and ``[[led]]`` to what the core works with."""

from __future__ import annotations

from evse.config.led_profiles import load_leds
from evse.config.model_leds import LedBehaviourSection, LedSection
from evse.config.model_rules import RuleSection
from evse.domain.leds import COLOURS, Lamp, LedBehaviour, LedCondition, LedMode, LedSpec
from evse.domain.rules import Rule, RuleAction, RuleCondition, RuleEvent, RuleStatus

STANDARD = (LedSection(lamp="status"), LedSection(lamp="reader"))
"""Lamps of a station whose file names none."""


def rule_specs(sections: tuple[RuleSection, ...]) -> tuple[Rule, ...]:
    """Return the rules that are in use, each with its place in the file as number."""
    return tuple(rule_spec(section, number) for number, section in enumerate(sections, 1) if section.enabled)


def rule_spec(section: RuleSection, number: int) -> Rule:
    """Return one rule."""
    return Rule(
        number=number,
        evse_id=section.evse,
        event=RuleEvent(section.event),
        event_input=section.event_input,
        condition=RuleCondition(section.condition),
        condition_input=section.condition_input,
        condition_ma=section.condition_a * 1000,
        condition_mv=section.condition_mv,
        action=RuleAction(section.action),
        output=section.output,
        flash_pct=section.flash_pct,
        status=RuleStatus(section.status),
        limit_ma=section.limit_a * 1000,
        message=section.message,
        timer_ms=section.timer_ms,
    )


def led_specs(sections: tuple[LedSection, ...]) -> tuple[LedSpec, ...]:
    """Return the lamps. Raises `ConfigError` for an unknown profile."""
    return tuple(_led(section) for section in sections or STANDARD)


def _led(section: LedSection) -> LedSpec:
    rows = {row.condition: row for row in (load_leds(section.profile) if section.profile else ())}
    rows |= {row.condition: row for row in section.behaviour}
    lamp = Lamp(section.lamp)
    return LedSpec(
        evse_id=section.evse,
        lamp=lamp,
        outputs=section.outputs if lamp is Lamp.OUTPUTS else (),
        behaviours=tuple(_behaviour(row) for row in rows.values()),
        buzzer=section.buzzer and lamp is Lamp.READER,
    )


def _behaviour(row: LedBehaviourSection) -> LedBehaviour:
    return LedBehaviour(
        condition=LedCondition(row.condition),
        mode=LedMode(row.mode),
        rgb=COLOURS[row.color],
        brightness_pct=row.brightness_pct,
        brightness_min_pct=row.brightness_min_pct,
        period_ms=row.period_ms,
        duration_ms=row.duration_ms,
    )
