"""The rows of the registry for the station's own list of cards and vehicles."""

from __future__ import annotations

from typing import Final

from evse.access.roles import Role
from evse.api import models as m
from evse.api import models_whitelist as w
from evse.api.operation import BODY_LONG_MAX_BYTES, Empty, Operation, get, post

OPERATIONS_WHITELIST: Final[tuple[Operation, ...]] = (
    get("whitelist.list", "/v1/whitelist", w.Whitelist, "Cards and vehicles of the own list", w.WhitelistQuery, Role.OPERATOR),
    get("whitelist.get", "/v1/whitelist/get", w.WhitelistEntry, "One entry", w.WhitelistRef, Role.OPERATOR),
    post("whitelist.add", "/v1/whitelist/add", w.WhitelistAdd, w.WhitelistEntry, "Add a card or a vehicle"),
    post("whitelist.edit", "/v1/whitelist/edit", w.WhitelistEdit, w.WhitelistEntry, "Change an entry"),
    post("whitelist.remove", "/v1/whitelist/remove", w.WhitelistRef, m.Done, "Remove an entry"),
    post("whitelist.clear", "/v1/whitelist/clear", Empty, m.Done, "Remove every entry"),
    post(
        "whitelist.import", "/v1/whitelist/import", w.WhitelistImport, w.WhitelistCounts, "Add or replace from CSV",
        body_max_bytes=BODY_LONG_MAX_BYTES,
    ),
    get("whitelist.export", "/v1/whitelist/export", w.WhitelistFile, "The whole list as CSV", role=Role.OPERATOR),
    post("whitelist.learn", "/v1/whitelist/learn", w.WhitelistLearn, w.WhitelistWindow, "Learn the next card or vehicle"),
    get(
        "whitelist.window", "/v1/whitelist/window", w.WhitelistWindow, "State of learning; may wait for its end",
        w.WhitelistWait, Role.OPERATOR,
    ),
    post("whitelist.cancel", "/v1/whitelist/cancel", Empty, m.Done, "Stop learning"),
)  # fmt: skip
