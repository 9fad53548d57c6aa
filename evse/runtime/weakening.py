"""What a change takes away from the security of the station, and who may make such a change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from evse.access.roles import Role
from evse.api.errors import ApiError, ErrorCode
from evse.api.service import Caller
from evse.config.model import StationConfig
from evse.domain.security import encrypted

RANKS: Final[dict[str, Sequence[object]]] = {
    "ocpp.security.profile": (0, 1, 2, 3),
    "ocpp.security.one_root": (False, True),
    "ocpp.tls.verify": ("none", "chain", "full"),
    "ocpp.tls.insecure": (True, False),
    "ocpp.tls.roots": ("system", "both", "installed"),
    "ocpp.tls.ocsp": ("off", "soft", "hard"),
    "ocpp.tls.min_version": ("1.2", "1.3"),
    "ocpp.tls.without_clock": ("accept", "refuse"),
    "firmware.signed_only": (False, True),
}
"""Options from weak to strong."""


def weakened(before: StationConfig, after: StationConfig) -> str:
    """Return what another file takes away, "" = nothing."""
    found = []
    for key, ranks in RANKS.items():
        old, new = _value(before, key), _value(after, key)
        if ranks.index(new) < ranks.index(old):
            found.append(f"{key} goes from {_text(old)} to {_text(new)}")
    old_link, new_link = before.ocpp, after.ocpp
    if encrypted(0, old_link.url) and not encrypted(new_link.security.profile, new_link.url):  # its profile is in `RANKS`
        found.append("ocpp.url goes on without TLS")
    if before.ocpp.tls.crl_file and not after.ocpp.tls.crl_file:
        found.append("ocpp.tls.crl_file is dropped")
    if before.api.manufacturer_group != after.api.manufacturer_group:
        found.append("api.manufacturer_group is another one")
    return ", ".join(found)


def _value(config: StationConfig, key: str) -> object:
    found: object = config
    for name in key.split("."):
        found = getattr(found, name)
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def may_weaken(what: str, confirmed: bool, caller: Caller) -> None:
    """Raise `ApiError` unless ``caller`` may do ``what`` ("" = it weakens nothing) and means it.

    Who could edit the file may, and manufacturers; a PIN or the group of the operators is not enough.
    """
    if not what:
        return
    if caller.role < Role.MANUFACTURER and caller.uid not in (0, os.getuid()):
        raise ApiError(
            ErrorCode.FORBIDDEN, f"{what}: that is for root, the user of the daemon and manufacturers only",
            "as root: sudo evsectl ...; or a member of the group api.manufacturer_group",
        )
    if not confirmed:
        raise ApiError(ErrorCode.CONFLICT, f"{what}, and nobody has confirmed that", "say so with confirm = true")
