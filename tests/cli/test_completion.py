"""Completion: commands, options, values, live names; never an error, never a file that others can plant."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from evsectl import completion
from evsectl.completion import candidates, join_equals
from evsectl.output import FORMATS
from evsectl.reads import CONDITIONS
from evsectl.tree import TREE
from tests._support.fake_service import FakeStation
from tests.cli.support import Result, make_eventful, run

ROOT = Path(__file__).resolve().parent.parent.parent


PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The station of these tests answers, but not always within the time for which a shell waits: the machine may be busy."""
    monkeypatch.setattr(completion, "DEADLINE_S", PATIENCE_S)


def complete(*words: str) -> list[str]:
    """What the shell gets for a line whose last word is incomplete."""
    result: Result = run("__complete", *words)
    assert (result.code, result.err) == (0, "")
    return result.text.splitlines()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([""], TREE[""]["commands"]),
        (["conn"], ["connector"]),
        (["connector", "st"], ["start", "stop"]),
        (["ocpp", "config", ""], ["get", "set"]),
        (["connector", "list", "--f"], ["--fields"]),
        (["connector", "list", "-o", "js"], ["json", "jsonl"]),
        (["connector", "list", "--output=js"], ["--output=json", "--output=jsonl"]),
        (["connector", "list", "--output", "=", "js"], ["json", "jsonl"]),
        (["connector", "stop", "1", "--accept-risk", ""], ["stop-charging", "energise"]),
        (["session", "list", "--state", "a"], ["all", "active"]),
        (["wait", ""], ["connector"]),
        (["wait", "connector", ""], ["1", "2"]),
        (["wait", "connector", "1", "--for", "pl"], ["plugged=no", "plugged=yes"]),
        (["wait", "connector", "1", "--for", "plugged", "=", "y"], ["yes"]),
        (["watch", "e"], ["events"]),
        (["help", "e"], ["exit-codes", "environment"]),
        (["connector", "get", ""], ["1", "2"]),
        (["connector", "get", "-o", "json", ""], ["1", "2"]),
        (["connector", "get", "1", ""], []),
        (["-H", "connector", "fau"], ["fault"]),
        (["session", "get", "s-00002"], ["s-000025", "s-000024", "s-000023", "s-000022", "s-000021", "s-000020"]),
        (["fault", "clear", ""], ["F13", "F4"]),
        (["fault", "explain", "F1"], ["F1", "F13"]),
        (["fault", "clear", "F4", "--connector", ""], ["1", "2"]),
        (["meter", "probe", "s"], ["site"]),
        (["ocpp", "config", "set", "Heart"], ["HeartbeatInterval"]),
        (["ocpp", "queue", "resend", "6"], ["61", "64"]),
        (["ocpp", "schedule", "explain", ""], ["1", "2"]),
        (["ocpp", "trigger", "Sta"], ["StatusNotification"]),
        (["ocpp", "transfers", "cancel", ""], ["firmware", "diagnostics", "log"]),
        (["ocpp", "messages", "--direction", ""], ["sent", "received"]),
        (["config", "validate", ""], []),
        (["connector", "list", "--fields", ""], []),
        (["no", "such", ""], []),
    ],
)
def test_candidates(line: list[str], expected: list[str], station: FakeStation) -> None:
    make_eventful(station)
    assert complete(*line) == expected


def test_nothing_is_said_when_no_daemon_runs(alone: Path) -> None:
    assert complete("connector", "get", "") == []
    assert complete() == TREE[""]["commands"]


def test_a_daemon_that_does_not_answer_is_not_waited_for(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert completion.DEADLINE_S < 0.2, "longer and a person feels it"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(alone))
        mute.listen()
        assert complete("connector", "get", "") == []


def test_names_are_kept_for_two_seconds_in_a_directory_of_the_user(
    station: FakeStation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complete("connector", "get", "") == ["1", "2"]
    calls = len(station.calls)
    (cache,) = tmp_path.glob("evsectl-names-*")
    assert cache.stat().st_mode & 0o777 == 0o600
    now = cache.stat().st_mtime
    for later_s, asked in ((1.9, 0), (2.1, 1), (-5.0, 1)):  # -5: the clock was set back
        os.utime(cache, (now, now))
        monkeypatch.setattr(time, "time", lambda: now + later_s)  # noqa: B023 - read in this round
        assert complete("connector", "stop", "") == ["1", "2"]
        assert len(station.calls) == calls + asked
        calls += asked


def test_nothing_is_kept_where_others_may_write(station: FakeStation, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    os.environ["XDG_RUNTIME_DIR"] = str(shared)
    assert complete("connector", "get", "") == ["1", "2"]
    assert list(shared.iterdir()) == []


def test_values_are_those_of_the_commands() -> None:
    assert completion.FORMATS == FORMATS
    for text in completion.CONDITIONS:
        key, _, value = text.partition("=")
        assert value in CONDITIONS[key]
    for option in completion.VALUES:
        assert any(option in node["options"] for node in TREE.values()), option
    for path in (*completion.WORDS, *(p for p in completion.LIVE if not p.startswith("-") and p != "wait connector")):
        assert path in TREE and not TREE[path]["commands"]


def test_every_first_word_of_every_path_completes(alone: Path) -> None:
    for path in filter(None, TREE):
        *parents, last = path.split()
        assert last in candidates(parents, last)


def test_words_that_bash_split_are_joined() -> None:
    assert join_equals(["a", "--x", "=", "1", "b", "k", "="]) == ["a", "--x=1", "b", "k="]
    assert join_equals([]) == []
    assert join_equals(["=", "a"]) == ["=", "a"]


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", "evsectl.bash"), ("zsh", "_evsectl"), ("fish", "evsectl.fish")]
)
def test_scripts_have_the_syntax_of_their_shell(shell: str, file: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", str(ROOT / "completions" / file)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_bash_completes_a_line(station: FakeStation, tmp_path: Path) -> None:
    """The script in a real bash, with evsectl as a program on the path."""
    site = msgspec.structs.replace(station.meters[0], name="site meter")
    vars(station)["meters"] = (site, *station.meters[1:])
    program = tmp_path / "evsectl"
    patient = f"import sys; from evsectl import completion, entry; completion.DEADLINE_S = {PATIENCE_S}; sys.exit(entry.main(sys.argv[1:]))"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{patient}' \"$@\"\n", encoding="utf-8")
    program.chmod(0o755)
    script = (
        f"source {ROOT}/completions/evsectl.bash\n"
        'COMP_WORDS=(evsectl connector list --output = js); COMP_CWORD=5; _evsectl; echo "${COMPREPLY[*]}"\n'
        'COMP_WORDS=(evsectl meter read si); COMP_CWORD=3; _evsectl; echo "${COMPREPLY[*]}"\n'
        'COMP_WORDS=(evsectl connector get ""); COMP_CWORD=3; _evsectl; echo "${COMPREPLY[*]}"\n'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "json jsonl\nsite\\ meter\n1 2\n"
