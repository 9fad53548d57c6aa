"""Commands that become another program: which, with which arguments, and that it understands them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.cli.support import run


class Became(BaseException):
    """The process has become another program."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(arguments)
        self.arguments = arguments


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch, alone: Path) -> None:
    """Catch the exec."""

    def execv(path: str, arguments: list[str]) -> None:
        assert path == sys.executable and arguments[:2] == [sys.executable, "-m"]
        raise Became(arguments[2:])

    monkeypatch.setattr(os, "execv", execv)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run --config a.toml", "evse.runtime --config a.toml"),
        ("run -c a.toml --socket /s", "evse.runtime --config a.toml --socket /s"),
        ("demo --headless --scenario quick -o json", "evse.lab.demo --station dc-quick --scenario quick -o json --headless"),
        ("demo", "evse.lab.demo --station dc-quick --scenario quick -o table --headless"),
        ("demo --csms ws://127.0.0.1:9000/CP1", "evse.lab.demo --station dc-quick --scenario quick -o table --headless --csms ws://127.0.0.1:9000/CP1"),
        ("demo --admin", "evse.lab.demo --station dc-quick --scenario quick -o table --headless --admin"),
        ("sim run -c a.toml --seed 7 --fast", "evse.sim --config a.toml --seed 7 --fast"),
        (
            "sim run -c a.toml --control /c --scenario x",
            "evse.sim --config a.toml --seed 1 --control /c --scenario x",
        ),
        ("sim faults -o json", "evse.sim --list-faults -o json"),
        (
            "sim sessions f.csv --from 2024-05-01 --to 2024-05-02 -o json --limit 3",
            "evse.lab.sessions f.csv --config measured/desl-172k5 -o json --from 2024-05-01 --to 2024-05-02 --limit 3",
        ),
        ("plan solve", "evse.planner solve - -o table"),
        ("plan solve p.json --explain --connector a --connector b -o json",
         "evse.planner solve p.json --explain --connector a --connector b -o json"),
        ("plan site s.json --day home --seed 2 --cars 9", "evse.lab.park s.json --seed 2 --cars 9 -o table --day home"),
        ("plan site s.json --sessions a.csv --date 2019-08-21 -o json",
         "evse.lab.park s.json --seed 1 --cars 0 -o json --sessions a.csv --date 2019-08-21"),
        ("plan check p.json -", "evse.planner check p.json - -o table"),
        ("trace replay t.trace --events -o json", "evse.replay t.trace -o json --events"),
        ("kiosk -H unix:///s --lang de --profile cp437", "tui.kiosk --socket /s --lang de --profile cp437"),
        ("-H /s admin --readonly --mono --baud 9600", "tui.admin --readonly --mono --socket /s --baud 9600"),
    ],
)
def test_what_it_becomes(line: str, expected: str, become: None) -> None:
    with pytest.raises(Became) as became:
        run(*line.split())
    found = became.value.arguments
    if "--socket" in found and "--socket" not in expected:
        at = found.index("--socket")
        del found[at : at + 2]
    assert " ".join(found) == expected


@pytest.mark.parametrize("line", ["kiosk --lang xx", "admin --profile vt", "demo -o csv", "sim faults -o yaml"])
def test_a_value_that_the_program_would_refuse_is_refused_here(line: str, become: None) -> None:
    result = run(*line.split())
    assert result.code == 2
    assert "one of:" in result.err or "did you mean" in result.err
