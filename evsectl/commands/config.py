"""``evsectl config``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evsectl import exits
from evsectl.diagnostics import Abort, note
from evsectl.options import Call, Yes, confirm, data
from evsectl.output import emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The configuration of the station."
)

File = Annotated[str, typer.Argument(help="station.toml, or - for stdin", metavar="FILE")]


def read_file(file: str, what: str) -> str:
    """The text of a file, - = stdin. Ends the command when it cannot be read; ``what`` says what is wanted."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise Abort(
            exits.NOT_FOUND, f"{file}: {error.strerror}", f"name a file with {what}, or - for stdin", "not_found"
        ) from error
    except UnicodeDecodeError as error:
        raise Abort(
            exits.INVALID, f"{file}: byte {error.start} is not UTF-8", "save the file as UTF-8", "invalid"
        ) from error


def _read(file: str) -> str:
    return read_file(file, "a configuration")


@data(app, "Config", key="path")
def show(call: Call) -> int:
    """Print the configuration in force, secrets masked."""
    body = call.ask("config.show")
    if call.human:
        write(body["text"], call.options)
    else:
        emit("Config", [body], [], call.options, name="path", single=True)
    return exits.OK


@data(app, "ConfigResult", daemon=False)
def validate(call: Call, source: File) -> int:
    """Check a file without a daemon; all problems at once."""
    import msgspec

    from evse.api.local import validate_text

    body = msgspec.json.decode(msgspec.json.encode(validate_text(_read(source), source)))
    if call.human:
        _problems(body, source, source)
        write(f"{source}: ok\n", call.options)
    else:
        emit("ConfigResult", [body], [], call.options, single=True)
    return exits.OK if body["valid"] else exits.INVALID


def _plan(body: dict[str, Any]) -> str:
    lines = []
    for change in body["changes"]:
        sign = "+" if change["old"] == "" else "-" if change["new"] == "" else "~"
        lines.append(
            f"{sign} {change['key']}: {change['old'] or 'unset'} -> {change['new'] or 'unset'}  ({change['apply']})"
        )
    return "".join(line + "\n" for line in lines)


def _problems(body: dict[str, Any], source: str, station_file: str = "") -> None:
    """End the command when the file is not valid: how many problems, then every one, by the name of the user's file.

    The daemon does not know that name and says the path of its own file, ``station_file``.
    """
    own = f"{station_file}:"
    problems = [f"{source}:{p.removeprefix(own)}" if p.startswith(own) else p for p in body["problems"]]
    if not body["valid"]:
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        message = "\n".join([f"the configuration has {count}:", *(f"  {problem}" for problem in problems)])
        raise Abort(exits.INVALID, message, "correct them and check again: evsectl config validate FILE", "invalid")


def _ask_plan(call: Call, text: str, source: str) -> dict[str, Any]:
    """What applying ``text`` would change, as the daemon sees it. Ends the command when it is not valid."""
    body: dict[str, Any] = call.ask("config.validate", text=text)
    if not body["valid"]:
        _problems(body, source, call.ask("config.show")["path"])
    return body


@data(app, "ConfigResult")
def diff(
    call: Call,
    source: File,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 8 when there are differences")
    ] = False,
) -> int:
    """Show what applying a file would change."""
    body = _ask_plan(call, _read(source), source)
    if call.human:
        write(_plan(body) or "no differences\n", call.options)
    else:
        emit("ConfigResult", [body], [], call.options, single=True)
    return exits.DIFFERS if body["changes"] and detailed_exitcode else exits.OK


@data(app, "ConfigResult")
def apply(
    call: Call,
    source: File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, change nothing")] = False,
    if_version: Annotated[
        int | None, typer.Option("--if-version", help="Only if the version is still this one", metavar="N")
    ] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="With --dry-run: exit 8 when there are differences")
    ] = False,
    yes: Yes = False,
) -> int:
    """Apply a file: live options at once, the rest later."""
    text = _read(source)
    plan = _ask_plan(call, text, source)
    request: dict[str, Any] = {"text": text, "dry_run": dry_run, "if_version": if_version}
    if not plan["changes"] or dry_run:
        body = call.ask("config.apply", **request) if dry_run else plan
        if call.human:
            write(_plan(body) or "unchanged\n", call.options)
        else:
            emit("ConfigResult", [body], [], call.options, single=True)
        if dry_run:
            note("dry run: nothing was changed")
        return exits.DIFFERS if body["changes"] and detailed_exitcode else exits.OK
    confirm(
        f"Apply {len(plan['changes'])} change(s)?",
        lambda: [*_plan(plan).splitlines(), "live options change now, the others at the next restart"],
        yes=yes,
    )
    body = call.ask("config.apply", **request)
    if not body["applied"]:
        raise Abort(exits.FAILED, "the daemon did not apply the file", "look at: evsectl config diff FILE", "failed")
    if call.human:
        write(_plan(body), call.options)
    else:
        emit("ConfigResult", [body], [], call.options, single=True)
    note("applied" + ("; some changes need a restart of the daemon" if body["restart_needed"] else ""))
    return exits.OK
