"""The options that every command shares, declared once, and the two ways to declare a command with them."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from evsectl import exits
from evsectl.diagnostics import Abort, nearest, note, usage
from evsectl.layout import Screen
from evsectl.output import Options, emit, prepare, write
from evsectl.reads import Session

RISKS = ("stop-charging", "energise")
"""`evse.api.operations.Risk` as the command line spells it; a test compares both."""

Output = Annotated[
    str,
    typer.Option("-o", "--output", help="table, wide, json, jsonl, yaml, name, csv or value", metavar="FORMAT"),
]
Fields = Annotated[
    str,
    typer.Option(
        "--fields",
        help="Only these fields, comma-separated; dotted names reach inside; help lists them",
        metavar="NAMES",
    ),
]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="No header line in tables and CSV")]
OutFile = Annotated[
    str,
    typer.Option("-O", "--output-file", help="Write to this file instead of stdout, the same bytes", metavar="FILE"),
]
Host = Annotated[
    str,
    typer.Option("-H", "--host", help="Socket of the daemon: unix:///PATH (or EVSECTL_HOST)", metavar="SOCKET"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]
AcceptRisk = Annotated[
    str,
    typer.Option(
        "--accept-risk", help="Accept a named risk without being asked: stop-charging, energise", metavar="RISK"
    ),
]
Wait = Annotated[
    str,
    typer.Option("--wait", help="Wait until it is done, 30s or the time given: --wait=2m", metavar="[=TIME]"),
]
EvseId = Annotated[int, typer.Argument(help="Connector number", metavar="ID", min=1, max=48)]
EvseIdOrAll = Annotated[int, typer.Argument(help="Connector number, 0 = the whole station", metavar="ID", min=0, max=48)]


class Globals:
    """Set once per call by the root command."""

    host = ""
    timeout_s = 10.0
    no_input = False
    color = "auto"


class Call:
    """One call of a command: how it writes and whom it asks."""

    def __init__(self, options: Options, session: Session) -> None:
        self.options = options
        self.session = session

    def ask(self, name: str, /, **request: Any) -> dict[str, Any]:
        """Call an operation of the daemon; its errors end the command."""
        return self.session.call(name, **request)

    def done(self, body: dict[str, Any], text: str) -> int:
        """Write what an action answered: ``text`` for people, that nothing has changed, or the answer itself."""
        if self.human:
            write((text if body["changed"] else f"unchanged: {body['detail'] or 'it stands so already'}") + "\n", self.options)
        else:
            emit("Done", [body], [], self.options, single=True)
        return exits.OK

    @property
    def human(self) -> bool:
        """Whether the command lays out a page for people."""
        return self.options.human

    @property
    def screen(self) -> Screen:
        """Where that page goes."""
        return self.options.screen


COMMON = {"output": (Output, "table"), "fields": (Fields, ""), "no_headers": (NoHeaders, False), "file": (OutFile, "")}
HOST = {"host": (Host, "")}

Function = Callable[..., int]


def data(
    app: typer.Typer, kind: str, name: str | None = None, *, key: str = "", daemon: bool = True
) -> Callable[[Function], Function]:
    """Register a command that writes objects of ``kind``: all output options, ``--host`` unless it needs no ``daemon``.

    ``key`` = the field that ``-o name`` prints, "" = there is none. A form that the kind does not have is refused
    before the function runs. The function takes a `Call` first, then its own options.
    """

    def register(function: Function) -> Function:
        common = {**COMMON, **(HOST if daemon else {})}
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        shared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in common.items()
        ]

        @functools.wraps(function)
        def command(**arguments: Any) -> int:
            given = {key: arguments.pop(key) for key in common}
            how = Options(
                given["output"],
                given["fields"],
                headers=not given["no_headers"],
                file=given["file"],
                color=Globals.color,
            )
            if prepare(kind, key, how):
                return exits.OK
            return function(Call(how, session(given.get("host", ""))), **arguments)

        parameters = [*(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *shared]
        command.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name)(command)
        return function

    return register


def session(host: str = "") -> Session:
    """Connection settings of this call: the command's --host, the root's, then EVSECTL_HOST."""
    return Session(host or Globals.host, Globals.timeout_s)


def text_options(file: str = "") -> Options:
    """How a command writes that has one form only."""
    return Options("table", file=file, color=Globals.color)


def can_ask() -> bool:
    """Whether somebody sits in front of this command."""
    return sys.stdin.isatty() and not Globals.no_input and not os.environ.get("EVSECTL_NO_INPUT")


def accepted_risks(text: str) -> frozenset[str]:
    """Read ``--accept-risk``; a risk that does not exist is refused."""
    risks = frozenset(part.strip() for part in text.split(",") if part.strip())
    for risk in sorted(risks - set(RISKS)):
        usage(f"--accept-risk: there is no risk {risk!r}", nearest(risk, list(RISKS)) or f"risks: {', '.join(RISKS)}")
    return risks


def confirm(
    question: str, consequences: Callable[[], list[str]], *, risk: str = "", accepted: str = "", yes: bool = False
) -> None:
    """Ask before something that cannot be taken back; default No.

    Without a terminal the ``risk`` must be accepted by name; ``yes`` covers only what has no risk. ``consequences``
    is asked for what to show before the question.
    """
    if risk in accepted_risks(accepted) or (yes and not risk):
        return
    flag = f"--accept-risk={risk}" if risk else "--yes"
    if not can_ask():
        raise Abort(
            exits.USAGE, f"{question} Nobody can be asked here", f"if you are sure, add {flag}", "confirmation_needed"
        )
    for line in consequences():
        note(f"  {line}")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Abort(exits.USAGE, "aborted, nothing was changed", f"to skip the question: {flag}", "aborted")
