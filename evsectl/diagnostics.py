"""Everything that goes to stderr, and how a command ends. stdout belongs to `evsectl.output` alone."""

from __future__ import annotations

import json
import os
import sys
from typing import NoReturn

from evsectl import exits

API_VERSION = "evse/v1"


class Abort(Exception):
    """End the command: what failed and why, a stable code, and what to do next.

    An empty message ends the command without a word (help was shown already).
    """

    def __init__(
        self, exit_code: int, message: str, hint: str = "", code: str = "failed", *, request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.hint = hint
        self.code = code
        self.request_id = request_id


class ReaderGone(Exception):
    """Nobody reads stdout any more. Not an OSError: the parser would end the process with its own code."""


def report(error: Abort, output: str, command: str = "evsectl") -> int:
    """Write an error for people (what, why with its code, what next), or one JSON object when the output is JSON."""
    if not error.message:
        return error.exit_code
    if output in ("json", "jsonl"):
        body = {
            "apiVersion": API_VERSION,
            "kind": "Error",
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "request_id": error.request_id,
            "exit_code": error.exit_code,
        }
        _write(json.dumps(body, ensure_ascii=False) + "\n")
    else:
        _write(f"{command}: {error.message} [{error.code}]\n" + (f"  {error.hint}\n" if error.hint else ""))
    return error.exit_code


def note(text: str) -> None:
    """Tell a person something that is not data."""
    _write(text + "\n")


def _write(text: str) -> None:
    """To stderr; a closed stderr does not change how a command ends."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        pass


def usage(message: str, hint: str = "") -> NoReturn:
    """Refuse a call."""
    raise Abort(exits.USAGE, message, hint, "bad_request")


def nearest(word: str, known: list[str]) -> str:
    """Return ``did you mean "x"?`` or nothing. A code and a name that differ in case only are near."""
    import difflib

    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), list(lower), n=1, cutoff=0.5)
    return f'did you mean "{lower[found[0]]}"?' if found else ""


def crash(error: BaseException, output: str = "table", *, debug: bool = False) -> int:
    """A bug of ours: write the traceback to a file, name it, and end with 70. ``debug`` shows it instead."""
    import tempfile
    import traceback

    if debug or os.environ.get("EVSECTL_DEBUG"):
        traceback.print_exception(error)
        return exits.BUG
    hint = "run it again with --debug"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="evsectl-crash-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            traceback.print_exception(error, file=file)
        hint = f"please send {file.name} to support"
    except OSError:
        pass
    return report(Abort(exits.BUG, f"internal error: {type(error).__name__}: {error}", hint, "bug"), output)
