"""Exit codes of evsectl: frozen by a test, described in evsectl-exit-codes(7)."""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2  # wrong call, missing input, refused because nobody can be asked
NOT_FOUND = 3  # no such thing, or "state is not X"
AUTH = 4  # sign-in needed, or PIN wrong
FORBIDDEN = 5  # role too low
UNREACHABLE = 6  # no daemon
CONFLICT = 7  # refused by the core, busy, other version
DIFFERS = 8  # diff found differences, replay is not equal
INVALID = 9  # validation failed
DEVICE = 10  # a device or hardware fault is reported
PARTIAL = 11  # some items failed
BUG = 70
TIMEOUT = 124
INTERRUPTED = 130

TEXTS: dict[int, str] = {
    OK: "done, or there was nothing to do",
    FAILED: "the operation failed",
    USAGE: "wrong call, missing input, or a confirmation that nobody could give",
    NOT_FOUND: "there is no such connector, session, fault, key; or the state is not the one asked for",
    AUTH: "sign in first, or the PIN is wrong or locked",
    FORBIDDEN: "your role may not do this",
    UNREACHABLE: "the daemon does not answer",
    CONFLICT: "refused as things stand: busy, interlocked, or changed meanwhile",
    DIFFERS: "differences were found",
    INVALID: "the input is not valid; every problem is listed",
    DEVICE: "a device or hardware fault is reported",
    PARTIAL: "some items failed; the output says which",
    BUG: "a bug in evsectl; a crash file was written",
    TIMEOUT: "the time ran out",
    INTERRUPTED: "interrupted by Ctrl-C",
}
