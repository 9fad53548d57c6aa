"""Planner problems without a station.

    python -m evse.planner [solve] [FILE] [--explain] [--connector ID] [-o json] < problem.json
    python -m evse.planner check PROBLEM ALLOCATION [-o json]

``solve`` prints the allocation. ``check`` judges one. Exit 0 = fine, 1 = a limit is broken, 8 = a fairer allocation exists or
somebody is passed over, 9 = a document is not valid.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from evse.domain.base import ConfigError
from evse.planner.ac import solve as solve_ac
from evse.planner.ac_document import ac_allocation_document, ac_problem_from
from evse.planner.audit import Audit, audit_document, audit_documents
from evse.planner.dc import solve as solve_dc
from evse.planner.document import DOCUMENT_BYTES_MAX, allocation_document, decode, problem_from, solve_document
from evse.planner.why import ASKED_MAX, Why
from evse.planner.why_ac import explain as explain_ac
from evse.planner.why_dc import explain as explain_dc

EXIT_BROKEN = 1
EXIT_FAIRER = 8
EXIT_INVALID = 9


def read(name: str) -> bytes:
    """A file, or standard input for "-". Raises `ConfigError` when it cannot be read."""
    if name == "-":
        return sys.stdin.buffer.read(DOCUMENT_BYTES_MAX + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError([f"{name}: {error.strerror or error}"]) from error


def explained(text: bytes, chosen: list[str]) -> tuple[dict[str, object], list[Why]]:
    """(allocation document, why each connector gets it). ``chosen`` = those for which "more" is worked out; without it
    all of a document with at most `ASKED_MAX`."""
    raw = decode(text)
    kind = raw.get("kind", "dc") if isinstance(raw, dict) else "dc"
    if kind == "ac":
        ac = ac_problem_from(raw)
        ids = _chosen([c.id for c in ac.connectors], chosen)
        answer = solve_ac(ac)
        return dict(ac_allocation_document(answer)), explain_ac(ac, answer, ids)
    dc = problem_from(raw)
    ids = _chosen([c.id for c in dc.connectors], chosen)
    solution = solve_dc(dc)
    return dict(allocation_document(solution)), explain_dc(dc, solution, ids)


def _chosen(known: list[str], chosen: list[str]) -> list[str]:
    missing = [name for name in chosen if name not in known]
    if missing:
        raise ConfigError([f"there is no connector {name!r} in the problem" for name in missing])
    return chosen or (known if len(known) <= ASKED_MAX else [])


def sentences(rows: list[Why], chosen: list[str]) -> str:
    """Explanations as text."""
    lines: list[str] = []
    for row in rows:
        if chosen and row.id not in chosen:
            continue
        lines.append(row.text)
        lines += [f"    {'*' if cap.binds else ' '} {cap.name}: {cap.text}" for cap in row.caps]
        lines += [f"    more: {way}" for way in row.more]
    if len(rows) > ASKED_MAX and not chosen:
        lines.append(f"What would give more is worked out for up to {ASKED_MAX} connectors; name one with --connector.")
    return "\n".join(lines) + "\n"


def judgement(audit: Audit) -> str:
    """An audit as text."""
    lines = [f"broken: {line}" for line in audit.broken]
    lines += [f"could have more: {name}" for name in audit.could_rise]
    lines += [f"paused, but comes before others by the pause policy: {name}" for name in audit.passed_over]
    lines += [f"a fairer plan gives {name} {best:.1f} {audit.unit} instead of {given:.1f}" for name, given, best in audit.fairer]
    if audit.best:
        lines.append("Every limit is kept, and no fairer allocation is known.")
    elif audit.holds:
        lines.append("Every limit is kept.")
    return "\n".join(lines) + "\n"


def _solve(options: argparse.Namespace) -> int:
    text = read(options.file)
    if not options.explain:
        sys.stdout.buffer.write(msgspec.json.encode(solve_document(text)) + b"\n")
        return 0
    document, rows = explained(text, options.connector)
    if options.output == "json":
        sys.stdout.buffer.write(msgspec.json.encode({**document, "explain": rows}) + b"\n")
    else:
        sys.stdout.write(sentences(rows, options.connector))
    return 0


def _check(options: argparse.Namespace) -> int:
    audit = audit_documents(read(options.problem), read(options.allocation))
    if options.output == "json":
        sys.stdout.buffer.write(msgspec.json.encode(audit_document(audit)) + b"\n")
    else:
        sys.stdout.write(judgement(audit))
    return EXIT_BROKEN if audit.broken else 0 if audit.best else EXIT_FAIRER


def main(argv: list[str] | None = None) -> int:
    """Solve or check; mistakes of a document go to stderr, one per line."""
    parser = argparse.ArgumentParser(prog="plan", description="Planner problems without a station")
    commands = parser.add_subparsers(dest="command", required=True)
    solve = commands.add_parser("solve")
    solve.add_argument("file", nargs="?", default="-")
    solve.add_argument("--explain", action="store_true")
    solve.add_argument("--connector", action="append", default=[])
    check = commands.add_parser("check")
    check.add_argument("problem")
    check.add_argument("allocation")
    for command in (solve, check):
        command.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments or ["solve"])
    try:
        return _solve(options) if options.command == "solve" else _check(options)
    except ConfigError as error:
        for line in error.problems:
            sys.stderr.write(f"problem: {line}\n")
        return EXIT_INVALID


if __name__ == "__main__":
    sys.exit(main())
