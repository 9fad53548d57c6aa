"""``evsectl rule``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from evse.config.check_rules import without_leftovers
from evsectl import exits
from evsectl import tables_rules as tables
from evsectl.commands.launch import become, report_format
from evsectl.diagnostics import Abort, note, usage
from evsectl.options import Call, Host, OutFile, Yes, confirm, data, session, text_options
from evsectl.output import emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Event actions: what happens when."
)

TEXT_MAX = 200_000

Number = Annotated[int, typer.Argument(help="Number of the rule", metavar="N", min=1, max=32)]
Evse = Annotated[int | None, typer.Option("--evse", help="EVSE, 0 = every AC EVSE", min=0, max=48, metavar="ID")]
Event = Annotated[str | None, typer.Option("--event", help="What must happen, e.g. input_rising, always", metavar="WORD")]
EventInput = Annotated[int | None, typer.Option("--event-input", help="Digital input of the event", min=0, metavar="N")]
Condition = Annotated[
    str | None, typer.Option("--condition", help="What must hold, e.g. input_high, charging", metavar="WORD")
]
ConditionInput = Annotated[
    int | None, typer.Option("--condition-input", help="Input of the condition", min=0, metavar="N")
]
ConditionA = Annotated[int | None, typer.Option("--condition-a", help="Cable coding, A", min=0, metavar="A")]
ConditionMv = Annotated[int | None, typer.Option("--condition-mv", help="Analog threshold, mV", min=0, metavar="MV")]
Action = Annotated[str | None, typer.Option("--action", help="What is done, e.g. output_high, limit", metavar="WORD")]
Output = Annotated[int | None, typer.Option("--out", help="Digital output of the action", min=0, metavar="N")]
FlashPct = Annotated[int | None, typer.Option("--flash-pct", help="Share of a flash, %", min=0, max=100, metavar="PCT")]
Status = Annotated[str | None, typer.Option("--status", help="bus, enable or disable", metavar="WORD")]
LimitA = Annotated[int | None, typer.Option("--limit-a", help="Current per phase, A", min=0, max=125, metavar="A")]
Message = Annotated[str | None, typer.Option("--message", help="Text for the back end", metavar="TEXT")]
TimerMs = Annotated[
    int | None, typer.Option("--timer-ms", help="How long, ms; 0 = until revoked", min=0, metavar="MS")
]
Note = Annotated[str | None, typer.Option("--note", help="What it is for", metavar="TEXT")]


@data(app, "Rule", "list", key="number")
def list_(call: Call) -> int:
    """List event actions and what they do now."""
    body = call.ask("rule.list")
    emit("Rule", body["items"], tables.RULE, call.options, name="number", empty="No event actions. Ready-made: evsectl rule sets")
    if body["findings"] and call.human and not call.options.file:
        note(f"{len(body['findings'])} remarks about these rules: evsectl rule check")
    return exits.OK


def _odd(call: Call, findings: list[dict[str, Any]]) -> int:
    """Tell a person what is odd about the rules."""
    if call.human and not call.options.file:
        for finding in findings:
            note(finding["text"])
    return exits.OK


@data(app, "Rule", key="number")
def show(call: Call, number: Number) -> int:
    """Show one event action with all its keys."""
    row = _row(call, number)
    if call.human:
        keys = "".join(f"  {key:16} {_value(value)}\n" for key, value in row["rule"].items() if value not in ("", 0))
        write(f"Rule {number}: {row['text']}\nNow: {tables.state(row)}\n\n{keys}", call.options)
    else:
        emit("Rule", [row], tables.RULE, call.options, name="number", single=True)
    return exits.OK


def _value(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _row(call: Call, number: int) -> dict[str, Any]:
    items: list[dict[str, Any]] = call.ask("rule.list")["items"]
    if number > len(items):
        hint = "see: evsectl rule list" if items else "ready-made: evsectl rule sets"
        raise Abort(exits.NOT_FOUND, f"there is no rule {number}; this station has {len(items)}", hint, "not_found")
    return items[number - 1]


def _given(**keys: Any) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if value is not None}


@data(app, "RuleChanged")
def add(
    call: Call,
    event: Event = None,
    event_input: EventInput = None,
    condition: Condition = None,
    condition_input: ConditionInput = None,
    condition_a: ConditionA = None,
    condition_mv: ConditionMv = None,
    action: Action = None,
    out: Output = None,
    flash_pct: FlashPct = None,
    status: Status = None,
    limit_a: LimitA = None,
    message: Message = None,
    timer_ms: TimerMs = None,
    evse: Evse = None,
    note_: Note = None,
    at: Annotated[
        int, typer.Option("--at", help="Before this rule; without it at the end", min=0, max=32, metavar="N")
    ] = 0,
) -> int:
    """Add an event action."""
    rule = _given(
        event=event, event_input=event_input, condition=condition, condition_input=condition_input,
        condition_a=condition_a, condition_mv=condition_mv, action=action, output=out, flash_pct=flash_pct, status=status,
        limit_a=limit_a, message=message, timer_ms=timer_ms, evse=evse, note=note_,
    )  # fmt: skip
    if action is None:
        usage("--action is missing", "for example: evsectl rule add --condition charging --action output_high --out 3")
    return _changed(call, call.ask("rule.put", number=at, insert=at > 0, rule=rule), "added")


@data(app, "RuleChanged")
def edit(
    call: Call,
    number: Number,
    event: Event = None,
    event_input: EventInput = None,
    condition: Condition = None,
    condition_input: ConditionInput = None,
    condition_a: ConditionA = None,
    condition_mv: ConditionMv = None,
    action: Action = None,
    out: Output = None,
    flash_pct: FlashPct = None,
    status: Status = None,
    limit_a: LimitA = None,
    message: Message = None,
    timer_ms: TimerMs = None,
    evse: Evse = None,
    note_: Note = None,
) -> int:
    """Change an event action; what is not named stays."""
    given = _given(
        event=event, event_input=event_input, condition=condition, condition_input=condition_input,
        condition_a=condition_a, condition_mv=condition_mv, action=action, output=out, flash_pct=flash_pct, status=status,
        limit_a=limit_a, message=message, timer_ms=timer_ms, evse=evse, note=note_,
    )  # fmt: skip
    if not given:
        usage("nothing to change", f"for example: evsectl rule edit {number} --timer-ms 3000")
    return _put(call, number, given, "changed")


def _put(call: Call, number: int, changes: dict[str, Any], done: str) -> int:
    rule = without_leftovers({**_row(call, number)["rule"], **changes}, changes)
    return _changed(call, call.ask("rule.put", number=number, rule=rule), done)


def _changed(call: Call, body: dict[str, Any], done: str) -> int:
    if not call.human:
        emit("RuleChanged", [body], [], call.options, single=True)
        return exits.OK
    what = f"rule {body['number']}" if body["number"] else f"{body['rules']} rules"
    write(f"{what} {done}\n" if body["changed"] else "unchanged\n", call.options)
    return _odd(call, [f for f in body["findings"] if body["number"] in (0, f["number"], f["other"])])


@data(app, "RuleChanged")
def remove(call: Call, number: Number) -> int:
    """Remove an event action; those behind it move up."""
    return _changed(call, call.ask("rule.remove", number=number), "removed")


@data(app, "RuleChanged")
def move(
    call: Call,
    number: Number,
    to: Annotated[int, typer.Argument(help="Its new number", metavar="TO", min=1, max=32)],
) -> int:
    """Move an event action: later ones overwrite earlier ones."""
    return _changed(call, call.ask("rule.move", number=number, to=to), f"was rule {number}")


@data(app, "RuleChanged")
def enable(call: Call, number: Number) -> int:
    """Put an event action in use."""
    return _put(call, number, {"enabled": True}, "enabled")


@data(app, "RuleChanged")
def disable(call: Call, number: Number) -> int:
    """Keep an event action, out of use."""
    return _put(call, number, {"enabled": False}, "disabled")


@data(app, "RuleStep", key="seq")
def trace(
    call: Call,
    evse: Annotated[int, typer.Option("--evse", help="Only this EVSE", min=0, max=48, metavar="ID")] = 0,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=1000, metavar="N")] = 30,
) -> int:
    """Show which rule fired when, newest first."""
    body = call.ask("rule.trace", evse_id=evse, limit=limit)
    emit("RuleStep", body["items"], tables.STEP, call.options, name="seq", empty="No rule has fired since the start.")
    return exits.OK


@data(app, "RuleState", key="evse_id")
def state(
    call: Call,
    evse: Annotated[int, typer.Argument(help="EVSE, without it all AC EVSEs", min=0, max=48, metavar="[ID]")] = 0,
) -> int:
    """Show inputs, outputs and what the rules want now."""
    body = call.ask("rule.state", evse_id=evse)
    emit("RuleState", body["items"], tables.STATE, call.options, name="evse_id", empty="There is no AC EVSE.")
    return exits.OK


@data(app, "RuleFinding", key="number")
def check(call: Call) -> int:
    """Find rules that override each other, or are never revoked."""
    body = call.ask("rule.check")
    emit("RuleFinding", body["items"], tables.FINDING, call.options, name="number", empty="Nothing is odd about the rules.")
    return exits.OK


@data(app, "RuleSet", key="name")
def sets(call: Call) -> int:
    """List ready-made sets of event actions."""
    emit("RuleSet", call.ask("rule.sets")["items"], tables.SET, call.options, name="name")
    return exits.OK


@data(app, "RuleChanged", "import")
def import_(
    call: Call,
    source: Annotated[str, typer.Argument(help="Name of a set, or a file with [[rule]] tables", metavar="SET|FILE")],
    replace: Annotated[bool, typer.Option("--replace", help="Remove the rules that are there")] = False,
    evse: Evse = None,
    yes: Yes = False,
) -> int:
    """Take over the rules of a set or a file."""
    request: dict[str, Any] = {"replace": replace, **({"evse_id": evse} if evse is not None else {})}
    path = Path(source)
    if path.is_file():
        try:
            request["text"] = path.read_bytes()[:TEXT_MAX].decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            usage(f"{source}: cannot be read: {error}", "a file with [[rule]] tables, UTF-8")
    else:
        request["name"] = source
    there = len(call.ask("rule.list")["items"]) if replace else 0
    if there:
        lines = [f"{there} rules go", "a copy first: evsectl rule export -O FILE"]
        confirm("Replace all event actions?", lambda: lines, yes=yes)
    return _changed(call, call.ask("rule.import", **request), "in use")


@app.command()
def export(file: OutFile = "", host: Host = "") -> int:
    """Write the event actions as a file."""
    write(session(host).call("rule.export")["text"], text_options(file))
    return exits.OK


@app.command()
def simulate(
    rules: Annotated[str, typer.Argument(help="Name of a set, or a file with [[rule]] tables", metavar="SET|FILE")],
    events: Annotated[str, typer.Option("--events", help="Script of what happens, - = stdin", metavar="FILE")],
    evse: Annotated[int, typer.Option("--evse", help="The EVSE that is looked at", min=1, max=48, metavar="ID")] = 1,
    tick_ms: Annotated[
        int, typer.Option("--tick-ms", help="Distance of two passes, ms", min=1, max=10_000, metavar="MS")
    ] = 50,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json", metavar="FORMAT")] = "table",
) -> NoReturn:
    """Try event actions offline: which rule fires when."""
    become(
        "evse.lab.rules", rules, "--events", events, "--evse", str(evse), "--tick-ms", str(tick_ms),
        "-o", report_format(output),
    )  # fmt: skip
