"""Why a transfer did not succeed, in plain words: who, where, what to do. Never a password."""

from __future__ import annotations

from enum import Enum

from evse.domain.base import DeviceError


class Why(Enum):
    """What kind of failure it was: decides whether trying again is of use, and what the CSMS is told."""

    ADDRESS = "address"  # the URL cannot be understood
    UNSUPPORTED = "unsupported"  # a protocol or method that is not spoken
    CREDENTIALS = "credentials"  # user name, password or rights refused
    CERTIFICATE = "certificate"  # of the server
    SIZE = "size"  # larger than allowed, or than the medium holds
    LINE = "line"  # unreachable, silent, broken off
    SERVER = "server"  # it answered with an error
    MEDIUM = "medium"  # our own disk

    @property
    def final(self) -> bool:
        """Tell whether the same attempt must fail again, so that it is not repeated."""
        return self in (Why.ADDRESS, Why.UNSUPPORTED, Why.CREDENTIALS, Why.SIZE)


class TransferError(DeviceError):
    """A transfer, or one attempt at it, has failed."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why
