"""Rules in words, what a pass has changed, and what is odd about a set; the script and the offline simulation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.config.rule_file import list_sets, read_rules, rules_toml, set_text, with_leds, with_rules
from evse.config.spec_rules import STANDARD, rule_spec, rule_specs
from evse.core.rule_engine import RuleMemory, evaluate, holds
from evse.core.rule_text import changes, describe, findings, step_text, together
from evse.domain.base import ConfigError
from evse.domain.rules import Rule, RuleAction, RuleCondition, RuleEvent, RuleFacts, RuleStatus, slot_of
from evse.lab.rule_script import parse_script
from evse.lab.rules import main, simulate
from evse.units import ms
from tests._support.examples import examples
from tests.rules.test_engine import FACTS, RULES, TRACE

E, C, A = RuleEvent, RuleCondition, RuleAction


def rule(number: int, **more: Any) -> Rule:
    more.setdefault("event", E.ALWAYS)
    more.setdefault("action", A.OUTPUT_HIGH)
    more.setdefault("output", 1)
    return Rule(number=number, **more)


def said(*rules: Rule) -> list[str]:
    return [f.text for f in findings(rules)]


def test_words() -> None:
    assert describe(rule(1, event=E.INPUT_FALLING, event_input=4, condition=C.ANALOG_OVER, condition_input=2, condition_mv=5000)) == (
        "input 4 falling, analog 2 over 5000 mV: output 1 high, until revoked"
    )
    assert describe(rule(1, condition=C.PP_UNDER, condition_ma=20_000, action=A.LIMIT, limit_ma=13_000, timer_ms=10)) == (
        "pp under 20 A: limit 13 A, for 10 ms"
    )
    assert describe(rule(1, action=A.OUTPUT_FLASH_LOW, flash_pct=20)) == "always: output 1 flash low 20 %, until revoked"
    stop = rule(1, action=A.EXTERNAL_RELEASE, status=RuleStatus.DISABLE, message="EmergencyStop")
    assert describe(stop) == 'always: external release disable "EmergencyStop", until revoked'


def test_who_overrides_whom() -> None:
    low = rule(7, action=A.OUTPUT_LOW, timer_ms=10)
    assert said(rule(3, timer_ms=10, condition=C.CHARGING), low) == ["rule 7 overrides rule 3 always: output 1"]
    assert said(low, rule(8, timer_ms=10, condition=C.CHARGING)) == ["rule 8 overrides rule 7 while both act: output 1"]
    assert said(rule(3, timer_ms=10), rule(7, timer_ms=10)) == []  # both want the same
    assert said(rule(3, timer_ms=10), rule(7, action=A.OUTPUT_LOW, output=2, timer_ms=10)) == []
    assert said(rule(3, evse_id=1, timer_ms=10), rule(7, evse_id=2, action=A.OUTPUT_LOW, timer_ms=10)) == []
    apart = {"condition": C.STATUS_B, "timer_ms": 10}, {"condition": C.STATUS_C, "timer_ms": 10}
    assert said(rule(3, **apart[0]), rule(7, action=A.OUTPUT_LOW, **apart[1])) == []
    long = {"condition": C.STATUS_C, "timer_ms": 60_000}
    assert said(rule(3, **apart[0]), rule(7, action=A.OUTPUT_LOW, **long)) == ["rule 7 overrides rule 3 while both act: output 1"]


def test_what_is_never_revoked_and_what_is_useless() -> None:
    assert said(rule(1, event=E.RFID_DENIED)) == [
        "rule 1: output 1 high is never revoked: no timer, and no other rule for output 1"
    ]
    assert said(rule(1, event=E.RFID_DENIED), rule(2, event=E.RFID_RELEASE, action=A.OUTPUT_BUS)) == []
    assert said(rule(1, event=E.NEVER), rule(2, condition=C.NEVER), rule(3, action=A.NONE)) == [
        f"rule {n} never does anything" for n in (1, 2, 3)
    ]


@settings(max_examples=examples(300), deadline=None)
@given(RULES, FACTS)
def test_conditions_that_exclude_each_other_never_hold_together(rules: tuple[Rule, ...], facts: RuleFacts) -> None:
    true = [r for r in rules if holds(r, facts)]
    assert all(together(a, b) for a in true for b in true)
    assert all(len(text) < 200 for text in said(*rules))


@settings(max_examples=examples(150), deadline=None)
@given(RULES, TRACE)
def test_every_override_of_a_run_was_foretold(rules: tuple[Rule, ...], trace: list[tuple[int, RuleFacts]]) -> None:
    """Steps tell everything: replayed they give the same memory; a running rule that loses to a level was foretold."""
    memory, now = RuleMemory(), 0
    deciders: dict[str, int] = {}
    active: set[int] = set()
    by_number = {r.number: r for r in rules}
    foretold = {(f.number, f.other) for f in findings(rules)}
    for step_ms, facts in trace:
        now += ms(step_ms)
        before, memory = memory, evaluate(rules, memory, facts, now)
        for step in changes(rules, before, memory):
            assert step_text(step)
            match step.what:
                case "fired":
                    active.add(step.number)
                case "ended":
                    active.discard(step.number)
                case "decides":
                    deciders[step.thing] = step.number
                case "free":
                    del deciders[step.thing]
                case "overridden":
                    loser, winner = by_number[step.number], by_number[step.other]
                    levels = loser.event is winner.event is E.ALWAYS
                    same = describe(loser).partition(": ")[2].partition(",")[0] == describe(winner).partition(": ")[2].partition(",")[0]
                    assert same or not levels or (step.other, step.number) in foretold
        assert active == {run.number for run in memory.runs}
        assert sorted(deciders.values()) == sorted(number for _, number in memory.by)
        assert all(slot_of(by_number[n]) == slot for slot, n in memory.by)


# -- files ----------------------------------------------------------------------------------------------------------

STATION = """# a comment that stays
[station]
id = "x"  # and this

