"""The base of all shared types, and the check that stays on in production."""

from __future__ import annotations

from typing import NoReturn

import msgspec


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An immutable record; unknown fields in a document are an error. Subclasses add ``kw_only=True`` (it is not inherited)."""


class ConfigError(Exception):
    """The user's mistake, found when a file is loaded or a change is applied.

    ``problems`` holds one text per mistake, each with file, line, key, value and remedy.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DeviceError(Exception):
    """The world's mistake: a device, bus or peer did not do its part. Becomes NoData or a Fault, never enters the core."""


class BugError(Exception):
    """Our mistake. The shell takes the energy away and the supervisor restarts."""


def check(condition: bool, what: str) -> None:
    """Raise `BugError` unless ``condition``: an assertion that ``python -O`` cannot remove."""
    if not condition:
        raise BugError(what)


def unreachable(what: str) -> NoReturn:
    """Raise `BugError` for a branch that the types rule out."""
    raise BugError(f"unreachable: {what}")
