"""Everything that goes to stderr, and how a command ends. stdout belongs to `evsectl.output` alone."""

from __future__ import annotations

import json
import os
import sys
from typing import NoReturn

from evsectl import exits


class Abort(Exception):
    """End the command: what failed, why, and what to do next."""

    def __init__(self, exit_code: int, message: str, hint: str = "", code: str = "failed") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.hint = hint
        self.code = code


def report(error: Abort, output: str) -> int:
    """Write an error for people, or as one JSON object when the output is JSON; return its exit code."""
    if not error.message:
        return error.exit_code
    if output in ("json", "jsonl"):
        body = {"code": error.code, "message": error.message, "hint": error.hint, "exitCode": error.exit_code}
        sys.stderr.write(json.dumps(body) + "\n")
    else:
        sys.stderr.write(f"evsectl: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  {error.hint}\n")
    return error.exit_code


def note(text: str) -> None:
    """Tell a person something that is not data."""
    sys.stderr.write(text + "\n")


def usage(message: str, hint: str = "") -> NoReturn:
    """Refuse a call."""
    raise Abort(exits.USAGE, message, hint, "bad_request")


def nearest(word: str, known: list[str]) -> str:
    """Return `` Did you mean "x"?`` or nothing."""
    import difflib

    found = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f'Did you mean "{found[0]}"?' if found else ""


def crash(error: BaseException) -> int:
    """A bug of ours: write the traceback to a file, name it, and end with 70."""
    import tempfile
    import traceback

    if os.environ.get("EVSECTL_DEBUG"):
        traceback.print_exception(error)
        return exits.BUG
    with tempfile.NamedTemporaryFile(
        "w", prefix="evsectl-crash-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    note(f"evsectl: internal error: {type(error).__name__}: {error}\n  Please send {file.name} to support.")
    return exits.BUG
