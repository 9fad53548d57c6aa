"""The rows of the registry around event actions and lamps."""

from __future__ import annotations

from typing import Final

from evse.access.roles import Role
from evse.api import models as m
from evse.api import models_ac as ac
from evse.api import models_rules as r
from evse.api.operation import Empty, Operation, get, post

OPERATIONS_RULES: Final[tuple[Operation, ...]] = (
    get("rule.list", "/v1/rules", r.Rules, "Event actions, what they do now, and what is odd about them"),
    get("rule.check", "/v1/rules/check", r.RuleFindings, "Which event actions get in each other's way"),
    get("rule.export", "/v1/rules/export", r.RuleText, "Event actions as a file", Empty, Role.OPERATOR),
    get("rule.sets", "/v1/rules/sets", r.RuleSets, "Shipped sets of event actions"),
    get("rule.trace", "/v1/rules/trace", r.RuleTraceRows, "When which event action fired", r.RuleTraceQuery),
    get("rule.state", "/v1/rules/state", r.RuleState, "What event actions see and do now", ac.AcQuery),
    post("rule.put", "/v1/rules/put", r.RulePut, r.RuleChanged, "Add or replace an event action"),
    post("rule.remove", "/v1/rules/remove", r.RuleRef, r.RuleChanged, "Remove an event action"),
    post("rule.move", "/v1/rules/move", r.RuleMove, r.RuleChanged, "Move an event action to another place"),
    post("rule.import", "/v1/rules/import", r.RuleImport, r.RuleChanged, "Add or replace event actions from a file"),
    get("led.list", "/v1/leds", r.Leds, "Lamps and what they show", ac.AcQuery),
    get("led.profiles", "/v1/leds/profiles", r.LedProfiles, "Lamp profiles"),
    post("led.set", "/v1/leds/set", r.LedSet, m.Done, "Give a lamp another profile"),
    post("led.brightness", "/v1/leds/brightness", r.LedBrightness, m.Done, "Set the brightness of all lamps"),
)
