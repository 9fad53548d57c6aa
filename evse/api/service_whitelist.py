"""The part of the service that is the station's own list of cards and vehicles."""

from __future__ import annotations

from typing import Protocol

from evse.api import models as m
from evse.api import models_whitelist as w
from evse.api.caller import Caller
from evse.api.operation import Empty


class WhitelistService(Protocol):
    """Every operation of `evse.api.operations_whitelist.OPERATIONS_WHITELIST`."""

    async def whitelist_list(self, request: w.WhitelistQuery, caller: Caller) -> w.Whitelist:
        """Cards and vehicles of the own list."""
        ...

    async def whitelist_get(self, request: w.WhitelistRef, caller: Caller) -> w.WhitelistEntry:
        """One entry."""
        ...

    async def whitelist_add(self, request: w.WhitelistAdd, caller: Caller) -> w.WhitelistEntry:
        """Add a card or a vehicle."""
        ...

    async def whitelist_edit(self, request: w.WhitelistEdit, caller: Caller) -> w.WhitelistEntry:
        """Change an entry."""
        ...

    async def whitelist_remove(self, request: w.WhitelistRef, caller: Caller) -> m.Done:
        """Remove an entry."""
        ...

    async def whitelist_clear(self, request: Empty, caller: Caller) -> m.Done:
        """Remove every entry."""
        ...

    async def whitelist_import(self, request: w.WhitelistImport, caller: Caller) -> w.WhitelistCounts:
        """Add or replace from CSV."""
        ...

    async def whitelist_export(self, request: Empty, caller: Caller) -> w.WhitelistFile:
        """The whole list as CSV."""
        ...

    async def whitelist_learn(self, request: w.WhitelistLearn, caller: Caller) -> w.WhitelistWindow:
        """Learn the next card or vehicle."""
        ...

    async def whitelist_window(self, request: w.WhitelistWait, caller: Caller) -> w.WhitelistWindow:
        """State of learning; may wait for its end."""
        ...

    async def whitelist_cancel(self, request: Empty, caller: Caller) -> m.Done:
        """Stop learning."""
        ...
