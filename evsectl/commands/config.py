"""``evsectl config``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evsectl import exits
from evsectl.diagnostics import Abort, note, usage
from evsectl.options import AcceptRisk, Host, OutFile, Output, options, session
from evsectl.output import emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The configuration of the station."
)

File = Annotated[str, typer.Argument(help="station.toml, or - for stdin", metavar="FILE")]


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise Abort(
            exits.NOT_FOUND, f"{file}: {error.strerror}", "name an existing file, or - for stdin", "not_found"
        ) from error
    except UnicodeDecodeError as error:
        raise Abort(
            exits.INVALID, f"{file}: byte {error.start} is not UTF-8", "save the file as UTF-8", "invalid"
        ) from error


@app.command()
def show(output: Output = "table", file: OutFile = "", host: Host = "") -> int:
    """Print the configuration file in force, secrets masked."""
    body = session(host).call("config.show")
    if output == "table":
        write(body["text"], options(output, file=file))
    else:
        emit("Config", [body], [], options(output, file=file), single=True)
    return exits.OK


@app.command()
def validate(file: File, output: Output = "table") -> int:
    """Check a file without a daemon: every problem at once, with file, line, key and remedy."""
    from evse.api.local import validate_text

    text = _read(file)
    body = validate_text(text, file)
    if output != "table":
        import msgspec

        emit("ConfigResult", [msgspec.to_builtins(body)], [], options(output), single=True)
    elif body.valid:
        write(f"{file}: ok\n", options(output))
    else:
        for problem in body.problems:
            sys.stderr.write(problem + "\n")
        sys.stderr.write(f"evsectl: {len(body.problems)} problem(s) in {file}\n")
    return exits.OK if body.valid else exits.INVALID


SIGNS = {"": "+", None: "+"}


def _plan(body: dict[str, Any]) -> str:
    lines = []
    for change in body["changes"]:
        sign = "+" if change["old"] == "" else "-" if change["new"] == "" else "~"
        lines.append(
            f"{sign} {change['key']}: {change['old'] or 'unset'} -> {change['new'] or 'unset'}  ({change['apply']})"
        )
    return "".join(line + "\n" for line in lines)


def _problems(body: dict[str, Any]) -> None:
    if not body["valid"]:
        raise Abort(exits.INVALID, "\n".join(body["problems"]), "nothing was changed", "invalid")


@app.command()
def diff(
    file: File,
    output: Output = "table",
    host: Host = "",
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 8 when there are differences")
    ] = False,
) -> int:
    """Show what applying a file would change, and what needs a restart."""
    body = session(host).call("config.validate", text=_read(file))
    _problems(body)
    if output == "table":
        write(_plan(body) or "no differences\n", options(output))
    else:
        emit("ConfigResult", [body], [], options(output), single=True)
    return exits.DIFFERS if body["changes"] and detailed_exitcode else exits.OK


@app.command()
def apply(
    file: File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, change nothing")] = False,
    if_version: Annotated[
        int | None, typer.Option("--if-version", help="Only if the version is still this one")
    ] = None,
    accept_risk: AcceptRisk = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    output: Output = "table",
    host: Host = "",
) -> int:
    """Apply a file: live options at once, the rest at the next restart."""
    from evsectl.options import confirm

    text = _read(file)
    caller = session(host)
    plan = caller.call("config.validate", text=text)
    _problems(plan)
    if not plan["changes"]:
        write("unchanged\n", options("table")) if output == "table" else emit(
            "ConfigResult", [plan], [], options(output), single=True
        )
        return exits.OK
    if output == "table":
        write(_plan(plan), options("table"))
    if not dry_run:
        confirm(
            f"Apply {len(plan['changes'])} change(s)?",
            ["live options change now"],
            risk="",
            accepted=accept_risk,
            yes=yes,
        )
    request: dict[str, Any] = {"text": text, "dry_run": dry_run}
    if if_version is not None:
        request["if_version"] = if_version
    body = caller.call("config.apply", **request)
    if output != "table":
        emit("ConfigResult", [body], [], options(output), single=True)
    elif body["applied"]:
        note("applied" + ("; some changes need a restart of the daemon" if body["restart_needed"] else ""))
    elif dry_run:
        note("dry run: nothing was changed")
    else:
        usage("the daemon did not apply the file", "look at: evsectl config diff")
    return exits.OK
