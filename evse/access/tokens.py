"""Bearer tokens of raised roles. In memory only: a restart of the daemon ends them all."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import msgspec

from evse.access.roles import Role
from evse.domain.clock import Clock
from evse.units import DurationNs, Instant, WallNs

TOKENS_MAX: Final = 64
"""Raised roles at a time; one more ends the one that ends first."""


class _Raised(msgspec.Struct, frozen=True):
    role: Role
    uid: int | None
    until: Instant


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A new token. It is shown once and not kept."""

    token: str
    role: Role
    expires_at: WallNs


class Tokens:
    """Issues and looks up tokens. A token works only for the uid it was issued to; only its SHA-256 is kept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._raised: dict[bytes, _Raised] = {}

    def issue(self, role: Role, uid: int | None, lasts: DurationNs) -> Issued:
        """Return a new token of 256 random bits for ``role`` that ends after ``lasts``."""
        now = self._clock.now()
        self._raised = {key: row for key, row in self._raised.items() if row.until > now}
        if len(self._raised) >= TOKENS_MAX:
            del self._raised[min(self._raised, key=lambda key: self._raised[key].until)]
        token = secrets.token_urlsafe(32)
        self._raised[_digest(token)] = _Raised(role, uid, now + lasts)
        return Issued(token=token, role=role, expires_at=self._clock.wall() + lasts)

    def role(self, token: str, uid: int | None) -> Role | None:
        """Return the role of a token, None when it is unknown, over, or of another user."""
        row = self._raised.get(_digest(token))
        if row is None or row.uid != uid:
            return None
        if row.until <= self._clock.now():
            del self._raised[_digest(token)]
            return None
        return row.role

    def end(self, token: str) -> bool:
        """End a token; tell whether there was one."""
        return self._raised.pop(_digest(token), None) is not None

    def end_all(self, keep: str = "") -> int:
        """End all tokens but ``keep``; return how many ended."""
        kept = _digest(keep) if keep else b""
        count = len(self._raised)
        self._raised = {key: row for key, row in self._raised.items() if key == kept}
        return count - len(self._raised)

    def __len__(self) -> int:
        return len(self._raised)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
