"""Who calls an operation, and what its method adds to the audit row."""

from __future__ import annotations

import msgspec

from evse.access.roles import Role


class AuditNote:
    """What a method wants to read in the audit row of its call. Empty fields are filled from the request."""

    __slots__ = ("new", "old", "target")

    def __init__(self) -> None:
        self.target = ""
        self.old = ""
        self.new = ""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls. ``role`` is the role in force (raised by ``token`` or not); ``note`` goes into the audit row."""

    role: Role
    user: str  # login name, "uid=1234" without an account, "" when the peer is not known
    uid: int | None = None
    origin: str = "local"  # unix:uid=1000 ...
    token: str = ""  # bearer token of the call, "" = none
    raised: bool = False  # ``token`` gave more than the Unix user has
    note: AuditNote = msgspec.field(default_factory=AuditNote)
