"""``evsectl rule`` and ``evsectl led``, byte by byte, and what they refuse."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evsectl.output import FORMATS
from tests._support.fake_service import FakeStation
from tests.cli.support import Rewind, check_golden, run, show

CASES: dict[str, tuple[tuple[str, ...], str]] = {
    # name: (command, fields of -o value)
    "rule-list": (("rule", "list"), "number,rule.action,decides"),
    "rule-show": (("rule", "show", "5"), "number,rule.condition"),
    "rule-add": (("rule", "add", "--condition", "charging", "--action", "limit", "--limit-a", "16"), "number,rules"),
    "rule-edit": (("rule", "edit", "3", "--timer-ms", "5000"), "changed"),
    "rule-remove": (("rule", "remove", "1"), "changed,rules"),
    "rule-move": (("rule", "move", "1", "3"), "number"),
    "rule-enable": (("rule", "enable", "1"), "changed"),
    "rule-disable": (("rule", "disable", "1"), "changed"),
    "rule-trace": (("rule", "trace"), "what,number,other"),
    "rule-state": (("rule", "state"), "evse_id,external_release"),
    "rule-check": (("rule", "check"), "what,number,other"),
    "rule-sets": (("rule", "sets"), "name,rules"),
    "rule-import": (("rule", "import", "emergency-input", "--replace", "--evse", "3", "--yes"), "rules"),
    "led-list": (("led", "list"), "evse_id,lamp,condition"),
    "led-profiles": (("led", "profiles"), "name"),
    "led-show": (("led", "show", "charge-control-c-status"), "condition,mode"),
    "led-set": (("led", "set", "3", "status", "traffic-light"), "changed"),
    "led-brightness": (("led", "brightness", "40"), "changed"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_format_of_a_command(name: str, station: FakeStation, served: tuple[FakeStation, Path, Rewind]) -> None:
    command, fields = CASES[name]
    text = ""
    for form in FORMATS:
        served[2]()
        arguments = (*command, "-o", form, *(("--fields", fields) if form == "value" else ()))
        text += show(arguments, run(*arguments))
    check_golden(name, text)


def test_pages_on_a_terminal_of_80_columns(
    station: FakeStation, served: tuple[FakeStation, Path, Rewind]
) -> None:
    os.environ["EVSECTL_FORCE_TTY"] = "80"
    text = ""
    for command, _ in CASES.values():
        served[2]()
        result = run(*command)
        text += show(command, result).replace("\x1b", "\\e")
        plain = result.text
        for code in ("31", "32", "33", "0"):
            plain = plain.replace(f"\x1b[{code}m", "")
        assert all(len(line) <= 80 for line in plain.splitlines()), plain
    check_golden("rules-terminal-80", text)


def test_refusals_say_what_to_do(
    station: FakeStation, served: tuple[FakeStation, Path, Rewind], tmp_path: Path
) -> None:
    """Nothing to change, a number that is not there, a set that is not there, a file that is wrong, nobody to ask."""
    (tmp_path / "wrong.toml").write_text('[[rule]]\naction = "jump"\ntimer_s = 3\n')
    text = ""
    for command in (
        ("rule", "add"),
        ("rule", "edit", "1"),
        ("rule", "show", "30"),
        ("rule", "remove", "30"),
        ("rule", "import", "led-sokket"),
        ("rule", "import", "wrong.toml"),
        ("rule", "import", "led-socket", "--replace"),
        ("led", "show", "genric"),
        ("led", "set", "3", "lamp", "generic"),
        ("led", "set", "3", "outputs", "generic", "--outputs", "a"),
        ("rule", "simulate", "led-socket", "--events", "x", "-o", "csv"),
    ):
        served[2]()
        result = run(*(str(tmp_path / part) if part.endswith(".toml") else part for part in command))
        text += show(command, result)
    check_golden("rules-refusals", text)


def test_another_action_drops_the_arguments_of_the_old_one(station: FakeStation) -> None:
    assert run("rule", "edit", "2", "--action", "limit", "--limit-a", "16").code == 0
    rule = station.rules[1]
    assert (rule.action, rule.limit_a, rule.output, rule.condition, rule.timer_ms) == ("limit", 16, 0, "error_external", 10)
    run("rule", "edit", "2", "--action", "lock", "--out", "3")  # named: the station judges it
    assert station.rules[1].output == 3


def test_export_is_what_import_reads(station: FakeStation, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    assert run("rule", "export", "-O", str(file)).code == 0
    before = station.rules
    assert run("rule", "import", str(file), "--replace", "--yes").text == "unchanged\n"
    assert run("rule", "import", "emergency-input").text == "13 rules in use\n"
    assert station.rules[: len(before)] == before
    assert len(station.rules) == len(before) + 2
