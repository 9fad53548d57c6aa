"""Section A, Rules: event actions with what they do now, the inputs and outputs they see and set, and when they fired.

The editor has three short forms, as the manual has three columns: event, condition, action. A new rule is out of use until
somebody puts it in use. Changes act at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

import msgspec
from textual.binding import BindingType

from evse.api.models_ac import AcQuery
from evse.api.models_rules import (
    RuleChanged,
    RuleMove,
    RulePut,
    RuleRef,
    RuleRow,
    Rules,
    RuleState,
    RuleStateRow,
    RuleTraceQuery,
    RuleTraceRows,
)
from evse.config.check_rules import without_leftovers
from evse.config.model_rules import RuleSection
from evse.config.options import Option, tree
from evse.domain.rules import RULES_MAX, RuleAction, RuleCondition, RuleEvent
from tui import format as fmt
from tui.admin.registry import register
from tui.admin.section import SectionScreen, list_bindings
from tui.driver.glyphs import Glyphs
from tui.keymap import bind
from tui.widgets.dialogs import NARROW, Field, FormDialog
from tui.widgets.frame import Frame
from tui.widgets.parts import rule as line
from tui.widgets.table import Column, TableState, put_table

PARTS: Final[dict[str, tuple[str, ...]]] = {
    "event": ("event", "event_input"),
    "condition": ("condition", "condition_input", "condition_a", "condition_mv"),
    "action": ("action", "output", "flash_pct", "status", "limit_a", "message", "timer_ms"),
    "place": ("evse", "note"),
}
"""Keys of each form."""

WORDS: Final[dict[str, tuple[str, ...]]] = {
    "event": tuple(word.value for word in RuleEvent),
    "condition": tuple(word.value for word in RuleCondition),
    "action": tuple(word.value for word in RuleAction),
}
"""Words in the order of the manual: Space goes through them."""

TRACE_ROWS: Final = 100
STATES_SHOWN: Final = 3
"""Connectors whose inputs and outputs are shown where there is little room."""

COLUMNS = (
    Column(title="No", width=2, right=True),
    Column(title="Where", width=5),
    Column(title="Now", width=14),
    Column(title="Rule", width=30, grow=True),
)
TRACE = (
    Column(title="Time", width=19),
    Column(title="Where", width=5),
    Column(title="What", width=30, grow=True),
)


@register
class RulesScreen(SectionScreen):
    """List, live inputs, editor; ``h`` shows the trace."""

    SECTION = "rules"
    RELOAD_S = 1
    WRITES = frozenset({"part", "switch", "insert", "remove", "shift"})
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("rules.event", "e", "part('event')", "Event"),
        bind("rules.condition", "c", "part('condition')", "Condition"),
        bind("rules.action", "a,enter", "part('action')", "Action"),
        bind("rules.place", "p", "part('place')", "Place"),
        bind("rules.switch", "space", "switch", "On/off"),
        bind("rules.insert", "I", "insert", "New"),
        bind("rules.remove", "X", "remove", "Remove"),
        bind("rules.later", "J", "shift(1)", "Later", show=False),
        bind("rules.earlier", "K", "shift(-1)", "Earlier", show=False),
        bind("rules.history", "h", "history", "Rules/trace"),
        *list_bindings("rules"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.table = TableState()
        self.past = TableState()
        self.rules: Rules | None = None
        self.state: RuleState | None = None
        self.trace: RuleTraceRows | None = None
        self.in_history = False

    async def load(self) -> None:
        """Fetch rules, inputs and trace."""
        self.rules = await self.admin.store.call("rule.list")
        self.state = await self.admin.store.call("rule.state", AcQuery())
        self.trace = await self.admin.store.call("rule.trace", RuleTraceQuery(limit=TRACE_ROWS))

    def paint(self, frame: Frame) -> None:
        """Paint the list or the trace."""
        glyphs = self.admin.profile.glyphs
        if self.rules is None or self.state is None or self.trace is None:
            frame.put(1, 1, "Loading event actions ...")
        elif self.in_history:
            paint_trace(frame, self.trace, self.past, glyphs)
        else:
            paint_rules(frame, self.rules, self.state, self.table, glyphs)

    def chosen(self) -> RuleRow | None:
        """The rule under the cursor."""
        if self.rules is None or self.in_history or not self.rules.items:
            return None
        keys = [str(row.number) for row in self.rules.items]
        self.table.settle(keys, len(keys))
        return self.rules.items[self.table.cursor]

    def action_move(self, delta: int) -> None:
        """Move the cursor."""
        if self.in_history and self.trace is not None:
            self.past.move(delta, [str(row.seq) for row in self.trace.items])
        elif self.rules is not None:
            self.table.move(delta, [str(row.number) for row in self.rules.items])
        self.paint_all()

    def action_history(self) -> None:
        """Switch between rules and trace."""
        self.in_history = not self.in_history
        self.paint_all()

    def action_part(self, part: str) -> None:
        """Edit one part of the chosen rule."""
        row = self.chosen()
        if row is None:
            return

        def answered(changed: dict[str, str] | None) -> None:
            if changed:
                self._put(row, parsed(changed))

        title = f"Rule {row.number}: {part}"
        self.admin.push_screen(FormDialog(title, form_fields(row.rule, PARTS[part]), "Apply"), answered)

    def action_switch(self) -> None:
        """In use or not."""
        row = self.chosen()
        if row is None:
            return
        verb = "Disable" if row.rule.enabled else "Enable"
        effect = "What it has switched ends at once." if row.rule.enabled else "It may switch outputs, limits and charging at once."
        request = changed_rule(row, {"enabled": not row.rule.enabled})
        self.confirm(
            verb, f"{verb} rule {row.number}", [row.text, effect], lambda: self.admin.store.call("rule.put", request),
            done=f"Rule {row.number}: {verb.lower()}d", cli=f"evsectl rule {verb.lower()} {row.number}",
        )  # fmt: skip

    def _put(self, row: RuleRow, changes: dict[str, Any]) -> None:
        request = changed_rule(row, changes)
        self._change(lambda: self.admin.store.call("rule.put", request), f"Rule {row.number} changed")

    def action_insert(self) -> None:
        """A new rule behind the chosen one, out of use."""
        row = self.chosen()
        if self.rules is None or self.in_history:
            return
        if len(self.rules.items) >= RULES_MAX:
            self.refuse(f"There are {RULES_MAX} rules already; remove one first")
            return
        at = row.number + 1 if row is not None else 0
        behind = at > len(self.rules.items)
        request = RulePut(number=0 if behind else at, insert=not behind, rule=RuleSection(enabled=False, note="new"))
        done = f"Rule {at or 1} is new and out of use"
        self._change(lambda: self.admin.store.call("rule.put", request), done, cursor=at or 1)

    def action_remove(self) -> None:
        """Remove the chosen rule."""
        row = self.chosen()
        if row is None:
            return
        lines = [row.text, "What it has switched ends at once. The rules behind it move up by one."]
        request = RuleRef(number=row.number)
        self.confirm(
            "Remove", f"Remove rule {row.number}", lines, lambda: self.admin.store.call("rule.remove", request),
            done=f"Rule {row.number} removed", cli=f"evsectl rule remove {row.number}",
        )  # fmt: skip

    def action_shift(self, step: int) -> None:
        """Move the chosen rule; later ones overwrite earlier ones."""
        row = self.chosen()
        if row is None or self.rules is None or not 1 <= row.number + step <= len(self.rules.items):
            return
        request = RuleMove(number=row.number, to=row.number + step)
        done = f"Rule {row.number} is rule {request.to} now"
        self._change(lambda: self.admin.store.call("rule.move", request), done, cursor=request.to)

    def _change(self, call: Callable[[], Awaitable[Any]], done: str, *, cursor: int = 0) -> None:
        """Carry out a change at once; ``cursor`` = number of the rule to stand on afterwards, 0 = where it stands."""

        async def act() -> None:
            answer: RuleChanged = await call()
            odd = [f.text for f in answer.findings if answer.number in (f.number, f.other)]
            self.admin.toast(odd[0] if odd and answer.changed else done if answer.changed else "unchanged", "warn" if odd else "ok")
            await self.load()
            self.table.key = str(cursor) if cursor else self.table.key

        self.call_then(act)


def changed_rule(row: RuleRow, changes: dict[str, Any]) -> RulePut:
    """Return the request that changes a rule; arguments of words that it had before are dropped."""
    wanted = without_leftovers({**msgspec.structs.asdict(row.rule), **changes}, changes)
    return RulePut(number=row.number, rule=msgspec.convert(wanted, RuleSection))


def form_fields(rule: RuleSection, keys: tuple[str, ...]) -> list[Field]:
    """Return the draft of a form: each key as the configuration declares it."""
    options = tree().tables["rule"].options
    return [_field(options[key], getattr(rule, key)) for key in keys]


def _field(option: Option, value: str | int) -> Field:
    note = option.help if option.low is None else f"{option.low}..{option.high} {option.unit}".rstrip()
    return Field(
        name=option.name,
        label=option.name.replace("_", " "),
        value=str(value),
        base=str(value),
        unit=option.unit,
        note=note if not option.choices else f"Space, Left, Right: {len(option.choices)} words",
        check=lambda text: _wrong(option, text),
        choices=WORDS.get(option.name, tuple(map(str, option.choices))),
        length=option.length_max or max(NARROW, *(len(str(c)) for c in option.choices or ("",))),
    )


def _wrong(option: Option, text: str) -> str:
    if option.kind != "integer":
        return ""
    low, high = option.low or 0, option.high or 0
    return "" if text.isdecimal() and low <= int(text) <= high else f"{low} to {high}, whole number"


def parsed(changed: dict[str, str]) -> dict[str, Any]:
    """Return the answer of a form as values of the rule."""
    options = tree().tables["rule"].options
    return {key: int(text) if options[key].kind == "integer" else text for key, text in changed.items()}


# -- painting -------------------------------------------------------------------------------------------------------


def now(row: RuleRow) -> tuple[str, str]:
    """(word, role): what a rule does now."""
    if not row.rule.enabled:
        return "off", "dim"
    if row.decides:
        return f"acts {', '.join(map(str, row.decides))}", "ok"
    if row.overridden_by:
        return f"beaten by {row.overridden_by[0]}", "warn"
    return ("acts", "ok") if row.active else (fmt.NONE, "")


def where(evse_id: int) -> str:
    """One connector or all."""
    return str(evse_id) if evse_id else "all"


def levels_text(row: RuleStateRow) -> str:
    """Inputs, outputs and wishes of one connector in a line; ``H`` and ``L``, ``?`` = not known."""
    marks = {True: "H", False: "L", None: "?"}
    short = {"high": "H", "low": "L", "floating": "float", "pulsating": "pulse"}
    parts = ["in " + " ".join(f"{i.number}{marks[i.high]}" for i in row.inputs)] if row.inputs else []
    if row.outputs:
        parts.append("out " + " ".join(f"{o.number}{short[o.level]}{f'({o.by})' if o.by else ''}" for o in row.outputs))
    parts += [f"limit {row.limit_ma / 1000:g} A"] if row.limit_ma is not None else []
    parts += [f"release {row.release}"] if row.release != "bus" else []
    parts += [f"external {row.external_release}"] if row.external_release != "bus" else []
    parts += [row.lock] if row.lock else []
    return f"conn {row.evse_id}  {row.cp}  {'  '.join(parts)}"


def paint_rules(frame: Frame, rules: Rules, state: RuleState, table: TableState, glyphs: Glyphs) -> None:
    """Paint live levels, the list, and what is to be said about the chosen rule."""
    acting = sum(1 for row in rules.items if row.decides)
    text = f"{len(rules.items)} of {RULES_MAX} rules  {acting} act  {len(rules.findings)} remarks"
    frame.put(1, 0, "Event actions", "title")
    frame.right(frame.width - 1, 0, text, "value")
    y = 1
    shown = state.items[: max(STATES_SHOWN, frame.height - len(rules.items) - 9)]
    for row in shown:
        frame.put(1, y, levels_text(row), "warn" if row.external_release == "disable" else "value", limit=frame.width - 2)
        y += 1
    if len(state.items) > len(shown):
        frame.put(1, y, f"and {len(state.items) - len(shown)} connectors more: evsectl rule state", "dim")
        y += 1
    data, roles = [], {}
    for rule in rules.items:
        word, role = now(rule)
        roles[str(rule.number)] = role
        data.append((str(rule.number), (str(rule.number), where(rule.rule.evse), word, rule.text)))
    rows = min(len(data) + 1, max(3, frame.height - y - 6)) if data else 2
    empty = "No event actions. Press I for a new one, or: evsectl rule sets"
    y = put_table(frame, 0, y, frame.width, rows, COLUMNS, data, table, glyphs, empty=empty, marks=roles)
    chosen = next((row for row in rules.items if str(row.number) == table.key), None)
    if chosen is None or y >= frame.height:
        return
    line(frame, y, glyphs)
    frame.put(1, y, f" Rule {chosen.number} ", "title")
    y += 1
    for words, role in _remarks(chosen, rules):
        if y < frame.height:
            y = frame.wrap(1, y, words, frame.width - 2, role, rows=min(2, frame.height - y))


def _remarks(chosen: RuleRow, rules: Rules) -> list[tuple[str, str]]:
    found = [(chosen.text, "value")]
    found += [(chosen.rule.note, "")] if chosen.rule.note else []
    found += [(f.text, "warn") for f in rules.findings if chosen.number in (f.number, f.other)]
    return found


def paint_trace(frame: Frame, trace: RuleTraceRows, table: TableState, glyphs: Glyphs) -> None:
    """Paint which rule fired when, newest first."""
    frame.put(1, 0, "Trace of event actions", "title")
    frame.right(frame.width - 1, 0, f"{len(trace.items)} steps, newest first", "value")
    data = [(str(row.seq), (fmt.stamp(row.wall), where(row.evse_id), row.text)) for row in trace.items]
    roles = {str(row.seq): "warn" for row in trace.items if row.other}
    empty = "No rule has fired since the daemon started."
    put_table(frame, 0, 1, frame.width, frame.height - 1, TRACE, data, table, glyphs, empty=empty, marks=roles)
