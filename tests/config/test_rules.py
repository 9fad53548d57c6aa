"""``[[rule]]`` and ``[[led]]``: words, arguments, numbers of the boards, shipped sets and profiles, live change."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from evse.config.led_profiles import list_leds, load_leds
from evse.config.live import in_force
from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.config.model_leds import LedBehaviourSection, LedSection
from evse.config.model_rules import ActionWord, ConditionWord, EventWord, RuleSection
from evse.config.options import diff
from evse.config.paths import profiles_dir
from evse.config.spec import station_spec
from evse.domain.base import ConfigError
from evse.domain.leds import COLOURS, Lamp, LedCondition, LedMode
from evse.domain.rules import RuleAction, RuleCondition, RuleEvent, RuleStatus

STATION = """
[station]
id = "x"
[[evse]]
id = 1
kind = "ac"
[evse.board]
port = "/dev/null"
[evse.ac]
inputs = 4
outputs = 4
release = "remote"
"""
SETS = sorted((profiles_dir() / "rules").glob("*.toml"))


def parse(text: str) -> StationConfig:
    return parse_config(STATION + text, "station.toml", check_files=False)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return [p.partition(": ")[2] for p in caught.value.problems]


def test_the_words_of_the_file_are_those_of_the_core() -> None:
    for words, members in ((EventWord, RuleEvent), (ConditionWord, RuleCondition), (ActionWord, RuleAction)):
        assert set(typing.get_args(words)) == {m.value for m in members}
    hints = typing.get_type_hints(RuleSection, include_extras=False)
    assert set(typing.get_args(hints["status"])) == {s.value for s in RuleStatus}
    hints = typing.get_type_hints(LedBehaviourSection, include_extras=False)
    assert list(typing.get_args(hints["condition"])) == [c.value for c in LedCondition]
    assert set(typing.get_args(hints["mode"])) == {m.value for m in LedMode}
    assert set(typing.get_args(hints["color"])) == set(COLOURS)
    assert set(typing.get_args(typing.get_type_hints(LedSection)["lamp"])) == {lamp.value for lamp in Lamp}


@pytest.mark.parametrize("path", SETS, ids=lambda p: p.stem)
def test_every_shipped_set_is_valid(path: Path) -> None:
    config = parse(path.read_text(encoding="utf-8"))
    assert len(station_spec(config).rules) == len(config.rule) > 0
    assert all(rule.note for rule in config.rule)


@pytest.mark.parametrize("name", list_leds())
def test_every_shipped_lamp_profile_is_valid(name: str) -> None:
    rows = load_leds(name)
    words = [row.condition for row in rows]
    assert len(words) == len(set(words)) > 0


def test_sets_and_profiles_are_listed_in_their_readmes() -> None:
    for folder in ("rules", "leds"):
        readme = (profiles_dir() / folder / "README.md").read_text(encoding="utf-8")
        for path in (profiles_dir() / folder).glob("*.toml"):
            assert f"`{path.name}`" in readme


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('event = "input_rising"', 'rule[1].event_input: is missing; event = "input_rising" needs it'),
        ('event = "input_rising"\nevent_input = 5', "rule[1].event_input = 5: the board of EVSE 1 has 4 digital inputs"),
        ("event_input = 1", 'rule[1].event_input = 1: means nothing with event = "always"; remove it'),
        ('condition = "input_low"', 'rule[1].condition_input: is missing; condition = "input_low" needs it'),
        ('condition = "input_low"\ncondition_input = 9', "rule[1].condition_input = 9: the board of EVSE 1 has 4 digital"),
        ('condition = "pp"\ncondition_a = 14', "rule[1].condition_a = 14: no cable is coded for it; use one of 13, 20, 32"),
        ('condition = "pp_over"', 'rule[1].condition_a: is missing; condition = "pp_over" needs it'),
        ('action = "output_high"', 'rule[1].output: is missing; action = "output_high" needs it'),
        ('action = "output_high"\noutput = 5', "rule[1].output = 5: the board of EVSE 1 has 4 digital outputs"),
        ('action = "limit"\nlimit_a = 3', "rule[1].limit_a = 3: below 6 A there is no current; write 0"),
        ('action = "lock"\nlimit_a = 16', 'rule[1].limit_a = 16: means nothing with action = "lock"; remove it'),
        ('action = "external_release"\nmessage = "x"', 'rule[1].message = "x": is only sent with status = "disable"'),
        ("evse = 2", "rule[1].evse = 2: there is no such AC EVSE; AC EVSEs here: 1"),
        ('event = "input_risin"', 'rule[1].event = "input_risin": must be one of'),
        ("timer_s = 1", "rule[1].timer_s = 1: unknown key, wrong unit; use timer_ms = 1000"),
    ],
)
def test_mistakes_of_a_rule_say_what_to_do(row: str, expected: str) -> None:
    found = problems(f"[[rule]]\n{row}\n")
    assert len(found) == 1
    assert found[0].startswith(expected), found[0]


def test_a_release_needs_the_release_mode_remote() -> None:
    text = STATION.replace('release = "remote"', "") + '[[rule]]\naction = "enable_charging"\nstatus = "enable"\n'
    with pytest.raises(ConfigError, match='EVSE 1, whose release mode is "ocpp"; write release = "remote" there'):
        parse_config(text, "station.toml", check_files=False)


def test_there_are_32_rules_at_most() -> None:
    row = '[[rule]]\naction = "lock"\n'
    assert len(parse(row * 32).rule) == 32
    assert "there are 33 rules, at most 32 are possible" in problems(row * 33)[0]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('lamp = "outputs"\noutputs = [1, 2]', "led[1].outputs = [1, 2]: must be one output, or three"),
        ('lamp = "outputs"\noutputs = [5]', "led[1].outputs = 5: the board of EVSE 1 has 4 digital outputs"),
        ('lamp = "outputs"\noutputs = [0]', "led[1].outputs = [0]: outputs are numbered from 1"),
        ("outputs = [1]", 'led[1].outputs = [1]: means nothing with lamp = "status"; remove it'),
        ('profile = "gen"', 'led[1].profile = "gen": no such file profiles/leds/gen.toml; did you mean "generic"?'),
        ("evse = 2", "led[1].evse = 2: there is no such AC EVSE"),
        ("[[led]]", "led[2].lamp = \"status\": this lamp is in led[1] already; join them"),
        (
            '[[led.behaviour]]\ncondition = "ready"\ncolor = "red"\n[[led.behaviour]]\ncondition = "ready"\ncolor = "red"',
            'led[1].behaviour[2].condition = "ready": has a behaviour already; keep one',
        ),
    ],
)
def test_mistakes_of_a_lamp_say_what_to_do(row: str, expected: str) -> None:
    found = problems(f"[[led]]\n{row}\n")
    assert len(found) == 1
    assert found[0].startswith(expected), found[0]


def test_own_behaviours_replace_those_of_the_profile() -> None:
    config = parse('[[led]]\n[[led.behaviour]]\ncondition = "ready"\ncolor = "cyan"\nbrightness_pct = 40\n')
    rows = {b.condition: b for b in station_spec(config).leds[0].behaviours}
    assert (rows[LedCondition.READY].rgb, rows[LedCondition.READY].brightness_pct) == (0x00FFFF, 40)
    assert rows[LedCondition.FAILURE].rgb == 0xFF0000
    assert [led.lamp for led in station_spec(parse("")).leds] == [Lamp.STATUS, Lamp.READER]


def test_rules_that_are_not_enabled_keep_their_number() -> None:
    rules = station_spec(parse('[[rule]]\nenabled = false\n[[rule]]\naction = "lock"\n')).rules
    assert [rule.number for rule in rules] == [2]


def test_rules_lamps_and_brightness_change_live_also_by_order_alone() -> None:
    one = '[[rule]]\naction = "lock"\ntimer_ms = 10\n'
    two = '[[rule]]\naction = "unlock"\ntimer_ms = 20\n'
    before, after = parse(one + two), parse(two + one + '[[led]]\nprofile = "traffic-light"\n')
    changes = diff(before, after)
    assert {c.apply for c in changes} == {"live"}
    assert any(c.key == "rule[1].action" for c in changes)
    assert in_force(before, after) == after
    spec = station_spec(after)
    assert spec.rules_version not in (0, station_spec(before).rules_version)
    bright = parse("[ocpp]\nlight_intensity_pct = 30\n")
    assert station_spec(in_force(parse(""), bright)).light_pct == 30
