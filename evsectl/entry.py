"""The console script: hot reads and completion without typer, everything else through `evsectl.app`."""

from __future__ import annotations

import sys

from evsectl import exits
from evsectl.diagnostics import Abort, ReaderGone, crash, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

VALUED = {
    "-o": "output",
    "--output": "output",
    "--fields": "fields",
    "-O": "file",
    "--output-file": "file",
    "-H": "host",
    "--host": "host",
    "--for": "condition",
    "--timeout": "timeout",
    "--since": "since",
}
FLAGS = {"--no-headers": "no_headers", "--no-reconnect": "no_reconnect"}
DATA = frozenset({"output", "fields", "file", "host", "no_headers"})
WAITING = frozenset({"condition", "timeout", "host"})
WATCHING = frozenset({"output", "since", "no_reconnect", "host"})
WAIT_S = "30s"
"""What a bare ``--wait`` means."""


class Line:
    """What the fast path understood of a command line."""

    __slots__ = ("options", "words")

    def __init__(self) -> None:
        self.words: list[str] = []
        self.options: dict[str, str] = {}

    def get(self, name: str, default: str = "") -> str:
        """An option, or its default."""
        return self.options.get(name, default)

    def only(self, allowed: frozenset[str]) -> bool:
        """Whether no other option was given."""
        return allowed.issuperset(self.options)


def normalise(arguments: list[str]) -> list[str]:
    """Write out the two options that may stand without a value.

    ``--json`` lists the fields, ``--json=A,B`` is ``-o json --fields=A,B``; ``--wait`` is ``--wait=30s``. A value may
    follow as a word of its own when it cannot be anything else: it does not begin with a dash, a time has its unit.
    """
    out: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            return [*out, word, *rest]
        if name == "--json":
            if not equals and rest and _is_field_list(rest[0]):
                value = rest.pop(0)
            out += ["-o", "json", f"--fields={value}"] if value else ["--fields=help"]
        elif word == "--wait":
            out.append(f"--wait={rest.pop(0) if rest and _is_time(rest[0]) else WAIT_S}")
        else:
            out.append(word)
    return out


def _is_field_list(word: str) -> bool:
    return word[:1].isalpha() and word.replace(",", "").replace(".", "").replace("_", "").isalnum()


def _is_time(word: str) -> bool:
    return word[-1:] in ("s", "m", "h") and word[:-1].replace(".", "", 1).isdigit()


def parse_hot(arguments: list[str]) -> Line | None:
    """Understand words and the options of hot reads; None = let typer read it."""
    line = Line()
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if argument in FLAGS:
            line.options[FLAGS[argument]] = "1"
        elif name in VALUED and (not equals or name.startswith("--")):
            value = value if equals else next(rest, "")
            if not value or value.startswith("-"):
                return None
            line.options[VALUED[name]] = value
        elif argument.startswith("-"):
            return None
        else:
            line.words.append(argument)
    return line


def hot(line: Line) -> Callable[[], int] | None:
    """Return what to run for a hot read, or None."""
    words = line.words
    reads_data = line.only(DATA)
    if words in (["status"], ["connector", "list"], ["fault", "list"]) and reads_data:
        return lambda: _list(line)
    if len(words) == 3 and words[:2] == ["connector", "get"] and words[2].isdigit() and reads_data:
        return lambda: _list(line)
    if len(words) == 3 and words[:2] == ["wait", "connector"] and words[2].isdigit():
        return (lambda: _wait(line)) if line.get("condition") and line.only(WAITING) else None
    if words in (["watch"], ["watch", "status"], ["watch", "events"]) and line.get("since", "0").isdigit():
        return (lambda: _watch(line)) if line.only(WATCHING) else None
    return None


KINDS = {
    "status": ("Status", "station_id"),
    "connector": ("Connector", "evse_id"),
    "fault": ("Fault", "record.code"),
}
"""Kind and id field of the hot lists, as their typer commands declare them; a test compares both."""


def _list(line: Line) -> int:
    from evsectl import reads
    from evsectl.output import Options, prepare

    options = Options(
        line.get("output", "table"), line.get("fields"), headers="no_headers" not in line.options, file=line.get("file")
    )
    if prepare(*KINDS[line.words[0]], options):
        return exits.OK
    session = reads.Session(line.get("host"))
    if line.words == ["status"]:
        return reads.status(session, options)
    if line.words[0] == "fault":
        return reads.fault_list(session, options)
    if line.words[1] == "list":
        return reads.connector_list(session, options)
    return reads.connector_get(session, int(line.words[2]), options)


def _wait(line: Line) -> int:
    from evsectl import reads

    limit_s = reads.seconds(line.get("timeout", reads.WAIT_DEFAULT))
    return reads.wait_connector(reads.Session(line.get("host")), int(line.words[2]), line.get("condition"), limit_s)


def _watch(line: Line) -> int:
    from evsectl import reads
    from evsectl.output import Options

    since = line.get("since")
    return reads.watch(
        reads.Session(line.get("host")),
        Options(line.get("output", "table")),
        stream=line.words[1] if len(line.words) > 1 else "status",
        since=int(since) if since else None,
        reconnect="no_reconnect" not in line.options,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one command; never shows a traceback unless --debug asks for it. Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["__complete"]:
        from evsectl.completion import complete

        return complete(arguments[1:])
    arguments = normalise(arguments)
    output = asked_output(arguments)
    _utf8()
    try:
        line = parse_hot(arguments)
        run = hot(line) if line is not None else None
        if run is not None:
            return run()
        from evsectl.app import run_app

        return run_app(arguments)
    except Abort as error:
        return report(error, output, _command(arguments))
    except ReaderGone:
        return exits.OK
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a bug: crash file instead of a traceback
        return crash(error, output, debug="--debug" in arguments)


def _utf8() -> None:
    """Bytes do not depend on the locale; what cannot be shown on stderr is escaped."""
    for stream, errors in ((sys.stdout, "strict"), (sys.stderr, "backslashreplace")):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors=errors, newline="")


def asked_output(arguments: list[str]) -> str:
    """The output format of a command line, for errors that come before it is parsed."""
    for index, argument in enumerate(arguments):
        if argument in ("-o", "--output") and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith("--output="):
            return argument[len("--output=") :]
        if argument.startswith("-o") and len(argument) > 2:
            return argument[2:]
    return "table"


def _command(arguments: list[str]) -> str:
    """The command that a line names, for the beginning of an error."""
    from evsectl.tree import TREE

    path: list[str] = []
    for word in arguments:
        if " ".join([*path, word]) in TREE:
            path.append(word)
    return " ".join(["evsectl", *path])


if __name__ == "__main__":
    sys.exit(main())