[[rule]]
action = "lock"  # goes

[site]
limit_w = 5000
"""


@pytest.mark.parametrize("name", list_sets())
def test_rules_survive_the_way_through_a_file(name: str) -> None:
    rules = read_rules(set_text(name), name)
    assert read_rules(rules_toml(rules), "again") == rules
    station = with_rules(STATION, rules)
    assert "# a comment that stays" in station
    assert "# and this" in station
    assert "goes" not in station
    assert read_rules(station, "station") == rules
    assert read_rules(with_rules(with_rules(station, ()), rules), "station") == rules
    assert with_rules(station, rules) == station


@settings(max_examples=examples(60), deadline=None)
@given(st.text(max_size=200))
def test_a_file_is_read_or_refused(text: str) -> None:
    try:
        rules = read_rules(text, "f")
    except ConfigError as error:
        assert all(p.startswith("f:") for p in error.problems)
    else:
        assert rules


def test_lamps_are_written_too() -> None:
    assert 'lamp = "reader"' in with_leds(STATION, STANDARD)


def test_mistakes_of_a_file_come_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_rules('[[rule]]\nevent = "x"\n[[rule]]\noutput = -1\nhigh = 2\n', "f.toml")
    assert [p.partition(" ")[0] for p in caught.value.problems] == ["f.toml:2:", "f.toml:4:", "f.toml:5:"]


# -- simulation -----------------------------------------------------------------------------------------------------

SCRIPT = """
0      status=A
1s     plug=in status=B
2s     card=denied
2500   state=suspended_evse      # after half a second
6s     state=available status=A
8s     end
"""


def test_the_simulation_says_which_rule_fires_when(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "s"
    script.write_text(SCRIPT)
    assert main(["led-socket-red", "--events", str(script), "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    steps = [(s["at_ms"], s["text"]) for s in document["steps"]]
    assert steps == [
        (2000, "rule 3 fires"),
        (2000, "rule 3 decides about output 1"),
        (2500, "rule 5 fires"),
        (2500, "rule 5 overrides rule 3 (output 1)"),
        (5000, "rule 3 ends"),
        (6000, "rule 5 ends"),
        (6000, "nobody decides about output 1"),
    ]
    assert document["end_ms"] == 8000
    assert main(["led-socket-red", "--events", str(script)]) == 0
    assert "    2.500 s  rule 5 fires\n             rule 5 overrides rule 3 (output 1)\n" in capsys.readouterr().out


def test_moments_between_two_passes_count_at_the_next_one() -> None:
    rules = rule_specs(read_rules('[[rule]]\nevent = "rfid_denied"\naction = "lock"\ntimer_ms = 10\n', "x"))
    found = simulate(rules, parse_script("10 card=denied\n20 status=B\n"), tick_ms=100)
    assert [(line.at_ms, [s.what for s in line.steps]) for line in found] == [(100, ["fired", "decides"]), (200, ["ended", "free"])]


def test_mistakes_of_a_script_are_named_with_their_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "s"
    script.write_text("0 x=1\nsoon\n5s card=den\n1s\n6s input40=high analog1=a statsu=B\n")
    assert main(["led-socket", "--events", str(script)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[2] for line in lines] == ["1", "2", "3", "4", "5", "5", "5"]
    assert lines[2].endswith('card=den: did you mean "denied"?')
    assert lines[6].endswith('did you mean "status"?')
    assert main(["no-such-set", "--events", str(script)]) == 2
    assert "there is no such file or set; sets: emergency-input" in capsys.readouterr().err
    assert main(["led-socket", "--events", str(tmp_path / "none")]) == 2


WORDS = st.sampled_from(
    ("status=A", "status=C", "input1=high", "input2=low", "analog3=100", "card=denied", "teach=in", "error=internal",
     "error=none", "plug=in", "pp=32", "board=lost", "backend=offline", "end", "x", "a=b", "input0=high", "pwm=on")
)  # fmt: skip


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100_000), st.lists(WORDS, max_size=4)), max_size=8))
def test_any_script_runs_or_is_refused(lines: list[tuple[int, list[str]]]) -> None:
    text = "\n".join(f"{at} {' '.join(words)}" for at, words in sorted(lines))
    try:
        script = parse_script(text)
    except ConfigError:
        assert any(w in ("x", "a=b", "input0=high") for _, words in lines for w in words)
        return
    rules = rule_specs(read_rules(set_text("led-socket"), "x"))
    found = simulate(rules, script, tick_ms=1000)
    assert [line.at_ms for line in found] == sorted({line.at_ms for line in found})


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=80))
def test_garbage_is_no_script(text: str) -> None:
    try:
        parse_script(text)
    except ConfigError as error:
        assert error.problems


def test_a_rule_keeps_its_place_as_its_number() -> None:
    (section,) = read_rules('[[rule]]\naction = "limit"\nlimit_a = 16\n', "x")
    assert rule_spec(section, 9).number == 9
