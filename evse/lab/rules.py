"""``python -m evse.lab.rules RULES --events SCRIPT``: event actions tried offline, with the engine of the controller.

Prints every step with its time: which rule fired, which one it overrides, what ends, and what the rules want then.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec

from evse.config.rule_file import list_sets, read_rules, set_text
from evse.config.spec_rules import rule_specs
from evse.core.rule_engine import RuleLevels, RuleMemory, evaluate, levels
from evse.core.rule_text import RuleStep, changes, describe, findings, step_text
from evse.domain.base import ConfigError
from evse.domain.rules import Rule, RuleEvent
from evse.lab.rule_script import Script, parse_script
from evse.units import ms

TICK_MS = 50
START_NS = ms(1_000_000)
LINES_MAX = 10_000
TICK_MS_MAX = 10_000
SCRIPT_MAX = 1_000_000


class Line(NamedTuple):
    """Everything that one moment has changed."""

    at_ms: int
    steps: tuple[RuleStep, ...]
    wanted: RuleLevels


def simulate(rules: tuple[Rule, ...], script: Script, evse_id: int = 1, tick_ms: int = TICK_MS) -> list[Line]:
    """Return what the rules of ``evse_id`` do, tick by tick; moments between two ticks count at the next one."""
    mine = tuple(rule for rule in rules if rule.evse_id in (0, evse_id))
    memory = RuleMemory()
    found: list[Line] = []
    waiting = list(script.moments)
    facts = waiting[0].facts
    for at in range(0, script.end_ms + tick_ms, tick_ms):
        happened: set[RuleEvent] = set()
        while waiting and waiting[0].at_ms <= at:
            facts = waiting.pop(0).facts
            happened |= facts.happened
        seen = msgspec.structs.replace(facts, happened=frozenset(happened))
        before, memory = memory, evaluate(mine, memory, seen, START_NS + ms(at))
        steps = changes(mine, before, memory)
        if steps:
            found.append(Line(at, tuple(steps), levels(mine, memory, START_NS + ms(at))))
            if len(found) >= LINES_MAX:
                break
    return found


def wanted_text(wanted: RuleLevels) -> str:
    """Return what the rules want at one moment in one line: ``outputs 3, limit 16 A``."""
    outputs = sorted(
        {n for n in range(1, 33) if (wanted.high | wanted.floating | wanted.pulsing) >> (n - 1) & 1}
    )
    parts = [f"outputs {','.join(map(str, outputs))}"] if outputs else []
    parts += [f"limit {wanted.limit_ma // 1000} A"] if wanted.limit_ma >= 0 else []
    for name, value, words in (
        ("release", wanted.release, ("withdrawn", "given")),
        ("external release", wanted.allowed, ("withdrawn", "given")),
        ("lock", wanted.lock, ("open", "closed")),
    ):
        parts += [f"{name} {words[value]}"] if value is not None else []
    if wanted.message:
        parts.append(f'"{wanted.message}"')
    return ", ".join(parts) or "nothing"


def main(argv: list[str] | None = None) -> int:
    """Run one simulation; 2 = a file cannot be used."""
    parser = argparse.ArgumentParser(prog="evsectl rule simulate", description="Try event actions offline.")
    parser.add_argument("rules", help="file with [[rule]] tables (a station file too), or the name of a shipped set")
    parser.add_argument("--events", required=True, help="script of what happens; - = stdin")
    parser.add_argument("--evse", type=int, default=1, help="the EVSE that is looked at")
    parser.add_argument("--tick-ms", type=int, default=TICK_MS, help="distance of two passes, 1 to 10000 ms")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    given = parser.parse_args(argv)
    if not 1 <= given.tick_ms <= TICK_MS_MAX:
        parser.error(f"--tick-ms {given.tick_ms}: 1 to {TICK_MS_MAX} are possible")
    try:
        rules = rule_specs(read_rules(_rules_text(given.rules), given.rules))
        script = parse_script(_script_text(given.events), given.events)
    except ConfigError as error:
        sys.stderr.write("\n".join(f"error: {problem}" for problem in error.problems) + "\n")
        return 2
    found = simulate(rules, script, given.evse, given.tick_ms)
    sys.stdout.write(_json(rules, found, script) if given.output == "json" else _table(rules, found, script))
    return 0


def _rules_text(name: str) -> str:
    path = Path(name)
    if path.is_file():
        return _read(path)
    if name in list_sets():
        return set_text(name)
    raise ConfigError([f"{name}: there is no such file or set; sets: {', '.join(list_sets())}"])


def _script_text(name: str) -> str:
    return sys.stdin.read(SCRIPT_MAX) if name == "-" else _read(Path(name))


def _read(path: Path) -> str:
    try:
        return path.read_bytes()[:SCRIPT_MAX].decode("utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None


def _table(rules: tuple[Rule, ...], found: list[Line], script: Script) -> str:
    text = [f"rule {rule.number:2}  {describe(rule)}" for rule in rules]
    text += [f"note     {finding.text}" for finding in findings(rules)]
    text.append("")
    for line in found:
        for i, step in enumerate(line.steps):
            time = f"{line.at_ms / 1000:9.3f} s" if i == 0 else " " * 11
            text.append(f"{time}  {step_text(step)}")
        text.append(f"{'':11}  = {wanted_text(line.wanted)}")
    text.append(f"{script.end_ms / 1000:9.3f} s  end")
    return "\n".join(text) + "\n"


def _json(rules: tuple[Rule, ...], found: list[Line], script: Script) -> str:
    document = {
        "rules": [{"number": rule.number, "text": describe(rule)} for rule in rules],
        "findings": msgspec.to_builtins(findings(rules)),
        "steps": [
            {"at_ms": line.at_ms, **msgspec.to_builtins(step), "text": step_text(step)} for line in found for step in line.steps
        ],
        "wanted": [{"at_ms": line.at_ms, **msgspec.to_builtins(line.wanted)} for line in found],
        "end_ms": script.end_ms,
    }
    return json.dumps(document, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main())
