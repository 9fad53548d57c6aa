"""LocalAuthListManagement of OCPP 1.6: cards that the CSMS has sent beforehand, with a version.

An update is applied as a whole or not at all, durably before its answer. The list goes before the cache, and a card
that it accepts while the CSMS refuses it is a conflict, which the station reports.
"""

from __future__ import annotations

import logging

from evse.domain.records import CachedToken
from evse.ocpp.engine import Handler, Reply
from evse.ocpp.keys import Keys
from evse.ocpp.messages import Payload, parse_timestamp
from evse.ocpp.ports import StorePort

log = logging.getLogger(__name__)

LIST_MAX = 10_000
"""Entries of the list (LocalAuthListMaxLength)."""

SEND_MAX = 1000
"""Entries of one SendLocalList (SendLocalListMaxLength): what fits into the longest message that is read."""

NOT_THERE = -1
"""Version of a station whose list is switched off."""


class LocalList:
    """The list of one station. ``conflict`` = the CSMS has refused a card that the list accepts."""

    def __init__(self, store: StorePort, keys: Keys) -> None:
        self.conflict = False
        self._store = store
        self._keys = keys

    @property
    def enabled(self) -> bool:
        """LocalAuthListEnabled."""
        return self._keys.flag("LocalAuthListEnabled")

    def table(self) -> dict[str, Handler]:
        """Return action to handler."""
        return {"GetLocalListVersion": self.get_version, "SendLocalList": self.send}

    async def find(self, id_token: str) -> CachedToken | None:
        """Return the entry of a card; None when there is none or the list is switched off."""
        return await self._store.local_list_get(id_token) if self.enabled else None

    async def get_version(self, payload: Payload) -> Reply:
        """Answer the version; an empty list has 0, one that is switched off -1."""
        if not self.enabled:
            return Reply({"listVersion": NOT_THERE})
        version, count = await self._store.local_list_state()
        return Reply({"listVersion": version if count else 0})

    async def send(self, payload: Payload) -> Reply:
        """Apply an update: Accepted, Failed, NotSupported or VersionMismatch; all but the first change nothing."""
        status, why = await self._apply(payload)
        if status == "Accepted":
            self.conflict = False
        else:
            log.warning("ocpp: SendLocalList %s: %s: %s", payload["listVersion"], status, why)
        return Reply({"status": status})

    async def _apply(self, payload: Payload) -> tuple[str, str]:
        if not self.enabled:
            return "NotSupported", "LocalAuthListEnabled is false"
        version, full = int(payload["listVersion"]), payload["updateType"] == "Full"
        rows: list[Payload] = payload.get("localAuthorizationList") or []
        if version < 0 or (version == 0 and rows):
            return "Failed", "versions begin at 1; 0 is that of an empty list"
        present, _ = await self._store.local_list_state()
        if not full and version <= present:
            return "VersionMismatch", f"version {present} is installed"
        if len(rows) > SEND_MAX:
            return "Failed", f"{len(rows)} entries, at most {SEND_MAX} at once"
        if len({str(row["idTag"]).upper() for row in rows}) != len(rows):
            return "Failed", "a card is there twice"
        put = []
        for row in rows:
            if "idTagInfo" in row:
                entry = _entry(row)
                if entry is None:
                    return "Failed", f"expiryDate of {str(row['idTag'])!r} is not a date and time"
                put.append(entry)
            elif full:
                return "Failed", f"entry {str(row['idTag'])!r} of a full list has no idTagInfo"
        remove = [str(row["idTag"]) for row in rows if "idTagInfo" not in row]
        if not await self._store.local_list_apply(version, full=full, put=put, remove=remove, most=LIST_MAX):
            return "Failed", f"the list would have more than {LIST_MAX} entries"
        return "Accepted", ""


def _entry(row: Payload) -> CachedToken | None:
    info: Payload = row["idTagInfo"]
    expiry = info.get("expiryDate")
    expires_at = None if expiry is None else parse_timestamp(str(expiry))
    if expiry is not None and expires_at is None:
        return None
    return CachedToken(
        id_token=str(row["idTag"]).upper(), status=str(info["status"]), parent=str(info.get("parentIdTag", "")),
        expires_at=expires_at,
    )
