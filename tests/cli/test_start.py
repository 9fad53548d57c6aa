"""What a process loads and how it ends: hot reads stay light, signals end them as documented."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests._support.fake_service import FakeStation

ROOT = Path(__file__).resolve().parent.parent.parent
HEAVY = (
    "aiohttp",
    "argparse",
    "asyncio",
    "click",
    "concurrent",
    "dataclasses",
    "datetime",
    "http",
    "inspect",
    "msgspec",
    "pathlib",
    "pydantic",
    "rich",
    "ssl",
    "tempfile",
    "textual",
    "tomllib",
    "typer",
    "typing_extensions",
    "urllib",
    "uuid",
)
"""Modules that cost milliseconds and that no hot read needs."""

HOT = (
    ["status"],
    ["status", "-o", "json"],
    ["connector", "list"],
    ["connector", "get", "1"],
    ["connector", "list", "-o", "csv"],
    ["connector", "list", "-o", "value", "--fields", "evse_id"],
    ["fault", "list"],
    ["wait", "connector", "1", "--for", "phase=charging", "--timeout", "5s"],
    ["watch", "-o", "jsonl", "--no-reconnect"],
    ["__complete", "connector", "get", ""],
)

PROBE = """
import sys
before = set(sys.modules)
from evsectl.entry import main
class Once:
    def __init__(self, out): self.out = out
    def write(self, text):
        self.out.write(text)
        if '"snapshot"' in text: raise BrokenPipeError
    def flush(self): pass
    def fileno(self): raise OSError
    def isatty(self): return False
words = sys.argv[1:]
sys.stdout = Once(sys.stdout) if words[0] == "watch" else sys.stdout
code = main(words)
loaded = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
sys.stderr.write(f"\\n{code} {' '.join(loaded)}")
"""


@pytest.mark.parametrize("words", HOT, ids=" ".join)
def test_a_hot_read_loads_nothing_heavy(words: list[str], station: FakeStation) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    code, *loaded = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    assert "evsectl" in loaded
    assert sorted(set(loaded) & set(HEAVY)) == []
    assert done.stdout or words[0] == "wait" or "No active faults." in done.stderr


def start(*words: str) -> subprocess.Popen[bytes]:
    """evsectl in a process of its own. A suite in the background of a shell has SIGINT ignored, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "evsectl", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_a_watch_is_130_without_a_word(station: FakeStation) -> None:
    with start("watch", "-o", "jsonl") as process:
        assert process.stdout is not None
        assert b"snapshot" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"")


def test_a_reader_that_goes_away_ends_a_watch_with_0(station: FakeStation) -> None:
    with start("watch", "events", "--since", "1001") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        station.do(lambda: [station.push_event("hlc.step", 1, step="Curr") for _ in range(100)])
        err = process.stderr.read()
        assert process.wait(30) == 0
    assert err == b""


def test_output_into_head_is_quiet(station: FakeStation) -> None:
    with start("session", "list", "-o", "jsonl") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait(30)) == (b"", 0)


def test_a_full_disk_is_told_and_is_no_bug(station: FakeStation) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "evsectl", "status"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1 and b"No space left on device" in done.stderr
