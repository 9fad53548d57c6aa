"""Event actions and lamps of the fake station: the shipped lamp set on a station with two AC connectors, 3 and 4."""

from __future__ import annotations

import msgspec

from evse.api import models as m
from evse.api import models_ac as ac
from evse.api import models_rules as r
from evse.api.errors import ApiError, ErrorCode
from evse.api.operation import Empty
from evse.api.service import Caller
from evse.config.led_profiles import list_leds, load_leds
from evse.config.model_rules import RuleSection
from evse.config.rule_file import list_sets, read_rules, rules_toml, set_text
from evse.config.spec_rules import rule_spec, rule_specs
from evse.core.rule_text import RuleStep, describe, findings, step_text
from evse.domain.base import ConfigError
from tests._support import fake_data as data
from tests._support.fake_state import FakeState

TRACE: tuple[tuple[int, RuleStep], ...] = (
    (3, RuleStep(what="fired", number=10, thing="output 3")),
    (3, RuleStep(what="decides", number=10, thing="output 3")),
    (4, RuleStep(what="fired", number=3, thing="output 1")),
    (4, RuleStep(what="overridden", number=3, thing="output 1", other=5)),
    (4, RuleStep(what="ended", number=3, thing="output 1")),
)

REQUESTS: dict[str, dict[str, object]] = {
    "rule.put": {"rule": {"action": "lock"}},
    "rule.remove": {"number": 1},
    "rule.move": {"number": 1, "to": 2},
    "rule.import": {"name": "emergency-input"},
    "led.set": {"lamp": "status", "profile": "traffic-light"},
    "led.brightness": {"pct": 50},
}
"""A request that succeeds, for every operation that needs one."""


SHIPPED: tuple[RuleSection, ...] = read_rules(set_text("led-socket"), "led-socket.toml")
"""What every fake begins with."""


