"""The part of the service that is around event actions and lamps."""

from __future__ import annotations

from typing import Protocol

from evse.api import models as m
from evse.api import models_ac as ac
from evse.api import models_rules as r
from evse.api.caller import Caller
from evse.api.operation import Empty


class RuleService(Protocol):
    """Every operation of `evse.api.operations_rules.OPERATIONS_RULES`."""

    async def rule_list(self, request: Empty, caller: Caller) -> r.Rules:
        """Event actions, what they do now, and what is odd about them."""
        ...

    async def rule_check(self, request: Empty, caller: Caller) -> r.RuleFindings:
        """Which event actions get in each other's way."""
        ...

    async def rule_export(self, request: Empty, caller: Caller) -> r.RuleText:
        """Event actions as a file."""
        ...

    async def rule_sets(self, request: Empty, caller: Caller) -> r.RuleSets:
        """Shipped sets of event actions."""
        ...

    async def rule_trace(self, request: r.RuleTraceQuery, caller: Caller) -> r.RuleTraceRows:
        """When which event action fired."""
        ...

    async def rule_state(self, request: ac.AcQuery, caller: Caller) -> r.RuleState:
        """What event actions see and do now."""
        ...

    async def rule_put(self, request: r.RulePut, caller: Caller) -> r.RuleChanged:
        """Add or replace an event action."""
        ...

    async def rule_remove(self, request: r.RuleRef, caller: Caller) -> r.RuleChanged:
        """Remove an event action."""
        ...

    async def rule_move(self, request: r.RuleMove, caller: Caller) -> r.RuleChanged:
        """Move an event action to another place."""
        ...

    async def rule_import(self, request: r.RuleImport, caller: Caller) -> r.RuleChanged:
        """Add or replace event actions from a file."""
        ...

    async def led_list(self, request: ac.AcQuery, caller: Caller) -> r.Leds:
        """Lamps and what they show."""
        ...

    async def led_profiles(self, request: Empty, caller: Caller) -> r.LedProfiles:
        """Lamp profiles."""
        ...

    async def led_set(self, request: r.LedSet, caller: Caller) -> m.Done:
        """Give a lamp another profile."""
        ...

    async def led_brightness(self, request: r.LedBrightness, caller: Caller) -> m.Done:
        """Set the brightness of all lamps."""
        ...
