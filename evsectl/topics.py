"""What ``evsectl help TOPIC`` and the man pages say about things that belong to no single command."""

from __future__ import annotations

from evsectl import exits

OUTPUT = (
    ("table", "for people; no column is missing and no line wraps in a pipe or a file"),
    ("wide", "a table with all columns"),
    ("json", "one object with apiVersion and kind"),
    ("jsonl", "one object per line"),
    ("yaml", "the same as json"),
    ("csv", "RFC 4180 with a header line; nested keys are dotted"),
    ("name", "one id per line"),
    ("value", "bare values of --fields, tab-separated"),
    ("--fields A,B.C", "only these fields, in this order; null where an object on the way is null"),
    ("--fields help", "list the fields of the command's objects"),
    ("--json", "the same as --fields help"),
    ("--json=A,B.C", "the same as -o json --fields A,B.C"),
)

ENVIRONMENT = (
    ("EVSECTL_HOST", "socket of the daemon when --host is not given: unix:///PATH or a path"),
    ("EVSE_SOCKET", "socket that the daemon and its clients use by default"),
    ("EVSECTL_TOKEN", "token of a raised role, for scripts; else that of evsectl auth signin"),
    ("EVSECTL_NO_INPUT", "not empty: never ask"),
    ("EVSECTL_DEBUG", "not empty: show the traceback of a bug"),
    ("NO_COLOR", "not empty: no colours"),
    ("CLICOLOR_FORCE", "not empty and not 0: colours in pipes too"),
    ("COLUMNS", "width of the terminal"),
    ("EVSECTL_FORCE_TTY", "write as on a terminal of this width, for tests"),
)

TOPICS: dict[str, tuple[tuple[str, str], ...]] = {
    "exit-codes": tuple((str(code), text) for code, text in exits.TEXTS.items()),
    "output": OUTPUT,
    "environment": ENVIRONMENT,
}
