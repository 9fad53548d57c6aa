"""The console script: hot reads and completion without typer, everything else through `evsectl.app`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from evsectl import exits
from evsectl.diagnostics import Abort, crash, report

FORMAT_OPTIONS = {
    "-o": "output",
    "--output": "output",
    "--fields": "fields",
    "-O": "file",
    "--output-file": "file",
    "-H": "host",
    "--host": "host",
}


class _Call:
    """What the fast path understood of a command line; it gives up (None) on everything unusual."""

    __slots__ = ("fields", "file", "headers", "host", "output", "words")

    def __init__(self) -> None:
        self.words: list[str] = []
        self.output = "table"
        self.fields = ""
        self.file = ""
        self.host = os.environ.get("EVSECTL_HOST", "")
        self.headers = True


def parse_hot(arguments: list[str]) -> _Call | None:
    """Understand ``WORDS [-o F] [--fields F] [-O FILE] [-H HOST] [--no-headers]``; None = let typer read it."""
    call = _Call()
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if argument == "--no-headers":
            call.headers = False
        elif name in FORMAT_OPTIONS:
            if not equals:
                value = next(rest, "")
            if not value:
                return None
            setattr(call, FORMAT_OPTIONS[name], value)
        elif argument.startswith("-"):
            return None
        else:
            call.words.append(argument)
    return call


def hot(call: _Call) -> Callable[[], int] | None:
    """Return what to run for a hot read, or None."""
    words = call.words
    if words not in (["status"], ["connector", "list"], ["fault", "list"]) and not (
        words[:2] == ["connector", "get"] and len(words) == 3 and words[2].isdigit()
    ):
        return None
    from evsectl import reads
    from evsectl.output import Options

    session = reads.Session(call.host)

    def run() -> int:
        options = Options(call.output, call.fields, headers=call.headers, file=call.file)
        if words == ["status"]:
            return reads.status(session, options)
        if words == ["connector", "list"]:
            return reads.connector_list(session, options)
        if words == ["fault", "list"]:
            return reads.fault_list(session, options)
        return reads.connector_get(session, int(words[2]), options)

    return run


def main(arguments: list[str] | None = None) -> int:
    """Run one command; never shows a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    output = _asked_output(arguments)
    try:
        if arguments[:1] == ["__complete"]:
            from evsectl.completion import complete

            return complete(arguments[1:])
        call = parse_hot(arguments)
        run = hot(call) if call is not None else None
        if run is not None:
            return run()
        from evsectl.app import run_app

        return run_app(arguments)
    except Abort as error:
        return report(error, output)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return exits.OK
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a bug: crash file instead of a traceback
        return crash(error)


def _asked_output(arguments: list[str]) -> str:
    """The output format of a command line, for errors that come before it is parsed."""
    for index, argument in enumerate(arguments):
        if argument in ("-o", "--output") and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith(("--output=", "-o=")):
            return argument.partition("=")[2]
    return "table"


if __name__ == "__main__":
    sys.exit(main())
