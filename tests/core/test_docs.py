"""The documents of the core agree with the source."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def source(folder: str) -> str:
    return "\n".join(p.read_text() for p in sorted((ROOT / folder).rglob("*.py")))


def test_every_event_kind_is_documented_and_none_is_invented() -> None:
    used = set(re.findall(r'"([a-z_]+\.[a-z_]+)"', source("evse/core")))
    listed = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)`", (ROOT / "docs/events.md").read_text(), re.MULTILINE))
    assert used == listed


def test_every_event_of_the_shell_is_documented_and_none_is_invented() -> None:
    used = set(re.findall(r'announce\("([a-z]+\.[a-z_]+)"', source("evse/runtime")))
    text = (ROOT / "docs/events.md").read_text().split("## Events of the shell")[1]
    assert used and used == set(re.findall(r"`([a-z]+\.[a-z_]+)`", text))


def test_every_law_and_rule_is_in_the_safety_table_with_tests_that_exist() -> None:
    text = (ROOT / "docs/safety.md").read_text()
    books = (ROOT / "tests/_support/laws.py").read_text() + (ROOT / "tests/_support/laws_ac.py").read_text()
    laws = {f"L{int(n):02d}" for n in re.findall(r"(?:,\s+|broken\(\s*)(\d+),\s+f?\"", books)}
    assert laws == set(re.findall(r"\bL\d\d\b", text.split("| hazard |", 1)[1]))
    gates = (ROOT / "evse/core/gate.py").read_text() + (ROOT / "evse/core/gate_ac.py").read_text()
    rules = set(re.findall(r"\bG\d+\b", gates))
    assert rules == set(re.findall(r"\bG\d+\b", text.split("| hazard |", 1)[1]))
    defined = set(re.findall(r"def (test_\w+)", source("tests/core") + source("tests/station")))
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named and named <= defined, sorted(named - defined)
