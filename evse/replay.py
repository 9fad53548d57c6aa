"""Run the recorded inputs of a trace through tick and gate again and compare the outputs, to the bit.

``python -m evse.replay FILE [-o json]``: exit 0 equal, 8 different, 9 not a trace.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from evse.core.gate import gate
from evse.core.outputs import Outputs
from evse.core.tick import tick
from evse.domain.base import ConfigError
from evse.runtime.recorder import read_trace
from evse.units import NS_PER_S, Instant

DIFFERENCES_SHOWN = 20


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a replayed tick differs from the record."""

    now: Instant
    tick: int
    path: str
    recorded: str
    replayed: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a replay."""

    file: str
    ticks: int
    seconds: int
    reason: str
    version: str
    equal: bool
    differences: tuple[Difference, ...]
    events: tuple[str, ...]  # what happened in the trace, one line each


def replay(path: Path, ignore: frozenset[str] = frozenset()) -> Report:
    """Replay ``path``. ``ignore`` holds top-level names of `Outputs` that are not compared (e.g. "requests")."""
    header, spec, chunks = read_trace(path)
    count = 0
    first: Instant | None = None
    last: Instant = 0
    differences: list[Difference] = []
    events: list[str] = []
    for chunk in chunks:
        state = chunk.state
        for step in chunk.steps:
            state, wanted = tick(spec, state, step.inputs, step.now)
            outputs = gate(spec, wanted, step.inputs, step.now)
            first = step.now if first is None else first
            last = step.now
            if outputs != step.outputs and len(differences) < DIFFERENCES_SHOWN:
                differences += _compare(step.outputs, outputs, count, step.now, ignore)
            events += [
                f"{(step.now - first) / NS_PER_S:9.2f} s  evse {e.evse_id}  {e.kind}  {e.data}" for e in outputs.events
            ]
            count += 1
    return Report(
        file=path.name,
        ticks=count,
        seconds=(last - (first or 0)) // NS_PER_S,
        reason=str(header.get("reason", "")),
        version=str(header.get("version", "")),
        equal=not differences,
        differences=tuple(differences[:DIFFERENCES_SHOWN]),
        events=tuple(events),
    )


def _compare(a: Outputs, b: Outputs, count: int, now: Instant, ignore: frozenset[str]) -> list[Difference]:
    left, right = msgspec.to_builtins(a), msgspec.to_builtins(b)
    return [
        Difference(now=now, tick=count, path=path, recorded=json.dumps(x), replayed=json.dumps(y))
        for path, x, y in _walk(left, right, "")
        if path.split(".", 1)[0] not in ignore
    ]


def _walk(a: object, b: object, path: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from _walk(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _walk(x, y, f"{path}[{index}]")
    elif a != b:
        yield path, a, b


def main(argv: list[str] | None = None) -> int:
    """Command line of the module."""
    parser = argparse.ArgumentParser(prog="evsectl trace replay", description="Replay a trace and compare the outputs")
    parser.add_argument("file", type=Path)
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    parser.add_argument("--events", action="store_true", help="list what happened in the trace")
    parser.add_argument(
        "--ignore", action="append", default=[], help="part of the outputs that is not compared, e.g. requests"
    )
    options = parser.parse_args(argv)
    try:
        report = replay(options.file, frozenset(options.ignore))
    except ConfigError as error:
        sys.stderr.write("".join(f"evsectl: {problem}\n" for problem in error.problems))
        return 9
    if options.output == "json":
        sys.stdout.write(json.dumps({"apiVersion": "evse/v1", "kind": "Replay", **msgspec.to_builtins(report)}) + "\n")
    else:
        if options.events:
            sys.stdout.write("".join(f"{line}\n" for line in report.events))
        for d in report.differences:
            sys.stdout.write(f"tick {d.tick}: {d.path}: recorded {d.recorded}, replayed {d.replayed}\n")
        verdict = "equal" if report.equal else "DIFFERENT"
        sys.stdout.write(
            f"{report.file}: {report.ticks} ticks, {report.seconds} s, written because: {report.reason}; outputs {verdict}\n"
        )
    return 0 if report.equal else 8


if __name__ == "__main__":
    sys.exit(main())
