"""Errors of the API: stable codes, HTTP status and the exit code that evsectl answers with."""

from __future__ import annotations

import enum


class ErrorCode(enum.Enum):
    """``value`` = (code, HTTP status, evsectl exit code)."""

    FAILED = ("failed", 500, 1)
    BAD_REQUEST = ("bad_request", 400, 2)
    NOT_FOUND = ("not_found", 404, 3)
    UNAUTHENTICATED = ("unauthenticated", 401, 4)
    LOCKED_OUT = ("locked_out", 429, 4)
    FORBIDDEN = ("forbidden", 403, 5)
    UNREACHABLE = ("unreachable", 503, 6)
    CONFLICT = ("conflict", 409, 7)
    INVALID = ("invalid", 422, 9)
    DEVICE = ("device", 502, 10)
    TIMEOUT = ("timeout", 504, 124)

    @property
    def code(self) -> str:
        """Stable code in the error body."""
        return self.value[0]

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.value[1]

    @property
    def exit_code(self) -> int:
        """Exit code of evsectl."""
        return self.value[2]


BY_CODE: dict[str, ErrorCode] = {e.code: e for e in ErrorCode}


class ApiError(Exception):
    """An operation failed: what, why, and what to do next."""

    def __init__(self, kind: ErrorCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
