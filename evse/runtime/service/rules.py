"""Operations on event actions and lamps. Every change is a change of the configuration: validated, saved, in force at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from evse.api import models as m
from evse.api import models_ac as ac
from evse.api import models_rules as r
from evse.api.caller import Caller
from evse.api.errors import ApiError, ErrorCode
from evse.api.operation import Empty
from evse.config.led_profiles import list_leds, load_leds
from evse.config.model_leds import LedSection
from evse.config.model_rules import RuleSection
from evse.config.rule_file import list_sets, read_rules, rules_toml, set_text, with_leds, with_rules
from evse.config.save import set_values
from evse.config.spec_rules import STANDARD, rule_spec, rule_specs
from evse.core.ac.memory import AcState
from evse.core.leds import colour, shown, specs_of
from evse.core.rule_text import describe, findings, step_text
from evse.domain.ac import PpState
from evse.domain.base import ConfigError
from evse.domain.leds import LedSpec
from evse.domain.readings import Sample
from evse.domain.rules import RULES_MAX, SLOT_OUTPUT, slot_of
from evse.domain.signals import BoardStatus, CpState
from evse.domain.station import EvseKind, EvseSpec
from evse.runtime.service.config import ConfigOperations

SWITCHED = {None: "bus", True: "enable", False: "disable"}


class RuleOperations(ConfigOperations):
    """``rule.*``, ``led.*``."""

    # -- reading ------------------------------------------------------------------------------------------------------

    async def rule_list(self, request: Empty, caller: Caller) -> r.Rules:
        """Every rule with what it does now."""
        rules = self._station.config.rule
        return r.Rules(
            items=tuple(self._row(rule, n) for n, rule in enumerate(rules, 1)), findings=_findings(rules)
        )

    async def rule_check(self, request: Empty, caller: Caller) -> r.RuleFindings:
        """Who overwrites whom, what is never revoked."""
        return r.RuleFindings(items=_findings(self._station.config.rule))

    async def rule_export(self, request: Empty, caller: Caller) -> r.RuleText:
        """A file that ``rule.import`` reads."""
        return r.RuleText(text=rules_toml(self._station.config.rule))

    async def rule_sets(self, request: Empty, caller: Caller) -> r.RuleSets:
        """The sets of ``profiles/rules``."""
        found = []
        for name in list_sets():
            rules = read_rules(set_text(name), f"profiles/rules/{name}.toml")
            found.append(r.RuleSet(name=name, rules=len(rules), notes=tuple(rule.note for rule in rules)))
        return r.RuleSets(items=tuple(found))

    async def rule_trace(self, request: r.RuleTraceQuery, caller: Caller) -> r.RuleTraceRows:
        """The last steps, newest first."""
        rows = self._station.loop.rules.last(request.limit, request.evse_id)
        return r.RuleTraceRows(
            items=tuple(
                r.RuleTraceRow(
                    seq=row.seq, wall=row.wall, evse_id=row.evse_id, what=row.step.what, number=row.step.number,
                    thing=row.step.thing, other=row.step.other, text=step_text(row.step),
                )
                for row in rows
            )
        )  # fmt: skip

    async def rule_state(self, request: ac.AcQuery, caller: Caller) -> r.RuleState:
        """Inputs and outputs as rules see and set them."""
        return r.RuleState(
            items=tuple(state_row(spec, memory, self._board(spec.evse_id)) for spec, memory in self._memories(request.evse_id))
        )

    def _row(self, rule: RuleSection, number: int) -> r.RuleRow:
        spec = rule_spec(rule, number)
        slot = slot_of(spec)
        active: list[int] = []
        decides: list[int] = []
        others: set[int] = set()
        for evse, memory in self._memories(0):
            if any(run.number == number for run in memory.rule_runs):
                active.append(evse.evse_id)
                winner = dict(memory.rule_by).get(slot, 0)
                if winner == number:
                    decides.append(evse.evse_id)
                elif winner:
                    others.add(winner)
        return r.RuleRow(
            number=number, text=describe(spec), rule=rule, active=tuple(active), decides=tuple(decides),
            overridden_by=tuple(sorted(others)),
        )  # fmt: skip

    def _memories(self, evse_id: int) -> list[tuple[EvseSpec, AcState]]:
        loop = self._station.loop
        found = [
            (spec, state.ac)
            for spec, state in zip(loop.spec.evses, loop.state.evses, strict=True)
            if spec.kind is EvseKind.AC and state.ac is not None and evse_id in (0, spec.evse_id)
        ]
        if not found and evse_id:
            known = ", ".join(str(spec.evse_id) for spec, _ in self._memories(0)) or "none"
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no AC connector {evse_id}", f"AC connectors: {known}")
        return found

    def _board(self, evse_id: int) -> BoardStatus | None:
        reading = self._station.devices.boards[evse_id].reading()
        return reading.value if isinstance(reading, Sample) else None

    # -- changing -----------------------------------------------------------------------------------------------------

    async def rule_put(self, request: r.RulePut, caller: Caller) -> r.RuleChanged:
        """Add or replace."""
        rules = list(self._station.file_config.rule)
        number = request.number or len(rules) + 1
        if request.number and (not request.insert or number > len(rules) + 1):
            self._known(number, len(rules))
        if request.number and not request.insert:
            caller.note.old = describe(rule_spec(rules[number - 1], number))
            rules[number - 1] = request.rule
        else:
            rules.insert(number - 1, request.rule)
        return await self._write(rules, caller, number)

    async def rule_remove(self, request: r.RuleRef, caller: Caller) -> r.RuleChanged:
        """Remove; the ones behind move up."""
        rules = list(self._station.file_config.rule)
        self._known(request.number, len(rules))
        caller.note.old = describe(rule_spec(rules[request.number - 1], request.number))
        del rules[request.number - 1]
        return await self._write(rules, caller, request.number)

    async def rule_move(self, request: r.RuleMove, caller: Caller) -> r.RuleChanged:
        """Another place in the order."""
        rules = list(self._station.file_config.rule)
        self._known(request.number, len(rules))
        self._known(request.to, len(rules))
        rules.insert(request.to - 1, rules.pop(request.number - 1))
        return await self._write(rules, caller, request.to)

    async def rule_import(self, request: r.RuleImport, caller: Caller) -> r.RuleChanged:
        """Rules of a set or a file, behind the others or in their place."""
        try:
            if bool(request.name) is bool(request.text):
                raise ConfigError(["give either the name of a set or the text of a file"])
            text = set_text(request.name) if request.name else request.text
            rules = list(read_rules(text, f"{request.name or 'import'}.toml"))
        except ConfigError as error:
            raise ApiError(ErrorCode.INVALID, "\n".join(error.problems), "nothing was changed") from None
        if request.evse_id is not None:
            rules = [msgspec.structs.replace(rule, evse=request.evse_id) for rule in rules]
        before = [] if request.replace else list(self._station.file_config.rule)
        return await self._write([*before, *rules], caller, 0)

    def _known(self, number: int, count: int) -> None:
        if not 1 <= number <= count:
            raise ApiError(
                ErrorCode.NOT_FOUND, f"there is no rule {number}; this station has {count} of at most {RULES_MAX}",
                "see: evsectl rule list",
            )  # fmt: skip

    async def _write(self, rules: Sequence[RuleSection], caller: Caller, number: int) -> r.RuleChanged:
        applied = await self._change(lambda text, file: with_rules(text, rules, file), caller)
        return r.RuleChanged(changed=applied, number=number, rules=len(rules), findings=_findings(tuple(rules)))

    async def _change(self, edit: Callable[[str, str], str], caller: Caller) -> bool:
        """Edit the configuration file and put it in force; True when something has changed."""
        path = self._station.config_path
        if path is None:
            raise ApiError(ErrorCode.NOT_FOUND, "this station runs without a configuration file", "nothing was changed")
        try:
            text = edit(path.read_text(encoding="utf-8"), str(path))
        except ConfigError as error:
            raise ApiError(ErrorCode.INVALID, "\n".join(error.problems), "nothing was changed") from None
        return (await self.config_apply(m.ConfigCandidate(text=text), caller)).applied

    # -- lamps --------------------------------------------------------------------------------------------------------

    async def led_list(self, request: ac.AcQuery, caller: Caller) -> r.Leds:
        """Every lamp and what it shows at this moment."""
        loop = self._station.loop
        sections = self._station.config.led or STANDARD
        profile = {id(spec): section.profile for spec, section in zip(loop.spec.leds, sections, strict=True)}
        rows = []
        for evse, memory in self._memories(request.evse_id):
            for led in specs_of(loop.spec.leds, evse.evse_id):
                rows.append(self._led_row(evse.evse_id, led, memory, profile.get(id(led), "")))
        return r.Leds(items=tuple(rows), brightness_pct=loop.spec.light_pct)

    def _led_row(self, evse_id: int, led: LedSpec, memory: AcState, profile: str) -> r.LedRow:
        loop = self._station.loop
        blinks = loop.spec.blink_repeat
        found = shown(led, memory.out_marks, loop.now, blinks)
        return r.LedRow(
            evse_id=evse_id, lamp=led.lamp.value, outputs=led.outputs, profile=profile,
            condition=found[0].condition.value if found else "", mode=found[0].mode.value if found else "",
            rgb=f"#{colour(led, memory.out_marks, loop.now, loop.spec.light_pct, blinks):06x}", buzzer=led.buzzer,
        )  # fmt: skip

    async def led_profiles(self, request: Empty, caller: Caller) -> r.LedProfiles:
        """The profiles of ``profiles/leds``."""
        return r.LedProfiles(items=tuple(r.LedProfile(name=name, behaviours=load_leds(name)) for name in list_leds()))

    async def led_set(self, request: r.LedSet, caller: Caller) -> m.Done:
        """Another profile for a lamp; its own behaviours stay."""
        leds = list(self._station.file_config.led or STANDARD)
        wanted = LedSection(
            evse=request.evse_id, lamp=request.lamp, outputs=request.outputs, profile=request.profile, buzzer=request.buzzer
        )
        at = next((i for i, led in enumerate(leds) if _lamp(led) == _lamp(wanted)), None)
        if at is None:
            leds.append(wanted)
        else:
            caller.note.old = leds[at].profile
            leds[at] = msgspec.structs.replace(wanted, behaviour=leds[at].behaviour)
        changed = await self._change(lambda text, file: with_leds(text, leds, file), caller)
        return m.Done(changed=changed)

    async def led_brightness(self, request: r.LedBrightness, caller: Caller) -> m.Done:
        """Brightness of all lamps."""
        caller.note.old = str(self._station.config.ocpp.light_intensity_pct)
        changed = await self._change(
            lambda text, file: set_values(text, {"ocpp.light_intensity_pct": request.pct}, file), caller
        )
        return m.Done(changed=changed)


def _lamp(led: LedSection) -> tuple[int, str, tuple[int, ...]]:
    return led.evse, led.lamp, led.outputs


def _findings(rules: tuple[RuleSection, ...]) -> tuple[r.RuleFindingRow, ...]:
    return tuple(
        r.RuleFindingRow(
            what=f.what, number=f.number, other=f.other, thing=f.thing, certain=f.certain, text=f.text
        )
        for f in findings(rule_specs(rules))
    )


def state_row(spec: EvseSpec, a: AcState, b: BoardStatus | None) -> r.RuleStateRow:
    """What rules see and do at one EVSE."""
    side = b.ac if b is not None else None
    inputs, outputs = (spec.ac.inputs, spec.ac.outputs) if spec.ac is not None else (0, 0)
    millivolts = side.input_mv if side is not None else ()
    return r.RuleStateRow(
        evse_id=spec.evse_id,
        cp=(b.cp if b is not None else CpState.UNKNOWN).value,
        pp=(side.pp if side is not None else PpState.UNKNOWN).value,
        inputs=tuple(
            r.RuleInput(
                number=n,
                high=bool(side.inputs >> (n - 1) & 1) if side is not None else None,
                mv=millivolts[n - 1] if n <= len(millivolts) else None,
            )
            for n in range(1, inputs + 1)
        ),
        outputs=tuple(_output(n, a) for n in range(1, outputs + 1)),
        release=SWITCHED[a.rule_release],
        external_release=SWITCHED[a.rule_allowed],
        lock={None: "", True: "lock", False: "unlock"}[a.lock_rule],
        limit_ma=a.lim_rule_ma if a.lim_rule_ma >= 0 else None,
        message=a.rule_message,
    )


def _output(number: int, a: AcState) -> r.RuleOutput:
    bit = 1 << (number - 1)
    level = "high" if a.out_outputs & bit else "low"
    level = "floating" if a.out_floating & bit else "pulsating" if a.out_pulsing & bit else level
    rule = dict(a.rule_by).get(SLOT_OUTPUT + number, 0)
    by = "hand" if a.out_hand & bit else f"rule {rule}" if rule else "lamp" if a.out_outputs & bit else ""
    return r.RuleOutput(number=number, level=level, by=by)
