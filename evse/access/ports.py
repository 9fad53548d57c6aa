"""What access needs from its neighbours, and the error that it answers with."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Protocol, TypeVar

from evse.domain.base import DeviceError

T = TypeVar("T")

NAMESPACE = "access"
"""Namespace of all settings of this package."""


class SettingsPort(Protocol):
    """Durable text settings (`evse.storage.db.Store` fits). ``put`` returns after the value is on the medium."""

    async def get(self, namespace: str, key: str) -> str | None:
        """Return a value, None when it was never set."""
        ...

    async def put(self, namespace: str, key: str, value: str | None) -> None:
        """Set a value; None removes it."""
        ...


class Runner(Protocol):
    """Runs a function that takes long (hashing a PIN: about 45 ms) where it does not hold up the control loop."""

    async def run(self, job: Callable[[], T]) -> T:
        """Return what ``job`` returns."""
        ...


class ThreadRunner:
    """`Runner` on the event loop's default threads."""

    async def run(self, job: Callable[[], T]) -> T:
        """See `Runner.run`."""
        return await asyncio.to_thread(job)


class SecretsError(DeviceError):
    """The files of the secrets cannot be read or written, or do not belong together. Never holds a secret."""


class Denial(enum.Enum):
    """Why access was refused."""

    WRONG = "wrong"  # PIN or code does not fit
    LOCKED = "locked"  # too many wrong tries
    NO_PIN = "no_pin"
    BAD_PIN = "bad_pin"  # a new PIN that breaks the rules
    NOT_OWNER = "not_owner"  # needs root or the daemon's user: the first PIN, codes off without PIN and code
    CODE_NEEDED = "code_needed"  # one-time codes are enrolled and none was given; nothing was counted
    ENROLLED = "enrolled"  # one-time codes are enrolled already
    NOT_BEGUN = "not_begun"  # no enrolment waits to be confirmed
    EXPIRED = "expired"  # token unknown or over


class AccessError(Exception):
    """Access refused: ``why`` for programs, ``message`` and ``hint`` for people. Never holds a secret."""

    def __init__(self, why: Denial, message: str, hint: str) -> None:
        super().__init__(message)
        self.why = why
        self.message = message
        self.hint = hint
