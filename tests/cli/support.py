"""Run evsectl in this process and keep its bytes; golden files; a fake station that can be put back as it was."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from evse.access.roles import Role
from evse.api.service import Caller
from evse.domain.faults import FaultCode
from evsectl.entry import main
from tests._support.fake_service import FakeStation

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
SEQ = 1012
"""Number of the newest event of a fresh `FakeStation`."""


class Result(msgspec.Struct, frozen=True):
    """How a command ended and what it wrote."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


class Terminal(io.TextIOWrapper):
    """Text over bytes that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def run(*arguments: str, stdin: str = "", typed: str | None = None) -> Result:
    """Run one command. ``stdin`` = a pipe with this text; ``typed`` = a terminal on which a person types this."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
    source = io.BytesIO((stdin if typed is None else typed).encode())
    keyboard = io.TextIOWrapper(source) if typed is None else Terminal(source)
    before = sys.stdin
    sys.stdin = keyboard
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(arguments))
            out.flush()
            err.flush()
    finally:
        sys.stdin = before
    return Result(code, _bytes(out), _bytes(err).decode())


def _bytes(stream: io.TextIOWrapper) -> bytes:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()


def quiet_environment(directory: Path) -> dict[str, str]:
    """An environment without anything of the person who runs the tests."""
    keep = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    directory.chmod(0o700)
    own = dict.fromkeys(("HOME", "XDG_RUNTIME_DIR", "TMPDIR"), str(directory))
    return {**keep, **own, "TERM": "xterm", "LC_ALL": "C.UTF-8"}


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Replace the whole environment for a while."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Rewind:
    """Puts a `FakeStation` back to where it was, so that one server is enough for many tests."""

    def __init__(self, station: FakeStation) -> None:
        self._station = station
        self._saved = {key: copy.copy(value) for key, value in vars(station).items() if key not in ("hub", "do")}

    def __call__(self) -> None:
        for key, value in self._saved.items():
            setattr(self._station, key, copy.copy(value))
        self._station.hub.seq = SEQ


def make_eventful(station: FakeStation) -> None:
    """A latched fault that can be cleared, one that stands, and somebody who changed something."""
    station.raise_fault(FaultCode.INSULATION, 2, "insulation 142 kohm < 500 kohm at 400 V")
    station.end_cause(FaultCode.INSULATION, 2)
    station.raise_fault(FaultCode.SITE_METER_LOST, 0, "site@/dev/ttyRS485#1: register 0x0034: no answer for 5 s")
    caller = Caller(role=Role.OPERATOR, user="anna", uid=1001, origin="unix:uid=1001")
    station.audit(caller, "planner.set", "limit_w=60000")
    station.audit(caller, "connector.stop", "evse_id=1", "refused")


def check_golden(name: str, text: str) -> None:
    """Compare with ``golden/<name>.txt``; UPDATE_GOLDEN=1 writes it instead."""
    path = GOLDEN / f"{name}.txt"
    if UPDATE:
        path.write_text(text, encoding="utf-8", newline="")
        return
    assert path.exists(), f"{path} is missing: run the tests once with UPDATE_GOLDEN=1 and review it"
    assert text == path.read_text(encoding="utf-8"), f"{path} differs: if that is meant, UPDATE_GOLDEN=1"


def show(arguments: tuple[str, ...], result: Result) -> str:
    """One call as a paragraph of a golden file; a carriage return is shown as ``\\r``."""
    parts = [f"$ evsectl {' '.join(arguments)}\n", result.text.replace("\r", "\\r")]
    parts += [f"stderr: {line}\n" for line in result.err.splitlines()]
    parts.append(f"exit {result.code}\n\n")
    return "".join(parts)


def rows(result: Result) -> list[dict[str, Any]]:
    """The objects of ``-o jsonl``."""
    import json

    return [json.loads(line) for line in result.text.splitlines()]
