"""The options that every command shares, declared once."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from evsectl import exits
from evsectl.diagnostics import Abort, usage
from evsectl.output import Options
from evsectl.reads import Session

Output = Annotated[str, typer.Option("-o", "--output", help="table, wide, json, jsonl, yaml, name, csv or value")]
Fields = Annotated[str, typer.Option("--fields", help="Only these fields, comma-separated; dotted names reach inside")]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="No header line in tables and CSV")]
OutFile = Annotated[
    str, typer.Option("-O", "--output-file", help="Write to this file instead of stdout, the same bytes")
]
Host = Annotated[str, typer.Option("-H", "--host", help="Socket of the daemon: unix:///path (or EVSECTL_HOST)")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]
AcceptRisk = Annotated[
    str, typer.Option("--accept-risk", help="Accept a named risk without being asked: stop-charging, energise")
]
EvseId = Annotated[int, typer.Argument(help="Connector number", metavar="ID", min=0)]


class Globals:
    """Set once per process by the root command."""

    host = ""
    timeout_s = 10.0
    no_input = False


def session(host: str = "") -> Session:
    """Connection settings of this call: the command's --host, the root's, then EVSECTL_HOST."""
    return Session(host or Globals.host or os.environ.get("EVSECTL_HOST", ""), Globals.timeout_s)


def options(output: str, fields: str = "", no_headers: bool = False, file: str = "") -> Options:
    """How this call writes."""
    return Options(output, fields, headers=not no_headers, file=file)


def can_ask() -> bool:
    """Whether somebody sits in front of this command."""
    return sys.stdin.isatty() and not Globals.no_input and not os.environ.get("EVSECTL_NO_INPUT")


def confirm(question: str, consequences: list[str], *, risk: str, accepted: str, yes: bool = False) -> None:
    """Ask before something that cannot be taken back; default No. Without a terminal the risk must be accepted by name."""
    if risk in [part.strip() for part in accepted.split(",")] or (yes and not risk):
        return
    flag = f"--accept-risk={risk}" if risk else "--yes"
    if not can_ask():
        usage(f"{question} This needs {flag} when nobody can be asked.", "; ".join(consequences))
    for line in consequences:
        sys.stderr.write(f"  {line}\n")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Abort(exits.USAGE, "aborted, nothing was changed", f"to skip the question: {flag}", "aborted")