class FakeRules(FakeState):
    """``rule.*``, ``led.*``."""

    def __init__(self, *, heartbeat_s: float = 10.0, status_period_s: float = 0.5) -> None:
        super().__init__(heartbeat_s=heartbeat_s, status_period_s=status_period_s)
        self.rules = SHIPPED
        self.brightness_pct = 100
        self.led_profile = "generic"

    async def rule_list(self, request: Empty, caller: Caller) -> r.Rules:
        self.enter("rule.list", request)
        return r.Rules(items=tuple(self._row(x, n) for n, x in enumerate(self.rules, 1)), findings=self._findings())

    async def rule_check(self, request: Empty, caller: Caller) -> r.RuleFindings:
        self.enter("rule.check", request)
        return r.RuleFindings(items=self._findings())

    async def rule_export(self, request: Empty, caller: Caller) -> r.RuleText:
        self.enter("rule.export", request)
        return r.RuleText(text=rules_toml(self.rules))

    async def rule_sets(self, request: Empty, caller: Caller) -> r.RuleSets:
        self.enter("rule.sets", request)
        sets = [(name, read_rules(set_text(name), name)) for name in list_sets()]
        return r.RuleSets(
            items=tuple(r.RuleSet(name=n, rules=len(x), notes=tuple(y.note for y in x)) for n, x in sets)
        )

    async def rule_trace(self, request: r.RuleTraceQuery, caller: Caller) -> r.RuleTraceRows:
        self.enter("rule.trace", request)
        rows = [
            r.RuleTraceRow(
                seq=n, wall=data.T0 - data.minutes(9 - n), evse_id=evse_id, what=step.what, number=step.number,
                thing=step.thing, other=step.other, text=step_text(step),
            )
            for n, (evse_id, step) in enumerate(TRACE, 1)
            if request.evse_id in (0, evse_id)
        ]  # fmt: skip
        return r.RuleTraceRows(items=tuple(reversed(rows))[: request.limit])

    async def rule_state(self, request: ac.AcQuery, caller: Caller) -> r.RuleState:
        self.enter("rule.state", request)
        row = r.RuleStateRow(
            evse_id=3, cp="C", pp="32",
            inputs=tuple(r.RuleInput(number=n, high=n == 2, mv=11_900 if n == 2 else 30) for n in range(1, 5)),
            outputs=(
                r.RuleOutput(number=1, level="low", by=""), r.RuleOutput(number=2, level="floating", by="hand"),
                r.RuleOutput(number=3, level="high", by="rule 10"),
            ),
            release="bus", external_release="bus", lock="", limit_ma=16_000, message="",
        )  # fmt: skip
        lost = msgspec.structs.replace(
            row, evse_id=4, cp="?", pp="?", limit_ma=None, external_release="disable", message="EmergencyStop",
            inputs=tuple(r.RuleInput(number=n, high=None) for n in range(1, 5)),
        )  # fmt: skip
        return r.RuleState(items=tuple(x for x in (row, lost) if request.evse_id in (0, x.evse_id)))

    async def rule_put(self, request: r.RulePut, caller: Caller) -> r.RuleChanged:
        self.enter("rule.put", request)
        rules = list(self.rules)
        number = request.number or len(rules) + 1
        if request.number and not request.insert:
            self._known(number)
            rules[number - 1] = request.rule
        else:
            rules.insert(number - 1, request.rule)
        return self._keep(tuple(rules), number)

    async def rule_remove(self, request: r.RuleRef, caller: Caller) -> r.RuleChanged:
        self.enter("rule.remove", request)
        self._known(request.number)
        return self._keep(self.rules[: request.number - 1] + self.rules[request.number :], request.number)

    async def rule_move(self, request: r.RuleMove, caller: Caller) -> r.RuleChanged:
        self.enter("rule.move", request)
        self._known(request.number)
        self._known(request.to)
        rules = list(self.rules)
        rules.insert(request.to - 1, rules.pop(request.number - 1))
        return self._keep(tuple(rules), request.to)

    async def rule_import(self, request: r.RuleImport, caller: Caller) -> r.RuleChanged:
        self.enter("rule.import", request)
        try:
            rules = read_rules(request.text or set_text(request.name), f"{request.name or 'import'}.toml")
        except ConfigError as error:
            raise ApiError(ErrorCode.INVALID, "\n".join(error.problems), "nothing was changed") from None
        if request.evse_id is not None:
            rules = tuple(msgspec.structs.replace(rule, evse=request.evse_id) for rule in rules)
        return self._keep(rules if request.replace else self.rules + rules, 0)

    def _row(self, rule: RuleSection, number: int) -> r.RuleRow:
        spec = rule_spec(rule, number)
        return r.RuleRow(
            number=number, text=describe(spec), rule=rule, active=(3,) if number in (4, 5, 10) else (),
            decides=(3,) if number in (5, 10) else (), overridden_by=(5,) if number == 4 else (),
        )  # fmt: skip

    def _findings(self) -> tuple[r.RuleFindingRow, ...]:
        return tuple(
            r.RuleFindingRow(what=f.what, number=f.number, other=f.other, thing=f.thing, certain=f.certain, text=f.text)
            for f in findings(rule_specs(self.rules))
        )

    def _known(self, number: int) -> None:
        if number > len(self.rules):
            raise ApiError(
                ErrorCode.NOT_FOUND, f"there is no rule {number}; this station has {len(self.rules)} of at most 32",
                "see: evsectl rule list",
            )  # fmt: skip

    def _keep(self, rules: tuple[RuleSection, ...], number: int) -> r.RuleChanged:
        changed, self.rules = rules != self.rules, rules
        return r.RuleChanged(changed=changed, number=number, rules=len(rules), findings=self._findings())

    # -- lamps --------------------------------------------------------------------------------------------------------

    async def led_list(self, request: ac.AcQuery, caller: Caller) -> r.Leds:
        self.enter("led.list", request)
        rows = (
            r.LedRow(
                evse_id=3, lamp="status", outputs=(), profile=self.led_profile, condition="charge_1", mode="fade",
                rgb="#00007f", buzzer=False,
            ),
            r.LedRow(
                evse_id=3, lamp="reader", outputs=(), profile="generic", condition="auth_accepted", mode="solid",
                rgb="#ffffff", buzzer=True,
            ),
            r.LedRow(
                evse_id=4, lamp="outputs", outputs=(1, 2, 3), profile="traffic-light", condition="", mode="",
                rgb="#000000", buzzer=False,
            ),
        )  # fmt: skip
        return r.Leds(
            items=tuple(row for row in rows if request.evse_id in (0, row.evse_id)), brightness_pct=self.brightness_pct
        )

    async def led_profiles(self, request: Empty, caller: Caller) -> r.LedProfiles:
        self.enter("led.profiles", request)
        return r.LedProfiles(items=tuple(r.LedProfile(name=name, behaviours=load_leds(name)) for name in list_leds()))

    async def led_set(self, request: r.LedSet, caller: Caller) -> m.Done:
        self.enter("led.set", request)
        changed, self.led_profile = request.profile != self.led_profile, request.profile
        return m.Done(changed=changed)

    async def led_brightness(self, request: r.LedBrightness, caller: Caller) -> m.Done:
        self.enter("led.brightness", request)
        changed, self.brightness_pct = request.pct != self.brightness_pct, request.pct
        return m.Done(changed=changed)
