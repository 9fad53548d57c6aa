"""Roles in rising order of rights, and how a local user comes to one.

The kernel names the peer of a Unix socket (SO_PEERCRED). Root and the daemon's own user are operators, members of
the configured groups are operators or manufacturers, everybody else (the kiosk too) is a guest. A PIN raises a role
for a while (`evse.access.control`), it never lowers one.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol


class Role(enum.IntEnum):
    """Roles in rising order of rights."""

    GUEST = 0  # kiosk, anybody who can open the socket
    USER = 1
    OPERATOR = 2
    MANUFACTURER = 3


class Accounts(Protocol):
    """What the operating system knows about users. Both calls answer from local files and do not block for long."""

    def name(self, uid: int) -> str:
        """Login name of ``uid``; ``uid=<n>`` when there is none."""
        ...

    def groups(self, uid: int, gid: int) -> frozenset[str]:
        """Names of all groups of ``uid``, of its primary ``gid`` too."""
        ...


class SystemAccounts:
    """`Accounts` from the user database. Looks up on every call: a user who lost a group loses the role at once."""

    def name(self, uid: int) -> str:
        """See `Accounts.name`."""
        import pwd

        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return f"uid={uid}"

    def groups(self, uid: int, gid: int) -> frozenset[str]:
        """See `Accounts.groups`. A uid without an account has its primary group only."""
        import grp
        import os
        import pwd

        try:
            ids = os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
        except KeyError:
            ids = [gid]
        names: set[str] = set()
        for group_id in ids:
            try:
                names.add(grp.getgrgid(group_id).gr_name)
            except KeyError:
                continue
        return frozenset(names)


class RolePolicy:
    """Maps a local user to its role.

    ``groups`` answers (operator group, manufacturer group) as configured now; "" = none.
    """

    def __init__(
        self, own_uid: int, groups: Callable[[], tuple[str, str]], accounts: Accounts | None = None
    ) -> None:
        self._own_uid = own_uid
        self._groups = groups
        self.accounts: Accounts = accounts or SystemAccounts()

    def is_owner(self, uid: int | None) -> bool:
        """Tell whether ``uid`` is root or the daemon's own user: who may set the first PIN."""
        return uid is not None and uid in (0, self._own_uid)

    def role(self, uid: int | None, gid: int) -> Role:
        """Return the role of a peer; ``uid`` None (unknown peer) is a guest."""
        if uid is None:
            return Role.GUEST
        operator, manufacturer = self._groups()
        member_of = self.accounts.groups(uid, gid)
        if manufacturer and manufacturer in member_of:
            return Role.MANUFACTURER
        if self.is_owner(uid) or (operator and operator in member_of):
            return Role.OPERATOR
        return Role.GUEST
