"""Security of the back-end link (OCPP 1.6 security whitepaper): what weakens it, and one row of the security log (part 3)."""

from __future__ import annotations

import msgspec

from evse.units import WallNs

TLS_PROFILE = 2
"""From this security profile on the link is TLS, whatever its URL says."""


def encrypted(profile: int, url: str) -> bool:
    """Tell whether a link with this security profile and URL of the CSMS is TLS."""
    return profile >= TLS_PROFILE or url.lower().startswith("wss://")


def link_weakened(before: tuple[int, str], after: tuple[int, str]) -> str:
    """Return what a change takes from the security of the link, "" = nothing. Both: (security profile, URL of the CSMS)."""
    if after[0] < before[0]:
        return f"the security profile is lowered from {before[0]} to {after[0]}"
    if encrypted(*before) and not encrypted(*after):
        return "the link goes on without TLS"
    return ""


class CertificateFault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a certificate is not accepted, for people, and whether it is because it was revoked."""

    text: str
    revoked: bool = False


class SecurityEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that matters for security. ``state``: logged (never sent), waiting, sent, refused (the CSMS answered an error).

    ``seq`` is the order in which it happened and is given by the store (0 = not stored yet).
    """

    wall: WallNs
    kind: str
    tech_info: str = ""
    state: str = "logged"
    seq: int = 0
